//! `_purge` and what is remembered of it. The router lets only administrators in, but for `_purged_infos`.

use super::{
    call::{Call, Server},
    query,
    refusal::{Refusal, allow},
    reply::{self, Broken, Handled, Pieces},
};
use crate::{
    document::{object, render},
    revision::{BadRevision, Revision},
    store::{database::Database, purge, transaction::Transaction},
};
use http::StatusCode;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// How many documents one request may purge; CouchDB's own.
const DOCUMENTS_MAX: usize = 100;

/// How many revisions one request may name; CouchDB's own.
const REVISIONS_MAX: usize = 1000;

/// The largest `_purged_infos_limit`: every entry is a row that is kept.
const HISTORY_LIMIT_MAX: u64 = 1_000_000;

/// `_purge`, `_purged_infos` and `_purged_infos_limit`.
pub(crate) async fn route(call: &Call, database: &Arc<Database>, rest: &[String]) -> Handled {
    match rest.first().map_or("", String::as_str) {
        "_purge" => purge(call, database).await,
        "_purged_infos" => infos(call, database),
        _ => limit(call, database).await,
    }
}

async fn purge(call: &Call, database: &Arc<Database>) -> Handled {
    allow(&call.method, &["POST"])?;
    call.need_json()?;
    let received = call.json_body().await?;
    let asked = read(received.text()?)?;
    let database = Arc::clone(database);
    let write =
        move |transaction: &mut Transaction<'_>| purge::purge(transaction, &database, asked);
    let purged: Map<String, Value> =
        call.store().write(write).await?.into_iter().map(|(id, gone)| (id, texts(&gone))).collect();
    let body = json!({"purge_seq": null, "purged": purged});
    Ok(reply::json(StatusCode::CREATED, &body))
}

fn texts(revisions: &[Revision]) -> Value {
    revisions.iter().map(ToString::to_string).collect()
}

fn read(text: &str) -> Result<Vec<(String, Vec<Revision>)>, Refusal> {
    let members = object::members(text)?
        .ok_or_else(|| Refusal::bad_request("Request body must be a JSON object"))?;
    let mut asked = Vec::with_capacity(members.0.len());
    for (id, value) in &members.0 {
        let list: Vec<Value> = serde_json::from_str(value.get())
            .map_err(|_| Refusal::bad_request("Invalid list of revisions"))?;
        let read = |value: &Value| value.as_str().ok_or(BadRevision)?.parse();
        asked.push((id.to_string(), list.iter().map(read).collect::<Result<Vec<_>, _>>()?));
    }
    if asked.len() > DOCUMENTS_MAX {
        return Err(Refusal::bad_request("Exceeded maximum number of documents."));
    }
    if asked.iter().map(|(_, revisions)| revisions.len()).sum::<usize>() > REVISIONS_MAX {
        return Err(Refusal::bad_request("Exceeded maximum number of revisions."));
    }
    Ok(asked)
}

/// All that is remembered, read a page at a time while it is sent.
fn infos(call: &Call, database: &Arc<Database>) -> Handled {
    allow(&call.method, &["GET"])?;
    let (server, database) = (Arc::clone(&call.server), Arc::clone(database));
    Ok(reply::produced(StatusCode::OK, "application/json", async move |pieces| {
        if write_infos(&server, &database, &pieces).await.is_err() {
            drop(pieces.send(Err(Broken)).await);
        }
    }))
}

async fn write_infos(server: &Server, database: &Database, pieces: &Pieces) -> Result<(), Broken> {
    let mut text = Vec::from(b"{\"purged_infos\":[");
    let mut after = 0;
    let mut first = true;
    loop {
        let page = server.store.purges(database, after).await.map_err(|_| Broken)?.purges;
        let Some(last) = page.last() else { break };
        after = last.sequence;
        for purged in page {
            text.extend_from_slice(if first { b"{\"id\":" } else { b",{\"id\":" });
            first = false;
            render::append(&mut text, &purged.id);
            text.extend_from_slice(b",\"revs\":");
            text.extend_from_slice(purged.revisions.as_bytes());
            text.push(b'}');
            reply::flush(pieces, &mut text, false).await?;
        }
    }
    text.extend_from_slice(b"]}\n");
    reply::flush(pieces, &mut text, true).await
}

async fn limit(call: &Call, database: &Arc<Database>) -> Handled {
    allow(&call.method, &["GET", "PUT"])?;
    if call.is_read() {
        return Ok(reply::json(StatusCode::OK, &json!(database.state().purges_limit)));
    }
    let received = call.json_body().await?;
    let limit = query::parse(received.text()?)?.as_u64().filter(|limit| *limit > 0);
    let limit = limit
        .ok_or_else(|| Refusal::bad_request("`purged_infos_limit` must be positive integer"))?;
    if limit > HISTORY_LIMIT_MAX {
        return Err(Refusal::bad_request(format!(
            "`purged_infos_limit` is at most {HISTORY_LIMIT_MAX} here"
        )));
    }
    let database = Arc::clone(database);
    let set =
        move |transaction: &mut Transaction<'_>| purge::set_limit(transaction, &database, limit);
    call.store().write(set).await?;
    Ok(reply::ok(StatusCode::OK))
}
