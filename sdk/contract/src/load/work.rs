//! What an engine and one of its load workers say to each other: frames of a length (four bytes, little end first) and JSON,
//! over a socket pair. With [`Said::Caged`] a descriptor travels where connects are watched.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::origin::Origin;
use super::plan::Plan;
use super::share::Share;
use super::tick::Tick;

/// Longest frame: a plan with 32 bodies of 1 MiB, and the roots.
pub const FRAME_BYTES_MAX: usize = 64 << 20;
/// The same from a worker, which says a second with much in it as several ticks: each is meant for a record of 64 KiB.
pub const SAID_BYTES_MAX: usize = 1 << 20;

/// From the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The first one: everything but the moment.
    Work(Box<Work>),
    /// Starts after so long, from the receipt of this.
    Go {
        /// Microseconds.
        in_us: u64,
    },
    /// Sends nothing more, and says the rest.
    Stop,
}

/// What a worker is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Of all engines.
    pub plan: Plan,
    /// Of this worker.
    pub share: Share,
    /// Every origin of the plan, with the addresses that the engine looked up and has judged: there are no others.
    pub targets: Vec<Pinned>,
    /// Addresses of this machine to connect from, in turn, where one has not ports enough; empty leaves it to the
    /// system.
    #[serde(default)]
    pub sources: Vec<IpAddr>,
    /// Connections of this worker at once.
    pub connections_max: u32,
    /// New connections of this worker in a second.
    pub connects_per_s: u32,
    /// Certificates that are trusted, in DER and base64.
    #[serde(default)]
    pub roots: Vec<String>,
}

/// An origin and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    /// As the plan has it.
    pub origin: Origin,
    /// At least one.
    pub addresses: Vec<SocketAddr>,
}

/// From the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// Its cage is shut; says what the kernel lacks.
    Caged {
        /// In words.
        lacks: Option<String>,
    },
    /// It has taken the work, and waits for the word to go.
    Ready,
    /// Each second, and the last one with a closing.
    Tick(Box<Tick>),
    /// It cannot do the work.
    Refused(String),
}
