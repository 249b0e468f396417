//! The herd: one job after the other before a thousand engines of one region, most of them busy or none. How many
//! of them write, and how much later the job is claimed than it could be.
//!
//! Faults are [`crate::world`]'s; here everything works, and only takes its time.

mod delay;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use blitz_contract::{Exit, Limits, Retry};
use blitz_couchdb::Revision;
use blitz_jobs::contest::{Action, Config, Contest};
use blitz_jobs::guards::Guards;
use blitz_jobs::spec::{SpecKind, Terms};
use blitz_jobs::timing::Timing;
use blitz_jobs::writing::Answer;
use blitz_jobs::{End, Incarnation, JobId, Run, Spec};
use delay::{FEED, PUT};

use crate::random::Random;

/// How long a job runs: longer than any engine waits for others, shorter than a beat.
const JOB: Duration = Duration::from_secs(3);

/// From a claim to the next job: nothing of the last one is under way any more.
const GAP: Duration = Duration::from_secs(10);

/// The region's name.
const REGION: &str = "herd";

/// The digest of the plugin that all engines have.
const PLUGIN: &str = "abc";

/// What is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Herd {
    /// Engines of the region, at least 1.
    pub engines: usize,
    /// Of 1,000 engines, how many have no free slot; one at least is free. Which ones differs from job to job.
    pub busy_per_mille: usize,
    /// Jobs that come before those that count, each with one free engine: from their own claims engines learn how
    /// long a feed takes. None is a region that has just begun.
    pub warm_up: usize,
    /// Jobs, each when the last one is over.
    pub jobs: usize,
    /// The same seed is the same run.
    pub seed: u64,
}

/// What it came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Writes of claims, of all jobs together.
    pub puts: usize,
    /// Those that were refused: 409.
    pub conflicts: usize,
    /// Of each job, from the acknowledgement of its spec to the answer of the claim that won; sorted.
    pub latencies: Vec<Duration>,
}

impl Outcome {
    /// The smallest latency that `percent` of 100 do not exceed.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.latencies.len() * percent).div_ceil(100).max(1) - 1;
        self.latencies.get(rank).copied().unwrap_or_default()
    }
}

impl Herd {
    /// Runs it.
    #[must_use]
    pub fn run(self) -> Outcome {
        let mut region = Region::new(Self { busy_per_mille: 1000, ..self });
        for number in 0..self.warm_up {
            region.job(number);
        }
        region.outcome = Outcome::default();
        region.herd = self;
        for number in self.warm_up..self.warm_up + self.jobs {
            region.job(number);
        }
        region.outcome.latencies.sort_unstable();
        region.outcome
    }
}

/// Something that happens to one engine or reaches the store.
#[derive(Debug)]
enum Event {
    HearSpec(Arc<Spec>),
    HearRun(Revision, Run),
    /// A write reaches the store; its answer takes so much longer.
    Arrive {
        over: Option<Revision>,
        run: Run,
        back: Duration,
    },
    Answered(Answer),
    /// The job that the engine runs is over.
    Over,
    Wake,
}

/// An event in the queue: earlier ones first, and of one moment in the order of their making.
#[derive(Debug)]
struct Due {
    at: Duration,
    number: u64,
    engine: usize,
    job: JobId,
    event: Event,
}

struct Region {
    herd: Herd,
    random: Random,
    now: Duration,
    engines: Vec<Contest>,
    /// When the last thing on each engine's feed arrives: what comes later comes after it.
    fed: Vec<Duration>,
    /// The earliest waking that is in the queue for each engine.
    wakes: Vec<Option<Duration>>,
    queue: BinaryHeap<Reverse<Due>>,
    events: u64,
    /// The engines that contend for the present job.
    free: Vec<usize>,
    /// The run of the present job as the store has it.
    stored: Option<(Revision, Run)>,
    asked: Duration,
    outcome: Outcome,
}

impl Region {
    fn new(herd: Herd) -> Self {
        let count = herd.engines.max(1);
        let engines = (0..count).map(|number| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            let incarnation = Incarnation::from_random(bytes);
            let mut contest = Contest::new(Config {
                engine: format!("engine-{number}"),
                incarnation,
                region: REGION.to_owned(),
                epoch: 1,
                only_safe: false,
                slots: 1,
                timing: Timing::default(),
                guards: Guards::default(),
            });
            contest.hear_engines(count as u64);
            contest.add_plugin(PLUGIN);
            contest
        });
        Self {
            engines: engines.collect(),
            fed: vec![Duration::ZERO; count],
            wakes: vec![None; count],
            free: (0..count).collect(),
            random: Random::new(herd.seed),
            herd,
            now: Duration::ZERO,
            queue: BinaryHeap::new(),
            events: 0,
            stored: None,
            asked: Duration::ZERO,
            outcome: Outcome::default(),
        }
    }

    /// One job, until nothing of it is under way any more.
    fn job(&mut self, number: usize) {
        let spec = Arc::new(spec(number));
        self.stored = None;
        self.asked = self.now;
        self.draw_free();
        for engine in self.free.clone() {
            self.feed(engine, &spec.job, Event::HearSpec(Arc::clone(&spec)));
        }
        // It is claimed some time, and then it is soon over.
        let claimed = self.outcome.latencies.len();
        let mut end = None;
        while let Some(Reverse(due)) = self.queue.peek()
            && end.is_none_or(|end| due.at < end)
            && let Some(Reverse(due)) = self.queue.pop()
        {
            self.now = due.at;
            self.happen(due);
            if end.is_none() && self.outcome.latencies.len() > claimed {
                end = Some(self.now + GAP);
            }
        }
        self.now = end.expect("every job is claimed");
        assert_eq!(self.outcome.latencies.len(), claimed + 1, "and claimed once");
    }

    /// A busy engine claims nothing, whatever it hears: it is left out until the next job.
    fn draw_free(&mut self) {
        let count = self.engines.len();
        let free = (count * (1000 - self.herd.busy_per_mille.min(1000))).div_ceil(1000).max(1);
        let mut all: Vec<usize> = (0..count).collect();
        for place in 0..free {
            let chosen = place + self.random.below(count - place);
            all.swap(place, chosen);
        }
        all.truncate(free);
        self.free = all;
    }

    fn happen(&mut self, due: Due) {
        let Due { engine, job, event, .. } = due;
        let now = self.now;
        let actions = match event {
            Event::HearSpec(spec) => {
                self.engines[engine].hear_spec(now, spec);
                Vec::new()
            }
            Event::HearRun(revision, run) => {
                self.engines[engine].hear_run(now, &job, revision, run)
            }
            Event::Arrive { over, run, back } => return self.arrive(engine, job, over, run, back),
            Event::Answered(answer) => self.engines[engine].write_answered(now, &job, answer),
            Event::Over => self.engines[engine].job_ended(now, &job, Some(end())),
            Event::Wake => {
                self.wakes[engine] = None;
                Vec::new()
            }
        };
        self.perform(engine, actions);
        let actions = self.engines[engine].tick(now);
        self.perform(engine, actions);
        self.wake(engine, &job);
    }

    fn perform(&mut self, engine: usize, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Write { job, over, run } => {
                    self.outcome.puts += usize::from(matches!(run, Run::Claimed { .. }));
                    let there = PUT.draw(&mut self.random) / 2;
                    let back = PUT.draw(&mut self.random) / 2;
                    self.push(self.now + there, engine, job, Event::Arrive { over, run, back });
                }
                Action::Start { spec, .. } => {
                    self.outcome.latencies.push(self.now - self.asked);
                    self.push(self.now + JOB, engine, spec.job.clone(), Event::Over);
                }
                // No job runs for as long as it takes until a beat is due.
                Action::Poll { .. } => self.engines[engine].hear_beats(self.now, REGION, &[]),
                other => unreachable!("where nothing fails nobody asks for {other:?}"),
            }
        }
    }

    /// The store's own check, which is all that decides.
    fn arrive(
        &mut self,
        engine: usize,
        job: JobId,
        over: Option<Revision>,
        run: Run,
        back: Duration,
    ) {
        let answer = if self.stored.as_ref().map(|(revision, _)| revision) == over.as_ref() {
            Answer::Won(self.store(&job, run))
        } else {
            self.outcome.conflicts += 1;
            Answer::Lost
        };
        self.push(self.now + back, engine, job, Event::Answered(answer));
    }

    /// Stores a run and tells all engines of it.
    fn store(&mut self, job: &JobId, run: Run) -> Revision {
        let generation = self.stored.as_ref().map_or(1, |(revision, _)| revision.generation() + 1);
        self.events += 1;
        let revision: Revision =
            format!("{generation}-{:032x}", self.events).parse().expect("a revision");
        self.stored = Some((revision.clone(), run.clone()));
        for engine in self.free.clone() {
            self.feed(engine, job, Event::HearRun(revision.clone(), run.clone()));
        }
        revision
    }

    /// Something is told on the feed: in order, and each engine hears it in its own time.
    fn feed(&mut self, engine: usize, job: &JobId, event: Event) {
        let at = (self.now + FEED.draw(&mut self.random)).max(self.fed[engine]);
        self.fed[engine] = at;
        self.push(at, engine, job.clone(), event);
    }

    fn wake(&mut self, engine: usize, job: &JobId) {
        let Some(due) = self.engines[engine].due() else { return };
        let at = due.max(self.now);
        if self.wakes[engine].is_none_or(|planned| at < planned) {
            self.wakes[engine] = Some(at);
            self.push(at, engine, job.clone(), Event::Wake);
        }
    }

    fn push(&mut self, at: Duration, engine: usize, job: JobId, event: Event) {
        self.events += 1;
        self.queue.push(Reverse(Due { at, number: self.events, engine, job, event }));
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Due {}

fn end() -> End {
    End { exit: Exit::Status(0), chunks: 0, bytes: 0, digest: String::new(), duration_ms: 0 }
}

fn spec(number: usize) -> Spec {
    let job: JobId = format!("{REGION}-1-{number:026}").parse().expect("an id");
    Spec {
        kind: SpecKind::Spec,
        blitz: blitz_jobs::BUILD.to_owned(),
        run: job.to_string(),
        tasks: vec![job.clone()],
        job,
        plugin: "p".to_owned(),
        version: "0.1.0".to_owned(),
        sha256: PLUGIN.to_owned(),
        args: Vec::new(),
        retry: Retry::Safe,
        limits: Limits::default(),
        timeout_ms: 60_000,
        queue_timeout_ms: 10_000,
        tenant: None,
        terms: Terms::default(),
        sealed: Vec::new(),
        inputs: Vec::new(),
        home_epoch: 1,
        created_at_ms: 0,
    }
}

#[cfg(test)]
mod tests;
