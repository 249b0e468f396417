//! When a run that ends by itself has seen enough of a source that is written to all the time.

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
};

/// A run ends after so many changes for each document that there was at its begin, whatever is missing: while documents are
/// written faster than they are copied, some come up again before others come up once, and would for ever.
const CHANGES_PER_DOCUMENT_MAX: u64 = 16;

/// The documents that came up in a run: 8 bytes of each, so that a hundred thousand take a megabyte or two.
#[derive(Debug)]
pub(crate) struct Seen {
    keys: RandomState,
    ids: HashSet<u64>,
    changes: u64,
    /// How many the source had at the begin.
    documents: u64,
}

impl Seen {
    pub(crate) fn new(documents: u64) -> Seen {
        Seen { keys: RandomState::new(), ids: HashSet::new(), changes: 0, documents }
    }

    /// Takes a page in: whether that is all that a run is for, though the source has more by now. A document that was written
    /// again comes up again, and counts once: what was there all the time may be behind it.
    pub(crate) fn is_all_with<'a>(&mut self, ids: impl Iterator<Item = &'a str>) -> bool {
        for id in ids {
            self.ids.insert(self.keys.hash_one(id));
            self.changes = self.changes.saturating_add(1);
        }
        let seen = u64::try_from(self.ids.len()).unwrap_or(u64::MAX);
        let changes_max = self.documents.saturating_mul(CHANGES_PER_DOCUMENT_MAX);
        seen >= self.documents || self.changes >= changes_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source of so many documents, which is read in pages of two.
    struct Source(Vec<String>);

    impl Source {
        fn new(documents: usize) -> Source {
            Source((0..documents).map(|n| format!("d{n}")).collect())
        }

        /// Reads a page, as a run that has read all before it does. Then these are written, and stand behind all others.
        fn page(&mut self, written: &[&str]) -> Vec<String> {
            let page: Vec<String> = self.0.drain(..self.0.len().min(2)).collect();
            self.0.retain(|id| !written.contains(&&**id));
            self.0.extend(written.iter().map(|id| (*id).to_owned()));
            page
        }
    }

    fn ids(page: &[String]) -> impl Iterator<Item = &str> {
        page.iter().map(|id| &**id)
    }

    #[test]
    fn a_document_that_is_written_again_counts_once() {
        let (mut source, mut seen) = (Source::new(6), Seen::new(6));
        // Those behind the first page move on behind it, so that it comes up again before them.
        let first = source.page(&["d0", "d1", "d2", "d3", "d4", "d5"]);
        assert!(!seen.is_all_with(ids(&first)));
        let again = source.page(&["d0", "d1", "d2", "d3", "d4", "d5"]);
        assert_eq!(again, first);
        assert!(!seen.is_all_with(ids(&again)));
        for is_all in [false, false, true] {
            let page = source.page(&["d0"]);
            assert_eq!(seen.is_all_with(ids(&page)), is_all, "{page:?}");
        }
    }

    #[test]
    fn a_run_ends_whatever_is_written_meanwhile() {
        for (documents, written) in [
            (0, &["x"][..]),
            (1, &["d0"]),
            // Two are always before the others.
            (4, &["d0", "d1", "d2", "d3"]),
        ] {
            let mut source = Source::new(documents);
            let mut seen = Seen::new(u64::try_from(documents).unwrap());
            let ends = (0..1_000).any(|_| seen.is_all_with(ids(&source.page(written))));
            assert!(ends, "{documents} documents");
        }
        // New ones all the time.
        let (mut source, mut seen, mut new) = (Source::new(9), Seen::new(9), 0);
        let ends = (0..1_000).any(|_| {
            new += 2;
            let written = [format!("n{new}"), format!("n{}", new + 1)];
            let page = source.page(&[&*written[0], &*written[1]]);
            seen.is_all_with(ids(&page))
        });
        assert!(ends);
    }
}
