//! The HTTP side: connections here, then one file for each family of paths.
//!
//! [`router`] chooses the handler; [`call`] is a request, [`reply`] an answer, [`refusal`] a request
//! that is not done.

mod admit;
mod asked;
mod attachment;
mod auth;
mod blob;
mod bulk;
pub(crate) mod call;
mod changes;
mod copy;
mod database;
mod design;
mod document;
mod feed;
mod filter;
mod find;
mod first_line;
mod heavy;
mod index;
pub(crate) mod inside;
mod listing;
mod local;
pub(crate) mod multipart;
mod parts;
mod purge;
mod query;
mod range;
mod refusal;
mod replicate;
mod replication;
mod reply;
mod router;
mod security;
mod server;
mod session;
mod stall;
mod standing;
mod trouble;
mod unpack;
mod users;
mod validate;
mod view;
mod write;

pub use auth::token_key::BadTokenKey;
pub(crate) use auth::token_key::check_token_keys;

use crate::{binding, replicator::manager, store::Store, user::User};
use auth::Peer;
use call::{Call, Server};
use http::{HeaderName, Request, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use trouble::Cut;

/// How many connections are served at once; further ones wait in the listener's queue. Every feed
/// of an engine is one.
const CONNECTIONS_MAX: usize = 16_384;

/// How long a connection may be idle, or take for the head of a request. Longer than the pools of
/// clients keep connections, so that they close first.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);

/// How many header lines a request may have. CouchDB takes 1,000; room for all of them is made for each
/// request, and browsers and proxies send some dozens.
const HEADERS_MAX: usize = 256;

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
/// When the listener cannot be used at all, or may not ([`check_listener`](crate::check_listener)); a
/// connection that fails ends alone.
pub async fn serve(
    store: Arc<Store>,
    listener: TcpListener,
    stop: CancellationToken,
) -> io::Result<()> {
    binding::check_listener(store.options(), listener.local_addr()?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let server = Arc::new(Server::new(store, stop.clone()));
    let known = server.store.catalog().all().iter().map(|database| database.identity.0).collect();
    server.views.keep_databases(known).await;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    // Of one task; it ends with this function, however that ends.
    let mut replications = JoinSet::new();
    replications.spawn(manager::manage(Arc::clone(&server)));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Some((stream, peer, place)) => {
                let server = Arc::clone(&server);
                connections.spawn(async move {
                    connection(server, stream, peer).await;
                    drop(place);
                });
            }
            None => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
    for database in server.store.catalog().all() {
        database.feed.nudge();
    }
    let all_ended = async {
        while replications.join_next().await.is_some() {}
        while connections.join_next().await.is_some() {}
    };
    if tokio::time::timeout(SHUTDOWN_GRACE, all_ended).await.is_err() {
        tracing::warn!(open = connections.len(), "connections did not end in time and are cut");
        connections.shutdown().await;
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, place)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            None
        }
    }
}

async fn connection(server: Arc<Server>, stream: TcpStream, peer: SocketAddr) {
    // Answers are small and complete: waiting for more to send only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
    // Its own child: thousands of connections would share one lock at each wake.
    let stop = server.stop.child_token();
    let mended = tokio::select! {
        mended = tokio::time::timeout(HEAD_TIMEOUT, first_line::mend(stream)) => mended,
        () = stop.cancelled() => return,
    };
    // A client that says nothing, or goes before it does, needs no answer.
    let Ok(Ok(stream)) = mended else { return };
    let stream = stall::Watched::new(stream, server.store.options().stall_timeout);
    serve_http(server, Caller::Peer(Peer(peer.ip())), stream, &stop).await;
}

/// Where a connection comes from.
#[derive(Clone, Debug)]
enum Caller {
    /// A socket; each request proves its user.
    Peer(Peer),
    /// This process, for a user who is known.
    Inside(Arc<User>),
}

/// Serves HTTP on a stream until its other end goes, or until the stop and the end of the request that
/// is under way.
async fn serve_http(
    server: Arc<Server>,
    caller: Caller,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    stop: &CancellationToken,
) {
    // Boxed: hyper keeps the room for one for as long as the connection lives, and a feed is one of
    // thousands.
    let service =
        service_fn(move |request| Box::pin(answer(Arc::clone(&server), caller.clone(), request)));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_headers(HEADERS_MAX);
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

/// An answer that does not come: its connection is cut.
#[derive(Debug, thiserror::Error)]
#[error("the connection was cut for a test")]
struct Lost;

/// Answers a request.
async fn answer(
    server: Arc<Server>,
    caller: Caller,
    request: Request<Incoming>,
) -> Result<reply::Reply, Lost> {
    server.store.stats().requests.add(1);
    let (mut parts, body) = request.into_parts();
    let cut = server.trouble.cut(&parts.method);
    if cut == Some(Cut::Before) {
        return Err(Lost);
    }
    let proved = match caller {
        Caller::Inside(user) => Ok((user, None)),
        Caller::Peer(peer) => {
            parts.extensions.insert(peer);
            let proved = server.auth.user(&server, &parts).await;
            proved.map(|proved| (Arc::new(proved.user), proved.renewed))
        }
    };
    let (handled, renewed) = match proved {
        Ok((user, renewed)) => (router::route(Call::new(server, user, parts, body)).await, renewed),
        Err(refusal) => (Err(refusal), None),
    };
    if cut == Some(Cut::After) {
        return Err(Lost);
    }
    let mut reply = handled.unwrap_or_else(|refusal| reply::refuse(&refusal));
    if let Some(cookie) = renewed {
        // Who has just logged in or out has a cookie already.
        reply.headers_mut().entry(header::SET_COOKIE).or_insert(cookie);
    }
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
