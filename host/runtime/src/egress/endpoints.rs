//! Services of the operator that plugins must not reach, and where they are at the moment.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use super::limits::{
    ENDPOINT_ADDRESSES_MAX, ENDPOINT_LOOKUP_TIME, ENDPOINT_MEMORY, ENDPOINTS_MAX_AGE,
};
use super::system::SystemResolver;

/// A service that is never a target, such as the engine's store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    what: &'static str,
    host: String,
    port: u16,
}

impl Endpoint {
    /// `what` names it in refusals, after "is": `the engine's store`. `host` is a name or an IP address, with or
    /// without the brackets of a URL. A name is looked up by the system when connections are made, anew
    /// every 10 seconds at most.
    #[must_use]
    pub fn new(what: &'static str, host: &str, port: u16) -> Self {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        Self { what, host: bare.unwrap_or(host).to_owned(), port }
    }
}

/// All of them, with their addresses.
#[derive(Debug)]
pub(super) struct Endpoints {
    all: RwLock<All>,
    known: Mutex<Known>,
    /// Its own, so that users' lookups that hang do not hold this one up.
    system: SystemResolver,
    /// One lookup at a time. Who comes meanwhile goes by what is known, or waits for the first one.
    lookup: tokio::sync::Mutex<()>,
}

/// Which ones there are. They only become more.
#[derive(Debug, Default)]
struct All {
    literal: Vec<(Endpoint, IpAddr)>,
    named: Vec<Endpoint>,
}

/// Where those that have names are.
#[derive(Debug, Default)]
struct Known {
    looked_up: Option<Instant>,
    /// When each address was last given. The number is the place in `named`.
    addresses: HashMap<(usize, IpAddr), Instant>,
}

impl Endpoints {
    pub(super) fn new(endpoints: Vec<Endpoint>) -> Self {
        let made = Self {
            all: RwLock::default(),
            known: Mutex::default(),
            system: SystemResolver::default(),
            lookup: tokio::sync::Mutex::default(),
        };
        endpoints.into_iter().for_each(|endpoint| made.add(endpoint));
        made
    }

    /// One more. Nothing is done about one that is there.
    pub(super) fn add(&self, endpoint: Endpoint) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        match endpoint.host.parse::<IpAddr>() {
            Ok(address) => {
                if all.literal.iter().all(|(known, _)| *known != endpoint) {
                    all.literal.push((endpoint, address.to_canonical()));
                }
            }
            Err(_) => {
                if !all.named.contains(&endpoint) {
                    all.named.push(endpoint);
                    // The next connection looks it up.
                    self.known().looked_up = None;
                }
            }
        }
    }

    fn all(&self) -> RwLockReadGuard<'_, All> {
        self.all.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the first one is called whose address and port `matches`.
    pub(super) fn find(&self, matches: impl Fn(IpAddr, u16) -> bool) -> Option<&'static str> {
        let all = self.all();
        let literal = all.literal.iter().find(|(endpoint, ip)| matches(*ip, endpoint.port));
        if let Some((endpoint, _)) = literal {
            return Some(endpoint.what);
        }
        if all.named.is_empty() {
            return None;
        }
        let known = self.known();
        let mut addresses = known.addresses.keys().map(|(at, ip)| (&all.named[*at], *ip));
        addresses
            .find(|(endpoint, ip)| matches(*ip, endpoint.port))
            .map(|(endpoint, _)| endpoint.what)
    }

    /// Looks the names up, unless that was done in the last seconds. A name that does not resolve in time
    /// keeps the addresses that it had; without any it names nothing that could be reached by it now.
    pub(super) async fn refresh(&self) {
        if self.is_fresh() {
            return;
        }
        let _one_at_a_time = match self.lookup.try_lock() {
            Ok(first) => first,
            Err(_) if self.known().looked_up.is_some() => return,
            Err(_) => self.lookup.lock().await,
        };
        if self.is_fresh() {
            return;
        }
        let named = self.all().named.clone();
        let count = named.len();
        for (at, endpoint) in named.iter().enumerate() {
            let lookup = self.system.lookup(&endpoint.host, endpoint.port, None);
            let found = tokio::time::timeout(ENDPOINT_LOOKUP_TIME, lookup).await;
            match found.unwrap_or_else(|late| Err(io::Error::other(late))) {
                Ok(addresses) => self.note(at, &addresses, Instant::now()),
                Err(error) => {
                    let (what, host) = (endpoint.what, &endpoint.host);
                    tracing::warn!(what, host, %error, "where a protected endpoint is, was not found");
                }
            }
        }
        // One that was added meanwhile is still to be looked up.
        let all = self.all();
        if all.named.len() == count {
            self.known().looked_up = Some(Instant::now());
        }
    }

    fn note(&self, at: usize, addresses: &[SocketAddr], now: Instant) {
        let mut known = self.known();
        let is_remembered = |seen: &Instant| now.duration_since(*seen) < ENDPOINT_MEMORY;
        known.addresses.retain(|_, seen| is_remembered(seen));
        for address in addresses {
            let key = (at, address.ip().to_canonical());
            if known.addresses.len() < ENDPOINT_ADDRESSES_MAX || known.addresses.contains_key(&key)
            {
                known.addresses.insert(key, now);
            }
        }
    }

    fn is_fresh(&self) -> bool {
        self.all().named.is_empty()
            || self.known().looked_up.is_some_and(|at| at.elapsed() < ENDPOINTS_MAX_AGE)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    const FIRST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 5984);
    const SECOND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 5984);

    fn knows(endpoints: &Endpoints, address: SocketAddr) -> bool {
        endpoints.find(|known, port| SocketAddr::new(known, port) == address).is_some()
    }

    #[test]
    fn an_address_needs_no_lookup() {
        for host in ["10.0.0.1", "[::ffff:10.0.0.1]"] {
            let endpoints = Endpoints::new(vec![Endpoint::new("the store", host, 5984)]);
            assert!(endpoints.is_fresh() && knows(&endpoints, FIRST), "{host}");
            assert!(!knows(&endpoints, SECOND), "{host}");
        }
    }

    #[test]
    fn addresses_of_a_name_are_remembered_for_a_while() {
        let endpoints = Endpoints::new(vec![Endpoint::new("the store", "couch", 5984)]);
        assert!(!endpoints.is_fresh());
        let start = Instant::now();
        endpoints.note(0, &[FIRST], start);
        endpoints.note(0, &[SECOND], start + ENDPOINT_MEMORY - Duration::from_secs(1));
        assert!(knows(&endpoints, FIRST) && knows(&endpoints, SECOND));
        endpoints.note(0, &[SECOND], start + ENDPOINT_MEMORY);
        assert!(!knows(&endpoints, FIRST) && knows(&endpoints, SECOND));
    }

    #[tokio::test]
    async fn a_name_is_looked_up_by_the_system() {
        let endpoints = Endpoints::new(vec![
            Endpoint::new("the store", "localhost", 5984),
            Endpoint::new("the other", "name.invalid", 5984),
        ]);
        endpoints.refresh().await;
        assert!(endpoints.is_fresh());
        assert!(endpoints.find(|known, _| known.is_loopback()) == Some("the store"));
    }

    #[tokio::test]
    async fn more_may_be_added_and_are_looked_up() {
        let endpoints = Endpoints::new(Vec::new());
        endpoints.add(Endpoint::new("the store", "10.0.0.1", 5984));
        endpoints.add(Endpoint::new("the store", "10.0.0.1", 5984));
        assert!(endpoints.is_fresh() && knows(&endpoints, FIRST));
        assert_eq!(endpoints.all().literal.len(), 1);
        endpoints.add(Endpoint::new("the home", "localhost", 5984));
        assert!(!endpoints.is_fresh());
        endpoints.refresh().await;
        assert!(endpoints.find(|known, _| known.is_loopback()) == Some("the home"));
        endpoints.add(Endpoint::new("the home", "localhost", 5984));
        assert!(endpoints.is_fresh(), "nothing is new");
    }
}
