//! Plans and what they limit, with two real gateways on one store.

use std::path::Path;

use blitz_contract::Capability;
use blitz_jobs::Spec;
use blitz_jobs::clock::now_ms;
use blitz_jobs::cluster::Clusters;
use blitz_jobs::timing::Timing;
use blitz_tests::stack::ACCOUNTS_KEY;
use blitz_tests::{Api, Counter, Home, Stack, region_name, until};
use futures_util::future::join_all;
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The operator's token.
const TOKEN: &str = "token-of-a-test";

/// Durations of the protocol, so many times as short as they are.
const FASTER: u32 = 5;

const HOUR_MS: u64 = 3_600_000;

/// A gateway that serves API keys.
struct Gateway {
    operator: Api,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Gateway {
    async fn start(stack: &Stack) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let config = blitz_gateway::Config {
            timing: Timing::faster(FASTER),
            accounts_key: Some(ACCOUNTS_KEY),
            ..blitz_gateway::Config::new(Clusters::alone(stack.store.clone()), TOKEN)
        };
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            blitz_gateway::run(listener, config, stopped).await.expect("a gateway that serves");
        });
        let operator = Api::new(&format!("http://{address}"), TOKEN);
        until("a gateway that serves", || async {
            let answer = operator.try_raw("GET", "/v1/regions", &[], None).await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        Self { operator, stop, task }
    }

    /// The same gateway as who shows this key.
    fn with(&self, key: &str) -> Api {
        Api::new(&self.operator.base, key)
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("a gateway that ends in order");
    }
}

/// A tenant of its own with a plan, and a key of it that all these gateways know.
async fn tenant(gateways: &[&Gateway], plan: Value) -> (String, String) {
    let (tenant, name, key) = make_tenant(&gateways[0].operator, plan).await;
    for gateway in gateways {
        let api = gateway.with(&key);
        until("a gateway that knows the key and the plan", || async {
            let (status, answer) = api.call("GET", "/v1/usage", None).await;
            (status.is_success() && answer["plan"]["name"] == json!(name)).then_some(())
        })
        .await;
    }
    (tenant, key)
}

/// The names of a tenant and of its plan, and a key.
async fn make_tenant(operator: &Api, plan: Value) -> (String, String, String) {
    let (tenant, name) = (region_name("acme"), region_name("plan"));
    let asks = async |method: &str, path: &str, body: Value| {
        let (status, answer) = operator.call(method, path, Some(&body)).await;
        assert!(status.is_success(), "{method} {path} {body}: {answer}");
        answer
    };
    asks("PUT", &format!("/v1/plans/{name}"), plan).await;
    asks("POST", "/v1/tenants", json!({"name": tenant, "plan": name})).await;
    let answer = asks("POST", "/v1/keys", json!({"tenant": tenant, "user": "ann"})).await;
    let key = answer["secret"].as_str().expect("a key").to_owned();
    (tenant, name, key)
}

/// A request of a plugin for a region without engines: its jobs wait as long as a story takes.
fn request(plugin: &str, region: &str, engines: usize) -> Value {
    json!({"plugin": plugin, "args": ["echo"], "regions": [region], "engines": engines, "timeout_ms": 600_000,
        "queue_timeout_ms": 600_000})
}

/// An answer to a submission: its status, how long to wait, and what it says.
async fn submit(api: &Api, request: &Value) -> (StatusCode, Option<u64>, Value) {
    let answer = api.raw("POST", "/v1/jobs", &[], Some(request)).await;
    let (status, again) = (answer.status(), answer.headers().get("retry-after").cloned());
    let again = again.and_then(|value| value.to_str().ok()?.parse().ok());
    let bytes = answer.into_body().collect().await.expect("a whole answer").to_bytes();
    (status, again, serde_json::from_slice(&bytes).expect("JSON"))
}

async fn used(api: &Api, what: &str) -> u64 {
    let usage = api.get("/v1/usage").await;
    usage["used"][what].as_u64().unwrap_or_else(|| panic!("no {what}: {usage}"))
}

async fn until_used(api: &Api, what: &str, wanted: u64) {
    until(&format!("{what} is {wanted}"), || async {
        (used(api, what).await == wanted).then_some(())
    })
    .await;
}

/// Tells a story that counts within an hour; one that the end of an hour fell into is told again.
async fn within_an_hour(story: impl AsyncFn() -> Result<(), String>) {
    loop {
        let hour = now_ms() / HOUR_MS;
        match story().await {
            Ok(()) => return,
            Err(error) => assert_ne!(hour, now_ms() / HOUR_MS, "{error}"),
        }
    }
}

#[tokio::test]
async fn a_plan_holds_over_two_gateways_and_a_restart() {
    let stack = Stack::start(&["quota"]).await;
    let region = stack.region();
    within_an_hour(async || {
        let (one, two) = (Gateway::start(&stack).await, Gateway::start(&stack).await);
        let plan = json!({"jobs_per_hour": 100, "engines_per_run": 20});
        let (_, key) = tenant(&[&one, &two], plan).await;
        let (first, second) = (one.with(&key), two.with(&key));
        for _ in 0..3 {
            let (status, _, answer) = submit(&first, &request("fixture", region, 20)).await;
            if status != StatusCode::CREATED {
                return Err(format!("{status}: {answer}"));
            }
        }
        until_used(&second, "jobs_this_hour", 60).await;

        // 200 at once. Neither gateway passes the limit by what it knows: together at most once what was left too many.
        let one_job = request("fixture", region, 1);
        let asks = (0..200).map(|n| submit(if n % 2 == 0 { &first } else { &second }, &one_job));
        let answers = join_all(asks).await;
        let admitted = answers.iter().filter(|(status, ..)| *status == StatusCode::CREATED).count();
        if !(40..=80).contains(&admitted) {
            return Err(format!("{admitted} of 200 were admitted, where 40 were left"));
        }
        let refused = answers.iter().filter(|(status, ..)| *status != StatusCode::CREATED);
        for (status, again, answer) in refused {
            let text = answer["reason"].as_str().unwrap_or_default();
            let is_told = *status == StatusCode::TOO_MANY_REQUESTS
                && again.is_some_and(|again| (1..=3600).contains(&again))
                && text.contains("of 100 used and 1 asked for (jobs_per_hour of plan")
                && text.contains("free again in")
                && answer["limit"]["name"] == "jobs_per_hour"
                && answer["limit"]["max"] == 100;
            if !is_told {
                return Err(format!("{status} {again:?} {answer}"));
            }
        }

        let all = 60 + u64::try_from(admitted).expect("a number");
        for api in [&first, &second] {
            until_used(api, "jobs_this_hour", all).await;
            let (status, _, answer) = submit(api, &one_job).await;
            if status != StatusCode::TOO_MANY_REQUESTS || answer["limit"]["used"] != json!(all) {
                return Err(format!("{status}: {answer}"));
            }
        }
        let usage = first.get("/v1/usage").await;
        let free = usage["free_again_ms"]["jobs_per_hour"].as_u64().unwrap_or_default();
        if free % HOUR_MS != 0 || free < now_ms() {
            return Err(format!("{usage}"));
        }

        one.stop().await;
        let again = Gateway::start(&stack).await;
        let (status, _, answer) = submit(&again.with(&key), &one_job).await;
        if status != StatusCode::TOO_MANY_REQUESTS || answer["limit"]["used"] != json!(all) {
            return Err(format!("after a restart {status}: {answer}"));
        }
        again.stop().await;
        two.stop().await;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn jobs_at_once_are_those_that_have_not_ended() {
    let stack = Stack::start(&["quota"]).await;
    let (one, two) = (Gateway::start(&stack).await, Gateway::start(&stack).await);
    let (_, key) = tenant(&[&one, &two], json!({"jobs_at_once": 2, "engines_per_run": 4})).await;
    let (first, second) = (one.with(&key), two.with(&key));
    let one_job = request("fixture", stack.region(), 1);

    let (status, again, answer) = submit(&first, &request("fixture", stack.region(), 20)).await;
    assert_eq!((status, again), (StatusCode::FORBIDDEN, None), "{answer}");
    let text = answer["reason"].as_str().expect("a reason");
    assert!(
        text.starts_with("20 asked for, plan '") && text.contains("allows 4 (engines_per_run)"),
        "{text}"
    );
    assert_eq!(used(&first, "jobs_this_hour").await, 0, "what is refused is not counted");

    let mut jobs = Vec::new();
    for api in [&first, &second] {
        jobs.push(api.submit_with(one_job.clone()).await);
    }
    for api in [&first, &second] {
        until_used(api, "jobs_now", 2).await;
        let (status, again, answer) = submit(api, &one_job).await;
        assert_eq!((status, again), (StatusCode::TOO_MANY_REQUESTS, Some(5)), "{answer}");
        let text = answer["reason"].as_str().expect("a reason");
        assert!(text.contains("2 of 2 used and 1 asked for (jobs_at_once of plan"), "{text}");
    }
    two.stop().await;
    let two = Gateway::start(&stack).await;
    let second = two.with(&key);
    until_used(&second, "jobs_now", 2).await;

    let (status, _) = first.call("DELETE", &format!("/v1/jobs/{}", jobs[0]), None).await;
    assert!(status.is_success());
    for api in [&first, &second] {
        until_used(api, "jobs_now", 1).await;
    }
    let _engine = stack.engine(stack.region(), "e1", 4).await;
    until_used(&second, "jobs_now", 0).await;
    let (status, _, answer) = submit(&second, &request("fixture", stack.region(), 1)).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn what_a_load_test_may_be_goes_with_the_job_and_its_minutes_come_back() {
    let stack = Stack::start(&["quota"]).await;
    stack.publish("loads", |manifest| manifest.capabilities.push(Capability::Load)).await;
    let gateway = Gateway::start(&stack).await;
    let plan = json!({"load_users": 250, "load_rate_per_s": 1000, "load_minutes_per_day": 15, "output_bytes": 5000});
    let (_, key) = tenant(&[&gateway], plan).await;
    let api = gateway.with(&key);
    let load = request("loads", stack.region(), 1);
    let stored = async |job: &str| {
        let job: blitz_jobs::JobId = job.parse().expect("an id");
        let jobs = stack.store.database(&job.jobs_database());
        let spec = jobs.get::<Spec>(&format!("{job}:spec")).await.expect("an answer");
        spec.expect("a spec").body.terms
    };

    let terms = stored(&api.submit_with(request("fixture", stack.region(), 1)).await).await;
    assert_eq!((terms.load_users, terms.load_ms, terms.output_bytes), (None, None, Some(5000)));
    let first = api.submit_with(load.clone()).await;
    let terms = stored(&first).await;
    assert_eq!((terms.load_users, terms.load_rate_per_s), (Some(250), Some(1000)));
    assert_eq!(terms.load_ms, Some(600_000), "as long as the job may take");
    let terms = stored(&api.submit_with(load.clone()).await).await;
    assert_eq!(terms.load_ms, Some(300_000), "what is left of 15 minutes");
    assert_eq!(used(&api, "load_minutes_today").await, 15);
    let (status, again, answer) = submit(&api, &load).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{answer}");
    assert!(again.is_some_and(|again| again <= 24 * 3600), "{again:?}");
    let text = answer["reason"].as_str().expect("a reason");
    assert!(text.contains("15 of 15 used") && text.contains("load_minutes_per_day"), "{text}");

    let (status, _) = api.call("DELETE", &format!("/v1/jobs/{first}"), None).await;
    assert!(status.is_success());
    until_used(&api, "load_minutes_today", 5).await;
    let terms = stored(&api.submit_with(load).await).await;
    assert_eq!(terms.load_ms, Some(600_000));
    gateway.stop().await;
}

#[tokio::test]
async fn a_plan_that_is_over_ends_at_once_and_the_next_one_is_written_down() {
    let stack = Stack::start(&["quota"]).await;
    let gateway = Gateway::start(&stack).await;
    let operator = &gateway.operator;
    let small = region_name("small");
    let put = async |name: &str, body: Value| {
        let (status, answer) =
            operator.call("PUT", &format!("/v1/plans/{name}"), Some(&body)).await;
        assert!(status.is_success(), "{answer}");
    };
    put(&small, json!({"engines_per_run": 1})).await;
    let (tenant, key) = tenant(&[&gateway], json!({"engines_per_run": 4, "then": small})).await;
    let api = gateway.with(&key);
    let two_engines = request("fixture", stack.region(), 2);
    let (status, _, answer) = submit(&api, &two_engines).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");

    let set = async |body: Value| {
        let path = format!("/v1/tenants/{tenant}");
        let (status, answer) = operator.call("PATCH", &path, Some(&body)).await;
        assert!(status.is_success(), "{answer}");
    };
    set(json!({"plan_until_ms": now_ms()})).await;
    let (status, _, answer) = submit(&api, &two_engines).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
    let text = answer["reason"].as_str().expect("a reason");
    assert!(text.contains(&format!("plan '{small}' allows 1 (engines_per_run)")), "{text}");
    let written = until("the tenant has the next plan", || async {
        let tenants = operator.get("/v1/tenants").await;
        let tenants = tenants["tenants"].as_array()?.clone();
        tenants.into_iter().find(|one| one["name"] == json!(tenant) && one["plan"] == json!(small))
    })
    .await;
    assert_eq!(written["plan_until_ms"], Value::Null, "{written}");

    // Nothing comes after the small one.
    let (status, answer) = operator.call("DELETE", &format!("/v1/plans/{small}"), None).await;
    assert_eq!(
        (status, &answer["error"]),
        (StatusCode::CONFLICT, &json!("plan_in_use")),
        "{answer}"
    );
    set(json!({"plan_until_ms": now_ms()})).await;
    let (status, again, answer) = submit(&api, &request("fixture", stack.region(), 1)).await;
    assert_eq!((status, again), (StatusCode::FORBIDDEN, None), "{answer}");
    let text = answer["reason"].as_str().expect("a reason");
    assert!(text.contains(&format!("plan '{small}' of tenant '{tenant}' is over")), "{text}");
    gateway.stop().await;
}

#[tokio::test]
async fn plans_are_checked_and_the_operator_has_no_limits() {
    let stack = Stack::start(&["quota"]).await;
    let gateway = Gateway::start(&stack).await;
    let (name, operator) = (region_name("plan"), &gateway.operator);
    let path = format!("/v1/plans/{name}");
    for (body, status, words) in [
        (json!({"jobs_per_day": 1}), 422, "no limit 'jobs_per_day'"),
        (json!({"then": name}), 422, "cannot come after itself"),
        (json!({"then": "nowhere"}), 404, "no plan 'nowhere'"),
        (json!({"jobs_per_hour": 1}), 201, ""),
        (json!({"jobs_per_hour": 2}), 200, ""),
    ] {
        let (found, answer) = operator.call("PUT", &path, Some(&body)).await;
        assert_eq!(found.as_u16(), status, "{body}: {answer}");
        assert!(answer.to_string().contains(words), "{body}: {answer}");
    }
    let plans = operator.get("/v1/plans").await;
    let plans = plans["plans"].as_array().expect("a list");
    assert!(plans.iter().any(|plan| plan["name"] == json!(name) && plan["jobs_per_hour"] == 2));
    let (_, key) = tenant(&[&gateway], json!({"jobs_per_hour": 1})).await;
    let member = gateway.with(&key);
    let seen = member.get("/v1/plans").await;
    assert_eq!(seen["plans"].as_array().map(Vec::len), Some(1), "its own: {seen}");
    for (method, path) in [("PUT", path.as_str()), ("DELETE", path.as_str())] {
        let (status, answer) = member.call(method, path, Some(&json!({}))).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
    }
    let (status, _) = member.call("GET", "/v1/usage?tenant=another", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, answer) = operator.call("DELETE", &path, None).await;
    assert_eq!(status, StatusCode::OK, "{answer}");

    for _ in 0..3 {
        let (status, _, answer) = submit(operator, &request("fixture", stack.region(), 10)).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_load_test_above_the_plan_sends_nothing() {
    let (home, server) =
        (Home::new(Path::new(env!("CARGO_BIN_EXE_bench"))), Counter::start().await);
    let up = home.up(&["--region", "virginia"]).await;
    let state =
        std::fs::read(home.path().join(".local/state/blitz/up.json")).expect("a state file");
    let state: Value = serde_json::from_slice(&state).expect("JSON");
    let text = |name: &str| state[name].as_str().unwrap_or_else(|| panic!("no {name}")).to_owned();
    let operator = Api::new(&text("gateway"), &text("token"));
    let (.., key) = make_tenant(&operator, json!({"load_users": 5, "load_rate_per_s": 20})).await;
    let url = server.url("/");
    let rush = async |words: &[&str]| {
        let mut command = home.command(&["rush", "-r", "virginia"]);
        command.args(words).arg(&url).env("BLITZ_HOST", &operator.base).env("BLITZ_TOKEN", &key);
        command.output().await.expect("it ends")
    };
    for (words, refusal) in [
        (["-p", "1-6:1"], "a load test of 6 users, 5 are allowed (load_users)"),
        (["--rate", "21:2"], "21 requests in a second, 20 are allowed (load_rate_per_s)"),
    ] {
        let outcome = rush(&words).await;
        let talk = String::from_utf8_lossy(&outcome.stderr).replace('\n', " ");
        assert!(outcome.status.code() == Some(122) && talk.contains(refusal), "{words:?}: {talk}");
        assert_eq!(server.connections(), 0, "{words:?}");
    }
    let outcome = rush(&["-p", "1-5:1"]).await;
    assert!(server.requests() > 0, "{outcome:?}");
    let usage = Api::new(&operator.base, &key).get("/v1/usage").await;
    assert_eq!(usage["used"]["jobs_this_hour"], 3, "{usage}");
    up.signal("TERM").await;
}
