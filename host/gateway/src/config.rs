//! What a gateway is told when it starts.

use std::collections::BTreeSet;

use blitz_contract::load::Consent;
use blitz_jobs::cluster::Clusters;
use blitz_jobs::timing::Timing;

/// Everything that a gateway needs.
#[derive(Clone)]
pub struct Config {
    /// The stores that it can enter.
    pub clusters: Clusters,
    /// The names of those in which its credentials are an administrator's of the server: there it makes and drops databases
    /// ([`blitz_jobs::rotation`]), and starts replications again. "" is a near store without a name.
    pub operators: BTreeSet<String>,
    /// What every request but the health check must show.
    pub token: String,
    /// Names, beside its own address and those of loopback, under which the gateway is reached: a request
    /// with another `Host` is refused, as a web page that was rebound to it would send one.
    pub hosts: Vec<String>,
    /// Who may be loaded, beside loopback and private addresses.
    pub consent: Consent,
    /// The durations of the protocol.
    pub timing: Timing,
}

impl Config {
    /// A gateway that enters these stores with no operator's rights, reached by its own address, with the normal durations;
    /// only loopback and private addresses may be loaded.
    #[must_use]
    pub fn new(clusters: Clusters, token: impl Into<String>) -> Self {
        Self {
            clusters,
            operators: BTreeSet::new(),
            token: token.into(),
            hosts: Vec::new(),
            consent: Consent::default(),
            timing: Timing::default(),
        }
    }
}

impl std::fmt::Debug for Config {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("clusters", &self.clusters).finish_non_exhaustive()
    }
}
