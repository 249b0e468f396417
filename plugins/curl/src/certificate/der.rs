//! The part of DER that certificates are made of: tags of one byte, definite lengths.
//!
//! Source: ITU-T X.690.

use crate::instant::Civil;

/// Object identifiers of certificates have fewer parts; longer ones are not read.
const IDENTIFIER_PARTS_MAX: usize = 32;

/// The kind of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(u8);

impl Tag {
    pub(super) const BOOLEAN: Self = Self(0x01);
    pub(super) const INTEGER: Self = Self(0x02);
    pub(super) const BIT_STRING: Self = Self(0x03);
    pub(super) const OCTET_STRING: Self = Self(0x04);
    pub(super) const OBJECT_IDENTIFIER: Self = Self(0x06);
    pub(super) const UTC_TIME: Self = Self(0x17);
    pub(super) const GENERALIZED_TIME: Self = Self(0x18);
    pub(super) const BMP_STRING: Self = Self(0x1e);
    pub(super) const SEQUENCE: Self = Self(0x30);
    pub(super) const SET: Self = Self(0x31);

    /// `[number]` around another element.
    pub(super) const fn context(number: u8) -> Self {
        Self(0xa0 | number)
    }

    /// `[number]` in place of a primitive element's own tag.
    pub(super) const fn context_primitive(number: u8) -> Self {
        Self(0x80 | number)
    }
}

/// Elements one after another. Reading past what is there gives `None`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next element, whatever it is.
    pub(super) fn next(&mut self) -> Option<(Tag, &'a [u8])> {
        let (&tag, rest) = self.rest.split_first()?;
        let (&length, rest) = rest.split_first()?;
        // Tags of more bytes do not occur.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (length, rest) = match length {
            0..=0x7f => (usize::from(length), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
                let long = bytes.iter().fold(0_u32, |length, &byte| length << 8 | u32::from(byte));
                (usize::try_from(long).ok()?, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some((Tag(tag), content))
    }

    /// The content of the next element when it is of this kind; else it stays.
    pub(super) fn take(&mut self, tag: Tag) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let (_, content) = ahead.next().filter(|(found, _)| *found == tag)?;
        *self = ahead;
        Some(content)
    }

    /// As `take`, to read on inside.
    pub(super) fn enter(&mut self, tag: Tag) -> Option<Self> {
        self.take(tag).map(Self::new)
    }

    /// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
    ///
    /// Source: RFC 5280, section 4.1.2.5.
    pub(super) fn time(&mut self) -> Option<Civil> {
        let (tag, text) = self.next()?;
        let digits = text.strip_suffix(b"Z")?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let (year_digits, length) = match tag {
            Tag::UTC_TIME => (2, 12),
            Tag::GENERALIZED_TIME => (4, 14),
            _ => return None,
        };
        if digits.len() != length {
            return None;
        }
        let (year, rest) = digits.split_at(year_digits);
        let number =
            |digits: &[u8]| digits.iter().fold(0, |n, digit| n * 10 + i64::from(digit - b'0'));
        let year = match number(year) {
            short @ 0..50 if tag == Tag::UTC_TIME => 2000 + short,
            short if tag == Tag::UTC_TIME => 1900 + short,
            long => long,
        };
        let part = |at: usize| number(&rest[at * 2..at * 2 + 2]);
        Civil::new((year, part(0), part(1)), (part(2), part(3), part(4)))
    }
}

/// `1.2.840.113549`
pub(super) fn object_identifier(content: &[u8]) -> Option<String> {
    let mut parts: Vec<u32> = Vec::new();
    let mut part = 0_u32;
    for &byte in content {
        part = part.checked_mul(128)?.checked_add(u32::from(byte & 0x7f))?;
        if byte & 0x80 == 0 {
            match parts.len() {
                0 => {
                    let first = (part / 40).min(2);
                    parts.extend([first, part - first * 40]);
                }
                1..IDENTIFIER_PARTS_MAX => parts.push(part),
                _ => return None,
            }
            part = 0;
        }
    }
    let ends_well = content.last().is_some_and(|last| last & 0x80 == 0);
    let words: Vec<String> = parts.iter().map(u32::to_string).collect();
    ends_well.then(|| words.join("."))
}
