//! A machine: its own network, mounts, processes, host name and IPC, over the files of the host, which stay as they are.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::wait;
use nix::unistd::{Pid, pause, sethostname};

use crate::namespaces::{self, itself, mount_new, run};
use crate::{Outcome, clock, says, server};

/// Private first argument of the process that makes a machine's namespaces and waits for its end.
pub const LAUNCHER: &str = "role:launcher";

/// Private first argument of process 1 of a machine.
pub const INIT: &str = "role:init";

/// What a machine may write to, besides file systems in memory: the host's files lie below, untouched.
const WRITABLE: [&str; 3] = ["/etc", "/usr", "/var"];

/// What a machine finds empty the first time and as it left it after a crash: its disk.
const DISK: [&str; 4] =
    ["/var/log", "/var/lib/pacemaker", "/var/lib/corosync", "/var/lib/heartbeat"];

/// Storage that all machines share.
pub const SHARED: &str = "/var/lib/shared";

/// A running machine. It dies with this value, at once and with every process of it.
pub struct Machine {
    name: String,
    launcher: Child,
    init: i32,
    daemons: Vec<Child>,
}

impl Machine {
    /// Switches a machine on; `disk` is where it keeps its files, and may come from an earlier life.
    pub fn boot(name: &str, disk: &Path) -> Outcome<Self> {
        let mut launcher = itself(LAUNCHER)
            .arg(name)
            .arg(disk)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(says("cannot start a machine"))?;
        let output = launcher.stdout.take().ok_or("the launcher has no output")?;
        // The launcher's word and that of process 1 come in either order.
        let words: Vec<String> =
            BufReader::new(output).lines().map_while(Result::ok).take(2).collect();
        let init = words.iter().find_map(|word| word.parse().ok());
        let (Some(init), 2) = (init, words.len()) else {
            let status = launcher.wait().map_err(says("cannot wait for the launcher"))?;
            return Err(format!("{name} did not come up: {status}"));
        };
        Ok(Self { name: name.to_owned(), launcher, init, daemons: Vec::new() })
    }

    /// The machine's host name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of its process 1, as seen in the laboratory.
    pub fn first_process(&self) -> i32 {
        self.init
    }

    /// A command in the machine.
    pub fn command(&self, program: &str) -> Command {
        self.enter(&["--mount", "--uts", "--ipc", "--net", "--pid"], program)
    }

    /// A command in the machine's network only, so that killing it needs no detour.
    pub fn network_command(&self, program: &str) -> Command {
        self.enter(&["--net"], program)
    }

    fn enter(&self, namespaces: &[&str], program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.init.to_string()).args(namespaces).arg("--").arg(program);
        command
    }

    /// Runs a command to its end; its standard output, or what it complained of.
    pub fn run(&self, words: &[&str]) -> Outcome<String> {
        let (program, arguments) = words.split_first().ok_or("a command has a name")?;
        run(self.command(program).args(arguments)).map_err(says(format!("on {}", self.name)))
    }

    /// `ip` with these words; needs the network only, which makes it cheap.
    pub fn ip(&self, words: &str) -> Outcome<String> {
        run(self.network_command("ip").args(words.split_whitespace()))
            .map_err(says(format!("on {}", self.name)))
    }

    /// Every address of the machine, by `ip -j`.
    pub fn addresses(&self) -> Outcome<Vec<String>> {
        let output = self.ip("-j addr show")?;
        let values = output.split("\"local\":\"").skip(1).filter_map(|rest| rest.split('"').next());
        Ok(values.map(str::to_owned).collect())
    }

    /// Whether an interface of the machine has the address, with any prefix length.
    pub fn holds(&self, address: &str) -> Outcome<bool> {
        Ok(self.addresses()?.iter().any(|candidate| candidate == address))
    }

    /// Starts a daemon that stays in the foreground; what it says goes to a file in /var/log.
    pub fn start_daemon(&mut self, words: &[&str], settings: &[(&str, &str)]) -> Outcome<()> {
        let (program, arguments) = words.split_first().ok_or("a command has a name")?;
        let base =
            Path::new(program).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path(&format!("/var/log/{base}.out")))
            .map_err(says(format!("log of {base}")))?;
        let copy = log.try_clone().map_err(says("dup"))?;
        let daemon = self
            .command(program)
            .args(arguments)
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(copy)
            .spawn()
            .map_err(says(format!("cannot start {program}")))?;
        self.daemons.push(daemon);
        Ok(())
    }

    /// Where the laboratory finds a file of the machine.
    pub fn path(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{file}", self.init))
    }

    /// Writes a file of the machine, readable for its owner and whoever `mode` says.
    pub fn write(&self, file: &str, mode: u32, text: &str) -> Outcome<()> {
        let path = self.path(file);
        let within = says::<std::io::Error>(format!("cannot write {file} on {}", self.name));
        fs::write(&path, text)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
            .map_err(within)
    }
}

impl Drop for Machine {
    /// As a power failure: nothing is stopped, everything ends.
    fn drop(&mut self) {
        let _gone = kill(Pid::from_raw(self.init), Signal::SIGKILL);
        for process in self.daemons.iter_mut().chain([&mut self.launcher]) {
            let _status = process.wait();
        }
    }
}

/// The launcher role: says which process became the machine's first, and waits for its end.
pub fn launch(arguments: &[String]) -> Outcome<ExitCode> {
    let mut init = namespaces::become_parent_of(INIT, arguments)?;
    println!("{}", init.id());
    let status = init.wait().map_err(says("cannot wait for the machine"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The role of process 1: sets the machine up, then reaps orphans for ever.
///
/// An orphan that nobody reaps stays a zombie, and the shell agents, which ask `kill -0`, take a
/// zombie for a live process and wait for its end until they time out.
pub fn init(arguments: &[String]) -> Outcome<ExitCode> {
    let [name, disk] = arguments else { return Err("init needs a name and a disk".to_owned()) };
    namespaces::settle_in()?;
    lay_out_files(Path::new(disk))?;
    sethostname(name).map_err(says("sethostname"))?;
    run(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    let _service = itself(server::ROLE)
        .args([name, &format!("[::]:{}", server::PORT)])
        .spawn()
        .map_err(says("cannot start the service"))?;
    let _lasting =
        itself(server::HOLDING).arg(name).spawn().map_err(says("cannot start the service"))?;
    println!("ready");
    loop {
        if wait().is_err() {
            pause();
        }
    }
}

/// The host's files under a layer of the machine's own, and its disk where daemons keep their state.
fn lay_out_files(disk: &Path) -> Outcome<()> {
    // A layer may not be used twice, and the kernel lets go of the one from before a crash in its own time.
    let layer = disk.join(format!("layer-{}", clock::now().as_micros()));
    for directory in WRITABLE {
        let (upper, work) = (layer.join(&directory[1..]), layer.join(format!("work{directory}")));
        make_directory(&upper)?;
        make_directory(&work)?;
        let layers =
            format!("lowerdir={directory},upperdir={},workdir={}", upper.display(), work.display());
        mount(Some("overlay"), directory, Some("overlay"), MsFlags::empty(), Some(layers.as_str()))
            .map_err(says(format!("mount an overlay on {directory}")))?;
    }
    for directory in DISK {
        bind(&disk.join(&directory[1..]), directory)?;
    }
    bind(&disk.with_file_name("shared"), SHARED)?;
    mount_new("tmpfs", "/run")?;
    mount_new("tmpfs", "/dev/shm")?;
    // /var/lock is a link to it.
    make_directory(Path::new("/run/lock"))
}

/// Shows `source` at `target`; makes both if need be.
fn bind(source: &Path, target: &str) -> Outcome<()> {
    make_directory(source)?;
    make_directory(Path::new(target))?;
    let nothing: Option<&str> = None;
    mount(Some(source), target, nothing, MsFlags::MS_BIND, nothing)
        .map_err(says(format!("mount {target}")))
}

fn make_directory(path: &Path) -> Outcome<()> {
    fs::create_dir_all(path).map_err(says(format!("cannot make {}", path.display())))
}
