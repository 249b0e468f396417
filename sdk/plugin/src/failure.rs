//! How a plugin gives up: an exit status with a message for stderr.

use std::fmt;

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
