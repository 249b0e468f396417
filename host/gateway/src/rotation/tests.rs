//! Regions that rotate each second, on real stores.

mod care;
mod size;

use std::collections::BTreeSet;

use blitz_contract::{Limits, Retry};
use blitz_couchdb::{AllDocs, Database, REPLICATOR};
use blitz_jobs::cluster::{Cluster, Clusters};
use blitz_jobs::id::DocumentId;
use blitz_jobs::region::Rotation;
use blitz_jobs::run::RunDocument;
use blitz_jobs::setup;
use blitz_jobs::spec::{Spec, SpecKind};
use blitz_jobs::topology::plan;
use blitz_jobs::{JobId, Run};
use serde_json::Value;
use tokio_util::sync::DropGuard;

use super::*;
use crate::embedded::{Server, until};

fn start(operators: Operators) -> DropGuard {
    let stop = CancellationToken::new();
    let rotator = Rotator {
        operators,
        timing: Timing::faster(20),
        name: "g".to_owned(),
        incarnation: Incarnation::from_random([7; 16]),
    };
    tokio::spawn(rotate(rotator, stop.clone()));
    stop.drop_guard()
}

async fn put<T: serde::Serialize>(database: &Database, id: &str, body: &T) {
    let over = database.get::<Value>(id).await.unwrap().map(|found| found.revision);
    let put = database.put(id, over.as_ref(), body, PutOptions::default()).await.unwrap();
    assert!(matches!(put, Put::Created(_)), "{id}: {put:?}");
}

async fn region(store: &Client) -> Region {
    let control = store.database(CONTROL);
    control.get("region:japan").await.unwrap().expect("the region").body
}

/// Writes a job into a database, without a run.
async fn submit(store: &Client, n: u32) -> JobId {
    let job = JobId::new("japan", n);
    let spec = Spec {
        kind: SpecKind::Spec,
        blitz: blitz_jobs::BUILD.to_owned(),
        job: job.clone(),
        run: "r".to_owned(),
        tasks: vec![job.clone()],
        plugin: "p".to_owned(),
        version: "0.1.0".to_owned(),
        sha256: "abc".to_owned(),
        home_epoch: 1,
        args: Vec::new(),
        retry: Retry::Safe,
        limits: Limits::default(),
        timeout_ms: 60_000,
        queue_timeout_ms: 10_000,
        tenant: None,
        terms: Default::default(),
        sealed: Vec::new(),
        inputs: Vec::new(),
        created_at_ms: 0,
    };
    let id = DocumentId::Spec(job.clone()).to_string();
    put(&store.database(&job.jobs_database()), &id, &spec).await;
    job
}

async fn end(store: &Client, job: &JobId) {
    let run = RunDocument::new(Run::Expired { reason: "for the test".to_owned() });
    let id = DocumentId::Run(job.clone()).to_string();
    put(&store.database(&job.jobs_database()), &id, &run).await;
}

async fn has(store: &Client, name: &str) -> bool {
    store.databases().await.unwrap().iter().any(|known| known == name)
}

/// A region with its home in "tokyo" and a hub in "virginia".
struct Two {
    home: Server,
    hub: Server,
    operators: Operators,
}

impl Two {
    /// `near` is one of them.
    async fn new(near: &str) -> Self {
        let (home, hub) = (Server::start().await, Server::start().await);
        let mut clusters = BTreeMap::new();
        for (name, server) in [("tokyo", &home), ("virginia", &hub)] {
            let uuid = server.client.server().await.unwrap().uuid;
            clusters.insert(name, Cluster::new(name, &server.url(), uuid).unwrap());
        }
        let begun = Region {
            home: Some("tokyo".to_owned()),
            hubs: vec!["virginia".to_owned()],
            rotation: Some(SECONDS),
            ..Region::new("japan").unwrap()
        };
        for server in [&home, &hub] {
            let control = server.client.database(CONTROL);
            control.create().await.unwrap();
            if server.address == home.address {
                for cluster in clusters.values() {
                    put(&control, &cluster.document_id(), cluster).await;
                }
                put(&control, &begun.document_id(), &begun).await;
            }
        }
        let mut clients = BTreeMap::from([
            ("tokyo".to_owned(), home.client.clone()),
            ("virginia".to_owned(), hub.client.clone()),
        ]);
        let names = clients.keys().cloned().collect();
        let client = clients.remove(near).unwrap();
        let operators = Operators { clusters: Clusters::new(near, client, clients), names };
        let clusters: Vec<Cluster> = clusters.into_values().collect();
        setup::apply(&operators, &clusters, &plan(&clusters, &[begun])).await.unwrap();
        Self { home, hub, operators }
    }
}

const SECONDS: Rotation = Rotation { every_s: 1, keep_s: 1 };

#[tokio::test]
async fn a_store_alone_keeps_what_is_open_and_drops_what_is_old() {
    let server = Server::start().await;
    let store = &server.client;
    setup::install(store, &["japan"]).await.unwrap();
    let begun = Region { rotation: Some(SECONDS), ..region(store).await };
    put(&store.database(CONTROL), &begun.document_id(), &begun).await;
    let job = submit(store, 1).await;
    let clusters = Clusters::alone(store.clone());
    let _rotates = start(Operators { clusters, names: BTreeSet::from([String::new()]) });

    until("it goes on, and the open job keeps its database", async || {
        let region = region(store).await;
        assert!(has(store, &format!("blitz-jobs-japan-{}", region.current)).await, "{region:?}");
        assert!(region.open.contains(&1), "{region:?}");
        // The second has gone by then.
        region.current >= 5 && !has(store, "blitz-out-japan-2").await
    })
    .await;
    let new = store.database("blitz-jobs-japan-5");
    assert!(new.get::<Value>(blitz_jobs::design::JOBS_DESIGN).await.unwrap().is_some());
    assert!(has(store, "blitz-jobs-japan-1").await);

    end(store, &job).await;
    until("the first goes, too", async || {
        !has(store, "blitz-jobs-japan-1").await && !has(store, "blitz-out-japan-1").await
    })
    .await;
    assert!(!region(store).await.open.contains(&1));
}

#[tokio::test]
async fn a_region_with_a_hub_has_its_databases_there_too_and_waits_for_its_jobs() {
    let Two { home, hub, operators } = Two::new("tokyo").await;
    let servers = [&home, &hub];
    // Of this job only the hub knows: what a gateway wrote while the home was away, and no replication brings it.
    let job = JobId::new("japan", 1);
    let odd = serde_json::json!({"kind": "run", "run": {"state": "open"}});
    let id = DocumentId::Run(job.clone()).to_string();
    put(&hub.client.database("blitz-jobs-japan-1"), &id, &odd).await;
    let _rotates = start(operators);

    until("it goes on", async || {
        let region = region(&home.client).await;
        assert!(region.open.contains(&1), "{region:?}");
        region.current >= 3 && has(&hub.client, "blitz-jobs-japan-3").await
    })
    .await;
    let replications = async |database: &str| {
        let ids = read::range(format!("blitz:{database}:"), format!("blitz:{database};"));
        let ids = AllDocs { include_docs: false, ..ids };
        home.client.database(REPLICATOR).all_docs::<Value>(&ids).await.unwrap().rows.len()
    };
    assert_eq!(replications("blitz-jobs-japan-3").await, 2);

    end(&hub.client, &job).await;
    until("it is dropped on both, with its replications", async || {
        let mut left = 0;
        for server in servers {
            for name in ["blitz-jobs-japan-1", "blitz-out-japan-1"] {
                left += usize::from(has(&server.client, name).await);
                left += replications(name).await;
            }
        }
        left == 0
    })
    .await;
}
