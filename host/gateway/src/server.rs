//! The HTTP API, and the life of a gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use blitz_contract::arguments::{all_masked, masked};
use blitz_jobs::spec::INPUTS_BYTES_MAX;
use blitz_jobs::{Incarnation, JobId, Position};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::catalog::Catalog;
use crate::config::Config;
use crate::events;
use crate::failure::Failure;
use crate::guard::Guard;
use crate::history::{self, Job};
use crate::hub::Hub;
use crate::keeper::{self, Worker};
use crate::plugins::{self, Publishings};
use crate::queue::Queue;
use crate::submit::{self, Desk};
use crate::watch::{Ears, HEARD_WAITING};

/// A request's body: all inputs in base64, and room for the rest.
const BODY_BYTES_MAX: usize = INPUTS_BYTES_MAX / 3 * 4 + (1 << 20);

/// Events that wait for a slow reader; then the job's log and the store keep the rest.
const EVENTS_WAITING: usize = 16;

/// A comment on an event stream this often, so that a dead connection is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The most jobs that one listing gives.
const LAST_MAX: usize = 1000;

/// How many jobs a listing gives when nobody says.
const LAST: usize = 20;

/// The store is asked whether it is there for so long.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

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
    guard: Guard,
    pub(crate) catalog: Catalog,
    hub: Hub,
    queue: Queue,
    pub(crate) publishings: Publishings,
    requests: AtomicU64,
    shutdown: CancellationToken,
}

pub(crate) type Gateway = State<Arc<Shared>>;

/// Serves until `shutdown`. The control database must exist; what is in it is known before the first answer.
///
/// # Errors
///
/// [`Error`] when the store cannot be read at the start, or when the listener fails.
pub async fn run(
    listener: TcpListener,
    config: Config,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let (heard_in, heard) = mpsc::channel(HEARD_WAITING);
    let ears = Ears {
        store: config.store.clone(),
        catalog: Catalog::new(config.timing.presence),
        hub: Hub::default(),
        queue: Queue::default(),
        keeper: heard_in,
    };
    let loaded = ears.load().await?;
    let shared = Arc::new(Shared {
        guard: Guard::new(config.token.clone(), &config.hosts, listener.local_addr()?),
        catalog: ears.catalog.clone(),
        hub: ears.hub.clone(),
        queue: ears.queue.clone(),
        publishings: Publishings::default(),
        requests: AtomicU64::new(0),
        shutdown: shutdown.clone(),
        config,
    });
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Error::Random(error.to_string()))?;
    let worker = Worker {
        store: shared.config.store.clone(),
        timing: shared.config.timing,
        name: format!("gateway-{}", listener.local_addr()?),
        incarnation: Incarnation::from_random(random),
    };
    let keeper_stop = CancellationToken::new();
    // A task of its own: it gives its duties back after the last request.
    let keeps = keeper::keep(worker, heard, keeper_stop.clone());
    let mut keeps = AbortOnDropHandle::new(tokio::spawn(keeps));
    // Events are small: held back for company they would come 40 ms late.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection without TCP_NODELAY");
        }
    });
    let serves = axum::serve(listener, router(shared))
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    tokio::select! {
        served = serves => served?,
        () = ears.listen(loaded) => {}
        ended = &mut keeps => return ended.map_err(|error| Error::Keeper(error.to_string())),
        // Readers that do not read must not keep it from ending.
        () = async {
            shutdown.cancelled().await;
            tokio::time::sleep(CLOSE_MAX).await;
        } => {}
    }
    keeper_stop.cancel();
    keeps.await.map_err(|error| Error::Keeper(error.to_string()))
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/jobs", get(jobs).post(submit_job))
        .route("/v1/jobs/{id}", get(job).delete(cancel_job))
        .route("/v1/jobs/{id}/events", get(job_events))
        .merge(plugins::routes())
        .route("/v1/regions", get(regions))
        .route("/v1/engines", get(engines))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), let_in))
        .route("/healthz", get(health))
        .fallback(async || Failure::unknown_path())
        .method_not_allowed_fallback(async || Failure::wrong_method())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(shared)
}

async fn let_in(State(shared): Gateway, request: Request, next: Next) -> Response {
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let headers = request.headers();
    match shared.guard.check_names(headers).and_then(|()| shared.guard.check_token(headers)) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    }
}

/// Open to all: whether the gateway and its store are there, and how many requests were served.
async fn health(State(shared): Gateway) -> Json<Value> {
    let answer = tokio::time::timeout(HEALTH_TIMEOUT, shared.config.store.server()).await;
    let store = if matches!(answer, Ok(Ok(_))) { "up" } else { "down" };
    let requests = shared.requests.load(Ordering::Relaxed);
    Json(json!({"ok": true, "store": store, "requests": requests}))
}

async fn submit_job(
    State(shared): Gateway,
    request: Result<Json<submit::Request>, JsonRejection>,
) -> Result<Response, Failure> {
    let Json(request) = request.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Failure::input_too_large(format!("a request may have {BODY_BYTES_MAX} bytes"))
        }
        _ => Failure::bad_request(rejection.body_text()),
    })?;
    let desk = Desk {
        store: &shared.config.store,
        catalog: &shared.catalog,
        hub: &shared.hub,
        queue: &shared.queue,
    };
    let accepted = desk.submit(request).await?;
    Ok((StatusCode::CREATED, Json(accepted)).into_response())
}

#[derive(Debug, Deserialize)]
struct Last {
    last: Option<usize>,
}

async fn jobs(
    State(shared): Gateway,
    query: Result<Query<Last>, QueryRejection>,
) -> Result<Json<Value>, Failure> {
    let Query(query) = query.map_err(|e| Failure::bad_request(e.body_text()))?;
    let last = query.last.unwrap_or(LAST).min(LAST_MAX);
    let mut all: Vec<Job> = Vec::new();
    for region in shared.catalog.all_regions() {
        for database in region.jobs_databases() {
            let newest = history::newest(&shared.config.store, &database, last).await;
            all.extend(newest.map_err(|error| Failure::store(&error))?);
        }
    }
    all.sort_by_key(|job| std::cmp::Reverse(job.spec.created_at_ms));
    all.truncate(last);
    Ok(Json(
        json!({"jobs": all.iter().map(|job| job_view(&shared.catalog, job)).collect::<Vec<_>>()}),
    ))
}

async fn job(State(shared): Gateway, Path(id): Path<String>) -> Result<Json<Value>, Failure> {
    let (_, job) = find(&shared, &id).await?;
    Ok(Json(job_view(&shared.catalog, &job)))
}

async fn cancel_job(State(shared): Gateway, Path(id): Path<String>) -> Result<Response, Failure> {
    let (id, job) = find(&shared, &id).await?;
    if let Some(run) = job.run.as_ref().filter(|run| run.is_final()) {
        return Ok(Json(json!({"id": id, "state": run.state()})).into_response());
    }
    submit::cancel(&shared.config.store, &id).await.map_err(|error| Failure::store(&error))?;
    let answer = Json(json!({"id": id, "state": "cancelling"}));
    Ok((StatusCode::ACCEPTED, answer).into_response())
}

async fn job_events(
    State(shared): Gateway,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let job: JobId = id.parse().map_err(|_| Failure::unknown_job(&id))?;
    let after: Option<Position> = match headers.get("last-event-id").map(|value| value.to_str()) {
        None => None,
        Some(text) => {
            let position = text.ok().and_then(|text| text.parse().ok());
            let wrong = "Last-Event-ID is not ATTEMPT.INCARNATION.SEQ";
            Some(position.ok_or_else(|| Failure::bad_request(wrong))?)
        }
    };
    // Joined before the store is read, so that nothing falls between the two.
    let live = shared.hub.join(&job);
    let run = if live.is_whole() { None } else { find(&shared, &id).await?.1.run };
    let (events_in, events) = mpsc::channel(EVENTS_WAITING);
    let tells = events::tell(shared.config.store.clone(), job, live, after, run, events_in);
    let shutdown = shared.shutdown.clone();
    tokio::spawn(async move {
        let _ = shutdown.run_until_cancelled(tells).await;
    });
    let events = stream::unfold(events, |mut events| async {
        events.recv().await.map(|event| (event, events))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

async fn find(shared: &Shared, id: &str) -> Result<(JobId, Job), Failure> {
    let unknown = || Failure::unknown_job(id);
    let job: JobId = id.parse().map_err(|_| unknown())?;
    let found = history::job(&shared.config.store, &job).await;
    let found = found.map_err(|error| Failure::store(&error))?.ok_or_else(unknown)?;
    Ok((job, found))
}

fn job_view(catalog: &Catalog, job: &Job) -> Value {
    let (spec, run) = (&job.spec, job.run.as_ref());
    let state = match run {
        None if job.cancelled => "cancelling",
        None => "queued",
        Some(run) if job.cancelled && !run.is_final() => "cancelling",
        Some(run) => run.state(),
    };
    let end = run.and_then(|run| run.end());
    json!({
        "id": spec.job,
        "run": spec.run,
        "region": spec.job.region(),
        "plugin": spec.plugin,
        "version": spec.version,
        "args": args_view(catalog, &spec.plugin, &spec.version, &spec.args),
        "state": state,
        "reason": run.and_then(|run| run.reason()),
        "exit": end.map(|end| &end.exit),
        "engine": run.and_then(|run| run.claim()).map(|claim| &claim.engine),
        "created_at_ms": spec.created_at_ms,
        "duration_ms": end.map(|end| end.duration_ms),
    })
}

/// A command line without its secrets. The manifest says which words they are: of a plugin that is not known
/// only the number of words is shown.
fn args_view(catalog: &Catalog, plugin: &str, version: &str, args: &[String]) -> Vec<String> {
    match catalog.version(plugin, version) {
        Some(plugin) => masked(&plugin.manifest, args),
        None => all_masked(args),
    }
}

async fn regions(State(shared): Gateway) -> Json<Value> {
    Json(json!({"regions": shared.catalog.regions_view()}))
}

async fn engines(State(shared): Gateway) -> Json<Value> {
    Json(json!({"engines": shared.catalog.engines_view()}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_are_shown_without_secrets() {
        let catalog = Catalog::new(Duration::from_secs(1));
        let manifest = json!({
            "name": "demo", "version": "0.1.0", "summary": "for tests", "contract": "0.1.0",
            "arguments": [{"name": "user", "short": "u", "kind": "secret"}, {"name": "URL", "positional": true}],
        });
        let manifest = serde_json::from_value(manifest).unwrap();
        let demo = blitz_jobs::plugin::PluginDocument::new(manifest, b"component");
        catalog.hear_control(&demo.document_id(), json!(demo));
        let args = ["-u", "me:pw", "http://x"].map(str::to_owned);
        for (plugin, version, shown) in [
            ("demo", "0.1.0", ["-u", "***", "http://x"]),
            ("demo", "0.2.0", ["***", "***", "***"]),
            ("other", "0.1.0", ["***", "***", "***"]),
        ] {
            assert_eq!(args_view(&catalog, plugin, version, &args), shown, "{plugin}@{version}");
        }
    }
}
