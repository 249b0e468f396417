//! What all clusters know of clusters and regions: their documents, the newest of each, and how a new one comes to all.
//!
//! Every cluster has all of these documents, by replication. Who sets up does not wait for that: it reads each where it is
//! newest, writes there, and carries the very revision to the others, as a replication would. So no conflict comes of it, and a
//! home that was wiped has its documents again. A region's document that was edited on two sides is read as one, and is one
//! once it is written ([`live`]).

mod live;

use std::collections::BTreeMap;

use blitz_couchdb::{
    Client, Database, Document, Error, Fetched, Put, PutOptions, Revision, Wanted,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use live::Leaves;

use super::error::SetupError;
use super::operators::Operators;
use crate::cluster::Cluster;
use crate::read;
use crate::region::{CONTROL, Region};

/// What is known.
#[derive(Debug, Default)]
pub struct Known {
    clusters: BTreeMap<String, Held<Cluster>>,
    regions: BTreeMap<String, Held<Region>>,
    /// What all leaves of each region's document say together.
    merged: BTreeMap<String, Region>,
    /// The clusters that did not tell, and what came instead.
    pub silent: BTreeMap<String, Error>,
}

/// A document, and who has it.
#[derive(Debug, Clone)]
struct Held<T> {
    newest: T,
    /// A cluster that has the newest, and its revision.
    at: (String, Revision),
    /// The revision that each cluster has.
    revisions: BTreeMap<String, Revision>,
}

/// What orders two versions of a document.
trait Versioned {
    fn version(&self) -> (u32, u32, usize);
}

impl Versioned for Cluster {
    fn version(&self) -> (u32, u32, usize) {
        (0, 0, 0)
    }
}

impl Versioned for Region {
    fn version(&self) -> (u32, u32, usize) {
        (self.home_epoch, self.current, self.open.len())
    }
}

impl Known {
    /// Asks every cluster that can be entered.
    ///
    /// # Errors
    ///
    /// [`SetupError::Cluster`] when documents cannot be compared; a cluster that does not tell is in [`Known::silent`].
    pub async fn read(operators: &Operators) -> Result<Self, SetupError> {
        let mut known = Self::default();
        let mut leaves = BTreeMap::new();
        for (name, client) in operators.all() {
            let control = client.database(CONTROL);
            match known.hear(name, &control, &mut leaves).await {
                // A cluster that has nothing yet.
                Ok(()) | Err(Error::NotFound { .. }) => {}
                // Whatever it is: the others can be looked at, and who needs this one will say so.
                Err(error) => drop(known.silent.insert(name.to_owned(), error)),
            }
        }
        for (name, leaves) in leaves {
            known.hear_region(operators, name, leaves).await?;
        }
        Ok(known)
    }

    async fn hear(
        &mut self,
        name: &str,
        control: &Database,
        leaves: &mut BTreeMap<String, Leaves>,
    ) -> Result<(), Error> {
        let clusters = read::list::<Cluster>(control, read::range("cluster:", "cluster;")).await?;
        for (_, revision, cluster) in clusters {
            hold(&mut self.clusters, cluster.name.clone(), cluster, name, revision);
        }
        live::hear(leaves, name, control).await
    }

    async fn hear_region(
        &mut self,
        operators: &Operators,
        name: String,
        mut leaves: Leaves,
    ) -> Result<(), SetupError> {
        let id = format!("region:{name}");
        for (cluster, client) in operators.all() {
            let replaced = leaves.replace(&id, cluster, &client.database(CONTROL)).await;
            replaced.map_err(|source| SetupError::of(cluster, source))?;
        }
        let live: Vec<Region> = leaves.all.values().cloned().collect();
        self.merged.extend(Region::merged(&live).map(|merged| (name.clone(), merged)));
        for (cluster, revisions) in &leaves.at {
            for revision in revisions {
                if let Some(region) = leaves.all.get(revision) {
                    let region = region.clone();
                    hold(&mut self.regions, name.clone(), region, cluster, revision.clone());
                }
            }
        }
        if let Some(held) = self.regions.get_mut(&name) {
            // One that has other leaves, too, is to lose them.
            let is_one = |cluster: &String| leaves.at.get(cluster).is_some_and(|at| at.len() == 1);
            held.revisions.retain(|cluster, _| is_one(cluster));
        }
        Ok(())
    }

    /// The clusters, in the order of their names.
    #[must_use]
    pub fn clusters(&self) -> Vec<Cluster> {
        self.clusters.values().map(|held| held.newest.clone()).collect()
    }

    /// The regions, in the order of their names.
    #[must_use]
    pub fn regions(&self) -> Vec<Region> {
        self.merged.values().cloned().collect()
    }

    /// The cluster of this name.
    #[must_use]
    pub fn cluster(&self, name: &str) -> Option<&Cluster> {
        self.clusters.get(name).map(|held| &held.newest)
    }

    /// The region of this name, or that answers to this word.
    #[must_use]
    pub fn region(&self, word: &str) -> Option<&Region> {
        let is_called = |region: &&Region| region.is_called(word);
        self.merged.get(word).or_else(|| self.merged.values().find(is_called))
    }

    /// Whether a cluster has the newest document of a region, as far as is known.
    pub(super) fn has_newest(&self, cluster: &str, region: &str) -> bool {
        let held = self.regions.get(region);
        held.is_some_and(|held| held.revisions.get(cluster) == Some(&held.at.1))
    }

    /// The names of the clusters, for people.
    #[must_use]
    pub fn cluster_names(&self) -> String {
        names(self.clusters.keys())
    }

    /// The names of the regions, for people.
    #[must_use]
    pub fn region_names(&self) -> String {
        names(self.regions.keys())
    }

    /// Makes this the document of the cluster, everywhere. False when it was already.
    pub(super) async fn put_cluster(
        &mut self,
        operators: &Operators,
        cluster: &Cluster,
    ) -> Result<bool, SetupError> {
        let held = self.clusters.get(&cluster.name).cloned();
        let (held, is_new) = put(operators, &cluster.document_id(), cluster, held).await?;
        self.clusters.insert(cluster.name.clone(), held);
        Ok(is_new)
    }

    /// Makes this the document of the region, everywhere. False when it was already.
    pub(super) async fn put_region(
        &mut self,
        operators: &Operators,
        region: &Region,
    ) -> Result<bool, SetupError> {
        let held = self.regions.get(&region.name).cloned();
        let (held, is_new) = put(operators, &region.document_id(), region, held).await?;
        self.regions.insert(region.name.clone(), held);
        self.merged.insert(region.name.clone(), region.clone());
        Ok(is_new)
    }

    /// Brings every document to the clusters that do not have it: a new one, and one that was wiped.
    pub(super) async fn carry_all(&mut self, operators: &Operators) -> Result<bool, SetupError> {
        let mut is_new = false;
        for held in self.clusters.values_mut() {
            is_new |= carry(operators, &held.newest.document_id(), held).await?;
        }
        for held in self.regions.values_mut() {
            is_new |= carry(operators, &held.newest.document_id(), held).await?;
        }
        Ok(is_new)
    }
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn hold<T: Versioned>(
    all: &mut BTreeMap<String, Held<T>>,
    name: String,
    document: T,
    at: &str,
    revision: Revision,
) {
    let rank = |document: &T, revision: &Revision| {
        (document.version(), revision.generation(), revision.as_str().to_owned())
    };
    match all.get_mut(&name) {
        Some(held) => {
            if rank(&document, &revision) > rank(&held.newest, &held.at.1) {
                held.newest = document;
                held.at = (at.to_owned(), revision.clone());
            }
            held.revisions.insert(at.to_owned(), revision);
        }
        None => {
            let revisions = BTreeMap::from([(at.to_owned(), revision.clone())]);
            all.insert(name, Held { newest: document, at: (at.to_owned(), revision), revisions });
        }
    }
}

/// Writes where the newest is, or at the near cluster, and carries it to the others.
async fn put<T: Serialize + DeserializeOwned + Clone + PartialEq>(
    operators: &Operators,
    id: &str,
    document: &T,
    held: Option<Held<T>>,
) -> Result<(Held<T>, bool), SetupError> {
    let mut is_new = false;
    let mut held = match held {
        Some(held) if held.newest == *document => held,
        before => {
            is_new = true;
            let near = || operators.clusters.own().unwrap_or_default().to_owned();
            let (at, over) = match &before {
                Some(before) => (before.at.0.clone(), Some(&before.at.1)),
                None => (near(), None),
            };
            let client = operators.entered(&at)?;
            let control = client.database(CONTROL);
            let put = control.put(id, over, document, PutOptions::default());
            let revision = match put.await.map_err(|source| SetupError::of(&at, source))? {
                Put::Created(revision) | Put::Accepted(revision) => revision,
                Put::Conflict => {
                    return Err(SetupError::Changed { cluster: at, document: id.to_owned() });
                }
            };
            let mut revisions = before.map(|before| before.revisions).unwrap_or_default();
            if !revisions.contains_key(&at) {
                drop_others(&control, id, &revision).await;
            }
            revisions.insert(at.clone(), revision.clone());
            Held { newest: document.clone(), at: (at, revision), revisions }
        }
    };
    is_new |= carry(operators, id, &mut held).await?;
    Ok((held, is_new))
}

/// Brings the newest revision to the clusters that have another one, or none; those that do not answer, or have no control
/// database, get it by replication later.
async fn carry<T>(operators: &Operators, id: &str, held: &mut Held<T>) -> Result<bool, SetupError> {
    let (at, revision) = held.at.clone();
    let lacking: Vec<(&str, &Client)> =
        operators.all().filter(|(name, _)| held.revisions.get(*name) != Some(&revision)).collect();
    if lacking.is_empty() {
        return Ok(false);
    }
    let wanted = Wanted { id: id.to_owned(), revision: revision.clone() };
    let source = operators.entered(&at)?.database(CONTROL);
    let fetched = source.fetch(&[wanted], false).await.map_err(|e| SetupError::of(&at, e))?;
    let found = fetched.into_iter().find_map(|fetched| match fetched {
        Fetched::Found { document, .. } => Some(document),
        Fetched::Refused(_) => None,
    });
    let Some(document) = found else {
        return Err(SetupError::Changed { cluster: at, document: id.to_owned() });
    };
    let mut is_new = false;
    let documents = [document];
    for (name, client) in lacking {
        let control = client.database(CONTROL);
        match control.merge(&documents).await {
            Ok(_) => {
                drop_others(&control, id, &revision).await;
                held.revisions.insert(name.to_owned(), revision.clone());
                is_new = true;
            }
            Err(error) => tracing::debug!(cluster = name, id, %error, "a document comes later"),
        }
    }
    Ok(is_new)
}

/// Removes the leaves beside the one that counts. What cannot be removed is a conflict that somebody else repairs.
async fn drop_others(control: &Database, id: &str, kept: &Revision) {
    let Ok(leaves) = control.leaves::<Value>(id, None).await else { return };
    let losers = leaves.iter().filter(|leaf| leaf.revision != *kept);
    // With their kind: the selectors of replications look for it.
    let tombstone = |leaf: &Document<Value>| json!({"_id": id, "_rev": leaf.revision, "_deleted": true, "kind": leaf.body["kind"]});
    let tombstones: Vec<Value> = losers.map(tombstone).collect();
    if !tombstones.is_empty()
        && let Err(error) = control.bulk(&tombstones).await
    {
        tracing::debug!(id, %error, "a conflict stays");
    }
}
