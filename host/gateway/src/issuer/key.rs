//! The keys that tokens are signed with: a file each. The first one signs; the others still prove tokens that were
//! signed before, until those are over.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use ring::{digest, hmac};
use serde_json::{Map, Value, json};

/// The fewest characters of a secret: as many bits as the digest that it keys.
const SECRET_BYTES_MIN: usize = 32;

/// Why a file has no key.
#[derive(Debug, thiserror::Error)]
pub enum BadKey {
    /// The file.
    #[error("cannot read the issuer's key '{}': {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its content.
    #[error("the issuer's key '{}' {problem}", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What is wrong with it, and what would be right.
        problem: &'static str,
    },
    /// There is none.
    #[error("an issuer needs a key")]
    None,
}

/// The keys of an issuer.
#[derive(Debug)]
pub struct Keys(Vec<Key>);

struct Key {
    /// `kid`: the name of the file without its extension.
    id: String,
    signer: Signer,
}

enum Signer {
    /// ES256: the stores have only the public half.
    Ec(Box<EcdsaKeyPair>),
    /// HS256: whoever reads the store's configuration can sign.
    Hmac(hmac::Key),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Keys {
    /// Reads the files; the first one signs.
    ///
    /// # Errors
    ///
    /// [`BadKey`] for the first one that is none.
    pub fn read(files: &[PathBuf]) -> Result<Self, BadKey> {
        let keys = files.iter().map(|file| Key::read(file)).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(BadKey::None) } else { Ok(Self(keys)) }
    }

    /// The `kid` of the one that signs.
    pub(crate) fn id(&self) -> &str {
        self.0.first().map_or("", |key| &key.id)
    }

    /// A JSON Web Token (RFC 7519) of these claims; `None` when the system gives no random numbers.
    pub(crate) fn sign(&self, claims: &Value) -> Option<String> {
        let key = self.0.first()?;
        let head = json!({"typ": "JWT", "alg": key.algorithm(), "kid": key.id});
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&head), encode(claims));
        let signature = match &key.signer {
            Signer::Hmac(secret) => hmac::sign(secret, signed.as_bytes()).as_ref().to_vec(),
            Signer::Ec(pair) => {
                pair.sign(&SystemRandom::new(), signed.as_bytes()).ok()?.as_ref().to_vec()
            }
        };
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The claims of a token that one of the keys has signed, whenever.
    pub(crate) fn claims(&self, token: &str) -> Option<Map<String, Value>> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (head, claims) = signed.split_once('.')?;
        let head = object(head)?;
        let id = head.get("kid").and_then(Value::as_str);
        let key = self.0.iter().find(|key| Some(key.id.as_str()) == id)?;
        // The key decides how it is signed, and never the token.
        if head.get("alg").and_then(Value::as_str) != Some(key.algorithm()) {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        match &key.signer {
            Signer::Hmac(secret) => hmac::verify(secret, signed.as_bytes(), &signature).ok()?,
            Signer::Ec(pair) => {
                let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key());
                public.verify(signed.as_bytes(), &signature).ok()?;
            }
        }
        object(claims)
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

impl Key {
    fn read(path: &Path) -> Result<Self, BadKey> {
        let bad = |problem| BadKey::Unusable { path: path.to_owned(), problem };
        let text = std::fs::read_to_string(path)
            .map_err(|source| BadKey::Unreadable { path: path.to_owned(), source })?;
        let id = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let is_id = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if id.is_empty() || !id.bytes().all(is_id) {
            return Err(bad("needs a file name of letters, digits and -: it is the key's id"));
        }
        let text = text.trim();
        let signer = if let Some(pem) = pem(text, "PRIVATE KEY") {
            let pair = EcdsaKeyPair::from_pkcs8(
                &ECDSA_P256_SHA256_FIXED_SIGNING,
                &pem,
                &SystemRandom::new(),
            );
            Signer::Ec(Box::new(pair.map_err(|_| bad(NOT_P256))?))
        } else if text.starts_with("-----BEGIN") {
            return Err(bad(NOT_P256));
        } else if text.len() < SECRET_BYTES_MIN || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(bad(
                "is no secret of 32 or more visible characters, and no PEM; 'openssl rand -hex 32' makes one",
            ));
        } else {
            Signer::Hmac(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()))
        };
        Ok(Self { id: id.to_owned(), signer })
    }

    fn algorithm(&self) -> &'static str {
        match self.signer {
            Signer::Ec(_) => "ES256",
            Signer::Hmac(_) => "HS256",
        }
    }
}

const NOT_P256: &str = "is no private key of the curve P-256 in PKCS #8 ('openssl genpkey -algorithm EC -pkeyopt \
     ec_paramgen_curve:P-256')";

/// What is between the lines of a PEM with this label.
pub(super) fn pem(text: &str, label: &str) -> Option<Vec<u8>> {
    let body = text.trim().strip_prefix(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = body.split_once(&format!("-----END {label}-----"))?;
    let body: String = body.split_whitespace().collect();
    STANDARD.decode(body).ok()
}

/// A digest for logs: enough to tell two tokens apart.
pub(super) fn short_digest(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().iter().take(4).map(|b| format!("{b:02x}")).collect()
}
