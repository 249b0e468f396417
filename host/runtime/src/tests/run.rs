//! How runs end, and what they may use until then.

use std::time::{Duration, Instant};

use blitz_contract::{Exit, Frame, Limits, Stopped, Stream};
use bytes::Bytes;

use super::component::{MEMORY, invocation, load, plugin, run, sha256};
use crate::limits::FRAME_MAX_BYTES;
use crate::{Runtime, RuntimeConfig};

const SPIN: &str = "(loop (br 0)) (unreachable)";

/// stdout of `$length` bytes at 1024, by WASI.
const WRITES: &str = r#"
    (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
    (import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
    (import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))
    (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
        (func $write (param i32 i32 i32 i32)))
    (import "blitz:plugin/files@0.1.0" "write-output" (func $file (param i32 i32 i32 i32 i32)))
    (import "blitz:plugin/files@0.1.0" "read-input"
        (func $input (param i32 i32 i64 i32 i32)))
    (import "blitz:plugin/events@0.1.0" "emit" (func $emit (param i32 i32 i32 i32 i32)))
    (memory (export "memory") 4)"#;

fn frame(stream: Stream, bytes: &str) -> Frame {
    Frame { stream, bytes: bytes.as_bytes().to_vec() }
}

async fn ends(component: Bytes, limits: Limits) -> Exit {
    let (mut invocation, frames) = invocation(8);
    invocation.limits = limits;
    run(&load(component).await, invocation, frames).await.0
}

fn text(exit: Exit) -> String {
    match exit {
        Exit::Stopped(Stopped::Limit(text) | Stopped::Timeout(text) | Stopped::Crashed(text)) => {
            text
        }
        other => panic!("not stopped by a limit: {other:?}"),
    }
}

#[tokio::test]
async fn the_returned_status_is_the_exit() {
    assert_eq!(ends(plugin(MEMORY, "(i32.const 7)"), Limits::default()).await, Exit::Status(7));
}

#[tokio::test]
async fn what_a_guest_gives_arrives_in_its_order() {
    let head = format!(r#"{WRITES} (data (i32.const 1024) "out\nerr\nhop{{\22ttl\22:1}}name")"#);
    let component = plugin(
        &head,
        r"(call $write (call $stdout) (i32.const 1024) (i32.const 4) (i32.const 272))
          (call $emit (i32.const 1032) (i32.const 3) (i32.const 1035) (i32.const 9) (i32.const 272))
          (call $write (call $stderr) (i32.const 1028) (i32.const 4) (i32.const 272))
          (call $file (i32.const 1044) (i32.const 4) (i32.const 1024) (i32.const 3) (i32.const 272))
          (call $file (i32.const 1044) (i32.const 4) (i32.const 1024) (i32.const 0) (i32.const 272))
          (i32.const 0)",
    );
    let (invocation, frames) = invocation(1);
    let (exit, frames) = run(&load(component).await, invocation, frames).await;
    assert_eq!(exit, Exit::Status(0));
    assert_eq!(
        frames,
        [
            frame(Stream::Stdout, "out\n"),
            frame(Stream::Event("hop".to_owned()), "{\"ttl\":1}"),
            frame(Stream::Stderr, "err\n"),
            frame(Stream::File("name".to_owned()), "out"),
            frame(Stream::File("name".to_owned()), ""),
        ]
    );
}

#[tokio::test]
async fn inputs_are_read_by_name() {
    let head = format!(r#"{WRITES} (data (i32.const 1024) "-@")"#);
    // Reads 3 bytes from offset 2 of "-", prints them, and returns the tag of reading "@": 1 is an error.
    let component = plugin(
        &head,
        r"(call $input (i32.const 1024) (i32.const 1) (i64.const 2) (i32.const 3) (i32.const 272))
          (call $write (call $stdout) (i32.load (i32.const 276)) (i32.load (i32.const 280)) (i32.const 288))
          (call $input (i32.const 1025) (i32.const 1) (i64.const 0) (i32.const 3) (i32.const 272))
          (i32.load8_u (i32.const 272))",
    );
    let (mut invocation, frames) = invocation(8);
    invocation.inputs.insert("-".to_owned(), Bytes::from_static(b"0123456789"));
    let (exit, frames) = run(&load(component).await, invocation, frames).await;
    assert_eq!((exit, frames), (Exit::Status(1), vec![frame(Stream::Stdout, "234")]));
}

#[tokio::test]
async fn stdin_is_the_input_of_that_name() {
    let head = r#"
        (import "wasi:cli/stdin@0.2.0" "get-stdin" (func $stdin (result i32)))
        (import "wasi:io/streams@0.2.0" "[method]input-stream.blocking-read"
            (func $read (param i32 i64 i32)))
        (memory (export "memory") 4)"#;
    // The length that was read, or 99 when stdin is closed.
    let component = plugin(
        head,
        r"(call $read (call $stdin) (i64.const 100) (i32.const 272))
          (if (result i32) (i32.load8_u (i32.const 272))
              (then (i32.const 99)) (else (i32.load (i32.const 280))))",
    );
    let guest = load(component).await;
    let (closed, frames) = invocation(8);
    assert_eq!(run(&guest, closed, frames).await.0, Exit::Status(99));
    let (mut fed, frames) = invocation(8);
    fed.inputs.insert("-".to_owned(), Bytes::from_static(b"12345"));
    assert_eq!(run(&guest, fed, frames).await.0, Exit::Status(5));
}

#[tokio::test]
async fn an_endless_loop_is_cancelled_at_once() {
    let guest = load(plugin(MEMORY, SPIN)).await;
    let (invocation, frames) = invocation(8);
    let cancel = invocation.cancel.clone();
    let cancelling = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        cancel.cancel();
        Instant::now()
    };
    let ((exit, _), cancelled) = tokio::join!(run(&guest, invocation, frames), cancelling);
    let took = cancelled.elapsed();
    assert_eq!(exit, Exit::Stopped(Stopped::Cancelled));
    println!("cancelled a loop in {took:?}");
    assert!(took < Duration::from_secs(1), "took {took:?}");
}

#[tokio::test]
async fn an_endless_loop_ends_with_its_time() {
    let guest = load(plugin(MEMORY, SPIN)).await;
    let (mut invocation, frames) = invocation(8);
    invocation.deadline = Duration::from_millis(100);
    let started = Instant::now();
    let exit = run(&guest, invocation, frames).await.0;
    println!("a time limit of 100 ms held after {:?}", started.elapsed());
    assert!(matches!(exit, Exit::Stopped(Stopped::Timeout(_))), "{exit:?}");
    let text = text(exit);
    assert!(text.starts_with("time limit 100 ms reached (CPU time used: "), "{text}");
}

#[tokio::test]
async fn an_endless_loop_ends_with_its_cpu_time() {
    let limits = Limits { cpu_ms: Some(50), ..Limits::default() };
    let exit = ends(plugin(MEMORY, SPIN), limits).await;
    assert!(matches!(exit, Exit::Stopped(Stopped::Limit(_))), "{exit:?}");
    let text = text(exit);
    assert!(text.starts_with("CPU time limit 50 ms reached (used "), "{text}");
}

#[tokio::test]
async fn waiting_costs_no_cpu_time() {
    let head = r#"
        (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration"
            (func $after (param i64) (result i32)))
        (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
        (memory (export "memory") 4)"#;
    let component = plugin(head, "(call $block (call $after (i64.const 300000000))) (i32.const 0)");
    let limits = Limits { cpu_ms: Some(100), ..Limits::default() };
    assert_eq!(ends(component.clone(), limits).await, Exit::Status(0));
    let (mut invocation, frames) = invocation(8);
    invocation.deadline = Duration::from_millis(100);
    let exit = run(&load(component).await, invocation, frames).await.0;
    assert!(matches!(exit, Exit::Stopped(Stopped::Timeout(_))), "{exit:?}");
}

#[tokio::test]
async fn memory_beyond_the_limit_is_named() {
    let grows =
        "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)";
    let limits = Limits { memory_bytes: Some(8 * 1024 * 1024), ..Limits::default() };
    let grown = text(ends(plugin(MEMORY, grows), limits).await);
    assert_eq!(grown, "memory limit 8 MiB reached (asked for 8.2 MiB)");
    let large = r#"(memory (export "memory") 200)"#;
    let instantiated = text(ends(plugin(large, "(i32.const 0)"), limits).await);
    assert_eq!(instantiated, "memory limit 8 MiB reached (asked for 12.5 MiB)");
}

#[tokio::test]
async fn a_refused_growth_that_the_guest_survives_is_no_end() {
    let tries = "(drop (memory.grow (i32.const 30000))) (i32.const 3)";
    assert_eq!(ends(plugin(MEMORY, tries), Limits::default()).await, Exit::Status(3));
}

#[tokio::test]
async fn a_trap_is_a_crash_with_its_reason() {
    let exit = ends(plugin(MEMORY, "(unreachable)"), Limits::default()).await;
    assert!(matches!(exit, Exit::Stopped(Stopped::Crashed(_))), "{exit:?}");
    assert_eq!(text(exit), "wasm trap: wasm `unreachable` instruction executed");
    let head = r"(memory (export &memory&) 4) (func $f (call $f))".replace('&', "\"");
    let deep = text(ends(plugin(&head, "(call $f) (i32.const 0)"), Limits::default()).await);
    assert_eq!(deep, "wasm trap: call stack exhausted");
}

#[tokio::test]
async fn a_panic_is_a_crash_with_its_message() {
    let message = "thread 'main' panicked at src/lib.rs:4:5:\\nboom\\n";
    let head = format!(r#"{WRITES} (data (i32.const 1024) "{message}")"#);
    let component = plugin(
        &head,
        r"(call $write (call $stderr) (i32.const 1024) (i32.const 47) (i32.const 272))
          (unreachable)",
    );
    assert_eq!(text(ends(component, Limits::default()).await), "panicked at src/lib.rs:4:5: boom");
}

#[tokio::test]
async fn exit_is_a_status() {
    for (code, status) in [(0, 0), (1, 1)] {
        let run = format!("(call $exit (i32.const {code})) (unreachable)");
        assert_eq!(ends(plugin(WRITES, &run), Limits::default()).await, Exit::Status(status));
    }
}

#[tokio::test]
async fn sockets_of_wasi_are_not_lent() {
    let head = r#"
        (import "wasi:sockets/tcp-create-socket@0.2.0" "create-tcp-socket"
            (func $socket (param i32 i32)))
        (memory (export "memory") 4)"#;
    // The result's tag and its code.
    let component = plugin(
        head,
        r"(call $socket (i32.const 0) (i32.const 272))
          (i32.add (i32.mul (i32.load8_u (i32.const 272)) (i32.const 100))
                   (i32.load8_u (i32.const 276)))",
    );
    let exit = ends(component, Limits::default()).await;
    assert!(matches!(exit, Exit::Status(100..)), "a socket was made: {exit:?}");
}

/// Writes 4 KiB to stdout for ever.
fn flood() -> Bytes {
    plugin(
        WRITES,
        r"(local.set $handle (call $stdout))
          (loop
              (call $write (local.get $handle) (i32.const 1024) (i32.const 4096) (i32.const 272))
              (br 0))
          (unreachable)",
    )
}

#[tokio::test]
async fn a_flood_waits_for_its_receiver() {
    const ROOM: usize = 4;
    let guest = load(flood()).await;
    let (mut invocation, mut frames) = invocation(ROOM);
    invocation.deadline = Duration::from_millis(300);
    let text = text(guest.run(invocation).await);
    assert!(text.starts_with("time limit 300 ms reached while nobody took its output"), "{text}");
    let mut held = 0;
    while let Some(frame) = frames.recv().await {
        assert!(frame.bytes.len() <= FRAME_MAX_BYTES);
        held += 1;
    }
    assert_eq!(held, ROOM);
}

#[tokio::test]
async fn a_flood_ends_at_the_output_limit() {
    let guest = load(flood()).await;
    let (mut invocation, frames) = invocation(2);
    invocation.limits.output_bytes = Some(1_000_000);
    let (exit, frames) = run(&guest, invocation, frames).await;
    assert_eq!(text(exit), "output limit 976.5 KiB reached");
    assert_eq!(frames.iter().map(|f| f.bytes.len()).sum::<usize>(), 1_000_000);
}

#[tokio::test]
async fn without_a_listener_a_run_is_cancelled() {
    let guest = load(flood()).await;
    let (invocation, frames) = invocation(2);
    drop(frames);
    assert_eq!(guest.run(invocation).await, Exit::Stopped(Stopped::Cancelled));
}

#[tokio::test]
async fn runs_wait_for_a_free_instance() {
    let config = RuntimeConfig { instances_max: Some(1), ..RuntimeConfig::default() };
    let runtime = Runtime::new(config).unwrap();
    let component = plugin(MEMORY, SPIN);
    let sha256 = sha256(&component);
    let guest = runtime.load(component, &sha256).await.unwrap();
    let (first, first_frames) = invocation(1);
    let cancel = first.cancel.clone();
    let (mut second, second_frames) = invocation(1);
    second.deadline = Duration::from_millis(100);
    let waiting = async {
        while runtime.free_instances() > 0 {
            tokio::task::yield_now().await;
        }
        let (exit, _) = run(&guest, second, second_frames).await;
        cancel.cancel();
        exit
    };
    let ((first, _), second) = tokio::join!(run(&guest, first, first_frames), waiting);
    assert_eq!(first, Exit::Stopped(Stopped::Cancelled));
    assert_eq!(text(second), "time limit 100 ms reached while it waited for a free instance");
}

#[tokio::test]
async fn dropping_a_run_frees_its_instance() {
    let config = RuntimeConfig { instances_max: Some(1), ..RuntimeConfig::default() };
    let runtime = Runtime::new(config).unwrap();
    let component = plugin(MEMORY, SPIN);
    let sha256 = sha256(&component);
    let guest = runtime.load(component, &sha256).await.unwrap();
    for _ in 0..3 {
        let (invocation, _frames) = invocation(1);
        let dropped = tokio::time::timeout(Duration::from_millis(30), guest.run(invocation)).await;
        assert!(dropped.is_err(), "{dropped:?}");
    }
}
