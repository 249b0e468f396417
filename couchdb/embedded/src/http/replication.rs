//! What replicators ask: which revisions are missing, and many revisions at once.

use super::{
    call::{Call, Server},
    parts::{self, Bytes, Form, Part, Reader},
    refusal::{Refusal, allow},
    reply::{self, Broken, Handled, Pieces},
};
use crate::{
    document::{draft::check_id, object},
    revision::Revision,
    store::{
        database::Database,
        read::{Missing, Which},
    },
};
use http::StatusCode;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// How many documents are compared in one read: others have their turn between.
const COMPARED_AT_ONCE: usize = 200;

/// `_revs_diff`.
pub(crate) async fn revs_diff(call: &Call, database: &Arc<Database>) -> Handled {
    let mut answer = Map::new();
    for (id, missing) in compare(call, database).await? {
        let mut row = json!({"missing": texts(&missing.missing)});
        if !missing.possible_ancestors.is_empty() {
            row["possible_ancestors"] = texts(&missing.possible_ancestors);
        }
        answer.insert(id, row);
    }
    Ok(reply::json(StatusCode::OK, &Value::from(answer)))
}

/// `_missing_revs`, the older form of it.
pub(crate) async fn missing_revs(call: &Call, database: &Arc<Database>) -> Handled {
    let rows = compare(call, database).await?.into_iter();
    let missing: Map<String, Value> =
        rows.map(|(id, missing)| (id, texts(&missing.missing))).collect();
    Ok(reply::json(StatusCode::OK, &json!({"missing_revs": missing})))
}

fn texts(revisions: &[Revision]) -> Value {
    revisions.iter().map(ToString::to_string).collect()
}

/// The documents of which something is missing.
async fn compare(call: &Call, database: &Arc<Database>) -> Result<Vec<(String, Missing)>, Refusal> {
    allow(&call.method, &["POST"])?;
    call.need_json()?;
    let received = call.json_body().await?;
    let members = object::members(received.text()?)?
        .ok_or_else(|| Refusal::bad_request("Request body must be a JSON object"))?;
    let mut asked = Vec::with_capacity(members.0.len());
    for (id, value) in &members.0 {
        let list: Vec<String> = serde_json::from_str(value.get())
            .map_err(|_| Refusal::bad_request(format!("the revisions of {id:?} are no list")))?;
        let revisions = list.iter().map(|text| text.parse()).collect::<Result<Vec<_>, _>>()?;
        asked.push((id.to_string(), revisions));
    }
    drop(members);
    let mut found = Vec::new();
    while !asked.is_empty() {
        let rest = asked.split_off(asked.len().min(COMPARED_AT_ONCE));
        found.extend(call.store().missing(database, asked).await?);
        asked = rest;
    }
    found.retain(|(_, missing)| !missing.missing.is_empty());
    Ok(found)
}

/// One document of `_bulk_get`, or why it is none.
struct Asked {
    id: Value,
    rev: Option<Value>,
    read: Result<(String, Which), (&'static str, String)>,
}

/// `_bulk_get`.
pub(crate) async fn bulk_get(call: &Call, database: &Arc<Database>) -> Handled {
    allow(&call.method, &["POST"])?;
    call.need_json()?;
    let received = call.json_body().await?;
    let body: Value =
        serde_json::from_str(received.text()?).map_err(|_| crate::document::check::NotJson)?;
    let docs =
        body.get("docs").ok_or_else(|| Refusal::bad_request("Missing JSON list of 'docs'."))?;
    let docs = docs.as_array().ok_or_else(|| Refusal::bad_request("'docs' is no list."))?;
    let latest = call.query.is_true("latest");
    let asked = docs.iter().map(|doc| asked(doc, latest)).collect::<Result<Vec<_>, _>>()?;
    let takes_parts = call.accepts("multipart/mixed") || call.accepts("multipart/related");
    if takes_parts && !call.accepts("application/json") {
        return Ok(mixed(call, database, asked));
    }
    let server = Arc::clone(&call.server);
    let database = Arc::clone(database);
    let revs = call.query.is_true("revs");
    let inline = call.query.is_true("attachments");
    let bytes = if inline { Bytes::Inline } else { Bytes::None };
    Ok(reply::produced(StatusCode::OK, "application/json", async move |pieces| {
        let results = async {
            let mut text = Vec::from(b"{\"results\":[");
            for (index, one) in asked.into_iter().enumerate() {
                text.extend_from_slice(if index == 0 { b"\n" } else { b",\n" });
                let rows = Rows::new(one, revs, bytes.clone());
                write_result(&server, &database, rows, &pieces, &mut text).await?;
                reply::flush(&pieces, &mut text, false).await?;
            }
            text.extend_from_slice(b"\n]}\n");
            reply::flush(&pieces, &mut text, true).await
        };
        if results.await.is_err() {
            // The connection ends, so that the client does not take it for the whole.
            drop(pieces.send(Err(Broken)).await);
        }
    }))
}

fn asked(doc: &Value, latest: bool) -> Result<Asked, Refusal> {
    let (id, rev) = (doc.get("id").cloned().unwrap_or_default(), doc.get("rev").cloned());
    let bad = |error, reason: &str| Err((error, reason.to_owned()));
    let read = match (&id, &rev) {
        (Value::Null, _) => bad("bad_request", "document must be a JSON object"),
        (Value::String(id), rev) => match (check_id(id), rev) {
            (Err(refused), _) => bad("illegal_docid", &refused.to_string()),
            (Ok(()), None) => Ok((id.clone(), Which::Leaves)),
            (Ok(()), Some(rev)) => match rev.as_str().unwrap_or("").parse() {
                Ok(revision) => {
                    Ok((id.clone(), Which::These { revisions: vec![revision], latest }))
                }
                Err(refused) => bad("bad_request", &refused.to_string()),
            },
        },
        _ => return Err(Refusal::bad_request("the `id` of a document is no text")),
    };
    // A refused id has no revision to speak of.
    let rev = if matches!(read, Err(("illegal_docid", _))) { Some(Value::Null) } else { rev };
    Ok(Asked { id, rev, read })
}

impl Asked {
    fn failed(&self, rev: Value, error: &str, reason: &str) -> Part {
        Part::Error(json!({"id": self.id, "rev": rev, "error": error, "reason": reason}))
    }
}

/// The revisions of one document, read a few at a time.
struct Rows {
    asked: Asked,
    /// Or what is told instead, once.
    reader: Result<Reader, Option<Part>>,
}

impl Rows {
    fn new(asked: Asked, revs: bool, bytes: Bytes) -> Rows {
        let reader = match &asked.read {
            Ok((id, which)) => {
                Ok(Reader { id: id.clone(), which: Some(which.clone()), revs, bytes })
            }
            Err((error, reason)) => {
                let rev = asked.rev.clone().unwrap_or_default();
                Err(Some(asked.failed(rev, error, reason)))
            }
        };
        Rows { asked, reader }
    }

    /// The next ones; None after the last.
    async fn next(
        &mut self,
        server: &Server,
        database: &Database,
    ) -> Result<Option<Vec<Part>>, Broken> {
        let reader = match &mut self.reader {
            Ok(reader) if reader.is_done() => return Ok(None),
            Ok(reader) => reader,
            Err(refused) => return Ok(refused.take().map(|refused| vec![refused])),
        };
        let asked = &self.asked;
        let Some(parts) = reader.next(server, database).await.map_err(|_| Broken)? else {
            let rev = asked.rev.clone().unwrap_or_else(|| Value::from("undefined"));
            return Ok(Some(vec![asked.failed(rev, "not_found", "missing")]));
        };
        let told = parts.into_iter().map(|part| match part {
            Part::Missing(revision) => {
                asked.failed(Value::from(revision.to_string()), "not_found", "missing")
            }
            other => other,
        });
        Ok(Some(told.collect()))
    }
}

async fn write_result(
    server: &Server,
    database: &Database,
    mut rows: Rows,
    pieces: &Pieces,
    text: &mut Vec<u8>,
) -> Result<(), Broken> {
    text.extend_from_slice(b"{\"id\":");
    text.extend_from_slice(rows.asked.id.to_string().as_bytes());
    text.extend_from_slice(b",\"docs\":[");
    let mut first = true;
    while let Some(parts) = rows.next(server, database).await? {
        for part in parts {
            if !std::mem::take(&mut first) {
                text.push(b',');
            }
            match part {
                Part::Found(document) => {
                    text.extend_from_slice(b"{\"ok\":");
                    text.extend_from_slice(&document);
                    text.push(b'}');
                }
                other => {
                    let error = json!({"error": parts::failure(other)});
                    text.extend_from_slice(error.to_string().as_bytes());
                }
            }
            reply::flush(pieces, text, false).await?;
        }
    }
    text.extend_from_slice(b"]}");
    Ok(())
}

/// The revisions as parts. As in CouchDB they always have their attachments.
fn mixed(call: &Call, database: &Arc<Database>, asked: Vec<Asked>) -> reply::Reply {
    let revs = call.query.is_true("revs");
    let (server, database) = (Arc::clone(&call.server), Arc::clone(database));
    parts::answer(Arc::clone(&server), Form::Mixed, async move |mut writer| {
        for one in asked {
            let mut rows = Rows::new(one, revs, Bytes::Following { known: Vec::new() });
            while let Some(parts) = rows.next(&server, &database).await? {
                for part in parts {
                    writer.part(part).await?;
                }
            }
        }
        Ok(writer)
    })
}
