//! What the guest has: Debian's kernel modules, programs of this machine, the binary under test and the cases.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::archive::Archive;
use super::kernel::{Kernel, at};

/// What the cases make links of, and how the guest has them; what they depend on comes along.
const MODULES: [&str; 9] =
    ["veth", "bridge", "bonding", "8021q", "dummy", "macvlan", "ipvlan", "vrf", "ne2k_pci"];

/// A server and a client of NFS. They are loaded by the cases that want them, which spares the others the time.
const NFS: [&str; 3] = ["nfsd", "nfsv4", "nfsv3"];

/// Programs of this machine: the oracle in the guest, and what a server and a client of NFS consist of besides the kernel.
const PROGRAMS: [&str; 9] = [
    "ip",
    "bridge",
    "tcpdump",
    "mount.nfs",
    "rpc.nfsd",
    "rpc.mountd",
    "nfsdcld",
    "exportfs",
    "rpcbind",
];

/// What the C library and libtirpc want to know. tcpdump and rpcbind change to their users.
const FILES: [(&str, &str); 5] = [
    ("etc/passwd", "root:x:0:0:root:/:/bin/sh\n_rpc:x:100:100:rpcbind:/run/rpcbind:/bin/false\n"),
    ("etc/group", "root:x:0:\n_rpc:x:100:\n"),
    ("etc/protocols", "tcp 6 TCP\nudp 17 UDP\n"),
    ("etc/services", "sunrpc 111/tcp portmapper\nsunrpc 111/udp portmapper\nnfs 2049/tcp\n"),
    (
        "etc/netconfig",
        "udp tpi_clts v inet udp - -\ntcp tpi_cots_ord v inet tcp - -\nlocal tpi_cots_ord - loopback - - -\n",
    ),
];

/// All that the guest has.
pub fn contents(kernel: &Kernel) -> Result<Vec<u8>, String> {
    let mut archive = Archive::default();
    for directory in ["proc", "sys", "dev", "run", "tmp", "bin", "var/log", "var/lib/nfs"] {
        archive.directory(directory);
    }
    for (path, content) in FILES {
        archive.file(path, content.as_bytes());
    }
    archive.file("bin/busybox", &read(&program("busybox")?)?);
    archive.link("bin/sh", "busybox");
    let mut libraries = BTreeSet::new();
    for name in PROGRAMS {
        let path = program(name)?;
        archive.file(&format!("usr/bin/{name}"), &read(&path)?);
        libraries.extend(libraries_of(&path)?);
    }
    for library in libraries {
        archive.file(&library, &read(Path::new(&library))?);
    }
    for (list, wanted) in [("boot", &MODULES[..]), ("nfs", &NFS)] {
        let mut order = String::new();
        for (name, content) in kernel.modules(wanted)? {
            archive.file(&format!("modules/{name}.ko"), &content);
            order.extend([&name, "\n"]);
        }
        archive.file(&format!("modules/{list}"), order.as_bytes());
    }
    archive.file("agents/ocfbox", &binary()?);
    for agent in ocfbox::agents::ALL {
        archive.link(&format!("agents/{}", agent.described.agent.name), "ocfbox");
    }
    for name in ["init", "lib.sh", "nfs.sh"] {
        let file = Path::new(name).with_extension("sh");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm").join(file);
        archive.file(name, &read(&script)?);
    }
    for path in super::scripts() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        archive.file(&format!("cases/{name}"), &read(&path)?);
    }
    Ok(archive.finish())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(at(path))
}

fn program(name: &str) -> Result<PathBuf, String> {
    let paths = ["/sbin", "/bin", "/usr/sbin", "/usr/bin"].map(|path| Path::new(path).join(name));
    let path = paths.into_iter().find(|path| path.exists());
    path.ok_or_else(|| format!("the guest needs {name}; tests/run vm installs it"))
}

/// The shared libraries of a program, as its loader finds them.
fn libraries_of(program: &Path) -> Result<Vec<String>, String> {
    let output =
        Command::new("ldd").arg(program).output().map_err(|error| format!("ldd: {error}"))?;
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = listed.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(words.map(str::to_owned).collect())
}

/// The binary under test, without its debug information, which the guest would have to unpack.
fn binary() -> Result<Vec<u8>, String> {
    let bare = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    let mut strip = Command::new("strip");
    strip.args([env!("CARGO_BIN_EXE_ocfbox"), "-o"]).arg(bare.path());
    let stripped = strip.status().map_err(|error| format!("strip: {error}"))?;
    if !stripped.success() {
        return Err(format!("{strip:?}: {stripped}"));
    }
    read(bare.path())
}
