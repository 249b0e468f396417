//! A test that is under way: takes the events of all parts in any order, and gives rows, figures and the report.

use std::collections::BTreeMap;

use blitz_contract::load::{
    Distribution, OPENING_EVENT, Opening, Plan, STEPS_MAX, StepTick, TICK_EVENT, Tick,
};

use crate::part::{Brief, OpenPart, Part, PartEnd};
use crate::pile::Keep;
use crate::report::{Figures, Report};
use crate::second::{OpenSecond, Second};
use crate::sum::Sum;

/// Seconds of a test: the longest plan is a day, and what is on its way at its end has time.
const SECONDS_MAX: u32 = 2 * 24 * 3600;
/// What an engine waits for its workers behind the end of a plan and its slowest transaction, and some more.
const OVERDUE_SECONDS: u64 = 60;
/// A second is shown, whoever has not told of it, when a part is so many further.
const PATIENCE_SECONDS: u32 = 2;
/// A row is put into its smallest form when it is so many seconds old: by then nearly all parts have told it.
const SETTLED_AFTER: u32 = 4;
/// Histograms of rows older than this are kept with two digits: a test of a day would take a gigabyte else.
const COARSE_AFTER: u32 = 3600;
/// Late ticks of such a row until it is made small again: one that is asked for when it is over may come part by part.
const LATE_TICKS: usize = 16;
/// No count of a second is greater: the sums of all seconds and parts then cannot pass what 64 bits hold.
const COUNT_MAX: u64 = 1 << 36;
/// CPU time of a worker in a second that is close to all there is: 80 % of a core.
pub(crate) const BUSY_US: u64 = 800_000;

/// A test, as far as its parts have told of it.
#[derive(Debug)]
pub struct Run {
    pub(crate) parts: Vec<OpenPart>,
    /// Names of regions, each once, in the order of the parts.
    pub(crate) regions: Vec<String>,
    pub(crate) rows: BTreeMap<u32, OpenSecond>,
    /// Of all parts, without the warm-up.
    pub(crate) total: Sum,
    pub(crate) plan: Option<Plan>,
    pub(crate) targets: Vec<(String, Vec<String>)>,
    /// Plans that differed from the first one, and what came from no part at all.
    pub(crate) strange: u64,
    told: Option<u32>,
}

impl Run {
    /// A test of these parts, which are named by their place from here on.
    #[must_use]
    pub fn new(parts: Vec<Part>) -> Self {
        let mut regions: Vec<String> = Vec::new();
        let parts = parts
            .into_iter()
            .map(|part| {
                let region = regions.iter().position(|region| *region == part.region);
                let region = region.unwrap_or_else(|| {
                    regions.push(part.region.clone());
                    regions.len() - 1
                });
                OpenPart::new(part, region)
            })
            .collect();
        Self {
            parts,
            regions,
            rows: BTreeMap::new(),
            total: Sum::default(),
            plan: None,
            targets: Vec::new(),
            strange: 0,
            told: None,
        }
    }

    /// Takes an event of a part. Kinds that are not of load tests pass by; one that cannot be read is counted, and named in the
    /// report.
    pub fn hear(&mut self, part: usize, kind: &str, body: &str) {
        let is_taken = match kind {
            OPENING_EVENT => {
                serde_json::from_str(body).is_ok_and(|opening| self.open(part, opening))
            }
            TICK_EVENT => serde_json::from_str(body).is_ok_and(|tick| self.tick(part, &tick)),
            _ => true,
        };
        if !is_taken {
            match self.parts.get_mut(part) {
                Some(part) => part.malformed += 1,
                None => self.strange += 1,
            }
        }
    }

    /// Takes the end of a part's job.
    pub fn ended(&mut self, part: usize, end: PartEnd) {
        if let Some(part) = self.parts.get_mut(part) {
            part.end = Some(end);
        }
    }

    fn open(&mut self, part: usize, opening: Opening) -> bool {
        let Some(part) = self.parts.get_mut(part) else { return false };
        if part.opening.is_some() || opening.plan.check().is_err() {
            return false;
        }
        part.opening = Some(Brief::from(&opening));
        for (origin, addresses) in opening.targets {
            match self.targets.iter_mut().find(|(own, _)| *own == origin) {
                Some((_, own)) => {
                    own.extend(addresses);
                    own.sort();
                    own.dedup();
                }
                None => self.targets.push((origin, addresses)),
            }
        }
        let plan = self.plan.get_or_insert_with(|| opening.plan.clone());
        if *plan != opening.plan {
            self.strange += 1;
        }
        true
    }

    fn tick(&mut self, number: usize, tick: &Tick) -> bool {
        if !is_possible(tick) || tick.second >= self.seconds_max() {
            return false;
        }
        let Some(part) = self.parts.get_mut(number) else { return false };
        part.add(tick, BUSY_US);
        let region = part.region;
        if !tick.is_warm_up {
            self.total.add(tick, Keep::Dense);
        }
        let is_behind = |age: u32| self.told.is_some_and(|told| tick.second + age <= told);
        // A row takes much room while it is added to quickly. Nobody's ticks, in whatever order, keep many rows so.
        let keep = if is_behind(SETTLED_AFTER) { Keep::Sparse } else { Keep::Dense };
        let row = self.rows.entry(tick.second).or_default();
        let late = row.add(number, region, tick, keep);
        if is_behind(COARSE_AFTER) && late.is_multiple_of(LATE_TICKS) {
            row.coarsen();
        }
        if self.told < Some(tick.second) {
            let before = self.told.map_or(0, |told| told + 1);
            self.told = Some(tick.second);
            let passed =
                |age: u32| before.saturating_sub(age)..(tick.second + 1).saturating_sub(age);
            self.rows.range_mut(passed(SETTLED_AFTER)).for_each(|(_, row)| row.settle());
            self.rows.range_mut(passed(COARSE_AFTER)).for_each(|(_, row)| row.coarsen());
        }
        true
    }

    /// How many seconds there can be: rows are shown from the first to the last that anybody tells of.
    fn seconds_max(&self) -> u32 {
        let Some(plan) = &self.plan else { return SECONDS_MAX };
        let slowest =
            plan.steps.iter().fold(0, |sum: u64, step| sum.saturating_add(step.timeout_ms));
        let seconds = plan.shape.duration().as_secs().saturating_add(slowest / 1000);
        let seconds = seconds.saturating_add(OVERDUE_SECONDS);
        u32::try_from(seconds).map_or(SECONDS_MAX, |seconds| seconds.min(SECONDS_MAX))
    }

    /// What the test does, as the first part told it.
    #[must_use]
    pub fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// How many seconds may be shown: those of which all living parts have told, or that lie two seconds behind the first part.
    /// What comes of them later is added, so that the report is exact whatever was shown.
    #[must_use]
    pub fn second_count(&self) -> u32 {
        let Some(told) = self.told else { return 0 };
        let living = self.parts.iter().filter(|part| part.is_living());
        let all = living.map(|part| part.told.map_or(0, |told| told + 1)).min();
        all.unwrap_or(told + 1).max((told + 1).saturating_sub(PATIENCE_SECONDS))
    }

    /// A second, as far as it was told. One of which nobody told is empty.
    #[must_use]
    pub fn second(&self, second: u32) -> Second {
        let plan = self.plan.as_ref();
        self.rows
            .get(&second)
            .map_or_else(|| Second { second, ..Second::default() }, |row| row.second(second, plan))
    }

    /// All seconds that may be shown.
    #[must_use]
    pub fn seconds(&self) -> Vec<Second> {
        (0..self.second_count()).map(|second| self.second(second)).collect()
    }

    /// All parts and seconds so far, without the warm-up.
    #[must_use]
    pub fn so_far(&self) -> Figures {
        Report::total(self)
    }

    /// Everything that is known by now.
    #[must_use]
    pub fn report(&self) -> Report {
        Report::of(self)
    }

    /// The greatest second of which anything was told, and one.
    pub(crate) fn told_count(&self) -> u32 {
        self.told.map_or(0, |told| told + 1)
    }

    /// The sums of the parts of a region.
    pub(crate) fn sums(&self, region: usize) -> impl Iterator<Item = &Sum> {
        self.parts.iter().filter(move |part| part.region == region).map(|part| &part.sum)
    }
}

/// Whether a tick can be one: foreign numbers may not make a sum overflow, or memory grow.
fn is_possible(tick: &Tick) -> bool {
    let is_small = |times: &Distribution| times.counts().all(|(_, count)| count <= COUNT_MAX);
    let is_step = |step: &StepTick| {
        usize::try_from(step.step).is_ok_and(|step| step < STEPS_MAX)
            && step.errors.values().all(|count| *count <= COUNT_MAX)
            && step.sent_bytes.max(step.received_bytes).max(step.repeated) <= COUNT_MAX
            && step.classes.iter().all(|class| {
                class.statuses.values().all(|count| *count <= COUNT_MAX)
                    && is_small(&class.service_us)
                    && is_small(&class.response_us)
            })
    };
    tick.second < SECONDS_MAX
        && [tick.asked, tick.sent, tick.backlog, tick.cpu_us, tick.starved_us]
            .iter()
            .all(|count| *count <= COUNT_MAX)
        && [&tick.lag_us, &tick.connect_us, &tick.tls_us].into_iter().all(is_small)
        && tick.steps.iter().all(is_step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn no_order_of_ticks_takes_room_for_each_second() {
        let mut run = fixture::opened(&fixture::users(5, 5, 4000), &["one", "two"]);
        let mut plain = Distribution::default();
        for (part, second) in (0..4000).rev().map(|second| (0, second)).chain([(1, 3999), (1, 5)]) {
            let one = Distribution::of([(3_600_000_000, 1), (u64::from(second), 1)]);
            plain.add(&one);
            let tick = Tick { second, lag_us: one, ..Tick::default() };
            run.hear(part, TICK_EVENT, &serde_json::to_string(&tick).unwrap());
        }
        let large = run.rows.values().filter(|row| row.is_dense()).count();
        assert!(large <= 5, "{large} rows of {} are kept for quick adding", run.rows.len());
        let report = run.report();
        assert_eq!(report.total.lag.distribution(), &plain);
        assert_eq!((report.seconds[5].lag.count(), report.seconds[4].lag.count()), (4, 2));
    }

    #[test]
    fn a_part_that_lies_about_the_time_makes_no_rows() {
        let mut run = fixture::opened(&fixture::users(5, 5, 20), &["one"]);
        for (second, malformed) in [(19, 0), (82, 1), (170_000, 2)] {
            run.hear(0, TICK_EVENT, &format!("{{\"second\":{second}}}"));
            assert_eq!(run.report().malformed, malformed, "{second}");
        }
        assert_eq!(run.report().seconds.len(), 20);
    }
}
