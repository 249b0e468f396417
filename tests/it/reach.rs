//! A gateway among clusters that come and go: where it writes, what it says meanwhile, and what it takes for its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use blitz_couchdb::Client;
use blitz_jobs::cluster::Clusters;
use blitz_jobs::region::Region;
use blitz_jobs::timing::Timing;
use blitz_jobs::{DocumentId, JobId};
use blitz_tests::api::stream;
use blitz_tests::proxy::{Mode, Proxy};
use blitz_tests::regions::{Cut, REPLICATORS, World};
use blitz_tests::{Api, Home, until};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// The token of a gateway that a story starts itself.
const TOKEN: &str = "token-of-a-test";

/// Durations of the protocol, so many times as short as they are.
const FASTER: u32 = 5;

/// Japan has its home in Tokyo, Virginia is a hub of it.
async fn two_clusters() -> World {
    let plan = World::new().cluster("tokyo").cluster("virginia");
    plan.region("japan", "tokyo", &["virginia"]).start().await
}

/// A job that lives as long as a story may take.
fn request(args: &[&str]) -> Value {
    json!({"plugin": "fixture", "args": args, "regions": ["japan"], "queue_timeout_ms": 120_000,
        "timeout_ms": 240_000})
}

async fn submit(api: &Api, args: &[&str]) -> JobId {
    api.submit_with(request(args)).await.parse().expect("a job's id")
}

/// A gateway beside Virginia with ways of its own; it may not serve yet when this returns.
async fn gateway(near: &str, tokyo: &str) -> (Api, AbortOnDropHandle<()>) {
    let client = |url: &str| Client::new(url).expect("an address");
    let others = BTreeMap::from([("tokyo".to_owned(), client(tokyo))]);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let config = blitz_gateway::Config {
        timing: Timing::faster(FASTER),
        ..blitz_gateway::Config::new(Clusters::new("virginia", client(near), others), TOKEN)
    };
    let serves = async move {
        let serves = blitz_gateway::run(listener, config, CancellationToken::new());
        serves.await.expect("a gateway that serves");
    };
    let task = AbortOnDropHandle::new(tokio::spawn(serves));
    (Api::new(&format!("http://{address}"), TOKEN), task)
}

/// The only revision of a job's document at a cluster, once it is there.
async fn revision(world: &World, cluster: &str, id: &DocumentId, job: &JobId) -> String {
    let jobs = world.jobs_at(cluster, job);
    let leaves = until(&format!("{id} at {cluster}"), || async {
        let leaves = jobs.leaves::<Value>(&id.to_string(), None).await.ok()?;
        (!leaves.is_empty()).then_some(leaves)
    })
    .await;
    assert_eq!(leaves.len(), 1, "{id} at {cluster} has no conflict");
    leaves[0].revision.to_string()
}

#[tokio::test]
async fn a_job_is_written_in_two_clusters_and_is_one_job_when_they_meet() {
    let world = two_clusters().await;
    let far = world.gateway("g1", "virginia", &["tokyo"]).await;
    // Neither cluster hears of the other: what both have, both were given.
    world.cut(REPLICATORS, "virginia");
    let text = "x".repeat(700_000);
    let mut request = request(&["cat"]);
    request["inputs"] = json!([{"name": "-", "base64": base64(text.as_bytes())}]);
    let job: JobId = far.api.submit_with(request).await.parse().expect("a job's id");
    let ids = [DocumentId::Spec(job.clone()), DocumentId::Input(job.clone(), 1)];
    for id in &ids {
        let one = revision(&world, "tokyo", id, &job).await;
        assert_eq!(one, revision(&world, "virginia", id, &job).await, "{id}");
    }
    world.heal(REPLICATORS, "virginia");
    let _engine = world.engine("japan", "e1", "tokyo", &[]).await;
    let events = far.api.follow(job.as_str()).await;
    assert_eq!(stream(&events, "stdout").len(), text.len());
    world.agreed_end(&["tokyo", "virginia"], &job).await;
    for id in &ids {
        for cluster in ["tokyo", "virginia"] {
            revision(&world, cluster, id, &job).await;
        }
    }
}

#[tokio::test]
async fn a_home_that_takes_a_job_and_cannot_say_so_has_it_once() {
    let world = two_clusters().await;
    let home = Proxy::start(world.cluster("tokyo").address).await.expect("a free port");
    let near = world.url("g1", "virginia").await;
    let (api, _gateway) = gateway(&near, &format!("http://{}", home.address)).await;
    until("a gateway that serves", || async {
        let answer = api.try_raw("GET", "/v1/plugins/fixture", &[], None).await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    // The gateway knows by it how many copies there are, and writes to both clusters at once from then on.
    submit(&api, &["noop"]).await;
    home.set(Mode::Deaf);
    let job = submit(&api, &["echo", "once"]).await;
    home.set(Mode::Open);
    let _engine = world.engine("japan", "e1", "tokyo", &[]).await;
    let events = api.follow(job.as_str()).await;
    assert_eq!(stream(&events, "stdout"), "once\n", "{events:?}");
    let spec = DocumentId::Spec(job.clone());
    let one = revision(&world, "tokyo", &spec, &job).await;
    assert_eq!(one, revision(&world, "virginia", &spec, &job).await);
}

#[tokio::test]
async fn a_gateway_whose_near_cluster_is_away_at_its_start_says_so_and_serves_when_it_comes() {
    let world = two_clusters().await;
    let (near, far) = (world.url("g1", "virginia").await, world.url("g1", "tokyo").await);
    world.cut_so("g1", "virginia", Cut::Closed);
    let (api, _gateway) = gateway(&near, &far).await;
    let answer =
        until("an answer", || async { api.try_raw("GET", "/v1/regions", &[], None).await.ok() })
            .await;
    assert_eq!(answer.status().as_u16(), 503);
    assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
    let (_, told) = api.call("POST", "/v1/jobs", Some(&request(&["noop"]))).await;
    let reason = told["reason"].as_str().expect("a reason");
    assert!(reason.contains("virginia") && reason.contains("try again"), "{reason}");
    let health = api.get("/healthz").await;
    assert_eq!((&health["ok"], &health["store"]), (&json!(true), &json!("down")));
    world.heal("g1", "virginia");
    until("a gateway that knows its regions", || async {
        let answer = api.try_raw("GET", "/v1/regions", &[], None).await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    let job = submit(&api, &["noop"]).await;
    let _engine = world.engine("japan", "e1", "tokyo", &[]).await;
    assert_eq!(api.follow(job.as_str()).await.last().expect("an end").kind, "end");
}

#[tokio::test]
async fn a_gateway_that_loses_its_near_cluster_serves_regions_elsewhere() {
    let world = two_clusters().await;
    let far = world.gateway("g1", "virginia", &["tokyo"]).await;
    let _engine = world.engine("japan", "e1", "tokyo", &[]).await;
    world.cut("g1", "virginia");
    let job = submit(&far.api, &["ticks", "3", "10"]).await;
    let events = far.api.follow(job.as_str()).await;
    assert_eq!(stream(&events, "stdout"), "tick 0\ntick 1\ntick 2\n", "{events:?}");
    assert!(events.iter().all(|event| event.kind != "unreachable"), "its home is there");
    let jobs = far.api.get("/v1/jobs").await;
    assert_eq!((&jobs["jobs"][0]["id"], jobs.get("unreachable")), (&json!(job), None));
}

#[tokio::test]
async fn another_server_in_the_place_of_a_home_is_no_home() {
    let mut world = two_clusters().await;
    let far = world.gateway("g1", "virginia", &["tokyo"]).await;
    world.wipe("tokyo").await;
    let region = until("a region whose home is another", || async {
        let regions = far.api.get("/v1/regions").await;
        let region = regions["regions"][0].clone();
        region["unreachable_since_ms"].is_u64().then_some(region)
    })
    .await;
    assert_eq!((&region["home"], &region["hubs"]), (&json!("tokyo"), &json!(["virginia"])));
    let job = submit(&far.api, &["noop"]).await;
    revision(&world, "virginia", &DocumentId::Spec(job.clone()), &job).await;
    let databases = world.cluster("tokyo").client.databases().await.expect("a listing");
    assert!(!databases.contains(&job.jobs_database()), "{databases:?}");
    let mut events = far.api.events(job.as_str(), None).await;
    let told = loop {
        let event = events.next().await.expect("an open stream");
        // While it is made anew nobody answers there.
        let is_another = event.data["reason"] == "another server answers in the place of its home";
        if event.kind == "unreachable" && is_another {
            break event.data;
        }
    };
    assert_eq!(told["since_ms"], region["unreachable_since_ms"]);
}

#[tokio::test]
async fn a_region_whose_clusters_are_all_away_takes_nothing_and_says_when_to_come_back() {
    let plan = World::new().cluster("tokyo").cluster("virginia");
    let plan = plan.region("japan", "tokyo", &[]).region("ohio", "virginia", &["tokyo"]);
    let world = plan.start().await;
    let far = world.gateway("g1", "virginia", &["tokyo"]).await;
    world.cut_so("g1", "tokyo", Cut::Closed);
    let body = request(&["noop"]);
    let answer = far.api.raw("POST", "/v1/jobs", &[], Some(&body)).await;
    assert_eq!(answer.status().as_u16(), 503);
    assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
    let (_, told) = far.api.call("POST", "/v1/jobs", Some(&body)).await;
    let reason = told["reason"].as_str().expect("a reason");
    assert!(reason.contains("japan") && reason.contains("tokyo"), "{reason}");
    let jobs = far.api.get("/v1/jobs").await;
    assert_eq!(jobs["unreachable"], json!(["japan"]), "{jobs}");
    until("a gateway that knows that Tokyo is away", || async {
        let regions = far.api.get("/v1/regions").await["regions"].clone();
        let mut regions = regions.as_array()?.iter();
        regions.find(|region| region["name"] == "japan")?["unreachable_since_ms"].as_u64()
    })
    .await;
    // Who comes back for a job of it is told so, and waits.
    let job = JobId::new("japan", 1);
    let mut events = far.api.events(job.as_str(), None).await;
    let told = events.next().await.expect("an open stream");
    assert_eq!((told.kind.as_str(), &told.data["region"]), ("unreachable", &json!("japan")));
    world.heal("g1", "tokyo");
    let told = events.next().await.expect("an open stream");
    assert_eq!(told.kind, "reachable");
    assert_eq!(events.next().await, None, "there is no such job");
    let answer = far.api.raw("GET", &format!("/v1/jobs/{job}/events"), &[], None).await;
    assert_eq!(answer.status().as_u16(), 404);
    // Another that cannot be entered at all.
    let alone = world.gateway("g2", "virginia", &[]).await;
    let (status, told) = alone.api.call("POST", "/v1/jobs", Some(&body)).await;
    assert_eq!((status.as_u16(), &told["error"]), (503, &json!("region_out_of_reach")), "{told}");
}

#[tokio::test]
async fn jobs_are_spread_over_the_lanes_of_a_region() {
    let plan = World::new().cluster("tokyo").cluster("virginia");
    let lanes = |region: &mut Region| {
        (region.lanes, region.current, region.open) = (2, 2, vec![1, 2]);
    };
    let world = plan.region_that("japan", "tokyo", &["virginia"], lanes).start().await;
    let far = world.gateway("g1", "virginia", &["tokyo"]).await;
    let mut databases = BTreeSet::new();
    for _ in 0..40 {
        databases.insert(submit(&far.api, &["noop"]).await.jobs_database());
    }
    assert_eq!(Vec::from_iter(databases), ["blitz-jobs-japan-1", "blitz-jobs-japan-2"]);
}

#[tokio::test]
async fn a_person_is_told_once_that_the_job_waits_and_then_has_its_output() {
    let world = two_clusters().await;
    let far = world.gateway("g1", "virginia", &["tokyo"]).await;
    world.isolate("tokyo");
    let home = Home::new(Path::new(env!("CARGO_BIN_EXE_bench")));
    let args = ["fixture", "-r", "japan", "--queue-timeout", "2m", "--timeout", "4m", "echo", "hi"];
    let mut command = home.command(&args);
    command.env("BLITZ_HOST", &far.api.base).env("BLITZ_TOKEN", &far.api.token);
    command.env("TZ", "UTC").stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("the program starts");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut next = async || lines.next_line().await.expect("text");
    let told = next().await.expect("a line");
    let words = told.strip_prefix("blitz fixture: region japan not reachable since ");
    let time = words.and_then(|words| words.strip_suffix(", your job waits"));
    let time = time.unwrap_or_else(|| panic!("{told}"));
    assert!(time.len() == 8 && time.bytes().filter(|b| *b == b':').count() == 2, "{told}");
    world.join("tokyo");
    let told = next().await;
    assert_eq!(told.as_deref(), Some("blitz fixture: region japan is reachable again"));
    let _engine = world.engine("japan", "e1", "tokyo", &[]).await;
    assert_eq!(next().await, None, "nothing else is said");
    let output = child.wait_with_output().await.expect("an end");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hi\n");
    assert_eq!(output.status.code(), Some(0));
}

/// Who holds the keeper's duty of Japan by the lease at a cluster; `Null` when it was given back.
async fn keeper_at(world: &World, cluster: &str) -> Option<Value> {
    let beats = world.cluster(cluster).client.database("blitz-beats-japan");
    let lease = beats.get::<Value>("lease:keeper").await.expect("an answer")?;
    Some(lease.body["holder"].clone())
}

#[tokio::test]
async fn the_keepers_duty_is_at_home_and_goes_with_it() {
    let world = two_clusters().await;
    let _far = world.gateway("g1", "virginia", &["tokyo"]).await;
    let has_it = async |cluster: &str| {
        until(&format!("a keeper at {cluster}"), || async {
            keeper_at(&world, cluster).await.filter(Value::is_object)
        })
        .await
    };
    has_it("tokyo").await;
    assert_eq!(keeper_at(&world, "virginia").await, None, "a hub has no keeper");
    world.move_region("japan", "virginia").await;
    has_it("virginia").await;
    until("the duty at the former home is given back", || async {
        keeper_at(&world, "tokyo").await.filter(Value::is_null)
    })
    .await;
}

#[tokio::test]
async fn a_region_that_was_edited_on_two_sides_is_read_as_one() {
    let world = two_clusters().await;
    let far = world.gateway("g1", "virginia", &["tokyo"]).await;
    let mut moved = json!(world.region_at("virginia", "japan").await);
    let fields = moved.as_object_mut().expect("a document");
    fields.insert("_id".to_owned(), json!("region:japan"));
    // The first generation loses against every later one, and against most of its own.
    fields.insert("_rev".to_owned(), json!(format!("1-{}", "0".repeat(32))));
    fields.insert("home".to_owned(), json!("virginia"));
    fields.insert("hubs".to_owned(), json!(["tokyo"]));
    fields.insert("home_epoch".to_owned(), json!(3));
    let leaf = serde_json::value::to_raw_value(&moved).expect("JSON");
    let control = world.cluster("virginia").client.database("blitz");
    control.merge(&[leaf]).await.expect("a leaf that is stored");
    until("the later home", || async {
        let regions = far.api.get("/v1/regions").await;
        (regions["regions"][0]["home"] == "virginia").then_some(())
    })
    .await;
    // Also by who reads it at its start.
    let other = world.gateway("g2", "virginia", &[]).await;
    let regions = other.api.get("/v1/regions").await;
    assert_eq!(regions["regions"][0]["hubs"], json!(["tokyo"]), "{regions}");
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
