//! What a certificate says: who it is for and from, until when, with which key.
//!
//! Certificates are a server's text: every length is checked, every list is bounded, control characters
//! are taken out, and what cannot be read is said to be so. Nothing is verified here: the verdict
//! on the chain is the host's.

mod der;
mod names;

use sha2::{Digest as _, Sha256};

use crate::instant::{Civil, DAY_SECONDS};
use der::{Reader, Tag};
pub(crate) use names::Name;

/// Names of a certificate that are kept. Certificates of large providers have about that many.
pub(crate) const SANS_MAX: usize = 100;

/// A DNS name has at most 253 characters, and a URI that identifies a server is not longer.
const SAN_BYTES_MAX: usize = 256;

/// Serial numbers have at most 20 bytes (RFC 5280, section 4.1.2.2).
const SERIAL_BYTES_MAX: usize = 32;

/// A certificate, as far as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// 3 for all of today.
    pub(crate) version: u8,
    pub(crate) subject: Name,
    pub(crate) issuer: Name,
    /// DNS names, addresses and others of the subject, at most [`SANS_MAX`].
    pub(crate) sans: Vec<String>,
    /// How many more there are.
    pub(crate) sans_left_out: usize,
    pub(crate) not_before: Civil,
    pub(crate) not_after: Civil,
    /// Lower-case hexadecimal, of the first 32 bytes.
    pub(crate) serial: String,
    /// `RSA`, `EC`, `ED25519`, or an object identifier.
    pub(crate) key_type: String,
    pub(crate) key_bits: Option<usize>,
    pub(crate) signature_algorithm: String,
}

/// The SHA-256 of a certificate, in lower-case hexadecimal.
pub(crate) fn fingerprint(der: &[u8]) -> String {
    hexadecimal(&Sha256::digest(der))
}

impl Certificate {
    /// Reads a certificate in DER; `None` when it is not one.
    ///
    /// Source: RFC 5280, section 4.1.
    pub(crate) fn parse(der: &[u8]) -> Option<Self> {
        let mut certificate = Reader::new(der).enter(Tag::SEQUENCE)?;
        let mut body = certificate.enter(Tag::SEQUENCE)?;
        let signature_algorithm = algorithm(certificate.enter(Tag::SEQUENCE)?)?.0;
        let version = match body.enter(Tag::context(0)) {
            Some(mut version) => version.take(Tag::INTEGER)?.first()?.checked_add(1)?,
            None => 1,
        };
        let serial = body.take(Tag::INTEGER)?;
        // A sign.
        let serial = serial.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(serial);
        body.take(Tag::SEQUENCE)?;
        let issuer = Name::parse(body.enter(Tag::SEQUENCE)?)?;
        let mut validity = body.enter(Tag::SEQUENCE)?;
        let (not_before, not_after) = (validity.time()?, validity.time()?);
        let subject = Name::parse(body.enter(Tag::SEQUENCE)?)?;
        let (key_type, key_bits) = key(body.enter(Tag::SEQUENCE)?)?;
        let (sans, sans_left_out) = alternative_names(body).unwrap_or_default();
        Some(Self {
            version,
            subject,
            issuer,
            sans,
            sans_left_out,
            not_before,
            not_after,
            serial: hexadecimal(&serial[..serial.len().min(SERIAL_BYTES_MAX)]),
            key_type,
            key_bits,
            signature_algorithm,
        })
    }

    /// Whole days until it expires, rounded down; negative once it has. `now` in seconds since 1970.
    pub(crate) fn days_left(&self, now: i64) -> i64 {
        (self.not_after.seconds() - now).div_euclid(DAY_SECONDS)
    }
}

/// An algorithm's name, and the reader at its parameters.
fn algorithm(mut identifier: Reader<'_>) -> Option<(String, Reader<'_>)> {
    let id = der::object_identifier(identifier.take(Tag::OBJECT_IDENTIFIER)?)?;
    let name = SIGNATURE_NAMES.iter().find(|(known, _)| *known == id);
    Some((name.map_or(id, |(_, name)| (*name).to_owned()), identifier))
}

/// Names as OpenSSL writes them.
const SIGNATURE_NAMES: &[(&str, &str)] = &[
    ("1.2.840.113549.1.1.5", "sha1WithRSAEncryption"),
    ("1.2.840.113549.1.1.10", "rsassaPss"),
    ("1.2.840.113549.1.1.11", "sha256WithRSAEncryption"),
    ("1.2.840.113549.1.1.12", "sha384WithRSAEncryption"),
    ("1.2.840.113549.1.1.13", "sha512WithRSAEncryption"),
    ("1.2.840.10045.4.3.2", "ecdsa-with-SHA256"),
    ("1.2.840.10045.4.3.3", "ecdsa-with-SHA384"),
    ("1.2.840.10045.4.3.4", "ecdsa-with-SHA512"),
    ("1.3.101.112", "ED25519"),
    ("1.3.101.113", "ED448"),
    ("2.16.840.1.101.3.4.3.17", "ML-DSA-44"),
    ("2.16.840.1.101.3.4.3.18", "ML-DSA-65"),
    ("2.16.840.1.101.3.4.3.19", "ML-DSA-87"),
];

const CURVE_BITS: &[(&str, usize)] =
    &[("1.2.840.10045.3.1.7", 256), ("1.3.132.0.34", 384), ("1.3.132.0.35", 521)];

/// The type and the size of a public key.
fn key(mut info: Reader<'_>) -> Option<(String, Option<usize>)> {
    const RSA: &str = "1.2.840.113549.1.1.1";
    const EC: &str = "1.2.840.10045.2.1";
    let (name, mut parameters) = algorithm(info.enter(Tag::SEQUENCE)?)?;
    let bits = info.take(Tag::BIT_STRING)?;
    Some(match name.as_str() {
        RSA => ("RSA".to_owned(), bits.get(1..).and_then(rsa_bits)),
        EC => {
            let curve = parameters.take(Tag::OBJECT_IDENTIFIER).and_then(der::object_identifier);
            let known = CURVE_BITS.iter().find(|(known, _)| Some(*known) == curve.as_deref());
            ("EC".to_owned(), known.map(|(_, bits)| *bits))
        }
        "ED25519" => (name, Some(256)),
        "ED448" => (name, Some(456)),
        _ => (name, None),
    })
}

/// The length of the modulus.
fn rsa_bits(key: &[u8]) -> Option<usize> {
    let modulus = Reader::new(key).enter(Tag::SEQUENCE)?.take(Tag::INTEGER)?;
    let start = modulus.iter().position(|&byte| byte != 0)?;
    let first = usize::try_from(modulus[start].leading_zeros()).ok()?;
    Some((modulus.len() - start) * 8 - first)
}

/// The subject's other names, and how many were left out; `None` when there are none.
fn alternative_names(mut body: Reader<'_>) -> Option<(Vec<String>, usize)> {
    const SUBJECT_ALT_NAME: &str = "2.5.29.17";
    for unique_id in [1, 2] {
        body.take(Tag::context_primitive(unique_id));
    }
    let mut extensions = body.enter(Tag::context(3))?.enter(Tag::SEQUENCE)?;
    let mut list = loop {
        let mut extension = extensions.enter(Tag::SEQUENCE)?;
        let id = der::object_identifier(extension.take(Tag::OBJECT_IDENTIFIER)?)?;
        extension.take(Tag::BOOLEAN);
        let value = extension.take(Tag::OCTET_STRING)?;
        if id == SUBJECT_ALT_NAME {
            break Reader::new(value).enter(Tag::SEQUENCE)?;
        }
    };
    let (mut names, mut left_out) = (Vec::new(), 0);
    while let Some((tag, content)) = list.next() {
        if names.len() == SANS_MAX {
            left_out += 1;
        } else if let Some(name) = names::alternative(tag, content, SAN_BYTES_MAX) {
            names.push(name);
        }
    }
    Some((names, left_out))
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
pub(crate) mod tests;
