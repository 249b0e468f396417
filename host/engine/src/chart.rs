//! What the near cluster says of this engine's region and of all clusters, read at the start and followed from then on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use blitz_couchdb::{Client, Database, Error as StoreError, FollowOptions, Sequence};
use blitz_jobs::claim::CLAIM_TIMEOUT;
use blitz_jobs::cluster::Cluster;
use blitz_jobs::read;
use blitz_jobs::region::{CONTROL, Region};
use blitz_jobs::timing::HEARTBEAT;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::error::Error;
use crate::patience::Patience;
use crate::reach::Reach;

/// What could not be read is read again after this long.
const AGAIN: Duration = Duration::from_secs(1);

/// The same while a claimed job waits for it: a lost connection is opened again well within this.
const STILL_AGAIN: Duration = Duration::from_millis(200);

/// The region and the clusters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chart {
    pub(crate) region: Region,
    /// By their names.
    pub(crate) clusters: BTreeMap<String, Cluster>,
}

/// What an engine knows before it begins.
#[derive(Debug)]
pub(crate) struct First {
    pub(crate) reach: Reach,
    pub(crate) chart: Chart,
    /// What changes after this place is to be heard of.
    pub(crate) since: Sequence,
}

/// Reads all of it, and waits for a near cluster that does not answer. `None` when the engine is told to stop first.
///
/// # Errors
///
/// [`Error`] for an answer that waiting does not make better.
pub(crate) async fn first(
    config: &Config,
    shutdown: &CancellationToken,
) -> Result<Option<First>, Error> {
    let mut patience = Patience::default();
    loop {
        let error = match read_first(config).await {
            Ok(first) => {
                if patience.is_tried() {
                    tracing::info!(store = config.clusters.near().address(), "the store answers");
                }
                return Ok(Some(first));
            }
            Err(Error::Store(error)) if is_passing(&error) => error,
            Err(error) => return Err(error),
        };
        if patience.says(&error.to_string()) {
            tracing::warn!(%error, "the store does not answer, waiting for it");
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            () = tokio::time::sleep(patience.wait()) => {}
        }
    }
}

async fn read_first(config: &Config) -> Result<First, Error> {
    let near = config.clusters.near();
    let control = near.database(CONTROL);
    let near_uuid = near.server().await?.uuid;
    let unknown = || Error::UnknownRegion(config.region.clone());
    let since = match control.info().await {
        Ok(info) => info.update_seq,
        Err(StoreError::NotFound { .. }) => return Err(unknown()),
        Err(error) => return Err(error.into()),
    };
    let chart = Chart::read(&control, &config.region).await?.ok_or_else(unknown)?;
    Ok(First { reach: Reach::new(config.clusters.clone(), near_uuid), chart, since })
}

/// Whether the store may give another answer without anybody's doing.
fn is_passing(error: &StoreError) -> bool {
    match error {
        StoreError::Unreachable { .. } | StoreError::Timeout { .. } => true,
        StoreError::Status { code, .. } => *code >= 500 || *code == 429,
        _ => false,
    }
}

/// Follows the control database and tells what has changed, for ever.
pub(crate) async fn follow(
    control: Database,
    region: String,
    since: Sequence,
    charts: watch::Sender<Arc<Chart>>,
) {
    let mut feed = control.follow_for_ever(FollowOptions {
        since,
        selector: Some(json!({"kind": {"$in": ["region", "cluster"]}})),
        // Also where the winner stays and another side has changed.
        all_leaves: true,
        heartbeat: HEARTBEAT,
        ..FollowOptions::default()
    });
    let own = format!("region:{region}");
    loop {
        let change = feed.next().await;
        if change.id != own && !change.id.starts_with("cluster:") {
            continue;
        }
        let chart = loop {
            match Chart::read(&control, &region).await {
                Ok(chart) => break chart,
                Err(error) => {
                    tracing::warn!(%error, "cannot read the region's document, trying again");
                }
            }
            tokio::time::sleep(AGAIN).await;
        };
        let Some(chart) = chart else {
            tracing::warn!(region, "the region's document is gone, going on as it was");
            continue;
        };
        charts.send_if_modified(|known| {
            let is_new = **known != chart;
            if is_new {
                *known = Arc::new(chart);
            }
            is_new
        });
    }
}

/// Which home a cluster says that the region has: the epoch in its own copy of the region's document. `None` when it has none.
pub(crate) async fn epoch_at(store: &Client, region: &str) -> Result<Option<u32>, StoreError> {
    let region = Chart::region(&store.database(CONTROL), region).await?;
    Ok(region.map(|region| region.home_epoch))
}

/// Whether a cluster still is the region's home of this epoch, as far as it knows itself. Whoever makes a home anew stores the
/// region's document there before the databases: what was written into those after that is of a later home.
pub(crate) async fn is_still(store: &Client, region: &str, epoch: u32) -> bool {
    let asks = async {
        loop {
            match epoch_at(store, region).await {
                Ok(Some(there)) => return there <= epoch,
                Ok(None) => return false,
                Err(error) => {
                    tracing::debug!(%error, "whether the region has moved is not known yet");
                }
            }
            tokio::time::sleep(STILL_AGAIN).await;
        }
    };
    tokio::time::timeout(CLAIM_TIMEOUT, asks).await.unwrap_or(false)
}

impl Chart {
    /// Reads it; `None` when the region has no document.
    async fn read(control: &Database, region: &str) -> Result<Option<Self>, StoreError> {
        let Some(region) = Self::region(control, region).await? else { return Ok(None) };
        let listed = read::list::<Cluster>(control, read::range("cluster:", "cluster;")).await?;
        let clusters =
            listed.into_iter().map(|(_, _, cluster)| (cluster.name.clone(), cluster)).collect();
        Ok(Some(Self { region, clusters }))
    }

    /// What all leaves of the region's document say together.
    async fn region(control: &Database, name: &str) -> Result<Option<Region>, StoreError> {
        let id = format!("region:{name}");
        let leaves = control.leaves::<Value>(&id, None).await?;
        let leaves = leaves.into_iter().filter_map(|leaf| read::document::<Region>(&id, leaf.body));
        Ok(Region::merged(&leaves.collect::<Vec<Region>>()))
    }
}
