//! Says that the engine is there: its document, rewritten regularly and when what it can run has changed.

use std::sync::Arc;
use std::time::Duration;

use blitz_couchdb::Database;
use blitz_jobs::Incarnation;
use blitz_jobs::engine::{EngineDocument, EngineKind};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::own;
use crate::shelf::Shelf;

/// A write that failed is tried again after this long.
const WRITE_AGAIN: Duration = Duration::from_secs(2);

/// Between two writes: an engine that starts with a thousand plugins does not write a thousand documents.
const REST: Duration = Duration::from_millis(50);

/// Keeps the engine's document fresh until `stop`, then marks it as gone.
pub(crate) async fn keep(
    config: Config,
    incarnation: Incarnation,
    database: Database,
    shelf: Shelf,
    changed: Arc<Notify>,
    stop: CancellationToken,
) {
    let id = EngineDocument::document_id(&config.id);
    let mut revision = None;
    let mut document = EngineDocument {
        kind: EngineKind::Engine,
        blitz: blitz_jobs::BUILD.to_owned(),
        engine: config.id.clone(),
        incarnation,
        region: config.region.clone(),
        slots: config.slots,
        plugins: Vec::new(),
        refused: Vec::new(),
        counter: 0,
        gone: false,
    };
    loop {
        document.counter += 1;
        document.plugins = shelf.labels();
        document.refused = shelf.refused();
        let wait = match own::write(&database, &id, revision.clone(), &document).await {
            Ok(new) => {
                revision = Some(new);
                config.timing.presence
            }
            Err(error) => {
                tracing::warn!(%error, "cannot write that this engine is there");
                WRITE_AGAIN
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(REST) => {}
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = changed.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
    document.counter += 1;
    document.gone = true;
    if let Err(error) = own::write(&database, &id, revision, &document).await {
        tracing::warn!(%error, "cannot write that this engine is gone");
    }
}
