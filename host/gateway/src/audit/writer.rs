//! Puts entries into the store: the first at once, and then what has gathered, a few times in a second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use blitz_couchdb::{BulkOutcome, BulkRow, Client, Error};
use blitz_jobs::accounts::AUDIT;
use blitz_jobs::accounts::audit::Entry;
use blitz_jobs::setup;
use serde::Serialize;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Waiting;

/// Entries of one write: as many are a fraction of the store's work for single ones.
const BATCH_MAX: usize = 100;

/// Between two writes, unless a whole batch waits: what a gateway that is killed may lose.
const EVERY: Duration = Duration::from_millis(200);

/// How often it is looked whether a whole batch waits.
const LOOK: Duration = Duration::from_millis(20);

/// What was not taken is written again after this long, doubled up to the ceiling.
const AGAIN: Duration = Duration::from_millis(250);
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// While the store has taken nothing for so long, members are not served: a restart of it takes less.
const LATE_AFTER: Duration = Duration::from_secs(5);

/// What is left is written for so long when the gateway stops.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Whether the store takes entries.
#[derive(Debug, Default)]
pub(super) struct Standing(Mutex<Option<Instant>>);

impl Standing {
    /// Whether it has not for too long.
    pub(super) fn is_late(&self) -> bool {
        let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() >= LATE_AFTER)
    }

    fn took(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn refused(&self) {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *since = since.or(Some(Instant::now()));
    }
}

/// The one who writes.
#[derive(Debug)]
pub(crate) struct Writer {
    waiting: Receiver<Waiting>,
    /// What is being written: here, so that who is told to stop does not lose it.
    batch: Vec<Waiting>,
    standing: Arc<Standing>,
}

/// An entry as a document.
#[derive(Serialize)]
struct Document<'a> {
    _id: &'a str,
    #[serde(flatten)]
    entry: &'a Entry,
}

impl Writer {
    pub(super) fn new(waiting: Receiver<Waiting>, standing: Arc<Standing>) -> Self {
        Self { waiting, batch: Vec::new(), standing }
    }

    /// Writes into the near cluster until `stop`, and then what is left.
    pub(crate) async fn run(mut self, near: Client, stop: CancellationToken) {
        if stop.run_until_cancelled(self.write_on(&near)).await.is_none() {
            self.waiting.close();
            if timeout(LAST_WORDS, self.write_on(&near)).await.is_err() {
                let left = self.waiting.len();
                tracing::error!(left, "the store took no entries of the audit at the end");
            }
        }
    }

    /// Takes what waits, as if it were written.
    #[cfg(test)]
    pub(super) fn forget(&mut self) {
        while self.waiting.try_recv().is_ok() {}
    }

    /// Writes until nobody tells anything any more, first what an earlier call had begun.
    async fn write_on(&mut self, near: &Client) {
        loop {
            if self.batch.is_empty()
                && self.waiting.recv_many(&mut self.batch, BATCH_MAX).await == 0
            {
                return;
            }
            self.write(near).await;
            self.batch.clear();
            let until = Instant::now() + EVERY;
            while self.waiting.len() < BATCH_MAX
                && Instant::now() < until
                && !self.waiting.is_closed()
            {
                sleep(LOOK).await;
            }
        }
    }

    /// Writes a batch, however long it takes.
    async fn write(&self, near: &Client) {
        let batch = self.batch.iter();
        let documents: Vec<Document<'_>> =
            batch.map(|Waiting { id, entry, .. }| Document { _id: id, entry }).collect();
        let database = near.database(AUDIT);
        let (mut pause, mut is_told) = (AGAIN, false);
        loop {
            let reason = match database.bulk(&documents).await {
                Ok(rows) => match refused(&rows) {
                    None => break,
                    Some(reason) => reason,
                },
                Err(error) => {
                    if matches!(error, Error::NotFound { .. }) && !is_told {
                        make(near).await;
                    }
                    error.to_string()
                }
            };
            self.standing.refused();
            if !is_told {
                let entries = documents.len();
                tracing::error!(
                    entries,
                    reason,
                    "the store does not take the audit; members are not served until it does \
                     ('blitz doctor' says what is missing in it)"
                );
                is_told = true;
            }
            sleep(pause).await;
            pause = (pause * 2).min(AGAIN_MAX);
        }
        if is_told {
            tracing::warn!("the store takes the audit again");
        }
        self.standing.took();
    }
}

/// Why a batch counts as not written. One that was written before is written: nobody else has its ids.
fn refused(rows: &[BulkRow]) -> Option<String> {
    rows.iter().find_map(|row| match &row.outcome {
        BulkOutcome::Refused { error, reason } => Some(format!("{}: {error}: {reason}", row.id)),
        BulkOutcome::Stored(_) | BulkOutcome::Accepted(_) | BulkOutcome::Conflict => None,
    })
}

/// Makes the database, in a store of an earlier version. Only an administrator may.
async fn make(near: &Client) {
    match setup::install(near, &[]).await {
        Ok(()) => tracing::info!(
            "made the database {AUDIT}, which this store of an earlier version lacked"
        ),
        Err(error) => tracing::debug!(%error, "cannot make the database {AUDIT}"),
    }
}
