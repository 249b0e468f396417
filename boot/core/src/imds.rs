//! Instance metadata as EC2 serves it, for machines that are not of EC2: who a machine is, and that it is taken back. This is
//! the side that answers; who asks is the engine.
//!
//! Version 2 alone: a question shows a [token](Tokens) that was fetched by a PUT. There is no identity document, for nobody
//! but AWS can sign one: an engine on such a machine joins with a join token.
//!
//! Source: EC2 User Guide, "Access instance metadata for an EC2 instance" and "Instance metadata categories".

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Where the service is, on every instance.
pub const ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), 80);

/// The notice that the machine is taken back, see [`interruption`].
pub const INTERRUPTION: &str = "/latest/meta-data/spot/instance-action";

/// The names of the instance's tags, a line each; a tag's value is below.
const TAGS: &str = "/latest/meta-data/tags/instance";

/// Where tokens are given.
const TOKEN: &str = "/latest/api/token";

/// The headers of a token: its life in seconds, and itself.
const TTL_HEADER: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const TOKEN_HEADER: &str = "x-aws-ec2-metadata-token";

/// A token lives six hours at most.
const TTL_S_MAX: u64 = 21_600;

/// Random bytes of a token: in base64 they have the 56 characters of EC2's.
const TOKEN_BYTES: usize = 40;

/// Tokens that hold at a time: each program of the machine has one. Who loses the oldest asks for another.
const TOKENS_MAX: usize = 1_000;

/// Connections at a time: an engine has one, for as long as a question takes. Others wait.
const CONNECTIONS_MAX: usize = 100;

/// A connection ends after so long, whoever holds it.
const CONNECTION_MAX: Duration = Duration::from_secs(10);

/// Where no connection can be accepted, for want of descriptors, that is tried again after so long.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Who a machine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its id.
    pub id: String,
    /// The provider's region: a word without blanks and slashes.
    pub region: String,
    /// The zone of it: a word, too.
    pub zone: String,
    /// Its type, as `m7g.large`.
    pub instance_type: String,
    /// Whether it may be taken back.
    pub is_spot: bool,
}

impl Identity {
    /// What the machine is told of itself, by path.
    #[must_use]
    pub fn documents(&self) -> BTreeMap<String, String> {
        let life_cycle = if self.is_spot { "spot" } else { "on-demand" };
        let all = [
            ("instance-id", &*self.id),
            ("placement/region", &self.region),
            ("placement/availability-zone", &self.zone),
            ("instance-type", &self.instance_type),
            ("instance-life-cycle", life_cycle),
        ];
        let document =
            |(path, text): (&str, &str)| (format!("/latest/meta-data/{path}"), text.to_owned());
        all.map(document).into()
    }
}

/// What a machine is told of its tags, by path.
pub fn tags(tags: &BTreeMap<String, String>) -> impl Iterator<Item = (String, String)> {
    let names = Vec::from_iter(tags.keys().map(String::as_str)).join("\n");
    let each = tags.iter().map(|(name, value)| (format!("{TAGS}/{name}"), value.clone()));
    each.chain([(TAGS.to_owned(), names)])
}

/// The text of the notice that the machine is taken back at this time: `terminate`, `stop`, `hibernate`. A time that no
/// calendar has is told as the last one that it has.
#[must_use]
pub fn interruption(action: &str, at: SystemTime) -> String {
    let at = Timestamp::try_from(at).unwrap_or(Timestamp::MAX);
    format!(r#"{{"action": "{action}", "time": "{}"}}"#, at.strftime("%Y-%m-%dT%H:%M:%SZ"))
}

/// The tokens that were given, and hold.
#[derive(Debug, Default)]
pub struct Tokens {
    /// Each with its end, the oldest first.
    given: VecDeque<(String, Instant)>,
}

impl Tokens {
    /// Answers a question: gives a token, or the document that `find` has to a path if a token is shown.
    #[must_use]
    pub fn answer<B>(
        &mut self,
        request: &Request<B>,
        find: impl FnOnce(&str) -> Option<String>,
    ) -> Response<Full<Bytes>> {
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        if request.method() == Method::PUT && request.uri().path() == TOKEN {
            return self.give(header(TTL_HEADER));
        }
        if !header(TOKEN_HEADER).is_some_and(|token| self.holds(token)) {
            return answer(StatusCode::UNAUTHORIZED, "");
        }
        document(request, find)
    }

    /// Takes none of the tokens any more that it gave.
    pub fn forget(&mut self) {
        self.given.clear();
    }

    fn holds(&self, token: &str) -> bool {
        self.given.iter().any(|(given, end)| given == token && Instant::now() < *end)
    }

    fn give(&mut self, ttl: Option<&str>) -> Response<Full<Bytes>> {
        let ttl = ttl.and_then(|ttl| ttl.parse().ok()).filter(|ttl| (1..=TTL_S_MAX).contains(ttl));
        let Some(ttl) = ttl else { return answer(StatusCode::BAD_REQUEST, "") };
        let mut bytes = [0; TOKEN_BYTES];
        if SystemRandom::new().fill(&mut bytes).is_err() {
            return answer(StatusCode::SERVICE_UNAVAILABLE, "");
        }
        let token = STANDARD.encode(bytes);
        let mut given = answer(StatusCode::OK, &token);
        given.headers_mut().insert(TTL_HEADER, HeaderValue::from(ttl));
        if self.given.len() == TOKENS_MAX {
            self.given.pop_front();
        }
        self.given.push_back((token, Instant::now() + Duration::from_secs(ttl)));
        given
    }
}

/// Answers a question whoever asks it, as version 1 does.
#[must_use]
pub fn document<B>(
    request: &Request<B>,
    find: impl FnOnce(&str) -> Option<String>,
) -> Response<Full<Bytes>> {
    match (request.method(), find(request.uri().path())) {
        (&Method::GET, Some(text)) => answer(StatusCode::OK, &text),
        (&Method::GET, None) => answer(StatusCode::NOT_FOUND, ""),
        _ => answer(StatusCode::METHOD_NOT_ALLOWED, ""),
    }
}

/// An answer of a status and a text.
#[must_use]
pub fn answer(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text.to_owned())));
    *response.status_mut() = status;
    response
}

/// Answers whoever comes, until it is dropped.
pub async fn serve<H>(listener: TcpListener, hear: H) -> Infallible
where
    H: Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Clone + Send + Sync + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        if connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let hear = hear.clone();
                connections.spawn(timeout(CONNECTION_MAX, connection(stream, hear)));
            }
            Err(_) => sleep(ACCEPT_AGAIN).await,
        }
    }
}

/// Answers the questions of one connection.
pub async fn connection<H>(stream: TcpStream, hear: H)
where
    H: Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync,
{
    let answers = service_fn(async |request| Ok::<_, Infallible>(hear(&request)));
    // The client may have gone: nobody is left to tell.
    http1::Builder::new().serve_connection(TokioIo::new(stream), answers).await.ok();
}

#[cfg(test)]
mod tests;
