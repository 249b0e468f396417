//! Guests that load and then misbehave.

use blitz_contract::{Exit, Stopped};

use super::super::component::plugin;
use super::House;

/// How a case must end.
#[derive(Debug, Clone, Copy)]
enum Ends {
    /// A trap, or a call that the canonical ABI refuses.
    Crashed,
    /// A limit, whose text begins so.
    Limit(&'static str),
    /// The run's time or CPU time is over.
    Time,
    /// The guest was answered, lived on, and returned this.
    Status(u8),
    /// It is not even loaded, with a text that has this in it.
    Refused(&'static str),
    /// Crashed, or answered with an error: both are no harm.
    Harmless,
}

/// Every import that the cases call, and a memory of 4 pages.
const HEAD: &str = r#"
    (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
    (import "wasi:cli/stdin@0.2.0" "get-stdin" (func $stdin (result i32)))
    (import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))
    (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
        (func $write (param i32 i32 i32 i32)))
    (import "wasi:io/streams@0.2.0" "[method]input-stream.blocking-read"
        (func $read (param i32 i64 i32)))
    (import "wasi:io/streams@0.2.0" "[resource-drop]output-stream" (func $close (param i32)))
    (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:io/poll@0.2.0" "[resource-drop]pollable" (func $forget (param i32)))
    (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration"
        (func $after (param i64) (result i32)))
    (import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))
    (import "blitz:plugin/files@0.1.0" "write-output" (func $file (param i32 i32 i32 i32 i32)))
    (import "blitz:plugin/files@0.1.0" "read-input" (func $input (param i32 i32 i64 i32 i32)))
    (import "blitz:plugin/events@0.1.0" "emit" (func $emit (param i32 i32 i32 i32 i32)))
    (import "blitz:plugin/control@0.1.0" "pause" (func $pause (param i64) (result i32)))
    (import "blitz:plugin/metrics@0.1.0" "count" (func $count (param i32 i32 i64 i32)))
    (import "blitz:plugin/metrics@0.1.0" "observe" (func $observe (param i32 i32 i32 i32 i32)))
    (import "blitz:plugin/dns@0.1.0" "lookup"
        (func $lookup (param i32 i32 i32 i32 i32 i32 i32 i64 i32)))
    (import "blitz:plugin/web@0.1.0" "exchange" (func $exchange (param i32 i32)))
    (import "blitz:plugin/web@0.1.0" "[method]body.read" (func $body (param i32 i32 i32)))
    (import "blitz:plugin/web@0.1.0" "[resource-drop]body" (func $drop_body (param i32)))
    (memory (export "memory") 4)
    (table $table 4 funcref)
    (type $none (func))
    (data (i32.const 1024) "hop{\"ttl\":1}\ff\fe\80name_us../../etc/passwd")
"#;

/// A case without fields of its own.
const fn case(name: &'static str, body: &'static str, ends: Ends) -> Case {
    Case { name, fields: "", body, ends }
}

struct Case {
    name: &'static str,
    /// More fields of the module.
    fields: &'static str,
    /// The body of `run`; the results of imports go to 272.
    body: &'static str,
    ends: Ends,
}

const CASES: &[Case] = &[
    // Time.
    case("endless loop", "(loop (br 0)) (unreachable)", Ends::Time),
    Case {
        name: "endless loop while it starts",
        fields: "(func $spins (loop (br 0))) (start $spins)",
        body: "(i32.const 0)",
        ends: Ends::Time,
    },
    Case {
        name: "endless loop in cabi_realloc",
        fields: r#"(func $never (loop (br 0)))"#,
        body: "(call $never) (i32.const 0)",
        ends: Ends::Time,
    },
    case("waits for ever in pause", "(drop (call $pause (i64.const -1))) (i32.const 0)", Ends::Time),
    case(
        "waits for ever on a clock",
        "(call $block (call $after (i64.const -1))) (i32.const 0)",
        Ends::Time,
    ),
    case(
        "asks the host for ever",
        "(loop (call $count (i32.const 1039) (i32.const 7) (i64.const 1) (i32.const 272)) (br 0)) (unreachable)",
        Ends::Time,
    ),
    // Memory, tables, stack.
    case(
        "memory bomb",
        "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)",
        Ends::Limit("memory limit 16 MiB reached"),
    ),
    case("one huge growth", "(drop (memory.grow (i32.const 65532))) (i32.const 3)", Ends::Status(3)),
    Case {
        name: "deep recursion",
        fields: "(func $deep (call $deep))",
        body: "(call $deep) (i32.const 0)",
        ends: Ends::Crashed,
    },
    Case {
        name: "deep recursion with large frames",
        fields: "(func $deep (param i64 i64 i64 i64) (result i64)
            (i64.add (call $deep (local.get 1) (local.get 2) (local.get 3) (local.get 0)) (local.get 2)))",
        body: "(drop (call $deep (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4))) (i32.const 0)",
        ends: Ends::Crashed,
    },
    case(
        "table bomb",
        "(loop (br_if 0 (i32.ne (table.grow $table (ref.null func) (i32.const 300000)) (i32.const -1)))) (unreachable)",
        Ends::Limit("table limit"),
    ),
    Case {
        name: "huge table from the start",
        fields: "(table 100000000 funcref)",
        body: "(i32.const 0)",
        ends: Ends::Refused("exceeds the limit of 1000000"),
    },
    // Traps.
    case("unreachable", "(unreachable)", Ends::Crashed),
    case("division by zero", "(i32.div_s (i32.const 1) (i32.const 0))", Ends::Crashed),
    case(
        "division that overflows",
        "(i32.div_s (i32.const -2147483648) (i32.const -1))",
        Ends::Crashed,
    ),
    case("number that is none", "(i32.trunc_f64_s (f64.const nan))", Ends::Crashed),
    case("read past the memory", "(i32.load (i32.const -4))", Ends::Crashed),
    case("write past the memory", "(i32.store8 (i32.const 262144) (i32.const 1)) (i32.const 0)", Ends::Crashed),
    case(
        "copy past the memory",
        "(memory.copy (i32.const 0) (i32.const 262140) (i32.const 5)) (i32.const 0)",
        Ends::Crashed,
    ),
    case(
        "fill past the memory",
        "(memory.fill (i32.const 1) (i32.const 0) (i32.const -1)) (i32.const 0)",
        Ends::Crashed,
    ),
    case("call of nothing", "(call_indirect (type $none) (i32.const 0)) (i32.const 0)", Ends::Crashed),
    case(
        "call past the table",
        "(call_indirect (type $none) (i32.const 4000000)) (i32.const 0)",
        Ends::Crashed,
    ),
    Case {
        name: "call of another type",
        fields: "(func $takes (param i64)) (elem (i32.const 1) func $takes)",
        body: "(call_indirect (type $none) (i32.const 1)) (i32.const 0)",
        ends: Ends::Crashed,
    },
    Case {
        name: "trap while it starts",
        fields: "(func $traps unreachable) (start $traps)",
        body: "(i32.const 0)",
        ends: Ends::Crashed,
    },
    case("status that is no byte", "(i32.const 1000)", Ends::Harmless),
    // Pointers and texts that lie.
    case(
        "event outside of memory",
        "(call $emit (i32.const 1024) (i32.const 3) (i32.const -16) (i32.const 16) (i32.const 272)) (i32.const 0)",
        Ends::Crashed,
    ),
    case(
        "event of 4 GiB",
        "(call $emit (i32.const 1024) (i32.const 3) (i32.const 0) (i32.const -1) (i32.const 272)) (i32.const 0)",
        Ends::Crashed,
    ),
    case(
        "event that is not UTF-8",
        "(call $emit (i32.const 1036) (i32.const 3) (i32.const 1027) (i32.const 9) (i32.const 272)) (i32.const 0)",
        Ends::Crashed,
    ),
    case(
        "event that is not JSON",
        "(call $emit (i32.const 1024) (i32.const 3) (i32.const 1024) (i32.const 3) (i32.const 272)) (i32.load8_u (i32.const 272))",
        Ends::Status(1),
    ),
    case(
        "event that is too large",
        "(memory.fill (i32.const 70000) (i32.const 49) (i32.const 65537))
         (call $emit (i32.const 1024) (i32.const 3) (i32.const 70000) (i32.const 65537) (i32.const 272))
         (i32.load8_u (i32.const 272))",
        Ends::Status(1),
    ),
    case(
        "result outside of memory",
        "(call $emit (i32.const 1024) (i32.const 3) (i32.const 1027) (i32.const 9) (i32.const -4)) (i32.const 0)",
        Ends::Crashed,
    ),
    case(
        "result that is not aligned",
        "(call $emit (i32.const 1024) (i32.const 3) (i32.const 1027) (i32.const 9) (i32.const 273)) (i32.const 0)",
        Ends::Crashed,
    ),
    case("request outside of memory", "(call $exchange (i32.const -64) (i32.const 272)) (i32.const 0)", Ends::Crashed),
    case("request that is not aligned", "(call $exchange (i32.const 2001) (i32.const 272)) (i32.const 0)", Ends::Crashed),
    case(
        "request of rubbish",
        "(memory.fill (i32.const 2000) (i32.const 255) (i32.const 400))
         (call $exchange (i32.const 2000) (i32.const 272)) (i32.const 0)",
        Ends::Crashed,
    ),
    case(
        "exchange without the grant",
        "(call $exchange (i32.const 2000) (i32.const 3000)) (i32.load8_u (i32.const 3000))",
        Ends::Status(1),
    ),
    case(
        "lookup without the grant",
        "(call $lookup (i32.const 1024) (i32.const 3) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i64.const 0) (i32.const 272)) (i32.load8_u (i32.const 272))",
        Ends::Status(1),
    ),
    case(
        "metric with a name of rubbish",
        "(call $count (i32.const 1027) (i32.const 9) (i64.const 1) (i32.const 272)) (i32.load8_u (i32.const 272))",
        Ends::Status(1),
    ),
    case(
        "values outside of memory",
        "(call $observe (i32.const 1039) (i32.const 7) (i32.const 262136) (i32.const 100) (i32.const 272)) (i32.const 0)",
        Ends::Crashed,
    ),
    case(
        "more values than memory has",
        "(call $observe (i32.const 1039) (i32.const 7) (i32.const 0) (i32.const 536870912) (i32.const 272)) (i32.const 0)",
        Ends::Crashed,
    ),
    // Files and inputs.
    case(
        "reads a file of the engine",
        "(call $input (i32.const 1046) (i32.const 16) (i64.const 0) (i32.const 100) (i32.const 272)) (i32.load8_u (i32.const 272))",
        Ends::Status(1),
    ),
    case(
        "writes a file without a name",
        "(call $file (i32.const 1024) (i32.const 0) (i32.const 1024) (i32.const 3) (i32.const 272)) (i32.load8_u (i32.const 272))",
        Ends::Status(1),
    ),
    case(
        "writes a file with a name of 64 KiB",
        "(memory.fill (i32.const 70000) (i32.const 97) (i32.const 65536))
         (call $file (i32.const 70000) (i32.const 65536) (i32.const 1024) (i32.const 3) (i32.const 272))
         (i32.load8_u (i32.const 272))",
        Ends::Status(1),
    ),
    case(
        "output flood",
        "(local.set $handle (call $stdout))
         (loop (call $write (local.get $handle) (i32.const 1024) (i32.const 4096) (i32.const 272)) (br 0)) (unreachable)",
        Ends::Limit("output limit 1 MiB reached"),
    ),
    case(
        "file flood",
        "(loop (call $file (i32.const 1039) (i32.const 4) (i32.const 0) (i32.const 65536) (i32.const 272)) (br 0)) (unreachable)",
        Ends::Limit("output limit 1 MiB reached"),
    ),
    case(
        "one write of more than is allowed",
        "(call $write (call $stdout) (i32.const 0) (i32.const 262144) (i32.const 272)) (i32.const 0)",
        Ends::Crashed,
    ),
    // Handles.
    case("a handle that never was", "(call $drop_body (i32.const 12345)) (i32.const 0)", Ends::Crashed),
    case("reads a body that never was", "(call $body (i32.const 7) (i32.const 1) (i32.const 272)) (i32.const 0)", Ends::Crashed),
    case(
        "closes a stream twice",
        "(local.set $handle (call $stdout)) (call $close (local.get $handle)) (call $close (local.get $handle)) (i32.const 0)",
        Ends::Crashed,
    ),
    case(
        "writes to a closed stream",
        "(local.set $handle (call $stdout)) (call $close (local.get $handle))
         (call $write (local.get $handle) (i32.const 1024) (i32.const 3) (i32.const 272)) (i32.const 0)",
        Ends::Crashed,
    ),
    case(
        "takes an input for an output",
        "(call $write (call $stdin) (i32.const 1024) (i32.const 3) (i32.const 272)) (i32.const 0)",
        Ends::Crashed,
    ),
    case(
        "waits on a clock that it gave back",
        "(local.set $handle (call $after (i64.const 1))) (call $forget (local.get $handle)) (call $block (local.get $handle)) (i32.const 0)",
        Ends::Crashed,
    ),
    case("streams without end", "(loop (drop (call $stdout)) (br 0)) (unreachable)", Ends::Crashed),
    case("clocks without end", "(loop (drop (call $after (i64.const 1))) (br 0)) (unreachable)", Ends::Crashed),
    case("random bytes without end", "(call $random (i64.const -1) (i32.const 272)) (i32.const 0)", Ends::Crashed),
    case("reads more of stdin than there is memory", "(call $read (call $stdin) (i64.const -1) (i32.const 272)) (i32.const 4)", Ends::Harmless),
    // Leaving in odd places.
    case("exit in the middle", "(call $exit (i32.const 1)) (unreachable)", Ends::Status(1)),
    case("exit with a result that is none", "(call $exit (i32.const 77)) (unreachable)", Ends::Harmless),
    Case {
        name: "exit while it starts",
        fields: "(func $leaves (call $exit (i32.const 0))) (start $leaves)",
        body: "(i32.const 5)",
        ends: Ends::Harmless,
    },
];

#[tokio::test]
async fn harmful_guests_harm_only_themselves() {
    let house = House::new().await;
    for Case { name, fields, body, ends } in CASES {
        let guest = house.load(plugin(&format!("{HEAD}{fields}"), body)).await;
        let guest = match (guest, ends) {
            (Err(error), Ends::Refused(text)) if error.to_string().contains(text) => continue,
            (guest, _) => guest.unwrap_or_else(|error| panic!("{name:?} does not load: {error}")),
        };
        let exit = house.ends(&guest).await;
        println!("{name}: {exit:?}");
        let is_as_wanted = match (ends, &exit) {
            (Ends::Crashed | Ends::Harmless, Exit::Stopped(Stopped::Crashed(text))) => {
                !text.is_empty()
            }
            (Ends::Limit(wanted), Exit::Stopped(Stopped::Limit(text))) => text.starts_with(wanted),
            (Ends::Time, Exit::Stopped(Stopped::Timeout(text) | Stopped::Limit(text))) => {
                text.starts_with("time limit") || text.starts_with("CPU time limit")
            }
            (Ends::Status(wanted), Exit::Status(status)) => wanted == status,
            (Ends::Harmless, Exit::Status(_)) => true,
            _ => false,
        };
        assert!(is_as_wanted, "{name:?} should end with {ends:?} and ended with {exit:?}");
        house.is_well(name).await;
    }
}
