//! The last head of a step: most answers of a test have the very same one, and what was parsed once need not be parsed
//! again.

use super::Reader;

/// A longer head is not kept: 512 bytes hold the heads of common servers, and comparing more gains less.
const LAST_BYTES_MAX: usize = 512;

/// The head that was parsed last, and what it led to. Heads are read from their begin to their empty line and no further:
/// what begins with the same bytes has the same head.
#[derive(Debug, Default)]
pub(crate) struct LastHead {
    bytes: Vec<u8>,
    /// Behind it.
    reader: Option<Reader>,
}

impl LastHead {
    /// Where a reader is behind the head at the begin of `bytes`, and how long that is, where it is the known one.
    #[inline]
    pub(super) fn find(&self, bytes: &[u8], is_head: bool) -> Option<(Reader, usize)> {
        let reader = self.reader.filter(|reader| reader.is_head == is_head)?;
        bytes.starts_with(&self.bytes).then_some((reader, self.bytes.len()))
    }

    /// Keeps a head, and where the reader is behind it.
    pub(super) fn keep(&mut self, head: &[u8], reader: Reader) {
        if head.len() > LAST_BYTES_MAX {
            return;
        }
        self.bytes.clear();
        self.bytes.extend_from_slice(head);
        self.reader = Some(reader);
    }
}
