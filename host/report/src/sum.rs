//! Ticks added up while they come: of all parts in one second, or of one part in all seconds.

use std::collections::BTreeMap;

use blitz_contract::load::{Plan, Tick};

use crate::latency::Latency;
use crate::pile::{Keep, Pile};
use crate::report::{Figures, Peaks, StepTally};
use crate::tally::{OpenTally, Tally};

/// What adds up of ticks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sum {
    pub(crate) asked: u64,
    pub(crate) sent: u64,
    pub(crate) lag: Pile,
    pub(crate) connect: Pile,
    pub(crate) tls: Pile,
    /// Greatest of any tick.
    pub(crate) cpu_us: u64,
    pub(crate) starved_us: u64,
    steps: BTreeMap<u32, OpenTally>,
}

/// How many at the end of a second.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Gauges {
    pub(crate) users: u64,
    pub(crate) connections: u64,
    pub(crate) backlog: u64,
}

impl Gauges {
    pub(crate) fn add(&mut self, tick: &Tick) {
        self.users += u64::from(tick.users);
        self.connections += u64::from(tick.connections);
        self.backlog = self.backlog.saturating_add(tick.backlog);
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            users: self.users + other.users,
            connections: self.connections + other.connections,
            backlog: self.backlog.saturating_add(other.backlog),
        }
    }
}

impl Sum {
    pub(crate) fn add(&mut self, tick: &Tick, keep: Keep) {
        self.asked = self.asked.saturating_add(tick.asked);
        self.sent = self.sent.saturating_add(tick.sent);
        self.lag.add(&tick.lag_us, keep);
        self.connect.add(&tick.connect_us, keep);
        self.tls.add(&tick.tls_us, keep);
        self.cpu_us = self.cpu_us.max(tick.cpu_us);
        self.starved_us = self.starved_us.max(tick.starved_us);
        for step in &tick.steps {
            self.steps.entry(step.step).or_default().add(step, keep);
        }
    }

    pub(crate) fn settle(&mut self) {
        [&mut self.lag, &mut self.connect, &mut self.tls].into_iter().for_each(Pile::settle);
        self.steps.values_mut().for_each(OpenTally::settle);
    }

    pub(crate) fn coarsen(&mut self) {
        [&mut self.lag, &mut self.connect, &mut self.tls].into_iter().for_each(Pile::coarsen);
        self.steps.values_mut().for_each(OpenTally::coarsen);
    }

    /// By step, in their order.
    pub(crate) fn steps(&self, plan: Option<&Plan>) -> Vec<StepTally> {
        let told = self.steps.iter();
        told.map(|(step, open)| StepTally { step: *step, tally: open.tally(*step, plan) }).collect()
    }

    /// All but the peaks and what is reckoned by time.
    pub(crate) fn figures(&self, plan: Option<&Plan>) -> Figures {
        let steps = self.steps(plan);
        Figures {
            asked: self.asked,
            sent: self.sent,
            sent_per_s: 0.0,
            tally: Tally::sum(&steps.iter().map(|step| &step.tally).collect::<Vec<_>>()),
            lag: Latency::from(self.lag.sum()),
            connect: Latency::from(self.connect.sum()),
            tls: Latency::from(self.tls.sum()),
            peaks: Peaks::default(),
        }
    }
}
