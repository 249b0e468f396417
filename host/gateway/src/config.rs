//! What a gateway is told when it starts.

use blitz_couchdb::Client;
use blitz_jobs::timing::Timing;

/// Everything that a gateway needs.
#[derive(Clone)]
pub struct Config {
    /// The store.
    pub store: Client,
    /// What every request but the health check must show.
    pub token: String,
    /// Names, beside its own address and those of loopback, under which the gateway is reached: a request
    /// with another `Host` is refused, as a web page that was rebound to it would send one.
    pub hosts: Vec<String>,
    /// The durations of the protocol.
    pub timing: Timing,
}

impl std::fmt::Debug for Config {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("store", &self.store).finish_non_exhaustive()
    }
}
