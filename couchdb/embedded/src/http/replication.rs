//! What replicators ask: which revisions are missing, and many revisions at once.

use super::{
    call::Call,
    multipart,
    refusal::{Refusal, allow},
    reply::{self, Handled},
};
use crate::{
    document::{draft::check_id, object},
    revision::Revision,
    store::{
        database::Database,
        read::{Missing, Opened, Which},
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
        return mixed(call, database, asked).await;
    }
    let server = Arc::clone(&call.server);
    let database = Arc::clone(database);
    let revs = call.query.is_true("revs");
    let with_data = call.query.is_true("attachments");
    Ok(reply::produced(StatusCode::OK, "application/json", async move |pieces| {
        let results = async {
            let mut text = Vec::from(b"{\"results\":[");
            for (index, one) in asked.into_iter().enumerate() {
                text.extend_from_slice(if index == 0 { b"\n" } else { b",\n" });
                let written = write_result(&server, &database, one, revs, with_data, &mut text);
                written.await.map_err(|_| reply::Broken)?;
                reply::flush(&pieces, &mut text, false).await?;
            }
            text.extend_from_slice(b"\n]}\n");
            reply::flush(&pieces, &mut text, true).await
        };
        if results.await.is_err() {
            // The connection ends, so that the client does not take it for the whole.
            drop(pieces.send(Err(reply::Broken)).await);
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

/// The revisions of one document: each as JSON, or as the member that says what is wrong.
async fn read_one(
    server: &super::call::Server,
    database: &Database,
    one: &Asked,
    revs: bool,
    with_data: bool,
) -> Result<Vec<Result<Vec<u8>, Value>>, Refusal> {
    let failed = |rev: Value, error: &str, reason: &str| {
        Err(json!({"id": one.id, "rev": rev, "error": error, "reason": reason}))
    };
    let (id, which) = match &one.read {
        Ok((id, which)) => (id.clone(), which.clone()),
        Err((error, reason)) => {
            return Ok(vec![failed(one.rev.clone().unwrap_or_default(), error, reason)]);
        }
    };
    let document = server.store.document(database, id, which, with_data).await?;
    let Some(document) = document else {
        let rev = one.rev.clone().unwrap_or_else(|| Value::from("undefined"));
        return Ok(vec![failed(rev, "not_found", "missing")]);
    };
    let read = |opened: &Opened| match opened {
        Opened::Missing(revision) => {
            failed(Value::from(revision.to_string()), "not_found", "missing")
        }
        Opened::Found(found) => {
            let mut render = found.render(&document.id);
            if revs {
                render.member("_revisions", &document.revisions_member(&found.revision));
            }
            Ok(render.finish())
        }
    };
    Ok(document.revisions.iter().map(read).collect())
}

async fn write_result(
    server: &super::call::Server,
    database: &Database,
    one: Asked,
    revs: bool,
    with_data: bool,
    text: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let rows = read_one(server, database, &one, revs, with_data).await?;
    text.extend_from_slice(b"{\"id\":");
    text.extend_from_slice(one.id.to_string().as_bytes());
    text.extend_from_slice(b",\"docs\":[");
    for (index, row) in rows.into_iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        match row {
            Ok(document) => {
                text.extend_from_slice(b"{\"ok\":");
                text.extend_from_slice(&document);
                text.push(b'}');
            }
            Err(error) => text.extend_from_slice(json!({"error": error}).to_string().as_bytes()),
        }
    }
    text.extend_from_slice(b"]}");
    Ok(())
}

async fn mixed(call: &Call, database: &Arc<Database>, asked: Vec<Asked>) -> Handled {
    let revs = call.query.is_true("revs");
    let with_data = call.query.is_true("attachments");
    let mut parts = Vec::new();
    for one in asked {
        for row in read_one(&call.server, database, &one, revs, with_data).await? {
            parts.push(match row {
                Ok(document) => multipart::Part::Found(document),
                Err(error) => multipart::Part::Error(error),
            });
        }
    }
    Ok(multipart::mixed(parts))
}
