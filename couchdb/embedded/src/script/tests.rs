//! Functions as people write them, as CouchDB runs them.

mod hostile;

use super::{
    Design, Emitted, Mapped, ScriptError, Scripts,
    limits::{TIMES, Times},
    pool::Pool,
};
use std::{sync::Arc, time::Duration};

/// Scripts that lose patience soon.
fn hasty() -> Scripts {
    let short = Duration::from_millis(300);
    Scripts { pool: Pool::new(Times { call: short, batch: 10 * short, grace: short }) }
}

fn design(functions: &[&str]) -> Arc<Design> {
    with_library(None, functions)
}

fn with_library(library: Option<&str>, functions: &[&str]) -> Arc<Design> {
    let functions = functions.iter().map(|&text| Arc::from(text)).collect();
    Arc::new(Design { library: library.map(Arc::from), functions })
}

fn rows(mapped: &[Emitted]) -> Vec<(&str, &str)> {
    mapped.iter().map(|row| (&*row.key, &*row.value)).collect()
}

async fn map(scripts: &Scripts, text: &str, document: &str) -> Result<Mapped, ScriptError> {
    let mapped = scripts.map(&design(&[text]), vec![document.into()]).await?;
    Ok(mapped.into_iter().next().unwrap())
}

fn thrown(name: &str, reason: &str) -> ScriptError {
    ScriptError::Thrown { name: name.into(), reason: reason.into() }
}

#[tokio::test]
async fn maps_emit() {
    let scripts = Scripts::new();
    for (text, document, expected) in [
        ("function (doc) { emit(doc.a, doc.b) }", r#"{"a":1,"b":[2]}"#, vec![("1", "[2]")]),
        ("function(doc){emit()}; ", "{}", vec![("null", "null")]),
        ("(doc) => emit(doc._id)", r#"{"_id":"é"}"#, vec![("\"é\"", "null")]),
        (
            "doc => { emit(1, new Error('x')) }",
            "{}",
            vec![("1", r#"{"error":"Error","message":"x"}"#)],
        ),
        ("function named(doc) { emit(sum([1,2]), isArray([])) } // end", "{}", vec![("3", "true")]),
        ("var k = 5; (function (doc) { emit(k) })", "{}", vec![("5", "null")]),
        // A document cannot be changed, so that the next function sees the same.
        (
            "function (doc) { doc.a.b = 2; emit(doc.a.b, toJSON(doc)) }",
            r#"{"a":{"b":1}}"#,
            vec![("1", r#""{\"a\":{\"b\":1}}""#)],
        ),
        ("function (doc) { emit(1, function () {}) }", "{}", vec![("1", "null")]),
        // Half a surrogate pair is no text.
        ("function (doc) { emit('\\ud800\\\\ud800') }", "{}", vec![(r#""\ufffd\\ud800""#, "null")]),
        (
            "function (doc) { log(doc); log('x'); emit(typeof require) }",
            "{}",
            vec![("\"undefined\"", "null")],
        ),
        ("function (doc) { throw 'no' }", "{}", vec![]),
        ("function (doc) { emit(1); doc.no.such() }", "{}", vec![]),
    ] {
        let mapped = map(&scripts, text, document).await.unwrap();
        assert_eq!(rows(&mapped[0]), expected, "{text}");
    }
}

#[tokio::test]
async fn each_function_has_its_rows_for_each_document() {
    let scripts = Scripts::new();
    let design = design(&["d => emit(d.n)", "d => { if (d.n === 2) throw 1; emit(-d.n, 0) }"]);
    let documents = vec![r#"{"n":1}"#.into(), r#"{"n":2}"#.into()];
    let mapped = scripts.map(&design, documents).await.unwrap();
    let told: Vec<Vec<_>> =
        mapped.iter().map(|one| one.iter().map(|r| rows(r)).collect()).collect();
    assert_eq!(
        told,
        [vec![vec![("1", "null")], vec![("-1", "0")]], vec![vec![("2", "null")], vec![]]]
    );
}

#[tokio::test]
async fn reductions_have_their_own_results() {
    let scripts = Scripts::new();
    let function: Arc<str> =
        "function (k, v, r) { if (v[0] < 0) throw 'no'; return r ? [sum(v)] : k.length }".into();
    let groups = vec![
        (r#"[["a","1"],["b","2"]]"#.into(), "[1,2]".into()),
        ("null".into(), "[3,4]".into()),
        ("null".into(), "[-1]".into()),
    ];
    let made = scripts.reduce(&function, groups).await.unwrap();
    assert_eq!(made[0].as_deref(), Ok("2"));
    assert_eq!(made[1].as_deref(), Ok("[7]"));
    assert_eq!(made[2], Err(thrown("unknown_error", "no")));
}

#[tokio::test]
async fn validation_says_what_was_thrown() {
    let scripts = Scripts::new();
    for (throw, expected) in [
        ("{forbidden: 'no'}", Err(thrown("forbidden", "no"))),
        ("{unauthorized: 'who'}", Err(thrown("unauthorized", "who"))),
        ("{forbidden: {a: 1}}", Err(thrown("forbidden", r#"{"a":1}"#))),
        ("'text'", Err(thrown("unknown_error", "text"))),
        ("new Error('bad')", Err(thrown("Error", "bad"))),
        ("['error', 'one', 'two']", Err(thrown("one", "two"))),
        ("null", Err(thrown("unknown_error", "null"))),
        ("{}", Err(thrown("unknown_error", "{}"))),
        // CouchDB takes these for consent.
        ("true", Ok(())),
        ("1", Ok(())),
    ] {
        let design = design(&[&format!("function () {{ throw({throw}) }}")]);
        let arguments = ["{}", "null", "{}", "{}"].map(Into::into);
        assert_eq!(scripts.validate(&design, arguments).await, expected, "{throw}");
    }
    let design = design(&["(n, o, u, s) => { throw {forbidden: [n.a, o, u.name, s.x]} }"]);
    let arguments = [r#"{"a":1}"#, "null", r#"{"name":"b"}"#, r#"{"x":2}"#].map(Into::into);
    let told = scripts.validate(&design, arguments).await;
    assert_eq!(told, Err(thrown("forbidden", r#"[1,null,"b",2]"#)));
}

#[tokio::test]
async fn filters_answer_for_each_document() {
    let scripts = Scripts::new();
    let documents = || vec![r#"{"n":1}"#.into(), r#"{"n":0}"#.into()];
    let filter = design(&["function (doc, req) { return doc.n && req.query.x }"]);
    let request = r#"{"query":{"x":"y"}}"#;
    let passed = scripts.filter(&filter, documents(), request.into()).await;
    assert_eq!(passed, Ok(vec![true, false]));
    let view = design(&["doc => { if (doc.n) emit(1) }"]);
    assert_eq!(scripts.filter_view(&view, documents()).await, Ok(vec![true, false]));
    let throws = design(&["doc => { throw 'x' }"]);
    let told = scripts.filter_view(&throws, documents()).await;
    assert_eq!(told, Err(thrown("unknown_error", "x")));
}

#[tokio::test]
async fn modules_are_required() {
    let scripts = Scripts::new();
    let library = r#"{"views":{"lib":{
        "a":"exports.f = n => n * require('./b').k; exports.n = (exports.n || 0) + 1",
        "b":"exports.k = 3; exports.a = require('views/lib/a')",
        "bad":"exports.x = (", "deep":{"up":"exports.k = require('../b').k"}}}}"#;
    for (require, expected) in [
        ("require('views/lib/a').f(2)", vec![("6", "null")]),
        ("require('views/lib/a').n + require('views/lib/a').n", vec![("2", "null")]),
        ("require('views/lib/deep/up').k", vec![("3", "null")]),
        ("require('views/lib/none')", vec![]),
        ("require('views/lib/bad')", vec![]),
        ("require('views/lib')", vec![]),
    ] {
        let design = with_library(Some(library), &[&format!("d => emit({require})")]);
        let mapped = scripts.map(&design, vec!["{}".into()]).await.unwrap();
        assert_eq!(rows(&mapped[0][0]), expected, "{require}");
    }
}

#[tokio::test]
async fn what_does_not_compile_says_so_as_couchdb_does() {
    let scripts = Scripts::new();
    for (text, expected) in [
        ("function (doc) {", "SyntaxError: unexpected token in expression: '' (function (doc) {)"),
        ("5", "Expression does not eval to a function. (5)"),
        ("no.such", "ReferenceError: no is not defined (no.such)"),
    ] {
        let told = scripts.compile(&design(&[text])).await;
        assert_eq!(told, Err(ScriptError::Compilation { reason: expected.into() }), "{text}");
    }
    // A null byte ends a text of C.
    let told = scripts.compile(&design(&["d => 1\0"])).await;
    assert!(matches!(told, Err(ScriptError::Compilation { .. })), "{told:?}");
}

#[tokio::test]
async fn nothing_is_left_for_another_design() {
    let scripts = Scripts::new();
    let text = "d => { globalThis.n = (globalThis.n || 0) + 1; emit(n) }";
    for _ in 0..5 {
        // Equal designs, as two databases may have them.
        let mapped = map(&scripts, text, "{}").await.unwrap();
        assert_eq!(rows(&mapped[0]), [("1", "null")]);
    }
}

#[tokio::test]
async fn more_designs_than_are_kept_work() {
    let scripts = Scripts::new();
    let designs: Vec<_> = (0..40).map(|n| design(&[&format!("d => emit({n})")])).collect();
    for _ in 0..2 {
        for (n, design) in designs.iter().enumerate() {
            let mapped = scripts.map(design, vec!["{}".into()]).await.unwrap();
            assert_eq!(*mapped[0][0][0].key, *n.to_string());
        }
    }
}

#[test]
fn the_limits_are_couchdbs() {
    assert_eq!(TIMES.call, Duration::from_secs(5));
}
