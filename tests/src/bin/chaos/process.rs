//! A child process that is killed, stopped and told to end, and that never outlives this program.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A part of the system says its first line within this time, or it does not start. Long: ten of them start at once.
const START_MAX: Duration = Duration::from_secs(30);

/// A process that runs.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pid: u32,
    /// Held: a closed pipe would be one more fault.
    _talk: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts it and waits for its first line. What it says on stderr is added to `log`.
    pub(crate) async fn start(mut command: Command, log: &Path) -> Result<(Self, String), String> {
        let log = OpenOptions::new().create(true).append(true).open(log);
        let log = log.map_err(|error| format!("cannot write a log: {error}"))?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            // ^C of a terminal is for this program, which ends the others.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("cannot start {command:?}: {error}"))?;
        let pid = child.id().ok_or("a process without an id")?;
        let talk = child.stdout.take().ok_or("a process without stdout")?;
        let mut talk = BufReader::new(talk).lines();
        match tokio::time::timeout(START_MAX, talk.next_line()).await {
            Ok(Ok(Some(line))) => Ok((Self { child, pid, _talk: talk }, line)),
            Ok(_) => Err(format!("{command:?} ended before it was ready; see its log")),
            Err(_) => Err(format!("{command:?} was not ready within {START_MAX:?}")),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Ends it as a loss of power would, and waits until it has gone.
    pub(crate) async fn kill(&mut self) {
        // It may have ended by itself just now.
        self.child.kill().await.ok();
    }

    /// Sends it a signal by name.
    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.pid.to_string();
        // As above.
        Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .stderr(Stdio::null())
            .status()
            .await
            .ok();
    }

    /// Waits for its end; false when it does not come in time.
    pub(crate) async fn ends_within(&mut self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.child.wait()).await.is_ok()
    }

    /// How it ended, when it has.
    pub(crate) fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }
}
