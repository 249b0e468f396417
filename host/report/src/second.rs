//! One second of all parts together: while it is added to, and as a row to be shown.

use blitz_contract::load::{Plan, Tick};
use serde::{Deserialize, Serialize};

use crate::latency::Latency;
use crate::pile::Keep;
use crate::report::StepTally;
use crate::sum::{Gauges, Sum};
use crate::tally::Tally;

/// One second of the whole test: a row of every table.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Second {
    /// Since the start: 0 is the first one.
    pub second: u32,
    /// It is of the warm-up, and counts nowhere else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_warm_up: bool,
    /// Parts that told of it.
    pub parts: u32,
    /// Users at its end, or transactions that were not ended.
    pub users: u64,
    /// Connections that were open at its end.
    pub connections: u64,
    /// Requests that were due.
    pub asked: u64,
    /// Requests that were sent.
    pub sent: u64,
    /// Requests that were due and not sent, at its end.
    pub backlog: u64,
    /// What came back. The histograms of what is longer than an hour ago are of two digits; all figures outside of the
    /// seconds are of three.
    pub tally: Tally,
    /// By step, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepTally>,
    /// The generator's own lag.
    #[serde(default, skip_serializing_if = "Latency::is_empty")]
    pub lag: Latency,
    /// To connect by TCP.
    #[serde(default, skip_serializing_if = "Latency::is_empty")]
    pub connect: Latency,
    /// Handshakes of TLS.
    #[serde(default, skip_serializing_if = "Latency::is_empty")]
    pub tls: Latency,
    /// CPU time of the busiest worker of all, in microseconds.
    pub cpu_us: u64,
    /// Time that the worker with most of it wanted to run and did not, in microseconds.
    pub starved_us: u64,
}

/// A second that is still being added to.
#[derive(Debug, Default)]
pub(crate) struct OpenSecond {
    counted: Sum,
    /// Ticks of the warm-up: the second in which it ends may have both.
    warm_up: Option<Box<Sum>>,
    is_counted: bool,
    /// By region.
    gauges: Vec<Gauges>,
    parts: std::collections::BTreeSet<usize>,
    /// Ticks that came when others were seconds further.
    late: usize,
}

impl OpenSecond {
    /// How many ticks were late is what it gives.
    pub(crate) fn add(&mut self, part: usize, region: usize, tick: &Tick, keep: Keep) -> usize {
        self.late += usize::from(keep == Keep::Sparse);
        self.parts.insert(part);
        if self.gauges.len() <= region {
            self.gauges.resize(region + 1, Gauges::default());
        }
        self.gauges[region].add(tick);
        if tick.is_warm_up {
            self.warm_up.get_or_insert_default().add(tick, keep);
        } else {
            self.is_counted = true;
            self.counted.add(tick, keep);
        }
        self.late
    }

    pub(crate) fn is_counted(&self) -> bool {
        self.is_counted
    }

    pub(crate) fn gauges(&self, region: usize) -> Gauges {
        self.gauges.get(region).copied().unwrap_or_default()
    }

    pub(crate) fn all_gauges(&self) -> Gauges {
        self.gauges.iter().fold(Gauges::default(), |sum, one| sum.plus(*one))
    }

    #[cfg(test)]
    pub(crate) fn is_dense(&self) -> bool {
        self.counted.lag.is_dense()
    }

    pub(crate) fn settle(&mut self) {
        self.counted.settle();
        self.warm_up.iter_mut().for_each(|sum| sum.settle());
    }

    pub(crate) fn coarsen(&mut self) {
        self.counted.coarsen();
        self.warm_up.iter_mut().for_each(|sum| sum.coarsen());
    }

    /// As it is by now.
    pub(crate) fn second(&self, second: u32, plan: Option<&Plan>) -> Second {
        let shown = match &self.warm_up {
            Some(warm_up) if !self.is_counted => warm_up,
            _ => &self.counted,
        };
        let steps = shown.steps(plan);
        let gauges = self.all_gauges();
        Second {
            second,
            is_warm_up: !self.is_counted && self.warm_up.is_some(),
            parts: u32::try_from(self.parts.len()).unwrap_or(u32::MAX),
            users: gauges.users,
            connections: gauges.connections,
            asked: shown.asked,
            sent: shown.sent,
            backlog: gauges.backlog,
            tally: Tally::sum(&steps.iter().map(|step| &step.tally).collect::<Vec<_>>()),
            steps: if plan.is_some_and(|plan| plan.steps.len() == 1) { Vec::new() } else { steps },
            lag: shown.lag.sum().into(),
            connect: shown.connect.sum().into(),
            tls: shown.tls.sum().into(),
            cpu_us: shown.cpu_us,
            starved_us: shown.starved_us,
        }
    }
}
