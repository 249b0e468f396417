//! Two versions of blitz side by side, as during a rolling upgrade: this one, and the program of the commit before, whose
//! path `BLITZ_TEST_PREVIOUS` names.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails at once")]

use std::path::Path;
use std::process::Stdio;

use blitz_tests::program::{address, send_signal};
use blitz_tests::publisher::{Plugin, Publisher};
use blitz_tests::{Api, Home, api, region_name, until};
use tokio::process::{Child, Command};

/// The token of the gateways.
const TOKEN: &str = "a-secret-of-a-test";

/// A process that serves, and ends with this.
struct Part {
    _child: Child,
    address: String,
}

/// Starts a part that says its address, and waits for that.
async fn serve(mut command: Command) -> Part {
    let mut child = command.stderr(Stdio::inherit()).spawn().unwrap();
    let address = address(&mut child).await;
    Part { _child: child, address }
}

struct World {
    publisher: Publisher,
    store: String,
    _store: Part,
}

impl World {
    async fn start(this: &Home) -> Self {
        let mut command = this.command(&["couchdb", "--data", "d", "--listen", "127.0.0.1:0"]);
        command.env("BLITZ_COUCHDB_ADMIN", "root:a-password");
        let part = serve(command).await;
        let store = format!("http://root:a-password@{}", part.address);
        Self { publisher: Publisher::new(), store, _store: part }
    }

    async fn gateway(&self, version: &Home, regions: &str) -> (Part, Api) {
        let mut command = version.command(&["gateway", "--listen", "127.0.0.1:0", "-r", regions]);
        command.env("BLITZ_STORE", &self.store).env("BLITZ_TOKEN", TOKEN);
        let part = serve(command).await;
        let api = Api::new(&format!("http://{}", part.address), TOKEN);
        (part, api)
    }

    fn engine(&self, version: &Home, region: &str, id: &str) -> Child {
        let key = self.publisher.public().to_string();
        let mut command = version.command(&["engine", "--region", region, "--id", id]);
        command.args(["--trust-key", &key, "--targets", "any"]).env("BLITZ_STORE", &self.store);
        command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap()
    }
}

/// Runs a job to its end; which engine ran it.
async fn run(api: &Api, plugin: &Plugin, region: &str) -> String {
    let mut job = plugin.job(&[region], &["echo", "side", "by", "side"]);
    job["queue_timeout_ms"] = 60_000.into();
    let id = api.submit_with(job).await;
    let events = api.follow(&id).await;
    let end =
        events.last().filter(|event| event.kind == "end").unwrap_or_else(|| panic!("{events:?}"));
    assert_eq!(end.data["state"], "done", "{events:?}");
    assert_eq!(api::stream(&events, "stdout"), "side by side\n", "{events:?}");
    let state = events.iter().rfind(|event| !event.data["engine"].is_null());
    state.unwrap_or_else(|| panic!("{events:?}")).data["engine"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_commit_before_and_this_one_serve_side_by_side() {
    let Some(previous) = std::env::var_os("BLITZ_TEST_PREVIOUS") else {
        return println!("skipped: BLITZ_TEST_PREVIOUS names no program of the commit before");
    };
    let this = Home::new(Path::new(env!("CARGO_BIN_EXE_bench")));
    let before = Home::new(Path::new(&previous));
    let world = World::start(&this).await;
    let (old, new) = (region_name("old"), region_name("new"));
    let regions = format!("{old},{new}");
    // The store is made by the former version, and taken over by this one.
    let (_former, former) = world.gateway(&before, &regions).await;
    let (_latter, latter) = world.gateway(&this, &regions).await;
    let plugin = Plugin::named("sides", "0.1.0");
    world.publisher.publish_new(&former, &plugin, &[]).await;
    let mut engine = world.engine(&before, &old, "former");
    let _other = world.engine(&this, &new, "latter");
    for api in [&former, &latter] {
        until("a gateway knows the plugin", || async {
            let (status, _) = api.call("GET", "/v1/plugins/sides", None).await;
            status.is_success().then_some(())
        })
        .await;
        assert_eq!(run(api, &plugin, &old).await, "former");
        assert_eq!(run(api, &plugin, &new).await, "latter");
    }
    // One after the other: an engine of this version comes, that of the former goes.
    let _next = world.engine(&this, &old, "next");
    send_signal(engine.id().unwrap(), "TERM").await;
    assert_eq!(engine.wait().await.unwrap().code(), Some(0));
    for api in [&former, &latter] {
        assert_eq!(run(api, &plugin, &old).await, "next");
    }
}
