//! Judges requests by policies, as AWS says that it does: for tests, since no double of AWS knows conditions.
//!
//! Source: IAM User Guide, "Policy evaluation logic" and "IAM JSON policy elements: Condition operators". What it does not
//! know it panics at: a policy that nobody judged must not pass for one that was.

use std::collections::BTreeMap;

use serde_json::Value;

/// One action on one resource.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) action: &'static str,
    pub(super) resource: String,
    /// The keys of its context; one may have several values.
    pub(super) context: BTreeMap<String, Vec<String>>,
}

/// Whether the policy lets it: something allows it, and nothing denies it.
pub(super) fn is_allowed(policy: &Value, request: &Request) -> bool {
    let statements = policy["Statement"].as_array().expect("a list of statements");
    let speaking: Vec<&str> = statements
        .iter()
        .filter(|statement| applies(statement, request))
        .map(|statement| statement["Effect"].as_str().expect("an effect"))
        .collect();
    speaking.contains(&"Allow") && !speaking.contains(&"Deny")
}

fn applies(statement: &Value, request: &Request) -> bool {
    let known = ["Sid", "Effect", "Action", "Resource", "Condition"];
    let element = statement
        .as_object()
        .expect("a statement")
        .keys()
        .find(|name| !known.contains(&name.as_str()));
    assert_eq!(element, None, "an element that this evaluator does not know");
    let action = request.action.to_ascii_lowercase();
    let is_action =
        texts(&statement["Action"]).iter().any(|one| is_like(&one.to_ascii_lowercase(), &action));
    let is_resource =
        texts(&statement["Resource"]).iter().any(|one| is_like(one, &request.resource));
    is_action && is_resource && holds(&statement["Condition"], request)
}

/// Whether all conditions hold.
fn holds(conditions: &Value, request: &Request) -> bool {
    let Some(conditions) = conditions.as_object() else { return true };
    conditions.iter().all(|(operator, keys)| {
        let keys = keys.as_object().expect("keys of a condition");
        keys.iter().all(|(key, wanted)| {
            // Keys are compared without regard to case.
            let found = request.context.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
            let found: &[String] = found.map_or(&[], |(_, values)| values);
            holds_of(operator, &texts(wanted), found)
        })
    })
}

fn holds_of(operator: &str, wanted: &[String], found: &[String]) -> bool {
    let any =
        |matches: fn(&str, &str) -> bool, value: &str| wanted.iter().any(|one| matches(one, value));
    let equal: fn(&str, &str) -> bool = |one, value| one == value;
    // A key that is absent fails each operator without a prefix; `ForAllValues` holds of nothing.
    match operator {
        "StringEquals" | "Bool" => found.iter().any(|value| any(equal, value)),
        "StringLike" | "ArnLike" => found.iter().any(|value| any(is_like, value)),
        "ForAllValues:StringEquals" => found.iter().all(|value| any(equal, value)),
        "Null" => wanted.iter().all(|is_absent| (is_absent == "true") == found.is_empty()),
        other => panic!("the condition operator {other} is not known"),
    }
}

/// Whether a text is like a pattern with `*` and `?`.
fn is_like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    // Whether the first so many of the pattern take the first so many of the text.
    let mut takes = vec![false; text.len() + 1];
    takes[0] = true;
    for &wanted in &pattern {
        let before = takes.clone();
        for place in 0..takes.len() {
            takes[place] = match wanted {
                '*' => before[place] || (place > 0 && takes[place - 1]),
                '?' => place > 0 && before[place - 1],
                one => place > 0 && before[place - 1] && text[place - 1] == one,
            };
        }
    }
    takes[text.len()]
}

/// A text, or a list of them.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(list) => list.iter().flat_map(texts).collect(),
        other => panic!("neither a text nor a list of texts: {other}"),
    }
}

#[test]
fn patterns_are_as_iam_has_them() {
    for (pattern, text, is) in [
        ("s3:Get*", "s3:GetObject", true),
        ("*", "", true),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("arn:*:x/*", "arn:aws:x/y/z", true),
        ("arn:aws:x", "arn:aws:xy", false),
        ("a*b*c", "a1b2b3c", true),
    ] {
        assert_eq!(is_like(pattern, text), is, "{pattern} {text}");
    }
}
