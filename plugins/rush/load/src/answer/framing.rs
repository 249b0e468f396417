//! What the headers of an answer say about its end.

use blitz_contract::load::ErrorKind;
use httparse::Header;

use super::{Fault, fault};

/// By RFC 9112, sections 6 and 9.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Framing {
    /// Of the body, where the header says it.
    pub(super) length: Option<u64>,
    /// The last coding is `chunked`.
    pub(super) is_chunked: bool,
    /// Another coding is the last one: the body ends with the connection.
    pub(super) is_to_end: bool,
    /// The connection stays open.
    pub(super) is_lasting: bool,
}

impl Framing {
    /// Of the headers of an answer of HTTP/1.1, or of HTTP/1.0.
    ///
    /// # Errors
    ///
    /// Lengths that are no numbers or contradict each other.
    #[inline]
    pub(super) fn of(is_1_1: bool, headers: &[Header<'_>]) -> Result<Self, Fault> {
        let mut found =
            Self { length: None, is_chunked: false, is_to_end: false, is_lasting: is_1_1 };
        for header in headers {
            // The length of a name rules nearly all others out.
            match header.name.len() {
                10 if header.name.eq_ignore_ascii_case("connection") => {
                    for option in words(header.value) {
                        if option.eq_ignore_ascii_case(b"close") {
                            found.is_lasting = false;
                        } else if option.eq_ignore_ascii_case(b"keep-alive") && !is_1_1 {
                            found.is_lasting = true;
                        }
                    }
                }
                14 if header.name.eq_ignore_ascii_case("content-length") => {
                    for word in words(header.value) {
                        let length = number(word)
                            .ok_or(fault(ErrorKind::Parse, "a content-length that is no number"))?;
                        if found.length.is_some_and(|other| other != length) {
                            return Err(fault(ErrorKind::Parse, "two different content-lengths"));
                        }
                        found.length = Some(length);
                    }
                }
                17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                    for coding in words(header.value) {
                        found.is_chunked = coding.eq_ignore_ascii_case(b"chunked");
                        found.is_to_end = !found.is_chunked;
                    }
                }
                _ => {}
            }
        }
        // A length beside a coding is how answers are smuggled: what follows on the connection is not to be trusted.
        if found.is_chunked && (found.length.is_some() || !is_1_1) {
            found.is_lasting = false;
        }
        Ok(found)
    }
}

/// The members of a list.
fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|word| !word.is_empty())
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}
