//! Changes of runs that have several leaves: all of them are read, some runs at a time, until the store answers.

use std::collections::HashMap;

use blitz_couchdb::{Change, Database, Error};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{AGAIN, Heard, thing};
use crate::claim::{self, CLAIM_TIMEOUT};
use crate::id::{DocumentId, JobId};
use crate::writing::Leaves;

/// Runs whose leaves are read at once. The feed waits when so many are: conflicts are rare, and a store that cannot
/// answer so many readings is not helped by more.
pub(super) const READING_MAX: usize = 32;

/// The runs of one database whose leaves are being read.
pub(super) struct Reading {
    database: Database,
    copies: u32,
    tasks: JoinSet<(JobId, Leaves)>,
    /// Whether it changed again since it was asked for: then what comes may be older than that.
    changed: HashMap<JobId, bool>,
}

impl Reading {
    pub(super) fn new(database: &Database, copies: u32) -> Self {
        let database = database.clone();
        Self { database, copies, tasks: JoinSet::new(), changed: HashMap::new() }
    }

    /// What a change means, when it can be said at once. Else it comes from [`Self::next`].
    pub(super) fn hear(&mut self, change: &Change) -> Option<Heard> {
        if let Ok(DocumentId::Run(job)) = change.id.parse() {
            // What is said at once must not be overtaken by what is being read.
            if let Some(changed) = self.changed.get_mut(&job) {
                *changed = true;
                return None;
            }
            if change.revisions.len() > 1 {
                self.read(job);
                return None;
            }
        }
        thing(change)
    }

    /// Waits for the leaves of a run; `None` when none are being read.
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Vec<Heard>> {
        loop {
            let Ok((job, leaves)) = self.tasks.join_next().await? else { continue };
            if self.changed.remove(&job) == Some(true) {
                self.read(job);
                continue;
            }
            return Some(Heard::of_leaves(job, &leaves));
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.changed.len() >= READING_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changed.is_empty()
    }

    fn read(&mut self, job: JobId) {
        self.changed.insert(job.clone(), false);
        let (database, copies) = (self.database.clone(), self.copies);
        self.tasks.spawn(async move {
            loop {
                let until = Instant::now() + CLAIM_TIMEOUT;
                match claim::leaves_told(&database, copies, &job, until).await {
                    Ok(leaves) => return (job, leaves),
                    // The feed ends of itself, and this with it.
                    Err(error @ Error::NotFound { .. }) => tracing::debug!(%job, %error, "not read"),
                    Err(error) => {
                        tracing::warn!(%job, %error, "cannot read the leaves of a run, trying again");
                    }
                }
                sleep(AGAIN).await;
            }
        });
    }
}
