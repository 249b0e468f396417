//! What a world is to have.

use blitz_jobs::region::Region;

use super::world::World;

/// Clusters and regions that are to be.
#[derive(Debug, Default)]
#[must_use = "a plan is nothing until it is started"]
pub struct Plan {
    pub(super) clusters: Vec<String>,
    pub(super) regions: Vec<Region>,
}

impl Plan {
    /// One more cluster.
    pub fn cluster(mut self, name: &str) -> Self {
        self.clusters.push(name.to_owned());
        self
    }

    /// One more region, with its home in one cluster and copies in others.
    ///
    /// # Panics
    ///
    /// When the name is none, or a cluster is not there.
    pub fn region(self, name: &str, home: &str, hubs: &[&str]) -> Self {
        self.region_that(name, home, hubs, |_| {})
    }

    /// The same with a document that is changed before it is written.
    ///
    /// # Panics
    ///
    /// As [`Self::region`].
    pub fn region_that(
        mut self,
        name: &str,
        home: &str,
        hubs: &[&str],
        change: impl FnOnce(&mut Region),
    ) -> Self {
        for cluster in hubs.iter().chain([&home]) {
            assert!(self.clusters.iter().any(|known| known == cluster), "no cluster {cluster}");
        }
        let mut region = Region::new(name).expect("a region's name");
        region.home = Some(home.to_owned());
        region.hubs = hubs.iter().map(|&hub| hub.to_owned()).collect();
        change(&mut region);
        self.regions.push(region);
        self
    }

    /// Starts the clusters, sets the regions up, and waits until all clusters know the plugin `fixture`.
    ///
    /// # Panics
    ///
    /// When something cannot be started.
    pub async fn start(self) -> World {
        World::of(self).await
    }
}
