//! `_all_docs` and `_design_docs`: living documents in the order of their ids.

use super::{
    call::{Call, Server},
    query::{self, Query},
    refusal::{Refusal, allow},
    reply::{self, Broken, Handled, Pieces},
};
use crate::{
    document::render,
    store::{
        database::Database,
        list::{Detail, End, Listed, Range},
    },
};
use http::StatusCode;
use serde_json::{Map, Value};
use std::sync::Arc;

/// What a list is asked for.
#[derive(Clone, Debug)]
struct Asked {
    range: Range,
    /// Instead of the range.
    keys: Option<Vec<Value>>,
    skip: u64,
    limit: u64,
    detail: Detail,
    update_seq: bool,
}

/// Where a parameter is looked up: in the body of a POST first, then in the URL.
struct Parameters<'a> {
    query: &'a Query,
    body: Map<String, Value>,
}

impl Parameters<'_> {
    fn json(&self, name: &str, other: &str) -> Result<Option<Value>, Refusal> {
        match self.body.get(name).or_else(|| self.body.get(other)) {
            Some(value) => Ok(Some(value.clone())),
            None => self.query.either(name, other).map(query::parse).transpose(),
        }
    }

    /// The parameter as the text that a URL would have.
    fn text(&self, name: &str) -> Option<String> {
        match self.body.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(value) => Some(value.to_string()),
            None => self.query.get(name).map(str::to_owned),
        }
    }

    fn boolean(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.text(name).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(Refusal::query(format!("Invalid boolean parameter: {other:?}"))),
        }
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse::<i64>() {
            Ok(number) => u64::try_from(number).map(Some).map_err(|_| {
                Refusal::query(format!("Invalid value for positive integer: {text:?}"))
            }),
            Err(_) => Err(Refusal::query(format!("Invalid value for integer: {text:?}"))),
        }
    }

    fn read(&self) -> Result<Asked, Refusal> {
        let descending = self.boolean("descending")?.unwrap_or(false);
        let inclusive = self.boolean("inclusive_end")?.unwrap_or(true);
        let key = self.json("key", "key")?;
        let start =
            key.clone().map_or_else(|| self.json("startkey", "start_key"), |key| Ok(Some(key)))?;
        let end = key.map_or_else(|| self.json("endkey", "end_key"), |key| Ok(Some(key)))?;
        let (first, last) =
            if descending { (End::Last, End::First) } else { (End::First, End::Last) };
        let start = start.map_or(first, |key| end_of(key, true));
        let end = end.map_or(last, |key| end_of(key, inclusive));
        let (low, high) = if descending { (end, start) } else { (start, end) };
        let keys = match self.json("keys", "keys")? {
            None => None,
            Some(Value::Array(keys)) => Some(keys),
            Some(_) => {
                return Err(Refusal::bad_request("`keys` body member must be an array."));
            }
        };
        Ok(Asked {
            range: Range { low, high, descending },
            keys,
            skip: self.number("skip")?.unwrap_or(0),
            limit: self.number("limit")?.unwrap_or(u64::MAX),
            detail: Detail {
                documents: self.boolean("include_docs")?.unwrap_or(false),
                conflicts: self.boolean("conflicts")?.unwrap_or(false),
                attachments: self.boolean("attachments")?.unwrap_or(false),
                leaves: false,
            },
            update_seq: self.boolean("update_seq")?.unwrap_or(false),
        })
    }
}

/// A key as an end of a range of ids: what is no text lies before or after all of them.
fn end_of(key: Value, inclusive: bool) -> End {
    match key {
        Value::String(id) if inclusive => End::At(id),
        Value::String(id) => End::Beside(id),
        Value::Array(_) | Value::Object(_) => End::Last,
        Value::Null | Value::Bool(_) | Value::Number(_) => End::First,
    }
}

/// `_all_docs`.
pub(crate) async fn all_docs(call: &Call, database: &Arc<Database>) -> Handled {
    let asked = read(call).await?;
    Ok(answer(call, database, vec![asked], None))
}

/// `_design_docs`.
pub(crate) async fn design_docs(call: &Call, database: &Arc<Database>) -> Handled {
    let mut asked = read(call).await?;
    // `0` is the character after `/`.
    let all = Range {
        low: End::At(String::from("_design/")),
        high: End::Beside(String::from("_design0")),
        descending: asked.range.descending,
    };
    if asked.range.low == End::First {
        asked.range.low = all.low.clone();
    }
    if asked.range.high == End::Last {
        asked.range.high = all.high.clone();
    }
    Ok(answer(call, database, vec![asked], Some(all)))
}

/// `_all_docs/queries`: several lists in one answer.
pub(crate) async fn queries(call: &Call, database: &Arc<Database>) -> Handled {
    allow(&call.method, &["POST"])?;
    call.need_json()?;
    let received = call.json_body().await?;
    let body = query::parse(received.text()?)?;
    let bad = || Refusal::bad_request("`queries` is a list of objects.");
    let queries = body.get("queries").and_then(Value::as_array).ok_or_else(bad)?;
    let asked = queries
        .iter()
        .map(|one| {
            let body = one.as_object().ok_or_else(bad)?.clone();
            Parameters { query: &call.query, body }.read()
        })
        .collect::<Result<Vec<_>, _>>()?;
    let (server, database) = (Arc::clone(&call.server), Arc::clone(database));
    Ok(reply::produced(StatusCode::OK, "application/json", async move |pieces| {
        let work = async {
            let mut text = Vec::from(b"{\"results\":[\n");
            for (index, one) in asked.into_iter().enumerate() {
                if index > 0 {
                    text.extend_from_slice(b",\n");
                }
                write_list(&server, &database, one, None, &pieces, &mut text).await?;
            }
            text.extend_from_slice(b"\n]}\n");
            reply::flush(&pieces, &mut text, true).await
        };
        if work.await.is_err() {
            drop(pieces.send(Err(Broken)).await);
        }
    }))
}

async fn read(call: &Call) -> Result<Asked, Refusal> {
    allow(&call.method, &["GET", "HEAD", "POST"])?;
    let mut body = Map::new();
    if !call.is_read() {
        call.need_json()?;
        let received = call.json_body().await?;
        match query::parse(received.text()?)? {
            Value::Object(members) => body = members,
            _ => return Err(Refusal::bad_request("Request body must be a JSON object")),
        }
    }
    Parameters { query: &call.query, body }.read()
}

fn answer(
    call: &Call,
    database: &Arc<Database>,
    asked: Vec<Asked>,
    within: Option<Range>,
) -> reply::Reply {
    let (server, database) = (Arc::clone(&call.server), Arc::clone(database));
    reply::produced(StatusCode::OK, "application/json", async move |pieces| {
        let work = async {
            let mut text = Vec::new();
            for one in asked {
                write_list(&server, &database, one, within.clone(), &pieces, &mut text).await?;
            }
            text.push(b'\n');
            reply::flush(&pieces, &mut text, true).await
        };
        if work.await.is_err() {
            drop(pieces.send(Err(Broken)).await);
        }
    })
}

/// Writes `{"total_rows": .., "offset": .., "rows": [..]}`.
async fn write_list(
    server: &Server,
    database: &Arc<Database>,
    asked: Asked,
    within: Option<Range>,
    pieces: &Pieces,
    text: &mut Vec<u8>,
) -> Result<(), Broken> {
    let state = database.state();
    let count = async |range| server.store.count(database, range).await.map_err(|_| Broken);
    let total = match within.clone() {
        None => Some(state.documents),
        Some(all) => count(all).await?,
    };
    let offset = if asked.keys.is_some() {
        None
    } else {
        let before = count(before(&asked.range, within)).await?;
        before.map(|before| before.saturating_add(asked.skip).min(total.unwrap_or(u64::MAX)))
    };
    text.extend_from_slice(b"{\"total_rows\":");
    render::append(text, &total);
    text.extend_from_slice(b",\"offset\":");
    render::append(text, &offset);
    if asked.update_seq {
        text.extend_from_slice(b",\"update_seq\":");
        render::append(text, &database.token(state.sequence));
    }
    text.extend_from_slice(b",\"rows\":[");
    match asked.keys.clone() {
        Some(keys) => write_keys(server, database, &asked, keys, pieces, text).await?,
        None => write_range(server, database, asked, pieces, text).await?,
    }
    text.extend_from_slice(b"\n]}");
    Ok(())
}

/// What lies before the range in the direction of reading.
fn before(range: &Range, within: Option<Range>) -> Range {
    let beside = |end: &End| match end {
        End::At(id) => End::Beside(id.clone()),
        // What follows an excluded end begins with the end itself.
        End::Beside(id) => End::At(id.clone()),
        other => other.clone(),
    };
    let mut all = within.unwrap_or(Range { low: End::First, high: End::Last, descending: false });
    if range.descending {
        all.low = beside(&range.high);
    } else {
        all.high = beside(&range.low);
    }
    all
}

async fn write_range(
    server: &Server,
    database: &Arc<Database>,
    asked: Asked,
    pieces: &Pieces,
    text: &mut Vec<u8>,
) -> Result<(), Broken> {
    let Asked { mut range, mut skip, mut limit, detail, .. } = asked;
    let mut first = true;
    while limit > 0 {
        let page = server.store.range(database, range.clone(), skip, limit, detail).await;
        let page = page.map_err(|_| Broken)?;
        let Some(last) = page.rows.last() else { break };
        let next = End::Beside(last.id.clone());
        if range.descending {
            range.high = next;
        } else {
            range.low = next;
        }
        skip = 0;
        limit = limit.saturating_sub(u64::try_from(page.rows.len()).unwrap_or(u64::MAX));
        for row in page.rows {
            let key = Value::from(row.id.as_str());
            write_row(text, std::mem::take(&mut first), &key, Some(&row), detail);
            reply::flush(pieces, text, false).await?;
        }
        if !page.more {
            break;
        }
    }
    Ok(())
}

async fn write_keys(
    server: &Server,
    database: &Arc<Database>,
    asked: &Asked,
    mut keys: Vec<Value>,
    pieces: &Pieces,
    text: &mut Vec<u8>,
) -> Result<(), Broken> {
    if asked.range.descending {
        keys.reverse();
    }
    let skip = usize::try_from(asked.skip).unwrap_or(usize::MAX).min(keys.len());
    keys.drain(..skip);
    keys.truncate(usize::try_from(asked.limit).unwrap_or(usize::MAX));
    let mut first = true;
    while !keys.is_empty() {
        let ids = keys.iter().take(KEYS_AT_ONCE).map(|key| key.as_str().map(str::to_owned));
        let read = server.store.keys(database, ids.collect(), asked.detail).await;
        let (rows, count) = read.map_err(|_| Broken)?;
        for (key, row) in keys.iter().zip(&rows) {
            write_row(text, std::mem::take(&mut first), key, row.as_ref(), asked.detail);
            reply::flush(pieces, text, false).await?;
        }
        keys.drain(..count);
    }
    Ok(())
}

/// How many keys are handed to the store in one read.
const KEYS_AT_ONCE: usize = 500;

fn write_row(text: &mut Vec<u8>, first: bool, key: &Value, row: Option<&Listed>, detail: Detail) {
    text.extend_from_slice(if first { b"\n" } else { b",\n" });
    let Some(row) = row else {
        text.extend_from_slice(b"{\"key\":");
        render::append(text, key);
        text.extend_from_slice(b",\"error\":\"not_found\"}");
        return;
    };
    text.extend_from_slice(b"{\"id\":");
    render::append(text, &row.id);
    text.extend_from_slice(b",\"key\":");
    render::append(text, key);
    text.extend_from_slice(b",\"value\":{\"rev\":");
    render::append(text, &row.revision);
    text.extend_from_slice(if row.deleted { b",\"deleted\":true}" } else { b"}" });
    if detail.documents {
        text.extend_from_slice(b",\"doc\":");
        text.extend_from_slice(row.document.as_deref().unwrap_or("null").as_bytes());
    }
    text.push(b'}');
}
