//! A promotable resource: which instance is promoted, and what score the agent told the cluster.

use super::Agents;
use super::common::PATIENCE;
use crate::fleet::node_name;
use crate::install::Installation;
use crate::pacemaker::Pacemaker;
use crate::stage::Stage;
use crate::{Outcome, clock, wait};

const RESOURCE: &str = "role";

/// One of two instances of Stateful is promoted; when its node goes, the other one is.
pub fn promotion(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let cluster = stage.pacemaker(2, Installation::Beside)?;
    cluster.add(&promotable(agents.provider()), "")?;
    let first = wait::for_some("one of two instances is promoted", PATIENCE, || roles(cluster))?;
    cluster.await_idle()?;
    expect_scores(cluster, first)?;
    let since = clock::now();
    cluster.standby(first, true)?;
    let other = 3 - first;
    wait::until("the other instance is promoted", PATIENCE, || {
        Ok(role_on(&cluster.status()?, other).as_deref() == Some("Promoted"))
    })?;
    let took = clock::now().saturating_sub(since);
    cluster.standby(first, false)?;
    wait::until("the first instance is back, and not promoted", PATIENCE, || {
        Ok(roles(cluster)? == Some(other))
    })?;
    cluster.await_idle()?;
    expect_scores(cluster, other)?;
    let failures = cluster.failures(RESOURCE)?;
    if !failures.is_empty() {
        return Err(format!("actions failed: {failures:?}"));
    }
    Ok(format!("scores 10 and 5, promoted elsewhere after {} ms", took.as_millis()))
}

fn promotable(provider: &str) -> String {
    let monitor = |role: &str, interval: &str| {
        format!(
            "<op id='{RESOURCE}-{role}' name='monitor' role='{role}' interval='{interval}' timeout='20s'/>"
        )
    };
    format!(
        "<clone id='{RESOURCE}-clone'><meta_attributes id='{RESOURCE}-meta'>\
         <nvpair id='{RESOURCE}-promotable' name='promotable' value='true'/></meta_attributes>\
         <primitive id='{RESOURCE}' class='ocf' provider='{provider}' type='Stateful'>\
         <operations>{}{}</operations></primitive></clone>",
        monitor("Promoted", "1s"),
        monitor("Unpromoted", "2s")
    )
}

/// The node whose instance is promoted, when the other's is running and is not.
fn roles(cluster: &Pacemaker) -> Outcome<Option<u8>> {
    let status = cluster.status()?;
    let is = |number, role: &str| role_on(&status, number).as_deref() == Some(role);
    Ok([1, 2].into_iter().find(|number| is(*number, "Promoted") && is(3 - *number, "Unpromoted")))
}

/// The role of the instance on a node, as the cluster's state has it.
fn role_on(status: &str, number: u8) -> Option<String> {
    let node = format!("<node name=\"{}\"", node_name(number));
    let (_, after) = status.split_once(&node)?;
    let own = after.split("</node>").next()?;
    let line = own.lines().find(|line| line.contains(&format!("<resource id=\"{RESOURCE}\"")))?;
    let (_, role) = line.split_once(" role=\"")?;
    role.split('"').next().map(str::to_owned)
}

/// The agent said 10 where it is promoted and 5 where it is not.
fn expect_scores(cluster: &Pacemaker, promoted: u8) -> Outcome<()> {
    for (number, expected) in [(promoted, "10"), (3 - promoted, "5")] {
        let what = format!("the promotion score on node {number} is {expected}");
        let name = node_name(number);
        let option = format!("--promotion={RESOURCE}");
        let words = ["crm_attribute", &option, "-N", &name, "--query", "--quiet"];
        wait::until(&what, PATIENCE, || Ok(cluster.tool(&words)?.trim() == expected))?;
    }
    Ok(())
}
