//! How a stay gets into the cluster where it is to be: it waits until one of them lets it in, and says what it waits for.

use std::sync::Arc;

use blitz_couchdb::Database;
use blitz_runtime::{Endpoint, Runtime};
use tokio::sync::watch;

use crate::chart::{self, Chart};
use crate::course::Station;
use crate::going::Order;
use crate::patience::Patience;
use crate::reach::{Door, NotEntered, Reach};
use crate::siblings::Part;

/// What a stay must know of the cluster before it begins.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) door: Door,
    pub(crate) beats: Kept,
    pub(crate) engines: Kept,
}

/// A database for documents of this engine's own.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) database: Database,
    pub(crate) copies: u32,
}

/// Why a stay does not begin yet.
#[derive(Debug, thiserror::Error)]
enum NotYet {
    #[error(transparent)]
    NotEntered(#[from] NotEntered),
    #[error("{0}: jobs of this engine from before its region moved have not ended there")]
    Occupied(String),
    #[error(
        "{at}: its own document of the region has home epoch {there}, and what was heard of here is {epoch}"
    )]
    Later { at: String, there: u32, epoch: u32 },
    #[error("{0}: it has no document of the region yet")]
    NoRegion(String),
}

/// Waits until the stay can begin. `None` when it is not wanted any more.
pub(crate) async fn wait(
    reach: &Reach,
    runtime: &Runtime,
    station: &Station,
    charts: &mut watch::Receiver<Arc<Chart>>,
    orders: &mut watch::Receiver<Order>,
    part: &mut Part,
) -> Option<Entry> {
    let mut patience = Patience::default();
    loop {
        let order = *orders.borrow_and_update();
        if order.is_last() {
            return None;
        }
        if order != Order::Claim {
            // The sender is gone with the engine.
            orders.changed().await.ok()?;
            continue;
        }
        let chart = Arc::clone(&charts.borrow_and_update());
        part.elsewhere();
        let refused = tokio::select! {
            biased;
            changed = orders.changed() => {
                changed.ok()?;
                continue;
            }
            entered = enter(reach, station, &chart, part) => match entered {
                Ok(entry) => {
                    // It may be known by its document alone: no job is to reach what holds everybody's jobs.
                    let (host, port) = entry.door.client.host_and_port();
                    runtime.protect(Endpoint::new("the engine's store", host, port));
                    let (region, epoch) = (&chart.region.name, station.epoch());
                    tracing::info!(region, epoch, at = %entry.door, "claims jobs");
                    return Some(entry);
                }
                Err(refused) => refused,
            },
        };
        if patience.says(&refused.to_string()) {
            let region = &chart.region.name;
            tracing::warn!(region, "not entered, and its jobs wait: {refused}");
        }
        tokio::select! {
            changed = orders.changed() => changed.ok()?,
            _ = charts.changed() => {}
            () = part.changed() => {}
            () = tokio::time::sleep(patience.wait()) => {}
        }
    }
}

async fn enter(
    reach: &Reach,
    station: &Station,
    chart: &Chart,
    part: &Part,
) -> Result<Entry, NotYet> {
    match station {
        Station::Home { cluster, epoch } => {
            enter_one(reach, cluster.as_deref(), *epoch, chart, part).await
        }
        Station::Refuge { clusters, epoch } => {
            let mut refused = NotYet::NotEntered(NotEntered::Unknown("a hub".to_owned()));
            for cluster in clusters {
                match enter_one(reach, Some(cluster), *epoch, chart, part).await {
                    Ok(entry) => return Ok(entry),
                    Err(error) => refused = error,
                }
            }
            Err(refused)
        }
    }
}

async fn enter_one(
    reach: &Reach,
    cluster: Option<&str>,
    epoch: u32,
    chart: &Chart,
    part: &Part,
) -> Result<Entry, NotYet> {
    let door = reach.door(cluster, chart)?;
    let identity = door.knock().await?;
    let beats = kept(&door, &chart.region.beats_database()).await?;
    let engines = kept(&door, &chart.region.engines_database()).await?;
    // After the server and its databases were found: a home that was wiped has its new epoch before it has databases again.
    let there = chart::epoch_at(&door.client, &chart.region.name).await;
    match there.map_err(|source| door.closed(source))? {
        None => return Err(NotYet::NoRegion(door.to_string())),
        Some(there) if there > epoch => {
            return Err(NotYet::Later { at: door.to_string(), there, epoch });
        }
        Some(_) => {}
    }
    if !part.settle(&identity) {
        return Err(NotYet::Occupied(door.to_string()));
    }
    Ok(Entry { door, beats, engines })
}

async fn kept(door: &Door, name: &str) -> Result<Kept, NotEntered> {
    let database = door.client.database(name);
    let copies = database.info().await.map_err(|source| door.closed(source))?.cluster.n;
    Ok(Kept { database, copies })
}
