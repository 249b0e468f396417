//! Programs that run beside a test: started, listened to until they are ready, ended when dropped.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Whatever is started here is ready, or has ended, within this time.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// Lines that wait to be looked at before a process is ready.
const LINES_MAX: usize = 64;

/// The lines of several processes, in the order in which they came.
pub(super) type Log = Arc<Mutex<Vec<String>>>;

/// The lines that a process says.
pub(super) struct Ready {
    lines: tokio::sync::mpsc::Receiver<String>,
}

impl Ready {
    pub(super) async fn until(mut self, is_ready: impl Fn(&str) -> bool) {
        let mut said = Vec::new();
        let wait = async {
            while let Some(line) = self.lines.recv().await {
                if is_ready(&line) {
                    return;
                }
                said.push(line);
            }
            panic!("it ended before it was ready: {said:?}");
        };
        tokio::time::timeout(LIMIT, wait).await.expect("it gets ready");
    }
}

/// Starts a process whose lines go into the log under this name.
pub(super) fn started(mut command: Command, log: Log, name: &'static str) -> (Child, Ready) {
    command.stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().expect("the program starts");
    let mut talk = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let (sender, lines) = tokio::sync::mpsc::channel(LINES_MAX);
    tokio::spawn(async move {
        while let Ok(Some(line)) = talk.next_line().await {
            log.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{name} {line}"));
            // Nobody listens any more once it is ready.
            sender.try_send(line).ok();
        }
    });
    (child, Ready { lines })
}
