//! The paths of one database: making, deleting, its numbers and settings.

use super::{
    call::{BODY_BYTES_MAX, Call},
    document, query,
    refusal::{Refusal, allow},
    reply::{self, Handled},
};
use crate::store::{
    database::{DATABASES_MAX, Database, check_name},
    databases::{self, Created},
    transaction::Transaction,
};
use http::{StatusCode, header};
use serde_json::{Value, json};
use std::sync::Arc;

/// The largest `_revs_limit`: a document's tree is read and written as a whole.
const REVS_LIMIT_MAX: usize = 10_000;

/// The largest `_security`, in bytes: it is held in memory for every database.
const SECURITY_BYTES_MAX: usize = 64 << 10;

/// `/{db}`.
pub(crate) async fn route(call: &Call, name: String) -> Handled {
    match call.method.as_str() {
        "PUT" => return create(call, name).await,
        "DELETE" => return delete(call, name).await,
        "GET" | "HEAD" | "POST" => {}
        _ => return Err(Refusal::method(&["DELETE", "GET", "HEAD", "POST"])),
    }
    call.need_member()?;
    let database = call.store().catalog().get(&name).ok_or_else(Refusal::no_database)?;
    if call.is_read() {
        return Ok(reply::json(StatusCode::OK, &info(&database)));
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
    if deleted { Ok(reply::ok(StatusCode::OK)) } else { Err(Refusal::no_database()) }
}

/// What `GET /{db}` tells.
pub(crate) fn info(database: &Database) -> Value {
    let state = database.state();
    json!({
        "db_name": database.name,
        "instance_start_time": database.started_us.to_string(),
        "update_seq": database.token(state.sequence),
        "purge_seq": database.token(0),
        "doc_count": state.documents,
        "doc_del_count": state.tombstones,
        "sizes": {"file": state.bytes, "external": state.bytes, "active": state.bytes},
        "props": {},
        "disk_format_version": 8,
        "compact_running": database.is_compacting(),
        // One copy, whatever `n` was asked for: so does a single node of CouchDB.
        "cluster": {"q": database.shards, "n": 1, "w": 1, "r": 1},
    })
}

/// `_ensure_full_commit`: every write was durable before it was answered.
pub(crate) fn ensure_full_commit(call: &Call, database: &Database) -> Handled {
    allow(&call.method, &["POST"])?;
    call.need_json()?;
    let started = database.started_us.to_string();
    let body = json!({"ok": true, "instance_start_time": started});
    Ok(reply::json(StatusCode::CREATED, &body))
}

/// `_compact`: happens in idle time.
pub(crate) async fn compact(
    call: &Call,
    database: &Arc<Database>,
    design: Option<&str>,
) -> Handled {
    allow(&call.method, &["POST"])?;
    call.need_json()?;
    if design.is_some() {
        return Err(Refusal::not_found("missing"));
    }
    let database = Arc::clone(database);
    call.store().write(move |transaction| databases::compact(transaction, &database)).await?;
    Ok(reply::ok(StatusCode::ACCEPTED))
}

/// `_view_cleanup`: there are no views yet, so there is nothing to clean.
pub(crate) fn view_cleanup(call: &Call) -> Handled {
    allow(&call.method, &["POST"])?;
    call.need_json()?;
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

/// `_security`. It is kept for what will read it; so far only the administrator comes in.
pub(crate) async fn security(call: &Call, database: &Arc<Database>) -> Handled {
    allow(&call.method, &["PUT", "GET"])?;
    if call.is_read() {
        let security = match database.state().security {
            Some(text) => query::parse(&text)?,
            None => json!({"members": {"roles": ["_admin"]}, "admins": {"roles": ["_admin"]}}),
        };
        return Ok(reply::json(StatusCode::OK, &security));
    }
    call.need_admin()?;
    let received = call.body(SECURITY_BYTES_MAX.min(BODY_BYTES_MAX)).await?;
    let security = query::parse(received.text()?)?;
    check_security(&security)?;
    let text: Arc<str> = security.to_string().into();
    let database = Arc::clone(database);
    let set = move |transaction: &mut Transaction<'_>| {
        databases::set_security(transaction, &database, text)
    };
    call.store().write(set).await?;
    Ok(reply::ok(StatusCode::OK))
}

/// `admins` and `members` are objects whose `names` and `roles` are lists of texts.
fn check_security(security: &Value) -> Result<(), Refusal> {
    let texts =
        |value: &Value| value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
    let group = |value: &Value| {
        let part = |name| value.get(name).is_none_or(texts);
        value.is_object() && part("names") && part("roles")
    };
    let sound = security.is_object()
        && ["admins", "members"].iter().all(|name| security.get(name).is_none_or(group));
    if sound {
        return Ok(());
    }
    Err(Refusal::bad_request(
        "`_security` is an object; `admins` and `members` in it have lists of `names` and `roles`",
    ))
}
