//! A document that one start of one engine writes, and no other: how it is kept, and how the engine learns that another
//! process has its id.
//!
//! The newest start of an id has it. A start takes over what an earlier one left; from then on a conflict with
//! another start's words means that this one was replaced, and must go.

use std::time::Duration;

use blitz_couchdb::{Database, Error, Put, PutOptions, Revision};
use blitz_jobs::Incarnation;
use serde::Serialize;
use serde_json::Value;

use crate::siblings::Siblings;

/// Conflicts in one writing: with an earlier start's words, with our own whose answer was lost, and one to spare.
const TRIES: u32 = 3;

/// The document, as far as this start knows it.
#[derive(Debug)]
pub(crate) struct Own {
    database: Database,
    id: String,
    incarnation: Incarnation,
    /// How many copies the database has.
    copies: u32,
    /// Starts of this very process are no others.
    siblings: Siblings,
    revision: Option<Revision>,
    /// This start has written it.
    is_ours: bool,
    /// A writing may take this long.
    timeout: Duration,
}

impl Own {
    /// A document that this start has not written yet.
    pub(crate) fn new(
        database: Database,
        id: String,
        incarnation: Incarnation,
        copies: u32,
        siblings: Siblings,
        timeout: Duration,
    ) -> Self {
        let (revision, is_ours) = (None, false);
        Self { database, id, incarnation, copies, siblings, revision, is_ours, timeout }
    }

    /// The database that it is in.
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Whether a start is one of this process, now or before.
    pub(crate) fn is_of_this_process(&self, start: &Incarnation) -> bool {
        *start == self.incarnation || self.siblings.has(start)
    }

    /// Writes a body, which must name the incarnation. True when a majority of the copies has it.
    ///
    /// # Errors
    ///
    /// [`NotWritten`]; after [`NotWritten::Replaced`] nothing of it may be written again.
    pub(crate) async fn write<T: Serialize + Sync>(
        &mut self,
        body: &T,
    ) -> Result<bool, NotWritten> {
        for _ in 0..TRIES {
            let options = PutOptions { quorum: None, timeout: Some(self.timeout) };
            let put = self.database.put(&self.id, self.revision.as_ref(), body, options).await?;
            match put {
                Put::Created(revision) => {
                    self.wrote(revision);
                    return Ok(true);
                }
                // Stored by too few. The others may have another start's words, which then are no conflict.
                Put::Accepted(revision) => {
                    self.wrote(revision);
                    if self.copies > 1 {
                        self.look().await?;
                        return Ok(false);
                    }
                    return Ok(true);
                }
                Put::Conflict => self.revision = self.look().await?,
            }
        }
        Err(NotWritten::Contended { id: self.id.clone() })
    }

    /// Takes away what this start has written, and leaves what another did.
    ///
    /// # Errors
    ///
    /// As [`Own::write`].
    pub(crate) async fn remove(mut self) -> Result<(), NotWritten> {
        let Some(revision) = self.revision.take().filter(|_| self.is_ours) else { return Ok(()) };
        match self.database.delete(&self.id, &revision).await? {
            // A conflict: others have written over it, or it is gone.
            Put::Created(_) | Put::Accepted(_) | Put::Conflict => Ok(()),
        }
    }

    fn wrote(&mut self, revision: Revision) {
        self.revision = Some(revision);
        self.is_ours = true;
    }

    /// The revision that is stored.
    async fn look(&mut self) -> Result<Option<Revision>, NotWritten> {
        // Whatever stands there is ours to replace, unless it is another start's; somebody may have edited it.
        let Some(stored) = self.database.get::<Value>(&self.id).await? else { return Ok(None) };
        let writer = stored.body.get("incarnation").and_then(Value::as_str).map(str::to_owned);
        let writer = writer.and_then(|text| Incarnation::try_from(text).ok());
        match writer {
            Some(writer) if writer == self.incarnation => self.is_ours = true,
            Some(writer) if self.is_ours && !self.siblings.has(&writer) => {
                return Err(NotWritten::Replaced { by: writer });
            }
            _ => {}
        }
        Ok(Some(stored.revision))
    }
}

/// Why a document of this engine is not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotWritten {
    #[error(transparent)]
    Store(#[from] Error),
    #[error("{id} has changed at each of {TRIES} tries; does somebody else write it?")]
    Contended { id: String },
    #[error("another process with this engine's id was started ({})", by.short())]
    Replaced { by: Incarnation },
}
