//! The import `control`: the run's time, and whether it was asked to end. Needs no grant.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bindings::blitz::plugin::control::Host;
use crate::job::Job;

/// What a run can know of its own end. A clone is of the same run.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    /// When its time is over; `None` is farther away than the clock can count.
    pub(crate) until: Option<Instant>,
    pub(crate) cancel: CancellationToken,
    /// What it has for its last words once `cancel` fired. Zero: it never sees that.
    pub(crate) grace: Duration,
}

impl Control {
    /// Whole milliseconds, rounded down: a guest must not plan for more than it has.
    fn time_left_ms(&self) -> u64 {
        let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        left.map_or(u64::MAX, |left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    }

    fn is_cancelled(&self) -> bool {
        !self.grace.is_zero() && self.cancel.is_cancelled()
    }

    /// True when it came back early.
    async fn pause(&self, time: Duration) -> bool {
        let time = tokio::time::sleep(time);
        if self.grace.is_zero() {
            // Who has no grace is dropped here, and wakes no more.
            time.await;
            return false;
        }
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => true,
            () = time => false,
        }
    }

    /// Waits until the run must be dropped because it was cancelled; `is_under_way` says at that time whether there
    /// is a guest with last words.
    pub(crate) async fn cancelled(&self, is_under_way: impl Fn() -> bool) {
        self.cancel.cancelled().await;
        if is_under_way() {
            tokio::time::sleep(self.grace).await;
        }
    }
}

impl Host for Job {
    fn time_left_ms(&mut self) -> wasmtime::Result<u64> {
        self.hear("control.time-left", &(), |job| Ok(job.control.time_left_ms()))
    }

    fn is_cancelled(&mut self) -> wasmtime::Result<bool> {
        self.hear("control.is-cancelled", &(), |job| Ok(job.control.is_cancelled()))
    }

    async fn pause(&mut self, ms: u64) -> wasmtime::Result<bool> {
        let pause = self.control.pause(Duration::from_millis(ms));
        self.tape.wait("control.pause", &ms, async { Ok(pause.await) }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_millis(500);

    fn control(grace: Duration) -> Control {
        let until = Instant::now().checked_add(Duration::from_secs(10));
        Control { until, cancel: CancellationToken::new(), grace }
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_left_goes_down_to_nothing() {
        let mut control = control(Duration::ZERO);
        assert_eq!(control.time_left_ms(), 10_000);
        tokio::time::advance(Duration::from_micros(9_999_001)).await;
        assert_eq!(control.time_left_ms(), 0);
        tokio::time::advance(GRACE).await;
        assert_eq!(control.time_left_ms(), 0);
        control.until = None;
        assert_eq!(control.time_left_ms(), u64::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_ends_with_the_cancel_for_those_who_have_grace() {
        let patient = control(GRACE);
        assert!(!patient.pause(Duration::from_secs(3)).await, "nobody asked it to end");
        let cancelling = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            patient.cancel.cancel();
        };
        let begun = Instant::now();
        let (was_cut, ()) = tokio::join!(patient.pause(Duration::MAX), cancelling);
        assert!(was_cut && patient.is_cancelled());
        assert_eq!(begun.elapsed(), Duration::from_secs(1));
        assert!(patient.pause(Duration::MAX).await, "also the next one");

        let hasty = control(Duration::ZERO);
        hasty.cancel.cancel();
        assert!(!hasty.is_cancelled());
        assert!(!hasty.pause(Duration::from_secs(1)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn grace_is_for_guests_that_are_under_way() {
        for (grace, is_under_way, wanted) in [
            (GRACE, true, GRACE),
            (GRACE, false, Duration::ZERO),
            (Duration::ZERO, true, Duration::ZERO),
        ] {
            let control = control(grace);
            control.cancel.cancel();
            let begun = Instant::now();
            control.cancelled(|| is_under_way).await;
            assert_eq!(begun.elapsed(), wanted, "{grace:?} {is_under_way}");
        }
    }
}
