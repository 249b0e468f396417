//! One region on an embedded store of its own: its address, its documents, its counters.

use std::time::Duration;

use blitz_contract::{Limits, Retry};
use blitz_couchdb::{Client, Database, Put, PutOptions};
use blitz_jobs::id::DocumentId;
use blitz_jobs::region::Region;
use blitz_jobs::spec::{SpecKind, Terms};
use blitz_jobs::{JobId, Spec};
use blitz_tests::Api;
use serde_json::Value;
use tempfile::TempDir;

use crate::store::server::{Served, scratch};

/// The region's name.
pub(crate) const REGION: &str = "claims";

/// The digest of a plugin that every contender says it can run.
pub(crate) const PLUGIN: &str = "plugin-of-a-bench";

/// The first argument of a job whose first engine never ends it.
pub(crate) const HOLD: &str = "hold";

/// Nothing here takes as long.
const JOB_TIMEOUT: Duration = Duration::from_secs(3600);

/// The region and its store.
pub(crate) struct Site {
    served: Option<Served>,
    address: String,
    directory: TempDir,
    /// A client of the bench itself.
    pub(crate) client: Client,
    pub(crate) region: Region,
}

/// What the store has counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counters {
    pub(crate) requests: f64,
    /// Writes that were asked for, and those that were stored: the rest was refused.
    pub(crate) writes: f64,
    pub(crate) stored: f64,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let directory = TempDir::new_in(scratch()).expect("a directory");
        let served = Served::start(directory.path()).await;
        let address = served.address.clone();
        let client = client(&address);
        blitz_jobs::setup::install(&client, &[REGION]).await.expect("the region's databases");
        let region = Region::new(REGION).expect("a name");
        Self { served: Some(served), address, directory, client, region }
    }

    /// A client with connections of its own, as another process would have.
    pub(crate) fn client(&self) -> Client {
        client(&self.address)
    }

    /// The address of the store.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The region's only database of jobs.
    pub(crate) fn jobs(&self, client: &Client) -> Database {
        client.database(&self.region.jobs_databases().next().expect("one database"))
    }

    /// Stores a new job; the store has acknowledged it when this returns.
    pub(crate) async fn submit(&self, words: &[&str]) -> JobId {
        let spec = spec(words);
        let id = DocumentId::Spec(spec.job.clone()).to_string();
        let put = self.jobs(&self.client).put(&id, None, &spec, PutOptions::default()).await;
        assert!(matches!(put, Ok(Put::Created(_))), "the job was not stored: {put:?}");
        spec.job
    }

    /// Ends the store as a loss of power would.
    pub(crate) async fn kill(&mut self) {
        self.served.take().expect("a store that runs").kill().await;
    }

    /// Starts it again where it was.
    pub(crate) async fn start_again(&mut self) {
        self.served = Some(Served::start_at(self.directory.path(), &self.address).await);
    }

    /// The store's process.
    pub(crate) fn served(&self) -> &Served {
        self.served.as_ref().expect("a store that runs")
    }

    /// The counters; reading them is a request that they count.
    pub(crate) async fn counters(&self) -> Counters {
        let stats = Api::new(&self.url(), "").json("GET", "/_node/_local/_stats", &[]).await;
        let couchdb = &stats["couchdb"];
        let number = |value: &Value| value["value"].as_f64().expect("a counter");
        Counters {
            requests: number(&couchdb["httpd"]["requests"]),
            writes: number(&couchdb["database_writes"]),
            stored: number(&couchdb["document_writes"]),
        }
    }
}

fn client(address: &str) -> Client {
    Client::new(format!("http://{address}")).expect("the store's address")
}

/// A job of the region with these arguments.
fn spec(words: &[&str]) -> Spec {
    let job = JobId::new(REGION, 1);
    let timeout_ms = u64::try_from(JOB_TIMEOUT.as_millis()).expect("few");
    Spec {
        kind: SpecKind::Spec,
        blitz: blitz_jobs::BUILD.to_owned(),
        run: job.to_string(),
        tasks: vec![job.clone()],
        job,
        plugin: "bench".to_owned(),
        version: "0.1.0".to_owned(),
        sha256: PLUGIN.to_owned(),
        args: words.iter().map(|&word| word.to_owned()).collect(),
        retry: Retry::Safe,
        limits: Limits::default(),
        timeout_ms,
        queue_timeout_ms: timeout_ms,
        tenant: None,
        terms: Terms::default(),
        sealed: Vec::new(),
        inputs: Vec::new(),
        home_epoch: 1,
        created_at_ms: 0,
    }
}
