//! The HTTP API, and the life of a gateway.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json, Router};
use blitz_jobs::Incarnation;
use blitz_jobs::accounts::ACCOUNTS;
use blitz_jobs::setup::Operators;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::accounts::{self, Book, Doors, Followed};
use crate::audit::{self, Audit};
use crate::caller::Caller;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::connections;
use crate::errands::Errands;
use crate::failure::Failure;
use crate::guard::Guard;
use crate::hub::Hub;
use crate::issuer::{self, Issuer, Joins};
use crate::jobs;
use crate::keeper::{self, Worker};
use crate::limits::BODY_BYTES_MAX;
use crate::mending;
use crate::plugins::{self, Publishings};
use crate::queue::Queue;
use crate::quota::{self, Quota};
use crate::reach::{Reach, Site, is_silence};
use crate::request;
use crate::rotation::{self, Rotator};
use crate::routes::{Method, Route, Routes, Who};
use crate::stores::Stores;
use crate::strict::{self, Rooms};
use crate::submit::Copies;
use crate::targets::{self, Targets};
use crate::watch::{Ears, HEARD_WAITING, Listening};

/// The store is asked whether it is there for so long.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// A control database that could not be read at the start is tried again after this long.
const START_AGAIN: Duration = Duration::from_secs(1);

/// The first request waits so long for the accounts at the most: without them only keys are not served.
const ACCOUNTS_MAX: Duration = Duration::from_secs(2);

/// Open answers may take this long to end when the gateway stops.
const CLOSE_MAX: Duration = Duration::from_secs(3);

/// Why a gateway could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store did not answer as it should.
    #[error("start gateway: {0}")]
    Store(#[from] blitz_couchdb::Error),
    /// The listener failed.
    #[error("serve: {0}")]
    Io(#[from] std::io::Error),
    /// No random bytes.
    #[error("start gateway: the system gives no random numbers: {0}")]
    Random(String),
    /// A bug of the keeper.
    #[error("the gateway's keeper failed: {0}")]
    Keeper(String),
}

/// What every request may use.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) guard: Guard,
    pub(crate) book: Book,
    pub(crate) doors: Doors,
    pub(crate) issuer: Option<Issuer>,
    /// Places for those who ask it.
    pub(crate) joins: Joins,
    pub(crate) catalog: Catalog,
    pub(crate) stores: Stores,
    pub(crate) copies: Copies,
    /// Regions and plugins are known: until then nothing is served but the health check.
    is_ready: AtomicBool,
    pub(crate) hub: Hub,
    pub(crate) queue: Queue,
    pub(crate) quota: Quota,
    pub(crate) publishings: Publishings,
    pub(crate) targets: Targets,
    pub(crate) audit: Audit,
    /// Room for large bodies.
    pub(crate) rooms: Rooms,
    /// Requests that change something.
    pub(crate) errands: Errands,
    requests: AtomicU64,
    pub(crate) shutdown: CancellationToken,
}

pub(crate) type Gateway = State<Arc<Shared>>;

/// Serves until `shutdown`. What is in the near cluster's control database is known before the first answer; while that
/// cluster does not answer at the start every request is told so, and to try again.
///
/// # Errors
///
/// [`Error`] when the near cluster answers at the start and the control database cannot be read, or when the listener fails.
pub async fn run(
    listener: TcpListener,
    config: Config,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    run_with(listener, config, None, shutdown).await
}

/// The same for a gateway that issues tokens too.
///
/// # Errors
///
/// As [`run`].
pub async fn run_with(
    listener: TcpListener,
    config: Config,
    issuer: Option<Issuer>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let (heard_in, heard) = mpsc::channel(HEARD_WAITING);
    let stores = Stores {
        reach: Reach::new(config.clusters.clone(), &config.timing),
        catalog: Catalog::new(config.timing.presence),
    };
    let name = format!("gateway-{}", listener.local_addr()?);
    let (audit, writer) = Audit::new(&name);
    let writes_stop = CancellationToken::new();
    let writes = writer.run(stores.reach.near().clone(), writes_stop.clone());
    let writes = AbortOnDropHandle::new(tokio::spawn(writes));
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Error::Random(error.to_string()))?;
    let incarnation = Incarnation::from_random(random);
    let book = Book::new(config.accounts_key, config.accounts_stale);
    let accounts = config.clusters.near().database(ACCOUNTS);
    let quota = Quota::new(book.clone(), accounts.clone(), &incarnation);
    let ears = Ears {
        stores: stores.clone(),
        audit: audit.clone(),
        hub: Hub::default(),
        queue: Queue::default(),
        quota: quota.clone(),
        keeper: heard_in,
    };
    let _reaches = AbortOnDropHandle::new(tokio::spawn(stores.reach.clone().watch()));
    let listening = match ears.start().await {
        Ok(listening) => Some(listening),
        Err(error) if is_silence(&error) => {
            tracing::warn!(%error, "the near cluster does not answer, trying on");
            None
        }
        Err(error) => return Err(error.into()),
    };
    let keeps_accounts = quota::keep::keep(book.clone(), accounts.clone(), config.timing.beat);
    let _keeps_accounts = AbortOnDropHandle::new(tokio::spawn(keeps_accounts));
    let _counts = AbortOnDropHandle::new(tokio::spawn(quota.clone().flush()));
    let accounts = Followed { book: book.clone(), quota: quota.clone(), accounts };
    let read = timeout(ACCOUNTS_MAX, accounts.read()).await.ok().flatten();
    let _hears_accounts = AbortOnDropHandle::new(tokio::spawn(accounts.run(read)));
    let errands = Errands::default();
    let _cuts_errands = errands.guard();
    let shared = Arc::new(Shared {
        book,
        doors: Doors::default(),
        guard: Guard::new(config.token.clone(), &config.hosts, listener.local_addr()?),
        catalog: stores.catalog.clone(),
        stores: stores.clone(),
        copies: Copies::default(),
        is_ready: AtomicBool::new(listening.is_some()),
        hub: ears.hub.clone(),
        queue: ears.queue.clone(),
        quota: quota.clone(),
        publishings: Publishings::default(),
        targets: Targets::default(),
        audit,
        rooms: Rooms::default(),
        errands: errands.clone(),
        requests: AtomicU64::new(0),
        issuer,
        joins: Joins::default(),
        shutdown: shutdown.clone(),
        config,
    });
    let worker = Worker { stores, timing: shared.config.timing, name, incarnation };
    let operators = Operators {
        clusters: shared.config.clusters.clone(),
        names: shared.config.operators.clone(),
    };
    let rotator = Rotator {
        operators: operators.clone(),
        timing: worker.timing,
        name: worker.name.clone(),
        incarnation: worker.incarnation.clone(),
    };
    let keeper_stop = CancellationToken::new();
    let rotates = tokio::spawn(rotation::rotate(rotator, keeper_stop.clone()));
    let rotates = AbortOnDropHandle::new(rotates);
    let _mends =
        AbortOnDropHandle::new(tokio::spawn(mending::mend(operators, keeper_stop.clone())));
    // A task of its own: it gives its duties back after the last request.
    let keeps = keeper::keep(worker, heard, keeper_stop.clone());
    let mut keeps = AbortOnDropHandle::new(tokio::spawn(keeps));
    let listens = {
        let shared = Arc::clone(&shared);
        async move {
            let listening = match listening {
                Some(listening) => listening,
                None => start_at_last(&ears).await?,
            };
            shared.is_ready.store(true, Ordering::Release);
            listening.run().await;
            Ok(())
        }
    };
    let limits = shared.config.limits;
    let serves = async {
        connections::serve(listener, router(shared), limits, shutdown.clone()).await;
        // Also those whose connection is gone.
        errands.ended().await;
    };
    tokio::select! {
        () = serves => {}
        failed = listens => failed.map_err(|error: blitz_couchdb::Error| Error::Store(error))?,
        ended = &mut keeps => return ended.map_err(|error| Error::Keeper(error.to_string())),
        // Readers that do not read, and stores that do not answer, must not keep it from ending.
        () = async {
            shutdown.cancelled().await;
            tokio::time::sleep(CLOSE_MAX).await;
        } => {}
    }
    keeper_stop.cancel();
    // What the last requests have done is written before the gateway is gone.
    writes_stop.cancel();
    if let Err(error) = writes.await {
        tracing::error!(%error, "the writer of the audit failed");
    }
    quota.flush_now().await;
    if let Err(error) = rotates.await {
        tracing::error!(%error, "the rotation failed");
    }
    keeps.await.map_err(|error| Error::Keeper(error.to_string()))
}

/// Waits for a near cluster that does not answer.
async fn start_at_last(ears: &Ears) -> Result<Listening, blitz_couchdb::Error> {
    use blitz_couchdb::Error::NotFound;
    loop {
        tokio::time::sleep(START_AGAIN).await;
        match ears.start().await {
            // One that was away may have to be made ready first.
            Err(error) if is_silence(&error) || matches!(error, NotFound { .. }) => {
                tracing::warn!(%error, "the near cluster does not answer, trying on");
            }
            started => return started,
        }
    }
}

fn router(shared: Arc<Shared>) -> Router {
    guarded()
        .router()
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), audit::record))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), let_in))
        .merge(issuer::open(issuer::open_routes().router(), &shared))
        .merge(open().router())
        .fallback(async || Failure::unknown_path())
        .method_not_allowed_fallback(async || Failure::wrong_method())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), request::attend))
        .layer(middleware::from_fn(strict::once))
        .with_state(shared)
}

/// Every route of the API.
#[must_use]
pub fn routes() -> Vec<Route> {
    guarded().merge(issuer::open_routes()).merge(open()).listed()
}

/// What is asked with a token or a key.
fn guarded() -> Routes {
    use Method::Get;
    jobs::routes()
        .at(Who::Callers, Get, "/v1/regions", regions)
        .at(Who::Operator, Get, "/v1/engines", engines)
        .at(Who::Callers, Get, "/v1/audit", audit::list)
        .merge(accounts::routes())
        .merge(plugins::routes())
        .merge(targets::routes())
        .merge(issuer::operators_routes())
}

fn open() -> Routes {
    Routes::default().at(Who::All, Method::Get, "/healthz", health)
}

async fn let_in(State(shared): Gateway, mut request: Request, next: Next) -> Response {
    shared.requests.fetch_add(1, Ordering::Relaxed);
    match caller(&shared, &request) {
        Ok(_) if !shared.is_ready.load(Ordering::Acquire) => {
            Failure::not_ready(shared.stores.reach.name(Site::NEAR)).into_response()
        }
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(failure) => failure.into_response(),
    }
}

fn caller(shared: &Shared, request: &Request) -> Result<Caller, Failure> {
    let headers = request.headers();
    shared.guard.check_names(headers)?;
    let shown = shared.guard.shown(headers)?;
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>();
    accounts::enter(&shared.book, &shared.doors, &shown, from.map(|from| from.0.ip()))
}

/// Open to all: whether the gateway and its store are there, and how many requests were served.
async fn health(State(shared): Gateway) -> Json<Value> {
    let answer = timeout(HEALTH_TIMEOUT, shared.config.clusters.near().server()).await;
    let store = if matches!(answer, Ok(Ok(_))) { "up" } else { "down" };
    let requests = shared.requests.load(Ordering::Relaxed);
    Json(json!({"ok": true, "store": store, "requests": requests}))
}

async fn regions(State(shared): Gateway, Extension(caller): Extension<Caller>) -> Json<Value> {
    Json(json!({"regions": shared.stores.regions_view(&caller)}))
}

async fn engines(State(shared): Gateway, Extension(caller): Extension<Caller>) -> Json<Value> {
    Json(json!({"engines": shared.catalog.engines_view(&caller)}))
}
