//! What a gateway is told when it starts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use blitz_contract::load::Consent;
use blitz_jobs::cluster::Clusters;
use blitz_jobs::timing::{HEARTBEAT, Timing};

use crate::limits::Limits;
use crate::targets::{Prover, TARGET_JOBS_PER_MINUTE};

/// How long keys are believed of which nothing was heard: longer than a restart of a store or a change of its address takes,
/// and short enough that who has lost a key can wait for it to be over everywhere.
pub const ACCOUNTS_STALE: Duration = Duration::from_secs(5 * 60);

/// And no shorter: a feed that is dead without a word is noticed after this, three heartbeats.
pub const ACCOUNTS_STALE_MIN: Duration = HEARTBEAT.saturating_mul(3);

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
    /// Whether a proxy stands before the gateway, which alone reaches it, and says in `X-Forwarded-For` who asks. Otherwise
    /// that header is anybody's word.
    pub trust_proxy: bool,
    /// Who may be loaded, beside loopback and private addresses.
    pub consent: Consent,
    /// Under which API keys are stored, the same at all gateways of an installation; absent: this one takes no keys.
    pub accounts_key: Option<[u8; 32]>,
    /// Who looks for the proofs of targets; absent: nobody, and none can be proved here.
    pub prover: Option<Arc<dyn Prover>>,
    /// Jobs of all members to one host in a minute, of plugins that make no load; named in refusals.
    pub target_jobs_per_minute: u32,
    /// After so long without a word of the near cluster nobody is let in by a key: one may have been taken back.
    pub accounts_stale: Duration,
    /// The durations of the protocol.
    pub timing: Timing,
    /// What connections are held to.
    pub limits: Limits,
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
            trust_proxy: false,
            consent: Consent::default(),
            accounts_key: None,
            prover: None,
            target_jobs_per_minute: TARGET_JOBS_PER_MINUTE,
            accounts_stale: ACCOUNTS_STALE,
            timing: Timing::default(),
            limits: Limits::default(),
        }
    }
}

impl std::fmt::Debug for Config {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("clusters", &self.clusters).finish_non_exhaustive()
    }
}
