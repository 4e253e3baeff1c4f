//! systemd, asked over the system's message bus (`org.freedesktop.systemd1(5)`).
//!
//! What is lost on the way, because systemd executes itself anew or the bus begins again, is told apart from what systemd
//! refuses: the first says nothing of the unit, and whoever asked asks again on a new connection.

#![forbid(unsafe_code)]

mod answer;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join4;
use zbus::connection::Builder;
use zbus::message::Type;
use zbus::{Connection, MatchRule, Message, MessageStream, OwnedVariant};

use super::executor::Executor;
use super::stream;
use crate::{trace_answer, trace_ask};

pub use answer::{Facts, Invoked, Job, Look, Properties, Trouble};

/// Where the bus is, by the D-Bus specification, "Well-known Message Bus Instances".
pub const BUS: &str = "/run/dbus/system_bus_socket";

const NAME: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Whether this host was booted with systemd (`sd_booted(3)`).
#[must_use]
pub fn is_here() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// A connection to systemd.
pub struct Systemd {
    executor: Executor,
    connection: Connection,
    ended: Option<MessageStream>,
}

impl fmt::Debug for Systemd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Systemd")
    }
}

impl Systemd {
    /// Connects to the bus.
    ///
    /// # Errors
    /// There is none, or it does not answer in time.
    pub fn connect(within: Duration) -> Result<Self, Trouble> {
        let lost = |error: std::io::Error| Trouble::Lost(crate::error::cause(&error));
        let socket = stream::local(Path::new(BUS), Instant::now() + within).map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound { Trouble::Absent } else { lost(error) }
        })?;
        let executor = Executor::new().map_err(lost)?;
        let connection = executor.wait(within, Builder::unix_stream(socket).build());
        let connection = connection.ok_or_else(|| Trouble::Lost("no greeting".to_owned()))??;
        Ok(Self { executor, connection, ended: None })
    }

    fn wait<T>(
        &self,
        within: Duration,
        what: &str,
        answer: impl Future<Output = zbus::Result<T>>,
    ) -> Result<T, Trouble> {
        trace_ask!("systemd: {what}");
        let late = || Err(Trouble::Lost("no answer in time".to_owned()));
        let answered = self.executor.wait(within, answer).map_or_else(late, |answer| Ok(answer?));
        if let Err(trouble) = &answered {
            trace_answer!("systemd: {what}: {trouble}");
        }
        answered
    }

    async fn call<B: serde::Serialize + zbus::DynamicType>(
        &self,
        method: &str,
        body: &B,
    ) -> zbus::Result<Message> {
        self.connection.call_method(Some(NAME), PATH, Some(MANAGER), method, body).await
    }

    async fn property(
        &self,
        path: &str,
        interface: &str,
        name: &str,
    ) -> zbus::Result<OwnedVariant> {
        let asked = (interface, name);
        let answer =
            self.connection.call_method(Some(NAME), path, Some(PROPERTIES), "Get", &asked).await?;
        answer.body().deserialize()
    }

    async fn properties(
        &self,
        path: &str,
        interface: &str,
    ) -> zbus::Result<HashMap<String, OwnedVariant>> {
        let answer = self
            .connection
            .call_method(Some(NAME), path, Some(PROPERTIES), "GetAll", &interface)
            .await?;
        answer.body().deserialize()
    }

    /// Looks at a unit, which is read from its file if nobody needed it so far. State, job and all are of one moment.
    ///
    /// # Errors
    /// No answer, or systemd does not take the name for one.
    pub fn look(&self, unit: &str, within: Duration) -> Result<Look, Trouble> {
        type Row = (
            String,
            String,
            String,
            String,
            String,
            String,
            zbus::OwnedObjectPath,
            u32,
            String,
            zbus::OwnedObjectPath,
        );
        let names = (vec![unit],);
        let answer = self.wait(within, &format!("look at {unit}"), async {
            let answer = self.call("ListUnitsByNames", &names).await?;
            answer.body().deserialize::<Vec<Row>>()
        })?;
        let row = answer.into_iter().next();
        let (id, _, load, active, sub, _, path, number, kind, job) = row.ok_or_else(|| {
            Trouble::Refused("InvalidName".to_owned(), format!("{unit} is no name of a unit"))
        })?;
        let job = (number != 0).then(|| Job { kind, path: job.as_str().to_owned() });
        trace_answer!("systemd: {id} is {load}, {active} ({sub})");
        Ok(Look { id, load, active, sub, job, path: path.as_str().to_owned() })
    }

    /// What is known of the unit's processes.
    ///
    /// # Errors
    /// No answer.
    pub fn facts(&self, look: &Look, within: Duration) -> Result<Facts, Trouble> {
        let interface = interface(&look.id);
        let (main, group, invocation, result) =
            self.wait(within, &format!("ask for the processes of {}", look.id), async {
                Ok(join4(
                    self.property(&look.path, &interface, "MainPID"),
                    self.property(&look.path, &interface, "ControlGroup"),
                    self.property(&look.path, UNIT, "InvocationID"),
                    self.property(&look.path, &interface, "Result"),
                )
                .await)
            })?;
        // Not each type has each of them, which systemd answers with an error of its own.
        let known = |answer: zbus::Result<OwnedVariant>| match answer.map_err(Trouble::from) {
            Ok(value) => Ok(Some(value)),
            Err(Trouble::Refused(..)) => Ok(None),
            Err(lost) => Err(lost),
        };
        let text = |value: Option<OwnedVariant>| value.and_then(|value| value.try_into().ok());
        let main: Option<u32> = known(main)?.and_then(|value| value.try_into().ok());
        let bytes: Option<Vec<u8>> = known(invocation)?.and_then(|value| value.try_into().ok());
        Ok(Facts {
            main: main.unwrap_or(0).cast_signed(),
            group: text(known(group)?).unwrap_or_default(),
            invocation: answer::hexadecimal(&bytes.unwrap_or_default()),
            result: text(known(result)?).unwrap_or_default(),
        })
    }

    /// All that there is to know of the unit.
    ///
    /// # Errors
    /// No answer.
    pub fn describe(&self, look: &Look, within: Duration) -> Result<Properties, Trouble> {
        self.wait(within, &format!("read the properties of {}", look.id), async {
            let mut all = self.properties(&look.path, UNIT).await?;
            all.extend(self.properties(&look.path, &interface(&look.id)).await?);
            Ok(Properties(all))
        })
    }

    /// Which unit was started under that number.
    ///
    /// # Errors
    /// No answer, no such unit, or one without processes of its own.
    pub fn invoked(&self, invocation: &str, within: Duration) -> Result<Invoked, Trouble> {
        let bytes = answer::bytes(invocation);
        self.wait(within, &format!("look for invocation {invocation}"), async {
            let answer = self.call("GetUnitByInvocationID", &(bytes,)).await?;
            let path: zbus::OwnedObjectPath = answer.body().deserialize()?;
            let id: String = self.property(path.as_str(), UNIT, "Id").await?.try_into()?;
            let interface = interface(&id);
            let main = self.property(path.as_str(), &interface, "MainPID").await?;
            let environment = self.property(path.as_str(), &interface, "Environment").await?;
            let main = u32::try_from(main)?.cast_signed();
            Ok(Invoked { id, main, environment: environment.try_into()? })
        })
    }

    /// Hears from now on of jobs of this unit that end. Before one is asked for: it may end before the answer is read.
    ///
    /// # Errors
    /// No answer.
    pub fn listen(&mut self, id: &str, within: Duration) -> Result<(), Trouble> {
        let ended = self.wait(within, "listen", async {
            let rule = MatchRule::builder()
                .msg_type(Type::Signal)
                .sender(NAME)
                .path(PATH)
                .interface(MANAGER)
                .member("JobRemoved")
                .arg(2, id)
                .build()?;
            let ended = MessageStream::for_match_rule(rule, &self.connection, None).await?;
            match self.call("Subscribe", &()).await {
                Err(zbus::Error::MethodError(name, ..)) if name.ends_with(".AlreadySubscribed") => {
                }
                other => drop(other?),
            }
            // A unit that is down is soon forgotten, and with it why it is down. Not each systemd lets itself be asked.
            let _ = self.call("RefUnit", &id).await;
            Ok(ended)
        })?;
        self.ended = Some(ended);
        Ok(())
    }

    /// The next job that ended, and how; none if none did.
    ///
    /// # Errors
    /// The connection was lost.
    pub fn next_ended(&mut self, within: Duration) -> Result<Option<(String, String)>, Trouble> {
        let lost = || Trouble::Lost("connection closed".to_owned());
        let ended = self.ended.as_mut().ok_or_else(lost)?;
        match self.executor.wait(within, ended.next()) {
            None => Ok(None),
            Some(None) => Err(lost()),
            Some(Some(message)) => {
                let body = message?.body();
                let (_, job, _, result): (u32, zbus::OwnedObjectPath, String, String) =
                    body.deserialize()?;
                trace_answer!("systemd: {} ended: {result}", job.as_str());
                Ok(Some((job.as_str().to_owned(), result)))
            }
        }
    }

    fn job(&self, method: &str, unit: &str, within: Duration) -> Result<String, Trouble> {
        self.wait(within, &format!("{method} {unit}"), async {
            let answer = self.call(method, &(unit, "replace")).await?;
            Ok(answer.body().deserialize::<zbus::OwnedObjectPath>()?.as_str().to_owned())
        })
    }

    /// Has the unit started; the job that does it.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn start(&self, unit: &str, within: Duration) -> Result<String, Trouble> {
        self.job("StartUnit", unit, within)
    }

    /// Has the unit stopped; the job that does it.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn stop(&self, unit: &str, within: Duration) -> Result<String, Trouble> {
        self.job("StopUnit", unit, within)
    }

    /// Sends a signal to all processes of the unit.
    ///
    /// # Errors
    /// No answer, or there are none.
    pub fn kill(&self, unit: &str, signal: i32, within: Duration) -> Result<(), Trouble> {
        self.wait(within, &format!("kill {unit}"), async {
            self.call("KillUnit", &(unit, "all", signal)).await.map(drop)
        })
    }

    /// Forgets that the unit failed, and how often it was started.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn reset(&self, unit: &str, within: Duration) -> Result<(), Trouble> {
        self.wait(within, &format!("reset {unit}"), async {
            self.call("ResetFailedUnit", &unit).await.map(drop)
        })
    }

    /// Has all units read again.
    ///
    /// # Errors
    /// No answer, which may be for systemd's being done with it.
    pub fn reload(&self, within: Duration) -> Result<(), Trouble> {
        self.wait(within, "reload", async { self.call("Reload", &()).await.map(drop) })
    }
}

/// The interface of the units of its type.
fn interface(id: &str) -> String {
    let kind = id.rsplit('.').next().unwrap_or_default();
    let first = kind.get(..1).unwrap_or_default().to_uppercase();
    format!("{NAME}.{first}{}", kind.get(1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_of_unit_has_its_interface() {
        assert_eq!(interface("x.y.service"), "org.freedesktop.systemd1.Service");
        assert_eq!(interface("x@1.mount"), "org.freedesktop.systemd1.Mount");
    }
}
