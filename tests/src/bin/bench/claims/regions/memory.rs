//! What three regions with ten engines each need on one machine: stores, gateways and engines as processes of the
//! program, as they ship, each page counted once (PSS).

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use blitz_contract::Manifest;
use blitz_couchdb::AllDocs;
use blitz_jobs::engine::EngineDocument;
use blitz_jobs::region::engines_database;
use blitz_tests::{Api, FIXTURE, FIXTURE_MANIFEST, Home};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use super::{Clusters, PLACES};
use crate::sample::say;

/// Engines of a region.
const ENGINES: usize = 10;

/// Jobs of each region before the second look.
const JOBS: usize = 20;

/// After the last start, for what is done once.
const SETTLE: Duration = Duration::from_secs(5);

/// Many processes start on few processors.
const READY_MAX: Duration = Duration::from_secs(300);

pub(super) async fn measure() {
    let clusters = Clusters::start().await;
    let manifest = Manifest::from_toml(FIXTURE_MANIFEST).expect("the fixture's manifest");
    let first = clusters.client(PLACES[0].0);
    blitz_jobs::plugin::publish(first, manifest, FIXTURE).await.expect("published");
    let carrier = std::env::current_exe().expect("the path of this program");
    let home = Home::new(&carrier);
    let (mut gateways, mut engines, mut apis) = (Vec::new(), Vec::new(), Vec::new());
    for (cluster, _) in PLACES {
        let (gateway, api) = start_gateway(&home, &clusters.urls[cluster], cluster).await;
        gateways.push(gateway);
        apis.push(api);
    }
    for (cluster, region) in PLACES {
        let url = &clusters.urls[cluster];
        for number in 0..ENGINES {
            engines.push(start_engine(&home, url, cluster, region, number));
            // The first one compiles for all.
            let are_ready = engines.len() > 1 && number + 1 < ENGINES;
            if !are_ready {
                ready(&clusters, cluster, region, number + 1).await;
            }
        }
    }
    tokio::time::sleep(SETTLE).await;
    let stores: Vec<u32> = clusters.served.iter().filter_map(|served| served.pid()).collect();
    let gateways: Vec<u32> = gateways.iter().filter_map(Child::id).collect();
    let pids: Vec<u32> = engines.iter().filter_map(Child::id).collect();
    say(&format!(
        "{:<52} {:>8} {:>8} {:>8} {:>8}",
        format!("memory of {} regions x {ENGINES} engines (PSS), MiB", PLACES.len()),
        "stores",
        "gateways",
        "engines",
        "all"
    ));
    let print = |name: &str| {
        let [stores, gateways, engines] = [&stores, &gateways, &pids].map(|pids| pss_mib(pids));
        let all = stores + gateways + engines;
        say(&format!(
            "{name:<52} {stores:>8.1} {gateways:>8.1} {engines:>8.1} {all:>8.1}   <= 1024"
        ));
    };
    print("at rest");
    for _ in 0..JOBS {
        for ((_, region), api) in PLACES.into_iter().zip(&apis) {
            let (_, end) = api.run(region, &["ticks", "10", "1"]).await;
            assert_eq!(end["state"], "done", "{end}");
        }
    }
    print(&format!("after {JOBS} jobs of each region"));
}

/// A gateway beside a cluster, as `blitz gateway` starts it.
async fn start_gateway(home: &Home, url: &str, cluster: &str) -> (Child, Api) {
    let args = ["gateway", "--store", url, "--cluster", cluster, "--listen", "127.0.0.1:0"];
    let mut command = home.command(&args);
    command.stderr(Stdio::inherit());
    let mut child = command.spawn().expect("the gateway starts");
    let mut said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut field = async |name: &str| loop {
        let line = said.next_line().await.expect("text").expect("the gateway says where it is");
        if let Some(value) = line.strip_prefix(name) {
            break value.trim().to_owned();
        }
    };
    let (address, token) = (field("gateway").await, field("token").await);
    (child, Api::new(&address, &token))
}

fn start_engine(home: &Home, url: &str, cluster: &str, region: &str, number: usize) -> Child {
    let (id, sha256) = (engine_id(region, number), blitz_jobs::plugin::sha256(FIXTURE));
    let args = [
        "engine",
        "--store",
        url,
        "--cluster",
        cluster,
        "--region",
        region,
        "--id",
        &id,
        "--trust",
        &sha256,
    ];
    let mut command = home.command(&args);
    command.stdout(Stdio::null()).stderr(Stdio::inherit());
    command.spawn().expect("the engine starts")
}

fn engine_id(region: &str, number: usize) -> String {
    format!("{region}-{number}")
}

/// Waits until so many engines of a region say that they can run the plugin.
async fn ready(clusters: &Clusters, cluster: &str, region: &str, count: usize) {
    let engines = clusters.client(cluster).database(&engines_database(region));
    let query = AllDocs {
        start: Some("engine:".to_owned()),
        end: Some("engine;".to_owned()),
        include_docs: true,
        ..AllDocs::default()
    };
    let limit = tokio::time::Instant::now() + READY_MAX;
    let are_ready = async || {
        let page = engines.all_docs::<EngineDocument>(&query).await.ok()?;
        let documents = page.rows.into_iter().filter_map(|row| row.doc);
        let is_fixture = |plugin: &String| plugin.starts_with("fixture@");
        let ready = documents.filter(|engine| engine.plugins.iter().any(is_fixture)).count();
        (ready >= count).then_some(())
    };
    while are_ready().await.is_none() {
        assert!(tokio::time::Instant::now() < limit, "{count} engines of {region} get ready");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The memory of these processes, a page that several share counted once.
fn pss_mib(pids: &[u32]) -> f64 {
    let kib = |pid: &u32| -> Option<f64> {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = std::fs::read_to_string(Path::new(&path)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().trim_end_matches("kB").trim().parse().ok()
    };
    pids.iter().filter_map(kib).sum::<f64>() / 1024.0
}
