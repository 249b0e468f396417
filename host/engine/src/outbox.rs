//! From a running plugin's frames to output documents: gathered, written in batches, never dropped.
//!
//! While a batch is being written, frames wait in the bounded channel and then the plugin itself waits:
//! back-pressure reaches the plugin and memory stays bounded.

use std::time::Duration;

use blitz_contract::Frame;
use blitz_couchdb::{BulkOutcome, Database};
use blitz_jobs::id::{DocumentId, Position};
use blitz_jobs::output::{Batch, CHUNK_BYTES, Chunk};
use blitz_jobs::{Claim, JobId};
use serde::Serialize;
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;

/// Chunks in one write, when a plugin prints faster than the store takes: 1 MiB keeps a request short.
const CHUNKS_PER_WRITE: usize = (1 << 20) / CHUNK_BYTES;

/// A write that failed is tried again after this long, doubled up to the ceiling. The chunks are create-only
/// under fixed ids, so that writing them again is harmless.
const WRITE_AGAIN: Duration = Duration::from_millis(100);
const WRITE_AGAIN_MAX: Duration = Duration::from_secs(2);

/// Where the output of one claim goes.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) database: Database,
    pub(crate) job: JobId,
    pub(crate) claim: Claim,
    pub(crate) batch: Duration,
}

/// Counts, bytes and digest of the whole output.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) chunks: u64,
    pub(crate) bytes: u64,
    pub(crate) digest: String,
}

#[derive(Debug, Serialize)]
struct OutputDocument {
    #[serde(rename = "_id")]
    id: String,
    #[serde(flatten)]
    chunk: Chunk,
}

impl Outbox {
    /// Writes all frames until the plugin has let go of the channel's other end.
    ///
    /// Returns only when everything is stored: the caller stops waiting when the claim is lost.
    pub(crate) async fn run(self, mut frames: Receiver<Frame>) -> Written {
        let begun = Instant::now();
        let mut batch = Batch::new(self.batch);
        let mut closed = false;
        let mut pending = Vec::new();
        while !closed {
            tokio::select! {
                frame = frames.recv(), if !batch.is_full() => match frame {
                    Some(frame) => batch.add(begun.elapsed(), frame),
                    None => closed = true,
                },
                () = tokio::time::sleep_until(begun + batch.due().unwrap_or_default()),
                    if batch.due().is_some() => {}
            }
            // What else is there already goes into the same write.
            while let Some((seq, chunk)) = batch.take(begun.elapsed()) {
                pending.push(self.document(seq, chunk));
                while !batch.is_full() && pending.len() < CHUNKS_PER_WRITE {
                    let Ok(frame) = frames.try_recv() else { break };
                    batch.add(begun.elapsed(), frame);
                }
                if pending.len() >= CHUNKS_PER_WRITE {
                    break;
                }
            }
            if closed && let Some((seq, chunk)) = batch.take_rest(begun.elapsed()) {
                pending.push(self.document(seq, chunk));
            }
            if !pending.is_empty() {
                self.write(&pending).await;
                pending.clear();
            }
        }
        let (chunks, bytes, digest) = batch.finish();
        Written { chunks, bytes, digest }
    }

    fn document(&self, seq: u64, chunk: Chunk) -> OutputDocument {
        let position = Position {
            attempt: self.claim.attempt,
            incarnation: self.claim.incarnation.clone(),
            seq,
        };
        OutputDocument { id: DocumentId::Output(self.job.clone(), position).to_string(), chunk }
    }

    async fn write(&self, documents: &[OutputDocument]) {
        let mut wait = WRITE_AGAIN;
        loop {
            match self.try_write(documents).await {
                Ok(()) => return,
                Err(reason) => {
                    tracing::warn!(job = %self.job, reason, "cannot write output, trying again");
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(WRITE_AGAIN_MAX);
        }
    }

    async fn try_write(&self, documents: &[OutputDocument]) -> Result<(), String> {
        let rows = self.database.bulk(documents).await.map_err(|error| error.to_string())?;
        for row in rows {
            match row.outcome {
                // A conflict is with an earlier try of ours whose answer was lost.
                BulkOutcome::Stored(_) | BulkOutcome::Accepted(_) | BulkOutcome::Conflict => {}
                BulkOutcome::Refused { error, reason } => {
                    return Err(format!("{} is refused: {error}: {reason}", row.id));
                }
            }
        }
        Ok(())
    }
}
