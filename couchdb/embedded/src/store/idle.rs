//! Waiting for a message, but not for longer than a while: what lets a thread do housekeeping.

use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received<T> {
    Message(T),
    /// Nothing in the given time.
    Quiet,
    /// Nothing will ever come again.
    Closed,
}

/// Waits at most `limit` for a message. The queue's own blocking receive has no limit.
pub(super) fn receive<T>(queue: &mut mpsc::Receiver<T>, limit: Duration) -> Received<T> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let end = Instant::now() + limit;
    loop {
        match queue.poll_recv(&mut context) {
            Poll::Ready(Some(message)) => return Received::Message(message),
            Poll::Ready(None) => return Received::Closed,
            Poll::Pending => {}
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Received::Quiet;
        }
        // May also return for no reason; then the queue is looked at once more.
        thread::park_timeout(left);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_the_wait_and_silence_does_too() {
        let (sender, mut queue) = mpsc::channel(1);
        let limit = Duration::from_millis(20);
        assert_eq!(receive(&mut queue, limit), Received::Quiet);
        let other = thread::spawn(move || {
            sender.blocking_send(1).unwrap();
            sender
        });
        assert_eq!(receive(&mut queue, Duration::from_secs(60)), Received::Message(1));
        drop(other.join().unwrap());
        assert_eq!(receive(&mut queue, Duration::from_secs(60)), Received::Closed);
    }
}
