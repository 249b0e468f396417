//! Requests that change something are carried to their end, though whoever asked may have hung up: hyper drops what answers a
//! connection that is gone, wherever it stands. Half of a change would be one that no audit has, and that keeps its places in
//! queue and quota for ever.

use std::panic::AssertUnwindSafe;

use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::failure::Failure;

/// Those that are under way. A clone is the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Errands {
    tasks: TaskTracker,
    cut: CancellationToken,
}

impl Errands {
    /// Runs one to its end, whatever becomes of the future that is given back.
    pub(crate) async fn run(
        &self,
        errand: impl Future<Output = Response> + Send + 'static,
    ) -> Response {
        let cut = self.cut.clone();
        let runs = async move { cut.run_until_cancelled(errand).await };
        let ended = self.tasks.spawn(runs.in_current_span()).await;
        ended.ok().flatten().unwrap_or_else(|| Failure::failed().into_response())
    }

    /// Waits until none is under way any more: for when no more are begun.
    pub(crate) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Who drops it cuts those that are under way: no task outlives its gateway.
    pub(crate) fn guard(&self) -> DropGuard {
        self.cut.clone().drop_guard()
    }
}

/// An answer also to what panics, so that it has an entry in the audit.
pub(crate) async fn answered(answers: impl Future<Output = Response>) -> Response {
    // What requests share is whole after a panic: locks are held for single steps, and are taken up again.
    let answered = AssertUnwindSafe(answers).catch_unwind().await;
    answered.unwrap_or_else(|_| Failure::failed().into_response())
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn an_errand_ends_though_nobody_waits_for_it_and_is_waited_for_at_the_end() {
        let errands = Errands::default();
        let (begin, begun) = oneshot::channel();
        let (go, gone) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let errand = async move {
            begin.send(()).unwrap();
            gone.await.unwrap();
            tell.send(()).unwrap();
            ().into_response()
        };
        let asks = errands.run(errand);
        tokio::select! {
            _ = asks => panic!("it cannot have ended"),
            heard = begun => heard.unwrap(),
        }
        // Whoever asked has hung up by now.
        let mut ends = Box::pin(errands.ended());
        assert!(ends.as_mut().now_or_never().is_none(), "one is under way");
        go.send(()).unwrap();
        told.await.expect("the errand goes on");
        ends.await;
    }

    #[tokio::test]
    async fn a_gateway_that_is_gone_has_no_errands() {
        let errands = Errands::default();
        let guard = errands.guard();
        let never = errands.run(std::future::pending());
        drop(guard);
        assert_eq!(never.await.status(), StatusCode::INTERNAL_SERVER_ERROR);
        errands.ended().await;
    }

    #[tokio::test]
    async fn what_panics_is_answered() {
        let answer = answered(async { panic!("a bug of a test") }).await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answered(async { ().into_response() }).await.status(), StatusCode::OK);
    }
}
