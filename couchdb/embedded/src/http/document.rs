//! `/{db}/{doc}`: reading and writing one document.

use super::{
    blob::Related,
    call::{BODY_BYTES_MAX, Call},
    copy, heavy, local, multipart,
    parts::{self, Bytes, Form, Part, Reader},
    refusal::Refusal,
    reply::{self, Broken, Handled},
    write::{self, Origin},
};
use crate::{
    document::{
        draft::{Draft, check_id},
        render::Told,
    },
    revision::Revision,
    store::{
        database::{Database, random_id},
        edit::{Edit, Kind, Outcome},
        read::{Document, Found, Opened, Which},
    },
};
use http::{StatusCode, header};
use serde_json::{Value, json};
use std::sync::Arc;

/// Every method of a document, in CouchDB's order.
const METHODS: [&str; 6] = ["DELETE", "GET", "HEAD", "POST", "PUT", "COPY"];

/// `/{db}/{doc}`.
pub(crate) async fn route(call: &Call, database: &Arc<Database>, id: String) -> Handled {
    match call.method.as_str() {
        "GET" | "HEAD" => get(call, database, id).await,
        "PUT" => put(call, database, id).await,
        "DELETE" => delete(call, database, id).await,
        // CouchDB takes a form here for its old web pages.
        "POST" => Err(Refusal::bad_request("Referer header required.")),
        "COPY" => copy::copy(call, database, id).await,
        _ => Err(Refusal::method(&METHODS)),
    }
}

async fn get(call: &Call, database: &Arc<Database>, id: String) -> Handled {
    if let Some(rest) = id.strip_prefix("_design/")
        && call.parts.uri.path().to_ascii_lowercase().contains("_design%2f")
    {
        let mut reply = reply::whole(StatusCode::MOVED_PERMANENTLY, bytes::Bytes::new());
        let location = format!("{}/_design/{rest}", call.location(&[&database.name]));
        reply::set(&mut reply, header::LOCATION, &location);
        return Ok(reply);
    }
    if check_id(&id).is_err() {
        return Err(Refusal::not_found("missing"));
    }
    let known = atts_since(call)?;
    if call.query.get("open_revs").is_some() {
        return open_revs(call, database, id, known.unwrap_or_default()).await;
    }
    let with_data = call.query.is_true("attachments");
    // As in CouchDB, a client that does not say what it takes gets parts.
    let in_parts = with_data && call.accepts("multipart/related");
    let asked = call.query.get("rev").map(to_be_read).transpose()?;
    let by_revision = asked.is_some();
    let which = match asked {
        Some(revision) => {
            Which::These { revisions: vec![revision], latest: call.query.is_true("latest") }
        }
        None => Which::Winner,
    };
    let document = call.store().document(database, id, which, with_data && !in_parts).await?;
    let mut document = document.ok_or_else(|| Refusal::not_found("missing"))?;
    let found = match std::mem::take(&mut document.revisions).into_iter().next() {
        Some(Opened::Found(found)) => found,
        Some(Opened::Missing(_)) | None => return Err(Refusal::not_found("missing")),
    };
    if found.deleted && !by_revision {
        return Err(Refusal::not_found("deleted"));
    }
    let told = if in_parts {
        Bytes::Following { known: known.unwrap_or_default() }.told(&document, &found.revision)
    } else {
        Told { encodings: call.query.is_true("att_encoding_info"), following_after: None }
    };
    let mut render = found.render_as(&document.id, told);
    if call.query.is_true("revs") {
        render.member("_revisions", &document.revisions_member(&found.revision));
    }
    // CouchDB tells of the whole tree only beside the winner.
    let more = if by_revision { Vec::new() } else { whole_tree(call, database, &document, &found) };
    for (name, value) in &more {
        render.member(name, value);
    }
    let tag = found.revision.to_string();
    let unchanged = more.is_empty()
        && call.header(header::IF_NONE_MATCH).is_some_and(|known| known == format!("\"{tag}\""));
    let mut reply = if unchanged {
        reply::whole(StatusCode::NOT_MODIFIED, bytes::Bytes::new())
    } else {
        match Related::new(render.finish(), *found, told) {
            Ok(related) => multipart::related(&call.server, related),
            Err(mut text) => {
                text.push(b'\n');
                reply::text_json(StatusCode::OK, text)
            }
        }
    };
    if more.is_empty() {
        reply::etag(&mut reply, &tag);
    }
    Ok(reply)
}

/// A revision that a client wants to read. One that cannot be here is missing.
pub(crate) fn to_be_read(text: &str) -> Result<Revision, Refusal> {
    if Revision::is_beyond(text) {
        return Err(Refusal::not_found("missing"));
    }
    Ok(text.parse()?)
}

/// The revisions whose attachments the client has: a JSON array.
fn atts_since(call: &Call) -> Result<Option<Vec<Revision>>, Refusal> {
    let Some(list) = call.query.json("atts_since")? else { return Ok(None) };
    let list = list.as_array().ok_or_else(|| Refusal::bad_request("Invalid list of revisions"))?;
    let read = |value: &Value| value.as_str().unwrap_or("").parse();
    Ok(Some(list.iter().map(read).collect::<Result<_, _>>()?))
}

/// What the request wants to know of the revisions beside this one.
fn whole_tree(
    call: &Call,
    database: &Database,
    document: &Document,
    found: &Found,
) -> Vec<(&'static str, Value)> {
    let tree = &document.tree;
    let meta = call.query.is_true("meta");
    let wants = |name: &str| meta || call.query.is_true(name);
    let mut told = Vec::new();
    if wants("revs_info") {
        let status = |deleted, body: Option<_>| match (body, deleted) {
            (None, _) => "missing",
            (Some(_), true) => "deleted",
            (Some(_), false) => "available",
        };
        let infos: Vec<Value> = tree
            .path(&found.revision)
            .into_iter()
            .map(|node| {
                let status = status(node.deleted, node.body);
                json!({"rev": node.revision.to_string(), "status": status})
            })
            .collect();
        told.push(("_revs_info", Value::from(infos)));
    }
    for (parameter, member, deleted) in
        [("conflicts", "_conflicts", false), ("deleted_conflicts", "_deleted_conflicts", true)]
    {
        let silent = !deleted && call.server.trouble.hides_conflicts(database, &document.id);
        let told_of = wants(parameter) && !silent;
        let conflicts = if told_of { tree.conflicts(deleted) } else { Vec::new() };
        if !conflicts.is_empty() {
            told.push((member, json!(conflicts)));
        }
    }
    if call.query.is_true("local_seq") {
        told.push(("_local_seq", json!(database.token(document.sequence))));
    }
    told
}

async fn open_revs(
    call: &Call,
    database: &Arc<Database>,
    id: String,
    known: Vec<Revision>,
) -> Handled {
    let text = call.query.get("open_revs").unwrap_or("");
    let which = if text == "all" {
        Which::Leaves
    } else {
        let list = call.query.json("open_revs")?.unwrap_or_default();
        let list = list.as_array().ok_or_else(|| {
            Refusal::bad_request("`open_revs` is `all` or a JSON array of revisions")
        })?;
        let read = |value: &Value| value.as_str().unwrap_or("").parse();
        let revisions = list.iter().map(read).collect::<Result<Vec<Revision>, _>>()?;
        Which::These { revisions, latest: call.query.is_true("latest") }
    };
    // A client must say that it takes JSON only, or it gets parts.
    let form = if call.accepts("multipart/mixed") { Form::Mixed } else { Form::Array };
    // CouchDB's parts always have the attachments: its replicators do not ask for them.
    let bytes = match form {
        Form::Mixed => Bytes::Following { known },
        Form::Array if call.query.is_true("attachments") => Bytes::Inline,
        Form::Array => Bytes::None,
    };
    let asked = which.clone();
    let revs = call.query.is_true("revs");
    let mut reader = Reader { id, which: Some(which), revs, bytes };
    // The first ones decide whether this is a document at all.
    let mut parts = match (reader.next(&call.server, database).await?, asked) {
        (Some(parts), _) => parts,
        (None, Which::These { revisions, .. }) => {
            revisions.into_iter().map(Part::Missing).collect()
        }
        (None, _) => return Err(Refusal::not_found("missing")),
    };
    let (server, database) = (Arc::clone(&call.server), Arc::clone(database));
    Ok(parts::answer(Arc::clone(&server), form, async move |mut writer| {
        loop {
            for part in parts {
                writer.part(part).await?;
            }
            if reader.is_done() {
                return Ok(writer);
            }
            let read = reader.next(&server, &database).await.map_err(|_| Broken)?;
            // Its database was deleted meanwhile.
            parts = read.ok_or(Broken)?;
        }
    }))
}

async fn put(call: &Call, database: &Arc<Database>, id: String) -> Handled {
    check_id(&id)?;
    let received = call.body(BODY_BYTES_MAX).await?;
    let content_type = call.header(header::CONTENT_TYPE).unwrap_or("");
    let boundary = multipart::boundary(content_type, "multipart/related");
    let limit = call.store().options().attachment_bytes_max;
    let bytes = received.bytes.clone();
    let read = move || match boundary {
        Some(boundary) => multipart::read_related(&bytes, &boundary, limit),
        None => Ok(Draft::read(&bytes, false)?),
    };
    let mut draft = heavy::run(received.bytes.len(), read).await?;
    write::merge_revision(call, &mut draft)?;
    save(call, database, id, draft).await
}

/// `POST /{db}`.
pub(crate) async fn post(call: &Call, database: &Arc<Database>) -> Handled {
    call.need_json()?;
    let received = call.body(BODY_BYTES_MAX).await?;
    let bytes = received.bytes.clone();
    let read = move || Ok(Draft::read(&bytes, true)?);
    let mut draft = heavy::run(received.bytes.len(), read).await?;
    let id = draft.id.take().unwrap_or_else(random_id);
    if id.starts_with("_local/") {
        return local::put(call, database, id, draft).await;
    }
    save(call, database, id, draft).await
}

async fn save(call: &Call, database: &Arc<Database>, id: String, draft: Draft) -> Handled {
    let replica = call.query.get("new_edits") == Some("false");
    let origin = if replica { Origin::Replica } else { Origin::Single };
    let deleted = draft.deleted;
    let edit = write::edit(draft, id.clone(), origin, call.store().options().document_bytes_max)?;
    let outcome = write::apply(call, database, edit).await?;
    if call.query.get("batch") == Some("ok") && !matches!(outcome, Outcome::BadStub(_)) {
        // CouchDB answers a batch before it looks for conflicts, and so its clients expect it.
        return Ok(reply::json(StatusCode::ACCEPTED, &json!({"ok": true, "id": id})));
    }
    let revision = write::stored(outcome, &id)?;
    let status = if deleted { StatusCode::OK } else { StatusCode::CREATED };
    Ok(written(call, database, &id, &revision, status))
}

async fn delete(call: &Call, database: &Arc<Database>, id: String) -> Handled {
    let revision = write::named_revision(call)?;
    let edit = Edit { id: id.clone(), kind: Kind::Delete { revision } };
    let outcome = write::apply(call, database, edit).await?;
    let revision = write::stored(outcome, &id)?;
    Ok(written(call, database, &id, &revision, StatusCode::OK))
}

/// The answer to a document that was stored.
pub(super) fn written(
    call: &Call,
    database: &Database,
    id: &str,
    revision: &Revision,
    status: StatusCode,
) -> reply::Reply {
    let status = if write::is_below_quorum(call) { StatusCode::ACCEPTED } else { status };
    let revision = revision.to_string();
    let mut reply = reply::json(status, &json!({"ok": true, "id": id, "rev": revision}));
    reply::etag(&mut reply, &revision);
    reply::set(&mut reply, header::LOCATION, &call.location(&[&database.name, id]));
    reply
}
