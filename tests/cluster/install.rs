//! Which agents a node has: the product is installed as a user would do it, from a copy in /usr/bin.

use std::fs;

use crate::machine::Machine;
use crate::scenarios::Agents;
use crate::{Outcome, says};

/// The state of a node's agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installation {
    /// The packages' shell agents and nothing else.
    Shell,
    /// Ours under their own provider, beside the shell agents.
    Beside,
    /// Ours under the shell agents' provider as well.
    InPlace,
    /// Ours for haresources, with the shell agents removed.
    Alone,
}

const PROGRAM: &str = "/usr/bin/ocfbox";
const SHELL_AGENTS: &str = "/usr/lib/ocf/resource.d/heartbeat";

/// Brings a node into that state.
pub fn install(node: &Machine, installation: Installation) -> Outcome<()> {
    let side_by_side = installation == Installation::Beside && !Agents::Ocfbox.are_under_test();
    if installation == Installation::Shell || side_by_side {
        return Ok(());
    }
    fs::copy(env!("CARGO_BIN_EXE_ocfbox"), node.path(PROGRAM))
        .map_err(says("cannot copy the program"))?;
    let replace: &[&str] = match installation {
        Installation::InPlace | Installation::Alone => &["--haresources", "--replace-heartbeat"],
        Installation::Shell | Installation::Beside => &[],
    };
    node.run(&[&[PROGRAM, "install", "--root", "/"], replace].concat())?;
    expect_ours(node, "/usr/lib/ocf/resource.d/ocfbox/IPaddr2")?;
    match installation {
        Installation::InPlace => expect_ours(node, "/usr/lib/ocf/resource.d/heartbeat/IPaddr2"),
        Installation::Alone => {
            node.run(&["rm", "-r", SHELL_AGENTS])?;
            expect_ours(node, "/etc/ha.d/resource.d/IPaddr2")
        }
        Installation::Shell | Installation::Beside => Ok(()),
    }
}

/// A scenario that runs the shell agent by mistake would prove nothing.
fn expect_ours(node: &Machine, agent: &str) -> Outcome<()> {
    let target = node.run(&["readlink", "-f", agent])?;
    let is_ours = target.trim().ends_with("ocfbox");
    is_ours
        .then_some(())
        .ok_or_else(|| format!("{agent} is {target:?} after installation, not ocfbox"))
}
