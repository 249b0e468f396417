//! How an engine comes to its right: a one-time join token, and what takes the right back. All are documents of the
//! control database that are created once.
//!
//! | document | what it says |
//! |---|---|
//! | `join:<hash prefix>` | somebody who has the token of this hash may join this region, until it is over |
//! | `joined:<hash prefix>` | the token was used, by this engine |
//! | `revoked:engine:<id>` | this engine gets no token any more, and deny wins |
//!
//! The token itself is in no document. A use is acknowledged by one cluster: the first one there wins. Two uses in two
//! clusters that do not hear of each other both win, and are two revisions of one document when they meet: a conflict that
//! everybody sees ([`Joined::engine`] of the leaves), and that an operator ends with a revocation.

use blitz_couchdb::{Database, Error, Put, PutOptions};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// What a join token begins with, so that people and scanners of secrets know it.
const PREFIX: &str = "blitz-join-";

/// Hexadecimal digits of the 256 random bits behind it.
const SECRET_DIGITS: usize = 64;

/// Digits of the hash in an id: two tokens share 128 bits never.
const ID_DIGITS: usize = 32;

/// The longest id of an engine, in characters: it stands in ids of documents, and in a token.
pub const ENGINE_CHARS_MAX: usize = 128;

/// The longest reason of a revocation, in characters.
pub const REASON_CHARS_MAX: usize = 300;

/// A join token, as it is told once.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken(String);

impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JoinToken(hidden)")
    }
}

impl JoinToken {
    /// Of these random bits.
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        Self(format!("{PREFIX}{}", hex(&random)))
    }

    /// One that somebody shows; `None` when it is none.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let digits = text.trim().strip_prefix(PREFIX)?;
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (digits.len() == SECRET_DIGITS && digits.bytes().all(is_hex))
            .then(|| Self(format!("{PREFIX}{digits}")))
    }

    /// The token as text: a secret.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// What the store has of it. 256 random bits need no slow hash.
    #[must_use]
    pub fn hash(&self) -> String {
        hash(&self.0)
    }
}

/// sha256 in hexadecimal.
#[must_use]
pub fn hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Whether a text can be an engine's id: visible ASCII without what separates things in ids, headers and paths.
#[must_use]
pub fn is_engine(id: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=ENGINE_CHARS_MAX).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.bytes().all(fits)
}

/// `join:<hash prefix>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// Always `join`.
    pub kind: JoinKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// sha256 of the token.
    pub hash: String,
    /// The region that it is for.
    pub region: String,
    /// The engine that it is for; absent: any that is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// When it is over, by the clock of who made it. Milliseconds since 1970.
    pub expires_at_ms: u64,
}

/// The `kind` of a [`Join`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinKind {
    /// The only one.
    Join,
}

impl Join {
    /// The document of a token.
    #[must_use]
    pub fn new(
        token: &JoinToken,
        region: &str,
        engine: Option<String>,
        expires_at_ms: u64,
    ) -> Self {
        let (blitz, hash) = (crate::BUILD.to_owned(), token.hash());
        Self { kind: JoinKind::Join, blitz, hash, region: region.to_owned(), engine, expires_at_ms }
    }

    /// The id of a token's document.
    #[must_use]
    pub fn document_id(token: &JoinToken) -> String {
        format!("join:{}", &token.hash()[..ID_DIGITS])
    }

    /// What is stored of a token, if it is one that was made here.
    ///
    /// # Errors
    ///
    /// What the store answers.
    pub async fn read(control: &Database, token: &JoinToken) -> Result<Option<Self>, Error> {
        let id = Self::document_id(token);
        let found = control.get::<Value>(&id).await?;
        let found = found.and_then(|found| crate::read::document::<Self>(&id, found.body));
        Ok(found.filter(|join| join.hash == token.hash()))
    }
}

/// `joined:<hash prefix>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// Always `joined`.
    pub kind: JoinedKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// Who used the token.
    pub engine: String,
    /// sha256 of what only that start of the engine knows: an engine that did not hear the answer asks again.
    pub proof: String,
    /// For people. Milliseconds since 1970.
    pub at_ms: u64,
}

/// The `kind` of a [`Joined`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinedKind {
    /// The only one.
    Joined,
}

/// How the use of a token ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It was the first, or this engine's first asks again.
    Good,
    /// Somebody used it before.
    Used,
}

impl Joined {
    /// The use of a token. `nonce` is what only this start of the engine knows.
    #[must_use]
    pub fn new(engine: &str, nonce: &str, at_ms: u64) -> Self {
        let (blitz, proof) = (crate::BUILD.to_owned(), hash(nonce));
        Self { kind: JoinedKind::Joined, blitz, engine: engine.to_owned(), proof, at_ms }
    }

    /// Uses it up.
    ///
    /// # Errors
    ///
    /// What the store answers; asking again is harmless.
    pub async fn write(&self, control: &Database, token: &JoinToken) -> Result<Use, Error> {
        let id = format!("joined:{}", &token.hash()[..ID_DIGITS]);
        match control.put(&id, None, self, PutOptions::default()).await? {
            Put::Created(_) => return Ok(Use::Good),
            // Fewer copies than a majority: what is read counts.
            Put::Accepted(_) | Put::Conflict => {}
        }
        Ok(if self.stands(control, token).await? { Use::Good } else { Use::Used })
    }

    /// Whether it is this one that used the token up, and nobody else did.
    ///
    /// # Errors
    ///
    /// What the store answers.
    pub async fn stands(&self, control: &Database, token: &JoinToken) -> Result<bool, Error> {
        let id = format!("joined:{}", &token.hash()[..ID_DIGITS]);
        let leaves = control.leaves::<Value>(&id, None).await?;
        let is_ours = |body: Value| {
            let found = serde_json::from_value::<Self>(body).ok();
            found.is_some_and(|one| one.engine == self.engine && one.proof == self.proof)
        };
        Ok(!leaves.is_empty() && leaves.into_iter().all(|leaf| is_ours(leaf.body)))
    }
}

/// `revoked:engine:<id>`. It counts by its id, also when nobody can read the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Always `revoked`.
    pub kind: RevokedKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// Who.
    pub engine: String,
    /// Why, for people.
    #[serde(default)]
    pub reason: String,
    /// For people. Milliseconds since 1970.
    #[serde(default)]
    pub at_ms: u64,
}

/// The `kind` of a [`Revoked`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokedKind {
    /// The only one.
    Revoked,
}

impl Revoked {
    /// A revocation. The reason is cut to [`REASON_CHARS_MAX`].
    #[must_use]
    pub fn new(engine: &str, reason: &str, at_ms: u64) -> Self {
        Self {
            kind: RevokedKind::Revoked,
            blitz: crate::BUILD.to_owned(),
            engine: engine.to_owned(),
            reason: reason.trim().chars().take(REASON_CHARS_MAX).collect(),
            at_ms,
        }
    }

    /// The id of an engine's revocation.
    #[must_use]
    pub fn document_id(engine: &str) -> String {
        format!("revoked:engine:{engine}")
    }

    /// Whether an engine's right was taken back.
    ///
    /// # Errors
    ///
    /// What the store answers.
    pub async fn is_there(control: &Database, engine: &str) -> Result<bool, Error> {
        Ok(control.get::<Value>(&Self::document_id(engine)).await?.is_some())
    }

    /// Takes it back; false when it was before.
    ///
    /// # Errors
    ///
    /// What the store answers; asking again is harmless.
    pub async fn write(&self, control: &Database) -> Result<bool, Error> {
        let id = Self::document_id(&self.engine);
        Ok(control.put(&id, None, self, PutOptions::default()).await? != Put::Conflict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_told_and_stored_as_a_hash() {
        let token = JoinToken::new([7; 32]);
        assert_eq!(token.secret().len(), PREFIX.len() + SECRET_DIGITS);
        assert_eq!(JoinToken::read(&format!(" {}\n", token.secret())), Some(token.clone()));
        for bad in [
            "",
            "blitz-join-",
            "blitz-join-07",
            &token.secret()[1..],
            &token.secret().to_uppercase(),
        ] {
            assert_eq!(JoinToken::read(bad), None, "{bad}");
        }
        let join = Join::new(&token, "japan", None, 5);
        let stored = serde_json::to_string(&join).unwrap() + &Join::document_id(&token);
        assert!(!stored.contains(&token.secret()[PREFIX.len()..]), "{stored}");
        assert!(!format!("{token:?}").contains("07"));
    }

    #[test]
    fn an_engines_id_can_stand_anywhere() {
        for (id, fits) in [
            ("japan-1", true),
            ("i-0abc.x_y", true),
            ("", false),
            ("a b", false),
            ("a:b", false),
            ("a/b", false),
            ("_admin", false),
            (&"x".repeat(129), false),
        ] {
            assert_eq!(is_engine(id), fits, "{id}");
        }
    }
}
