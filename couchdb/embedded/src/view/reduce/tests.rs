//! Values of groups, as a real CouchDB 3.5.0 gives them.

use super::*;
use serde_json::{Value, json};

fn reduce(name: &str, values: &[&str]) -> Result<Value, BadValue> {
    let mut accumulator = Accumulator::new(&Reduction::named(name).unwrap());
    for (index, value) in values.iter().enumerate() {
        accumulator.add(&index.to_string(), value)?;
    }
    Ok(serde_json::from_str(&accumulator.finish()?).unwrap())
}

#[test]
fn values_of_groups() {
    let none: [&str; 0] = [];
    for (name, values, expected) in [
        ("_sum", &["1", "2", "3"][..], json!(6)),
        ("_sum", &["1", "0.5"], json!(1.5)),
        ("_sum", &["9223372036854775807", "1"], json!(9_223_372_036_854_775_808_u64)),
        ("_sum", &["[1,2,3]", "[10]", "5"], json!([16, 2, 3])),
        ("_sum", &["1", "[1,2]"], json!([2, 2])),
        (
            "_sum",
            &[r#"{"a":1,"c":{"x":1}}"#, r#"{"b":2,"a":2,"c":{"x":1,"y":[1]}}"#],
            json!({"a": 3, "b": 2, "c": {"x": 2, "y": [1]}}),
        ),
        ("_count", &["null", "\"a\"", "{}"], json!(3)),
        ("_count", &none, json!(0)),
        ("_stats", &["2", "4"], json!({"sum": 6, "count": 2, "min": 2, "max": 4, "sumsqr": 20})),
        (
            "_stats",
            &["3", r#"{"sum":6,"count":2,"min":2,"max":4,"sumsqr":20}"#],
            json!({"sum": 9, "count": 3, "min": 2, "max": 4, "sumsqr": 29}),
        ),
        ("_approx_count_distinct", &["1", "1", "1"], json!(3)),
        ("_top_2", &["1", "3", "2", "3"], json!([3, 2])),
        ("_bottom_2", &["\"b\"", "3", "2", "3"], json!([2, 3])),
        ("_first", &["7", "8"], json!(7)),
        ("_last", &["7", "8"], json!(8)),
    ] {
        assert_eq!(reduce(name, values).unwrap(), expected, "{name} {values:?}");
    }
}

#[test]
fn what_cannot_be_reduced() {
    for value in ["\"text\"", "null", "true"] {
        let sum = reduce("_sum", &["1", value]).unwrap();
        assert_eq!(sum["error"], "builtin_reduce_error");
        assert_eq!(sum["caused_by"], serde_json::from_str::<Value>(value).unwrap());
    }
    assert!(matches!(reduce("_sum", &["1", r#"{"a":1}"#]), Err(BadValue::Mixed(_))));
    let text = reduce("_stats", &["\"x\""]).unwrap_err();
    assert_eq!(text.to_string(), "non-numeric _stats input: <<120>>");
    assert!(check_stats("[1,[2]]").is_ok());
    assert!(check_stats("null").is_err());
}

#[test]
fn a_sum_must_shrink() {
    let object = |count: usize| {
        let members: Vec<String> = (0..count).map(|n| format!("\"k{n}\":1")).collect();
        format!("{{{}}}", members.join(","))
    };
    // As many rows as fill a node of the tree.
    let value = object(60);
    let sum = reduce("_sum", &[&value, &value]).unwrap();
    assert_eq!((&sum["k0"], &sum["error"]), (&json!(2), &Value::Null));
    for (count, sound) in [(50, true), (370, true), (400, false)] {
        let value = object(count);
        let sum = reduce("_sum", &[&value, &value, &value]).unwrap();
        assert_eq!(sum.get("error").is_none(), sound, "{count}");
    }
}

#[test]
fn estimates_are_near() {
    let mut distinct = distinct::Distinct::new();
    let mut count = 0_u64;
    for limit in [10_u64, 1_000, 50_000] {
        while count < limit {
            distinct.add(count.to_string().as_bytes());
            count += 1;
        }
        let error = distinct.estimate().abs_diff(limit) * 100 / limit;
        assert!(error <= 6, "{limit}: {}", distinct.estimate());
    }
}

#[test]
fn names_of_reductions() {
    for (name, known) in [
        ("_sum", true),
        ("_top_5", true),
        ("_bottom_100", true),
        ("_top_0", false),
        ("_top_101", false),
        ("_top_x", false),
        ("_nosuch", false),
    ] {
        assert_eq!(Reduction::named(name).is_ok(), known, "{name}");
    }
}
