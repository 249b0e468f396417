//! What engine and child say to each other, in one place for both.
//!
//! A frame is two lengths (`u32`, little-endian), a header in JSON and raw bytes. The engine sends [`Start`], the
//! child answers [`Ask::Caged`]; from then on the child asks, and each ask has exactly one [`Reply`]. Descriptors
//! travel beside the first byte of a frame, only from the engine to the child.

use blitz_contract::native;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longest header: an HTTP request with a hundred large cookies, or the longest command line of Linux, fit.
pub(super) const HEADER_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Most raw bytes behind a header: the body of a request. The engine holds one frame of a run at a time.
pub(super) const BODY_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Raw bytes of one write; longer ones are several frames.
pub(super) const PIECE_MAX_BYTES: usize = 256 * 1024;
/// Values of one `observe`; more are several frames.
pub(super) const VALUES_MAX: usize = PIECE_MAX_BYTES / size_of::<u64>();
/// The two lengths.
pub(super) const PREFIX_BYTES: usize = 8;
/// Descriptors beside one frame: the library and stdin.
pub(super) const DESCRIPTORS_MAX: usize = 2;

/// The first frame; beside it travel the library and, when `stdin`, what becomes descriptor 0.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) call: StartCall,
    pub(super) stdin: bool,
    /// Linear memory in WASM; here the address space beyond what the child has mapped before.
    pub(super) memory_bytes: u64,
    pub(super) cpu_s: u64,
    pub(super) sockets: u32,
    /// Whether to run where the kernel has no Landlock.
    pub(super) without_landlock: bool,
}

/// Which function is called.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum StartCall {
    Describe,
    Run { args: Vec<String>, region: String, deadline_ms: u64 },
}

/// What the child says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// The cage is shut; the library comes next. Has no reply. Names what the kernel lacks.
    Caged {
        lacks: Option<String>,
    },
    /// The library does not run here; the reason is the raw bytes. The last frame.
    Refused,
    /// The manifest is the raw bytes. The last frame.
    Described,
    /// `run` is through. The last frame.
    Returned {
        code: u32,
    },
    /// The raw bytes to stdout or stderr.
    Write {
        stream: u32,
    },
    ReadInput {
        name: String,
        offset: u64,
        bytes_max: u32,
    },
    WriteOutput {
        name: String,
    },
    /// The raw bytes are the event.
    Emit {
        kind: String,
    },
    Count {
        name: String,
        by: u64,
    },
    /// The raw bytes are the values, 8 little-endian bytes each.
    Observe {
        name: String,
    },
    Lookup(native::wire::Question),
    /// The raw bytes are the question, of an import that has no words here: `native::wire::ask` has them.
    ByName {
        import: String,
    },
    /// The raw bytes are the body, if there is one.
    Exchange {
        request: native::wire::Request,
        has_body: bool,
    },
    BodyRead {
        body: u64,
        bytes_max: u32,
    },
    BodyTotal {
        body: u64,
    },
    BodyClose {
        body: u64,
    },
    Connect {
        udp: bool,
        host: String,
        port: u16,
        timeout_ms: u64,
    },
    TimeLeft,
    IsCancelled,
    Pause {
        ms: u64,
    },
}

/// What the engine answers. The raw bytes are what was asked for, or the text of a refusal.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Reply {
    /// [`native::OK`] and its neighbours.
    pub(super) status: u32,
    /// Where the answer is a number.
    pub(super) number: u64,
}

/// Why a peer is not listened to any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("a header of {0} bytes is more than {HEADER_MAX_BYTES}")]
    Header(usize),
    #[error("{0} bytes behind a header are more than {BODY_MAX_BYTES}")]
    Body(usize),
    #[error("a header that is none: {0}")]
    Json(#[from] serde_json::Error),
}

/// How long the two parts of a frame are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lengths {
    pub(super) header: usize,
    pub(super) body: usize,
}

impl Lengths {
    pub(super) fn parse(prefix: [u8; PREFIX_BYTES]) -> Result<Self, FrameError> {
        let [a, b, c, d, e, f, g, h] = prefix;
        let length = |bytes| usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX);
        let (header, body) = (length([a, b, c, d]), length([e, f, g, h]));
        if header > HEADER_MAX_BYTES {
            return Err(FrameError::Header(header));
        }
        if body > BODY_MAX_BYTES {
            return Err(FrameError::Body(body));
        }
        Ok(Self { header, body })
    }
}

pub(super) fn encode<T: Serialize>(header: &T, body: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; PREFIX_BYTES];
    serde_json::to_writer(&mut frame, header)?;
    let header_length = frame.len() - PREFIX_BYTES;
    if header_length > HEADER_MAX_BYTES {
        return Err(FrameError::Header(header_length));
    }
    if body.len() > BODY_MAX_BYTES {
        return Err(FrameError::Body(body.len()));
    }
    let length = |n: usize| u32::try_from(n).expect("below the limits").to_le_bytes();
    let (first, second) = (length(header_length), length(body.len()));
    for (place, byte) in frame.iter_mut().zip(first.into_iter().chain(second)) {
        *place = byte;
    }
    frame.extend_from_slice(body);
    Ok(frame)
}

pub(super) fn decode<T: DeserializeOwned>(header: &[u8]) -> Result<T, FrameError> {
    Ok(serde_json::from_slice(header)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        let frame = encode(&Ask::Emit { kind: "hop".to_owned() }, b"{}").unwrap();
        let lengths = Lengths::parse(frame[..PREFIX_BYTES].try_into().unwrap()).unwrap();
        let (header, body) = frame[PREFIX_BYTES..].split_at(lengths.header);
        assert_eq!((lengths.body, body), (2, &b"{}"[..]));
        let Ask::Emit { kind } = decode(header).unwrap() else { panic!("another ask") };
        assert_eq!(kind, "hop");
    }

    #[test]
    fn sizes_beyond_the_limits_are_refused_on_both_sides() {
        assert!(Lengths::parse([0xff; PREFIX_BYTES]).is_err());
        assert!(Lengths::parse([0, 0, 0, 0, 0, 0, 0, 2]).is_err());
        assert!(encode(&Ask::TimeLeft, &vec![0; BODY_MAX_BYTES + 1]).is_err());
        assert!(decode::<Ask>(b"{\"Nope\":1}").is_err());
    }
}
