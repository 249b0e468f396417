//! `_local` documents.

use super::{
    call::{BODY_BYTES_MAX, Call},
    copy, heavy,
    refusal::Refusal,
    reply::{self, Handled, Reply},
    security, write,
};
use crate::{
    document::draft::{Draft, check_id},
    revision::{BadRevision, Hash, Revision},
    store::{
        database::Database,
        local::{self, Local},
        transaction::Transaction,
    },
};
use http::{StatusCode, header};
use serde_json::json;
use std::sync::Arc;

/// `/{db}/_local/{id}`.
pub(crate) async fn route(
    call: &Call,
    database: &Arc<Database>,
    id: String,
    has_attachment: bool,
) -> Handled {
    if has_attachment {
        return Err(Refusal::bad_request("_local documents do not accept attachments."));
    }
    match call.method.as_str() {
        "GET" | "HEAD" => {
            let found = call.store().local(database, id).await?;
            let found = found.ok_or_else(|| Refusal::not_found("missing"))?;
            let mut text = found.render();
            text.push(b'\n');
            let mut reply = reply::text_json(StatusCode::OK, text);
            reply::etag(&mut reply, &format!("0-{}", found.revision));
            Ok(reply)
        }
        "PUT" => {
            check_id(&id)?;
            let received = call.body(BODY_BYTES_MAX).await?;
            let bytes = received.bytes.clone();
            let read = move || Ok(Draft::read(&bytes, false)?);
            let mut draft = heavy::run(received.bytes.len(), read).await?;
            write::merge_revision(call, &mut draft)?;
            put(call, database, id, draft).await
        }
        "DELETE" => {
            let deleted = {
                let (database, id) = (Arc::clone(database), id.clone());
                let delete = move |transaction: &mut Transaction<'_>| {
                    local::delete(transaction, &database, &id)
                };
                call.store().write(delete).await?
            };
            if !deleted {
                return Err(Refusal::not_found("missing"));
            }
            Ok(written(call, database, &id, 0, StatusCode::OK))
        }
        "POST" => Err(Refusal::bad_request("Referer header required.")),
        "COPY" => copy::copy(call, database, id).await,
        _ => Err(Refusal::method(&["DELETE", "GET", "HEAD", "POST", "PUT", "COPY"])),
    }
}

/// Stores a `_local` document.
pub(crate) async fn put(
    call: &Call,
    database: &Arc<Database>,
    id: String,
    draft: Draft,
) -> Handled {
    security::may_write_local(call, database)?;
    let told = draft.revision.clone();
    let local = from_draft(draft, id.clone(), call.store().options().document_bytes_max)?;
    let mut revision = local.revision;
    if call.query.get("new_edits") == Some("false") {
        // CouchDB tells the old revision and stores the next one.
        revision = told.map_or(Ok(revision), |told| number(&told))?;
    }
    let for_write = Arc::clone(database);
    call.store().write(move |transaction| local::put(transaction, &for_write, &local)).await?;
    Ok(written(call, database, &id, revision, StatusCode::CREATED))
}

/// What a draft of a `_local` document makes: without a revision the first, with one the next.
pub(crate) fn from_draft(draft: Draft, id: String, limit: usize) -> Result<Local, Refusal> {
    if draft.body.len() > limit {
        return Err(Refusal::document_too_large(id));
    }
    let before = draft.revision.as_ref().map_or(Ok(0), number)?;
    Ok(Local { id, revision: before.saturating_add(1), text: draft.body.into() })
}

/// The N of `0-N`.
fn number(revision: &Revision) -> Result<u64, BadRevision> {
    match &revision.hash {
        Hash::Text(text) if revision.generation == 0 => {
            let number = text.parse().map_err(|_| BadRevision)?;
            if number < NUMBER_MAX { Ok(number) } else { Err(BadRevision) }
        }
        _ => Err(BadRevision),
    }
}

/// Counted in SQLite's signed integers.
const NUMBER_MAX: u64 = 1 << 48;

fn written(call: &Call, database: &Database, id: &str, revision: u64, status: StatusCode) -> Reply {
    let revision = format!("0-{revision}");
    let mut reply = reply::json(status, &json!({"ok": true, "id": id, "rev": revision}));
    reply::etag(&mut reply, &revision);
    reply::set(&mut reply, header::LOCATION, &call.location(&[&database.name, id]));
    reply
}
