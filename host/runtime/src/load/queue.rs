//! Ticks on their way to a plugin: bounded, as it takes them when it likes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// What lies here at most: half an hour of a test of one step, and the seconds of several workers with 32.
const QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Ticks as JSON.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    ticks: VecDeque<String>,
    bytes: usize,
    /// Those that had to go since the last look.
    lost: u64,
    has_ended: bool,
}

/// Why there are no ticks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// So many were not taken in time.
    Lost(u64),
    /// All were taken.
    Ended,
}

impl Queue {
    pub(super) fn push(&self, tick: String) {
        let mut state = self.lock();
        state.bytes += tick.len();
        state.ticks.push_back(tick);
        while state.bytes > QUEUE_BYTES_MAX && state.ticks.len() > 1 {
            let oldest = state.ticks.pop_front().map_or(0, |tick| tick.len());
            state.bytes -= oldest;
            state.lost += 1;
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// There will be no more.
    pub(super) fn end(&self) {
        self.lock().has_ended = true;
        self.changed.notify_waiters();
    }

    /// All of them, as soon as there is one; none after `wait`.
    pub(super) async fn next(&self, wait: Duration) -> Result<Vec<String>, Gone> {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(taken) = self.take() {
                    return taken;
                }
                changed.await;
            }
        };
        tokio::time::timeout(wait, waiting).await.unwrap_or(Ok(Vec::new()))
    }

    fn take(&self) -> Option<Result<Vec<String>, Gone>> {
        let mut state = self.lock();
        if state.lost > 0 {
            return Some(Err(Gone::Lost(std::mem::take(&mut state.lost))));
        }
        if !state.ticks.is_empty() {
            state.bytes = 0;
            return Some(Ok(state.ticks.drain(..).collect()));
        }
        state.has_ended.then_some(Err(Gone::Ended))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ticks_are_taken_as_they_come_and_the_oldest_go() {
        let queue = Queue::default();
        let second = Duration::from_secs(1);
        assert_eq!(queue.next(second).await, Ok(Vec::new()));
        let (taken, ()) = tokio::join!(queue.next(Duration::MAX), async {
            tokio::task::yield_now().await;
            queue.push("1".to_owned());
        });
        assert_eq!(taken, Ok(vec!["1".to_owned()]));
        let large = "x".repeat(QUEUE_BYTES_MAX / 4);
        for _ in 0..6 {
            queue.push(large.clone());
        }
        queue.end();
        assert_eq!(queue.next(second).await, Err(Gone::Lost(2)));
        assert_eq!(queue.next(second).await.map(|ticks| ticks.len()), Ok(4));
        assert_eq!(queue.next(second).await, Err(Gone::Ended));
    }
}
