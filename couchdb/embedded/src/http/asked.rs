//! What a list of documents is asked for: parameters of the URL, then members of the body, each in the
//! order in which they came, so that a later one goes before an earlier one.

use super::{
    call::Call,
    query::{self, Parameter},
    refusal::{Refusal, allow},
};
use crate::{
    document::object::{self, Members},
    store::list::{Detail, End, Range},
};
use serde_json::Value;

/// What a list is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) range: Range,
    /// Instead of the range.
    pub(crate) keys: Option<Vec<Value>>,
    pub(crate) skip: u64,
    pub(crate) limit: u64,
    pub(crate) detail: Detail,
    pub(crate) update_seq: bool,
}

/// A parameter as it came.
enum Given<'a> {
    Url(&'a Parameter),
    Json(Value),
}

impl Given<'_> {
    fn json(&self) -> Result<Value, Refusal> {
        match self {
            Given::Url(parameter) => parameter.json(),
            Given::Json(value) => Ok(value.clone()),
        }
    }

    /// The parameter as the text that a URL would have.
    fn text(&self) -> String {
        match self {
            Given::Url(parameter) => parameter.value.clone(),
            Given::Json(Value::String(text)) => text.clone(),
            Given::Json(value) => value.to_string(),
        }
    }

    fn boolean(&self) -> Result<bool, Refusal> {
        match self.text().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(Refusal::query(format!("Invalid boolean parameter: {other:?}"))),
        }
    }

    fn number(&self) -> Result<u64, Refusal> {
        let text = self.text();
        let told = match self {
            Given::Json(value) => value.to_string(),
            Given::Url(_) => format!("{text:?}"),
        };
        let number = query::integer(&text)
            .ok_or_else(|| Refusal::query(format!("Invalid value for integer: {told}")))?;
        u64::try_from(number)
            .map_err(|_| Refusal::query(format!("Invalid value for positive integer: {told}")))
    }
}

/// The largest `limit`; CouchDB's own.
const LIMIT_MAX: u64 = (1 << 59) - 1;

/// The parameters as far as they were read.
#[derive(Default)]
struct Parameters {
    start: Option<Value>,
    end: Option<Value>,
    start_id: Option<String>,
    end_id: Option<String>,
    keys: Option<Vec<Value>>,
    is_exclusive: bool,
    descending: bool,
    skip: u64,
    limit: Option<u64>,
    detail: Detail,
    update_seq: bool,
    reduce: bool,
    group: bool,
}

impl Parameters {
    fn take(&mut self, name: &str, given: &Given<'_>) -> Result<(), Refusal> {
        match name {
            "key" => {
                self.start = Some(given.json()?);
                self.end = self.start.clone();
            }
            "keys" => match given.json()? {
                Value::Array(keys) => {
                    // CouchDB takes one key for a range as well.
                    if let [key] = keys.as_slice() {
                        self.start = Some(key.clone());
                        self.end = self.start.clone();
                    }
                    self.keys = Some(keys);
                }
                _ => {
                    return Err(Refusal::bad_request("`keys` body member must be an array."));
                }
            },
            "startkey" | "start_key" => self.start = Some(given.json()?),
            "endkey" | "end_key" => self.end = Some(given.json()?),
            "startkey_docid" | "start_key_doc_id" => self.start_id = Some(given.text()),
            "endkey_docid" | "end_key_doc_id" => self.end_id = Some(given.text()),
            "inclusive_end" => self.is_exclusive = !given.boolean()?,
            "descending" => self.descending = given.boolean()?,
            "skip" => self.skip = given.number()?,
            "limit" => {
                let limit = given.number()?;
                if limit > LIMIT_MAX {
                    return Err(Refusal::query(format!(
                        "Limit is too large, must not exceed {LIMIT_MAX}"
                    )));
                }
                self.limit = Some(limit);
            }
            "include_docs" => self.detail.documents = given.boolean()?,
            "conflicts" => self.detail.conflicts = given.boolean()?,
            "attachments" => self.detail.attachments = given.boolean()?,
            "update_seq" => self.update_seq = given.boolean()?,
            "reduce" => self.reduce = given.boolean()?,
            "group" => self.group = given.boolean()?,
            "group_level" => self.group = given.number()? > 0,
            // There is one order and nothing to wait for.
            "sorted" | "att_encoding_info" => drop(given.boolean()?),
            "stable" | "update" | "stale" => {
                let known: &[&str] = match name {
                    "stale" => &["ok", "update_after"],
                    "stable" => &["true", "false"],
                    _ => &["true", "false", "lazy"],
                };
                if !known.contains(&given.text().as_str()) {
                    return Err(Refusal::query(format!("Invalid value for `{name}`.")));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(mut self, place: Place) -> Result<Asked, Refusal> {
        if place == Place::OneOfSeveral && self.keys.as_ref().is_some_and(|keys| keys.len() == 1) {
            self.keys = None;
        }
        if self.reduce {
            return Err(Refusal::query("Reduce is invalid for map-only views."));
        }
        if self.group {
            return Err(Refusal::query("Invalid use of grouping on a map view."));
        }
        let is_ranged = match self.keys.as_deref() {
            None | Some([]) => false,
            Some([key]) => self.start.as_ref() != Some(key) || self.end.as_ref() != Some(key),
            Some(_) => self.start.is_some() || self.end.is_some(),
        };
        if is_ranged {
            return Err(Refusal::query(
                "`keys` is incompatible with `key`, `start_key` and `end_key`",
            ));
        }
        let descending = self.descending;
        let (first, last) =
            if descending { (End::Last, End::First) } else { (End::First, End::Last) };
        let start = self.start.or(self.start_id.map(Value::from));
        let end = self.end.or(self.end_id.map(Value::from));
        let start = start.map_or(first, |key| end_of(key, true));
        let end = end.map_or(last, |key| end_of(key, !self.is_exclusive));
        let (low, high) = if descending { (end, start) } else { (start, end) };
        Ok(Asked {
            range: Range { low, high, descending },
            keys: self.keys,
            skip: self.skip,
            limit: self.limit.unwrap_or(u64::MAX),
            detail: self.detail,
            update_seq: self.update_seq,
        })
    }
}

/// A key as an end of a range of ids. In Erlang's order of terms nothing is greater than a text.
fn end_of(key: Value, inclusive: bool) -> End {
    match key {
        Value::String(id) if inclusive => End::At(id),
        Value::String(id) => End::Beside(id),
        _ => End::First,
    }
}

/// Where a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Alone,
    /// In `queries`.
    OneOfSeveral,
}

fn read_parameters(
    call: &Call,
    body: Option<&Members<'_>>,
    place: Place,
) -> Result<Asked, Refusal> {
    let mut parameters = Parameters::default();
    for parameter in call.query.parameters() {
        parameters.take(&parameter.name, &Given::Url(parameter))?;
    }
    for (name, value) in body.into_iter().flat_map(|members| &members.0) {
        parameters.take(name, &Given::Json(query::parse(value.get())?))?;
    }
    parameters.finish(place)
}

/// Reads the parameters of a GET or a POST.
pub(crate) async fn read(call: &Call) -> Result<Asked, Refusal> {
    allow(&call.method, &["GET", "HEAD", "POST"])?;
    if call.is_read() {
        return read_parameters(call, None, Place::Alone);
    }
    call.need_json()?;
    let received = call.json_body().await?;
    let members = object::members(received.text()?)?
        .ok_or_else(|| Refusal::bad_request("Request body must be a JSON object"))?;
    read_parameters(call, Some(&members), Place::Alone)
}

/// Reads several lists: the member `queries` of a POST.
pub(crate) async fn read_queries(call: &Call) -> Result<Vec<Asked>, Refusal> {
    allow(&call.method, &["POST"])?;
    call.need_json()?;
    let received = call.json_body().await?;
    let bad = || Refusal::bad_request("`queries` is a list of objects.");
    let members = object::members(received.text()?)?.ok_or_else(bad)?;
    let queries = members.get("queries").and_then(object::elements).ok_or_else(bad)?;
    let one = |text: &&serde_json::value::RawValue| {
        let members = object::members(text.get())?.ok_or_else(bad)?;
        read_parameters(call, Some(&members), Place::OneOfSeveral)
    };
    queries.iter().map(one).collect()
}
