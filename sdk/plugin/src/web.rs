//! The words of one HTTP exchange: what is asked, what came back, where the time went, why it failed.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

pub use blitz_contract::web::{FailureKind, Family, Phases, Version, VersionChoice};

use crate::host::Host;

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
    /// Certificates in PEM that are trusted instead of the engine's own roots.
    pub roots: Option<Vec<u8>>,
    /// Which addresses of the name are tried.
    pub family: Family,
    /// Host and port to connect to in place of the URL's, whose names stay in the request and in TLS.
    pub connect_to: Option<(String, u16)>,
    /// IP addresses to try, in this order, in place of a lookup. Empty looks the name up.
    pub addresses: Vec<String>,
    /// `IP` or `IP:port` of the DNS server to ask in place of the engine's own resolver.
    pub resolver: Option<String>,
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
            roots: None,
            family: Family::Any,
            connect_to: None,
            addresses: Vec::new(),
            resolver: None,
            connect_timeout: None,
            timeout: None,
        }
    }
}

/// Gets a URL: a request without headers, certificates verified, redirects not followed.
///
/// # Errors
///
/// As [`Host::exchange`]; [`FailureKind::Url`] for one without a scheme.
pub fn get(host: &mut dyn Host, url: &str) -> Result<Answer, Failure> {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    if !matches!(scheme.as_deref(), Some("http" | "https")) {
        let text = format!("URL {url:?} needs http:// or https:// in front");
        return Err(Failure::new(FailureKind::Url, text));
    }
    host.exchange(&Request::new("GET", url))
}

/// The head of an answer, and its body to read.
#[derive(Debug)]
pub struct Answer {
    /// 100 to 999.
    pub status: u16,
    /// The reason phrase of HTTP/1 as it came, in whatever encoding; empty for later versions.
    pub reason: Vec<u8>,
    /// What was spoken.
    pub version: Version,
    /// As received.
    pub headers: Headers,
    /// Where the time went.
    pub phases: Phases,
    /// The way to the server.
    pub connection: Connection,
    /// The rest of the answer, as it arrives.
    pub body: Box<dyn Body>,
}

impl Answer {
    /// The first header of this name, in whatever case; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let (_, value) = self.headers.iter().find(|(of, _)| of.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(value))
    }

    /// The rest of the body, when it is no longer than this. The bytes are as they were sent: nothing is decoded.
    ///
    /// # Errors
    ///
    /// [`FailureKind::Limit`] for a longer one, else as [`Body::read`].
    pub fn read_body(&mut self, bytes_max: usize) -> Result<Vec<u8>, Failure> {
        /// Large enough that a call's cost vanishes, small beside any memory limit.
        const PIECE_BYTES: u32 = 64 * 1024;
        let mut whole = Vec::new();
        loop {
            let piece = self.body.read(PIECE_BYTES)?;
            if piece.is_empty() {
                return Ok(whole);
            }
            if piece.len() > bytes_max - whole.len() {
                let text = format!("the body has more than {bytes_max} bytes");
                return Err(Failure::new(FailureKind::Limit, text));
            }
            whole.extend_from_slice(&piece);
        }
    }
}

/// The way to a server, as far as it was gone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Connection {
    /// Who resolved the name: `system`, or `IP:port` of a DNS server. `None` when nothing was looked up.
    pub resolver: Option<String>,
    /// All addresses, in the order in which they are tried.
    pub addresses: Vec<String>,
    /// `address:port` of the peer, as connected.
    pub remote: Option<String>,
    /// `address:port` of this side.
    pub local: Option<String>,
    /// What the handshake showed, also of a chain that was refused; `None` for plain HTTP.
    pub tls: Option<Tls>,
}

/// What a TLS handshake showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// `TLSv1.3`; empty when the handshake did not get so far.
    pub protocol: String,
    /// The cipher suite's name; empty as the protocol, and for HTTP/3.
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

/// Where an exchange ended too early, and how far it had come.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// What a caller decides by.
    pub kind: FailureKind,
    /// What happened, for people.
    pub text: String,
    /// Where the time went; 0 for what was not passed.
    pub phases: Phases,
    /// The way to the server.
    pub connection: Box<Connection>,
}

impl Failure {
    /// A failure before anything was reached.
    #[must_use]
    pub fn new(kind: FailureKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), phases: Phases::default(), connection: Box::default() }
    }
}

/// How a time limit crosses the border: rounded up, as one above zero must not become none.
#[cfg(any(target_family = "wasm", feature = "native"))]
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}
