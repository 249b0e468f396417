//! What a replication is asked to do, parsed once from a body of `_replicate` or a document.

use super::{endpoint::Endpoint, patience::Patience};
use crate::{revision::hex, user::User};
use blitz_couchdb::{CreateOptions, Sequence};
use md5::{Digest as _, Md5};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use std::{sync::Arc, time::Duration};

/// How often the place in the source is written down; CouchDB's is 30 s. A run that is cut repeats at
/// most what it did in this time.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);

/// The shortest such time that may be asked for: a checkpoint costs four requests.
const CHECKPOINT_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// How many changes are taken at once; CouchDB's own `worker_batch_size`.
const BATCH: u64 = 500;

/// The most that may be asked for: what is known of so many changes is held in memory.
const BATCH_MAX: u64 = 5_000;

/// What a replication copies and how.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) id: ReplicationId,
    pub(crate) source: Endpoint,
    pub(crate) target: Endpoint,
    /// For whom local databases are opened.
    pub(crate) user: Arc<User>,
    pub(crate) continuous: bool,
    pub(crate) create_target: Option<CreateOptions>,
    pub(crate) selection: Selection,
    pub(crate) winning_revs_only: bool,
    pub(crate) since: Option<Sequence>,
    pub(crate) use_checkpoints: bool,
    pub(crate) checkpoint_interval: Duration,
    /// How many changes are taken at once.
    pub(crate) batch: u64,
    /// How soon it gives up an end that says nothing.
    pub(crate) patience: Patience,
    /// Of everything that was asked for, passwords included: another one means that a job of the same
    /// id must begin anew.
    pub(crate) fingerprint: [u8; 16],
}

/// Which documents are copied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Selection {
    /// Every one.
    All,
    /// Those with these ids.
    Ids(Vec<String>),
    /// What a filter function lets through, with what it is told.
    Filter {
        /// `design/name`.
        name: String,
        /// `query_params`.
        parameters: Vec<(String, String)>,
    },
    /// What matches a selector.
    Selector(Value),
}

/// What tells replications apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplicationId {
    /// The name of the checkpoints.
    pub(crate) base: String,
    /// What does not change where a replication has come to: `+continuous`, `+create_target`.
    pub(crate) extension: String,
}

impl ReplicationId {
    /// The name of the job.
    pub(crate) fn full(&self) -> String {
        format!("{}{}", self.base, self.extension)
    }
}

/// Why nothing can be replicated. Where CouchDB has a text, it is CouchDB's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadTask {
    #[error("Missing replicator database")]
    Missing,
    #[error("{{error,function_clause}}")]
    NotAnEndpoint { which: &'static str },
    #[error("{which} has an invalid url")]
    Url { which: &'static str },
    #[error("the headers of {which} are no object of texts that HTTP takes")]
    Headers { which: &'static str },
    #[error("`{name}` is not implemented: give the address of the database itself")]
    Proxy { name: &'static str },
    #[error("parameter `{name}` must be {kind}")]
    Parameter { name: &'static str, kind: &'static str },
    #[error("{name} value must be a string.")]
    QueryParameter { name: String },
    #[error("`doc_ids`,`filter`,`selector` are mutually exclusive")]
    Exclusive,
    #[error("{0}")]
    Selector(String),
}

impl Task {
    /// Reads a replication for this user. `uuid` is that of this server.
    pub(crate) fn parse(
        body: &Map<String, Value>,
        user: Arc<User>,
        uuid: &str,
    ) -> Result<Task, BadTask> {
        let proxies = ["proxy", "source_proxy", "target_proxy"];
        if let Some(name) = proxies.into_iter().find(|name| body.contains_key(*name)) {
            return Err(BadTask::Proxy { name });
        }
        let continuous = boolean(body, "continuous")?.unwrap_or(false);
        let create_target = boolean(body, "create_target")?.unwrap_or(false);
        let parameters = create_parameters(body)?;
        let winning_revs_only = boolean(body, "winning_revs_only")?.unwrap_or(false);
        let use_checkpoints = boolean(body, "use_checkpoints")?.unwrap_or(true);
        let selection = selection(body)?;
        let source = Endpoint::parse("source", body.get("source"))?;
        let target = Endpoint::parse("target", body.get("target"))?;
        let interval = number(body, "checkpoint_interval")?.map(Duration::from_millis);
        let batch = number(body, "worker_batch_size")?.unwrap_or(BATCH);
        let patience = Patience::new(
            number(body, "connection_timeout")?,
            number(body, "retries_per_request")?,
        );
        let since = match body.get("since_seq") {
            None | Some(Value::Null) => None,
            Some(value) => serde_json::from_value(value.clone()).ok(),
        };
        let identity = json!([
            4,
            uuid,
            source.identity(),
            target.identity(),
            selection.identity(),
            winning_revs_only
        ]);
        let mut extension = String::new();
        if continuous {
            extension.push_str("+continuous");
        }
        if create_target {
            extension.push_str("+create_target");
        }
        let base = hex(&Md5::digest(identity.to_string()));
        Ok(Task {
            id: ReplicationId { base, extension },
            source,
            target,
            user,
            continuous,
            create_target: create_target.then_some(parameters),
            selection,
            winning_revs_only,
            since,
            use_checkpoints,
            checkpoint_interval: interval
                .unwrap_or(CHECKPOINT_INTERVAL)
                .max(CHECKPOINT_INTERVAL_MIN),
            batch: batch.clamp(1, BATCH_MAX),
            patience,
            fingerprint: fingerprint(body),
        })
    }
}

impl Selection {
    fn identity(&self) -> Value {
        match self {
            Selection::All => Value::Null,
            Selection::Ids(ids) => json!(["ids", ids]),
            Selection::Filter { name, parameters } => json!(["filter", name, parameters]),
            Selection::Selector(selector) => json!(["selector", selector]),
        }
    }
}

/// Without what says nothing about the replication: `_id`, `_rev`, states.
pub(crate) fn fingerprint(body: &Map<String, Value>) -> [u8; 16] {
    let asked: Vec<_> =
        body.iter().filter(|(name, _)| !name.starts_with('_') && *name != "owner").collect();
    Md5::digest(json!(asked).to_string()).into()
}

/// `cancel` of a body.
pub(crate) fn is_cancel(body: &Map<String, Value>) -> Result<bool, BadTask> {
    Ok(boolean(body, "cancel")?.unwrap_or(false))
}

/// The replication that a body names by its id.
pub(crate) fn named(body: &Map<String, Value>) -> Option<String> {
    let names = ["_local_id", "replication_id", "id"];
    let id = names.iter().find_map(|name| body.get(*name)?.as_str())?;
    // A `+` that was not escaped in a URL has become a space.
    Some(id.replace(' ', "+"))
}

fn boolean(body: &Map<String, Value>, name: &'static str) -> Result<Option<bool>, BadTask> {
    match body.get(name) {
        None => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(BadTask::Parameter { name, kind: "a boolean" }),
    }
}

fn number(body: &Map<String, Value>, name: &'static str) -> Result<Option<u64>, BadTask> {
    let Some(value) = body.get(name) else { return Ok(None) };
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    number.map(Some).ok_or(BadTask::Parameter { name, kind: "a positive integer" })
}

fn create_parameters(body: &Map<String, Value>) -> Result<CreateOptions, BadTask> {
    let name = "create_target_params";
    let Some(value) = body.get(name) else { return Ok(CreateOptions::default()) };
    let members = value.as_object().ok_or(BadTask::Parameter { name, kind: "a JSON object" })?;
    let count = |name: &'static str| -> Result<Option<u32>, BadTask> {
        let count = number(members, name)?.map(u32::try_from).transpose();
        count.map_err(|_| BadTask::Parameter { name, kind: "a positive integer" })
    };
    Ok(CreateOptions { shards: count("q")?, copies: count("n")? })
}

fn selection(body: &Map<String, Value>) -> Result<Selection, BadTask> {
    let given = |name| body.get(name).filter(|value: &&Value| !value.is_null());
    let (ids, filter, selector) = (given("doc_ids"), given("filter"), body.get("selector"));
    let ids = match ids {
        None => None,
        Some(Value::Array(ids)) => Some(ids),
        Some(_) => return Err(BadTask::Parameter { name: "doc_ids", kind: "an array" }),
    };
    if selector.is_some_and(|selector| !selector.is_object()) {
        return Err(BadTask::Parameter { name: "selector", kind: "a JSON object" });
    }
    let parameters = query_parameters(body)?;
    match (ids, filter, selector) {
        (None, None, None) => Ok(Selection::All),
        (Some(ids), None, None) => {
            let kind = "an array";
            let decode = |id: &Value| -> Option<String> {
                // Old replicators gave them percent-encoded; CouchDB still decodes.
                percent_decode_str(id.as_str()?).decode_utf8().ok().map(String::from)
            };
            let ids: Option<Vec<String>> = ids.iter().map(decode).collect();
            let mut ids = ids.ok_or(BadTask::Parameter { name: "doc_ids", kind })?;
            ids.sort();
            ids.dedup();
            Ok(Selection::Ids(ids))
        }
        (None, Some(filter), None) => {
            let kind = "a string";
            let name = filter.as_str().ok_or(BadTask::Parameter { name: "filter", kind })?;
            Ok(Selection::Filter { name: name.to_owned(), parameters })
        }
        (None, None, Some(selector)) => {
            crate::selector::Selector::parse(selector)
                .map_err(|bad| BadTask::Selector(bad.to_string()))?;
            Ok(Selection::Selector(selector.clone()))
        }
        _ => Err(BadTask::Exclusive),
    }
}

fn query_parameters(body: &Map<String, Value>) -> Result<Vec<(String, String)>, BadTask> {
    let name = "query_params";
    let Some(value) = body.get(name) else { return Ok(Vec::new()) };
    let members = value.as_object().ok_or(BadTask::Parameter { name, kind: "an object" })?;
    let pair = |(name, value): (&String, &Value)| match value {
        Value::String(value) => Ok((name.clone(), value.clone())),
        _ => Err(BadTask::QueryParameter { name: name.clone() }),
    };
    members.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &Value) -> Result<Task, BadTask> {
        Task::parse(body.as_object().unwrap(), Arc::new(User::anonymous()), "uuid")
    }

    #[test]
    fn the_id_names_what_is_copied_and_not_how() {
        let id = |more: Value| {
            let mut body = json!({"source": "http://u:p@h/a", "target": "b"});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            parse(&body).unwrap().id
        };
        let plain = id(json!({}));
        assert_eq!(id(json!({"checkpoint_interval": 1000, "owner": "x"})), plain);
        let live = id(json!({"continuous": true, "create_target": true}));
        assert_eq!((&live.base, &*live.extension), (&plain.base, "+continuous+create_target"));
        // Another password is still the same replication, as in CouchDB.
        assert_eq!(id(json!({"source": "http://u:other@h/a"})), plain);
        for other in [
            json!({"source": "http://v:p@h/a"}),
            json!({"target": "c"}),
            json!({"doc_ids": ["a"]}),
            json!({"selector": {"a": 1}}),
            json!({"filter": "d/f"}),
            json!({"winning_revs_only": true}),
        ] {
            assert_ne!(id(other.clone()).base, plain.base, "{other}");
        }
    }

    #[test]
    fn bad_tasks_are_refused_in_the_words_of_couchdb() {
        for (more, reason) in [
            (json!({"doc_ids": 5}), "parameter `doc_ids` must be an array"),
            (
                json!({"proxy": "http://p"}),
                "`proxy` is not implemented: give the address of the database itself",
            ),
            (json!({"continuous": 1}), "parameter `continuous` must be a boolean"),
            (json!({"query_params": {"a": 1}}), "a value must be a string."),
            (
                json!({"selector": {"a": 1}, "doc_ids": ["a"]}),
                "`doc_ids`,`filter`,`selector` are mutually exclusive",
            ),
            (json!({"selector": {"$nope": 1}}), "Invalid operator: $nope"),
        ] {
            let mut body = json!({"source": "a", "target": "b"});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            assert_eq!(parse(&body).unwrap_err().to_string(), reason, "{more}");
        }
    }
}
