//! Keys of publishers, and the statement that one of them signs for each version.
//!
//! The statement is text of fixed lines and not the document: documents are written anew by every store that
//! replicates them (order of members, numbers, escapes), so their bytes are nobody's. For the same reason the
//! manifest is signed by the digest of the very text that was packed, and that text is kept as a string, which
//! no store rewrites.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SecureRandom as _;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::plugin::document::{Carrier, sha256};

/// The first line of what is signed: a signature made for another purpose is none for a release, and one for
/// a later form of the statement none for this.
const DOMAIN: &str = "blitz plugin release 1";

/// Bytes of a public key and of a secret seed of Ed25519.
const KEY_BYTES: usize = 32;

/// A publisher's public key: 32 bytes, written in base64.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; KEY_BYTES]);

/// A text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no publisher's key: it has {KEY_BYTES} bytes in base64, 44 characters with '=' at the end"
)]
pub struct BadKey;

/// What one version's publisher says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The plugin's name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// How the file is run: the same bytes must not get another's rights.
    pub carrier: &'a Carrier,
    /// sha256 of the file in hexadecimal.
    pub sha256: &'a str,
    /// The manifest's JSON, the exact text.
    pub manifest: &'a str,
}

/// A signature of a [`Statement`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// Who signed.
    pub key: PublicKey,
    /// 64 bytes of Ed25519 in base64.
    pub value: String,
}

/// A signature that its key did not make for this statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its signature is not that of its key over its name, version, file and manifest")]
pub struct BadSignature;

impl Statement<'_> {
    /// What is signed. Names, versions, carriers and digests have no line ends, so that no two statements
    /// have the same text.
    fn text(&self) -> String {
        let Self { name, version, carrier, sha256: file, manifest } = self;
        let manifest = sha256(manifest.as_bytes());
        format!(
            "{DOMAIN}\nname {name}\nversion {version}\ncarrier {carrier}\n\
             sha256 {file}\nmanifest {manifest}\n"
        )
    }
}

impl Signature {
    /// Whether its key made it for this statement.
    ///
    /// # Errors
    ///
    /// [`BadSignature`].
    pub fn check(&self, statement: &Statement<'_>) -> Result<(), BadSignature> {
        let has_line_ends = [statement.name, statement.version, statement.sha256]
            .iter()
            .any(|field| field.contains('\n'));
        let value = STANDARD.decode(&self.value).map_err(|_| BadSignature)?;
        if has_line_ends {
            return Err(BadSignature);
        }
        UnparsedPublicKey::new(&ED25519, self.key.0)
            .verify(statement.text().as_bytes(), &value)
            .map_err(|_| BadSignature)
    }
}

impl FromStr for PublicKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| BadKey)?;
        Ok(Self(bytes.try_into().map_err(|_| BadKey)?))
    }
}

impl TryFrom<String> for PublicKey {
    type Error = BadKey;

    fn try_from(text: String) -> Result<Self, BadKey> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

/// A publisher's secret key: the seed of an Ed25519 pair.
pub struct SigningKey {
    seed: [u8; KEY_BYTES],
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// A new one.
    ///
    /// # Errors
    ///
    /// [`BadKey`] when the system gives no random numbers.
    pub fn generate() -> Result<Self, BadKey> {
        let mut seed = [0; KEY_BYTES];
        ring::rand::SystemRandom::new().fill(&mut seed).map_err(|_| BadKey)?;
        Self::from_seed(seed)
    }

    fn from_seed(seed: [u8; KEY_BYTES]) -> Result<Self, BadKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| BadKey)?;
        Ok(Self { seed, pair })
    }

    /// The text for the owner's own file: the seed in base64.
    #[must_use]
    pub fn to_secret_text(&self) -> String {
        STANDARD.encode(self.seed)
    }

    /// Reads what [`Self::to_secret_text`] wrote.
    ///
    /// # Errors
    ///
    /// [`BadKey`].
    pub fn from_secret_text(text: &str) -> Result<Self, BadKey> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| BadKey)?;
        Self::from_seed(bytes.try_into().map_err(|_| BadKey)?)
    }

    /// The key that others trust.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; KEY_BYTES];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(bytes)
    }

    /// Signs a statement.
    #[must_use]
    pub fn sign(&self, statement: &Statement<'_>) -> Signature {
        let value = self.pair.sign(statement.text().as_bytes());
        Signature { key: self.public(), value: STANDARD.encode(value.as_ref()) }
    }
}

impl fmt::Debug for SigningKey {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> Statement<'static> {
        Statement {
            name: "hops",
            version: "0.1.0",
            carrier: &Carrier::Component,
            sha256: "ab",
            manifest: "{\"name\":\"hops\"}",
        }
    }

    #[test]
    fn a_signature_is_good_for_its_statement_alone() {
        let key = SigningKey::generate().unwrap();
        let signature = key.sign(&statement());
        assert_eq!(signature.check(&statement()), Ok(()));
        for (what, other) in [
            ("name", Statement { name: "hop", ..statement() }),
            ("version", Statement { version: "0.1.1", ..statement() }),
            ("carrier", Statement { carrier: &Carrier::Native, ..statement() }),
            ("file", Statement { sha256: "ac", ..statement() }),
            ("manifest", Statement { manifest: "{\"name\": \"hops\"}", ..statement() }),
            ("lines", Statement { name: "hops\nversion 0.1.0", ..statement() }),
        ] {
            assert_eq!(signature.check(&other), Err(BadSignature), "another {what}");
        }
    }

    #[test]
    fn a_signature_is_good_under_its_key_alone() {
        let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let signature = key.sign(&statement());
        let claimed = Signature { key: other.public(), ..signature.clone() };
        assert_eq!(claimed.check(&statement()), Err(BadSignature));
        for value in ["", "AAAA", "no base64!", &STANDARD.encode([0; 64])] {
            let broken = Signature { value: value.to_owned(), ..signature.clone() };
            assert_eq!(broken.check(&statement()), Err(BadSignature), "{value:?}");
        }
    }

    #[test]
    fn keys_survive_their_texts_and_secrets_stay_out_of_logs() {
        let key = SigningKey::generate().unwrap();
        let again = SigningKey::from_secret_text(&format!("{}\n", key.to_secret_text())).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(key.public().to_string().parse::<PublicKey>(), Ok(key.public()));
        assert!(!format!("{key:?}").contains(&key.to_secret_text()));
        for text in ["", "AAAA", "ü", &STANDARD.encode([0; 33])] {
            assert_eq!(text.parse::<PublicKey>(), Err(BadKey), "{text:?}");
        }
    }
}
