//! The state of indexes, and looking after them: `_info`, `_compact`, `_view_cleanup`.

use super::open;
use crate::{
    error::StoreError,
    http::{
        call::Call,
        query,
        refusal::allow,
        reply::{self, Handled},
    },
    store::{
        database::Database,
        list::{Detail, End, Range},
    },
    view::design::Group,
};
use http::StatusCode;
use serde_json::{Value, json};
use std::{collections::HashSet, sync::Arc};

/// `_design/{id}/_info`.
pub(super) async fn info(call: &Call, database: &Arc<Database>, id: &str, body: &Value) -> Handled {
    let group = Group::read(body)?;
    let index = call.server.views.index(database.identity, &group).await?;
    let sequence = index.sequence().await?;
    let file = index.file.clone();
    let size = move || file.and_then(|file| std::fs::metadata(file).ok()).map_or(0, |m| m.len());
    let bytes = tokio::task::spawn_blocking(size).await.map_err(|_| StoreError::Closed)?;
    let pending = database.state().sequence.saturating_sub(sequence);
    let is_updating = index.updating.try_lock().is_err();
    let view_index = json!({
        "signature": group.signature,
        "language": "javascript",
        "sizes": {"file": bytes, "external": bytes, "active": bytes},
        "update_seq": sequence,
        "purge_seq": 0,
        "updater_running": is_updating,
        "compact_running": false,
        "waiting_commit": false,
        "waiting_clients": 0,
        "updates_pending": {"minimum": pending, "preferred": pending, "total": pending},
        "collator_versions": [],
    });
    let name = id.strip_prefix("_design/").unwrap_or(id);
    let body = json!({"name": name, "view_index": view_index});
    Ok(reply::json(StatusCode::OK, &body))
}

/// `_compact/{design}`.
pub(crate) async fn compact(call: &Call, database: &Arc<Database>, design: &str) -> Handled {
    let body = open(call, database, &format!("_design/{design}")).await?;
    let group = Group::read(&body)?;
    let index = call.server.views.index(database.identity, &group).await?;
    call.server.views.spawn(async move {
        if let Err(error) = index.compact().await {
            tracing::warn!(%error, "an index of a view could not be compacted");
        }
    });
    Ok(reply::ok(StatusCode::ACCEPTED))
}

/// `_view_cleanup`: removes the indexes that no design document asks for any more.
pub(crate) async fn cleanup(call: &Call, database: &Arc<Database>) -> Handled {
    allow(&call.method, &["POST"])?;
    call.need_json()?;
    let mut range = Range {
        low: End::At(String::from("_design/")),
        // `0` is the character after `/`.
        high: End::Beside(String::from("_design0")),
        descending: false,
    };
    let detail = Detail { documents: true, ..Detail::default() };
    let mut signatures = HashSet::new();
    loop {
        let page = call.store().range(database, range.clone(), 0, u64::MAX, detail).await?;
        for document in page.rows.iter().filter_map(|row| row.document.as_deref()) {
            let group = query::parse(document).map(|body| Group::read(&body));
            if let Ok(Ok(group)) = group {
                signatures.insert(group.signature);
            }
        }
        match page.rows.last() {
            Some(last) if page.more => range.low = End::Beside(last.id.clone()),
            _ => break,
        }
    }
    call.server.views.keep(database.identity, &signatures).await;
    Ok(reply::ok(StatusCode::ACCEPTED))
}
