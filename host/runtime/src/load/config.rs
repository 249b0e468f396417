//! What an operator lets load tests of an engine do.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use blitz_contract::load::Consent;

/// Load tests of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadConfig {
    /// Who may be loaded beside loopback and private addresses. Asked together with the target policy: both must agree.
    pub consent: Consent,
    /// What all load tests of the engine may do together.
    pub engine: LoadCaps,
    /// What all load tests of the engine may do to one address.
    pub target: LoadCaps,
    /// Worker processes that send, where one may open descriptors enough; `None` is one for each core.
    pub cores: Option<NonZeroU32>,
    /// Addresses of this machine to connect from, in turn. Empty leaves it to the system, which has about 28,000 ports for
    /// each target.
    pub sources: Vec<IpAddr>,
    /// Whether workers run where the kernel cannot hold them.
    pub cage: LoadCage,
    /// How often it is asked again whether a target may be loaded while it is. One that did not say so clearly is asked once
    /// more after half of it.
    pub look_every: Duration,
}

/// Two looks that are not clear, of at most 14 s each with the lookups of names, end a test within a minute; one that is
/// clear within three quarters of it.
const LOOK_EVERY: Duration = Duration::from_secs(30);

impl Default for LoadConfig {
    /// Loopback and private addresses alone.
    fn default() -> Self {
        Self {
            consent: Consent::default(),
            engine: LoadCaps::default(),
            target: LoadCaps::default(),
            cores: None,
            sources: Vec::new(),
            cage: LoadCage::default(),
            look_every: LOOK_EVERY,
        }
    }
}

/// How much load there may be at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadCaps {
    /// Connections.
    pub connections: u32,
    /// Transactions that begin in a second, of plans that ask for a rate.
    pub transactions_per_s: u32,
    /// New connections in a second.
    pub connects_per_s: u32,
}

impl Default for LoadCaps {
    /// A machine of two cores holds 51,000 connections in 250 MiB of the kernel's memory, and sends 500,000 small requests
    /// in a second on loopback. One run has at most half of the new connections that are free: 20,000 in a second, of
    /// which each costs the engine about 8 us of a core more than a worker alone would need.
    fn default() -> Self {
        Self { connections: 60_000, transactions_per_s: 200_000, connects_per_s: 40_000 }
    }
}

/// In how tight a cage workers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoadCage {
    /// Only where the whole cage shuts: the engine makes their connections, and no file can be opened.
    #[default]
    Refuse,
    /// Where a part of the cage is missing, with a line in the log.
    Warn,
}
