//! An address moves because somebody wants it to, or because its node dies.

use super::Agents;
use super::common::{PATIENCE, establish, expect_settled};
use super::resource::Address;
use crate::fleet::node_name;
use crate::install::Installation;
use crate::stage::Stage;
use crate::{Outcome, clock};

/// The address of these scenarios.
const IP: &str = "10.77.0.50";

/// `crm_resource --move` brings the address to the other node.
pub fn planned_move(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let cluster = stage.pacemaker(2, Installation::Beside)?;
    let address = Address::new(agents, IP).with("nic", "eth0").with("cidr_netmask", "24").monitored("10s");
    let watch = establish(cluster, &address)?;
    let since = clock::now();
    cluster.move_to(&address.id, 2)?;
    let outage = watch.await_takeover(&node_name(2), since, PATIENCE)?;
    expect_settled(cluster, &watch, &address, 2, since)?;
    Ok(outage.to_string())
}
