//! The watcher itself: sleep, look, look again, tell.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::judge::{Memory, Step, Verdict};
use super::keeper::Keeper;
use super::manager::{self, Manager};
use super::restart::Restarts;
use super::{ClaimSigns, MountSigns, NetworkSigns, Settings, Signs};
use crate::action::Action;
use crate::agent::{Cx, Entry, Outcome, Status};
use crate::environment::Environment;
use crate::error::{Doing, OcfCode, Result};
use crate::host::claims::Claims;
use crate::host::mount::news::MountNews;
use crate::host::rtnews::RouteNews;
use crate::host::schedule::Starvation;
use crate::host::wake::{Wake, Woken};
use crate::host::{detached, namespace, privilege};
use crate::log::Log;
use crate::runtime;
use crate::state::StateFile;

/// Before the second look: long enough for what is only between two states, far below what anybody notices.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// Looks after the first one, as long as this process did not get the time to make them.
const MOST_LOOKS: u32 = 5;

/// How often a failed resource is looked at whose manager does nothing, so that its coming back is seen.
const WHILE_FAILED: Duration = Duration::from_secs(1);

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
}

impl<'a> Watcher<'a> {
    /// One for the resource that `environment` describes. What it sees it says by `say`, besides the log.
    ///
    /// # Errors
    /// A parameter that says how to watch has no usable default.
    pub fn new(
        entry: &'a Entry,
        environment: &'a Environment,
        instance: String,
        log: &'a Log<'a>,
        behind: bool,
        say: fn(&str),
    ) -> Result<Self> {
        let manager = if behind { Manager::of(environment, &instance) } else { Manager::Nobody };
        // What is wrong in them, start has refused.
        let settings = Settings::leniently(environment)?;
        Ok(Self { entry, environment, instance, log, settings, manager, behind, say })
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
            wake.on_removal_of(keeper.record().path())?;
        }
        let signs = (self.entry.signs)(&self.context())?;
        if let Some(network) = &signs.network {
            self.hear(network, &mut wake)?;
        }
        if let Some(MountSigns { point, counters }) = &signs.mount {
            let listen = || format!("listen to news of the mount at {}", point.display());
            wake.on_mount(MountNews::of(point.clone(), counters).doing(listen)?);
        }
        privilege::keep_for_watching(
            signs.network.as_ref().is_some_and(|network| network.namespace.is_some()),
        );
        self.watch(&mut wake, signs)
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
        let mut memory = Memory::default();
        let mut restarts = Restarts::new(self.settings.restarts());
        let mut first = true;
        loop {
            wake.on_end_of(&signs.processes)?;
            wake.on_events_of(signs.group.as_deref());
            let hears = wake.on_changes_of(signs.unit.as_deref()) || signs.group.is_some();
            let verdict = self.confirmed();
            wake.ignore_answers();
            // Whoever ends this process or takes its task away meanwhile does not want to hear of it.
            if let Some(end) = wake.drain()?
                && self.is_over(&end, wake)
            {
                return Ok(OcfCode::Success);
            }
            if let (true, Verdict::Works) = (first, &verdict) {
                (self.say)("works");
            }
            first = false;
            let mut at_most = self.settings.interval(signs.silent || !hears);
            match memory.take(&verdict, Instant::now()) {
                Step::Nothing => {}
                Step::Hold(wait) => at_most = Some(wait),
                Step::Recovered => {
                    (self.say)("works again");
                    self.log.info("works again, although the cluster did not stop and start it");
                }
                Step::Report(why) => {
                    if let Some(code) = self.report(&why, &mut restarts, &mut memory) {
                        return Ok(code);
                    }
                }
            }
            if memory.is_failed() {
                at_most = Some(at_most.map_or(WHILE_FAILED, |time| time.min(WHILE_FAILED)));
            }
            let woken = wake.wait(at_most)?;
            if self.is_over(&woken, wake) {
                return Ok(OcfCode::Success);
            }
            if let Woken::News(words) = &woken {
                (self.say)(words);
            }
            signs = self.signs_after(signs, wake)?;
        }
    }

    /// What announces a failure from now on. An interface that was made anew has another number; what happens until it is
    /// heard, the next look sees.
    fn signs_after(&self, before: Signs, wake: &mut Wake) -> Result<Signs> {
        let Ok(signs) = (self.entry.signs)(&self.context()) else { return Ok(before) };
        if let Some(network) = signs.network.as_ref().filter(|_| signs.network != before.network) {
            self.hear(network, wake)?;
        }
        Ok(signs)
    }

    /// Whether there is nothing more to do: somebody said so, or the file that gives this process its task is gone. Whoever
    /// started it may have written the same once more.
    fn is_over(&self, woken: &Woken, wake: &mut Wake) -> bool {
        match woken {
            Woken::News(_) | Woken::Time => return false,
            Woken::Told(_) => {}
            Woken::Forgotten => {
                let cx = self.context();
                let keeper = self.keeper(&cx);
                if keeper.is_this_process() && wake.on_removal_of(keeper.record().path()).is_ok() {
                    return !keeper.is_this_process();
                }
            }
        }
        (self.say)(&woken.to_string());
        true
    }

    fn keeper<'c>(&'c self, cx: &'c Cx<'c>) -> Keeper<'c> {
        Keeper::of(self.entry.described.agent.name, &self.key(cx), cx)
    }

    /// Tells the manager; an exit code if that is how it is told.
    fn report(&self, why: &str, restarts: &mut Restarts, memory: &mut Memory) -> Option<OcfCode> {
        (self.say)(&format!("failed: {why}"));
        self.log.failure(&format!("failed: {why}; telling {}", self.manager.name()));
        let told = match &self.manager {
            Manager::Pacemaker { resource, node } => {
                manager::fail_in_pacemaker(self.environment, resource, node.as_deref())
            }
            Manager::Haresources => {
                let agent = self.entry.described.agent.name;
                let acted = restarts.act(agent, self.environment, self.log);
                if matches!(acted, Ok(true)) {
                    memory.restarted();
                }
                acted.map(drop)
            }
            Manager::Unit { invocation } => manager::fail_unit(invocation),
            Manager::Nobody if self.behind => Ok(()),
            // Whoever reads exit codes: systemd, or who called.
            Manager::Nobody => return Some(OcfCode::Failed),
        };
        if let Err(error) = told {
            self.log.warn(&format!("cannot tell {} of it: {error}", self.manager.name()));
            memory.not_told();
        }
        None
    }

    /// Looks, and if the resource does not work looks again. A look for which this process was not given the time says
    /// nothing, and is repeated.
    fn confirmed(&self) -> Verdict {
        let mut verdict = self.look();
        for _ in 0..MOST_LOOKS {
            if verdict == Verdict::Works {
                break;
            }
            let starvation = Starvation::begin();
            std::thread::sleep(BETWEEN_LOOKS);
            verdict = self.look();
            if !starvation.is_felt() {
                break;
            }
            crate::trace_note!("this process was starved; looking again");
        }
        verdict
    }

    /// The agent's own monitor, as a recurring one.
    fn look(&self) -> Verdict {
        match (self.entry.perform)(&self.context()) {
            Ok(Outcome::Is(Status::NotRunning)) => Verdict::Failed("it does not run".to_owned()),
            Ok(Outcome::Is(Status::FailedPromoted)) => {
                Verdict::Failed("the promoted instance does not work".to_owned())
            }
            Ok(_) => Verdict::Works,
            Err(error) => Verdict::Failed(error.reason()),
        }
    }

    fn key(&self, cx: &Cx<'_>) -> String {
        (self.entry.key)(cx).unwrap_or_else(|_| self.instance.clone())
    }

    fn context(&self) -> Cx<'_> {
        runtime::recurring(
            &self.entry.described,
            self.instance.clone(),
            self.environment,
            self.log,
            Action::Monitor,
        )
    }
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

fn hear(signs: &ClaimSigns) -> Result<Claims> {
    let ClaimSigns { subject, index, own, record } = signs;
    Claims::of(*subject, *index, *own, StateFile::at(record))
        .doing(|| format!("listen to who claims {subject}"))
}
