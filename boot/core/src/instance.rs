//! One machine as its provider tells of it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The tag that makes an instance ours: its value is the name of the fleet. No other instance is ever touched.
pub const TAG_FLEET: &str = "blitz:fleet";

/// The blitz region that an instance works for.
pub const TAG_REGION: &str = "blitz:region";

/// The launch that an instance came of, see [`LaunchRequest::token`](crate::provider::LaunchRequest::token).
pub const TAG_LAUNCH: &str = "blitz:launch";

/// Set on an instance that has no engine: when it was first seen so, in milliseconds since 1970. Only one that is seen so
/// again in a later round is terminated.
pub const TAG_ORPHAN: &str = "blitz:orphan";

/// An operator's word that nobody but a person ends this instance; whatever its value.
pub const TAG_KEEP: &str = "blitz:keep";

/// The id that a provider gave: on EC2 `i-` and 8 or 17 hexadecimal digits. The engine on it registers under the same id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(pub String);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far a machine has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// It was asked for, or boots.
    Pending,
    /// It runs.
    Running,
    /// It was stopped, and can be started again: it runs no engine, and its volume costs.
    Stopped,
    /// It ends, or stops.
    Stopping,
    /// It has ended: providers show it for a while (EC2: an hour).
    Gone,
}

impl InstanceState {
    /// Whether it is there, or will be, for as long as nobody ends it: also one that is stopped, which is missed and ended like
    /// any without a living engine.
    #[must_use]
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Pending | Self::Running | Self::Stopped)
    }
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// How far it has come.
    pub state: InstanceState,
    /// When it was launched, by the provider's clock, in milliseconds since 1970.
    pub launched_ms: u64,
    /// Whether the provider may take it back (spot).
    pub is_spot: bool,
    /// All its tags.
    pub tags: BTreeMap<String, String>,
}

impl Instance {
    /// The value of a tag.
    #[must_use]
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags.get(name).map(String::as_str)
    }
}
