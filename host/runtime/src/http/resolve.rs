//! From a name to addresses, by the system's resolver: `/etc/hosts`, its order and its caches count.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::failure::Failure;
use super::limits::{ADDRESSES_MAX, LOOKUPS_MAX};
use super::request::Destination;

/// Bounds the threads that wait for the system's resolver. A clone shares the bound.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    lookups: Arc<Semaphore>,
}

impl Default for Resolver {
    fn default() -> Self {
        Self { lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)) }
    }
}

impl Resolver {
    /// All addresses of the destination, in the order in which they are to be tried.
    pub(super) async fn resolve(
        &self,
        destination: &Destination,
    ) -> Result<Vec<SocketAddr>, Failure> {
        let port = destination.port;
        if let Some(address) = destination.literal() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let unresolved = || Failure::Resolve(format!("Could not resolve host: {destination}"));
        let name = destination.host.to_string();
        let permit = Arc::clone(&self.lookups).acquire_owned().await.map_err(|_| unresolved())?;
        let lookup = tokio::task::spawn_blocking(move || {
            let addresses =
                (name.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
            // Held by the thread: a caller that stops waiting does not free it.
            drop(permit);
            addresses
        });
        match lookup.await {
            Ok(Ok(addresses)) if !addresses.is_empty() => Ok(alternate(addresses)),
            Ok(Err(error)) => {
                tracing::debug!(host = %destination, %error, "lookup failed");
                Err(unresolved())
            }
            _ => Err(unresolved()),
        }
    }
}

/// Alternates the families, beginning with the one that the system put first. Source: RFC 8305, section 4.
fn alternate(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut seen = std::collections::HashSet::new();
    addresses.retain(|address| seen.insert(*address));
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut other = other.into_iter();
    let mut alternating = Vec::new();
    for address in preferred {
        alternating.push(address);
        alternating.extend(other.next());
    }
    alternating.extend(other);
    alternating.truncate(ADDRESSES_MAX);
    alternating
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_alternate_and_nothing_is_tried_twice() {
        let parse = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        for (given, wanted) in [
            (&["1.1.1.1:80"][..], &["1.1.1.1:80"][..]),
            (
                &["[::1]:80", "[::2]:80", "[::1]:80", "1.1.1.1:80"],
                &["[::1]:80", "1.1.1.1:80", "[::2]:80"],
            ),
            (
                &["1.1.1.1:80", "[::1]:80", "[::2]:80", "[::3]:80"],
                &["1.1.1.1:80", "[::1]:80", "[::2]:80", "[::3]:80"],
            ),
        ] {
            assert_eq!(alternate(parse(given)), parse(wanted));
        }
    }
}
