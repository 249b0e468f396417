//! The servers: every byte of an answer is ours, and every request is kept.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::answers::{self, Step};
use super::certificates::{Leaf, config};

/// A request may have this many bytes; more is the table's mistake.
const REQUEST_BYTES_MAX: usize = 16 << 20;

/// A client that got its answer closes within this time, or the server does it.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// How a client begins that wants TLS. Servers of plain HTTP tell it so, in plain HTTP.
const TLS_HANDSHAKE: &str = "\u{16}\u{3}";

/// What listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// HTTP/1 on plain TCP.
    Plain,
    /// HTTP/1 behind TLS.
    Tls(Leaf),
    /// TLS that offers HTTP/2 as well as HTTP/1.1.
    Http2,
    /// HTTP/2 on plain TCP, without an upgrade.
    PriorKnowledge,
    /// Nothing: the port is closed.
    Dead,
    /// Takes connections and never says anything.
    Silent,
    /// Its queue is full: no connection comes to be.
    Full,
    /// Says something that is no TLS to whoever connects.
    Garbage,
}

impl Kind {
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "tls" => Self::Tls(Leaf::Good),
            "expired" => Self::Tls(Leaf::Expired),
            "not yet" => Self::Tls(Leaf::NotYetValid),
            "other name" => Self::Tls(Leaf::OtherName),
            "self-signed" => Self::Tls(Leaf::SelfSigned),
            "h2" => Self::Http2,
            "h2c" => Self::PriorKnowledge,
            "dead" => Self::Dead,
            "silent" => Self::Silent,
            "full" => Self::Full,
            "garbage" => Self::Garbage,
            _ => return None,
        })
    }

    pub(crate) fn is_secure(self) -> bool {
        matches!(self, Self::Tls(_) | Self::Http2)
    }
}

/// A request as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) version: String,
    /// Names in lower case, in the order in which they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// As they came over HTTP/1; 0 for HTTP/2.
    pub(crate) bytes_count: usize,
}

/// A server of one case. It ends with the test's runtime, or when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Received>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// The requests since the last call.
    pub(crate) fn take(&self) -> Vec<Received> {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(crate) async fn start(kind: Kind) -> Server {
    let seen = Arc::default();
    let socket = TcpSocket::new_v4().expect("a socket");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    socket.bind(any).expect("a free port");
    let port = socket.local_addr().expect("an address").port();
    let keep = Arc::clone(&seen);
    let task = match kind {
        // Bound and not listening: the port is refused, and nobody else gets it.
        Kind::Dead => tokio::spawn(async move {
            let _socket = socket;
            std::future::pending::<()>().await;
        }),
        Kind::Full => {
            let listener = socket.listen(0).expect("a listener");
            // A queue of no length takes one connection; the kernel drops what comes behind it.
            let first = TcpStream::connect(("127.0.0.1", port)).await.expect("the first one");
            tokio::spawn(async move {
                let _queue = (listener, first);
                std::future::pending::<()>().await;
            })
        }
        _ => {
            let listener = socket.listen(64).expect("a listener");
            tokio::spawn(accept(listener, kind, port, keep))
        }
    };
    Server { port, seen, task }
}

type Seen = Arc<Mutex<Vec<Received>>>;

async fn accept(listener: TcpListener, kind: Kind, port: u16, seen: Seen) {
    let acceptor = match kind {
        Kind::Tls(leaf) => Some(TlsAcceptor::from(config(leaf, &[b"http/1.1"]))),
        Kind::Http2 => Some(TlsAcceptor::from(config(Leaf::Good, &[b"h2", b"http/1.1"]))),
        _ => None,
    };
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
        connections.spawn(async move {
            match (kind, acceptor) {
                (Kind::Silent, _) => std::future::pending().await,
                (Kind::Garbage, _) => {
                    stream.write_all(b"220 this is a mail server\r\n").await.ok();
                    finish(&mut stream).await;
                }
                (Kind::PriorKnowledge, _) => http2(stream, port, seen).await,
                (_, None) => {
                    if serve(&mut stream, port, &seen).await == End::Reset {
                        stream.set_zero_linger().ok();
                    }
                }
                (_, Some(acceptor)) => {
                    // A client that refuses the certificate ends the handshake: that is its story.
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                        http2(stream, port, seen).await;
                    } else {
                        serve(&mut stream, port, &seen).await;
                    }
                }
            }
        });
    }
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Closed,
    Reset,
}

async fn serve<S>(stream: &mut S, port: u16, seen: &Seen) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let Some(request) = read(stream).await else { return End::Closed };
        if request.method.starts_with(TLS_HANDSHAKE) {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.ok();
            finish(stream).await;
            return End::Closed;
        }
        let steps = answers::steps(&request.method, &request.target, port);
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        let mut goes_on = false;
        for step in steps {
            match step {
                // The client may have gone: that is its story.
                Step::Send(bytes) => {
                    stream.write_all(&bytes).await.ok();
                    stream.flush().await.ok();
                }
                Step::Wait(time) => tokio::time::sleep(time).await,
                Step::Hold => std::future::pending().await,
                Step::Reset => return End::Reset,
                Step::Keep => goes_on = true,
            }
        }
        if !goes_on {
            finish(stream).await;
            return End::Closed;
        }
    }
}

/// Closes our side, and takes what the client still sends: closing over unread bytes would be a reset.
async fn finish<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    stream.shutdown().await.ok();
    let mut rest = [0; 4096];
    let drain = async { while matches!(stream.read(&mut rest).await, Ok(1..)) {} };
    tokio::time::timeout(CLOSE_WAIT, drain).await.ok();
}

/// Reads a request with its body; a client that goes away before its end is kept as far as it came.
async fn read<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Option<Received> {
    let mut bytes = Vec::new();
    let mut has_continued = false;
    loop {
        if bytes.starts_with(TLS_HANDSHAKE.as_bytes()) {
            return Some(parse(&bytes));
        }
        let head = find(&bytes, b"\r\n\r\n");
        if let Some(end) = head {
            let mut request = parse(&bytes[..end]);
            let body = &bytes[end + 4..];
            if let Some(body) = whole_body(&request, body) {
                request.body = body;
                request.bytes_count = bytes.len();
                return Some(request);
            }
            if request.target == "/continue" && !has_continued && request.header("expect").is_some()
            {
                has_continued = true;
                stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok();
            }
        }
        assert!(bytes.len() < REQUEST_BYTES_MAX, "a request without end");
        let mut piece = vec![0; 64 * 1024];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => {
                return head.map(|end| {
                    let mut request = parse(&bytes[..end]);
                    request.body = bytes[end + 4..].to_vec();
                    request.bytes_count = bytes.len();
                    request
                });
            }
            Ok(length) => bytes.extend_from_slice(&piece[..length]),
        }
    }
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

fn parse(head: &[u8]) -> Received {
    let head = String::from_utf8_lossy(head);
    let (line, rest) = head.split_once("\r\n").unwrap_or((&head, ""));
    let mut words = line.splitn(3, ' ').map(str::to_owned);
    let mut word = || words.next().unwrap_or_default();
    let headers = rest.lines().map(|line| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        (name.to_ascii_lowercase(), value.trim_start_matches(' ').to_owned())
    });
    Received {
        method: word(),
        target: word(),
        version: word(),
        headers: headers.collect(),
        ..Received::default()
    }
}

/// The body, without its chunks, when all of it is there.
fn whole_body(request: &Received, bytes: &[u8]) -> Option<Vec<u8>> {
    let is_chunked = request.header("transfer-encoding").is_some_and(|value| value == "chunked");
    if !is_chunked {
        let length = request.header("content-length").and_then(|value| value.parse().ok());
        let length: usize = length.unwrap_or(0);
        return bytes.get(..length).map(<[u8]>::to_vec);
    }
    let (mut body, mut rest) = (Vec::new(), bytes);
    loop {
        let end = find(rest, b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).ok()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        let piece = rest.get(end + 2..end + 2 + size)?;
        rest = rest.get(end + 4 + size..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(piece);
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The same answers over HTTP/2, as far as they make sense there.
async fn http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    port: u16,
    seen: Seen,
) {
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let seen = Arc::clone(&seen);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
            let authority = head.uri.authority().map(|host| ("host".to_owned(), host.to_string()));
            let headers = head.headers.iter().map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            });
            let request = Received {
                method: head.method.to_string(),
                target,
                version: "HTTP/2".to_owned(),
                headers: authority.into_iter().chain(headers).collect(),
                body: body.to_vec(),
                bytes_count: 0,
            };
            let answer = answers::http2(&request.method, &request.target, port);
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
            Ok::<_, hyper::Error>(answer.map(|body| Full::new(Bytes::from(body))))
        }
    });
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    // The two answers of a case are to be the same.
    builder.auto_date_header(false);
    // A client that goes is its story.
    builder.serve_connection(TokioIo::new(stream), service).await.ok();
}
