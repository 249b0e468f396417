//! The request goes out and the head of the answer comes in, by HTTP/1.1 or HTTP/2.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::TRANSFER_ENCODING;
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::Instant;

use super::body::Body;
use super::clock::{Clock, Stage};
use super::failure::Failure;
use super::head::Written;
use super::limits::{
    HEAD_MAX_BYTES, HEADERS_MAX, HTTP2_CONNECTION_WINDOW_BYTES, HTTP2_LIST_MAX_BYTES,
    HTTP2_WINDOW_BYTES,
};
use super::request::Message;
use super::tap::{self, Log, Tap, Transport};
use super::tasks::Tasks;

/// The head of an answer, with its body to be read.
pub(super) struct Sent {
    pub(super) status: u16,
    pub(super) reason: Vec<u8>,
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
    let body_bytes = message.body_bytes();
    let (request, stated) = if is_http2 {
        (message.http2(), None)
    } else {
        let (request, stated) = message.http1();
        (request, Some(stated))
    };
    // Of HTTP/2 at least so many.
    let request_bytes = body_bytes + stated.as_ref().map_or(1, Vec::len);
    let (tap, log) = Tap::new(transport, stated);
    let io = TokioIo::new(tap);
    let exchange = async {
        let answered =
            if is_http2 { by_http2(io, request).await } else { by_http1(io, request).await };
        answered.map_err(|error| Failure::of_head(&error, &tap::read(&log)))
    };
    let answered = clock.within(Stage::Head, exchange).await;
    if answered.is_ok() {
        note_phases(clock, &tap::read(&log), is_http2);
    } else {
        note_how_far(clock, &tap::read(&log), request_bytes, is_http2);
    }
    let (response, connection) = answered?;

    let (head, incoming) = response.into_parts();
    check_size(&head.headers)?;
    check_framing(&head.headers, &incoming)?;
    let written =
        tap::read(&log).take_head().filter(|seen| seen.fields.len() == head.headers.len());
    let (reason, headers) = match written {
        Some(Written { reason, fields }) => (reason, fields),
        None => {
            let fields = head.headers.iter();
            let fields = fields.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
            (Vec::new(), fields.collect())
        }
    };
    Ok(Sent {
        status: head.status.as_u16(),
        reason,
        version: head.version,
        headers,
        body: Body::new(incoming, connection, log, clock.clone()),
    })
}

/// hyper holds HTTP/1 to the same limits.
fn check_size(headers: &http::HeaderMap) -> Result<(), Failure> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > HEADERS_MAX || bytes > HEAD_MAX_BYTES {
        return Err(Failure::of_large_head());
    }
    Ok(())
}

/// A coding that nobody here can undo would give a body that is none. The others are undone by hyper, or have
/// a name that says what the body is.
fn check_framing(headers: &http::HeaderMap, incoming: &Incoming) -> Result<(), Failure> {
    const KNOWN: [&str; 7] = ["chunked", "identity", "gzip", "x-gzip", "deflate", "br", "zstd"];
    let Some(value) = headers.get_all(TRANSFER_ENCODING).iter().next_back() else { return Ok(()) };
    let last = value.as_bytes().rsplit(|&byte| byte == b',').next().unwrap_or_default();
    let last = last.trim_ascii();
    let is_known = KNOWN.iter().any(|known| last.eq_ignore_ascii_case(known.as_bytes()));
    if is_known || incoming.is_end_stream() {
        return Ok(());
    }
    Err(Failure::Malformed(format!(
        "Weird server reply: the transfer coding \"{}\" is unknown; known are {}",
        last.escape_ascii(),
        KNOWN.join(", ")
    )))
}

/// What carries the bytes while an answer is read; dropping it closes the connection.
#[derive(Debug)]
pub(super) enum Connection {
    /// Moves when it is polled, on the reader's own task: to hand bytes to another task costs more than a small
    /// exchange itself.
    Inline(Box<http1::Connection<TokioIo<Tap>, Full<Bytes>>>),
    /// HTTP/2 has to answer its peer also while nobody reads.
    Tasks(#[expect(dead_code, reason = "held for its drop")] Tasks),
    Ended,
}

impl Connection {
    /// Moves bytes. The exchange sees an error from its own end.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) {
        if let Self::Inline(connection) = self
            && let Poll::Ready(ended) = Pin::new(connection).poll(context)
        {
            note_end(ended);
            *self = Self::Ended;
        }
    }
}

fn note_end(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended with an error");
    }
}

async fn by_http1(
    io: TokioIo<Tap>,
    request: http::Request<Full<Bytes>>,
) -> Result<(http::Response<Incoming>, Connection), hyper::Error> {
    let (mut sender, connection) = http1::Builder::new()
        // For the case that the framing was changed and hyper's own head goes out.
        .title_case_headers(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        // The first bounds a head that came whole, the second one that does not end. Fields are at most 100, which
        // is HEADERS_MAX, of its own accord; to say so costs it a copy.
        .max_header_size(HEAD_MAX_BYTES)
        .max_buf_size(HEAD_MAX_BYTES)
        .handshake(io)
        .await?;
    let mut connection = Connection::Inline(Box::new(connection));
    // It lies in the connection's queue from here on.
    let mut response = pin!(sender.send_request(request));
    let response = poll_fn(|context| {
        connection.poll(context);
        response.as_mut().poll(context)
    });
    Ok((response.await?, connection))
}

async fn by_http2(
    io: TokioIo<Tap>,
    request: http::Request<Full<Bytes>>,
) -> Result<(http::Response<Incoming>, Connection), hyper::Error> {
    let tasks = Tasks::default();
    let (mut sender, connection) = http2::Builder::new(tasks.spawner())
        .timer(TokioTimer::new())
        .initial_stream_window_size(HTTP2_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HTTP2_LIST_MAX_BYTES)
        .handshake(io)
        .await?;
    tasks.spawner().execute(async move { note_end(connection.await) });
    let response = sender.send_request(request).await?;
    Ok((response, Connection::Tasks(tasks)))
}

/// Reads the two instants of this stage. They are kept in order: an answer may begin while the request
/// is still going out.
fn note_phases(clock: &mut Clock, log: &Log, is_http2: bool) {
    let now = Instant::now();
    // With HTTP/2 the first bytes are the server's settings, so the head itself counts.
    let first_byte = if is_http2 { now } else { log.first_read.unwrap_or(now) };
    let sent = log.last_write.unwrap_or(first_byte).min(first_byte);
    clock.phases.sent = clock.since_start(sent).max(clock.phases.tls);
    clock.phases.first_byte = clock.since_start(first_byte).max(clock.phases.sent);
}

/// The same where no answer came, as far as they were passed.
fn note_how_far(clock: &mut Clock, log: &Log, request_bytes: usize, is_http2: bool) {
    let is_out = log.written_bytes >= u64::try_from(request_bytes).unwrap_or(u64::MAX);
    if let Some(sent) = log.last_write.filter(|_| is_out) {
        clock.phases.sent = clock.since_start(sent).max(clock.phases.tls);
    }
    if let Some(first_byte) = log.first_read.filter(|_| !is_http2) {
        clock.phases.first_byte =
            clock.since_start(first_byte).max(clock.phases.sent).max(clock.phases.tls);
    }
}
