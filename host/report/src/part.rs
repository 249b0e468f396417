//! One part of a test: what one job on one engine did, and how that ended.

use std::collections::BTreeSet;

use blitz_contract::load::{Closing, ErrorKind, First, Opening, Share, Tick, Verdict};
use serde::{Deserialize, Serialize};

use crate::pile::Keep;
use crate::sum::{Gauges, Sum};

/// Who does a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// How it is named for people: the region, or region and engine.
    pub label: String,
    /// Where it runs.
    pub region: String,
}

/// How the job of a part ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartEnd {
    /// The plugin came to its end.
    Done {
        /// With this status.
        status: u8,
    },
    /// Somebody stopped it.
    Cancelled,
    /// Its engine did not come back, or the job failed.
    Lost {
        /// In words.
        reason: String,
    },
    /// It was not begun.
    Refused {
        /// In words.
        reason: String,
    },
}

/// A part, with what it has told.
#[derive(Debug)]
pub(crate) struct OpenPart {
    pub(crate) part: Part,
    /// Of its region, among all.
    pub(crate) region: usize,
    pub(crate) opening: Option<Brief>,
    pub(crate) closing: Option<Closing>,
    pub(crate) end: Option<PartEnd>,
    /// The last second that it told of.
    pub(crate) told: Option<u32>,
    /// Without the warm-up.
    pub(crate) sum: Sum,
    /// Greatest of any tick.
    pub(crate) peaks: Gauges,
    pub(crate) firsts: Vec<First>,
    /// Seconds that count in which a worker had hardly any CPU time left.
    pub(crate) busy: BTreeSet<u32>,
    /// What did not count.
    pub(crate) malformed: u64,
}

/// What is kept of an [`Opening`]: the plan is the same for all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Brief {
    pub(crate) share: Share,
    pub(crate) workers: u32,
    pub(crate) started_at_ms: u64,
    pub(crate) missing: u32,
}

impl From<&Opening> for Brief {
    fn from(opening: &Opening) -> Self {
        Self {
            share: opening.share,
            workers: opening.workers,
            started_at_ms: opening.started_at_ms,
            missing: opening.missing,
        }
    }
}

impl OpenPart {
    pub(crate) fn new(part: Part, region: usize) -> Self {
        Self {
            part,
            region,
            opening: None,
            closing: None,
            end: None,
            told: None,
            sum: Sum::default(),
            peaks: Gauges::default(),
            firsts: Vec::new(),
            busy: BTreeSet::new(),
            malformed: 0,
        }
    }

    /// Whether more is to come.
    pub(crate) fn is_living(&self) -> bool {
        self.end.is_none() && self.closing.is_none()
    }

    /// When it had nothing more to send, in seconds since its start, if it said so.
    pub(crate) fn end_s(&self) -> Option<f64> {
        // No later than the second behind the last one of which it told: foreign numbers may be any.
        let told = f64::from(self.told?) + 1.0;
        Some((self.closing.as_ref()?.at_us? as f64 / 1e6).min(told))
    }

    /// Whether it did all of its share.
    pub(crate) fn is_whole(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| closing.verdict == Verdict::Ended)
    }

    pub(crate) fn add(&mut self, tick: &Tick, busy_us: u64) {
        self.told = self.told.max(Some(tick.second));
        for first in &tick.firsts {
            keep_first(&mut self.firsts, short(first));
        }
        if tick.closing.is_some() {
            self.closing.clone_from(&tick.closing);
        }
        if tick.is_warm_up {
            return;
        }
        self.sum.add(tick, Keep::Sparse);
        self.peaks.users = self.peaks.users.max(tick.users.into());
        self.peaks.connections = self.peaks.connections.max(tick.connections.into());
        self.peaks.backlog = self.peaks.backlog.max(tick.backlog);
        if tick.cpu_us > busy_us && !is_refused(tick) {
            self.busy.insert(tick.second);
        }
    }
}

/// Whether most requests of a tick found no connection: to ask for one again and again takes CPU time and is no limit.
fn is_refused(tick: &Tick) -> bool {
    let (mut refused, mut answered) = (0u64, 0u64);
    for step in &tick.steps {
        for kind in [ErrorKind::Connect, ErrorKind::Tls] {
            refused = refused.saturating_add(step.errors.get(&kind).copied().unwrap_or(0));
        }
        for count in step.classes.iter().flat_map(|class| class.statuses.values()) {
            answered = answered.saturating_add(*count);
        }
    }
    refused > answered
}

/// Letters of a text from outside that are kept.
const TEXT_MAX: usize = 300;

/// One of each kind: the earliest.
pub(crate) fn keep_first(firsts: &mut Vec<First>, first: First) {
    match firsts.iter_mut().find(|own| own.kind == first.kind) {
        Some(own) if own.at_ms <= first.at_ms => {}
        Some(own) => *own = first,
        None => firsts.push(first),
    }
}

fn short(first: &First) -> First {
    First { text: first.text.chars().take(TEXT_MAX).collect(), ..first.clone() }
}
