//! From a running plugin's frames to output documents: gathered, written in batches, never dropped while the
//! store may take them.
//!
//! While a batch is being written, frames wait in the bounded channel and then the plugin itself waits:
//! back-pressure reaches the plugin and memory stays bounded.

use std::time::Duration;

use blitz_contract::Frame;
use blitz_couchdb::{BulkOutcome, Database, Error};
use blitz_jobs::id::{DocumentId, Position};
use blitz_jobs::output::{Batch, CHUNK_BYTES, Chunk};
use blitz_jobs::{Claim, JobId};
use serde::Serialize;
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;

use crate::gate::Gate;

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
    pub(crate) gate: Gate,
}

/// Counts, bytes and digest of the whole output.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) chunks: u64,
    pub(crate) bytes: u64,
    pub(crate) digest: String,
    /// Why the store does not take the output, now or ever. The plugin was stopped by the closed channel.
    pub(crate) refused: Option<String>,
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
    /// Returns when everything is stored or the store refuses it for good. While the store does not answer, or the
    /// job may be another's, it waits: the caller stops waiting when it is.
    pub(crate) async fn run(self, mut frames: Receiver<Frame>) -> Written {
        let begun = Instant::now();
        let mut batch = Batch::new(self.batch);
        let mut closed = false;
        let mut written = 0;
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
                if let Err(reason) = self.write(&pending).await {
                    return Written {
                        chunks: written,
                        bytes: 0,
                        digest: String::new(),
                        refused: Some(reason),
                    };
                }
                written += pending.len() as u64;
                pending.clear();
            }
        }
        let (chunks, bytes, digest) = batch.finish();
        Written { chunks, bytes, digest, refused: None }
    }

    fn document(&self, seq: u64, chunk: Chunk) -> OutputDocument {
        let position = Position {
            attempt: self.claim.attempt,
            incarnation: self.claim.incarnation.clone(),
            seq,
        };
        OutputDocument { id: DocumentId::Output(self.job.clone(), position).to_string(), chunk }
    }

    /// Writes until the store has the documents; the reason when it will never take them.
    async fn write(&self, documents: &[OutputDocument]) -> Result<(), String> {
        let mut wait = WRITE_AGAIN;
        loop {
            // Before each try: between two of them the machine may have slept.
            if !self.gate.may_write(&self.job).await {
                tokio::time::sleep(wait).await;
                continue;
            }
            match self.database.bulk(documents).await {
                Ok(rows) => {
                    // A conflict is with an earlier try of ours whose answer was lost.
                    let refused = rows.into_iter().find_map(|row| match row.outcome {
                        BulkOutcome::Refused { error, reason } => {
                            Some(format!("{error}: {reason}"))
                        }
                        _ => None,
                    });
                    return refused.map_or(Ok(()), Err);
                }
                Err(error @ (Error::NotFound { .. } | Error::Forbidden { .. })) => {
                    return Err(error.to_string());
                }
                Err(error) => {
                    tracing::warn!(job = %self.job, %error, "cannot write output, trying again");
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(WRITE_AGAIN_MAX);
        }
    }
}
