//! Hashes of states and of small keys: quick, the same everywhere, and wide enough to tell states apart by.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// A map whose keys are ours, and nobody's attack.
pub(super) type Map<K, V> = HashMap<K, V, BuildHasherDefault<Wide>>;

/// A map whose keys are hashes already.
pub(super) type HashedMap<V> = HashMap<u128, V, BuildHasherDefault<Taken>>;

/// 128 bits of hash.
pub(super) fn fingerprint(thing: &impl Hash) -> u128 {
    let mut hasher = Wide::default();
    thing.hash(&mut hasher);
    let [high, low] = hasher.lanes;
    let (high, low) = (fold(high, KEYS[1]) ^ low, fold(low, KEYS[0]) ^ high.rotate_left(31));
    u128::from(high) << 64 | u128::from(low)
}

/// Two lanes of multiply and fold.
#[derive(Debug)]
pub(super) struct Wide {
    lanes: [u64; 2],
}

/// Odd, and of no pattern.
const KEYS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];

impl Default for Wide {
    fn default() -> Self {
        Self { lanes: [0x2545_f491_4f6c_dd1d, 0x2127_599b_f432_5c37] }
    }
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    let low = u64::try_from(product & u128::from(u64::MAX)).unwrap_or_default();
    let high = u64::try_from(product >> 64).unwrap_or_default();
    low ^ high
}

impl Hasher for Wide {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        for (lane, key) in self.lanes.iter_mut().zip(KEYS) {
            *lane = fold(*lane ^ word, key).wrapping_add(lane.rotate_left(23));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(u64::from(byte));
    }

    fn write_u16(&mut self, word: u16) {
        self.write_u64(u64::from(word));
    }

    // Of the length of an array, which is the same for all, and of the name of a variant.
    fn write_usize(&mut self, _: usize) {}

    fn write_isize(&mut self, variant: isize) {
        self.write(&variant.to_le_bytes());
    }

    fn finish(&self) -> u64 {
        self.lanes[0]
    }
}

/// Takes a key for its own hash.
#[derive(Debug, Default)]
pub(super) struct Taken(u64);

impl Hasher for Taken {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
