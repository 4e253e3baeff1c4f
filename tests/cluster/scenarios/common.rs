//! What several scenarios do with a Pacemaker cluster.

use std::time::Duration;

use super::resource::{Resource, at_home};
use crate::Outcome;
use crate::fleet::node_name;
use crate::pacemaker::Pacemaker;
use crate::watch::Watch;

/// Enough for a cluster on a busy machine, not for one that has to be helped.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Starts the resource with that address on node `home`, and returns when the client is answered there.
pub fn establish(cluster: &Pacemaker, resource: &Resource, ip: &str, home: u8) -> Outcome<Watch> {
    let name = node_name(home);
    cluster.add(&resource.xml(), &at_home(&resource.id, &name))?;
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
    number: u8,
    since: Duration,
) -> Outcome<()> {
    cluster.await_idle()?;
    cluster.fleet.await_holders(watch.address(), &[number], PATIENCE)?;
    watch.await_answer_from(&node_name(number), PATIENCE)?;
    let changes = watch.changes(since);
    let never_two = changes <= 1;
    never_two
        .then_some(())
        .ok_or_else(|| format!("the answering node changed {changes} times in one move"))
}
