//! The HTTP side: connections here, then one file for each family of paths.
//!
//! [`router`] chooses the handler; [`call`] is a request, [`reply`] an answer, [`refusal`] a request
//! that is not done.

mod attachment;
mod auth;
mod bulk;
mod call;
mod changes;
mod database;
mod document;
mod feed;
mod first_line;
mod heavy;
mod listing;
mod local;
mod multipart;
mod parts;
mod query;
mod refusal;
mod replication;
mod reply;
mod router;
mod server;
mod write;

use crate::store::Store;
use call::{Call, Server};
use http::{HeaderName, Request, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// How many connections are served at once; further ones wait in the listener's queue. Every feed
/// of an engine is one.
const CONNECTIONS_MAX: usize = 16_384;

/// How long a connection may be idle, or take for the head of a request. Longer than the pools of
/// clients keep connections, so that they close first.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);

/// How long requests may take to end after the stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// How long to wait after the listener failed: it is out of descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `store` on `listener` until `stop` is cancelled.
///
/// Open feeds end at the stop, other requests are finished within five seconds; then it returns. The
/// store stays open as long as the caller holds it.
///
/// # Errors
///
/// When the listener cannot be used at all; a connection that fails ends alone.
pub async fn serve(
    store: Arc<Store>,
    listener: TcpListener,
    stop: CancellationToken,
) -> io::Result<()> {
    listener.local_addr()?;
    let server = Arc::new(Server::new(store, stop.clone()));
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Some((stream, place)) => {
                let server = Arc::clone(&server);
                connections.spawn(async move {
                    connection(server, stream).await;
                    drop(place);
                });
            }
            None => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(SHUTDOWN_GRACE, all_ended).await.is_err() {
        tracing::warn!(open = connections.len(), "connections did not end in time and are cut");
        connections.shutdown().await;
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            None
        }
    }
}

async fn connection(server: Arc<Server>, stream: TcpStream) {
    // Answers are small and complete: waiting for more to send only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
    let stop = server.stop.clone();
    let mended = tokio::select! {
        mended = tokio::time::timeout(HEAD_TIMEOUT, first_line::mend(stream)) => mended,
        () = stop.cancelled() => return,
    };
    // A client that says nothing, or goes before it does, needs no answer.
    let Ok(Ok(stream)) = mended else { return };
    let service = service_fn(move |request| answer(Arc::clone(&server), request));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn answer(
    server: Arc<Server>,
    request: Request<Incoming>,
) -> Result<reply::Reply, Infallible> {
    server.store.stats().requests.add(1);
    let (parts, body) = request.into_parts();
    let handled = match auth::user(&parts.headers, server.store.options().admin.as_ref()) {
        Ok(user) => router::route(Call::new(server, user, parts, body)).await,
        Err(refusal) => Err(refusal),
    };
    let mut reply = handled.unwrap_or_else(|refusal| reply::refuse(&refusal));
    reply::set(&mut reply, header::SERVER, concat!("blitz-embedded/", env!("CARGO_PKG_VERSION")));
    reply::set(&mut reply, REQUEST_ID, &request_id());
    Ok(reply)
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-couch-request-id");

/// A number that tells requests of this process apart in logs.
fn request_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{:010x}", NEXT.fetch_add(1, Ordering::Relaxed))
}
