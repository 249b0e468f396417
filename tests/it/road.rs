//! The road of a job through store, gateway and engines, told by the plugin `fixture`.

use blitz_tests::api::stream;
use blitz_tests::{Stack, until};
use serde_json::json;

#[tokio::test]
async fn a_job_goes_down_the_whole_road_and_back() {
    let stack = Stack::start(&["japan"]).await;
    let engine = stack.engine(stack.region(), "e1", 2).await;
    let (stdout, end) = stack.api.run(stack.region(), &["echo", "hello", "world"]).await;
    assert_eq!(stdout, "hello world\n");
    assert_eq!((&end["state"], &end["exit"]), (&json!("done"), &json!({"status": 0})));
    assert_eq!(end["engine"], "e1");
    let (_, end) = stack.api.run(stack.region(), &["exit", "42"]).await;
    assert_eq!(end["exit"], json!({"status": 42}));
    let jobs = stack.api.get("/v1/jobs?last=1000").await;
    let here = jobs["jobs"].as_array().unwrap().iter().find(|j| j["region"] == stack.region());
    assert_eq!(here.unwrap()["args"], json!(["exit", "42"]), "the newest comes first");
    engine.drain().await;
    until("the word that the drained engine is gone", || async {
        let engines = stack.api.get("/v1/engines").await;
        let mut engines = engines["engines"].as_array()?.iter();
        engines.all(|engine| engine["region"] != stack.region()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn stdin_files_and_records_travel() {
    let stack = Stack::start(&["japan"]).await;
    let _engine = stack.engine(stack.region(), "e1", 2).await;
    // One that stands in the spec, and one that is cut into pieces.
    for length in [10, 700_000] {
        let text = "x".repeat(length);
        let job = json!({"plugin": "fixture", "args": ["cat"], "regions": [stack.region()],
            "inputs": [{"name": "-", "base64": base64(text.as_bytes())}]});
        let id = stack.api.submit_with(job).await;
        let events = stack.api.follow(&id).await;
        assert_eq!(stream(&events, "stdout").len(), length);
    }
    let job = stack.api.submit(stack.region(), &["write", "out.txt", "content"]).await;
    assert_eq!(stream(&stack.api.follow(&job).await, "file:out.txt"), "content\n");
    let job = stack.api.submit(stack.region(), &["emit", "hop", r#"{"ttl":1}"#]).await;
    assert_eq!(stream(&stack.api.follow(&job).await, "event:hop"), r#"{"ttl":1}"#);
}

#[tokio::test]
async fn of_many_engines_one_runs_each_job() {
    let stack = Stack::start(&["japan"]).await;
    let mut engines = Vec::new();
    for n in 0..4 {
        engines.push(stack.engine(stack.region(), &format!("e{n}"), 4).await);
    }
    let mut jobs = Vec::new();
    for n in 0..20 {
        jobs.push(stack.api.submit(stack.region(), &["echo", &n.to_string()]).await);
    }
    for (n, job) in jobs.iter().enumerate() {
        let events = stack.api.follow(job).await;
        assert_eq!(stream(&events, "stdout"), format!("{n}\n"), "job {job}");
        assert_eq!(events.iter().filter(|e| e.kind == "end").count(), 1);
    }
}

#[tokio::test]
async fn a_run_on_several_engines_takes_distinct_ones() {
    let stack = Stack::start(&["japan"]).await;
    let mut engines = Vec::new();
    for n in 0..2 {
        engines.push(stack.engine(stack.region(), &format!("e{n}"), 8).await);
    }
    let request = json!({"plugin": "fixture", "args": ["ticks", "3", "50"],
        "regions": [stack.region()], "engines": 2});
    let (_, accepted) = stack.api.call("POST", "/v1/jobs", Some(&request)).await;
    let mut took = Vec::new();
    for job in accepted["jobs"].as_array().unwrap() {
        let events = stack.api.follow(job["id"].as_str().unwrap()).await;
        took.push(events.last().unwrap().data["engine"].as_str().unwrap().to_owned());
    }
    took.sort();
    assert_eq!(took, ["e0", "e1"]);
}

#[tokio::test]
async fn what_goes_wrong_in_a_plugin_ends_its_job_and_the_next_one_runs() {
    let stack = Stack::start(&["japan"]).await;
    let _engine = stack.engine(stack.region(), "e1", 2).await;
    for (args, kind) in
        [(&["panic"][..], "crashed"), (&["hog", "600"], "limit"), (&["exit", "3"], "status")]
    {
        let (_, end) = stack.api.run(stack.region(), args).await;
        let exit = if kind == "status" { &end["exit"] } else { &end["exit"]["stopped"] };
        assert!(exit.get(kind).is_some(), "{args:?}: {end}");
    }
    let job = json!({"plugin": "fixture", "args": ["spin"], "regions": [stack.region()],
        "timeout_ms": 300});
    let id = stack.api.submit_with(job).await;
    let end = stack.api.follow(&id).await.pop().unwrap();
    assert!(end.data["exit"]["stopped"].get("timeout").is_some(), "{end:?}");
    let (stdout, _) = stack.api.run(stack.region(), &["echo", "still", "here"]).await;
    assert_eq!(stdout, "still here\n");
}

#[tokio::test]
async fn a_cancel_ends_a_running_job_and_one_that_nobody_took() {
    let stack = Stack::start(&["japan", "virginia"]).await;
    let _engine = stack.engine(&stack.regions[0], "e1", 2).await;
    for region in &stack.regions {
        let job = stack.api.submit(region, &["spin"]).await;
        if region == &stack.regions[0] {
            let path = format!("/v1/jobs/{job}");
            until("the claim", || async {
                (stack.api.get(&path).await["state"] == "claimed").then_some(())
            })
            .await;
        }
        let (status, _) = stack.api.call("DELETE", &format!("/v1/jobs/{job}"), None).await;
        assert_eq!(status.as_u16(), 202);
        let end = stack.api.follow(&job).await.pop().unwrap();
        assert_eq!(end.data["state"], "cancelled", "{region}: {end:?}");
        let (status, answer) = stack.api.call("DELETE", &format!("/v1/jobs/{job}"), None).await;
        assert_eq!((status.as_u16(), &answer["state"]), (200, &json!("cancelled")));
    }
}

#[tokio::test]
async fn a_cancelled_plugin_with_grace_says_its_last_words() {
    let stack = Stack::start(&["japan"]).await;
    let _engine = stack.engine(stack.region(), "e1", 2).await;
    for command in ["until-cancelled", "stubborn"] {
        let job = stack.api.submit(stack.region(), &[command]).await;
        let mut events = stack.api.events(&job, None).await;
        while let Some(event) = events.next().await {
            if stream(&[event], "stdout") == "waiting\n" {
                break;
            }
        }
        let (status, _) = stack.api.call("DELETE", &format!("/v1/jobs/{job}"), None).await;
        assert_eq!(status.as_u16(), 202);
        let events = stack.api.follow(&job).await;
        let end = events.last().unwrap();
        assert_eq!(end.data["state"], "cancelled", "{command}: {end:?}");
        assert_eq!(stream(&events, "stdout"), "waiting\nlast words\n", "{command}: {events:?}");
        let counted = r#"{"counters":{"cancels_count":1},"distributions":{}}"#;
        assert_eq!(stream(&events, "event:metrics"), counted, "{command}: {events:?}");
    }
}

#[tokio::test]
async fn a_job_without_an_engine_expires() {
    let stack = Stack::start(&["japan"]).await;
    let job = json!({"plugin": "fixture", "args": ["noop"], "regions": [stack.region()],
        "queue_timeout_ms": 200});
    let id = stack.api.submit_with(job).await;
    let end = stack.api.follow(&id).await.pop().unwrap();
    assert_eq!(end.data["state"], "expired");
    let reason = format!("no engine of region {} took the job within 0.2 s", stack.region());
    assert_eq!(end.data["reason"], reason);
}

#[tokio::test]
async fn an_engine_that_is_killed_loses_its_job_to_another() {
    let stack = Stack::start(&["japan"]).await;
    let first = stack.engine(stack.region(), "e1", 1).await;
    let job = stack.api.submit(stack.region(), &["ticks", "20", "100"]).await;
    let mut events = stack.api.events(&job, None).await;
    while let Some(event) = events.next().await {
        if event.kind == "output" {
            break;
        }
    }
    first.kill().await;
    let _second = stack.engine(stack.region(), "e2", 1).await;
    let events = stack.api.follow(&job).await;
    let end = events.last().unwrap();
    assert_eq!((&end.data["state"], &end.data["engine"]), (&json!("done"), &json!("e2")));
    let expected: String = (0..20).map(|n| format!("tick {n}\n")).collect();
    assert_eq!(stream(&events, "stdout"), expected, "from the start, and nothing of the first");
}

#[tokio::test]
async fn a_reader_goes_on_where_it_was_when_the_gateway_is_started_again() {
    let mut stack = Stack::start(&["japan"]).await;
    let _engine = stack.engine(stack.region(), "e1", 1).await;
    let job = stack.api.submit(stack.region(), &["ticks", "10", "150"]).await;
    let mut events = stack.api.events(&job, None).await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let event = events.next().await.expect("the job runs on");
        if event.kind == "output" {
            seen.push(event);
        }
    }
    let port = stack.stop_gateway().await;
    stack.start_gateway(port).await;
    let position = seen.last().unwrap().id.clone();
    let mut events = stack.api.events(&job, position.as_deref()).await;
    while let Some(event) = events.next().await {
        seen.push(event);
    }
    let expected: String = (0..10).map(|n| format!("tick {n}\n")).collect();
    assert_eq!(stream(&seen, "stdout"), expected, "nothing lost, nothing doubled");
}

#[tokio::test]
async fn a_gateway_that_was_started_again_ends_the_job_of_an_engine_that_died_meanwhile() {
    let mut stack = Stack::start(&["japan"]).await;
    let engine = stack.engine(stack.region(), "e1", 1).await;
    let request = json!({"plugin": "fixture", "args": ["ticks", "100", "100"],
        "regions": [stack.region()], "queue_timeout_ms": 500});
    let job = stack.api.submit_with(request).await;
    let mut events = stack.api.events(&job, None).await;
    while let Some(event) = events.next().await {
        if event.kind == "output" {
            break;
        }
    }
    let port = stack.stop_gateway().await;
    engine.kill().await;
    stack.start_gateway(port).await;
    let end = stack.api.follow(&job).await.pop().unwrap();
    assert_eq!(end.data["state"], "expired", "opened again, and nobody took it: {end:?}");
}

#[tokio::test]
async fn a_job_whose_output_cannot_be_stored_ends_and_says_so() {
    let stack = Stack::start(&["japan"]).await;
    let _engine = stack.engine(stack.region(), "e1", 1).await;
    let output = stack.store.database(&format!("blitz-out-{}-1", stack.region()));
    assert_eq!(output.drop().await.unwrap(), blitz_couchdb::Removal::Dropped);
    let (_, end) = stack.api.run(stack.region(), &["echo", "hello"]).await;
    let reason = end["exit"]["stopped"]["limit"].as_str().unwrap_or_default();
    assert!(reason.starts_with("its output cannot be stored"), "{end}");
}

#[tokio::test]
async fn a_reader_that_does_not_read_does_not_keep_the_gateway_from_ending() {
    let mut stack = Stack::start(&["japan"]).await;
    let _engine = stack.engine(stack.region(), "e1", 1).await;
    let job = stack.api.submit(stack.region(), &["flood", "20000000"]).await;
    let events = stack.api.events(&job, None).await;
    stack.stop_gateway().await;
    drop(events);
}

#[tokio::test]
async fn a_late_reader_is_told_everything() {
    let stack = Stack::start(&["japan"]).await;
    let _engine = stack.engine(stack.region(), "e1", 1).await;
    let length = 3_000_000;
    let job = stack.api.submit(stack.region(), &["flood", &length.to_string()]).await;
    for reader in ["the first", "a late one"] {
        let events = stack.api.follow(&job).await;
        let end = events.last().unwrap();
        assert_eq!(stream(&events, "stdout").len(), length, "{reader}: {end:?}");
        assert!(!events.iter().any(|event| event.kind == "incomplete"), "{reader}: {end:?}");
    }
}

#[tokio::test]
async fn a_request_that_is_wrong_is_told_why() {
    let stack = Stack::start(&["japan"]).await;
    let job = |plugin: &str, region: &str, args: &[&str]| json!({"plugin": plugin, "args": args, "regions": [region]});
    let region = stack.region();
    let nearly = &format!("{region}x");
    for (request, status, error) in [
        (job("fixtur", region, &["noop"]), 404, "unknown_plugin"),
        (job("fixture", nearly, &["noop"]), 404, "unknown_region"),
        (job("fixture", region, &["--nope"]), 422, "usage"),
        (json!({"plugin": "fixture"}), 400, "bad_request"),
        (json!({"plugin": "fixture", "args": ["noop"], "regions": []}), 400, "bad_request"),
        (
            json!({"plugin": "fixture", "args": ["noop"], "regions": [region], "engines": u64::MAX}),
            400,
            "bad_request",
        ),
    ] {
        let (got, answer) = stack.api.call("POST", "/v1/jobs", Some(&request)).await;
        assert_eq!(
            (got.as_u16(), &answer["error"]),
            (status, &json!(error)),
            "{request}: {answer}"
        );
        assert!(answer["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
    }
    let request = job("fixtur", region, &[]);
    let (_, answer) = stack.api.call("POST", "/v1/jobs", Some(&request)).await;
    assert_eq!(answer["suggestion"], "fixture");
    for (method, path, status) in [
        ("GET", "/v1/jobs/nope", 404),
        ("GET", "/v2", 404),
        ("PUT", "/v1/jobs", 405),
        ("GET", "/v1/jobs?last=x", 400),
    ] {
        let (got, answer) = stack.api.call(method, path, None).await;
        assert_eq!(got.as_u16(), status, "{method} {path}");
        assert!(answer["error"].is_string(), "{method} {path}: {answer}");
    }
}

#[tokio::test]
async fn without_token_or_with_a_foreign_name_nobody_comes_in() {
    let stack = Stack::start(&["japan"]).await;
    for (headers, status) in [
        (&[("authorization", "Bearer wrong")][..], 401),
        (&[("host", "evil.example")], 403),
        (&[("origin", "http://evil.example")], 403),
    ] {
        let answer = stack.api.raw("GET", "/v1/regions", headers, None).await;
        assert_eq!(answer.status().as_u16(), status, "{headers:?}");
    }
    let answer = stack.api.raw("GET", "/healthz", &[("authorization", "")], None).await;
    assert_eq!(answer.status().as_u16(), 200);
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
