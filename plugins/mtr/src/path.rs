//! What is known of the way: its hops and who answers at them, out of answers one by one. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use blitz_plugin::probes::{Answer, Label, Outcome};

use crate::stats::Stats;

/// Addresses of one hop that are kept: the ways of one router, and those that a changing route brings.
const ADDRESSES_MAX: usize = 16;

/// An answer that comes later is one to nobody; as mtr's probes have it.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);

/// Silent hops behind the last one that answered, after which the way is taken to have ended.
const SILENT_MAX: u8 = 10;

/// The way, as far as it is known.
#[derive(Debug)]
pub(crate) struct Path {
    first_ttl: u8,
    /// From the first to the last time to live.
    hops: Vec<Hop>,
    out: BTreeMap<u32, Out>,
    next_id: u32,
    pub(crate) round: u32,
    /// Why a probe did not leave the engine; the latest reason.
    pub(crate) unsent: Option<String>,
}

/// A probe without an answer.
#[derive(Debug, Clone, Copy)]
struct Out {
    ttl: u8,
    flow: u16,
    round: u32,
    sent_at: Duration,
}

/// What one time to live has shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hop {
    pub(crate) ttl: u8,
    pub(crate) sent: u32,
    /// Of the current round, and without an answer: they are not lost yet.
    transit: u32,
    pub(crate) stats: Stats,
    /// In the order in which they were heard.
    pub(crate) addresses: Vec<Address>,
    /// Of the latest answer.
    latest: Option<IpAddr>,
    /// The latest answer was one of the target, or that it goes no further.
    is_last: bool,
    /// The latest answer was one of the target.
    pub(crate) is_target: bool,
}

/// Who answered at a hop.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) address: IpAddr,
    pub(crate) answers: u32,
    /// Which flows went through it.
    pub(crate) flows: BTreeSet<u16>,
    /// Of its latest answer.
    pub(crate) labels: Vec<Label>,
}

impl Path {
    pub(crate) fn new(first_ttl: u8, last_ttl: u8) -> Self {
        let hop = |ttl| Hop { ttl, ..Hop::default() };
        let hops = (first_ttl..=last_ttl).map(hop).collect();
        Self { first_ttl, hops, out: BTreeMap::new(), next_id: 0, round: 0, unsent: None }
    }

    /// What has no answer by now is lost, as far as anybody knows.
    pub(crate) fn next_round(&mut self, now: Duration) {
        self.round += 1;
        self.out.retain(|_, out| out.sent_at + ANSWER_WAIT_MAX > now);
        self.hops.iter_mut().for_each(|hop| hop.transit = 0);
    }

    /// One more probe; its number.
    pub(crate) fn send(&mut self, ttl: u8, flow: u16, now: Duration) -> u32 {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.out.insert(id, Out { ttl, flow, round: self.round, sent_at: now });
        if let Some(hop) = self.hop(ttl) {
            hop.sent += 1;
            hop.transit += 1;
        }
        id
    }

    /// Takes an answer in; false for one that nobody waits for.
    pub(crate) fn take(&mut self, answer: Answer) -> bool {
        let Some(out) = self.out.remove(&answer.id) else { return false };
        let round = self.round;
        let Some(hop) = self.hop(out.ttl) else { return false };
        if out.round == round {
            hop.transit = hop.transit.saturating_sub(1);
        }
        let Some(from) = answer.from.filter(|_| answer.outcome != Outcome::Unsent) else {
            self.unsent = answer.text.or_else(|| Some("a probe could not be sent".to_owned()));
            return true;
        };
        hop.is_target = answer.outcome == Outcome::Reached;
        hop.is_last = answer.outcome != Outcome::TimeExceeded;
        hop.latest = Some(from);
        hop.stats.add(Duration::from_nanos(answer.rtt_ns).as_secs_f64() * 1e6);
        let known = hop.addresses.iter().position(|known| known.address == from);
        let at = known.unwrap_or(hop.addresses.len());
        if at == ADDRESSES_MAX {
            return true;
        }
        if at == hop.addresses.len() {
            let flows = BTreeSet::new();
            hop.addresses.push(Address { address: from, answers: 0, flows, labels: Vec::new() });
        }
        let known = &mut hop.addresses[at];
        known.answers += 1;
        known.flows.insert(out.flow);
        known.labels = answer.labels;
        true
    }

    /// The hop at which the way ends, when that is known.
    pub(crate) fn end(&self) -> Option<u8> {
        self.hops.iter().find(|hop| hop.is_last).map(|hop| hop.ttl)
    }

    /// The last hop that is worth a probe.
    pub(crate) fn horizon(&self) -> u8 {
        let last_ttl = self.hops.last().map_or(self.first_ttl, |hop| hop.ttl);
        let silent = || self.farthest().unwrap_or(self.first_ttl - 1).saturating_add(SILENT_MAX);
        self.end().unwrap_or_else(silent).min(last_ttl)
    }

    /// The last hop that ever answered.
    fn farthest(&self) -> Option<u8> {
        self.hops.iter().rfind(|hop| hop.latest.is_some()).map(|hop| hop.ttl)
    }

    /// Whether this hop has answered.
    pub(crate) fn has_answer(&self, ttl: u8) -> bool {
        self.hops.iter().any(|hop| hop.ttl == ttl && hop.latest.is_some())
    }

    /// Whether an answer may still come: from a hop that did answer, or that was not asked often enough to tell.
    pub(crate) fn is_waiting(&self) -> bool {
        let horizon = self.horizon();
        self.hops
            .iter()
            .take_while(|hop| hop.ttl <= horizon)
            .any(|hop| hop.transit > 0 && (hop.stats.received > 0 || hop.sent == hop.transit))
    }

    /// The slowest answer of all.
    pub(crate) fn slowest(&self) -> Option<Duration> {
        let heard = self.hops.iter().filter(|hop| hop.latest.is_some());
        let slowest = heard.map(|hop| hop.stats.worst).reduce(f64::max)?;
        Duration::try_from_secs_f64(slowest / 1e6).ok()
    }

    /// What is worth a row: to the way's end, or to one silent hop behind the last answer, as in mtr.
    pub(crate) fn rows(&self) -> &[Hop] {
        let silent = || self.farthest().map_or(0, |ttl| ttl.saturating_add(1));
        let last = self.end().unwrap_or_else(silent);
        let count = self.hops.iter().take_while(|hop| hop.ttl <= last).count();
        &self.hops[..count]
    }

    fn hop(&mut self, ttl: u8) -> Option<&mut Hop> {
        self.hops.get_mut(usize::from(ttl.checked_sub(self.first_ttl)?))
    }
}

impl Hop {
    /// Of those that had time to be answered.
    pub(crate) fn lost(&self) -> u32 {
        self.sent.saturating_sub(self.transit).saturating_sub(self.stats.received)
    }

    pub(crate) fn loss_percent(&self) -> f64 {
        let counted = self.lost() + self.stats.received;
        if counted == 0 { 0.0 } else { 100.0 * f64::from(self.lost()) / f64::from(counted) }
    }

    /// Who answered: the latest one first.
    pub(crate) fn answerers(&self) -> impl Iterator<Item = &Address> {
        let latest = |address: &&Address| Some(address.address) == self.latest;
        let others = self.addresses.iter().filter(move |address| !latest(address));
        self.addresses.iter().filter(move |address| latest(address)).chain(others)
    }

    /// How much of what was heard came from this address.
    pub(crate) fn share_percent(&self, address: &Address) -> f64 {
        100.0 * f64::from(address.answers) / f64::from(self.stats.received.max(1))
    }
}
