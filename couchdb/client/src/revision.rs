//! The name of one version of a document: generation and hash.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A document's revision, `N-hash`.
///
/// The generation counts the steps from the document's beginning on its branch. The hash is computed
/// from the body by CouchDB: two equal bodies over one parent are one revision.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Revision(String);

/// A text that is not a revision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read {0:?} as a revision: it must be a number, a dash and a hash")]
pub struct NotARevision(String);

impl Revision {
    /// The number before the dash. 0 only in `_local` documents.
    #[must_use]
    pub fn generation(&self) -> u64 {
        parts(&self.0).map_or(0, |(generation, _)| generation)
    }

    /// What stands after the dash.
    #[must_use]
    pub fn hash(&self) -> &str {
        parts(&self.0).map_or("", |(_, hash)| hash)
    }

    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn parts(text: &str) -> Option<(u64, &str)> {
    let (generation, hash) = text.split_once('-')?;
    if hash.is_empty() || !generation.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((generation.parse().ok()?, hash))
}

impl TryFrom<String> for Revision {
    type Error = NotARevision;

    fn try_from(text: String) -> Result<Self, NotARevision> {
        if parts(&text).is_some() { Ok(Self(text)) } else { Err(NotARevision(text)) }
    }
}

impl FromStr for Revision {
    type Err = NotARevision;

    fn from_str(text: &str) -> Result<Self, NotARevision> {
        Self::try_from(text.to_owned())
    }
}

impl From<Revision> for String {
    fn from(revision: Revision) -> Self {
        revision.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_a_generation_and_a_hash() {
        let revision: Revision = "12-ab-c".parse().unwrap();
        assert_eq!((revision.generation(), revision.hash()), (12, "ab-c"));
        for text in ["", "1", "1-", "-a", "+1-a", "a-1", "99999999999999999999-a"] {
            assert!(text.parse::<Revision>().is_err(), "{text:?} passed for a revision");
        }
    }

    #[test]
    fn json_holds_it_as_a_string() {
        let revision: Revision = serde_json::from_str("\"1-a\"").unwrap();
        assert_eq!(serde_json::to_string(&revision).unwrap(), "\"1-a\"");
        assert!(serde_json::from_str::<Revision>("\"x\"").is_err());
    }
}
