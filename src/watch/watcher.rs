//! The watcher itself: sleep, look, look again, tell.

#![forbid(unsafe_code)]

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::attendant::Attendant;
use super::judge::{Memory, Step, Verdict};
use super::keeper::Keeper;
use super::manager::{Manager, Told};
use super::pacemaker::{self, Pacemaker};
use super::restart::{Failed, Restarts};
use super::turn::Teller;
use super::{ClaimSigns, MountSigns, NetworkSigns, Settings, Signs, unit};
use crate::action::Action;
use crate::agent::{Cx, Entry, Outcome, Status};
use crate::environment::Environment;
use crate::error::{Doing, OcfCode, Result};
use crate::host::claims::Claims;
use crate::host::mount::news::MountNews;
use crate::host::process::Process;
use crate::host::rtnews::RouteNews;
use crate::host::schedule::Starvation;
use crate::host::wake::{Wake, Woken};
use crate::host::{detached, namespace, privilege};
use crate::log::Log;
use crate::runtime;
use crate::state::StateFile;

/// Before the second look: long enough for what is only between two states, far below what anybody notices.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// Looks that find nothing of the resource, of which each may have been made too late.
const MOST_LATE_LOOKS: u32 = 5;

/// For how long looks that failed for some reason, which may be a time-out, are made again because this process was not given
/// the time to make them. After that it is told: what takes all of a host's time may be the resource itself.
const LONGEST_DOUBT: Duration = Duration::from_secs(30);

/// How often a failed resource is looked at whose manager does nothing, so that its coming back is seen.
const WHILE_FAILED: Duration = Duration::from_secs(1);

/// For how long what announces a failure stays the same while nothing is announced. It is asked again for services whose processes
/// were not known yet.
const SIGNS_LAST: Duration = Duration::from_secs(1);

/// What is said of a resource of which nothing was found.
const ABSENT: &str = "it does not run";

/// What a verdict came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged {
    /// There is nothing more to do about it.
    Done,
    /// It is told later.
    Hold(Duration),
    /// It was told by the end of this process.
    Ended(OcfCode),
}

/// A process that watches one resource.
#[derive(Debug)]
pub struct Watcher<'a> {
    entry: &'a Entry,
    environment: &'a Environment,
    instance: String,
    log: &'a Log<'a>,
    settings: Settings,
    manager: Manager,
    /// Left behind by start or monitor, and not run by a person.
    behind: bool,
    say: fn(&str),
    /// What a look and who attends it both write into.
    known: Mutex<Known>,
    /// Beside every look, once it is run.
    attendant: OnceLock<Attendant>,
}

/// What is remembered from look to look.
#[derive(Debug)]
struct Known {
    memory: Memory,
    restarts: Restarts,
    /// It was stopped and started by this process.
    restarted: bool,
}

impl<'a> Watcher<'a> {
    /// One for the resource that `environment` describes. What it sees it says by `say`, besides the log.
    ///
    /// # Errors
    /// A parameter that says how to watch is wrong.
    pub fn new(
        entry: &'a Entry,
        environment: &'a Environment,
        instance: String,
        log: &'a Log<'a>,
        behind: bool,
        say: fn(&str),
    ) -> Result<Self> {
        let manager = if behind { Manager::of(environment, &instance) } else { Manager::Nobody };
        let cx = context(entry, &instance, environment, log);
        // What is wrong in them, start has refused; nobody has for who runs this by hand.
        let settings =
            if behind { Settings::leniently(environment)? } else { Settings::strictly(&cx)? };
        let key = key(entry, &cx);
        let restarts =
            Restarts::new(settings.restarts(), cx.state.file(&format!("given-away-{key}")));
        let known = Known { memory: Memory::default(), restarts, restarted: false };
        let known = Mutex::new(known);
        let attendant = OnceLock::new();
        Ok(Self {
            entry,
            environment,
            instance,
            log,
            settings,
            manager,
            behind,
            say,
            known,
            attendant,
        })
    }

    /// Watches until it is told to end, has nothing to watch any more, or has told somebody who reads exit codes.
    ///
    /// # Errors
    /// It cannot watch.
    pub fn run(&self) -> Result<OcfCode> {
        if self.behind {
            // Before anything is opened, which it would close.
            detached::settle();
        }
        let mut wake = Wake::new()?;
        if self.behind {
            let cx = self.context();
            let keeper = self.keeper(&cx);
            keeper.remember_this_process()?;
            // What another watcher, which somebody killed, could not bring to an end.
            pacemaker::settle(self.environment, &keeper.count());
            keeper.turn().forget();
        }
        let attendant = Attendant::new()?;
        let attendant = self.attendant.get_or_init(|| attendant);
        let signs = attendant.during(|limit| self.overdue(limit), || self.signs())?;
        if let Some(network) = &signs.network {
            self.hear(network, &mut wake)?;
        }
        hear_of_mount(&mut wake, &signs)?;
        privilege::keep_for_watching(
            signs.network.as_ref().is_some_and(|network| network.namespace.is_some()),
        );
        // Anew: privileges and namespaces are a thread's.
        attendant.during(|limit| self.overdue(limit), || self.watch(&mut wake, signs))
    }

    /// Hears of the network, in its namespace, where every look is made from then on.
    fn hear(&self, signs: &NetworkSigns, wake: &mut Wake) -> Result<()> {
        wake.on_network(listen(signs)?);
        let (claims, errors): (Vec<_>, Vec<_>) =
            signs.claims.iter().map(hear).partition(Result::is_ok);
        wake.on_claims(claims.into_iter().flatten().collect());
        // The address works all the same.
        errors
            .into_iter()
            .filter_map(Result::err)
            .for_each(|error| self.log.debug(&error.to_string()));
        Ok(())
    }

    fn watch(&self, wake: &mut Wake, mut signs: Signs) -> Result<OcfCode> {
        let (mut first, mut asked) = (true, None);
        loop {
            let fresh = asked.is_none();
            if fresh {
                wake.on_end_of(&signs.processes)?;
                wake.on_events_of(signs.group.as_deref());
                asked = Some(Instant::now());
            }
            let hears = wake.on_changes_of(signs.unit.as_deref()) || signs.group.is_some();
            // Before the look: news that come while it is made are about what it may not have seen.
            let drained = wake.drain()?;
            let is_told = matches!(drained, Some(Woken::Told(_)));
            let verdict = if is_told { Verdict::Works } else { self.confirmed() };
            wake.ignore_answers();
            // Whoever ends this process or takes its task away meanwhile does not want to hear of it.
            let told = if is_told { drained.clone() } else { wake.is_told()? };
            let matters = fresh || verdict != Verdict::Works;
            if told.is_some_and(|told| self.is_over(&told)) || (matters && self.is_dismissed()) {
                return Ok(OcfCode::Success);
            }
            if let (true, Verdict::Works) = (first, &verdict) {
                (self.say)("works");
            }
            first = false;
            let hold = match self.judged(&verdict) {
                Judged::Ended(code) => return Ok(code),
                Judged::Hold(wait) => Some(wait),
                Judged::Done => None,
            };
            if std::mem::take(&mut self.known().restarted) {
                // It has other processes and another mount now, of which none is listened to yet.
                signs = self.signs().unwrap_or(signs);
                hear_of_mount(wake, &signs)?;
                asked = None;
                continue;
            }
            let woken = wake.wait(self.longest_sleep(hold, signs.silent || !hears))?;
            if self.is_over(&woken) {
                return Ok(OcfCode::Success);
            }
            if let Woken::News(words) = &woken {
                (self.say)(words);
            }
            let is_quiet = drained.is_none() && woken == Woken::Time;
            if !is_quiet || asked.is_none_or(|asked| asked.elapsed() >= SIGNS_LAST) {
                signs = self.signs_after(signs, wake)?;
                asked = None;
            }
        }
    }

    /// What announces a failure from now on. An interface that was made anew has another number; what happens until it is
    /// heard, the next look sees.
    fn signs_after(&self, before: Signs, wake: &mut Wake) -> Result<Signs> {
        let Ok(signs) = self.signs() else { return Ok(before) };
        if let Some(network) = signs.network.as_ref().filter(|_| signs.network != before.network) {
            self.hear(network, wake)?;
        }
        Ok(signs)
    }

    fn longest_sleep(&self, hold: Option<Duration>, silent: bool) -> Option<Duration> {
        let failed = self.known().memory.is_failed().then_some(WHILE_FAILED);
        let usual = hold.or_else(|| self.settings.interval(silent));
        usual.into_iter().chain(failed).min()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a verdict into account, and tells whom it concerns.
    fn judged(&self, verdict: &Verdict) -> Judged {
        let mut known = self.known();
        match known.memory.take(verdict, Instant::now()) {
            Step::Nothing => Judged::Done,
            Step::Hold(wait) => Judged::Hold(wait),
            Step::Recovered => {
                (self.say)("works again");
                self.log.info("works again, although the cluster did not stop and start it");
                self.keeper(&self.context()).turn().forget();
                Judged::Done
            }
            Step::Report(why) => self.report(&why, &mut known).map_or(Judged::Done, Judged::Ended),
        }
    }

    /// A look does not come back. As long as it does not, this process does nothing else; so it is told from beside, and once more
    /// after that time if it could not be told.
    fn overdue(&self, limit: Duration) -> Option<Duration> {
        let place = Process::own().ok().and_then(|own| own.waits_in());
        let place = place.map_or(String::new(), |place| format!(" and hangs in {place}"));
        let seconds = limit.as_secs();
        if self.is_dismissed() {
            return None;
        }
        let why = format!("a look at it takes longer than {seconds} s{place}");
        match self.judged(&Verdict::Failed(why)) {
            Judged::Done => (!self.known().memory.is_told()).then_some(WHILE_FAILED),
            Judged::Hold(wait) => Some(wait),
            Judged::Ended(code) => std::process::exit(i32::from(code.number())),
        }
    }

    /// Whether somebody said that there is nothing more to do.
    fn is_over(&self, woken: &Woken) -> bool {
        let over = matches!(woken, Woken::Told(_));
        if over {
            (self.say)(&woken.to_string());
        }
        over
    }

    /// Whether the file is gone that gives this process its task. It is asked at each look and not announced by the kernel: of
    /// instances of inotify a user has 128 (`fs.inotify.max_user_instances`), and others need them.
    fn is_dismissed(&self) -> bool {
        let cx = self.context();
        self.behind && self.keeper(&cx).is_dismissed()
    }

    fn keeper<'c>(&'c self, cx: &'c Cx<'c>) -> Keeper<'c> {
        Keeper::of(self.entry.described.agent.name, &key(self.entry, cx), cx)
    }

    /// Tells the manager; an exit code if that is how it is told.
    fn report(&self, why: &str, known: &mut Known) -> Option<OcfCode> {
        (self.say)(&format!("failed: {why}"));
        self.log.failure(&format!("failed: {why}; telling {}", self.manager.name()));
        let told = match &self.manager {
            Manager::Pacemaker { resource, node } => self.tell_pacemaker(resource, node.as_deref()),
            Manager::Haresources => {
                let agent = self.entry.described.agent.name;
                let Self { environment, log, .. } = *self;
                let failed = Failed { agent, instance: &self.instance, why, environment, log };
                if known.restarts.act(&failed) {
                    known.memory.restarted();
                    known.restarted = true;
                } else {
                    known.memory.not_told();
                }
                Ok(Told::Yes)
            }
            Manager::Unit { invocation } => unit::fail(invocation, self.environment),
            Manager::Nobody if self.behind => Ok(Told::Yes),
            // Whoever reads exit codes: systemd, or who called.
            Manager::Nobody => return Some(OcfCode::Failed),
        };
        match told {
            Ok(Told::Yes) => {}
            Ok(Told::Monitor) => self.log.info("a monitor has just told of it"),
            Ok(Told::Nobody(why)) => self.log.warn(&format!("nobody is told of it: {why}")),
            Err(error) => {
                self.log.warn(&format!("cannot tell {} of it: {error}", self.manager.name()));
                known.memory.not_told();
            }
        }
        None
    }

    /// Tells Pacemaker, unless a monitor is just doing that.
    fn tell_pacemaker(&self, resource: &str, node: Option<&str>) -> Result<Told> {
        let cx = self.context();
        let keeper = self.keeper(&cx);
        if self.behind && keeper.turn().take(Teller::Watcher).is_some() {
            return Ok(Told::Monitor);
        }
        let told = Pacemaker::new(self.environment, resource, node).fail(&keeper.count(), self.log);
        if told.is_err() {
            keeper.turn().forget();
        }
        told.map(|()| Told::Yes)
    }

    /// Looks, and if the resource does not work looks again. A look for which this process was not given the time says
    /// little, and is repeated: a few times if nothing of the resource was found, which takes no time to find, and for longer if
    /// something was waited for.
    fn confirmed(&self) -> Verdict {
        let (mut verdict, _) = self.look();
        let begin = Instant::now();
        for count in 1.. {
            if verdict == Verdict::Works {
                break;
            }
            std::thread::sleep(BETWEEN_LOOKS);
            let starvation = Starvation::begin();
            let (again, lost) = self.look();
            verdict = again;
            let doubted = match &verdict {
                Verdict::Failed(why) if why != ABSENT => begin.elapsed() < LONGEST_DOUBT,
                _ => count < MOST_LATE_LOOKS,
            };
            if !starvation.is_felt(lost) || !doubted {
                break;
            }
            crate::trace_note!("this process was starved; looking again");
        }
        verdict
    }

    /// What announces a failure. To find that out is a look too.
    fn signs(&self) -> Result<Signs> {
        self.attended(|cx| (self.entry.signs)(cx)).0
    }

    /// The agent's own monitor, as a recurring one, and how much time this process lost meanwhile.
    fn look(&self) -> (Verdict, Duration) {
        self.attended(|cx| match (self.entry.perform)(cx) {
            Ok(Outcome::Is(Status::NotRunning)) => Verdict::Failed(ABSENT.to_owned()),
            Ok(Outcome::Is(Status::FailedPromoted)) => {
                Verdict::Failed("the promoted instance does not work".to_owned())
            }
            Ok(_) => Verdict::Works,
            Err(error) => Verdict::Failed(error.reason()),
        })
    }

    /// Makes a look that may hang, and tells of it if it does.
    fn attended<T>(&self, look: impl FnOnce(&Cx<'_>) -> T) -> (T, Duration) {
        let cx = self.context();
        match self.attendant.get() {
            Some(attendant) => attendant.beside(cx.deadline.timeout(), || look(&cx)),
            None => (look(&cx), Duration::ZERO),
        }
    }

    fn context(&self) -> Cx<'_> {
        context(self.entry, &self.instance, self.environment, self.log)
    }
}

/// What tells the resource from all others; by its name if its parameters do not say.
fn key(entry: &Entry, cx: &Cx<'_>) -> String {
    (entry.key)(cx).unwrap_or_else(|_| cx.instance.clone())
}

/// That of a recurring monitor which begins now.
fn context<'a>(
    entry: &Entry,
    instance: &str,
    environment: &'a Environment,
    log: &'a Log<'a>,
) -> Cx<'a> {
    runtime::recurring(&entry.described, instance.to_owned(), environment, log, Action::Monitor)
}

fn listen(signs: &NetworkSigns) -> Result<RouteNews> {
    if let Some(name) = &signs.namespace
        && !namespace::enter(name)?
    {
        return Err(namespace::missing(name.as_str()));
    }
    RouteNews::of(signs.addresses.clone(), signs.links.as_deref(), signs.routes)
        .doing(|| "listen to the network's news")
}

fn hear_of_mount(wake: &mut Wake, signs: &Signs) -> Result<()> {
    let Some(MountSigns { point, counters }) = &signs.mount else { return Ok(()) };
    let listen = || format!("listen to news of the mount at {}", point.display());
    wake.on_mount(MountNews::of(point.clone(), counters).doing(listen)?);
    Ok(())
}

fn hear(signs: &ClaimSigns) -> Result<Claims> {
    let ClaimSigns { subject, index, own, record } = signs;
    Claims::of(*subject, *index, *own, StateFile::at(record))
        .doing(|| format!("listen to who claims {subject}"))
}
