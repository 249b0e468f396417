//! What is counted: on the way of a request a few additions, once a second a tick.
//!
//! A histogram is made when its first value comes, and given back when a second brings it none: steps and classes that nothing
//! happens in cost nothing.

mod count;
mod split;
#[cfg(test)]
mod tests;

pub(crate) use split::split;

use blitz_contract::load::{ErrorKind, First, Plan, StepTick, Tick};

use count::{Histogram, StepCount};

/// What one worker counts.
#[derive(Debug)]
pub(crate) struct Recorder {
    steps: Box<[StepCount]>,
    is_open: bool,
    asked: u64,
    sent: u64,
    lag: Histogram,
    connect: Histogram,
    secure: Histogram,
    /// Kinds of failure of which the first was told.
    told: [bool; KINDS.len()],
    firsts: Vec<First>,
}

/// What is read off at the end of a second.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Gauges {
    /// Active users, or transactions that are not ended.
    pub(crate) users: u32,
    pub(crate) connections: u32,
    /// Requests that are due and not sent.
    pub(crate) backlog: u64,
    pub(crate) cpu_us: u64,
    pub(crate) starved_us: u64,
}

/// All of them: the place is the index into counters.
pub(crate) const KINDS: [ErrorKind; 8] = [
    ErrorKind::Connect,
    ErrorKind::Tls,
    ErrorKind::Timeout,
    ErrorKind::Closed,
    ErrorKind::Parse,
    ErrorKind::Limit,
    ErrorKind::Assert,
    ErrorKind::Extract,
];

/// Characters of the words about a first failure: what a server says may be in them.
const TEXT_CHARS_MAX: usize = 300;

impl Recorder {
    /// For a plan.
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            steps: plan.steps.iter().map(|_| StepCount::default()).collect(),
            is_open: matches!(plan.shape, blitz_contract::load::Shape::Rate { .. }),
            asked: 0,
            sent: 0,
            lag: Histogram::default(),
            connect: Histogram::default(),
            secure: Histogram::default(),
            told: [false; KINDS.len()],
            firsts: Vec::new(),
        }
    }

    /// So many requests became due. Of a closed model those that are sent are what was asked.
    pub(crate) fn asked(&mut self, requests: u64) {
        self.asked = self.asked.saturating_add(requests);
    }

    /// A request was sent, or its first bytes were.
    pub(crate) fn sent(&mut self, step: usize, bytes: u64) {
        self.sent += 1;
        self.sent_more(step, bytes);
    }

    /// A request that is counted already was sent once more.
    pub(crate) fn repeated(&mut self, step: usize) {
        if let Some(step) = self.steps.get_mut(step) {
            step.repeated += 1;
        }
    }

    /// Bytes of a request that is counted already.
    pub(crate) fn sent_more(&mut self, step: usize, bytes: u64) {
        if let Some(step) = self.steps.get_mut(step) {
            step.sent_bytes += bytes;
        }
    }

    /// Bytes came.
    pub(crate) fn received(&mut self, step: usize, bytes: u64) {
        if let Some(step) = self.steps.get_mut(step) {
            step.received_bytes += bytes;
        }
    }

    /// An answer is whole. `response_ns` is since it was due, in an open model.
    pub(crate) fn answered(
        &mut self,
        step: usize,
        status: u16,
        service_ns: u64,
        response_ns: Option<u64>,
    ) {
        if let Some(step) = self.steps.get_mut(step) {
            step.answered(status, service_ns, response_ns);
        }
    }

    /// A request ended without a good answer. The words are asked for only of the first of its kind.
    pub(crate) fn failed(
        &mut self,
        step: usize,
        kind: ErrorKind,
        at_ns: u64,
        users: u32,
        text: impl FnOnce() -> String,
    ) {
        let Some(place) = KINDS.iter().position(|known| *known == kind) else { return };
        if let Some(step) = self.steps.get_mut(step) {
            step.errors[place] += 1;
        }
        if !self.told[place] {
            self.told[place] = true;
            let text = text().chars().take(TEXT_CHARS_MAX).collect();
            self.firsts.push(First { kind, at_ms: at_ns / 1_000_000, users, text });
        }
    }

    /// The generator's own lag, of one request.
    pub(crate) fn lag(&mut self, ns: u64) {
        self.lag.record(ns);
    }

    /// A connection stands: TCP took so long.
    pub(crate) fn connected(&mut self, ns: u64) {
        self.connect.record(ns);
    }

    /// A TLS handshake is done.
    pub(crate) fn secured(&mut self, ns: u64) {
        self.secure.record(ns);
    }

    /// What was counted since the last tick; begins anew.
    pub(crate) fn tick(&mut self, second: u32, is_warm_up: bool, now: Gauges) -> Tick {
        let sent = std::mem::take(&mut self.sent);
        let asked = std::mem::take(&mut self.asked);
        Tick {
            second,
            users: now.users,
            connections: now.connections,
            asked: if self.is_open { asked } else { sent },
            sent,
            backlog: now.backlog,
            steps: (0..)
                .zip(&mut self.steps)
                .filter_map(|(number, step)| step.take(number))
                .collect::<Vec<StepTick>>(),
            lag_us: self.lag.take(),
            connect_us: self.connect.take(),
            tls_us: self.secure.take(),
            cpu_us: now.cpu_us,
            starved_us: now.starved_us,
            is_warm_up,
            firsts: std::mem::take(&mut self.firsts),
            closing: None,
        }
    }
}
