//! A server as a process of its own: this test program, started again. It can be killed, traced, and put
//! where the disk is small.

use crate::client::Server;
use blitz_embedded::{Options, Storage};
use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

/// Names the directory for the child.
const DIRECTORY: &str = "BLITZ_EMBEDDED_TEST_CHILD";

/// How long the child bears a client that takes no byte.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_millis(1500);

/// Not a test: what the child does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_process() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let storage = Storage::Directory(directory.into());
    let say = |line: String| {
        writeln!(std::io::stdout(), "{line}").unwrap();
    };
    let options = Options { stall_timeout: STALL_TIMEOUT, ..Options::default() };
    match blitz_embedded::Store::open(storage, options) {
        Ok(store) => {
            let server = Server::of(store).await;
            say(format!("address {}", server.address));
            // Its parent lets go of the other end, or dies.
            let wait = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            tokio::task::spawn_blocking(wait).await.unwrap().unwrap();
            server.stop().await;
        }
        Err(error) => say(format!("refused {error}")),
    }
}

/// A child that runs until it is dropped.
pub(crate) struct Served {
    child: Child,
    /// Kept open: the child's test harness prints its result there.
    _output: Lines<BufReader<ChildStdout>>,
    /// Where it serves, or why it does not.
    pub(crate) told: Result<SocketAddr, String>,
}

impl Served {
    pub(crate) fn start(directory: &Path) -> Served {
        Served::behind(&[], directory)
    }

    /// Starts it with the help of another program, such as `strace`; its words come first.
    pub(crate) fn behind(words: &[&str], directory: &Path) -> Served {
        let own = std::env::current_exe().unwrap();
        let mut command = match words {
            [] => Command::new(own),
            [program, words @ ..] => {
                let mut command = Command::new(program);
                command.args(words).arg(own);
                command
            }
        };
        let mut child = command
            .args(["child::child_process", "--exact", "--nocapture"])
            .env(DIRECTORY, directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = lines.find_map(|line| {
            let line = line.unwrap();
            if let Some((_, address)) = line.split_once("address ") {
                return Some(Ok(address.parse().unwrap()));
            }
            line.split_once("refused ").map(|(_, reason)| Err(reason.to_owned()))
        });
        let told = told.unwrap_or_else(|| Err(String::from("the child said nothing")));
        Served { child, _output: lines, told }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        *self.told.as_ref().unwrap_or_else(|reason| panic!("the child did not open: {reason}"))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lets it end by itself, and waits.
    pub(crate) fn stop(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }

    /// SIGKILL: nothing of the process can do anything about it.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Whether a story must run here, or may be left out with a note: CI sets the variable.
pub(crate) fn leave_out(variable: &str, reason: &str) {
    assert!(std::env::var_os(variable).is_none_or(|value| value != "1"), "{variable}=1: {reason}");
    writeln!(std::io::stderr(), "left out: {reason}; {variable}=1 makes this a failure").ok();
}
