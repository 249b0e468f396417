//! A world that runs: clusters, what replicates between them, and who serves there.

use std::collections::BTreeMap;

use blitz_contract::{Manifest, Retry};
use blitz_couchdb::{Client, Database};
use blitz_jobs::cluster::Clusters;
use blitz_jobs::guards::Guards;
use blitz_jobs::region::CONTROL;
use blitz_jobs::run::{self, RunDocument};
use blitz_jobs::start::Start;
use blitz_jobs::{DocumentId, JobId, Run};
use blitz_runtime::Runtime;
use serde_json::Value;

use super::cluster::{Cluster, entered};
use super::links::{Cut, Links};
use super::plan::Plan;
use crate::{FIXTURE, FIXTURE_MANIFEST, stack};

/// The name of the fixture that must not run twice.
const ONCE: &str = "once";

/// Clusters with regions, in this process.
#[derive(Debug)]
pub struct World {
    pub(super) clusters: BTreeMap<String, Cluster>,
    pub(super) links: Links,
    pub(super) runtime: Runtime,
}

impl World {
    /// A plan for one.
    #[expect(
        clippy::new_ret_no_self,
        reason = "a story reads: a world of these clusters and regions"
    )]
    pub fn new() -> Plan {
        Plan::default()
    }

    pub(super) async fn of(plan: Plan) -> Self {
        let mut clusters = BTreeMap::new();
        let links = Links::default();
        for name in &plan.clusters {
            links.place(name, name);
            clusters.insert(name.clone(), Cluster::start(name).await);
        }
        let world = Self { clusters, links, runtime: stack::runtime(None) };
        let writer = plan.clusters.first().expect("a cluster");
        world.set_up(writer, &plan.regions).await;
        world.publish().await;
        for name in world.clusters.keys() {
            for region in &plan.regions {
                let id = region.document_id();
                world.document_at(name, CONTROL, &id).await;
            }
        }
        world
    }

    /// The plugins `fixture`, which may run twice, and `once`, which must not: known everywhere.
    async fn publish(&self) {
        let safe = Manifest::from_toml(FIXTURE_MANIFEST).expect("the fixture's manifest");
        let never = Manifest { name: ONCE.to_owned(), retry: Retry::Never, ..safe.clone() };
        let first = self.clusters.values().next().expect("a cluster");
        for manifest in [safe, never] {
            let id = format!("plugin:{}:{}", manifest.name, manifest.version);
            let published = blitz_jobs::plugin::publish(&first.client, manifest, FIXTURE).await;
            published.expect("a plugin that is published");
            for name in self.clusters.keys() {
                self.document_at(name, CONTROL, &id).await;
            }
        }
    }

    /// Waits until a cluster has a document, and gives it.
    ///
    /// # Panics
    ///
    /// When it does not come within 30 seconds.
    pub async fn document_at(&self, cluster: &str, database: &str, id: &str) -> Value {
        let database = self.cluster(cluster).client.database(database);
        crate::until(&format!("{id} at {cluster}"), || async {
            Some(database.get::<Value>(id).await.ok()??.body)
        })
        .await
    }

    /// One cluster.
    ///
    /// # Panics
    ///
    /// When there is none of this name.
    #[must_use]
    pub fn cluster(&self, name: &str) -> &Cluster {
        self.clusters.get(name).unwrap_or_else(|| panic!("no cluster {name}"))
    }

    /// The address at which somebody reaches a cluster, over a link of their own, with name and password.
    pub async fn url(&self, from: &str, to: &str) -> String {
        entered(self.links.address(from, to, self.cluster(to).address).await)
    }

    /// What somebody beside the cluster `near` can enter.
    pub(super) async fn clusters_of(&self, who: &str, near: &str, others: &[&str]) -> Clusters {
        self.links.place(who, near);
        let client = |url: String| Client::new(url).expect("an address");
        let mut far = BTreeMap::new();
        for other in others {
            far.insert((*other).to_owned(), client(self.url(who, other).await));
        }
        Clusters::new(near, client(self.url(who, near).await), far)
    }

    /// Cuts the way of somebody to a cluster: nothing comes through, and nobody is told.
    ///
    /// # Panics
    ///
    /// When they have none.
    pub fn cut(&self, from: &str, to: &str) {
        self.links.cut(from, to, Cut::Silent);
    }

    /// The same in this way.
    ///
    /// # Panics
    ///
    /// As [`Self::cut`].
    pub fn cut_so(&self, from: &str, to: &str, how: Cut) {
        self.links.cut(from, to, how);
    }

    /// Everything comes through again.
    pub fn heal(&self, from: &str, to: &str) {
        self.links.heal(from, to);
    }

    /// Cuts everything between a cluster with all that is beside it and the rest of the world.
    pub fn isolate(&self, cluster: &str) {
        self.links.isolate(cluster, true);
    }

    /// Joins it again.
    pub fn join(&self, cluster: &str) {
        self.links.isolate(cluster, false);
    }

    /// Loses everything that a cluster had: an empty one of another identity answers there.
    ///
    /// # Panics
    ///
    /// When there is none of this name.
    pub async fn wipe(&mut self, cluster: &str) {
        let old = self.clusters.remove(cluster);
        let new = old.unwrap_or_else(|| panic!("no cluster {cluster}")).wipe().await;
        self.clusters.insert(cluster.to_owned(), new);
    }

    /// The database of a job at a cluster.
    #[must_use]
    pub fn jobs_at(&self, cluster: &str, job: &JobId) -> Database {
        self.cluster(cluster).client.database(&job.jobs_database())
    }

    /// The run of a job as a cluster has it: the leaf that counts.
    ///
    /// # Panics
    ///
    /// When the cluster does not answer.
    pub async fn run_at(&self, cluster: &str, job: &JobId) -> Option<Run> {
        let jobs = self.jobs_at(cluster, job);
        let run = DocumentId::Run(job.clone()).to_string();
        let leaves = jobs.leaves::<RunDocument>(&run, None).await.expect("an answer");
        let start = DocumentId::Start(job.clone()).to_string();
        let start = jobs.get::<Start>(&start).await.expect("an answer").map(|found| found.body);
        let leaves: Vec<_> =
            leaves.into_iter().map(|leaf| (leaf.revision, leaf.body.run)).collect();
        run::resolve(&leaves, start.as_ref(), Guards::default()).map(|(_, run)| run.clone())
    }

    /// Waits until these clusters all have the same run of a job, and an end.
    ///
    /// # Panics
    ///
    /// When they do not agree within 30 seconds.
    pub async fn agreed_end(&self, clusters: &[&str], job: &JobId) -> Run {
        crate::until(&format!("one end of {job} at {clusters:?}"), || async {
            let mut runs = Vec::new();
            for cluster in clusters {
                runs.push(self.run_at(cluster, job).await?);
            }
            let first = runs.first()?.clone();
            (first.is_final() && runs.iter().all(|run| *run == first)).then_some(first)
        })
        .await
    }
}
