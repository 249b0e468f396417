//! The addresses of this machine's interfaces, read anew every few seconds at most.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::limits::INTERFACES_MAX_AGE;

/// The addresses of this machine, as far as the system knows them: not those that a translator in front
/// of it puts on its packets.
#[derive(Debug)]
pub(super) struct Interfaces {
    read: fn() -> io::Result<Vec<IpAddr>>,
    cached: Mutex<Option<(Instant, Arc<[IpAddr]>)>>,
}

impl Default for Interfaces {
    fn default() -> Self {
        Self::by(read)
    }
}

impl Interfaces {
    pub(super) fn by(read: fn() -> io::Result<Vec<IpAddr>>) -> Self {
        Self { read, cached: Mutex::default() }
    }

    pub(super) fn contain(&self, address: IpAddr) -> bool {
        self.addresses().contains(&address)
    }

    fn addresses(&self) -> Arc<[IpAddr]> {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read_at, addresses)) = &*cached
            && read_at.elapsed() < INTERFACES_MAX_AGE
        {
            return Arc::clone(addresses);
        }
        let addresses = match (self.read)() {
            Ok(addresses) => addresses.into(),
            // The old list holds on. Without any, the check of the connected peer is what is left.
            Err(error) => {
                tracing::warn!(%error, "the addresses of the interfaces were not read");
                cached.as_ref().map_or_else(|| Arc::from([]), |(_, known)| Arc::clone(known))
            }
        };
        *cached = Some((Instant::now(), Arc::clone(&addresses)));
        addresses
    }
}

fn read() -> io::Result<Vec<IpAddr>> {
    Ok(if_addrs::get_if_addrs()?.iter().map(if_addrs::Interface::ip).collect())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn loopback_is_an_interface_of_this_machine() {
        assert!(Interfaces::default().contain(Ipv4Addr::LOCALHOST.into()));
        assert!(!Interfaces::default().contain(Ipv4Addr::new(8, 8, 8, 8).into()));
    }

    #[test]
    fn a_list_that_cannot_be_read_is_empty_and_no_end() {
        let interfaces = Interfaces::by(|| Err(io::Error::other("no netlink")));
        assert!(!interfaces.contain(Ipv4Addr::LOCALHOST.into()));
    }
}
