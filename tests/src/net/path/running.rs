//! A program that is listened to while it runs.

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::LIMIT;
use crate::Outcome;

/// A program that runs. Dropped, it ends at once.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    stdout: String,
}

impl Running {
    pub(super) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self { child, lines, stdout: String::new() }
    }

    /// The next line of its output; `None` at the end.
    ///
    /// # Panics
    ///
    /// When there is none for a minute.
    pub async fn next_line(&mut self) -> Option<String> {
        let line = tokio::time::timeout(LIMIT, self.lines.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("no line in {LIMIT:?} after:\n{}", self.stdout));
        let line = line.expect("text")?;
        self.stdout.push_str(&line);
        self.stdout.push('\n');
        Some(line)
    }

    /// Sends it the signal of this name.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub async fn signal(&self, signal: &str) {
        crate::program::send_signal(self.child.id().expect("it runs"), signal).await;
    }

    /// Whether it has not ended yet.
    ///
    /// # Panics
    ///
    /// When the system does not say.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a status").is_none()
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub async fn end(mut self) -> Outcome {
        while self.next_line().await.is_some() {}
        let mut stderr = String::new();
        let talk = async {
            self.child.stderr.take().expect("a pipe").read_to_string(&mut stderr).await.ok();
            self.child.wait().await.expect("a status")
        };
        let status = tokio::time::timeout(LIMIT, talk).await.expect("it ends");
        Outcome { code: status.code(), stdout: self.stdout, stderr }
    }
}
