//! Who an EC2 instance is: its identity document, which AWS has signed.
//!
//! The signature is that of `/latest/dynamic/instance-identity/signature`: RSA with SHA-256 over the document as it was
//! served. The certificates of some regions have 1,024 bits, which nothing else would be let pass with. A document is
//! the same for as long as the instance lives: who reads the metadata of an instance can join as it. Plugins cannot.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};
use serde::Deserialize;

use super::key::pem;

/// The longest document, in bytes: a real one has 500.
const DOCUMENT_BYTES_MAX: usize = 8 << 10;

/// Whom of EC2 an issuer lets join.
#[derive(Clone)]
pub struct Ec2 {
    /// RSA public keys (PKCS #1) of the certificates.
    keys: Vec<Vec<u8>>,
    /// Ids of accounts: AWS signs the documents of all its customers.
    accounts: Vec<String>,
    /// Names of AWS's regions; none is all.
    regions: Vec<String>,
}

impl fmt::Debug for Ec2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keys, accounts, regions } = self;
        let mut debug = f.debug_struct("Ec2");
        debug.field("keys", &keys.len()).field("accounts", accounts).field("regions", regions);
        debug.finish()
    }
}

/// Why no instance can be let in.
#[derive(Debug, thiserror::Error)]
pub enum BadEc2 {
    /// The file.
    #[error("cannot read the EC2 certificate '{}': {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its content.
    #[error("'{}' is neither a certificate nor a public key of RSA in PEM", path.display())]
    NotAKey {
        /// Which.
        path: PathBuf,
    },
    /// Nobody is named.
    #[error(
        "name the AWS accounts whose instances may join (--ec2-account ID): AWS signs for all its customers"
    )]
    NoAccount,
}

/// What is taken from a document.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    account_id: String,
    region: String,
    instance_id: String,
}

/// An instance that was proved.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Instance {
    /// `i-...`.
    pub(super) id: String,
    /// AWS's name of its region.
    pub(super) region: String,
}

impl Ec2 {
    /// Reads the certificates.
    ///
    /// # Errors
    ///
    /// [`BadEc2`].
    pub fn read(
        certificates: &[PathBuf],
        accounts: Vec<String>,
        regions: Vec<String>,
    ) -> Result<Self, BadEc2> {
        if accounts.is_empty() {
            return Err(BadEc2::NoAccount);
        }
        let keys = certificates.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
        Ok(Self { keys, accounts, regions })
    }

    /// The instance of a document, or why it may not join.
    pub(super) fn check(&self, document: &str, signature: &str) -> Result<Instance, String> {
        if document.len() > DOCUMENT_BYTES_MAX {
            return Err(format!("an identity document has at most {DOCUMENT_BYTES_MAX} bytes"));
        }
        let signature: String = signature.split_whitespace().collect();
        let signature = STANDARD.decode(signature).map_err(|_| "the signature is no base64")?;
        let is_of = |key: &Vec<u8>| {
            let scheme = &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY;
            UnparsedPublicKey::new(scheme, key).verify(document.as_bytes(), &signature).is_ok()
        };
        if !self.keys.iter().any(is_of) {
            return Err("the identity document is not signed by a certificate that this gateway \
                        was given (--ec2-certificate)"
                .to_owned());
        }
        let document: Document = serde_json::from_str(document)
            .map_err(|error| format!("the identity document cannot be read: {error}"))?;
        let Document { account_id, region, instance_id } = document;
        if !self.accounts.contains(&account_id) {
            return Err(format!("instances of account {account_id} may not join (--ec2-account)"));
        }
        if !self.regions.is_empty() && !self.regions.contains(&region) {
            return Err(format!("instances in {region} may not join (--ec2-region)"));
        }
        Ok(Instance { id: instance_id, region })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, BadEc2> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| BadEc2::Unreadable { path: path.to_owned(), source })?;
    let key = match (pem(&text, "PUBLIC KEY"), pem(&text, "CERTIFICATE")) {
        (Some(info), _) => key_of(&info).map(<[u8]>::to_vec),
        (None, Some(certificate)) => key_in(&certificate).map(<[u8]>::to_vec),
        (None, None) => None,
    };
    key.ok_or_else(|| BadEc2::NotAKey { path: path.to_owned() })
}

/// Tags of DER (X.690).
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// rsaEncryption, RFC 8017, appendix C, as DER has it.
const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// The public key in a certificate (RFC 5280, section 4.1). Nothing else of it counts: it is the operator's own file.
fn key_in(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = part(certificate, SEQUENCE)?;
    let (mut body, _) = part(certificate, SEQUENCE)?;
    if let Some((_, rest)) = part(body, VERSION) {
        body = rest;
    }
    (_, body) = part(body, INTEGER)?;
    // Algorithm, issuer, validity, subject.
    for _ in 0..4 {
        (_, body) = part(body, SEQUENCE)?;
    }
    key_of(body)
}

/// The RSA key in a `SubjectPublicKeyInfo`.
fn key_of(info: &[u8]) -> Option<&[u8]> {
    let (info, _) = part(info, SEQUENCE)?;
    let (algorithm, rest) = part(info, SEQUENCE)?;
    let (bits, _) = part(rest, BIT_STRING)?;
    // The first byte says how many bits of the last are none.
    algorithm.starts_with(RSA).then_some(bits).and_then(|bits| bits.strip_prefix(&[0]))
}

/// The content of the first value, which must have this tag, and what follows it.
fn part(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
        // Nothing here is longer than two bytes can say.
        length = match *bytes {
            [a] => usize::from(a),
            [a, b] => usize::from(u16::from_be_bytes([a, b])),
            _ => return None,
        };
        rest = after;
    }
    if found != tag { None } else { rest.split_at_checked(length) }
}

#[cfg(test)]
mod tests;
