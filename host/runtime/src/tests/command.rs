//! Plain WASI commands: a `main` and a manifest beside it.

use blitz_contract::{Exit, Frame, Stopped, Stream, package};
use bytes::Bytes;

use super::component::{component, invocation, load, run, sha256};
use crate::{Error, Runtime, RuntimeConfig};

const MANIFEST: &str =
    r#"{"name":"cmd","version":"1.2.3","summary":"a test","contract":"0.1.0","arguments":[]}"#;

/// A command whose `main` has this body.
fn command(main: &str) -> Bytes {
    let wat = format!(
        r#"(module
            (import "wasi:cli/environment@0.2.0" "get-arguments" (func $arguments (param i32)))
            (import "wasi:cli/environment@0.2.0" "get-environment" (func $environment (param i32)))
            (import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))
            (import "wasi:cli/stdin@0.2.0" "get-stdin" (func $stdin (result i32)))
            (import "wasi:io/streams@0.2.0" "[method]input-stream.blocking-read"
                (func $read (param i32 i64 i32)))
            (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
            (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
                (func $write (param i32 i32 i32 i32)))
            (memory (export "memory") 4)
            (global $top (mut i32) (i32.const 65536))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (global.set $top (i32.and (i32.add (global.get $top) (i32.const 15)) (i32.const -16)))
                (global.get $top)
                (global.set $top (i32.add (global.get $top) (local.get 3))))
            (func $print (param $at i32)
                (call $write (call $stdout) (i32.load (local.get $at))
                    (i32.load offset=4 (local.get $at)) (i32.const 512)))
            (func (export "wasi:cli/run@0.2.0#run") (result i32) (local $at i32) (local $end i32)
                {main}))"#
    );
    component(&wat, "command")
}

/// Prints each string of the list that an import leaves at 272; a string takes 8 bytes, a pair of them 16.
fn print_list(import: &str, strings: u32) -> String {
    let bytes = strings * 8;
    format!(
        r"(call ${import} (i32.const 272))
          (local.set $at (i32.load (i32.const 272)))
          (local.set $end (i32.add (local.get $at)
              (i32.mul (i32.load (i32.const 276)) (i32.const {bytes}))))
          (block $done (loop $next
              (br_if $done (i32.eq (local.get $at) (local.get $end)))
              (call $print (local.get $at))
              (local.set $at (i32.add (local.get $at) (i32.const 8)))
              (br $next)))"
    )
}

async fn ends(main: &str, manifest: &str) -> (Exit, Vec<Frame>) {
    let packed = package::with_manifest(&command(main), manifest).unwrap();
    let (mut invocation, frames) = invocation(16);
    invocation.inputs.insert("-".to_owned(), Bytes::from_static(b"typed"));
    run(&load(packed.into()).await, invocation, frames).await
}

fn text(frames: &[Frame], stream: &Stream) -> String {
    let bytes: Vec<u8> = frames
        .iter()
        .filter(|frame| frame.stream == *stream)
        .flat_map(|frame| frame.bytes.clone())
        .collect();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_command_has_its_arguments_and_its_region() {
    let main =
        format!("{}{}(i32.const 0)", print_list("arguments", 1), print_list("environment", 2));
    let (exit, frames) = ends(&main, MANIFEST).await;
    assert_eq!(exit, Exit::Status(0));
    assert_eq!(text(&frames, &Stream::Stdout), "cmdonetwoBLITZ_REGIONvirginia");
}

#[tokio::test]
async fn a_command_reads_stdin() {
    let main = r"(call $read (call $stdin) (i64.const 100) (i32.const 272))
                 (call $print (i32.const 276)) (i32.const 0)";
    let (exit, frames) = ends(main, MANIFEST).await;
    assert_eq!((exit, text(&frames, &Stream::Stdout)), (Exit::Status(0), "typed".to_owned()));
}

#[tokio::test]
async fn an_error_of_main_is_status_1() {
    for (main, exit) in [
        ("(i32.const 1)", Exit::Status(1)),
        ("(call $exit (i32.const 0)) (unreachable)", Exit::Status(0)),
        ("(call $exit (i32.const 1)) (unreachable)", Exit::Status(1)),
    ] {
        assert_eq!(ends(main, MANIFEST).await.0, exit, "{main}");
    }
    let (exit, _) = ends("(unreachable)", MANIFEST).await;
    assert!(matches!(exit, Exit::Stopped(Stopped::Crashed(_))), "{exit:?}");
}

#[tokio::test]
async fn arguments_that_are_declared_are_checked_before_it_starts() {
    let declared = |name: &str| {
        let argument = format!(r#"{{"name":"{name}","positional":true,"repeated":true}}"#);
        MANIFEST.replace(r#""arguments":[]"#, &format!(r#""arguments":[{argument}]"#))
    };
    assert_eq!(ends("(i32.const 0)", &declared("WORD")).await.0, Exit::Status(0));
    let number = declared("WORD").replace("\"repeated\":true", "\"kind\":\"number\"");
    let (exit, frames) = ends("(unreachable)", &number).await;
    assert_eq!(exit, Exit::Status(2));
    let stderr = text(&frames, &Stream::Stderr);
    assert!(
        stderr.starts_with("cmd: ") && stderr.ends_with("\ntry 'blitz help cmd'\n"),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
}

#[tokio::test]
async fn a_command_without_a_manifest_is_told_the_next_step() {
    let runtime = Runtime::new(RuntimeConfig::default()).unwrap();
    let bytes = command("(i32.const 0)");
    let sha256 = sha256(&bytes);
    let error = runtime.load(bytes, &sha256).await.expect_err("it was loaded");
    assert!(matches!(error, Error::Unpacked), "{error}");
    assert_eq!(
        error.to_string(),
        "a WASI command without a manifest: pack it with 'blitz plugin build'"
    );
}
