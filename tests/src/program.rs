//! The program `blitz` as a process, in a home of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A command ends within this time, or the story has failed.
const LIMIT: Duration = Duration::from_secs(60);

/// A home directory for one user of the program: no other test's state, cache or data is seen.
#[derive(Debug)]
pub struct Home {
    directory: TempDir,
    program: PathBuf,
    /// Compiled plugins are shared by all homes of one build: compiling takes seconds without optimisation.
    cache: PathBuf,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Everything on standard output, as text.
    pub stdout: String,
    /// Everything on standard error.
    pub stderr: String,
}

/// A `blitz up` that runs until it is stopped.
#[derive(Debug)]
pub struct Up {
    child: Child,
    _talk: Lines<BufReader<ChildStdout>>,
}

impl Home {
    /// A home for the program at `carrier`: the binary of this crate that acts as `blitz` under that name, so
    /// that one build serves the stories and the benches.
    ///
    /// # Panics
    ///
    /// When no directory can be made.
    #[must_use]
    pub fn new(carrier: &Path) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let program = directory.path().join("blitz");
        std::os::unix::fs::symlink(carrier, &program).expect("a link to the program");
        Self { directory, program, cache: carrier.with_file_name("compiled-plugins") }
    }

    /// The home directory; commands run in it.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The program with these arguments, in this home and with an empty standard input.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .env("XDG_CACHE_HOME", &self.cache)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs the program to its end.
    ///
    /// # Panics
    ///
    /// When it cannot be started or does not end within 60 seconds.
    pub async fn run(&self, args: &[&str]) -> Outcome {
        finish(self.command(args), args, None).await
    }

    /// Runs the program to its end with this standard input.
    ///
    /// # Panics
    ///
    /// As [`Self::run`].
    pub async fn run_with_input(&self, args: &[&str], input: &[u8]) -> Outcome {
        finish(self.command(args), args, Some(input)).await
    }

    /// Starts `blitz up` with these arguments, and returns when it says that it is ready.
    ///
    /// # Panics
    ///
    /// When it ends before, or does not get ready.
    pub async fn up(&self, args: &[&str]) -> Up {
        let mut command = self.command(&["up"]);
        command.args(args).args(["--listen", "127.0.0.1:0"]).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("the program starts");
        let mut talk = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let ready = async {
            let mut said = String::new();
            while let Some(line) = talk.next_line().await.expect("text") {
                if line.contains("^C ends it") {
                    return;
                }
                said.push_str(&line);
                said.push('\n');
            }
            panic!("blitz up {args:?} ended before it was ready: {said}");
        };
        tokio::time::timeout(LIMIT, ready).await.expect("blitz up gets ready");
        Up { child, _talk: talk }
    }
}

impl Up {
    /// The process id.
    ///
    /// # Panics
    ///
    /// When it has ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().expect("a process that runs")
    }

    /// Ends it at once.
    ///
    /// # Panics
    ///
    /// When it cannot be ended.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("a process that can be ended");
    }

    /// Sends it this signal and waits for its end.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub async fn signal(mut self, signal: &str) -> Option<i32> {
        send_signal(self.pid(), signal).await;
        let ended = tokio::time::timeout(LIMIT, self.child.wait()).await;
        ended.expect("blitz up ends").expect("its status").code()
    }
}

/// Sends a signal (`INT`, `TERM`, `KILL`) to a process that the test has started.
///
/// # Panics
///
/// When there is no such process.
pub async fn send_signal(pid: u32, signal: &str) {
    let sent = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status().await;
    assert!(sent.expect("kill runs").success(), "no process {pid}");
}

/// Where a part listens that says so on its standard output, as `127.0.0.1:5984`. What it says later is read and forgotten:
/// whoever goes on talking must be heard.
///
/// # Panics
///
/// When it ends before it says so, or does not say so within 60 seconds.
pub async fn address(child: &mut Child) -> String {
    let mut talk = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let said = async {
        while let Some(line) = talk.next_line().await.expect("text") {
            if let Some((_, rest)) = line.split_once("http://") {
                let address = rest.split_whitespace().next().unwrap_or_default();
                return address.trim_end_matches('/').to_owned();
            }
        }
        panic!("it ended before it said its address");
    };
    let address = tokio::time::timeout(LIMIT, said).await.expect("it says its address");
    tokio::spawn(async move { while let Ok(Some(_)) = talk.next_line().await {} });
    address
}

async fn finish(mut command: Command, args: &[&str], input: Option<&[u8]>) -> Outcome {
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().expect("the program starts");
    let stdin = child.stdin.take();
    let feed = async {
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            // The program may end without reading: that is its outcome, not the test's failure.
            stdin.write_all(input).await.ok();
        }
    };
    let run = async { tokio::join!(feed, child.wait_with_output()).1.expect("its outcome") };
    let output = tokio::time::timeout(LIMIT, run).await;
    let output = output.unwrap_or_else(|_| panic!("blitz {args:?} did not end within {LIMIT:?}"));
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
