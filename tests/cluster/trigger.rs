//! Something that happens to a machine when it is wanted: whatever has to be found out and started is so already, and what
//! it takes is not measured as a time in which nobody noticed.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use crate::{Outcome, clock, says};

/// A shell that is ready.
pub struct Trigger {
    shell: Child,
    input: ChildStdin,
}

impl Trigger {
    /// Has a shell do what is to be done `before`, and wait. `shell` is the way to one, such as [`crate::machine::Machine::command`].
    pub fn prepare(mut shell: Command, before: &str, then: &str) -> Outcome<Self> {
        let words = format!("{before}\necho ready; read go || exit 1\n{then}");
        let mut shell = shell
            .args(["-euc", &words])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(says("cannot start a shell"))?;
        let input = shell.stdin.take().ok_or("a shell has an input")?;
        let output = shell.stdout.take().ok_or("a shell has an output")?;
        let mut line = String::new();
        let _length = BufReader::new(output).read_line(&mut line).map_err(says("a shell"))?;
        let trigger = Self { shell, input };
        if line == "ready\n" { Ok(trigger) } else { Err(trigger.complaint()) }
    }

    /// Lets it happen; the time immediately before.
    pub fn pull(mut self) -> Outcome<Duration> {
        let now = clock::now();
        self.input.write_all(b"go\n").map_err(says("a shell that waits"))?;
        let status = self.shell.wait().map_err(says("a shell that waits"))?;
        if status.success() { Ok(now) } else { Err(self.complaint()) }
    }

    fn complaint(mut self) -> String {
        drop(self.input);
        let mut words = String::new();
        if let Some(mut complaint) = self.shell.stderr.take() {
            // What can be read says enough.
            let _length = complaint.read_to_string(&mut words);
        }
        let status = self.shell.wait();
        format!("what was to happen did not: {status:?} {}", words.trim())
    }
}
