//! The part of the API about jobs: submitted, listed, shown, followed and cancelled.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use blitz_jobs::{JobId, Position};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use crate::accounts;
use crate::audit::Told;
use crate::caller::Caller;
use crate::events::{self, Known};
use crate::failure::Failure;
use crate::history::{self, Job};
use crate::hub::Owner;
use crate::request::Asked;
use crate::routes::{Method, Routes, Who};
use crate::server::{Gateway, Shared};
use crate::strict::{Large, Params};
use crate::submit::{self, Desk, Submission};
use crate::view::job_view;

/// Events that wait for a slow reader; then the job's log and the store keep the rest.
const EVENTS_WAITING: usize = 16;

/// A comment on an event stream this often, so that a dead connection is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The most jobs that one listing gives.
const LAST_MAX: usize = 1000;

/// How many jobs a listing gives when nobody says.
const LAST: usize = 20;

pub(crate) fn routes() -> Routes {
    use Method::{Delete, Get, Post};
    Routes::default()
        .at(Who::Callers, Get, "/v1/jobs", list)
        .at(Who::Callers, Post, "/v1/jobs", submit)
        .at(Who::Callers, Get, "/v1/jobs/{id}", show)
        .at(Who::Callers, Delete, "/v1/jobs/{id}", cancel)
        .at(Who::Callers, Get, "/v1/jobs/{id}/events", follow)
}

async fn submit(
    State(shared): Gateway,
    Extension(caller): Extension<Caller>,
    Extension(asked): Extension<Asked>,
    Large(request, _room): Large<submit::Request>,
) -> Result<Response, Failure> {
    if let Caller::Member(member) = &caller {
        let rate = member.key.scopes.rate_per_minute;
        rate.map_or(Ok(()), |rate| accounts::take(&shared.doors, &member.key.id, rate))?;
    }
    let desk = Desk {
        stores: &shared.stores,
        copies: &shared.copies,
        hub: &shared.hub,
        queue: &shared.queue,
        quota: &shared.quota,
        consent: &shared.config.consent,
        paces: &shared.targets.paces,
        target_jobs_per_minute: shared.config.target_jobs_per_minute,
        caller: &caller,
        request: Some(&asked.id),
    };
    let submission = Submission::of(&request, &shared.catalog, &caller);
    let (mut response, told) = match desk.submit(request).await {
        Ok(accepted) => {
            let deed = Some(submission.accepted(&accepted));
            let response = (StatusCode::CREATED, Json(accepted)).into_response();
            (response, Told { deed, ..Told::default() })
        }
        Err(failure) => {
            let mut response = failure.into_response();
            let told = response.extensions_mut().remove::<Told>().unwrap_or_default();
            (response, Told { line: Some(submission.refused()), ..told })
        }
    };
    response.extensions_mut().insert(told);
    Ok(response)
}

#[derive(Debug, Deserialize)]
struct Last {
    last: Option<usize>,
}

async fn list(
    State(shared): Gateway,
    Extension(caller): Extension<Caller>,
    Params(query): Params<Last>,
) -> Result<Json<Value>, Failure> {
    let last = query.last.unwrap_or(LAST).min(LAST_MAX);
    let mut all: Vec<Job> = Vec::new();
    // A region that is out of reach does not hide the jobs of the others.
    let (mut away, mut failed) = (Vec::new(), None);
    let regions = shared.catalog.all_regions();
    for region in &regions {
        match history::newest(&shared.stores, region, &caller, last).await {
            Ok(newest) => all.extend(newest),
            Err(error) => {
                away.push(region.name.clone());
                failed = failed.or(Some(error));
            }
        }
    }
    if let Some(error) = failed.filter(|_| away.len() == regions.len()) {
        return Err(Failure::store(&error));
    }
    all.sort_by_key(|job| std::cmp::Reverse(job.spec.created_at_ms));
    all.truncate(last);
    let jobs: Vec<Value> = all.iter().map(|job| job_view(&shared.catalog, job)).collect();
    let mut answer = json!({"jobs": jobs});
    if !away.is_empty() {
        answer["unreachable"] = json!(away);
    }
    Ok(Json(answer))
}

async fn show(
    State(shared): Gateway,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Failure> {
    let (_, job) = find(&shared, &caller, &id).await?;
    Ok(Json(job_view(&shared.catalog, &job)))
}

async fn cancel(
    State(shared): Gateway,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let (id, job) = find(&shared, &caller, &id).await?;
    if let Some(run) = job.run.as_ref().filter(|run| run.is_final()) {
        return Ok(Json(json!({"id": id, "state": run.state()})).into_response());
    }
    submit::cancel(&shared.stores, &id).await.map_err(|error| Failure::store(&error))?;
    let answer = Json(json!({"id": id, "state": "cancelling"}));
    Ok((StatusCode::ACCEPTED, answer).into_response())
}

async fn follow(
    State(shared): Gateway,
    Extension(caller): Extension<Caller>,
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
    let is_theirs = |owner: &Owner| caller.owns(owner.tenant.as_deref(), owner.user.as_deref());
    // Somebody else's job is looked for in the store too: it costs what one costs that is not there.
    let known = if live.is_whole() && live.owner().is_some_and(is_theirs) {
        Known::Job(None)
    } else {
        match history::job(&shared.stores, &job).await {
            Ok(found) => match found.filter(|found| caller.may_see(&found.spec)) {
                Some(found) => Known::Job(found.run),
                None => return Err(Failure::unknown_job(&id)),
            },
            // Its reader is told that its region is away, and waits.
            Err(_) if shared.stores.outage(&job).is_some() => Known::Nothing,
            Err(error) => return Err(Failure::store(&error)),
        }
    };
    let (events_in, events) = mpsc::channel(EVENTS_WAITING);
    let stores = shared.stores.clone();
    let reader = caller.clone();
    let tells = Box::pin(events::tell(stores, reader, job, live, after, known, events_in));
    let (shutdown, book) = (shared.shutdown.clone(), shared.book.clone());
    let span = tracing::error_span!("job", job = %id);
    let told = async move {
        let refused = async {
            match &caller {
                Caller::Member(member) => book.until_refused(&member.key).await,
                Caller::Operator => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = shutdown.run_until_cancelled(tells) => {}
            () = refused => {}
        }
    };
    tokio::spawn(told.instrument(span));
    let events = stream::unfold(events, |mut events| async {
        events.recv().await.map(|event| (event, events))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// A job that the caller may see. Another tenant's is not there.
async fn find(shared: &Shared, caller: &Caller, id: &str) -> Result<(JobId, Job), Failure> {
    let unknown = || Failure::unknown_job(id);
    let job: JobId = id.parse().map_err(|_| unknown())?;
    let found = history::job(&shared.stores, &job).await;
    let found = found.map_err(|error| Failure::store(&error))?;
    let found = found.filter(|job| caller.may_see(&job.spec)).ok_or_else(unknown)?;
    Ok((job, found))
}
