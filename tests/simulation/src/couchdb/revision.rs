//! The name of one version of a document, small enough to be copied, and the hash that it comes from.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};

use blitz_couchdb::Revision;

/// A revision: generation and hash, ordered as conflicts are decided among leaves that are equally alive.
///
/// The hash comes from the parent and the body: two equal bodies over one parent are one revision, on whichever
/// copy they were made. The document's id is no part of it, as in CouchDB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rev {
    /// How many edits led here, 1 for the first.
    pub generation: u32,
    /// What tells revisions of one generation apart.
    pub hash: u64,
}

impl Rev {
    /// The revision that a body (`None`: a tombstone) makes over its parent.
    #[must_use]
    pub fn child<B: Hash>(parent: Option<Rev>, body: Option<&B>) -> Rev {
        let mut mixer = Mixer::default();
        parent.hash(&mut mixer);
        body.hash(&mut mixer);
        Rev { generation: Rev::generation_after(parent), hash: mixer.finish() }
    }

    /// The generation of what follows a revision.
    #[must_use]
    pub fn generation_after(parent: Option<Rev>) -> u32 {
        parent.map_or(0, |parent| parent.generation).saturating_add(1)
    }
}

impl fmt::Display for Rev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.generation, self.hash)
    }
}

/// As the client of CouchDB names it. All hashes are equally long, so that the order stays the same.
impl From<Rev> for Revision {
    fn from(rev: Rev) -> Self {
        rev.to_string().parse().expect("a number, a dash and a hash")
    }
}

/// A fast hash that is the same in every process: a run of the simulation depends on its seed alone.
#[derive(Debug, Clone, Default)]
pub struct Mixer {
    state: u64,
}

/// Odd, with bits in no order: the golden ratio (Fibonacci hashing).
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Mixer {
    fn add(&mut self, word: u64) {
        self.state = (self.state.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.add(u64::from_le_bytes(word));
        }
        self.add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }

    fn write_u8(&mut self, number: u8) {
        self.add(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.add(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.add(number);
    }

    fn write_u128(&mut self, number: u128) {
        self.write(&number.to_le_bytes());
    }

    fn write_usize(&mut self, number: usize) {
        self.add(u64::try_from(number).unwrap_or(u64::MAX));
    }

    fn write_isize(&mut self, number: isize) {
        self.write(&number.to_le_bytes());
    }

    /// The last step of `SplitMix64`: revisions are compared, so every bit must depend on all.
    fn finish(&self) -> u64 {
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Makes a [`Mixer`] for each key of a map.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuildMixer;

impl BuildHasher for BuildMixer {
    type Hasher = Mixer;

    fn build_hasher(&self) -> Mixer {
        Mixer::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_depends_on_parent_and_body_alone() {
        let first = Rev::child(None, Some(&"a"));
        assert_eq!(first, Rev::child(None, Some(&"a")));
        assert_eq!(first.generation, 1);
        let others = [
            Rev::child(None, Some(&"b")),
            Rev::child(None, None::<&&str>),
            Rev::child(Some(first), Some(&"a")),
        ];
        for (place, other) in others.iter().enumerate() {
            assert!(!others[..place].contains(other) && *other != first, "{other}");
        }
    }

    #[test]
    fn the_client_sees_the_same_order() {
        let mut revs: Vec<Rev> = (0..200u32)
            .map(|number| Rev { generation: 1 + number % 3, ..Rev::child(None, Some(&number)) })
            .collect();
        revs.push(Rev { generation: 2, hash: 1 });
        revs.sort();
        let key = |revision: &Revision| (revision.generation(), revision.hash().to_owned());
        let revisions: Vec<Revision> = revs.iter().map(|rev| Revision::from(*rev)).collect();
        assert!(revisions.is_sorted_by_key(key));
    }

    /// Ties between equal claims are decided by the hash: it must not favour anybody.
    #[test]
    fn the_greater_hash_falls_on_each_side_equally_often() {
        let rounds = 10_000u32;
        let first = (0..rounds)
            .filter(|round| {
                Rev::child(None, Some(&(*round, 0u8))) > Rev::child(None, Some(&(*round, 1u8)))
            })
            .count();
        assert!((4_800..5_200).contains(&first), "{first} of {rounds}");
    }
}
