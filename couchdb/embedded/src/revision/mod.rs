//! A revision, `generation-hash`: how it is read, written and ordered.
//!
//! [`tree`] holds what one document went through, [`codec`] is its form on disk, [`digest`]
//! makes the hash of a new one. Nothing here knows
//! SQLite or HTTP.

pub(crate) mod codec;
pub(crate) mod digest;
pub(crate) mod tree;
#[cfg(test)]
mod tree_properties;

use std::{cmp::Ordering, fmt, str::FromStr};

/// The longest hash that is read from outside, in bytes. CouchDB's own have 32 characters.
pub(crate) const HASH_BYTES_MAX: usize = 250;

/// One revision of one document.
///
/// The order is the one that decides conflicts: generation first, then the bytes of the hash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Revision {
    /// How many edits led here, 1 for the first; 0 only in what a client sends.
    pub(crate) generation: u64,
    /// What tells revisions of one generation apart.
    pub(crate) hash: Hash,
}

impl Revision {
    pub(crate) fn new(generation: u64, hash: Hash) -> Revision {
        Revision { generation, hash }
    }

    /// Whether the text is a revision for CouchDB, of a generation that nothing here can have.
    pub(crate) fn is_beyond(text: &str) -> bool {
        let Some((generation, _)) = text.split_once('-') else { return false };
        let is_number = !generation.is_empty() && generation.bytes().all(|b| b.is_ascii_digit());
        is_number && generation.parse().map_or(true, |number: u64| number > GENERATION_MAX)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.generation, self.hash)
    }
}

impl FromStr for Revision {
    type Err = BadRevision;

    fn from_str(text: &str) -> Result<Revision, BadRevision> {
        let (generation, hash) = text.split_once('-').ok_or(BadRevision)?;
        // `u64::from_str` would also take a sign.
        if generation.is_empty() || !generation.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(BadRevision);
        }
        let generation: u64 = generation.parse().map_err(|_| BadRevision)?;
        if generation > GENERATION_MAX {
            return Err(BadRevision);
        }
        Ok(Revision { generation, hash: hash.parse()? })
    }
}

/// Generations are counted in SQLite's signed integers and must still grow.
const GENERATION_MAX: u64 = 1 << 48;

/// A text that is no revision. Its text is the reason that CouchDB gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid rev format")]
pub(crate) struct BadRevision;

/// The second half of a revision.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Hash {
    /// 32 hexadecimal digits: what CouchDB and this server make.
    Digest([u8; 16]),
    /// Anything else that a replicating client brought.
    Text(Box<str>),
}

impl Hash {
    /// The bytes that conflicts are decided by, as CouchDB compares them: a digest as its 16 bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Hash::Digest(bytes) => bytes,
            Hash::Text(text) => text.as_bytes(),
        }
    }
}

impl PartialOrd for Hash {
    fn partial_cmp(&self, other: &Hash) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Hash {
    fn cmp(&self, other: &Hash) -> Ordering {
        // A digest and a text of the same bytes are two hashes, so the order must part them too.
        let kind = |hash: &Hash| matches!(hash, Hash::Text(_));
        self.as_bytes().cmp(other.as_bytes()).then_with(|| kind(self).cmp(&kind(other)))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hash::Digest(bytes) => f.write_str(&hex(bytes)),
            Hash::Text(text) => f.write_str(text),
        }
    }
}

impl FromStr for Hash {
    type Err = BadRevision;

    fn from_str(text: &str) -> Result<Hash, BadRevision> {
        if text.len() > HASH_BYTES_MAX {
            return Err(BadRevision);
        }
        if text.len() != 32 {
            return Ok(Hash::Text(text.into()));
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Hash::Digest(bytes))
    }
}

fn nibble(digit: u8) -> Result<u8, BadRevision> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(BadRevision),
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS[usize::from(nibble)];
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_read_as_couchdb_reads_them() {
        for (text, read) in [
            ("1-abc", Some("1-abc")),
            ("0-0", Some("0-0")),
            ("12-00000000000000000000000000ABCDEF", Some("12-00000000000000000000000000abcdef")),
            ("1-xyz", Some("1-xyz")),
            ("1-a-b", Some("1-a-b")),
            ("garbage", None),
            ("", None),
            ("1-", Some("1-")),
            ("-", None),
            ("-a", None),
            ("+1-a", None),
            ("x-1", None),
            ("99999999999999999999-a", None),
            ("1-zz000000000000000000000000000000", None),
        ] {
            let got = text.parse::<Revision>().ok().map(|revision| revision.to_string());
            assert_eq!(got.as_deref(), read, "{text:?}");
        }
    }

    #[test]
    fn the_generation_decides_before_the_hash() {
        let order = |a: &str, b: &str| {
            let (a, b): (Revision, Revision) = (a.parse().unwrap(), b.parse().unwrap());
            a < b
        };
        assert!(order("9-fff", "10-001"));
        assert!(order("1-abb", "1-bbb"));
        // Compared as bytes, not as text: 0x00.. is less than any letter.
        assert!(order("1-00000000000000000000000000000001", "1-0"));
    }
}
