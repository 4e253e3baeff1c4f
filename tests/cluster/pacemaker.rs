//! A cluster of real corosync and Pacemaker.

use std::fmt::Write as _;
use std::fs;
use std::rc::Rc;
use std::time::Duration;

use crate::fleet::{Fleet, node_name};
use crate::install::{Installation, install};
use crate::machine::Machine;
use crate::network::RING;
use crate::{Outcome, clock, says, wait};

/// A start of the daemons, or anything else that takes a few seconds when the machine is busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where the daemons log, with milliseconds.
const LOG: &str = "/var/log/pacemaker/pacemaker.log";

/// The sections of the configuration that a scenario fills and `clear` empties.
const SECTIONS: [&str; 2] = ["constraints", "resources"];

/// A configuration that exists before the first start, because a cluster without one waits
/// twenty seconds for somebody to become its controller.
const SEED: &str = r#"<cib validate-with="pacemaker-3.9" admin_epoch="0" epoch="1" num_updates="0">
 <configuration>
  <crm_config><cluster_property_set id="options">
   <nvpair id="stonith" name="stonith-enabled" value="false"/>
   <nvpair id="deadtime" name="dc-deadtime" value="1s"/>
   <nvpair id="recheck" name="cluster-recheck-interval" value="10min"/>
  </cluster_property_set></crm_config>
  <nodes/><resources/><constraints/>
  <rsc_defaults><meta_attributes id="defaults">
   <nvpair id="stickiness" name="resource-stickiness" value="1000"/>
  </meta_attributes></rsc_defaults>
 </configuration>
 <status/>
</cib>
"#;

/// The running cluster.
pub struct Pacemaker {
    /// Its machines.
    pub fleet: Fleet,
    installation: Installation,
}

impl Pacemaker {
    /// Boots that many nodes and waits until they are one cluster.
    pub fn boot(size: u8, installation: Installation, client: Rc<Machine>) -> Outcome<Self> {
        let mut cluster = Self { fleet: Fleet::boot(size, client)?, installation };
        let numbers = cluster.fleet.numbers();
        for number in &numbers {
            cluster.prepare(*number)?;
        }
        cluster.start(&numbers)?;
        Ok(cluster)
    }

    /// Switches a node on again after a crash; returns when it is a member.
    pub fn revive(&mut self, number: u8) -> Outcome<()> {
        self.fleet.switch_on(number)?;
        self.prepare(number)?;
        self.start(&[number])
    }

    fn prepare(&self, number: u8) -> Outcome<()> {
        let node = self.fleet.node(number)?;
        install(node, self.installation)?;
        node.write(
            "/etc/corosync/corosync.conf",
            0o644,
            &corosync_configuration(&self.fleet.numbers()),
        )?;
        node.run(&["mkdir", "-p", "/run/crm", "/run/resource-agents", "/var/log/pacemaker"])?;
        for directory in ["blackbox", "cib", "cores", "pengine"] {
            node.run(&["mkdir", "-p", &format!("/var/lib/pacemaker/{directory}")])?;
        }
        if !node.path("/var/lib/pacemaker/cib/cib.xml").exists() {
            node.write("/var/lib/pacemaker/cib/cib.xml", 0o600, SEED)?;
        }
        let own = ["/var/lib/pacemaker", "/var/log/pacemaker", "/run/crm"];
        node.run(&[&["chown", "-R", "hacluster:haclient"], own.as_slice()].concat()).map(drop)
    }

    fn start(&mut self, numbers: &[u8]) -> Outcome<()> {
        for number in numbers {
            self.fleet.node_mut(*number)?.start_daemon(&["corosync", "-f"], &[])?;
        }
        for number in numbers {
            let node = self.fleet.node_mut(*number)?;
            // pacemakerd gives up at once without it.
            wait::until("corosync answers", PATIENCE, || {
                Ok(node.run(&["corosync-cmapctl", "totem.version"]).is_ok())
            })?;
            let settings = [("PCMK_logfile", LOG), ("TZ", "UTC")];
            node.start_daemon(&["pacemakerd", "-f"], &settings)?;
        }
        self.await_members()?;
        self.await_idle()
    }

    fn await_members(&self) -> Outcome<()> {
        wait::until("every running node is online in the cluster", PATIENCE, || {
            let status = self.status()?;
            let online = |(number, _)| {
                let name = format!("<node name=\"{}\"", node_name(number));
                let line = status.lines().find(|line| line.contains(&name)).unwrap_or_default();
                line.contains("online=\"true\"") && line.contains("pending=\"false\"")
            };
            Ok(self.fleet.running().all(online))
        })
    }

    /// Waits until the cluster has nothing more to do.
    pub fn await_idle(&self) -> Outcome<()> {
        wait::until("the cluster's controller is idle", PATIENCE, || {
            let controller = node_name(self.controller()?);
            Ok(self.tool(&["crmadmin", "-S", &controller])?.contains("S_IDLE"))
        })
    }

    /// The node that takes the decisions.
    pub fn controller(&self) -> Outcome<u8> {
        let said = self.tool(&["crmadmin", "-D"])?;
        let name = said.split_once(':').and_then(|(_, rest)| rest.split_whitespace().next());
        let number =
            self.fleet.numbers().into_iter().find(|number| name == Some(&node_name(*number)));
        number.ok_or_else(|| format!("no node is the controller: {said}"))
    }

    /// One of Pacemaker's tools, on any running node.
    pub fn tool(&self, words: &[&str]) -> Outcome<String> {
        let (_, node) = self.fleet.running().next().ok_or("no node is running")?;
        node.run(words)
    }

    /// The cluster's state with failures and the history of operations, as XML.
    pub fn status(&self) -> Outcome<String> {
        self.tool(&["crm_mon", "-1", "-n", "-o", "-f", "--output-as=xml"])
    }

    /// Adds resources and constraints, both at once.
    pub fn add(&self, resources: &str, constraints: &str) -> Outcome<()> {
        let xml = format!(
            "<configuration><resources>{resources}</resources>\
             <constraints>{constraints}</constraints></configuration>"
        );
        let words = [
            "cibadmin",
            "--modify",
            "--allow-create",
            "--scope",
            "configuration",
            "--xml-text",
            &xml,
        ];
        self.tool(&words).map(drop)
    }

    /// The lines of the cluster's state that tell of a failed action of this resource.
    pub fn failures(&self, resource: &str) -> Outcome<Vec<String>> {
        let key = format!("op_key=\"{resource}_");
        let failures = self.all_failures()?.into_iter();
        Ok(failures.filter(|line| line.contains(&key)).collect())
    }

    /// The lines that tell of a failed action of whatever resource.
    pub fn all_failures(&self) -> Outcome<Vec<String>> {
        let status = self.status()?;
        let failures = status.lines().filter(|line| line.contains("<failure "));
        Ok(failures.map(|line| line.trim().to_owned()).collect())
    }

    /// Shows that nothing has failed, and that no node has to be fenced.
    pub fn expect_well(&self) -> Outcome<()> {
        let failures = self.all_failures()?;
        let is_clean = !self.status()?.contains("unclean=\"true\"");
        let is_well = failures.is_empty() && is_clean;
        is_well.then_some(()).ok_or_else(|| format!("failed, clean nodes {is_clean}: {failures:?}"))
    }

    /// How many failures of the resource on a node the cluster has counted.
    pub fn fail_count(&self, number: u8, resource: &str) -> Outcome<u32> {
        let name = node_name(number);
        let said = self.tool(&["crm_failcount", "--query", "-r", resource, "-N", &name])?;
        let value = said.split_once("value=").and_then(|(_, rest)| rest.trim().parse().ok());
        value.ok_or_else(|| format!("no count in: {said}"))
    }

    /// How many of them were failures of that kind, such as `asyncmon` for what the cluster was told of.
    pub fn fail_count_of(&self, number: u8, resource: &str, action: &str) -> Outcome<u32> {
        let name = node_name(number);
        let words = ["crm_failcount", "--query", "-r", resource, "-N", &name];
        let said = self.tool(&[&words[..], &["-n", action, "-I", "0"]].concat())?;
        let value = said.split_once("value=").and_then(|(_, rest)| rest.trim().parse().ok());
        value.ok_or_else(|| format!("no count in: {said}"))
    }

    /// How often the cluster has had an action of that kind of the resource performed, on whatever node.
    pub fn performed(&self, resource: &str, action: &str) -> Outcome<usize> {
        let words = format!("Initiating {action} operation {resource}_{action}_0 ");
        let mut sum = 0;
        for (_, node) in self.fleet.running() {
            let log = fs::read(node.path(LOG)).map_err(says(format!("cannot read {LOG}")))?;
            sum += String::from_utf8_lossy(&log).matches(&words).count();
        }
        Ok(sum)
    }

    /// Whether the resource's last action of that kind on a node succeeded.
    pub fn is_done(&self, number: u8, resource: &str, action: &str) -> Outcome<bool> {
        Ok(self.operation(number, resource, action)?.contains("rc=0,"))
    }

    /// How long the resource's last action of that kind on a node took, such as `12ms`.
    pub fn time_of(&self, number: u8, resource: &str, action: &str) -> Outcome<String> {
        let operation = self.operation(number, resource, action)?;
        let time = operation.split_once("exec=").and_then(|(_, rest)| rest.split(')').next());
        time.map(str::to_owned).ok_or_else(|| format!("no time in {operation}"))
    }

    /// The cluster's line about the resource's last action of that kind on a node.
    fn operation(&self, number: u8, resource: &str, action: &str) -> Outcome<String> {
        let name = node_name(number);
        let words = ["crm_resource", "--list-all-operations", "-r", resource, "-N", &name];
        let operations = self.tool(&words)?;
        let line =
            operations.lines().find(|line| line.contains(&format!("{resource}_{action}_0 ")));
        line.map(str::to_owned)
            .ok_or_else(|| format!("no {action} of {resource} on {name} in: {operations}"))
    }

    /// When the controller decided to start the resource, the last time it did so.
    pub fn start_decided(&self, resource: &str) -> Outcome<Duration> {
        let node = self.fleet.node(self.controller()?)?;
        let log = fs::read(node.path(LOG)).map_err(says(format!("cannot read {LOG}")))?;
        let words = format!("Initiating start operation {resource}_start_0 ");
        let text = String::from_utf8_lossy(&log);
        let line = text.lines().rfind(|line| line.contains(&words));
        let line = line.ok_or_else(|| format!("no start of {resource} in {LOG}"))?;
        clock::of_log_line(line).ok_or_else(|| format!("no time in {line}"))
    }

    /// Lets the cluster try again what failed.
    pub fn forget_failures(&self) -> Outcome<()> {
        self.tool(&["crm_resource", "--cleanup"]).map(drop)
    }

    /// Moves a resource for good, as an administrator does.
    pub fn move_to(&self, resource: &str, number: u8) -> Outcome<()> {
        self.tool(&["crm_resource", "--move", "-r", resource, "-N", &node_name(number)]).map(drop)
    }

    /// Takes back what `move_to` left in the configuration; the resource stays where it is.
    pub fn end_move(&self, resource: &str) -> Outcome<()> {
        self.tool(&["crm_resource", "--clear", "-r", resource]).map(drop)
    }

    /// Sends a node into standby or takes it back.
    pub fn standby(&self, number: u8, value: bool) -> Outcome<()> {
        let value = if value { "on" } else { "off" };
        self.tool(&["crm_standby", "-N", &node_name(number), "-v", value]).map(drop)
    }

    /// Stops and removes all resources, and shows that every node is a free member again.
    pub fn clear(&self) -> Outcome<()> {
        for number in self.fleet.numbers() {
            self.standby(number, false)?;
        }
        self.tool(&["crm_attribute", "-n", "stop-all-resources", "-v", "true"])?;
        self.await_stopped()?;
        self.forget_failures()?;
        for section in SECTIONS {
            let empty = format!("<{section}/>");
            self.tool(&["cibadmin", "--replace", "--scope", section, "--xml-text", &empty])?;
        }
        self.tool(&["crm_attribute", "-n", "stop-all-resources", "-D"])?;
        self.await_members()?;
        self.await_idle()
    }

    /// Waits until the cluster says that nothing is active, and the nodes show it.
    fn await_stopped(&self) -> Outcome<()> {
        wait::until("no resource is active anywhere", PATIENCE, || {
            let status = self.status()?;
            let is_active =
                |line: &str| line.contains("<resource ") && line.contains("active=\"true\"");
            // A stop under way counts as done here; the addresses tell when it really is.
            self.fleet.expect_no_guests()?;
            Ok(!status.lines().any(is_active))
        })
    }
}

fn corosync_configuration(numbers: &[u8]) -> String {
    let mut nodes = String::new();
    for number in numbers {
        let (address, name) = (RING.address(*number), node_name(*number));
        write!(
            nodes,
            " node {{\n  ring0_addr: {address}\n  name: {name}\n  nodeid: {number}\n }}\n"
        )
        .expect("a string can be written to");
    }
    let two_node = u8::from(numbers.len() == 2);
    format!(
        "totem {{
 version: 2
 cluster_name: laboratory
 transport: udpu
 crypto_cipher: none
 crypto_hash: none
 token: 1000
}}
nodelist {{
{nodes}}}
quorum {{
 provider: corosync_votequorum
 two_node: {two_node}
 wait_for_all: 0
}}
logging {{
 to_stderr: yes
 to_syslog: no
}}
"
    )
}
