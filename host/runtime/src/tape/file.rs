//! A tape on disk: JSON lines, so that two tapes can be compared with `diff`. The first line says what was run, each
//! further one is a question of the plugin and what it heard.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::limits::Size;

/// Longest tape: a run that hears more is no test case.
pub const TAPE_MAX_BYTES: u64 = 32 * 1024 * 1024;

/// The form of this module.
const FORM: u32 = 1;

/// What was run, for people; only the form is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the form.
    tape: u32,
    /// `NAME@VERSION`
    pub plugin: String,
    /// The plugin's arguments, secrets masked.
    pub args: Vec<String>,
}

impl Header {
    /// Of a tape in today's form.
    #[must_use]
    pub fn new(plugin: String, args: Vec<String>) -> Self {
        Self { tape: FORM, plugin, args }
    }
}

/// One question and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// `web.exchange`, `wasi.monotonic`
    pub(super) import: String,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(super) asks: Value,
    pub(super) hears: Value,
}

impl Entry {
    /// What was asked: `web.exchange`.
    #[must_use]
    pub fn import(&self) -> &str {
        &self.import
    }

    /// About what it takes on a tape.
    pub(super) fn bytes(&self) -> u64 {
        let length = self.asks.to_string().len() + self.hears.to_string().len();
        u64::try_from(length + self.import.len()).unwrap_or(u64::MAX)
    }
}

/// A tape that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TapeError {
    /// Longer than [`TAPE_MAX_BYTES`].
    #[error("a tape has at most {}", Size(TAPE_MAX_BYTES))]
    TooLong,
    /// Empty, or its first line is of something else.
    #[error(
        "not a tape: its first line must be {{\"tape\":{FORM},...}}; record it with 'blitz plugin run --record'"
    )]
    NotATape,
    /// Of a later version.
    #[error(
        "a tape of form {0}, and this blitz reads form {FORM}; upgrade blitz or record it again"
    )]
    Form(u32),
    /// A line.
    #[error("line {line} of the tape: {cause}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong.
        cause: String,
    },
}

/// The text of a tape.
#[must_use]
pub fn write(header: &Header, entries: &[Entry]) -> String {
    let mut text = String::new();
    let mut line = |json: Result<String, serde_json::Error>| {
        // Strings, numbers and values that were JSON before.
        text.push_str(&json.unwrap_or_default());
        text.push('\n');
    };
    line(serde_json::to_string(header));
    for entry in entries {
        line(serde_json::to_string(entry));
    }
    text
}

/// Reads what [`write()`] wrote.
///
/// # Errors
///
/// [`TapeError`] names the line.
pub fn read(text: &str) -> Result<(Header, Vec<Entry>), TapeError> {
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > TAPE_MAX_BYTES {
        return Err(TapeError::TooLong);
    }
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let (_, first) = lines.next().ok_or(TapeError::NotATape)?;
    let header: Header = serde_json::from_str(first).map_err(|_| TapeError::NotATape)?;
    if header.tape != FORM {
        return Err(TapeError::Form(header.tape));
    }
    let entries = lines.map(|(at, line)| {
        serde_json::from_str(line)
            .map_err(|error| TapeError::Line { line: at + 1, cause: error.to_string() })
    });
    Ok((header, entries.collect::<Result<_, _>>()?))
}
