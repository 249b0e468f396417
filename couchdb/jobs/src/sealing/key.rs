//! One key of a region: its public half, as the region's document has it, and its private half.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hpke::kem::{Kem, X25519HkdfSha256};
use hpke::{Deserializable as _, Serializable as _};
use ring::rand::SecureRandom as _;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::plugin::sha256;

/// The most keys that a region's document has, those that were retired among them: one a week for a year, and a few more. The
/// document is read by all.
pub const SEALING_KEYS_MAX: usize = 64;

/// Bytes of each half of a key.
const KEY_BYTES: usize = 32;

/// Characters of an id, of the hexadecimal digest of the public half: 64 bits tell a region's keys apart, and nobody gains by
/// two that are alike.
const ID_CHARS: usize = 16;

/// The public half of a region's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealingKey {
    /// What it is called in specs and files: the begin of its own digest.
    pub id: String,
    /// X25519, in base64.
    pub public: String,
    /// When it was made; of several the newest is used. Milliseconds since 1970.
    #[serde(default)]
    pub made_at_ms: u64,
    /// Nothing is sealed to it any more. It stays in the document, since one that was taken out would come back from a
    /// side that had not heard of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retired: bool,
}

/// A text that is no private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no private key of a region: it has {KEY_BYTES} bytes in base64, 44 characters with '=' at the end"
)]
pub struct BadKey;

/// The private half. It is overwritten when it is dropped.
#[derive(Clone)]
pub struct PrivateKey {
    id: String,
    public: String,
    secret: <X25519HkdfSha256 as Kem>::PrivateKey,
}

impl SealingKey {
    pub(super) fn public(&self) -> Option<<X25519HkdfSha256 as Kem>::PublicKey> {
        let bytes = STANDARD.decode(&self.public).ok()?;
        <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&bytes).ok()
    }
}

impl PrivateKey {
    /// A new one.
    ///
    /// # Errors
    ///
    /// [`BadKey`] when the system gives no random numbers.
    pub fn generate() -> Result<Self, BadKey> {
        let mut random = Zeroizing::new([0; KEY_BYTES]);
        ring::rand::SystemRandom::new().fill(random.as_mut_slice()).map_err(|_| BadKey)?;
        let (secret, _) = X25519HkdfSha256::derive_keypair(random.as_slice());
        Ok(Self::of(secret))
    }

    /// One that was kept.
    ///
    /// # Errors
    ///
    /// [`BadKey`].
    pub fn read(text: &str) -> Result<Self, BadKey> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| BadKey)?);
        <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(&bytes).map(Self::of).map_err(|_| BadKey)
    }

    fn of(secret: <X25519HkdfSha256 as Kem>::PrivateKey) -> Self {
        let public = X25519HkdfSha256::sk_to_pk(&secret).to_bytes();
        let id = sha256(&public).chars().take(ID_CHARS).collect();
        Self { id, public: STANDARD.encode(public), secret }
    }

    /// The text to keep, for files and answers that nobody else reads.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(Zeroizing::new(self.secret.to_bytes().to_vec())))
    }

    /// What it is called.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its public half.
    #[must_use]
    pub fn sealing_key(&self, made_at_ms: u64) -> SealingKey {
        let (id, public) = (self.id.clone(), self.public.clone());
        SealingKey { id, public, made_at_ms, retired: false }
    }

    pub(super) fn secret(&self) -> &<X25519HkdfSha256 as Kem>::PrivateKey {
        &self.secret
    }
}

impl fmt::Debug for PrivateKey {
    /// Its name alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("id", &self.id).finish_non_exhaustive()
    }
}
