//! Zstandard data on its way to the decoder, held against a limit for its window: the decoder's own
//! limit is 128 MiB, and a window is memory.
//!
//! Follows the framing of all frames and leaves the content to the decoder.
//!
//! Source: RFC 8878, section 3.1.1.

use std::io::{self, Read};

/// What a decoder of the content encoding `zstd` need not go beyond (RFC 9659).
const WINDOW_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// A reader of Zstandard frames.
pub(super) struct Windowed<R> {
    reader: R,
    framing: Framing,
}

impl<R> Windowed<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, framing: Framing::default() }
    }
}

impl<R: Read> Read for Windowed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        self.framing.pass(&buffer[..length])?;
        Ok(length)
    }
}

/// Where in a frame the next byte stands.
#[derive(Debug, Default)]
struct Framing {
    /// The head that is being read: 18 bytes at most.
    head: Vec<u8>,
    /// Bytes of content before the next head.
    skip: u64,
    part: Part,
}

#[derive(Debug, Default, Clone, Copy)]
enum Part {
    #[default]
    Frame,
    Block {
        has_checksum: bool,
    },
    /// No frame at all: the decoder's to refuse.
    Foreign,
}

impl Framing {
    fn pass(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        loop {
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
            self.skip -= u64::try_from(skipped).unwrap_or(self.skip);
            bytes = &bytes[skipped..];
            let Some((&byte, rest)) = bytes.split_first() else { return Ok(()) };
            bytes = rest;
            match self.part {
                Part::Foreign => return Ok(()),
                Part::Frame => {
                    self.head.push(byte);
                    self.frame()?;
                }
                Part::Block { has_checksum } => {
                    self.head.push(byte);
                    self.block(has_checksum);
                }
            }
        }
    }

    fn frame(&mut self) -> io::Result<()> {
        const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
        let Some((magic, rest)) = self.head.split_first_chunk::<4>() else { return Ok(()) };
        // A frame that is passed over has any of 16 numbers, and its length.
        if magic[0] & 0xf0 == 0x50 && magic[1..] == [0x2a, 0x4d, 0x18] {
            if let Ok(length) = <[u8; 4]>::try_from(rest) {
                self.skip = u32::from_le_bytes(length).into();
                self.head.clear();
            }
            return Ok(());
        }
        if *magic != MAGIC {
            self.part = Part::Foreign;
            return Ok(());
        }
        let Some((&descriptor, rest)) = rest.split_first() else { return Ok(()) };
        let is_single = descriptor & 0x20 != 0;
        let window_length = usize::from(!is_single);
        let dictionary_length = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let size_length = match descriptor >> 6 {
            0 => usize::from(is_single),
            flag => 1 << flag,
        };
        if rest.len() < window_length + dictionary_length + size_length {
            return Ok(());
        }
        let window = match rest.first().filter(|_| !is_single) {
            Some(&byte) => {
                let base = 1_u64 << (10 + (byte >> 3));
                base + base / 8 * u64::from(byte & 7)
            }
            None => {
                let size = &rest[dictionary_length..];
                let size = size.iter().rev().fold(0, |size, &byte| size << 8 | u64::from(byte));
                if size_length == 2 { size + 256 } else { size }
            }
        };
        if window > WINDOW_MAX_BYTES {
            return Err(io::Error::other(format!(
                "zstd data wants a window of {window} bytes; at most {WINDOW_MAX_BYTES} are lent"
            )));
        }
        self.head.clear();
        self.part = Part::Block { has_checksum: descriptor & 4 != 0 };
        Ok(())
    }

    fn block(&mut self, has_checksum: bool) {
        let Ok([low, middle, high]) = <[u8; 3]>::try_from(self.head.as_slice()) else { return };
        self.head.clear();
        let head = u32::from_le_bytes([low, middle, high, 0]);
        let (is_last, kind, size) = (head & 1 == 1, head >> 1 & 3, head >> 3);
        // A run is one byte, however long.
        self.skip = if kind == 1 { 1 } else { size.into() };
        if is_last {
            self.skip += if has_checksum { 4 } else { 0 };
            self.part = Part::Frame;
        }
    }
}
