//! The road of a job, timed from the outside: whole processes, real sockets, a store on disk.

use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use blitz_contract::Manifest;
use blitz_couchdb::{AllDocs, Client};
use blitz_jobs::plugin::COMPONENT;
use blitz_jobs::region::CONTROL;
use blitz_tests::web::ok;
use blitz_tests::{Api, FIXTURE, FIXTURE_MANIFEST, Home, Web};
use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::parts;
use crate::sample::{Sample, print_heads, say};
use crate::{capture, crowd, exchange};

/// Runs of each command that are counted, after some that are not.
const RUNS: usize = 60;
const WARM_UP: usize = 5;

/// Lines of the first-byte measurement, and the gap between them: longer than output waits for company.
const TICKS: usize = 40;
const TICK_GAP_MS: usize = 150;

pub(crate) fn run() -> ExitCode {
    parts::block_on(&mut tokio::runtime::Builder::new_multi_thread(), measure())
}

async fn measure() {
    let carrier: PathBuf = std::env::current_exe().expect("the path of this program");
    let home = Home::new(&carrier);
    let sha256 = blitz_jobs::plugin::sha256(FIXTURE);
    let up = home.up(&["--region", "local", "--trust", &sha256]).await;
    let state = state(&home);
    let store = store(&state);
    let manifest = Manifest::from_toml(FIXTURE_MANIFEST).expect("the fixture's manifest");
    blitz_jobs::plugin::publish(&store, manifest, FIXTURE).await.expect("published");
    let noop = ["run", "fixture", "-r", "local", "noop"];
    wait_until_ready(&home, &noop).await;

    print_heads();
    let mut floor = Sample::default();
    let mut warm = Sample::default();
    let before = counters(&state).await;
    for n in 0..WARM_UP + RUNS {
        let started = time(&home, &["version"]).await;
        let ran = time(&home, &noop).await;
        if n >= WARM_UP {
            floor.add(started);
            warm.add(ran);
        }
    }
    let after = counters(&state).await;
    floor.print("floor: start and end of the program (version)", "");
    warm.print("a job that does nothing, warm 'blitz up'", "p50 <= 15");
    first_bytes(&home).await.print("output: plugin's write to reader's pipe", "max <= 20");
    let curl = curl(&store).await;
    capture::measure(&home).await;
    up.kill().await;

    let url = Web::start(|_| ok("hello\n")).await.url("/");
    let cold = ["curl", "-r", "local", "-s", &url];
    let mut alone = Sample::default();
    for n in 0..WARM_UP + RUNS {
        let ran = time(&home, &cold).await;
        if n >= WARM_UP {
            alone.add(ran);
        }
    }
    alone.print("'blitz curl -r local' with nothing running", "p50 <= 150");

    let jobs = (WARM_UP + RUNS) as f64;
    say("");
    say(&format!("{:<52} {:>8}   aim", "on the way of one such job, counted", ""));
    let rows = [
        ("commits of the store", after.commits - before.commits, "<= 4"),
        ("requests to the store", after.store - before.store, ""),
        ("requests to the gateway", after.gateway - before.gateway, ""),
        ("requests together", after.store - before.store + after.gateway - before.gateway, "<= 8"),
    ];
    for (name, count, aim) in rows {
        say(&format!("{name:<52} {:>8.2}   {aim}", count / jobs));
    }
    exchange::measure(curl).await;
    crowd::measure(&Home::new(&carrier)).await;
}

/// The component of `curl`, as it was published.
async fn curl(store: &Client) -> Bytes {
    let database = store.database(CONTROL);
    let all = AllDocs { start: Some("plugin:curl:".into()), limit: Some(1), ..AllDocs::default() };
    let page = database.all_docs::<Value>(&all).await.expect("the control database");
    let id = &page.rows.first().expect("curl is published").id;
    database.attachment(id, COMPONENT).await.expect("the store").expect("its component")
}

/// What the state file of `blitz up` says.
pub(crate) fn state(home: &Home) -> Value {
    let path = home.path().join(".local/state/blitz/up.json");
    let text = std::fs::read_to_string(&path).expect("the state file of blitz up");
    serde_json::from_str(&text).expect("JSON")
}

pub(crate) fn text<'a>(state: &'a Value, key: &str) -> &'a str {
    state[key].as_str().unwrap_or_else(|| panic!("{key} in the state file"))
}

fn store(state: &Value) -> Client {
    let (name, password) = (text(state, "store_admin"), text(state, "store_password"));
    let url = text(state, "store").replace("http://", &format!("http://{name}:{password}@"));
    Client::new(&url).expect("the store's address")
}

/// What was counted so far, read without being counted itself.
struct Counters {
    commits: f64,
    store: f64,
    gateway: f64,
}

async fn counters(state: &Value) -> Counters {
    let api = Api::new(text(state, "gateway"), text(state, "token"));
    // The health check asks the store once; reading the store's counters is a request too.
    let health = api.get("/healthz").await;
    let (name, password) = (text(state, "store_admin"), text(state, "store_password"));
    let basic = base64(format!("{name}:{password}").as_bytes());
    let store = Api::new(text(state, "store"), "");
    let headers = [("authorization", format!("Basic {basic}"))];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let stats = store.json("GET", "/_node/_local/_stats", &headers).await;
    let number = |value: &Value| value.as_f64().expect("a counter");
    Counters {
        commits: number(&stats["couchdb"]["commits"]["value"]),
        store: number(&stats["couchdb"]["httpd"]["requests"]["value"]),
        gateway: number(&health["requests"]),
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The engine hears of the fixture on its feed, and compiles it.
async fn wait_until_ready(home: &Home, noop: &[&str]) {
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        let outcome = home.run(noop).await;
        if outcome.code == Some(0) {
            return;
        }
        assert!(Instant::now() < limit, "the fixture does not get ready: {outcome:?}");
    }
}

/// From the start of the process to its end.
async fn time(home: &Home, args: &[&str]) -> Duration {
    let mut command = home.command(args);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let begun = Instant::now();
    let status = command.status().await.expect("the program runs");
    let elapsed = begun.elapsed();
    assert!(status.success(), "blitz {args:?}: {status}");
    elapsed
}

/// The plugin prints the time of each write; the reader compares it with the time of its read. Both clocks are
/// this machine's.
async fn first_bytes(home: &Home) -> Sample {
    let (ticks, gap) = (TICKS.to_string(), TICK_GAP_MS.to_string());
    let mut command = home.command(&["run", "fixture", "-r", "local", "clock", &ticks, &gap]);
    let mut child = command.spawn().expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut sample = Sample::default();
    while let Ok(Some(line)) = lines.next_line().await {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wrote = Duration::from_micros(line.parse().expect("microseconds since 1970"));
        sample.add(now.saturating_sub(wrote));
    }
    child.wait().await.expect("its status");
    sample
}
