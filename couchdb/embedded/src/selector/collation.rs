//! The order of JSON values: null, false, true, numbers, texts, arrays, objects.
//!
//! Source: CouchDB documentation, "Views Collation"; `mango_json.erl` of 3.5. Texts are ordered by the
//! root collation of Unicode, where some texts of different bytes are equal.

use crate::unicode::ROOT;
use serde_json::{Number, Value};
use std::cmp::Ordering;

/// How two texts are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Texts {
    /// As people read them.
    Unicode,
    /// By their bytes: ids of documents.
    Raw,
}

impl Texts {
    fn compare(self, a: &str, b: &str) -> Ordering {
        match self {
            // Most are: this is cheaper.
            _ if a == b => Ordering::Equal,
            Texts::Unicode => ROOT.compare(a, b),
            Texts::Raw => a.cmp(b),
        }
    }

    /// The order of two values.
    pub(crate) fn order(self, a: &Value, b: &Value) -> Ordering {
        match (a, b) {
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Number(a), Value::Number(b)) => numbers(a, b),
            (Value::String(a), Value::String(b)) => self.compare(a, b),
            (Value::Array(a), Value::Array(b)) => {
                let pairs = a.iter().zip(b).map(|(a, b)| self.order(a, b));
                first(pairs).then(a.len().cmp(&b.len()))
            }
            (Value::Object(a), Value::Object(b)) => {
                let pairs = a.iter().zip(b);
                let pairs =
                    pairs.map(|((a, x), (b, y))| self.compare(a, b).then_with(|| self.order(x, y)));
                first(pairs).then(a.len().cmp(&b.len()))
            }
            // Erlang's order of terms: nothing is greater than a text.
            _ if self == Texts::Raw && (a.is_string() || b.is_string()) => {
                a.is_string().cmp(&b.is_string())
            }
            _ => rank(a).cmp(&rank(b)),
        }
    }
}

fn first(mut orders: impl Iterator<Item = Ordering>) -> Ordering {
    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

/// Integers exactly, so that two large ids are not the same double; anything else as doubles.
fn numbers(a: &Number, b: &Number) -> Ordering {
    if let (Some(a), Some(b)) = (a.as_i128(), b.as_i128()) {
        return a.cmp(&b);
    }
    let (a, b) = (a.as_f64().unwrap_or_default(), b.as_f64().unwrap_or_default());
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}
