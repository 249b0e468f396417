//! Whether a condition holds for a value.

use super::{Comparison, Node, Test, collation::compare};
use serde_json::Value;
use std::cmp::Ordering;

/// `value` is None where the document has no such field.
pub(super) fn holds(node: &Node, value: Option<&Value>) -> bool {
    match node {
        Node::And(nodes) => nodes.iter().all(|node| holds(node, value)),
        Node::Or(nodes) => nodes.is_empty() || nodes.iter().any(|node| holds(node, value)),
        Node::Not(inner) => value.is_some() && !holds(inner, value),
        Node::Field(path, inner) => holds(inner, value.and_then(|value| find(value, path))),
        Node::Test(Test::Exists(exists)) => value.is_some() == *exists,
        Node::Test(test) => value.is_some_and(|value| passes(test, value)),
    }
}

fn find<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| match value {
        Value::Object(members) => members.get(name),
        Value::Array(elements) => elements.get(name.parse::<usize>().ok()?),
        _ => None,
    })
}

fn passes(test: &Test, value: &Value) -> bool {
    match test {
        Test::Compare(comparison, argument) => {
            let order = compare(value, argument);
            match comparison {
                Comparison::Equal => order == Ordering::Equal,
                Comparison::NotEqual => order != Ordering::Equal,
                Comparison::Less => order == Ordering::Less,
                Comparison::LessOrEqual => order != Ordering::Greater,
                Comparison::Greater => order == Ordering::Greater,
                Comparison::GreaterOrEqual => order != Ordering::Less,
            }
        }
        Test::In(list) => is_in(value, list),
        Test::NotIn(list) => !is_in(value, list),
        Test::Exists(exists) => *exists,
        Test::Type(name) => kind(value) == name,
        Test::Mod { divisor, remainder } => {
            value.as_i64().and_then(|value| value.checked_rem(*divisor)) == Some(*remainder)
        }
        Test::Regex(regex) => value.as_str().is_some_and(|text| regex.is_match(text)),
        Test::BeginsWith(start) => value.as_str().is_some_and(|text| text.starts_with(start)),
        Test::All(list) => value.as_array().is_some_and(|elements| {
            !list.is_empty() && list.iter().all(|wanted| elements.iter().any(|e| equal(e, wanted)))
        }),
        Test::Size(size) => {
            value.as_array().is_some_and(|elements| u64::try_from(elements.len()) == Ok(*size))
        }
        Test::ElementMatch(node) => {
            value.as_array().is_some_and(|elements| elements.iter().any(|e| holds(node, Some(e))))
        }
        Test::AllMatch(node) => value.as_array().is_some_and(|elements| {
            !elements.is_empty() && elements.iter().all(|e| holds(node, Some(e)))
        }),
        Test::KeyMatch(node) => value.as_object().is_some_and(|members| {
            members.keys().any(|key| holds(node, Some(&Value::from(key.as_str()))))
        }),
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    compare(a, b) == Ordering::Equal
}

/// An array also passes when one of its elements is in the list.
fn is_in(value: &Value, list: &[Value]) -> bool {
    let listed = |value: &Value| list.iter().any(|wanted| equal(value, wanted));
    listed(value) || value.as_array().is_some_and(|elements| elements.iter().any(listed))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
