//! A connected UDP socket under quinn: it sends to one peer, hears one peer, and tells that nobody is there.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::Notify;

use crate::http::failure::plain;

/// In place of quinn's own, which goes on in silence when the peer's machine says that nobody listens.
///
/// On Linux a destination in a message of a connected socket is taken, and what others send stays outside.
#[derive(Debug)]
pub(super) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    peer: SocketAddr,
    refusal: Refusal,
}

#[derive(Debug, Default)]
struct Refusal {
    reason: OnceLock<String>,
    came: Notify,
}

impl Socket {
    pub(super) fn new(io: UdpSocket, peer: SocketAddr) -> io::Result<Self> {
        let state = UdpSocketState::new((&io).into())?;
        Ok(Self { io, state, peer, refusal: Refusal::default() })
    }

    /// Waits for the first error of the network, `Connection refused` for one. For one caller.
    pub(super) async fn refused(&self) -> String {
        loop {
            if let Some(reason) = self.refusal.reason.get() {
                return reason.clone();
            }
            tokio::select! {
                () = self.refusal.came.notified() => {}
                // An error makes a socket neither readable nor writable, and the next packet may be a
                // second away.
                _ready = self.io.ready(Interest::ERROR) => {
                    let taken = self.io.try_io(Interest::ERROR, || {
                        self.io.take_error()?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
                    });
                    if let Ok(error) = taken {
                        self.note(&error);
                    }
                }
            }
        }
    }

    fn note(&self, error: &io::Error) {
        // The first one says most; anybody on the way may send more of them.
        if self.refusal.reason.set(plain(&error.to_string())).is_ok() {
            self.refusal.came.notify_one();
        }
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller(self))
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        // A connection that was told to migrate stays where the policy let it go.
        if transmit.destination != self.peer {
            return Ok(());
        }
        let sent =
            self.io.try_io(Interest::WRITABLE, || self.state.try_send((&self.io).into(), transmit));
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            // A probe for the largest packet, larger than the way lets through.
            Err(error)
                if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) =>
            {
                Ok(())
            }
            // What is lost is sent again.
            Err(error) => {
                self.note(&error);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.io.poll_recv_ready(cx))?;
            let received = self
                .io
                .try_io(Interest::READABLE, || self.state.recv((&self.io).into(), buffers, meta));
            match received {
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The system tells each error once.
                Err(error) => self.note(&error),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

/// One is enough for all: an endpoint has one connection here.
#[derive(Debug)]
struct Poller(Arc<Socket>);

impl UdpPoller for Poller {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.io.poll_send_ready(cx)
    }
}
