//! One question to the metadata service: a connection of its own, one second, and an answer of a few bytes.

use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

/// The longest answer: an identity document has 500 bytes, its signature 200, 50 names of tags 6,400.
pub(super) const ANSWER_BYTES_MAX: usize = 16 << 10;

/// The longest head of an answer; hyper takes no less.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// A question takes no longer: the service is on the machine itself and answers within milliseconds.
const QUESTION_MAX: Duration = Duration::from_secs(1);

/// Where tokens are given.
pub(super) const TOKEN: &str = "/latest/api/token";

/// For how long a token holds, in seconds: as it is asked for, and as it is given.
const TTL_HEADER: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// The token of a question.
const TOKEN_HEADER: &str = "x-aws-ec2-metadata-token";

/// Where the service is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// As errors name it.
    pub(super) url: String,
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    authority: HeaderValue,
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) text: String,
    /// Of a token.
    pub(super) ttl: Option<Duration>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failed {
    /// Nobody answered in time; why.
    NoAnswer(String),
    /// It is not text.
    NoText,
    /// It has more than [`ANSWER_BYTES_MAX`].
    TooLong,
}

impl Place {
    /// `http://HOST` or `http://HOST:PORT`, and nothing behind it.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let url = url.strip_suffix('/').unwrap_or(url);
        let uri: Uri = url.parse().ok()?;
        let is_bare = uri.path_and_query().is_none_or(|rest| rest.as_str() == "/");
        let authority = uri.authority().filter(|one| !one.as_str().contains('@'))?;
        if uri.scheme_str() != Some("http") || !is_bare || authority.host().is_empty() {
            return None;
        }
        let host = authority.host();
        let port = authority.as_str().strip_prefix(host)?;
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().ok()?,
            None if port.is_empty() => 80,
            None => return None,
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        Some(Self {
            url: url.to_owned(),
            host: bare.unwrap_or(host).to_owned(),
            port,
            authority: HeaderValue::from_str(authority.as_str()).ok()?,
        })
    }
}

/// Asks for a token of this life.
pub(super) async fn put_token(place: &Place, ttl: Duration) -> Result<Answer, Failed> {
    ask(place, Method::PUT, TOKEN, TTL_HEADER, HeaderValue::from(ttl.as_secs())).await
}

/// Asks for a document.
pub(super) async fn get(place: &Place, path: &str, token: HeaderValue) -> Result<Answer, Failed> {
    ask(place, Method::GET, path, TOKEN_HEADER, token).await
}

async fn ask(
    place: &Place,
    method: Method,
    path: &str,
    header: &'static str,
    value: HeaderValue,
) -> Result<Answer, Failed> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, place.authority.clone())
        .header(header, value)
        .body(Empty::<Bytes>::new())
        .map_err(no_answer)?;
    let asked = tokio::time::timeout(QUESTION_MAX, exchange(place, request));
    asked.await.unwrap_or_else(|_| {
        Err(Failed::NoAnswer(format!("no answer within {} s", QUESTION_MAX.as_secs())))
    })
}

async fn exchange(place: &Place, request: Request<Empty<Bytes>>) -> Result<Answer, Failed> {
    let stream = TcpStream::connect((place.host.as_str(), place.port)).await.map_err(no_answer)?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX);
    let (mut sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(no_answer)?;
    // Its error is that of the request too. The connection ends with this question.
    let _driver =
        AbortOnDropHandle::new(tokio::spawn(async { connection.await.unwrap_or_default() }));
    let response = sender.send_request(request).await.map_err(no_answer)?;
    let (head, body) = response.into_parts();
    let bytes = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() { Failed::TooLong } else { no_answer(error) }
    })?;
    let text = String::from_utf8(bytes.to_bytes().to_vec()).map_err(|_| Failed::NoText)?;
    let ttl = head.headers.get(TTL_HEADER).and_then(|ttl| ttl.to_str().ok()?.trim().parse().ok());
    Ok(Answer { status: head.status.as_u16(), text, ttl: ttl.map(Duration::from_secs) })
}

/// With its causes: hyper's own text is often only "connection error".
fn no_answer(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failed {
    let error = error.into();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    Failed::NoAnswer(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_perhaps_a_port() {
        for (url, host, port) in [
            ("http://169.254.169.254", "169.254.169.254", 80),
            ("http://169.254.169.254/", "169.254.169.254", 80),
            ("http://[fd00:ec2::254]", "fd00:ec2::254", 80),
            ("http://[::1]:8080", "::1", 8080),
            ("http://imds.test:81", "imds.test", 81),
        ] {
            let place = Place::parse(url).unwrap_or_else(|| panic!("{url}"));
            assert_eq!((place.host.as_str(), place.port), (host, port), "{url}");
        }
        for url in [
            "",
            "169.254.169.254",
            "https://169.254.169.254",
            "http://",
            "http://a b",
            "http://me:pw@host",
            "http://host/latest",
            "http://host?x",
            "http://host:port",
            "http://host:99999",
        ] {
            assert!(Place::parse(url).is_none(), "{url}");
        }
    }
}
