//! The leaves of regions' documents in all clusters, without those that another has replaced: a cluster that was cut off has old
//! ones, which say nothing any more, and two that were edited apart have what is to be one again.

use std::collections::{BTreeMap, HashMap, HashSet};

use blitz_couchdb::{AllDocs, Database, Error, Revision};
use serde_json::Value;

use crate::read;
use crate::region::Region;

/// The leaves of one region's document.
#[derive(Debug, Default)]
pub(super) struct Leaves {
    pub(super) all: HashMap<Revision, Region>,
    /// Those that each cluster has, the winner first.
    pub(super) at: BTreeMap<String, Vec<Revision>>,
}

/// Adds what a cluster has of all regions.
pub(super) async fn hear(
    regions: &mut BTreeMap<String, Leaves>,
    cluster: &str,
    control: &Database,
) -> Result<(), Error> {
    let range = read::range("region:", "region;");
    let query = AllDocs { include_docs: true, conflicts: true, ..range };
    for row in control.all_docs::<Value>(&query).await?.rows {
        let mut found = Vec::from_iter(row.doc.map(|doc| (row.revision, doc)));
        if !row.conflicts.is_empty() {
            let others = control.leaves::<Value>(&row.id, None).await?;
            let others = others.into_iter().map(|leaf| (leaf.revision, leaf.body));
            found.extend(others.filter(|(revision, _)| row.conflicts.contains(revision)));
        }
        for (revision, doc) in found {
            let Some(region) = read::document::<Region>(&row.id, doc) else { continue };
            let leaves = regions.entry(region.name.clone()).or_default();
            leaves.at.entry(cluster.to_owned()).or_default().push(revision.clone());
            leaves.all.insert(revision, region);
        }
    }
    Ok(())
}

impl Leaves {
    /// Takes away what a cluster knows to be replaced: revisions that it has, and not as leaves.
    pub(super) async fn replace(
        &mut self,
        id: &str,
        cluster: &str,
        control: &Database,
    ) -> Result<(), Error> {
        let Some(own) = self.at.get(cluster) else { return Ok(()) };
        let others = self.all.keys().filter(|revision| !own.contains(revision));
        let others: Vec<Revision> = others.cloned().collect();
        if others.is_empty() {
            return Ok(());
        }
        let answer = control.revs_diff(&BTreeMap::from([(id, others.as_slice())])).await?;
        let missing: HashSet<Revision> =
            answer.into_values().flat_map(|missing| missing.missing).collect();
        let there = others.iter().filter(|revision| !missing.contains(revision));
        let there: Vec<&Revision> = there.collect();
        if there.is_empty() {
            return Ok(());
        }
        // Read after that, and not what was read before: they may have come as leaves since.
        let leaves = control.leaves::<Value>(id, None).await?;
        for revision in there {
            if leaves.iter().all(|leaf| leaf.revision != *revision) {
                self.all.remove(revision);
            }
        }
        Ok(())
    }
}
