//! The exit codes of `blitz`, in one table, and the functions that choose among them.
//!
//! | code | meaning |
//! |---|---|
//! | 0-255 | the command's own status, as the plugin returned it |
//! | 1 | a built-in command failed on this machine: a file, a port, a data directory |
//! | 2 | usage: an unknown flag, region, plugin or job; an input file that cannot be read |
//! | 120 | no engine of the region took the job within the queue time-out |
//! | 121 | the job's time was over |
//! | 122 | refused, or stopped by a limit; the plugin crashed or cannot be used |
//! | 123 | the engine was lost: output is incomplete, or a pipe had bytes of an attempt that is void |
//! | 124 | somebody else aborted the job |
//! | 125 | the gateway or its store cannot be reached |
//! | 130, 143 | ended by ^C or SIGTERM; the remote job was cancelled |
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
    pub(crate) const NO_ENGINE: Self = Self(120);
    pub(crate) const TIMED_OUT: Self = Self(121);
    pub(crate) const REFUSED: Self = Self(122);
    pub(crate) const LOST: Self = Self(123);
    pub(crate) const ABORTED: Self = Self(124);
    pub(crate) const UNREACHABLE: Self = Self(125);
    pub(crate) const INTERRUPTED: Self = Self(130);
    pub(crate) const TERMINATED: Self = Self(143);
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

/// The code of the whole command.
pub(crate) fn combine(fail_on: FailOn, codes: &[ExitCode]) -> ExitCode {
    let highest = codes.iter().copied().max().unwrap_or(ExitCode::SUCCESS);
    match fail_on {
        FailOn::Any => highest,
        FailOn::All if codes.contains(&ExitCode::SUCCESS) => ExitCode::SUCCESS,
        FailOn::All => highest,
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
        for (fail_on, codes, code) in [
            (FailOn::Any, &[][..], 0),
            (FailOn::Any, &[0, 0], 0),
            (FailOn::Any, &[0, 7, 22], 22),
            (FailOn::All, &[0, 22], 0),
            (FailOn::All, &[7, 22], 22),
            (FailOn::All, &[7], 7),
            (FailOn::Never, &[7, 123], 0),
        ] {
            let codes: Vec<ExitCode> = codes.iter().map(|c| ExitCode(*c)).collect();
            assert_eq!(combine(fail_on, &codes), ExitCode(code), "{fail_on:?} {codes:?}");
        }
    }
}
