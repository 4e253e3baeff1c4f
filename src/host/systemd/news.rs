//! What systemd announces about a unit: that it is in another state (`PropertiesChanged`).

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use futures_util::StreamExt;
use zbus::message::Type;
use zbus::{MatchRule, Message, MessageStream, OwnedVariant};

use super::{NAME, PROPERTIES, Systemd, Trouble, UNIT};

/// How long what came is waited for: the bus sends whole messages.
const REST: Duration = Duration::from_millis(5);

/// A connection on which systemd tells of one unit.
pub struct UnitNews {
    unit: String,
    changes: MessageStream,
    systemd: Systemd,
    /// The socket once more, to wait for.
    socket: UnixStream,
    state: Option<(String, String)>,
    is_closed: bool,
}

impl fmt::Debug for UnitNews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnitNews").field("unit", &self.unit).finish_non_exhaustive()
    }
}

impl UnitNews {
    /// Hears of that unit from now on.
    ///
    /// # Errors
    /// There is no bus, or no answer.
    pub fn of(unit: &str, within: Duration) -> Result<Self, Trouble> {
        let (systemd, socket) = Systemd::connect_with_socket(within)?;
        let path = systemd.look(unit, within)?.path;
        let changes = systemd.wait(within, "listen", async {
            let rule = MatchRule::builder()
                .msg_type(Type::Signal)
                .sender(NAME)
                .path(path)
                .interface(PROPERTIES)
                .member("PropertiesChanged")
                // Each change is announced once for units and once for their type, which has nothing that matters here.
                .arg(0, UNIT)
                .build()?;
            let changes = MessageStream::for_match_rule(rule, &systemd.connection, None).await?;
            systemd.subscribe().await?;
            Ok(changes)
        })?;
        let unit = unit.to_owned();
        Ok(Self { unit, changes, systemd, socket, state: None, is_closed: false })
    }

    /// The unit's name.
    #[must_use]
    pub fn unit(&self) -> &str {
        &self.unit
    }

    /// Whether the bus closed the connection, so that nothing more will come.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Reads what was announced; in words if the state is another one. A unit that tells of its progress (`STATUS=` of
    /// `sd_notify(3)`) announces that too.
    pub fn take(&mut self) -> Option<String> {
        let mut words = None;
        while let Some(message) = self.systemd.executor.wait(REST, self.changes.next()) {
            let Some(Ok(message)) = message else {
                self.is_closed = true;
                return Some("the message bus closed the connection".to_owned());
            };
            let Some(state) = state(&message).filter(|state| Some(state) != self.state.as_ref())
            else {
                continue;
            };
            words = Some(format!("{} is {} ({})", self.unit, state.0, state.1));
            self.state = Some(state);
        }
        words
    }
}

/// The unit's state, of which each of these messages has both words.
fn state(message: &Message) -> Option<(String, String)> {
    type Changes = (String, HashMap<String, OwnedVariant>, Vec<String>);
    let (_, changed, _): Changes = message.body().deserialize().ok()?;
    let word = |name| changed.get(name)?.try_clone().ok()?.try_into().ok();
    Some((word("ActiveState")?, word("SubState")?))
}

impl AsFd for UnitNews {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
