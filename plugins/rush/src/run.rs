//! From the begin of a load test to its end.

use std::time::Duration;

use blitz_plugin::load::{Closing, First, LoadTest, Plan, Tick, Verdict};
use blitz_plugin::{Failure, Host, HostError};

use crate::{EXIT_FAILED, EXIT_USAGE};

/// How long one call waits for ticks; they come each second.
const WAIT: Duration = Duration::from_secs(2);
/// Of the job's time, to begin and to end.
const SPARE: Duration = Duration::from_secs(2);
/// What is proposed beyond a plan's own length: engines wait for each other, and the last answers are waited for.
const PROPOSED_SPARE: Duration = Duration::from_secs(60);

/// Carries a plan out. Prints nothing: the command line shows what the host records.
///
/// # Errors
///
/// When it could not begin, when it did not come to its end, and when not one request was answered.
pub(crate) fn run(plan: &Plan, region: &str, host: &mut dyn Host) -> Result<u8, Failure> {
    enough_time(plan.shape.duration(), host.time_left())?;
    let begun = host.load(plan);
    let mut test = begun.map_err(|error| {
        // More than may be asked for: the plan is to be another one, as with any other mistake in it.
        let is_too_much = matches!(error, HostError::Limit(_));
        Failure::of_host(error, if is_too_much { EXIT_USAGE } else { EXIT_FAILED }, region)
    })?;
    let mut tally = Tally::default();
    let closing = until_closed(test.as_mut(), &mut tally, host)
        .map_err(|error| Failure::of_host(error, EXIT_FAILED, region))?;
    let Closing { verdict, text, .. } = closing;
    match verdict {
        Verdict::Ended => tally.status(),
        Verdict::Revoked => Err(Failure::of_host(HostError::Denied(text), EXIT_FAILED, region)),
        Verdict::Stopped if host.is_cancelled() => Ok(EXIT_FAILED),
        Verdict::Stopped => Err(ended_early("stopped before its end", &text)),
        Verdict::Failed => Err(ended_early("a part of it is missing", &text)),
    }
}

/// A plan that cannot end in the job's time is not begun.
fn enough_time(length: Duration, left: Duration) -> Result<(), Failure> {
    if length + SPARE <= left {
        return Ok(());
    }
    let (length_s, left_s) = (length.as_secs_f64().ceil(), left.as_secs());
    let proposed = (length + PROPOSED_SPARE).as_secs();
    let text = format!(
        "the plan is {length_s} s long, and the job has {left_s} s left: blitz rush --timeout {proposed}s gives it more \
         (the time limit of one request is -T)"
    );
    Err(Failure::new(EXIT_USAGE, text))
}

fn until_closed(
    test: &mut dyn LoadTest,
    tally: &mut Tally,
    host: &mut dyn Host,
) -> Result<Closing, HostError> {
    let mut is_stopped = false;
    loop {
        if !is_stopped && host.is_cancelled() {
            test.stop();
            is_stopped = true;
        }
        let ticks = test.next(WAIT)?;
        if ticks.is_empty() && host.time_left().is_zero() {
            return Err(HostError::Failed(
                "the job's time is over, and the test is not".to_owned(),
            ));
        }
        for tick in ticks {
            tally.add(&tick);
            if let Some(closing) = tick.closing {
                return Ok(closing);
            }
        }
    }
}

fn ended_early(how: &str, text: &str) -> Failure {
    let between = if text.is_empty() { "" } else { ": " };
    Failure::new(EXIT_FAILED, format!("{how}{between}{text}"))
}

/// What the exit status depends on.
#[derive(Debug, Default)]
struct Tally {
    asked: u64,
    answered: u64,
    failed: u64,
    first: Option<First>,
}

impl Tally {
    fn add(&mut self, tick: &Tick) {
        self.asked += tick.asked;
        for step in &tick.steps {
            let statuses = step.classes.iter().flat_map(|class| class.statuses.values());
            self.answered += statuses.sum::<u64>();
            self.failed += step.errors.values().sum::<u64>();
        }
        for first in &tick.firsts {
            if self.first.as_ref().is_none_or(|known| first.at_ms < known.at_ms) {
                self.first = Some(first.clone());
            }
        }
    }

    /// An engine whose share is nothing has carried it out.
    fn status(&self) -> Result<u8, Failure> {
        if self.answered > 0 || self.asked.max(self.failed) == 0 {
            return Ok(0);
        }
        let asked = self.asked.max(self.failed);
        let requests =
            if asked == 1 { "the request was not" } else { "not one of the requests was" };
        let first =
            self.first.as_ref().map(|first| format!(": {}", first.text)).unwrap_or_default();
        Err(Failure::new(EXIT_FAILED, format!("{requests} answered{first}")))
    }
}
