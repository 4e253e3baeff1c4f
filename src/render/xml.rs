//! Meta-data.
//!
//! The caller says in `OCF_RA_VERSION_MAJOR` and `_MINOR` which API it speaks. One that says 1.1 (Pacemaker from 2.1,
//! and `crm`, `pcs` and `crm_resource`, which ask through it) gets the 1.1 form, with unique groups, reloadable
//! parameters, choices and deprecations. Everyone else (ocf-tester, ocft, Heartbeat, a person) gets the 1.0 form,
//! which is valid against the DTD and lists no action that the DTD does not know.

#![forbid(unsafe_code)]

use quick_xml::se::Serializer;
use serde::Serialize;

use crate::action::Action;
use crate::environment::Environment;
use crate::param::{Kind, ParamSpec};
use crate::spec::{ActionSpec, Described, Role};

/// Which OCF API the description is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// With a document type; valid against `ra-api-1.dtd`.
    V1_0,
    /// Valid against the RELAX NG schema of 1.1.
    V1_1,
}

impl Form {
    /// The form that the caller understands.
    #[must_use]
    pub fn of_caller(environment: &Environment) -> Self {
        let number = |name| environment.text(name).and_then(|text| text.parse::<u32>().ok());
        match (number("OCF_RA_VERSION_MAJOR"), number("OCF_RA_VERSION_MINOR")) {
            (Some(1), Some(1..)) | (Some(2..), _) => Self::V1_1,
            _ => Self::V1_0,
        }
    }
}

#[derive(Serialize)]
#[serde(rename = "resource-agent")]
struct ResourceAgent {
    #[serde(rename = "@name")]
    name: &'static str,
    #[serde(rename = "@version")]
    agent_version: &'static str,
    version: &'static str,
    longdesc: Description,
    shortdesc: Description,
    parameters: Parameters,
    actions: Actions,
}

#[derive(Serialize)]
struct Description {
    #[serde(rename = "@lang")]
    lang: &'static str,
    #[serde(rename = "$text")]
    text: String,
}

impl Description {
    fn new(text: impl Into<String>) -> Self {
        Self { lang: "en", text: text.into() }
    }
}

#[derive(Serialize)]
struct Parameters {
    parameter: Vec<Parameter>,
}

#[derive(Serialize)]
struct Parameter {
    #[serde(rename = "@name")]
    name: &'static str,
    #[serde(rename = "@unique")]
    unique: u8,
    #[serde(rename = "@unique-group", skip_serializing_if = "Option::is_none")]
    unique_group: Option<&'static str>,
    #[serde(rename = "@required")]
    required: u8,
    #[serde(rename = "@reloadable", skip_serializing_if = "Option::is_none")]
    reloadable: Option<u8>,
    longdesc: Description,
    shortdesc: Description,
    #[serde(skip_serializing_if = "Option::is_none")]
    deprecated: Option<Deprecated>,
    content: Content,
}

#[derive(Serialize)]
struct Deprecated {
    #[serde(rename = "replaced-with")]
    replaced_with: ReplacedWith,
}

#[derive(Serialize)]
struct ReplacedWith {
    #[serde(rename = "@name")]
    name: &'static str,
}

#[derive(Serialize)]
struct Content {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@default", skip_serializing_if = "Option::is_none")]
    default: Option<&'static str>,
    option: Vec<Choice>,
}

#[derive(Serialize)]
struct Choice {
    #[serde(rename = "@value")]
    value: &'static str,
}

#[derive(Serialize)]
struct Actions {
    action: Vec<ActionRow>,
}

#[derive(Serialize)]
struct ActionRow {
    #[serde(rename = "@name")]
    name: &'static str,
    #[serde(rename = "@timeout")]
    timeout: String,
    #[serde(rename = "@interval", skip_serializing_if = "Option::is_none")]
    interval: Option<String>,
    #[serde(rename = "@depth", skip_serializing_if = "Option::is_none")]
    depth: Option<u32>,
    #[serde(rename = "@role", skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
}

/// The XML document that describes an agent.
///
/// # Panics
/// Never: a declaration is plain text.
#[must_use]
pub fn metadata(described: &Described, form: Form) -> String {
    let mut xml = String::from("<?xml version=\"1.0\"?>\n");
    if form == Form::V1_0 {
        xml.push_str("<!DOCTYPE resource-agent SYSTEM \"ra-api-1.dtd\">\n");
    }
    let mut serializer = Serializer::new(&mut xml);
    serializer.indent(' ', 2);
    document(described, form).serialize(serializer).expect("a declaration is plain text");
    xml.push('\n');
    xml
}

fn document(described: &Described, form: Form) -> ResourceAgent {
    let advertised = described.agent.actions.iter().filter(|row| row.advertised);
    let actions = advertised.filter(|row| form == Form::V1_1 || in_dtd(row.action));
    ResourceAgent {
        name: described.agent.name,
        agent_version: env!("CARGO_PKG_VERSION"),
        version: if form == Form::V1_0 { "1.0" } else { "1.1" },
        longdesc: Description::new(described.agent.long),
        shortdesc: Description::new(described.agent.short),
        parameters: Parameters {
            parameter: described.params().map(|param| parameter(param, form)).collect(),
        },
        actions: Actions { action: actions.map(action_row).collect() },
    }
}

/// The DTD lists the actions of 1.0.
fn in_dtd(action: Action) -> bool {
    action != Action::ReloadAgent
}

fn parameter(param: &ParamSpec, form: Form) -> Parameter {
    let full = form == Form::V1_1;
    let mut long = param.long();
    if let (Some(better), false) = (param.replaced_by, full) {
        long = format!("Deprecated: use {better}. {long}");
    }
    let (kind, words) = match param.kind {
        Kind::Integer => ("integer", &[][..]),
        Kind::Boolean => ("boolean", &[][..]),
        Kind::Select(words) if full => ("select", words),
        Kind::String | Kind::Select(_) => ("string", &[][..]),
    };
    Parameter {
        name: param.name,
        unique: u8::from(param.unique_group.is_some()),
        unique_group: param.unique_group.filter(|_| full),
        required: u8::from(param.required),
        reloadable: (full && param.reloadable).then_some(1),
        longdesc: Description::new(long),
        shortdesc: Description::new(param.short()),
        deprecated: param
            .replaced_by
            .filter(|_| full)
            .map(|name| Deprecated { replaced_with: ReplacedWith { name } }),
        content: Content {
            kind,
            default: param.default,
            option: words.iter().map(|value| Choice { value }).collect(),
        },
    }
}

fn action_row(row: &ActionSpec) -> ActionRow {
    ActionRow {
        name: row.action.name(),
        timeout: format!("{}s", row.timeout),
        interval: row.interval.map(|seconds| format!("{seconds}s")),
        depth: row.depth,
        role: row.role.map(|role| match role {
            Role::Promoted => "Promoted",
            Role::Unpromoted => "Unpromoted",
        }),
    }
}
