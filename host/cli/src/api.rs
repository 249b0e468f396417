//! The gateway's HTTP API v1 as typed calls.
//!
//! Plain HTTP only: beyond loopback a proxy or a tunnel gives TLS, and a command that takes 15 ms does
//! not start by reading certificates.
//!
//! `error` is why a call failed; `accounts` are the calls about tenants and keys.

mod accounts;
mod error;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use url::Url;

use crate::pin::Pin;
use crate::wire::{self, Refusal, Submission, Submitted};
pub(crate) use error::{Error, TokenFrom};

/// Time to connect. A gateway of this machine needs microseconds, one of another continent 300 ms.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Time for a whole answer, event streams excepted. The gateway itself gives up on its store before.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Time for a publishing: 64 MiB at 5 Mbit/s, and its way into the store.
const UPLOAD_MAX: Duration = Duration::from_secs(150);

/// Bytes of an answer: a list of 1000 jobs with long command lines stays far below.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A gateway and the right to use it. A clone shares the connections.
#[derive(Clone)]
pub(crate) struct Gateway {
    /// `http://host:port`, without a slash at the end.
    url: String,
    token: String,
    token_from: TokenFrom,
    http: Client<HttpConnector, Full<Bytes>>,
}

impl fmt::Debug for Gateway {
    /// Without the token: it must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Gateway {
    /// A gateway at `url`. Nothing is sent yet.
    pub(crate) fn new(url: &str, token: &str, token_from: TokenFrom) -> Result<Self, Error> {
        let origin = origin(url).ok_or_else(|| Error::Address { url: url.to_owned() })?;
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::Token { from: token_from });
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_MAX));
        let http = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { url: origin, token: token.to_owned(), token_from, http })
    }

    /// `http://host:port`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Where its token came from.
    pub(crate) fn token_from(&self) -> TokenFrom {
        self.token_from
    }

    /// The version that was named, or the one that a job in these regions would get.
    pub(crate) async fn plugin(
        &self,
        pin: &Pin,
        regions: &[String],
    ) -> Result<wire::PluginInfo, Error> {
        let mut path = format!("/v1/plugins/{}", segment(&pin.name));
        if let Some(version) = &pin.version {
            path.push_str(&format!("?version={}", segment(version)));
        } else if regions.iter().any(|region| region != "any") {
            path.push_str(&format!("?regions={}", segment(&regions.join(","))));
        }
        self.call(Method::GET, &path, Bytes::new()).await
    }

    /// Publishes one version of a plugin: `body` is the release as a line of JSON, then the file. Harmless to
    /// repeat.
    pub(crate) async fn publish(
        &self,
        name: &str,
        version: &str,
        body: Bytes,
    ) -> Result<wire::Published, Error> {
        let path = version_path(name, version);
        self.call_within(UPLOAD_MAX, Method::PUT, &path, body).await
    }

    /// One version of a plugin, and which engines can run it.
    pub(crate) async fn plugin_version(
        &self,
        name: &str,
        version: &str,
    ) -> Result<wire::Plugin, Error> {
        self.call(Method::GET, &version_path(name, version), Bytes::new()).await
    }

    /// Takes a version back. Harmless to repeat.
    pub(crate) async fn yank(
        &self,
        name: &str,
        version: &str,
        reason: &str,
    ) -> Result<wire::Marked, Error> {
        let body = serde_json::to_vec(&serde_json::json!({"reason": reason}));
        let body = Bytes::from(body.map_err(|e| self.strange(e))?);
        self.call(Method::POST, &format!("{}/yank", version_path(name, version)), body).await
    }

    /// Lets all regions have a version. Harmless to repeat.
    pub(crate) async fn promote(&self, name: &str, version: &str) -> Result<wire::Marked, Error> {
        let path = format!("{}/promote", version_path(name, version));
        self.call(Method::POST, &path, Bytes::new()).await
    }

    /// A new one-time join token for an engine of this region. Not repeated when the answer is lost.
    pub(crate) async fn join_token(
        &self,
        region: &str,
        expires: Duration,
        engine: Option<&str>,
    ) -> Result<wire::JoinToken, Error> {
        // A token that is good for less than a second is none.
        let body = serde_json::json!({"expires_in_s": expires.as_secs().max(1), "engine": engine});
        let path = format!("/v1/regions/{}/tokens", segment(region));
        self.call(Method::POST, &path, Bytes::from(body.to_string())).await
    }

    /// Takes the right of an engine back. Harmless to repeat.
    pub(crate) async fn revoke_engine(
        &self,
        engine: &str,
        reason: &str,
    ) -> Result<wire::Revoked, Error> {
        let body = serde_json::json!({"reason": reason});
        let path = format!("/v1/engines/{}/revoked", segment(engine));
        self.call(Method::PUT, &path, Bytes::from(body.to_string())).await
    }

    /// Makes the jobs of one command. Not repeated when the answer is lost: the jobs may exist.
    pub(crate) async fn submit(&self, submission: &Submission<'_>) -> Result<Submitted, Error> {
        let body = serde_json::to_vec(submission).map_err(|e| self.strange(e))?;
        self.call(Method::POST, "/v1/jobs", Bytes::from(body)).await
    }

    /// Cancels a job. Harmless when it has ended.
    pub(crate) async fn cancel(&self, id: &str) -> Result<wire::Cancelled, Error> {
        self.call(Method::DELETE, &job_path(id), Bytes::new()).await
    }

    /// One job.
    pub(crate) async fn job(&self, id: &str) -> Result<wire::Job, Error> {
        self.call(Method::GET, &job_path(id), Bytes::new()).await
    }

    /// Any of the lists, by path.
    pub(crate) async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    /// The events of a job, behind `last_event_id` or from the start. The body has no time limit.
    pub(crate) async fn events(
        &self,
        id: &str,
        last_event_id: Option<&str>,
    ) -> Result<Incoming, Error> {
        let mut request = self.request(Method::GET, &format!("{}/events", job_path(id)));
        request = request.header(header::ACCEPT, "text/event-stream");
        if let Some(last) = last_event_id {
            request = request.header("last-event-id", last);
        }
        let response = timeout(ANSWER_MAX, self.send(request, Bytes::new()))
            .await
            .map_err(|_| Error::Timeout { url: self.url.clone() })??;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        Err(self.refusal(response).await)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, Error> {
        self.call_within(ANSWER_MAX, method, path, body).await
    }

    async fn call_within<T: DeserializeOwned>(
        &self,
        limit: Duration,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, Error> {
        let answer = self.answer_within(limit, method, path, body).await?;
        serde_json::from_slice(&answer).map_err(|e| self.strange(e))
    }

    /// The body of an answer that is no refusal.
    async fn answer_within(
        &self,
        limit: Duration,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Bytes, Error> {
        let request = self.request(method, path);
        let answer = async {
            let response = self.send(request, body).await?;
            match response.status().is_success() {
                true => self.read(response).await,
                false => Err(self.refusal(response).await),
            }
        };
        timeout(limit, answer).await.map_err(|_| Error::Timeout { url: self.url.clone() })?
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
    }

    async fn send(
        &self,
        request: http::request::Builder,
        body: Bytes,
    ) -> Result<Response<Incoming>, Error> {
        let request =
            request.body(Full::new(body)).map_err(|_| Error::Address { url: self.url.clone() })?;
        self.http.request(request).await.map_err(|e| self.unreachable(&e))
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Bytes, Error> {
        match Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(cause) => Err(self.unreachable(cause.as_ref())),
        }
    }

    async fn refusal(&self, response: Response<Incoming>) -> Error {
        let status = response.status();
        let again = response.headers().get(header::RETRY_AFTER);
        let again = again.and_then(|value| value.to_str().ok()?.parse().ok());
        let body = match self.read(response).await {
            Ok(body) => body,
            Err(error) => return error,
        };
        match serde_json::from_slice::<Refusal>(&body) {
            refusal if status == StatusCode::UNAUTHORIZED => {
                let reason = refusal.unwrap_or_default().reason;
                Error::Unauthorized { url: self.url.clone(), from: self.token_from, reason }
            }
            Ok(refusal) if !refusal.error.is_empty() => {
                let retry_after = again.map(Duration::from_secs);
                Error::Refused { status, refusal: Box::new(Refusal { retry_after, ..refusal }) }
            }
            _ => self.strange(format_args!("status {}", status.as_u16())),
        }
    }

    /// An error of the transport. The innermost cause says most: `Connection refused`.
    fn unreachable(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        let mut cause = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let cause = crate::text::without_os_code(&cause.to_string());
        Error::Unreachable { url: self.url.clone(), cause }
    }

    fn strange(&self, what: impl fmt::Display) -> Error {
        Error::NotAGateway { url: self.url.clone(), what: what.to_string() }
    }
}

impl fmt::Display for Refusal {
    /// The reason, and the way out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.reason.is_empty() { &self.error } else { &self.reason })?;
        match &self.suggestion {
            Some(word) if !self.reason.contains("did you mean") => {
                write!(f, "; did you mean {word}?")
            }
            None if !self.known.is_empty() && !self.reason.contains("known:") => {
                write!(f, "; known: {}", self.known.join(", "))
            }
            _ => Ok(()),
        }
    }
}

/// `http://host:port` of an address that may lack its scheme; `None` for anything else.
pub(crate) fn origin(url: &str) -> Option<String> {
    let url =
        if url.contains("://") { Url::parse(url) } else { Url::parse(&format!("http://{url}")) };
    let url = url.ok()?;
    let is_plain = url.scheme() == "http"
        && url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none();
    let host = url.host_str().filter(|_| is_plain)?;
    Some(format!("http://{host}:{}", url.port_or_known_default()?))
}

fn version_path(name: &str, version: &str) -> String {
    format!("/v1/plugins/{}/{}", segment(name), segment(version))
}

fn job_path(id: &str) -> String {
    format!("/v1/jobs/{}", segment(id))
}

/// `text` as one segment of a path, or as a value of its query.
pub(crate) fn segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_origins() {
        for (address, expected) in [
            ("http://127.0.0.1:8042", Some("http://127.0.0.1:8042")),
            ("http://127.0.0.1:8042/", Some("http://127.0.0.1:8042")),
            ("localhost:8042", Some("http://localhost:8042")),
            ("blitz.example", Some("http://blitz.example:80")),
            ("http://[::1]:1", Some("http://[::1]:1")),
            ("https://blitz.example", None),
            ("http://name:pw@blitz.example", None),
            ("http://blitz.example/path", None),
            ("http://", None),
            ("", None),
        ] {
            assert_eq!(origin(address).as_deref(), expected, "{address}");
        }
    }

    #[test]
    fn a_refusal_says_the_way_out() {
        for (json, text) in [
            (r#"{"error":"x"}"#, "x"),
            (r#"{"error":"x","reason":"no region 'a'"}"#, "no region 'a'"),
            (
                r#"{"error":"x","reason":"no region 'jpan'","suggestion":"japan","known":["japan"]}"#,
                "no region 'jpan'; did you mean japan?",
            ),
            (
                r#"{"error":"x","reason":"no region 'a'","known":["japan","local"]}"#,
                "no region 'a'; known: japan, local",
            ),
        ] {
            let refusal: Refusal = serde_json::from_str(json).unwrap();
            assert_eq!(refusal.to_string(), text);
        }
    }

    #[test]
    fn a_segment_stays_one() {
        assert_eq!(segment("a/b c?"), "a%2Fb%20c%3F");
    }
}
