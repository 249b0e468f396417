//! A guest that runs the load test of its first argument, a server that counts, and what both showed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use blitz_contract::load::{OPENING_EVENT, Opening, TICK_EVENT, Tick};
use blitz_contract::{Capability, Exit, Frame, Limits, Stream};
use blitz_runtime::{ChildProgram, Invocation, Plugin, Runtime, RuntimeConfig, Tape, TargetPolicy};
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const MANIFEST: &str =
    r#"{"name":"guest","version":"1.2.3","summary":"a test","contract":"0.1.0"}"#;

/// Gives ticks into the file `ticks`, and an error into `error`. The length of the second argument says after how many
/// calls of `next` it stops the test; one of the third, that it lets go of it at once.
fn guest() -> Bytes {
    let escaped = MANIFEST.replace('"', "\\\"");
    let length = MANIFEST.len();
    let wat = format!(
        r#"(module
        (import "blitz:plugin/load@0.1.0" "[static]test.start" (func $start (param i32 i32 i32)))
        (import "blitz:plugin/load@0.1.0" "[method]test.next" (func $next (param i32 i64 i32)))
        (import "blitz:plugin/load@0.1.0" "[method]test.stop" (func $stop (param i32)))
        (import "blitz:plugin/load@0.1.0" "[resource-drop]test" (func $drop (param i32)))
        (import "blitz:plugin/files@0.1.0" "write-output" (func $write (param i32 i32 i32 i32 i32)))
        (memory (export "memory") 900)
        (data (i32.const 0) "{escaped}")
        (data (i32.const 512) "ticks")
        (data (i32.const 528) "error")
        (global $top (mut i32) (i32.const 65536))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (global.set $top (i32.and (i32.add (global.get $top) (i32.const 15)) (i32.const -16)))
            (global.get $top)
            (global.set $top (i32.add (global.get $top) (local.get 3))))
        (func (export "blitz:plugin/tool@0.1.0#describe") (result i32)
            (i32.store (i32.const 256) (i32.const 0))
            (i32.store (i32.const 260) (i32.const {length}))
            (i32.const 256))
        (func $say (param $name i32) (param $at i32)
            (call $write (local.get $name) (i32.const 5)
                (i32.load (local.get $at)) (i32.load offset=4 (local.get $at)) (i32.const 2048)))
        (func (export "blitz:plugin/tool@0.1.0#run") (param $args i32) (param i32 i32 i32 i64) (result i32)
            (local $test i32) (local $left i32) (local $top i32) (local $at i32) (local $count i32)
            (call $start (i32.load (local.get $args)) (i32.load offset=4 (local.get $args)) (i32.const 1024))
            (if (i32.load8_u (i32.const 1024)) (then
                (call $say (i32.const 528) (i32.const 1032))
                (return (i32.add (i32.const 10) (i32.load8_u (i32.const 1028))))))
            (local.set $test (i32.load (i32.const 1028)))
            (if (i32.load offset=20 (local.get $args)) (then (call $drop (local.get $test)) (return (i32.const 7))))
            (local.set $left (i32.load offset=12 (local.get $args)))
            (local.set $top (global.get $top))
            (loop $again
                (global.set $top (local.get $top))
                (call $next (local.get $test) (i64.const 200) (i32.const 1024))
                (if (i32.load8_u (i32.const 1024)) (then
                    (call $say (i32.const 528) (i32.const 1032))
                    (call $drop (local.get $test))
                    (return (i32.const 0))))
                (local.set $at (i32.load (i32.const 1028)))
                (local.set $count (i32.load (i32.const 1032)))
                (if (local.get $count) (then
                    (loop $each
                        (call $say (i32.const 512) (local.get $at))
                        (local.set $at (i32.add (local.get $at) (i32.const 8)))
                        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
                        (br_if $each (local.get $count)))))
                (if (local.get $left) (then
                    (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                    (if (i32.eqz (local.get $left)) (then (call $stop (local.get $test))))))
                (br $again))
            (unreachable)))"#
    );
    let mut module = wat::parse_str(&wat).unwrap();
    let mut resolve = Resolve::default();
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/wit/blitz-plugin-0.1.0");
    resolve.push_path(wit).unwrap();
    let world = "package test:guests; world guest { include blitz:plugin/plugin@0.1.0; }";
    let package = resolve.push_str("guests.wit", world).unwrap();
    let world = resolve.select_world(&[package], Some("guest")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(&module).unwrap().encode().unwrap().into()
}

/// All loopback, and workers of the tests' own program.
pub(crate) fn config() -> RuntimeConfig {
    let mut child = ChildProgram::this();
    child.program = PathBuf::from(env!("CARGO_BIN_EXE_blitz-runtime-child"));
    RuntimeConfig { targets: TargetPolicy::any(), child: Some(child), ..RuntimeConfig::default() }
}

/// A runtime with the guest.
pub(crate) struct World {
    pub(crate) runtime: Runtime,
    plugin: Plugin,
}

impl World {
    pub(crate) async fn new(config: RuntimeConfig) -> Self {
        // Compiled here: the child's program is for load workers.
        let runtime = Runtime::new(config).unwrap();
        let guest = guest();
        let digest: String =
            Sha256::digest(&guest).iter().map(|byte| format!("{byte:02x}")).collect();
        let plugin = runtime.load(guest, &digest).await.unwrap();
        Self { runtime, plugin }
    }

    /// Runs a plan, changed by `change`.
    pub(crate) async fn run(&self, plan: &str, change: impl FnOnce(&mut Invocation)) -> Seen {
        let (invocation, frames) = invocation(plan, change);
        let (exit, frames) = tokio::join!(self.plugin.run(invocation), take(frames, |_| {}));
        Seen { exit, frames }
    }

    /// The same, with each frame shown when it comes.
    pub(crate) async fn watched(
        &self,
        plan: &str,
        change: impl FnOnce(&mut Invocation),
        show: impl FnMut(&Frame),
    ) -> Seen {
        let (invocation, frames) = invocation(plan, change);
        let (exit, frames) = tokio::join!(self.plugin.run(invocation), take(frames, show));
        Seen { exit, frames }
    }
}

async fn take(mut frames: mpsc::Receiver<Frame>, mut show: impl FnMut(&Frame)) -> Vec<Frame> {
    let mut taken = Vec::new();
    while let Some(frame) = frames.recv().await {
        show(&frame);
        taken.push(frame);
    }
    taken
}

fn invocation(
    plan: &str,
    change: impl FnOnce(&mut Invocation),
) -> (Invocation, mpsc::Receiver<Frame>) {
    let (output, receiver) = mpsc::channel(8);
    let mut invocation = Invocation {
        args: vec![plan.to_owned(), String::new(), String::new()],
        region: "virginia".to_owned(),
        deadline: Duration::from_secs(120),
        limits: Limits { grace_ms: Some(800), ..Limits::default() },
        capabilities: vec![Capability::Load],
        inputs: Default::default(),
        output,
        cancel: Default::default(),
        tape: Tape::Live,
        targets: Vec::new(),
        load: Default::default(),
    };
    change(&mut invocation);
    (invocation, receiver)
}

/// What a run gave.
pub(crate) struct Seen {
    pub(crate) exit: Exit,
    pub(crate) frames: Vec<Frame>,
}

impl Seen {
    pub(crate) fn texts(&self, stream: &Stream) -> Vec<String> {
        let frames = self.frames.iter().filter(|frame| frame.stream == *stream);
        frames.map(|frame| String::from_utf8(frame.bytes.clone()).unwrap()).collect()
    }

    pub(crate) fn error(&self) -> String {
        self.texts(&Stream::File("error".to_owned())).concat()
    }

    pub(crate) fn records(&self) -> Vec<Tick> {
        let texts = self.texts(&Stream::Event(TICK_EVENT.to_owned()));
        texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    }

    pub(crate) fn opening(&self) -> Opening {
        let texts = self.texts(&Stream::Event(OPENING_EVENT.to_owned()));
        assert_eq!(texts.len(), 1);
        serde_json::from_str(&texts[0]).unwrap()
    }

    /// The closing, which only the last record has.
    pub(crate) fn closing(&self) -> blitz_contract::load::Closing {
        let records = self.records();
        let (last, before) = records.split_last().expect("a record");
        assert!(before.iter().all(|tick| tick.closing.is_none()));
        last.closing.clone().expect("a closing")
    }
}

/// Users on a server for so many milliseconds; `what` is the worker's.
pub(crate) fn plan(url: &str, users: u32, duration_ms: u64, what: &str) -> Value {
    json!({
        "steps": [{"method": "GET", "url": url, "timeout_ms": 1000, "headers": [["x-do", what]]}],
        "shape": {"users": {"segments": [{"from": users, "to": users, "duration_ms": duration_ms}]}},
    })
}

/// Answers each connection once, and keeps what it was sent.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                kept.lock().unwrap().push(String::new());
                tokio::spawn(async move {
                    let mut request = vec![0; 4096];
                    let length = stream.read(&mut request).await.unwrap_or(0);
                    if length > 0 {
                        kept.lock()
                            .unwrap()
                            .push(String::from_utf8_lossy(&request[..length]).into_owned());
                        stream
                            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                            .await
                            .ok();
                    }
                });
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().unwrap().iter().filter(|text| text.is_empty()).count()
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().filter(|text| !text.is_empty()).cloned().collect()
    }
}
