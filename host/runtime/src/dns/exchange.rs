//! One message and its answer, once, over UDP, TCP or TLS. Nothing is asked again: a plugin sees each try for itself.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::ask::{Ask, check_own};
use super::limits::{MESSAGE_MAX_BYTES, STRAYS_MAX, TIME_DEFAULT, TIME_MAX};
use super::server::Named;
use super::{https, microseconds, refusal};
use crate::bindings::blitz::plugin::dns::{Error, Message, Reply, Transport};
use crate::egress::{Egress, EgressError, Family, OwnResolver, Wanted};
use crate::http::{Client, Handshake};
use crate::limits::Span;

/// Sends the message to the server that it names, or to the engine's own resolver.
pub(super) async fn exchange(client: &Client, message: Message) -> Result<Reply, Error> {
    let Message { bytes, transport, server, family, verify, timeout_ms } = message;
    let ask = Ask::new(bytes)?;
    let time = timeout_ms.map_or(TIME_DEFAULT, Duration::from_millis).min(TIME_MAX);
    let family = family.into();
    let (server, by) = match (&server, transport) {
        (Some(url), Transport::Https) => {
            return https::exchange(client, &ask, url, family, verify, time).await;
        }
        (None, Transport::Tls | Transport::Https) => {
            return Err(Error::Failed(
                "the engine's own resolver is asked by UDP or TCP; name a server".to_owned(),
            ));
        }
        (Some(text), Transport::Udp) => (Server::Named(Named::parse(text, 53)?), By::Udp),
        (Some(text), Transport::Tcp) => (Server::Named(Named::parse(text, 53)?), By::Tcp),
        (Some(text), Transport::Tls) => {
            let named = Named::parse(text, 853)?;
            // Before the clock: the first handshake reads this machine's roots, which is no time of a server's.
            let handshake = client.handshake_for_dns(&named.host, verify).await;
            (Server::Named(named), By::Tls(handshake.map_err(refusal)?))
        }
        (None, own) => {
            check_own(ask.record_type())?;
            let by = if own == Transport::Tcp { By::Tcp } else { By::Udp };
            (Server::Own(client.egress().own_resolver().await?), by)
        }
    };
    once(client.egress(), &ask, &server, by, family, time).await
}

/// Who is asked.
#[derive(Debug)]
pub(super) enum Server {
    /// A destination like others.
    Named(Named),
    Own(OwnResolver),
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(named) => named.fmt(f),
            Self::Own(own) => own.fmt(f),
        }
    }
}

/// How.
#[derive(Debug)]
pub(super) enum By {
    Udp,
    Tcp,
    Tls(Handshake),
}

/// Opens the way, asks, and waits for the answer. The time limit is for all of it.
pub(super) async fn once(
    egress: &Egress,
    ask: &Ask,
    server: &Server,
    by: By,
    family: Family,
    time: Duration,
) -> Result<Reply, Error> {
    let (egress, waited) = egress.for_exchange();
    let begun = Instant::now();
    // Turns that were waited for count for nothing: neither the server nor the network is why.
    let elapsed = || begun.elapsed().saturating_sub(waited.time());
    let opening = open(&egress, server, by, family);
    let (mut way, peer) = waited.within(begun + time, opening).await.unwrap_or_else(|| {
        Err(Error::Failed(format!("{server}: no connection in {}", Span(time))))
    })?;
    let connect = elapsed();
    let mut strays = 0;
    let heard = waited.within(begun + time, way.ask(ask, &mut strays)).await;
    let text = match heard {
        Some(Ok(Some(bytes))) => {
            return Ok(Reply {
                server: peer.to_string(),
                bytes,
                connect_us: microseconds(connect),
                elapsed_us: microseconds(elapsed().saturating_sub(connect)),
            });
        }
        Some(Ok(None)) => format!(
            "{peer} sent {strays} messages that do not answer the question, the most that are read"
        ),
        Some(Err(error)) => format!("{peer}: {}{}", reason(&error), Others(strays)),
        None => format!("{peer} did not answer in {}{}", Span(time), Others(strays)),
    };
    Err(Error::Failed(text))
}

/// Messages that answered something else, for the end of a text.
struct Others(usize);

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            1 => f.write_str("; it sent 1 message that does not answer the question"),
            many => write!(f, "; it sent {many} messages that do not answer the question"),
        }
    }
}

/// A way to a server that stands.
enum Way {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects, and gives who is at the other end.
async fn open(
    egress: &Egress,
    server: &Server,
    by: By,
    family: Family,
) -> Result<(Way, SocketAddr), Error> {
    let told = |error| match error {
        EgressError::Connect(text) => Error::Failed(format!("{server}: {text}")),
        error => error.into(),
    };
    let named = match (server, &by) {
        (Server::Own(own), By::Udp) => {
            let socket = egress.connect_own_udp(*own).await.map_err(told)?;
            return Ok((Way::Udp(socket), own.address()));
        }
        (Server::Own(own), _) => {
            let stream = egress.connect_own_tcp(*own).await.map_err(told)?;
            return Ok((Way::Tcp(stream), own.address()));
        }
        (Server::Named(named), _) => named,
    };
    let wanted =
        Wanted { host: &named.host, port: named.port, family, addresses: &[], resolver: None };
    let resolved = egress.resolve(&wanted).await.map_err(told)?;
    if matches!(by, By::Udp) {
        let (socket, peer, _) = egress.connect_udp(&resolved).await.map_err(told)?;
        return Ok((Way::Udp(socket), peer));
    }
    let connected = egress.connect_tcp(&resolved).await.map_err(told)?;
    let way = match by {
        By::Tls(handshake) => {
            Way::Tls(Box::new(handshake.over_tcp(connected.stream).await.map_err(|failure| {
                match refusal(failure) {
                    Error::Failed(text) => Error::Failed(format!("{server}: {text}")),
                    other => other,
                }
            })?))
        }
        By::Tcp | By::Udp => Way::Tcp(connected.stream),
    };
    Ok((way, connected.remote))
}

impl Way {
    /// Sends the question, and reads until something answers it. `None` after too many strays.
    async fn ask(&mut self, ask: &Ask, strays: &mut usize) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Udp(socket) => by_datagram(socket, ask, strays).await,
            Self::Tcp(stream) => by_stream(stream, ask, strays).await,
            Self::Tls(stream) => by_stream(stream, ask, strays).await,
        }
    }
}

async fn by_datagram(
    socket: &UdpSocket,
    ask: &Ask,
    strays: &mut usize,
) -> io::Result<Option<Vec<u8>>> {
    socket.send(ask.bytes()).await?;
    // Of any length: how much may come is the question's own word (RFC 6891).
    let mut buffer = vec![0; MESSAGE_MAX_BYTES];
    while *strays < STRAYS_MAX {
        let length = socket.recv(&mut buffer).await?;
        if ask.is_answered_by(&buffer[..length]) {
            buffer.truncate(length);
            return Ok(Some(buffer));
        }
        *strays += 1;
    }
    Ok(None)
}

/// Each message behind its length. Source: RFC 1035, section 4.2.2.
async fn by_stream<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    ask: &Ask,
    strays: &mut usize,
) -> io::Result<Option<Vec<u8>>> {
    let length = u16::try_from(ask.bytes().len()).map_err(io::Error::other)?;
    // In one piece, as some servers want it. Source: RFC 7766, section 8.
    stream.write_all(&[&length.to_be_bytes()[..], ask.bytes()].concat()).await?;
    stream.flush().await?;
    while *strays < STRAYS_MAX {
        let mut message = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut message).await?;
        if ask.is_answered_by(&message) {
            return Ok(Some(message));
        }
        *strays += 1;
    }
    Ok(None)
}

/// An error of the system without its number; an end that came too early in words.
fn reason(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "it closed the connection without an answer".to_owned();
    }
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
