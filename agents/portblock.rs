//! `portblock`: ports that are shut while a service moves, and opened when it is ready.

#![forbid(unsafe_code)]

use crate::action::Action;
use crate::agent::{Agent, Cx, Status};
use crate::blocking::words::{Firewall, Method, Protocol, StatusCheck, Way};
use crate::blocking::{Direction, Gate, Pair};
use crate::connections::List;
use crate::error::{Error, Result};
use crate::host::nft::Presence;
use crate::param::Value;
use crate::param::values::{AbsolutePath, AddressBlock, Flag, Ports, Text, is_true};
use crate::params;
use crate::promotion::{Score, set_score};
use crate::spec::{ActionSpec, AgentSpec, Haresources, Role};
use crate::state::StateFile;

params! {
    pub struct Params {
        /// Packet filter
        ///
        /// The rules are made in nf_tables, without any program, whichever is named: `auto`, `nft` or `iptables`. They are in
        /// a table of their own, `inet ocfbox_portblock`, which `nft list table inet ocfbox_portblock` shows and `iptables`
        /// does not.
        firewall: Firewall = "auto",

        /// Protocol
        ///
        /// `tcp` or `udp`.
        protocol: Protocol,

        /// Ports
        ///
        /// The ports of this host: a number, a range such as `8000:8080`, or a list of both, such as `80,443,8000:8080`.
        portno: Ports,

        /// What the resource does: block or unblock
        ///
        /// Start of a `block` resource shuts the ports, its stop opens them. Start of an `unblock` resource opens them, its
        /// stop shuts them. A group has both: `block`, then the address and the service, then `unblock` with the same
        /// protocol, ports, address and direction. In a promotable clone it is what promote does, and start and demote do
        /// the opposite.
        action: Way,

        /// What becomes of packets
        ///
        /// `drop` lets nobody know, so that clients try again. `reject` answers with a TCP reset, or with "port unreachable"
        /// for UDP.
        method: Method = "drop",

        /// What monitor believes
        ///
        /// `pseudo`: of a `block` and an `unblock` resource of the same ports, both of which are started, the one that was
        /// started first runs too. `rule`: only the packet filter counts. The default is `pseudo`, in a promotable clone
        /// `rule`.
        status_check: Option<StatusCheck>,

        /// Address
        ///
        /// The address of this host, or a network, whose ports are meant. The default is every IPv4 address; `::/0` is every
        /// IPv6 address.
        ip: Text = "0.0.0.0/0",

        /// Direction
        ///
        /// `in`: packets to the ports; `out`: packets from them; `both`.
        direction: Text = "in",

        /// Destroy the connections of the ports when an unblock resource stops
        ///
        /// The TCP connections end here without a word to the clients, so that nothing of them is in the way when the
        /// service comes back to this node.
        reset_local_on_unblock_stop: Flag = "false",

        /// Directory for the list of connections
        ///
        /// An absolute path on storage that all nodes share, for an `unblock` resource whose `ip` is one address: monitor and
        /// stop write the established TCP connections of the address there, and start on the next node sends each client a
        /// segment (a tickle ACK) that makes it find out at once that its connection is no more. `IPaddr2` can do the
        /// same without any blocking.
        tickle_dir: Option<AbsolutePath>,

        /// Program that copies the list of connections to the other nodes
        ///
        /// For a `tickle_dir` that is not shared, such as `csync2 -xv`: a program and its arguments, separated by blanks; no
        /// shell reads them. It gets the name of the file as its last argument, runs in the background and is ended after a
        /// minute.
        sync_script: Option<Text>,
    }
}

pub struct PortBlock(Params);

impl From<Params> for PortBlock {
    fn from(params: Params) -> Self {
        Self(params)
    }
}

const PROMOTED: &str = "promoted";
const UNPROMOTED: &str = "unpromoted";
const CHANGED: &str = "somebody changed the packet filter";

fn is_promotable(cx: &Cx<'_>) -> bool {
    cx.environment.meta("promotable").is_some_and(|word| is_true(word.as_ref()))
        || cx.meta_number("master_max").is_some_and(|count| count > 0)
}

/// Whether nothing is to be left to an action that comes later.
fn ends(cx: &Cx<'_>) -> bool {
    matches!(cx.action, Action::Stop | Action::Demote)
}

impl PortBlock {
    /// What is shut and opened. A value which cannot be used is never replaced by the default, which stands for every
    /// address.
    fn gate(&self) -> Result<Gate> {
        let own = &self.0;
        let network = AddressBlock::parse(own.ip.as_os_str())
            .map_err(|why| Error::Configured { name: "ip", why })?;
        let word = own.direction.as_os_str();
        let direction = word.to_str().and_then(Direction::from_word);
        let direction = direction.ok_or_else(|| {
            let why = format!("{} is not one of in, out, both", crate::param::quoted(word));
            Error::Configured { name: "direction", why }
        })?;
        Ok(Gate {
            transport: own.protocol.transport(),
            ports: own.portno.clone(),
            network,
            direction,
            answer: own.method.answer(),
        })
    }

    fn pair(&self, gate: &Gate, cx: &Cx<'_>) -> Pair {
        let (action, counterpart) = self.0.action.words();
        Pair::of(gate, Self::SPEC.name, action, counterpart, cx)
    }

    /// In which role an instance of a promotable clone is.
    fn role(&self, gate: &Gate, cx: &Cx<'_>) -> StateFile {
        cx.state.file(&format!("{}_{gate}_{}.role", Self::SPEC.name, self.0.action.words().0))
    }

    fn believes_rules(&self, cx: &Cx<'_>) -> bool {
        let default = if is_promotable(cx) { StatusCheck::Rule } else { StatusCheck::Pseudo };
        self.0.status_check.unwrap_or(default) == StatusCheck::Rule
    }

    /// Does something with the list of connections, where there is one.
    fn with_list(&self, gate: &Gate, act: impl FnOnce(&List<'_>)) {
        let script = self.0.sync_script.as_ref().map(|text| text.as_os_str().to_string_lossy());
        let copy: Vec<String> =
            script.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect();
        if let (Way::Unblock, Protocol::Tcp, Some(directory), Some(ip)) =
            (self.0.action, self.0.protocol, &self.0.tickle_dir, gate.network.host())
        {
            act(&List { directory: directory.as_path(), ip, copy: &copy });
        }
    }

    /// What an `unblock` resource does when it starts, and a `block` resource when it stops.
    fn open(&self, gate: &Gate, cx: &Cx<'_>) -> Result<()> {
        if ends(cx) && gate.presence(cx)?.is_none() {
            return Ok(());
        }
        gate.open(cx)?;
        if !ends(cx) {
            self.with_list(gate, |list| list.tickle(0, cx));
        }
        Ok(())
    }

    /// What a `block` resource does when it starts, and an `unblock` resource when it stops: the last look at the
    /// connections is before, and their end after it.
    fn shut(&self, gate: &Gate, cx: &Cx<'_>) -> Result<()> {
        if ends(cx) {
            match gate.presence(cx)? {
                // Without a packet filter nothing can have been started.
                None => return Ok(()),
                Some(Presence::Absent) => self.with_list(gate, |list| list.save(cx)),
                Some(_) => {}
            }
        }
        let resets = self.0.reset_local_on_unblock_stop.is_set()
            && (self.0.action, self.0.protocol) == (Way::Unblock, Protocol::Tcp);
        if ends(cx) && resets { gate.shut_and_reset(cx) } else { gate.shut(cx) }
    }

    fn go(&self, way: Way, gate: &Gate, cx: &Cx<'_>) -> Result<()> {
        match way {
            Way::Block => self.shut(gate, cx),
            Way::Unblock => self.open(gate, cx),
        }
    }

    /// What start, promote and demote of a promotable clone do.
    fn take_role(&self, role: &str, cx: &Cx<'_>) -> Result<()> {
        let gate = self.gate()?;
        let _one_at_a_time = gate.lock(cx)?;
        let file = self.role(&gate, cx);
        let before = file.read()?;
        let starts = cx.action == Action::Start;
        if starts && before.as_deref() == Some(PROMOTED) {
            let why = "cannot start: it is running and promoted; demote it first";
            return Err(Error::Failed(why.to_owned()));
        }
        if !starts && before.is_none() {
            let why = format!("cannot become {role}: it is not running; start it first");
            return Err(Error::Failed(why));
        }
        if starts {
            file.write(role)?;
        }
        let (way, score) = match role {
            PROMOTED => (self.0.action, Score::Promoted),
            _ => (self.0.action.inverse(), Score::Unpromoted),
        };
        if let Err(error) = self.go(way, &gate, cx) {
            if starts && before.is_none() {
                return Err(error.and(file.remove().err().into_iter().collect()));
            }
            return Err(error);
        }
        file.write(role)?;
        set_score(cx, score);
        Ok(())
    }

    fn monitor_clone(&self, cx: &Cx<'_>) -> Result<Status> {
        let gate = self.gate()?;
        let role = self.role(&gate, cx).read()?;
        let promoted = role.as_deref() == Some(PROMOTED);
        if self.believes_rules(cx) {
            let Some(presence) = gate.presence(cx)? else { return Ok(Status::NotRunning) };
            let way = if promoted { self.0.action } else { self.0.action.inverse() };
            let right = match way {
                Way::Block => presence == Presence::Whole,
                Way::Unblock => presence == Presence::Absent,
            };
            match (&role, right) {
                // Rules without a memory are there: then it runs, and stop removes them.
                (None, _) if presence == Presence::Absent => return Ok(Status::NotRunning),
                (None, _) => return Ok(Status::Running),
                (Some(_), true) => {}
                (Some(_), false) if promoted => return Ok(Status::FailedPromoted),
                (Some(_), false) => {
                    return Err(Error::Failed(format!(
                        "{gate} is not {}ed any more: {CHANGED}",
                        way.words().0
                    )));
                }
            }
        } else if role.is_none() {
            return Ok(Status::NotRunning);
        }
        if promoted && cx.interval_ms > 0 {
            self.with_list(&gate, |list| list.save(cx));
        }
        Ok(if promoted { Status::RunningPromoted } else { Status::Running })
    }

    /// Whether a resource that is no clone runs, as the table of the shell agents has it.
    fn runs(&self, gate: &Gate, presence: Presence, cx: &Cx<'_>) -> Result<bool> {
        let pair = self.pair(gate, cx);
        if self.believes_rules(cx) && self.0.action == Way::Unblock {
            return Ok(presence == Presence::Absent);
        }
        match (self.0.action, presence) {
            (Way::Block, Presence::Whole) => Ok(true),
            (Way::Unblock, Presence::Absent) => Ok(pair.is_started()),
            _ if pair.is_overruled() => Ok(true),
            // What is left has to be removed by a stop.
            (Way::Block, Presence::Partial) => Err(Error::Failed(format!(
                "{gate} is blocked in part: {CHANGED}; start puts it right"
            ))),
            _ => Ok(false),
        }
    }
}

impl Agent for PortBlock {
    type Params = Params;

    const SPEC: AgentSpec = AgentSpec {
        name: "portblock",
        short: "Shuts ports while a service moves, and opens them",
        long: "Shuts TCP or UDP ports of this host, and opens them again: while an address is up and its service is not yet, \
               clients that try would be refused and might give up. In a group, a resource with action=block comes before \
               the address, and one with action=unblock, for the same ports, after the service.\n\n\
               With tickle_dir, the clients of long-lived connections are told on the next node that their connections are \
               no more, instead of waiting for answers for minutes.\n\n\
               The rules are in a table of nf_tables of their own, which is there only as long as it has rules; nobody else's \
               rules are touched.",
        actions: &[
            ActionSpec::new(Action::Start, 20),
            ActionSpec::new(Action::Stop, 20),
            ActionSpec::new(Action::Promote, 10),
            ActionSpec::new(Action::Demote, 10),
            ActionSpec::new(Action::Status, 10).every(10).depth(0),
            ActionSpec::new(Action::Monitor, 10).every(10).depth(0),
            ActionSpec::new(Action::Monitor, 10).every(9).depth(0).role(Role::Promoted),
            ActionSpec::new(Action::ValidateAll, 5),
            ActionSpec::new(Action::MetaData, 5),
        ],
        haresources: Some(Haresources {
            arguments: &["protocol", "portno", "action"],
            required: 3,
            fixed: &[],
        }),
    };

    fn check(&self, cx: &Cx<'_>) -> Result<()> {
        let gate = self.gate()?;
        let own = &self.0;
        let unblocks = own.action == Way::Unblock;
        let wrong = |name, why: &str| Err(Error::Configured { name, why: why.to_owned() });
        if own.tickle_dir.is_some() && !unblocks {
            return wrong("tickle_dir", "is for action=unblock only; set it there");
        }
        if own.reset_local_on_unblock_stop.is_set() && !unblocks {
            return wrong(
                "reset_local_on_unblock_stop",
                "is for action=unblock only; set it there",
            );
        }
        let one_address = gate.network.host().is_some();
        if own.tickle_dir.is_some() && (!one_address || own.protocol != Protocol::Tcp) {
            cx.log.warn("tickle_dir has no effect: it needs protocol=tcp and ip with one address");
        }
        if own.sync_script.is_some() && own.tickle_dir.is_none() {
            cx.log.warn("sync_script has no effect without tickle_dir");
        }
        if own.firewall == Firewall::Iptables {
            cx.log.debug("the rules are made in nf_tables; see `nft list ruleset`");
        }
        Ok(())
    }

    fn start(&self, cx: &Cx<'_>) -> Result<()> {
        if is_promotable(cx) {
            return self.take_role(UNPROMOTED, cx);
        }
        let gate = self.gate()?;
        let _one_at_a_time = gate.lock(cx)?;
        let pair = self.pair(&gate, cx);
        let was_started = pair.is_started();
        pair.remember()?;
        if let Err(error) = self.go(self.0.action, &gate, cx) {
            let undone = if was_started { Ok(()) } else { pair.forget() };
            return Err(error.and(undone.err().into_iter().collect()));
        }
        let (done, _) = self.0.action.words();
        cx.log.info(&format!("{gate}: {done}ed"));
        Ok(())
    }

    /// A `block` resource opens the ports. An `unblock` resource shuts them, unless it does not run and no `block` resource
    /// does, who would open them again: to stop what is stopped changes nothing. Of a clone nothing is left.
    fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        let gate = self.gate()?;
        let _one_at_a_time = gate.lock(cx)?;
        if is_promotable(cx) {
            set_score(cx, Score::None);
            self.open(&gate, cx)?;
            return self.role(&gate, cx).remove();
        }
        let pair = self.pair(&gate, cx);
        let shuts = self.0.action == Way::Unblock;
        let is_known =
            !shuts || self.believes_rules(cx) || pair.is_started() || pair.is_counterpart_started();
        if is_known {
            self.go(self.0.action.inverse(), &gate, cx)?;
        }
        pair.forget()
    }

    fn promote(&self, cx: &Cx<'_>) -> Result<()> {
        if is_promotable(cx) {
            return self.take_role(PROMOTED, cx);
        }
        let gate = self.gate()?;
        let _one_at_a_time = gate.lock(cx)?;
        self.go(self.0.action, &gate, cx)
    }

    fn demote(&self, cx: &Cx<'_>) -> Result<()> {
        if is_promotable(cx) {
            return self.take_role(UNPROMOTED, cx);
        }
        let gate = self.gate()?;
        let _one_at_a_time = gate.lock(cx)?;
        self.go(self.0.action.inverse(), &gate, cx)
    }

    fn monitor(&self, cx: &Cx<'_>) -> Result<Status> {
        if is_promotable(cx) {
            return self.monitor_clone(cx);
        }
        let gate = self.gate()?;
        let Some(presence) = gate.presence(cx)? else { return Ok(Status::NotRunning) };
        if !self.runs(&gate, presence, cx)? {
            return Ok(Status::NotRunning);
        }
        if cx.interval_ms > 0 && presence == Presence::Absent {
            self.with_list(&gate, |list| list.save(cx));
        }
        Ok(Status::Running)
    }
}
