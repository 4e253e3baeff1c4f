//! A monitor every minute, and a watcher that does not wait for it.

use std::time::Duration;

use super::Agents;
use super::common::{PATIENCE, establish, expect_settled};
use super::resource::Resource;
use crate::install::Installation;
use crate::stage::Stage;
use crate::{Outcome, clock, wait};

/// The address of these scenarios.
const IP: &str = "10.77.0.65";

/// Far less than the monitor's interval.
const AT_ONCE: Duration = Duration::from_secs(10);

/// Somebody deletes the address on its node, three times: each time it is back long before a monitor, and the cluster has
/// counted one failure more, as after a failed monitor.
pub fn address_deleted(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let cluster = stage.pacemaker(2, Installation::Beside)?;
    let address = Resource::address(agents, IP)
        .with("cidr_netmask", "24")
        .with("watch", "true")
        .monitored("60s");
    let watch = establish(cluster, &address, IP, 1)?;
    let mut outages = Vec::new();
    for count in 1..=3 {
        let since = clock::now();
        cluster.fleet.node(1)?.ip(&format!("addr del {IP}/24 dev eth0"))?;
        wait::until(&format!("{IP} is back on node 1"), AT_ONCE, || {
            Ok(cluster.fail_count(1, &address.id)? != count - 1
                && cluster.fleet.holders(IP)? == [1])
        })?;
        cluster.await_idle()?;
        let counted = cluster.fail_count(1, &address.id)?;
        if counted != count {
            return Err(format!("{count} failures were counted as {counted}"));
        }
        expect_settled(cluster, &watch, 1, since)?;
        let outage = watch.longest_gap(since).ok_or("the client was never answered")?;
        outages.push(outage.to_string());
    }
    // Moved away by the cluster, it is nobody's failure.
    cluster.move_to(&address.id, 2)?;
    wait::until(&format!("{IP} is on node 2"), PATIENCE, || Ok(cluster.fleet.holders(IP)? == [2]))?;
    cluster.await_idle()?;
    let counts = (cluster.fail_count(1, &address.id)?, cluster.fail_count(2, &address.id)?);
    if counts != (3, 0) {
        return Err(format!("after a move the failures are counted as {counts:?}"));
    }
    cluster.end_move(&address.id)?;
    Ok(format!("back after {}", outages.join(", ")))
}
