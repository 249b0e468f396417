//! Makes so what a plan says: databases with their security and design documents, users, replications. Doing it again changes
//! nothing, and what could not be done for a cluster that did not answer is done then.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use blitz_couchdb::{Client, Creation, REPLICATOR, USERS};

use super::error::SetupError;
use super::inspect::inspect;
use super::operators::Operators;
use super::replications;
use crate::cluster::Cluster;
use crate::region::DatabaseKind;
use crate::topology::{MAX_JOBS, Plan, PlannedDatabase};
use crate::{design, roles};

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// In the order in which it was done; empty when everything stood as it should.
    pub steps: Vec<Step>,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

/// One thing that was not as it should be, and is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// In which cluster.
    pub cluster: String,
    /// What.
    pub what: What,
    /// Its name: of the database, the user or the document.
    pub name: String,
}

/// What can be set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A database was made.
    Database,
    /// A database has its `_security` now.
    Security,
    /// A database has its design documents now.
    Designs,
    /// A user for replications was made, or has a role or password again.
    User,
    /// A replication was written.
    Replication,
    /// A replication that is not needed any more was taken away.
    Removal,
    /// The document of a cluster or a region was written.
    Document,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, what, name } = self;
        match what {
            What::Database => write!(f, "{cluster}: made database {name}"),
            What::Security => write!(f, "{cluster}: set who may enter {name}"),
            What::Designs => write!(f, "{cluster}: put design documents into {name}"),
            What::User => write!(f, "{cluster}: made user {name}"),
            What::Replication => write!(f, "{cluster}: set replication {name}"),
            What::Removal => write!(f, "{cluster}: removed replication {name}"),
            What::Document => write!(f, "{cluster}: wrote {name}"),
        }
    }
}

impl Applied {
    pub(super) fn step(&mut self, cluster: &str, what: What, name: &str) {
        self.steps.push(Step { cluster: cluster.to_owned(), what, name: name.to_owned() });
    }

    /// Adds a warning, once.
    pub(super) fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.steps.extend(other.steps);
        for warning in other.warnings {
            self.warn(warning);
        }
    }
}

/// Makes it so in every cluster that answers and where we may.
///
/// `clusters` are the documents of all clusters that the plan names. What is in a cluster and not in the plan stays: see
/// [`super::prune`].
///
/// # Errors
///
/// [`SetupError`] for what must not stand as it does: another server, an old one, another n, beats that are replicated. A
/// cluster that does not answer, or where we have no rights, is a warning.
pub async fn apply(
    operators: &Operators,
    clusters: &[Cluster],
    plan: &Plan,
) -> Result<Applied, SetupError> {
    let mut applied = Applied::default();
    let documents: BTreeMap<&str, &Cluster> =
        clusters.iter().map(|cluster| (cluster.name.as_str(), cluster)).collect();
    let ends = plan.replications.iter().flat_map(|one| [&one.runs_on, &one.from, &one.to]);
    let filled = plan.databases.iter().filter(|(_, databases)| !databases.is_empty());
    let named: BTreeSet<&str> =
        filled.map(|(name, _)| name.as_str()).chain(ends.map(String::as_str)).collect();
    // Of a cluster that has nothing but the control database here, trouble is no reason to stop.
    let concerned = |name: &str| {
        let databases = plan.databases.get(name).map_or(&[][..], Vec::as_slice);
        databases.iter().any(|database| database.region.is_some())
    };
    let mut reached = BTreeMap::new();
    for name in named {
        let client = match operators.client(name) {
            Ok(client) => client,
            Err(error) => {
                applied.warn(format!("{error}; what it needs was not looked at"));
                continue;
            }
        };
        match inspect(name, client, documents.get(name).copied()).await {
            Ok(inspected) => {
                inspected.warnings.into_iter().for_each(|warning| applied.warn(warning));
                reached.insert(name, client);
            }
            Err(error @ SetupError::Silent { .. }) => applied.warn(error.to_string()),
            Err(error) if !concerned(name) => applied.warn(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    for (&name, &client) in &reached {
        let databases = plan.databases.get(name).map_or(&[][..], Vec::as_slice);
        stand(name, client, documents.get(name).copied(), databases, &mut applied).await?;
    }
    replications::apply(&reached, &documents, plan, &mut applied).await?;
    Ok(applied)
}

/// Tells which of these clusters would have to run more replications than it does at once. `plan` is that of all regions.
pub async fn crowded(operators: &Operators, plan: &Plan, clusters: &BTreeSet<&str>) -> Vec<String> {
    let mut told = Vec::new();
    for cluster in clusters {
        // Who does not tell its limit has what CouchDB has when nobody says anything.
        let limit = match operators.client(cluster) {
            Ok(client) => client.config("replicator", "max_jobs").await.unwrap_or_default(),
            Err(_) => None,
        };
        let max_jobs = limit.and_then(|text| text.parse().ok()).unwrap_or(MAX_JOBS);
        told.extend(plan.crowded(cluster, max_jobs).map(|crowded| crowded.to_string()));
    }
    told
}

/// Makes the databases of one cluster.
async fn stand(
    name: &str,
    client: &Client,
    document: Option<&Cluster>,
    databases: &[PlannedDatabase],
    applied: &mut Applied,
) -> Result<(), SetupError> {
    let failed = |source| SetupError::of(name, source);
    let there: BTreeSet<String> = client.databases().await.map_err(failed)?.into_iter().collect();
    for database in databases {
        let handle = client.database(&database.name);
        let is_new = !there.contains(&database.name)
            && handle.create().await.map_err(failed)? == Creation::Created;
        if is_new {
            applied.step(name, What::Database, &database.name);
        }
        let wanted = roles::security(database.kind, database.region.as_deref());
        if is_new || handle.security().await.map_err(failed)? != wanted {
            handle.put_security(&wanted).await.map_err(failed)?;
            if !is_new {
                applied.step(name, What::Security, &database.name);
            }
        }
        if design(client, database).await.map_err(failed)? && !is_new {
            applied.step(name, What::Designs, &database.name);
        }
        if matches!(database.kind, DatabaseKind::Jobs | DatabaseKind::Control)
            && let Some(wanted) = document.and_then(|document| document.copies)
        {
            let found = handle.info().await.map_err(failed)?.cluster.n;
            if found != wanted {
                let (cluster, database) = (name.to_owned(), database.name.clone());
                return Err(SetupError::Copies { cluster, database, found, wanted });
            }
        }
    }
    Ok(())
}

/// Puts the design documents into a database that lacks one. False when it had them all.
async fn design(client: &Client, database: &PlannedDatabase) -> Result<bool, blitz_couchdb::Error> {
    let handle = client.database(&database.name);
    let ids = design::installed(&handle).await?;
    let mut is_new = false;
    if !roles::is_validated(&ids) {
        is_new = roles::install(&handle, database.kind).await?;
    }
    if design::of(database.kind).is_some_and(|(wanted, _)| !ids.iter().any(|id| id == wanted)) {
        design::install(&handle).await?;
        is_new = true;
    }
    Ok(is_new)
}

/// Makes the databases that replications need.
pub(super) async fn system(
    name: &str,
    client: &Client,
    applied: &mut Applied,
) -> Result<(), SetupError> {
    let failed = |source| SetupError::of(name, source);
    let there = client.databases().await.map_err(failed)?;
    for database in [REPLICATOR, USERS] {
        if there.iter().any(|one| one == database) {
            continue;
        }
        if client.database(database).create().await.map_err(failed)? == Creation::Created {
            applied.step(name, What::Database, database);
        }
    }
    Ok(())
}
