//! Adding a cluster: its document everywhere, the control database in it, and the way to the others.

use std::collections::BTreeMap;

use blitz_couchdb::{Client, Error};

use super::apply::{Applied, What, apply};
use super::error::SetupError;
use super::inspect::inspect;
use super::known::Known;
use super::operators::Operators;
use super::regions;
use crate::cluster::Cluster;
use crate::region::{CONTROL, DatabaseKind};
use crate::topology::{Plan, PlannedDatabase, plan};

/// What came of adding a cluster.
#[derive(Debug, Clone)]
pub struct Added {
    /// Its document, as it is now.
    pub cluster: Cluster,
    /// Its document was not there.
    pub is_new: bool,
    /// What else there is to say, a line each.
    pub notes: Vec<String>,
    /// What was done.
    pub applied: Applied,
}

/// Adds a cluster, or changes its address. Doing it again changes nothing.
///
/// `url` is how other clusters, gateways and engines reach it, without name and password. With `renew` a server that is
/// another than the one that was added takes its place, and regions that have their home there begin a new epoch.
///
/// # Errors
///
/// [`SetupError`] when the server cannot be used, is another than before, or is another cluster already.
pub async fn add(
    operators: &Operators,
    name: &str,
    url: &str,
    renew: bool,
) -> Result<Added, SetupError> {
    let cluster = Cluster::new(name, url, None)?;
    let near = operators.clusters.own().ok_or(SetupError::NoName)?;
    let client = operators.client(name)?;
    let mut known = Known::read(operators).await?;
    let before = known.cluster(name).cloned();
    let inspected = inspect(name, client, before.as_ref().filter(|_| !renew)).await?;
    if let Some(uuid) = &inspected.uuid
        && let Some(twin) =
            known.clusters().iter().find(|one| one.name != name && one.uuid.as_ref() == Some(uuid))
    {
        let (cluster, other) = (name.to_owned(), twin.name.clone());
        return Err(SetupError::Twins { cluster, other, uuid: uuid.clone() });
    }
    let mut applied = Applied::default();
    at_its_address(name, url, inspected.uuid.as_ref(), &mut applied).await?;
    // The near one, too: what it does not have cannot be written there.
    applied.add(apply(operators, &[], &control([near, name])).await?);
    let info = client.database(CONTROL).info().await;
    let copies = info.map_err(|source| SetupError::of(name, source))?.cluster.n;
    if let Some(wanted) = before.as_ref().and_then(|before| before.copies)
        && wanted != copies
        && !renew
    {
        let (cluster, database) = (name.to_owned(), CONTROL.to_owned());
        return Err(SetupError::Copies { cluster, database, found: copies, wanted });
    }
    let cluster = Cluster { uuid: inspected.uuid, copies: Some(copies), ..cluster };
    // What another version of blitz wrote is not written again for that.
    let cluster = match &before {
        Some(before) if (Cluster { blitz: before.blitz.clone(), ..cluster.clone() }) == *before => {
            before.clone()
        }
        _ => cluster,
    };
    if known.put_cluster(operators, &cluster).await? {
        applied.step(near, What::Document, &cluster.document_id());
    }
    if known.carry_all(operators).await? {
        applied.step(name, What::Document, "the documents of clusters and regions");
    }
    let mut notes = Vec::new();
    let is_another = before.as_ref().is_some_and(|before| {
        before.uuid.is_some() && cluster.uuid.is_some() && before.uuid != cluster.uuid
    });
    if is_another {
        // Before anything else makes their databases: these are of a new epoch.
        let homes = known.regions().into_iter().filter(|one| one.home.as_deref() == Some(name));
        for region in homes {
            let outcome = regions::begin_anew(operators, &region.name, region.home_epoch).await?;
            notes.extend(outcome.notes);
            applied.add(outcome.applied);
        }
        known = Known::read(operators).await?;
    }
    let plan = plan(&known.clusters(), &known.regions());
    let has_moved = before.as_ref().is_some_and(|before| before.url != cluster.url);
    // Only the documents of replications have addresses.
    let plan = if has_moved { plan } else { plan.of_control() };
    applied.add(apply(operators, &known.clusters(), &plan).await?);
    for warning in inspected.warnings {
        applied.warn(warning);
    }
    Ok(Added { cluster, is_new: before.is_none(), notes, applied })
}

/// Whether the address that all others are to use leads to the same server as the clusters file does. From here it may lead
/// nowhere: then that is told.
async fn at_its_address(
    name: &str,
    url: &str,
    uuid: Option<&String>,
    applied: &mut Applied,
) -> Result<(), SetupError> {
    let client = Client::new(url).map_err(|source| SetupError::of(name, source))?;
    match (client.greeting().await.map(|greeting| greeting.info.uuid), uuid) {
        (Ok(Some(found)), Some(wanted)) if found != *wanted => Err(SetupError::Identity {
            cluster: name.to_owned(),
            url: url.to_owned(),
            wanted: wanted.clone(),
            found,
        }),
        (Err(error @ (Error::Unreachable { .. } | Error::Timeout { .. })), _) => {
            applied.warn(format!(
                "the address {url} of cluster '{name}' cannot be tried from here ({error}): the other clusters must reach it there"
            ));
            Ok(())
        }
        // A private authority is the other clusters' business, and so is a proxy that asks who comes.
        _ => Ok(()),
    }
}

/// The control database in these clusters.
pub(super) fn control<'a>(names: impl IntoIterator<Item = &'a str>) -> Plan {
    let database = PlannedDatabase {
        name: CONTROL.to_owned(),
        kind: DatabaseKind::Control,
        region: None,
        number: None,
    };
    let databases: BTreeMap<String, Vec<PlannedDatabase>> =
        names.into_iter().map(|name| (name.to_owned(), vec![database.clone()])).collect();
    Plan { databases, replications: Vec::new() }
}
