//! What every region needs, whether it rotates or not, from a gateway that has an operator's rights on its home: a
//! document that was edited on two sides becomes one again, and a home that has lost its databases gets new ones.
//!
//! No lease: the one is a compare-and-set, and of the other the second try finds that it is done.

use std::collections::BTreeMap;
use std::time::Duration;

use blitz_couchdb::{Client, Database, Error, Put, PutOptions};
use blitz_jobs::cluster::Cluster;
use blitz_jobs::read;
use blitz_jobs::region::{CONTROL, Region};
use blitz_jobs::setup::{Operators, SetupError, regions};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{client, key};

/// A home that has not answered everything after this is looked at again later.
const HOME_MAX: Duration = Duration::from_secs(30);

/// Why a region was not cared for. It is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum CareError {
    #[error(transparent)]
    Store(#[from] Error),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(
        "home '{cluster}' answers as another server (uuid {found}) than the one that was added ({wanted}); if it was wiped or \
         replaced, run 'blitz cluster add {cluster} --url URL --renew'"
    )]
    Another { cluster: String, wanted: String, found: String },
}

/// Looks after the regions. `wiped` has those whose homes had lost their databases the last time, and in which epoch: it is
/// believed when it is seen twice, since whoever makes a region makes one thing after the other.
pub(super) async fn care(
    operators: &Operators,
    regions: &[Region],
    wiped: &mut BTreeMap<String, u32>,
) {
    for region in regions {
        let home = key(operators, region);
        let Some(client) = client(operators, &home) else { continue };
        match timeout(HOME_MAX, look_after(operators, client, region, wiped)).await {
            Ok(Ok(())) => {}
            Ok(Err(CareError::Store(
                error @ (Error::Unreachable { .. } | Error::Timeout { .. }),
            ))) => {
                tracing::debug!(region = region.name, %error, "the home of a region is away");
            }
            Ok(Err(error)) => {
                tracing::warn!(region = region.name, %error, "a region needs an operator");
            }
            Err(_) => tracing::debug!(region = region.name, "the home of a region is slow"),
        }
    }
}

async fn look_after(
    operators: &Operators,
    home: &Client,
    region: &Region,
    wiped: &mut BTreeMap<String, u32>,
) -> Result<(), CareError> {
    if !has_lost(operators, home, region).await? {
        wiped.remove(&region.name);
        settle(&home.database(CONTROL), region).await?;
        return Ok(());
    }
    // The document says a new epoch before the home has databases again: who does that is given time, too.
    let epoch = region.home_epoch;
    if wiped.insert(region.name.clone(), epoch) != Some(epoch) {
        return Ok(());
    }
    let outcome = regions::begin_anew(operators, &region.name, epoch).await?;
    wiped.remove(&region.name);
    let epoch = outcome.region.home_epoch;
    tracing::warn!(
        region = region.name,
        epoch,
        "the home had lost its databases and has new ones: jobs that it had begun and that must not run twice end as lost"
    );
    Ok(())
}

/// Whether the home, still the same server, has no databases of the region any more.
async fn has_lost(
    operators: &Operators,
    home: &Client,
    region: &Region,
) -> Result<bool, CareError> {
    // A store alone has nobody who would know.
    let Some(name) = &region.home else { return Ok(false) };
    let near = operators.clusters.near().database(CONTROL);
    let id = format!("cluster:{name}");
    let cluster = near.get::<Value>(&id).await?;
    let cluster = cluster.and_then(|found| read::document::<Cluster>(&id, found.body));
    if let (Some(wanted), Some(found)) =
        (cluster.and_then(|cluster| cluster.uuid), home.server().await?.uuid)
        && wanted != found
    {
        return Err(CareError::Another { cluster: name.clone(), wanted, found });
    }
    let names = home.databases().await?;
    let id = region.document_id();
    let own = match home.database(CONTROL).get::<Value>(&id).await {
        Err(Error::NotFound { .. }) => None,
        found => found?.and_then(|found| read::document::<Region>(&id, found.body)),
    };
    // What others know of the region may be old: a number that the home has dropped since.
    Ok(match own {
        Some(own) => {
            let current = format!("blitz-jobs-{}-{}", own.name, own.current);
            !names.contains(&current)
        }
        None => {
            let start = format!("blitz-jobs-{}-", region.name);
            !names.iter().any(|known| known.starts_with(&start))
        }
    })
}

/// Makes one leaf of several.
async fn settle(control: &Database, region: &Region) -> Result<(), CareError> {
    let id = region.document_id();
    let leaves = control.leaves::<Value>(&id, None).await?;
    if leaves.len() < 2 {
        return Ok(());
    }
    let read: Vec<Region> =
        leaves.iter().filter_map(|leaf| read::document(&id, leaf.body.clone())).collect();
    // A leaf that cannot be read here is another version's, and may know more.
    let Some(merged) = Region::merged(&read).filter(|_| read.len() == leaves.len()) else {
        return Ok(());
    };
    // The winner of all stores alike, as long as they have the same leaves.
    let Some(winner) = control.get::<Value>(&id).await? else { return Ok(()) };
    let put = control.put(&id, Some(&winner.revision), &merged, PutOptions::default()).await?;
    if put == Put::Conflict {
        return Ok(());
    }
    // With their kind: the selectors of replications look for it.
    let losers = leaves.iter().filter(|leaf| leaf.revision != winner.revision);
    let tombstones: Vec<Value> = losers
        .map(|leaf| json!({"_id": id, "_rev": leaf.revision, "_deleted": true, "kind": "region"}))
        .collect();
    control.bulk(&tombstones).await?;
    tracing::info!(
        region = region.name,
        leaves = leaves.len(),
        "a region was edited on two sides, and is one again"
    );
    Ok(())
}
