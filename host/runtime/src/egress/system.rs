//! The system's resolver: `/etc/hosts`, its order, its search lists and its caches count.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::limits::LOOKUPS_MAX;

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
