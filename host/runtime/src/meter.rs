//! CPU time of a guest: what its thread burned while the guest was polled. Waiting costs nothing, and
//! neither does another guest or process that holds the CPU.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Semaphore;
use tokio_util::sync::PollSemaphore;

use crate::limits::TICK;

/// CPU time used so far; read by whoever reports it.
#[derive(Debug, Clone, Default)]
pub(crate) struct CpuTime {
    ns: Arc<AtomicU64>,
    ticked: Arc<AtomicBool>,
}

impl CpuTime {
    pub(crate) fn used(&self) -> Duration {
        Duration::from_nanos(self.ns.load(Ordering::Relaxed))
    }

    /// To be told when the tick, and not something to wait for, made the guest give the thread back.
    pub(crate) fn ticked(&self) {
        self.ticked.store(true, Ordering::Relaxed);
    }

    /// For a guest that another one measures: a process.
    pub(crate) fn set(&self, used: Duration) {
        self.ns.store(u64::try_from(used.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn add(&self, more: Duration) {
        let ns = u64::try_from(more.as_nanos()).unwrap_or(u64::MAX);
        self.ns.fetch_add(ns, Ordering::Relaxed);
    }
}

/// Turns for guests that compute, shared by all guests of a runtime.
///
/// A guest that computes on and on waits for its next turn; one that mostly waits goes on at once. With
/// one turn less than there are CPUs, any number of endless loops leaves a CPU to the engine and to the
/// guests whose network timings would be spoiled.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<Semaphore>);

impl Turns {
    pub(crate) fn new() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(cpus.saturating_sub(1).max(1))))
    }
}

/// A guest that was ticked is asked to take turns when it has computed for so long without a wait: less
/// is bad luck, as the tick is the same for all.
const COMPUTES: Duration = TICK.checked_div(2).expect("two is not zero");

/// A guest's future that ends early when the guest has computed for longer than `limit`.
///
/// It is exact to one [`TICK`]: a computing guest gives the thread back at each.
pub(crate) struct Metered<F> {
    guest: Pin<Box<F>>,
    used: CpuTime,
    limit: Duration,
    turns: PollSemaphore,
    /// Computed since the guest last waited for something.
    burst: Duration,
}

/// The guest computed for longer than its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CpuExceeded;

impl<F: Future> Metered<F> {
    pub(crate) fn new(guest: F, used: CpuTime, limit: Duration, turns: &Turns) -> Self {
        let turns = PollSemaphore::new(Arc::clone(&turns.0));
        Self { guest: Box::pin(guest), used, limit, turns, burst: Duration::ZERO }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = Result<F::Output, CpuExceeded>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let needs_turn = self.burst >= COMPUTES;
        let turn = if needs_turn { ready!(self.turns.poll_acquire(context)) } else { None };
        let before = thread_cpu_time();
        let polled = self.guest.as_mut().poll(context);
        let spent = thread_cpu_time().saturating_sub(before);
        drop(turn);
        self.used.add(spent);
        let ticked = self.used.ticked.swap(false, Ordering::Relaxed);
        self.burst = if ticked { self.burst + spent } else { Duration::ZERO };
        match polled {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if self.used.used() > self.limit => Poll::Ready(Err(CpuExceeded)),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let ns = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, ns)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(50);

    fn compute(time: Duration) {
        let until = thread_cpu_time() + time;
        while thread_cpu_time() < until {
            std::hint::spin_loop();
        }
    }

    /// Computes without end, a tick at a time.
    async fn spin(used: CpuTime) {
        loop {
            compute(COMPUTES);
            used.ticked();
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn waiting_is_free() {
        let used = CpuTime::default();
        let waits = tokio::time::sleep(LIMIT * 2);
        assert_eq!(Metered::new(waits, used.clone(), LIMIT, &Turns::new()).await, Ok(()));
        assert!(used.used() < LIMIT, "waiting used {:?}", used.used());
    }

    #[tokio::test]
    async fn computing_ends_at_the_limit() {
        let used = CpuTime::default();
        let metered = Metered::new(spin(used.clone()), used.clone(), LIMIT, &Turns::new());
        assert_eq!(metered.await, Err(CpuExceeded));
        assert!(used.used() >= LIMIT && used.used() < LIMIT * 3, "stopped at {:?}", used.used());
    }

    #[tokio::test]
    async fn who_computes_waits_for_a_turn_and_who_waits_does_not() {
        let turns = Turns(Arc::new(Semaphore::new(1)));
        let others_turn = Arc::clone(&turns.0).try_acquire_owned().unwrap();

        let computing = CpuTime::default();
        let mut spinner =
            Metered::new(spin(computing.clone()), computing.clone(), Duration::MAX, &turns);
        assert_eq!((&mut spinner).now_or_never(), None);
        let first_tick = computing.used();
        assert!(first_tick >= COMPUTES, "the first tick needs no turn");
        assert_eq!((&mut spinner).now_or_never(), None);
        assert_eq!(computing.used(), first_tick, "it went on without a turn");

        let waiting = CpuTime::default();
        let waits = async {
            for _ in 0..3 {
                compute(COMPUTES);
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(Metered::new(waits, waiting, Duration::MAX, &turns).await, Ok(()));

        drop(others_turn);
        assert_eq!((&mut spinner).now_or_never(), None);
        assert!(computing.used() > first_tick, "its turn did not come");
    }
}
