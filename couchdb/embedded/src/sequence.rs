//! Update sequences: numbers inside, opaque texts outside.
//!
//! A text is `N-` and 16 hexadecimal digits of the database's own identity. A sequence of another
//! database, or of one that was deleted and made again, is therefore recognised, and read as zero:
//! CouchDB does the same, and the reader sees all changes instead of missing some.

use std::fmt;

/// The position in a database's history, 0 before the first change.
pub(crate) type Sequence = u64;

/// What tells one database from every other, also from a later one of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity(pub(crate) u64);

/// A sequence with the database that it belongs to: what clients see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) sequence: Sequence,
    pub(crate) identity: Identity,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.sequence, self.identity.0)
    }
}

impl serde::Serialize for Token {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where a reader of changes wants to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// After this position.
    Sequence(Sequence),
    /// After everything that is there now.
    Now,
}

/// A text that no server of ours ever gave out. Its text is CouchDB's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Malformed sequence supplied in 'since' parameter.")]
pub(crate) struct Malformed;

/// Reads `since` for the database of this identity.
pub(crate) fn read_since(text: &str, identity: Identity) -> Result<Since, Malformed> {
    let text = text.trim_matches('"');
    match text {
        "now" => return Ok(Since::Now),
        "0" | "" => return Ok(Since::Sequence(0)),
        _ => {}
    }
    let (sequence, of) = text.split_once('-').ok_or(Malformed)?;
    if of.len() != 16 || !sequence.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed);
    }
    let sequence = sequence.parse().map_err(|_| Malformed)?;
    let of = u64::from_str_radix(of, 16).map_err(|_| Malformed)?;
    Ok(Since::Sequence(if Identity(of) == identity { sequence } else { 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_opaque_and_belong_to_one_database() {
        let identity = Identity(0xab);
        let token = Token { sequence: 7, identity }.to_string();
        assert_eq!(token, "7-00000000000000ab");
        for (text, read) in [
            (token.as_str(), Ok(Since::Sequence(7))),
            ("now", Ok(Since::Now)),
            ("0", Ok(Since::Sequence(0))),
            // Of another database: everything again rather than something missed.
            ("7-00000000000000ac", Ok(Since::Sequence(0))),
            ("x", Err(Malformed)),
            ("7", Err(Malformed)),
            ("99-abc", Err(Malformed)),
            ("+7-00000000000000ab", Err(Malformed)),
        ] {
            assert_eq!(read_since(text, identity), read, "{text}");
        }
    }
}
