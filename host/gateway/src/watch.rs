//! The gateway's ears: it loads the catalog from the near cluster's control database, and then hears of everything by one feed a
//! database, each region's where it is best read (`region`).

mod left;
mod region;

use std::collections::HashMap;
use std::time::Duration;

use blitz_couchdb::{AllDocs, Change, Database, Error, FollowOptions, Sequence};
use blitz_jobs::cluster::Cluster;
use blitz_jobs::engine::EngineDocument;
use blitz_jobs::read;
use blitz_jobs::region::{CONTROL, Region};
use blitz_jobs::timing::HEARTBEAT;
use futures_util::future::join_all;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::mpsc::Sender;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::audit::Audit;
use crate::hub::Hub;
use crate::keeper::Told;
use crate::queue::Queue;
use crate::quota::Quota;
use crate::reach::{ELSEWHERE_AFTER, Site};
use crate::stores::Stores;

/// A database that has gone is looked for again after this long.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Things heard that wait for the keeper.
pub(crate) const HEARD_WAITING: usize = 1024;

/// The first request is served this long after the start at the latest, also while some regions are not heard yet.
const BEGIN_MAX: Duration = Duration::from_secs(2);

/// How often it is looked whether they are.
const BEGIN_LOOK: Duration = Duration::from_millis(5);

/// What the ears fill.
#[derive(Debug, Clone)]
pub(crate) struct Ears {
    pub(crate) stores: Stores,
    pub(crate) hub: Hub,
    pub(crate) queue: Queue,
    pub(crate) audit: Audit,
    pub(crate) quota: Quota,
    pub(crate) keeper: Sender<Told>,
}

/// Ears that know what there was, and hear what changes.
#[derive(Debug)]
pub(crate) struct Listening {
    ears: Ears,
    /// Of the control database.
    since: Sequence,
    regions: HashMap<String, AbortOnDropHandle<()>>,
}

impl Ears {
    /// Reads clusters, regions, plugins and engines, so that the first request finds them, and begins to hear of regions.
    ///
    /// # Errors
    ///
    /// When the near cluster's control database cannot be read.
    pub(crate) async fn start(&self) -> Result<Listening, Error> {
        let (reach, catalog) = (&self.stores.reach, &self.stores.catalog);
        let control = reach.near().database(CONTROL);
        let info = control.info().await;
        reach.note(Site::NEAR, &info);
        let since = info?.update_seq;
        let all = AllDocs { include_docs: true, conflicts: true, ..AllDocs::default() };
        for row in control.all_docs::<Value>(&all).await?.rows {
            let Some(doc) = row.doc else { continue };
            self.hear_control(&control, &row.id, doc, !row.conflicts.is_empty()).await;
        }
        reach.look().await;
        let mut listening = Listening { ears: self.clone(), since, regions: HashMap::new() };
        listening.follow_regions();
        let regions = catalog.all_regions();
        let engines = join_all(regions.iter().map(|region| self.load_engines(region)));
        let heard = async {
            let of_region = |region: &Region| {
                let can_be = reach.choice(region).is_there;
                can_be && !region.output_databases().all(|name| self.hub.hears(&name))
            };
            while regions.iter().any(of_region) {
                sleep(BEGIN_LOOK).await;
            }
        };
        if timeout(BEGIN_MAX, async { tokio::join!(engines, heard) }).await.is_err() {
            tracing::warn!("serving while not all regions are heard yet");
        }
        Ok(listening)
    }

    /// The engines of a region: also its feed brings them, a moment later.
    async fn load_engines(&self, region: &Region) {
        let Some(site) = self.stores.reach.choice(region).best() else { return };
        let engines = self.stores.reach.client(site).database(&region.engines_database());
        let listed = read::list::<EngineDocument>(&engines, read::range("engine:", "engine;"));
        match self.stores.reach.ask(site, ELSEWHERE_AFTER, listed).await {
            Ok(rows) => {
                rows.into_iter().for_each(|(_, _, engine)| self.stores.catalog.hear_engine(engine));
            }
            Err(error) => tracing::warn!(region = region.name, %error, "a region is not whole"),
        }
    }

    /// Hears of a document of the control database. Of a region's that was edited on two sides all leaves are read.
    async fn hear_control(&self, control: &Database, id: &str, doc: Value, has_conflicts: bool) {
        let Stores { reach, catalog } = &self.stores;
        if id.starts_with("region:") {
            let winner = read::document::<Region>(id, doc);
            let region = if has_conflicts { merged(control, id, winner).await } else { winner };
            region.into_iter().for_each(|region| catalog.hear_region(region));
        } else if id.starts_with("cluster:") {
            if let Some(cluster) = read::document::<Cluster>(id, doc) {
                reach.hear_cluster(&cluster);
            }
        } else {
            catalog.hear_control(id, doc);
        }
    }
}

impl Listening {
    /// Hears until it is dropped.
    pub(crate) async fn run(mut self) {
        let control = self.ears.stores.reach.near().database(CONTROL);
        let options = FollowOptions { all_leaves: true, ..options(self.since.clone()) };
        let mut feed = control.follow_for_ever(options);
        loop {
            let change = feed.next().await;
            self.ears.stores.reach.answered(Site::NEAR);
            match change.id.strip_prefix("region:") {
                Some(name) if change.deleted => self.ears.stores.catalog.forget_region(name),
                _ => {
                    if let Ok(Some(document)) = change.document() {
                        let has_conflicts = change.revisions.len() > 1;
                        self.ears
                            .hear_control(&control, &change.id, document.body, has_conflicts)
                            .await;
                    }
                }
            }
            self.follow_regions();
        }
    }

    /// Begins to hear of regions that are new, and ends with those that have gone.
    fn follow_regions(&mut self) {
        let regions = self.ears.stores.catalog.region_names();
        self.regions.retain(|name, task| regions.contains(name) && !task.is_finished());
        for name in regions {
            let ears = &self.ears;
            self.regions.entry(name.clone()).or_insert_with(|| {
                AbortOnDropHandle::new(tokio::spawn(region::follow(ears.clone(), name)))
            });
        }
    }
}

/// One document of all leaves that a region's has.
async fn merged(control: &Database, id: &str, winner: Option<Region>) -> Option<Region> {
    match control.leaves::<Value>(id, None).await {
        Ok(leaves) => {
            if leaves.len() > 1 {
                let leaves = leaves.len();
                tracing::warn!(id, leaves, "a region's document was edited on two sides");
            }
            let leaves = leaves.into_iter().filter_map(|leaf| read::document(id, leaf.body));
            Region::merged(&leaves.collect::<Vec<Region>>()).or(winner)
        }
        Err(error) => {
            tracing::warn!(id, %error, "cannot read the leaves of a region's document");
            winner
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
