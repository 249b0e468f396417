//! Files that should not load: each is refused with a reason, and the runtime goes on.

use bytes::Bytes;

use super::super::component::{MEMORY, plugin};
use super::House;

/// A module that no component wraps.
fn module(wat: &str) -> Bytes {
    wat::parse_str(wat).unwrap().into()
}

/// An unsigned number as WASM writes it.
fn leb128(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap();
        value >>= 7;
        bytes.push(if value == 0 { low } else { low | 0x80 });
        if value == 0 {
            return bytes;
        }
    }
}

const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

fn section(id: u8, length: usize, content: &[u8]) -> Bytes {
    [COMPONENT, &[id], &leb128(length), content].concat().into()
}

/// A component in components, so deep.
fn nested(depth: usize) -> Bytes {
    let mut inner = COMPONENT.to_vec();
    for _ in 0..depth {
        inner = [COMPONENT, &[4], &leb128(inner.len()), &inner].concat();
    }
    inner.into()
}

fn text_component(wat: &str) -> Bytes {
    module(wat)
}

fn cases() -> Vec<(&'static str, Bytes)> {
    let good = plugin(MEMORY, "(i32.const 0)");
    let many = |what: &str, count: usize| format!("(component {})", what.repeat(count));
    vec![
        ("nothing", Bytes::new()),
        ("a magic number", Bytes::from_static(b"\0asm")),
        ("text", Bytes::from_static(b"(component)")),
        ("an ELF file", Bytes::from_static(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0")),
        ("a script", Bytes::from_static(b"#!/bin/sh\nexit 0\n")),
        ("zeros", Bytes::from(vec![0; 4096])),
        ("compiled code", Bytes::from([b"\x7fELF".as_slice(), &[7; 900]].concat())),
        ("a core module", module("(module)")),
        ("a core module with a start", module("(module (func $f (loop (br 0))) (start $f))")),
        ("an empty component", Bytes::from_static(COMPONENT)),
        ("a version of tomorrow", Bytes::from_static(b"\0asm\xff\0\x01\0")),
        ("a section of no kind", section(0x7e, 0, &[])),
        ("a section that lies: too long", section(1, 1 << 20, &[0; 16])),
        ("a section that lies: too short", section(1, 1, &[5, 0, 0, 0])),
        ("a section of 4 GiB", section(1, u32::MAX as usize, &[])),
        ("a count that lies", section(7, 5, &[0xff, 0xff, 0xff, 0xff, 0x0f])),
        ("a custom section without a name", section(0, 0, &[])),
        ("a name that is not UTF-8", section(0, 4, &[3, 0xff, 0xfe, 0x80])),
        ("the first half", good.slice(..good.len() / 2)),
        ("all but the last byte", good.slice(..good.len() - 1)),
        ("two files in one", Bytes::from([good.as_ref(), good.as_ref()].concat())),
        ("rubbish behind it", Bytes::from([good.as_ref(), &[9; 64]].concat())),
        ("components in components", nested(200)),
        ("100,000 types", text_component(&many("(type string)", 100_000))),
        ("1,001 core instances", text_component(&format!(
            "(component (core module $m) {})", "(core instance (instantiate $m))".repeat(1001)
        ))),
        ("an import of tomorrow", text_component(
            "(component (import \"blitz:plugin/teleport@0.1.0\" (instance (export \"go\" (func)))))"
        )),
        ("a memory of 64 bits", text_component("(component (core module (memory i64 1)))")),
        ("a memory that is shared", text_component("(component (core module (memory 1 2 shared)))")),
        ("run of another type", text_component(
            "(component (core module $m (func (export \"f\"))) (core instance $i (instantiate $m))
              (func $f (canon lift (core func $i \"f\")))
              (instance $t (export \"run\" (func $f)) (export \"describe\" (func $f)))
              (export \"blitz:plugin/tool@0.1.0\" (instance $t)))"
        )),
        ("no run at all", text_component(
            "(component (core module $m (func (export \"f\"))) (core instance $i (instantiate $m))
              (func $f (canon lift (core func $i \"f\"))) (export \"greet\" (func $f)))"
        )),
    ]
}

#[tokio::test]
async fn files_that_are_no_plugins_are_refused_with_a_reason() {
    let house = House::new().await;
    for (name, bytes) in cases() {
        let error = match house.load(bytes).await {
            Ok(plugin) => match plugin.describe().await {
                Ok(manifest) => panic!("{name:?} is a plugin: {manifest:?}"),
                Err(error) => error,
            },
            Err(error) => error,
        };
        assert!(!error.to_string().is_empty(), "{name:?}");
        println!("{name}: {error}");
        house.is_well(name).await;
    }
}

#[tokio::test]
async fn a_file_with_changed_bytes_never_harms_the_host() {
    const CHANGES: usize = 300;
    let house = House::new().await;
    let good = plugin(MEMORY, "(i32.const 0)");
    // Multiplicative hashing: the same changes in every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let (mut refused, mut ran) = (0, 0);
    for _ in 0..CHANGES {
        let mut bytes = good.to_vec();
        for _ in 0..=next(3) {
            let at = next(bytes.len());
            bytes[at] = u8::try_from(next(256)).unwrap();
        }
        match house.load(bytes.into()).await {
            Err(_) => refused += 1,
            Ok(guest) => {
                house.ends(&guest).await;
                ran += 1;
            }
        }
    }
    println!("{refused} refused, {ran} ran to some end");
    assert!(refused > CHANGES / 2, "only {refused} of {CHANGES} were refused");
    house.is_well("changed bytes").await;
}
