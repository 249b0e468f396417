//! How much the documents of plugins on the shelf take, and whether one more fits.

use std::collections::HashMap;

/// Versions that an engine knows: a thousand plugins with ten versions each, about 2 KiB a document.
pub(super) const KNOWN_MAX: usize = 10_000;

/// What their documents may have together, in bytes of JSON: six times what so many have.
pub(super) const KNOWN_BYTES_MAX: usize = 128 << 20;

/// Bytes of the documents on the shelf, by id.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    pub(super) of: HashMap<String, usize>,
    pub(super) sum: usize,
}

impl Sizes {
    pub(super) fn fits(&self, id: &str, bytes: usize) -> bool {
        let before = self.of.get(id);
        let count = self.of.len() + usize::from(before.is_none());
        count <= KNOWN_MAX && self.sum - before.unwrap_or(&0) + bytes <= KNOWN_BYTES_MAX
    }

    pub(super) fn put(&mut self, id: &str, bytes: usize) {
        self.remove(id);
        self.of.insert(id.to_owned(), bytes);
        self.sum += bytes;
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.sum -= self.of.remove(id).unwrap_or(0);
    }
}
