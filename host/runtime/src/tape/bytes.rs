//! Bytes on a tape: text as it is, anything else as base64, and what is long as its digest where only a comparison
//! is made.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Bytes of a question that stand on the tape; longer ones are compared by their digest.
const QUESTION_BYTES_MAX: usize = 16 * 1024;

/// Bytes as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Piece {
    Text(String),
    Base64 {
        base64: String,
    },
    /// Only in questions.
    Digest {
        sha256: String,
        bytes: usize,
    },
}

impl Piece {
    pub(super) fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64 { base64: STANDARD.encode(bytes) },
        }
    }

    /// Of a question, which is compared and never read back.
    pub(super) fn of_question(bytes: &[u8]) -> Self {
        if bytes.len() <= QUESTION_BYTES_MAX {
            return Self::new(bytes);
        }
        let digest = Sha256::digest(bytes);
        let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self::Digest { sha256, bytes: bytes.len() }
    }

    /// What was put in; nothing for a digest, and for base64 that is none.
    pub(super) fn bytes(self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::Base64 { base64 } => STANDARD.decode(base64).unwrap_or_default(),
            Self::Digest { .. } => Vec::new(),
        }
    }
}
