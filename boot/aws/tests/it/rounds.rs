//! Rounds of a fleet whose machines are instances of EC2: with a store, and a server that answers as AWS and has no machines
//! behind its instances, so that the story writes what their engines would.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails at once")]

use std::time::{Duration, Instant};

use blitz_boot::ec2::Ec2;
use blitz_boot_core::fleet::FleetRegion;
use blitz_boot_core::instance::{Instance, InstanceState, TAG_ORPHAN};
use blitz_boot_core::provider::Provider as _;
use blitz_boot_core::reconcile::Rules;
use blitz_boot_core::round::{self, Duties, Report};
use blitz_couchdb::{AllDocs, Client, Put, PutOptions};
use blitz_embedded::{Options, Storage, Store};
use blitz_jobs::Incarnation;
use blitz_jobs::accounts::AUDIT;
use blitz_jobs::clock::now_ms;
use blitz_jobs::engine::EngineDocument;
use blitz_jobs::region::engines_database;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::fleets::{access, fleet, provider};
use crate::moto::{self, Moto};

const PLACE: &str = "eu-west-1";
const REGION: &str = "at-eu-west-1";
const FLEET: &str = "rounds";

/// What comes of rounds comes within this time, also on a busy machine: the longest pause is that after boots that failed.
const LIMIT: Duration = Duration::from_secs(60);

/// A fleet of one spot machine that is always wanted, and has a second to register.
struct Lab {
    moto: &'static Moto,
    store: Client,
    ec2: Ec2,
    region: FleetRegion,
}

impl Lab {
    async fn new(moto: &'static Moto) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let store = Store::open(Storage::Memory, Options::default()).unwrap();
        tokio::spawn(blitz_embedded::serve(store, listener, CancellationToken::new()));
        let store = Client::new(&url).unwrap();
        blitz_jobs::setup::install(&store, &[REGION]).await.unwrap();
        let ec2 = provider(&access(&moto.url(), &moto.operator), FLEET, PLACE).await;
        let region = fleet(FLEET, &[PLACE]).regions.remove(0);
        let region = FleetRegion { min: 1, max: 2, spot: true, registration_s: 1, ..region };
        Self { moto, store, ec2, region }
    }

    async fn round(&self) -> Report {
        let rules = Rules::faster(1000);
        let duties = Duties { reconciles: true, scales: true, is_dry: false, rules };
        let place = (FLEET, &self.region);
        let report = round::go(&self.ec2, &self.store, place, &duties, now_ms()).await.unwrap();
        assert!(report.failed.is_empty() && report.loud.is_empty(), "{report:?}");
        report
    }

    /// Goes rounds until something can be seen.
    async fn rounds_until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            let last = self.round().await;
            if let Some(seen) = look().await {
                return seen;
            }
            assert!(begun.elapsed() < LIMIT, "waited {LIMIT:?} for {what}: {last:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn alive(&self) -> Vec<Instance> {
        let listed = self.ec2.list().await.unwrap().into_iter();
        listed.filter(|one| one.state.is_alive()).collect()
    }

    /// Writes what the engine on a machine writes: that it is there, or that it goes.
    async fn says(&self, instance: &Instance, gone: bool) {
        let incarnation = Incarnation::from_random([7; 16]);
        let document = EngineDocument {
            counter: if gone { 2 } else { 1 },
            leaving: gone,
            gone,
            ..EngineDocument::new(&instance.id.0, incarnation, REGION, 1)
        };
        let engines = self.store.database(&engines_database(REGION));
        let id = EngineDocument::document_id(&instance.id.0);
        let over = engines.get::<Value>(&id).await.unwrap().map(|found| found.revision);
        let put = engines.put(&id, over.as_ref(), &document, PutOptions::default()).await.unwrap();
        assert_ne!(put, Put::Conflict, "nobody else writes it");
    }

    async fn has_document(&self, instance: &Instance) -> bool {
        let engines = self.store.database(&engines_database(REGION));
        let id = EngineDocument::document_id(&instance.id.0);
        engines.get::<Value>(&id).await.unwrap().is_some()
    }

    async fn told(&self) -> Vec<String> {
        let query = AllDocs { include_docs: true, ..AllDocs::default() };
        let page = self.store.database(AUDIT).all_docs::<Value>(&query).await.unwrap();
        let documents = page.rows.into_iter().filter_map(|row| row.doc);
        documents.filter_map(|doc| Some(doc["deed"]["action"].as_str()?.to_owned())).collect()
    }
}

#[tokio::test]
async fn an_instance_that_is_taken_back_is_replaced_and_one_without_an_engine_is_ended() {
    let Some(moto) = moto::open() else { return };
    let lab = Lab::new(moto).await;
    let report = lab.round().await;
    assert!(report.done.iter().any(|line| line.starts_with("launch 1 ")), "{report:?}");
    let first = lab.alive().await.remove(0);
    assert!(first.is_spot, "{first:?}");
    lab.says(&first, false).await;
    lab.round().await;
    assert_eq!(lab.alive().await.len(), 1, "there is one, and one is wanted");

    // A notice of two minutes, in which its engine drains; then AWS ends it.
    lab.says(&first, true).await;
    let ends = [("Action", "TerminateInstances"), ("InstanceId.1", &first.id.0)];
    lab.moto.ask("ec2", PLACE, &ends);
    let second = lab
        .rounds_until("another in its place", async || {
            let alive = lab.alive().await;
            (alive.len() == 1 && !lab.has_document(&first).await).then(|| alive[0].clone())
        })
        .await;
    assert_ne!(second.id, first.id);

    // On that one no engine ever registers, nor on the one that is launched as soon as it counts as lost.
    lab.rounds_until("the end of both", async || lab.alive().await.is_empty().then_some(())).await;
    let listed = lab.ec2.list().await.unwrap();
    let ended = listed.iter().find(|one| one.id == second.id).unwrap();
    assert_eq!(ended.state, InstanceState::Gone);
    assert!(ended.tag(TAG_ORPHAN).is_some(), "it was marked before: {ended:?}");
    let report = lab.round().await;
    let reasons = report.decision.unwrap().reasons.join("; ");
    let mut others = listed.iter().filter(|one| one.id != first.id);
    let names = |one: &Instance| reasons.contains(&format!("look at the log of {}", one.id));
    assert!(others.any(names), "{reasons}");
    assert_eq!(lab.alive().await.len(), 0, "what failed is not repeated at once");
    let told = lab.told().await;
    for action in ["fleet.launch", "fleet.remove-document", "fleet.mark", "fleet.terminate"] {
        assert!(told.iter().any(|one| one == action), "{action} is in the audit: {told:?}");
    }
}
