//! Takes away replications that nobody needs any more: of a home that has moved, of a hub that was left out.
//!
//! Databases that a region has not opened yet, or has closed, are whoever rotates them's: their replications stay as
//! long as they are between the region's clusters.

use std::collections::BTreeSet;

use blitz_couchdb::{Error, Put, REPLICATOR};
use serde_json::Value;

use super::apply::{Applied, What};
use super::error::SetupError;
use super::operators::Operators;
use super::replications::ours;
use crate::cluster::Cluster;
use crate::region::Region;
use crate::topology::{EVERYWHERE, Plan, parse_replication_id, plan};

/// Removes them in every cluster that answers and where we may.
///
/// # Errors
///
/// [`SetupError::Cluster`] when one refuses.
pub async fn prune(
    operators: &Operators,
    clusters: &[Cluster],
    regions: &[Region],
) -> Result<Applied, SetupError> {
    let plan = plan(clusters, regions);
    let mut applied = Applied::default();
    for name in &operators.names {
        let Ok(client) = operators.client(name) else { continue };
        let database = client.database(REPLICATOR);
        let rows = match database.all_docs::<Value>(&ours()).await {
            Ok(page) => page.rows,
            Err(Error::NotFound { .. }) => continue,
            Err(source) => match SetupError::of(name, source) {
                SetupError::Silent { .. } => continue,
                refused => return Err(refused),
            },
        };
        for row in rows.iter().filter(|row| is_over(&row.id, name, &plan, regions)) {
            let removed = database.delete(&row.id, &row.revision).await;
            match removed.map_err(|source| SetupError::of(name, source))? {
                Put::Created(_) | Put::Accepted(_) => applied.step(name, What::Removal, &row.id),
                // Somebody else is at it.
                Put::Conflict => {}
            }
        }
    }
    Ok(applied)
}

/// Whether the document of this id has nothing to do in the cluster any more.
fn is_over(id: &str, at: &str, plan: &Plan, regions: &[Region]) -> bool {
    let Some((database, from, to)) = parse_replication_id(id) else { return false };
    if plan.replications_of(at).any(|one| one.id == id) {
        return false;
    }
    if EVERYWHERE.iter().any(|(one, _)| *one == database) {
        return true;
    }
    let Some((region, number)) = owner(database, regions) else {
        // Of a region that is not known here: somebody else may be making it.
        return false;
    };
    let ends: BTreeSet<&str> = region.home.iter().chain(&region.hubs).map(String::as_str).collect();
    let is_between = ends.contains(from) && ends.contains(to) && from != to;
    let is_open = number.is_none_or(|number| region.open.contains(&number));
    region.home.as_deref() != Some(at) || !is_between || is_open
}

/// The region that a database belongs to, and its number, if it has one.
fn owner<'a>(database: &str, regions: &'a [Region]) -> Option<(&'a Region, Option<u32>)> {
    regions.iter().find_map(|region| {
        if database == region.engines_database() || database == region.beats_database() {
            return Some((region, None));
        }
        let rest = database.strip_prefix("blitz-jobs-").or(database.strip_prefix("blitz-out-"))?;
        let number = rest.strip_prefix(region.name.as_str())?.strip_prefix('-')?;
        Some((region, Some(number.parse().ok()?)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_is_known_by_its_name() {
        let clusters = ["oregon", "tokyo", "virginia"]
            .map(|name| Cluster::new(name, "http://h", None).unwrap());
        let region = |name: &str, home: &str, hub: &str| Region {
            home: Some(home.to_owned()),
            hubs: vec![hub.to_owned()],
            ..Region::new(name).unwrap()
        };
        // The name of one is the beginning of the other's.
        let regions = [region("japan", "tokyo", "virginia"), region("japan-2", "oregon", "tokyo")];
        let plan = plan(&clusters, &regions);
        for (at, id, wanted) in [
            ("tokyo", "blitz:blitz-jobs-japan-1:tokyo>virginia", false),
            ("oregon", "blitz:blitz-jobs-japan-2-1:oregon>tokyo", false),
            // Elsewhere than at home, to a cluster that is no hub, in a direction that is not needed.
            ("virginia", "blitz:blitz-jobs-japan-1:tokyo>virginia", true),
            ("tokyo", "blitz:blitz-jobs-japan-1:tokyo>oregon", true),
            ("tokyo", "blitz:blitz-engines-japan:virginia>tokyo", true),
            ("tokyo", "blitz:blitz-out-japan-1:virginia>tokyo", true),
            ("tokyo", "blitz:blitz:tokyo>zurich", true),
            ("tokyo", "blitz:blitz-accounts:tokyo>zurich", true),
            // Being prepared, or not dropped yet.
            ("tokyo", "blitz:blitz-jobs-japan-7:tokyo>virginia", false),
            ("tokyo", "blitz:blitz-jobs-japan-7:tokyo>oregon", true),
            ("virginia", "blitz:blitz-jobs-japan-7:tokyo>virginia", true),
            // Not ours to judge.
            ("tokyo", "blitz:blitz-jobs-mars-1:tokyo>virginia", false),
            ("tokyo", "nightly", false),
        ] {
            assert_eq!(is_over(id, at, &plan, &regions), wanted, "{at} {id}");
        }
    }
}
