//! Every duration of the protocol, in one place, with its reason.
//!
//! They belong together: an engine must have stopped a job itself ([`Timing::stop`]) before anybody else may
//! take it ([`Timing::dead`]). Tests shrink them all by one factor.

use std::time::Duration;

/// The durations of beats, leases and expiry. All are measured on one machine's own monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// An engine that holds claims rewrites its beat this often.
    pub beat: Duration,
    /// Who watches claims polls the beats this often: what a watcher learns later than it happened is the
    /// later a job is rescued.
    pub poll: Duration,
    /// An engine stops its jobs this long after it *sent* its last acknowledged beat.
    pub stop: Duration,
    /// A watcher may take a job whose beat counter has not moved for this long.
    pub dead: Duration,
    /// Between the watchers of one job, so that as a rule only one of them tries.
    pub take_turns: Duration,
    /// An engine rewrites its own document this often; three times as long without is gone.
    pub presence: Duration,
    /// Output waits this long for company, unless it is the first.
    pub batch: Duration,
    /// A job that was admitted for an earlier home waits this long from when it is heard of: what came of it there may be
    /// on its way. Replications between clusters that answer are behind by seconds.
    pub settle: Duration,
    /// The home of a region does not answer for so long: engines that may go to a hub do so. Longer than a restart of the
    /// store takes, and than claims at home need to be given up.
    pub failover_after: Duration,
    /// The home has answered for so long: who went elsewhere comes back. Shorter, and a link that comes and goes would
    /// have everybody change places each time.
    pub home_again: Duration,
}

impl Default for Timing {
    /// `stop` is 0.6 of `dead`, which tolerates clocks whose rates differ by a factor of 1.6.
    fn default() -> Self {
        Self {
            beat: Duration::from_secs(5),
            poll: Duration::from_secs(1),
            stop: Duration::from_secs(15),
            dead: Duration::from_secs(25),
            take_turns: Duration::from_millis(150),
            presence: Duration::from_secs(60),
            batch: Duration::from_millis(100),
            settle: Duration::from_secs(30),
            failover_after: Duration::from_secs(60),
            home_again: Duration::from_secs(10),
        }
    }
}

impl Timing {
    /// Who gave no sign of life for so long is gone, whatever became of him: three of the times at which an engine
    /// says that it is there. Before that he may be cut off or stand still.
    #[must_use]
    pub fn gone(&self) -> Duration {
        self.presence * 3
    }

    /// The same proportions, `factor` times as fast (1 to 1,000), for tests. Batching stays as it is.
    #[must_use]
    pub fn faster(factor: u32) -> Self {
        let normal = Self::default();
        let factor = factor.clamp(1, 1000);
        Self {
            beat: normal.beat / factor,
            poll: normal.poll / factor,
            stop: normal.stop / factor,
            dead: normal.dead / factor,
            take_turns: normal.take_turns / factor,
            presence: normal.presence / factor,
            batch: normal.batch,
            settle: normal.settle / factor,
            failover_after: normal.failover_after / factor,
            home_again: normal.home_again / factor,
        }
    }
}

/// The store sends a sign of life on each feed this often; three without one and the feed is dead.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// The tasks of a run that begin together wait so long for each other, from the first that is ready: as long as a job waits for
/// an engine, so that who is not there by then has found none, or is slow to make ready.
pub const GATHER: Duration = Duration::from_secs(10);

/// They begin so long after hearing that they go: the word must have come to the last of them. It is two writes, one after
/// the other, and a feed, each of them a few hundred milliseconds between continents.
pub const GO_DELAY: Duration = Duration::from_secs(2);

/// Who is ready hears nothing for so long, and nobody decides: a keeper that was lost is replaced well within it (a lease, and
/// [`GATHER`] once more), and nobody else should hold thousands of prepared connections for nothing.
pub const GO_AWAITED_MAX: Duration = Duration::from_secs(90);

/// How long a job waits for an engine when the user names no time: long enough for an engine that restarts,
/// short enough for somebody at a terminal.
pub const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);

/// The same while the region's engines have a version and do not offer it yet: the first time they compile it, which takes
/// seconds, and on a small or busy machine tens of them. A quarter of [`JOB_TIMEOUT`] is left for the job.
pub const QUEUE_TIMEOUT_PREPARING: Duration = Duration::from_secs(45);

/// How long a job may take when the user names no time, waiting included.
pub const JOB_TIMEOUT: Duration = Duration::from_secs(60);

/// The same for a load test, whose plan says how long it is: it ends by itself.
pub const LOAD_TIMEOUT: Duration = Duration::from_secs(3600);

/// The longest time that a user may ask for: a day, since a job holds a slot of an engine.
pub const JOB_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
impl Timing {
    /// What tests reckon with, whatever the defaults become.
    pub(crate) fn of_tests() -> Self {
        Self {
            beat: Duration::from_secs(5),
            poll: Duration::from_secs(2),
            stop: Duration::from_secs(15),
            dead: Duration::from_secs(25),
            take_turns: Duration::from_millis(150),
            presence: Duration::from_secs(60),
            batch: Duration::from_millis(100),
            settle: Duration::from_secs(30),
            failover_after: Duration::from_secs(60),
            home_again: Duration::from_secs(10),
        }
    }
}
