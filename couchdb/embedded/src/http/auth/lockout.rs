//! Names that too many wrong passwords were tried for, from one address.

use super::bounded::{Bounded, Digest};
use http::request::Parts;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The wrong passwords after which even the right one is refused; CouchDB's own.
const THRESHOLD: u32 = 5;

/// How long they are remembered; CouchDB's own.
const LIFETIME: Duration = Duration::from_secs(300);

/// How many names and addresses are remembered; CouchDB's own.
const REMEMBERED_MAX: usize = 10_000;

/// Where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl Peer {
    /// The peer of a request, which the listener noted beside it.
    pub(crate) fn of(parts: &Parts) -> Peer {
        // Requests from inside this process come from nowhere else.
        let inside = Peer(IpAddr::V4(Ipv4Addr::LOCALHOST));
        parts.extensions.get::<Peer>().copied().unwrap_or(inside)
    }

    /// What one attacker cannot change at will: whoever has one IPv6 address has its whole /64.
    pub(super) fn network(self) -> [u8; 16] {
        match self.0.to_canonical() {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => {
                let prefix = u128::from(address) >> 64 << 64;
                Ipv6Addr::from(prefix).octets()
            }
        }
    }
}

/// Wrong passwords of the last minutes.
#[derive(Debug)]
pub(super) struct Lockout(Mutex<Bounded<Wrong>>);

#[derive(Debug)]
struct Wrong {
    count: u32,
    since: Instant,
}

impl Wrong {
    fn is_past(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= LIFETIME
    }
}

impl Lockout {
    pub(super) fn new() -> Lockout {
        Lockout(Mutex::new(Bounded::new(REMEMBERED_MAX)))
    }

    pub(super) fn is_locked(&self, key: &Digest, now: Instant) -> bool {
        let wrong = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.get(key).is_some_and(|wrong| wrong.count >= THRESHOLD && !wrong.is_past(now))
    }

    pub(super) fn count(&self, key: Digest, now: Instant) {
        let mut wrong = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wrong = wrong.entry(key, || Wrong { count: 0, since: now });
        if wrong.is_past(now) {
            *wrong = Wrong { count: 0, since: now };
        }
        wrong.count = wrong.count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_wrong_passwords_lock_for_five_minutes() {
        let (lockout, start, key) = (Lockout::new(), Instant::now(), [7; 32]);
        for _ in 0..THRESHOLD {
            assert!(!lockout.is_locked(&key, start));
            lockout.count(key, start);
        }
        assert!(lockout.is_locked(&key, start) && !lockout.is_locked(&[8; 32], start));
        assert!(lockout.is_locked(&key, start + LIFETIME - Duration::from_secs(1)));
        assert!(!lockout.is_locked(&key, start + LIFETIME));
        lockout.count(key, start + LIFETIME);
        assert!(!lockout.is_locked(&key, start + LIFETIME), "the count begins again");
    }

    #[test]
    fn a_network_is_what_an_attacker_has() {
        let network = |text: &str| Peer(text.parse().unwrap()).network();
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:2"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("10.0.0.1"), network("::ffff:10.0.0.1"));
        assert_ne!(network("10.0.0.1"), network("10.0.0.2"));
    }
}
