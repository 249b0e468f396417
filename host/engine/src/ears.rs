//! The engine's ears: one feed for each jobs database of its region, and how far each was heard.

use std::collections::HashMap;

use blitz_couchdb::Client;
use blitz_jobs::feed::{self, Checkpoint, Heard, Place, Relist};
use tokio::sync::mpsc::Sender;
use tokio_util::task::AbortOnDropHandle;

use crate::patience::Patience;

/// The feeds, which end with their owner.
#[derive(Debug)]
pub(crate) struct Ears {
    store: Client,
    /// Whose checkpoints they go on from.
    who: String,
    heard: Sender<Heard>,
    feeds: HashMap<String, Listener>,
}

#[derive(Debug, Default)]
struct Listener {
    relist: Relist,
    task: Option<AbortOnDropHandle<()>>,
}

impl Ears {
    /// Hears of nothing yet.
    pub(crate) fn new(store: &Client, engine: &str, heard: Sender<Heard>) -> Self {
        Self { store: store.clone(), who: format!("engine-{engine}"), heard, feeds: HashMap::new() }
    }

    /// Hears of a jobs database of so many copies, from where an earlier start of this engine left.
    pub(crate) fn follow(&mut self, name: &str, copies: u32) {
        let (database, heard) = (self.store.database(name), self.heard.clone());
        // What was asked of the feed before this one is still owed.
        let listener = self.feeds.entry(name.to_owned()).or_default();
        let (who, asked) = (self.who.clone(), listener.relist.asked());
        let follows = async move {
            let left = Checkpoint::read(&database, &who).await;
            // Without it all open jobs are listed.
            let left =
                left.inspect_err(|error| tracing::warn!(%error, "no checkpoint to go on from"));
            feed::follow(database, copies, left.unwrap_or_default(), asked, heard).await;
        };
        listener.task = Some(AbortOnDropHandle::new(tokio::spawn(follows)));
    }

    /// Hears of a database no more.
    pub(crate) fn leave_alone(&mut self, name: &str) {
        self.feeds.remove(name);
    }

    /// Hears of all open jobs once more.
    pub(crate) fn list_again(&self) {
        self.feeds.values().for_each(|listener| listener.relist.ask());
    }

    /// Leaves a checkpoint at a place for the next start of this engine, with the oldest job that is open; not while a
    /// listing that was asked for is not heard to its end.
    pub(crate) fn leave(
        &self,
        place: &Place,
        oldest: Option<String>,
    ) -> Option<impl Future<Output = ()> + Send + 'static> {
        let checkpoint = self.feeds.get(&place.database)?.relist.checkpoint(place, oldest)?;
        let database = self.store.database(&checkpoint.database);
        let who = self.who.clone();
        Some(async move {
            if let Err(error) = checkpoint.write(&database, &who).await {
                tracing::warn!(%error, "a checkpoint is not written");
            }
        })
    }

    /// How many copies a database has, once it is there.
    pub(crate) fn copies(&self, name: &str) -> impl Future<Output = u32> + Send + 'static {
        let database = self.store.database(name);
        async move {
            let mut patience = Patience::default();
            loop {
                match database.info().await {
                    Ok(info) => return info.cluster.n,
                    Err(error) => {
                        if patience.says(&error.to_string()) {
                            tracing::warn!(%error, "a jobs database is not there, looking again");
                        }
                        tokio::time::sleep(patience.wait()).await;
                    }
                }
            }
        }
    }
}
