//! Load tests for unit tests: what each second brings is the test's to say, and time passes without waiting.

use std::cell::Cell;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use crate::host::HostError;
use crate::load::{
    ClassTick, Closing, Distribution, ErrorKind, LoadTest, Opening, Plan, Share, StepTick, Tick,
    Verdict,
};

/// The clock of every fake engine at the start of a test, in milliseconds since 1970: one morning in 2025.
const STARTED_AT_MS: u64 = 1_750_000_000_000;

/// A load test as a unit test wants it to go.
///
/// ```
/// use blitz_plugin::load::ErrorKind;
/// use blitz_plugin::testing::FakeLoad;
///
/// let load = FakeLoad::default()
///     .second(&[(200, 1500, 90), (500, 900, 2)])
///     .second(&[(200, 2500, 120)])
///     .error(ErrorKind::Timeout, 3);
/// assert_eq!(load.ticks[1][0].sent, 123);
/// ```
#[derive(Debug, Clone)]
pub struct FakeLoad {
    /// What comes at the end of each second. The last tick of all gets a closing when the test gives none.
    pub ticks: Vec<Vec<Tick>>,
    /// What of the plan this engine does.
    pub share: Share,
    /// Its workers.
    pub workers: u32,
    /// Engines that did not come.
    pub missing: u32,
    /// Of every target; 192.0.2.1 when nothing else is said.
    pub address: IpAddr,
    /// What comes behind the ticks in place of a closing.
    pub failure: Option<HostError>,
    /// When the plugin stopped it or dropped it before its end, since its start; a test keeps a clone.
    pub stopped_at: Rc<Cell<Option<Duration>>>,
}

impl Default for FakeLoad {
    fn default() -> Self {
        Self {
            ticks: Vec::new(),
            share: Share::WHOLE,
            workers: 1,
            missing: 0,
            address: Ipv4Addr::new(192, 0, 2, 1).into(),
            failure: None,
            stopped_at: Rc::default(),
        }
    }
}

impl FakeLoad {
    /// A test that tells this at the end of each second.
    #[must_use]
    pub fn new(ticks: Vec<Vec<Tick>>) -> Self {
        Self { ticks, ..Self::default() }
    }

    /// Adds a second in which the first step had these answers: status, microseconds, and how many.
    #[must_use]
    pub fn second(mut self, answers: &[(u16, u64, u64)]) -> Self {
        let classes = (0..=5).filter_map(|class| class_of(class, answers)).collect();
        let sent = answers.iter().map(|(_, _, count)| count).sum();
        let second = u32::try_from(self.ticks.len()).unwrap_or(u32::MAX);
        let steps = vec![StepTick { classes, ..StepTick::default() }];
        self.ticks.push(vec![Tick { second, asked: sent, sent, steps, ..Tick::default() }]);
        self
    }

    /// Adds so many requests of the first step, which had no answer, to the second that was added last.
    #[must_use]
    pub fn error(mut self, kind: ErrorKind, count: u64) -> Self {
        if self.ticks.is_empty() {
            self = self.second(&[]);
        }
        if let Some(tick) = self.ticks.last_mut().and_then(|ticks| ticks.last_mut()) {
            let step = StepTick { errors: [(kind, count)].into(), ..StepTick::default() };
            tick.add(&Tick { asked: count, sent: count, steps: vec![step], ..Tick::default() });
        }
        self
    }

    /// Ends with a failure, behind the ticks.
    #[must_use]
    pub fn then_fails(mut self, error: HostError) -> Self {
        self.failure = Some(error);
        self
    }
}

fn class_of(class: u8, answers: &[(u16, u64, u64)]) -> Option<ClassTick> {
    let of = |status: u16| u8::try_from(status / 100).ok().filter(|c| (1..=5).contains(c));
    let here = answers.iter().filter(|(status, ..)| of(*status).unwrap_or(0) == class);
    let mut found = ClassTick { class, ..ClassTick::default() };
    for (status, us, count) in here {
        *found.statuses.entry(*status).or_default() += count;
        found.service_us.add(&Distribution::of([(*us, *count)]));
    }
    (!found.statuses.is_empty()).then_some(found)
}

/// One test over a [`FakeLoad`].
pub(super) struct FakeTest {
    opening: Opening,
    /// What is still to be told, with its time since the start.
    due: VecDeque<(Duration, Vec<Tick>)>,
    failure: Option<HostError>,
    /// Of all that waits in this run.
    clock: Rc<Cell<Duration>>,
    started: Duration,
    /// The job is asked to end at this time of the clock.
    end: Option<Duration>,
    /// It sends nothing more.
    is_stopped: bool,
    stopped_at: Rc<Cell<Option<Duration>>>,
    /// A run has one test at a time.
    is_open: Rc<Cell<bool>>,
}

impl FakeTest {
    pub(super) fn start(
        load: FakeLoad,
        plan: &Plan,
        clock: Rc<Cell<Duration>>,
        end: Option<Duration>,
        is_open: Rc<Cell<bool>>,
    ) -> Self {
        is_open.set(true);
        let FakeLoad { mut ticks, share, workers, missing, address, failure, stopped_at } = load;
        let is_closed = ticks.iter().flatten().any(|tick| tick.closing.is_some());
        if failure.is_none() && !is_closed {
            let closing =
                Closing { share, verdict: Verdict::Ended, text: String::new(), at_us: None };
            match ticks.last_mut().and_then(|ticks| ticks.last_mut()) {
                Some(last) => last.closing = Some(closing),
                None => ticks.push(vec![Tick { closing: Some(closing), ..Tick::default() }]),
            }
        }
        let due = (1..).map(Duration::from_secs).zip(ticks).collect();
        let target = |origin: crate::load::Origin| {
            (origin.to_string(), vec![SocketAddr::new(address, origin.port).to_string()])
        };
        let opening = Opening {
            plan: plan.clone(),
            share,
            workers,
            started_at_ms: STARTED_AT_MS,
            missing,
            targets: plan.origins().into_iter().map(target).collect(),
        };
        let started = clock.get();
        Self { opening, due, failure, clock, started, end, is_stopped: false, stopped_at, is_open }
    }

    /// Nothing is told any more but how it ended.
    fn end_early(&mut self) {
        let is_over = self.due.is_empty() && self.failure.is_none();
        if self.is_stopped || is_over {
            return;
        }
        self.is_stopped = true;
        let elapsed = self.clock.get() - self.started;
        let text = "stopped".to_owned();
        let closing =
            Closing { share: self.opening.share, verdict: Verdict::Stopped, text, at_us: None };
        let second = u32::try_from(elapsed.as_secs()).unwrap_or(u32::MAX);
        let last = Tick { second, closing: Some(closing), ..Tick::default() };
        self.failure = None;
        self.due = [(elapsed, vec![last])].into();
    }

    /// As [`Self::end_early`], by the plugin.
    fn stop_by_plugin(&mut self) {
        let was_stopped = self.is_stopped;
        self.end_early();
        if self.is_stopped && !was_stopped {
            self.stopped_at.set(Some(self.clock.get() - self.started));
        }
    }
}

impl LoadTest for FakeTest {
    fn opening(&self) -> &Opening {
        &self.opening
    }

    fn next(&mut self, wait: Duration) -> Result<Vec<Tick>, HostError> {
        let now = self.clock.get();
        let until = now.saturating_add(wait);
        let until = self.end.map_or(until, |end| until.min(end.max(now)));
        let Some((first, _)) = self.due.front() else {
            let ended = "the load test has ended: its last tick had a closing";
            return Err(self.failure.clone().unwrap_or(HostError::Failed(ended.to_owned())));
        };
        let first = self.started + *first;
        if first <= until {
            let now = now.max(first);
            self.clock.set(now);
            let is_here = |(at, _): &(Duration, Vec<Tick>)| self.started + *at <= now;
            let here = self.due.iter().take_while(|due| is_here(due)).count();
            return Ok(self.due.drain(..here).flat_map(|(_, ticks)| ticks).collect());
        }
        self.clock.set(until);
        if self.end.is_some_and(|end| end <= until) {
            // The host stops it, and says so with the next call.
            self.end_early();
        }
        Ok(Vec::new())
    }

    fn stop(&mut self) {
        self.stop_by_plugin();
    }
}

impl Drop for FakeTest {
    fn drop(&mut self) {
        self.stop_by_plugin();
        self.is_open.set(false);
    }
}

#[cfg(test)]
mod tests;
