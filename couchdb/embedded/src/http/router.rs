//! From a path to its handler.

use super::{
    attachment, bulk, call::Call, changes, database, document, find, listing, listing::Kind, local,
    purge, query, refusal::Refusal, replication, reply::Handled, security, server, view,
};
use crate::document::draft::BadId;
use http::Method;

/// Handles a request.
pub(crate) async fn route(call: Call) -> Handled {
    let url = call.parts.uri.path_and_query().map_or("", |url| url.as_str());
    query::check_escapes(url)?;
    // As in CouchDB, `//db//a/` is `/db/a`.
    let raw = call.parts.uri.path().to_owned();
    let mut segments = raw.split('/').filter(|segment| !segment.is_empty());
    let Some(first) = segments.next() else { return server::welcome(&call) };
    // No database has a name with the character that takes the place of bytes that are no text.
    let first = query::decode_lossy(first);
    let rest = match texts(segments.collect()) {
        Ok(rest) => rest,
        Err(raw) => return Err(no_text(&call, &first, &raw)),
    };
    if let Some(handled) = server::route(&call, &first, &rest).await {
        return handled;
    }
    in_database(call, first, rest).await
}

/// The segments decoded, or as they are when one of them is no text.
fn texts(raw: Vec<&str>) -> Result<Vec<String>, Vec<&str>> {
    let texts: Option<Vec<String>> = raw.iter().copied().map(query::decode).collect();
    texts.ok_or(raw)
}

/// Nothing has a name that is no text, and nothing gets one.
fn no_text(call: &Call, name: &str, raw: &[&str]) -> Refusal {
    let Some(database) = call.store().catalog().get(name) else {
        return security::no_database(call, name);
    };
    let rest: Vec<String> = raw.iter().copied().map(query::decode_lossy).collect();
    if let Err(refusal) = security::enter(call, &database, &rest) {
        return refusal;
    }
    let is_attachment = matches!(&rest[..], [id, _, ..] if !id.starts_with('_'));
    match (call.method.as_str(), is_attachment) {
        ("GET" | "HEAD" | "DELETE", true) => Refusal::not_found("Document is missing attachment"),
        ("GET" | "HEAD" | "DELETE", false) => Refusal::not_found("missing"),
        (_, true) => Refusal::bad_request("Attachment name is not UTF-8 encoded"),
        (_, false) => BadId::NotUtf8.into(),
    }
}

async fn in_database(call: Call, name: String, rest: Vec<String>) -> Handled {
    let Some(second) = rest.first() else { return database::route(&call, name).await };
    let database = call.store().catalog().get(&name);
    let database = database.ok_or_else(|| security::no_database(&call, &name))?;
    security::enter(&call, &database, &rest)?;
    let third = rest.get(1).map(String::as_str);
    match (second.as_str(), third) {
        ("_all_docs", None) => listing::list(&call, &database, Kind::Documents).await,
        ("_all_docs", Some("queries")) => listing::queries(&call, &database, Kind::Documents).await,
        ("_design_docs", None) => listing::list(&call, &database, Kind::Designs).await,
        ("_design_docs", Some("queries")) => {
            listing::queries(&call, &database, Kind::Designs).await
        }
        ("_local_docs", None) => listing::list(&call, &database, Kind::Locals).await,
        ("_local_docs", Some("queries")) => listing::queries(&call, &database, Kind::Locals).await,
        ("_changes", None) => changes::changes(&call, &database).await,
        ("_bulk_docs", None) => bulk::bulk_docs(&call, &database).await,
        ("_bulk_get", None) => replication::bulk_get(&call, &database).await,
        ("_revs_diff", None) => replication::revs_diff(&call, &database).await,
        ("_missing_revs", None) => replication::missing_revs(&call, &database).await,
        ("_ensure_full_commit", None) => database::ensure_full_commit(&call, &database),
        ("_compact", third) => database::compact(&call, &database, third).await,
        ("_view_cleanup", None) => view::cleanup(&call, &database).await,
        ("_find" | "_explain", None) | ("_index", _) => find::route(&call, &database, &rest).await,
        ("_purge" | "_purged_infos" | "_purged_infos_limit", None) => {
            purge::route(&call, &database, &rest).await
        }
        ("_shards", document) => database::shards(&call, document.is_some()),
        ("_sync_shards", None) => database::sync_shards(&call),
        ("_partition", Some(_)) => Err(Refusal::bad_request("database is not partitioned")),
        ("_security", None) => security::security(&call, &database).await,
        ("_revs_limit", None) => database::revs_limit(&call, &database).await,
        ("_local", None | Some("")) => Err(Refusal::bad_request("Invalid _local document id.")),
        ("_local", Some(id)) => {
            local::route(&call, &database, format!("_local/{id}"), rest.len() > 2).await
        }
        ("_design", Some(id)) if !id.is_empty() => {
            let id = format!("_design/{id}");
            match rest.get(2).map(String::as_str) {
                None => document::route(&call, &database, id).await,
                Some(part) if part.starts_with('_') => {
                    view::design(&call, &database, id, &rest[2..]).await
                }
                Some(_) => attachment::route(&call, &database, id, rest[2..].join("/")).await,
            }
        }
        (second, _) => {
            if second == "_temp_view" {
                return Err(view::temporary());
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
