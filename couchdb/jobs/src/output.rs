//! Output as documents: frames gathered into numbered, create-only chunks, and the digest of the stream.
//!
//! The batching is pure: frames and instants in, chunks out. The engine writes them with `_bulk_docs`, at a
//! seventh to a thirtieth of the CPU of single writes.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blitz_contract::{Frame, Stream};
use serde::{Deserialize, Serialize};

/// A chunk is closed when it holds this many bytes of frames: one read of a pipe, far below the store's
/// document limit.
pub const CHUNK_BYTES: usize = 64 << 10;

/// A piece of output, `<job>:out.<attempt>.<incarnation>.<seq>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Always `out`.
    pub kind: ChunkKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// In the order in which the plugin gave them.
    pub frames: Vec<StoredFrame>,
}

/// The `kind` of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChunkKind {
    /// The only one.
    Out,
}

/// A frame as it is stored and sent to readers: text where it is UTF-8, base64 where it is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFrame {
    /// `stdout`, `stderr`, `file:NAME` or `event:KIND`.
    pub stream: String,
    /// The bytes, when they are UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The bytes in base64, when they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

impl StoredFrame {
    /// A frame as it is stored.
    #[must_use]
    pub fn new(frame: Frame) -> Self {
        let stream = frame.stream.to_string();
        match String::from_utf8(frame.bytes) {
            Ok(text) => Self { stream, text: Some(text), base64: None },
            Err(e) => Self { stream, text: None, base64: Some(STANDARD.encode(e.as_bytes())) },
        }
    }

    /// The frame again; `None` when the document does not have the form that this program writes.
    #[must_use]
    pub fn frame(&self) -> Option<Frame> {
        let bytes = match (&self.text, &self.base64) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(base64)) => STANDARD.decode(base64).ok()?,
            _ => return None,
        };
        Some(Frame { stream: Stream::parse(&self.stream)?, bytes })
    }
}

impl Chunk {
    /// A chunk of these frames.
    #[must_use]
    pub fn new(frames: Vec<StoredFrame>) -> Self {
        Self { kind: ChunkKind::Out, blitz: crate::BUILD.to_owned(), frames }
    }
}

/// blake3 of a whole output, independent of how it was cut: each run of bytes of one stream counts as its
/// stream's name, a zero byte, the bytes, and their length.
#[derive(Debug, Clone, Default)]
pub struct Digest {
    hasher: blake3::Hasher,
    /// The stream of the open run, and its length.
    open: Option<(String, u64)>,
    bytes: u64,
}

impl Digest {
    /// Adds the next bytes of `stream`.
    pub fn add(&mut self, stream: &str, bytes: &[u8]) {
        if self.open.as_ref().is_none_or(|(name, _)| name != stream) {
            self.close();
            self.hasher.update(stream.as_bytes()).update(&[0]);
            self.open = Some((stream.to_owned(), 0));
        }
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if let Some((_, run)) = &mut self.open {
            *run += length;
        }
        self.bytes += length;
        self.hasher.update(bytes);
    }

    fn close(&mut self) {
        if let Some((_, length)) = self.open.take() {
            self.hasher.update(&length.to_le_bytes());
        }
    }

    /// Bytes of all streams so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digest in hexadecimal.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.close();
        self.hasher.finalize().to_hex().to_string()
    }
}

/// Gathers frames into chunks: the first at once, then each [`crate::timing::Timing::batch`] or
/// [`CHUNK_BYTES`].
///
/// Instants are durations since any fixed moment.
#[derive(Debug)]
pub struct Batch {
    wait: Duration,
    frames: Vec<Frame>,
    bytes: usize,
    /// When the gathered frames must go.
    due: Option<Duration>,
    /// When the last chunk went.
    last: Option<Duration>,
    next_seq: u64,
    digest: Digest,
}

impl Batch {
    /// An empty batch that holds frames back for `wait` at most.
    #[must_use]
    pub fn new(wait: Duration) -> Self {
        Self {
            wait,
            frames: Vec::new(),
            bytes: 0,
            due: None,
            last: None,
            next_seq: 0,
            digest: Digest::default(),
        }
    }

    /// Takes the next frame.
    pub fn add(&mut self, now: Duration, frame: Frame) {
        // An empty frame says nothing, except that an empty file is there.
        if frame.bytes.is_empty() && !matches!(frame.stream, Stream::File(_)) {
            return;
        }
        self.digest.add(&frame.stream.to_string(), &frame.bytes);
        self.bytes += frame.bytes.len();
        let due = self.last.map_or(now, |last| (last + self.wait).max(now));
        self.due.get_or_insert(due);
        match self.frames.last_mut() {
            // A record is one frame; bytes of other streams run on.
            Some(open)
                if open.stream == frame.stream && !matches!(frame.stream, Stream::Event(_)) =>
            {
                open.bytes.extend_from_slice(&frame.bytes);
            }
            _ => self.frames.push(frame),
        }
    }

    /// When [`Self::take`] will give something, if nothing is added until then.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        if self.is_full() { Some(Duration::ZERO) } else { self.due }
    }

    /// Whether it should be taken before more is added.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes >= CHUNK_BYTES
    }

    /// The gathered frames as the next chunk, if it is time, with its number.
    pub fn take(&mut self, now: Duration) -> Option<(u64, Chunk)> {
        self.due().filter(|&due| due <= now)?;
        Some(self.close(now))
    }

    /// What is left, as the last chunk.
    pub fn take_rest(&mut self, now: Duration) -> Option<(u64, Chunk)> {
        (!self.frames.is_empty()).then(|| self.close(now))
    }

    fn close(&mut self, now: Duration) -> (u64, Chunk) {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.bytes = 0;
        self.due = None;
        self.last = Some(now);
        (
            seq,
            Chunk::new(
                std::mem::take(&mut self.frames).into_iter().map(StoredFrame::new).collect(),
            ),
        )
    }

    /// The count of chunks, the count of bytes and the digest, when all is taken.
    #[must_use]
    pub fn finish(self) -> (u64, u64, String) {
        (self.next_seq, self.digest.bytes(), self.digest.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn frame(stream: Stream, bytes: &[u8]) -> Frame {
        Frame { stream, bytes: bytes.to_vec() }
    }

    #[test]
    fn the_first_goes_at_once_and_the_next_wait_for_company() {
        let mut batch = Batch::new(100 * MS);
        batch.add(5 * MS, frame(Stream::Stdout, b"a"));
        assert_eq!(batch.take(5 * MS).map(|(seq, _)| seq), Some(0));
        batch.add(6 * MS, frame(Stream::Stdout, b"b"));
        batch.add(7 * MS, frame(Stream::Stdout, b"c"));
        assert_eq!(batch.take(104 * MS), None);
        assert_eq!(batch.due(), Some(105 * MS));
        let (seq, chunk) = batch.take(105 * MS).unwrap();
        assert_eq!((seq, chunk.frames.len()), (1, 1));
        assert_eq!(chunk.frames[0].text.as_deref(), Some("bc"));
        // After a pause the next goes at once again.
        batch.add(900 * MS, frame(Stream::Stderr, b"d"));
        assert_eq!(batch.due(), Some(900 * MS));
        assert!(batch.take_rest(900 * MS).is_some());
        assert!(batch.take_rest(900 * MS).is_none());
        assert_eq!(batch.finish().0, 3);
    }

    #[test]
    fn an_empty_file_is_told() {
        let mut batch = Batch::new(100 * MS);
        batch.add(MS, frame(Stream::Stdout, b""));
        assert!(batch.take(MS).is_none());
        batch.add(MS, frame(Stream::File("out".to_owned()), b""));
        let (_, chunk) = batch.take(MS).unwrap();
        assert_eq!(chunk.frames[0].stream, "file:out");
    }

    #[test]
    fn a_full_chunk_goes_at_once() {
        let mut batch = Batch::new(100 * MS);
        batch.add(MS, frame(Stream::Stdout, b"a"));
        batch.take(MS).unwrap();
        batch.add(2 * MS, frame(Stream::Stdout, &vec![b'x'; CHUNK_BYTES]));
        assert!(batch.is_full());
        assert!(batch.take(2 * MS).is_some());
    }

    #[test]
    fn a_digest_does_not_see_the_cuts() {
        let digest = |pieces: &[(&str, &str)]| {
            let mut digest = Digest::default();
            pieces.iter().for_each(|(stream, bytes)| digest.add(stream, bytes.as_bytes()));
            digest.finish()
        };
        let whole = digest(&[("stdout", "abcd"), ("stderr", "x")]);
        assert_eq!(digest(&[("stdout", "a"), ("stdout", "bcd"), ("stderr", "x")]), whole);
        assert_ne!(digest(&[("stdout", "abc"), ("stderr", "dx")]), whole);
        assert_ne!(digest(&[("stderr", "x"), ("stdout", "abcd")]), whole);
    }

    #[test]
    fn bytes_that_are_no_text_survive() {
        for bytes in [&b"plain"[..], b"\xff\x00\xfe", "\u{e9}\u{65e5}".as_bytes()] {
            let stored = StoredFrame::new(frame(Stream::Stdout, bytes));
            assert_eq!(stored.frame().map(|f| f.bytes).as_deref(), Some(bytes));
        }
    }
}
