//! Lines out of pieces of a stream, as they come from the network.

use bytes::{Bytes, BytesMut};

/// Collects pieces and gives whole lines, without their ends and without the empty ones.
#[derive(Debug)]
pub(crate) struct Lines {
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line end.
    searched: usize,
    limit_bytes: usize,
}

/// A line longer than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LineTooLong {
    pub(crate) limit_bytes: usize,
}

impl Lines {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self { buffer: BytesMut::new(), searched: 0, limit_bytes }
    }

    /// Adds what has arrived.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// Takes the next whole line out; `None` when more must arrive first.
    ///
    /// The buffer never holds more than the limit and one piece of the network.
    pub(crate) fn next_line(&mut self) -> Result<Option<Bytes>, LineTooLong> {
        loop {
            let rest = self.buffer.get(self.searched..).unwrap_or_default();
            let Some(offset) = rest.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.buffer.len();
                return self.within_limit(self.searched).map(|()| None);
            };
            let mut line = self.buffer.split_to(self.searched + offset + 1);
            self.searched = 0;
            line.truncate(line.len() - 1);
            if line.last() == Some(&b'\r') {
                line.truncate(line.len() - 1);
            }
            self.within_limit(line.len())?;
            if !line.is_empty() {
                return Ok(Some(line.freeze()));
            }
        }
    }

    fn within_limit(&self, line_bytes: usize) -> Result<(), LineTooLong> {
        if line_bytes > self.limit_bytes {
            return Err(LineTooLong { limit_bytes: self.limit_bytes });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TOO_LONG: LineTooLong = LineTooLong { limit_bytes: 8 };

    #[test]
    fn pieces_become_lines_and_heartbeats_vanish() {
        let mut lines = Lines::new(8);
        lines.push(b"\n\nab");
        assert_eq!(lines.next_line(), Ok(None));
        lines.push(b"c\r\n\nde\nf");
        assert_eq!(lines.next_line(), Ok(Some(Bytes::from("abc"))));
        assert_eq!(lines.next_line(), Ok(Some(Bytes::from("de"))));
        assert_eq!(lines.next_line(), Ok(None));
    }

    #[test]
    fn a_line_over_the_limit_is_refused_before_and_after_its_end() {
        let mut lines = Lines::new(8);
        lines.push(b"12345678\n123456789");
        assert_eq!(lines.next_line(), Ok(Some(Bytes::from("12345678"))));
        assert_eq!(lines.next_line(), Err(TOO_LONG));
        let mut lines = Lines::new(8);
        lines.push(b"123456789\n");
        assert_eq!(lines.next_line(), Err(TOO_LONG));
    }

    proptest! {
        #[test]
        fn the_same_lines_come_however_the_stream_is_cut(
            wanted in proptest::collection::vec("[a-z{}]{0,9}", 0..20),
            cuts in proptest::collection::vec(1_usize..12, 1..60),
        ) {
            let text: String = wanted.iter().map(|line| format!("{line}\n")).collect();
            let mut lines = Lines::new(16);
            let mut seen = Vec::new();
            let mut rest = text.as_bytes();
            let mut cuts = cuts.iter().cycle();
            while !rest.is_empty() {
                let cut = rest.len().min(*cuts.next().unwrap());
                lines.push(&rest[..cut]);
                rest = &rest[cut..];
                while let Some(line) = lines.next_line().unwrap() {
                    seen.push(String::from_utf8(line.to_vec()).unwrap());
                }
            }
            let wanted: Vec<_> = wanted.into_iter().filter(|line| !line.is_empty()).collect();
            prop_assert_eq!(seen, wanted);
        }
    }
}
