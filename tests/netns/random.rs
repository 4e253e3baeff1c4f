//! At least 10,000 random environments: none makes an agent panic, hang, execute or leave anything.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use ocfbox::agents;

use crate::support::{Call, Host};

/// Environments in all.
const ROUNDS: u64 = 10_000;

/// A small generator whose sequence a failure's number repeats (Marsaglia's xorshift).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next()).expect("64 bits") % limit
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn value(&mut self) -> OsString {
        const KNOWN: [&str; 34] = [
            "192.0.2.10",
            "192.0.2.77",
            "2001:db8::10",
            "fe80::10",
            "127.0.0.3",
            "0.0.0.0",
            "255.255.255.255",
            "::",
            "24",
            "32",
            "64",
            "128",
            "0",
            "1",
            "2",
            "4294967295",
            "eth0",
            "lo",
            "eth9",
            "eth0:x",
            "+",
            "-",
            "true",
            "false",
            "yes",
            "forever",
            "",
            "kernel",
            "; touch pwned",
            "$(touch pwned)",
            "far",
            "auto",
            "/dev/null/x",
            "%s%n",
        ];
        match self.below(8) {
            0 => {
                let length = self.below(40);
                OsString::from_vec(
                    (0..length).map(|_| self.next().to_le_bytes()[0].max(1)).collect(),
                )
            }
            1 => "9".repeat(self.below(300)).into(),
            _ => OsString::from(*self.pick(&KNOWN)),
        }
    }
}

fn random_call(host: &Host, random: &mut Random) -> (Call, &'static str) {
    const ACTIONS: [&str; 12] = [
        "start",
        "stop",
        "monitor",
        "monitor",
        "status",
        "validate-all",
        "promote",
        "demote",
        "notify",
        "reload-agent",
        "migrate_to",
        "nonsense",
    ];
    let described = &random.pick(agents::ALL).described;
    // Nothing here may wait: time has its own tests.
    let mut call =
        host.agent(described.agent.name).param("CRM_meta_timeout", "400").param("arp_count", "1");
    for param in described.params {
        if param.required || random.below(3) == 0 {
            call = call.param(param.name, random.value());
        }
    }
    for name in [
        "CRM_meta_interval",
        "CRM_meta_clone",
        "CRM_meta_clone_max",
        "CRM_meta_globally_unique",
        "trace_ra",
    ] {
        if random.below(6) == 0 {
            call = call.param(name, random.value());
        }
    }
    for name in [
        "OCF_CHECK_LEVEL",
        "HA_debug",
        "OCF_RA_VERSION_MINOR",
        "HA_LOGFACILITY",
        "HA_DATEFMT",
        "OCF_RESOURCE_INSTANCE",
    ] {
        if random.below(8) == 0 {
            call = call.env(name, random.value());
        }
    }
    for name in ["startdelay", "stopdelay", "mondelay"] {
        call = call.param(name, "0");
    }
    let action = ACTIONS[random.below(ACTIONS.len())];
    (call.param("trace_dir", host.path("traces")), action)
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn ten_thousand_random_environments() {
    let host = Host::new();
    std::fs::create_dir(host.path("work")).unwrap();
    // Random environments would start them, and nobody would stop them.
    host.sh("for server in /usr/sbin/apache2 /usr/sbin/nginx; do \
         ! [ -e $server ] || mount --bind /dev/null $server; done");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..ROUNDS {
        let seed = random.0;
        let (call, action) = random_call(&host, &mut random);
        let mut command = call.command(action);
        // A program that were run would be found here, and nowhere else.
        command.current_dir(host.path("work")).env("PATH", host.path("work"));
        let outcome = Call::finish(command);
        let code = outcome.code.unwrap_or(-1);
        let about =
            format!("round {round}, seed {seed:#x}, {action}: {} {:?}", code, outcome.stderr);
        assert!(outcome.took < Duration::from_secs(3), "{about}");
        assert!(!outcome.stderr.contains("panicked"), "{about}");
        let allowed: &[i32] = match action {
            "monitor" | "status" => &[0, 1, 3, 7, 8],
            "stop" | "demote" => &[0, 1, 3],
            "nonsense" => &[3],
            _ => &[0, 1, 2, 3, 4, 5, 6],
        };
        // 2 is also the answer to a caller that speaks OCF and names no resource.
        let unnamed = code == 2 && outcome.stderr.contains("OCF_RESOURCE_INSTANCE");
        assert!(allowed.contains(&code) || unnamed, "{about}");
        assert_eq!(
            outcome.stderr.contains("ocf-exit-reason:"),
            ![0, 7, 8].contains(&code),
            "{about}"
        );
    }
    let left = crate::support::tree(&host.path("work"));
    assert!(left.is_empty(), "something was run: {left:?}");
}
