//! The engine's ears: one feed for each jobs database of its region, and how far each was heard.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use blitz_couchdb::Client;
use blitz_jobs::feed::{self, Checkpoint, Heard};
use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;
use tokio_util::task::AbortOnDropHandle;

/// A database that is gone is looked for again after this long.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The feeds, which end with their owner.
#[derive(Debug)]
pub(crate) struct Ears {
    store: Client,
    /// Whose checkpoints they go on from.
    who: String,
    heard: Sender<Heard>,
    feeds: HashMap<String, Listener>,
}

#[derive(Debug)]
struct Listener {
    relist: Arc<Notify>,
    _task: AbortOnDropHandle<()>,
}

impl Ears {
    /// Hears of nothing yet.
    pub(crate) fn new(store: &Client, engine: &str, heard: Sender<Heard>) -> Self {
        Self { store: store.clone(), who: format!("engine-{engine}"), heard, feeds: HashMap::new() }
    }

    /// Hears of a jobs database of so many copies, from where an earlier start of this engine left.
    pub(crate) fn follow(&mut self, name: &str, copies: u32) {
        let (database, heard) = (self.store.database(name), self.heard.clone());
        let (who, relist) = (self.who.clone(), Arc::new(Notify::new()));
        let notices = Arc::clone(&relist);
        let follows = async move {
            let left = Checkpoint::read(&database, &who).await;
            // Without it all open jobs are listed.
            let left =
                left.inspect_err(|error| tracing::warn!(%error, "no checkpoint to go on from"));
            feed::follow(database, copies, left.unwrap_or_default(), notices, heard).await;
        };
        let task = AbortOnDropHandle::new(tokio::spawn(follows));
        self.feeds.insert(name.to_owned(), Listener { relist, _task: task });
    }

    /// Hears of all open jobs once more.
    pub(crate) fn list_again(&self) {
        self.feeds.values().for_each(|listener| listener.relist.notify_one());
    }

    /// Leaves a checkpoint for the next start of this engine.
    pub(crate) fn leave(
        &self,
        checkpoint: Checkpoint,
    ) -> impl Future<Output = ()> + Send + 'static {
        let database = self.store.database(&checkpoint.database);
        let who = self.who.clone();
        async move {
            if let Err(error) = checkpoint.write(&database, &who).await {
                tracing::warn!(%error, "a checkpoint is not written");
            }
        }
    }

    /// How many copies a database has that has taken the place of another, once it is there.
    pub(crate) fn copies(&self, name: &str) -> impl Future<Output = u32> + Send + 'static {
        let database = self.store.database(name);
        async move {
            loop {
                match database.info().await {
                    Ok(info) => return info.cluster.n,
                    Err(error) => {
                        tracing::warn!(%error, "a jobs database is not there, looking again");
                        tokio::time::sleep(LOOK_AGAIN).await;
                    }
                }
            }
        }
    }
}
