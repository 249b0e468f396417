//! The drivers of this crate on a real store: what they tell, write and remove.
//!
//! The embedded store, or the Apache CouchDB whose address `BLITZ_TEST_COUCHDB` gives (as an administrator:
//! `http://NAME:PASSWORD@HOST:PORT`). There the tests make and drop databases of the regions "japan" and "oregon", and
//! run one after the other.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as the tests do")]

mod accounts;
mod claims;
mod duties;
mod feeds;
mod meeting;
mod rotation;
mod regions;
mod views;

use std::time::Duration;

use blitz_couchdb::{Client, Database, Put, PutOptions, Revision};
use blitz_embedded::{Admin, Options, Storage, Store, serve};
use blitz_jobs::id::DocumentId;
use blitz_jobs::run::{Claim, RunDocument};
use blitz_jobs::{Incarnation, JobId, Run};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Everything here takes milliseconds; a machine that is very busy may need longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store with one empty jobs database.
struct World {
    /// With name and password.
    url: String,
    client: Client,
    jobs: Database,
    _store: Held,
}

/// What lasts as long as a world.
enum Held {
    /// The embedded store, which stops when this is dropped.
    Embedded { _stop: DropGuard },
    /// The only one who uses the shared server.
    Shared { _alone: MutexGuard<'static, ()> },
}

/// One test at a time has the shared server.
static SHARED: Mutex<()> = Mutex::const_new(());

impl World {
    async fn new() -> Self {
        let (url, store) = match std::env::var("BLITZ_TEST_COUCHDB") {
            Ok(url) => {
                let _alone = SHARED.lock().await;
                (url, Held::Shared { _alone })
            }
            Err(_) => Self::embedded().await,
        };
        let client = Client::new(&url).unwrap();
        let jobs = client.database("blitz-jobs-japan-1");
        for database in [&jobs, &client.database("blitz-beats-japan")] {
            database.drop().await.unwrap();
        }
        jobs.create().await.unwrap();
        Self { url, client, jobs, _store: store }
    }

    async fn embedded() -> (String, Held) {
        let (name, password) = ("a".to_owned(), "b".to_owned());
        let options = Options { admins: vec![Admin { name, password }], ..Options::default() };
        let store = Store::open(Storage::Memory, options).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(serve(store, listener, stop.clone()));
        (format!("http://a:b@{address}"), Held::Embedded { _stop: stop.drop_guard() })
    }

    /// Writes a document as it is.
    async fn put(&self, id: &DocumentId, over: Option<&Revision>, body: &Value) -> Revision {
        let id = id.to_string();
        let put = self.jobs.put(&id, over, body, PutOptions::default()).await;
        let Put::Created(revision) = put.unwrap() else { panic!("{id} is there") };
        revision
    }

    async fn put_spec(&self, job: &JobId) {
        self.put(&DocumentId::Spec(job.clone()), None, &spec(job)).await;
    }

    async fn put_run(&self, job: &JobId, run: &Run) -> Revision {
        let body = serde_json::to_value(RunDocument::new(run.clone())).unwrap();
        self.put(&DocumentId::Run(job.clone()), None, &body).await
    }

    /// Stores leaves of a run beside each other, as a cluster does that was in two parts.
    async fn put_leaves(&self, job: &JobId, leaves: &[(&str, Value)]) {
        let id = DocumentId::Run(job.clone()).to_string();
        let leaves: Vec<Box<RawValue>> = leaves
            .iter()
            .map(|(revision, body)| {
                let mut body = body.clone();
                body["_id"] = id.clone().into();
                body["_rev"] = (*revision).into();
                serde_json::value::to_raw_value(&body).unwrap()
            })
            .collect();
        assert!(self.jobs.merge(&leaves).await.unwrap().is_empty());
    }
}

fn body(run: &Run) -> Value {
    serde_json::to_value(RunDocument::new(run.clone())).unwrap()
}

fn spec(job: &JobId) -> Value {
    json!({"kind": "spec", "blitz": "0", "job": job, "run": "r", "tasks": [job], "plugin": "p",
        "version": "1.0.0", "sha256": "abc", "args": [], "retry": "safe", "timeout_ms": 60_000,
        "queue_timeout_ms": 10_000, "created_at_ms": 0})
}

fn claim(byte: u8) -> Claim {
    Claim::first(1, &format!("e{byte}"), Incarnation::from_random([byte; 16]))
}

fn claimed(byte: u8) -> Run {
    Run::Claimed { claim: claim(byte) }
}

fn lost(byte: u8) -> Run {
    Run::Lost { claim: Some(claim(byte)), reason: "no beat".to_owned(), begun: true }
}

/// A revision of this generation whose hash is one letter, again and again.
fn revision(generation: u32, letter: &str) -> String {
    format!("{generation}-{}", letter.repeat(32))
}
