//! One step of a region's rotation, on its home and its hubs. Each may be done again, and may be left half done.

use std::time::Duration;

use blitz_couchdb::{AllDocs, Client, Error, Put, PutOptions, REPLICATOR, Removal, Revision};
use blitz_jobs::cluster::Cluster;
use blitz_jobs::region::{CONTROL, Region};
use blitz_jobs::rotation::{Counted, Rotating, Seen, Step, open_jobs};
use blitz_jobs::setup::{self, SetupError};
use blitz_jobs::topology::{PREFIX, plan};
use blitz_jobs::{design, read};
use futures_util::future::try_join_all;
use serde_json::Value;

use super::{Site, client};

/// Why a step was not done, or nothing was seen. It is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum ActError {
    #[error(transparent)]
    Store(#[from] Error),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error("a cluster has no readable document of the region yet")]
    NoRegion,
    #[error(
        "document '{id}' was edited on two sides: it waits until that is settled, see 'blitz doctor'"
    )]
    Conflicts { id: String },
    #[error("cluster '{cluster}' has no rights for us, or does not answer")]
    Away { cluster: String },
    #[error("what stands on all clusters could not be made whole: {0}")]
    Unfinished(String),
    #[error(
        "home '{cluster}' has lost databases that may hold open jobs; if it was wiped or replaced, run 'blitz cluster add \
         {cluster} --renew', which makes them again"
    )]
    Wiped { cluster: String },
}

impl Site {
    #[expect(clippy::too_many_arguments, reason = "what was seen, and what it was seen by")]
    pub(super) async fn act(
        &self,
        home: &Client,
        step: Step,
        seen: &Seen,
        region: &Region,
        revision: &Revision,
        rotating: &mut Rotating,
        now: Duration,
    ) -> Result<(), ActError> {
        match step {
            Step::Prepare(n) => {
                self.prepare(home, region, n).await?;
                rotating.prepared(n);
            }
            Step::Open(_) | Step::MakeCurrent(_) | Step::Close(_) => {
                let Some(edited) = step.edited(region) else { return Ok(()) };
                let control = home.database(CONTROL);
                let options = PutOptions::default();
                let put =
                    control.put(&region.document_id(), Some(revision), &edited, options).await?;
                if put == Put::Conflict {
                    tracing::debug!(region = self.region, "the region was changed by another");
                    return Ok(());
                }
            }
            Step::Count(n) => {
                let documents = seen.documents(n);
                let open = self.count(seen, n).await?;
                rotating.counted(now, n, Counted { documents, open });
                tracing::debug!(region = self.region, n, open, "jobs of a database counted");
                return Ok(());
            }
            Step::Drop(n) => self.drop(home, seen, n).await?,
        }
        tracing::info!(region = self.region, ?step, "rotation");
        Ok(())
    }

    /// Makes the databases of this number wherever the region has its databases.
    async fn prepare(&self, home: &Client, region: &Region, n: u32) -> Result<(), ActError> {
        let mut with = region.clone();
        if !with.open.contains(&n) {
            with.open.push(n);
        }
        if self.home.is_empty() || region.home.is_none() {
            for name in [jobs(&self.region, n), output(&self.region, n)] {
                let database = home.database(&name);
                database.create().await?;
                design::install(&database).await?;
            }
            return Ok(());
        }
        let rows = read::list(&home.database(CONTROL), read::range("cluster:", "cluster;")).await?;
        let clusters: Vec<Cluster> = rows.into_iter().map(|(_, _, cluster)| cluster).collect();
        // The links of the control database are those of all regions: of one alone the plan knows too little of them.
        let plan = plan(&clusters, &[with]).of_region(&self.region);
        let applied = setup::apply(&self.rotator.operators, &clusters, &plan).await?;
        // They tell of clusters that did not answer, and then something is lacking; or of others, and then nothing is.
        let copies = self.look(home).await?;
        let lacks = |copy: &Option<blitz_jobs::rotation::Copy>| {
            copy.as_ref().is_none_or(|copy| !copy.databases.contains_key(&n))
        };
        if copies.seen.clusters.values().any(lacks) {
            return Err(ActError::Unfinished(applied.warnings.join("; ")));
        }
        Ok(())
    }

    /// The open jobs on all clusters.
    async fn count(&self, seen: &Seen, n: u32) -> Result<u64, ActError> {
        let name = jobs(&self.region, n);
        let counts = seen.clusters.keys().map(async |cluster| {
            Ok::<u64, ActError>(open_jobs(&self.cluster(cluster)?.database(&name)).await?)
        });
        Ok(try_join_all(counts).await?.into_iter().sum())
    }

    /// The replications first, so that none fails for want of a database; then the hubs; the home last.
    async fn drop(&self, home: &Client, seen: &Seen, n: u32) -> Result<(), ActError> {
        let names = [jobs(&self.region, n), output(&self.region, n)];
        let hubs = seen.clusters.keys().filter(|cluster| **cluster != self.home);
        let mut clusters = Vec::new();
        for cluster in hubs {
            clusters.push(self.cluster(cluster)?);
        }
        clusters.push(home);
        for cluster in &clusters {
            for name in &names {
                remove_replications(cluster, name).await?;
            }
        }
        for cluster in clusters {
            for name in &names {
                let dropped = cluster.database(name).drop().await?;
                let cluster = cluster.address();
                tracing::info!(
                    cluster,
                    name,
                    is_new = dropped == Removal::Dropped,
                    "dropped: its time is over"
                );
            }
        }
        Ok(())
    }

    fn cluster(&self, key: &str) -> Result<&Client, ActError> {
        let found = client(&self.rotator.operators, key);
        found.ok_or_else(|| ActError::Away { cluster: key.to_owned() })
    }
}

fn jobs(region: &str, n: u32) -> String {
    format!("blitz-jobs-{region}-{n}")
}

fn output(region: &str, n: u32) -> String {
    format!("blitz-out-{region}-{n}")
}

async fn remove_replications(cluster: &Client, database: &str) -> Result<(), ActError> {
    let replicator = cluster.database(REPLICATOR);
    let (start, end) = (format!("{PREFIX}{database}:"), format!("{PREFIX}{database};"));
    let query = AllDocs { include_docs: false, ..read::range(start, end) };
    let rows = match replicator.all_docs::<Value>(&query).await {
        Err(Error::NotFound { .. }) => return Ok(()),
        page => page?.rows,
    };
    for row in rows {
        match replicator.delete(&row.id, &row.revision).await? {
            Put::Created(_) | Put::Accepted(_) => {}
            // Another removes it, or the mender writes it: then it is removed with the next try.
            Put::Conflict => {
                return Err(ActError::Unfinished(format!("'{}' is being changed", row.id)));
            }
        }
    }
    Ok(())
}
