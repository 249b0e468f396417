//! `wasi:sockets/udp`: datagrams to peers that the policy allows, and their answers.
//! The sockets that carry them are in `peers`.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use futures_util::future::select_all;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress};
use wasmtime_wasi::p2::{DynPollable, Network, Pollable, SocketError, SocketResult, subscribe};

use super::bindings::wasi::sockets::udp::{
    Host, HostIncomingDatagramStream, HostOutgoingDatagramStream, HostUdpSocket, IncomingDatagram,
    OutgoingDatagram,
};
use super::bindings::wasi::sockets::udp_create_socket;
use super::options::Options;
use super::peers::{Peer, Peers, lock};
use super::tcp::Bind;
use super::{Family, Net};
use crate::job::Job;

/// Datagrams that are taken or given by one call.
const DATAGRAMS_MAX: usize = 16;
/// The largest datagram, by its header's field of 16 bits.
const DATAGRAM_MAX_BYTES: usize = 65_535;

/// A UDP socket. There is none in the kernel before it has a peer.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Socket {
    family: Family,
    bind: Bind,
    options: Options,
    peers: Arc<Mutex<Peers>>,
    /// Among the run's sockets.
    _place: OwnedSemaphorePermit,
}

/// What comes in.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Incoming(Arc<Mutex<Peers>>);

/// What goes out.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Outgoing {
    family: Family,
    options: Options,
    peers: Arc<Mutex<Peers>>,
    /// Datagrams that the latest `check-send` allowed.
    allowed: usize,
    /// Has no room.
    full: Option<Arc<UdpSocket>>,
}

impl udp_create_socket::Host for Job {
    async fn create_udp_socket(
        &mut self,
        family: IpAddressFamily,
    ) -> SocketResult<Resource<Socket>> {
        let socket = Socket {
            family: family.into(),
            bind: Bind::None,
            options: Options::default(),
            peers: Arc::default(),
            _place: self.sockets()?.place()?,
        };
        Ok(self.table.push(socket)?)
    }
}

impl Host for Job {}

impl Socket {
    fn set(
        &mut self,
        change: impl FnOnce(&mut Options) -> Result<(), ErrorCode>,
    ) -> SocketResult<()> {
        change(&mut self.options)?;
        for peer in &lock(&self.peers).list {
            self.options.apply(&peer.socket, peer.remote)?;
        }
        Ok(())
    }
}

impl HostUdpSocket for Job {
    async fn start_bind(
        &mut self,
        this: Resource<Socket>,
        network: Resource<Network>,
        local_address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.check_network(&network)?;
        let socket = self.table.get_mut(&this)?;
        Ok(socket.bind.start(socket.family, local_address.into())?)
    }

    async fn finish_bind(&mut self, this: Resource<Socket>) -> SocketResult<()> {
        Ok(self.table.get_mut(&this)?.bind.finish()?)
    }

    async fn stream(
        &mut self,
        this: Resource<Socket>,
        remote_address: Option<IpSocketAddress>,
    ) -> SocketResult<(Resource<Incoming>, Resource<Outgoing>)> {
        let net = self.sockets()?.clone();
        if self.table.iter_children(&this)?.next().is_some() {
            let text = "the streams of this UDP socket are still in use";
            return Err(SocketError::trap(wasmtime::format_err!("{text}")));
        }
        let socket = self.table.get(&this)?;
        if socket.bind != Bind::Done {
            return Err(ErrorCode::InvalidState.into());
        }
        let (family, options) = (socket.family, socket.options.clone());
        let peers = Arc::clone(&socket.peers);
        *lock(&peers) = Peers::default();
        if let Some(remote) = remote_address {
            let remote = SocketAddr::from(remote);
            family.check_remote(remote)?;
            net.peer(&peers, remote, &options).await?;
            lock(&peers).connected = Some(remote);
        }
        let incoming = Incoming(Arc::clone(&peers));
        let outgoing = Outgoing { family, options, peers, allowed: 0, full: None };
        Ok((self.table.push_child(incoming, &this)?, self.table.push_child(outgoing, &this)?))
    }

    async fn local_address(&mut self, this: Resource<Socket>) -> SocketResult<IpSocketAddress> {
        let socket = self.table.get(&this)?;
        if socket.bind != Bind::Done {
            return Err(ErrorCode::InvalidState.into());
        }
        let peers = lock(&socket.peers);
        let local = match (peers.connected, peers.list.front()) {
            (Some(_), Some(peer)) => peer.local,
            _ => socket.family.unspecified(),
        };
        Ok(local.into())
    }

    async fn remote_address(&mut self, this: Resource<Socket>) -> SocketResult<IpSocketAddress> {
        let connected = lock(&self.table.get(&this)?.peers).connected;
        Ok(connected.ok_or(ErrorCode::InvalidState)?.into())
    }

    async fn address_family(
        &mut self,
        this: Resource<Socket>,
    ) -> wasmtime::Result<IpAddressFamily> {
        Ok(self.table.get(&this)?.family.into())
    }

    async fn unicast_hop_limit(&mut self, this: Resource<Socket>) -> SocketResult<u8> {
        Ok(self.table.get(&this)?.options.hop_limit())
    }

    async fn set_unicast_hop_limit(
        &mut self,
        this: Resource<Socket>,
        value: u8,
    ) -> SocketResult<()> {
        self.table.get_mut(&this)?.set(|options| options.set_hop_limit(value))
    }

    async fn receive_buffer_size(&mut self, this: Resource<Socket>) -> SocketResult<u64> {
        Ok(self.table.get(&this)?.options.receive_buffer())
    }

    async fn set_receive_buffer_size(
        &mut self,
        this: Resource<Socket>,
        value: u64,
    ) -> SocketResult<()> {
        self.table.get_mut(&this)?.set(|options| options.set_receive_buffer(value))
    }

    async fn send_buffer_size(&mut self, this: Resource<Socket>) -> SocketResult<u64> {
        Ok(self.table.get(&this)?.options.send_buffer())
    }

    async fn set_send_buffer_size(
        &mut self,
        this: Resource<Socket>,
        value: u64,
    ) -> SocketResult<()> {
        self.table.get_mut(&this)?.set(|options| options.set_send_buffer(value))
    }

    async fn subscribe(
        &mut self,
        this: Resource<Socket>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, this)
    }

    async fn drop(&mut self, this: Resource<Socket>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

#[async_trait]
impl Pollable for Socket {
    /// Nothing that is done to the socket itself takes time.
    async fn ready(&mut self) {}
}

impl HostIncomingDatagramStream for Job {
    async fn receive(
        &mut self,
        this: Resource<Incoming>,
        max_results: u64,
    ) -> SocketResult<Vec<IncomingDatagram>> {
        let max = usize::try_from(max_results).unwrap_or(usize::MAX).min(DATAGRAMS_MAX);
        let Incoming(peers) = self.table.get(&this)?;
        let mut datagrams = Vec::new();
        if max == 0 {
            return Ok(datagrams);
        }
        let mut buffer = vec![0; DATAGRAM_MAX_BYTES];
        let peers = lock(peers);
        let mut waiting: VecDeque<&Peer> = peers.list.iter().collect();
        // One of each in turn, so that none of them keeps the others away.
        while let Some(peer) = waiting.pop_front() {
            match receive_now(&peer.socket, &mut buffer) {
                Ok(length) => {
                    let data = buffer[..length].to_vec();
                    datagrams.push(IncomingDatagram { data, remote_address: peer.remote.into() });
                    if datagrams.len() == max {
                        break;
                    }
                    waiting.push_back(peer);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // What came before it is not lost.
                Err(_) if !datagrams.is_empty() => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(datagrams)
    }

    async fn subscribe(
        &mut self,
        this: Resource<Incoming>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, this)
    }

    async fn drop(&mut self, this: Resource<Incoming>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

/// A datagram, or the news that the latest one did not arrive.
fn receive_now(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<usize> {
    let received = socket.try_recv(buffer);
    if !matches!(&received, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
        return received;
    }
    let failed = socket.try_io(Interest::ERROR, || {
        socket.take_error()?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    });
    Err(failed.unwrap_or_else(|error| error))
}

#[async_trait]
impl Pollable for Incoming {
    async fn ready(&mut self) {
        let sockets: Vec<_> =
            lock(&self.0).list.iter().map(|peer| Arc::clone(&peer.socket)).collect();
        // That nobody listens at the other end is an error, and nothing to be read.
        let wanted = Interest::READABLE | Interest::ERROR;
        let ready = sockets.iter().map(|socket| Box::pin(socket.ready(wanted)));
        match ready.len() {
            0 => std::future::pending().await,
            _ => {
                // An error is told by the call that follows.
                let _first = select_all(ready).await;
            }
        }
    }
}

impl HostOutgoingDatagramStream for Job {
    async fn check_send(&mut self, this: Resource<Outgoing>) -> SocketResult<u64> {
        let outgoing = self.table.get_mut(&this)?;
        if let Some(full) = &outgoing.full
            && poll_once(full).is_pending()
        {
            return Ok(0);
        }
        (outgoing.full, outgoing.allowed) = (None, DATAGRAMS_MAX);
        Ok(u64::try_from(DATAGRAMS_MAX).unwrap_or(0))
    }

    async fn send(
        &mut self,
        this: Resource<Outgoing>,
        datagrams: Vec<OutgoingDatagram>,
    ) -> SocketResult<u64> {
        let net = self.sockets()?.clone();
        let outgoing = self.table.get_mut(&this)?;
        if datagrams.len() > std::mem::take(&mut outgoing.allowed) {
            let text = "sent more datagrams than check-send allowed";
            return Err(SocketError::trap(wasmtime::format_err!("{text}")));
        }
        let mut sent = 0;
        for datagram in datagrams {
            let remote = datagram.remote_address.map(SocketAddr::from);
            match outgoing.send(&net, &datagram.data, remote).await {
                Ok(()) => sent += 1,
                // The next call comes to it again, and says what is wrong.
                Err(_) if sent > 0 => break,
                Err(ErrorCode::WouldBlock) => break,
                Err(code) => return Err(code.into()),
            }
        }
        Ok(sent)
    }

    async fn subscribe(
        &mut self,
        this: Resource<Outgoing>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, this)
    }

    async fn drop(&mut self, this: Resource<Outgoing>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl Outgoing {
    async fn send(
        &mut self,
        net: &Net,
        data: &[u8],
        remote: Option<SocketAddr>,
    ) -> Result<(), ErrorCode> {
        let connected = lock(&self.peers).connected;
        let remote = match (remote, connected) {
            (Some(remote), Some(connected)) if remote != connected => None,
            (remote, connected) => remote.or(connected),
        };
        let remote = remote.ok_or(ErrorCode::InvalidArgument)?;
        self.family.check_remote(remote)?;
        let peer = net.peer(&self.peers, remote, &self.options).await?;
        match peer.socket.try_send(data) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.full = Some(peer.socket);
                Err(ErrorCode::WouldBlock)
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn poll_once(socket: &UdpSocket) -> Poll<()> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    socket.poll_send_ready(&mut context).map(|_| ())
}

#[async_trait]
impl Pollable for Outgoing {
    async fn ready(&mut self) {
        if let Some(full) = &self.full {
            // An error is told by the datagram that follows.
            let _writable = full.writable().await;
        }
    }
}
