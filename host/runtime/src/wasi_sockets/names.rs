//! Which names gave which addresses in one run, so that rules with a host hold for connections to addresses.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::egress::Resolved;

/// Pairs of a name and an address that are remembered; the oldest goes first, and its address is then judged
/// without a name. A crawler of a few hundred hosts fits.
const PAIRS_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Names(Mutex<VecDeque<Pair>>);

#[derive(Debug, PartialEq, Eq)]
struct Pair {
    address: IpAddr,
    name: String,
    resolver: Option<String>,
}

impl Names {
    /// Remembers the answer to a lookup.
    pub(super) fn note(&self, resolved: &Resolved) {
        let Some(name) = &resolved.name else { return };
        let mut pairs = self.pairs();
        for address in &resolved.addresses {
            let address = address.ip().to_canonical();
            let pair = Pair { address, name: name.clone(), resolver: resolved.resolver.clone() };
            pairs.retain(|known| *known != pair);
            if pairs.len() >= PAIRS_MAX {
                pairs.pop_front();
            }
            pairs.push_back(pair);
        }
    }

    /// The address as each of its names gave it, the latest first; by itself when it has none.
    pub(super) fn candidates(&self, address: SocketAddr) -> Vec<Resolved> {
        let ip = address.ip().to_canonical();
        let resolved = |name, resolver| Resolved { name, addresses: vec![address], resolver };
        let named: Vec<_> = self
            .pairs()
            .iter()
            .rev()
            .filter(|pair| pair.address == ip)
            .map(|pair| resolved(Some(pair.name.clone()), pair.resolver.clone()))
            .collect();
        if named.is_empty() { vec![resolved(None, None)] } else { named }
    }

    fn pairs(&self) -> MutexGuard<'_, VecDeque<Pair>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(name: &str, address: &str) -> Resolved {
        Resolved {
            name: Some(name.to_owned()),
            addresses: vec![address.parse().unwrap()],
            resolver: Some("system".to_owned()),
        }
    }

    fn names_of(names: &Names, address: &str) -> Vec<Option<String>> {
        let candidates = names.candidates(address.parse().unwrap());
        candidates.into_iter().map(|resolved| resolved.name).collect()
    }

    #[test]
    fn an_address_has_the_names_that_gave_it() {
        let names = Names::default();
        assert_eq!(names_of(&names, "1.1.1.1:80"), [None]);
        names.note(&answer("a", "1.1.1.1:0"));
        names.note(&answer("b", "1.1.1.1:0"));
        names.note(&answer("c", "[::ffff:2.2.2.2]:0"));
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(names_of(&names, "1.1.1.1:80"), [some("b"), some("a")]);
        names.note(&answer("a", "1.1.1.1:0"));
        assert_eq!(names_of(&names, "1.1.1.1:80"), [some("a"), some("b")]);
        assert_eq!(names_of(&names, "2.2.2.2:80"), [some("c")]);
        assert_eq!(names_of(&names, "[::ffff:2.2.2.2]:80"), [some("c")]);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let names = Names::default();
        for n in 0..=PAIRS_MAX {
            names.note(&answer(&n.to_string(), "1.1.1.1:0"));
        }
        let found = names_of(&names, "1.1.1.1:80");
        assert_eq!(found.len(), PAIRS_MAX);
        assert_eq!(found.last(), Some(&Some("1".to_owned())));
    }
}
