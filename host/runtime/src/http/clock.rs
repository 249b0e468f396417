//! The instants of one exchange, and its two time limits.

use std::time::Duration;

use tokio::time::Instant;

use super::failure::Failure;
use crate::egress::Waited;

/// Time from the start of the exchange to the end of each phase, in the order in which they pass. A phase
/// that did not happen has the instant of the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Phases {
    pub(crate) dns: Duration,
    pub(crate) connect: Duration,
    pub(crate) tls: Duration,
    pub(crate) sent: Duration,
    pub(crate) first_byte: Duration,
}

/// Where an exchange is; named when its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Resolve,
    Connect,
    Tls,
    Head,
    Body { received: u64, expected: Option<u64> },
}

#[derive(Debug, Clone)]
pub(super) struct Clock {
    start: Instant,
    connect_until: Option<Instant>,
    until: Option<Instant>,
    /// Turns that this exchange waited for, which count for nothing here: neither the server nor the network is why.
    waited: Waited,
    pub(super) phases: Phases,
}

impl Clock {
    pub(super) fn start(
        connect_timeout: Option<Duration>,
        timeout: Option<Duration>,
        waited: Waited,
    ) -> Self {
        let start = Instant::now();
        // A limit beyond what the clock can count is none.
        let after = |limit: Option<Duration>| limit.and_then(|l| start.checked_add(l));
        let until = after(timeout);
        let connect_until = after(connect_timeout).into_iter().chain(until).min();
        Self { start, connect_until, until, waited, phases: Phases::default() }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.since_start(Instant::now())
    }

    pub(super) fn since_start(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.start).saturating_sub(self.waited.time())
    }

    /// Does `work`, unless the limit that holds in `stage` comes first.
    pub(super) async fn within<T>(
        &self,
        stage: Stage,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let until = match stage {
            Stage::Resolve | Stage::Connect | Stage::Tls => self.connect_until,
            Stage::Head | Stage::Body { .. } => self.until,
        };
        let Some(until) = until else { return work.await };
        let done = self.waited.within(until, work).await;
        done.unwrap_or_else(|| Err(self.timed_out(stage)))
    }

    /// In curl's words, as scripts know them.
    fn timed_out(&self, stage: Stage) -> Failure {
        let ms = self.elapsed().as_millis();
        Failure::Timeout(match stage {
            Stage::Resolve => format!("Resolving timed out after {ms} milliseconds"),
            Stage::Connect => format!("Connection timed out after {ms} milliseconds"),
            Stage::Tls => format!("SSL connection timed out after {ms} milliseconds"),
            Stage::Head => {
                format!("Operation timed out after {ms} milliseconds with 0 bytes received")
            }
            Stage::Body { received, expected: None } => {
                format!(
                    "Operation timed out after {ms} milliseconds with {received} bytes received"
                )
            }
            Stage::Body { received, expected: Some(expected) } => format!(
                "Operation timed out after {ms} milliseconds with {received} out of {expected} bytes received"
            ),
        })
    }
}
