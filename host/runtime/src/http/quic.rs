//! HTTP/3: a connection over QUIC in place of TCP and TLS, and one exchange on it.
//!
//! QUIC's handshake is TLS's, so connecting ends with a chain that was judged, and nothing of a request
//! goes to a server that was refused. Nothing is kept for a later exchange. `socket` keeps to the peer
//! that [`crate::egress`] let through, `metered` bounds what h3 takes in, `incoming` is the answer's body.
//!
//! Source: RFC 9000 (QUIC), RFC 9001 (its TLS), RFC 9114 (HTTP/3).

mod establish;
mod socket;
mod metered;
mod incoming;
mod failure;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use h3::client::{RequestStream, SendRequest};
use http_body_util::BodyExt as _;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

pub(super) use establish::Way;
pub(super) use incoming::Incoming;

use super::body::Body;
use super::clock::{Clock, Stage};
use super::failure::Failure;
use super::limits::{HEAD_MAX_BYTES, HEADERS_MAX};
use super::request::Message;
use super::send::Sent;
use establish::Established;
use metered::{Meter, Opener, Transport};

/// What a server may send before the guest reads: as with HTTP/2, 5 MB/s at 200 ms of round trip.
const WINDOW_BYTES: u32 = 1024 * 1024;
/// How long a handshake may take, and a server be silent behind it. Packets that keep the connection alive
/// are answered without the server's program: only one that is gone is silent.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// A guest may take long between two pieces of a body; in less than the silence that servers bear.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Streams that a server has open at a time beside the answer: three of HTTP/3's own, and some that mean
/// nothing, which RFC 9114 wants tolerated.
const CONTROL_STREAMS_MAX: u32 = 8;
/// Bytes of each of them: settings and the like. What a header table would take is not offered.
const CONTROL_STREAM_MAX_BYTES: usize = 64 * 1024;
/// What h3 may take in for one head, or one piece of a body: a head, compressed or not, with the frames
/// without meaning around it.
const FRAME_MAX_BYTES: usize = 2 * HEAD_MAX_BYTES;
/// Pieces of the handshake that overtook others; the largest handshake message.
const CRYPTO_BUFFER_BYTES: usize = 64 * 1024;

/// Sends the request and reads the answer's head.
pub(super) async fn send(
    established: Established,
    message: Message,
    clock: &mut Clock,
) -> Result<Sent, Failure> {
    let meter = Arc::new(Meter::new(FRAME_MAX_BYTES));
    let sent_at = Arc::new(OnceLock::new());
    let exchange = exchange(&established, message, &meter, &sent_at);
    let answered = clock.within(Stage::Head, Box::pin(exchange)).await;
    if let (Err(_), Some(sent)) = (&answered, sent_at.get()) {
        clock.phases.sent = clock.since_start(*sent).max(clock.phases.tls);
    }
    let Answered { response, is_whole, stream, mut connection } = answered?;

    // The first bytes are the server's settings, so the head itself counts.
    let first_byte = Instant::now();
    let sent = sent_at.get().copied().unwrap_or(first_byte).min(first_byte);
    clock.phases.sent = clock.since_start(sent).max(clock.phases.tls);
    clock.phases.first_byte = clock.since_start(first_byte).max(clock.phases.sent);

    let (head, ()) = response.into_parts();
    if head.headers.len() > HEADERS_MAX {
        return Err(Failure::Limit(format!(
            "the answer's head has {} fields, at most {HEADERS_MAX} are taken",
            head.headers.len()
        )));
    }
    connection.established = Some(established);
    let fields = head.headers.iter();
    let expected = if is_whole { Some(0) } else { content_length(&head.headers) };
    let incoming = Incoming::new(stream, meter, connection, expected);
    Ok(Sent {
        status: head.status.as_u16(),
        reason: Vec::new(),
        version: http::Version::HTTP_3,
        headers: fields
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect(),
        body: Body::by_quic(incoming, clock.clone()),
    })
}

/// What must live as long as the answer is read; dropping it closes the connection.
struct Connection {
    _driver: AbortOnDropHandle<()>,
    _upload: Option<AbortOnDropHandle<()>>,
    _sender: SendRequest<Opener, Bytes>,
    /// Last, so that the others are gone when it closes.
    established: Option<Established>,
}

/// An answer's head, and what its body comes by.
struct Answered {
    response: http::Response<()>,
    /// There is no body, whatever the head says about one.
    is_whole: bool,
    stream: Answering,
    connection: Connection,
}

type Answering = RequestStream<metered::Incoming, Bytes>;

async fn exchange(
    established: &Established,
    message: Message,
    meter: &Arc<Meter>,
    sent_at: &Arc<OnceLock<Instant>>,
) -> Result<Answered, Failure> {
    let transport =
        Transport::new(established.connection(), Arc::clone(meter), CONTROL_STREAM_MAX_BYTES);
    let (mut driver, mut sender) = h3::client::builder()
        .max_field_section_size(u64::try_from(HEAD_MAX_BYTES).unwrap_or(u64::MAX))
        .send_grease(false)
        .build(transport)
        .await
        .map_err(|error| failure::of_connection(&error))?;
    let driver = AbortOnDropHandle::new(tokio::spawn(async move {
        // The exchange sees the same failure from its own end.
        let error = driver.wait_idle().await;
        tracing::debug!(%error, "an HTTP/3 connection ended");
    }));

    let (head, body) = message.http2().into_parts();
    // There is no waiting in it: the body is in memory.
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let is_head = head.method == http::Method::HEAD;
    let mut head = http::Request::from_parts(head, ());
    if !body.is_empty() && !head.headers().contains_key(http::header::CONTENT_LENGTH) {
        head.headers_mut().insert(http::header::CONTENT_LENGTH, body.len().into());
    }
    let stream = sender.send_request(head).await.map_err(|error| failure::of_sending(&error))?;
    let (mut outgoing, mut answering) = stream.split();
    let upload = if body.is_empty() {
        outgoing.finish().await.map_err(|error| failure::of_sending(&error))?;
        // It cannot come twice.
        let _first = sent_at.set(Instant::now());
        None
    } else {
        // A server may answer while it still reads, or stop reading and answer.
        let sent_at = Arc::clone(sent_at);
        Some(AbortOnDropHandle::new(tokio::spawn(async move {
            let sending = async {
                outgoing.send_data(body).await?;
                outgoing.finish().await
            };
            match sending.await {
                Ok(()) => {
                    let _first = sent_at.set(Instant::now());
                }
                // The answer says why, or fails with the connection.
                Err(error) => tracing::debug!(%error, "a request's body was not wholly sent"),
            }
        })))
    };
    let response = loop {
        let response = answering.recv_response().await;
        let response = response.map_err(|error| failure::of_head(&error, meter))?;
        // 100, 103: others follow, all within the meter.
        if !response.status().is_informational() {
            break response;
        }
    };
    let connection =
        Connection { _driver: driver, _upload: upload, _sender: sender, established: None };
    // Source: RFC 9110, section 6.4.1.
    let is_whole = is_head
        || [http::StatusCode::NO_CONTENT, http::StatusCode::NOT_MODIFIED]
            .contains(&response.status());
    Ok(Answered { response, is_whole, stream: answering, connection })
}

fn content_length(headers: &http::HeaderMap) -> Option<u64> {
    headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
