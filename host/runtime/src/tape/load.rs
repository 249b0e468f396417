//! Load tests on a tape: what was told at the begin, and the ticks as they were taken.

use serde::Serialize;

pub(crate) use super::probes::Heard;

pub(crate) const START: &str = "load.start";
pub(crate) const NEXT: &str = "load.next";

/// A call of `next`; a test is known by its number.
#[derive(Serialize)]
pub(crate) struct AskedNext {
    pub(crate) test: u64,
    pub(crate) wait_ms: u64,
}
