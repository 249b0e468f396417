//! `wasi:sockets/tcp`: connections to peers that the policy allows. A socket does not listen.

use std::net::SocketAddr;
use std::pin::Pin;

use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, Network, Pollable, SocketResult, subscribe,
};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, poll_noop, spawn};

use super::bindings::wasi::sockets::tcp::{Host, HostTcpSocket, ShutdownType};
use super::bindings::wasi::sockets::tcp_create_socket;
use super::options::Options;
use super::stream::Connection;
use super::{Family, Net, check_unicast};
use crate::job::Job;

/// A TCP socket. There is none in the kernel before it connects.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Socket {
    family: Family,
    bind: Bind,
    state: State,
    options: Options,
    /// Among the run's sockets.
    _place: OwnedSemaphorePermit,
}

/// Binding is only for the sake of guests that do it before they connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bind {
    None,
    Started,
    Done,
}

enum State {
    Fresh,
    Connecting(AbortOnDropJoinHandle<Result<TcpStream, ErrorCode>>),
    /// The guest was not told yet.
    Answered(Result<TcpStream, ErrorCode>),
    Connected(Connection),
    Failed(ErrorCode),
}

impl Bind {
    pub(super) fn start(&mut self, family: Family, address: SocketAddr) -> Result<(), ErrorCode> {
        match self {
            Self::None => family.check_bind(address)?,
            Self::Started => return Err(ErrorCode::ConcurrencyConflict),
            Self::Done => return Err(ErrorCode::InvalidState),
        }
        *self = Self::Started;
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result<(), ErrorCode> {
        if *self != Self::Started {
            return Err(ErrorCode::NotInProgress);
        }
        *self = Self::Done;
        Ok(())
    }
}

impl Net {
    async fn connect(&self, remote: SocketAddr, options: &Options) -> Result<TcpStream, ErrorCode> {
        let resolved = self.permitted(remote).await.map_err(|error| self.tell(&error))?;
        check_unicast(remote.ip())?;
        let connected = self.egress.connect_tcp(&resolved).await;
        let connected = connected.map_err(|error| self.tell(&error))?;
        if let Err(error) = options.apply_to_tcp(&connected.stream, connected.remote) {
            tracing::debug!(%error, "an option of a socket was not set");
        }
        Ok(connected.stream)
    }
}

impl tcp_create_socket::Host for Job {
    async fn create_tcp_socket(
        &mut self,
        family: IpAddressFamily,
    ) -> SocketResult<Resource<Socket>> {
        let socket = Socket {
            family: family.into(),
            bind: Bind::None,
            state: State::Fresh,
            options: Options::default(),
            _place: self.sockets()?.place()?,
        };
        Ok(self.table.push(socket)?)
    }
}

impl Host for Job {}

impl Socket {
    fn connection(&self) -> Result<&Connection, ErrorCode> {
        match &self.state {
            State::Connected(connection) => Ok(connection),
            State::Failed(code) => Err(*code),
            _ => Err(ErrorCode::InvalidState),
        }
    }

    /// Changes an option, on the connection too when there is one.
    fn set(
        &mut self,
        change: impl FnOnce(&mut Options) -> Result<(), ErrorCode>,
    ) -> SocketResult<()> {
        change(&mut self.options)?;
        if let State::Connected(connection) = &self.state {
            let stream = connection.stream();
            self.options.apply_to_tcp(stream, stream.peer_addr()?)?;
        }
        Ok(())
    }
}

impl HostTcpSocket for Job {
    async fn start_bind(
        &mut self,
        this: Resource<Socket>,
        network: Resource<Network>,
        local_address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.check_network(&network)?;
        let socket = self.table.get_mut(&this)?;
        if !matches!(socket.state, State::Fresh) {
            return Err(ErrorCode::InvalidState.into());
        }
        Ok(socket.bind.start(socket.family, local_address.into())?)
    }

    async fn finish_bind(&mut self, this: Resource<Socket>) -> SocketResult<()> {
        Ok(self.table.get_mut(&this)?.bind.finish()?)
    }

    async fn start_connect(
        &mut self,
        this: Resource<Socket>,
        network: Resource<Network>,
        remote_address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.check_network(&network)?;
        let net = self.sockets()?.clone();
        let socket = self.table.get_mut(&this)?;
        match (&socket.state, socket.bind) {
            (State::Fresh, Bind::None | Bind::Done) => {}
            (State::Fresh, Bind::Started) | (State::Connecting(_) | State::Answered(_), _) => {
                return Err(ErrorCode::ConcurrencyConflict.into());
            }
            (State::Connected(_) | State::Failed(_), _) => {
                return Err(ErrorCode::InvalidState.into());
            }
        }
        let remote = remote_address.into();
        socket.family.check_remote(remote)?;
        let options = socket.options.clone();
        let connect = spawn(async move { net.connect(remote, &options).await });
        socket.state = State::Connecting(connect);
        Ok(())
    }

    async fn finish_connect(
        &mut self,
        this: Resource<Socket>,
    ) -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let socket = self.table.get_mut(&this)?;
        if let State::Connecting(connect) = &mut socket.state {
            let connected = poll_noop(Pin::new(connect)).ok_or(ErrorCode::WouldBlock)?;
            socket.state = State::Answered(connected);
        }
        let connection = match std::mem::replace(&mut socket.state, State::Fresh) {
            State::Answered(Ok(stream)) => Connection::new(stream),
            State::Answered(Err(code)) => {
                socket.state = State::Failed(code);
                return Err(code.into());
            }
            other => {
                socket.state = other;
                return Err(ErrorCode::NotInProgress.into());
            }
        };
        let (input, output) = connection.streams();
        socket.state = State::Connected(connection);
        let input: DynInputStream = Box::new(input);
        let output: DynOutputStream = Box::new(output);
        Ok((self.table.push_child(input, &this)?, self.table.push_child(output, &this)?))
    }

    async fn start_listen(&mut self, this: Resource<Socket>) -> SocketResult<()> {
        self.table.get(&this)?;
        self.outlet.note_refusal("a plugin's sockets do not listen: they connect to others");
        Err(ErrorCode::AccessDenied.into())
    }

    async fn finish_listen(&mut self, this: Resource<Socket>) -> SocketResult<()> {
        self.table.get(&this)?;
        Err(ErrorCode::NotInProgress.into())
    }

    async fn accept(
        &mut self,
        this: Resource<Socket>,
    ) -> SocketResult<(Resource<Socket>, Resource<DynInputStream>, Resource<DynOutputStream>)> {
        self.table.get(&this)?;
        Err(ErrorCode::InvalidState.into())
    }

    async fn local_address(&mut self, this: Resource<Socket>) -> SocketResult<IpSocketAddress> {
        let socket = self.table.get(&this)?;
        match (&socket.state, socket.bind) {
            (State::Fresh, Bind::Done) => Ok(socket.family.unspecified().into()),
            _ => Ok(socket.connection()?.stream().local_addr()?.into()),
        }
    }

    async fn remote_address(&mut self, this: Resource<Socket>) -> SocketResult<IpSocketAddress> {
        Ok(self.table.get(&this)?.connection()?.stream().peer_addr()?.into())
    }

    async fn is_listening(&mut self, this: Resource<Socket>) -> wasmtime::Result<bool> {
        self.table.get(&this)?;
        Ok(false)
    }

    async fn address_family(
        &mut self,
        this: Resource<Socket>,
    ) -> wasmtime::Result<IpAddressFamily> {
        Ok(self.table.get(&this)?.family.into())
    }

    async fn set_listen_backlog_size(
        &mut self,
        this: Resource<Socket>,
        value: u64,
    ) -> SocketResult<()> {
        self.table.get(&this)?;
        if value == 0 {
            return Err(ErrorCode::InvalidArgument.into());
        }
        Ok(())
    }

    async fn keep_alive_enabled(&mut self, this: Resource<Socket>) -> SocketResult<bool> {
        Ok(self.table.get(&this)?.options.keep_alive())
    }

    async fn set_keep_alive_enabled(
        &mut self,
        this: Resource<Socket>,
        value: bool,
    ) -> SocketResult<()> {
        self.table.get_mut(&this)?.set(|options| {
            options.set_keep_alive(value);
            Ok(())
        })
    }

    async fn keep_alive_idle_time(&mut self, this: Resource<Socket>) -> SocketResult<u64> {
        Ok(self.table.get(&this)?.options.keep_alive_idle_ns())
    }

    async fn set_keep_alive_idle_time(
        &mut self,
        this: Resource<Socket>,
        value: u64,
    ) -> SocketResult<()> {
        self.table.get_mut(&this)?.set(|options| options.set_keep_alive_idle_ns(value))
    }

    async fn keep_alive_interval(&mut self, this: Resource<Socket>) -> SocketResult<u64> {
        Ok(self.table.get(&this)?.options.keep_alive_interval_ns())
    }

    async fn set_keep_alive_interval(
        &mut self,
        this: Resource<Socket>,
        value: u64,
    ) -> SocketResult<()> {
        self.table.get_mut(&this)?.set(|options| options.set_keep_alive_interval_ns(value))
    }

    async fn keep_alive_count(&mut self, this: Resource<Socket>) -> SocketResult<u32> {
        Ok(self.table.get(&this)?.options.keep_alive_count())
    }

    async fn set_keep_alive_count(
        &mut self,
        this: Resource<Socket>,
        value: u32,
    ) -> SocketResult<()> {
        self.table.get_mut(&this)?.set(|options| options.set_keep_alive_count(value))
    }

    async fn hop_limit(&mut self, this: Resource<Socket>) -> SocketResult<u8> {
        Ok(self.table.get(&this)?.options.hop_limit())
    }

    async fn set_hop_limit(&mut self, this: Resource<Socket>, value: u8) -> SocketResult<()> {
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

    async fn shutdown(
        &mut self,
        this: Resource<Socket>,
        shutdown_type: ShutdownType,
    ) -> SocketResult<()> {
        let connection = self.table.get(&this)?.connection()?;
        if matches!(shutdown_type, ShutdownType::Receive | ShutdownType::Both) {
            connection.close_read();
        }
        if matches!(shutdown_type, ShutdownType::Send | ShutdownType::Both) {
            connection.close_write();
        }
        Ok(())
    }

    async fn drop(&mut self, this: Resource<Socket>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

#[async_trait]
impl Pollable for Socket {
    async fn ready(&mut self) {
        if let State::Connecting(connect) = &mut self.state {
            self.state = State::Answered(connect.await);
        }
    }
}
