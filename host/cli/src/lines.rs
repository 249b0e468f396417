//! `japan | `: lines of one stream with the name of their region in front. Pure.

/// Bytes of a line that are held back until its end comes; a longer one is cut into several. It is what
/// one chunk of output holds.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// One stream of one region. A line is given only when it is whole, so that regions do not mix in it.
#[derive(Debug)]
pub(crate) struct Lines {
    prefix: Vec<u8>,
    held: Vec<u8>,
}

impl Lines {
    /// Lines that begin with `prefix`.
    pub(crate) fn new(prefix: impl Into<Vec<u8>>) -> Self {
        Self { prefix: prefix.into(), held: Vec::new() }
    }

    /// Takes bytes and gives the lines that they complete, prefixed.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut whole = Vec::new();
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            for part in piece.chunks(LINE_BYTES_MAX) {
                self.held.extend_from_slice(part);
                if self.held.ends_with(b"\n") || self.held.len() >= LINE_BYTES_MAX {
                    whole.extend(self.finish());
                }
            }
        }
        whole
    }

    /// The line that never got its end, with one.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        if self.held.is_empty() {
            return Vec::new();
        }
        let mut line = self.prefix.clone();
        line.append(&mut self.held);
        if !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        line
    }

    /// Forgets what is held: it belonged to an attempt that is void.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_are_prefixed() {
        for (pieces, shown) in [
            (&["a\nb\n"][..], "x | a\nx | b\n"),
            (&["a", "b", "\n", "\n"], "x | ab\nx | \n"),
            (&["no end"], "x | no end\n"),
            (&["a\r\n"], "x | a\r\n"),
            (&[], ""),
        ] {
            let mut lines = Lines::new("x | ");
            let mut given: Vec<u8> = pieces.iter().flat_map(|p| lines.push(p.as_bytes())).collect();
            given.extend(lines.finish());
            assert_eq!(String::from_utf8(given).unwrap(), shown, "{pieces:?}");
        }
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mut lines = Lines::new("x | ");
        let given = lines.push(&vec![b'a'; 2 * LINE_BYTES_MAX + 1]);
        assert_eq!(given.iter().filter(|b| **b == b'\n').count(), 2);
        assert_eq!(lines.finish(), b"x | a\n");
        lines.push(b"void");
        lines.clear();
        assert!(lines.finish().is_empty());
    }
}
