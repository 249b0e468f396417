//! The tasks of one HTTP/2 connection, under one owner.
//!
//! hyper hands the connection itself to an executor, and it goes on after its last handle is gone until what it
//! has to say is written: for ever, when the peer does not read.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::AbortHandle;

/// Ends all tasks when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Tasks(Spawner);

/// What hyper spawns with.
#[derive(Debug, Clone, Default)]
pub(super) struct Spawner {
    running: Arc<Mutex<Running>>,
}

#[derive(Debug, Default)]
struct Running {
    handles: Vec<AbortHandle>,
    /// The owner is gone: nothing new begins.
    is_over: bool,
}

impl Tasks {
    pub(super) fn spawner(&self) -> Spawner {
        self.0.clone()
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        let mut running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.is_over = true;
        for handle in running.handles.drain(..) {
            handle.abort();
        }
    }
}

impl<F> hyper::rt::Executor<F> for Spawner
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if !running.is_over {
            running.handles.push(tokio::spawn(task).abort_handle());
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::rt::Executor as _;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn tasks_end_with_their_owner() {
        let tasks = Tasks::default();
        let spawner = tasks.spawner();
        let (kept, ended) = oneshot::channel::<()>();
        spawner.execute(async move {
            std::future::pending::<()>().await;
            drop(kept);
        });
        drop(tasks);
        assert!(ended.await.is_err(), "what the task held is dropped");
        let (kept, ended) = oneshot::channel::<()>();
        spawner.execute(async move { kept.send(()).unwrap() });
        assert!(ended.await.is_err(), "nothing begins any more");
    }
}
