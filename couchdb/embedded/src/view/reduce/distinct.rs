//! `_approx_count_distinct`: HyperLogLog over keys, with as many registers as CouchDB has.
//!
//! The hash is another one than CouchDB's, so an estimate may differ within the error of both.
//!
//! Source: Flajolet, Fusy, Gandouet, Meunier, "HyperLogLog" (2007), with its correction for few keys.

use md5::{Digest as _, Md5};

/// 2^11 registers: a standard error of 1.04 / sqrt(2048), 2.3 %.
const BITS: u32 = 11;
const REGISTERS: usize = 1 << BITS;

/// An estimate in the making.
#[derive(Debug)]
pub(crate) struct Distinct {
    registers: Box<[u8; REGISTERS]>,
}

impl Distinct {
    pub(super) fn new() -> Distinct {
        Distinct { registers: Box::new([0; REGISTERS]) }
    }

    pub(super) fn add(&mut self, key: &[u8]) {
        let digest = Md5::digest(key);
        let mut hash = 0_u64;
        for byte in digest.iter().take(8) {
            hash = hash << 8 | u64::from(*byte);
        }
        let register = usize::try_from(hash >> (u64::BITS - BITS)).unwrap_or(0);
        // The bit that is set stops the count where the hash ends.
        let rank = ((hash << BITS | 1 << (BITS - 1)).leading_zeros() + 1).min(u8::MAX.into());
        let rank = u8::try_from(rank).unwrap_or(u8::MAX);
        if let Some(known) = self.registers.get_mut(register) {
            *known = rank.max(*known);
        }
    }

    pub(super) fn estimate(&self) -> u64 {
        let count = 2_f64.powi(BITS.cast_signed());
        let sum: f64 = self.registers.iter().map(|rank| 2_f64.powi(-i32::from(*rank))).sum();
        let raw = 0.7213 / (1.0 + 1.079 / count) * count * count / sum;
        let empty: f64 = self.registers.iter().map(|rank| f64::from(u8::from(*rank == 0))).sum();
        let estimate =
            if raw <= 2.5 * count && empty > 0.0 { count * (count / empty).ln() } else { raw };
        #[expect(clippy::cast_possible_truncation, reason = "fewer than 2^63 keys")]
        #[expect(clippy::cast_sign_loss, reason = "an estimate is positive")]
        let estimate = estimate.round() as u64;
        estimate
    }
}
