//! One piece of what a running plugin gives: bytes of a stream, or a structured event.

use std::fmt;

/// Where a frame's bytes belong.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// The command's standard output.
    Stdout,
    /// The command's standard error.
    Stderr,
    /// A file on the user's machine, by the name that the user's command line gave.
    File(String),
    /// A structured record of this kind; the bytes are one JSON document.
    Event(String),
}

impl Stream {
    /// The stream that a stored name stands for: `stdout`, `stderr`, `file:NAME` or `event:KIND`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name.split_once(':') {
            None if name == "stdout" => Some(Self::Stdout),
            None if name == "stderr" => Some(Self::Stderr),
            Some(("file", file)) => Some(Self::File(file.to_owned())),
            Some(("event", kind)) => Some(Self::Event(kind.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::Stderr => f.write_str("stderr"),
            Self::File(name) => write!(f, "file:{name}"),
            Self::Event(kind) => write!(f, "event:{kind}"),
        }
    }
}

/// Longest kind of an event: it becomes part of a stream's name.
pub const EVENT_KIND_BYTES_MAX: usize = 40;

/// Whether an event may be of this kind: 1 to [`EVENT_KIND_BYTES_MAX`] of `a-z`, `0-9` and `-`.
#[must_use]
pub fn is_event_kind(kind: &str) -> bool {
    (1..=EVENT_KIND_BYTES_MAX).contains(&kind.len())
        && kind.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// A piece of output in the order in which the plugin gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Which stream it belongs to.
    pub stream: Stream,
    /// Raw bytes, up to the host's write size. Empty only for a file: it is made, should it not exist yet.
    pub bytes: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_survives_its_name() {
        for stream in [
            Stream::Stdout,
            Stream::Stderr,
            Stream::File("a:b c".to_owned()),
            Stream::Event("hop".to_owned()),
        ] {
            assert_eq!(Stream::parse(&stream.to_string()), Some(stream));
        }
        assert_eq!(Stream::parse("stdin"), None);
    }
}
