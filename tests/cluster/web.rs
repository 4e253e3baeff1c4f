//! The web server of the nodes: Debian's Apache with a configuration of its own, and a page that is the node's name.

use std::fs;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use crate::machine::Machine;
use crate::{Outcome, identity, says, store};

/// The private first argument of whoever takes the server's port as soon as it is free.
pub const SQUATTER: &str = "role:squatter";

/// The server's program.
pub const PROGRAM: &str = "/usr/sbin/apache2";

/// What the kernel calls each of its processes.
const PROCESS: &str = "apache2";

/// Its configuration; there is none by default, so no other server can be meant.
pub const CONFIGURATION: &str = "/etc/web/httpd.conf";

/// The name of its init script, with which its log is on the shared disk.
pub const SCRIPT: &str = "httpd";

/// The configuration for that.
const WITH_DISK: &str = "/etc/web/shared.conf";

/// Where it listens, on all addresses.
pub const PORT: u16 = 80;

/// A small file system of its own for the PID file and the log.
const DISK: &str = "/run/web";

/// The file that fills it.
const FILLER: &str = "/run/web/filler";

/// Gives a node the server, which does not run yet.
pub fn install(node: &Machine) -> Outcome<()> {
    node.run(&["mkdir", "-p", "/etc/web/pages", DISK])?;
    node.run(&["mount", "-t", "tmpfs", "-o", "size=128k,mode=755", "web", DISK])?;
    node.write("/etc/web/pages/node", 0o644, node.name())?;
    node.write(WITH_DISK, 0o644, &configuration(store::PLACE))?;
    let words = format!("{PROGRAM} -D FOREGROUND -f {WITH_DISK}");
    node.write(&format!("/etc/init.d/{SCRIPT}"), 0o755, &identity::script(SCRIPT, &words))?;
    repair(node)
}

/// Writes the configuration as it has to be.
pub fn repair(node: &Machine) -> Outcome<()> {
    node.write(CONFIGURATION, 0o644, &configuration(DISK))
}

/// Breaks the configuration, as a slip of an editor does. A server that runs does not notice.
pub fn spoil(node: &Machine) -> Outcome<()> {
    node.write(CONFIGURATION, 0o644, &(configuration(DISK) + "DocumentRooot /srv\n"))
}

fn configuration(log: &str) -> String {
    let module =
        |name: &&str| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n");
    let modules: String =
        ["mpm_event", "authz_core", "authz_host", "status"].iter().map(module).collect();
    format!(
        "ServerRoot /etc/web
ServerName localhost
DefaultRuntimeDir {DISK}
PidFile {DISK}/httpd.pid
ErrorLog {log}/error.log
Listen {PORT}
User www-data
Group www-data
{modules}StartServers 2
DocumentRoot /etc/web/pages
<Location /server-status>
 SetHandler server-status
 Require local
</Location>
"
    )
}

/// The main process, if its PID file names one that lives.
pub fn main_process(node: &Machine) -> Option<u32> {
    let number = fs::read_to_string(node.path(&format!("{DISK}/httpd.pid"))).ok()?;
    let number = number.trim().parse().ok()?;
    node.path(&format!("/proc/{number}")).exists().then_some(number)
}

/// Whether any process of it is there.
pub fn is_there(node: &Machine) -> bool {
    // pgrep answers 1 when it finds nothing.
    node.run(&["pgrep", "-x", PROCESS]).is_ok()
}

/// Kills the main process and no other.
pub fn kill_main(node: &Machine) -> Outcome<()> {
    let main = main_process(node).ok_or("no web server to kill")?;
    node.run(&["kill", "-KILL", &main.to_string()]).map(drop)
}

/// Kills all processes of it; stopped first, it makes no new ones meanwhile.
pub fn kill_all(node: &Machine) -> Outcome<()> {
    stop_all(node)?;
    node.run(&["pkill", "-KILL", "-x", PROCESS]).map(drop)
}

/// Stops all processes of it with SIGSTOP: the kernel still takes connections, and nobody answers.
pub fn stop_all(node: &Machine) -> Outcome<()> {
    node.run(&["pkill", "-STOP", "-x", PROCESS]).map(drop)
}

/// Has a stranger wait for the server's port.
pub fn send_squatter(node: &mut Machine) -> Outcome<()> {
    let program = std::env::current_exe().map_err(says("cannot find this program"))?;
    node.start_daemon(&[&program.to_string_lossy(), SQUATTER], &[])
}

/// Whether the stranger has the port.
pub fn is_squatted(node: &Machine) -> Outcome<bool> {
    Ok(!is_there(node) && !node.run(&["ss", "-Hltn", &format!("sport = :{PORT}")])?.is_empty())
}

/// The stranger goes.
pub fn chase_squatter(node: &Machine) -> Outcome<()> {
    node.run(&["pkill", "-KILL", "-f", SQUATTER]).map(drop)
}

/// The squatter's role: it takes the port as soon as it can, and answers nobody.
pub fn squat() -> Outcome<()> {
    loop {
        if let Ok(listener) = TcpListener::bind(("::", PORT)) {
            let held: Vec<_> = listener.incoming().collect();
            drop(held);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Has something fill the server's disk, and every byte that is freed, too.
pub fn fill_disk(node: &mut Machine) -> Outcome<()> {
    let words = format!("while :; do cat /dev/zero; sleep 0.005; done >>{FILLER} 2>/dev/null");
    node.start_daemon(&["sh", "-c", &words], &[])
}

/// Whether nothing fits on it any more.
pub fn is_disk_full(node: &Machine) -> Outcome<bool> {
    Ok(node.run(&["stat", "--file-system", "--format=%f", DISK])?.trim() == "0")
}

/// Ends what fills it, and throws away what it wrote.
pub fn empty_disk(node: &Machine) -> Outcome<()> {
    node.run(&["pkill", "-KILL", "-f", FILLER])?;
    node.run(&["rm", "-f", FILLER]).map(drop)
}
