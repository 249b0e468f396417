//! Replication by the server itself: what `_replicate` and the documents of `_replicator` ask for.
//!
//! Both ends of a replication are spoken to in CouchDB's protocol, by the same client. An end that is a
//! database of this server is reached through pipes in memory, served by the same code as sockets, so
//! that rights, validation and limits hold there too.
//!
//! Read in this order: [`task`] (what is asked for, parsed once), [`endpoint`] (one end), [`run`] (one
//! run from checkpoint to checkpoint), [`seen`] (when one is at its end), [`copy`] (one page of changes on its way; [`apart`] for large attachments), [`checkpoint`] (what
//! is remembered between runs), [`jobs`] (what runs, waits and is kept back), [`manager`] (the loop
//! that starts and ends runs), [`documents`] and [`door`] (`_replicator`), [`show`] (`_scheduler`).

mod apart;
mod checkpoint;
mod clock;
mod copy;
pub(crate) mod documents;
pub(crate) mod door;
mod endpoint;
pub(crate) mod jobs;
pub(crate) mod manager;
mod patience;
mod progress;
pub(crate) mod run;
mod seen;
pub(crate) mod show;
pub(crate) mod task;

use jobs::Jobs;
use std::sync::Arc;
use tokio::sync::{Notify, Semaphore};

/// How many batches of documents all replications together may hold in memory at once. One is about
/// 2 MiB; the first of a run, of which nothing is known yet, at most an answer of 64 MiB and the body
/// made of it.
const BATCHES_MAX: usize = 8;

/// How many documents with attachments all replications together may hold in memory at once: each is at
/// most an answer of 96 MiB and the body made of it.
const CARRIED_MAX: usize = 2;

/// What the replications of a server share.
#[derive(Debug)]
pub(crate) struct Replicator {
    pub(crate) jobs: Jobs,
    /// Wakes the manager when a job was added or taken away.
    wake: Notify,
    places: Arc<Places>,
}

/// Places in memory, which all replications share.
#[derive(Debug)]
pub(crate) struct Places {
    batches: Semaphore,
    carried: Semaphore,
}

impl Replicator {
    pub(crate) fn new() -> Replicator {
        Replicator {
            jobs: Jobs::default(),
            wake: Notify::new(),
            places: Arc::new(Places {
                batches: Semaphore::new(BATCHES_MAX),
                carried: Semaphore::new(CARRIED_MAX),
            }),
        }
    }

    /// Has the manager look at the jobs again.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }
}
