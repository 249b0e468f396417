//! Where the clients run: cores, programs, and a `blitz up` that has rush ready.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use blitz_report::Report;
use blitz_tests::Home;
use blitz_tests::program::Up;

/// The region of all load tests here.
pub(crate) const REGION: &str = "local";

/// This binary, which is every process of the bench.
pub(crate) fn carrier() -> PathBuf {
    std::env::current_exe().expect("this program")
}

/// A command on one core, where there are several.
pub(crate) fn on_core(core: usize, program: &Path) -> Command {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

/// Keeps this process, and all that it starts, on one core, where there are several.
pub(crate) fn pin(core: usize) {
    let mut one = rustix::thread::CpuSet::new();
    one.set(core);
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() > core) {
        rustix::thread::sched_setaffinity(None, &one).ok();
    }
}

/// Whether a program is there.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// A `blitz up` whose engine has run one request already.
pub(crate) struct Site {
    home: Home,
    up: Up,
}

impl Site {
    pub(crate) async fn start(words: &[&str]) -> Self {
        // The program itself where it was built: this one is larger, and so is the memory of its workers.
        let own = carrier();
        let program = own.with_file_name("blitz");
        let home = Home::new(if program.is_file() { &program } else { &own });
        let up = home.up(&[&["--region", REGION], words].concat()).await;
        Self { home, up }
    }

    /// The process of engine, gateway and store.
    pub(crate) fn pid(&self) -> u32 {
        self.up.pid()
    }

    /// A load test, as a user types it; its report.
    pub(crate) async fn rush(&self, words: &[&str]) -> Result<Report, String> {
        let mut command = self.command(words);
        let output = command.output().await.map_err(|e| e.to_string())?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        Report::from_json(&stdout).map_err(|error| {
            format!("{error}: {stdout}{}", String::from_utf8_lossy(&output.stderr))
        })
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.home.command(&["rush", "-r", REGION, "--json"]);
        command.args(words).stdin(Stdio::null());
        command
    }

    /// Address and token of the gateway, as other commands find them.
    pub(crate) fn gateway(&self) -> (String, String) {
        let path = self.home.path().join(".local/state/blitz/up.json");
        let state = std::fs::read_to_string(path).expect("the state of blitz up");
        let state: Value = serde_json::from_str(&state).expect("JSON");
        let text = |name: &str| state[name].as_str().unwrap_or_default().to_owned();
        (text("gateway"), text("token"))
    }

    pub(crate) async fn stop(self) {
        self.up.signal("TERM").await;
    }
}
