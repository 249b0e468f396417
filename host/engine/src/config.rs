//! What an engine is told when it starts.

use std::time::Duration;

use blitz_jobs::cluster::Clusters;
use blitz_jobs::engine::Machine;
use blitz_jobs::sealing::RegionKeys;
use blitz_jobs::timing::Timing;
use blitz_runtime::Runtime;

use crate::imds::Imds;
use crate::trust::Trust;

/// Everything that an engine needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// The clusters that it can enter. The near one has the documents of regions, clusters and plugins, and says where the
    /// region's home is.
    pub clusters: Clusters,
    /// The region's name.
    pub region: String,
    /// This engine's instance id, one of its kind in the region.
    pub id: String,
    /// How many jobs it runs at once, at least 1.
    pub slots: usize,
    /// What runs plugins.
    pub runtime: Runtime,
    /// Which plugins it believes.
    pub trust: Trust,
    /// What it opens secrets with; jobs with secrets that it has no key for are left to others.
    pub region_keys: RegionKeys,
    /// The durations of the protocol.
    pub timing: Timing,
    /// Whom the target of a load test may ask, in its own logs: it is in the user agent of every request.
    pub load_contact: String,
    /// How long running jobs may go on after the engine was told to stop.
    pub drain: Duration,
    /// The machine that it is on, for its document.
    pub machine: Option<Machine>,
    /// Who tells that the machine is taken away; the engine then leaves by itself.
    pub imds: Option<Imds>,
}
