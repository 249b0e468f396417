//! The request goes out and the head of the answer comes in, by HTTP/1.1 or HTTP/2.

use std::sync::Mutex;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::body::Body;
use super::clock::{Clock, Stage};
use super::failure::Failure;
use super::limits::{HEAD_MAX_BYTES, HEADERS_MAX, HTTP2_WINDOW_BYTES};
use super::request::Message;
use super::tap::{self, Log, Tap, Transport};

/// The head of an answer, with its body to be read.
pub(super) struct Sent {
    pub(super) status: u16,
    pub(super) reason: String,
    pub(super) version: http::Version,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Body,
}

pub(super) async fn send(
    transport: Transport,
    message: Message,
    is_http2: bool,
    clock: &mut Clock,
) -> Result<Sent, Failure> {
    let (tap, log) = Tap::new(transport, is_http2);
    let io = TokioIo::new(tap);
    let exchange = async {
        let answered = if is_http2 {
            by_http2(io, message.http2()).await
        } else {
            by_http1(io, message.http1()).await
        };
        answered.map_err(|error| Failure::of_head(&error, tap::read(&log).read_bytes))
    };
    let (response, connection) = clock.within(Stage::Head, exchange).await?;
    note_phases(clock, &log, is_http2);

    let (head, incoming) = response.into_parts();
    if head.headers.len() > HEADERS_MAX {
        return Err(Failure::Limit(format!(
            "the answer's head has {} fields, at most {HEADERS_MAX} are taken",
            head.headers.len()
        )));
    }
    let reason = match head.extensions.get::<hyper::ext::ReasonPhrase>() {
        Some(reason) => String::from_utf8_lossy(reason.as_bytes()).into_owned(),
        // hyper keeps only phrases that differ from the usual one.
        None if is_http2 => String::new(),
        None => head.status.canonical_reason().unwrap_or_default().to_owned(),
    };
    let as_written =
        tap::read(&log).take_head().filter(|fields| fields.len() == head.headers.len());
    let headers = as_written.unwrap_or_else(|| {
        let fields = head.headers.iter();
        fields.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
    });
    Ok(Sent {
        status: head.status.as_u16(),
        reason,
        version: head.version,
        headers,
        body: Body::new(incoming, connection, clock.clone()),
    })
}

/// Drives the connection while the answer is read; dropping it closes the connection.
pub(super) type Connection = AbortOnDropHandle<()>;

async fn by_http1(
    io: TokioIo<Tap>,
    request: http::Request<Full<Bytes>>,
) -> Result<(http::Response<Incoming>, Connection), hyper::Error> {
    let (mut sender, connection) = http1::Builder::new()
        // As curl, browsers and people write them; hyper has only lower case otherwise.
        .title_case_headers(true)
        .max_headers(HEADERS_MAX)
        // The first bounds a head that came whole, the second one that does not end.
        .max_header_size(HEAD_MAX_BYTES)
        .max_buf_size(HEAD_MAX_BYTES)
        .handshake(io)
        .await?;
    let connection = drive(connection);
    let response = sender.send_request(request).await?;
    Ok((response, connection))
}

async fn by_http2(
    io: TokioIo<Tap>,
    request: http::Request<Full<Bytes>>,
) -> Result<(http::Response<Incoming>, Connection), hyper::Error> {
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(HTTP2_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_WINDOW_BYTES)
        .max_header_list_size(u32::try_from(HEAD_MAX_BYTES).unwrap_or(u32::MAX))
        .handshake(io)
        .await?;
    let connection = drive(connection);
    let response = sender.send_request(request).await?;
    Ok((response, connection))
}

fn drive(
    connection: impl Future<Output = Result<(), hyper::Error>> + Send + 'static,
) -> Connection {
    AbortOnDropHandle::new(tokio::spawn(async move {
        // The exchange sees the same failure from its own end.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "an HTTP connection ended with an error");
        }
    }))
}

/// Reads the two instants of this stage. They are kept in order: an answer may begin while the request
/// is still going out.
fn note_phases(clock: &mut Clock, log: &Mutex<Log>, is_http2: bool) {
    let log = tap::read(log);
    let now = Instant::now();
    // With HTTP/2 the first bytes are the server's settings, so the head itself counts.
    let first_byte = if is_http2 { now } else { log.first_read.unwrap_or(now) };
    let sent = log.last_write.unwrap_or(first_byte).min(first_byte);
    clock.phases.sent = clock.since_start(sent).max(clock.phases.tls);
    clock.phases.first_byte = clock.since_start(first_byte).max(clock.phases.sent);
}
