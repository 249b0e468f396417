//! What is remembered of a replication: the same `_local` document on both sides, as CouchDB writes it.
//!
//! A run goes on from the newest session that both sides know. A side that was deleted and made anew,
//! or whose document was lost, makes it begin at an earlier session or at the start.

use super::{clock, progress::Counters};
use blitz_couchdb::Sequence;
use serde_json::{Map, Value, json};
use std::time::SystemTime;

/// How many sessions are remembered; CouchDB's own.
const SESSIONS_MAX: usize = 50;

/// The version of the way in which ids of replications are made; CouchDB's own.
const ID_VERSION: u32 = 4;

/// A checkpoint as it was read: whatever the other side had under the id.
pub(crate) type Log = Map<String, Value>;

/// Where a run begins.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Start {
    /// None: at the beginning.
    pub(crate) since: Option<Sequence>,
    /// The sessions that led there, newest first.
    pub(crate) history: Vec<Value>,
}

/// Finds where the two sides have come to together.
pub(crate) fn meet(source: &Log, target: &Log) -> Start {
    let session = |log: &Log| log.get("session_id").and_then(Value::as_str).map(str::to_owned);
    let place =
        |value: Option<&Value>| -> Option<Sequence> { serde_json::from_value(value?.clone()).ok() };
    if session(source).is_some() && session(source) == session(target) {
        let since = place(source.get("source_last_seq"));
        return Start { since, history: history(source).to_vec() };
    }
    let known: Vec<&str> = history(target).iter().filter_map(entry_session).collect();
    for (age, entry) in history(source).iter().enumerate() {
        if entry_session(entry).is_some_and(|session| known.contains(&session)) {
            let since = place(entry.get("recorded_seq"));
            return Start { since, history: history(source)[age..].to_vec() };
        }
    }
    Start::default()
}

fn history(log: &Log) -> &[Value] {
    log.get("history").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn entry_session(entry: &Value) -> Option<&str> {
    entry.get("session_id").and_then(Value::as_str)
}

/// One run, as far as its checkpoints tell of it.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) started: SystemTime,
    pub(crate) start: Start,
    /// The old form of the answer that CouchDB gives for `doc_ids`.
    pub(crate) by_ids: bool,
}

impl Session {
    /// The checkpoint after this session has come to `through`.
    pub(crate) fn record(&self, through: &Sequence, counters: Counters, now: SystemTime) -> Log {
        let Counters {
            missing_checked,
            missing_found,
            docs_read,
            docs_written,
            doc_write_failures,
        } = counters;
        let (start_time, end_time) = (clock::http_date(self.started), clock::http_date(now));
        let start_last_seq = self.start.since.as_ref().map_or_else(|| json!(0), |seq| json!(seq));
        let entry = json!({
            "session_id": self.id,
            "start_time": start_time,
            "end_time": end_time,
            "start_last_seq": start_last_seq,
            "end_last_seq": through,
            "recorded_seq": through,
            "missing_checked": missing_checked,
            "missing_found": missing_found,
            "docs_read": docs_read,
            "docs_written": docs_written,
            "doc_write_failures": doc_write_failures,
        });
        let mut log = Map::new();
        log.insert("session_id".into(), json!(self.id));
        log.insert("source_last_seq".into(), json!(through));
        log.insert("replication_id_version".into(), json!(ID_VERSION));
        if self.by_ids {
            log.insert("start_time".into(), json!(start_time));
            log.insert("end_time".into(), json!(end_time));
            log.insert("docs_read".into(), json!(docs_read));
            log.insert("docs_written".into(), json!(docs_written));
            log.insert("doc_write_failures".into(), json!(doc_write_failures));
        }
        let mut entries = vec![entry];
        entries.extend(self.start.history.iter().take(SESSIONS_MAX - 1).cloned());
        log.insert("history".into(), Value::from(entries));
        log
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(session: &str, last: u64, history: &[(&str, u64)]) -> Log {
        let history: Vec<Value> = history
            .iter()
            .map(|(session, seq)| json!({"session_id": session, "recorded_seq": seq}))
            .collect();
        let log = json!({"session_id": session, "source_last_seq": last, "history": history});
        log.as_object().unwrap().clone()
    }

    #[test]
    fn a_run_goes_on_from_the_newest_session_that_both_know() {
        let full = log("c", 30, &[("c", 30), ("b", 20), ("a", 10)]);
        for (source, target, since) in [
            (full.clone(), full.clone(), Some(30)),
            (full.clone(), log("b", 20, &[("b", 20), ("a", 10)]), Some(20)),
            (log("a", 10, &[("a", 10)]), full.clone(), Some(10)),
            (full.clone(), log("x", 99, &[("x", 99), ("a", 10)]), Some(10)),
            (full.clone(), log("x", 99, &[("x", 99)]), None),
            (full.clone(), Log::new(), None),
            (Log::new(), Log::new(), None),
            (log("c", 30, &[]), log("d", 30, &[]), None),
        ] {
            let start = meet(&source, &target);
            let wanted = since.map(|seq| serde_json::from_value(json!(seq)).unwrap());
            assert_eq!(start.since, wanted, "{source:?} {target:?}");
        }
    }

    #[test]
    fn rubbish_in_a_checkpoint_means_the_beginning() {
        let rubbish = json!({"session_id": 5, "history": {"a": [1]}, "source_last_seq": null});
        let rubbish = rubbish.as_object().unwrap();
        assert_eq!(meet(rubbish, rubbish), Start::default());
        let entries = json!({"history": [1, null, {"session_id": {}}]});
        assert_eq!(meet(entries.as_object().unwrap(), rubbish), Start::default());
    }

    #[test]
    fn the_memory_of_sessions_is_bounded() {
        let old: Vec<Value> = (0..80).map(|n| json!({"session_id": n.to_string()})).collect();
        let session = Session {
            id: String::from("new"),
            started: SystemTime::UNIX_EPOCH,
            start: Start { since: None, history: old },
            by_ids: false,
        };
        let through = serde_json::from_value(json!("7-x")).unwrap();
        let log = session.record(&through, Counters::default(), SystemTime::UNIX_EPOCH);
        assert_eq!(history(&log).len(), SESSIONS_MAX);
        assert_eq!(history(&log)[0]["recorded_seq"], "7-x");
        assert_eq!(history(&log)[0]["start_last_seq"], 0);
        assert_eq!(meet(&log, &log).since, Some(through));
    }
}
