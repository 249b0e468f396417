//! Mango selectors: the conditions of `filter=_selector`.
//!
//! A selector is parsed once, with every argument checked, and then evaluated on documents without
//! allocating. Negations are pushed down to the fields while parsing, as CouchDB does: `$not`, `$ne`
//! and `$nin` hold only where the field exists.
//!
//! Not here: indexes and sorting, which are [`mango`](crate::mango).
//! Source: CouchDB documentation, "/{db}/_find", and `mango_selector.erl` of 3.5.

pub(crate) mod collation;
mod matching;
mod parse;

use regex_lite::Regex;
use serde_json::Value;

/// The parts of a path such as `a.b`.
pub(crate) fn split_path(name: &str) -> Vec<String> {
    parse::split(name)
}

/// What lies under the path in a document.
pub(crate) fn find<'a>(document: &'a Value, path: &[String]) -> Option<&'a Value> {
    matching::find(document, path)
}

/// A condition on a document, or on one value inside it.
#[derive(Clone, Debug)]
pub(crate) struct Selector {
    root: Node,
}

/// A part of a condition.
#[derive(Clone, Debug)]
enum Node {
    /// All of them; an empty one holds.
    And(Vec<Node>),
    /// Any of them; an empty one holds too, as in CouchDB.
    Or(Vec<Node>),
    /// The value is there and the condition does not hold.
    Not(Box<Node>),
    /// The condition on what lies under this path.
    Field(Vec<String>, Box<Node>),
    /// A condition on the value itself.
    Test(Test),
}

/// A condition on one value.
#[derive(Clone, Debug)]
enum Test {
    Compare(Comparison, Value),
    In(Vec<Value>),
    NotIn(Vec<Value>),
    Exists(bool),
    Type(String),
    Mod { divisor: i64, remainder: i64 },
    Regex(Regex),
    BeginsWith(String),
    All(Vec<Value>),
    Size(u64),
    ElementMatch(Box<Node>),
    AllMatch(Box<Node>),
    KeyMatch(Box<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Why a value is no selector. The texts are CouchDB's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadSelector {
    #[error("Selector error: expected a JSON object")]
    NotObject,
    #[error("Invalid operator: {0}")]
    Operator(String),
    #[error("Bad argument for operator {operator}: {argument}")]
    Argument { operator: String, argument: String },
}

impl Selector {
    /// Reads a selector and checks it whole.
    pub(crate) fn parse(value: &Value) -> Result<Selector, BadSelector> {
        if !value.is_object() {
            return Err(BadSelector::NotObject);
        }
        Ok(Selector { root: parse::node(value)? })
    }

    /// Whether the document, an object with `_id` and `_rev`, meets the condition.
    pub(crate) fn matches(&self, document: &Value) -> bool {
        matching::holds(&self.root, Some(document), collation::Texts::Unicode)
    }
}

#[cfg(test)]
mod tests;
