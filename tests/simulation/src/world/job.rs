//! One job as the world sees it, who cannot be deceived.

use std::sync::Arc;
use std::time::Duration;

use blitz_contract::Retry;
use blitz_jobs::run::Silent;
use blitz_jobs::{JobId, Run, Spec};

use super::event::{Base, Peer};
use super::site::JOBS;
use super::verdict::Death;
use crate::couchdb::Rev;

#[derive(Debug)]
pub(super) struct Job {
    pub(super) spec: Arc<Spec>,
    pub(super) region: usize,
    /// The database that it is in.
    pub(super) base: Base,
    /// How long it runs.
    pub(super) duration: Duration,
    pub(super) chunks: u64,
    /// It kills its engine.
    pub(super) poison: bool,
    /// The store has said that it has the spec.
    pub(super) accepted: bool,
    pub(super) submitted: Option<Duration>,
    /// Its database was replaced with it inside: what came of it is nobody's fault.
    pub(super) void: bool,
    /// Two sides of a cluster may have decided about it apart, or a stale copy has.
    pub(super) split: bool,
    /// Two clusters of its region decided about it, and one of them did not have what the other had stored by then.
    pub(super) apart: bool,
    /// Where the last step of it was taken; whether steps were taken in several clusters.
    pub(super) step_at: Option<usize>,
    pub(super) moved: bool,
    /// Where its spec was acknowledged, and when.
    pub(super) stored_at: Vec<(usize, Duration)>,
    /// Since when its spec is at a site.
    pub(super) spec_at: Vec<(usize, Duration)>,
    /// The end that a reader at the home of the current epoch heard of first.
    pub(super) sealed: Option<Run>,
    /// How often somebody began to run it.
    pub(super) starts: u32,
    /// Who runs it now.
    pub(super) active: Vec<Active>,
    /// Until when running at the same time is counted.
    pub(super) counted: Duration,
    /// The death of the engine that ran it, until it is rescued.
    pub(super) death: Option<Death>,
    /// How many silent attempts the claim named under which it began last.
    pub(super) silent: usize,
    /// When it was first written that it is poison because of these attempts.
    pub(super) poisoned: Vec<(Vec<Silent>, Duration)>,
    /// Engines that it killed.
    pub(super) kills: usize,
    /// Who came to its end last, under a lease that was good, and when.
    pub(super) finished: Option<(Peer, u32, Duration)>,
    /// Its leaves when they were looked at last, and since when they are the same and nobody runs it.
    pub(super) leaves: Vec<Rev>,
    pub(super) idle: Duration,
    /// That was found already.
    pub(super) is_abandoned: bool,
    /// It has come to rest.
    pub(super) settled: bool,
}

/// One engine that runs a job now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Active {
    pub(super) peer: Peer,
    /// It was paused meanwhile: it may go on until it has looked at its lease.
    pub(super) was_paused: bool,
    /// The core has told it to stop.
    pub(super) stops: bool,
    /// It has heard that the job is another's, or has ended.
    pub(super) fenced: Option<Duration>,
}

impl Job {
    pub(super) fn new(
        spec: Arc<Spec>,
        region: usize,
        duration: Duration,
        chunks: u64,
        poison: bool,
    ) -> Self {
        Self {
            spec,
            region,
            base: JOBS,
            duration,
            chunks,
            poison,
            accepted: false,
            submitted: None,
            void: false,
            split: false,
            apart: false,
            step_at: None,
            moved: false,
            stored_at: Vec::new(),
            spec_at: Vec::new(),
            sealed: None,
            starts: 0,
            active: Vec::new(),
            counted: Duration::ZERO,
            death: None,
            silent: 0,
            poisoned: Vec::new(),
            kills: 0,
            finished: None,
            leaves: Vec::new(),
            idle: Duration::ZERO,
            is_abandoned: false,
            settled: false,
        }
    }

    pub(super) fn id(&self) -> &JobId {
        &self.spec.job
    }

    /// Whether copies or clusters decided about it without each other.
    pub(super) fn is_divided(&self) -> bool {
        self.split || self.apart
    }

    /// Whether not all who had to do with it were in one and the same cluster, with copies that agreed.
    pub(super) fn is_spread(&self) -> bool {
        self.is_divided() || self.moved
    }

    pub(super) fn is_never(&self) -> bool {
        self.spec.retry == Retry::Never
    }
}
