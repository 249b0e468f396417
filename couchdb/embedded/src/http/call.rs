//! One request on its way through the handlers: who asks for what, and the body that was sent.

use super::{
    auth::Auth, heavy, query::Query, refusal::Refusal, trouble::Trouble, unpack,
    validate::Validators,
};
use crate::{
    document::check, replicator::Replicator, script::Scripts, store::Store, user::User,
    view::registry::Views,
};
use bytes::{Bytes, BytesMut};
use http::{HeaderName, Method, StatusCode, header, request::Parts};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// The largest body of a request, in bytes: an attachment of the largest size in base64 and some
/// documents. It is held in memory.
pub(crate) const BODY_BYTES_MAX: usize = 96 << 20;

/// Bodies above this many bytes are large.
const LARGE_BYTES: usize = 1 << 20;

/// How many large bodies may be in memory at once; others wait before they are read on.
pub(crate) const LARGE_BODIES_MAX: usize = 8;

/// How long a client may be silent in the middle of its body.
const BODY_SILENCE: Duration = Duration::from_secs(60);

/// What all requests of a listener share.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) store: Arc<Store>,
    pub(crate) stop: CancellationToken,
    pub(crate) auth: Auth,
    pub(crate) scripts: Scripts,
    pub(crate) trouble: Trouble,
    pub(crate) validators: Validators,
    pub(crate) views: Views,
    pub(crate) replicator: Replicator,
    large: Arc<Semaphore>,
}

impl Server {
    pub(crate) fn new(store: Arc<Store>, stop: CancellationToken) -> Server {
        Server {
            auth: Auth::new(store.options(), store.cookie_secret()),
            scripts: Scripts::new(),
            trouble: Trouble::new(&store.options().test_modes, store.options().test_seed),
            validators: Validators::default(),
            views: Views::new(store.directory()),
            replicator: Replicator::new(),
            store,
            stop,
            large: Arc::new(Semaphore::new(LARGE_BODIES_MAX)),
        }
    }
}

impl Server {
    /// A place among those that may hold a large body; None for work on few bytes.
    pub(crate) async fn place(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        if usize::try_from(bytes).is_ok_and(|bytes| bytes <= LARGE_BYTES) {
            return None;
        }
        Arc::clone(&self.large).acquire_owned().await.ok()
    }
}

/// A request.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) server: Arc<Server>,
    pub(crate) user: Arc<User>,
    pub(crate) method: Method,
    pub(crate) query: Query,
    pub(crate) parts: Parts,
    body: Mutex<Option<Incoming>>,
    /// Copies of the document took different writes.
    disagreed: AtomicBool,
}

impl Call {
    pub(crate) fn new(server: Arc<Server>, user: Arc<User>, parts: Parts, body: Incoming) -> Call {
        let query = Query::read(parts.uri.query());
        let method = parts.method.clone();
        Call {
            server,
            user,
            method,
            query,
            parts,
            body: Mutex::new(Some(body)),
            disagreed: AtomicBool::new(false),
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.server.store
    }

    pub(crate) fn header(&self, name: HeaderName) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Remembers that the copies of a document took different writes.
    pub(crate) fn note_disagreement(&self) {
        self.disagreed.store(true, Ordering::Relaxed);
    }

    /// Whether they did.
    pub(crate) fn is_disagreed(&self) -> bool {
        self.disagreed.load(Ordering::Relaxed)
    }

    /// GET, or HEAD, which is answered alike; the body of a HEAD does not leave.
    pub(crate) fn is_read(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }

    /// Whether the client takes this content type; one that does not say takes everything.
    pub(crate) fn accepts(&self, kind: &str) -> bool {
        let Some(accept) = self.header(header::ACCEPT) else { return true };
        let family = kind.split('/').next().unwrap_or(kind);
        accept.split(',').any(|taken| {
            let taken = taken.split(';').next().unwrap_or(taken).trim();
            taken == "*/*" || taken == kind || taken.strip_suffix("/*") == Some(family)
        })
    }

    /// Refuses what only an administrator may do with the server.
    pub(crate) fn need_admin(&self) -> Result<(), Refusal> {
        if self.user.is_admin() {
            Ok(())
        } else {
            Err(Refusal::unauthorized("You are not a server admin."))
        }
    }

    /// Refuses a body that does not say that it is JSON.
    pub(crate) fn need_json(&self) -> Result<(), Refusal> {
        let content_type = self.header(header::CONTENT_TYPE).unwrap_or("");
        let kind = content_type.split(';').next().unwrap_or("").trim();
        if kind.eq_ignore_ascii_case("application/json") {
            return Ok(());
        }
        Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "bad_content_type",
            "Content-Type must be application/json",
        ))
    }

    /// Receives the body, unpacked if it was packed, up to `limit` bytes.
    pub(crate) async fn body(&self, limit: usize) -> Result<Received, Refusal> {
        let is_packed = unpack::is_packed(self.header(header::CONTENT_ENCODING))?;
        let received = self.raw_body(limit).await?;
        if !is_packed {
            return Ok(received);
        }
        // How large it becomes is not known: it takes a place among the large ones if it has none.
        let permit = match received._permit {
            Some(permit) => Some(permit),
            None => Arc::clone(&self.server.large).acquire_owned().await.ok(),
        };
        let packed = received.bytes;
        let bytes = heavy::run(usize::MAX, move || {
            unpack::unpack(&packed, limit)?.ok_or_else(|| too_large(limit))
        });
        Ok(Received { bytes: bytes.await?, _permit: permit })
    }

    /// Receives the body as it comes, up to `limit` bytes.
    pub(crate) async fn raw_body(&self, limit: usize) -> Result<Received, Refusal> {
        let Some(mut body) = self.body.lock().await.take() else {
            return Ok(Received { bytes: Bytes::new(), _permit: None });
        };
        let announced = self.header(header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
        if announced.is_some_and(|length: usize| length > limit) {
            return Err(too_large(limit));
        }
        let mut bytes = BytesMut::with_capacity(announced.unwrap_or(0).min(LARGE_BYTES));
        let mut permit = None;
        loop {
            let frame = tokio::time::timeout(BODY_SILENCE, body.frame()).await.map_err(|_| {
                Refusal::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the body did not come")
            })?;
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|_| Refusal::bad_request("the body ended too early"))?;
            let Some(data) = frame.data_ref() else { continue };
            if bytes.len() + data.len() > limit {
                return Err(too_large(limit));
            }
            if bytes.len() + data.len() > LARGE_BYTES && permit.is_none() {
                permit = Arc::clone(&self.server.large).acquire_owned().await.ok();
                // At once: growing by doubling would hold the body up to three times.
                bytes.reserve(announced.unwrap_or(0).saturating_sub(bytes.len()));
            }
            bytes.extend_from_slice(data);
        }
        Ok(Received { bytes: bytes.freeze(), _permit: permit })
    }

    /// Receives a body that is JSON.
    pub(crate) async fn json_body(&self) -> Result<Received, Refusal> {
        let received = self.body(BODY_BYTES_MAX).await?;
        let bytes = received.bytes.clone();
        let check = move || check::check(&bytes).map(drop).map_err(Refusal::from);
        heavy::run(received.bytes.len(), check).await?;
        Ok(received)
    }

    /// The address that the client used, for `Location`.
    pub(crate) fn base(&self) -> String {
        let host = self.header(header::HOST).unwrap_or("localhost");
        format!("http://{host}")
    }

    /// The address of something below the root.
    pub(crate) fn location(&self, segments: &[&str]) -> String {
        let mut location = self.base();
        for segment in segments {
            location.push('/');
            location.extend(utf8_percent_encode(segment, SEGMENT));
        }
        location
    }
}

pub(crate) fn too_large(limit: usize) -> Refusal {
    let reason = format!("the request entity is larger than {limit} bytes");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", reason)
}

/// A body that was received; while it lives, it counts as one of the large ones if it is.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Received {
    /// The text of a body that was [checked](Call::json_body).
    pub(crate) fn text(&self) -> Result<&str, Refusal> {
        str::from_utf8(&self.bytes).map_err(|_| check::NotJson.into())
    }
}

/// What is escaped in a segment of a path.
pub(crate) const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'(')
    .remove(b')');
