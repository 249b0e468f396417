//! The same strings as arguments of jobs that run, in the whole program under `strace`.

use std::process::Stdio;
use std::time::Duration;

use blitz_contract::Manifest;
use blitz_couchdb::Client;
use blitz_tests::{Api, FIXTURE, FIXTURE_MANIFEST, Home, until};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::STRINGS_OF_A_JOB;
use super::strings::is_marked;

/// With this, a machine that cannot trace is a failure and not a note.
const MUST_RUN: &str = "BLITZ_TEST_STRACE";

/// The program starts within this time, under a tracer too.
const READY_MAX: Duration = Duration::from_secs(60);

/// Runs jobs with all strings in a whole `blitz up`, and looks at every program that was started.
pub(super) async fn no_program_is_started(strings: &[String]) {
    if let Some(reason) = unavailable() {
        assert!(std::env::var_os(MUST_RUN).is_none(), "{MUST_RUN} is set, and {reason}");
        println!("left out: {reason}");
        return;
    }
    let home = Home::new(std::path::Path::new(env!("CARGO_BIN_EXE_bench")));
    let trace = home.path().join("trace");
    let sha256 = blitz_jobs::plugin::sha256(FIXTURE);
    let words = ["up", "--region", "local", "--trust", &sha256, "--listen", "127.0.0.1:0"];
    let own = home.command(&words);
    let own = own.as_std();
    // Only these calls stop it: everything else runs at its own speed.
    let options =
        ["-f", "--seccomp-bpf", "-qq", "-s", "65536", "-e", "trace=execve,execveat", "-o"];
    let mut command = Command::new("strace");
    command.args(options).arg(&trace).arg(own.get_program()).args(own.get_args());
    command.env_clear().envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(home.path()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut traced = command.spawn().expect("strace starts");
    let mut talk = BufReader::new(traced.stdout.take().expect("a pipe")).lines();
    let ready = async {
        while let Some(line) = talk.next_line().await.expect("text") {
            if line.contains("^C ends it") {
                return;
            }
        }
        panic!("blitz up ended before it was ready");
    };
    tokio::time::timeout(READY_MAX, ready).await.expect("blitz up gets ready");
    let talks = tokio::spawn(async move { while let Ok(Some(_)) = talk.next_line().await {} });

    let state = std::fs::read(home.path().join(".local/state/blitz/up.json")).expect("its state");
    let state: Value = serde_json::from_slice(&state).expect("JSON");
    let word = |key: &str| state[key].as_str().unwrap_or_else(|| panic!("{key}")).to_owned();
    let store = word("store")
        .replace("http://", &format!("http://{}:{}@", word("store_admin"), word("store_password")));
    let store = Client::new(&store).expect("the store's address");
    let manifest = Manifest::from_toml(FIXTURE_MANIFEST).expect("the fixture's manifest");
    blitz_jobs::plugin::publish(&store, manifest, FIXTURE).await.expect("published");
    let api = Api::new(&word("gateway"), &word("token"));
    until("the fixture is known", || async {
        let answer = api.try_raw("GET", "/v1/plugins/fixture", &[], None).await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    let mut told = 0;
    for some in strings.chunks(STRINGS_OF_A_JOB) {
        let words: Vec<&str> =
            ["args", "--"].into_iter().chain(some.iter().map(String::as_str)).collect();
        let job = json!({"plugin": "fixture", "args": words, "regions": ["local"]});
        let job = api.submit_with(job).await;
        let events = api.follow(&job).await;
        told += usize::from(is_marked(&blitz_tests::api::stream(&events, "stdout")));
    }
    assert!(told > strings.len() / STRINGS_OF_A_JOB / 2, "only {told} jobs have said their words");
    let pid = state["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("its process");
    blitz_tests::program::send_signal(pid, "INT").await;
    let ended = tokio::time::timeout(READY_MAX, traced.wait()).await;
    ended.expect("blitz up ends").expect("its status");
    talks.await.expect("the end of its talk");

    let trace = std::fs::read(&trace).expect("a trace");
    let trace = String::from_utf8_lossy(&trace);
    let started: Vec<&str> = trace.lines().filter(|line| line.contains("execve")).collect();
    assert!(!started.is_empty(), "the program itself was started");
    let wrong: Vec<_> = started.iter().filter(|line| is_marked(line)).collect();
    assert!(wrong.is_empty(), "text of a tenant was given to a program: {wrong:?}");
    println!("{} strings in {told} jobs, {} programs started", strings.len(), started.len());
}

/// Why there is no trace here.
fn unavailable() -> Option<String> {
    let mut command = std::process::Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("strace may not trace here ({status})")),
        Err(error) => Some(format!("strace cannot be started ({error}); apt-get install strace")),
    }
}
