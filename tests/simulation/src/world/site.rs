//! A site: what one cluster has of a region. A region has one, or a home and hubs.

use std::time::Duration;

use super::document::{Body, Id};
use super::event::{Base, Peer};
use super::plan::StoreFault;
use crate::couchdb::{Cluster, NodeState, Seq};

pub(super) const JOBS: Base = 0;
pub(super) const BEATS: Base = 1;
pub(super) const OUTPUT: Base = 2;
/// The second database of jobs, and that of their output: they take new jobs once the region has rotated.
pub(super) const JOBS_NEXT: Base = 3;
pub(super) const OUTPUT_NEXT: Base = 4;

/// How many databases a region has at each of its sites.
pub(super) const BASES: usize = 5;

/// Those that engines follow.
pub(super) const FOLLOWED: [Base; 2] = [JOBS, JOBS_NEXT];

/// Where the output of the jobs of a database is.
pub(super) fn output_of(base: Base) -> Base {
    if base == JOBS { OUTPUT } else { OUTPUT_NEXT }
}

/// The databases of a region on one cluster.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) region: usize,
    pub(super) copies: usize,
    pub(super) bases: [Cluster<Id, Body>; BASES],
    /// The databases that were dropped here.
    pub(super) dropped: [bool; BASES],
    /// When it learned of each edition of its region's document.
    pub(super) heard: Vec<Option<Duration>>,
    /// It lost everything, and its databases are not made anew yet.
    pub(super) absent: bool,
    /// It never comes back.
    pub(super) gone: bool,
    /// When it lost everything last.
    pub(super) wiped: Option<Duration>,
    /// Where the feeds of each node stood when the peers were last told.
    pub(super) noted: [Vec<Option<Seq>>; BASES],
    /// The replications that go from here.
    pub(super) flows: Vec<usize>,
    /// Those whose feeds and requests go here.
    pub(super) peers: Vec<Peer>,
    pub(super) plan: Vec<StoreFault>,
    /// One of its nodes is in trouble, so no other gets into it.
    pub(super) troubled: bool,
    /// Its nodes are on two sides.
    pub(super) parted: bool,
    /// When its jobs database was replaced last.
    pub(super) recreated: Option<Duration>,
    /// Until when copies may differ from one another.
    pub(super) stale_until: Duration,
    /// The last time of trouble in its store, with what it takes to recover.
    pub(super) unwell_until: Duration,
}

impl Site {
    pub(super) fn new(region: usize, copies: usize) -> Self {
        Self {
            region,
            copies,
            bases: [(); BASES].map(|()| Cluster::new(copies, copies)),
            dropped: [false; BASES],
            heard: vec![Some(Duration::ZERO)],
            absent: false,
            gone: false,
            wiped: None,
            flows: Vec::new(),
            noted: [(); BASES].map(|()| vec![None; copies]),
            peers: Vec::new(),
            plan: Vec::new(),
            troubled: false,
            parted: false,
            recreated: None,
            stale_until: Duration::ZERO,
            unwell_until: Duration::ZERO,
        }
    }

    pub(super) fn majority(&self) -> usize {
        self.copies / 2 + 1
    }

    /// Whether two engines may each have a right to a job now: copies that decide alone.
    pub(super) fn is_split(&self, now: Duration) -> bool {
        self.parted || now < self.stale_until
    }

    pub(super) fn state(&self, node: usize) -> NodeState {
        self.bases[JOBS].state(node)
    }

    /// Whether somebody who reaches it would be answered.
    pub(super) fn answers(&self) -> bool {
        !self.absent && (0..self.copies).any(|node| self.state(node) == NodeState::Up)
    }

    /// The newest edition of its region's document that it has.
    pub(super) fn edition(&self) -> usize {
        self.heard.iter().rposition(Option::is_some).unwrap_or(0)
    }
}
