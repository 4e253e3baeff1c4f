//! What several scenarios do with a Pacemaker cluster.

use std::time::Duration;

use super::resource::Address;
use crate::Outcome;
use crate::fleet::node_name;
use crate::pacemaker::Pacemaker;
use crate::watch::Watch;

/// Enough for a cluster on a busy machine, not for one that has to be helped.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Starts the resource on node `home`, and returns when the client is answered there.
pub fn establish(cluster: &Pacemaker, address: &Address, home: u8) -> Outcome<Watch> {
    let Address { id, ip, .. } = address;
    let name = node_name(home);
    let location = format!("<rsc_location id='{id}-home' rsc='{id}' node='{name}' score='50'/>");
    cluster.add(&address.xml(), &location)?;
    let watch = cluster.fleet.watch(ip)?;
    watch.await_answer_from(&name, PATIENCE)?;
    cluster.await_idle()?;
    cluster.fleet.await_holders(ip, &[home], PATIENCE)?;
    Ok(watch)
}

/// The address is on that node alone, stays there, and since then the client was answered by one node at a time.
pub fn expect_settled(
    cluster: &Pacemaker,
    watch: &Watch,
    address: &Address,
    number: u8,
    since: Duration,
) -> Outcome<()> {
    cluster.await_idle()?;
    cluster.fleet.await_holders(&address.ip, &[number], PATIENCE)?;
    watch.await_answer_from(&node_name(number), PATIENCE)?;
    let changes = watch.changes(since);
    let never_two = changes <= 1;
    never_two
        .then_some(())
        .ok_or_else(|| format!("the answering node changed {changes} times in one move"))
}
