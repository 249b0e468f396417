//! How each job of a load test stands: what is shown beside its region, and how it ended for the report. Pure.

use blitz_contract::Exit;
use blitz_contract::Stopped;
use blitz_contract::load::{OPENING_EVENT, Opening, StepTick, TICK_EVENT, Tick, Verdict};
use blitz_report::{Latency, PartEnd, words};

use crate::cells::line;
use crate::exit_code::ExitCode;
use crate::render::{Outcome, Watched, end_text};
use crate::wire::{End, JobState, State};

/// Seconds that a part may be behind the others before it is said.
const BEHIND_MAX: u32 = 3;

/// One job.
#[derive(Debug, Clone)]
pub(super) struct PartState {
    pub(super) label: String,
    stage: Stage,
    /// What it said last: users, answers and errors of that second.
    last: Tick,
    /// Of all its answers.
    response: Latency,
    hits: u64,
    hits_per_s: u64,
    errors: u64,
    /// Of each step, whether it names the status that it expects: an answer of 4xx or 5xx is an error where it does not.
    expects: Vec<bool>,
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// No engine has it.
    Queued,
    /// An engine has it, and waits for the others, or for the moment.
    Waiting { engine: Option<String> },
    /// It sends.
    Running { length_s: u64, missing: u32 },
    /// Its last tick is there.
    Closed(Verdict),
    /// Over.
    Ended(PartEnd),
}

impl PartState {
    pub(super) fn new(watched: &Watched) -> Self {
        Self {
            label: line(&watched.label),
            stage: Stage::Queued,
            last: Tick::default(),
            response: Latency::default(),
            hits: 0,
            hits_per_s: 0,
            errors: 0,
            expects: Vec::new(),
        }
    }

    /// Hears of the job's way.
    pub(super) fn state(&mut self, state: &State) {
        match (&self.stage, state.state.as_str()) {
            (Stage::Queued | Stage::Waiting { .. }, "claimed") => {
                self.stage = Stage::Waiting { engine: state.engine.clone() };
            }
            (Stage::Waiting { .. }, "released" | "queued") => self.stage = Stage::Queued,
            _ => {}
        }
    }

    /// Hears a record.
    pub(super) fn record(&mut self, kind: &str, body: &[u8]) {
        if kind == OPENING_EVENT
            && let Ok(opening) = serde_json::from_slice::<Opening>(body)
        {
            let length_s = opening.plan.shape.duration().as_secs_f64().ceil();
            self.stage = Stage::Running { length_s: whole(length_s), missing: opening.missing };
            self.expects = opening.plan.steps.iter().map(|step| step.status.is_some()).collect();
        }
        if kind == TICK_EVENT
            && let Ok(tick) = serde_json::from_slice::<Tick>(body)
        {
            self.tick(tick);
        }
    }

    fn tick(&mut self, tick: Tick) {
        let classes = || tick.steps.iter().flat_map(|step| &step.classes);
        let hits = classes().map(|class| class.service_us.total()).fold(0, u64::saturating_add);
        // A second with much in it comes as several ticks.
        let is_same = self.hits > 0 && tick.second == self.last.second;
        self.hits_per_s = if is_same { self.hits_per_s.saturating_add(hits) } else { hits };
        self.hits = self.hits.saturating_add(hits);
        let errors =
            tick.steps.iter().map(|step| self.errors_of(step)).fold(0, u64::saturating_add);
        self.errors = self.errors.saturating_add(errors);
        let times: Vec<Latency> = classes()
            .map(|class| match class.response_us.is_empty() {
                true => Latency::from(class.service_us.clone()),
                false => Latency::from(class.response_us.clone()),
            })
            .collect();
        self.response = Latency::sum(times.iter().chain([&self.response]));
        if let Some(closing) = &tick.closing {
            self.stage = Stage::Closed(closing.verdict);
        }
        self.last = Tick { steps: Vec::new(), ..tick };
    }

    /// As the report counts them.
    fn errors_of(&self, step: &StepTick) -> u64 {
        let told = step.errors.values().copied().fold(0, u64::saturating_add);
        let place = usize::try_from(step.step).unwrap_or(usize::MAX);
        if self.expects.get(place).copied().unwrap_or(true) {
            return told;
        }
        let statuses = step.classes.iter().flat_map(|class| &class.statuses);
        let bad = statuses.filter(|(status, _)| (400..600).contains(*status));
        bad.fold(told, |sum, (_, number)| sum.saturating_add(*number))
    }

    pub(super) fn end(&mut self, end: PartEnd) {
        self.stage = Stage::Ended(end);
    }

    pub(super) fn is_lost(&self) -> bool {
        matches!(self.stage, Stage::Ended(PartEnd::Lost { .. } | PartEnd::Refused { .. }))
    }

    /// Seconds that it has told.
    pub(super) fn told(&self) -> u32 {
        match self.response.is_empty() && self.last == Tick::default() {
            true => 0,
            false => self.last.second.saturating_add(1),
        }
    }

    /// `running 31 s of 1:00`; `furthest` is what the part that is ahead has told.
    pub(super) fn stage_text(&self, furthest: u32) -> String {
        match &self.stage {
            Stage::Queued => "waiting for an engine".to_owned(),
            Stage::Waiting { engine: None } => "ready, waiting for the start".to_owned(),
            Stage::Waiting { engine: Some(engine) } => {
                format!("{}: waiting for the start", line(engine))
            }
            Stage::Running { length_s, missing } => {
                // The last answers come behind the plan's end.
                let at = words::clock(u64::from(self.told()).min(*length_s));
                let mut text = format!("running {at} of {}", words::clock(*length_s));
                let behind = furthest.saturating_sub(self.told());
                if behind > BEHIND_MAX {
                    text.push_str(&format!(", silent for {behind} s"));
                }
                if *missing > 0 {
                    text.push_str(&format!(", {missing} engines missing"));
                }
                text
            }
            Stage::Closed(Verdict::Ended) => "ended".to_owned(),
            Stage::Closed(Verdict::Stopped) => "stopped".to_owned(),
            Stage::Closed(Verdict::Revoked) => "stopped: the target may not be loaded".to_owned(),
            Stage::Closed(Verdict::Failed) => "failed".to_owned(),
            Stage::Ended(PartEnd::Done { status: 0 }) => "done".to_owned(),
            Stage::Ended(PartEnd::Done { status }) => format!("ended with {status}"),
            Stage::Ended(PartEnd::Cancelled) => "cancelled".to_owned(),
            Stage::Ended(PartEnd::Lost { reason }) => format!("lost: {}", line(reason)),
            Stage::Ended(PartEnd::Refused { reason }) => format!("refused: {}", line(reason)),
        }
    }

    /// Its figures; none before its first tick.
    pub(super) fn figures(&self) -> Option<PartFigures> {
        let is_running = matches!(self.stage, Stage::Running { .. });
        (self.told() > 0).then(|| PartFigures {
            now: is_running.then_some((self.last.users, self.hits_per_s)),
            hits: self.hits,
            errors: self.errors,
            p50_us: self.response.p50_us(),
            p99_us: self.response.p99_us(),
        })
    }
}

/// What a part has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartFigures {
    /// Users, and answers in a second, while it runs.
    pub(super) now: Option<(u32, u64)>,
    pub(super) hits: u64,
    pub(super) errors: u64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
}

/// How a job's end counts for the report.
pub(super) fn end_of(end: &End) -> PartEnd {
    let reason = || end_text(end).unwrap_or_else(|| end.state.name().to_owned());
    match (end.state, &end.exit) {
        (JobState::Cancelled, _) => PartEnd::Cancelled,
        (JobState::Lost | JobState::Poison | JobState::Expired, _) => {
            PartEnd::Lost { reason: reason() }
        }
        (_, Some(Exit::Status(status))) => PartEnd::Done { status: *status },
        // Its time was over: what it told counts, and is a part.
        (_, Some(Exit::Stopped(Stopped::Cancelled | Stopped::Timeout(_)))) => PartEnd::Cancelled,
        (_, Some(Exit::Stopped(_))) => PartEnd::Refused { reason: reason() },
        (_, None) => PartEnd::Lost { reason: reason() },
    }
}

/// The same when all is over; of a job whose end was not seen, too.
pub(super) fn end_of_outcome(outcome: &Outcome) -> PartEnd {
    if let Some(reason) = outcome.incomplete.as_ref().or(outcome.failure.as_ref()) {
        return PartEnd::Lost { reason: reason.clone() };
    }
    match &outcome.end {
        Some(end) => end_of(end),
        None if outcome.code.is_some_and(ExitCode::is_signal) => PartEnd::Cancelled,
        None => PartEnd::Lost { reason: "its end was not seen".to_owned() },
    }
}

/// Seconds that come from a plan's own milliseconds.
fn whole(seconds: f64) -> u64 {
    // Plans are a day long at most.
    std::time::Duration::try_from_secs_f64(seconds).map_or(0, |length| length.as_secs())
}
