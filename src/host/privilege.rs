//! Privileges that a process of ours gives up because it does not need them (capabilities(7)).

#![forbid(unsafe_code)]

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

/// Keeps what looking takes: /proc of others, files of others such as logs, questions to neighbours; and where the resource
/// is in a network namespace of its own, entering that. What this process executes has again what root has.
pub fn keep_for_watching(enters_namespace: bool) {
    let mut kept = CapabilitySet::SYS_PTRACE
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::DAC_READ_SEARCH
        | CapabilitySet::NET_RAW;
    if enters_namespace {
        kept |= CapabilitySet::SYS_ADMIN;
    }
    // Who has less, keeps less; and a refusal means that there was nothing to give up.
    if let Ok(mut sets) = capabilities(None) {
        sets.effective &= kept;
        sets.permitted &= kept;
        sets.inheritable &= kept;
        let _ = set_capabilities(None, sets);
    }
}
