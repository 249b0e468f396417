//! Connections and their limits: who has a place (`places`), how slow bytes may come and go (`pace`), and how all of it ends.
//!
//! HTTP/1.1 alone. What a request says is not looked at here.

mod network;
mod pace;
mod places;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::limits::{BUFFER_BYTES, HEAD_BYTES_MAX, HEADERS_MAX, Limits};
use pace::{Arriving, Leaving, Paced};
use places::{Place, Places};

pub(crate) use network::network;
pub(crate) use pace::is_slow;
pub(crate) use places::Work;

/// How long to wait after the listener failed: it is out of descriptors, most likely, and a place was just made free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What one is told for whom there is no place: written as it stands, as nothing was read of the request.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 2\r\n\
    connection: close\r\ncontent-length: 86\r\n\r\n\
    {\"error\":\"connections_full\",\"reason\":\"too many connections at once; try again in 2 s\"}";

/// Serves until `shutdown`, and then until every request that was begun is answered. Who drops it cuts them.
///
/// Every request has the address that it came from as [`ConnectInfo`], and its [`Work`].
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let places = Places::new(&limits);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match places.take(peer.ip()) {
                Some(place) => {
                    let stop = shutdown.child_token();
                    connections.spawn(connection(
                        stream,
                        peer,
                        router.clone(),
                        limits,
                        place,
                        stop,
                    ));
                }
                None => {
                    tracing::warn!(%peer, "no place for a connection");
                    // What does not fit into an empty buffer of a socket was not to be.
                    drop(stream.try_write(FULL));
                }
            },
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                places.make_room();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    place: Arc<Place>,
    stop: CancellationToken,
) {
    // Events are small: held back for company they would come 40 ms late.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection without TCP_NODELAY");
    }
    let serves = TowerToHyperService::new(router);
    let works = Arc::clone(&place);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let work = works.work();
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(work.clone());
        let request = request.map(|body| {
            if body.is_end_stream() {
                Body::empty()
            } else {
                Body::new(Arriving::new(body, &limits))
            }
        });
        let answers = serves.call(request);
        async move { answers.await.map(|answer| answer.map(|body| Leaving::new(body, work))) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES);
    let io = TokioIo::new(Paced::new(stream, Arc::clone(&place), &limits));
    let mut serving = pin!(http.serve_connection(io, service));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = place.lost() => return,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_for_want_of_a_place_is_a_whole_answer() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{}", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok(), "{body}");
    }
}
