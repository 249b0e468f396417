//! The exit codes of `blitz`, in one table, and the functions that choose among them.
//!
//! | code | meaning |
//! |---|---|
//! | 0-255 | the command's own status, as the plugin returned it |
//! | 1 | a built-in command failed on this machine: a file, a port, a data directory |
//! | 1 | a load test whose `--fail` is not met: only where all its jobs gave 0 |
//! | 2 | usage: an unknown flag, region, plugin or job; an input file that cannot be read |
//! | 3 | a load test whose figures are not the target's, since the generator was the limit: only where all its jobs gave 0, not where each `--fail` is met and a faster generator could not break it, and not where one about errors or statuses is broken by more than time-outs, which is 1 |
//! | 120 | no engine of the region took the job within the queue time-out, or too many wait there |
//! | 121 | the job's time was over |
//! | 122 | refused: by the gateway (a key, a right, a quota, a policy), or stopped by a limit; the plugin crashed or cannot be used |
//! | 123 | the engine was lost, or could not begin what must not run twice: output is incomplete, or a pipe had bytes of an attempt that is void |
//! | 124 | somebody else aborted the job |
//! | 125 | the gateway or its store cannot be reached |
//! | 129, 130, 143 | ended by a closed terminal, ^C or SIGTERM; the remote job was cancelled |
//!
//! Several jobs make one code by [`combine`]; after ^C it is 130 whatever they gave.
//!
//! A closed pipe behind stdout (`blitz ... | head -1`) is a quiet end: the remote job is cancelled and
//! the code is 0, because the reader had all that it wanted.

use std::fmt;

use blitz_contract::{Exit, Stopped};

use crate::wire::{End, JobState};

/// What the process tells the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ExitCode(pub(crate) u8);

impl ExitCode {
    pub(crate) const SUCCESS: Self = Self(0);
    pub(crate) const FAILURE: Self = Self(1);
    pub(crate) const USAGE: Self = Self(2);
    pub(crate) const GENERATOR_LIMITED: Self = Self(3);
    pub(crate) const NO_ENGINE: Self = Self(120);
    pub(crate) const TIMED_OUT: Self = Self(121);
    pub(crate) const REFUSED: Self = Self(122);
    pub(crate) const LOST: Self = Self(123);
    pub(crate) const ABORTED: Self = Self(124);
    pub(crate) const UNREACHABLE: Self = Self(125);
    pub(crate) const HUNG_UP: Self = Self(129);
    pub(crate) const INTERRUPTED: Self = Self(130);
    pub(crate) const TERMINATED: Self = Self(143);

    /// Somebody here wanted the end.
    pub(crate) fn is_signal(self) -> bool {
        matches!(self, Self::HUNG_UP | Self::INTERRUPTED | Self::TERMINATED)
    }
}

impl fmt::Display for ExitCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.0)
    }
}

/// When several jobs of one command make the whole command fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum FailOn {
    /// One failed job is enough; the highest code counts.
    #[default]
    Any,
    /// Only when no job succeeded; the highest code counts.
    All,
    /// Whatever the jobs did, the command succeeds once all have ended.
    Never,
}

/// The code of one job that ended.
///
/// The state is asked before the status: a job that was lost may still carry one of an earlier attempt.
pub(crate) fn of_end(end: &End) -> ExitCode {
    match end.state {
        JobState::Expired => return ExitCode::NO_ENGINE,
        JobState::Lost | JobState::Poison => return ExitCode::LOST,
        JobState::Cancelled => return ExitCode::ABORTED,
        JobState::Done | JobState::Failed | JobState::Other => {}
    }
    match &end.exit {
        Some(Exit::Status(status)) => ExitCode(*status),
        Some(Exit::Stopped(Stopped::Cancelled)) => ExitCode::ABORTED,
        Some(Exit::Stopped(Stopped::Timeout(_))) => ExitCode::TIMED_OUT,
        Some(Exit::Stopped(Stopped::Limit(_) | Stopped::Crashed(_) | Stopped::Unusable(_))) => {
            ExitCode::REFUSED
        }
        None => ExitCode::LOST,
    }
}

/// The code of the whole command, from those of its jobs.
///
/// `is_gateway_lost`: some jobs were not followed to their end, so nobody knows what they did.
/// [`FailOn::Never`] forgives jobs, not that.
pub(crate) fn combine(fail_on: FailOn, codes: &[ExitCode], is_gateway_lost: bool) -> ExitCode {
    let highest = codes.iter().copied().max().unwrap_or(ExitCode::SUCCESS);
    match fail_on {
        FailOn::All if codes.contains(&ExitCode::SUCCESS) => ExitCode::SUCCESS,
        FailOn::Any | FailOn::All => highest,
        FailOn::Never if is_gateway_lost => ExitCode::UNREACHABLE,
        FailOn::Never => ExitCode::SUCCESS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_code() {
        let stopped = |why: fn(String) -> Stopped| Some(Exit::Stopped(why("text".to_owned())));
        for (state, exit, code) in [
            (JobState::Done, Some(Exit::Status(0)), 0),
            (JobState::Done, Some(Exit::Status(22)), 22),
            (JobState::Failed, Some(Exit::Status(255)), 255),
            (JobState::Failed, stopped(Stopped::Timeout), 121),
            (JobState::Failed, stopped(Stopped::Limit), 122),
            (JobState::Failed, stopped(Stopped::Crashed), 122),
            (JobState::Failed, stopped(Stopped::Unusable), 122),
            (JobState::Failed, Some(Exit::Stopped(Stopped::Cancelled)), 124),
            (JobState::Failed, None, 123),
            (JobState::Expired, None, 120),
            (JobState::Cancelled, None, 124),
            (JobState::Lost, Some(Exit::Status(0)), 123),
            (JobState::Poison, None, 123),
            (JobState::Other, Some(Exit::Status(3)), 3),
            (JobState::Other, None, 123),
        ] {
            let end = End { state, exit: exit.clone(), ..End::default() };
            assert_eq!(of_end(&end), ExitCode(code), "{state:?} {exit:?}");
        }
    }

    #[test]
    fn several_jobs_make_one_code() {
        for (codes, any, all, never) in [
            (&[][..], 0, 0, 0),
            (&[0, 0], 0, 0, 0),
            (&[7], 7, 7, 0),
            (&[0, 7, 22], 22, 0, 0),
            (&[7, 22], 22, 22, 0),
            // Codes of ours among those of the plugin: no rank but the number.
            (&[7, 120], 120, 120, 0),
            (&[0, 121], 121, 0, 0),
            (&[22, 122, 123], 123, 123, 0),
            (&[124, 0], 124, 0, 0),
            (&[123, 255], 255, 255, 0),
            // A plugin may say 125 too: then its job has ended.
            (&[125, 7], 125, 125, 0),
        ] {
            check(codes, false, [any, all, never]);
        }
        for (codes, any, all, never) in [
            (&[125][..], 125, 125, 125),
            (&[125, 7], 125, 125, 125),
            (&[125, 0], 125, 0, 125),
            (&[125, 200], 200, 200, 125),
        ] {
            check(codes, true, [any, all, never]);
        }
    }

    #[track_caller]
    fn check(codes: &[u8], is_gateway_lost: bool, expected: [u8; 3]) {
        let all: Vec<ExitCode> = codes.iter().map(|c| ExitCode(*c)).collect();
        for (fail_on, code) in [FailOn::Any, FailOn::All, FailOn::Never].into_iter().zip(expected) {
            let given = combine(fail_on, &all, is_gateway_lost);
            assert_eq!(given, ExitCode(code), "{fail_on:?} {codes:?}");
        }
    }
}
