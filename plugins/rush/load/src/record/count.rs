//! Counters of one step, and the histogram that they use.

use std::collections::BTreeMap;

use blitz_contract::load::{ClassTick, Distribution, StepTick};

use super::KINDS;

/// Longest time that stands for itself, in microseconds: an hour. The contract's distributions end there.
const TIME_US_MAX: u64 = 3_600_000_000;

/// Digits that a value keeps: as the contract's distributions.
const DIGITS: u8 = 3;

/// Times in microseconds. Nothing until the first comes.
#[derive(Debug, Default)]
pub(super) struct Histogram(Option<Box<hdrhistogram::Histogram<u32>>>);

impl Histogram {
    pub(super) fn record(&mut self, ns: u64) {
        let us = (ns / 1000).min(TIME_US_MAX);
        let held = match &mut self.0 {
            Some(held) => held,
            empty => match made() {
                Some(made) => empty.insert(Box::new(made)),
                None => return,
            },
        };
        if held.record(us).is_err() {
            // Only a histogram that may not grow refuses a value.
            held.saturating_record(us);
        }
    }

    /// What it holds; it is empty then, and without memory when it was before.
    pub(super) fn take(&mut self) -> Distribution {
        let Some(held) = &mut self.0 else { return Distribution::default() };
        if held.is_empty() {
            self.0 = None;
            return Distribution::default();
        }
        let counts = held.iter_recorded().map(|at| {
            (held.lowest_equivalent(at.value_iterated_to()), u64::from(at.count_at_value()))
        });
        let found = Distribution::of(counts);
        held.reset();
        found
    }
}

/// Small at first: two thousand counters up to 2 ms, more when longer times come.
fn made() -> Option<hdrhistogram::Histogram<u32>> {
    let mut made = hdrhistogram::Histogram::new_with_bounds(1, 2, DIGITS).ok()?;
    made.auto(true);
    Some(made)
}

/// Of one step.
#[derive(Debug, Default)]
pub(super) struct StepCount {
    classes: [Option<Box<ClassCount>>; 6],
    pub(super) errors: [u64; KINDS.len()],
    pub(super) repeated: u64,
    pub(super) sent_bytes: u64,
    pub(super) received_bytes: u64,
}

/// Of the answers of one class.
#[derive(Debug, Default)]
struct ClassCount {
    /// The one that came last stands first.
    statuses: Vec<(u16, u64)>,
    service: Histogram,
    response: Histogram,
}

impl StepCount {
    pub(super) fn answered(&mut self, status: u16, service_ns: u64, response_ns: Option<u64>) {
        let place = usize::from(status / 100);
        let place = if place < self.classes.len() { place } else { 0 };
        let class = self.classes[place].get_or_insert_default();
        match class.statuses.iter_mut().position(|(known, _)| *known == status) {
            Some(0) => class.statuses[0].1 += 1,
            Some(place) => {
                class.statuses[place].1 += 1;
                class.statuses.swap(0, place);
            }
            None => class.statuses.insert(0, (status, 1)),
        }
        class.service.record(service_ns);
        if let Some(response_ns) = response_ns {
            class.response.record(response_ns);
        }
    }

    pub(super) fn take(&mut self, step: u32) -> Option<StepTick> {
        let mut classes = Vec::new();
        for (digit, class) in (0..).zip(&mut self.classes) {
            let Some(count) = class else { continue };
            if count.statuses.is_empty() {
                *class = None;
                continue;
            }
            let statuses: BTreeMap<u16, u64> = count.statuses.drain(..).collect();
            let (service_us, response_us) = (count.service.take(), count.response.take());
            classes.push(ClassTick { class: digit, statuses, service_us, response_us });
        }
        let errors = std::mem::take(&mut self.errors);
        let errors = KINDS.into_iter().zip(errors).filter(|(_, count)| *count > 0).collect();
        let repeated = std::mem::take(&mut self.repeated);
        let sent_bytes = std::mem::take(&mut self.sent_bytes);
        let received_bytes = std::mem::take(&mut self.received_bytes);
        let tick = StepTick { step, classes, errors, repeated, sent_bytes, received_bytes };
        (tick != StepTick { step, ..StepTick::default() }).then_some(tick)
    }
}
