//! What a hop is called: its name, its address, or both, and whose network it is in.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use blitz_plugin::Host;
use blitz_plugin::probes::{Network, Session};

use crate::path::{Hop, Path};
use crate::settings::Settings;

/// For a hop that never answered, and a network that is not known.
pub(crate) const UNKNOWN: &str = "???";

/// What is known of addresses.
#[derive(Debug, Default)]
pub(crate) struct Names {
    names: BTreeMap<IpAddr, String>,
    networks: BTreeMap<IpAddr, Network>,
    shows_addresses: bool,
}

impl Names {
    /// Those of all rows, waited for no longer than so.
    pub(crate) fn of(
        path: &Path,
        settings: &Settings,
        session: &mut dyn Session,
        wait: Duration,
    ) -> Self {
        let shows_addresses = settings.shows_addresses;
        if !settings.target.names {
            return Self { shows_addresses, ..Self::default() };
        }
        let addresses = addresses(path);
        let found = session.names(&addresses, wait);
        // A name is the word of a stranger: one that a terminal would obey is not shown.
        let fits = |name: &String| !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic());
        let named = addresses.into_iter().zip(found);
        let names = named.filter_map(|(address, name)| Some((address, name.filter(fits)?)));
        Self { names: names.collect(), shows_addresses, ..Self::default() }
    }

    /// Adds whose networks they are in. Without a database all are unknown, and the reason is told.
    pub(crate) fn with_networks(mut self, path: &Path, host: &mut dyn Host) -> Self {
        let addresses = addresses(path);
        match host.networks(&addresses) {
            Ok(found) => {
                let known = addresses.into_iter().zip(found);
                self.networks = known.filter_map(|(at, whose)| Some((at, whose?))).collect();
            }
            Err(error) => {
                writeln!(host.stderr(), "mtr: -z: {error}").ok();
            }
        }
        self
    }

    /// The hop's latest answerer.
    pub(crate) fn hop(&self, hop: &Hop) -> String {
        let latest = hop.answerers().next();
        latest.map_or_else(|| UNKNOWN.to_owned(), |latest| self.address(latest.address))
    }

    pub(crate) fn address(&self, address: IpAddr) -> String {
        match self.names.get(&address) {
            Some(name) if self.shows_addresses => format!("{name} ({address})"),
            Some(name) => name.clone(),
            None => address.to_string(),
        }
    }

    pub(crate) fn name(&self, address: IpAddr) -> Option<&str> {
        self.names.get(&address).map(String::as_str)
    }

    pub(crate) fn asn(&self, address: IpAddr) -> Option<u32> {
        self.networks.get(&address)?.asn
    }
}

fn addresses(path: &Path) -> Vec<IpAddr> {
    path.rows().iter().flat_map(|hop| &hop.addresses).map(|known| known.address).collect()
}
