//! `revoked:<what>:<name>`: a right that is taken back. Created once, never changed, and deny wins.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest reason, in characters: a sentence.
pub const REASON_CHARS_MAX: usize = 300;

/// What is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An API key, by its id.
    Key(String),
    /// All keys of a user of a tenant.
    User {
        /// The tenant.
        tenant: String,
        /// The user.
        user: String,
    },
    /// A tenant.
    Tenant(String),
    /// The proof of a target.
    Target {
        /// The tenant.
        tenant: String,
        /// The host.
        host: String,
    },
}

impl fmt::Display for Subject {
    /// As it stands in the id: `key:<id>`, `user:<tenant>:<user>`, `tenant:<name>`, `target:<tenant>:<host>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "key:{id}"),
            Self::User { tenant, user } => write!(f, "user:{tenant}:{user}"),
            Self::Tenant(name) => write!(f, "tenant:{name}"),
            Self::Target { tenant, host } => write!(f, "target:{tenant}:{host}"),
        }
    }
}

impl Subject {
    /// What a document of this id takes back; `None` for another document.
    #[must_use]
    pub fn of(id: &str) -> Option<Self> {
        let (what, name) = id.strip_prefix("revoked:")?.split_once(':')?;
        Some(match what {
            "key" => Self::Key(name.to_owned()),
            "tenant" => Self::Tenant(name.to_owned()),
            "user" | "target" => {
                let (tenant, name) = name.split_once(':')?;
                let (tenant, name) = (tenant.to_owned(), name.to_owned());
                match what {
                    "user" => Self::User { tenant, user: name },
                    _ => Self::Target { tenant, host: name },
                }
            }
            _ => return None,
        })
    }

    /// The id of the document that takes it back.
    #[must_use]
    pub fn document_id(&self) -> String {
        format!("revoked:{self}")
    }
}

/// The document. That it is there is what counts; what it says is for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Always `revoked`.
    pub kind: RevokedKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Who did it, as the audit names them.
    #[serde(default)]
    pub by: String,
    /// When. Milliseconds since 1970.
    pub at_ms: u64,
}

impl Revoked {
    /// Something is taken back. The reason is cut to [`REASON_CHARS_MAX`].
    #[must_use]
    pub fn new(reason: &str, by: &str, at_ms: u64) -> Self {
        Self {
            kind: RevokedKind::Revoked,
            blitz: crate::BUILD.to_owned(),
            reason: reason.trim().chars().take(REASON_CHARS_MAX).collect(),
            by: by.to_owned(),
            at_ms,
        }
    }

    /// What a document says; nothing when this version cannot read it, which does not matter.
    #[must_use]
    pub fn read(doc: serde_json::Value) -> Self {
        match serde_json::from_value::<Self>(doc) {
            // Of its words only what has a limit: they are kept for as long as a process lives.
            Ok(said) => Self::new(
                &said.reason,
                &said.by.chars().take(REASON_CHARS_MAX).collect::<String>(),
                said.at_ms,
            ),
            Err(_) => Self::new("", "", 0),
        }
    }
}

/// The `kind` of a [`Revoked`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokedKind {
    /// The only one.
    Revoked,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_back_stands_in_the_id() {
        let (tenant, user, host) = ("acme".to_owned(), "ann".to_owned(), "[::1]:80".to_owned());
        for subject in [
            Subject::Key("abc".to_owned()),
            Subject::Tenant(tenant.clone()),
            Subject::User { tenant: tenant.clone(), user },
            Subject::Target { tenant, host },
        ] {
            assert_eq!(Subject::of(&subject.document_id()), Some(subject));
        }
        for id in ["revoked:engine:e1", "revoked:key", "key:a", "revoked:user:acme"] {
            assert_eq!(Subject::of(id), None, "{id}");
        }
    }
}
