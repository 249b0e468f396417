//! `_replicate` and `_scheduler`: replication by the server itself.

use super::{
    call::{BODY_BYTES_MAX, Call},
    query,
    refusal::{Refusal, allow},
    reply::{self, Handled},
};
use crate::{
    replicator::{
        documents::REPLICATOR,
        jobs::{NotAdded, Origin},
        run::RunError,
        show,
        task::{self, BadTask, Task},
    },
    store::{
        list::{Detail, End, Range},
        read::{Opened, Which},
    },
};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use std::{sync::Arc, time::SystemTime};
use tokio::sync::oneshot;

/// How many rows of `_scheduler/jobs` are told of at once unless the client says; CouchDB's own.
const JOBS_LISTED: usize = 100;

/// How many rows of `_scheduler/docs` one answer has at most: they are gathered in memory.
const DOCUMENTS_LISTED_MAX: usize = 10_000;

/// `_replicate`.
pub(crate) async fn replicate(call: &Call) -> Handled {
    // As CouchDB, which reads the body before it looks at the method.
    if call.method != Method::POST && call.body(BODY_BYTES_MAX).await?.bytes.is_empty() {
        return Err(Refusal::bad_request("Missing request body"));
    }
    allow(&call.method, &["POST"])?;
    if call.user.name.is_none() && !call.user.is_admin() {
        return Err(Refusal::unauthorized("You are not an authenticated user"));
    }
    call.need_json()?;
    let received = call.json_body().await?;
    let Value::Object(body) = query::parse(received.text()?)? else {
        return Err(Refusal::bad_request("Request body must be a JSON object"));
    };
    drop(received);
    let replicator = &call.server.replicator;
    let parse = || Task::parse(&body, Arc::clone(&call.user), call.store().uuid());
    if task::is_cancel(&body)? {
        let id = match task::named(&body) {
            Some(id) => id,
            None => parse()?.id.full(),
        };
        check_owner(call, &id)?;
        if !replicator.jobs.remove(&id) {
            return Err(Refusal::not_found("missing"));
        }
        return Ok(reply::json(StatusCode::OK, &json!({"ok": true, "_local_id": id})));
    }
    let task = parse()?;
    let id = task.id.full();
    check_owner(call, &id)?;
    let (waiter, told) = oneshot::channel();
    let waiter = (!task.continuous).then_some(waiter);
    replicator.jobs.add(task, Origin::Request, waiter, SystemTime::now())?;
    replicator.wake();
    let told = tokio::select! {
        told = told => told,
        () = call.server.stop.cancelled() => return Err(refusal(&RunError::Stopped)),
    };
    // A continuous one has no waiter, and so nothing to tell.
    match told {
        Ok(Ok(log)) => {
            let mut answer = Map::from_iter([(String::from("ok"), Value::Bool(true))]);
            answer.extend(log);
            Ok(reply::json(StatusCode::OK, &Value::Object(answer)))
        }
        Ok(Err(error)) => Err(refusal(&error)),
        Err(_) if id.contains("+continuous") => {
            Ok(reply::json(StatusCode::ACCEPTED, &json!({"ok": true, "_local_id": id})))
        }
        Err(_) => Err(refusal(&RunError::Stopped)),
    }
}

/// A replication that somebody else started is touched only by administrators.
fn check_owner(call: &Call, id: &str) -> Result<(), Refusal> {
    let owner = call.server.replicator.jobs.one(id, |job| job.task.user.name.clone());
    match owner {
        Some(owner) if owner != call.user.name => call.need_admin(),
        _ => Ok(()),
    }
}

fn refusal(error: &RunError) -> Refusal {
    let reason = error.to_string();
    match error {
        RunError::NoDatabase { shown } => {
            let reason = format!("could not open {shown}");
            Refusal::new(StatusCode::NOT_FOUND, "db_not_found", reason)
        }
        RunError::Stopped => Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "service_unavailable",
            "the replication was cancelled, or the server stops",
        ),
        RunError::Peer(blitz_couchdb::Error::Unauthorized { .. }) => {
            Refusal::new(StatusCode::UNAUTHORIZED, "replication_auth_error", reason)
        }
        RunError::Peer(blitz_couchdb::Error::Forbidden { .. }) => {
            Refusal::new(StatusCode::FORBIDDEN, "forbidden", reason)
        }
        RunError::Peer(blitz_couchdb::Error::Invalid { .. }) => Refusal::bad_request(reason),
        RunError::Peer(blitz_couchdb::Error::Status { error, .. })
            if error == "illegal_database_name" =>
        {
            Refusal::new(StatusCode::BAD_REQUEST, "illegal_database_name", reason)
        }
        RunError::NoFilter { .. } => {
            Refusal::new(StatusCode::NOT_FOUND, "filter_fetch_error", reason)
        }
        // What CouchDB says when one of the two servers fails.
        RunError::Peer(_)
        | RunError::Replaced { .. }
        | RunError::NotFetched(_)
        | RunError::Broken => {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "replication_failed", reason)
        }
    }
}

impl From<BadTask> for Refusal {
    fn from(error: BadTask) -> Refusal {
        match error {
            // CouchDB's text is about its own functions.
            BadTask::NotAnEndpoint { which } => Refusal::bad_request(format!(
                "`{which}` must be the name or the URL of a database, or an object with `url`"
            )),
            other => Refusal::bad_request(other.to_string()),
        }
    }
}

impl From<NotAdded> for Refusal {
    fn from(error: NotAdded) -> Refusal {
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        Refusal::new(unavailable, "service_unavailable", error.to_string())
    }
}

/// What lies below `_scheduler`.
pub(crate) async fn scheduler(call: &Call, rest: &[String]) -> Handled {
    allow(&call.method, &["GET", "HEAD"])?;
    call.need_admin()?;
    let jobs = &call.server.replicator.jobs;
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    match rest.as_slice() {
        ["jobs"] => {
            let all = show::jobs(jobs);
            let (total, skip) = (all.len(), number(call, "skip", 0)?);
            let limit = number(call, "limit", JOBS_LISTED)?;
            let rows: Vec<Value> = all.into_iter().skip(skip).take(limit).collect();
            let offset = skip.min(total);
            let body = json!({"total_rows": total, "offset": offset, "jobs": rows});
            Ok(reply::json(StatusCode::OK, &body))
        }
        ["jobs", id] => {
            let id = id.replace(' ', "+");
            let found = jobs.one(&id, |job| show::job(&id, job));
            let found = found.ok_or_else(|| Refusal::not_found("missing"))?;
            Ok(reply::json(StatusCode::OK, &found))
        }
        ["docs"] | ["docs", REPLICATOR] => documents(call).await,
        ["docs", REPLICATOR, id] => {
            let found = document(call, id).await?;
            let found = found.ok_or_else(|| Refusal::not_found("missing"))?;
            Ok(reply::json(StatusCode::OK, &found))
        }
        // Of other databases of replications nothing is known: only this one is followed.
        ["docs", ..] => Err(Refusal::bad_request("Invalid path")),
        _ => Err(Refusal::not_found("missing")),
    }
}

fn number(call: &Call, name: &'static str, default: usize) -> Result<usize, Refusal> {
    let Some(text) = call.query.get(name) else { return Ok(default) };
    text.parse().map_err(|_| Refusal::query(format!("{name} must be an integer")))
}

/// One document: its job, or what its last one came to.
async fn document(call: &Call, id: &str) -> Result<Option<Value>, Refusal> {
    if let Some(active) = active(call, id) {
        return Ok(Some(active));
    }
    let Some(database) = call.store().catalog().get(REPLICATOR) else { return Ok(None) };
    let found = call.store().document(&database, id.to_owned(), Which::Winner, false).await?;
    let revision = found.and_then(|found| found.revisions.into_iter().next());
    let Some(Opened::Found(found)) = revision else { return Ok(None) };
    if found.deleted {
        return Ok(None);
    }
    let text = found.render(id).finish();
    let text = String::from_utf8_lossy(&text);
    Ok(query::parse(&text)?.as_object().map(show::resting_document))
}

fn active(call: &Call, id: &str) -> Option<Value> {
    let jobs = &call.server.replicator.jobs;
    let job = jobs.of_document(id)?;
    jobs.one(&job, |one| show::active_document(&job, one))
}

async fn documents(call: &Call) -> Handled {
    let states = call.query.get("states").map(states).transpose()?;
    let limit = number(call, "limit", DOCUMENTS_LISTED_MAX)?.min(DOCUMENTS_LISTED_MAX);
    let skip = number(call, "skip", 0)?;
    let descending = call.query.is_true("descending");
    let Some(database) = call.store().catalog().get(REPLICATOR) else {
        return Err(Refusal::no_database());
    };
    let total = database.state().documents;
    let mut range = Range { low: End::First, high: End::Last, descending };
    let detail = Detail { documents: true, ..Detail::default() };
    let (mut rows, mut skipped) = (Vec::new(), 0);
    'pages: while rows.len() < limit {
        let page = call.store().range(&database, range.clone(), 0, u64::MAX, detail).await?;
        for row in &page.rows {
            let text = row.document.as_deref().unwrap_or("null");
            let resting = || query::parse(text).ok()?.as_object().map(show::resting_document);
            let shown = active(call, &row.id).or_else(resting).unwrap_or_default();
            let state = shown["state"].as_str();
            let wanted = states.as_ref().is_none_or(|states| {
                state.is_some_and(|state| states.iter().any(|wanted| wanted == state))
            });
            if row.id.starts_with("_design/") || !wanted {
                continue;
            }
            if skipped < skip {
                skipped += 1;
                continue;
            }
            rows.push(shown);
            if rows.len() >= limit {
                break 'pages;
            }
        }
        match page.rows.last() {
            Some(last) if page.more => {
                let end = End::Beside(last.id.clone());
                if descending { range.high = end } else { range.low = end }
            }
            _ => break,
        }
    }
    let body = json!({"total_rows": total, "offset": skipped, "docs": rows});
    Ok(reply::json(StatusCode::OK, &body))
}

fn states(text: &str) -> Result<Vec<String>, Refusal> {
    let states: Vec<String> = text.split(',').map(|state| state.trim().to_lowercase()).collect();
    let unknown: Vec<&str> =
        states.iter().map(String::as_str).filter(|state| !show::STATES.contains(state)).collect();
    if unknown.is_empty() {
        return Ok(states);
    }
    let (unknown, known) = (unknown.join(","), show::STATES.join(","));
    Err(Refusal::query(format!("Unknown states [{unknown}]. Choose from: [{known}]")))
}
