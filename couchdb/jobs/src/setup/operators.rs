//! Who sets up: the clusters that this process can enter, and those in which it may make and drop databases.

use std::collections::BTreeSet;

use blitz_couchdb::Client;

use super::error::SetupError;
use crate::cluster::Clusters;

/// The clusters that can be entered, and an operator's rights in some of them.
#[derive(Debug, Clone)]
pub struct Operators {
    /// Those that can be entered.
    pub clusters: Clusters,
    /// The names of those where the credentials are an administrator's.
    pub names: BTreeSet<String>,
}

impl Operators {
    /// A cluster in which databases may be made.
    ///
    /// # Errors
    ///
    /// [`SetupError::NoEntry`], [`SetupError::NotOperator`].
    pub fn client(&self, cluster: &str) -> Result<&Client, SetupError> {
        let client = self.clusters.get(Some(cluster));
        let client = client.ok_or_else(|| SetupError::NoEntry { cluster: cluster.to_owned() })?;
        if !self.names.contains(cluster) {
            return Err(SetupError::NotOperator { cluster: cluster.to_owned() });
        }
        Ok(client)
    }

    /// The clusters that can be entered, with their names; a near store without one is "".
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Client)> {
        self.clusters.all().map(|(name, client)| (name.unwrap_or_default(), client))
    }

    /// One of [`Operators::all`], whatever our rights there.
    pub(super) fn entered(&self, cluster: &str) -> Result<&Client, SetupError> {
        let client = self.clusters.get((!cluster.is_empty()).then_some(cluster));
        client.ok_or_else(|| SetupError::NoEntry { cluster: cluster.to_owned() })
    }
}
