//! A cluster of real Heartbeat 3 with its own resource manager, as `haresources` configures it.
//!
//! Its `ResourceManager` is shell and stays so; the resource scripts that it runs are what is under test.

use std::fs;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::fleet::{Fleet, node_name};
use crate::identity::{IDENTITIES, Identity};
use crate::image::Image;
use crate::install::{Installation, install};
use crate::machine::Machine;
use crate::network::RING;
use crate::store::Manner;
use crate::{Outcome, broker, says, store, wait, web};

/// A start of the daemons, or anything else that takes a few seconds when the machine is busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// What Heartbeat logs when it has heard that the other node is done, and what makes it wait for that.
const SETTLED: &str = "remote resource transition completed";
const UNSETTLED: [&str; 3] =
    ["Status update for node", "wants to go standby", "Standby resource acquisition done"];

const HEARTBEAT: &str = "/usr/libexec/heartbeat/heartbeat";

const RESOURCE_MANAGER: &str = "/usr/share/heartbeat/ResourceManager";

/// The addresses of the one resource group.
pub const ADDRESSES: [&str; 3] = ["10.77.0.50", "10.77.0.51", "fd00:77::52"];

/// The address of the web server.
pub const WEBSITE: &str = "10.77.0.71";

/// The address of the store.
pub const WAREHOUSE: &str = "10.77.0.72";

/// The address of the application.
pub const COUNTER: &str = "10.77.0.74";

/// The address of the message queue.
pub const POST_OFFICE: &str = "10.77.0.75";

/// Takes mails, and keeps each in a file.
const SENDMAIL: &str = "#!/bin/sh\ncat >/run/.mail.$$ && mv /run/.mail.$$ /run/mail.$$\n";

/// The group's resources, in the words of haresources.
const OURS: [&str; 3] =
    ["IPaddr2::10.77.0.50/24/eth0", "IPaddr::10.77.0.51/24/eth0", "IPv6addr::fd00:77::52/64/eth0"];

/// The shell agents need the last one in full, for in haresources `::` is what separates arguments.
const THEIRS: [&str; 3] = [OURS[0], OURS[1], "IPv6addr::fd00:77:0:0:0:0:0:52/64/eth0"];

/// What the cluster is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// One group of addresses, which stays where it is until it has to go.
    Group,
    /// An address and a web server, which stay where they are until they have to go.
    Website,
    /// An address, the shared disk and the web server that keeps its data there; they stay where they are until they have
    /// to go.
    Store,
    /// An address, the shared disk, a web server by its init script and, with ours, somebody who gets mails; they stay where
    /// they are until they have to go.
    Application,
    /// An address and a message queue by its init script, which is restarted once; they stay where they are until they have to
    /// go.
    Queue,
    /// The identities of two servers, each of which goes home as soon as it can.
    Mutual,
}

/// The running cluster.
pub struct Heartbeat {
    /// Its two machines.
    pub fleet: Fleet,
    installation: Installation,
    duty: Duty,
    /// The shared disk.
    pub image: Arc<Image>,
}

impl Heartbeat {
    /// Boots two nodes and waits until they have the resources, each those that belong to it.
    pub fn boot(installation: Installation, duty: Duty, client: Rc<Machine>) -> Outcome<Self> {
        let image = Arc::new(Image::make(false)?);
        let mut cluster = Self { fleet: Fleet::boot(2, client)?, installation, duty, image };
        for number in cluster.fleet.numbers() {
            cluster.prepare(number)?;
        }
        cluster.start_all()?;
        Ok(cluster)
    }

    /// Starts the cluster's software on all nodes; returns when the resources are where they belong.
    pub fn start_all(&mut self) -> Outcome<()> {
        for number in self.fleet.numbers() {
            self.launch(number)?;
        }
        self.await_home()
    }

    /// The resources of the group as haresources has them.
    pub fn resources(&self) -> [&'static str; 3] {
        match self.installation {
            Installation::Alone => OURS,
            Installation::Shell | Installation::Beside | Installation::InPlace => THEIRS,
        }
    }

    fn haresources(&self) -> String {
        match self.duty {
            Duty::Group => format!("node1 {}\n", self.resources().join(" ")),
            Duty::Website => {
                format!("node1 IPaddr2::{WEBSITE}/24/eth0 apache::{}\n", web::CONFIGURATION)
            }
            Duty::Store => self.with_disk(WAREHOUSE, Manner::KeepsOpen.script()),
            Duty::Application => match self.installation {
                Installation::Alone => {
                    format!("{} MailTo::root::Shop\n", self.with_disk(COUNTER, web::SCRIPT).trim())
                }
                Installation::Shell | Installation::Beside | Installation::InPlace => {
                    self.with_disk(COUNTER, web::SCRIPT)
                }
            },
            Duty::Queue => format!(
                "node1 IPaddr2::{POST_OFFICE}/24/eth0 service::{}::watch_restarts=1\n",
                broker::SCRIPT
            ),
            Duty::Mutual => IDENTITIES.iter().map(line).collect(),
        }
    }

    /// An address, the shared disk, and a service that has an init script, which the shell agents' users name by itself.
    fn with_disk(&self, address: &str, script: &str) -> String {
        let service = match self.installation {
            Installation::Alone => format!("service::{script}"),
            Installation::Shell | Installation::Beside | Installation::InPlace => script.to_owned(),
        };
        let (image, place) = (self.image.on_node(), store::PLACE);
        format!(
            "node1 IPaddr2::{address}/24/eth0 Filesystem::{image}::{place}::ext4::loop {service}\n"
        )
    }

    /// Switches a node on again after a crash; returns when the other one knows that it is back.
    pub fn revive(&mut self, number: u8) -> Outcome<()> {
        self.fleet.switch_on(number)?;
        self.prepare(number)?;
        self.start(number)
    }

    fn prepare(&self, number: u8) -> Outcome<()> {
        let node = self.fleet.node(number)?;
        install(node, self.installation)?;
        // `register` in /run/heartbeat is a socket: it must not be there as a directory.
        for directory in [
            "/run/resource-agents",
            "/run/heartbeat/ccm",
            "/run/heartbeat/crm",
            "/run/heartbeat/dopd",
        ] {
            node.run(&["mkdir", "-p", directory])?;
        }
        for user in ["hacluster", "root", "nobody"] {
            node.run(&["mkdir", "-p", &format!("/var/lib/heartbeat/cores/{user}")])?;
        }
        node.run(&[
            "chown",
            "-R",
            "hacluster:haclient",
            "/run/heartbeat",
            "/var/lib/heartbeat/cores/hacluster",
        ])?;
        match self.duty {
            Duty::Queue => broker::install(node)?,
            Duty::Application => {
                // It may be a link, which would lead to another machine's file.
                node.run(&["rm", "-f", "/usr/sbin/sendmail"])?;
                node.write("/usr/sbin/sendmail", 0o755, SENDMAIL)?;
            }
            Duty::Group | Duty::Website | Duty::Store | Duty::Mutual => {}
        }
        node.write("/etc/ha.d/ha.cf", 0o644, &configuration(self.duty))?;
        node.write("/etc/ha.d/haresources", 0o644, &self.haresources())?;
        node.write("/etc/ha.d/authkeys", 0o600, "auth 1\n1 sha1 laboratory\n")
    }

    /// Starts the cluster's software on a node; returns when both know of each other.
    pub fn start(&mut self, number: u8) -> Outcome<()> {
        self.launch(number)?;
        self.await_members()
    }

    fn launch(&mut self, number: u8) -> Outcome<()> {
        self.fleet.node_mut(number)?.start_daemon(&[HEARTBEAT], &[])
    }

    /// Stops it in an orderly way; returns when the node holds nothing any more.
    pub fn stop(&self, number: u8) -> Outcome<()> {
        self.await_calm(number)?;
        self.fleet.node(number)?.run(&[HEARTBEAT, "-k"]).map(drop)
    }

    /// Stops it on one node after the other; the last one waits for no word from any other.
    pub fn stop_all(&self, numbers: &[u8]) -> Outcome<()> {
        let first = numbers.first().ok_or("a cluster has nodes")?;
        self.await_calm(*first)?;
        for number in numbers {
            self.fleet.node(*number)?.run(&[HEARTBEAT, "-k"])?;
        }
        Ok(())
    }

    /// Waits until every running node sees every other as active.
    fn await_members(&self) -> Outcome<()> {
        wait::until("every running node is active for every other", PATIENCE, || {
            for (_, node) in self.fleet.running() {
                for (number, _) in self.fleet.running() {
                    let status = node.run(&["cl_status", "nodestatus", &node_name(number)])?;
                    if status.trim() != "active" {
                        return Ok(false);
                    }
                }
            }
            Ok(true)
        })
    }

    /// Waits until every running node takes the node `number`, which has crashed, for dead.
    pub fn await_death(&self, number: u8) -> Outcome<()> {
        let name = node_name(number);
        wait::until(&format!("{name} is dead for all others"), PATIENCE, || {
            for (_, node) in self.fleet.running() {
                // It ends with 1 for a node that is not active.
                let words = format!("cl_status nodestatus {name} || true");
                if node.run(&["sh", "-c", &words])?.trim() != "dead" {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    /// Waits until the resources are where they belong.
    pub fn await_home(&self) -> Outcome<()> {
        match self.duty {
            Duty::Group | Duty::Website | Duty::Store | Duty::Application | Duty::Queue => {
                self.await_settled(1)
            }
            Duty::Mutual => {
                self.await_members()?;
                for identity in &IDENTITIES {
                    self.fleet.await_holders(identity.ip, &[identity.home], PATIENCE)?;
                }
                self.await_quiet()
            }
        }
    }

    /// Waits until node `number` alone holds every address of the group, and no script is at work any more.
    pub fn await_settled(&self, number: u8) -> Outcome<()> {
        self.await_members()?;
        let addresses = match self.duty {
            Duty::Website => &[WEBSITE][..],
            Duty::Store => &[WAREHOUSE],
            Duty::Application => &[COUNTER],
            Duty::Queue => &[POST_OFFICE],
            Duty::Group | Duty::Mutual => &ADDRESSES,
        };
        for address in addresses {
            self.fleet.await_holders(address, &[number], PATIENCE)?;
        }
        self.await_quiet()
    }

    /// Waits until no script is at work any more, and nothing that a watcher runs.
    pub fn await_quiet(&self) -> Outcome<()> {
        let words = format!("{RESOURCE_MANAGER}|^[A-Za-z0-9]+ (start|stop)$");
        wait::until("no resource manager is at work", PATIENCE, || {
            for (_, node) in self.fleet.running() {
                // pgrep answers 1 when it finds nothing.
                if node.run(&["pgrep", "-f", &words]).is_ok() {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    /// Lets a node give up everything, as an administrator does.
    pub fn give_up(&self, number: u8) -> Outcome<()> {
        let node = self.fleet.node(number)?;
        self.await_calm(number)?;
        node.run(&["/usr/share/heartbeat/hb_standby", "all"]).map(drop)
    }

    /// Waits until Heartbeat on the node knows that the last move is over on the other node too.
    ///
    /// It ignores `hb_standby` before that, while the other node takes it for granted and then ignores
    /// everything for an hour. No status tells of it, only the log.
    fn await_calm(&self, number: u8) -> Outcome<()> {
        let node = self.fleet.node(number)?;
        let log = node.path("/var/log/ha-log");
        wait::until(
            &format!("Heartbeat on {} knows that all is settled", node.name()),
            PATIENCE,
            || {
                let text =
                    fs::read(&log).map_err(says(format!("cannot read {}", log.display())))?;
                let text = String::from_utf8_lossy(&text);
                let settled = text.rfind(SETTLED);
                let is_settled = UNSETTLED.iter().all(|words| text.rfind(words) < settled);
                Ok(is_settled && node.run(&["cl_status", "rscstatus"])?.trim() != "transition")
            },
        )
    }

    /// Whether Heartbeat's own scripts take the node for the owner of the resource.
    pub fn is_owner(&self, number: u8, resource: &str) -> Outcome<bool> {
        // 0 is "ours", 3 anything else; the words of the agent decide, not its exit code.
        Ok(self.fleet.node(number)?.run(&[RESOURCE_MANAGER, "status", resource]).is_ok())
    }

    /// How many mails the node has sent of that text.
    pub fn mails(&self, number: u8, text: &str) -> Outcome<usize> {
        let words = format!("cat /run/mail.* | grep -cF '{text}' || true");
        let count = self.fleet.node(number)?.run(&["sh", "-c", &words])?;
        count.trim().parse().map_err(says("no number of mails"))
    }

    /// What the resource script itself says when asked for its status.
    pub fn status(&self, number: u8, resource: &str) -> Outcome<String> {
        let (script, arguments) = resource.split_once("::").ok_or("a resource has arguments")?;
        let path = format!("/etc/ha.d/resource.d/{script}");
        let mut command = self.fleet.node(number)?.command(&path);
        let output =
            command.arg(arguments).arg("status").output().map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// A server's identity in the words of haresources: the card is named twice, and the service last.
fn line(identity: &Identity) -> String {
    let Identity { name, home, ip, mac, nic } = identity;
    format!("{} MACaddr::{nic}/{mac} IPaddr2::{ip}/24/{nic} {name}\n", node_name(*home))
}

/// `udpport` must stand before the lines that use it.
fn configuration(duty: Duty) -> String {
    let failback = match duty {
        Duty::Group | Duty::Website | Duty::Store | Duty::Application | Duty::Queue => "off",
        Duty::Mutual => "on",
    };
    let (nic, first, second) = (RING.nic, RING.address(1), RING.address(2));
    format!(
        "udpport 694
keepalive 200ms
deadtime 2
warntime 1
initdead 4
logfile /var/log/ha-log
debugfile /var/log/ha-debug
ucast {nic} {first}
ucast {nic} {second}
auto_failback {failback}
crm off
node node1
node node2
"
    )
}
