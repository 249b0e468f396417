//! DNS messages as bytes: what a reply says, and names in both directions.
//!
//! The reader's own and not a crate's: what is shown are the bytes as dig shows them, also of types and options that
//! no crate knows, so that little more than names would be left to one. Source: RFC 1035, section 4; RFC 6891.

use std::ops::Range;

use crate::numbers::OPT;

/// Bytes of a name on the wire.
const NAME_MAX_BYTES: usize = 255;

/// Bytes of a label.
const LABEL_MAX_BYTES: usize = 63;

/// A reply, or our own query read back.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) bytes: Vec<u8>,
    pub(crate) id: u16,
    /// The second word of the header.
    pub(crate) flags: u16,
    /// As the header has them.
    pub(crate) counts: [u16; 4],
    pub(crate) questions: Vec<(String, u16, u16)>,
    /// Answer, authority, additional without the OPT record.
    pub(crate) sections: [Vec<Record>; 3],
    pub(crate) edns: Option<Edns>,
    /// Bytes behind the last record.
    pub(crate) extra_bytes: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// As in a zone file, with its last dot.
    pub(crate) name: String,
    pub(crate) kind: u16,
    pub(crate) class: u16,
    pub(crate) ttl_s: u32,
    /// Where its data is: names in it may point elsewhere in the message.
    pub(crate) data: Range<usize>,
}

/// The OPT record.
#[derive(Debug, Clone)]
pub(crate) struct Edns {
    pub(crate) version: u8,
    pub(crate) flags: u16,
    pub(crate) udp_bytes: u16,
    pub(crate) options: Vec<(u16, Vec<u8>)>,
    rcode_high: u16,
}

pub(crate) const QR: u16 = 0x8000;
pub(crate) const TC: u16 = 0x0200;
pub(crate) const RD: u16 = 0x0100;
pub(crate) const RA: u16 = 0x0080;
/// The header's flags in dig's order.
pub(crate) const FLAGS: [(u16, &str); 7] =
    [(QR, "qr"), (0x0400, "aa"), (TC, "tc"), (RD, "rd"), (RA, "ra"), (0x20, "ad"), (0x10, "cd")];

impl Message {
    /// `None` for bytes that are no message.
    pub(crate) fn read(bytes: Vec<u8>) -> Option<Self> {
        let mut reader = Reader { bytes: &bytes, at: 0, end: bytes.len() };
        let (id, flags) = (reader.u16()?, reader.u16()?);
        let counts = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
        let mut questions = Vec::new();
        for _ in 0..counts[0] {
            questions.push((reader.name()?, reader.u16()?, reader.u16()?));
        }
        let mut sections: [Vec<Record>; 3] = Default::default();
        let mut edns = None;
        for (section, count) in sections.iter_mut().zip(&counts[1..]) {
            for _ in 0..*count {
                let record = reader.record()?;
                if record.kind == OPT {
                    edns = Some(Edns::read(&record, &bytes)?);
                } else {
                    section.push(record);
                }
            }
        }
        let extra_bytes = bytes.len() - reader.at;
        Some(Self { id, flags, counts, questions, sections, edns, extra_bytes, bytes })
    }

    /// With the part that EDNS adds.
    pub(crate) fn rcode(&self) -> u16 {
        let high = self.edns.as_ref().map_or(0, |edns| edns.rcode_high);
        (high << 4) | (self.flags & 0xf)
    }

    /// The bytes of an EDNS option.
    pub(crate) fn option(&self, code: u16) -> Option<&[u8]> {
        let options = &self.edns.as_ref()?.options;
        options.iter().find(|(option, _)| *option == code).map(|(_, data)| data.as_slice())
    }
}

impl Edns {
    fn read(record: &Record, bytes: &[u8]) -> Option<Self> {
        let [rcode_high, version, flags @ ..] = record.ttl_s.to_be_bytes();
        let mut reader = Reader::of(bytes, record.data.clone());
        let mut options = Vec::new();
        while !reader.rest().is_empty() {
            let (code, length) = (reader.u16()?, reader.u16()?);
            options.push((code, reader.take(usize::from(length))?.to_vec()));
        }
        let flags = u16::from_be_bytes(flags);
        let rcode_high = u16::from(rcode_high);
        Some(Self { version, flags, udp_bytes: record.class, options, rcode_high })
    }
}

/// Reads fields in their order; `None` past the end.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn of(bytes: &'a [u8], part: Range<usize>) -> Self {
        Self { bytes, at: part.start, end: part.end }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..self.end).unwrap_or_default()
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.rest().get(..length)?;
        self.at += length;
        Some(taken)
    }

    pub(crate) fn take_rest(&mut self) -> &'a [u8] {
        let rest = self.rest();
        self.at = self.end;
        rest
    }

    /// A number of so many bytes, 4 at most.
    pub(crate) fn number(&mut self, bytes: usize) -> Option<u32> {
        Some(self.take(bytes)?.iter().fold(0, |sum, byte| (sum << 8) | u32::from(*byte)))
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// Behind one byte with their number.
    pub(crate) fn counted(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.u8()?);
        self.take(length)
    }

    fn record(&mut self) -> Option<Record> {
        let (name, kind, class) = (self.name()?, self.u16()?, self.u16()?);
        let (ttl_s, length) = (self.number(4)?, usize::from(self.u16()?));
        let start = self.at;
        self.take(length)?;
        Some(Record { name, kind, class, ttl_s, data: start..self.at })
    }

    /// A name as in a zone file. Pointers lead towards the message's start, so that they come to an end.
    pub(crate) fn name(&mut self) -> Option<String> {
        let (mut text, mut length) = (String::new(), 1);
        let (mut at, mut end) = (self.at, self.end);
        let mut behind = None;
        loop {
            let first = usize::from(*self.bytes.get(at..end)?.first()?);
            match first >> 6 {
                0 if first == 0 => break,
                0 => {
                    length += first + 1;
                    let label = self.bytes.get(at + 1..end)?.get(..first)?;
                    if length > NAME_MAX_BYTES {
                        return None;
                    }
                    label.iter().for_each(|byte| push_label_byte(&mut text, *byte));
                    text.push('.');
                    at += 1 + first;
                }
                3 => {
                    let low = usize::from(*self.bytes.get(at + 1..end)?.first()?);
                    behind.get_or_insert(at + 2);
                    let to = (first & 0x3f) << 8 | low;
                    // The next part ends before this pointer does.
                    end = at;
                    at = Some(to).filter(|to| *to < at)?;
                }
                _ => return None,
            }
        }
        self.at = behind.unwrap_or(at + 1);
        Some(if text.is_empty() { ".".to_owned() } else { text })
    }
}

/// Source: RFC 1035, section 5.1; the characters are those of dig.
fn push_label_byte(text: &mut String, byte: u8) {
    match byte {
        b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
            text.extend(['\\', char::from(byte)]);
        }
        b'!'..=b'~' => text.push(char::from(byte)),
        _ => text.push_str(&format!("\\{byte:03}")),
    }
}

/// A name of the command line as bytes; the text of the refusal else, in dig's words.
pub(crate) fn name_bytes(text: &str) -> Result<Vec<u8>, &'static str> {
    let (mut wire, mut label) = (Vec::new(), Vec::new());
    let mut close = |label: &mut Vec<u8>| {
        let length = u8::try_from(label.len()).ok().filter(|_| label.len() <= LABEL_MAX_BYTES);
        wire.push(length.ok_or("label too long")?);
        wire.append(label);
        Ok::<_, &'static str>(())
    };
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'.' if label.is_empty() && text != "." => return Err("empty label"),
            b'.' if text == "." => {}
            b'.' => close(&mut label)?,
            b'\\' => {
                let first = bytes.next().ok_or("unexpected end of input")?;
                if !first.is_ascii_digit() {
                    label.push(first);
                    continue;
                }
                let digits = [Some(first), bytes.next(), bytes.next()];
                let value = digits.iter().try_fold(0, |sum: u16, digit| {
                    let digit = digit.filter(u8::is_ascii_digit)?;
                    Some(sum * 10 + u16::from(digit - b'0'))
                });
                label.push(value.and_then(|value| u8::try_from(value).ok()).ok_or("bad escape")?);
            }
            _ if !byte.is_ascii() => return Err("not ASCII: give its xn-- form"),
            _ => label.push(byte),
        }
    }
    if !label.is_empty() {
        close(&mut label)?;
    }
    wire.push(0);
    if wire.len() > NAME_MAX_BYTES { Err("ran out of space") } else { Ok(wire) }
}
