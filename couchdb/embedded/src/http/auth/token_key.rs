//! Keys that bearer tokens are signed with, made ready for checking.

use crate::options::{TokenAlgorithm, TokenKey};
use spki::{
    ObjectIdentifier, SubjectPublicKeyInfoRef,
    der::{Document, asn1::BitStringRef},
};

/// A key in the configuration that cannot check a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token key {id:?} {problem}")]
pub struct BadTokenKey {
    /// The `kid`.
    pub id: String,
    /// What is wrong with it, and what would be right.
    pub problem: &'static str,
}

/// A key that checks signatures. The kind of it decides which algorithms a token may name: the bytes
/// of a public key never become the secret of an HMAC.
#[derive(Clone)]
pub(crate) enum Checker {
    Hmac(Vec<u8>),
    /// A public key of PKCS #1.
    Rsa(Vec<u8>),
    /// A point of P-256.
    Ec(Vec<u8>),
}

impl std::fmt::Debug for Checker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Checker::Hmac(_) => "Hmac",
            Checker::Rsa(_) => "Rsa",
            Checker::Ec(_) => "Ec",
        })
    }
}

/// RFC 8017, appendix C.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// RFC 5480, section 2.1.1.
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

impl Checker {
    /// Reads a key of the configuration.
    pub(crate) fn read(key: &TokenKey) -> Result<Checker, BadTokenKey> {
        let bad = |problem| BadTokenKey { id: key.id.clone(), problem };
        if key.algorithm == TokenAlgorithm::Hmac {
            return match key.key.as_slice() {
                [] => Err(bad("is empty; give the secret that signs the tokens")),
                secret => Ok(Checker::Hmac(secret.to_vec())),
            };
        }
        let text = str::from_utf8(&key.key).map_err(|_| bad(NOT_PEM))?;
        let (label, document) = Document::from_pem(text.trim()).map_err(|_| bad(NOT_PEM))?;
        if label == "RSA PUBLIC KEY" && key.algorithm == TokenAlgorithm::Rsa {
            return Ok(Checker::Rsa(document.as_bytes().to_vec()));
        }
        if label != "PUBLIC KEY" {
            return Err(bad(NOT_PEM));
        }
        let info = SubjectPublicKeyInfoRef::try_from(document.as_bytes())
            .map_err(|_| bad("is no public key that can be read; make it anew"))?;
        let bits: BitStringRef<'_> = info.subject_public_key;
        let bytes = bits.as_bytes().map(<[u8]>::to_vec);
        let curve = || info.algorithm.parameters_oid().ok();
        match (key.algorithm, info.algorithm.oid, bytes) {
            (TokenAlgorithm::Rsa, RSA, Some(bytes)) => Ok(Checker::Rsa(bytes)),
            (TokenAlgorithm::Rsa, ..) => Err(bad("is not an RSA public key")),
            (_, EC, Some(bytes)) if curve() == Some(P256) => Ok(Checker::Ec(bytes)),
            _ => Err(bad("is not an EC public key of the curve P-256")),
        }
    }
}

const NOT_PEM: &str = "is no public key as PEM; it begins with -----BEGIN PUBLIC KEY-----";

/// Whether every key of the configuration can check tokens.
///
/// # Errors
///
/// The first one that cannot, by its `kid`.
pub(crate) fn check_token_keys(keys: &[TokenKey]) -> Result<(), BadTokenKey> {
    keys.iter().try_for_each(|key| Checker::read(key).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_another_kind_is_refused_by_name() {
        let private = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        for (algorithm, text) in [
            (TokenAlgorithm::Hmac, ""),
            (TokenAlgorithm::Rsa, "secret"),
            (TokenAlgorithm::Ec, private),
            (TokenAlgorithm::Rsa, "-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n"),
        ] {
            let key = TokenKey { id: String::from("k1"), algorithm, key: text.into() };
            let refused = check_token_keys(&[key]).unwrap_err().to_string();
            assert!(refused.starts_with("the token key \"k1\" is "), "{refused}");
        }
    }
}
