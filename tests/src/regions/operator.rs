//! What an operator of a world does: sets it up, moves a region to another home, makes a lost one anew.

use blitz_jobs::region::{CONTROL, Region};
use blitz_jobs::setup::regions::Wish;
use blitz_jobs::setup::{Operators, clusters, regions};

use super::topology;
use super::world::World;

/// The near end of the links by which replicators reach clusters, their own among them: a document of a cluster has one
/// address for all of them.
pub const REPLICATORS: &str = "replicators";

impl World {
    pub(super) async fn set_up(&self, near: &str, wanted: &[Region]) {
        let mut addresses = Vec::new();
        for name in self.clusters.keys() {
            addresses.push((name.clone(), self.public_url(name).await));
        }
        let operator = self.operator(near).await;
        topology::set_up(&operator, &addresses, wanted).await.expect("clusters and regions");
    }

    /// Moves a region to another home, as it is done from there: the former one may be away.
    ///
    /// # Panics
    ///
    /// When the new home is not there.
    pub async fn move_region(&self, name: &str, home: &str) {
        let operator = self.operator(home).await;
        regions::move_to(&operator, name, home).await.expect("a region that moves");
    }

    /// Sees to what a region needs, from a cluster: former homes that answer again become hubs.
    ///
    /// # Panics
    ///
    /// When it cannot be done.
    pub async fn mend_region(&self, name: &str, near: &str) {
        let operator = self.operator(near).await;
        regions::set(&operator, name, &Wish::default()).await.expect("a region that is mended");
    }

    /// Takes a server that was wiped for the cluster that it was, from another cluster.
    ///
    /// # Panics
    ///
    /// When it cannot be done.
    pub async fn renew(&self, wiped: &str, near: &str) {
        let operator = self.operator(near).await;
        let url = self.public_url(wiped).await;
        clusters::add(&operator, wiped, &url, true).await.expect("a cluster that is renewed");
    }

    /// The region's document as a cluster has it.
    ///
    /// # Panics
    ///
    /// When it has none that can be read.
    pub async fn region_at(&self, cluster: &str, name: &str) -> Region {
        let control = self.cluster(cluster).client.database(CONTROL);
        let found = control.get::<Region>(&format!("region:{name}")).await.expect("an answer");
        found.unwrap_or_else(|| panic!("{cluster} knows no region {name}")).body
    }

    /// The address in a cluster's document.
    async fn public_url(&self, cluster: &str) -> String {
        let address = self.cluster(cluster).address;
        format!("http://{}", self.links.address(REPLICATORS, cluster, address).await)
    }

    /// An operator beside a cluster, over links of their own.
    async fn operator(&self, near: &str) -> Operators {
        let who = format!("operator-{near}");
        self.links.place(&who, near);
        // Whoever moves a region asks a home that is away many times, and would wait each time.
        self.links.tell(&who);
        let mut addresses = vec![(near.to_owned(), self.url(&who, near).await)];
        for name in self.clusters.keys().filter(|name| *name != near) {
            addresses.push((name.clone(), self.url(&who, name).await));
        }
        topology::operator(&addresses)
    }
}
