//! One page of changes on its way: what the target does not have is fetched and stored, in batches.

use super::{Places, apart, patience::Patience, progress::Progress, run::RunError};
use blitz_couchdb::{Change, Database, Error, Fetched, Refused, Revision, Wanted};
use serde_json::value::RawValue;
use std::{collections::BTreeMap, sync::Arc};
use tokio::time::timeout;

/// The first batch, before anything is known of the documents: at 8 MB each just what an answer holds.
const BATCH_FIRST: usize = 8;

/// Brings pages of changes from one database to another.
#[derive(Debug)]
pub(crate) struct Copier {
    source: Database,
    target: Database,
    progress: Arc<Progress>,
    places: Arc<Places>,
    patience: Patience,
    size: BatchSize,
}

impl Copier {
    pub(crate) fn new(
        source: Database,
        target: Database,
        progress: Arc<Progress>,
        places: Arc<Places>,
        patience: Patience,
        batch_max: usize,
    ) -> Copier {
        let bytes = patience.batch_bytes();
        let size = BatchSize { count: BATCH_FIRST.min(batch_max), max: batch_max, bytes };
        Copier { source, target, progress, places, patience, size }
    }

    /// Copies what of these changes the target does not have.
    pub(crate) async fn page(&mut self, changes: &[Change]) -> Result<(), RunError> {
        let mut wanted = self.missing(changes).await?;
        while !wanted.is_empty() {
            let rest = wanted.split_off(self.size.count.min(wanted.len()));
            let count = wanted.len();
            // Held until what was fetched is stored: it bounds the memory of all replications.
            let _place = self.places.batches.acquire().await.map_err(|_| RunError::Stopped)?;
            let source = &self.source;
            match self.patience.with(|| source.fetch(&wanted, false)).await {
                Ok(fetched) => {
                    self.size.learn(fetched.iter().map(bytes).sum(), count);
                    self.store(fetched).await?;
                    wanted = rest;
                }
                // Too large, or too much for the line in the time that there is: the first batch is a guess.
                Err(Error::TooLarge { .. } | Error::Timeout { .. }) if count > 1 => {
                    self.size.count = count / 2;
                    wanted.extend(rest);
                }
                Err(error @ Error::TooLarge { .. }) => {
                    self.failed(&wanted[0].id, &error);
                    wanted = rest;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Asks the target which of the revisions it does not have.
    async fn missing(&self, changes: &[Change]) -> Result<Vec<Wanted>, RunError> {
        let asked: BTreeMap<&str, &[Revision]> =
            changes.iter().map(|change| (&*change.id, &*change.revisions)).collect();
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let target = &self.target;
        let missing = self.patience.with(|| target.revs_diff(&asked)).await?;
        let wanted: Vec<Wanted> = missing
            .into_iter()
            .flat_map(|(id, missing)| {
                let each = move |revision| Wanted { id: id.clone(), revision };
                missing.missing.into_iter().map(each)
            })
            .collect();
        self.progress.count(|counters| {
            counters.missing_checked +=
                count(asked.values().map(|revisions| revisions.len()).sum());
            counters.missing_found += count(wanted.len());
        });
        Ok(wanted)
    }

    async fn store(&self, fetched: Vec<Fetched>) -> Result<(), RunError> {
        let (mut plain, mut with_attachments) = (Vec::new(), Vec::new());
        for one in fetched {
            match one {
                Fetched::Found { id, revision, has_stubs: true, document } => {
                    with_attachments.push((Wanted { id, revision }, document));
                }
                Fetched::Found { document, .. } => plain.push(document),
                Fetched::Refused(refused) => self.not_fetched(refused)?,
            }
        }
        self.progress.count(|counters| counters.docs_read += count(plain.len()));
        self.write(&plain).await?;
        drop(plain);
        // One at a time: this is what is held in memory.
        for (wanted, document) in with_attachments {
            self.store_with_attachments(wanted, &document).await?;
        }
        Ok(())
    }

    async fn store_with_attachments(
        &self,
        wanted: Wanted,
        document: &RawValue,
    ) -> Result<(), RunError> {
        let _place = self.places.carried.acquire().await.map_err(|_| RunError::Stopped)?;
        let (source, wanted) = (&self.source, [wanted]);
        let fetched = match self.patience.with(|| source.fetch(&wanted, true)).await {
            Ok(fetched) => fetched,
            Err(Error::TooLarge { .. }) => return self.store_apart(&wanted[0], document).await,
            Err(error) => return Err(error.into()),
        };
        for one in fetched {
            match one {
                Fetched::Found { document, .. } => {
                    self.progress.count(|counters| counters.docs_read += 1);
                    self.write(&[document]).await?;
                }
                Fetched::Refused(refused) => self.not_fetched(refused)?,
            }
        }
        Ok(())
    }

    async fn store_apart(&self, wanted: &Wanted, document: &RawValue) -> Result<(), RunError> {
        self.progress.count(|counters| counters.docs_read += 1);
        match apart::carry(&self.source, &self.target, self.patience, wanted, document).await {
            Ok(()) => self.progress.count(|counters| counters.docs_written += 1),
            // The target does not take it; the others go on.
            Err(RunError::Peer(error)) if refuses_content(&error) => {
                self.failed(&wanted.id, &error);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// What the source does not give. A revision that is gone has been followed by another, which
    /// comes with a later change.
    fn not_fetched(&self, refused: Refused) -> Result<(), RunError> {
        match refused.error.as_str() {
            "not_found" => Ok(()),
            "forbidden" | "unauthorized" => {
                self.failed(&refused.id, &refused.reason);
                Ok(())
            }
            _ => Err(RunError::NotFetched(refused)),
        }
    }

    /// Stores documents. When one of them makes the target refuse all, they are halved until it stands
    /// alone.
    async fn write(&self, documents: &[Box<RawValue>]) -> Result<(), RunError> {
        let mut parts = vec![documents];
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            match self.patience.with(|| self.merge(part)).await {
                Ok(refused) => {
                    for one in &refused {
                        self.failed(&one.id, &format_args!("{}: {}", one.error, one.reason));
                    }
                    let written = count(part.len()).saturating_sub(count(refused.len()));
                    self.progress.count(|counters| counters.docs_written += written);
                }
                Err(error) if refuses_content(&error) && part.len() == 1 => {
                    self.failed("of the batch", &error);
                }
                Err(error) if refuses_content(&error) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Stores documents in one request, which may take as long as so many bytes need.
    async fn merge(&self, documents: &[Box<RawValue>]) -> Result<Vec<Refused>, Error> {
        let after = self.patience.writing(documents.iter().map(|one| one.get().len()).sum());
        timeout(after, self.target.merge(documents)).await.unwrap_or_else(|_| {
            let (target, shown) = (self.target.name(), self.target.client().address());
            Err(Error::Timeout { request: format!("POST {shown}/{target}/_bulk_docs"), after })
        })
    }

    fn failed(&self, id: &str, reason: &dyn std::fmt::Display) {
        tracing::warn!(document = id, %reason, target = self.target.name(), "not replicated");
        self.progress.count(|counters| counters.doc_write_failures += 1);
    }
}

/// Whether it is something in the documents that the target does not take.
fn refuses_content(error: &Error) -> bool {
    matches!(error, Error::Status { code: 400 | 412 | 413 | 501, .. } | Error::Encode { .. })
}

fn bytes(fetched: &Fetched) -> usize {
    match fetched {
        Fetched::Found { document, .. } => document.get().len(),
        Fetched::Refused(_) => 0,
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// How many documents are fetched at once.
#[derive(Debug)]
struct BatchSize {
    count: usize,
    max: usize,
    /// How many bytes it should have.
    bytes: usize,
}

impl BatchSize {
    /// Sizes the next batch by one of `count` documents with so many bytes. It grows slowly, since
    /// the next documents may be larger, and shrinks at once.
    fn learn(&mut self, bytes: usize, count: usize) {
        let each = (bytes / count.max(1)).max(1);
        let fitting = self.bytes / each;
        self.count = fitting.min(self.count.saturating_mul(4)).clamp(1, self.max.max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_sized_by_bytes_and_count() {
        let mut size = BatchSize { count: BATCH_FIRST, max: 500, bytes: 2 << 20 };
        let mut sizes = Vec::new();
        for (bytes, count) in
            [(800, 8), (3_200, 32), (12_800, 128), (4 << 20, 500), (16 << 20, 4), (100, 1), (0, 0)]
        {
            size.learn(bytes, count);
            sizes.push(size.count);
        }
        assert_eq!(sizes, [32, 128, 500, 250, 1, 4, 16]);
    }
}
