//! Names in certificates: those of subject and issuer, and the subject's other ones, as clean text.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::der::{self, Reader, Tag};

/// Parts of a name that are kept: public certificates have up to ten.
const PARTS_MAX: usize = 16;

/// Bytes of one part: the upper bound of RFC 5280 for organisations is 64 characters.
const PART_BYTES_MAX: usize = 128;

/// Bytes of a whole name: what is longer says no more, and records have a limit.
const NAME_BYTES_MAX: usize = 384;

/// A distinguished name: its parts from the country down, as (`CN`, `example.com`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Name {
    pub(crate) parts: Vec<(String, String)>,
}

/// Source: RFC 4519, RFC 2985.
const PART_NAMES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.17", "postalCode"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

impl Name {
    pub(super) fn parse(mut sets: Reader<'_>) -> Option<Self> {
        let mut parts = Vec::new();
        let mut left = NAME_BYTES_MAX;
        while let Some(mut set) = sets.enter(Tag::SET) {
            while let Some(mut part) = set.enter(Tag::SEQUENCE) {
                let id = der::object_identifier(part.take(Tag::OBJECT_IDENTIFIER)?)?;
                let (tag, content) = part.next()?;
                if parts.len() < PARTS_MAX {
                    let name = PART_NAMES.iter().find(|(known, _)| *known == id);
                    let name = name.map_or(id, |(_, name)| (*name).to_owned());
                    let value = text(tag, content);
                    left = left.saturating_sub(name.len() + value.len());
                    if left > 0 {
                        parts.push((name, value));
                    }
                }
            }
        }
        Some(Self { parts })
    }

    /// The parts with `equals` inside and `between` them: `C=US; O=Example`.
    pub(crate) fn joined(&self, equals: &str, between: &str) -> String {
        let parts: Vec<String> =
            self.parts.iter().map(|(name, value)| format!("{name}{equals}{value}")).collect();
        parts.join(between)
    }
}

fn text(tag: Tag, content: &[u8]) -> String {
    if tag == Tag::BMP_STRING {
        let (pairs, _) = content.as_chunks::<2>();
        let units: Vec<u16> =
            pairs.iter().take(PART_BYTES_MAX).map(|&pair| u16::from_be_bytes(pair)).collect();
        return clean(&String::from_utf16_lossy(&units), PART_BYTES_MAX);
    }
    // The other kinds are UTF-8, or a part of it as far as they are used.
    clean(&String::from_utf8_lossy(&content[..content.len().min(PART_BYTES_MAX)]), PART_BYTES_MAX)
}

/// One name of the subject: `example.com`, `192.0.2.1`, `URI:spiffe://a`.
///
/// Source: RFC 5280, section 4.2.1.6, `GeneralName`.
pub(super) fn alternative(tag: Tag, content: &[u8], bytes_max: usize) -> Option<String> {
    const EMAIL: Tag = Tag::context_primitive(1);
    const DNS: Tag = Tag::context_primitive(2);
    const URI: Tag = Tag::context_primitive(6);
    const ADDRESS: Tag = Tag::context_primitive(7);
    let read = |prefix: &str| {
        let cut = &content[..content.len().min(bytes_max)];
        format!("{prefix}{}", clean(&String::from_utf8_lossy(cut), bytes_max))
    };
    match tag {
        DNS => Some(read("")),
        EMAIL => Some(read("email:")),
        URI => Some(read("URI:")),
        ADDRESS => {
            let v4 = <[u8; 4]>::try_from(content).map(|bytes| Ipv4Addr::from(bytes).to_string());
            let v6 = || <[u8; 16]>::try_from(content).map(|b| Ipv6Addr::from(b).to_string());
            v4.or_else(|_| v6()).ok()
        }
        _ => None,
    }
}

/// Without control characters, which a terminal would obey, and cut at a character.
fn clean(text: &str, bytes_max: usize) -> String {
    let mut cleaned = String::with_capacity(text.len().min(bytes_max));
    for character in text.chars() {
        let character = if character.is_control() { '?' } else { character };
        if cleaned.len() + character.len_utf8() > bytes_max {
            break;
        }
        cleaned.push(character);
    }
    cleaned
}
