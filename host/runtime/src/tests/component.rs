//! Turns a core module in text form into a component of our contract, and runs it.

use std::collections::BTreeMap;
use std::time::Duration;

use blitz_contract::{Exit, Frame, Limits};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::{Invocation, Plugin, Runtime, RuntimeConfig};

/// The little of WASI that these guests call, and the world of a plugin that has it.
const WORLD: &str = r"
    package test:guests;

    world guest {
        include blitz:plugin/plugin@0.1.0;
        import wasi:cli/stdin@0.2.0;
        import wasi:cli/stdout@0.2.0;
        import wasi:cli/stderr@0.2.0;
        import wasi:cli/exit@0.2.0;
        import wasi:clocks/monotonic-clock@0.2.0;
        import wasi:random/random@0.2.0;
        import wasi:sockets/tcp-create-socket@0.2.0;
    }
    world command {
        import wasi:cli/environment@0.2.0;
        import wasi:cli/exit@0.2.0;
        import wasi:cli/stdin@0.2.0;
        import wasi:cli/stdout@0.2.0;
        export wasi:cli/run@0.2.0;
    }
    world stranger {
        import wasi:cli/exit@0.2.0;
        export greet: func();
    }
    world needy {
        include guest;
        import wishes;
    }
    interface wishes {
        wish: func();
    }

    package wasi:io@0.2.0 {
        interface poll {
            resource pollable { block: func(); }
        }
        interface error {
            resource error;
        }
        interface streams {
            use error.{error};
            variant stream-error { last-operation-failed(error), closed }
            resource input-stream {
                blocking-read: func(len: u64) -> result<list<u8>, stream-error>;
            }
            resource output-stream {
                blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
            }
        }
    }
    package wasi:cli@0.2.0 {
        interface stdin {
            use wasi:io/streams@0.2.0.{input-stream};
            get-stdin: func() -> input-stream;
        }
        interface stdout {
            use wasi:io/streams@0.2.0.{output-stream};
            get-stdout: func() -> output-stream;
        }
        interface stderr {
            use wasi:io/streams@0.2.0.{output-stream};
            get-stderr: func() -> output-stream;
        }
        interface exit { exit: func(status: result); }
        interface environment {
            get-environment: func() -> list<tuple<string, string>>;
            get-arguments: func() -> list<string>;
        }
        interface run { run: func() -> result; }
    }
    package wasi:clocks@0.2.0 {
        interface monotonic-clock {
            use wasi:io/poll@0.2.0.{pollable};
            subscribe-duration: func(when: u64) -> pollable;
        }
    }
    package wasi:random@0.2.0 {
        interface random {
            get-random-bytes: func(len: u64) -> list<u8>;
            get-random-u64: func() -> u64;
        }
    }
    package wasi:sockets@0.2.0 {
        interface network {
            enum error-code { unknown, access-denied, not-supported, invalid-argument, out-of-memory,
                timeout, concurrency-conflict, not-in-progress, would-block, invalid-state,
                new-socket-limit, address-not-bindable, address-in-use, remote-unreachable,
                connection-refused, connection-reset, connection-aborted, datagram-too-large,
                name-unresolvable, temporary-resolver-failure, permanent-resolver-failure }
            enum ip-address-family { ipv4, ipv6 }
        }
        interface tcp {
            resource tcp-socket;
        }
        interface tcp-create-socket {
            use network.{error-code, ip-address-family};
            use tcp.{tcp-socket};
            create-tcp-socket: func(family: ip-address-family) -> result<tcp-socket, error-code>;
        }
    }
";

/// A manifest that `describe` of every guest returns.
const MANIFEST: &str =
    r#"{"name":"guest","version":"1.2.3","summary":"a test","contract":"0.1.0"}"#;

/// A plugin whose `run` has this body; `head` holds imports, then other fields of the module.
///
/// Locals 0 to 4 are the invocation. Memory: the manifest at 0, its pointer and length at 256, results of
/// imports at 272, text of the guest from 1024 on; what the host passes in begins at 65,536.
pub(super) fn plugin(head: &str, run: &str) -> Bytes {
    let escaped = MANIFEST.replace('"', "\\\"");
    let length = MANIFEST.len();
    let wat = format!(
        r#"(module
            {head}
            (data (i32.const 0) "{escaped}")
            (global $top (mut i32) (i32.const 65536))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (global.set $top (i32.and (i32.add (global.get $top) (i32.const 15)) (i32.const -16)))
                (global.get $top)
                (global.set $top (i32.add (global.get $top) (local.get 3))))
            (func (export "blitz:plugin/tool@0.1.0#describe") (result i32)
                (i32.store (i32.const 256) (i32.const 0))
                (i32.store (i32.const 260) (i32.const {length}))
                (i32.const 256))
            (func (export "blitz:plugin/tool@0.1.0#run")
                (param i32 i32 i32 i32 i64) (result i32) (local $handle i32)
                {run}))"#
    );
    component(&wat, "guest")
}

/// A memory of 4 pages for [`plugin`].
pub(super) const MEMORY: &str = r#"(memory (export "memory") 4)"#;

pub(super) fn component(wat: &str, world: &str) -> Bytes {
    let mut module = wat::parse_str(wat).unwrap();
    let mut resolve = Resolve::default();
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/wit/blitz-plugin-0.1.0");
    resolve.push_path(wit).unwrap();
    let package = resolve.push_str("guests.wit", WORLD).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(&module).unwrap().encode().unwrap().into()
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) async fn load(component: Bytes) -> Plugin {
    let runtime = Runtime::new(RuntimeConfig::default()).unwrap();
    let sha256 = sha256(&component);
    runtime.load(component, &sha256).await.unwrap()
}

/// An invocation that gives its output to the receiver, which holds `room` frames.
pub(super) fn invocation(room: usize) -> (Invocation, mpsc::Receiver<Frame>) {
    let (output, receiver) = mpsc::channel(room);
    let invocation = Invocation {
        args: vec!["one".to_owned(), "two".to_owned()],
        region: "virginia".to_owned(),
        deadline: Duration::from_secs(60),
        limits: Limits::default(),
        capabilities: Vec::new(),
        inputs: BTreeMap::new(),
        output,
        cancel: CancellationToken::new(),
        tape: crate::Tape::Live,
        targets: Vec::new(),
        load: Default::default(),
    };
    (invocation, receiver)
}

/// Runs a guest to its end and gives all of its frames.
pub(super) async fn run(
    plugin: &Plugin,
    invocation: Invocation,
    mut frames: mpsc::Receiver<Frame>,
) -> (Exit, Vec<Frame>) {
    let taking = async {
        let mut taken = Vec::new();
        while let Some(frame) = frames.recv().await {
            taken.push(frame);
        }
        taken
    };
    tokio::join!(plugin.run(invocation), taking)
}
