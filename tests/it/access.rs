//! Who may use a region and where its jobs may go, and whose plugins are: what engines hold to, whoever wrote a job's document.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails at once")]

use blitz_couchdb::{NewAttachment, Put, PutOptions};
use blitz_jobs::id::DocumentId;
use blitz_jobs::plugin::{COMPONENT, PluginDocument};
use blitz_jobs::region::{CONTROL, Region};
use blitz_jobs::{JobId, Spec};
use blitz_tests::publisher::{Plugin, Publisher};
use blitz_tests::stack::region_name;
use blitz_tests::{Api, FIXTURE, Stack, until};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Changes the region's document, as `blitz region set` does.
async fn change(stack: &Stack, change: impl Fn(&mut Region)) {
    let control = stack.store.database(CONTROL);
    let id = format!("region:{}", stack.region());
    let mut region = control.get::<Region>(&id).await.expect("an answer").expect("a region");
    change(&mut region.body);
    let put = control.put(&id, Some(&region.revision), &region.body, PutOptions::default()).await;
    assert_ne!(put.expect("the region's document is written"), Put::Conflict);
}

/// Writes a job as a gateway would that asks nobody: that of `pattern`, for a tenant.
async fn write_job(stack: &Stack, pattern: &str, tenant: &str) -> String {
    let pattern: JobId = pattern.parse().expect("a job's id");
    let jobs = stack.store.database(&pattern.jobs_database());
    let id = DocumentId::Spec(pattern).to_string();
    let spec = jobs.get::<Spec>(&id).await.expect("an answer").expect("a spec").body;
    let job = JobId::new(stack.region(), 1);
    let tenant = Some(tenant.to_owned());
    let spec = Spec { job: job.clone(), tasks: vec![job.clone()], tenant, ..spec };
    let id = DocumentId::Spec(job.clone()).to_string();
    let put = jobs.put(&id, None, &spec, PutOptions::default()).await;
    assert_ne!(put.expect("the job is written"), Put::Conflict);
    job.to_string()
}

/// How a job ended: its state, and the reason that users read.
async fn end(stack: &Stack, job: &str) -> (String, String) {
    until(&format!("the end of {job}"), || async {
        let view = stack.api.get(&format!("/v1/jobs/{job}")).await;
        let is_final = matches!(view["state"].as_str()?, "done" | "failed");
        is_final.then(|| (view["state"].as_str().unwrap().to_owned(), view["exit"].to_string()))
    })
    .await
}

#[tokio::test]
async fn an_engine_does_not_run_what_a_tenant_asked_for_that_its_region_is_not_for() {
    let stack = Stack::start(&["lyon"]).await;
    let _engine = stack.engine(stack.region(), "e1", 4).await;
    let pattern = stack.api.submit(stack.region(), &["echo", "here"]).await;
    assert_eq!(end(&stack, &pattern).await.0, "done");
    let open = write_job(&stack, &pattern, "other").await;
    assert_eq!(end(&stack, &open).await.0, "done", "the region is everybody's");
    change(&stack, |region| region.access = vec!["acme".to_owned()]).await;
    let reason = until("the engine has heard of the list", || async {
        let job = write_job(&stack, &pattern, "other").await;
        let (state, exit) = end(&stack, &job).await;
        (state == "failed").then_some(exit)
    })
    .await;
    assert!(reason.contains("is not for tenant") && !reason.contains("acme"), "{reason}");
    let theirs = write_job(&stack, &pattern, "acme").await;
    assert_eq!(end(&stack, &theirs).await.0, "done", "who is on the list");
    let operators = stack.api.submit(stack.region(), &["echo", "here"]).await;
    assert_eq!(end(&stack, &operators).await.0, "done", "and the operator always");
}

#[tokio::test]
async fn connections_go_to_the_targets_of_the_region_alone() {
    let stack = Stack::start(&["lyon"]).await;
    let _engine = stack.engine(stack.region(), "e1", 4).await;
    let (listed, other) = (listener().await, listener().await);
    let reach = async |port: u16| {
        let port = port.to_string();
        run(&stack, &["reach", "127.0.0.1", &port, "5000"]).await
    };
    assert_eq!(reach(other).await.1, json!({"status": 0}), "everything is open at first");
    change(&stack, |region| region.targets = vec![format!("127.0.0.1:{listed}")]).await;
    let said = until("the engine has heard of the list", || async {
        let (said, exit) = reach(other).await;
        (exit != json!({"status": 0})).then_some(said)
    })
    .await;
    assert!(said.contains("is not among the targets of this region"), "{said}");
    let (said, exit) = reach(listed).await;
    assert_eq!(exit, json!({"status": 0}), "{said}");
    // A list that nobody can read opens nothing.
    change(&stack, |region| region.targets = vec!["http://x".to_owned()]).await;
    until("the engine has heard of the bad list", || async {
        let (_, exit) = reach(listed).await;
        exit.to_string().contains("cannot be read").then_some(())
    })
    .await;
}

/// A port of this machine where somebody listens.
async fn listener() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    port
}

/// Everything that a job of the fixture says, and its exit.
async fn run(stack: &Stack, args: &[&str]) -> (String, Value) {
    let job = stack.api.submit(stack.region(), args).await;
    let events = stack.api.follow(&job).await;
    let said = ["stdout", "stderr"].map(|name| blitz_tests::api::stream(&events, name)).concat();
    (said, events.last().expect("an end").data["exit"].clone())
}

#[tokio::test]
async fn a_private_plugin_runs_for_its_tenant_and_the_operator() {
    let stack = Stack::start(&["lyon"]).await;
    let _engine = stack.engine(stack.region(), "e1", 4).await;
    stack.publish("hidden", |_| {}).await;
    let control = stack.store.database(CONTROL);
    let id = "plugin:hidden:0.1.0";
    let found = control.get::<PluginDocument>(id).await.expect("an answer").expect("the plugin");
    let document =
        PluginDocument { tenant: Some("acme".to_owned()), private: true, ..found.body.clone() };
    let file = NewAttachment { name: COMPONENT, content_type: "application/wasm", bytes: FIXTURE };
    let put = control.put_with_attachment(id, Some(&found.revision), &document, file).await;
    assert_ne!(put.expect("the plugin's document is written"), Put::Conflict);
    let request = json!({"plugin": "hidden", "args": ["echo", "x"], "regions": [stack.region()]});
    // An engine that had claimed a job of the document before does not find it: nobody else changes a version.
    let pattern = until("the operator's job is done", || async {
        let job = stack.api.submit_with(request.clone()).await;
        (end(&stack, &job).await.0 == "done").then_some(job)
    })
    .await;
    let reason = until("the engine has heard that it is private", || async {
        let job = write_job(&stack, &pattern, "other").await;
        let (state, exit) = end(&stack, &job).await;
        (state == "failed").then_some(exit)
    })
    .await;
    assert!(reason.contains("hidden@0.1.0 is not on this engine"), "{reason}");
    let theirs = write_job(&stack, &pattern, "acme").await;
    assert_eq!(end(&stack, &theirs).await.0, "done");
}

/// A tenant of its own, and a gateway's API as who shows a key of it with these scopes.
async fn member(stack: &Stack, scopes: Value, capabilities: &[&str]) -> (String, Api) {
    let (tenant, plan) = (region_name("acme"), region_name("plan"));
    let asks = async |method: &str, path: &str, body: Value| {
        let (status, answer) = stack.api.call(method, path, Some(&body)).await;
        assert!(status.is_success(), "{method} {path} {body}: {answer}");
        answer
    };
    asks("PUT", &format!("/v1/plans/{plan}"), json!({"capabilities": capabilities})).await;
    asks("POST", "/v1/tenants", json!({"name": tenant, "plan": plan})).await;
    let key = json!({"tenant": tenant, "user": "ann", "scopes": scopes});
    let answer = asks("POST", "/v1/keys", key).await;
    let api = Api::new(&stack.api.base, answer["secret"].as_str().expect("a key"));
    (tenant, api)
}

#[tokio::test]
async fn what_is_not_for_a_tenant_is_not_there_for_it() {
    let stack = Stack::start(&["lyon", "oslo"]).await;
    let [lyon, oslo] = &stack.regions[..] else { panic!("two regions") };
    let (acme, own) = member(&stack, json!({}), &[]).await;
    let (_, other) = member(&stack, json!({}), &[]).await;
    change(&stack, |region| region.access = vec![acme.clone()]).await;
    let names = async |api: &Api| -> Vec<String> {
        let regions = api.get("/v1/regions").await;
        let regions = regions["regions"].as_array().cloned().unwrap_or_default();
        regions.iter().filter_map(|region| Some(region["name"].as_str()?.to_owned())).collect()
    };
    until("the gateway has heard of the list", || async {
        (!names(&other).await.contains(lyon)).then_some(())
    })
    .await;
    assert!(names(&own).await.contains(lyon) && names(&stack.api).await.contains(lyon));
    let ask = async |api: &Api, regions: &[&str]| {
        let request = json!({"plugin": "fixture", "args": ["noop"], "regions": regions});
        api.call("POST", "/v1/jobs", Some(&request)).await
    };
    let (status, answer) = ask(&other, &[lyon]).await;
    assert_eq!((status.as_u16(), &answer["error"]), (404, &json!("unknown_region")));
    assert!(answer["known"].as_array().is_some_and(|known| !known.contains(&json!(lyon))));
    assert_eq!(ask(&own, &[lyon]).await.0, 201);
    for words in [&["all"][..], &["any"]] {
        let (status, answer) = ask(&other, words).await;
        assert_eq!(status, 201, "{answer}");
        let jobs = answer["jobs"].as_array().expect("jobs");
        assert!(jobs.iter().all(|job| job["region"] != json!(lyon)), "{words:?}: {answer}");
    }
    assert_eq!(ask(&other, &[oslo]).await.0, 201);
}

#[tokio::test]
async fn a_tenants_plugin_is_its_own_and_asks_for_what_its_plan_grants() {
    let stack = Stack::start(&["lyon"]).await;
    let all = ["web", "dns", "sockets", "probes"];
    let (_, reader) = member(&stack, json!({}), &all).await;
    let (_, poor) = member(&stack, json!({"is_admin": true}), &["web"]).await;
    let (_, acme) = member(&stack, json!({"may_publish": true}), &all).await;
    let (_, other) = member(&stack, json!({"is_admin": true}), &all).await;
    let (publisher, plugin) = (Publisher::new(), Plugin::named(&region_name("hops"), "0.1.0"));
    for (api, error) in [(&reader, "forbidden"), (&poor, "refused")] {
        let (status, answer) = publisher.publish(api, &plugin, &[]).await;
        assert_eq!((status.as_u16(), &answer["error"]), (403, &json!(error)), "{answer}");
    }
    let (status, answer) = publisher.publish_private(&acme, &plugin).await;
    assert_eq!(status, 201, "{answer}");
    let next = Plugin::named(&plugin.name, "0.2.0");
    for api in [&other, &stack.api] {
        let (status, answer) = publisher.publish(api, &next, &[]).await;
        assert_eq!((status.as_u16(), &answer["error"]), (409, &json!("name_taken")), "{answer}");
    }
    let job = plugin.job(&[stack.region()], &["noop"]);
    for path in [format!("/v1/plugins/{}", plugin.name), plugin.path()] {
        assert_eq!(acme.call("GET", &path, None).await.0, 200, "{path}");
        assert_eq!(stack.api.call("GET", &path, None).await.0, 200, "{path}");
        let (status, answer) = other.call("GET", &path, None).await;
        assert_eq!(status, 404, "{path}: {answer}");
        let known = answer["known"].to_string();
        assert!(!known.contains(&plugin.name), "{known}");
    }
    let listed = other.get("/v1/plugins").await.to_string();
    assert!(!listed.contains(&plugin.name), "{listed}");
    assert_eq!(other.call("POST", "/v1/jobs", Some(&job)).await.0, 404);
    assert_eq!(acme.call("POST", "/v1/jobs", Some(&job)).await.0, 201);
    let yank = format!("{}/yank", plugin.path());
    assert_eq!(other.call("POST", &yank, Some(&json!({}))).await.0, 404, "not there for it");
    assert_eq!(acme.call("POST", &yank, Some(&json!({}))).await.0, 200);
    // The audit is for admins, and of their own tenant alone.
    assert_eq!(acme.call("GET", "/v1/audit", None).await.0, 403);
    assert_eq!(other.call("GET", "/v1/audit?tenant=-", None).await.0, 404);
    let told = until("the refusals of a tenant", || async {
        let told = other.get("/v1/audit").await["entries"].as_array().cloned()?;
        (told.len() >= 2).then_some(told)
    })
    .await;
    assert!(told.iter().all(|entry| entry["who"]["user"] == "ann"), "{told:?}");
}
