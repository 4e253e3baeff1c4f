//! `ibmmq`: a queue manager of IBM MQ, with the parameters of the shell agent.

#![forbid(unsafe_code)]

use crate::action::Action;
use crate::agent::{Agent, Cx, Status};
use crate::error::{Error, Result};
use crate::mq::{Checks, Patience, QueueManager};
use crate::param::values::{
    AbsolutePath, AccountName, Directory, Flag, Limits, ObjectName, Seconds, Words,
};
use crate::params;
use crate::spec::{ActionSpec, AgentSpec};

params! {
    pub struct Params {
        /// Queue manager
        ///
        /// Its name, as `dspmq` shows it. Capitals and small letters differ.
        qmgr: ObjectName { unique_group: Some("qmgr") },

        /// User of all commands
        ///
        /// Whom the commands of the product run as. No profile is read and no shell is run.
        mquser: AccountName = "mqm",

        /// Directory of the installation
        ///
        /// The `bin` directory in it is looked at before all others. Without it, the commands are looked for on the path
        /// of a login and last in /opt/mqm/bin.
        mq_installation_path: Option<Directory>,

        /// File with variables
        ///
        /// Variables for all commands, and so for the queue manager: lines such as `export NAME=value`, with quotes,
        /// comments, `$NAME` and `${NAME}`. No shell reads the file, and start refuses one that needs a shell, such as
        /// one that calls setmqenv: use `mq_installation_path` instead.
        env_file: Option<AbsolutePath>,

        /// Further options of strmqm
        ///
        /// Split into words as a shell does, and nothing expanded. `-x` (a standby may run elsewhere) and `-c` (end again
        /// after a repair of objects) are refused, since the cluster has to know where the queue manager runs.
        strmqm_opts: Option<Words>,

        /// Limits
        ///
        /// Words such as `nofile=65536 nproc=8192`, by the names of `limits.conf`, which is not read itself. Without it, at
        /// least 10240 open files and 4096 processes, as the product wants.
        limits: Option<Limits>,

        /// Seconds for a controlled end
        ///
        /// How long stop waits after `endmqm -c`, which lets applications go on until they disconnect. With 0 stop begins
        /// with the immediate end.
        controlled_stop_timeout: Seconds = "0",

        /// Seconds for an immediate end
        ///
        /// How long stop waits after `endmqm -i`, which lets calls end that are under way.
        immediate_stop_timeout: Seconds = "30",

        /// Seconds for a preemptive end
        ///
        /// How long stop waits after `endmqm -p`, which waits for nobody. Then all that is left is killed. If the three
        /// times do not fit into the timeout of stop, each gets its share of it.
        preemptive_stop_timeout: Seconds = "10",

        /// Whether there has to be a command server
        ///
        /// Monitor fails without a process `amqpcsea` of the queue manager.
        monitor_command_server: Flag = "false",

        /// Whether there has to be a listener
        ///
        /// Monitor fails without a process `runmqlsr` of the queue manager.
        monitor_listener: Flag = "false",

        /// Queue of monitor level 20
        ///
        /// A local queue for this test alone: all messages on it are removed with every test. Define it with
        /// `DEFINE QLOCAL(name) DEFPSIST(YES) MAXDEPTH(100)`, so that the log is tested too.
        test_queue: Option<ObjectName>,

        /// Program that monitor runs besides
        ///
        /// A program with its arguments, split into words as a shell does and nothing expanded, and run as `mquser`.
        /// Monitor fails if its exit code is not 0 or if it does not end in time.
        monitor_program: Option<Words>,
    }
}

pub struct IbmMq(Params);

impl From<Params> for IbmMq {
    fn from(params: Params) -> Self {
        Self(params)
    }
}

impl IbmMq {
    fn manager(&self) -> QueueManager {
        let params = &self.0;
        let words = |words: Option<&Words>| words.map_or_else(Vec::new, |w| w.as_slice().to_vec());
        QueueManager {
            agent: Self::SPEC.name,
            name: params.qmgr.as_str().to_owned(),
            user: params.mquser.as_str().to_owned(),
            installation: params
                .mq_installation_path
                .as_ref()
                .map(|path| path.as_path().to_owned()),
            environment_file: params.env_file.as_ref().map(|path| path.as_path().to_owned()),
            start_options: words(params.strmqm_opts.as_ref()),
            limits: params
                .limits
                .as_ref()
                .map_or_else(Vec::new, |limits| limits.as_slice().to_vec()),
            patience: Patience {
                controlled: params.controlled_stop_timeout.get(),
                immediate: params.immediate_stop_timeout.get(),
                preemptive: params.preemptive_stop_timeout.get(),
            },
            checks: Checks {
                command_server: params.monitor_command_server.is_set(),
                listener: params.monitor_listener.is_set(),
                queue: params.test_queue.as_ref().map(|queue| queue.as_str().to_owned()),
                program: words(params.monitor_program.as_ref()),
            },
        }
    }

    /// A configuration that relied on a shell does something else here, and should hear of it.
    fn advise(&self, cx: &Cx<'_>) {
        let values =
            [("strmqm_opts", &self.0.strmqm_opts), ("monitor_program", &self.0.monitor_program)];
        for (name, words) in values {
            if let Some(character) = words.as_ref().and_then(Words::shell_character) {
                cx.log.warn(&format!(
                    "no shell reads {name}: {character:?} in it is a plain character"
                ));
            }
        }
    }
}

impl Agent for IbmMq {
    type Params = Params;

    const SPEC: AgentSpec = AgentSpec {
        name: "ibmmq",
        short: "A queue manager of IBM MQ",
        long: "Starts a queue manager by strmqm, waits until it runs, watches it and ends it by endmqm.\n\n\
               Monitor asks dspmq for the state and looks at the processes: a queue manager that is ending, runs as a \
               standby, has a stopped process or has left processes of a crash has failed. At level 10 the queue \
               manager has to answer `ping qmgr`; at level 20 a message that is put on `test_queue` has to come back.\n\n\
               Stop asks for a controlled (if wanted), an immediate and a preemptive end, and then kills what is left; it \
               works also when the product's file system is gone. It succeeds only when no process is left.\n\n\
               This agent was tested with a stand-in that plays the documented behaviour of the product's commands. It \
               was never run with the real product: try it on a test system first.",
        actions: &[
            ActionSpec::new(Action::Start, 180),
            ActionSpec::new(Action::Stop, 120),
            ActionSpec::new(Action::Monitor, 60).every(30).depth(0),
            ActionSpec::new(Action::Monitor, 60).every(120).depth(10),
            ActionSpec::new(Action::Monitor, 60).every(300).depth(20),
            ActionSpec::new(Action::ValidateAll, 30),
            ActionSpec::new(Action::MetaData, 5),
        ],
        haresources: None,
    };

    fn monitor(&self, cx: &Cx<'_>) -> Result<Status> {
        self.manager().monitor(cx)
    }

    fn start(&self, cx: &Cx<'_>) -> Result<()> {
        self.advise(cx);
        self.manager().start(cx)
    }

    fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        self.manager().stop(cx)
    }

    fn check(&self, _: &Cx<'_>) -> Result<()> {
        let refused = |name, why: &str| Err(Error::Configured { name, why: why.to_owned() });
        let options = self.0.strmqm_opts.iter().flat_map(Words::as_slice);
        for option in options {
            if option == "-x" {
                return refused(
                    "strmqm_opts",
                    "-x would let a standby run where the cluster does not know of it",
                );
            }
            if option == "-c" {
                return refused(
                    "strmqm_opts",
                    "-c ends the queue manager again; run `strmqm -c` by hand",
                );
            }
        }
        Ok(())
    }

    fn validate(&self, cx: &Cx<'_>) -> Result<()> {
        self.advise(cx);
        self.manager().validate(cx)
    }
}
