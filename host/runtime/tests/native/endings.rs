//! Libraries that end badly, or not at all: each costs its own run and nothing else.

use std::time::Duration;

use blitz_contract::{Exit, Limits, Stopped, Stream};
use blitz_runtime::Plugin;

use crate::support::{hostile, invocation, load, nobody_stays, run, runtime, simple, text};

async fn and_then_the_next(plugin: &Plugin, after: &str) {
    let next = simple(plugin, &["noop"]).await;
    assert_eq!(next, (Exit::Status(0), Vec::new()), "after {after}");
}

#[tokio::test]
async fn a_crash_is_told_with_its_reason() {
    let runtime = runtime();
    let plugin = load(&runtime, hostile()).await;
    for (how, wanted) in [
        ("segfault", "segmentation fault (SIGSEGV)"),
        ("abort", "it aborted (SIGABRT)"),
        ("stack", "it aborted (SIGABRT): fatal runtime error: stack overflow"),
        ("exit", "it ended with exit status 0 before run returned"),
        ("code", "run returned 4711, which is no exit status"),
        ("garbage", "it broke the protocol to the engine: a header of "),
        ("nonsense", "it broke the protocol to the engine: a header that is none"),
        ("cage-again", "it broke the protocol to the engine: its cage was shut twice"),
        ("huge-header", "it broke the protocol to the engine: a header of 2147483647 bytes"),
        ("huge-body", "it broke the protocol to the engine: 2147483647 bytes behind a header"),
        ("close", "it closed its connection to the engine"),
        ("close-all", "it closed its connection to the engine"),
        ("foreign-body", "it has no HTTP body 1"),
    ] {
        let exit = simple(&plugin, &[how]).await.0;
        let Exit::Stopped(Stopped::Crashed(text)) = exit else { panic!("{how}: {exit:?}") };
        println!("{how}: {text}");
        assert!(text.starts_with(wanted), "{how}: {text}");
        and_then_the_next(&plugin, how).await;
    }
    nobody_stays().await;
}

#[tokio::test]
async fn who_never_returns_is_ended() {
    let runtime = runtime();
    let plugin = load(&runtime, hostile()).await;
    for how in ["deaf", "spin", "slow-frame", "twice"] {
        let (mut hangs, frames) = invocation(&[how], 8);
        hangs.deadline = Duration::from_millis(500);
        let exit = run(&plugin, hangs, frames).await.0;
        let Exit::Stopped(Stopped::Timeout(text)) = exit else { panic!("{how}: {exit:?}") };
        assert!(text.starts_with("time limit 500 ms reached"), "{how}: {text}");
        and_then_the_next(&plugin, how).await;
    }
    let (deaf, frames) = invocation(&["deaf"], 8);
    let cancel = deaf.cancel.clone();
    let cancelling = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        cancel.cancel();
    };
    let ((exit, _), ()) = tokio::join!(run(&plugin, deaf, frames), cancelling);
    assert_eq!(exit, Exit::Stopped(Stopped::Cancelled));
    nobody_stays().await;
}

#[tokio::test]
async fn what_is_allocated_and_printed_without_end_meets_its_limit() {
    let runtime = runtime();
    let plugin = load(&runtime, hostile()).await;
    let (mut allocates, frames) = invocation(&["allocate"], 8);
    allocates.limits = Limits { memory_bytes: Some(16 * 1024 * 1024), ..Limits::default() };
    let (exit, frames) = run(&plugin, allocates, frames).await;
    assert_eq!(
        (exit, text(&frames, &Stream::Stdout).as_str()),
        (Exit::Status(7), "malloc: NULL\n")
    );
    for how in ["flood", "flood-frames"] {
        let (mut floods, frames) = invocation(&[how], 2);
        floods.limits.output_bytes = Some(100_000);
        let (exit, frames) = run(&plugin, floods, frames).await;
        assert_eq!(
            exit,
            Exit::Stopped(Stopped::Limit("output limit 97.6 KiB reached".to_owned())),
            "{how}"
        );
        assert_eq!(frames.iter().map(|f| f.bytes.len()).sum::<usize>(), 100_000, "{how}");
        and_then_the_next(&plugin, how).await;
    }
    nobody_stays().await;
}
