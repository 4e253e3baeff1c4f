//! Attributes of the nodes, by which location rules move an address that has no monitor of its own.

use std::time::Duration;

use super::Agents;
use super::common::{PATIENCE, establish, expect_settled};
use super::resource::Resource;
use crate::fleet::node_name;
use crate::install::Installation;
use crate::network::SERVICE;
use crate::pacemaker::Pacemaker;
use crate::stage::Stage;
use crate::{Outcome, clock, wait};

/// The address of these scenarios.
const IP: &str = "10.77.0.63";

/// Who plays the gateway: the client.
const GATEWAY: u8 = 100;

/// Long enough for a monitor each second, two attempts and a second's dampening, on a busy machine.
const NOTICE: Duration = Duration::from_secs(20);

/// A clone that keeps an attribute on each node.
struct Watcher {
    id: String,
    attribute: String,
    xml: String,
}

impl Watcher {
    fn new(provider: &str, agent: &str, attribute: &str, parameters: &[(&str, &str)]) -> Self {
        let id = format!("{agent}-{provider}");
        let pair = |(name, value): &(&str, &str)| {
            format!("<nvpair id='{id}-{name}' name='{name}' value='{value}'/>")
        };
        let pairs: String = parameters.iter().map(pair).collect();
        let xml = format!(
            "<clone id='{id}-clone'><primitive id='{id}' class='ocf' provider='{provider}' type='{agent}'>\
             <instance_attributes id='{id}-parameters'>{pairs}</instance_attributes>\
             <operations><op id='{id}-monitor' name='monitor' interval='1s' timeout='20s'/></operations>\
             </primitive></clone>"
        );
        Self { id, attribute: attribute.to_owned(), xml }
    }

    /// The rule that every guide has: nowhere where the attribute is unknown or less than 1.
    fn rule(&self, address: &Resource) -> String {
        let (rule, attribute) = (format!("{}-rule", self.id), &self.attribute);
        format!(
            "<rsc_location id='{rule}-location' rsc='{}'>\
             <rule id='{rule}' score='-INFINITY' boolean-op='or'>\
             <expression id='{rule}-1' attribute='{attribute}' operation='not_defined'/>\
             <expression id='{rule}-2' attribute='{attribute}' operation='lt' type='number' value='1'/>\
             </rule></rsc_location>",
            address.id
        )
    }

    fn await_value(&self, cluster: &Pacemaker, number: u8, value: &str) -> Outcome<()> {
        let (name, attribute) = (node_name(number), &self.attribute);
        wait::until(&format!("{attribute} of {name} is {value}"), PATIENCE, || {
            let said = cluster.tool(&["attrd_updater", "-Q", "-n", attribute, "-N", &name])?;
            Ok(said.contains(&format!("value=\"{value}\"")))
        })
    }

    /// The cable of node 1 is cut: its attribute falls, the rule moves the address; all is well again when the cable is
    /// back; and without the clone nobody has the attribute.
    fn play(&self, cluster: &Pacemaker, agents: Agents) -> Outcome<String> {
        cluster.add(&self.xml, "")?;
        for number in [1, 2] {
            self.await_value(cluster, number, "1")?;
        }
        let address = Resource::address(agents, IP).with("cidr_netmask", "24");
        let watch = establish(cluster, &address, IP, 1)?;
        cluster.add("", &self.rule(&address))?;
        cluster.await_idle()?;
        cluster.fleet.await_holders(IP, &[1], PATIENCE)?;

        let since = clock::now();
        SERVICE.cut(cluster.fleet.node(1)?)?;
        let outage = watch.await_takeover_from("node1", since, NOTICE)?;
        expect_settled(cluster, &watch, 2, since)?;
        self.await_value(cluster, 1, "0")?;
        self.await_value(cluster, 2, "1")?;

        SERVICE.heal(cluster.fleet.node(1)?)?;
        self.await_value(cluster, 1, "1")?;
        let failures = cluster.failures(&self.id)?;
        if !failures.is_empty() {
            return Err(format!("actions of {} failed: {failures:?}", self.id));
        }
        cluster.tool(&[
            "crm_resource",
            "--resource",
            &self.id,
            "--meta",
            "--set-parameter",
            "target-role",
            "--parameter-value",
            "Stopped",
        ])?;
        wait::until("the attribute is gone with the resource", PATIENCE, || {
            let status = cluster.tool(&["cibadmin", "--query", "--scope", "status"])?;
            Ok(!status.contains(&format!("name=\"{}\"", self.attribute)))
        })?;
        Ok(outage.to_string())
    }
}

/// The node that has the address cannot reach the gateway any more.
pub fn gateway_out_of_reach(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let provider = match agents {
        Agents::Ocfbox => "ocfbox",
        Agents::Shell => "pacemaker",
    };
    let gateway = SERVICE.address(GATEWAY);
    let parameters = [
        ("host_list", gateway.as_str()),
        ("name", "gateway"),
        ("dampen", "1s"),
        ("attempts", "2"),
        ("timeout", "1"),
    ];
    let watcher = Watcher::new(provider, "ping", "gateway", &parameters);
    watcher.play(stage.pacemaker(2, Installation::Beside)?, agents)
}

/// The node that has the address loses its link.
pub fn link_attribute(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let parameters = [("interface", "eth0"), ("link_status_only", "true"), ("repeat_count", "1")];
    let watcher = Watcher::new("ocfbox", "ethmonitor", "ethmonitor-eth0", &parameters);
    watcher.play(stage.pacemaker(2, Installation::Beside)?, agents)
}
