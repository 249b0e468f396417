//! One run of a replication: from the checkpoint on, page by page, until the end or for ever.

use super::{
    Places,
    checkpoint::{self, Log, Session},
    copy::Copier,
    progress::Progress,
    seen::Seen,
    task::{Selection, Task},
};
use crate::store::database::random_id;
use blitz_couchdb::{ChangesPage, ChangesQuery, Database, Error, Refused, Sequence};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    io::DuplexStream,
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

/// The shortest time that a source is asked to wait for a change, when a checkpoint is due.
const WAIT_MIN: Duration = Duration::from_millis(20);

/// How long the last checkpoint of a run that is stopped may take: below the time that a server has for
/// its end.
const LAST_CHECKPOINT: Duration = Duration::from_secs(2);

/// Why a run ended before its work was done. The texts are CouchDB's where it has one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("db_not_found: could not open {shown}")]
    NoDatabase { shown: String },
    #[error("failed to {0}")]
    Peer(#[from] Error),
    #[error("instance_start_time on {which} database has changed since last checkpoint.")]
    Replaced { which: &'static str },
    #[error("filter_fetch_error: the source has no filter {name}")]
    NoFilter { name: String },
    #[error("the source did not give document {:?}: {}: {}", .0.id, .0.error, .0.reason)]
    NotFetched(Refused),
    #[error("the replication was stopped")]
    Stopped,
    #[error("the replication ended by a mistake of this server; its log has more")]
    Broken,
}

/// What a run needs besides its task.
#[derive(Debug)]
pub(crate) struct Means {
    /// Leads to the databases of this server.
    pub(crate) pipes: mpsc::Sender<DuplexStream>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) places: Arc<Places>,
    pub(crate) stop: CancellationToken,
}

/// Runs a replication; gives what `_replicate` answers. Without `continuous` it ends by itself.
pub(crate) async fn run(task: &Task, means: Means) -> Result<Log, RunError> {
    let stop = means.stop.clone();
    let opened = tokio::select! {
        opened = Run::open(task, means) => opened,
        () = stop.cancelled() => return Err(RunError::Stopped),
    };
    let mut run = opened?;
    let ended = tokio::select! {
        ended = run.go_on() => Some(ended),
        () = stop.cancelled() => None,
    };
    match ended {
        Some(Ok(())) => {
            run.checkpoint().await?;
            Ok(run.answer())
        }
        Some(Err(error)) => Err(error),
        None => {
            // What was copied need not be copied again.
            if let Ok(Err(error)) = timeout(LAST_CHECKPOINT, run.checkpoint()).await {
                tracing::debug!(%error, "the last checkpoint of a replication was not written");
            }
            Err(RunError::Stopped)
        }
    }
}

struct Run<'a> {
    task: &'a Task,
    source: Database,
    target: Database,
    /// The identities of the two databases when the run began.
    identities: (String, String),
    copier: Copier,
    progress: Arc<Progress>,
    session: Session,
    /// The checkpoint that both sides have.
    log: Log,
    /// Everything up to here was copied.
    through: Sequence,
    committed: Sequence,
    committed_at: Instant,
    recorded: bool,
    /// All that the source had was read: nothing but new changes is looked through.
    at_the_end: bool,
    /// For a run that ends by itself.
    seen: Option<Seen>,
}

impl<'a> Run<'a> {
    async fn open(task: &'a Task, means: Means) -> Result<Run<'a>, RunError> {
        let source = task.source.open(&means.pipes, task.patience)?;
        let target = task.target.open(&means.pipes, task.patience)?;
        let patience = task.patience;
        let missing = |shown: &str| RunError::NoDatabase { shown: shown.to_owned() };
        let source_info = match patience.with(|| source.info()).await {
            Err(Error::NotFound { .. }) => return Err(missing(task.source.shown())),
            info => info?,
        };
        if let Some(options) = task.create_target {
            patience.with(|| target.create_with(options)).await?;
        }
        let target_info = match patience.with(|| target.info()).await {
            Err(Error::NotFound { .. }) => return Err(missing(task.target.shown())),
            info => info?,
        };
        let base = &task.id.base;
        let source_log = patience.with(|| source.get_local::<Log>(base)).await?.unwrap_or_default();
        let target_log = patience.with(|| target.get_local::<Log>(base)).await?.unwrap_or_default();
        let start = checkpoint::meet(&source_log, &target_log);
        let through = task.since.clone().or_else(|| start.since.clone()).unwrap_or_default();
        let progress = means.progress;
        progress.change(|state| {
            state.source = Some(source_info.update_seq.clone());
            state.through = Some(through.clone());
            state.checkpointed = start.since.clone();
        });
        let batch_max = usize::try_from(task.batch).unwrap_or(usize::MAX);
        let copier = Copier::new(
            source.clone(),
            target.clone(),
            Arc::clone(&progress),
            means.places,
            patience,
            batch_max,
        );
        let by_ids = matches!(task.selection, Selection::Ids(_));
        let documents = source_info.doc_count.saturating_add(source_info.doc_del_count);
        Ok(Run {
            task,
            source,
            target,
            identities: (source_info.instance_start_time, target_info.instance_start_time),
            copier,
            progress,
            session: Session { id: random_id(), started: SystemTime::now(), start, by_ids },
            log: source_log,
            committed: through.clone(),
            through,
            committed_at: Instant::now(),
            recorded: false,
            at_the_end: false,
            seen: (!task.continuous).then(|| Seen::new(documents)),
        })
    }

    async fn go_on(&mut self) -> Result<(), RunError> {
        loop {
            let page = self.changes().await?;
            self.copier.page(&page.changes).await?;
            let count = u64::try_from(page.changes.len()).unwrap_or(u64::MAX);
            self.through = page.last_seq;
            self.progress.change(|state| {
                state.through = Some(self.through.clone());
                state.pending = page.pending;
            });
            self.at_the_end = count < self.task.batch;
            if let Some(seen) = &mut self.seen {
                let ids = page.changes.iter().map(|change| &*change.id);
                if seen.is_all_with(ids) || self.at_the_end {
                    return Ok(());
                }
            }
            if self.committed_at.elapsed() >= self.task.checkpoint_interval {
                self.checkpoint().await?;
            }
        }
    }

    async fn changes(&self) -> Result<ChangesPage, RunError> {
        let mut query = ChangesQuery {
            since: self.through.clone(),
            all_leaves: !self.task.winning_revs_only,
            limit: Some(self.task.batch),
            wait: self.task.continuous.then(|| self.wait()),
            ..ChangesQuery::default()
        };
        match &self.task.selection {
            Selection::All => {}
            Selection::Ids(ids) => query.doc_ids = Some(ids.clone()),
            Selection::Selector(selector) => query.selector = Some(selector.clone()),
            Selection::Filter { name, parameters } => {
                query.filter = Some(name.clone());
                query.parameters.clone_from(parameters);
            }
        }
        let (source, patience) = (&self.source, self.task.patience);
        // A source that reads its whole database for a selector gets more time than one that waits: there a line that fell silent
        // would be noticed late.
        let silence = self.at_the_end.then(|| patience.request() + query.wait.unwrap_or_default());
        let ask = || async {
            let Some(silence) = silence else { return source.changes(&query).await };
            let late = |_| Error::Timeout {
                request: format!("GET _changes of {}", source.name()),
                after: silence,
            };
            timeout(silence, source.changes(&query)).await.unwrap_or_else(|e| Err(late(e)))
        };
        let mut page = match patience.with(ask).await {
            Err(Error::Status { code: 404, .. }) if query.filter.is_some() => {
                return Err(RunError::NoFilter { name: query.filter.unwrap_or_default() });
            }
            page => page?,
        };
        if self.task.winning_revs_only {
            page.changes.iter_mut().for_each(|change| change.revisions.truncate(1));
        }
        Ok(page)
    }

    /// Until the next checkpoint is due, if there is something to write down.
    fn wait(&self) -> Duration {
        if self.through == self.committed || !self.task.use_checkpoints {
            return self.task.patience.wait();
        }
        let due = self.task.checkpoint_interval.saturating_sub(self.committed_at.elapsed());
        due.clamp(WAIT_MIN, self.task.patience.wait())
    }

    /// Writes down how far both sides have come. What was copied is durable before.
    async fn checkpoint(&mut self) -> Result<(), RunError> {
        self.committed_at = Instant::now();
        if !self.task.use_checkpoints || self.through == self.committed {
            return Ok(());
        }
        let (source, target, patience) = (&self.source, &self.target, self.task.patience);
        let (source_now, target_now) = tokio::try_join!(
            patience.with(|| source.ensure_full_commit()),
            patience.with(|| target.ensure_full_commit()),
        )?;
        let same = |before: &str, now: &str| before == now || before == "0" || now == "0";
        if !same(&self.identities.0, &source_now) {
            return Err(RunError::Replaced { which: "source" });
        }
        if !same(&self.identities.1, &target_now) {
            return Err(RunError::Replaced { which: "target" });
        }
        let counters = self.progress.read().counters;
        let log = self.session.record(&self.through, counters, SystemTime::now());
        let id = &self.task.id.base;
        patience.with(|| source.put_local(id, &log)).await?;
        patience.with(|| target.put_local(id, &log)).await?;
        self.log = log;
        self.recorded = true;
        self.committed = self.through.clone();
        self.progress.change(|state| state.checkpointed = Some(self.committed.clone()));
        Ok(())
    }

    fn answer(self) -> Log {
        let mut answer = Log::new();
        if !self.task.use_checkpoints {
            answer.insert(String::from("use_checkpoints"), json!(false));
            return answer;
        }
        if !self.recorded {
            answer.insert(String::from("no_changes"), Value::Bool(true));
        }
        answer.extend(self.log.into_iter().filter(|(name, _)| !name.starts_with('_')));
        answer
    }
}
