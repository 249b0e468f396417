//! `GET /v1/audit`: the newest entries first, a tenant's own to its admins, all to the operator.

use axum::extract::State;
use axum::{Extension, Json};
use blitz_couchdb::{AllDocs, Database, Error};
use blitz_jobs::accounts::audit::{OPERATOR, range, tenant_of};
use blitz_jobs::accounts::{AUDIT, is_name};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::failure::Failure;
use crate::server::Gateway;
use crate::strict::Params;

/// How many entries an answer has when nobody says.
const LIMIT: u64 = 100;

/// The most entries of one answer.
const LIMIT_MAX: u64 = 1000;

/// Tenants whose entries are read for an answer of all: of more the operator asks one by one.
const TENANTS_MAX: usize = 1000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    tenant: Option<String>,
    since_ms: Option<u64>,
    limit: Option<u64>,
}

/// `GET /v1/audit`.
pub(crate) async fn list(
    State(shared): Gateway,
    Extension(caller): Extension<Caller>,
    Params(wanted): Params<Wanted>,
) -> Result<Json<Value>, Failure> {
    let limit = wanted.limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX);
    let since_ms = wanted.since_ms.unwrap_or(0);
    let audit = shared.stores.reach.near().database(AUDIT);
    let tenant = whose(&caller, wanted.tenant)?;
    let entries = match tenant {
        Some(tenant) => newest(&audit, &tenant, since_ms, limit).await,
        None => all(&audit, since_ms, limit).await,
    };
    match entries {
        Ok(entries) => Ok(Json(json!({"entries": entries}))),
        Err(Error::NotFound { .. }) => Err(Failure::missing(
            "no_audit",
            "this store has no audit; 'blitz doctor' says what is missing in it",
        )),
        Err(error) => Err(Failure::store(&error)),
    }
}

/// The tenant whose entries are read; `None` is all.
fn whose(caller: &Caller, asked: Option<String>) -> Result<Option<String>, Failure> {
    let Caller::Member(member) = caller else {
        let is_tenant = |name: &String| name == OPERATOR || is_name(name);
        // What is no name cannot become a part of an id either.
        return match asked {
            Some(name) if !is_tenant(&name) => {
                Err(Failure::bad_request(format!("{name:?} is not the name of a tenant")))
            }
            asked => Ok(asked),
        };
    };
    if asked.is_some_and(|asked| asked != member.key.tenant) {
        return Err(Failure::missing("unknown_tenant", "there is no such tenant"));
    }
    if !member.key.scopes.is_admin {
        return Err(Failure::forbidden("the audit is for admin keys of the tenant"));
    }
    Ok(Some(member.key.tenant.clone()))
}

/// A tenant's newest entries.
async fn newest(
    audit: &Database,
    tenant: &str,
    since_ms: u64,
    limit: u64,
) -> Result<Vec<Value>, Error> {
    let (lowest, highest) = range(tenant, since_ms);
    let query = AllDocs {
        start: Some(highest),
        end: Some(lowest),
        descending: true,
        limit: Some(limit),
        include_docs: true,
        ..AllDocs::default()
    };
    let page = audit.all_docs::<Value>(&query).await?;
    // As they are: one of a later version has more to say than this one knows.
    let shown = |id: String, mut doc: Value| {
        if let Some(doc) = doc.as_object_mut() {
            doc.retain(|name, _| !name.starts_with('_'));
            doc.insert("id".to_owned(), id.into());
        }
        doc
    };
    Ok(page.rows.into_iter().filter_map(|row| Some(shown(row.id, row.doc?))).collect())
}

/// The newest of all tenants and of the operator. Ids sort by tenant first: each has its own range, found by leaping over
/// the one before.
async fn all(audit: &Database, since_ms: u64, limit: u64) -> Result<Vec<Value>, Error> {
    let (mut entries, mut start) = (Vec::new(), "audit:".to_owned());
    for _ in 0..TENANTS_MAX {
        let query = AllDocs {
            start: Some(start),
            end: Some("audit;".to_owned()),
            limit: Some(1),
            ..AllDocs::default()
        };
        let first = audit.all_docs::<Value>(&query).await?.rows.into_iter().next();
        let Some(tenant) = first.as_ref().and_then(|row| tenant_of(&row.id)) else { break };
        entries.extend(newest(audit, tenant, since_ms, limit).await?);
        start = range(tenant, 0).1;
        // Of what is sorted out again no more than two answers are held at a time.
        sort(&mut entries, limit);
    }
    sort(&mut entries, limit);
    Ok(entries)
}

/// By the ULIDs of their ids, the newest first.
fn sort(entries: &mut Vec<Value>, limit: u64) {
    let place = |entry: &Value| {
        let id = entry.get("id").and_then(Value::as_str).unwrap_or_default();
        id.rsplit(':').next().unwrap_or_default().to_owned()
    };
    entries.sort_by_cached_key(|entry| std::cmp::Reverse(place(entry)));
    entries.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
}
