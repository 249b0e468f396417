//! Jobs as `_scheduler` and `_active_tasks` tell of them. Addresses are shown without credentials.

use super::{
    clock,
    documents::REPLICATOR,
    endpoint::Endpoint,
    jobs::{Event, Job, Jobs, Origin, State},
};
use serde_json::{Map, Value, json};

/// The only node there is.
const NODE: &str = "blitz@127.0.0.1";

/// The states that a document may be in; CouchDB's own.
pub(crate) const STATES: [&str; 7] =
    ["initializing", "error", "running", "pending", "crashing", "completed", "failed"];

/// All jobs, in the order of their ids.
pub(crate) fn jobs(jobs: &Jobs) -> Vec<Value> {
    jobs.each(|(id, one)| job(id, one))
}

/// A row of `_scheduler/jobs`.
pub(crate) fn job(id: &str, job: &Job) -> Value {
    let is_running = matches!(job.state, State::Running { .. });
    let (database, document) = origin(&job.origin);
    let history: Vec<Value> = job.history.iter().map(event).collect();
    json!({
        "database": database,
        "doc_id": document,
        "id": id,
        "node": NODE,
        "pid": is_running.then(|| format!("<{id}>")),
        "source": job.task.source.shown(),
        "target": job.task.target.shown(),
        "user": job.task.user.name,
        "info": is_running.then(|| job.progress.read().to_json()),
        "history": history,
        "start_time": clock::iso8601(job.added),
    })
}

fn origin(origin: &Origin) -> (Option<&str>, Option<&str>) {
    match origin {
        Origin::Request => (None, None),
        Origin::Document(id) => (Some(REPLICATOR), Some(id)),
    }
}

fn event(event: &Event) -> Value {
    let mut value = json!({"timestamp": clock::iso8601(event.at), "type": event.kind});
    if let Some(reason) = &event.reason {
        value["reason"] = json!(**reason);
    }
    value
}

/// A row of `_scheduler/docs` whose job is there.
pub(crate) fn active_document(id: &str, job: &Job) -> Value {
    let (database, document) = origin(&job.origin);
    let (state, info) = match &job.state {
        State::Pending => ("pending", Value::Null),
        State::Running { .. } => ("running", job.progress.read().to_json()),
        State::Crashing { reason, .. } => ("crashing", json!({"error": **reason})),
    };
    json!({
        "database": database,
        "doc_id": document,
        "id": id,
        "node": NODE,
        "source": job.task.source.shown(),
        "target": job.task.target.shown(),
        "state": state,
        "info": info,
        "error_count": job.crashes,
        "start_time": clock::iso8601(job.added),
        "last_updated": clock::iso8601(job.updated),
        "source_proxy": null,
        "target_proxy": null,
    })
}

/// A row of `_scheduler/docs` whose job is over, or not there yet.
pub(crate) fn resting_document(document: &Map<String, Value>) -> Value {
    let shown = |which: &'static str| -> Option<String> {
        Endpoint::parse(which, document.get(which)).ok().map(|end| end.shown().to_owned())
    };
    let state = document.get("_replication_state").and_then(Value::as_str);
    let time = document.get("_replication_state_time");
    let (state, info, errors, start) = match state {
        Some("completed") => {
            let mut stats = document.get("_replication_stats").cloned().unwrap_or_default();
            let start = stats.as_object_mut().and_then(|stats| stats.remove("start_time"));
            (Some("completed"), stats, 0, start)
        }
        Some("failed") => {
            let reason = document.get("_replication_state_reason");
            (Some("failed"), json!({"error": reason}), 1, time.cloned())
        }
        _ => (None, Value::Null, 0, None),
    };
    json!({
        "database": REPLICATOR,
        "doc_id": document.get("_id"),
        "id": null,
        "node": NODE,
        "source": shown("source"),
        "target": shown("target"),
        "state": state,
        "info": info,
        "error_count": errors,
        "start_time": start,
        "last_updated": time,
    })
}

/// The running replications as `_active_tasks` lists them.
pub(crate) fn tasks(jobs: &Jobs) -> Vec<Value> {
    let task = |(id, job): (&String, &Job)| -> Option<Value> {
        if !matches!(job.state, State::Running { .. }) {
            return None;
        }
        let (database, document) = origin(&job.origin);
        let progress = job.progress.read();
        let interval = job.task.checkpoint_interval.as_millis();
        Some(json!({
            "type": "replication",
            "node": NODE,
            "database": database,
            "doc_id": document,
            "replication_id": id,
            "source": job.task.source.shown(),
            "target": job.task.target.shown(),
            "user": job.task.user.name,
            "continuous": job.task.continuous,
            "checkpoint_interval": u64::try_from(interval).unwrap_or(u64::MAX),
            "changes_pending": progress.pending,
            "source_seq": progress.source,
            "through_seq": progress.through,
            "checkpointed_source_seq": progress.checkpointed,
            "docs_read": progress.counters.docs_read,
            "docs_written": progress.counters.docs_written,
            "doc_write_failures": progress.counters.doc_write_failures,
            "revisions_checked": progress.counters.missing_checked,
            "missing_revisions_found": progress.counters.missing_found,
            "started_on": clock::seconds(job.added),
            "updated_on": clock::seconds(job.updated),
        }))
    };
    jobs.each(task).into_iter().flatten().collect()
}
