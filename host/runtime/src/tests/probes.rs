//! The import `probes` from a guest's side: its right, its whole road, its tape, and what a time limit says.

use std::time::Duration;

use blitz_contract::{Capability, Exit, Stopped};
use bytes::Bytes;

use super::component::{invocation, plugin, run, sha256};
use crate::tapes::Entry;
use crate::{Player, Plugin, Recorder, Runtime, RuntimeConfig, Tape, TargetPolicy};

const IMPORTS: &str = r#"
    (import "blitz:plugin/probes@0.1.0" "[static]session.open"
        (func $open (param i32 i32 i32 i32 i32 i32 i32)))
    (import "blitz:plugin/probes@0.1.0" "[method]session.elapsed-us" (func $elapsed (param i32) (result i64)))
    (import "blitz:plugin/probes@0.1.0" "[method]session.send" (func $send (param i32 i32 i32 i32)))
    (import "blitz:plugin/probes@0.1.0" "[method]session.next" (func $next (param i32 i64 i32)))
    (import "blitz:plugin/probes@0.1.0" "[method]session.names" (func $names (param i32 i32 i32 i64 i32)))
    (import "blitz:plugin/probes@0.1.0" "[resource-drop]session" (func $drop (param i32)))
    (memory (export "memory") 4)
    (data (i32.const 1024) "127.0.0.1")
    (; Probes 7 and 8: time to live 64, 60 bytes, flow 0, ports 33434 and 33435. ;)
    (data (i32.const 2048)
        "\07\00\00\00\40\00\3c\00\00\00\9a\82\08\00\00\00\40\00\3c\00\00\00\9b\82")"#;

/// Exits with 10 and the tag of the error when there is no session; else sends, hears until there are as many answers
/// as `wanted`, and exits with the sum of their numbers.
fn guest(wanted: u32) -> Bytes {
    let body = format!(
        "(local $answers i32) (local $sum i32) (local $at i32) (local $left i32)
         (call $open (i32.const 1024) (i32.const 9) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
             (i32.const 272))
         (if (i32.load8_u (i32.const 272))
             (then (return (i32.add (i32.const 10) (i32.load8_u (i32.const 276))))))
         (local.set $handle (i32.load (i32.const 276)))
         (call $send (local.get $handle) (i32.const 2048) (i32.const 2) (i32.const 304))
         (if (i32.load8_u (i32.const 304)) (then (return (i32.const 50))))
         (drop (call $elapsed (local.get $handle)))
         (loop
             (call $next (local.get $handle) (i64.const 10000000) (i32.const 336))
             (if (i32.load8_u (i32.const 336)) (then (return (i32.const 51))))
             (local.set $at (i32.load (i32.const 340)))
             (local.set $left (i32.load (i32.const 344)))
             (loop
                 (if (local.get $left) (then
                     (local.set $sum (i32.add (local.get $sum) (i32.load (local.get $at))))
                     (local.set $answers (i32.add (local.get $answers) (i32.const 1)))
                     (local.set $at (i32.add (local.get $at) (i32.const 72)))
                     (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                     (br 1))))
             (br_if 0 (i32.lt_u (local.get $answers) (i32.const {wanted}))))
         (call $drop (local.get $handle))
         (local.get $sum)"
    );
    plugin(IMPORTS, &body)
}

async fn load(component: Bytes, targets: TargetPolicy) -> Plugin {
    let runtime = Runtime::new(RuntimeConfig { targets, ..RuntimeConfig::default() }).unwrap();
    let sha256 = sha256(&component);
    runtime.load(component, &sha256).await.unwrap()
}

#[tokio::test]
async fn a_session_needs_its_grant_and_a_target_that_is_allowed() {
    for (capabilities, targets, wanted) in [
        (vec![], TargetPolicy::any(), Exit::Status(10)),
        (vec![Capability::Sockets], TargetPolicy::any(), Exit::Status(10)),
        (vec![Capability::Probes], TargetPolicy::public_only(), Exit::Status(10)),
        (vec![Capability::Probes], TargetPolicy::any(), Exit::Status(15)),
    ] {
        let guest = load(guest(2), targets).await;
        let (mut invocation, frames) = invocation(8);
        invocation.capabilities = capabilities.clone();
        let (exit, _) = run(&guest, invocation, frames).await;
        assert_eq!(exit, wanted, "{capabilities:?}");
    }
}

#[tokio::test]
async fn a_call_asks_for_a_bounded_number_of_names() {
    for (count, is_allowed) in [(1024, true), (1025, false)] {
        // Empty texts: the memory there is zero.
        let body = format!(
            "(call $open (i32.const 1024) (i32.const 9) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1)
                 (i32.const 272))
             (local.set $handle (i32.load (i32.const 276)))
             (call $names (local.get $handle) (i32.const 131072) (i32.const {count}) (i64.const 0) (i32.const 304))
             (i32.const 3)"
        );
        let guest = load(plugin(IMPORTS, &body), TargetPolicy::any()).await;
        let (mut invocation, frames) = invocation(8);
        invocation.capabilities = vec![Capability::Probes];
        let (exit, _) = run(&guest, invocation, frames).await;
        assert_eq!(exit == Exit::Status(3), is_allowed, "{exit:?}");
        let said = format!("{exit:?}");
        let wanted = "a call of `names` asks for at most 1024 addresses, not 1025";
        assert!(is_allowed || said.contains(wanted), "{said}");
    }
}

#[tokio::test]
async fn a_session_is_heard_again_from_its_tape() {
    let guest = load(guest(2), TargetPolicy::any()).await;
    let recorder = Recorder::default();
    let (mut recording, frames) = invocation(8);
    recording.capabilities = vec![Capability::Probes];
    recording.tape = Tape::Record(recorder.clone());
    assert_eq!(run(&guest, recording, frames).await.0, Exit::Status(15));
    let entries = recorder.take();
    let mut imports: Vec<&str> = entries.iter().map(Entry::import).collect();
    imports.dedup();
    assert_eq!(
        imports,
        ["deadline-ms", "probes.open", "probes.send", "probes.elapsed", "probes.next"]
    );
    let player = Player::new(entries);
    let (mut replay, frames) = invocation(8);
    replay.capabilities = vec![Capability::Probes];
    replay.tape = Tape::Replay(player.clone());
    assert_eq!(run(&guest, replay, frames).await.0, Exit::Status(15));
    assert_eq!(player.left(), 0);
}

#[tokio::test]
async fn who_waits_for_answers_is_told_so_at_the_deadline() {
    let guest = load(guest(3), TargetPolicy::any()).await;
    let (mut invocation, frames) = invocation(8);
    invocation.capabilities = vec![Capability::Probes];
    invocation.deadline = Duration::from_millis(300);
    let (exit, _) = run(&guest, invocation, frames).await;
    let Exit::Stopped(Stopped::Timeout(text)) = exit else { panic!("{exit:?}") };
    let wanted = "time limit 300 ms reached while it waited for answers to its probes";
    assert!(text.starts_with(wanted), "{text}");
}
