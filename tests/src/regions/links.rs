//! The ways of each process to each store: a proxy for each pair, which can be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::proxy::{Mode, Proxy};

/// How a link is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Nothing comes through, and nobody is told: connections stand, and are silent.
    Silent,
    /// Connections are closed, and new ones too.
    Closed,
}

/// All links, by who asks and which cluster is asked.
#[derive(Debug, Default)]
pub(super) struct Links {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    proxies: BTreeMap<(String, String), Arc<Proxy>>,
    /// The cluster beside which somebody runs; a cluster is at its own.
    places: BTreeMap<String, String>,
    /// Who is told when there is no way: all others find out by silence.
    told: BTreeSet<String>,
    /// Clusters that are cut off with all that is there.
    isolated: BTreeSet<String>,
}

impl Links {
    /// Says where somebody is.
    pub(super) fn place(&self, who: &str, cluster: &str) {
        self.lock().places.insert(who.to_owned(), cluster.to_owned());
    }

    /// Says that somebody's connections are refused where the others' are silent.
    pub(super) fn tell(&self, who: &str) {
        self.lock().told.insert(who.to_owned());
    }

    /// The address at which `from` reaches `to`, which is at `address`.
    pub(super) async fn address(&self, from: &str, to: &str, address: SocketAddr) -> SocketAddr {
        let link = (from.to_owned(), to.to_owned());
        if let Some(proxy) = self.lock().proxies.get(&link) {
            return proxy.address;
        }
        let proxy = Proxy::start(address).await.expect("a free port");
        let mut state = self.lock();
        if state.isolated.iter().any(|cluster| state.crosses(&link, cluster)) {
            state.cut(from, &proxy);
        }
        state.proxies.entry(link).or_insert_with(|| Arc::new(proxy)).address
    }

    pub(super) fn cut(&self, from: &str, to: &str, how: Cut) {
        let state = self.lock();
        let proxy = state.proxies.get(&(from.to_owned(), to.to_owned()));
        let proxy = proxy.unwrap_or_else(|| panic!("there is no link from {from} to {to}"));
        match how {
            Cut::Silent => proxy.set(Mode::Stall),
            Cut::Closed => {
                proxy.set(Mode::Refuse);
                proxy.cut();
            }
        }
    }

    pub(super) fn heal(&self, from: &str, to: &str) {
        if let Some(proxy) = self.lock().proxies.get(&(from.to_owned(), to.to_owned())) {
            proxy.set(Mode::Open);
        }
    }

    /// Cuts everything between a cluster's place and all others, or heals it.
    pub(super) fn isolate(&self, cluster: &str, is_cut: bool) {
        let mut state = self.lock();
        match is_cut {
            true => state.isolated.insert(cluster.to_owned()),
            false => state.isolated.remove(cluster),
        };
        for (link, proxy) in &state.proxies {
            if !state.crosses(link, cluster) {
                continue;
            }
            match is_cut {
                true => state.cut(&link.0, proxy),
                false => proxy.set(Mode::Open),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn cut(&self, from: &str, proxy: &Proxy) {
        if self.told.contains(from) {
            proxy.set(Mode::Refuse);
            proxy.cut();
        } else {
            proxy.set(Mode::Stall);
        }
    }

    /// Whether a link leads into a cluster's place or out of it.
    fn crosses(&self, (from, to): &(String, String), cluster: &str) -> bool {
        let place = self.places.get(from).unwrap_or(from);
        (place == cluster) != (to == cluster)
    }
}
