//! Which hop is asked when, and when it is final. Pure: the clock is an argument, and packets are elsewhere.
//!
//! All hops are asked beside each other, and one hop's probes one after the other: a router answers about six times,
//! and then once a second. The hops beyond the target would use up the answers of the target, so the first pass
//! begins with the near ones, and goes on as answers come and time passes. A hop that said nothing is asked once more.

use std::net::IpAddr;
use std::time::Duration;

use blitz_plugin::probes::{Answer, Outcome};

/// Hops that are asked at once in the beginning: most ways have more, and few have less.
const AT_FIRST: u8 = 6;
/// Hops that are asked beyond the farthest that has answered: a Linux router or host answers six times in a row.
const AHEAD: u8 = 4;
/// How often as many more are asked where nothing is heard: a stretch of silent routers costs little.
const AHEAD_EVERY: Duration = Duration::from_millis(50);
/// Between two probes to a hop that answers: its tokens are to last.
const PASS: Duration = Duration::from_millis(200);
/// Before a silent hop is asked again: longer than a burst of losses.
const AGAIN: Duration = Duration::from_millis(100);
/// The same where nothing beyond has answered: who had no tokens left has one again, with something to spare for clocks.
const AGAIN_AT_END: Duration = Duration::from_millis(1100);
/// So many silent hops just before the target may be the target without tokens, which answered a probe that would have
/// gone farther.
const GAP: u8 = 2;
/// A router's slow path takes so long on a bad day, however near it is.
const WAIT_MIN: Duration = Duration::from_millis(50);
/// Steps in which a way gets narrower; more are a router that plays with us.
const NARROWER_MAX: u8 = 16;
/// Source: RFC 791, section 3.2: what every link carries.
const MTU_MIN: u16 = 68;

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    pub(crate) first: u8,
    pub(crate) last: u8,
    /// Answers wanted of each hop.
    pub(crate) queries: usize,
    /// `-N`; without it the strategy has its own mind.
    pub(crate) out_max: Option<usize>,
    pub(crate) wait: Wait,
    /// The target's answers are rationed like those of routers, as they are for UDP.
    pub(crate) target_is_rationed: bool,
}

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Wait {
    pub(crate) max: Duration,
    /// Times the slowest answer of the same hop; 0 is none.
    pub(crate) here: f64,
    /// Times the slowest answer of any hop, once a later one has answered; 0 is none.
    pub(crate) near: f64,
}

/// One probe to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) id: u32,
    pub(crate) ttl: u8,
    pub(crate) size_bytes: u16,
    slot: usize,
}

/// One hop, as far as it is known.
#[derive(Debug)]
pub(crate) struct Hop {
    pub(crate) ttl: u8,
    pub(crate) slots: Vec<Slot>,
    /// A packet has to be as small as this to come here from the hop before.
    pub(crate) mtu: Option<u16>,
    size_bytes: u16,
    asked_last: Option<Duration>,
    asked_again: usize,
}

/// A place for one answer.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) answer: Option<Answer>,
    /// First and last.
    asked: Option<(Duration, Duration)>,
}

/// A trace that goes on.
#[derive(Debug)]
pub(crate) struct Strategy {
    plan: Plan,
    hops: Vec<Hop>,
    /// By id.
    sent: Vec<Query>,
    /// Hops that were taken out as final.
    taken: usize,
    /// The hop at which the way ends.
    end: u8,
    /// The farthest hop that has answered, and the slowest answer.
    farthest: u8,
    slowest: Duration,
    /// Whether packets shrink to what fits.
    finds_mtu: bool,
    narrower_count: u8,
}

impl Strategy {
    pub(crate) fn new(plan: Plan, size_bytes: u16) -> Self {
        let hop = |ttl| Hop {
            ttl,
            slots: (0..plan.queries).map(|_| Slot::default()).collect(),
            mtu: None,
            size_bytes,
            asked_last: None,
            asked_again: 0,
        };
        Self {
            hops: (plan.first..=plan.last).map(hop).collect(),
            end: plan.last,
            plan,
            sent: Vec::new(),
            taken: 0,
            farthest: 0,
            slowest: Duration::ZERO,
            finds_mtu: false,
            narrower_count: 0,
        }
    }

    /// Packets are as large as the way allows, beginning with the first link.
    pub(crate) fn finding_mtu(mut self, first_link: u16) -> Self {
        self.finds_mtu = true;
        if self.hops.iter().any(|hop| hop.size_bytes > first_link) {
            self.narrow(self.plan.first, first_link);
        }
        self
    }

    /// Probes that have left.
    pub(crate) fn probes_count(&self) -> usize {
        self.sent.len()
    }

    /// What is to be sent now, in this order; [`Self::sent`] takes note of it.
    pub(crate) fn ready(&self, now: Duration) -> Vec<Query> {
        let out = |hop: &Hop, slot: &Slot| {
            slot.answer.is_none() && self.gives_up(hop, slot).is_some_and(|at| at > now)
        };
        let room = self.plan.out_max.map_or(usize::MAX, |max| {
            let all =
                self.hops.iter().flat_map(|hop| hop.slots.iter().map(move |slot| (hop, slot)));
            max.saturating_sub(all.filter(|(hop, slot)| out(hop, slot)).count())
        });
        let due = |hop: &&Hop| self.next_slot(hop).filter(|(at, _)| *at <= now);
        let ready = self.open().filter_map(|hop| due(&hop).map(|(_, slot)| (hop, slot)));
        let from = u32::try_from(self.sent.len()).unwrap_or(u32::MAX);
        (from..)
            .zip(ready.take(room))
            .map(|(id, (hop, slot))| Query { id, ttl: hop.ttl, size_bytes: hop.size_bytes, slot })
            .collect()
    }

    /// They have left.
    pub(crate) fn sent(&mut self, queries: &[Query], now: Duration) {
        for query in queries {
            self.sent.push(*query);
            let hop = &mut self.hops[usize::from(query.ttl - self.plan.first)];
            hop.asked_last = Some(now);
            let slot = &mut hop.slots[query.slot];
            hop.asked_again += usize::from(slot.asked.is_some());
            let first = slot.asked.map_or(now, |(first, _)| first);
            slot.asked = Some((first, now));
        }
    }

    /// Takes an answer. What is for no probe, for a final hop, or comes twice changes nothing.
    pub(crate) fn hear(&mut self, answer: Answer) {
        let query = usize::try_from(answer.id).ok().and_then(|id| self.sent.get(id).copied());
        let Some(query) = query else { return };
        let at = usize::from(query.ttl - self.plan.first);
        let hop = &mut self.hops[at];
        if at < self.taken {
            return;
        }
        if let Some(mtu) = answer.mtu.and_then(|mtu| u16::try_from(mtu).ok())
            && self.finds_mtu
        {
            if query.size_bytes > hop.size_bytes {
                return;
            }
            let is_new = mtu < hop.size_bytes && mtu >= MTU_MIN;
            if is_new && self.narrower_count < NARROWER_MAX {
                self.narrower_count += 1;
                return self.narrow(query.ttl, mtu);
            }
        }
        let slot = &mut hop.slots[query.slot];
        if slot.answer.is_some() {
            return;
        }
        if answer.outcome != Outcome::Unsent {
            self.farthest = self.farthest.max(query.ttl);
            self.slowest = self.slowest.max(Duration::from_nanos(answer.rtt_ns));
        }
        if answer.outcome != Outcome::TimeExceeded {
            self.end = self.end.min(query.ttl);
        }
        slot.answer = Some(answer);
        self.use_spare_answers();
    }

    /// The next hop in order, once nothing more is waited for.
    pub(crate) fn final_hop(&self, now: Duration) -> Option<&Hop> {
        let hop = self.open().next()?;
        let is_answered = |slot: &Slot| slot.answer.is_some();
        let is_over =
            |slot: &Slot| is_answered(slot) || self.gives_up(hop, slot).is_some_and(|at| at <= now);
        let is_final = hop.slots.iter().all(is_answered)
            || (hop.slots.iter().all(is_over) && self.next_slot(hop).is_none());
        is_final.then_some(hop)
    }

    /// The next hop in order as it stands, up to the farthest that has answered.
    pub(crate) fn unfinished_hop(&self) -> Option<&Hop> {
        self.open().next().filter(|hop| hop.ttl <= self.farthest)
    }

    /// The next hop in order is done with: answers to its probes come too late.
    pub(crate) fn take(&mut self) {
        self.taken += 1;
    }

    /// Whether all hops were taken.
    pub(crate) fn is_done(&self) -> bool {
        self.open().next().is_none()
    }

    /// When time alone changes something.
    pub(crate) fn due(&self, now: Duration) -> Option<Duration> {
        let asks = self.open().filter_map(|hop| self.next_slot(hop)).map(|(at, _)| at);
        let ends = self.open().flat_map(|hop| {
            let silent = hop.slots.iter().filter(|slot| slot.answer.is_none());
            silent.filter_map(|slot| self.gives_up(hop, slot))
        });
        asks.chain(ends).filter(|at| *at > now).min()
    }

    /// The hops that are not final.
    fn open(&self) -> impl Iterator<Item = &Hop> {
        let end = self.end;
        self.hops.iter().skip(self.taken).take_while(move |hop| hop.ttl <= end)
    }

    /// Which place of a hop is asked for next, and when; `None` when it was asked often enough.
    fn next_slot(&self, hop: &Hop) -> Option<(Duration, usize)> {
        let asked_last = hop.asked_last.unwrap_or_default();
        if let Some(slot) =
            hop.slots.iter().position(|slot| slot.asked.is_none() && slot.answer.is_none())
        {
            let rests_until = hop.asked_last.map_or(Duration::ZERO, |last| last + PASS);
            return Some((rests_until.max(self.opens(hop.ttl)), slot));
        }
        let answers = hop.answers().next().is_some();
        // A silent hop that was asked several times was asked again already.
        let again_max = usize::from(answers || self.plan.queries == 1);
        let may_be_target = hop.asked_again == again_max && self.begins_gap(hop);
        if hop.asked_again >= again_max + usize::from(may_be_target) {
            return None;
        }
        let slot = hop.slots.iter().position(|slot| slot.answer.is_none())?;
        let (first, _) = hop.slots[slot].asked?;
        let at = match answers {
            false if may_be_target || hop.ttl > self.farthest => asked_last + AGAIN_AT_END,
            false => self.gives_up(hop, &hop.slots[slot])?.max(asked_last + AGAIN),
            true => self.gives_up(hop, &hop.slots[slot])?.max(asked_last + PASS),
        };
        (at < first + self.plan.wait.max).then_some((at, slot))
    }

    /// Whether it is the first of the silent hops just before the target, where those are suspiciously many.
    fn begins_gap(&self, hop: &Hop) -> bool {
        let hop_at = |ttl: u8| &self.hops[usize::from(ttl - self.plan.first)];
        let is_silent = |ttl: u8| hop_at(ttl).answers().next().is_none();
        let is_reached = || hop_at(self.end).answers().any(|a| a.outcome == Outcome::Reached);
        self.plan.target_is_rationed
            && self.end.saturating_sub(hop.ttl) >= GAP
            && is_reached()
            && (hop.ttl..self.end).all(is_silent)
            && (hop.ttl == self.plan.first || !is_silent(hop.ttl - 1))
    }

    /// When the first probe to a hop may leave.
    fn opens(&self, ttl: u8) -> Duration {
        let beyond = (ttl - self.plan.first).saturating_sub(AT_FIRST - 1);
        if self.plan.out_max.is_some() || ttl <= self.farthest.saturating_add(AHEAD) {
            return Duration::ZERO;
        }
        AHEAD_EVERY * u32::from(beyond.div_ceil(AHEAD))
    }

    /// Until when an answer is waited for; `None` before the place was asked for.
    fn gives_up(&self, hop: &Hop, slot: &Slot) -> Option<Duration> {
        let (first, last) = slot.asked?;
        let Wait { max, here, near } = self.plan.wait;
        let answers = hop.slots.iter().filter_map(|slot| slot.answer.as_ref());
        let slowest_here = answers.map(|answer| Duration::from_nanos(answer.rtt_ns)).max();
        let times = match slowest_here {
            Some(slowest) if here > 0.0 => Some(slowest.mul_f64(here)),
            _ => (near > 0.0 && hop.ttl < self.farthest).then(|| self.slowest.mul_f64(near)),
        };
        let adapted = times.map_or(max, |times| times.max(WAIT_MIN));
        Some((last + adapted).min(first + max))
    }

    /// Answers of whoever ends the way to probes that would have gone farther: the way is the same.
    fn use_spare_answers(&mut self) {
        let at = usize::from(self.end - self.plan.first);
        let ends = |answer: &Answer| answer.outcome != Outcome::TimeExceeded;
        let (near, beyond) = self.hops.split_at_mut(at + 1);
        let Some(hop) = near.last_mut() else { return };
        let who = hop.slots.iter().filter_map(|slot| slot.answer.as_ref()).find(|a| ends(a));
        let Some(who) = who.and_then(|answer| answer.from) else { return };
        for spare in beyond.iter_mut().flat_map(|hop| &mut hop.slots) {
            let is_same = |answer: &&Answer| answer.from == Some(who) && ends(answer);
            if spare.answer.as_ref().filter(is_same).is_none() {
                continue;
            }
            let slots = &mut hop.slots;
            let unasked = slots.iter().position(|s| s.answer.is_none() && s.asked.is_none());
            let free = unasked.or_else(|| slots.iter().position(|s| s.answer.is_none()));
            let Some(free) = free else { return };
            slots[free].answer = spare.answer.take();
        }
    }

    /// Packets to this hop and beyond have to be so small, and are sent anew.
    fn narrow(&mut self, ttl: u8, mtu: u16) {
        for hop in self.hops.iter_mut().filter(|hop| hop.ttl >= ttl) {
            if hop.ttl > ttl && hop.mtu == Some(mtu) {
                hop.mtu = None;
            }
            if hop.size_bytes <= mtu {
                continue;
            }
            hop.size_bytes = mtu;
            hop.asked_last = None;
            for slot in hop.slots.iter_mut().filter(|slot| slot.answer.is_none()) {
                slot.asked = None;
            }
        }
        self.hops[usize::from(ttl - self.plan.first)].mtu = Some(mtu);
    }
}

impl Hop {
    /// Whoever answered, each once.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for from in self.answers().filter_map(|answer| answer.from) {
            if !addresses.contains(&from) {
                addresses.push(from);
            }
        }
        addresses
    }

    /// What came, in the order of asking.
    pub(crate) fn answers(&self) -> impl Iterator<Item = &Answer> {
        self.slots.iter().filter_map(|slot| slot.answer.as_ref())
    }

    /// In the order of asking; `None` where nothing came.
    pub(crate) fn rtts_us(&self) -> Vec<Option<u64>> {
        let heard = |slot: &Slot| {
            let answer = slot.answer.as_ref().filter(|answer| answer.outcome != Outcome::Unsent)?;
            Some(answer.rtt_ns / 1000)
        };
        self.slots.iter().map(heard).collect()
    }
}

#[cfg(test)]
mod tests;
