//! The order of keys: JSON becomes bytes whose order (`memcmp`) is the order of CouchDB's views.
//!
//! SQLite can then range over keys without a collation of its own. The bytes cannot be read back; an
//! index keeps the text of a key beside them.
//!
//! Source: CouchDB documentation, "Views Collation"; `couch_ejson_compare.c` (members of objects are
//! compared in the order in which they were written) and, for `raw`, the order of Erlang's terms.

use crate::{document::check::NotJson, unicode::ROOT};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Which order a view has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Collation {
    /// null, false, true, numbers, texts as the root collation of Unicode has them, lists, objects.
    #[default]
    Unicode,
    /// `options.collation` is `raw`: numbers, false, null, true, objects, lists, texts by their bytes.
    Raw,
}

/// Ends a text, a list or an object. Smaller than every tag, so that a prefix comes first.
const END: u8 = 0;

/// What stands before each value, in the order of their kinds.
#[derive(Clone, Copy)]
enum Kind {
    Null,
    False,
    True,
    Number,
    Text,
    List,
    Object,
}

impl Collation {
    fn tag(self, kind: Kind) -> u8 {
        match self {
            Collation::Unicode => match kind {
                Kind::Null => 1,
                Kind::False => 2,
                Kind::True => 3,
                Kind::Number => 4,
                Kind::Text => 5,
                Kind::List => 6,
                Kind::Object => 7,
            },
            Collation::Raw => match kind {
                Kind::Number => 1,
                Kind::False => 2,
                Kind::Null => 3,
                Kind::True => 4,
                Kind::Object => 5,
                Kind::List => 6,
                Kind::Text => 7,
            },
        }
    }

    /// The bytes of a key.
    ///
    /// # Errors
    ///
    /// The text is no JSON, or nested more deeply than 128 levels.
    pub(crate) fn encode(self, json: &str) -> Result<Vec<u8>, NotJson> {
        let mut bytes = Vec::with_capacity(json.len() + 16);
        let mut reader = serde_json::Deserializer::from_str(json);
        let encoder = Encoder { collation: self, bytes: &mut bytes };
        encoder.deserialize(&mut reader).map_err(|_| NotJson)?;
        reader.end().map_err(|_| NotJson)?;
        Ok(bytes)
    }

    /// The bytes of the first `level` elements of a list; None when the key is no list, or shorter.
    pub(crate) fn prefix(self, key: &[u8], level: usize) -> Option<&[u8]> {
        let list = key.strip_prefix(&[self.tag(Kind::List)])?;
        let mut at = 0;
        for _ in 0..level {
            if list.get(at).copied().unwrap_or(END) == END {
                return None;
            }
            at = self.skip(list, at);
        }
        key.get(..=at)
    }

    /// Where the value that begins at `at` ends.
    fn skip(self, bytes: &[u8], at: usize) -> usize {
        let Some(tag) = bytes.get(at).copied() else { return bytes.len() };
        let mut at = at + 1;
        if tag == self.tag(Kind::Number) {
            return at + NUMBER_BYTES;
        }
        if tag == self.tag(Kind::Text) {
            return self.skip_text(bytes, at);
        }
        if tag == self.tag(Kind::List) || tag == self.tag(Kind::Object) {
            // The names of an object are values too, so that both are skipped alike.
            while bytes.get(at).copied().unwrap_or(END) != END {
                at = self.skip(bytes, at);
            }
            return at + 1;
        }
        at
    }

    fn skip_text(self, bytes: &[u8], mut at: usize) -> usize {
        while at < bytes.len() {
            if bytes[at] == END {
                match self {
                    Collation::Raw if bytes.get(at + 1) == Some(&ESCAPED) => at += 1,
                    Collation::Raw => return at + 2,
                    Collation::Unicode => return at + 1,
                }
            }
            at += 1;
        }
        at
    }
}

/// A number is a double and what the double lacks of an integer.
const NUMBER_BYTES: usize = 10;

/// In a raw text a zero byte is followed by this one, and its end by another [`END`].
const ESCAPED: u8 = 0xff;

/// Writes one value.
struct Encoder<'a> {
    collation: Collation,
    bytes: &'a mut Vec<u8>,
}

impl Encoder<'_> {
    fn put(&mut self, kind: Kind) {
        self.bytes.push(self.collation.tag(kind));
    }

    fn text(&mut self, text: &str) {
        self.put(Kind::Text);
        match self.collation {
            Collation::Unicode => {
                // The sink is a Vec, which takes everything; a sort key has no zero byte.
                let Ok(()) = ROOT.write_sort_key_to(text, self.bytes);
            }
            Collation::Raw => {
                for byte in text.bytes() {
                    self.bytes.push(byte);
                    if byte == END {
                        self.bytes.push(ESCAPED);
                    }
                }
                self.bytes.push(END);
            }
        }
        self.bytes.push(END);
    }

    /// Integers are compared exactly, with each other and with doubles: rounding to a double keeps the
    /// order, and what it took away decides among those that became the same one.
    fn number(&mut self, nearest: f64, lacks: i16) {
        self.put(Kind::Number);
        // Minus zero is zero.
        let bits = (nearest + 0.0).to_bits();
        let ordered = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
        self.bytes.extend_from_slice(&ordered.to_be_bytes());
        self.bytes.extend_from_slice(&(lacks.cast_unsigned() ^ 1 << 15).to_be_bytes());
    }

    fn integer(&mut self, integer: i128) {
        let nearest = nearest(integer);
        // Within 2^64 a double is at most 1024 away.
        #[expect(clippy::cast_possible_truncation, reason = "it is an integer below 2^65")]
        let lacks = integer - nearest as i128;
        self.number(nearest, i16::try_from(lacks).unwrap_or(0));
    }
}

/// The double that is nearest to an integer.
#[expect(clippy::cast_precision_loss, reason = "the rest is written beside it")]
fn nearest(integer: i128) -> f64 {
    integer as f64
}

impl<'de> DeserializeSeed<'de> for Encoder<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Encoder<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(mut self) -> Result<(), E> {
        self.put(Kind::Null);
        Ok(())
    }

    fn visit_bool<E>(mut self, value: bool) -> Result<(), E> {
        self.put(if value { Kind::True } else { Kind::False });
        Ok(())
    }

    fn visit_i64<E>(mut self, value: i64) -> Result<(), E> {
        self.integer(value.into());
        Ok(())
    }

    fn visit_u64<E>(mut self, value: u64) -> Result<(), E> {
        self.integer(value.into());
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(mut self, value: f64) -> Result<(), E> {
        if value.is_nan() {
            return Err(E::custom("not a number"));
        }
        self.number(value, 0);
        Ok(())
    }

    fn visit_str<E>(mut self, text: &str) -> Result<(), E> {
        self.text(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        self.put(Kind::List);
        let collation = self.collation;
        while list.next_element_seed(Encoder { collation, bytes: self.bytes })?.is_some() {}
        self.bytes.push(END);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.put(Kind::Object);
        let collation = self.collation;
        while map.next_key_seed(Encoder { collation, bytes: self.bytes })?.is_some() {
            map.next_value_seed(Encoder { collation, bytes: self.bytes })?;
        }
        self.bytes.push(END);
        Ok(())
    }
}

#[cfg(test)]
#[path = "collation_tests.rs"]
mod tests;
