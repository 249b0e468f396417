//! Where passwords are hashed: away from the threads that serve requests, and few at once.

use super::super::refusal::Refusal;
use crate::error::StoreError;
use http::StatusCode;
use std::{num::NonZero, sync::Arc, thread};
use tokio::sync::Semaphore;

/// How many passwords are hashed at once at most. One takes a core for a few tenths of a second, and
/// those who are logged in already need the others.
const AT_ONCE_MAX: usize = 4;

/// How many may wait for their turn; further ones are sent away, so that a flood of wrong passwords
/// does not pile up in memory.
const WAITING_MAX: usize = 256;

/// The turns.
#[derive(Debug)]
pub(crate) struct Hashing {
    turns: Arc<Semaphore>,
    places: Semaphore,
}

impl Hashing {
    pub(super) fn new() -> Hashing {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let turns = Arc::new(Semaphore::new((cores / 2).clamp(1, AT_ONCE_MAX)));
        Hashing { turns, places: Semaphore::new(WAITING_MAX) }
    }

    /// Does work that hashes a password, when it is its turn. It is finished also when nobody waits
    /// for it any more: what it remembers of a wrong password must not depend on that.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let place = self.places.try_acquire().map_err(|_| {
            let reason = "too many passwords wait to be checked; try again later";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", reason)
        })?;
        let closed = |_| Refusal::from(StoreError::Closed);
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(closed)?;
        drop(place);
        let work = move || {
            let done = work();
            drop(turn);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed.into())
    }
}
