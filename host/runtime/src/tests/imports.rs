//! The imports `control`, `metrics` and `dns` from a guest's side, and rights that nobody knows.

use std::time::{Duration, Instant};

use blitz_contract::{Capability, Exit, Frame, Limits, Stopped, Stream};
use bytes::Bytes;
use serde_json::{Value, json};

use super::component::{MEMORY, invocation, load, plugin, run, sha256};
use crate::{Rates, Runtime, RuntimeConfig};

/// Long enough to be seen, and below the host's maximum.
const GRACE: Duration = Duration::from_millis(400);

const IMPORTS: &str = r#"
    (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
    (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
        (func $write (param i32 i32 i32 i32)))
    (import "blitz:plugin/control@0.1.0" "time-left-ms" (func $left (result i64)))
    (import "blitz:plugin/control@0.1.0" "is-cancelled" (func $cancelled (result i32)))
    (import "blitz:plugin/control@0.1.0" "pause" (func $pause (param i64) (result i32)))
    (import "blitz:plugin/metrics@0.1.0" "count" (func $count (param i32 i32 i64 i32)))
    (import "blitz:plugin/metrics@0.1.0" "observe" (func $observe (param i32 i32 i32 i32 i32)))
    (import "blitz:plugin/dns@0.1.0" "lookup"
        (func $lookup (param i32 i32 i32 i32 i32 i32 i32 i64 i32)))
    (memory (export "memory") 4)
    (data (i32.const 1024) "begun\nlast words\nruns_count")"#;

const SAY_BEGUN: &str =
    "(call $write (call $stdout) (i32.const 1024) (i32.const 6) (i32.const 272))";
const SAY_LAST_WORDS: &str =
    "(call $write (call $stdout) (i32.const 1030) (i32.const 11) (i32.const 272))";
const COUNT: &str = "(call $count (i32.const 1041) (i32.const 10) (i64.const 1) (i32.const 272))";
const SPIN: &str = "(loop (br 0)) (unreachable)";

/// What a run came to that was cancelled once it had begun.
struct Cancelled {
    exit: Exit,
    stdout: String,
    events: Vec<Value>,
    /// From the cancel to the end.
    took: Duration,
}

async fn cancelled(body: &str, grace: Option<Duration>, deadline: Duration) -> Cancelled {
    let guest = load(plugin(IMPORTS, &format!("{SAY_BEGUN} {body}"))).await;
    let (mut invocation, mut frames) = invocation(8);
    let grace_ms = grace.map(|grace| u64::try_from(grace.as_millis()).unwrap());
    invocation.limits = Limits { grace_ms, ..Limits::default() };
    invocation.deadline = deadline;
    let cancel = invocation.cancel.clone();
    let listening = async {
        let mut taken = vec![frames.recv().await.expect("it begins")];
        cancel.cancel();
        let at = Instant::now();
        while let Some(frame) = frames.recv().await {
            taken.push(frame);
        }
        (taken, at)
    };
    let (exit, (frames, at)) = tokio::join!(guest.run(invocation), listening);
    let (stdout, events) = sorted(frames);
    Cancelled { exit, stdout, events, took: at.elapsed() }
}

fn sorted(frames: Vec<Frame>) -> (String, Vec<Value>) {
    let (mut stdout, mut events) = (String::new(), Vec::new());
    for frame in frames {
        match frame.stream {
            Stream::Stdout => stdout.push_str(&String::from_utf8(frame.bytes).unwrap()),
            Stream::Event(kind) => {
                assert_eq!(kind, "metrics");
                events.push(serde_json::from_slice(&frame.bytes).unwrap());
            }
            other => panic!("a frame of {other}"),
        }
    }
    (stdout, events)
}

fn counted() -> Vec<Value> {
    vec![json!({ "counters": { "runs_count": 1 }, "distributions": {} })]
}

#[tokio::test]
async fn a_cancelled_guest_with_grace_says_its_last_words() {
    // The pause comes back at once; what it returned is its status, which nobody sees.
    let body = format!(
        "(drop (call $pause (i64.const 60000))) {COUNT} {SAY_LAST_WORDS} (call $cancelled)"
    );
    let ended = cancelled(&body, Some(GRACE), Duration::from_secs(60)).await;
    assert_eq!(ended.exit, Exit::Stopped(Stopped::Cancelled));
    assert_eq!(ended.stdout, "begun\nlast words\n");
    assert_eq!(ended.events, counted());
    assert!(ended.took < GRACE, "it was done and nobody waited: {:?}", ended.took);
}

#[tokio::test]
async fn what_a_guest_sees_of_its_cancel() {
    // Says its last words only when pause, is-cancelled and the next pause say the same.
    let body = format!(
        "(if (i32.and (i32.and (call $pause (i64.const 60000)) (call $cancelled))
                      (call $pause (i64.const 60000)))
             (then {SAY_LAST_WORDS})) (i32.const 0)"
    );
    let ended = cancelled(&body, Some(GRACE), Duration::from_secs(60)).await;
    assert_eq!(ended.stdout, "begun\nlast words\n");
}

#[tokio::test]
async fn a_guest_that_computes_through_its_grace_is_stopped_at_its_end() {
    let ended = cancelled(&format!("{COUNT} {SPIN}"), Some(GRACE), Duration::from_secs(60)).await;
    assert_eq!(ended.exit, Exit::Stopped(Stopped::Cancelled));
    assert_eq!(ended.events, counted(), "what it counted is not lost");
    println!("a loop with {GRACE:?} of grace was stopped after {:?}", ended.took);
    assert!(ended.took >= GRACE && ended.took < GRACE + Duration::from_secs(1), "{:?}", ended.took);
}

#[tokio::test]
async fn without_grace_a_cancel_is_never_seen() {
    for grace in [None, Some(Duration::ZERO)] {
        let body = format!(
            "{COUNT} (drop (call $pause (i64.const 60000))) {SAY_LAST_WORDS} (i32.const 0)"
        );
        let ended = cancelled(&body, grace, Duration::from_secs(60)).await;
        assert_eq!(ended.exit, Exit::Stopped(Stopped::Cancelled));
        assert_eq!((ended.stdout.as_str(), ended.events), ("begun\n", counted()));
        assert!(ended.took < GRACE, "{:?}", ended.took);
    }
}

#[tokio::test]
async fn the_deadline_beats_the_grace() {
    let ended = cancelled(SPIN, Some(GRACE), GRACE / 2).await;
    let Exit::Stopped(Stopped::Timeout(text)) = ended.exit else { panic!("{:?}", ended.exit) };
    assert!(text.starts_with("time limit 200 ms reached"), "{text}");
}

#[tokio::test]
async fn a_run_that_waits_for_an_instance_has_no_last_words() {
    let config = RuntimeConfig { instances_max: Some(0), ..RuntimeConfig::default() };
    let runtime = Runtime::new(config).unwrap();
    let component = plugin(IMPORTS, "(i32.const 0)");
    let sha256 = sha256(&component);
    let guest = runtime.load(component, &sha256).await.unwrap();
    let (mut invocation, frames) = invocation(8);
    invocation.limits.grace_ms = Some(800);
    invocation.cancel.cancel();
    let begun = Instant::now();
    let (exit, _) = run(&guest, invocation, frames).await;
    assert_eq!(exit, Exit::Stopped(Stopped::Cancelled));
    assert!(begun.elapsed() < GRACE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_time_left_is_below_the_deadline() {
    // 1 when 0 < left <= 60,000.
    let body = "(i64.le_u (i64.sub (call $left) (i64.const 1)) (i64.const 59999))";
    let (invocation, frames) = invocation(8);
    let (exit, _) = run(&load(plugin(IMPORTS, body)).await, invocation, frames).await;
    assert_eq!(exit, Exit::Status(1));
}

#[tokio::test]
async fn a_stopped_run_still_gives_what_it_counted() {
    let limits = Limits { cpu_ms: Some(50), ..Limits::default() };
    let hour = Duration::from_secs(3600);
    for (limits, deadline, body) in [
        (Limits::default(), Duration::from_millis(100), SPIN),
        (limits, hour, SPIN),
        (Limits::default(), hour, "(unreachable)"),
        (Limits::default(), hour, "(i32.const 3)"),
    ] {
        let guest = load(plugin(IMPORTS, &format!("{COUNT} {body}"))).await;
        let (mut invocation, frames) = invocation(8);
        (invocation.limits, invocation.deadline) = (limits, deadline);
        let (exit, frames) = run(&guest, invocation, frames).await;
        assert_eq!(sorted(frames).1, counted(), "{exit:?}");
    }
}

#[tokio::test]
async fn the_record_counts_against_the_output_limit() {
    let guest = load(plugin(IMPORTS, &format!("{COUNT} (i32.const 0)"))).await;
    let (mut invocation, frames) = invocation(8);
    invocation.limits.output_bytes = Some(10);
    let (exit, _) = run(&guest, invocation, frames).await;
    assert_eq!(exit, Exit::Stopped(Stopped::Limit("output limit 10 bytes reached".to_owned())));
}

#[tokio::test]
async fn a_receiver_that_takes_nothing_does_not_hold_up_a_stop() {
    let guest = load(plugin(IMPORTS, &format!("{COUNT} {SAY_BEGUN} {SPIN}"))).await;
    let (mut invocation, mut frames) = invocation(1);
    invocation.deadline = Duration::from_millis(200);
    let begun = Instant::now();
    let exit = guest.run(invocation).await;
    assert!(matches!(exit, Exit::Stopped(Stopped::Timeout(_))), "{exit:?}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(frames.recv().await.unwrap().bytes, b"begun\n");
    assert_eq!(frames.recv().await, None);
}

/// Asks for the root's address at a server on loopback; the tag of the result and of its error.
fn looks_up() -> Bytes {
    let head = format!(r#"{IMPORTS} (data (i32.const 2048) ".127.0.0.1:9")"#);
    plugin(
        &head,
        "(call $lookup (i32.const 2048) (i32.const 1) (i32.const 1)
             (i32.const 1) (i32.const 2049) (i32.const 11) (i32.const 1) (i64.const 1000) (i32.const 272))
         (i32.add (i32.mul (i32.load8_u (i32.const 272)) (i32.const 10))
                  (i32.load8_u (i32.const 280)))",
    )
}

#[tokio::test]
async fn lookups_need_their_grant_and_a_server_that_is_allowed() {
    let guest = load(looks_up()).await;
    for capabilities in [vec![], vec![Capability::Web], vec![Capability::Dns]] {
        let (mut invocation, frames) = invocation(8);
        invocation.capabilities = capabilities.clone();
        let (exit, _) = run(&guest, invocation, frames).await;
        // Denied each time: the last one by the policy, which is `public-only`.
        assert_eq!(exit, Exit::Status(10), "{capabilities:?}");
    }
}

#[tokio::test]
async fn the_engines_own_resolver_is_not_asked_for_a_zone() {
    let head = format!(r#"{IMPORTS} (data (i32.const 2048) ".")"#);
    let guest = load(plugin(
        &head,
        "(call $lookup (i32.const 2048) (i32.const 1) (i32.const 252)
             (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (i32.const 272))
         (i32.add (i32.mul (i32.load8_u (i32.const 272)) (i32.const 10))
                  (i32.load8_u (i32.const 280)))",
    ))
    .await;
    let (mut invocation, frames) = invocation(8);
    invocation.capabilities = vec![Capability::Dns];
    let (exit, _) = run(&guest, invocation, frames).await;
    assert_eq!(exit, Exit::Status(10), "denied");
}

#[tokio::test]
async fn an_unknown_right_is_refused_before_anything_runs() {
    let guest = load(plugin(MEMORY, SPIN)).await;
    let (mut invocation, frames) = invocation(8);
    invocation.capabilities = vec![Capability::Unknown("teleport".to_owned())];
    let (exit, _) = run(&guest, invocation, frames).await;
    let Exit::Stopped(Stopped::Unusable(text)) = exit else { panic!("{exit:?}") };
    assert!(text.starts_with("it asks for the right \"teleport\""), "{text}");
}

#[tokio::test]
async fn who_waits_for_its_turn_is_told_so_at_the_deadline() {
    let rates = Rates { run_per_s: 1, run_burst: 1, ..Rates::UNLIMITED };
    let config =
        RuntimeConfig { rates, targets: crate::TargetPolicy::any(), ..RuntimeConfig::default() };
    let runtime = Runtime::new(config).unwrap();
    let head = format!(r#"{IMPORTS} (data (i32.const 2048) ".127.0.0.1:9")"#);
    let component = plugin(
        &head,
        "(loop
             (call $lookup (i32.const 2048) (i32.const 1) (i32.const 1)
                 (i32.const 1) (i32.const 2049) (i32.const 11) (i32.const 0) (i64.const 0) (i32.const 272))
             (br 0))
         (unreachable)",
    );
    let sha256 = sha256(&component);
    let guest = runtime.load(component, &sha256).await.unwrap();
    let (mut invocation, frames) = invocation(8);
    invocation.capabilities = vec![Capability::Dns];
    invocation.deadline = Duration::from_millis(300);
    let (exit, _) = run(&guest, invocation, frames).await;
    let Exit::Stopped(Stopped::Timeout(text)) = exit else { panic!("{exit:?}") };
    let wanted =
        "time limit 300 ms reached while it waited for its turn (1 requests per second of one run)";
    assert!(text.starts_with(wanted), "{text}");
}

/// `cargo test --release -p blitz-runtime --lib -- --ignored --nocapture one_call_costs`
#[tokio::test]
#[ignore = "a measurement, for a release build on a quiet machine"]
async fn one_call_costs_little() {
    const CALLS: u32 = 1_000_000;
    let loops = |calls: u32, call: &str| {
        format!(
            "(local.set $handle (i32.const {calls}))
             (loop {call}
                 (br_if 0 (local.tee $handle (i32.sub (local.get $handle) (i32.const 1)))))
             (i32.const 0)"
        )
    };
    let observe = |values: u32| {
        format!(
            "(call $observe (i32.const 1041) (i32.const 10) (i32.const 65536) (i32.const {values}) \
             (i32.const 272))"
        )
    };
    for (what, calls, call, ns_max) in [
        ("count", CALLS, COUNT.to_owned(), 300),
        ("observe one", CALLS, observe(1), 300),
        ("observe 1000", CALLS / 1000, observe(1000), 20_000),
        ("is-cancelled", CALLS, "(drop (call $cancelled))".to_owned(), 300),
        ("time-left-ms", CALLS, "(drop (call $left))".to_owned(), 300),
    ] {
        let guest = load(plugin(IMPORTS, &loops(calls, &call))).await;
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let (invocation, frames) = invocation(8);
            let begun = Instant::now();
            let (exit, _) = run(&guest, invocation, frames).await;
            best = best.min(begun.elapsed());
            assert_eq!(exit, Exit::Status(0));
        }
        let each = best / calls;
        println!("{what}: {each:?} a call");
        assert!(cfg!(debug_assertions) || each.as_nanos() <= ns_max, "{what}: {each:?}");
    }
}
