//! From a JSON object to a condition.

use super::{BadSelector, Comparison, Node, Test};
use regex_lite::RegexBuilder;
use serde_json::{Map, Value};

/// The largest program that a `$regex` may compile to, in bytes: 1,000 feeds may each have one.
const REGEX_BYTES_MAX: usize = 64 << 10;

/// The condition of an object, or equality with anything else.
pub(super) fn node(value: &Value) -> Result<Node, BadSelector> {
    match value {
        Value::Object(members) if members.is_empty() => Ok(Node::And(Vec::new())),
        Value::Object(members) => all(members, &Vec::new()),
        _ => Err(BadSelector::NotObject),
    }
}

/// Every member must hold. `path` is the field that they speak of, empty at the top.
fn all(members: &Map<String, Value>, path: &[String]) -> Result<Node, BadSelector> {
    let mut nodes = Vec::with_capacity(members.len());
    for (name, argument) in members {
        nodes.push(match name.strip_prefix('$') {
            Some(_) => operator(name, argument, path)?,
            None => {
                let mut path = path.to_vec();
                path.extend(split(name));
                field(&path, argument)?
            }
        });
    }
    Ok(match nodes.len() {
        1 => nodes.remove(0),
        _ => Node::And(nodes),
    })
}

/// The same inside an operator, where an empty object is a value, as in CouchDB.
fn some(members: &Map<String, Value>, path: &[String]) -> Result<Node, BadSelector> {
    if members.is_empty() {
        return Ok(at(path, Test::Compare(Comparison::Equal, Value::Object(Map::new()))));
    }
    all(members, path)
}

/// What is asked of one field.
fn field(path: &[String], argument: &Value) -> Result<Node, BadSelector> {
    match argument {
        Value::Object(members) if !members.is_empty() => all(members, path),
        literal => Ok(at(path, Test::Compare(Comparison::Equal, literal.clone()))),
    }
}

/// `a.b` is the member `b` of `a`; `\.` is a dot in a name.
pub(super) fn split(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = name.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('\\', Some('.')) => {
                characters.next();
                push(&mut parts, '.');
            }
            ('.', _) => parts.push(String::new()),
            _ => push(&mut parts, character),
        }
    }
    parts
}

fn push(parts: &mut [String], character: char) {
    if let Some(last) = parts.last_mut() {
        last.push(character);
    }
}

fn at(path: &[String], test: Test) -> Node {
    if path.is_empty() {
        Node::Test(test)
    } else {
        Node::Field(path.to_vec(), Box::new(Node::Test(test)))
    }
}

fn operator(name: &str, argument: &Value, path: &[String]) -> Result<Node, BadSelector> {
    let bad = || BadSelector::Argument { operator: name.to_owned(), argument: erlang(argument) };
    let list = || argument.as_array().ok_or_else(bad);
    let inner = || match argument {
        Value::Object(members) => some(members, &[]),
        _ => Err(bad()),
    };
    let each = || -> Result<Vec<Node>, BadSelector> {
        list()?
            .iter()
            .map(|value| match value {
                Value::Object(members) => some(members, path),
                _ => Err(bad()),
            })
            .collect()
    };
    let compare = |comparison| Test::Compare(comparison, argument.clone());
    let test = match name {
        "$and" => return each().map(Node::And),
        "$or" => return each().map(Node::Or),
        "$nor" => return Ok(Node::And(each()?.into_iter().map(negate).collect())),
        "$not" => {
            return match argument {
                Value::Object(members) => Ok(negate(some(members, path)?)),
                _ => Err(bad()),
            };
        }
        "$eq" => compare(Comparison::Equal),
        "$ne" => compare(Comparison::NotEqual),
        "$lt" => compare(Comparison::Less),
        "$lte" => compare(Comparison::LessOrEqual),
        "$gt" => compare(Comparison::Greater),
        "$gte" => compare(Comparison::GreaterOrEqual),
        "$in" => Test::In(list()?.clone()),
        "$nin" => Test::NotIn(list()?.clone()),
        "$all" => Test::All(list()?.clone()),
        "$exists" => Test::Exists(argument.as_bool().ok_or_else(bad)?),
        "$type" => Test::Type(argument.as_str().ok_or_else(bad)?.to_owned()),
        "$size" => Test::Size(argument.as_u64().ok_or_else(bad)?),
        "$beginsWith" => Test::BeginsWith(argument.as_str().ok_or_else(bad)?.to_owned()),
        "$mod" => modulo(argument).ok_or_else(bad)?,
        "$regex" => {
            let pattern = argument.as_str().ok_or_else(bad)?;
            let mut builder = RegexBuilder::new(pattern);
            Test::Regex(builder.size_limit(REGEX_BYTES_MAX).build().map_err(|_| bad())?)
        }
        "$elemMatch" => Test::ElementMatch(Box::new(inner()?)),
        "$allMatch" => Test::AllMatch(Box::new(inner()?)),
        "$keyMapMatch" => Test::KeyMatch(Box::new(inner()?)),
        _ => return Err(BadSelector::Operator(name.to_owned())),
    };
    Ok(at(path, test))
}

fn modulo(argument: &Value) -> Option<Test> {
    let [divisor, remainder] = argument.as_array()?.as_slice() else { return None };
    let (divisor, remainder) = (divisor.as_i64()?, remainder.as_i64()?);
    (divisor != 0).then_some(Test::Mod { divisor, remainder })
}

/// The opposite, which holds only where the field exists.
fn negate(node: Node) -> Node {
    match node {
        Node::And(nodes) => Node::Or(nodes.into_iter().map(negate).collect()),
        Node::Or(nodes) => Node::And(nodes.into_iter().map(negate).collect()),
        Node::Not(inner) => *inner,
        Node::Field(path, inner) => Node::Field(path, Box::new(negate(*inner))),
        Node::Test(test) => match test {
            Test::Compare(comparison, value) => {
                Node::Test(Test::Compare(opposite(comparison), value))
            }
            Test::In(list) => Node::Test(Test::NotIn(list)),
            Test::NotIn(list) => Node::Test(Test::In(list)),
            Test::Exists(exists) => Node::Test(Test::Exists(!exists)),
            other => Node::Not(Box::new(Node::Test(other))),
        },
    }
}

fn opposite(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Equal => Comparison::NotEqual,
        Comparison::NotEqual => Comparison::Equal,
        Comparison::Less => Comparison::GreaterOrEqual,
        Comparison::GreaterOrEqual => Comparison::Less,
        Comparison::Greater => Comparison::LessOrEqual,
        Comparison::LessOrEqual => Comparison::Greater,
    }
}

/// A text as Erlang prints it, since clients and tests compare CouchDB's message.
fn erlang(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let bytes: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
            format!("<<{}>>", bytes.join(","))
        }
        other => other.to_string(),
    }
}
