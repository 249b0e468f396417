//! The other ends of a UDP socket.
//!
//! In the kernel there is one connected socket for each peer, so that nobody else's datagrams come in and none
//! leaves by a socket for which the policy was not asked. Each peer past the first counts as a socket of
//! the run; when there is no place left, the peer that was made first is given up, and its place goes to the new
//! one. Peers see different source ports.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::UdpSocket;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;

use super::options::Options;
use super::{Net, check_unicast};
use crate::egress::Resolved;

/// Peers of one socket whose answers are heard.
const PEERS_MAX: usize = 64;

#[derive(Default)]
pub(super) struct Peers {
    /// Of a connected socket the only peer.
    pub(super) connected: Option<SocketAddr>,
    /// The oldest first.
    pub(super) list: VecDeque<Peer>,
}

#[derive(Clone)]
pub(super) struct Peer {
    resolved: Resolved,
    pub(super) remote: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) socket: Arc<UdpSocket>,
    /// Among the run's sockets. The first peer has that of its socket.
    _place: Option<Arc<OwnedSemaphorePermit>>,
}

pub(super) fn lock(peers: &Mutex<Peers>) -> MutexGuard<'_, Peers> {
    peers.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Net {
    /// The peer's socket, made when it is new. Each time the policy is asked.
    pub(super) async fn peer(
        &self,
        peers: &Mutex<Peers>,
        remote: SocketAddr,
        options: &Options,
    ) -> Result<Peer, ErrorCode> {
        let known = lock(peers).list.iter().find(|peer| peer.remote == remote).cloned();
        if let Some(peer) = known {
            let Peer { resolved, remote, local, .. } = &peer;
            let checked = self.egress.check_peer(resolved, *remote, local.ip());
            checked.map_err(|error| self.tell(&error))?;
            return Ok(peer);
        }
        let resolved = self.permitted(remote).await.map_err(|error| self.tell(&error))?;
        check_unicast(remote.ip())?;
        let connected = self.egress.connect_udp(&resolved).await;
        let (socket, remote, local) = connected.map_err(|error| self.tell(&error))?;
        if let Err(error) = options.apply(&socket, remote) {
            tracing::debug!(%error, "an option of a socket was not set");
        }
        let mut peers = lock(peers);
        let place = self.place_of_peer(&mut peers.list);
        let peer = Peer { resolved, remote, local, socket: Arc::new(socket), _place: place };
        peers.list.push_back(peer.clone());
        Ok(peer)
    }
    /// A place for one peer more. Exactly one peer of a list has that of its socket, so what is given up hands its own
    /// on: a place that went back while its taker had none would let the run open more sockets than it may.
    fn place_of_peer(&self, list: &mut VecDeque<Peer>) -> Option<Arc<OwnedSemaphorePermit>> {
        if list.is_empty() {
            return None;
        }
        let free = (list.len() < PEERS_MAX)
            .then(|| Arc::clone(&self.places).try_acquire_owned().ok())
            .flatten();
        match free {
            Some(free) => Some(Arc::new(free)),
            None => list.pop_front().and_then(|oldest| oldest._place),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::doing::Doing;
    use crate::egress::{Egress, TargetPolicy};
    use crate::output::Outlet;

    /// One socket of the guest's, and a run that may have `sockets_max`: as many as that are open in the kernel,
    /// however often it changes the peer while places come and go.
    #[tokio::test]
    async fn peers_never_outnumber_the_places_of_the_run() {
        const SOCKETS_MAX: u32 = 4;
        let (output, _output) = mpsc::channel(1);
        let outlet = Outlet::new(output, 1, Doing::default());
        let egress = Egress::new(TargetPolicy::any(), Vec::new());
        let net = Net::new(egress, SOCKETS_MAX, outlet);
        let _of_socket = net.place().unwrap();
        let peers = Mutex::new(Peers::default());
        let mut others = Vec::new();
        for round in 0..64u16 {
            let remote = SocketAddr::from(([127, 0, 0, 1], 20_000 + round));
            net.peer(&peers, remote, &Options::default()).await.unwrap();
            // Other sockets of the run take what is free, and give it back.
            match round % 3 {
                0 => others.extend(net.place().ok()),
                1 => others.clear(),
                _ => {}
            }
            let open = lock(&peers).list.len() + others.len();
            assert!(open <= 4, "{open} sockets in round {round}");
        }
    }
}
