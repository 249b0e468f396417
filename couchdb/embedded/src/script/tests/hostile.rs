//! Functions that want to harm: each ends in an error of its own, and the next function runs.

use super::{design, hasty, map, rows, thrown};
use crate::script::{
    ScriptError, Scripts,
    limits::{LOST, OUT_OF_MEMORY, OUT_OF_TIME, TOO_MANY_ROWS},
};
use std::time::{Duration, Instant};

/// After whatever happened.
async fn still_works(scripts: &Scripts) {
    for _ in 0..4 {
        let mapped = map(scripts, "d => emit(1)", "{}").await.unwrap();
        assert_eq!(rows(&mapped[0]), [("1", "null")]);
    }
}

#[tokio::test]
async fn what_takes_too_much_ends_its_batch() {
    let scripts = hasty();
    for (body, limit) in [
        ("for (;;);", OUT_OF_TIME),
        ("for (;;) { try { for (;;); } catch (e) {} finally { continue } }", OUT_OF_TIME),
        ("/^(a+)+$/.test('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!')", OUT_OF_TIME),
        ("emit({get a() { for (;;); }})", OUT_OF_TIME),
        ("emit({toJSON() { for (;;); }})", OUT_OF_TIME),
        ("[2, 1].sort(() => { for (;;); })", OUT_OF_TIME),
        ("'x'.replace(/x/, () => { for (;;); })", OUT_OF_TIME),
    ] {
        let told = map(&scripts, &format!("function (doc) {{ {body} }}"), "{}").await;
        assert_eq!(told, Err(ScriptError::Limit(limit)), "{body}");
        still_works(&scripts).await;
    }
}

#[tokio::test]
async fn what_takes_too_much_memory_ends_its_batch() {
    let scripts = Scripts::new();
    for body in [
        "var a = []; for (;;) a.push('x'.repeat(1 << 20) + a.length)",
        "'x'.repeat(1 << 29) + 'y'",
        "var s = 'xx'; for (;;) { s += s; s.length; [s].join('') }",
    ] {
        let told = map(&scripts, &format!("function (doc) {{ {body} }}"), "{}").await;
        assert_eq!(told, Err(ScriptError::Limit(OUT_OF_MEMORY)), "{body}");
        still_works(&scripts).await;
    }
}

#[tokio::test]
async fn documents_of_the_largest_size_are_no_attack() {
    let scripts = Scripts::new();
    let rows = r#"{"n":1,"s":"some text"},"#.repeat(300_000);
    let document: Box<str> = format!("{{\"rows\":[{rows}0]}}").into();
    let design = design(&["function (n, o) { if (n.rows.length !== o.rows.length) throw 1 }"]);
    let arguments = [document.clone(), document, "{}".into(), "{}".into()];
    assert_eq!(scripts.validate(&design, arguments).await, Ok(()));
}

#[tokio::test]
async fn a_document_emits_so_much_and_no_more() {
    let scripts = Scripts::new();
    for body in [
        "for (var n = 0; ; n++) emit(n)",
        "for (;;) { try { emit(1) } catch (e) { return } }",
        "var s = 'x'.repeat(1 << 20); for (var n = 0; n < 99; n++) emit(s)",
    ] {
        let told = map(&scripts, &format!("function (doc) {{ {body} }}"), "{}").await;
        assert_eq!(told, Err(ScriptError::Limit(TOO_MANY_ROWS)), "{body}");
        still_works(&scripts).await;
    }
}

#[tokio::test]
async fn a_loop_at_the_top_ends_too() {
    let scripts = hasty();
    let told = scripts.compile(&design(&["(function () { for (;;); })()"])).await;
    assert_eq!(told, Err(ScriptError::Limit(OUT_OF_TIME)));
    still_works(&scripts).await;
}

#[tokio::test]
async fn what_only_fails_has_no_rows() {
    let scripts = Scripts::new();
    for body in [
        "function f() { return f() + 1 } f()",
        "var a = {}; a.a = a; emit(a)",
        "emit(10n)",
        "emit({get a() { throw 1 }})",
        "emit({toJSON() { throw null }})",
        "emit(Symbol())(1)",
        "emit(new Proxy({}, {}))",
        "throw {get name() { throw 1 }, get stack() { throw 2 }, toString() { throw 3 }}",
        "throw Object.create(null)",
        "throw {toString: null}",
        "new Promise(() => 1)",
        "var a = []; for (var n = 0; n < 100000; n++) a = [a]; emit(a)",
        "eval('(')",
        // The interpreter's own JSON uses an array, and so only harms who did this.
        "Object.defineProperty(Array.prototype, '0', {set() { throw 1 }}); emit([1])",
        "Function('for')()",
        "import('fs')",
        "(async () => { await 1; emit(1) })()",
        "(async function* () { yield 1 })().next()",
        "(function* () { yield 1 })().next()",
        "import('data:text/javascript,1').then(() => emit(1))",
    ] {
        let mapped = map(&scripts, &format!("function (doc) {{ {body} }}"), "{}").await;
        let mapped = mapped.unwrap_or_else(|error| panic!("{body}: {error}"));
        assert_eq!(rows(&mapped[0]), [], "{body}");
        still_works(&scripts).await;
    }
}

#[tokio::test]
async fn changed_built_ins_do_not_reach_the_environment() {
    let scripts = Scripts::new();
    let sabotage = "
        Object.prototype.next = {};
        Object.prototype.name = 'InternalError';
        Array.prototype.push = Array.prototype.map = Array.prototype.join = null;
        Object.freeze = Object.isFrozen = Object.keys = null;
        JSON.stringify = JSON.parse = () => { throw 'mine' };
        String.prototype.slice = String.prototype.split = null;
        Reflect.apply = Function.prototype.apply = Function.prototype.call = null;
        Symbol.iterator = null;
        globalThis.String = globalThis.Array = globalThis.Object = undefined;";
    let design =
        design(&[&format!("{sabotage}; (d => {{ emit(d.n, 1); log(d) }})"), "d => emit(2)"]);
    for _ in 0..2 {
        let mapped = scripts.map(&design, vec![r#"{"n":[1]}"#.into()]).await.unwrap();
        assert_eq!(rows(&mapped[0][0]), [("[1]", "1")]);
        assert_eq!(rows(&mapped[0][1]), [("2", "null")]);
    }
    still_works(&scripts).await;
}

#[tokio::test]
async fn endless_recursion_is_told_to_who_asks() {
    let scripts = Scripts::new();
    let design = design(&["function f() { return f() + 1 }"]);
    let told = scripts.validate(&design, ["{}", "null", "{}", "{}"].map(Into::into)).await;
    assert_eq!(told, Err(thrown("RangeError", "Maximum call stack size exceeded")));
    still_works(&scripts).await;
}

#[tokio::test]
async fn a_document_may_be_deep() {
    let scripts = Scripts::new();
    let document = format!("{}1{}", "[".repeat(2000), "]".repeat(2000));
    let mapped = map(&scripts, "d => emit(1)", &format!("{{\"a\":{document}}}")).await.unwrap();
    assert_eq!(rows(&mapped[0]), [("1", "null")]);
    // One that the interpreter cannot read is an error and no end of the world.
    let document = format!("{}1{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert!(map(&scripts, "d => emit(1)", &document).await.is_err());
    still_works(&scripts).await;
}

#[tokio::test]
async fn a_thread_that_does_not_come_back_is_replaced() {
    let scripts = hasty();
    // Numbers so long that the time is not looked at for long: that happens once in 10,000 rounds of a loop.
    let stuck = "function () { var a = 3n ** 300000n; for (var i = 0; i < 9000; i++) a * a }";
    let told = map(&scripts, stuck, "{}").await;
    assert_eq!(told, Err(ScriptError::Limit(LOST)));
    still_works(&scripts).await;
}

#[tokio::test]
async fn the_end_interrupts_what_runs() {
    let scripts = std::sync::Arc::new(Scripts::new());
    let asked = std::sync::Arc::clone(&scripts);
    let running = tokio::spawn(async move { map(&asked, "d => { for (;;); }", "{}").await });
    // The function is on its way; the caller goes, and the pool with the last who holds it.
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.abort();
    drop(running.await);
    let before = Instant::now();
    drop(scripts);
    assert!(before.elapsed() < Duration::from_secs(1), "the threads have left");
}
