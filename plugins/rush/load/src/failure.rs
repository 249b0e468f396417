//! Why a request did not get a good answer.

use blitz_contract::load::ErrorKind;

/// In the words of the contract, and in words for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What is counted.
    pub(crate) kind: ErrorKind,
    /// What is said of the first one.
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}
