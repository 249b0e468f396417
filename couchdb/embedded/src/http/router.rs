//! From a path to its handler.

use super::{
    attachment, bulk,
    call::Call,
    changes, database, document, listing, local, query,
    refusal::{Refusal, allow},
    replication,
    reply::Handled,
    server,
};
use crate::document::draft::BadId;
use http::Method;

/// Handles a request.
pub(crate) async fn route(call: Call) -> Handled {
    let raw = call.parts.uri.path().to_owned();
    let mut segments: Vec<Option<String>> =
        raw.trim_start_matches('/').split('/').map(query::decode).collect();
    // `/db/` is `/db`, but `/db/_local/` is something else than `/db/_local`.
    if segments.len() <= 2 && segments.last().is_some_and(|last| last.as_deref() == Some("")) {
        segments.pop();
    }
    let mut segments = segments.into_iter();
    let Some(first) = segments.next() else { return server::welcome(&call) };
    let Some(first) = first else { return Err(Refusal::no_database()) };
    let rest: Option<Vec<String>> = segments.collect();
    let rest = rest.ok_or(BadId::NotUtf8)?;
    if let Some(handled) = server::route(&call, &first, &rest).await {
        return handled;
    }
    in_database(call, first, rest).await
}

async fn in_database(call: Call, name: String, rest: Vec<String>) -> Handled {
    let Some(second) = rest.first() else { return database::route(&call, name).await };
    call.need_member()?;
    let database = call.store().catalog().get(&name).ok_or_else(Refusal::no_database)?;
    let third = rest.get(1).map(String::as_str);
    match (second.as_str(), third) {
        ("_all_docs", None) => listing::all_docs(&call, &database).await,
        ("_all_docs", Some("queries")) => listing::queries(&call, &database).await,
        ("_design_docs", None) => listing::design_docs(&call, &database).await,
        ("_local_docs", None) => local::list(&call, &database).await,
        ("_changes", None) => changes::changes(&call, &database).await,
        ("_bulk_docs", None) => bulk::bulk_docs(&call, &database).await,
        ("_bulk_get", None) => replication::bulk_get(&call, &database).await,
        ("_revs_diff", None) => replication::revs_diff(&call, &database).await,
        ("_missing_revs", None) => replication::missing_revs(&call, &database).await,
        ("_ensure_full_commit", None) => database::ensure_full_commit(&call, &database),
        ("_compact", third) => database::compact(&call, &database, third).await,
        ("_view_cleanup", None) => database::view_cleanup(&call),
        ("_security", None) => database::security(&call, &database).await,
        ("_revs_limit", None) => database::revs_limit(&call, &database).await,
        ("_local", None | Some("")) => Err(Refusal::bad_request("Invalid _local document id.")),
        ("_local", Some(id)) => {
            local::route(&call, &database, format!("_local/{id}"), rest.len() > 2).await
        }
        ("_design", Some(id)) if !id.is_empty() => {
            let id = format!("_design/{id}");
            match rest.get(2).map(String::as_str) {
                None => document::route(&call, &database, id).await,
                Some(part) if part.starts_with('_') => Err(design_function(part)),
                Some(_) => attachment::route(&call, &database, id, rest[2..].join("/")).await,
            }
        }
        (second, _) => {
            if let Some(refusal) = not_implemented(&call.method, second) {
                return Err(refusal);
            }
            by_id(call, &database, &rest).await
        }
    }
}

async fn by_id(
    call: Call,
    database: &std::sync::Arc<crate::store::database::Database>,
    rest: &[String],
) -> Handled {
    let [id, path @ ..] = rest else { return Err(Refusal::not_found("missing")) };
    if let Some(local_id) = id.strip_prefix("_local/") {
        return local::route(&call, database, format!("_local/{local_id}"), !path.is_empty()).await;
    }
    let reserved = id.starts_with('_') && !id.starts_with("_design/");
    if reserved && !path.is_empty() && call.method != Method::POST {
        return Err(Refusal::not_found("missing"));
    }
    if path.is_empty() || call.method == Method::POST && reserved {
        return document::route(&call, database, id.clone()).await;
    }
    attachment::route(&call, database, id.clone(), path.join("/")).await
}

/// What lies below a design document and needs its functions.
fn design_function(part: &str) -> Refusal {
    Refusal::not_implemented(&format!("functions of design documents ({part})"))
}

/// Paths of CouchDB that are known and not implemented, with the methods that they would take.
fn not_implemented(method: &Method, name: &str) -> Option<Refusal> {
    let methods: &[&str] = match name {
        "_find" | "_explain" | "_purge" | "_temp_view" | "_sync_shards" => &["POST"],
        "_index" => &["GET", "POST"],
        "_purged_infos" | "_partition" => &["GET"],
        "_purged_infos_limit" | "_auto_purge" => &["GET", "PUT"],
        _ => return None,
    };
    Some(allow(method, methods).err().unwrap_or_else(|| Refusal::not_implemented(name)))
}
