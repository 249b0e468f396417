//! The system's resolver: `/etc/hosts`, its order, its search lists and its caches count.

use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::limits::{LOOKUPS_MAX, RESOLV_CONF_MAX_BYTES};
use super::resolve::DNS_PORT;

/// Where this machine names its resolvers.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The DNS server that the system asks first. Read each time, as it changes with the network.
pub(super) async fn server() -> Result<SocketAddr, String> {
    let reading = tokio::task::spawn_blocking(|| {
        let mut text = Vec::new();
        let file = std::fs::File::open(RESOLV_CONF)?;
        file.take(RESOLV_CONF_MAX_BYTES).read_to_end(&mut text)?;
        Ok::<_, io::Error>(text)
    });
    let read = reading.await.map_err(io::Error::other).flatten();
    let text = read.map_err(|error| format!("{RESOLV_CONF}: {error}"))?;
    first_server(&String::from_utf8_lossy(&text))
        .ok_or_else(|| format!("{RESOLV_CONF} names no address"))
}

/// Source: resolv.conf(5). A scope (`fe80::1%eth0`) has no meaning here, such servers are passed over.
fn first_server(text: &str) -> Option<SocketAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        if words.next()? != "nameserver" {
            return None;
        }
        words.next()?.parse::<IpAddr>().ok()
    });
    servers.map(|address| SocketAddr::new(address, DNS_PORT)).next()
}

/// Bounds the threads that wait for the system's resolver.
#[derive(Debug)]
pub(super) struct SystemResolver {
    lookups: Arc<Semaphore>,
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self { lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)) }
    }
}

impl SystemResolver {
    /// All addresses of the name, in the system's order. `turn` is what the caller's own bound gave, if it has one.
    pub(super) async fn lookup(
        &self,
        name: &str,
        port: u16,
        turn: Option<OwnedSemaphorePermit>,
    ) -> io::Result<Vec<SocketAddr>> {
        let name = name.to_owned();
        let permit = Arc::clone(&self.lookups).acquire_owned().await.map_err(io::Error::other)?;
        let lookup = tokio::task::spawn_blocking(move || {
            let addresses =
                (name.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
            // Held by the thread: a caller that stops waiting does not free it.
            drop((permit, turn));
            addresses
        });
        lookup.await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_server_is_found() {
        for (text, wanted) in [
            ("nameserver 127.0.0.53\nnameserver 9.9.9.9\n", Some("127.0.0.53:53")),
            ("# nameserver 1.1.1.1\nsearch x\n nameserver\t::1 \n", Some("[::1]:53")),
            ("nameserver fe80::1%eth0\nnameserver 9.9.9.9", Some("9.9.9.9:53")),
            ("nameservers 9.9.9.9\nnameserver\nnameserver name\n", None),
            ("", None),
        ] {
            let found = first_server(text).map(|server| server.to_string());
            assert_eq!(found.as_deref(), wanted, "{text:?}");
        }
    }
}
