//! The question that output asks the loop before it is written: is the job still this engine's? A machine that slept
//! wakes up in the middle of a job that may be another's by now.

use blitz_jobs::JobId;
use tokio::sync::{mpsc, oneshot};

/// Questions that wait for the loop. It answers each at once; those who ask wait for it.
const ASKED_WAITING: usize = 64;

/// The way to ask.
#[derive(Debug, Clone)]
pub(crate) struct Gate(mpsc::Sender<Asked>);

/// One question.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) job: JobId,
    pub(crate) answer: oneshot::Sender<bool>,
}

impl Gate {
    /// The way to ask, and where the questions come out.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Asked>) {
        let (ask, asked) = mpsc::channel(ASKED_WAITING);
        (Self(ask), asked)
    }

    /// Whether output of the job may be written now. Not when the loop is gone.
    pub(crate) async fn may_write(&self, job: &JobId) -> bool {
        let (answer, answered) = oneshot::channel();
        let asked = Asked { job: job.clone(), answer };
        self.0.send(asked).await.is_ok() && answered.await.unwrap_or(false)
    }
}
