//! What engines cost that have nothing to do: processes of `blitz engine` with one plugin, as they ship.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use blitz_contract::Manifest;
use blitz_couchdb::AllDocs;
use blitz_jobs::engine::EngineDocument;
use blitz_tests::{FIXTURE, FIXTURE_MANIFEST, Home, until};
use tokio::process::Child;

use super::site::{REGION, Site};
use crate::sample::say;
use crate::store::server::{cpu, resident_kib};

/// Processes: more of them would measure this machine's memory.
const ENGINES: u32 = 20;

/// How long they are watched: each rewrites its own document once a minute.
const WATCHED: Duration = Duration::from_secs(120);

/// After their start, for what is done once.
const SETTLE: Duration = Duration::from_secs(5);

pub(crate) async fn measure() {
    let site = Site::start().await;
    let manifest = Manifest::from_toml(FIXTURE_MANIFEST).expect("the fixture's manifest");
    blitz_jobs::plugin::publish(&site.client, manifest, FIXTURE).await.expect("published");
    let carrier: PathBuf = std::env::current_exe().expect("the path of this program");
    let home = Home::new(&carrier);
    let mut engines: Vec<Child> = Vec::new();
    for number in 0..ENGINES {
        engines.push(start(&home, &site, number));
    }
    until("all engines with their plugin", || ready(&site)).await;
    tokio::time::sleep(SETTLE).await;

    let pids: Vec<u32> = engines.iter().filter_map(Child::id).collect();
    let spent = || pids.iter().filter_map(|pid| cpu(*pid)).sum::<Duration>();
    let (begun, before) = (Instant::now(), site.counters().await);
    let (engines_before, store_before) = (spent(), site.served().cpu());
    tokio::time::sleep(WATCHED).await;
    let (engines_after, store_after) = (spent(), site.served().cpu());
    let after = site.counters().await;
    let minutes = begun.elapsed().as_secs_f64() / 60.0;

    let each = |total: f64| total / minutes / f64::from(ENGINES);
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    let resident: f64 = pids.iter().filter_map(|pid| resident_kib(*pid)).sum();
    say(&format!(
        "{ENGINES} idle processes of 'blitz engine', {minutes:.1} minutes; each, a minute"
    ));
    let rows = [
        ("the engine's CPU, ms", each(ms(engines_after.saturating_sub(engines_before)))),
        ("the store's CPU for it, ms", each(ms(store_after.saturating_sub(store_before)))),
        // One of them is ours: the counters were read.
        ("its requests to the store", each(after.requests - before.requests - 1.0)),
        ("writes among them", each(after.writes - before.writes)),
        ("memory of the engine (resident), MiB", resident / 1024.0 / f64::from(ENGINES)),
    ];
    for (name, value) in rows {
        say(&format!("{name:<52} {value:>8.2}"));
    }
    for mut engine in engines {
        engine.kill().await.expect("ended");
    }
}

fn start(home: &Home, site: &Site, number: u32) -> Child {
    let (url, id) = (site.url(), format!("idle-{number}"));
    let sha256 = blitz_jobs::plugin::sha256(FIXTURE);
    let args = ["engine", "--store", &url, "--region", REGION, "--id", &id, "--trust", &sha256];
    let mut command = home.command(&args);
    command.stdout(Stdio::null()).stderr(Stdio::inherit());
    command.spawn().expect("the engine starts")
}

/// Whether all engines say that they can run the plugin.
async fn ready(site: &Site) -> Option<()> {
    let database = site.client.database(&site.region.engines_database());
    let query = AllDocs { include_docs: true, ..AllDocs::default() };
    let page = database.all_docs::<EngineDocument>(&query).await.ok()?;
    let documents = page.rows.into_iter().filter_map(|row| row.doc);
    let ready = documents.filter(|engine| !engine.plugins.is_empty()).count();
    (u32::try_from(ready) == Ok(ENGINES)).then_some(())
}
