//! Secrets of command lines on their way from a gateway to the engine that runs the job: sealed to a key of the region, and open
//! nowhere between.
//!
//! HPKE (RFC 9180) in its base mode, with X25519, HKDF-SHA256 and ChaCha20-Poly1305. Everybody may seal, who has the private
//! half may open. A region's document has the public halves ([`SealingKey`]), engines have the private ones ([`RegionKeys`]).
//!
//! A sealed word is bound to its place: the job's id, the digest of the plugin, the number of the word, and the command line
//! around it with its secrets masked. So nobody who can write documents gets a word opened for another job, for a plugin
//! that prints it, or for another URL.
//!
//! What it does not hold against: who can write the region's document can name a key of their own, and reads what is sealed from
//! then on. Only operators can.
//!
//! Sealed are words, and no inputs: what a command reads from files or stdin stands in the store as it is. How long a secret is
//! shows in steps of [`STEP_BYTES`].

mod key;
mod keys;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem, X25519HkdfSha256};
use hpke::{Deserializable as _, OpModeR, OpModeS, Serializable as _};
use zeroize::Zeroizing;

use crate::JobId;
use crate::plugin::sha256;
use crate::spec::{Sealed, Spec};

pub use key::{BadKey, PrivateKey, SEALING_KEYS_MAX, SealingKey};
pub use keys::{NotOpened, RegionKeys};

/// The first line of what a word is bound to: one that was sealed for another purpose, or in a later form, is none.
const DOMAIN: &str = "blitz sealed word 1";

/// Texts are filled up to a multiple of this many bytes, so that a short password and a long one look alike.
pub const STEP_BYTES: usize = 64;

/// Bytes of an encapsulated key, before the sealed text.
const ENCAPSULATED_BYTES: usize = 32;

/// Ends a text; behind it are zeros up to the next step.
const END: u8 = 0x80;

/// A command line with secrets, whose words are to be sealed.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Whose command line.
    pub job: &'a JobId,
    /// The digest of the plugin that gets it.
    pub sha256: &'a str,
    /// All words, with the secrets masked, as documents have them.
    pub masked: &'a [String],
}

/// No text was sealed: the key is none, or the word is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot seal a word to the region's key")]
pub struct NotSealed;

impl<'a> Place<'a> {
    /// That of a job's words.
    #[must_use]
    pub fn of(spec: &'a Spec) -> Self {
        Self { job: &spec.job, sha256: &spec.sha256, masked: &spec.args }
    }

    /// Seals the whole text of a word.
    ///
    /// # Errors
    ///
    /// [`NotSealed`].
    pub fn seal(&self, word: usize, text: &str, key: &SealingKey) -> Result<Sealed, NotSealed> {
        let public = key.public().ok_or(NotSealed)?;
        let mut filled = Zeroizing::new(Vec::with_capacity(text.len() + 1 + STEP_BYTES));
        filled.extend_from_slice(text.as_bytes());
        filled.push(END);
        let whole = filled.len().next_multiple_of(STEP_BYTES);
        filled.resize(whole, 0);
        let (encapsulated, sealed) =
            hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
                &OpModeS::Base,
                &public,
                self.info(word).as_bytes(),
                &filled,
                &[],
            )
            .map_err(|_| NotSealed)?;
        let mut bytes = encapsulated.to_bytes().to_vec();
        bytes.extend(sealed);
        Ok(Sealed { word, key: key.id.clone(), sealed: STANDARD.encode(bytes) })
    }

    /// Opens a word that was sealed for this very place; `None` when it was not.
    fn open(&self, sealed: &Sealed, key: &PrivateKey) -> Option<Zeroizing<String>> {
        let bytes = STANDARD.decode(&sealed.sealed).ok()?;
        let (encapsulated, text) = bytes.split_at_checked(ENCAPSULATED_BYTES)?;
        let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated).ok()?;
        let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            key.secret(),
            &encapsulated,
            self.info(sealed.word).as_bytes(),
            text,
            &[],
        );
        let opened = Zeroizing::new(opened.ok()?);
        let end = opened.iter().rposition(|byte| *byte != 0).filter(|at| opened[*at] == END)?;
        std::str::from_utf8(&opened[..end]).ok().map(|text| Zeroizing::new(text.to_owned()))
    }

    /// What a word is bound to. Ids and digests have no line ends, so that no two places have one text.
    fn info(&self, word: usize) -> String {
        let Self { job, sha256: plugin, masked } = self;
        let line = serde_json::to_vec(masked).unwrap_or_default();
        format!(
            "{DOMAIN}\njob {job}\nplugin {plugin}\nword {word} of {}\nline {}\n",
            masked.len(),
            sha256(&line)
        )
    }
}

#[cfg(test)]
mod tests;
