//! Passwords and tokens that were found right, so that Basic authentication does not hash a password for
//! each request, and a signature is checked once.
//!
//! A keyed hash of the name, what is stored for it, and the password, or of the token, is kept in memory.
//! A stored hash that changes makes another key, and whoever reads the memory of this process without its
//! key gains nothing that the store would not give.

use super::bounded::{Bounded, Digest};
use crate::store::database::random;
use ring::hmac;
use std::sync::{Mutex, PoisonError};

/// How many are remembered: a few passwords or tokens each for more users than a store has engines.
const REMEMBERED_MAX: usize = 10_000;

/// What was found right.
#[derive(Debug)]
pub(super) struct Known(Mutex<Bounded<()>>);

impl Known {
    pub(super) fn new() -> Known {
        Known(Mutex::new(Bounded::new(REMEMBERED_MAX)))
    }

    pub(super) fn has(&self, key: &Digest) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).is_some()
    }

    pub(super) fn add(&self, key: Digest) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key, || ());
    }
}

/// A key of this process, which no client knows.
#[derive(Debug)]
pub(super) struct Keyed(hmac::Key);

impl Keyed {
    pub(super) fn new() -> Keyed {
        Keyed(hmac::Key::new(hmac::HMAC_SHA256, &random::<32>()))
    }

    /// The keyed hash of these parts; no other parts share it.
    pub(super) fn digest(&self, parts: &[&[u8]]) -> Digest {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        let mut digest = [0; 32];
        for (byte, made) in digest.iter_mut().zip(context.sign().as_ref()) {
            *byte = *made;
        }
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cannot_be_moved_into_each_other() {
        let keyed = Keyed::new();
        assert_eq!(keyed.digest(&[b"a", b"b"]), keyed.digest(&[b"a", b"b"]));
        assert_ne!(keyed.digest(&[b"a", b"b"]), keyed.digest(&[b"ab", b""]));
        assert_ne!(keyed.digest(&[b"a", b"b"]), keyed.digest(&[b"ab"]));
        assert_ne!(keyed.digest(&[b"a"]), Keyed::new().digest(&[b"a"]));
    }
}
