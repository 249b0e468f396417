//! Publishing, trust, yanks and promotions on a running stack: nothing is started again.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Instant;

use blitz_engine::Trust;
use blitz_tests::api::stream;
use blitz_tests::publisher::{Plugin, Publisher};
use blitz_tests::{Home, Stack, region_name, until};
use serde_json::{Value, json};

pub(super) fn trust(publisher: &Publisher) -> Trust {
    Trust { keys: [publisher.public()].into(), ..Trust::default() }
}

/// A name that no other test has: stores that outlive a test are shared.
pub(super) fn name() -> String {
    region_name("hops")
}

/// Waits until this many engines of a region can run a version.
pub(super) async fn ready(stack: &Stack, plugin: &Plugin, region: &str, wanted: u64) {
    until(&format!("{} ready in {region}", plugin.label()), || async {
        let state = state(stack, plugin, region).await?;
        (state["ready"] == wanted).then_some(())
    })
    .await;
}

/// Waits until an engine of a region refuses a version, and gives the reason.
pub(super) async fn refusal(stack: &Stack, plugin: &Plugin, region: &str) -> String {
    until(&format!("a refusal of {}", plugin.label()), || async {
        let state = state(stack, plugin, region).await.filter(|state| state["ready"] == 0)?;
        Some(state["refused"][0]["reason"].as_str()?.to_owned())
    })
    .await
}

async fn state(stack: &Stack, plugin: &Plugin, region: &str) -> Option<Value> {
    let (_, view) = stack.api.call("GET", &plugin.path(), None).await;
    view["regions"].as_array()?.iter().find(|r| r["name"] == region).cloned()
}

/// Runs `echo hello` and checks that it did.
pub(super) async fn runs(stack: &Stack, plugin: &Plugin, region: &str) {
    let job = stack.api.submit_with(plugin.job(&[region], &["echo", "hello"])).await;
    let events = stack.api.follow(&job).await;
    assert_eq!(stream(&events, "stdout"), "hello\n", "{} in {region}: {events:?}", plugin.label());
}

#[tokio::test]
async fn a_plugin_is_published_to_a_running_stack_and_runs_in_both_regions() {
    let stack = Stack::start(&["virginia", "japan"]).await;
    let publisher = Publisher::new();
    let mut engines = Vec::new();
    for region in &stack.regions {
        engines.push(stack.engine_that_trusts(region, "e1", 2, trust(&publisher)).await);
    }
    let plugin = Plugin::named(&name(), "0.1.0");
    let begun = Instant::now();
    publisher.publish_new(&stack.api, &plugin, &[]).await;
    for region in &stack.regions {
        ready(&stack, &plugin, region, 1).await;
    }
    let kib = plugin.file.len() >> 10;
    println!("publish to runnable in two regions: {:?} for {kib} KiB", begun.elapsed());
    for region in &stack.regions {
        runs(&stack, &plugin, region).await;
    }

    let (status, answer) = publisher.publish(&stack.api, &plugin, &[]).await;
    assert_eq!((status.as_u16(), &answer["new"]), (200, &json!(false)), "the same again: {answer}");
    let other = plugin.clone().with_padding(10);
    let changed = Plugin { manifest: plugin.manifest.replace("well", "good"), ..plugin.clone() };
    for (what, publisher, plugin, only, says) in [
        ("another file", &publisher, &other, &[][..], "with another file"),
        ("another publisher", &Publisher::new(), &plugin, &[], "by another publisher"),
        ("other regions", &publisher, &plugin, &[stack.region()], "for other regions"),
        ("another manifest", &publisher, &changed, &[], "the manifest inside the file is not"),
    ] {
        let (status, answer) = publisher.publish(&stack.api, plugin, only).await;
        assert!(matches!(status.as_u16(), 409 | 422), "{what}: {status} {answer}");
        assert!(answer["reason"].as_str().is_some_and(|r| r.contains(says)), "{what}: {answer}");
    }
    let (status, answer) =
        publisher.publish(&stack.api, &Plugin::named("fixture", "9.9.9"), &[]).await;
    assert_eq!((status.as_u16(), &answer["error"]), (409, &json!("name_taken")), "{answer}");
    let own = stack.api.get("/v1/plugins/fixture").await;
    let path = format!("/v1/plugins/fixture/{}/yank", own["version"].as_str().unwrap());
    let (status, answer) = stack.api.call("POST", &path, Some(&json!({}))).await;
    assert_eq!(status.as_u16(), 403, "{answer}");
    assert!(answer["reason"].as_str().unwrap().contains("is the operator's own"), "{answer}");
}

#[tokio::test]
async fn a_name_belongs_to_its_first_key_and_a_contract_that_nobody_speaks_burns_no_version() {
    let stack = Stack::start(&["japan"]).await;
    let (publisher, other, name) = (Publisher::new(), Publisher::new(), name());
    let unspoken = Plugin::named_with(&name, "0.1.0", |m| m.contract = "0.2.0".to_owned());
    let (status, answer) = publisher.publish(&stack.api, &unspoken, &[]).await;
    let says = "it was built for contract 0.2.0, this blitz has 0.1.0";
    assert_eq!(status.as_u16(), 422, "{answer}");
    assert!(answer["reason"].as_str().unwrap().contains(says), "{answer}");

    let first = Plugin::named(&name, "0.1.0");
    publisher.publish_new(&stack.api, &first, &[]).await;
    let next = Plugin::named(&name, "0.2.0");
    for is_yanked in [false, true] {
        let (status, answer) = other.publish(&stack.api, &next, &[]).await;
        assert_eq!(
            (status.as_u16(), &answer["error"]),
            (409, &json!("name_taken")),
            "yanked: {is_yanked}: {answer}"
        );
        let reason = answer["reason"].as_str().unwrap();
        assert!(reason.contains(&publisher.public().to_string()), "{reason}");
        let path = format!("{}/yank", first.path());
        let (status, _) = stack.api.call("POST", &path, Some(&json!({}))).await;
        assert_eq!(status.as_u16(), 200);
    }
    publisher.publish_new(&stack.api, &next, &[]).await;
}

#[tokio::test]
async fn a_publishing_that_is_no_release_is_refused() {
    let stack = Stack::start(&["japan"]).await;
    let plugin = Plugin::named(&name(), "0.1.0");
    let publisher = Publisher::new();
    let (status, answer) = publisher.publish(&stack.api, &plugin, &["mars"]).await;
    assert_eq!((status.as_u16(), &answer["error"]), (404, &json!("unknown_region")), "{answer}");
    for (body, status) in
        [(b"{}\n".to_vec(), 400), (b"no line".to_vec(), 400), (vec![b'x'; 67 << 20], 413)]
    {
        let (got, answer) = stack.api.put_bytes(&plugin.path(), body).await;
        assert_eq!(got.as_u16(), status, "{answer}");
    }
}

#[tokio::test]
async fn a_key_is_trusted_when_the_file_of_the_machine_has_it() {
    let stack = Stack::start(&["japan"]).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("trusted-keys");
    let write = |text: &str| {
        let beside = directory.path().join("new");
        std::fs::write(&beside, text).unwrap();
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(&beside, &file).unwrap();
    };
    let trust = Trust { file: Some(file.clone()), ..Trust::default() };
    let _engine = stack.engine_that_trusts(stack.region(), "e1", 2, trust).await;
    let (publisher, plugin) = (Publisher::new(), Plugin::named(&name(), "0.1.0"));
    publisher.publish_new(&stack.api, &plugin, &[]).await;
    let key = publisher.public();
    let reason = refusal(&stack, &plugin, stack.region()).await;
    assert!(reason.contains(&format!("'blitz plugin trust {key}'")), "{reason}");

    write(&format!("# ours\n{key}\n"));
    ready(&stack, &plugin, stack.region(), 1).await;
    runs(&stack, &plugin, stack.region()).await;
    write("");
    let reason = refusal(&stack, &plugin, stack.region()).await;
    assert!(reason.contains("does not trust the key"), "{reason}");
}

#[tokio::test]
async fn what_is_tampered_with_in_the_store_is_refused_with_the_reason() {
    let stack = Stack::start(&["japan"]).await;
    let publisher = Publisher::new();
    let control = stack.store.database("blitz");
    let [file, rights, unsigned] = ["0.1.0", "0.2.0", "0.3.0"].map(|v| Plugin::named(&name(), v));
    for plugin in [&file, &rights, &unsigned] {
        publisher.publish_new(&stack.api, plugin, &[]).await;
    }
    let other = Plugin::named("other", "0.1.0").file;
    let known = control.get::<Value>(&file.document_id()).await.unwrap().unwrap();
    let id = file.document_id();
    let put = control.put_attachment(
        &id,
        "component.wasm",
        Some(&known.revision),
        "application/wasm",
        other.into(),
    );
    assert!(matches!(put.await.unwrap(), blitz_couchdb::Put::Created(_)));
    for (plugin, pointer, value) in [
        (&rights, "/manifest/capabilities", json!(["web", "sockets"])),
        (&unsigned, "/signature", Value::Null),
    ] {
        let id = plugin.document_id();
        let mut known = control.get::<Value>(&id).await.unwrap().unwrap();
        *known.body.pointer_mut(pointer).unwrap() = value;
        let attachment = blitz_couchdb::NewAttachment {
            name: "component.wasm",
            content_type: "application/wasm",
            bytes: &plugin.file,
        };
        let put = control.put_with_attachment(&id, Some(&known.revision), &known.body, attachment);
        assert!(matches!(put.await.unwrap(), blitz_couchdb::Put::Created(_)));
    }
    let _engine = stack.engine_that_trusts(stack.region(), "e1", 2, trust(&publisher)).await;
    for (plugin, says) in [
        (&file, "the component's sha256 is "),
        (&rights, "its manifest is not the one that was signed"),
        (&unsigned, "nobody signed it"),
    ] {
        let reason = refusal(&stack, plugin, stack.region()).await;
        assert!(reason.contains(says), "{says}: {reason}");
    }
}

#[tokio::test]
async fn a_yanked_version_is_given_to_no_job_and_waiting_jobs_end_with_the_reason() {
    let stack = Stack::start(&["japan", "virginia"]).await;
    let (publisher, name) = (Publisher::new(), name());
    let _engine = stack.engine_that_trusts(stack.region(), "e1", 2, trust(&publisher)).await;
    let [old, new] = ["0.1.0", "0.2.0"].map(|version| Plugin::named(&name, version));
    for plugin in [&old, &new] {
        publisher.publish_new(&stack.api, plugin, &[]).await;
        ready(&stack, plugin, stack.region(), 1).await;
    }
    // It waits: no engine is in its region.
    let mut job = new.job(&[&stack.regions[1]], &["noop"]);
    job["queue_timeout_ms"] = json!(60_000);
    let waiting = stack.api.submit_with(job).await;
    let path = format!("{}/yank", new.path());
    let reason = json!({"reason": "it leaks"});
    for is_new in [true, false] {
        let (status, answer) = stack.api.call("POST", &path, Some(&reason)).await;
        assert_eq!((status.as_u16(), &answer["new"]), (200, &json!(is_new)), "{answer}");
    }
    let _late = stack.engine_that_trusts(&stack.regions[1], "e2", 2, trust(&publisher)).await;
    let end = stack.api.follow(&waiting).await.pop().unwrap();
    let reason = end.data["exit"]["stopped"]["unusable"].as_str().unwrap_or_default();
    assert_eq!(reason, format!("{} was yanked: it leaks", new.label()), "{end:?}");

    let (_, accepted) =
        stack.api.call("POST", "/v1/jobs", Some(&new.job(&[stack.region()], &["noop"]))).await;
    assert_eq!(accepted["version"], "0.1.0", "the newest that is left: {accepted}");
    let mut pinned = new.job(&[stack.region()], &["noop"]);
    pinned["version"] = json!("0.2.0");
    let (status, answer) = stack.api.call("POST", "/v1/jobs", Some(&pinned)).await;
    assert_eq!((status.as_u16(), &answer["error"]), (409, &json!("yanked")), "{answer}");
    assert!(
        answer["reason"].as_str().is_some_and(|r| r.contains("was yanked: it leaks")),
        "{answer}"
    );
    let (status, answer) = publisher.publish(&stack.api, &new, &[]).await;
    assert_eq!((status.as_u16(), &answer["error"]), (409, &json!("yanked")), "{answer}");
    let (status, _) = stack.api.call("POST", &format!("{}/promote", new.path()), None).await;
    assert_eq!(status.as_u16(), 409);
    ready(&stack, &new, stack.region(), 0).await;
}

#[tokio::test]
async fn a_version_for_one_region_serves_beside_the_old_one_until_it_is_promoted() {
    let stack = Stack::start(&["virginia", "japan"]).await;
    let (publisher, name) = (Publisher::new(), name());
    let mut engines = Vec::new();
    for region in &stack.regions {
        engines.push(stack.engine_that_trusts(region, "e1", 2, trust(&publisher)).await);
    }
    let [old, new] = ["0.1.0", "0.2.0"].map(|version| Plugin::named(&name, version));
    let [virginia, japan] = [stack.regions[0].as_str(), stack.regions[1].as_str()];
    publisher.publish_new(&stack.api, &old, &[]).await;
    publisher.publish_new(&stack.api, &new, &[japan]).await;
    ready(&stack, &old, virginia, 1).await;
    ready(&stack, &new, japan, 1).await;

    let both = old.job(&[virginia, japan], &["echo", "hello"]);
    let (_, accepted) = stack.api.call("POST", "/v1/jobs", Some(&both)).await;
    for (at, version) in [(0, "0.1.0"), (1, "0.2.0")] {
        let job = &accepted["jobs"][at];
        assert_eq!(job["version"], version, "{accepted}");
        let events = stack.api.follow(job["id"].as_str().unwrap()).await;
        assert_eq!(stream(&events, "stdout"), "hello\n", "{version}: {events:?}");
    }
    for (regions, version) in
        [(virginia, "0.1.0"), (japan, "0.2.0"), (&format!("{virginia},{japan}"), "0.1.0")]
    {
        let plugin = stack.api.get(&format!("/v1/plugins/{name}?regions={regions}")).await;
        assert_eq!(plugin["version"], version, "{regions}");
    }
    let mut pinned = new.job(&[virginia], &["noop"]);
    pinned["version"] = json!("0.2.0");
    let (status, answer) = stack.api.call("POST", "/v1/jobs", Some(&pinned)).await;
    assert_eq!((status.as_u16(), &answer["error"]), (409, &json!("not_in_region")), "{answer}");

    let (status, answer) = stack.api.call("POST", &format!("{}/promote", new.path()), None).await;
    assert_eq!((status.as_u16(), &answer["new"]), (200, &json!(true)), "{answer}");
    ready(&stack, &new, virginia, 1).await;
    let events = stack.api.follow(&stack.api.submit_with(pinned).await).await;
    assert_eq!(events.last().unwrap().data["state"], "done", "{events:?}");
}

#[tokio::test]
async fn a_job_may_pin_a_version_and_its_digest() {
    let stack = Stack::start(&["japan"]).await;
    let (publisher, name) = (Publisher::new(), name());
    let _engine = stack.engine_that_trusts(stack.region(), "e1", 2, trust(&publisher)).await;
    let [old, new] = ["0.1.0", "0.2.0"].map(|version| Plugin::named(&name, version));
    for plugin in [&old, &new] {
        publisher.publish_new(&stack.api, plugin, &[]).await;
        ready(&stack, plugin, stack.region(), 1).await;
    }
    let mut job = old.job(&[stack.region()], &["echo", "hello"]);
    (job["version"], job["sha256"]) = (json!("0.1.0"), json!(old.sha256()));
    let (_, accepted) = stack.api.call("POST", "/v1/jobs", Some(&job)).await;
    assert_eq!(accepted["sha256"], old.sha256(), "{accepted}");
    let events = stack.api.follow(accepted["jobs"][0]["id"].as_str().unwrap()).await;
    assert_eq!(stream(&events, "stdout"), "hello\n");
    job["sha256"] = json!(new.sha256());
    let (status, answer) = stack.api.call("POST", "/v1/jobs", Some(&job)).await;
    assert_eq!((status.as_u16(), &answer["error"]), (409, &json!("other_digest")), "{answer}");
    let reason = answer["reason"].as_str().unwrap();
    assert!(reason.contains(&old.sha256()) && reason.contains(&new.sha256()), "{reason}");
}

#[tokio::test]
async fn a_component_of_20_mib_is_published_and_runs() {
    let stack = Stack::start(&["japan"]).await;
    let publisher = Publisher::new();
    let _engine = stack.engine_that_trusts(stack.region(), "e1", 2, trust(&publisher)).await;
    let plugin = Plugin::named(&name(), "0.1.0").with_padding(20 << 20);
    let begun = Instant::now();
    publisher.publish_new(&stack.api, &plugin, &[]).await;
    ready(&stack, &plugin, stack.region(), 1).await;
    println!("publish to runnable: {:?} for {} MiB", begun.elapsed(), plugin.file.len() >> 20);
    runs(&stack, &plugin, stack.region()).await;
}

#[tokio::test]
async fn a_publisher_goes_from_a_file_to_two_regions_on_the_command_line() {
    let home = Home::new(Path::new(env!("CARGO_BIN_EXE_bench")));
    let _up = home.up(&["--region", "virginia", "--region", "japan"]).await;
    let plugin = Plugin::named("hops", "0.1.0");
    std::fs::write(home.path().join("hops.wasm"), &plugin.file).unwrap();
    let begun = Instant::now();
    let outcome = home.run(&["plugin", "publish", "hops.wasm"]).await;
    println!("blitz plugin publish: {:?}\n{}", begun.elapsed(), outcome.stdout);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let kib = plugin.file.len() >> 10;
    let headline = format!("published hops@0.1.0 sha256:{} ({kib} KiB)\n", plugin.sha256());
    assert_eq!(
        outcome.stdout,
        format!("{headline}ready in japan (1 engine), virginia (1 engine)\n")
    );
    let outcome = home.run(&["hops", "-r", "virginia,japan", "--group", "echo", "hello"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(outcome.stdout.matches("hello").count(), 2, "{outcome:?}");

    let next = Plugin::named("hops", "0.2.0");
    std::fs::write(home.path().join("next.wasm"), &next.file).unwrap();
    let outcome = home.run(&["plugin", "publish", "next.wasm", "--only", "jp"]).await;
    assert!(outcome.stdout.ends_with("\nready in japan (1 engine)\n"), "{outcome:?}");
    let outcome = home.run(&["plugin", "promote", "hops@0.2.0"]).await;
    assert_eq!(outcome.stdout, "promoted hops@0.2.0: all regions may run it\n", "{outcome:?}");
    let outcome = home.run(&["plugin", "yank", "hops@0.1.0", "--reason", "it leaks"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let outcome = home.run(&["plugin", "list", "hops"]).await;
    assert!(outcome.stdout.contains("yanked: it leaks"), "{outcome:?}");
    assert!(outcome.stdout.contains("virginia"), "{outcome:?}");

    // Another's key: engines refuse it until it is trusted, while they run.
    let theirs = ["plugin", "key", "--key", "their.key"];
    let key = home.run(&theirs).await.stdout;
    let other = Plugin::named("trace", "0.1.0");
    std::fs::write(home.path().join("trace.wasm"), &other.file).unwrap();
    let publish = ["plugin", "publish", "trace.wasm", "--key", "their.key"];
    let outcome = home.run(&publish).await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(
        outcome.stderr.contains(&format!("'blitz plugin trust {}'", key.trim())),
        "{outcome:?}"
    );
    let outcome = home.run(&["plugin", "trust", key.trim()]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    until("the engines trust it", || async {
        let outcome = home.run(&publish).await;
        (outcome.code == Some(0)).then_some(())
    })
    .await;
    let outcome = home.run(&["trace", "-r", "japan", "echo", "hello"]).await;
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), "hello\n"), "{outcome:?}");
    let outcome = home.run(&["plugin", "trust", "--list"]).await;
    assert_eq!(outcome.stdout, key, "{outcome:?}");
}
