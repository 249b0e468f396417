//! `--compressed`: a body decoded as it arrives, through the encodings that its head names.
//!
//! Every decoder reads what it needs from the one before it and gives what it has: memory is the decoders'
//! windows, whatever a body unfolds to. Behaves as curl: a body that breaks off inside its compressed data is
//! shown as far as it came, and what follows the end of compressed data cannot be written (23).

mod window;

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead as _, BufReader, Read};
use std::rc::Rc;

use blitz_plugin::web::{Body, Headers};

use crate::exit::{Code, Problem, from_failure};
use crate::time_limit::TimeLimit;
use window::Windowed;

/// What is asked for, in curl's order.
pub(crate) const ACCEPTED: &str = "deflate, gzip, br, zstd";

/// Encodings on top of each other, as in curl: more is an attack.
const ENCODINGS_MAX: usize = 5;

/// Between two decoders.
const BUFFER_BYTES: usize = 16 * 1024;

/// What went past while a body was read.
#[derive(Debug)]
pub(crate) struct Wire<'a> {
    /// For texts.
    region: &'a str,
    /// Few bytes may unfold without end, and the host, which keeps the time, is not asked meanwhile.
    time_limit: TimeLimit,
    /// Bytes as they came, before decoding.
    pub(crate) received_bytes: Cell<u64>,
    /// Why it ended too early: decoders pass on only that it did.
    problem: RefCell<Option<Problem>>,
}

/// How a body is encoded, from the last to the first encoding; empty for one that is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
    Unknown,
}

impl Encoding {
    /// Reads `Content-Encoding`, in the order in which a body is decoded.
    pub(crate) fn of(headers: &Headers) -> Result<Vec<Self>, Problem> {
        let mut encodings = Vec::new();
        let named =
            headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-encoding"));
        for (_, value) in named {
            let value = String::from_utf8_lossy(value).to_ascii_lowercase();
            for word in value.split(',').map(str::trim).filter(|word| !word.is_empty()) {
                encodings.push(match word {
                    "identity" => continue,
                    "gzip" | "x-gzip" => Self::Gzip,
                    "deflate" => Self::Deflate,
                    "br" => Self::Brotli,
                    "zstd" => Self::Zstd,
                    _ => Self::Unknown,
                });
                if encodings.len() > ENCODINGS_MAX {
                    let text = format!(
                        "Reject response due to more than {ENCODINGS_MAX} content encodings"
                    );
                    return Err(Problem::new(Code::BadEncoding, text));
                }
            }
        }
        encodings.reverse();
        Ok(encodings)
    }
}

impl<'a> Wire<'a> {
    pub(crate) fn new(region: &'a str, time_limit: TimeLimit) -> Self {
        Self { region, time_limit, received_bytes: Cell::default(), problem: RefCell::default() }
    }

    fn check_time(&self) -> Result<(), Problem> {
        let passed = self.time_limit.passed(self.received_bytes.get());
        passed.map_or(Ok(()), |failure| Err(from_failure(failure, self.region)))
    }

    /// Notes a problem, and gives what decoders pass on.
    fn fail(&self, problem: Problem) -> io::Error {
        self.problem.replace(Some(problem));
        io::ErrorKind::InvalidData.into()
    }
}

/// A body behind its decoders.
pub(crate) struct Decoded<'a> {
    reader: Box<dyn Read + 'a>,
    wire: &'a Wire<'a>,
}

impl<'a> Decoded<'a> {
    pub(crate) fn new(body: &'a mut dyn Body, encodings: &[Encoding], wire: &'a Wire<'a>) -> Self {
        let mut reader: Box<dyn Read + 'a> =
            Box::new(Source { body, wire, piece: Vec::new(), at: 0 });
        for &encoding in encodings {
            let has_ended = Rc::default();
            reader = Box::new(Layer { encoding, wire, has_ended, state: State::New(reader) });
        }
        Self { reader, wire }
    }

    /// The next decoded bytes, as soon as there are any; 0 at the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Problem> {
        self.wire.check_time()?;
        self.reader.read(buffer).map_err(|error| {
            self.wire.problem.take().unwrap_or_else(|| {
                let text = format!("Error while processing content unencoding: {error}");
                Problem::new(Code::BadEncoding, text)
            })
        })
    }
}

/// The host's body as a reader.
struct Source<'a> {
    body: &'a mut dyn Body,
    wire: &'a Wire<'a>,
    piece: Vec<u8>,
    at: usize,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        /// One read of the host: what is decoded from it is larger.
        const PIECE_BYTES: u32 = 32 * 1024;
        if self.at == self.piece.len() {
            let piece = self.body.read(PIECE_BYTES);
            self.piece =
                piece.map_err(|failure| self.wire.fail(from_failure(failure, self.wire.region)))?;
            self.at = 0;
            let length = u64::try_from(self.piece.len()).unwrap_or(u64::MAX);
            self.wire.received_bytes.set(self.wire.received_bytes.get().saturating_add(length));
        }
        let rest = &self.piece[self.at..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.at += length;
        Ok(length)
    }
}

/// One encoding taken off.
struct Layer<'a> {
    encoding: Encoding,
    wire: &'a Wire<'a>,
    /// What it reads from has come to its end.
    has_ended: Rc<Cell<bool>>,
    state: State<'a>,
}

#[expect(clippy::large_enum_variant, reason = "a layer has one, and a body at most five layers")]
enum State<'a> {
    /// Nothing was read: a decoder is made for the first byte, as an empty body has no encoding.
    New(Box<dyn Read + 'a>),
    Open(Decoder<'a>),
    Ended,
}

enum Decoder<'a> {
    Gzip(flate2::bufread::GzDecoder<Input<'a>>),
    Zlib(flate2::bufread::ZlibDecoder<Input<'a>>),
    /// `deflate` without its wrapping, as some servers send it.
    Raw(flate2::bufread::DeflateDecoder<Input<'a>>),
    Brotli(Box<brotli_decompressor::Decompressor<Input<'a>>>),
    Zstd(Box<zrip_decode::streaming::FrameDecoder<Windowed<Input<'a>>>>),
}

/// What a decoder reads, with a note of its end.
type Input<'a> = BufReader<Noted<'a>>;

struct Noted<'a> {
    reader: Box<dyn Read + 'a>,
    wire: &'a Wire<'a>,
    has_ended: Rc<Cell<bool>>,
}

impl Read for Noted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // What one layer unfolds may be nothing to the next one, without end.
        self.wire.check_time().map_err(|problem| self.wire.fail(problem))?;
        let length = self.reader.read(buffer)?;
        if length == 0 {
            self.has_ended.set(true);
        }
        Ok(length)
    }
}

impl Read for Layer<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let State::New(_) = self.state
            && let State::New(reader) = std::mem::replace(&mut self.state, State::Ended)
        {
            self.open(reader)?;
        }
        let State::Open(decoder) = &mut self.state else { return Ok(0) };
        match decoder.read(buffer) {
            Ok(0) => {
                if decoder.has_more()? {
                    let text = "Failed writing received data to disk/application";
                    return Err(self.wire.fail(Problem::new(Code::WriteError, text)));
                }
                self.state = State::Ended;
                Ok(0)
            }
            // The data broke off inside: what came is all there is.
            Err(_) if self.wire.problem.borrow().is_none() && self.has_ended.get() => {
                self.state = State::Ended;
                Ok(0)
            }
            other => other,
        }
    }
}

impl<'a> Layer<'a> {
    /// Makes the decoder, unless there is nothing to decode.
    fn open(&mut self, reader: Box<dyn Read + 'a>) -> io::Result<()> {
        let noted = Noted { reader, wire: self.wire, has_ended: Rc::clone(&self.has_ended) };
        let mut input = BufReader::with_capacity(BUFFER_BYTES, noted);
        let first = input.fill_buf()?.first().copied();
        let Some(first) = first else { return Ok(()) };
        let decoder = match self.encoding {
            Encoding::Gzip => Decoder::Gzip(flate2::bufread::GzDecoder::new(input)),
            // The method of a zlib header (RFC 1950): deflate, with a window of at most 32 KiB.
            Encoding::Deflate if first & 0x0f == 8 && first >> 4 <= 7 => {
                Decoder::Zlib(flate2::bufread::ZlibDecoder::new(input))
            }
            Encoding::Deflate => Decoder::Raw(flate2::bufread::DeflateDecoder::new(input)),
            Encoding::Brotli => {
                let decoder = brotli_decompressor::Decompressor::new(input, BUFFER_BYTES);
                Decoder::Brotli(Box::new(decoder))
            }
            Encoding::Zstd => {
                let input = Windowed::new(input);
                let decoder = zrip_decode::streaming::FrameDecoder::with_limit(input, usize::MAX);
                Decoder::Zstd(Box::new(decoder))
            }
            Encoding::Unknown => {
                let text = format!(
                    "Unrecognized content encoding type. libcurl understands {ACCEPTED} content encodings."
                );
                return Err(self.wire.fail(Problem::new(Code::BadEncoding, text)));
            }
        };
        self.state = State::Open(decoder);
        Ok(())
    }
}

impl Decoder<'_> {
    /// Whether there is anything behind the end of the compressed data.
    fn has_more(&mut self) -> io::Result<bool> {
        let input = match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zlib(decoder) => decoder.get_mut(),
            Self::Raw(decoder) => decoder.get_mut(),
            Self::Brotli(decoder) => {
                // It refuses to be read again when it holds more.
                if decoder.read(&mut [0]).is_err() {
                    return Ok(true);
                }
                decoder.get_mut()
            }
            // Goes on with the next frame by itself.
            Self::Zstd(_) => return Ok(false),
        };
        Ok(!input.fill_buf()?.is_empty())
    }
}

impl Read for Decoder<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zlib(decoder) => decoder.read(buffer),
            Self::Raw(decoder) => decoder.read(buffer),
            Self::Brotli(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

#[cfg(test)]
mod tests;
