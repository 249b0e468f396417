//! How many instances, memories, tables and elements a component may have, and what becomes of more.

use std::fmt::Write as _;

use blitz_contract::{Exit, Limits, Stopped, package};
use bytes::Bytes;

use super::component::{MEMORY, invocation, load, plugin, run, sha256};
use crate::limits::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLE_ELEMENTS_MAX};
use crate::{Error, Runtime, RuntimeConfig};

const MANIFEST: &str = r#"{"name":"many","version":"1.2.3","summary":"a test","contract":"0.1.0"}"#;

/// A command that has so many instances of this module beside its own.
fn many(count: usize, module: &str) -> Bytes {
    let mut wat = format!("(component (core module $each {module})");
    for _ in 0..count {
        wat.push_str("(core instance (instantiate $each))");
    }
    wat.write_str(
        r#"(core module $main (func (export "run") (result i32) (i32.const 0)))
           (core instance $own (instantiate $main))
           (func $run (result (result)) (canon lift (core func $own "run")))
           (instance $cli (export "run" (func $run)))
           (export "wasi:cli/run@0.2.0" (instance $cli)))"#,
    )
    .unwrap();
    package::with_manifest(&wat::parse_str(wat).unwrap(), MANIFEST).unwrap().into()
}

async fn try_load(component: Bytes) -> Result<crate::Plugin, Error> {
    let runtime = Runtime::new(RuntimeConfig::default()).unwrap();
    let sha256 = sha256(&component);
    runtime.load(component, &sha256).await
}

async fn ends(component: Bytes) -> Exit {
    let (mut invocation, frames) = invocation(8);
    invocation.limits = Limits::default();
    run(&try_load(component).await.unwrap(), invocation, frames).await.0
}

#[tokio::test]
async fn as_many_as_allowed_run_and_one_more_is_refused() {
    for (module, most) in [
        ("", CORE_INSTANCES_MAX - 1),
        ("(memory 1)", MEMORIES_MAX),
        ("(table 1 funcref)", CORE_INSTANCES_MAX - 1),
    ] {
        assert_eq!(ends(many(most, module)).await, Exit::Status(0), "{most} of {module:?}");
        let error = try_load(many(most + 1, module)).await.expect_err(module);
        let text = error.to_string();
        let limit = if module.starts_with("(memory") { MEMORIES_MAX } else { CORE_INSTANCES_MAX };
        assert!(text.contains(&limit.to_string()), "{module:?}: {text}");
    }
}

#[tokio::test]
async fn more_components_than_the_pool_has_memories_wait_for_each_other() {
    let guest = try_load(many(MEMORIES_MAX, "(memory 1)")).await.unwrap();
    let runs = (0..20).map(|_| {
        let guest = guest.clone();
        tokio::spawn(async move {
            let (invocation, frames) = invocation(1);
            run(&guest, invocation, frames).await.0
        })
    });
    for ended in futures_util::future::join_all(runs).await {
        assert_eq!(ended.unwrap(), Exit::Status(0));
    }
}

#[tokio::test]
async fn the_elements_of_all_tables_are_counted_together() {
    let head =
        format!("{MEMORY} (table $a 10 funcref) (table $b {} funcref)", TABLE_ELEMENTS_MAX - 20);
    // Grows to the limit, then beyond it: the guest is told, and goes on.
    let grows = r"(if (i32.ne (table.grow $a (ref.null func) (i32.const 10)) (i32.const 10))
                      (then (return (i32.const 50))))
                  (table.grow $b (ref.null func) (i32.const 1))
                  (i32.eq (i32.const -1))";
    assert_eq!(ends(plugin(&head, grows)).await, Exit::Status(1));
    let dies = r"(drop (table.grow $b (ref.null func) (i32.const 11))) (unreachable)";
    let exit = ends(plugin(&head, dies)).await;
    let text = "table limit 1000000 elements reached (asked for 1000001)".to_owned();
    assert_eq!(exit, Exit::Stopped(Stopped::Limit(text)));
}

#[tokio::test]
async fn a_table_that_is_too_large_from_the_start_is_refused_by_name() {
    let head = format!("{MEMORY} (table {} funcref)", TABLE_ELEMENTS_MAX + 1);
    let error = try_load(plugin(&head, "(i32.const 0)")).await.expect_err("it was loaded");
    assert!(error.to_string().contains("1000001"), "{error}");
}

#[tokio::test]
async fn a_guest_finds_no_trace_of_the_one_before() {
    // Returns what stands in its memory and in its table, then leaves something there.
    let head = r#"(memory (export "memory") 4) (table $t 4 funcref) (func $f) (elem declare func $f)
        (global $n (mut i32) (i32.const 0))"#;
    let run = r"(i32.add
                    (i32.add (i32.load (i32.const 200000)) (global.get $n))
                    (i32.eqz (ref.is_null (table.get $t (i32.const 2)))))
                (i32.store (i32.const 200000) (i32.const 7))
                (global.set $n (i32.const 7))
                (table.set $t (i32.const 2) (ref.func $f))";
    let guest = load(plugin(head, run)).await;
    for _ in 0..10 {
        let (invocation, frames) = invocation(1);
        assert_eq!(super::component::run(&guest, invocation, frames).await.0, Exit::Status(0));
    }
}
