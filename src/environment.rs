//! The environment of an invocation: a snapshot, so that every way in can be played and tested.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::param::values::is_true;

/// The variables that the caller set. An OCF call has its parameters here (OCF API 1.1, "Parameter Passing").
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: Vec<(OsString, OsString)>,
}

impl Environment {
    /// That of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self { variables: std::env::vars_os().collect() }
    }

    /// Sets `name`, whatever it was.
    pub fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        let name = name.into();
        self.variables.retain(|(key, _)| *key != name);
        self.variables.push((name, value.into()));
    }

    /// Forgets what an OCF caller would have set: this one is none, and inherited them from somebody.
    pub fn forget_ocf(&mut self) {
        self.variables.retain(|(key, _)| {
            let name = key.as_encoded_bytes();
            let kept =
                [b"OCF_TRACE_RA".as_slice(), b"OCF_TRACE_FILE", b"OCF_TESTER_FAIL_HAVE_BINARY"];
            !name.starts_with(b"OCF_") || kept.contains(&name)
        });
    }

    /// All variables.
    #[must_use]
    pub fn variables(&self) -> &[(OsString, OsString)] {
        &self.variables
    }

    /// The value of `name`, unless it is unset or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        let found = self.variables.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_os_str()).filter(|value| !value.is_empty())
    }

    /// The value of `name` if it is text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.to_str()
    }

    /// Whether `name` is set to what `ocf_is_true` takes for true.
    #[must_use]
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(is_true)
    }

    /// A meta attribute of the resource or the operation.
    #[must_use]
    pub fn meta(&self, name: &str) -> Option<&str> {
        self.text(&format!("OCF_RESKEY_CRM_meta_{name}"))
    }

    /// The directory for state that a reboot forgets.
    #[must_use]
    pub fn state_directory(&self) -> PathBuf {
        self.get("HA_RSCTMP").map_or_else(|| PathBuf::from("/run/resource-agents"), PathBuf::from)
    }

    /// Names of given parameters, those that a cluster manager adds left out.
    pub fn parameters(&self) -> impl Iterator<Item = String> + '_ {
        self.variables.iter().filter_map(|(key, _)| {
            let name = key.to_string_lossy().strip_prefix("OCF_RESKEY_")?.to_owned();
            let managers = name.starts_with("CRM_meta_")
                || [
                    "crm_feature_set",
                    "OCF_CHECK_LEVEL",
                    "trace_ra",
                    "trace_dir",
                    "ignore_deprecation",
                ]
                .contains(&name.as_str());
            (!managers).then_some(name)
        })
    }
}
