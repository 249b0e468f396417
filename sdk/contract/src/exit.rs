//! How the run of a plugin ended.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The end of one run: the plugin's own status, or why the host stopped it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// The plugin returned this status, 0 to 255.
    Status(u8),
    /// The host ended it.
    Stopped(Stopped),
}

/// Why the host stopped a plugin. Each text names the limit, its value and what was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// Somebody cancelled the job.
    Cancelled,
    /// The job's time is over.
    Timeout(String),
    /// Another limit was reached (memory, output).
    Limit(String),
    /// The plugin trapped or panicked.
    Crashed(String),
    /// The plugin could not be started: not found, not trusted, not a plugin of this contract.
    Unusable(String),
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("cancelled"),
            Self::Timeout(text) | Self::Limit(text) => f.write_str(text),
            Self::Crashed(text) => write!(f, "the plugin crashed: {text}"),
            Self::Unusable(text) => write!(f, "the plugin cannot be used: {text}"),
        }
    }
}
