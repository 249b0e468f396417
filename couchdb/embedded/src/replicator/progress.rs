//! How far a run has come: counters that people read while it goes on.

use blitz_couchdb::Sequence;
use serde_json::{Value, json};
use std::sync::{Mutex, PoisonError};

/// What one run has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Revisions that the target was asked about.
    pub(crate) missing_checked: u64,
    /// Those of them that it did not have.
    pub(crate) missing_found: u64,
    /// Documents that were fetched.
    pub(crate) docs_read: u64,
    /// Documents that the target took.
    pub(crate) docs_written: u64,
    /// Documents that it did not take, or that could not be fetched.
    pub(crate) doc_write_failures: u64,
}

/// Where a run is.
#[derive(Debug, Default)]
pub(crate) struct Progress(Mutex<State>);

/// What [`Progress`] tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) counters: Counters,
    /// The newest place of the source when the run began.
    pub(crate) source: Option<Sequence>,
    /// Everything up to here was copied.
    pub(crate) through: Option<Sequence>,
    /// What was written down of it.
    pub(crate) checkpointed: Option<Sequence>,
    /// How many changes wait, where the source says so.
    pub(crate) pending: Option<u64>,
}

impl Progress {
    pub(crate) fn read(&self) -> State {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn count(&self, count: impl FnOnce(&mut Counters)) {
        self.change(|state| count(&mut state.counters));
    }
}

impl State {
    /// The `info` of a job and the `_replication_stats` of a document.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "revisions_checked": self.counters.missing_checked,
            "missing_revisions_found": self.counters.missing_found,
            "docs_read": self.counters.docs_read,
            "docs_written": self.counters.docs_written,
            "doc_write_failures": self.counters.doc_write_failures,
            "changes_pending": self.pending,
            "source_seq": self.source,
            "through_seq": self.through,
            "checkpointed_source_seq": self.checkpointed,
        })
    }
}
