//! Whether a condition holds for a value.

use super::{Comparison, Node, Test, collation::Texts};
use serde_json::Value;
use std::cmp::Ordering;

/// `value` is None where the document has no such field. Texts are compared as `texts` says.
pub(super) fn holds(node: &Node, value: Option<&Value>, texts: Texts) -> bool {
    match node {
        Node::And(nodes) => nodes.iter().all(|node| holds(node, value, texts)),
        Node::Or(nodes) => nodes.is_empty() || nodes.iter().any(|node| holds(node, value, texts)),
        Node::Not(inner) => value.is_some() && !holds(inner, value, texts),
        Node::Field(path, inner) => {
            // Ids are in the order of their bytes everywhere.
            let texts = if path.len() == 1 && path[0] == "_id" { Texts::Raw } else { texts };
            holds(inner, value.and_then(|value| find(value, path)), texts)
        }
        Node::Test(Test::Exists(exists)) => value.is_some() == *exists,
        Node::Test(test) => value.is_some_and(|value| passes(test, value, texts)),
    }
}

/// What lies under a path: members of objects, elements of arrays.
pub(super) fn find<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| match value {
        Value::Object(members) => members.get(name),
        Value::Array(elements) => elements.get(name.parse::<usize>().ok()?),
        _ => None,
    })
}

fn passes(test: &Test, value: &Value, texts: Texts) -> bool {
    match test {
        Test::Compare(comparison, argument) => {
            let order = texts.order(value, argument);
            match comparison {
                Comparison::Equal => order == Ordering::Equal,
                Comparison::NotEqual => order != Ordering::Equal,
                Comparison::Less => order == Ordering::Less,
                Comparison::LessOrEqual => order != Ordering::Greater,
                Comparison::Greater => order == Ordering::Greater,
                Comparison::GreaterOrEqual => order != Ordering::Less,
            }
        }
        Test::In(list) => is_in(value, list, texts),
        Test::NotIn(list) => !is_in(value, list, texts),
        Test::Exists(exists) => *exists,
        Test::Type(name) => kind(value) == name,
        Test::Mod { divisor, remainder } => {
            value.as_i64().and_then(|value| value.checked_rem(*divisor)) == Some(*remainder)
        }
        Test::Regex(regex) => value.as_str().is_some_and(|text| regex.is_match(text)),
        Test::BeginsWith(start) => value.as_str().is_some_and(|text| text.starts_with(start)),
        // Here CouchDB compares terms: 1 and 1.0 are two.
        Test::All(list) => value.as_array().is_some_and(|elements| {
            let only = list.len() == 1 && list[0].is_array() && list[0] == *value;
            only || !list.is_empty() && list.iter().all(|wanted| elements.contains(wanted))
        }),
        Test::Size(size) => {
            value.as_array().is_some_and(|elements| u64::try_from(elements.len()) == Ok(*size))
        }
        Test::ElementMatch(node) => value
            .as_array()
            .is_some_and(|elements| elements.iter().any(|e| holds(node, Some(e), texts))),
        Test::AllMatch(node) => value.as_array().is_some_and(|elements| {
            !elements.is_empty() && elements.iter().all(|e| holds(node, Some(e), texts))
        }),
        Test::KeyMatch(node) => value.as_object().is_some_and(|members| {
            members.keys().any(|key| holds(node, Some(&Value::from(key.as_str())), texts))
        }),
    }
}

/// Of an array one of its elements must be in the list, not the array itself.
fn is_in(value: &Value, list: &[Value], texts: Texts) -> bool {
    let listed =
        |value: &Value| list.iter().any(|wanted| texts.order(value, wanted) == Ordering::Equal);
    value.as_array().map_or_else(|| listed(value), |elements| elements.iter().any(listed))
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
