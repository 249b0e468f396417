//! The threads that guests run on, apart from those of the caller.
//!
//! A guest that computes gives its thread back only at each tick. On the caller's threads a few of them
//! would delay everything else by hundreds of milliseconds: an engine's beats would not go out, and it
//! would lose all its jobs to one endless loop.

use std::future::Future;
use std::io;

use tokio::runtime::Builder;
use tokio_util::task::AbortOnDropHandle;

/// Threads with a reactor of their own.
pub(crate) struct Threads(Option<tokio::runtime::Runtime>);

impl Threads {
    /// One thread for each CPU, and one more: guests that compute take turns (see [`crate::meter`]), so
    /// that one is always free to wait for the network.
    ///
    /// # Errors
    ///
    /// When the system gives no more threads.
    pub(crate) fn start() -> io::Result<Self> {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = Builder::new_multi_thread()
            .worker_threads(cpus + 1)
            .thread_name("blitz-plugins")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Runs `work` there; `None` when it panicked. Dropping the future ends the work.
    pub(crate) async fn run<F>(&self, work: F) -> Option<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let runtime = self.0.as_ref()?;
        AbortOnDropHandle::new(runtime.spawn(work)).await.ok()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Waiting for the threads is not possible here: the last owner may be one of them.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
