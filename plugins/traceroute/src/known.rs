//! What is known of the addresses on the way: their names, and whose networks they are in.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use blitz_plugin::probes::{Network, Session};
use blitz_plugin::{Failure, Host};

/// All waiting for names together. They are looked up while answers are waited for, so most are there.
const NAMES_WAIT_MAX: Duration = Duration::from_millis(500);
/// A wait is measured in whole milliseconds, so one that went to its end may seem shorter.
const EARLY: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(crate) struct Known {
    wants_names: bool,
    names: BTreeMap<IpAddr, Option<String>>,
    names_wait: Duration,
    /// `-A`: the user wants to know why there are no networks.
    tells_networks: bool,
    /// The engine has a database, as far as is known.
    has_networks: bool,
    networks: BTreeMap<IpAddr, Network>,
}

impl Known {
    pub(crate) fn new(wants_names: bool, tells_networks: bool) -> Self {
        Self {
            wants_names,
            names: BTreeMap::new(),
            names_wait: NAMES_WAIT_MAX,
            tells_networks,
            has_networks: true,
            networks: BTreeMap::new(),
        }
    }

    pub(crate) fn name(&self, address: IpAddr) -> Option<&str> {
        self.names.get(&address)?.as_deref()
    }

    pub(crate) fn network(&self, address: IpAddr) -> Option<&Network> {
        self.networks.get(&address)
    }

    /// Names that are not there by now are left out.
    pub(crate) fn hurry(&mut self) {
        self.names_wait = Duration::ZERO;
    }

    /// Whether it is known how they are called, or that they are not; waits no longer than so.
    pub(crate) fn has_names(
        &mut self,
        addresses: &[IpAddr],
        wait: Duration,
        session: &mut dyn Session,
    ) -> bool {
        let is_open = |address: &IpAddr| !self.names.contains_key(address);
        let open: Vec<IpAddr> = addresses.iter().copied().filter(is_open).collect();
        if !self.wants_names || open.is_empty() {
            return true;
        }
        let wait = wait.min(self.names_wait);
        let begun = session.elapsed();
        let names = session.names(&open, wait);
        let took = session.elapsed().saturating_sub(begun);
        self.names_wait = self.names_wait.saturating_sub(took);
        // Who comes back early has nothing more to wait for.
        let is_over = took + EARLY < wait || self.names_wait.is_zero();
        let mut are_known = true;
        for (address, name) in open.into_iter().zip(names) {
            // A name is whatever its owner wrote.
            let name = name.filter(|name| name.bytes().all(|b| b.is_ascii_graphic()));
            if name.is_some() || is_over {
                self.names.insert(address, name);
            } else {
                are_known = false;
            }
        }
        are_known
    }

    /// Asks the engine's own database; that there is none is told once to who asked for it.
    pub(crate) fn look_up_networks(
        &mut self,
        addresses: &[IpAddr],
        host: &mut dyn Host,
    ) -> Result<(), Failure> {
        if !self.has_networks || addresses.is_empty() {
            return Ok(());
        }
        match host.networks(addresses) {
            Ok(networks) => {
                let known = addresses.iter().zip(networks);
                self.networks
                    .extend(known.filter_map(|(address, network)| Some((*address, network?))));
            }
            Err(error) => {
                self.has_networks = false;
                if self.tells_networks {
                    writeln!(host.stderr(), "traceroute: -A: {error}")?;
                }
            }
        }
        Ok(())
    }
}
