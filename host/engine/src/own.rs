//! A document that this engine alone writes.

use blitz_couchdb::{Database, Error, Put, PutOptions, Revision};
use serde::Serialize;

/// Writes `body` over the known revision, or over whatever is there when an earlier start of this engine
/// wrote it; the new revision.
///
/// # Errors
///
/// [`NotWritten`]; a second conflict means that another process has this engine's id.
pub(crate) async fn write<T: Serialize + Sync>(
    database: &Database,
    id: &str,
    mut revision: Option<Revision>,
    body: &T,
) -> Result<Revision, NotWritten> {
    for _ in 0..2 {
        match database.put(id, revision.as_ref(), body, PutOptions::default()).await? {
            Put::Created(new) | Put::Accepted(new) => return Ok(new),
            Put::Conflict => {
                let known = database.get::<serde_json::Value>(id).await?;
                revision = known.map(|known| known.revision);
            }
        }
    }
    Err(NotWritten::Contended { id: id.to_owned() })
}

/// Why a document of this engine is not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotWritten {
    #[error(transparent)]
    Store(#[from] Error),
    #[error("another process writes {id} at the same time; give each engine an id of its own")]
    Contended { id: String },
}
