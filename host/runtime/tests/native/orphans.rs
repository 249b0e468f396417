//! An engine that is killed leaves no native plugin behind.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{children_of, hostile, invocation, load, run, runtime};

/// How long the engine may take to compile its library and start it, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The engine of the test below, in a process of its own: runs until it is killed.
#[tokio::test]
#[ignore = "started by the test below"]
async fn an_engine_to_be_killed() {
    let runtime = runtime();
    let plugin = load(&runtime, hostile()).await;
    let (deaf, frames) = invocation(&["deaf"], 8);
    run(&plugin, deaf, frames).await;
}

#[tokio::test]
async fn a_killed_engine_leaves_nobody() {
    let mut engine = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "orphans::an_engine_to_be_killed"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + PATIENCE;
    let plugin = loop {
        assert!(Instant::now() < until, "the engine starts no plugin");
        // By its name: the engine starts a compiler before.
        let started = children_of(engine.id()).into_iter().find(|pid| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            // As it is cut to 15 bytes.
            name.trim_end() == "blitz-runtime-c"
        });
        match started {
            Some(plugin) => break plugin,
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    engine.kill().unwrap();
    engine.wait().unwrap();
    while is_running(plugin) {
        assert!(Instant::now() < until, "process {plugin} outlived its engine");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether it exists and is no zombie: whoever inherits it may bury it late.
fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.starts_with(" Z")))
}
