//! The jobs of a run: each is submitted and followed to its end, and then told again by a second reader.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::table::progress;
use crate::verdict::Read;
use crate::work::{Job, Submitter, Told, Work};

/// How far it is, on stderr.
const TELL: Duration = Duration::from_secs(15);

/// A job that has ended is told again within this time; it waits for parts that do not come.
const AGAIN_MAX: Duration = Duration::from_secs(30);

/// Second readers at once.
const READERS: usize = 16;

/// What is known of them so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Followed {
    jobs: Arc<Mutex<BTreeMap<usize, Job>>>,
    refused: Arc<Mutex<Vec<String>>>,
}

impl Followed {
    /// Submits one and follows it to its end.
    pub(crate) async fn one(&self, submitter: &Submitter, work: Work) {
        let mut job = match submitter.submit(work).await {
            Ok(job) => job,
            Err(why) => return lock(&self.refused).push(why),
        };
        let number = job.work.number;
        lock(&self.jobs).insert(number, job.clone());
        job.told = submitter.follow(&job.id, number).await;
        job.ended = Some(Instant::now());
        lock(&self.jobs).insert(number, job);
    }

    /// Says how far it is again and again, with what `more` counts.
    pub(crate) async fn tell(&self, begun: Instant, more: impl Fn() -> String) {
        loop {
            tokio::time::sleep(TELL).await;
            let (accepted, ended) = {
                let jobs = lock(&self.jobs);
                (jobs.len(), jobs.values().filter(|job| job.ended.is_some()).count())
            };
            let at = begun.elapsed().as_secs();
            progress(&format!("{at:>5} s: {accepted} accepted, {ended} ended, {}", more()));
        }
    }

    /// Waits for those who follow. At the limit they wait for what is lost.
    pub(crate) async fn wait(mut followers: JoinSet<()>, limit: Instant) {
        let all = async { while followers.join_next().await.is_some() {} };
        tokio::time::timeout_at(limit, all).await.ok();
        followers.shutdown().await;
    }

    /// All of them, told by a reader that has heard nothing of them.
    pub(crate) async fn read_again(&self, reader: impl Fn(&Job) -> Submitter) -> Vec<Read> {
        let jobs: Vec<Job> = lock(&self.jobs).values().cloned().collect();
        progress(&format!("{} jobs are read again by a second reader", jobs.len()));
        stream::iter(jobs)
            .map(|job| (reader(&job), job))
            .map(|(reader, job)| async move { read(&reader, job).await })
            .buffered(READERS)
            .collect()
            .await
    }

    /// Why those that were not accepted were refused.
    pub(crate) fn refused(&self) -> Vec<String> {
        lock(&self.refused).clone()
    }
}

async fn read(reader: &Submitter, job: Job) -> Read {
    // At another gateway than its submitter's, where there is one.
    let number = job.work.number + 1;
    let again = match job.ended {
        Some(_) => timeout(AGAIN_MAX, reader.follow(&job.id, number)).await.unwrap_or_default(),
        None => Told::default(),
    };
    let state = reader.state(&job.id, number).await.unwrap_or_default();
    Read { job, again, state }
}

/// A lock that a panic elsewhere does not take away.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
