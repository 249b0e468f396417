//! The words of one HTTP exchange: what is asked, what came back, where the time went, why it failed.

use std::fmt;
use std::time::Duration;

/// A list of headers in order, with repetitions; values are bytes.
pub type Headers = Vec<(String, Vec<u8>)>;

/// One HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Any token, sent as it is.
    pub method: String,
    /// Absolute, `http` or `https`.
    pub url: String,
    /// Sent in this order. The host adds `host`, `content-length` and framing when missing.
    pub headers: Headers,
    /// The whole body.
    pub body: Option<Vec<u8>>,
    /// Which protocol may be spoken.
    pub version: VersionChoice,
    /// False accepts any certificate; the verdict is still in [`Tls::verdict`].
    pub verify: bool,
    /// From the start to an established connection, TLS included.
    pub connect_timeout: Option<Duration>,
    /// From the start of the exchange to the end of the body.
    pub timeout: Option<Duration>,
}

impl Request {
    /// A request without headers and body, certificates verified, without time limits of its own.
    #[must_use]
    pub fn new(method: &str, url: &str) -> Self {
        Self {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: None,
            version: VersionChoice::Any,
            verify: true,
            connect_timeout: None,
            timeout: None,
        }
    }
}

/// Which protocol an exchange may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VersionChoice {
    /// What ALPN agrees on.
    #[default]
    Any,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// The protocol of an answer. Displays as `1.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
        })
    }
}

/// The head of an answer, and its body to read.
#[derive(Debug)]
pub struct Answer {
    /// 100 to 999.
    pub status: u16,
    /// The reason phrase of HTTP/1; empty for HTTP/2.
    pub reason: String,
    /// What was spoken.
    pub version: Version,
    /// As received.
    pub headers: Headers,
    /// Where the time went.
    pub phases: Phases,
    /// `address:port` of the peer, as connected.
    pub remote: String,
    /// `address:port` of this side.
    pub local: String,
    /// What the handshake agreed on; `None` for plain HTTP.
    pub tls: Option<Tls>,
    /// The rest of the answer, as it arrives.
    pub body: Box<dyn Body>,
}

/// Instants in microseconds since the exchange began, in the order in which they pass. A phase that did
/// not happen has the instant of the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases {
    /// The name was resolved.
    pub dns_us: u64,
    /// TCP was connected.
    pub connect_us: u64,
    /// The handshake was done.
    pub tls_us: u64,
    /// The request was sent.
    pub sent_us: u64,
    /// The first byte of the answer came.
    pub first_byte_us: u64,
}

/// What the TLS handshake agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// `TLSv1.3`.
    pub protocol: String,
    /// The cipher suite's name.
    pub cipher: String,
    /// The application protocol, when one was agreed on.
    pub alpn: Option<String>,
    /// `ok`, or why the chain was not trusted.
    pub verdict: String,
    /// The chain as the server sent it, DER, leaf first.
    pub certificates: Vec<Vec<u8>>,
}

/// The body of an answer.
pub trait Body: fmt::Debug {
    /// The next piece, at most `bytes_max`, as soon as there is any. An empty one is the end.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the rest will not come.
    fn read(&mut self, bytes_max: u32) -> Result<Vec<u8>, Failure>;

    /// Microseconds from the start of the exchange to the latest piece, or to the end once it was seen.
    fn total_us(&self) -> u64;
}

/// Where an exchange ended too early. The text says what happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The grant is missing, or the target policy refuses the address.
    #[error("{0}")]
    Denied(String),
    /// A limit of the host was reached.
    #[error("{0}")]
    Limit(String),
    /// The URL is not one that can be fetched.
    #[error("{0}")]
    Url(String),
    /// The name does not resolve.
    #[error("{0}")]
    Resolve(String),
    /// No address accepted a connection.
    #[error("{0}")]
    Connect(String),
    /// A time limit of the request passed.
    #[error("{0}")]
    Timeout(String),
    /// The TLS handshake failed.
    #[error("{0}")]
    Tls(String),
    /// The certificate was not trusted.
    #[error("{0}")]
    Certificate(String),
    /// The peer closed without an answer.
    #[error("{0}")]
    EmptyReply(String),
    /// The connection failed while data was sent.
    #[error("{0}")]
    Send(String),
    /// The connection failed, or the framing broke, while data was received.
    #[error("{0}")]
    Receive(String),
    /// The peer spoke something that is not HTTP.
    #[error("{0}")]
    Protocol(String),
}
