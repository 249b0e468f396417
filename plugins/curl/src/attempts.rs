//! The transfer with its retries: attempts one after another, until one is good enough or the last one.
//!
//! Which ends are worth another attempt is decided in `retry`; this file makes them.

use std::time::{Duration, Instant, SystemTime};

use blitz_plugin::{Call, Host};

use crate::args::Settings;
use crate::exit::{Code, Problem};
use crate::output::Sink;
use crate::retry::{Cause, Course, Next, retry_after};
use crate::stats::Stats;
use crate::time_limit::TimeLimit;
use crate::transfer::{self, Transfer};
use crate::{tell, warn};

/// Carries the settings out. `stats` tells how far the latest attempt came, also when it fails.
pub(crate) fn run(
    call: &Call,
    settings: &Settings,
    stats: &mut Stats,
    host: &mut dyn Host,
) -> Result<(), Problem> {
    let started = Instant::now();
    let (template, first) = transfer::prepare(settings, stats, host)?;
    let mut plan = Plan {
        course: Course::new(settings.retries),
        started,
        job_time: call.deadline,
        decided: None,
    };
    loop {
        *stats = Stats {
            retries_count: plan.course.made(),
            url: Some(template.url.clone()),
            ..Stats::default()
        };
        let mut attempt = Transfer {
            call,
            template: &template,
            time_limit: TimeLimit::start(settings.max_time),
            written_bytes: 0,
            stats,
            plan: &mut plan,
        };
        let outcome = attempt.run(&first, host);
        let written_bytes = attempt.written_bytes;
        match plan.after(outcome.as_ref().map(|_| ()), stats, settings) {
            Next::Again(..) if written_bytes > 0 && settings.body_to.is_file() => {
                let text = format!(
                    "{written_bytes} bytes are in the file of -o, which cannot start over: no retry."
                );
                warn(&text, settings, host);
            }
            Next::Again(pause, text) => {
                if let Err(problem) = &outcome {
                    tell(problem, settings, host);
                }
                warn(&text, settings, host);
                wait(pause);
                continue;
            }
            Next::EndWith(text) => warn(text, settings, host),
            Next::End => {}
        }
        return finish(outcome, written_bytes, stats, settings, host);
    }
}

/// Makes the files to which nothing was written: that of `-D` always, that of `-o` when there was an answer
/// with a body of its own (RFC 9110, section 15.4.5).
fn finish(
    outcome: Result<(), Problem>,
    written_bytes: u64,
    stats: &Stats,
    settings: &Settings,
    host: &mut dyn Host,
) -> Result<(), Problem> {
    let heads_to = settings.heads_to.as_ref();
    let heads = heads_to.map_or(Ok(()), |sink| sink.finish(stats.header_bytes, host));
    outcome.and(heads)?;
    if stats.answered.as_ref().is_some_and(|answered| answered.status == 304) {
        return Ok(());
    }
    settings.body_to.finish(written_bytes, host)
}

/// Whether there will be another attempt.
#[derive(Debug)]
pub(crate) struct Plan {
    course: Course,
    started: Instant,
    job_time: Duration,
    /// Decided before the body was brought.
    decided: Option<Next>,
}

impl Plan {
    /// Whether an answer is to be left unwritten, as its file could not start over at the next attempt.
    ///
    /// Asked at the head of a last answer, with what its status means to the user.
    pub(crate) fn repeats_over(
        &mut self,
        stats: &Stats,
        judged: Option<&Problem>,
        settings: &Settings,
    ) -> bool {
        if !settings.body_to.is_file() {
            return false;
        }
        let next = self.after(judged.map_or(Ok(()), Err), stats, settings);
        let repeats = matches!(next, Next::Again(..));
        // Else the transfer's own end decides.
        self.decided = Some(next).filter(|_| repeats);
        repeats
    }

    fn after(&mut self, outcome: Result<(), &Problem>, stats: &Stats, settings: &Settings) -> Next {
        let went_as_judged =
            outcome.map_or_else(|problem| problem.code == Code::HttpReturnedError, |()| true);
        if let Some(next) = self.decided.take().filter(|_| went_as_judged) {
            return next;
        }
        let status = stats.answered.as_ref().map(|answered| answered.status);
        let cause = Cause::of(outcome, status, settings.status, settings.retries);
        let asked =
            stats.header("retry-after").and_then(|value| retry_after(&value, SystemTime::now()));
        let elapsed = self.started.elapsed();
        self.course.next(cause, asked, elapsed, self.job_time.saturating_sub(elapsed))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a component has one thread and nothing else to do; the host ends it with its job"
)]
fn wait(pause: Duration) {
    std::thread::sleep(pause);
}

impl Sink {
    fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }
}
