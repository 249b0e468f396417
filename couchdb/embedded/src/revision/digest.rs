//! The hash of a new revision, as CouchDB computes it.
//!
//! It is the MD5 of `[Deleted, OldStart, OldHash, Body, Attachments]` in Erlang's external term format.
//! The same edit of the same revision therefore has the same name here and on an Apache CouchDB, and
//! replicas that both made it agree without a conflict.
//!
//! There are exceptions, after which the same edit makes a conflict: an attachment of a type that is
//! compressed (`text/*`, JSON, JavaScript and XML; the digest is that of the compressed bytes, which
//! are the same on both sides only of short texts), a document with attachments that begins again after
//! its deletion, an object with a member twice, `-0`, and integers beyond 64 bits, which are hashed as
//! doubles here.
//!
//! Source: `couch_db:new_revid/1` of CouchDB 3.5; Erlang documentation, "External Term Format".

use super::{Hash, Revision};
use crate::document::attachment::{Attachment, BASE64};
use base64::Engine as _;
use md5::{Digest as _, Md5};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

const VERSION: u8 = 131;
const SMALL_INTEGER: u8 = 97;
const INTEGER: u8 = 98;
const NEW_FLOAT: u8 = 70;
const ATOM: u8 = 100;
const SMALL_TUPLE: u8 = 104;
const NIL: u8 = 106;
/// A list of up to 65535 bytes, which is what Erlang makes of a list of small integers.
const STRING: u8 = 107;
const LIST: u8 = 108;
const BINARY: u8 = 109;
const SMALL_BIG: u8 = 110;

/// The hash of the revision that follows `parent`. `body` is the text of an object.
pub(crate) fn digest(
    parent: Option<&Revision>,
    deleted: bool,
    body: &str,
    attachments: &[Attachment],
) -> Hash {
    let mut term = Vec::with_capacity(body.len() + 64);
    term.push(VERSION);
    list(&mut term, 5);
    atom(&mut term, if deleted { "true" } else { "false" });
    match parent {
        None => {
            integer(&mut term, 0);
            integer(&mut term, 0);
        }
        Some(parent) => {
            integer(&mut term, i128::from(parent.generation));
            binary(&mut term, parent.hash.as_bytes());
        }
    }
    let mut json = serde_json::Deserializer::from_str(body);
    if Encode(&mut term).deserialize(&mut json).is_err() {
        // The body was checked when it came; its bytes would name it as well.
        binary(&mut term, body.as_bytes());
    }
    if !attachments.is_empty() {
        list(&mut term, attachments.len());
    }
    // CouchDB gathers them with a fold, which turns the list round.
    for attachment in attachments.iter().rev() {
        term.extend_from_slice(&[SMALL_TUPLE, 3]);
        binary(&mut term, attachment.name.as_bytes());
        binary(&mut term, attachment.content_type.as_bytes());
        let digest = attachment.digest.strip_prefix("md5-").unwrap_or(&attachment.digest);
        binary(&mut term, &BASE64.decode(digest).unwrap_or_default());
    }
    // One ends the attachments, one the list of five.
    term.extend_from_slice(&[NIL, NIL]);
    Hash::Digest(Md5::digest(&term).into())
}

/// Appends a JSON text as the term that CouchDB makes of it; false when it is no JSON.
pub(crate) fn append_term(term: &mut Vec<u8>, json: &str) -> bool {
    let mut json = serde_json::Deserializer::from_str(json);
    Encode(term).deserialize(&mut json).is_ok()
}

fn length(length: usize) -> [u8; 4] {
    // No document has four billion of anything.
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

fn list(term: &mut Vec<u8>, count: usize) {
    term.push(LIST);
    term.extend_from_slice(&length(count));
}

fn binary(term: &mut Vec<u8>, bytes: &[u8]) {
    term.push(BINARY);
    term.extend_from_slice(&length(bytes.len()));
    term.extend_from_slice(bytes);
}

fn atom(term: &mut Vec<u8>, name: &str) {
    let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
    term.extend_from_slice(&[ATOM, 0, length]);
    term.extend_from_slice(name.as_bytes());
}

fn integer(term: &mut Vec<u8>, number: i128) {
    if let Ok(small) = u8::try_from(number) {
        term.extend_from_slice(&[SMALL_INTEGER, small]);
    } else if let Ok(number) = i32::try_from(number) {
        term.push(INTEGER);
        term.extend_from_slice(&number.to_be_bytes());
    } else {
        let bytes = number.unsigned_abs().to_le_bytes();
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let count = u8::try_from(used).unwrap_or(u8::MAX);
        term.extend_from_slice(&[SMALL_BIG, count, u8::from(number < 0)]);
        term.extend_from_slice(&bytes[..used]);
    }
}

/// Appends a JSON value as a term, as it is read.
struct Encode<'a>(&'a mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Encode<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Encode<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        atom(self.0, "null");
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        atom(self.0, if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        integer(self.0, i128::from(value));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        integer(self.0, i128::from(value));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.0.push(NEW_FLOAT);
        self.0.extend_from_slice(&value.to_be_bytes());
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        binary(self.0, value.as_bytes());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let term = self.0;
        let start = term.len();
        list(term, 0);
        let mut count = 0;
        while seq.next_element_seed(Encode(term))?.is_some() {
            count += 1;
        }
        close(term, start, count);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let term = self.0;
        term.extend_from_slice(&[SMALL_TUPLE, 1]);
        let start = term.len();
        list(term, 0);
        let mut count = 0;
        loop {
            let pair = term.len();
            term.extend_from_slice(&[SMALL_TUPLE, 2]);
            if map.next_key_seed(Encode(term))?.is_none() {
                term.truncate(pair);
                break;
            }
            map.next_value_seed(Encode(term))?;
            count += 1;
        }
        close(term, start, count);
        Ok(())
    }
}

/// Ends the list that was begun at `start`, in the form that Erlang would choose.
fn close(term: &mut Vec<u8>, start: usize, count: usize) {
    let first = start + 5;
    if count == 0 {
        term.truncate(start);
        term.push(NIL);
        return;
    }
    let elements = &term[first..];
    let all_bytes = elements.len() == count * 2
        && elements.chunks_exact(2).all(|element| element[0] == SMALL_INTEGER);
    match u16::try_from(count) {
        Ok(short) if all_bytes => {
            let bytes: Vec<u8> = elements.chunks_exact(2).map(|element| element[1]).collect();
            term.truncate(start);
            term.push(STRING);
            term.extend_from_slice(&short.to_be_bytes());
            term.extend_from_slice(&bytes);
        }
        _ => {
            term[start + 1..first].copy_from_slice(&length(count));
            term.push(NIL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The revisions that every CouchDB gives to empty documents and their followers.
    #[test]
    fn empty_documents_have_the_revisions_that_couchdb_gives_them() {
        let next = |parent: Option<&Revision>, deleted| {
            let generation = parent.map_or(1, |parent| parent.generation + 1);
            Revision::new(generation, digest(parent, deleted, "{}", &[]))
        };
        let first = next(None, false);
        assert_eq!(first.to_string(), "1-967a00dff5e02add41819138abb3284d");
        let second = next(Some(&first), false);
        assert_eq!(second.to_string(), "2-7051cbe5c8faecd085a3fa619e6e6337");
        assert_eq!(next(Some(&second), false).to_string(), "3-825cb35de44c433bfb2df415563a19de");
        let deleted = next(Some(&first), true);
        assert_eq!(deleted.to_string(), "2-eec205a9d413992850a6e32678485900");
    }

    #[test]
    fn values_become_the_terms_of_erlang() {
        let encoded = |json: &str| {
            let mut term = Vec::new();
            let mut reader = serde_json::Deserializer::from_str(json);
            Encode(&mut term).deserialize(&mut reader).unwrap();
            term
        };
        for (json, term) in [
            ("null", &[100, 0, 4, b'n', b'u', b'l', b'l'][..]),
            ("255", &[97, 255]),
            ("256", &[98, 0, 0, 1, 0]),
            ("-1", &[98, 255, 255, 255, 255]),
            ("4294967296", &[110, 5, 0, 0, 0, 0, 0, 1]),
            ("-4294967296", &[110, 5, 1, 0, 0, 0, 0, 1]),
            ("1.5", &[70, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0]),
            ("[]", &[106]),
            ("[1,2]", &[107, 0, 2, 1, 2]),
            ("[1,256]", &[108, 0, 0, 0, 2, 97, 1, 98, 0, 0, 1, 0, 106]),
            ("[[]]", &[108, 0, 0, 0, 1, 106, 106]),
            ("{}", &[104, 1, 106]),
            ("{\"a\":1}", &[104, 1, 108, 0, 0, 0, 1, 104, 2, 109, 0, 0, 0, 1, b'a', 97, 1, 106]),
        ] {
            assert_eq!(encoded(json), term, "{json}");
        }
    }
}
