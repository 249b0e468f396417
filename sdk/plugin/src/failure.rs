//! How a plugin gives up: an exit status with a message for stderr.

use std::fmt;

use crate::host::HostError;

/// The exit status of `blitz` itself for what an engine refuses.
const REFUSED: u8 = 122;

/// The end of a run that did not work.
///
/// Everything that is an error converts into one of status 1, so that `?` serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit status, 1 to 255.
    pub status: u8,
    /// What happened; printed on stderr behind the plugin's name. Empty prints nothing.
    pub message: String,
}

impl Failure {
    /// A failure with a status of its own.
    #[must_use]
    pub fn new(status: u8, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// What the host did not do. A refusal is blitz's own: it ends with 122 and says which region refused; all else ends
    /// with `status`.
    #[must_use]
    pub fn of_host(error: HostError, status: u8, region: &str) -> Self {
        match error {
            HostError::Denied(text) => Self::new(REFUSED, format!("refused by {region}: {text}")),
            HostError::Limit(text) | HostError::Failed(text) => Self::new(status, text),
        }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(1, error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
