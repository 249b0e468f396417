//! What is measured: the embedded store as a child process, or a CouchDB that runs already.

use std::io::{self, Read as _};
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use base64::Engine as _;
use blitz_embedded::{Options, Storage, Store, serve};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::users;
use super::wire::Wire;
use crate::sample::say;

/// The word that makes this program a server.
pub(crate) const WORD: &str = "store-server";

/// The word that makes the server ask who one is.
const CLOSED: &str = "closed";

/// Where the server listens when it does not matter.
const ANY_PORT: &str = "127.0.0.1:0";

/// The database of the measurements.
pub(crate) const DATABASE: &str = "/blitz-bench";

/// `sysconf(_SC_CLK_TCK)`, which Linux has fixed at 100 for programs.
const TICKS_PER_S: u64 = 100;

/// A server to ask.
pub(crate) struct Target {
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    /// Headers of every request, each with its line end.
    pub(crate) headers: String,
    /// Counts are divided by this: a slower server is asked less.
    pub(crate) share: usize,
    pid: Option<u32>,
    directory: Option<TempDir>,
    _process: Option<Served>,
}

impl Target {
    /// The embedded store in a new directory.
    pub(crate) async fn embedded() -> Self {
        Self::of(String::new(), &[]).await
    }

    /// The same with [`users::options`]; asked as its administrator.
    pub(crate) async fn closed() -> Self {
        let basic = base64::engine::general_purpose::STANDARD.encode("root:pw");
        Self::of(format!("Authorization: Basic {basic}\r\n"), &[CLOSED]).await
    }

    async fn of(headers: String, how: &[&str]) -> Self {
        let directory = TempDir::new_in(scratch()).expect("a directory");
        let process = Served::start_as(directory.path(), ANY_PORT, how).await;
        Self {
            address: process.address.clone(),
            headers,
            share: 1,
            pid: process.child.id(),
            directory: Some(directory),
            _process: Some(process),
        }
    }

    /// The CouchDB of `BLITZ_TEST_COUCHDB`.
    pub(crate) fn couchdb() -> Option<Self> {
        let url = std::env::var("BLITZ_TEST_COUCHDB").ok()?;
        let rest = url.strip_prefix("http://").unwrap_or(&url).trim_end_matches('/');
        let (user, address) = rest.rsplit_once('@').unwrap_or(("", rest));
        let basic = base64::engine::general_purpose::STANDARD.encode(user);
        Some(Self {
            address: address.to_owned(),
            headers: format!("Authorization: Basic {basic}\r\n"),
            share: 20,
            pid: listener(address),
            directory: None,
            _process: None,
        })
    }

    pub(crate) async fn connect(&self) -> Wire {
        Wire::connect(&self.address, &self.headers).await
    }

    /// An empty database.
    pub(crate) async fn reset(&self) {
        self.remove().await;
        let made = self.connect().await.ask("PUT", DATABASE, "").await;
        assert!(made == 201 || made == 202, "the database was not made: {made}");
    }

    pub(crate) async fn remove(&self) {
        self.connect().await.ask("DELETE", DATABASE, "").await;
    }

    /// The directory, when it is ours.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.directory.as_ref().map(TempDir::path)
    }

    /// CPU time of the server so far; zero when its process is not on this machine.
    pub(crate) fn cpu(&self) -> Duration {
        self.pid.and_then(cpu).unwrap_or_default()
    }

    /// What the server holds in memory, in KiB.
    pub(crate) fn resident_kib(&self) -> f64 {
        self.pid.and_then(resident_kib).unwrap_or(0.0)
    }
}

/// Where directories are made: `BLITZ_BENCH_DIRECTORY`, or the system's place for temporary files.
pub(crate) fn scratch() -> std::path::PathBuf {
    std::env::var_os("BLITZ_BENCH_DIRECTORY").map_or_else(std::env::temp_dir, Into::into)
}

/// The embedded store as a process of its own.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: String,
}

impl Served {
    pub(crate) async fn start(directory: &Path) -> Self {
        Self::start_as(directory, ANY_PORT, &[]).await
    }

    /// Starts it with [`users::options`].
    pub(crate) async fn start_closed(directory: &Path) -> Self {
        Self::start_as(directory, ANY_PORT, &[CLOSED]).await
    }

    /// Starts it where an earlier one has listened, so that those who knew it find it again.
    pub(crate) async fn start_at(directory: &Path, address: &str) -> Self {
        Self::start_as(directory, address, &[]).await
    }

    async fn start_as(directory: &Path, address: &str, how: &[&str]) -> Self {
        let program = std::env::current_exe().expect("the path of this program");
        let mut child = Command::new(program)
            .arg(WORD)
            .arg(directory)
            .arg(address)
            .args(how)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the server starts");
        let mut said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let address = said.next_line().await.expect("text").expect("the server says its address");
        Self { child, address }
    }

    /// CPU time so far.
    pub(crate) fn cpu(&self) -> Duration {
        self.child.id().and_then(cpu).unwrap_or_default()
    }

    /// Its process id, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Stops it as an operator would, and waits.
    pub(crate) async fn stop(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().await.expect("its status");
    }

    /// Stops it as a power cut would, as far as the process is concerned.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("killed");
    }
}

/// What the process does; it ends when the one that started it closes its input.
pub(crate) fn run(args: &[String]) -> ExitCode {
    let options = match args.get(2) {
        Some(word) if word == CLOSED => users::options(),
        _ => Options::default(),
    };
    let directory = args.first().map_or("", String::as_str);
    let address = args.get(1).map_or(ANY_PORT, String::as_str);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let served = runtime
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(served(directory, address, options)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("bench: the server failed: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn served(
    directory: &str,
    address: &str,
    options: Options,
) -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::open(Storage::Directory(directory.into()), options)?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    say(&listener.local_addr()?.to_string());
    let stop = CancellationToken::new();
    let on_end = stop.clone();
    // Not a task: it would keep the runtime from ending.
    std::thread::spawn(move || {
        io::stdin().read_to_end(&mut Vec::new()).ok();
        on_end.cancel();
    });
    serve(store, listener, stop).await?;
    Ok(())
}

/// The two fields after the name: `proc_pid_stat(5)`, 14 and 15.
pub(crate) fn cpu(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 1000 / TICKS_PER_S))
}

/// What a process holds in memory, in KiB.
pub(crate) fn resident_kib(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

/// The process of this machine that listens on the port: the owner of the socket's inode.
fn listener(address: &str) -> Option<u32> {
    let port: u16 = address.rsplit_once(':')?.1.parse().ok()?;
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let inode = table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = fields.get(3) == Some(&"0A");
        let here = fields.get(1)?.ends_with(&format!(":{port:04X}"));
        (listens && here).then(|| fields.get(9).map(|inode| format!("socket:[{inode}]")))?
    })?;
    let owns = |process: &Path| {
        let descriptors = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        descriptors
            .filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok())
            .any(|target| target.as_os_str() == inode.as_str())
    };
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter(|process| owns(&process.path()))
        .find_map(|process| process.file_name().to_str()?.parse().ok())
}
