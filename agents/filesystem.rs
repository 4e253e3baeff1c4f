//! `Filesystem`: a mounted file system, with the parameters of the shell agent.

#![forbid(unsafe_code)]

use crate::action::Action;
use crate::agent::{Agent, Cx, Status};
use crate::error::Result;
use crate::filesystem::{Check, Ending, Filesystem};
use crate::param::values::{
    FilesystemType, Flag, ForceUnmount, MountOptions, MountPoint, MountSource, Seconds, Signals,
    StatusPrefix,
};
use crate::params;
use crate::spec::{ActionSpec, AgentSpec, Haresources};
use crate::watch::Signs;

crate::choice! {
    /// `run_fsck`.
    pub enum RunFsck {
        /// If the type needs it.
        Auto = "auto",
        /// Always.
        Force = "force",
        /// Never.
        No = "no",
    }
}

params! {
    pub struct Params {
        /// What to mount
        ///
        /// A block device; `UUID=`, `LABEL=`, `PARTUUID=` or `PARTLABEL=` with a value (also `-U` and `-L`); a file,
        /// with `loop` among the options; a directory, for a bind mount; or what the type takes for a device, such as
        /// `server:/export`.
        device: MountSource,

        /// Mount point
        ///
        /// The absolute path of a directory. Start makes it if it is missing.
        directory: MountPoint,

        /// Type of the file system
        ///
        /// Such as `ext4`, `xfs`, `nfs` or `tmpfs`; `none` for a bind mount. Without it, and with `none` for a device,
        /// what is found on the device.
        fstype: Option<FilesystemType>,

        /// Mount options
        ///
        /// As for `mount -o`.
        options: MountOptions = "",

        /// Where the status file is
        ///
        /// Monitor at level 20 writes a file below the mount point and reads it back. Its path is this with the names of the
        /// resource and of the node behind it: with a slash at the end this is a directory, which is made if it is missing.
        /// Stop removes the file if it is run at level 20 too.
        statusfile_prefix: StatusPrefix = ".Filesystem_status/",

        /// Check before mounting
        ///
        /// `auto` runs fsck for types without a journal, `force` always, `no` never.
        run_fsck: RunFsck = "auto",

        /// Be quick in stopping
        ///
        /// Stop takes six seconds at most, whatever its timeout is.
        fast_stop: Flag = "no",

        /// Allow clones of file systems for one node
        ///
        /// Two nodes that mount one such file system destroy it. Only for those that are read-only by other means.
        force_clones: Flag = "false",

        /// What to do about processes that keep it busy
        ///
        /// `true` sends them `term_signals`, and after half of the time `kill_signals`. `safe` and `false` leave them
        /// alone; stop then fails and names them. With `move` besides, the mount is moved out of reach before
        /// `kill_signals` are sent, so that nobody new comes. Process 1, the cluster's own processes and whoever called
        /// the agent are never signalled.
        force_unmount: ForceUnmount = "true",

        /// Signals for the first half
        ///
        /// What processes that keep it busy are sent at first.
        term_signals: Signals = "TERM",

        /// Signals for the second half
        ///
        /// What they are sent when half of the time is over.
        kill_signals: Signals = "KILL",

        /// Seconds between signals
        ///
        /// How long is waited for an end before all is looked at again. An end is noticed at once.
        signal_delay: Seconds = "1",

        /// Allow the device to be mounted elsewhere
        ///
        /// Without it, start refuses a device that this node has mounted at another place already, or that a line of
        /// fstab mounts there at boot; and stop unmounts the device wherever this node has it. With it, stop leaves the
        /// other places alone.
        shared_device: Flag = "false",
    }
}

pub struct Mounted(Params);

impl From<Params> for Mounted {
    fn from(params: Params) -> Self {
        Self(params)
    }
}

impl Mounted {
    fn filesystem(&self) -> Filesystem<'_> {
        let params = &self.0;
        Filesystem {
            agent: Self::SPEC.name,
            source: params.device.get(),
            directory: params.directory.as_path(),
            // As for `mount -t none`: the type is not given.
            kind: params.fstype.as_ref().map(FilesystemType::as_str).filter(|kind| *kind != "none"),
            options: params.options.get(),
            status_prefix: params.statusfile_prefix.as_os_str(),
            check: match params.run_fsck {
                RunFsck::Auto => Check::Auto,
                RunFsck::Force => Check::Always,
                RunFsck::No => Check::Never,
            },
            force_clones: params.force_clones.is_set(),
            shared_device: params.shared_device.is_set(),
            ending: Ending {
                force: params.force_unmount,
                fast: params.fast_stop.is_set(),
                ask: params.term_signals.as_slice().to_vec(),
                kill: params.kill_signals.as_slice().to_vec(),
                delay: params.signal_delay.get(),
            },
        }
    }
}

impl Agent for Mounted {
    type Params = Params;

    const SPEC: AgentSpec = AgentSpec {
        name: "Filesystem",
        short: "A mounted file system",
        long: "Mounts a file system, watches it, and unmounts it with all that is mounted on it.\n\n\
               Monitor asks the kernel and never the disk: it fails if something else is mounted there, if the file \
               system became read-only, has counted errors or was shut down, and if its device is gone. A FUSE file \
               system lives in a process, which is asked whether it is there. At level 10 (OCF_CHECK_LEVEL) \
               monitor reads from the device, or where there is none from the topmost directory; at level 20 it writes a file and \
               reads it back, past all caches. What hangs is told with the time that it has hung for, and \
               asked no more until it answers.\n\nStop unmounts \
               first; only if it is busy it looks for who uses it, by the number of the mount and never by a name. It \
               ends when the file system is mounted nowhere any more, in whatever mount namespace.",
        actions: &[
            ActionSpec::new(Action::Start, 60),
            ActionSpec::new(Action::Stop, 60),
            ActionSpec::new(Action::Monitor, 40).every(20).depth(0),
            ActionSpec::new(Action::Monitor, 40).every(20).depth(10).unadvertised(),
            ActionSpec::new(Action::Monitor, 40).every(20).depth(20).unadvertised(),
            ActionSpec::new(Action::ValidateAll, 5),
            ActionSpec::new(Action::MetaData, 5),
        ],
        haresources: Some(Haresources {
            arguments: &["device", "directory", "fstype", "options"],
            required: 2,
            fixed: &[],
        }),
    };

    const WATCHED: bool = true;

    fn signs(&self, cx: &Cx<'_>) -> Result<Signs> {
        self.filesystem().signs(cx)
    }

    fn key(&self, _: &Cx<'_>) -> String {
        format!("mount-{}", self.0.directory.as_path().display())
    }

    fn check(&self, cx: &Cx<'_>) -> Result<()> {
        self.filesystem().refuse_clones(cx)
    }

    fn validate(&self, cx: &Cx<'_>) -> Result<()> {
        self.filesystem().validate(cx)
    }

    fn monitor(&self, cx: &Cx<'_>) -> Result<Status> {
        self.filesystem().monitor(cx)
    }

    fn start(&self, cx: &Cx<'_>) -> Result<()> {
        self.filesystem().start(cx)
    }

    fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        self.filesystem().stop(cx)
    }
}
