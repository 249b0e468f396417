//! `_index`: the indexes of Mango queries, each a view of a design document.

use super::{
    call::Call,
    refusal::{Refusal, allow},
    reply::{self, Handled},
    write::{self, Origin},
};
use crate::{
    document::{draft::Draft, object},
    mango::{
        definition::{self, Definition},
        error::BadQuery,
        index::{self, Index},
        query::{self, Keys},
    },
    revision::Revision,
    store::{
        database::Database,
        edit::{Edit, Kind, Outcome},
        list::{Detail, End, Range},
        read::{Opened, Which},
    },
};
use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;

/// How many indexes a database may have: each query looks at all of them.
const INDEXES_MAX: usize = 1000;

/// `_index` and what lies below it.
pub(crate) async fn route(call: &Call, database: &Arc<Database>, below: &[String]) -> Handled {
    let below: Vec<&str> = below.iter().map(String::as_str).collect();
    match below.as_slice() {
        [] | [""] => match call.method.as_str() {
            "GET" | "HEAD" => list(call, database).await,
            "POST" => create(call, database).await,
            _ => Err(Refusal::method(&["GET", "POST"])),
        },
        ["_bulk_delete"] => bulk_delete(call, database).await,
        ["_design", design, kind, name] | [design, kind, name] => {
            allow(&call.method, &["DELETE"])?;
            let design = design_id(design);
            let all = all(call, database).await?;
            let is_this = |index: &&Index| {
                index.design.as_deref() == Some(&design)
                    && index.kind() == *kind
                    && index.name == *name
            };
            let index = all.iter().find(is_this).ok_or_else(|| Refusal::not_found("missing"))?;
            remove(call, database, &design, &index.name).await?;
            Ok(reply::ok(StatusCode::OK))
        }
        _ => Err(Refusal::not_found("missing")),
    }
}

fn design_id(name: &str) -> String {
    if name.starts_with("_design/") { name.to_owned() } else { format!("_design/{name}") }
}

/// Every index of a database, in the order of design documents and names.
pub(crate) async fn all(call: &Call, database: &Database) -> Result<Vec<Index>, Refusal> {
    let mut all = vec![Index::all_docs()];
    let mut range = Range {
        low: End::At(String::from("_design/")),
        // `0` is the character after `/`.
        high: End::Beside(String::from("_design0")),
        descending: false,
    };
    let detail = Detail { documents: true, ..Detail::default() };
    loop {
        let page = call.store().range(database, range.clone(), 0, u64::MAX, detail).await?;
        for listed in &page.rows {
            let text = listed.document.as_deref().unwrap_or("");
            let mut found = index::of_design(&listed.id, text);
            found.sort_by(|a, b| a.name.cmp(&b.name));
            all.append(&mut found);
        }
        match page.rows.last() {
            Some(last) if page.more && all.len() <= INDEXES_MAX => {
                range.low = End::Beside(last.id.clone());
            }
            _ => break,
        }
    }
    all.truncate(INDEXES_MAX);
    Ok(all)
}

async fn list(call: &Call, database: &Arc<Database>) -> Handled {
    let number = |name: &str| -> Result<Option<usize>, BadQuery> {
        let text = call.query.get(name).map(str::parse::<usize>).transpose();
        text.map_err(|_| BadQuery::ListRange)
    };
    let (limit, skip) = (number("limit")?, number("skip")?.unwrap_or(0));
    if limit == Some(0) {
        return Err(BadQuery::ListRange.into());
    }
    let all = all(call, database).await?;
    let shown = all.iter().skip(skip).take(limit.unwrap_or(usize::MAX)).map(Index::to_json);
    let body = json!({"total_rows": all.len(), "indexes": shown.collect::<Vec<_>>()});
    Ok(reply::json(StatusCode::OK, &body))
}

async fn create(call: &Call, database: &Arc<Database>) -> Handled {
    call.need_json()?;
    let received = call.json_body().await?;
    let members = object::members(received.text()?)?
        .ok_or_else(|| Refusal::bad_request("Request body must be a JSON object"))?;
    let definition = Definition::read(&members)?;
    if definition.kind != "json" {
        return Err(Refusal::not_implemented(&format!("indexes of type {:?}", definition.kind)));
    }
    let old = design(call, database, &definition.design).await?;
    let (text, differs) = definition.add(old.as_ref().map(|(_, text)| text.as_str()))?;
    if differs {
        if all(call, database).await?.len() >= INDEXES_MAX {
            return Err(Refusal::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "too_many_indexes",
                format!("the database has its most indexes ({INDEXES_MAX}); delete one first"),
            ));
        }
        save(call, database, &definition.design, old.map(|(revision, _)| revision), &text).await?;
    }
    let result = if differs { "created" } else { "exists" };
    let body = json!({"result": result, "id": definition.design, "name": definition.name});
    Ok(reply::json(StatusCode::OK, &body))
}

/// A living design document: its revision and its members without that and the id.
async fn design(
    call: &Call,
    database: &Database,
    id: &str,
) -> Result<Option<(Revision, String)>, Refusal> {
    let document = call.store().document(database, id.to_owned(), Which::Winner, false).await?;
    let opened = document.and_then(|document| document.revisions.into_iter().next());
    let Some(Opened::Found(found)) = opened else { return Ok(None) };
    if found.deleted {
        return Ok(None);
    }
    // Attachments are carried on as stubs.
    let whole = String::from_utf8(found.render(id).finish()).unwrap_or_default();
    let members = object::members(&whole)?.map(|members| members.0).unwrap_or_default();
    let members = members.iter().filter(|(name, _)| name != "_id" && name != "_rev");
    let members: Vec<String> =
        members.map(|(name, value)| format!("{}:{value}", Value::from(&**name))).collect();
    Ok(Some((found.revision.clone(), format!("{{{}}}", members.join(",")))))
}

async fn save(
    call: &Call,
    database: &Arc<Database>,
    id: &str,
    revision: Option<Revision>,
    text: &str,
) -> Result<(), Refusal> {
    let mut draft = Draft::read(text.as_bytes(), false)?;
    draft.revision = revision;
    let limit = call.store().options().document_bytes_max;
    let edit = write::edit(draft, id.to_owned(), Origin::Single, limit)?;
    done(write::apply(call, database, edit).await?, id)
}

fn done(outcome: Outcome, id: &str) -> Result<(), Refusal> {
    match outcome {
        Outcome::Conflict => Err(BadQuery::DesignConflict.into()),
        outcome => write::stored(outcome, id).map(drop),
    }
}

/// Takes one index out of its design document, and the document away when nothing else is in it.
async fn remove(
    call: &Call,
    database: &Arc<Database>,
    id: &str,
    name: &str,
) -> Result<(), Refusal> {
    let found = design(call, database, id).await?;
    let (revision, text) = found.ok_or_else(|| Refusal::not_found("missing"))?;
    match definition::remove(&text, name)? {
        Some(text) => save(call, database, id, Some(revision), &text).await,
        None => {
            let kind = Kind::Delete { revision: Some(revision) };
            done(write::apply(call, database, Edit { id: id.to_owned(), kind }).await?, id)
        }
    }
}

async fn bulk_delete(call: &Call, database: &Arc<Database>) -> Handled {
    allow(&call.method, &["POST"])?;
    call.need_json()?;
    let received = call.json_body().await?;
    let members = object::members(received.text()?)?
        .ok_or_else(|| Refusal::bad_request("Request body must be a JSON object"))?;
    let keys = Keys(&members);
    let ids = keys.get("docids").ok_or(BadQuery::MissingKey("docids"))?;
    let shape = || BadQuery::BulkShape(crate::mango::erlang::bytes(&ids));
    let ids = ids.as_array().ok_or_else(shape)?;
    for id in ids {
        query::index_name(id)?;
    }
    keys.positive("w")?;
    query::only_these(&members, &["docids", "w"])?;
    let all = all(call, database).await?;
    let (mut success, mut fail) = (Vec::new(), Vec::new());
    for id in ids {
        let id = design_id(id.as_str().unwrap_or(""));
        let mut of_it = all.iter().filter(|index| index.design.as_deref() == Some(&id));
        // As in CouchDB, only a design document with one index is taken.
        let removed = match (of_it.next(), of_it.next()) {
            (Some(index), None) => remove(call, database, &id, &index.name).await,
            _ => Err(Refusal::not_found("missing")),
        };
        match removed {
            Ok(()) => success.insert(0, json!({"id": id, "ok": true})),
            Err(refusal) => fail.insert(0, json!({"id": id, "error": refusal.error})),
        }
    }
    Ok(reply::json(StatusCode::OK, &json!({"success": success, "fail": fail})))
}
