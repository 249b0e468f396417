//! The words of load tests: a plan that the host's own workers carry out, and what came of it each second.

use std::time::Duration;

pub use blitz_contract::load::{
    BODY_BYTES_MAX, Body, ClassTick, Closing, Distribution, ErrorKind, First, HEADERS_MAX,
    HttpVersion, Opening, Origin, Plan, PlanError, SEGMENTS_MAX, STEPS_MAX, Scheme, Segment, Shape,
    Share, Step, StepTick, Tick, VALUE_MAX, VARIABLES_MAX, Values, Variable, Verdict,
};

use crate::host::HostError;

/// A load test that runs; a run has one at a time. Dropping it stops it.
///
/// The host gives its opening and each tick out as records, too, whether they are asked for here or not.
pub trait LoadTest {
    /// What was told at the begin: the plan, this engine's share of it, the targets.
    fn opening(&self) -> &Opening;

    /// All ticks since the last call, as soon as there is one; none when so much time has passed, or the job is asked to
    /// end. A tick is of all workers of this engine. The last one of a test has a [`Tick::closing`], and none follows it.
    ///
    /// # Errors
    ///
    /// [`HostError::Failed`] behind the last one. [`HostError::Limit`] when ticks were not asked for in time, and are gone: ask
    /// each few seconds.
    fn next(&mut self, wait: Duration) -> Result<Vec<Tick>, HostError>;

    /// Sends nothing more. The ticks of what is still on its way follow, and the last one.
    fn stop(&mut self);
}
