//! The order of encoded keys against a direct comparison of values, and against recorded rows.

use super::*;
use proptest::prelude::*;
use std::cmp::Ordering;

/// JSON that keeps the order of its members.
#[derive(Clone, Debug)]
enum Json {
    Null,
    Bool(bool),
    Integer(i128),
    Double(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    fn write(&self) -> String {
        let text = |text: &str| serde_json::to_string(text).unwrap();
        match self {
            Json::Null => String::from("null"),
            Json::Bool(value) => value.to_string(),
            Json::Integer(value) => value.to_string(),
            Json::Double(value) => serde_json::to_string(value).unwrap(),
            Json::Text(value) => text(value),
            Json::List(values) => {
                let values: Vec<String> = values.iter().map(Json::write).collect();
                format!("[{}]", values.join(","))
            }
            Json::Object(members) => {
                let one =
                    |(name, value): &(String, Json)| format!("{}:{}", text(name), value.write());
                let members: Vec<String> = members.iter().map(one).collect();
                format!("{{{}}}", members.join(","))
            }
        }
    }

    fn rank(&self, collation: Collation) -> usize {
        let kind = match self {
            Json::Null => "null",
            Json::Bool(false) => "false",
            Json::Bool(true) => "true",
            Json::Integer(_) | Json::Double(_) => "number",
            Json::Text(_) => "text",
            Json::List(_) => "list",
            Json::Object(_) => "object",
        };
        let order = match collation {
            Collation::Unicode => ["null", "false", "true", "number", "text", "list", "object"],
            Collation::Raw => ["number", "false", "null", "true", "object", "list", "text"],
        };
        order.iter().position(|one| *one == kind).unwrap()
    }
}

fn texts(collation: Collation, a: &str, b: &str) -> Ordering {
    match collation {
        Collation::Unicode => ROOT.compare(a, b),
        Collation::Raw => a.as_bytes().cmp(b.as_bytes()),
    }
}

/// Exactly, whatever the kinds of the numbers.
fn numbers(a: &Json, b: &Json) -> Ordering {
    match (a, b) {
        (Json::Integer(a), Json::Integer(b)) => a.cmp(b),
        (Json::Double(a), Json::Double(b)) => a.partial_cmp(b).unwrap(),
        (Json::Integer(a), Json::Double(b)) => {
            // Above 2^64 the double decides alone; below, its whole part is an integer.
            if b.abs() > 1e30 {
                return 0.0.partial_cmp(b).unwrap();
            }
            #[expect(clippy::cast_possible_truncation, reason = "it is below 2^100")]
            let whole = b.trunc() as i128;
            a.cmp(&whole).then(0.0.partial_cmp(&b.fract()).unwrap())
        }
        (a, b) => numbers(b, a).reverse(),
    }
}

fn compare(collation: Collation, a: &Json, b: &Json) -> Ordering {
    match (a, b) {
        (Json::Integer(_) | Json::Double(_), Json::Integer(_) | Json::Double(_)) => numbers(a, b),
        (Json::Text(a), Json::Text(b)) => texts(collation, a, b),
        (Json::List(a), Json::List(b)) => {
            let pairs = a.iter().zip(b).map(|(a, b)| compare(collation, a, b));
            pairs.fold(Ordering::Equal, Ordering::then).then(a.len().cmp(&b.len()))
        }
        (Json::Object(a), Json::Object(b)) => a
            .iter()
            .zip(b)
            .map(|((a, x), (b, y))| texts(collation, a, b).then_with(|| compare(collation, x, y)))
            .fold(Ordering::Equal, Ordering::then)
            .then(a.len().cmp(&b.len())),
        _ => a.rank(collation).cmp(&b.rank(collation)),
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[aAbB01 _~é\u{0}-\u{3}]{0,4}",
        "\\PC{0,3}",
        any::<String>(),
        prop::sample::select(vec![
            String::from("e\u{301}"),
            String::from("é"),
            String::from("a\u{300}\u{316}"),
            String::from("a\u{316}\u{300}"),
            String::from("\u{fff0}"),
            String::from("\u{ffff}"),
            String::from("日本"),
        ]),
    ]
}

fn json() -> impl Strategy<Value = Json> {
    let near = (any::<u64>(), -3_i128..3).prop_map(|(a, b)| Json::Integer(i128::from(a >> 3) + b));
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(|value| Json::Integer(value.into())),
        (-3_i128..3).prop_map(Json::Integer),
        near,
        any::<u64>().prop_map(|value| Json::Integer(value.into())),
        (0_i32..70).prop_map(|power| Json::Double(2_f64.powi(power))),
        (-300_i32..300, -10_f64..10.0).prop_map(|(e, m)| Json::Double(m * 10_f64.powi(e))),
        text().prop_map(Json::Text),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::List),
            prop::collection::vec((text(), inner), 0..3).prop_map(Json::Object),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn bytes_are_in_the_order_of_values(a in json(), b in json()) {
        for collation in [Collation::Unicode, Collation::Raw] {
            let bytes = |value: &Json| collation.encode(&value.write()).unwrap();
            prop_assert_eq!(
                bytes(&a).cmp(&bytes(&b)),
                compare(collation, &a, &b),
                "{:?} {} {}", collation, a.write(), b.write()
            );
        }
    }

    #[test]
    fn a_prefix_is_that_of_the_shorter_list(
        list in prop::collection::vec(json(), 0..5),
        level in 0_usize..6,
    ) {
        for collation in [Collation::Unicode, Collation::Raw] {
            let encode = |list: &[Json]| {
                collation.encode(&Json::List(list.to_vec()).write()).unwrap()
            };
            let whole = encode(&list);
            let expected = list.get(..level).map(|first| {
                let mut bytes = encode(first);
                bytes.pop();
                bytes
            });
            prop_assert_eq!(collation.prefix(&whole, level).map(<[u8]>::to_vec), expected);
        }
    }
}

/// The rows of a real CouchDB 3.5.0.
#[test]
fn the_order_is_couchdbs() {
    let unicode = [
        "null",
        "false",
        "true",
        "-1",
        "0",
        "1",
        "2.5",
        "10",
        "100000000000000000000",
        r#""""#,
        r#"" ""#,
        r#""_""#,
        r#""~""#,
        r#""1""#,
        r#""10""#,
        r#""2""#,
        r#""a""#,
        r#""A""#,
        r#""aa""#,
        r#""b""#,
        r#""B""#,
        r#""e""#,
        r#""é""#,
        r#""z""#,
        r#""日""#,
        "[]",
        "[null]",
        "[1]",
        "[1,2]",
        "[2]",
        r#"["a"]"#,
        "[[]]",
        "[{}]",
        "{}",
        r#"{"a":1}"#,
        r#"{"a":1,"b":2}"#,
        r#"{"a":2}"#,
        r#"{"b":1}"#,
        r#"{"b":2,"a":1}"#,
    ];
    let raw = [
        "-1",
        "0",
        "1",
        "2.5",
        "10",
        "100000000000000000000",
        "false",
        "null",
        "true",
        "{}",
        r#"{"a":1}"#,
        r#"{"a":1,"b":2}"#,
        r#"{"a":2}"#,
        r#"{"b":1}"#,
        "[]",
        "[1]",
        "[1,2]",
        "[2]",
        "[null]",
        "[{}]",
        "[[]]",
        r#"["a"]"#,
        r#""""#,
        r#"" ""#,
        r#""1""#,
        r#""10""#,
        r#""2""#,
        r#""A""#,
        r#""B""#,
        r#""_""#,
        r#""a""#,
        r#""aa""#,
        r#""b""#,
        r#""e""#,
        r#""z""#,
        r#""~""#,
        r#""é""#,
        r#""日""#,
    ];
    for (collation, keys) in [(Collation::Unicode, &unicode[..]), (Collation::Raw, &raw[..])] {
        for pair in keys.windows(2) {
            let [a, b] = [0, 1].map(|index| collation.encode(pair[index]).unwrap());
            assert!(a < b, "{collation:?}: {} before {}", pair[0], pair[1]);
        }
    }
    for (a, b) in [("1", "1.0"), ("0", "-0.0"), (r#""e\u0301""#, r#""é""#), ("1e2", "100")] {
        let encode = |key| Collation::Unicode.encode(key).unwrap();
        assert_eq!(encode(a), encode(b), "{a} {b}");
    }
}

#[test]
fn what_is_no_json_has_no_place() {
    for text in ["", "x", "1 2", "[1", "1e999"] {
        assert_eq!(Collation::Unicode.encode(text), Err(NotJson), "{text}");
    }
}
