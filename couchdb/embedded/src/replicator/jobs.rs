//! The jobs: which replications there are, which run, and which are kept back after a failure.
//!
//! Decisions only; [`manager`](super::manager) starts and ends the runs. The lock is held for moments.

use super::{checkpoint::Log, progress::Progress, run::RunError, task::Task};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::{sync::oneshot, time::Instant};
use tokio_util::sync::CancellationToken;

/// How many replications run at once; CouchDB's `max_jobs`. An idle one costs two pipes or sockets.
const RUNNING_MAX: usize = 500;

/// How many replications there may be, running or waiting: each takes about 2 KB.
pub(crate) const JOBS_MAX: usize = 10_000;

/// How many events of a job are remembered; CouchDB's `max_history`.
const HISTORY_MAX: usize = 20;

/// The first time that a job is kept back after a failure; it doubles with each. CouchDB's own.
const BACKOFF: Duration = Duration::from_secs(30);

/// How often it doubles: up to about 8.5 hours. CouchDB's own.
const BACKOFF_DOUBLINGS_MAX: u32 = 10;

/// A job that ran for so long before it failed is a healthy one; CouchDB's own.
const HEALTHY_AFTER: Duration = Duration::from_secs(120);

/// When others wait for a place, a continuous job gives its own up after this time; CouchDB's
/// `interval`.
const TURN: Duration = Duration::from_secs(60);

/// What a one-shot replication that somebody waits for came to.
pub(crate) type Outcome = Result<Log, Arc<RunError>>;

/// One who waits for the end of a replication.
pub(crate) type Waiter = oneshot::Sender<Outcome>;

/// Who wants the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A request of `_replicate`. Gone with the process.
    Request,
    /// The document of `_replicator` with this id.
    Document(String),
}

/// A replication that is to be done.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) task: Arc<Task>,
    pub(crate) origin: Origin,
    pub(crate) state: State,
    /// Newest first.
    pub(crate) history: VecDeque<Event>,
    /// Failures in a row.
    pub(crate) crashes: u32,
    pub(crate) progress: Arc<Progress>,
    pub(crate) added: SystemTime,
    pub(crate) updated: SystemTime,
    /// Its place in the queue, while it waits.
    queued: u64,
    waiters: Vec<Waiter>,
}

/// Where a job stands.
#[derive(Debug)]
pub(crate) enum State {
    /// It waits for a place.
    Pending,
    /// It runs.
    Running {
        /// Tells this run from earlier ones of the job.
        run: u64,
        since: Instant,
        stop: CancellationToken,
    },
    /// It failed and is kept back.
    Crashing { until: Instant, reason: Arc<str> },
}

/// Something that happened to a job.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) at: SystemTime,
    pub(crate) kind: &'static str,
    pub(crate) reason: Option<Arc<str>>,
}

/// A run that shall begin.
#[derive(Debug)]
pub(crate) struct Begin {
    pub(crate) id: String,
    pub(crate) run: u64,
    pub(crate) task: Arc<Task>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) stop: CancellationToken,
}

/// A job that is done.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) origin: Origin,
    pub(crate) progress: Arc<Progress>,
    pub(crate) added: SystemTime,
    /// Of what was asked for.
    pub(crate) fingerprint: [u8; 16],
}

/// Why a job was not added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAdded {
    #[error("Replication `{id}` specified by document `{by}` already started")]
    Taken { id: String, by: String },
    #[error("there are {JOBS_MAX} replications already, the most; end one first")]
    TooMany,
}

/// The jobs by their ids.
#[derive(Debug, Default)]
pub(crate) struct Jobs(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    jobs: BTreeMap<String, Job>,
    /// Counts runs and places in the queue.
    counter: u64,
}

impl Jobs {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the jobs in the order of their ids.
    pub(crate) fn each<T>(&self, read: impl FnMut((&String, &Job)) -> T) -> Vec<T> {
        self.table().jobs.iter().map(read).collect()
    }

    /// Reads one job.
    pub(crate) fn one<T>(&self, id: &str, read: impl FnOnce(&Job) -> T) -> Option<T> {
        self.table().jobs.get(id).map(read)
    }

    /// The job of a document.
    pub(crate) fn of_document(&self, document: &str) -> Option<String> {
        let wanted = |job: &Job| matches!(&job.origin, Origin::Document(id) if id == document);
        let table = self.table();
        table.jobs.iter().find(|(_, job)| wanted(job)).map(|(id, _)| id.clone())
    }

    /// Adds a job; one that is there already goes on, and `waiter` waits for that.
    pub(crate) fn add(
        &self,
        task: Task,
        origin: Origin,
        waiter: Option<Waiter>,
        now: SystemTime,
    ) -> Result<(), NotAdded> {
        let mut table = self.table();
        let id = task.id.full();
        if let Some(job) = table.jobs.get_mut(&id) {
            match (&job.origin, &origin) {
                (Origin::Document(by), Origin::Document(new)) if by != new => {
                    return Err(NotAdded::Taken { id, by: by.clone() });
                }
                // Who wants it besides its document does not change it.
                (Origin::Document(_), Origin::Request) => {}
                // From now on it lives as long as the document.
                _ => {
                    job.origin = origin;
                    job.renew(task, now);
                }
            }
            job.waiters.extend(waiter);
            return Ok(());
        }
        if table.jobs.len() >= JOBS_MAX {
            return Err(NotAdded::TooMany);
        }
        table.counter += 1;
        let mut job = Job {
            task: Arc::new(task),
            origin,
            state: State::Pending,
            history: VecDeque::new(),
            crashes: 0,
            progress: Arc::default(),
            added: now,
            updated: now,
            queued: table.counter,
            waiters: waiter.into_iter().collect(),
        };
        job.note("added", None, now);
        table.jobs.insert(id, job);
        Ok(())
    }

    /// Ends a job. False when there is none.
    pub(crate) fn remove(&self, id: &str) -> bool {
        let removed = self.table().jobs.remove(id);
        if let Some(Job { state: State::Running { stop, .. }, .. }) = &removed {
            stop.cancel();
        }
        removed.is_some()
    }

    /// Ends the jobs of documents, or of one.
    pub(crate) fn remove_documents(&self, only: Option<&str>) {
        let wanted = |job: &Job| match &job.origin {
            Origin::Document(id) => only.is_none_or(|only| only == id),
            Origin::Request => false,
        };
        for job in self.table().jobs.extract_if(.., |_, job| wanted(job)).map(|(_, job)| job) {
            if let State::Running { stop, .. } = &job.state {
                stop.cancel();
            }
        }
    }

    /// Chooses which jobs begin now. Their runs end with `stop`.
    pub(crate) fn begin(
        &self,
        stop: &CancellationToken,
        instant: Instant,
        now: SystemTime,
    ) -> Vec<Begin> {
        let mut table = self.table();
        let Table { jobs, counter } = &mut *table;
        let is_running = |job: &Job| matches!(job.state, State::Running { .. });
        let running = jobs.values().filter(|job| is_running(job)).count();
        let mut ready: Vec<(&String, &mut Job)> =
            jobs.iter_mut().filter(|(_, job)| job.is_ready(instant)).collect();
        ready.sort_by_key(|(_, job)| job.queued);
        let places = RUNNING_MAX.saturating_sub(running);
        let mut begun = Vec::new();
        for (id, job) in ready.into_iter().take(places) {
            *counter += 1;
            let (run, stop) = (*counter, stop.child_token());
            job.progress = Arc::default();
            job.state = State::Running { run, since: instant, stop: stop.clone() };
            job.note("started", None, now);
            let (id, task, progress) =
                (id.clone(), Arc::clone(&job.task), Arc::clone(&job.progress));
            begun.push(Begin { id, run, task, progress, stop });
        }
        begun
    }

    /// When [`Jobs::begin`] may have something to do without being asked.
    pub(crate) fn next_turn(&self) -> Option<Instant> {
        let table = self.table();
        let until = |job: &Job| match &job.state {
            State::Crashing { until, .. } => Some(*until),
            State::Pending | State::Running { .. } => None,
        };
        table.jobs.values().filter_map(until).min()
    }

    /// Makes place for jobs that wait: continuous ones that have had their turn stop and queue again.
    pub(crate) fn rotate(&self, instant: Instant) {
        let table = self.table();
        let mut waiting = table.jobs.values().filter(|job| job.is_ready(instant)).count();
        for job in table.jobs.values().filter(|job| job.task.continuous) {
            if waiting == 0 {
                break;
            }
            if let State::Running { since, stop, .. } = &job.state
                && instant.duration_since(*since) >= TURN
            {
                stop.cancel();
                waiting -= 1;
            }
        }
    }

    /// Takes the end of a run. What is done is given back; what failed waits, unless somebody is told.
    pub(crate) fn ended(
        &self,
        id: &str,
        run: u64,
        result: Result<Log, RunError>,
        instant: Instant,
        now: SystemTime,
    ) -> Option<Done> {
        let mut table = self.table();
        table.counter += 1;
        let queued = table.counter;
        let job = table.jobs.get_mut(id)?;
        let since = match &job.state {
            State::Running { run: current, since, .. } if *current == run => *since,
            // It was taken away and added again while the run ended.
            _ => return None,
        };
        job.queued = queued;
        let outcome = match result {
            Err(RunError::Stopped) => {
                job.state = State::Pending;
                job.note("stopped", None, now);
                return None;
            }
            result => result.map_err(Arc::new),
        };
        if let Err(error) = &outcome {
            let reason: Arc<str> = error.to_string().into();
            tracing::warn!(id, %reason, "a replication failed");
            let healthy = instant.duration_since(since) >= HEALTHY_AFTER;
            job.crashes = if healthy { 1 } else { job.crashes.saturating_add(1) };
            let until = instant + backoff(job.crashes);
            job.state = State::Crashing { until, reason: Arc::clone(&reason) };
            job.note("crashed", Some(reason), now);
        }
        let waiters = std::mem::take(&mut job.waiters);
        let over = match (&outcome, &job.origin) {
            (Ok(_), _) => true,
            (Err(_), Origin::Request) => !job.task.continuous,
            (Err(_), Origin::Document(_)) => false,
        };
        for waiter in waiters {
            // Somebody who no longer waits need not be told.
            drop(waiter.send(outcome.clone()));
        }
        let done = over.then(|| table.jobs.remove(id)).flatten()?;
        let Job { origin, progress, added, task, .. } = done;
        let fingerprint = task.fingerprint;
        outcome.is_ok().then_some(Done { origin, progress, added, fingerprint })
    }
}

impl Job {
    /// Begins anew when something else is asked for than before: another password, another interval.
    fn renew(&mut self, task: Task, now: SystemTime) {
        if self.task.fingerprint == task.fingerprint {
            return;
        }
        if let State::Running { stop, .. } = &self.state {
            stop.cancel();
        }
        self.task = Arc::new(task);
        self.state = State::Pending;
        self.crashes = 0;
        self.note("added", None, now);
    }

    fn note(&mut self, kind: &'static str, reason: Option<Arc<str>>, at: SystemTime) {
        self.history.push_front(Event { at, kind, reason });
        self.history.truncate(HISTORY_MAX);
        self.updated = at;
    }

    fn is_ready(&self, instant: Instant) -> bool {
        match &self.state {
            State::Pending => true,
            State::Crashing { until, .. } => *until <= instant,
            State::Running { .. } => false,
        }
    }
}

/// How long a job is kept back after so many failures in a row.
fn backoff(crashes: u32) -> Duration {
    BACKOFF.saturating_mul(1 << crashes.saturating_sub(1).min(BACKOFF_DOUBLINGS_MAX))
}

#[cfg(test)]
mod tests;
