//! One connection: opening the socket, HTTP/1.1 on it, and the task that drives it.

use std::io;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::address::Address;
use crate::tls::Tls;

/// An open connection that carries one request at a time.
///
/// Dropping it closes the socket at once, whatever is under way: this is how a request that ran out
/// of time, and a feed that nobody reads any more, end on the server too.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

/// Why a request brought no response.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Not a byte of it was written: safe to send again, whatever it is.
    NotSent(hyper::Error),
    /// It may have arrived.
    NoAnswer(hyper::Error),
}

impl Connection {
    /// Opens a connection. Nothing of any request has been sent when this fails.
    pub(crate) async fn open(dial: &Dial, address: &Address) -> io::Result<Self> {
        match dial {
            Dial::Tcp => Self::over(tcp(address).await?).await,
            Dial::Tls(tls) => Self::over(tls.over(tcp(address).await?).await?).await,
            Dial::Pipes(listener) => {
                let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
                listener.send(theirs).await.map_err(|_| io::ErrorKind::ConnectionRefused)?;
                Self::over(ours).await
            }
        }
    }

    async fn over<S>(stream: S) -> io::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // The error of the task is also the error of the request that it carries, which reports it.
        let driver = tokio::spawn(async { connection.await.unwrap_or_default() });
        Ok(Self { sender, driver })
    }

    /// Sends a request and waits for the head of its response.
    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Failure> {
        self.sender.ready().await.map_err(Failure::NotSent)?;
        self.sender.try_send_request(request).await.map_err(|mut refused| {
            let was_sent = refused.take_message().is_none();
            let cause = refused.into_error();
            if was_sent { Failure::NoAnswer(cause) } else { Failure::NotSent(cause) }
        })
    }

    /// Whether the other side is known to have closed it.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// How sockets are opened.
#[derive(Debug)]
pub(crate) enum Dial {
    /// TCP to the address.
    Tcp,
    /// TLS over TCP to the address.
    Tls(Box<Tls>),
    /// Pipes in memory, whose far ends go to whoever listens: a server in this process, or the simulated
    /// network of a test, in which time can stand still.
    Pipes(tokio::sync::mpsc::Sender<tokio::io::DuplexStream>),
}

/// Bytes that may be under way in a pipe before a writer waits: what a socket's buffer holds, about.
const PIPE_BYTES: usize = 64 * 1024;

async fn tcp(address: &Address) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    // Requests are written whole and are often smaller than a segment: waiting for more costs 40 ms.
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_requests_leave_at_once() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stream = tcp(&Address::parse(&url, None).unwrap()).await.unwrap();
        assert!(stream.nodelay().unwrap());
    }
}
