//! The host that everything runs on: an Ethernet cable whose far end is another network namespace.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cases::{self, Family};

/// The binary that is measured.
const BINARY: &str = env!("CARGO_BIN_EXE_ocfbox");

/// Where everything of the measurement lies: on a file system that only its mount namespace has.
const DIRECTORY: &str = "/run/bench";

/// Inside namespaces of its own.
pub struct Host {
    directory: PathBuf,
}

impl Host {
    /// Builds the network, with one address of each family on `eth0`.
    pub fn build() -> Result<Self, String> {
        sh("mount -t tmpfs tmpfs /run
            mount -t sysfs sysfs /sys
            mkdir -p /run/bench/stand-ins /run/netns
            ip link set lo up
            ip netns add far")?;
        for agent in cases::agents() {
            std::os::unix::fs::symlink(BINARY, Path::new(DIRECTORY).join(agent))
                .map_err(|error| format!("{agent}: {error}"))?;
        }
        for program in cases::STAND_INS {
            sh(&format!("cp /bin/true {DIRECTORY}/stand-ins/{program}"))?;
        }
        web_servers()?;
        file_systems()?;
        let host = Self { directory: DIRECTORY.into() };
        host.lay_cable()?;
        Ok(host)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Lays the cable anew: there is no quicker way to get rid of 20,000 addresses.
    pub fn lay_cable(&self) -> Result<(), String> {
        let [four, six] = [Family::V4, Family::V6].map(|family| family.address(1));
        sh(&format!(
            "for card in eth0 eth1; do ! ip link show $card >/dev/null 2>&1 || ip link delete $card; done
             ip link add eth1 type veth peer name eth1 netns far; ip -n far link set eth1 up
             ip link add eth0 type veth peer name eth0 netns far
             ip link set eth0 addrgenmode none; ip -n far link set eth0 addrgenmode none
             ip -n far link set eth0 up; ip -n far addr add 198.18.255.254/16 dev eth0
             ip addr add {four} brd + dev eth0
             ip addr add {six} dev eth0 nodad
             ip link set eth0 up
             ip addr add 198.18.254.1/16 dev eth0
             ip route add 198.51.100.0/24 dev eth0; ip route add 203.0.113.0/24 dev eth0
             until grep -q up /sys/class/net/eth0/operstate; do sleep 0.05; done"
        ))
    }

    /// Gives `eth0` addresses up to `count`, if it has `present` of them.
    pub fn fill(&self, family: Family, present: u32, count: u32) -> Result<(), String> {
        let mut lines = String::new();
        for number in present + 1..=count {
            let nodad = if family == Family::V6 { "nodad" } else { "" };
            let _ = writeln!(lines, "addr add {} dev eth0 {nodad}", family.address(number));
        }
        let mut ip = Command::new("ip")
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .map_err(|error| format!("ip: {error}"))?;
        let written = ip.stdin.take().map(|mut stdin| stdin.write_all(lines.as_bytes()));
        let status = ip.wait().map_err(|error| format!("ip: {error}"))?;
        match (written, status.success()) {
            (Some(Ok(())), true) => Ok(()),
            _ => Err(format!("ip -batch: {status}")),
        }
    }

    /// The number of `eth0`.
    pub fn index(&self) -> Result<String, String> {
        fs::read_to_string("/sys/class/net/eth0/ifindex")
            .map(|text| text.trim().to_owned())
            .map_err(|error| format!("eth0: {error}"))
    }
}

/// Configurations of web servers with a port and a PID file of their own, for each side.
fn web_servers() -> Result<(), String> {
    let write = |name: &str, port: u16, text: &str| {
        let path = format!("{DIRECTORY}/{name}-{port}.conf");
        let text = text.replace("PORT", &port.to_string()).replace("DIR", DIRECTORY);
        std::fs::write(&path, text).map_err(|error| format!("{path}: {error}"))
    };
    for port in [8001, 8002] {
        write(
            "apache",
            port,
            "ServerRoot DIR\nServerName localhost\nPidFile DIR/apache-PORT.pid\nErrorLog DIR/log\nDefaultRuntimeDir DIR\n\
             Listen 127.0.0.1:PORT\nUser www-data\nGroup www-data\n\
             LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\n\
             LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\n\
             LoadModule status_module /usr/lib/apache2/modules/mod_status.so\n\
             <Location /server-status>\nSetHandler server-status\n</Location>\n",
        )?;
    }
    for port in [8003, 8004] {
        write(
            "nginx",
            port,
            "pid DIR/nginx-PORT.pid;\nerror_log DIR/log;\nuser www-data;\nevents {}\n\
             http { access_log off; server { listen 127.0.0.1:PORT; } }\n",
        )?;
    }
    Ok(())
}

/// An image and a mount point for each side.
fn file_systems() -> Result<(), String> {
    sh(&format!(
        "cd {DIRECTORY}; for side in ours shell; do mkdir mount-$side; truncate -s 16M $side.img; mkfs.ext4 -q -F $side.img; done"
    ))
}

pub fn sh(commands: &str) -> Result<(), String> {
    let output = Command::new("sh")
        .args(["-ec", commands])
        .output()
        .map_err(|error| format!("sh: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{commands}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn printed(words: &[&str]) -> Option<String> {
    let output = Command::new(words[0]).args(&words[1..]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// What a measurement could leave on the host: interfaces, mounts, network namespaces, files in /run.
pub fn traces() -> Result<BTreeSet<String>, String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|error| error.to_string())?;
    let mut found: BTreeSet<String> =
        mounts.lines().filter_map(|line| line.split(' ').nth(4).map(str::to_owned)).collect();
    for directory in ["/sys/class/net", "/run/netns", "/run/resource-agents", "/run/bench"] {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            found.insert(entry.path().to_string_lossy().into_owned());
        }
    }
    Ok(found)
}

/// On what it was measured, and when.
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub system: String,
    pub packages: String,
    pub date: String,
    pub version: String,
    pub load: String,
    pub took: Duration,
}

impl Machine {
    pub fn here() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or("unknown", |(_, model)| model);
        let virtual_machine = cpuinfo.contains(" hypervisor ");
        let text = |words: &[&str]| printed(words).unwrap_or_else(|| "unknown".to_owned());
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let distribution = release
            .lines()
            .find_map(|line| line.strip_prefix("PRETTY_NAME="))
            .unwrap_or("unknown")
            .trim_matches('"');
        let kernel = text(&["uname", "-r"]);
        let format = "-f=${Package} ${Version}, ";
        let names = ["resource-agents", "iproute2", "net-tools", "dash", "bash", "gawk", "libc6"];
        let packages = text(&[&["dpkg-query", "-W", format], names.as_slice()].concat());
        let root = env!("CARGO_MANIFEST_DIR");
        let revision = printed(&["git", "-C", root, "describe", "--always", "--dirty"]);
        let revision = revision.map_or(String::new(), |revision| format!(" ({revision})"));
        Self {
            cpu: format!("{model}{}", if virtual_machine { ", virtual machine" } else { "" }),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            system: format!("{distribution}, Linux {kernel}"),
            packages: packages.trim_end_matches([',', ' ']).to_owned(),
            date: text(&["date", "-u", "+%Y-%m-%d"]),
            version: format!("{}{revision}", env!("CARGO_PKG_VERSION")),
            load: load(),
            took: Duration::ZERO,
        }
    }

    /// The measurement is over.
    pub fn ended(&mut self, took: Duration) {
        self.took = took;
        self.load = format!("{} before, {} after", self.load, load());
    }
}

/// Processes that ran or wanted to, on average over the last minute.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}
