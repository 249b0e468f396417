//! Clusters and regions, set up as an operator does with `blitz cluster add` and `blitz region add`.

use std::collections::{BTreeMap, BTreeSet};

use blitz_couchdb::Client;
use blitz_jobs::cluster::Clusters;
use blitz_jobs::region::Region;
use blitz_jobs::setup::regions::Wish;
use blitz_jobs::setup::{Operators, SetupError, clusters, regions};

/// An operator who enters these clusters by their addresses, with name and password; the near one is first.
///
/// # Panics
///
/// When there is no cluster, or an address is none.
#[must_use]
pub fn operator(addresses: &[(String, String)]) -> Operators {
    let mut clients = addresses
        .iter()
        .map(|(name, url)| (name.clone(), Client::new(url.clone()).expect("an address")));
    let (own, near) = clients.next().expect("a near cluster");
    let others: BTreeMap<String, Client> = clients.collect();
    let names: BTreeSet<String> = addresses.iter().map(|(name, _)| name.clone()).collect();
    Operators { clusters: Clusters::new(&own, near, others), names }
}

/// Adds clusters, each with the address at which others reach it, and then regions.
///
/// # Errors
///
/// The first thing that cannot be done.
pub async fn set_up(
    operator: &Operators,
    addresses: &[(String, String)],
    wanted: &[Region],
) -> Result<(), SetupError> {
    for (name, url) in addresses {
        clusters::add(operator, name, url, false).await?;
    }
    for region in wanted {
        let wish = Wish {
            hubs: Some(region.hubs.clone()),
            failover: Some(region.failover),
            lanes: Some(region.lanes),
            rotation: Some(region.rotation),
            ..Wish::default()
        };
        regions::add(operator, &region.name, region.home.as_deref(), &wish).await?;
    }
    Ok(())
}
