//! The loop that starts and ends runs, and follows `_replicator`. There is one for each server.

use super::{
    checkpoint::Log,
    documents::Documents,
    jobs::{Begin, Origin},
    run::{self, Means, RunError},
};
use crate::{
    http::{call::Server, inside},
    user::User,
};
use std::{
    collections::HashMap,
    convert::Infallible,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    io::DuplexStream,
    sync::mpsc,
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep_until, timeout},
};

/// How often the manager looks after jobs without being asked: whether continuous ones should make
/// place for others, whether there is a `_replicator` again after it was deleted, and whether it has what could not be read.
const ROUND: Duration = Duration::from_secs(5);

/// How long runs may take for their last checkpoints after the stop.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// Connections to databases of this server that one run may open at once: two for each end.
const PIPES_MAX: usize = 4;

type Ended = Result<(Id, Result<Log, RunError>), JoinError>;

/// Runs replications until the server stops.
pub(crate) async fn manage(server: Arc<Server>) {
    let mut manager = Manager {
        documents: Documents::default(),
        runs: JoinSet::new(),
        names: HashMap::new(),
        server,
    };
    let stop = manager.server.stop.clone();
    tokio::select! {
        () = manager.serve() => {}
        () = stop.cancelled() => {}
    }
    // The runs hear of the stop by themselves.
    let all_ended = async { while manager.runs.join_next().await.is_some() {} };
    if timeout(STOP_PATIENCE, all_ended).await.is_err() {
        tracing::warn!("replications did not end in time and are cut");
        manager.runs.shutdown().await;
    }
}

async fn serve_pipes(
    server: Arc<Server>,
    user: Arc<User>,
    connections: mpsc::Receiver<DuplexStream>,
) -> Infallible {
    inside::serve(server, user, connections).await;
    std::future::pending().await
}

struct Manager {
    server: Arc<Server>,
    documents: Documents,
    runs: JoinSet<Result<Log, RunError>>,
    /// The job and the number of each run.
    names: HashMap<Id, (String, u64)>,
}

impl Manager {
    async fn serve(&mut self) {
        self.documents.look(&self.server).await;
        // Not put off by whatever else happens.
        let mut round = Instant::now() + ROUND;
        loop {
            let jobs = &self.server.replicator.jobs;
            let begun = jobs.begin(&self.server.stop, Instant::now(), SystemTime::now());
            for begin in begun {
                self.start(begin);
            }
            let next = self.server.replicator.jobs.next_turn();
            let wake = next.map_or(round, |next| next.min(round));
            tokio::select! {
                Some(ended) = self.runs.join_next_with_id() => self.ended(ended).await,
                () = self.server.replicator.wake.notified() => {}
                () = self.documents.changed() => self.documents.read(&self.server).await,
                () = sleep_until(wake) => {
                    round = Instant::now() + ROUND;
                    self.server.replicator.jobs.rotate(Instant::now());
                    self.documents.look(&self.server).await;
                }
            }
        }
    }

    fn start(&mut self, begin: Begin) {
        let Begin { id, run, task, progress, stop } = begin;
        tracing::info!(id, source = ?task.source, target = ?task.target, "a replication starts");
        let server = Arc::clone(&self.server);
        let places = Arc::clone(&server.replicator.places);
        let handle = self.runs.spawn(async move {
            let (pipes, connections) = mpsc::channel(PIPES_MAX);
            let user = Arc::clone(&task.user);
            let means = Means { pipes, progress, places, stop };
            tokio::select! {
                result = run::run(&task, means) => result,
                // Ends at once when both ends are remote, and that is no end of the run.
                never = serve_pipes(server, user, connections) => match never {},
            }
        });
        self.names.insert(handle.id(), (id, run));
    }

    async fn ended(&mut self, ended: Ended) {
        let (task, result) = match ended {
            Ok((task, result)) => (task, result),
            Err(failed) => {
                tracing::error!(%failed, "a replication ended in a way that it should not");
                (failed.id(), Err(RunError::Broken))
            }
        };
        let Some((id, run)) = self.names.remove(&task) else { return };
        let jobs = &self.server.replicator.jobs;
        let done = jobs.ended(&id, run, result, Instant::now(), SystemTime::now());
        if let Some(done) = done
            && let Origin::Document(document) = &done.origin
        {
            self.documents.completed(&self.server, document, &done).await;
        }
    }
}
