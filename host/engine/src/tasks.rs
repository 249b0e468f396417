//! What is done beside the loop: writes, polls, jobs. Each task comes back as what it came to, also when it panicked.

use std::collections::HashMap;
use std::time::Duration;

use blitz_contract::{Exit, Stopped};
use blitz_jobs::engine::Beat;
use blitz_jobs::output::Digest;
use blitz_jobs::writing::Answer;
use blitz_jobs::{End, JobId};
use tokio::task::{Id, JoinSet};

use crate::own::NotWritten;
use crate::pulse::Returned;

/// What a task has come to.
#[derive(Debug)]
pub(crate) enum Done {
    /// A step was written, or not.
    Write(JobId, Answer),
    /// Whether the job may begin.
    Fence(JobId, bool),
    /// The job stopped: with its end, unless it was stopped before.
    Job(JobId, Option<End>),
    /// A beat was sent at this instant.
    Beat(Duration, Returned, Result<bool, NotWritten>),
    /// The task of a beat is lost, and the document with it.
    NoBeat,
    /// What the store answered to a poll, if it did.
    Beats(Option<Vec<Beat>>),
    /// A database has so many copies.
    Copies(String, u32),
    /// Nothing that anybody waits for.
    Nothing,
}

/// What becomes of a task that panics.
#[derive(Debug)]
enum Kind {
    Write(JobId),
    Fence(JobId),
    Job(JobId),
    Beat,
    Other,
}

/// All tasks of the loop.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    set: JoinSet<Done>,
    kinds: HashMap<Id, Kind>,
}

impl Tasks {
    pub(crate) fn write(
        &mut self,
        job: JobId,
        writes: impl Future<Output = Answer> + Send + 'static,
    ) {
        let kind = Kind::Write(job.clone());
        self.spawn(kind, async move { Done::Write(job, writes.await) });
    }

    pub(crate) fn fence(
        &mut self,
        job: JobId,
        passes: impl Future<Output = bool> + Send + 'static,
    ) {
        let kind = Kind::Fence(job.clone());
        self.spawn(kind, async move { Done::Fence(job, passes.await) });
    }

    pub(crate) fn job(
        &mut self,
        job: JobId,
        runs: impl Future<Output = Option<End>> + Send + 'static,
    ) {
        let kind = Kind::Job(job.clone());
        self.spawn(kind, async move { Done::Job(job, runs.await) });
    }

    pub(crate) fn beat(&mut self, beats: impl Future<Output = Done> + Send + 'static) {
        self.spawn(Kind::Beat, beats);
    }

    pub(crate) fn other(&mut self, does: impl Future<Output = Done> + Send + 'static) {
        self.spawn(Kind::Other, does);
    }

    fn spawn(&mut self, kind: Kind, does: impl Future<Output = Done> + Send + 'static) {
        let id = self.set.spawn(does).id();
        self.kinds.insert(id, kind);
    }

    /// The next that is done; `None` when there are no tasks.
    pub(crate) async fn next(&mut self) -> Option<Done> {
        Some(match self.set.join_next_with_id().await? {
            Ok((id, done)) => {
                self.kinds.remove(&id);
                done
            }
            Err(error) => {
                // A bug of ours. It ends one job at most, and never the engine.
                tracing::error!(%error, "a task of the engine failed");
                match self.kinds.remove(&error.id()) {
                    Some(Kind::Write(job)) => Done::Write(job, Answer::Unknown),
                    Some(Kind::Fence(job)) => Done::Fence(job, false),
                    Some(Kind::Job(job)) => Done::Job(job, Some(end_of_panic())),
                    Some(Kind::Beat) => Done::NoBeat,
                    Some(Kind::Other) | None => Done::Nothing,
                }
            }
        })
    }

    /// Ends all that is left.
    pub(crate) async fn stop(&mut self) {
        self.set.shutdown().await;
    }
}

/// How a job ends that a bug of the engine has ended. As far as is known it has no output; a reader who was told some
/// is told that it does not fit.
fn end_of_panic() -> End {
    End {
        exit: panicked(),
        chunks: 0,
        bytes: 0,
        digest: Digest::default().finish(),
        duration_ms: 0,
    }
}

/// The exit of a job whose engine failed.
pub(crate) fn panicked() -> Exit {
    let text = "the engine itself failed while it ran the job, which is a bug of blitz; its log says where";
    Exit::Stopped(Stopped::Crashed(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_panics_ends_its_own_job_only_and_says_so() {
        let mut tasks = Tasks::default();
        let jobs: Vec<JobId> = (0..4).map(|_| JobId::new("japan", 1)).collect();
        tasks.write(jobs[0].clone(), async { panic!("asked to") });
        tasks.fence(jobs[1].clone(), async { panic!("asked to") });
        tasks.job(jobs[2].clone(), async { panic!("asked to") });
        tasks.other(async { panic!("asked to") });
        tasks.fence(jobs[3].clone(), async { true });
        let mut seen = 0;
        while let Some(done) = tasks.next().await {
            match done {
                Done::Write(job, answer) => {
                    assert_eq!((job, answer), (jobs[0].clone(), Answer::Unknown));
                }
                Done::Fence(job, goes) => assert_eq!(goes, job == jobs[3], "{job}"),
                Done::Job(job, Some(end)) => {
                    assert_eq!(job, jobs[2]);
                    let Exit::Stopped(stopped) = end.exit else { panic!("no end: {end:?}") };
                    assert!(stopped.to_string().contains("a bug of blitz"), "{stopped}");
                }
                other => assert!(matches!(other, Done::Nothing), "{other:?}"),
            }
            seen += 1;
        }
        assert_eq!((seen, tasks.kinds.len()), (5, 0));
    }
}
