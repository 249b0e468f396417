//! Replication between the clusters of a region: in both directions, by selectors, run by who takes itself for the home.
//!
//! A flow goes from one site to another and is run by one of the two, which must reach the other. Towards the home go
//! specs and cancels; away from it go runs, fences and output. Where engines may have worked elsewhere, at a former home or
//! at a hub, these come back too. What a former home runs goes on until it knows better. The region's document goes
//! along in both directions.
//!
//! It lags, breaks off in the middle without a checkpoint, begins again earlier than it was, and from the beginning when
//! one of the databases is another one.

use std::time::Duration;

use super::World;
use super::document::{Id, Kind};
use super::event::{Base, Event};
use super::site::{JOBS, JOBS_NEXT, OUTPUT, OUTPUT_NEXT};
use crate::couchdb::{NodeState, Seq};

/// From a change to its reading, the least and the mean of what is added.
const LAG: Duration = Duration::from_millis(40);
const LAG_MORE: Duration = Duration::from_millis(120);

/// A flow that could not go on is tried again within this time: what the mender sees to.
const AGAIN_MIN: Duration = Duration::from_millis(500);
const AGAIN_MAX: Duration = Duration::from_millis(3500);

/// So many turns of a hundred break off before their checkpoint, and after so many a flow goes back, by up to so many
/// changes or to the beginning.
const BREAKS_PERCENT: f64 = 3.0;
const REWINDS_PERCENT: f64 = 2.0;
const REWIND_MAX: usize = 60;

/// The databases that are replicated.
const CARRIED: [Base; 4] = [JOBS, OUTPUT, JOBS_NEXT, OUTPUT_NEXT];

/// From one site to another.
#[derive(Debug)]
pub(super) struct Flow {
    runner: usize,
    pub(super) from: usize,
    pub(super) to: usize,
    since: [Seq; CARRIED.len()],
    /// The databases that it wrote to.
    identity: [u64; CARRIED.len()],
    pending: bool,
    pub(super) stalled_until: Duration,
}

/// What a flow carries.
#[derive(Debug, Clone, Copy)]
struct Selector {
    /// Specs and cancels.
    asked: bool,
    /// Runs, fences, output.
    done: bool,
}

impl Selector {
    fn takes(self, id: &Id) -> bool {
        match id {
            Id::Job(_, Kind::Spec | Kind::Cancel) => self.asked,
            Id::Job(_, Kind::Run | Kind::Start) | Id::Chunk { .. } => self.done,
            Id::Beat(_) => false,
        }
    }
}

impl World {
    /// All flows that may ever be needed between these sites.
    pub(super) fn found_flows(&mut self, sites: &[usize]) {
        for from in sites {
            for to in sites.iter().filter(|to| *to != from) {
                for runner in [*from, *to] {
                    let flow = Flow {
                        runner,
                        from: *from,
                        to: *to,
                        since: [Seq::default(); CARRIED.len()],
                        identity: [0; CARRIED.len()],
                        pending: false,
                        stalled_until: Duration::ZERO,
                    };
                    self.sites[*from].flows.push(self.flows.len());
                    self.flows.push(flow);
                }
            }
        }
    }

    /// What a flow carries by what its runner knows; `None`: there is no such replication.
    fn selector(&self, flow: &Flow) -> Option<Selector> {
        let edition = self.edition_at(flow.runner);
        if edition.home != flow.runner {
            return None;
        }
        let fails_over = self.regions[self.sites[flow.from].region].fails_over;
        let comes_back = fails_over || edition.epoch > 1;
        let is_away = flow.from == flow.runner;
        Some(Selector { asked: !is_away, done: is_away || comes_back })
    }

    /// There is news at a site: what goes from there goes on.
    pub(super) fn plan_flows(&mut self, site: usize) {
        for place in 0..self.sites[site].flows.len() {
            let flow = self.sites[site].flows[place];
            if !self.flows[flow].pending && self.selector(&self.flows[flow]).is_some() {
                self.flows[flow].pending = true;
                let wait = LAG + self.chance.exponential(LAG_MORE);
                self.later(wait, Event::Replicate(flow));
            }
        }
    }

    fn again(&mut self, flow: usize) {
        self.flows[flow].pending = true;
        let wait = self.chance.between(AGAIN_MIN, AGAIN_MAX);
        self.later(wait, Event::Replicate(flow));
    }

    /// A node of a site that answers.
    fn node_of(&mut self, site: usize) -> Option<usize> {
        if !self.sites[site].answers() {
            return None;
        }
        let up: Vec<usize> = (0..self.sites[site].copies)
            .filter(|node| self.sites[site].state(*node) == NodeState::Up)
            .collect();
        self.chance.pick(&up).copied()
    }

    /// A flow takes one turn.
    pub(super) fn replicate(&mut self, flow: usize) {
        self.flows[flow].pending = false;
        let Flow { runner, from, to, stalled_until, .. } = self.flows[flow];
        if self.sites[from].gone || self.sites[to].gone {
            return;
        }
        let Some(selector) = self.selector(&self.flows[flow]) else { return };
        let other = if runner == from { to } else { from };
        if self.is_cut(runner, other) || self.now < stalled_until {
            return self.again(flow);
        }
        let (Some(source), Some(target)) = (self.node_of(from), self.node_of(to)) else {
            return self.again(flow);
        };
        // The control database goes both ways, and this is one of them.
        let edition = self.sites[from].edition();
        if edition > self.sites[to].edition() {
            self.site_learns(to, edition);
        }
        for (place, base) in CARRIED.iter().enumerate() {
            if !self.carry_base(flow, place, *base, (source, target), selector) {
                return self.again(flow);
            }
        }
        if self.chance.percent(REWINDS_PERCENT) {
            let earlier = u64::try_from(self.chance.below(REWIND_MAX)).unwrap_or(0);
            let whole = self.chance.percent(10.0);
            for since in &mut self.flows[flow].since {
                *since = if whole { Seq::default() } else { since.earlier(earlier) };
            }
            self.outcome.tally.rewinds += 1;
        }
    }

    /// One database of a turn; false when it broke off.
    fn carry_base(
        &mut self,
        flow: usize,
        place: usize,
        base: Base,
        (source, target): (usize, usize),
        selector: Selector,
    ) -> bool {
        let Flow { from, to, .. } = self.flows[flow];
        if self.sites[from].dropped[base] || self.sites[to].dropped[base] {
            return true;
        }
        let identity = self.sites[to].bases[base].identity();
        if std::mem::replace(&mut self.flows[flow].identity[place], identity) != identity {
            self.flows[flow].since[place] = Seq::default();
        }
        let since = self.flows[flow].since[place];
        let Some(changes) = self.sites[from].bases[base].changes(source, since).answer() else {
            return false;
        };
        let last = changes.last_seq();
        let mut ids: Vec<Id> =
            changes.map(|change| *change.id).filter(|id| selector.takes(id)).collect();
        // Ordered in part only: documents travel in several connections.
        if ids.len() > 1 && self.chance.percent(30.0) {
            let turn = self.chance.below(ids.len());
            ids.rotate_left(turn);
        }
        let breaks = !ids.is_empty() && self.chance.percent(BREAKS_PERCENT);
        if breaks {
            ids.truncate(self.chance.below(ids.len()));
        }
        let several = self.sites[to].copies > 1;
        for id in &ids {
            let Some(leaves) = self.sites[from].bases[base].carry(source, id).answer() else {
                return false;
            };
            if let Id::Job(job, Kind::Spec) = id {
                self.note_spec(to, *job);
            }
            for leaf in leaves {
                self.sites[to].bases[base].merge(target, id, &leaf.path, leaf.body);
            }
            self.outcome.tally.carried += 1;
            if let Id::Job(job, kind) = id
                && self.traced == Some(*job)
            {
                let leaves = self.sites[to].bases[base].leaves_in_the_end(id);
                self.trace(*job, |_| {
                    let leaves: Vec<String> = leaves.iter().map(ToString::to_string).collect();
                    format!("{kind:?} goes from {from} to {to}: {leaves:?} there")
                });
            }
        }
        if !ids.is_empty() {
            self.tell_feeds(to, base);
            if several {
                self.sync_soon(to);
            }
        }
        if !breaks {
            self.flows[flow].since[place] = last;
        }
        !breaks
    }

    /// A flow stands still for a while, as when its target is full.
    pub(super) fn stall(&mut self, region: usize, time: Duration) {
        let sites = self.regions[region].sites.clone();
        let flows: Vec<usize> =
            sites.iter().flat_map(|site| self.sites[*site].flows.clone()).collect();
        if let Some(flow) = self.chance.pick(&flows).copied() {
            self.flows[flow].stalled_until = self.now + time;
            self.outcome.tally.stalls += 1;
        }
    }
}
