//! What a hostile library tries from inside the cage, and what it gets.

use blitz_contract::{Exit, Stopped, Stream};
use blitz_runtime::{NativePolicy, Runtime, RuntimeConfig};

use crate::support::{config, hostile, load, nobody_stays, runtime, simple, text};

/// Runs attacks that come back, and holds each line against what may succeed.
async fn tries(how: &str, may_succeed: &[&str]) {
    let runtime = runtime();
    let plugin = load(&runtime, hostile()).await;
    let (exit, frames) = simple(&plugin, &[how]).await;
    assert_eq!(exit, Exit::Status(0), "{how}: {frames:?}");
    let met = text(&frames, &Stream::Stdout);
    assert!(met.lines().count() > 5, "{how}: {met}");
    let succeeded: Vec<&str> = met.lines().filter_map(|line| line.strip_suffix(": OK")).collect();
    assert_eq!(succeeded, may_succeed, "{how}: {met}");
    // The engine lives, nobody stays, and the next run is not disturbed.
    assert_eq!(simple(&plugin, &["noop"]).await, (Exit::Status(0), Vec::new()));
    nobody_stays().await;
}

#[tokio::test]
async fn files_cannot_be_opened() {
    tries("files", &["library"]).await;
    assert!(!std::path::Path::new("/tmp/blitz-native-hostile").exists());
}

#[tokio::test]
async fn no_process_and_no_thread_is_made_and_none_is_hit() {
    tries("processes", &[]).await;
}

#[tokio::test]
async fn no_right_is_gained_and_no_bar_is_loosened() {
    tries("rights", &[]).await;
}

#[tokio::test]
async fn no_socket_is_made_or_turned_elsewhere() {
    tries("network", &[]).await;
}

#[tokio::test]
async fn a_fork_bomb_does_not_go_off() {
    let runtime = runtime();
    let plugin = load(&runtime, hostile()).await;
    assert_eq!(simple(&plugin, &["fork-bomb"]).await.0, Exit::Status(0));
    nobody_stays().await;
}

#[tokio::test]
async fn calls_that_no_plugin_makes_end_it() {
    let runtime = runtime();
    let plugin = load(&runtime, hostile()).await;
    for how in ["exec", "ptrace", "vm-write", "unshare"] {
        let Exit::Stopped(Stopped::Crashed(text)) = simple(&plugin, &[how]).await.0 else {
            panic!("{how} is not deadly");
        };
        assert!(text.starts_with("it was killed (SIGSYS)"), "{how}: {text}");
        assert_eq!(simple(&plugin, &["noop"]).await.0, Exit::Status(0), "after {how}");
    }
    nobody_stays().await;
}

/// Where a kernel has Landlock, an engine that could do without has it all the same.
#[tokio::test]
async fn a_lenient_engine_has_the_same_cage_here() {
    let lenient = RuntimeConfig { native: NativePolicy::Warn, ..config() };
    let runtime = Runtime::new(lenient).unwrap();
    let plugin = load(&runtime, hostile()).await;
    let (exit, frames) = simple(&plugin, &["files"]).await;
    assert_eq!(exit, Exit::Status(0));
    assert!(text(&frames, &Stream::Stdout).starts_with("passwd: EACCES\n"), "{frames:?}");
}

#[tokio::test]
async fn nothing_that_the_engine_inherited_is_open_in_a_plugin() {
    // As a careless parent of an engine leaves it: a file that survives a new program, and its two copies.
    let leaked = tempfile::tempfile().unwrap();
    let copies = [leaked.try_clone().unwrap(), leaked.try_clone().unwrap()];
    for file in copies.iter().chain([&leaked]) {
        rustix::io::fcntl_setfd(file, rustix::io::FdFlags::empty()).unwrap();
    }
    let runtime = runtime();
    let plugin = load(&runtime, hostile()).await;
    let (exit, frames) = simple(&plugin, &["descriptors"]).await;
    assert_eq!(exit, Exit::Status(0));
    let open = text(&frames, &Stream::Stdout);
    // Three streams, the line to the engine and the library.
    assert_eq!(open.split_ascii_whitespace().count(), 1 + 5, "{open}");
}
