//! `--max-time`: one limit over all hops of an attempt, and over what is done between their bytes.

use std::time::{Duration, Instant};

use blitz_plugin::web::{Failure, FailureKind};

/// The time of an attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeLimit {
    started: Instant,
    limit: Option<Duration>,
}

impl TimeLimit {
    /// Begins to count; `None` never ends.
    pub(crate) fn start(limit: Option<Duration>) -> Self {
        Self { started: Instant::now(), limit }
    }

    /// What is left for the next exchange.
    pub(crate) fn left(self) -> Option<Duration> {
        self.limit.map(|limit| limit.saturating_sub(self.started.elapsed()))
    }

    /// The failure that it is once the time is over; `received` bytes of a body had come.
    pub(crate) fn passed(self, received: u64) -> Option<Failure> {
        let elapsed = self.started.elapsed();
        if elapsed < self.limit? {
            return None;
        }
        let ms = elapsed.as_millis();
        let text =
            format!("Operation timed out after {ms} milliseconds with {received} bytes received");
        Some(Failure::new(FailureKind::Timeout, text))
    }
}
