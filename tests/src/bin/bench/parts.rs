//! The frame of a bench: which of its parts were asked for, and the runtime that they run in.

use std::process::{ExitCode, Termination};

use tokio::runtime::Builder;

use crate::sample::say;

/// Refuses what is no part of the bench `name`.
pub(crate) fn unknown(name: &str, known: &[&str], asked: &[String]) -> Option<ExitCode> {
    let unknown = asked.iter().find(|part| !known.contains(&part.as_str()))?;
    say(&format!("bench: {name} has no part {unknown:?}; there are: {}", known.join(", ")));
    Some(ExitCode::from(2))
}

/// Whether a part is to be measured: all are when none was asked for.
pub(crate) fn is_wanted(part: &str, asked: &[String]) -> bool {
    asked.is_empty() || asked.iter().any(|asked| asked == part)
}

/// Runs it in a runtime of its own.
pub(crate) fn block_on(runtime: &mut Builder, runs: impl Future<Output: Termination>) -> ExitCode {
    match runtime.enable_all().build() {
        Ok(runtime) => runtime.block_on(runs).report(),
        Err(error) => {
            say(&format!("bench: no runtime: {error}"));
            ExitCode::FAILURE
        }
    }
}
