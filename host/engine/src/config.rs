//! What an engine is told when it starts.

use std::time::Duration;

use blitz_couchdb::Client;
use blitz_jobs::timing::Timing;
use blitz_runtime::Runtime;

use crate::trust::Trust;

/// Everything that an engine needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// The region's home cluster.
    pub store: Client,
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
    /// The durations of the protocol.
    pub timing: Timing,
    /// How long running jobs may go on after the engine was told to stop.
    pub drain: Duration,
}
