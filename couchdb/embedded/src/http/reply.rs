//! An answer: its headers as CouchDB sets them, and a body that is whole or comes in pieces.

use super::refusal::Refusal;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, Broken>;

/// An answer.
pub(crate) type Reply = Response<Body>;

/// What a handler gives.
pub(crate) type Handled = Result<Reply, Refusal>;

/// How many pieces of a body wait for a slow client. Whoever writes the pieces waits then: this and
/// the size of a piece is what one answer can hold in memory.
pub(crate) const PIECES_MAX: usize = 2;

/// An answer that could not be finished: the connection is closed, so that the client knows.
#[derive(Debug, thiserror::Error)]
#[error("the answer could not be finished")]
pub(crate) struct Broken;

/// JSON, with the line end that CouchDB puts behind it.
pub(crate) fn json(status: StatusCode, value: &Value) -> Reply {
    let mut text = value.to_string().into_bytes();
    text.push(b'\n');
    text_json(status, text)
}

/// The same from a text that is JSON already.
pub(crate) fn text_json(status: StatusCode, text: Vec<u8>) -> Reply {
    let mut reply = whole(status, text.into());
    set(&mut reply, header::CONTENT_TYPE, "application/json");
    reply
}

/// `{"ok":true}`.
pub(crate) fn ok(status: StatusCode) -> Reply {
    json(status, &json!({"ok": true}))
}

/// A body that is there as a whole.
pub(crate) fn whole(status: StatusCode, bytes: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(bytes).map_err(|never| match never {}).boxed_unsync());
    *reply.status_mut() = status;
    set(&mut reply, header::CACHE_CONTROL, "must-revalidate");
    reply
}

/// Where the pieces of a body go.
pub(crate) type Pieces = mpsc::Sender<Result<Bytes, Broken>>;

/// A body that is made while it is sent.
///
/// The body owns the work of `produce`: it goes on only while the client takes what comes, and ends
/// with the connection. There is no task to look after.
pub(crate) fn produced<F>(
    status: StatusCode,
    content_type: &str,
    produce: impl FnOnce(Pieces) -> F,
) -> Reply
where
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, mut receiver) = mpsc::channel::<Result<Bytes, Broken>>(PIECES_MAX);
    let mut work = Some(Box::pin(produce(sender)));
    let frames = stream::poll_fn(move |context| {
        if let Some(future) = work.as_mut()
            && future.as_mut().poll(context).is_ready()
        {
            work = None;
        }
        receiver.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    });
    let mut reply = Response::new(StreamBody::new(frames).boxed_unsync());
    *reply.status_mut() = status;
    set(&mut reply, header::CACHE_CONTROL, "must-revalidate");
    set(&mut reply, header::CONTENT_TYPE, content_type);
    reply
}

/// Sends what was gathered, when it is enough or `now`; an error means that the client has gone.
pub(crate) async fn flush(pieces: &Pieces, text: &mut Vec<u8>, now: bool) -> Result<(), Broken> {
    if text.len() >= PIECE_BYTES || now && !text.is_empty() {
        return pieces.send(Ok(std::mem::take(text).into())).await.map_err(|_| Broken);
    }
    Ok(())
}

/// How many bytes are gathered before they are sent.
pub(crate) const PIECE_BYTES: usize = 64 << 10;

/// Sets a header; a value that cannot be one is left out.
pub(crate) fn set(reply: &mut Reply, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().insert(name, value);
    }
}

/// Sets the revision as `ETag`.
pub(crate) fn etag(reply: &mut Reply, tag: &str) {
    set(reply, header::ETAG, &format!("\"{tag}\""));
}

/// The answer of a request that is not done.
pub(crate) fn refuse(refusal: &Refusal) -> Reply {
    let body = json!({"error": refusal.error, "reason": refusal.reason});
    let mut reply = json(refusal.status, &body);
    if let Some(allow) = &refusal.allow {
        set(&mut reply, header::ALLOW, allow);
    }
    reply
}
