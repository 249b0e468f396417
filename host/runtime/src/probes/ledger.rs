//! The probes of a session that are remembered, and which of them an answer is for. Pure: the clock is an argument.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Instant;

use blitz_contract::probes::{Answer, Outcome, Probe, Protocol};

use super::limits::{ANSWERS_OF_PROBE_MAX, DUPLICATE_TIME, OUT_MAX, PROBE_MEMORY};
use super::signal::{Clue, Icmp, Signal, What};
use super::stamp::{Departure, Stamp};

/// The session's own number of a probe: none is used twice, as the guest's may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Serial(pub(super) u32);

#[derive(Debug)]
pub(super) struct Ledger {
    target: IpAddr,
    protocol: Protocol,
    next: u32,
    /// In the order in which they were sent.
    probes: BTreeMap<Serial, Sent>,
    /// The latest probe of each number of the guest.
    ids: HashMap<u32, Serial>,
}

#[derive(Debug)]
struct Sent {
    id: u32,
    flow: u16,
    port: u16,
    /// Of UDP, where it is known.
    checksum: Option<u16>,
    departure: Departure,
    answers_count: u8,
    /// When the latest of them was read.
    answered_at: Option<Instant>,
}

impl Ledger {
    pub(super) fn new(target: IpAddr, protocol: Protocol) -> Self {
        Self { target, protocol, next: 0, probes: BTreeMap::new(), ids: HashMap::new() }
    }

    /// Whether the guest's number belongs to a probe that is not answered, and may be yet.
    pub(super) fn is_out(&mut self, id: u32, now: Instant) -> bool {
        self.forget(now);
        let sent = self.ids.get(&id).and_then(|serial| self.probes.get(serial));
        sent.is_some_and(|sent| sent.answers_count == 0)
    }

    /// The number for the next probe.
    pub(super) fn serial(&mut self) -> Serial {
        let serial = Serial(self.next);
        self.next = self.next.wrapping_add(1);
        serial
    }

    /// A probe is about to leave. The oldest is forgotten when there are too many.
    pub(super) fn add(&mut self, serial: Serial, probe: &Probe, departure: Departure) {
        self.forget(departure.before);
        if self.probes.len() >= OUT_MAX
            && let Some((serial, sent)) = self.probes.pop_first()
        {
            self.forget_id(serial, sent.id);
        }
        if let Some(earlier) = self.ids.insert(probe.id, serial) {
            self.probes.remove(&earlier);
        }
        let &Probe { id, flow, port, .. } = probe;
        let (checksum, answers_count, answered_at) = (None, 0, None);
        let sent = Sent { id, flow, port, checksum, departure, answers_count, answered_at };
        self.probes.insert(serial, sent);
    }

    /// It did not leave.
    pub(super) fn remove(&mut self, serial: Serial) {
        if let Some(sent) = self.probes.remove(&serial) {
            self.forget_id(serial, sent.id);
        }
    }

    /// When it left by the driver's stamp, or by a look at the clock.
    pub(super) fn departed(&mut self, serial: Serial, stamp: Stamp) {
        if let Some(sent) = self.probes.get_mut(&serial) {
            sent.departure.stamp = stamp;
        }
    }

    pub(super) fn has_checksum(&mut self, serial: Serial, checksum: u16) {
        if let Some(sent) = self.probes.get_mut(&serial) {
            sent.checksum = Some(checksum);
        }
    }

    fn forget(&mut self, now: Instant) {
        while let Some(first) = self.probes.first_entry()
            && now.saturating_duration_since(first.get().departure.before) > PROBE_MEMORY
        {
            let (serial, sent) = first.remove_entry();
            self.forget_id(serial, sent.id);
        }
    }

    fn forget_id(&mut self, serial: Serial, id: u32) {
        if self.ids.get(&id) == Some(&serial) {
            self.ids.remove(&id);
        }
    }

    /// The answer to the guest; `None` when the signal is for no probe that is remembered, or for more than one.
    pub(super) fn answer(&mut self, signal: Signal) -> Option<Answer> {
        let outcome = signal.outcome(self.target)?;
        let serial = self.find(signal.clue)?;
        let sent = self.probes.get_mut(&serial)?;
        if sent.answers_count >= ANSWERS_OF_PROBE_MAX {
            return None;
        }
        sent.answers_count += 1;
        sent.answered_at = Some(signal.at.read);
        let Signal { from, what, at, ttl, .. } = signal;
        let rtt = at.measured.unwrap_or_else(|| sent.departure.until(at.stamp, at.read));
        let rtt_ns = u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX);
        let mut answer = Answer { ttl, ..Answer::new(sent.id, outcome, Some(from), rtt_ns) };
        match what {
            What::Reply => {}
            What::Handshake { is_open } => answer.is_open = Some(is_open),
            What::Icmp(Icmp { kind, code, mtu, labels }) => {
                answer.icmp = Some((kind, code));
                answer.mtu = mtu;
                answer.labels = labels;
                let is_refused = outcome == Outcome::Reached && self.protocol == Protocol::Tcp;
                answer.is_open = is_refused.then_some(false);
            }
        }
        Some(answer)
    }

    fn find(&self, clue: Clue) -> Option<Serial> {
        match clue {
            Clue::Serial(serial) => Some(serial),
            Clue::Sequence(sequence) => {
                let newest = self.next.wrapping_sub(1);
                let [_, _, high, low] = newest.to_be_bytes();
                let behind = u16::from_be_bytes([high, low]).wrapping_sub(sequence);
                Some(Serial(newest.wrapping_sub(behind.into())))
            }
            Clue::Port { flow, port, checksum } => {
                let ours: Vec<(Serial, &Sent)> = self
                    .probes
                    .iter()
                    .filter(|(_, sent)| (sent.flow, sent.port) == (flow, port))
                    .map(|(serial, sent)| (*serial, sent))
                    .collect();
                let exact =
                    |(_, sent): &&(Serial, &Sent)| checksum.is_some() && sent.checksum == checksum;
                let waits = |(_, sent): &&(Serial, &Sent)| sent.answers_count == 0;
                let answered_at = ours.iter().filter_map(|(_, sent)| sent.answered_at).max();
                // Else it may be another answer to the one before.
                let is_later = |(_, sent): &&(Serial, &Sent)| {
                    let after = |at| sent.departure.before.saturating_duration_since(at);
                    answered_at.is_none_or(|at| after(at) >= DUPLICATE_TIME)
                };
                // Whoever could be meant. One of several that are alike would be a guess.
                only(ours.iter().filter(exact))
                    .or_else(|| only(ours.iter()))
                    .or_else(|| only(ours.iter().filter(waits)).filter(is_later))
                    .map(|(serial, _)| *serial)
            }
        }
    }
}

fn only<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    all.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests;
