//! One `blitz up` that trusts the authority of the hostile servers, and the program as its user types it.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use blitz_tests::hostile::Pki;
use blitz_tests::web::ok;
use blitz_tests::{Home, Web};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinSet;

use super::{CASES_AT_ONCE, ORDINARY_MAX};

/// No command lasts longer: a case that is beyond its own time has failed by then.
const COMMAND_MAX: Duration = Duration::from_secs(120);
/// More than a window of HTTP/2. It passes through gateway and store, and what that takes of memory is no server's
/// doing: so it is not larger than it must be.
const UPLOAD_BYTES: usize = 256 << 10;

/// Clones share the engine. It ends with the last of them.
#[derive(Debug, Clone)]
pub(crate) struct Warm(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    home: Home,
    up: Child,
    _talk: Lines<BufReader<ChildStdout>>,
    web: Web,
}

/// How a command ended.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// `None` after a signal, or when it did not end.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Seen {
    pub(crate) fn end(&self) -> String {
        self.code.map_or("did not end".to_owned(), |code| format!("ended with {code}"))
    }
}

impl Warm {
    pub(crate) async fn start(pki: &Pki) -> Self {
        let home = Home::new(Path::new(env!("CARGO_BIN_EXE_bench")));
        std::fs::write(home.path().join("authority.pem"), &pki.authority).expect("a file");
        std::fs::write(home.path().join("upload"), vec![b'u'; UPLOAD_BYTES]).expect("a file");
        let mut up = home
            .command(&["up", "--region", "local", "--region", "other", "--listen", "127.0.0.1:0"])
            .env("SSL_CERT_FILE", home.path().join("authority.pem"))
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the program starts");
        let mut talk = BufReader::new(up.stdout.take().expect("a pipe")).lines();
        let ready = async {
            while let Some(line) = talk.next_line().await.expect("text") {
                if line.contains("^C ends it") {
                    return;
                }
            }
            panic!("blitz up ended before it was ready");
        };
        tokio::time::timeout(COMMAND_MAX, ready).await.expect("blitz up gets ready");
        Self(Arc::new(Inner { home, up, _talk: talk, web: Web::start(|_| ok("fine")).await }))
    }

    /// The program with these arguments, not started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.0.home.command(args)
    }

    /// The directory that commands run in.
    pub(crate) fn home(&self) -> &Path {
        self.0.home.path()
    }

    /// `blitz curl -r local` with these words.
    pub(crate) async fn curl(&self, words: &[String]) -> Seen {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let args = [&["curl", "-r", "local"], words.as_slice()].concat();
        run(self.command(&args)).await
    }

    /// A job that has nothing against it; gives its time, or what went wrong.
    pub(crate) async fn ordinary(&self) -> Result<Duration, String> {
        let seen = self.curl(&["-s".to_owned(), self.0.web.url("/")]).await;
        match (seen.code, seen.stdout.as_slice()) {
            (Some(0), b"fine") if seen.took < ORDINARY_MAX => Ok(seen.took),
            _ => Err(format!("{seen:?}")),
        }
    }

    /// So many ordinary jobs, several at once.
    pub(crate) async fn busy(&self, count: usize) {
        for _ in 0..count / CASES_AT_ONCE {
            let mut jobs = JoinSet::new();
            for _ in 0..CASES_AT_ONCE {
                let warm = self.clone();
                jobs.spawn(async move { warm.ordinary().await });
            }
            for job in jobs.join_all().await {
                job.expect("an ordinary job");
            }
        }
    }

    /// Resident memory of the process that has store, gateway and engines.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most that it was since [`Self::forget_peak`].
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Source: `proc(5)`, `/proc/pid/clear_refs`.
    pub(crate) fn forget_peak(&self) {
        std::fs::write(self.process("clear_refs"), "5").expect("a process of one's own");
    }

    fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(self.process("status")).expect("a process that runs");
        let line =
            status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of this name");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
        kib * 1024
    }

    fn process(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.0.up.id().expect("a process that runs"))
    }
}

/// Runs a command to its end.
pub(crate) async fn run(mut command: Command) -> Seen {
    let started = Instant::now();
    let mut child = command.spawn().expect("the program starts");
    // Open until the end, where there is one.
    let _stdin = child.stdin.take();
    let ended = tokio::time::timeout(COMMAND_MAX, child.wait_with_output()).await;
    let took = started.elapsed();
    match ended {
        Ok(output) => {
            let output = output.expect("its outcome");
            Seen {
                code: output.status.code(),
                stdout: output.stdout,
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
                took,
            }
        }
        Err(_elapsed) => Seen { code: None, stdout: Vec::new(), stderr: String::new(), took },
    }
}
