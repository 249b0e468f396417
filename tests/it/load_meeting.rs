//! Load tests of several engines: who takes part, when they begin, and what becomes of the others when one does not come
//! or is lost.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use blitz_contract::{Limits, Retry};
use blitz_couchdb::{AllDocs, Put, PutOptions};
use blitz_jobs::meeting::{Go, Ready};
use blitz_jobs::spec::{SpecKind, Terms};
use blitz_jobs::{Claim, DocumentId, Incarnation, JobId, Spec};
use blitz_tests::program::send_signal;
use blitz_tests::{Counter, Home, Stack, until};
use serde::Serialize;
use serde_json::{Value, json};

fn home() -> Home {
    Home::new(Path::new(env!("CARGO_BIN_EXE_bench")))
}

async fn create(stack: &Stack, id: DocumentId, job: &JobId, body: &(impl Serialize + Sync)) {
    let jobs = stack.store.database(&job.jobs_database());
    let put = jobs.put(&id.to_string(), None, body, PutOptions::default()).await;
    assert!(matches!(put, Ok(Put::Created(_) | Put::Accepted(_))), "{id}: {put:?}");
}

/// A run of one task for each of these regions, which no engine takes.
async fn run_of(stack: &Stack, regions: &[&str]) -> Vec<JobId> {
    let tasks: Vec<JobId> = regions.iter().map(|region| JobId::new(region, 1)).collect();
    for job in &tasks {
        let spec = Spec {
            kind: SpecKind::Spec,
            blitz: blitz_jobs::BUILD.to_owned(),
            job: job.clone(),
            run: tasks[0].to_string(),
            tasks: tasks.clone(),
            plugin: "nobody-has-it".to_owned(),
            version: "0.1.0".to_owned(),
            sha256: "0".repeat(64),
            args: Vec::new(),
            retry: Retry::Never,
            limits: Limits::default(),
            timeout_ms: 600_000,
            queue_timeout_ms: 600_000,
            tenant: None,
            terms: Terms::default(),
            sealed: Vec::new(),
            inputs: Vec::new(),
            home_epoch: 1,
            created_at_ms: 0,
        };
        create(stack, DocumentId::Spec(job.clone()), job, &spec).await;
    }
    tasks
}

async fn ready(stack: &Stack, job: &JobId) {
    let claim = Claim::first(1, "e1", Incarnation::from_random([1; 16]));
    create(stack, DocumentId::Ready(job.clone()), job, &Ready::new(job.clone(), &claim)).await;
}

async fn go_of(stack: &Stack, job: &JobId) -> Go {
    let jobs = stack.store.database(&job.jobs_database());
    until(&format!("the go of {job}"), || async {
        Go::read(&jobs, job).await.ok().flatten().map(|go| (*go).clone())
    })
    .await
}

#[tokio::test]
async fn the_keeper_lets_the_tasks_of_all_regions_begin_when_they_are_ready() {
    let mut stack = Stack::start(&["japan", "virginia"]).await;
    let [japan, virginia] = [0, 1].map(|n| stack.regions[n].clone());
    let tasks = run_of(&stack, &[&japan, &virginia, &japan]).await;
    for job in &tasks {
        ready(&stack, job).await;
    }
    let decided = go_of(&stack, &tasks[0]).await;
    assert_eq!((&decided.members, decided.missing.len()), (&tasks, 0), "{decided:?}");
    for job in &tasks[1..] {
        let copy = go_of(&stack, job).await;
        assert!(copy.delay_ms <= decided.delay_ms, "{copy:?} {decided:?}");
        assert_eq!(Go { delay_ms: decided.delay_ms, ..copy }, decided);
    }
    // One that is away while they get ready hears of it when it is back.
    let tasks = run_of(&stack, &[&virginia, &japan]).await;
    ready(&stack, &tasks[0]).await;
    let port = stack.stop_gateway().await;
    ready(&stack, &tasks[1]).await;
    stack.start_gateway(port).await;
    for job in &tasks {
        assert_eq!(go_of(&stack, job).await.members, tasks);
    }
}

#[tokio::test]
async fn the_tasks_of_a_run_go_to_distinct_engines_or_expire_and_say_why() {
    let stack = Stack::start(&["japan"]).await;
    let _first = stack.engine(stack.region(), "e1", 8).await;
    let request = |wait_ms: u64| {
        json!({"plugin": "fixture", "args": ["noop"], "regions": [stack.region()], "engines": 2,
            "queue_timeout_ms": wait_ms})
    };
    let ends = |answer: Value| {
        let api = stack.api.clone();
        async move {
            let mut ends = Vec::new();
            for job in answer["jobs"].as_array().expect("jobs") {
                let events = api.follow(job["id"].as_str().expect("an id")).await;
                ends.push(events.last().expect("an end").data.clone());
            }
            ends.sort_by_key(|end| end["state"].to_string());
            ends
        }
    };
    // Several times, as it depended on whether the feed or the answer of a write was faster.
    for _ in 0..5 {
        let (_, answer) = stack.api.call("POST", "/v1/jobs", Some(&request(600))).await;
        let ends = ends(answer).await;
        let states: Vec<&Value> = ends.iter().map(|end| &end["state"]).collect();
        assert_eq!(states, [&json!("done"), &json!("expired")], "{ends:?}");
        let reason = ends[1]["reason"].as_str().expect("a reason");
        assert!(reason.contains("that is free of the other tasks of its run"), "{reason}");
    }
    let _second = stack.engine(stack.region(), "e2", 8).await;
    for _ in 0..5 {
        let (_, answer) = stack.api.call("POST", "/v1/jobs", Some(&request(20_000))).await;
        let ends = ends(answer).await;
        let mut engines: Vec<&str> =
            ends.iter().map(|end| end["engine"].as_str().unwrap_or_default()).collect();
        engines.sort_unstable();
        assert_eq!(engines, ["e1", "e2"], "{ends:?}");
    }
}

#[tokio::test]
async fn a_gateway_refuses_a_public_target_before_anything_is_written() {
    let stack = Stack::start(&["japan"]).await;
    stack
        .publish("loader", |manifest| {
            manifest.capabilities.push(blitz_contract::Capability::Load);
            let word =
                manifest.arguments.iter_mut().find(|a| a.name == "WORD").expect("it has one");
            word.kind = blitz_contract::ArgumentKind::Url;
        })
        .await;
    let request = |url: &str| {
        json!({"plugin": "loader", "args": ["get", "http://127.0.0.1/", url], "regions": [stack.region()],
            "queue_timeout_ms": 100})
    };
    let (status, answer) =
        stack.api.call("POST", "/v1/jobs", Some(&request("https://8.8.8.8/x"))).await;
    assert_eq!((status.as_u16(), &answer["error"]), (403, &json!("refused")), "{answer}");
    let reason = answer["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("loader: 8.8.8.8 (8.8.8.8) may not be loaded"), "{reason}");
    let jobs = stack.store.database(&format!("blitz-jobs-{}-1", stack.region()));
    // Behind the design documents.
    let written = AllDocs { start: Some("a".to_owned()), ..AllDocs::default() };
    let written = jobs.all_docs::<Value>(&written).await.expect("an answer");
    assert!(written.rows.is_empty(), "{:?}", written.rows);
    stack.api.submit_with(request("http://10.1.2.3/")).await;
}

/// Waits until an engine has the plugin ready.
async fn has_rush(home: &Home, id: &str) {
    until(&format!("engine {id} with rush"), || async {
        let engines = home.run(&["engines", "--json"]).await.stdout;
        let engines: Value = serde_json::from_str(&engines).ok()?;
        let engine = engines["engines"].as_array()?.iter().find(|e| e["id"] == id)?.clone();
        let plugins = engine["plugins"].as_array()?.clone();
        plugins.iter().any(|p| p.as_str().is_some_and(|p| p.starts_with("rush@"))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn too_few_engines_begin_nothing() {
    let (home, server) = (home(), Counter::start().await);
    let up = home.up(&["--region", "virginia"]).await;
    has_rush(&home, "virginia-up").await;
    let words =
        ["rush", "-r", "virginia", "--engines", "2", "-p", "1-1:1", "--queue-timeout", "3s"];
    let outcome = home.run(&[&words[..], &[&server.url("/")]].concat()).await;
    assert_ne!(outcome.code, Some(0), "{outcome:?}");
    for part in ["1 of 2 engines can begin", "free of the other tasks of its run"] {
        assert!(outcome.stderr.contains(part), "{part}: {outcome:?}");
    }
    assert_eq!((server.requests(), server.connections()), (0, 0));
    up.signal("TERM").await;
}

/// Requests of each job, by the user agent.
fn by_job(server: &Counter) -> Vec<u64> {
    server.agents().into_values().collect()
}

#[tokio::test]
async fn an_engine_that_is_lost_ends_its_share_and_no_other() {
    let (home, server) = (home(), Counter::start().await);
    let up = home.up(&["--region", "virginia"]).await;
    let mut second = home.command(&["engine", "--region", "virginia", "--id", "second"]);
    let mut second = second.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    has_rush(&home, "second").await;
    let url = server.url("/");
    let words = ["rush", "-r", "virginia", "--engines", "2", "--json", "--rate", "40"];
    let mut rush = home.command(&[&words[..], &["--duration", "6s", &url]].concat());
    let rush = rush.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    until("both engines load", || async {
        let jobs = by_job(&server);
        (jobs.len() == 2 && jobs.iter().all(|count| *count > 10)).then_some(())
    })
    .await;
    send_signal(second.id().expect("its id"), "KILL").await;
    second.wait().await.expect("its end");
    let ended = tokio::time::timeout(Duration::from_secs(60), rush.wait_with_output()).await;
    let outcome = ended.expect("it ends").expect("its output");
    let text = format!("{outcome:?}");
    assert_eq!(outcome.status.code(), Some(123), "{text}");
    let report: Value = serde_json::from_slice(&outcome.stdout).expect("a report");
    // The other sent all of its half; of the lost one there is what came before.
    let jobs = by_job(&server);
    let (least, most) = (jobs.iter().min().copied(), jobs.iter().max().copied());
    assert_eq!((jobs.len(), most), (2, Some(120)), "{jobs:?} {report}");
    assert!(least < Some(120), "{jobs:?}");
    assert_eq!(report["judgement"]["is_partial"], true, "{report}");
    up.signal("TERM").await;
}
