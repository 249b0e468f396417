//! A future whose parts wake each other, polled as one.
//!
//! An exchange and its connection live in one task and talk through hyper's channels, so each step of the one wakes
//! the task that is running. To the scheduler such a task gives way to others: it is queued again and another
//! thread is woken for it, which costs more than the step. Here it is polled again at once.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Polls in one turn: an exchange needs two or three, and who wants more gives way.
const POLLS_MAX: usize = 4;

/// Nobody polls: a wake is for the task.
const IDLE: u8 = 0;
const POLLED: u8 = 1;
/// Woken since the poll began.
const WOKEN: u8 = 2;

#[derive(Default)]
struct Quiet {
    state: AtomicU8,
    task: AtomicWaker,
}

/// Does `work`; a wake that comes while it is polled only polls it again.
pub(super) async fn quiet<T>(work: impl Future<Output = T>) -> T {
    let quiet = Arc::new(Quiet::default());
    let waker = Waker::from(Arc::clone(&quiet));
    let mut work = pin!(work);
    poll_fn(|context| quiet.poll(work.as_mut(), &waker, context)).await
}

impl Quiet {
    fn poll<F: Future>(
        &self,
        mut work: Pin<&mut F>,
        waker: &Waker,
        context: &Context<'_>,
    ) -> Poll<F::Output> {
        self.task.register(context.waker());
        for _ in 0..POLLS_MAX {
            self.state.store(POLLED, Ordering::SeqCst);
            let polled = work.as_mut().poll(&mut Context::from_waker(waker));
            let was = self.state.swap(IDLE, Ordering::SeqCst);
            if polled.is_ready() {
                // What is dropped behind this work wakes whoever polled it: not the task, which goes on.
                drop(self.task.take());
                return polled;
            }
            if was == POLLED {
                return polled;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Wake for Quiet {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let polled = self.state.compare_exchange(POLLED, WOKEN, Ordering::SeqCst, Ordering::SeqCst);
        if polled == Err(IDLE) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Polls once: whether it is through, how often it was polled inside, and whether the task was woken.
    fn turn(wakes_itself: usize) -> (bool, usize, usize) {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut polls = 0;
        let work = poll_fn(|context| {
            polls += 1;
            if polls > wakes_itself {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        });
        let polled = pin!(quiet(work)).poll(&mut Context::from_waker(&waker));
        (polled.is_ready(), polls, count.0.load(Ordering::SeqCst))
    }

    #[test]
    fn wakes_of_its_own_stay_inside_up_to_a_bound() {
        assert_eq!(turn(0), (true, 1, 0));
        assert_eq!(turn(2), (true, 3, 0));
        assert_eq!(turn(usize::MAX), (false, POLLS_MAX, 1));
    }

    #[test]
    fn a_wake_from_outside_reaches_the_task() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut inner = None;
        let mut work = Box::pin(quiet(poll_fn(|context| {
            inner = Some(context.waker().clone());
            Poll::<()>::Pending
        })));
        assert!(work.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(work);
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        inner.expect("it was polled").wake();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_wake_behind_the_end_is_none() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut inner = None;
        let work = poll_fn(|context| {
            inner = Some(context.waker().clone());
            Poll::Ready(())
        });
        assert!(pin!(quiet(work)).poll(&mut Context::from_waker(&waker)).is_ready());
        inner.expect("it was polled").wake();
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
    }
}
