//! What an import said on a tape, or why it said nothing.

use serde::{Deserialize, Serialize};

use crate::bindings::blitz::plugin::types::Error;

/// An answer, in the words of the tape.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Heard<A> {
    Answer(A),
    Denied(String),
    Limit(String),
    Failed(String),
}

impl<A> Heard<A> {
    pub(super) fn of<'h, T>(heard: &'h Result<T, Error>, words: impl FnOnce(&'h T) -> A) -> Self {
        match heard {
            Ok(answer) => Self::Answer(words(answer)),
            Err(Error::Denied(text)) => Self::Denied(text.clone()),
            Err(Error::Limit(text)) => Self::Limit(text.clone()),
            Err(Error::Failed(text)) => Self::Failed(text.clone()),
        }
    }

    pub(super) fn back<T>(self, answer: impl FnOnce(A) -> T) -> Result<T, Error> {
        match self {
            Self::Answer(words) => Ok(answer(words)),
            Self::Denied(text) => Err(Error::Denied(text)),
            Self::Limit(text) => Err(Error::Limit(text)),
            Self::Failed(text) => Err(Error::Failed(text)),
        }
    }
}
