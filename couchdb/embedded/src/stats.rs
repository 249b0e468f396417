//! What the server counts: the numbers of `/_node/_local/_stats`.

use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

/// The counters. Each only grows, from 0 when the store is opened.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Transactions that were made durable for requests.
    pub(crate) commits: Counter,
    /// Transactions of the store's own: removing deleted databases, compaction.
    pub(crate) housekeeping_commits: Counter,
    /// Writes that were asked for; several share a commit.
    pub(crate) writes: Counter,
    /// Revisions that were stored.
    pub(crate) document_writes: Counter,
    /// HTTP requests.
    pub(crate) requests: Counter,
    /// `_changes` feeds that were opened and stay open.
    pub(crate) feeds: Counter,
    /// How often feeds looked whether there is something for them.
    pub(crate) feed_looks: Counter,
    /// Rows that feeds took from memory.
    pub(crate) feed_rows_recent: Counter,
    /// Pages that feeds had to read from the store.
    pub(crate) feed_pages_read: Counter,
}

/// A number that is counted up from any thread.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Stats {
    /// All counters in the shape that CouchDB gives them.
    pub(crate) fn to_json(&self) -> Value {
        let counter = |counter: &Counter, desc: &str| json!({"value": counter.get(), "type": "counter", "desc": desc});
        json!({"couchdb": {
            "commits": counter(&self.commits, "number of durable commits for requests"),
            "housekeeping_commits":
                counter(&self.housekeeping_commits, "number of commits of compaction and removal"),
            "database_writes": counter(&self.writes, "number of writes asked for"),
            "document_writes": counter(&self.document_writes, "number of revisions stored"),
            "httpd": {
                "requests": counter(&self.requests, "number of HTTP requests"),
                "feeds": counter(&self.feeds, "number of _changes feeds opened"),
                "feed_looks":
                    counter(&self.feed_looks, "number of times that feeds looked for changes"),
                "feed_rows_recent":
                    counter(&self.feed_rows_recent, "number of feed rows served from memory"),
                "feed_pages_read":
                    counter(&self.feed_pages_read, "number of feed pages read from the store"),
            },
        }})
    }
}
