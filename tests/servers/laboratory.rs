//! Namespaces in which a server runs, and from which nothing of it survives.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The binary under test.
const BINARY: &str = env!("CARGO_BIN_EXE_ocfbox");

/// How long a server may take to start on a busy machine.
const START: Duration = Duration::from_mins(2);

/// For those that speak TLS.
const CERTIFICATE: &str = r#"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -keyout "$DIR/key" -out "$DIR/cert" -subj /CN=x -days 2 2>"$DIR/openssl.log"; chmod 644 "$DIR/key""#;

/// What a probe of a server that hangs gets.
const PATIENCE: Duration = Duration::from_secs(1);

/// A server, and what its probes say.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    /// Its program; the test fails if it is not installed.
    pub program: &'static str,
    /// Shell commands that come first, and the one that becomes the server and stays in the foreground. `$DIR` is a
    /// directory of its own.
    pub setup: &'static str,
    pub run: &'static str,
    /// The probes, and a part of what each says. `DIR` in them is that directory.
    pub probes: &'static [(&'static str, &'static str)],
    /// Its log, for a test that fails.
    pub log: &'static str,
}

/// A server in its namespaces.
struct Running<'a> {
    server: &'a Server,
    directory: tempfile::TempDir,
    unshare: Child,
}

impl Server {
    /// All that is tested of each.
    #[track_caller]
    pub fn is_told_alive_from_dead(&self) {
        isolate();
        let running = self.start();
        running.await_life();
        running.is_alive();
        running.signal(Signal::SIGSTOP);
        running.is_failed(&["first byte", "handshake"]);
        running.signal(Signal::SIGCONT);
        running.await_life();
        running.is_alive();
        running.signal(Signal::SIGKILL);
        running.await_silence();
        running.is_failed(&["connect", "first byte"]);
    }

    #[track_caller]
    fn start(&self) -> Running<'_> {
        let is_there = Path::new(self.program).exists();
        assert!(is_there, "{} is not installed: run tests/run servers as root", self.program);
        let directory = tempfile::Builder::new().prefix("ocfbox-server").tempdir().unwrap();
        // A daemon that gives up being root still has to come in.
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(directory.path(), permissions).unwrap();
        let setup = format!("{CERTIFICATE}\n{}", self.setup);
        let setup = shell(&["sh", "-ec"], &setup, directory.path()).output().unwrap();
        assert!(setup.status.success(), "{}: {}", self.program, text(&setup));
        let log = fs::File::create(directory.path().join("output")).unwrap();
        // Whatever it forks is in the PID namespace too, and ends with its first process.
        let namespace = [
            "setpriv",
            "--pdeathsig",
            "KILL",
            "unshare",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
            "-ec",
        ];
        // The first process of a PID namespace is no place for a server: signals mean something else there.
        let script = format!("{{ {}\n}} & wait", self.run);
        let unshare = shell(&namespace, &script, directory.path())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        Running { server: self, directory, unshare }
    }
}

fn shell(words: &[&str], script: &str, directory: &Path) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(script).current_dir("/").stdin(Stdio::null());
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("DIR", directory)
        .env("LC_ALL", "C");
    command
}

/// Moves this thread into a network and a /run of its own.
fn isolate() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "this test needs root: run tests/run servers as root"
    );
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("namespaces of our own");
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("private mounts");
    for place in ["/run", "/var/log"] {
        mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::empty(), None::<&str>)
            .expect("a tmpfs");
    }
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
    assert!(up.success());
}

impl Running<'_> {
    fn probe(&self, url: &str) -> Output {
        let url = url.replace("DIR", &self.directory.path().display().to_string());
        Command::new(BINARY).args(["probe", &url]).env_clear().output().unwrap()
    }

    #[track_caller]
    fn await_life(&self) {
        let begin = Instant::now();
        for (url, _) in self.server.probes {
            loop {
                let outcome = self.probe(url);
                if outcome.status.success() {
                    break;
                }
                assert!(begin.elapsed() < START, "{}\n{}", text(&outcome), self.log());
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }

    #[track_caller]
    fn is_alive(&self) {
        for (url, said) in self.server.probes {
            let outcome = self.probe(url);
            let told = text(&outcome);
            assert!(outcome.status.success(), "{told}\n{}", self.log());
            assert!(told.contains(": alive: ") && told.contains(said), "{said:?}: {told}");
        }
    }

    /// Within the probe's deadline, in one of these phases.
    #[track_caller]
    fn is_failed(&self, phases: &[&str]) {
        for (url, _) in self.server.probes {
            let mark = if url.contains('#') { '&' } else { '#' };
            let begin = Instant::now();
            let outcome = self.probe(&format!("{url}{mark}timeout={}ms", PATIENCE.as_millis()));
            let took = begin.elapsed();
            let told = text(&outcome);
            assert_eq!(outcome.status.code(), Some(1), "{told}");
            assert!(
                phases.iter().any(|phase| told.contains(&format!(": failed at {phase}: "))),
                "{told}"
            );
            assert!(took < PATIENCE + Duration::from_secs(1), "{url}: {took:?}");
        }
    }

    /// The processes of the server's namespace, its first one not among them.
    fn processes(&self) -> Vec<Pid> {
        let children = format!("/proc/{0}/task/{0}/children", self.unshare.id());
        let first = fs::read_to_string(children).unwrap_or_default();
        let Some(first) = first.split_whitespace().next().map(str::to_owned) else {
            return Vec::new();
        };
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let own = namespace(&first);
        let all = fs::read_dir("/proc").unwrap().flatten();
        let numbers = all.filter_map(|entry| entry.file_name().into_string().ok());
        let inside = numbers.filter(|pid| own.is_some() && namespace(pid) == own);
        inside.filter_map(|pid| pid.parse().ok().map(Pid::from_raw)).collect()
    }

    #[track_caller]
    fn signal(&self, signal: Signal) {
        let processes = self.processes();
        assert!(!processes.is_empty(), "{} is not there: {}", self.server.program, self.log());
        for pid in processes {
            // One may have ended meanwhile.
            let _ = kill(pid, signal);
        }
    }

    #[track_caller]
    fn await_silence(&self) {
        let begin = Instant::now();
        while !self.processes().is_empty() {
            assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", self.processes());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn log(&self) -> String {
        let name = format!("{}/{}", self.directory.path().display(), self.server.log);
        let logs = [self.directory.path().join("output"), name.into()];
        logs.iter().filter_map(|log| fs::read_to_string(log).ok()).collect()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        for pid in self.processes() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
