//! Wakers that only set marks: who waits is polled in the same turn, or in the next one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// Somebody wants the connection to be polled.
#[derive(Debug, Default)]
pub(super) struct Mark(AtomicBool);

impl Mark {
    pub(super) fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Mark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Places of streams that want to be polled.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<Vec<usize>>);

impl Queue {
    /// Moves them behind what `to` holds.
    pub(super) fn drain(&self, to: &mut Vec<usize>) {
        to.append(&mut self.places());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places().is_empty()
    }

    fn places(&self) -> std::sync::MutexGuard<'_, Vec<usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waker of the stream at a place.
pub(super) fn waker(queue: &Arc<Queue>, place: usize) -> Waker {
    Waker::from(Arc::new(Place { queue: Arc::clone(queue), place }))
}

struct Place {
    queue: Arc<Queue>,
    place: usize,
}

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.queue.places().push(self.place);
    }
}
