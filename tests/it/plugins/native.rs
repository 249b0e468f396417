//! Native plugins on the whole road: built, published with the manifest beside them, run in two regions, stopped,
//! yanked, and tried at home before.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use blitz_contract::{Manifest, Retry};
use blitz_engine::Trust;
use blitz_tests::api::{Event, stream};
use blitz_tests::publisher::{Plugin, Publisher};
use blitz_tests::{Home, Stack, Web, until};
use serde_json::{Value, json};

use super::publish::{name, ready, runs};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A program whose `main` is that of a child of the runtime when it is asked for.
const PROGRAM: &str = env!("CARGO_BIN_EXE_bench");

fn trust(publisher: &Publisher) -> Trust {
    Trust { native_keys: [publisher.public()].into(), ..Trust::default() }
}

/// The fixture as a library: the same source as the component.
fn library() -> Vec<u8> {
    static LIBRARY: OnceLock<Vec<u8>> = OnceLock::new();
    LIBRARY.get_or_init(build).clone()
}

fn build() -> Vec<u8> {
    // Beside the profiles' directories, a directory of its own: the outer build has another form of the same library.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("plugins-native");
    let made = Command::new(env!("CARGO"))
        .current_dir(REPOSITORY)
        .args(["build", "--locked", "--package", "blitz-fixture", "--features", "native"])
        .arg("--target-dir")
        .arg(&target)
        .output()
        .expect("cargo starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::read(target.join("debug/libblitz_fixture.so")).expect("the library")
}

fn plugin(name: &str, version: &str, change: impl FnOnce(&mut Manifest)) -> Plugin {
    Plugin::native(name, version, library(), change)
}

/// Waits until a job that runs `until-cancelled` says that it waits.
async fn waits(stack: &Stack, job: &str) {
    let mut events = stack.api.events(job, None).await;
    while let Some(event) = events.next().await {
        if stream(&[event], "stdout") == "waiting\n" {
            return;
        }
    }
    panic!("{job} ended before it waited");
}

fn stopped(events: &[Event]) -> &Value {
    &events.last().expect("an event").data["exit"]["stopped"]
}

#[tokio::test]
async fn a_native_plugin_goes_the_whole_road() {
    let stack = Stack::start_with_children(&["virginia", "japan"], Path::new(PROGRAM)).await;
    let publisher = Publisher::new();
    let mut engines = Vec::new();
    for region in &stack.regions {
        engines.push(stack.engine_that_trusts(region, "e1", 2, trust(&publisher)).await);
    }
    let name = name();
    let old = plugin(&name, "0.1.0", |_| {});
    // The same file with another manifest is another version.
    let new = plugin(&name, "0.2.0", |manifest| {
        manifest.retry = Retry::Never;
        manifest.limits.output_bytes = Some(1 << 20);
    });
    for plugin in [&old, &new] {
        publisher.publish_new(&stack.api, plugin, &[]).await;
        for region in &stack.regions {
            ready(&stack, plugin, region, 1).await;
        }
    }
    let [virginia, japan] = [stack.regions[0].as_str(), stack.regions[1].as_str()];
    runs(&stack, &new, virginia).await;
    runs(&stack, &new, japan).await;

    let mut job = new.job(&[japan], &["--input", "-", "cat"]);
    job["inputs"] = json!([{"name": "-", "base64": "b25lCnR3bwo="}]);
    let events = stack.api.follow(&stack.api.submit_with(job).await).await;
    assert_eq!(stream(&events, "stdout"), "one\ntwo\n", "{events:?}");

    let job = stack.api.submit_with(new.job(&[japan], &["until-cancelled"])).await;
    waits(&stack, &job).await;
    let (status, _) = stack.api.call("DELETE", &format!("/v1/jobs/{job}"), None).await;
    assert_eq!(status.as_u16(), 202);
    let events = stack.api.follow(&job).await;
    assert_eq!(events.last().expect("an event").data["state"], "cancelled", "{events:?}");
    assert_eq!(stream(&events, "stdout"), "waiting\nlast words\n", "{events:?}");
    let counted = r#"{"counters":{"cancels_count":1},"distributions":{}}"#;
    assert_eq!(stream(&events, "event:metrics"), counted, "{events:?}");

    let mut flood = old.job(&[japan], &["flood", "3000000"]);
    flood["version"] = json!("0.1.0");
    let events = stack.api.follow(&stack.api.submit_with(flood).await).await;
    assert_eq!(events.last().expect("an event").data["state"], "done", "{:?}", events.last());
    for (args, kind, says) in [
        (&["flood", "3000000"][..], "limit", "output limit 1 MiB reached"),
        (&["panic"], "crashed", "asked to panic"),
    ] {
        let events = stack.api.follow(&stack.api.submit_with(new.job(&[japan], args)).await).await;
        let reason = stopped(&events)[kind].as_str().unwrap_or_default();
        assert!(reason.contains(says), "{args:?}: {:?}", events.last());
    }
    runs(&stack, &new, japan).await;

    let path = format!("{}/yank", new.path());
    let (status, _) = stack.api.call("POST", &path, Some(&json!({"reason": "it leaks"}))).await;
    assert_eq!(status.as_u16(), 200);
    ready(&stack, &new, japan, 0).await;
    let (_, accepted) =
        stack.api.call("POST", "/v1/jobs", Some(&new.job(&[japan], &["echo", "hello"]))).await;
    assert_eq!(accepted["version"], "0.1.0", "the newest that is left: {accepted}");
    let events = stack.api.follow(accepted["jobs"][0]["id"].as_str().unwrap()).await;
    assert_eq!(stream(&events, "stdout"), "hello\n", "{events:?}");
}

#[tokio::test]
async fn a_native_plugin_needs_a_trusted_key_and_an_engine_that_can_run_it() {
    let publisher = Publisher::new();
    let plugin = plugin(&name(), "0.1.0", |_| {});
    let without = Stack::start(&["japan"]).await;
    let _engine = without.engine_that_trusts(without.region(), "e1", 2, trust(&publisher)).await;
    let with = Stack::start_with_children(&["japan"], Path::new(PROGRAM)).await;
    let mut digest = super::publish::trust(&publisher);
    digest.digests.insert(plugin.sha256());
    let _engine = with.engine_that_trusts(with.region(), "e1", 2, digest).await;
    for (stack, says) in [
        (&without, "this engine has no program for its child processes"),
        // Bytes, and a key that is trusted for components, are believed of components only.
        (&with, "--native' on its machine does"),
    ] {
        publisher.publish_new(&stack.api, &plugin, &[]).await;
        let reason = super::publish::refusal(stack, &plugin, stack.region()).await;
        assert!(reason.contains(says), "{says}: {reason}");
    }
}

#[tokio::test]
async fn a_drained_engine_asks_its_plugins_to_end() {
    let stack = Stack::start_with_children(&["japan"], Path::new(PROGRAM)).await;
    let publisher = Publisher::new();
    let engine = stack.engine_that_trusts(stack.region(), "e1", 2, trust(&publisher)).await;
    let once = |manifest: &mut Manifest| manifest.retry = Retry::Never;
    let component = Plugin::named_with(&name(), "0.1.0", once);
    let library = plugin(&name(), "0.1.0", once);
    let mut jobs = Vec::new();
    for plugin in [&component, &library] {
        publisher.publish_new(&stack.api, plugin, &[]).await;
        ready(&stack, plugin, stack.region(), 1).await;
        let job = plugin.job(&[stack.region()], &["until-cancelled"]);
        jobs.push(stack.api.submit_with(job).await);
    }
    for job in &jobs {
        waits(&stack, job).await;
    }
    engine.drain().await;
    for job in &jobs {
        let events = stack.api.follow(job).await;
        assert_eq!(events.last().expect("an event").data["state"], "cancelled", "{events:?}");
        assert_eq!(stream(&events, "stdout"), "waiting\nlast words\n", "{events:?}");
    }
}

#[tokio::test]
async fn an_author_tries_a_library_and_publishes_it_on_the_command_line() {
    let home = Home::new(Path::new(PROGRAM));
    let at = |name: &str| home.path().join(name);
    std::fs::write(at("tool.so"), library()).unwrap();
    let outcome = home.run(&["plugin", "publish", "tool.so"]).await;
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(
        outcome.stderr.contains("no plugin.toml beside it: give --manifest FILE"),
        "{outcome:?}"
    );
    let manifest = blitz_tests::FIXTURE_MANIFEST.replace("\"fixture\"", "\"tool\"");
    std::fs::write(at("plugin.toml"), manifest).unwrap();

    for (args, code, stdout) in [
        (&["echo", "hello"][..], 0, "hello\n"),
        (&["exit", "3"], 3, ""),
        (&["args"], 0, "[\"args\"]\n"),
    ] {
        let outcome = home.run(&[&["plugin", "run", "tool.so"], args].concat()).await;
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(code), stdout), "{outcome:?}");
    }
    for command in ["check", "inspect"] {
        let outcome = home.run(&["plugin", command, "tool.so"]).await;
        assert!(outcome.stdout.contains("native"), "{outcome:?}");
    }

    // What it hears from the host is on a tape, as a component's is; the replay has no network.
    let web = Web::start(|_| blitz_tests::web::ok("here\n")).await;
    let url = web.url("/hello");
    let run = ["plugin", "run", "--record", "tape", "tool.so", "get", &url];
    let recorded = home.run(&run).await;
    assert_eq!(recorded.code, Some(0), "{recorded:?}");
    drop(web);
    let run = ["plugin", "run", "--replay", "tape", "tool.so", "get", &url];
    let replayed = home.run(&run).await;
    assert_eq!((replayed.code, &replayed.stdout), (Some(0), &recorded.stdout), "{replayed:?}");

    let _up = home.up(&["--region", "virginia", "--region", "japan"]).await;
    let outcome = home.run(&["plugin", "publish", "tool.so"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(
        outcome.stdout.ends_with("ready in japan (1 engine), virginia (1 engine)\n"),
        "{outcome:?}"
    );
    until("both regions run it", || async {
        let outcome = home.run(&["tool", "-r", "virginia,japan", "--group", "echo", "hello"]).await;
        (outcome.stdout.matches("hello").count() == 2).then_some(())
    })
    .await;
}
