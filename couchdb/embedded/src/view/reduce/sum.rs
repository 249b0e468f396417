//! `_sum`: numbers, lists element by element, objects member by member.
//!
//! Source: `builtin_sum_rows` and `check_sum_overflow` of `couch_query_servers.erl`.

use super::{BadValue, Json};
use crate::view::json::{Number, quote};

const WRONG: &str = "The _sum function requires that map values be numbers, arrays of numbers, or \
    objects. Objects cannot be mixed with other data structures. Objects can be arbitrarily nested, \
    provided that the values for all fields are themselves numbers, arrays of numbers, or objects.";

/// A sum larger than this many bytes must be small beside what went into it.
const OVERFLOW_BYTES: usize = 4906;

/// CouchDB sums the rows of one node of its tree, then those sums; this is about what a node holds,
/// in bytes. Each sum has to keep the limit, so the nodes matter to what is refused.
const NODE_BYTES: usize = 1279;

/// A sum, and the one of the rows since the last full node.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    total: Partial,
    node: Partial,
}

/// A sum of some rows.
#[derive(Debug)]
struct Partial {
    sum: Json,
    input_bytes: usize,
    /// What the value is instead of a sum.
    error: Option<Json>,
}

impl Default for Partial {
    fn default() -> Partial {
        Partial { sum: Json::Number(Number::ZERO), input_bytes: 0, error: None }
    }
}

impl Sum {
    pub(super) fn add(&mut self, key: &str, value: &str) -> Result<(), BadValue> {
        let value = Json::parse(value)?;
        if let (Json::Number(sum), Json::Number(value)) = (&mut self.node.sum, &value)
            && self.node.error.is_none()
        {
            *sum = sum.add(*value);
            return Ok(());
        }
        // The key stands in a list with the id.
        self.node.add(value, key.len() + 24)?;
        if self.node.input_bytes > NODE_BYTES { self.close() } else { Ok(()) }
    }

    fn close(&mut self) -> Result<(), BadValue> {
        let node = std::mem::take(&mut self.node);
        if node.is_empty() {
            return Ok(());
        }
        let node = node.finish();
        self.total.add(node, 12)
    }

    pub(super) fn finish(mut self) -> Result<Json, BadValue> {
        self.close()?;
        Ok(self.total.finish())
    }
}

impl Partial {
    /// Nothing was added, or zeros only.
    fn is_empty(&self) -> bool {
        self.input_bytes == 0 && self.sum == Json::Number(Number::ZERO) && self.error.is_none()
    }

    fn add(&mut self, value: Json, beside: usize) -> Result<(), BadValue> {
        self.input_bytes += value.term_bytes() + beside;
        if self.error.is_some() {
            return Ok(());
        }
        let sum = std::mem::replace(&mut self.sum, Json::Null);
        match plus(sum, value) {
            Ok(sum) => self.sum = sum,
            Err(Wrong::Cause(cause)) => self.error = Some(wrong(&cause)),
            Err(Wrong::Error(error)) => self.error = Some(error),
            Err(Wrong::Mixed(found)) => return Err(BadValue::Mixed(found.text())),
        }
        Ok(())
    }

    fn finish(self) -> Json {
        if let Some(error) = self.error {
            return error;
        }
        // One byte says which version of the format it is.
        let output = self.sum.term_bytes() + 1;
        if output > OVERFLOW_BYTES && output * 2 > self.input_bytes {
            let input = self.input_bytes;
            return error(&format!(
                "Reduce output must shrink more rapidly: input size: {input} output size: {output}"
            ));
        }
        self.sum
    }
}

/// Why two values have no sum.
enum Wrong {
    /// This one is nothing that can be added.
    Cause(Json),
    /// It is an error already.
    Error(Json),
    /// An object meets something else, where CouchDB fails.
    Mixed(Json),
}

fn error(reason: &str) -> Json {
    Json::Object(vec![
        (String::from("error"), Json::Text(String::from(ERROR))),
        (String::from("reason"), Json::Text(reason.to_owned())),
    ])
}

const ERROR: &str = "builtin_reduce_error";

fn wrong(cause: &Json) -> Json {
    let mut error = error(WRONG);
    if let Json::Object(members) = &mut error {
        members.push((String::from("caused_by"), cause.clone()));
    }
    error
}

fn plus(sum: Json, value: Json) -> Result<Json, Wrong> {
    match (sum, value) {
        (Json::Number(sum), Json::Number(value)) => Ok(Json::Number(sum.add(value))),
        (Json::List(sum), Json::List(value)) => lists(sum, value),
        (Json::List(sum), Json::Number(value)) => lists(sum, vec![Json::Number(value)]),
        (Json::Number(sum), Json::List(value)) => lists(vec![Json::Number(sum)], value),
        (sum, Json::Object(value)) => {
            let is_error = |(name, value): &(String, Json)| {
                name == "error" && *value == Json::Text(String::from(ERROR))
            };
            if value.iter().any(is_error) {
                return Err(Wrong::Error(Json::Object(value)));
            }
            match sum {
                Json::Number(Number::Integer(0)) => Ok(Json::Object(value)),
                Json::Object(sum) => objects(sum, value).map(Json::Object),
                sum => Err(Wrong::Mixed(sum)),
            }
        }
        (_, value) => Err(Wrong::Cause(value)),
    }
}

/// Element by element; the longer list keeps what it has more.
fn lists(mut sum: Vec<Json>, mut value: Vec<Json>) -> Result<Json, Wrong> {
    for index in 0..sum.len().min(value.len()) {
        let (Json::Number(a), Json::Number(b)) = (&sum[index], &value[index]) else {
            return Err(Wrong::Cause(Json::List(sum.split_off(index))));
        };
        sum[index] = Json::Number(a.add(*b));
    }
    if value.len() > sum.len() {
        sum.extend(value.drain(sum.len()..));
    }
    Ok(Json::List(sum))
}

type Members = Vec<(String, Json)>;

/// Member by member, sorted by name; what only one has stays.
fn objects(mut sum: Members, mut value: Members) -> Result<Members, Wrong> {
    sum.sort_by(|a, b| a.0.cmp(&b.0));
    value.sort_by(|a, b| a.0.cmp(&b.0));
    let mut all = Vec::with_capacity(sum.len().max(value.len()));
    let (mut sum, mut value) = (sum.into_iter().peekable(), value.into_iter().peekable());
    loop {
        let next = match (sum.peek(), value.peek()) {
            (None, None) => return Ok(all),
            (Some((a, _)), Some((b, _))) if a == b => {
                let (Some((name, a)), Some((_, b))) = (sum.next(), value.next()) else { continue };
                Some((name, plus(a, b)?))
            }
            (Some((a, _)), Some((b, _))) if b < a => value.next(),
            (None, Some(_)) => value.next(),
            _ => sum.next(),
        };
        all.extend(next);
    }
}

/// The row of a JavaScript reduction that does not shrink, as CouchDB writes it.
pub(crate) fn overflow_row(input: usize, output: usize) -> String {
    let mut row = String::from(r#"{"key":null,"error":"reduce_overflow_error","reason":"#);
    let reason = format!(
        "Reduce output must shrink more rapidly: input size: {input} output size: {output}"
    );
    quote(&reason, &mut row);
    row.push('}');
    row
}
