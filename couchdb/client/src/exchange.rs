//! One request and its answer: time-out, size limit, and what may be sent a second time.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body as _, Incoming};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::address::Address;
use crate::bearer::Bearer;
use crate::client::Config;
use crate::connection::{Connection, Dial, Failure};
use crate::error::Error;
use crate::path::Path;
use crate::pool::Pool;

/// The largest answer that is read, in bytes: 64 MiB, attachments included.
///
/// Eight times the largest document that CouchDB takes by default; a page that needs more is asked for
/// with a limit.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How many characters of an answer that is not CouchDB's an error repeats: enough to recognise a proxy.
const FOREIGN_TEXT_CHARS: usize = 200;

/// What stands between a [`Client`](crate::Client) and the network.
pub(crate) struct Exchange {
    address: Address,
    dial: Dial,
    connect_timeout: Duration,
    headers: HeaderMap,
    bearer: Option<Bearer>,
    pool: Pool,
    /// One for each request under way; feeds do not count.
    permits: Semaphore,
}

impl fmt::Debug for Exchange {
    /// Without the headers, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Exchange");
        debug.field("address", &self.address).field("dial", &self.dial).field("pool", &self.pool);
        debug.finish_non_exhaustive()
    }
}

/// A request, ready to be sent any number of times.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: Path,
    /// The database it is about, to name it when it does not exist.
    pub(crate) database: Option<Arc<str>>,
    pub(crate) content: Option<(HeaderValue, Bytes)>,
    /// Whether sending it twice is the same as sending it once.
    pub(crate) repeatable: bool,
    pub(crate) timeout: Duration,
    /// The largest answer that is read, in bytes.
    pub(crate) answer_bytes_max: usize,
}

impl Request {
    /// A request that only reads.
    pub(crate) fn read(method: Method, path: Path, timeout: Duration) -> Self {
        Self {
            method,
            path,
            database: None,
            content: None,
            repeatable: true,
            timeout,
            answer_bytes_max: ANSWER_BYTES_MAX,
        }
    }

    /// A request that changes something, so that it is sent at most once.
    pub(crate) fn write(method: Method, path: Path, timeout: Duration) -> Self {
        Self {
            method,
            path,
            database: None,
            content: None,
            repeatable: false,
            timeout,
            answer_bytes_max: ANSWER_BYTES_MAX,
        }
    }

    pub(crate) fn json(self, body: Vec<u8>) -> Self {
        self.content(HeaderValue::from_static("application/json"), Bytes::from(body))
    }

    pub(crate) fn content(self, content_type: HeaderValue, body: Bytes) -> Self {
        Self { content: Some((content_type, body)), ..self }
    }

    pub(crate) fn about(self, database: &Arc<str>) -> Self {
        Self { database: Some(Arc::clone(database)), ..self }
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The time that the server has, as it said it.
    pub(crate) date: Option<HeaderValue>,
    pub(crate) body: Bytes,
}

/// An answer whose body goes on arriving; dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) body: Incoming,
    _connection: Connection,
}

impl Exchange {
    pub(crate) fn new(address: Address, dial: Dial, config: &Config) -> Self {
        // A semaphore has a ceiling of its own and panics above it.
        let permits = Semaphore::new(config.requests_max.clamp(1, Semaphore::MAX_PERMITS));
        Self {
            address,
            dial,
            connect_timeout: config.connect_timeout,
            headers: config.headers.clone(),
            bearer: config.bearer.clone(),
            pool: Pool::default(),
            permits,
        }
    }

    /// The address without its secrets.
    pub(crate) fn shown(&self) -> &str {
        &self.address.shown
    }

    /// Whether it is reached over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.address.is_secure
    }

    /// Where the server is.
    pub(crate) fn host_and_port(&self) -> (&str, u16) {
        (&self.address.host, self.address.port)
    }

    /// Method and address, for errors.
    pub(crate) fn name(&self, request: &Request) -> String {
        let path = request.path.as_str().split('?').next().unwrap_or_default();
        format!("{} {}{path}", request.method, self.address.shown)
    }

    /// Sends a request and reads the whole answer, whatever its status.
    pub(crate) async fn call(&self, request: &Request) -> Result<Answer, Error> {
        match timeout(request.timeout, self.call_patiently(request)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(self.late(request)),
        }
    }

    /// Sends a request on a connection of its own and returns when its head has arrived.
    ///
    /// An answer that is not 200 is read whole and becomes an error.
    pub(crate) async fn open(&self, request: &Request) -> Result<Stream, Error> {
        let head = async {
            let mut connection = self.connect(request).await?;
            let response = connection
                .send(self.http(request)?)
                .await
                .map_err(|failure| self.unreachable(request, failure))?;
            let (head, body) = response.into_parts();
            if head.status == StatusCode::OK {
                return Ok(Stream { body, _connection: connection });
            }
            let body =
                read(body, ANSWER_BYTES_MAX).await.map_err(|end| end.into_error(self, request))?;
            Err(self.refuse(request, &Answer { status: head.status, date: None, body }))
        };
        match timeout(request.timeout, head).await {
            Ok(result) => result,
            Err(_elapsed) => Err(self.late(request)),
        }
    }

    /// A connection that waited in the pool may have been closed by the server in the meantime. What
    /// was not sent goes over the next one; what was sent is sent again only when that is harmless,
    /// and then over a new connection. So there are at most two tries that reach the server.
    async fn call_patiently(&self, request: &Request) -> Result<Answer, Error> {
        let _permit = self.permits.acquire().await.map_err(|closed| Error::Unreachable {
            request: self.name(request),
            sent: false,
            source: closed.into(),
        })?;
        let mut pooled = self.pool.take();
        loop {
            let is_reused = pooled.is_some();
            let mut connection = match pooled.take() {
                Some(connection) => connection,
                None => self.connect(request).await?,
            };
            let end = match connection.send(self.http(request)?).await {
                Ok(response) => {
                    let (mut head, body) = response.into_parts();
                    match read(body, request.answer_bytes_max).await {
                        Ok(body) => {
                            self.pool.put_back(connection);
                            let date = head.headers.remove(DATE);
                            return Ok(Answer { status: head.status, date, body });
                        }
                        Err(end) => end,
                    }
                }
                Err(failure) => End::Cut(failure),
            };
            match end {
                End::Cut(Failure::NotSent(_)) if is_reused => pooled = self.pool.take(),
                End::Cut(Failure::NoAnswer(_)) if is_reused && request.repeatable => {}
                end => return Err(end.into_error(self, request)),
            }
        }
    }

    async fn connect(&self, request: &Request) -> Result<Connection, Error> {
        let open = Connection::open(&self.dial, &self.address);
        let result = timeout(self.connect_timeout, open).await.unwrap_or_else(|_elapsed| {
            let text = format!("no connection within {:?}", self.connect_timeout);
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        });
        result.map_err(|cause| Error::Unreachable {
            request: self.name(request),
            sent: false,
            source: cause.into(),
        })
    }

    fn http(&self, request: &Request) -> Result<http::Request<Full<Bytes>>, Error> {
        let path = format!("{}{}", self.address.prefix, request.path.as_str());
        let mut builder = http::Request::builder()
            .method(&request.method)
            .uri(path)
            .header(HOST, &self.address.authority)
            // And nothing else: with `*/*` beside it, CouchDB answers open_revs in parts. Attachments
            // come as they are whatever is asked.
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        let token = self.bearer.as_ref().and_then(Bearer::header);
        if let Some(authorization) = token.as_ref().or(self.address.authorization.as_ref()) {
            builder = builder.header(AUTHORIZATION, authorization);
        }
        let body = match &request.content {
            Some((content_type, body)) => {
                builder = builder.header(CONTENT_TYPE, content_type);
                body.clone()
            }
            None => Bytes::new(),
        };
        // Only a path longer than the 64 KiB that `http` takes gets here as an error.
        builder.body(Full::new(body)).map_err(|cause| Error::Invalid {
            what: "the address of a request",
            value: self.name(request).chars().take(FOREIGN_TEXT_CHARS).collect(),
            reason: format!("{cause}; shorten the ids and keys"),
        })
    }

    /// The error for an answer that the request cannot use.
    pub(crate) fn refuse(&self, request: &Request, answer: &Answer) -> Error {
        let name = self.name(request);
        let refusal = Refusal::of(answer);
        let Refusal { error, reason } = refusal;
        match answer.status {
            StatusCode::UNAUTHORIZED => Error::Unauthorized { request: name, reason },
            StatusCode::FORBIDDEN => Error::Forbidden { request: name, reason },
            StatusCode::NOT_FOUND if is_missing_database(&reason) && request.database.is_some() => {
                let database = request.database.as_deref().unwrap_or_default().to_owned();
                Error::NotFound { database, request: name }
            }
            status => Error::Status { request: name, code: status.as_u16(), error, reason },
        }
    }

    /// Reads the JSON of an answer that has the right status.
    pub(crate) fn decode<T: DeserializeOwned>(
        &self,
        request: &Request,
        body: &[u8],
    ) -> Result<T, Error> {
        serde_json::from_slice(body).map_err(|source| self.not_understood(request, source))
    }

    pub(crate) fn not_understood(&self, request: &Request, source: serde_json::Error) -> Error {
        Error::Decode { request: self.name(request), source }
    }

    fn late(&self, request: &Request) -> Error {
        Error::Timeout { request: self.name(request), after: request.timeout }
    }

    fn unreachable(&self, request: &Request, failure: Failure) -> Error {
        let (sent, cause) = match failure {
            Failure::NotSent(cause) => (false, cause),
            Failure::NoAnswer(cause) => (true, cause),
        };
        let sent = sent && !request.repeatable;
        Error::Unreachable { request: self.name(request), sent, source: Told(cause).into() }
    }
}

async fn read(body: Incoming, limit: usize) -> Result<Bytes, End> {
    // What announces its length need not be read to know that it is too long.
    if usize::try_from(body.size_hint().lower()).map_or(true, |length| length > limit) {
        return Err(End::TooLarge);
    }
    match Limited::new(body, limit).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(cause) => match cause.downcast::<hyper::Error>() {
            Ok(cause) => Err(End::Cut(Failure::NoAnswer(*cause))),
            // The other error that there is: `LengthLimitError`.
            Err(_) => Err(End::TooLarge),
        },
    }
}

/// How a try ended without a whole answer.
#[derive(Debug)]
enum End {
    Cut(Failure),
    TooLarge,
}

impl End {
    fn into_error(self, exchange: &Exchange, request: &Request) -> Error {
        match self {
            Self::Cut(failure) => exchange.unreachable(request, failure),
            Self::TooLarge => Error::TooLarge {
                request: exchange.name(request),
                limit_bytes: request.answer_bytes_max,
            },
        }
    }
}

/// A transport's error that says its cause too: hyper's own text is often only "connection error".
#[derive(Debug, thiserror::Error)]
#[error("{}", told(.0))]
pub(crate) struct Told(#[source] pub(crate) hyper::Error);

fn told(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// CouchDB's own account of a refusal.
#[derive(Debug, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) error: String,
    #[serde(default)]
    pub(crate) reason: String,
}

impl Refusal {
    /// What an answer says; of an answer that is not CouchDB's, its first characters.
    pub(crate) fn of(answer: &Answer) -> Self {
        serde_json::from_slice(&answer.body).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(&answer.body);
            let reason = text.trim().chars().take(FOREIGN_TEXT_CHARS).collect();
            Self { error: String::new(), reason }
        })
    }

    /// Whether a document, or an attachment of it, is what was not found.
    ///
    /// A 404 without CouchDB's words may be a proxy's and says nothing about documents.
    pub(crate) fn is_missing_document(answer: &Answer) -> bool {
        answer.status == StatusCode::NOT_FOUND && {
            let refusal = Self::of(answer);
            refusal.error == "not_found" && !is_missing_database(&refusal.reason)
        }
    }
}

/// CouchDB 3 says the first, CouchDB 1 and PouchDB Server the second.
fn is_missing_database(reason: &str) -> bool {
    matches!(reason, "Database does not exist." | "no_db_file")
}

#[cfg(test)]
mod tests;
