//! Regions over three clusters: how long a job takes that comes in elsewhere and is carried by replication alone, and
//! what all of it needs of memory on one machine.

mod arrival;
mod memory;

use std::collections::BTreeMap;

use blitz_couchdb::Client;
use blitz_jobs::region::Region;
use blitz_tests::regions::topology;
use tempfile::TempDir;

use crate::sample::say;
use crate::store::server::{Served, scratch};

/// The clusters, each with a store of its own, and the region that has its home there.
const PLACES: [(&str, &str); 3] = [("tokyo", "japan"), ("virginia", "east"), ("ireland", "west")];

pub(crate) async fn measure() {
    arrival::measure().await;
    say("");
    memory::measure().await;
}

/// The stores, set up with all regions: each cluster is a hub of the regions of the others.
struct Clusters {
    clients: BTreeMap<String, Client>,
    urls: BTreeMap<String, String>,
    served: Vec<Served>,
    /// Held: they are removed with it.
    _directories: Vec<TempDir>,
}

impl Clusters {
    async fn start() -> Self {
        let mut clusters = Self {
            clients: BTreeMap::new(),
            urls: BTreeMap::new(),
            served: Vec::new(),
            _directories: Vec::new(),
        };
        let mut addresses = Vec::new();
        for (name, _) in PLACES {
            let directory = TempDir::new_in(scratch()).expect("a directory");
            let served = Served::start_closed(directory.path()).await;
            let url = format!("http://root:pw@{}", served.address);
            addresses.push((name.to_owned(), format!("http://{}", served.address)));
            clusters.clients.insert(name.to_owned(), Client::new(&url).expect("an address"));
            clusters.urls.insert(name.to_owned(), url);
            clusters.served.push(served);
            clusters._directories.push(directory);
        }
        let entered = PLACES.map(|(name, _)| (name.to_owned(), clusters.urls[name].clone()));
        let operator = topology::operator(&entered);
        let done = topology::set_up(&operator, &addresses, &regions()).await;
        done.expect("clusters and regions");
        clusters
    }

    fn client(&self, cluster: &str) -> &Client {
        &self.clients[cluster]
    }
}

/// A region at home at each place, with the others as its hubs.
fn regions() -> Vec<Region> {
    let region = |(place, name): (&str, &str)| {
        let mut region = Region::new(name).expect("a region's name");
        region.home = Some(place.to_owned());
        let hubs = PLACES.into_iter().filter(|(other, _)| *other != place);
        region.hubs = hubs.map(|(other, _)| other.to_owned()).collect();
        region
    };
    PLACES.into_iter().map(region).collect()
}
