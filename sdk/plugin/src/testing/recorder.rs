//! A stream that remembers.

use std::io::{self, Write};

/// A stream that remembers its bytes and where it was flushed.
#[derive(Debug, Default)]
pub struct Recorder {
    /// All bytes.
    pub bytes: Vec<u8>,
    /// How many bytes stood there at each flush that showed something new.
    pub flushed_at: Vec<usize>,
    /// Writing fails from here on: the reader is gone.
    pub is_closed: bool,
}

impl Write for Recorder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.flushed_at.last().copied().unwrap_or(0) < self.bytes.len() {
            self.flushed_at.push(self.bytes.len());
        }
        Ok(())
    }
}
