//! The body of an answer: nothing of it is kept, only its end is found.

use blitz_contract::load::ErrorKind;

use super::{Fault, Phase, Progress, Reader, fault};

/// Hexadecimal digits of a chunk's size: what 64 bits hold.
const SIZE_DIGITS_MAX: u16 = 16;
/// Bytes of a chunk's extensions, and of all trailers of an answer.
const ASIDE_BYTES_MAX: u16 = 16 << 10;

impl Reader {
    /// Passes over what belongs to the body.
    #[inline]
    pub(super) fn body(&mut self, bytes: &[u8]) -> Result<Progress, Fault> {
        match self.phase {
            Phase::Head | Phase::ToEnd => Ok(Progress::More),
            Phase::Whole => end_at(bytes),
            Phase::Length => {
                let rest = self.skip(bytes);
                if self.left > 0 {
                    return Ok(Progress::More);
                }
                self.phase = Phase::Whole;
                end_at(rest)
            }
            _ => self.chunks(bytes),
        }
    }

    /// Passes over `left` bytes, or as many as there are; gives the rest.
    #[inline]
    fn skip<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        self.left -= here as u64;
        &bytes[here..]
    }

    fn chunks(&mut self, mut bytes: &[u8]) -> Result<Progress, Fault> {
        loop {
            if self.phase == Phase::Data {
                bytes = self.skip(bytes);
                if self.left > 0 {
                    return Ok(Progress::More);
                }
                self.phase = Phase::DataEnd;
            }
            let Some((byte, rest)) = bytes.split_first() else { return Ok(Progress::More) };
            bytes = rest;
            self.phase = self.line(*byte)?;
            if self.phase == Phase::Whole {
                return end_at(bytes);
            }
        }
    }

    /// One byte between the data of chunks.
    fn line(&mut self, byte: u8) -> Result<Phase, Fault> {
        const SIZE: Fault = fault(ErrorKind::Parse, "a chunk without a size");
        const END: Fault = fault(ErrorKind::Parse, "a chunk that is longer than its size");
        Ok(match (self.phase, byte) {
            (Phase::Size, b'\r') if self.seen > 0 => Phase::SizeEnd,
            (Phase::Size, b'\n') if self.seen > 0 => self.sized(),
            (Phase::Size, b';' | b' ' | b'\t') if self.seen > 0 => {
                self.seen = 0;
                Phase::Extension
            }
            (Phase::Size, digit) => {
                let digit = char::from(digit).to_digit(16).ok_or(SIZE)?;
                self.seen += 1;
                if self.seen > SIZE_DIGITS_MAX {
                    return Err(fault(ErrorKind::Parse, "a chunk whose size has over 16 digits"));
                }
                self.left = self.left << 4 | u64::from(digit);
                Phase::Size
            }
            (Phase::Extension | Phase::SizeEnd, b'\n') => self.sized(),
            (Phase::Extension, _) => {
                self.aside()?;
                Phase::Extension
            }
            (Phase::SizeEnd, _) => return Err(SIZE),
            (Phase::DataEnd, b'\r') => Phase::DataLineEnd,
            (Phase::DataEnd | Phase::DataLineEnd, b'\n') => {
                self.seen = 0;
                Phase::Size
            }
            (Phase::DataEnd | Phase::DataLineEnd, _) => return Err(END),
            (Phase::TrailerBegin, b'\r') => Phase::TrailerEnd,
            (Phase::TrailerBegin | Phase::TrailerEnd, b'\n') => Phase::Whole,
            (Phase::TrailerEnd, _) => {
                return Err(fault(ErrorKind::Parse, "trailers that are no headers"));
            }
            (Phase::Trailer, b'\n') => Phase::TrailerBegin,
            (Phase::TrailerBegin | Phase::Trailer, _) => {
                self.aside()?;
                Phase::Trailer
            }
            (phase, _) => phase,
        })
    }

    /// Behind the line of a chunk's size.
    fn sized(&mut self) -> Phase {
        self.seen = 0;
        if self.left == 0 { Phase::TrailerBegin } else { Phase::Data }
    }

    fn aside(&mut self) -> Result<(), Fault> {
        self.seen += 1;
        if self.seen > ASIDE_BYTES_MAX {
            return Err(fault(ErrorKind::Limit, "over 16 KiB of trailers or chunk extensions"));
        }
        Ok(())
    }
}

/// The answer is whole; nobody has asked for more.
#[inline]
fn end_at(rest: &[u8]) -> Result<Progress, Fault> {
    if rest.is_empty() {
        return Ok(Progress::Whole);
    }
    Err(fault(ErrorKind::Parse, "bytes behind the end of the answer"))
}
