//! What must stand where: from clusters and regions to the databases of each cluster and the replications between them.
//!
//! Pure: [`plan`] says what, [`crate::setup`] makes it so. A region's databases are in its home and in its hubs; what
//! users write goes towards the home, and all that there is goes away from it. Jobs are claimed at home alone, so that runs
//! do not come back, but for regions whose engines may have been elsewhere: [`comes_back`].
//!
//! Everything is decided by names, in their order: who plans the same clusters and regions plans the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Value, json};

use crate::accounts::{ACCOUNTS, AUDIT};
use crate::cluster::Cluster;
use crate::region::{CONTROL, DatabaseKind, Failover, Region};

/// What all clusters must have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The databases of each cluster, in the order of their names.
    pub databases: BTreeMap<String, Vec<PlannedDatabase>>,
    /// The replications of all, in the order of their ids.
    pub replications: Vec<Replication>,
}

/// A database that a cluster must have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlannedDatabase {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub kind: DatabaseKind,
    /// Whose it is; absent for those of [`EVERYWHERE`].
    pub region: Option<String>,
    /// Which of the region's, for those that change.
    pub number: Option<u32>,
}

/// A replication that must run, for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replication {
    /// The id of its document: `blitz:DATABASE:FROM>TO`.
    pub id: String,
    /// The cluster whose `_replicator` has the document.
    pub runs_on: String,
    /// The database, which has the same name at both ends.
    pub database: String,
    /// The region that it is for; absent for those of [`EVERYWHERE`].
    pub region: Option<String>,
    /// The cluster of its source.
    pub from: String,
    /// The cluster of its target.
    pub to: String,
    /// What it carries.
    pub carries: Carries,
}

/// Which documents a replication carries. Never design documents: each cluster has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// What users write: [`ASKED`].
    Asked,
    /// Every document with a `kind`: all of ours, and tombstones that say what they were.
    All,
}

/// The kinds of documents that users write, which their gateway may have to leave at a hub.
pub const ASKED: [&str; 3] = ["spec", "in", "cancel"];

/// The databases that every cluster has, and that go both ways between all of them.
pub const EVERYWHERE: [(&str, DatabaseKind); 3] = [
    (CONTROL, DatabaseKind::Control),
    (ACCOUNTS, DatabaseKind::Accounts),
    (AUDIT, DatabaseKind::Audit),
];

/// How many replications a CouchDB runs at once unless it is told otherwise (`[replicator] max_jobs`).
pub const MAX_JOBS: u64 = 500;

/// What the ids of our replications begin with.
pub const PREFIX: &str = "blitz:";

/// Says what must stand where.
///
/// Clusters that are not among `clusters` are passed over, and so is a region without a home: it belongs to a store that
/// has no name, and is nowhere else.
#[must_use]
pub fn plan(clusters: &[Cluster], regions: &[Region]) -> Plan {
    let names: BTreeSet<&str> = clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    let mut plan = Plan::default();
    for name in &names {
        let everywhere = EVERYWHERE.map(|(name, kind)| PlannedDatabase {
            name: name.to_owned(),
            kind,
            region: None,
            number: None,
        });
        plan.databases.insert((*name).to_owned(), everywhere.into());
    }
    for region in regions {
        let Some(home) = region.home.as_deref().filter(|home| names.contains(home)) else {
            continue;
        };
        let hubs: BTreeSet<&str> = hubs(region).filter(|hub| names.contains(hub)).collect();
        let databases = databases(region);
        for at in std::iter::once(home).chain(hubs.iter().copied()) {
            plan.databases.entry(at.to_owned()).or_default().extend(databases.iter().cloned());
        }
        for hub in hubs {
            for database in &databases {
                plan.replications.extend(between(region, database, home, hub));
            }
        }
    }
    for (one, other, runs_on) in control_links(&names, regions) {
        for (from, to) in [(&one, &other), (&other, &one)] {
            plan.replications.extend(EVERYWHERE.map(|(database, _)| Replication {
                id: replication_id(database, from, to),
                runs_on: runs_on.clone(),
                database: database.to_owned(),
                region: None,
                from: from.clone(),
                to: to.clone(),
                carries: Carries::All,
            }));
        }
    }
    for databases in plan.databases.values_mut() {
        databases.sort();
        databases.dedup();
    }
    plan.replications.sort_by(|one, other| one.id.cmp(&other.id));
    plan.replications.dedup_by(|one, other| one.id == other.id);
    plan
}

/// Whether what was done at a hub comes back to the home: engines may have gone there by themselves, or a hub was the
/// home once.
#[must_use]
pub fn comes_back(region: &Region) -> bool {
    region.failover == Failover::Safe || region.home_epoch > 1
}

/// The id of the document of a replication.
#[must_use]
pub fn replication_id(database: &str, from: &str, to: &str) -> String {
    format!("{PREFIX}{database}:{from}>{to}")
}

/// The database, source and target in the id of one of our replications; `None` for a document of somebody else.
#[must_use]
pub fn parse_replication_id(id: &str) -> Option<(&str, &str, &str)> {
    let (database, ends) = id.strip_prefix(PREFIX)?.rsplit_once(':')?;
    let (from, to) = ends.split_once('>')?;
    Some((database, from, to))
}

/// The databases that a region has in each of its clusters.
#[must_use]
pub fn databases(region: &Region) -> Vec<PlannedDatabase> {
    let one = |name: String, kind, number| PlannedDatabase {
        name,
        kind,
        region: Some(region.name.clone()),
        number,
    };
    let numbers = || region.open.iter().copied();
    let jobs = numbers().zip(region.jobs_databases());
    let output = numbers().zip(region.output_databases());
    let mut databases: Vec<_> =
        jobs.map(|(number, name)| one(name, DatabaseKind::Jobs, Some(number))).collect();
    databases.extend(output.map(|(number, name)| one(name, DatabaseKind::Output, Some(number))));
    databases.push(one(region.engines_database(), DatabaseKind::Engines, None));
    databases.push(one(region.beats_database(), DatabaseKind::Beats, None));
    databases
}

/// The hubs of a region; never its home, whatever the document says.
fn hubs(region: &Region) -> impl Iterator<Item = &str> {
    let is_home = |hub: &&str| region.home.as_deref() == Some(hub);
    region.hubs.iter().map(String::as_str).filter(move |hub| !is_home(hub))
}

/// The replications of one database between the home of its region and a hub.
fn between(
    region: &Region,
    database: &PlannedDatabase,
    home: &str,
    hub: &str,
) -> impl Iterator<Item = Replication> {
    let back = comes_back(region).then_some(Carries::All);
    // A job that is taken over at a hub, or after the region has moved there, needs its spec as much as its run: what
    // goes away from home is everything.
    let (towards, away) = match database.kind {
        DatabaseKind::Jobs => (back.or(Some(Carries::Asked)), Some(Carries::All)),
        DatabaseKind::Output => (back, Some(Carries::All)),
        DatabaseKind::Engines => (None, Some(Carries::All)),
        DatabaseKind::Beats
        | DatabaseKind::Control
        | DatabaseKind::Accounts
        | DatabaseKind::Audit => (None, None),
    };
    let one = |from: &str, to: &str, carries| Replication {
        id: replication_id(&database.name, from, to),
        runs_on: home.to_owned(),
        database: database.name.clone(),
        region: Some(region.name.clone()),
        from: from.to_owned(),
        to: to.to_owned(),
        carries,
    };
    let towards = towards.map(|carries| one(hub, home, carries));
    let away = away.map(|carries| one(home, hub, carries));
    towards.into_iter().chain(away)
}

/// Between which clusters the databases of [`EVERYWHERE`] go, both ways, and which of the two runs it: homes with their hubs, and
/// what is then still apart with the first cluster.
fn control_links(names: &BTreeSet<&str>, regions: &[Region]) -> Vec<(String, String, String)> {
    let mut links: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for region in regions {
        let Some(home) = region.home.as_deref().filter(|home| names.contains(home)) else {
            continue;
        };
        for hub in hubs(region).filter(|hub| names.contains(hub)) {
            let runs_on = links.entry((home.min(hub), home.max(hub))).or_insert(home);
            *runs_on = home.min(runs_on);
        }
    }
    let mut parts: BTreeMap<&str, &str> = names.iter().map(|name| (*name, *name)).collect();
    for (one, other) in links.keys() {
        join(&mut parts, one, other);
    }
    let Some(first) = names.first().copied() else { return Vec::new() };
    for &name in names {
        if parts[name] != parts[first] {
            links.insert((first, name), first);
            join(&mut parts, first, name);
        }
    }
    let owned = |((one, other), runs_on): ((&str, &str), &str)| {
        (one.to_owned(), other.to_owned(), runs_on.to_owned())
    };
    links.into_iter().map(owned).collect()
}

/// Makes one part of two. A part is called by one of its members.
fn join<'a>(parts: &mut BTreeMap<&'a str, &'a str>, one: &str, other: &str) {
    let (Some(&kept), Some(&gone)) = (parts.get(one), parts.get(other)) else { return };
    for part in parts.values_mut().filter(|part| **part == gone) {
        *part = kept;
    }
}

impl Plan {
    /// How many replications the cluster runs.
    #[must_use]
    pub fn running(&self, cluster: &str) -> u64 {
        self.replications_of(cluster).map(|_| 1).sum()
    }

    /// The replications whose documents the cluster has.
    pub fn replications_of(&self, cluster: &str) -> impl Iterator<Item = &Replication> {
        self.replications.iter().filter(move |replication| replication.runs_on == cluster)
    }

    /// What to say when the cluster would have to run more replications than it does at once.
    #[must_use]
    pub fn crowded(&self, cluster: &str, max_jobs: u64) -> Option<Crowded> {
        let count = self.running(cluster);
        (count > max_jobs).then(|| Crowded { cluster: cluster.to_owned(), count, max_jobs })
    }

    /// The part of it that concerns one region, and nothing of the databases of [`EVERYWHERE`].
    #[must_use]
    pub fn of_region(&self, region: &str) -> Self {
        self.only(|of| of == Some(region))
    }

    /// The part of it that concerns the databases of [`EVERYWHERE`].
    #[must_use]
    pub fn of_control(&self) -> Self {
        self.only(|of| of.is_none())
    }

    /// The part of it that concerns one region and the databases of [`EVERYWHERE`].
    #[must_use]
    pub fn about(&self, region: &str) -> Self {
        self.only(|of| of.is_none_or(|of| of == region))
    }

    fn only(&self, is_wanted: impl Fn(Option<&str>) -> bool) -> Self {
        let databases = self.databases.iter().map(|(cluster, databases)| {
            let its = databases.iter().filter(|database| is_wanted(database.region.as_deref()));
            (cluster.clone(), its.cloned().collect())
        });
        let replications =
            self.replications.iter().filter(|one| is_wanted(one.region.as_deref())).cloned();
        Self { databases: databases.collect(), replications: replications.collect() }
    }
}

/// A cluster with more replications than it runs at once: they take turns, and what they carry is late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crowded {
    /// Which cluster.
    pub cluster: String,
    /// How many it would have to run.
    pub count: u64,
    /// How many it runs.
    pub max_jobs: u64,
}

impl fmt::Display for Crowded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, count, max_jobs } = self;
        write!(
            f,
            "cluster '{cluster}' has {count} replications to run and runs {max_jobs} at once: they take turns of a minute \
             and more; raise max_jobs in the section [replicator] of its configuration to {count} or more, or give its \
             regions fewer hubs, fewer lanes or a shorter --keep"
        )
    }
}

impl Carries {
    /// The selector of the replication's document.
    #[must_use]
    pub fn selector(self) -> Value {
        match self {
            Self::Asked => json!({"kind": {"$in": ASKED}}),
            Self::All => json!({"kind": {"$exists": true}}),
        }
    }

    /// Whether it carries documents of this kind.
    #[must_use]
    pub fn takes(self, kind: &str) -> bool {
        match self {
            Self::Asked => ASKED.contains(&kind),
            Self::All => true,
        }
    }
}

#[cfg(test)]
#[path = "topology/tests.rs"]
mod tests;
