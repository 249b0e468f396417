//! The gateway's ears: it loads the catalog, and then hears of everything by one feed a database.

use std::collections::HashSet;
use std::time::Duration;

use blitz_couchdb::{AllDocs, Change, Client, Database, Error, FollowOptions, Sequence};
use blitz_jobs::engine::EngineDocument;
use blitz_jobs::feed::{self, Asked, Heard};
use blitz_jobs::id::DocumentId;
use blitz_jobs::output::Chunk;
use blitz_jobs::read;
use blitz_jobs::region::{CONTROL, Region};
use blitz_jobs::timing::HEARTBEAT;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::mpsc::{self, Sender};
use tokio::task::JoinSet;

use crate::catalog::Catalog;
use crate::hub::Hub;
use crate::keeper::Told;
use crate::queue::Queue;

/// A database that has gone is looked for again after this long.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Things heard that wait for the keeper.
pub(crate) const HEARD_WAITING: usize = 1024;

/// What the ears fill.
#[derive(Debug, Clone)]
pub(crate) struct Ears {
    pub(crate) store: Client,
    pub(crate) catalog: Catalog,
    pub(crate) hub: Hub,
    pub(crate) queue: Queue,
    pub(crate) keeper: Sender<Told>,
}

/// What was there when the gateway started, and from where to hear on.
#[derive(Debug)]
pub(crate) struct Loaded {
    since: Sequence,
    /// Output of jobs that are submitted from now on comes after these.
    output: Vec<(String, Sequence)>,
}

impl Ears {
    /// Reads regions, plugins and engines, so that the first request finds them.
    pub(crate) async fn load(&self) -> Result<Loaded, Error> {
        let control = self.store.database(CONTROL);
        let since = control.info().await?.update_seq;
        for (id, _, doc) in read::list(&control, AllDocs::default()).await? {
            self.hear_control(&id, doc);
        }
        let mut output = Vec::new();
        for region in self.catalog.all_regions() {
            for name in region.output_databases() {
                match self.store.database(&name).info().await {
                    Ok(info) => output.push((name, info.update_seq)),
                    // One region without its databases must not keep the others from being served.
                    Err(error @ Error::NotFound { .. }) => {
                        tracing::warn!(region = region.name, %error, "a region is not whole");
                    }
                    Err(error) => return Err(error),
                }
            }
            let engines = self.store.database(&region.engines_database());
            match read::list(&engines, AllDocs::default()).await {
                Ok(rows) => rows.into_iter().for_each(|(_, _, e)| self.catalog.hear_engine(e)),
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Loaded { since, output })
    }

    /// Hears until it is dropped.
    pub(crate) async fn listen(self, loaded: Loaded) {
        let mut feeds = JoinSet::new();
        let mut followed = HashSet::new();
        for (name, since) in loaded.output {
            feeds.spawn(self.clone().follow_output(name.clone(), since));
            followed.insert(name);
        }
        self.follow_regions(&mut feeds, &mut followed);
        let mut feed = self.store.database(CONTROL).follow_for_ever(options(loaded.since));
        loop {
            let change = feed.next().await;
            if let Ok(Some(document)) = change.document() {
                self.hear_control(&change.id, document.body);
            }
            self.follow_regions(&mut feeds, &mut followed);
        }
    }

    fn hear_control(&self, id: &str, doc: Value) {
        if id.starts_with("region:") {
            if let Some(region) = read::document::<Region>(id, doc) {
                self.catalog.hear_region(region);
            }
        } else {
            self.catalog.hear_control(id, doc);
        }
    }

    /// Follows every database that a known region has and that is not followed yet.
    fn follow_regions(&self, feeds: &mut JoinSet<()>, followed: &mut HashSet<String>) {
        for region in self.catalog.all_regions() {
            for name in region.jobs_databases() {
                if followed.insert(name.clone()) {
                    feeds.spawn(self.clone().follow_jobs(region.name.clone(), name));
                }
            }
            for name in region.output_databases() {
                if followed.insert(name.clone()) {
                    feeds.spawn(self.clone().follow_output(name, Sequence::zero()));
                }
            }
            let name = region.engines_database();
            if followed.insert(name.clone()) {
                feeds.spawn(self.clone().follow_engines(name));
            }
        }
    }

    async fn follow_jobs(self, region: String, name: String) {
        if self.keeper.send(Told { region: region.clone(), thing: None }).await.is_err() {
            return;
        }
        let database = self.store.database(&name);
        loop {
            let (heard_in, heard) = mpsc::channel(HEARD_WAITING);
            let copies = copies(&database).await;
            let follows = feed::follow(database.clone(), copies, None, Asked::never(), heard_in);
            tokio::select! {
                () = follows => return,
                goes_on = self.hear_jobs(&region, heard) => if !goes_on { return },
            }
        }
    }

    /// Hears of jobs until their database was replaced, perhaps by one with more copies. False when nobody listens.
    async fn hear_jobs(&self, region: &str, mut heard: mpsc::Receiver<Heard>) -> bool {
        while let Some(thing) = heard.recv().await {
            if let Heard::Run(job, _, run) = &thing {
                self.hub.hear_run(job, run);
            }
            self.queue.hear(&thing);
            let is_replaced = matches!(thing, Heard::Replaced(_));
            let told = Told { region: region.to_owned(), thing: Some(thing) };
            if self.keeper.send(told).await.is_err() {
                return false;
            }
            if is_replaced {
                return true;
            }
        }
        true
    }

    async fn follow_output(self, name: String, since: Sequence) {
        let mut feed = self.store.database(&name).follow_for_ever(options(since));
        loop {
            let change = feed.next().await;
            // Asked before the chunk is read: most output is followed elsewhere or by nobody.
            if let Ok(DocumentId::Output(job, position)) = change.id.parse()
                && self.hub.wants(&job)
                && let Some(chunk) = document::<Chunk>(&change)
            {
                self.hub.hear_chunk(&job, position, chunk);
            }
        }
    }

    async fn follow_engines(self, name: String) {
        let mut feed = self.store.database(&name).follow_for_ever(options(Sequence::zero()));
        loop {
            if let Some(engine) = document::<EngineDocument>(&feed.next().await) {
                self.catalog.hear_engine(engine);
            }
        }
    }
}

/// How many copies a database has, once it is there.
async fn copies(database: &Database) -> u32 {
    loop {
        match database.info().await {
            Ok(info) => return info.cluster.n,
            Err(error) => {
                tracing::warn!(database = database.name(), %error, "cannot follow jobs, trying again");
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }
}

/// The document that a change brings, when there is one that this version can read.
fn document<T: DeserializeOwned>(change: &Change) -> Option<T> {
    let document = change.document::<Value>().ok().flatten()?;
    read::document(&change.id, document.body)
}

fn options(since: Sequence) -> FollowOptions {
    FollowOptions { since, include_docs: true, heartbeat: HEARTBEAT, ..FollowOptions::default() }
}
