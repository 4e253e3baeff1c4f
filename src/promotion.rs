//! The promotion score: how much the cluster should like to have the promoted instance here.

#![forbid(unsafe_code)]

use crate::agent::Cx;
use crate::host::program;

/// What the cluster is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Score {
    /// As high as a promoted instance has it.
    Promoted,
    /// As high as an instance has it that could be promoted.
    Unpromoted,
    /// Nothing: the resource is not here.
    None,
}

/// Tells Pacemaker the promotion score. Outside of a cluster there is nobody to tell, which is no failure.
pub fn set_score(cx: &Cx<'_>, score: Score) {
    // From this feature set on, crm_attribute takes the resource from --promotion (Pacemaker 2.1).
    let names_resource = cx
        .environment
        .text("OCF_RESKEY_crm_feature_set")
        .is_none_or(|set| version(set) >= [3, 10, 0]);
    let resource = format!("--promotion={}", cx.instance);
    let mut arguments =
        if names_resource { vec![resource.as_str()] } else { vec!["-l", "reboot", "--promotion"] };
    arguments.extend(match score {
        Score::Promoted => ["-v", "10"].as_slice(),
        Score::Unpromoted => &["-v", "5"],
        Score::None => &["-D"],
    });
    let within = cx.deadline.at_most(cx.deadline.timeout() / 2);
    if let Err(error) = program::run(cx.environment, "crm_attribute", &arguments, &within) {
        cx.log.debug(&error.to_string());
    }
}

fn version(text: &str) -> [u32; 3] {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    [(); 3].map(|()| parts.next().unwrap_or(0))
}
