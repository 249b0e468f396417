//! The data of a record as a zone file has it. Source: RFC 1035, section 5, and the RFCs at each type; what is of
//! another type, or not as its type wants it, is written as RFC 3597 says: `\# 4 C0000201`.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hickory_proto::rr::Name;
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder};

use super::service::parameters;

/// The data of one record, `data` bytes of `message`: names in it may point to what stands before.
pub(super) fn record_text(message: &[u8], record_type: u16, data: Range<usize>) -> String {
    let length = data.len();
    let hex = upper_hex(message.get(data.clone()).unwrap_or_default());
    let unknown = || format!("\\# {length} {hex}").trim_end().to_owned();
    let Some(mut fields) = Fields::new(message, data) else { return unknown() };
    match fields.by_type(record_type) {
        Some(()) if fields.rest().is_empty() => fields.words.join(" "),
        _ => unknown(),
    }
}

/// A name with its final dot, in the case in which it came. Source: RFC 1035, section 5.1.
pub(super) fn name_text(name: &Name) -> String {
    let mut text = String::new();
    for label in name.iter() {
        for &byte in label {
            match byte {
                b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
                    text.push('\\');
                    text.push(char::from(byte));
                }
                b'!'..=b'~' => text.push(char::from(byte)),
                _ => push_decimal(&mut text, byte),
            }
        }
        text.push('.');
    }
    if text.is_empty() { ".".to_owned() } else { text }
}

/// A `<character-string>` between quotes.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    text.push('"');
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b' '..=b'~' => text.push(char::from(byte)),
            _ => push_decimal(&mut text, byte),
        }
    }
    text.push('"');
    text
}

fn push_decimal(text: &mut String, byte: u8) {
    write!(text, "\\{byte:03}").ok();
}

fn upper_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02X}").ok();
        text
    })
}

/// The fields of one record, read in their order; `None` anywhere means that the data is not of its type.
struct Fields<'a> {
    message: &'a [u8],
    at: usize,
    end: usize,
    words: Vec<String>,
}

impl<'a> Fields<'a> {
    fn new(message: &'a [u8], data: Range<usize>) -> Option<Self> {
        (data.start <= data.end && data.end <= message.len()).then_some(Self {
            message,
            at: data.start,
            end: data.end,
            words: Vec::new(),
        })
    }

    fn by_type(&mut self, record_type: u16) -> Option<()> {
        match record_type {
            // A
            1 => {
                let address: [u8; 4] = self.take(4)?.try_into().ok()?;
                self.words.push(Ipv4Addr::from(address).to_string());
            }
            // AAAA: RFC 3596
            28 => {
                let address: [u8; 16] = self.take(16)?.try_into().ok()?;
                self.words.push(Ipv6Addr::from(address).to_string());
            }
            // NS, CNAME, PTR, DNAME
            2 | 5 | 12 | 39 => self.name()?,
            // SOA
            6 => {
                self.name()?;
                self.name()?;
                for _ in 0..5 {
                    self.number(4)?;
                }
            }
            // MX, AFSDB, KX
            15 | 18 | 36 => {
                self.number(2)?;
                self.name()?;
            }
            // HINFO, TXT, SPF
            13 | 16 | 99 => {
                while !self.rest().is_empty() {
                    self.string()?;
                }
            }
            // SRV: RFC 2782
            33 => {
                for _ in 0..3 {
                    self.number(2)?;
                }
                self.name()?;
            }
            // NAPTR: RFC 3403
            35 => {
                self.number(2)?;
                self.number(2)?;
                for _ in 0..3 {
                    self.string()?;
                }
                self.name()?;
            }
            // DS, CDS: RFC 4034, section 5.3
            43 | 59 => {
                self.number(2)?;
                self.number(1)?;
                self.number(1)?;
                self.hex()?;
            }
            // SSHFP: RFC 4255
            44 => {
                self.number(1)?;
                self.number(1)?;
                self.hex()?;
            }
            // DNSKEY, CDNSKEY: RFC 4034, section 2.2
            48 | 60 => {
                self.number(2)?;
                self.number(1)?;
                self.number(1)?;
                let key = STANDARD.encode(self.take_rest());
                self.words.push(key);
            }
            // TLSA, SMIMEA: RFC 6698, section 2.2
            52 | 53 => {
                for _ in 0..3 {
                    self.number(1)?;
                }
                self.hex()?;
            }
            // SVCB, HTTPS: RFC 9460
            64 | 65 => {
                self.number(2)?;
                self.name()?;
                let words = parameters(self.take_rest())?;
                self.words.extend(words);
            }
            // CAA: RFC 8659, section 4.1.1
            257 => self.caa()?,
            _ => return None,
        }
        Some(())
    }

    fn caa(&mut self) -> Option<()> {
        self.number(1)?;
        let length = usize::from(*self.take(1)?.first()?);
        let tag = self.take(length)?;
        if tag.is_empty() || !tag.iter().all(u8::is_ascii_alphanumeric) {
            return None;
        }
        self.words.push(String::from_utf8(tag.to_vec()).ok()?);
        let value = quoted(self.take_rest());
        self.words.push(value);
        Some(())
    }

    fn rest(&self) -> &'a [u8] {
        self.message.get(self.at..self.end).unwrap_or_default()
    }

    fn take_rest(&mut self) -> &'a [u8] {
        let rest = self.rest();
        self.at = self.end;
        rest
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.rest().get(..length)?;
        self.at += length;
        Some(taken)
    }

    /// A number of so many bytes, 4 at most.
    fn number(&mut self, bytes: usize) -> Option<()> {
        let number = self.take(bytes)?.iter().fold(0u32, |sum, byte| (sum << 8) | u32::from(*byte));
        self.words.push(number.to_string());
        Some(())
    }

    fn string(&mut self) -> Option<()> {
        let length = usize::from(*self.take(1)?.first()?);
        let text = quoted(self.take(length)?);
        self.words.push(text);
        Some(())
    }

    fn hex(&mut self) -> Option<()> {
        let rest = self.take_rest();
        if rest.is_empty() {
            return None;
        }
        self.words.push(upper_hex(rest));
        Some(())
    }

    fn name(&mut self) -> Option<()> {
        let at = u16::try_from(self.at).ok()?;
        let mut decoder = BinDecoder::new(self.message.get(..self.end)?).clone(at);
        let name = Name::read(&mut decoder).ok()?;
        self.at = decoder.index();
        self.words.push(name_text(&name));
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(record_type: u16, data: &[u8]) -> String {
        // Behind `host.example.`, to which names may point.
        let mut message = b"\x04host\x07example\0".to_vec();
        let start = message.len();
        message.extend_from_slice(data);
        let end = message.len();
        // Not a part of it.
        message.extend_from_slice(b"\x03end\0");
        record_text(&message, record_type, start..end)
    }

    #[test]
    fn records_are_written_as_in_a_zone_file() {
        let cases: &[(u16, &[u8], &str)] = &[
            (1, &[192, 0, 2, 1], "192.0.2.1"),
            (28, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], "2001:db8::1"),
            (5, b"\x03www\xc0\0", "www.host.example."),
            (2, b"\0", "."),
            (12, b"\x03a.b\x02\x07\\\0", "a\\.b.\\007\\\\."),
            (15, b"\0\x0a\x04mail\xc0\x05", "10 mail.example."),
            (
                6,
                b"\xc0\0\xc0\x05\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\xff\xff\xff\xff",
                "host.example. example. 1 2 3 4 4294967295",
            ),
            (33, b"\0\x01\0\x02\x14\xe9\xc0\0", "1 2 5353 host.example."),
            (16, b"\x05a\"b\\c\x00\x02\xc3\xa9", "\"a\\\"b\\\\c\" \"\" \"\\195\\169\""),
            (257, b"\x80\x05issueca.example", "128 issue \"ca.example\""),
            (
                35,
                b"\0\x64\0\x0a\x01u\x07E2U+sip\x08!^.*$!x!\0",
                "100 10 \"u\" \"E2U+sip\" \"!^.*$!x!\" .",
            ),
            (52, b"\x03\x01\x01\xab\xcd", "3 1 1 ABCD"),
            (43, b"\xec\x45\x08\x02\x0f\xf0", "60485 8 2 0FF0"),
            (48, b"\x01\x01\x03\x08\x03\x01\0\x01", "257 3 8 AwEAAQ=="),
            (44, b"\x04\x02\x01", "4 2 01"),
            (
                65,
                b"\0\x01\0\0\x01\0\x06\x02h2\x02h3\0\x03\0\x02\x01\xbb",
                "1 . alpn=\"h2,h3\" port=443",
            ),
            (64, b"\0\0\xc0\0", "0 host.example."),
            (65280, b"\xc0\0\x02\x01", "\\# 4 C0000201"),
            (65280, b"", "\\# 0"),
        ];
        for (record_type, data, wanted) in cases {
            assert_eq!(text(*record_type, data), *wanted, "type {record_type}");
        }
    }

    #[test]
    fn what_is_not_as_its_type_wants_it_is_shown_as_bytes() {
        let cases: &[(u16, &[u8])] = &[
            (1, b"\x01\x02\x03"),
            (1, b"\x01\x02\x03\x04\x05"),
            (28, b"\x01"),
            // A name that goes on behind its record, and one that points to itself.
            (5, b"\x03ww"),
            (5, b"\xc0\x0e"),
            (15, b"\0"),
            (16, b"\x05abc"),
            (257, b"\0\x02a\"x"),
            (257, b"\0\0x"),
            (52, b"\x03\x01\x01"),
            (65, b"\0\x01\0\0\x01\0\x06\x02h2"),
        ];
        for (record_type, data) in cases {
            let wanted = format!("\\# {} {}", data.len(), upper_hex(data));
            assert_eq!(text(*record_type, data), wanted, "type {record_type}");
        }
    }
}
