//! The paths of one database: making, deleting, its numbers and settings.

use super::{
    call::{Call, Server},
    document, query,
    refusal::{Refusal, allow},
    reply::{self, Handled},
    security,
    server::NODE,
};
use crate::store::{
    database::{DATABASES_MAX, Database, State, check_name},
    databases::{self, Created},
    transaction::Transaction,
};
use http::{StatusCode, header};
use serde_json::{Value, json};
use std::sync::Arc;

/// The largest `_revs_limit`: a document's tree is read and written as a whole.
const REVS_LIMIT_MAX: usize = 10_000;

/// `/{db}`.
pub(crate) async fn route(call: &Call, name: String) -> Handled {
    match call.method.as_str() {
        "PUT" => return create(call, name).await,
        "DELETE" => return delete(call, name).await,
        "GET" | "HEAD" | "POST" => {}
        _ => return Err(Refusal::method(&["DELETE", "GET", "HEAD", "POST"])),
    }
    let database = call.store().catalog().get(&name);
    let database = database.ok_or_else(|| security::no_database(call, &name))?;
    security::enter(call, &database, &[])?;
    if call.is_read() {
        return Ok(reply::json(StatusCode::OK, &info(&call.server, &database)));
    }
    document::post(call, &database).await
}

async fn create(call: &Call, name: String) -> Handled {
    call.need_admin()?;
    let number = |parameter: &str| -> Result<Option<u32>, Refusal> {
        let Some(text) = call.query.get(parameter) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| *number > 0);
        let refusal = || {
            Refusal::bad_request(format!("The `{parameter}` value should be a positive integer."))
        };
        number.map(Some).ok_or_else(refusal)
    };
    let shards = number("q")?.unwrap_or(SHARDS);
    number("n")?;
    if call.query.is_true("partitioned") {
        return Err(Refusal::not_implemented("partitioned databases"));
    }
    check_name(&name)?;
    let location = call.location(&[&name]);
    let created =
        call.store().write(move |transaction| databases::create(transaction, name, shards)).await?;
    match created {
        Created::Yes => {
            let mut reply = reply::ok(StatusCode::CREATED);
            reply::set(&mut reply, header::LOCATION, &location);
            Ok(reply)
        }
        Created::Exists => Err(Refusal::new(
            StatusCode::PRECONDITION_FAILED,
            "file_exists",
            "The database could not be created, the file already exists.",
        )),
        Created::TooMany => Err(Refusal::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "too_many_databases",
            format!("this store has its most databases ({DATABASES_MAX}); delete one first"),
        )),
    }
}

/// CouchDB's own default of `q`.
const SHARDS: u32 = 2;

async fn delete(call: &Call, name: String) -> Handled {
    call.need_admin()?;
    if call.query.get("rev").is_some() {
        return Err(Refusal::bad_request(
            "You tried to DELETE a database with a ?=rev parameter. Did you mean to DELETE a document instead?",
        ));
    }
    let deleted =
        call.store().write(move |transaction| databases::delete(transaction, &name)).await?;
    let Some(identity) = deleted else { return Err(Refusal::no_database()) };
    call.server.views.forget(identity).await;
    Ok(reply::ok(StatusCode::OK))
}

/// What `GET /{db}` tells.
pub(crate) fn info(server: &Server, database: &Database) -> Value {
    let copies = server.trouble.copies();
    let majority = copies / 2 + 1;
    let state = database.state();
    json!({
        "db_name": database.name,
        "instance_start_time": database.started_us.to_string(),
        "update_seq": database.token(state.sequence),
        "purge_seq": database.token(state.purge_sequence),
        "doc_count": state.documents,
        "doc_del_count": state.tombstones,
        "sizes": {"file": file_bytes(&state), "external": state.bytes, "active": state.bytes},
        "props": {},
        "disk_format_version": 8,
        "compact_running": database.is_compacting(),
        // Whatever `n` was asked for: so does a single node of CouchDB.
        "cluster": {"q": database.shards, "n": copies, "w": majority, "r": majority},
    })
}

/// About how much of the store's file is this database's: all databases lie in one file, and the share
/// of one is known to SQLite only after it has read all pages. Views are not in it.
fn file_bytes(state: &State) -> u64 {
    let documents = state.documents.saturating_add(state.tombstones);
    state.bytes.saturating_add(documents.saturating_mul(DOCUMENT_BYTES))
}

/// What a document takes beside its bodies: its tree, its id in two tables, heads of rows, and what
/// stays free of their pages. Measured with short ids and one revision each.
const DOCUMENT_BYTES: u64 = 140;

/// `_ensure_full_commit`: every write was durable before it was answered.
pub(crate) fn ensure_full_commit(call: &Call, database: &Database) -> Handled {
    allow(&call.method, &["POST"])?;
    call.need_json()?;
    let started = database.started_us.to_string();
    let body = json!({"ok": true, "instance_start_time": started});
    Ok(reply::json(StatusCode::CREATED, &body))
}

/// `_shards` and, for one document, `_shards/{doc}`: everything lies in one piece on one node.
pub(crate) fn shards(call: &Call, of_document: bool) -> Handled {
    allow(&call.method, &["GET"])?;
    const ALL: &str = "00000000-ffffffff";
    let body = if of_document {
        json!({"range": ALL, "nodes": [NODE]})
    } else {
        json!({"shards": {ALL: [NODE]}})
    };
    Ok(reply::json(StatusCode::OK, &body))
}

/// `_sync_shards`: there is nothing to bring together.
pub(crate) fn sync_shards(call: &Call) -> Handled {
    call.need_admin()?;
    allow(&call.method, &["POST"])?;
    Ok(reply::ok(StatusCode::ACCEPTED))
}

/// `_compact`: happens in idle time.
pub(crate) async fn compact(
    call: &Call,
    database: &Arc<Database>,
    design: Option<&str>,
) -> Handled {
    allow(&call.method, &["POST"])?;
    call.need_json()?;
    if let Some(design) = design {
        return super::view::compact(call, database, design).await;
    }
    let database = Arc::clone(database);
    call.store().write(move |transaction| databases::compact(transaction, &database)).await?;
    Ok(reply::ok(StatusCode::ACCEPTED))
}

/// `_revs_limit`.
pub(crate) async fn revs_limit(call: &Call, database: &Arc<Database>) -> Handled {
    allow(&call.method, &["PUT", "GET"])?;
    if call.is_read() {
        return Ok(reply::json(StatusCode::OK, &json!(database.state().revs_limit)));
    }
    let received = call.json_body().await?;
    let limit = query::parse(received.text()?)?.as_u64();
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.filter(|limit| (1..=REVS_LIMIT_MAX).contains(limit)).ok_or_else(|| {
        Refusal::bad_request(format!("`_revs_limit` is a number from 1 to {REVS_LIMIT_MAX}"))
    })?;
    let database = Arc::clone(database);
    let set = move |transaction: &mut Transaction<'_>| {
        databases::set_revs_limit(transaction, &database, limit)
    };
    call.store().write(set).await?;
    Ok(reply::ok(StatusCode::OK))
}
