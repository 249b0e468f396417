//! What stands of a region, on its home and its hubs.

use std::collections::BTreeMap;
use std::time::Duration;

use blitz_couchdb::{AllDocs, Client, Error, Revision};
use blitz_jobs::read;
use blitz_jobs::region::{CONTROL, Region};
use blitz_jobs::rotation::{Copy, Seen};
use futures_util::future::{join_all, try_join_all};
use serde_json::Value;
use tokio::time::timeout;

use super::act::ActError;
use super::{Site, client};

/// A hub that has not said everything after this is one that does not answer.
const HUB_MAX: Duration = Duration::from_secs(20);

/// What a holder of the duty sees at one time.
pub(super) struct Look {
    pub(super) seen: Seen,
    /// The region's document at home.
    pub(super) region: Region,
    /// Its revision.
    pub(super) revision: Revision,
}

impl Site {
    pub(super) async fn look(&self, home: &Client) -> Result<Look, ActError> {
        let (region, revision) = document(home, &self.region).await?;
        let operators = &self.rotator.operators;
        let hubs = region.hubs.iter().filter(|hub| **hub != self.home);
        let looks = hubs.map(async |hub| {
            let copy = match client(operators, hub) {
                Some(client) => timeout(HUB_MAX, hub_copy(client, &self.region)).await,
                None => return (hub.clone(), None),
            };
            let copy = copy.map_err(|_| "it takes too long".to_owned());
            let copy = copy.and_then(|copy| copy.map_err(|error| error.to_string()));
            let copy =
                copy.inspect_err(|reason| tracing::debug!(cluster = hub, reason, "not seen"));
            (hub.clone(), copy.ok())
        });
        let mut clusters: BTreeMap<String, Option<Copy>> =
            join_all(looks).await.into_iter().collect();
        let copy = copy(home, region.clone()).await?;
        clusters.insert(self.home.clone(), Some(copy));
        Ok(Look { seen: Seen { clusters, home: self.home.clone() }, region, revision })
    }
}

/// The region's document in a cluster. One with conflicts is nobody's to go by.
async fn document(cluster: &Client, name: &str) -> Result<(Region, Revision), ActError> {
    let id = format!("region:{name}");
    let query = AllDocs { include_docs: true, conflicts: true, ..read::keys([id.clone()]) };
    let rows = cluster.database(CONTROL).all_docs::<Value>(&query).await?.rows;
    let row = rows.into_iter().next().ok_or(ActError::NoRegion)?;
    if !row.conflicts.is_empty() {
        return Err(ActError::Conflicts { id });
    }
    let region = row.doc.and_then(|doc| read::document(&id, doc)).ok_or(ActError::NoRegion)?;
    Ok((region, row.revision))
}

async fn hub_copy(cluster: &Client, region: &str) -> Result<Copy, ActError> {
    let (region, _) = document(cluster, region).await?;
    Ok(copy(cluster, region).await?)
}

/// Which databases of jobs and output a cluster has, and how many documents those of jobs that take no more have: the others
/// change all the time.
async fn copy(cluster: &Client, region: Region) -> Result<Copy, Error> {
    let number = |name: &str| {
        let rest = name.strip_prefix("blitz-jobs-").or(name.strip_prefix("blitz-out-"))?;
        // A region's name may be the beginning of another's.
        rest.strip_prefix(region.name.as_str())?.strip_prefix('-')?.parse::<u32>().ok()
    };
    let names = cluster.databases().await?;
    let mut databases: BTreeMap<u32, u64> =
        names.iter().filter_map(|name| Some((number(name)?, 0))).collect();
    let idle = databases.keys().copied().filter(|n| *n < region.current);
    let counts = try_join_all(idle.map(async |n| {
        let name = format!("blitz-jobs-{}-{n}", region.name);
        match cluster.database(&name).info().await {
            Ok(info) => Ok((n, info.doc_count)),
            Err(Error::NotFound { .. }) => Ok((n, 0)),
            Err(error) => Err(error),
        }
    }));
    databases.extend(counts.await?);
    Ok(Copy { region, databases })
}
