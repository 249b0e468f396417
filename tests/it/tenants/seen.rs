//! What members see of jobs: their own, and nothing of others.

use std::time::Duration;

use blitz_tests::api::stream;
use blitz_tests::{Api, Stack};
use hyper::StatusCode;
use serde_json::{Value, json};

/// A stream whose key was revoked ends within this time, on a busy machine too.
const ENDS_MAX: Duration = Duration::from_secs(30);

/// The ids of a listing.
async fn listed(api: &Api, last: usize) -> Vec<String> {
    let jobs = api.get(&format!("/v1/jobs?last={last}")).await;
    let ids = jobs["jobs"].as_array().expect("jobs").iter();
    ids.map(|job| job["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn members_see_their_own_jobs_however_many_others_there_are() {
    let stack = Stack::start(&["japan"]).await;
    let api = &stack.api;
    for tenant in ["acme", "globex"] {
        api.tenant(tenant).await;
    }
    let (ann, _) = api.key("acme", "ann", json!({})).await;
    let (bob, _) = api.key("acme", "bob", json!({})).await;
    let (boss, _) = api.key("acme", "boss", json!({"scopes": {"is_admin": true}})).await;
    let (gus, _) = api.key("globex", "gus", json!({"scopes": {"is_admin": true}})).await;
    let of_ann = ann.submit(stack.region(), &["noop"]).await;
    let of_bob = bob.submit(stack.region(), &["noop"]).await;
    for _ in 0..5 {
        gus.submit(stack.region(), &["noop"]).await;
        api.submit(stack.region(), &["noop"]).await;
    }
    assert_eq!(listed(&ann, 1).await, [of_ann.as_str()]);
    assert_eq!(listed(&ann, 20).await, [of_ann.as_str()]);
    assert_eq!(listed(&boss, 20).await, [of_bob.as_str(), of_ann.as_str()]);
    assert_eq!(listed(&boss, 1).await, [of_bob.as_str()]);
    assert_eq!(listed(&gus, 20).await.len(), 5);
    assert_eq!(listed(api, 1000).await.len(), 12);
    let tenants: Value = ann.get("/v1/tenants").await;
    assert_eq!(tenants["tenants"].as_array().map(Vec::len), Some(1), "{tenants}");
    assert_eq!(tenants["tenants"][0]["name"], "acme");
}

#[tokio::test]
async fn a_member_follows_its_job_and_an_administrator_those_of_its_tenant() {
    let stack = Stack::start(&["japan"]).await;
    let _engine = stack.engine(stack.region(), "e1", 2).await;
    stack.api.tenant("acme").await;
    let (ann, _) = stack.api.key("acme", "ann", json!({})).await;
    let (bob, _) = stack.api.key("acme", "bob", json!({})).await;
    let (boss, _) = stack.api.key("acme", "boss", json!({"scopes": {"is_admin": true}})).await;
    let job = ann.submit(stack.region(), &["echo", "hello"]).await;
    // While it is in the gateway's memory, and when it is in the store alone.
    let late = stack.another_gateway().await;
    for api in [&ann, &boss, &stack.api, &late.with(&ann.token), &late.with(&boss.token)] {
        let events = api.follow(&job).await;
        assert_eq!(stream(&events, "stdout"), "hello\n", "{events:?}");
    }
    for api in [&bob, &late.with(&bob.token)] {
        let path = format!("/v1/jobs/{job}/events");
        let (status, said) = api.call("GET", &path, None).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{said}");
    }
}

#[tokio::test]
async fn a_stream_that_was_opened_with_a_key_ends_with_it() {
    let stack = Stack::start(&["japan"]).await;
    stack.api.tenant("acme").await;
    let (ann, id) = stack.api.key("acme", "ann", json!({})).await;
    let waits = json!({"plugin": "fixture", "args": ["noop"], "regions": [stack.region()],
        "queue_timeout_ms": 600_000});
    let job = ann.submit_with(waits).await;
    let other = stack.another_gateway().await;
    let mut here = ann.events(&job, None).await;
    let mut there = other.with(&ann.token).events(&job, None).await;
    for events in [&mut here, &mut there] {
        assert_eq!(events.next().await.map(|event| event.kind).as_deref(), Some("state"));
    }
    stack.api.call("DELETE", &format!("/v1/keys/{id}"), None).await;
    for events in [&mut here, &mut there] {
        let ends = async { while events.next().await.is_some() {} };
        tokio::time::timeout(ENDS_MAX, ends).await.expect("a stream that ends");
    }
}
