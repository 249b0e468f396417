//! From a job that is given to a gateway, which can enter a hub only, to the first output from the region: two ways
//! over replication, held against the time that replication takes by itself in the same run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use blitz_contract::Manifest;
use blitz_couchdb::{Database, FollowOptions, LastingFeed, Put, PutOptions};
use blitz_engine::Trust;
use blitz_jobs::cluster::Clusters;
use blitz_jobs::region::{CONTROL, Region};
use blitz_jobs::sealing::RegionKeys;
use blitz_jobs::spec::{InputKind, InputPiece};
use blitz_jobs::timing::Timing;
use blitz_jobs::{DocumentId, JobId};
use blitz_runtime::{ChildProgram, Rates, Runtime, RuntimeConfig, TargetPolicy};
use blitz_tests::{Api, FIXTURE, FIXTURE_MANIFEST, until};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Clusters as Stores;
use crate::sample::{Sample, say};

/// Jobs, and probes of each way between them.
const JOBS: usize = 100;

/// What comes on top of the two ways: a claim, a plugin's start, the writes of both.
const BEYOND: Duration = Duration::from_millis(50);

/// The home of the region, and the hub at which users come in.
const HOME: &str = "tokyo";
const HUB: &str = "virginia";
const REGION: &str = "japan";

const TOKEN: &str = "token-of-a-bench";

/// A document that takes longer from cluster to cluster has not been carried.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn measure() {
    let stores = Stores::start().await;
    let region = Region::new(REGION).expect("a name");
    let jobs = region.jobs_databases().next().expect("one database");
    let mut towards = Way::new(&stores, &jobs, HUB, HOME);
    let mut away = Way::new(&stores, &jobs, HOME, HUB);
    let stop = CancellationToken::new();
    let api = serve(&stores, &stop).await;

    let (mut lags, mut firsts) = (Sample::default(), Sample::default());
    // The first ones open connections.
    for number in 0..=JOBS {
        let (there, back) = (towards.probe().await, away.probe().await);
        let first = first_output(&api).await;
        if number > 0 {
            lags.add(there);
            lags.add(back);
            firsts.add(first);
        }
    }
    stop.cancel();

    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    say(&format!(
        "{:<52} {:>4} {:>8} {:>8} {:>8}   aim",
        "a region behind replication alone, ms", "n", "p50", "p99", "max"
    ));
    let row = |name: &str, sample: &Sample, aim: String| {
        let [p50, p99, max] = [50, 99, 100].map(|percent| ms(sample.percentile(percent)));
        say(&format!("{name:<52} {:>4} {p50:>8.2} {p99:>8.2} {max:>8.2}   {aim}", sample.len()));
    };
    row("replication lag: stored here, heard there", &lags, String::new());
    let most = |percent| ms(lags.percentile(percent) * 2 + BEYOND);
    let aim = format!("<= 2 x lag + {BEYOND:?}: p50 {:.2}, p99 {:.2}", most(50), most(99));
    row("submitted at a hub to first output from the region", &firsts, aim);
}

/// From a database at one cluster to the same at another.
struct Way {
    from: Database,
    heard: LastingFeed,
}

impl Way {
    fn new(stores: &Stores, database: &str, from: &str, to: &str) -> Self {
        let heard = stores.client(to).database(database).follow_for_ever(FollowOptions::default());
        Self { from: stores.client(from).database(database), heard }
    }

    /// How long one document takes that was stored at the near end: a piece of the input of a job that does not come,
    /// of a kind that goes both ways.
    async fn probe(&mut self) -> Duration {
        let id = DocumentId::Input(JobId::new(REGION, 1), 0).to_string();
        let (kind, blitz) = (InputKind::In, blitz_jobs::BUILD.to_owned());
        let piece = InputPiece { kind, blitz, base64: String::new() };
        let put = self.from.put(&id, None, &piece, PutOptions::default()).await;
        let stored = Instant::now();
        assert!(matches!(put, Ok(Put::Created(_))), "{id}: {put:?}");
        let arrives = async { while self.heard.next().await.id != id {} };
        tokio::time::timeout(LIMIT, arrives).await.expect("a document that is carried");
        stored.elapsed()
    }
}

/// A gateway that can enter the hub only, and an engine at home.
async fn serve(stores: &Stores, stop: &CancellationToken) -> Api {
    let manifest = Manifest::from_toml(FIXTURE_MANIFEST).expect("the fixture's manifest");
    let home = stores.client(HOME);
    blitz_jobs::plugin::publish(home, manifest, FIXTURE).await.expect("published");
    until("the hub knows the region", || async {
        stores.client(HUB).database(CONTROL).get::<Value>("region:japan").await.ok()?
    })
    .await;
    let runtime = Runtime::new(RuntimeConfig {
        cache_dir: Some(cache()),
        targets: TargetPolicy::any(),
        rates: Rates::UNLIMITED,
        child: Some(ChildProgram::this()),
        ..RuntimeConfig::default()
    });
    let mut trust = Trust::default();
    trust.digests.insert(blitz_jobs::plugin::sha256(FIXTURE));
    let engine = blitz_engine::Config {
        clusters: Clusters::new(HOME, home.clone(), BTreeMap::new()),
        region: REGION.to_owned(),
        id: "e1".to_owned(),
        slots: 4,
        runtime: runtime.expect("a runtime"),
        trust,
        region_keys: RegionKeys::default(),
        timing: Timing::default(),
        load_contact: String::new(),
        drain: Duration::ZERO,
        machine: None,
        imds: None,
    };
    tokio::spawn(blitz_engine::run(engine, stop.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let hub = Clusters::new(HUB, stores.client(HUB).clone(), BTreeMap::new());
    let gateway = blitz_gateway::Config::new(hub, TOKEN);
    tokio::spawn(blitz_gateway::run(listener, gateway, stop.clone()));
    let api = Api::new(&format!("http://{address}"), TOKEN);
    until("the gateway knows an engine that is ready", || async {
        let answer = api.try_raw("GET", "/healthz", &[], None).await.ok()?;
        answer.status().is_success().then_some(())?;
        let engines = api.get("/v1/engines").await;
        let plugins = engines["engines"].as_array()?.first()?["plugins"].as_array()?.len();
        (plugins > 0).then_some(())
    })
    .await;
    api
}

/// Compiled plugins: of all runs of this build.
fn cache() -> PathBuf {
    let beside = std::env::current_exe().expect("the path of this program");
    beside.with_file_name("compiled-plugins").join("blitz/compiled")
}

/// Submits a job and waits for the first that it says.
async fn first_output(api: &Api) -> Duration {
    let begun = Instant::now();
    let job = api.submit(REGION, &["ticks", "1", "0"]).await;
    let mut events = api.events(&job, None).await;
    let first = async {
        loop {
            let event = events.next().await.expect("an open stream");
            match event.kind.as_str() {
                "output" => return begun.elapsed(),
                "end" => panic!("the job ended without output: {}", event.data),
                _ => {}
            }
        }
    };
    let first = tokio::time::timeout(LIMIT, first).await.expect("a job that says something");
    // The next one meets nothing of it.
    while events.next().await.is_some() {}
    first
}
