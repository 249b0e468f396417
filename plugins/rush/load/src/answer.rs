//! The reader of an HTTP/1 answer: takes bytes as they come, in pieces of any size, and keeps nothing but where it is.
//!
//! Sixteen bytes of state; the pieces of a head that came in several lie in a [`Held`] until it is whole. Any division of the
//! same bytes leads to the same result. Sources: RFC 9112, sections 2 to 7; RFC 9110, section 15.2 (interim answers).

mod body;
mod framing;
mod last;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::mem::MaybeUninit;

use blitz_contract::load::ErrorKind;
use httparse::{Header, ParserConfig, Status};

use framing::Framing;
pub(crate) use last::LastHead;

/// Bytes of a head: twice of what the largest common server sends by its own limits.
pub(crate) const HEAD_BYTES_MAX: usize = 64 << 10;
/// The same of all heads that came in pieces and are not whole: a few thousand of the longest, and of those that servers send,
/// more than there can be connections.
const HELD_BYTES_MAX: usize = if cfg!(test) { 4 << 20 } else { 256 << 20 };
/// Headers of a head: more than any service sends; each costs 32 bytes of stack.
const HEADERS_MAX: usize = 128;
/// Interim answers (1xx) before one answer; a server that sends nothing else is ended by this.
const INTERIMS_MAX: u16 = 32;
/// A head up to this size is parsed again with each piece, so that garbage is seen at once. Above it only when its end is
/// in sight or much has come: a server that sends byte by byte must not take our time.
const EAGER_BYTES: usize = 4 << 10;

/// Where a reader is in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Head,
    /// `left` bytes of a body.
    Length,
    /// In the digits of a chunk's size, or before them.
    Size,
    Extension,
    /// Behind the CR of a size line.
    SizeEnd,
    /// `left` bytes of a chunk.
    Data,
    /// Behind a chunk's data, before CR or LF.
    DataEnd,
    /// Behind the CR there.
    DataLineEnd,
    /// At the begin of a line of the trailers.
    TrailerBegin,
    Trailer,
    /// Behind the CR of an empty line.
    TrailerEnd,
    ToEnd,
    Whole,
}

/// The state of one answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader {
    left: u64,
    status: u16,
    /// Interim answers in a head, digits in a size, bytes in extensions and trailers.
    seen: u16,
    phase: Phase,
    /// The request was a HEAD: there is no body whatever the head says.
    is_head: bool,
    is_begun: bool,
    /// The connection may be used again.
    is_lasting: bool,
}

/// What a piece led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The answer is not whole.
    More,
    /// It is, and ends with the piece.
    Whole,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    /// As it is counted.
    pub(crate) kind: ErrorKind,
    /// As it is told.
    pub(crate) text: &'static str,
}

/// The begin of a head whose end has not come.
#[derive(Debug, Default)]
pub(crate) struct Held {
    bytes: Vec<u8>,
    /// How many of them were there when they were last parsed.
    parsed: usize,
}

thread_local! {
    /// Of all heads whose end has not come. A worker is one thread.
    static HELD_BYTES: Cell<usize> = const { Cell::new(0) };
}

impl Held {
    /// The next bytes.
    ///
    /// # Errors
    ///
    /// [`Fault`] where all heads together take too much: a server that ends none of many thousands.
    fn push(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.bytes.extend_from_slice(bytes);
        HELD_BYTES.set(HELD_BYTES.get() + bytes.len());
        if HELD_BYTES.get() > HELD_BYTES_MAX {
            return Err(fault(ErrorKind::Limit, "unfinished heads of answers of over 256 MiB"));
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD_BYTES.set(HELD_BYTES.get().saturating_sub(self.bytes.len()));
    }
}

const fn fault(kind: ErrorKind, text: &'static str) -> Fault {
    Fault { kind, text }
}

impl Reader {
    /// Of the answer to a request that is a HEAD, or is not.
    pub(crate) const fn new(is_head: bool) -> Self {
        Self {
            left: 0,
            status: 0,
            seen: 0,
            phase: Phase::Head,
            is_head,
            is_begun: false,
            is_lasting: false,
        }
    }

    /// Whether anything has come.
    pub(crate) const fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// Of the head; 0 before it.
    pub(crate) const fn status(&self) -> u16 {
        self.status
    }

    /// Whether the server leaves the connection open behind the answer.
    pub(crate) const fn is_lasting(&self) -> bool {
        self.is_lasting
    }

    /// Takes the next piece. `on_head` sees the headers of the answer (not of interim ones), once; where `last` is given,
    /// only of a head that `last` does not know.
    ///
    /// # Errors
    ///
    /// [`Fault`], after which there is no more to be read: also when the piece goes on behind the answer.
    #[inline]
    pub(crate) fn take(
        &mut self,
        mut bytes: &[u8],
        held: &mut Option<Box<Held>>,
        mut last: Option<&mut LastHead>,
        on_head: &mut impl FnMut(&[Header<'_>]),
    ) -> Result<Progress, Fault> {
        self.is_begun |= !bytes.is_empty();
        while self.phase == Phase::Head && !bytes.is_empty() {
            let used = match held {
                None => self.new_head(bytes, last.as_deref_mut(), on_head)?,
                Some(_) => self.held(bytes, held, on_head)?,
            };
            let Some(used) = used else {
                if held.is_none() {
                    let begun = held.insert(Box::default());
                    begun.push(bytes)?;
                    begun.parsed = bytes.len();
                }
                return Ok(Progress::More);
            };
            *held = None;
            bytes = &bytes[used..];
        }
        self.body(bytes)
    }

    /// The peer has closed the connection.
    ///
    /// # Errors
    ///
    /// [`Fault`] unless that is how this answer ends.
    pub(crate) fn end(&mut self, held: &mut Option<Box<Held>>) -> Result<(), Fault> {
        self.is_lasting = false;
        if let Some(held) = held.take() {
            self.head(&held.bytes, &mut |_| {})?;
            return Err(fault(ErrorKind::Closed, "the connection was closed within a head"));
        }
        match self.phase {
            Phase::ToEnd | Phase::Whole => {
                self.phase = Phase::Whole;
                Ok(())
            }
            Phase::Head if !self.is_begun => {
                Err(fault(ErrorKind::Closed, "the connection was closed without an answer"))
            }
            Phase::Head => {
                Err(fault(ErrorKind::Closed, "the connection was closed after an interim answer"))
            }
            _ => Err(fault(ErrorKind::Closed, "the connection was closed within a body")),
        }
    }

    /// A head that begins with the piece. Gives its length, or `None` when more is needed.
    #[inline]
    fn new_head(
        &mut self,
        bytes: &[u8],
        last: Option<&mut LastHead>,
        on_head: &mut impl FnMut(&[Header<'_>]),
    ) -> Result<Option<usize>, Fault> {
        let Some(last) = last else { return self.head(bytes, on_head) };
        if let Some((reader, len)) = last.find(bytes, self.is_head) {
            *self = reader;
            return Ok(Some(len));
        }
        let whole = self.head(bytes, on_head)?;
        if let Some(len) = whole.filter(|_| self.phase != Phase::Head) {
            last.keep(&bytes[..len], *self);
        }
        Ok(whole)
    }

    /// Another piece of a head that came in several. Gives how many bytes of the piece belong to it.
    #[cold]
    fn held(
        &mut self,
        bytes: &[u8],
        slot: &mut Option<Box<Held>>,
        on_head: &mut impl FnMut(&[Header<'_>]),
    ) -> Result<Option<usize>, Fault> {
        let Some(held) = slot else { return Ok(None) };
        let before = held.bytes.len();
        let room = HEAD_BYTES_MAX - before.min(HEAD_BYTES_MAX);
        held.push(&bytes[..bytes.len().min(room)])?;
        let len = held.bytes.len();
        let is_due = len <= EAGER_BYTES
            || len == HEAD_BYTES_MAX
            || len - held.parsed >= len / 4
            || has_end(&held.bytes[before.saturating_sub(2)..]);
        if !is_due {
            return Ok(None);
        }
        held.parsed = len;
        let whole = self.head(&held.bytes, on_head)?;
        Ok(whole.map(|len| len.saturating_sub(before)))
    }

    /// Parses a head at the begin of `bytes`, and gives its length, or `None` when more is needed.
    fn head(
        &mut self,
        bytes: &[u8],
        on_head: &mut impl FnMut(&[Header<'_>]),
    ) -> Result<Option<usize>, Fault> {
        let seen = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut head = httparse::Response::new(&mut []);
        let parsed = ParserConfig::default().parse_response_with_uninit_headers(
            &mut head,
            seen,
            &mut headers,
        );
        let len = match parsed {
            Ok(Status::Complete(len)) => len,
            Ok(Status::Partial) if seen.len() < HEAD_BYTES_MAX => return Ok(None),
            Ok(Status::Partial) => {
                return Err(fault(ErrorKind::Limit, "a head of more than 64 KiB"));
            }
            Err(httparse::Error::TooManyHeaders) => {
                return Err(fault(ErrorKind::Limit, "a head of more than 128 headers"));
            }
            Err(_) => return Err(fault(ErrorKind::Parse, "the answer is not HTTP/1")),
        };
        let status = head.code.unwrap_or_default();
        if (100..200).contains(&status) {
            if status == 101 {
                return Err(fault(ErrorKind::Parse, "another protocol, which nobody asked for"));
            }
            self.seen += 1;
            if self.seen > INTERIMS_MAX {
                return Err(fault(ErrorKind::Limit, "more than 32 interim answers before one"));
            }
            return Ok(Some(len));
        }
        let framing = Framing::of(head.version == Some(1), head.headers)?;
        self.status = status;
        self.seen = 0;
        self.is_lasting = framing.is_lasting;
        (self.phase, self.left) = if self.is_head || status == 204 || status == 304 {
            (Phase::Whole, 0)
        } else if framing.is_chunked {
            (Phase::Size, 0)
        } else if framing.is_to_end {
            (Phase::ToEnd, 0)
        } else {
            match framing.length {
                Some(0) => (Phase::Whole, 0),
                Some(length) => (Phase::Length, length),
                None => (Phase::ToEnd, 0),
            }
        };
        self.is_lasting &= self.phase != Phase::ToEnd;
        on_head(head.headers);
        Ok(Some(len))
    }
}

/// Whether an empty line is in it, or ends in it.
fn has_end(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"\n\n") || bytes.windows(3).any(|w| w == b"\n\r\n")
}
