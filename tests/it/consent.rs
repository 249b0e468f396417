//! No load without proof that the tenant owns the target, and no way around it: from the API of targets to the packets.

mod packets;

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use blitz_contract::Manifest;
use blitz_tests::owner::Owner;
use blitz_tests::{Api, Home, Outcome, Stack, until};
use serde_json::{Value, json};

/// A test that was taken its proof is over by then.
const STOPPED_MAX: Duration = Duration::from_secs(60);

/// `blitz up` that looks each second, with its operator and two tenants of a user each.
struct World {
    home: Home,
    up: blitz_tests::program::Up,
    operator: Api,
    acme: Api,
    other: Api,
}

/// The key of a new tenant's first user.
async fn tenant(operator: &Api, name: &str) -> Api {
    operator.tenant(name).await;
    operator.key(name, "ann", json!({})).await.0
}

impl World {
    async fn start() -> Self {
        let home = Home::new(Path::new(env!("CARGO_BIN_EXE_bench")));
        let up = home.up(&["--region", "local", "--load-look-s", "1"]).await;
        let file = home.path().join(".local/state/blitz/up.json");
        let state = std::fs::read_to_string(file).expect("the state of blitz up");
        let state: Value = serde_json::from_str(&state).expect("JSON");
        let text = |name: &str| state[name].as_str().expect("a text").to_owned();
        let operator = Api::new(&text("gateway"), &text("token"));
        let (acme, other) = (tenant(&operator, "acme").await, tenant(&operator, "other").await);
        Self { home, up, operator, acme, other }
    }

    fn rush(&self, api: &Api, words: &[&str], url: &str) -> tokio::process::Command {
        let words = [&["rush", "-r", "local", "--json"], words, &[url]].concat();
        let mut command = self.home.command(&words);
        command.env("BLITZ_HOST", &api.base).env("BLITZ_TOKEN", &api.token);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A short one, to its end.
    async fn short(&self, api: &Api, owner: &Owner) -> Outcome {
        outcome(self.rush(api, &["--rate", "20", "-n", "10"], &owner.url()).output().await)
    }

    /// A long one, until `act` has it ended.
    async fn long(&self, owner: &Owner, act: impl AsyncFnOnce()) -> Outcome {
        let before = owner.load();
        let words = ["--rate", "20", "--duration", "300s"];
        let running = self.rush(&self.acme, &words, &owner.url()).spawn().expect("blitz starts");
        until("load", || async { (owner.load() > before).then_some(()) }).await;
        act().await;
        let at = Instant::now();
        let ended = tokio::time::timeout(STOPPED_MAX, running.wait_with_output()).await;
        let ended = outcome(ended.expect("it ends within a minute"));
        assert!(at.elapsed() < STOPPED_MAX);
        let load = owner.load();
        let again = self.short(&self.other, owner).await;
        assert_eq!((again.code, owner.load()), (Some(122), load), "nothing more is sent");
        ended
    }
}

fn outcome(output: std::io::Result<std::process::Output>) -> Outcome {
    let output = output.expect("an outcome");
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

async fn add(api: &Api, owner: &Owner) -> String {
    let (status, answer) =
        api.call("POST", "/v1/targets", Some(&json!({"host": owner.host()}))).await;
    assert!(status.is_success(), "{answer}");
    assert_eq!((&answer["state"], &answer["host"]), (&json!("waiting"), &json!(owner.host())));
    let token = answer["token"].as_str().expect("a token");
    assert!(answer["ways"][0].as_str().is_some_and(|way| way.contains(token)), "{answer}");
    token.to_owned()
}

async fn verify(api: &Api, owner: &Owner) -> (u16, Value) {
    let path = format!("/v1/targets/{}/verify", owner.host());
    let (status, answer) = api.call("POST", &path, Some(&json!({}))).await;
    (status.as_u16(), answer)
}

async fn remove(api: &Api, owner: &Owner, whose: &str) -> (u16, Value) {
    let path = format!("/v1/targets/{}{whose}", owner.host());
    let (status, answer) = api.call("DELETE", &path, Some(&json!({"reason": "a test"}))).await;
    (status.as_u16(), answer)
}

fn well_known(token: &str) -> String {
    format!("/.well-known/blitz-{token}")
}

#[tokio::test]
async fn a_tenant_loads_what_it_has_proved_as_long_as_it_is_so() {
    let (world, owner) = (World::start().await, Owner::start().await);
    let World { acme, other, .. } = &world;

    // Nobody has said whose it is, then it waits for its proof: not one packet.
    let refused = world.short(acme, &owner).await;
    assert_eq!(refused.code, Some(122), "{refused:?}");
    let says = format!("blitz targets add {}", owner.host());
    assert!(refused.stderr.contains(&says), "{refused:?}");
    let token = add(acme, &owner).await;
    assert_eq!(add(acme, &owner).await, token, "the same again is the same");
    let refused = world.short(acme, &owner).await;
    assert_eq!(refused.code, Some(122), "{refused:?}");
    assert!(refused.stderr.contains(&well_known(&token)), "{refused:?}");
    assert_eq!(owner.connections(), 0, "not one packet");

    // It is looked for, and found when it is there.
    let (status, answer) = verify(acme, &owner).await;
    assert_eq!((status, &answer["error"]), (409, &json!("not_proved")), "{answer}");
    assert!(answer["reason"].as_str().is_some_and(|text| text.contains("answers 404")), "{answer}");
    owner.show(&well_known(&token), 200, "42\n");
    let (status, answer) = verify(acme, &owner).await;
    assert_eq!((status, &answer["state"]), (200, &json!("proved")), "{answer}");

    // What one tenant has proved is not another's, and cannot be seen.
    let load = owner.connections();
    let refused = world.short(other, &owner).await;
    assert_eq!(refused.code, Some(122), "{refused:?}");
    assert_eq!(verify(other, &owner).await.0, 404);
    assert_eq!(remove(other, &owner, "").await.0, 404);
    assert_eq!(remove(other, &owner, "?tenant=acme").await.0, 404);
    assert_eq!(other.get("/v1/targets").await, json!({"targets": []}));
    assert_ne!(add(other, &owner).await, token);
    assert_eq!(owner.connections(), load, "not one packet");
    assert_eq!(verify(other, &owner).await.0, 409, "its token is not there");

    let ran = world.short(acme, &owner).await;
    assert!(matches!(ran.code, Some(0 | 3)), "{ran:?}");
    assert_eq!(owner.load(), 10, "{ran:?}");

    // The engine looks while it runs.
    let stopped = world.long(&owner, async || owner.show(&well_known(&token), 404, "")).await;
    assert!(stopped.stdout.contains("does not show that its owner agrees"), "{stopped:?}");
    let load = owner.load();
    let refused = world.short(acme, &owner).await;
    assert!(
        refused.stderr.contains("answers 404") || refused.stdout.contains("answers 404"),
        "{refused:?}"
    );
    assert_eq!(owner.load(), load, "an engine looks before the first packet");
    world.up.signal("TERM").await;
}

#[tokio::test]
async fn what_was_taken_back_is_not_loaded_and_begins_anew() {
    let (world, owner) = (World::start().await, Owner::start().await);
    let World { acme, operator, .. } = &world;
    let first = add(acme, &owner).await;
    owner.show(&well_known(&first), 200, "42");
    assert_eq!(verify(acme, &owner).await.0, 200);
    let stopped = world
        .long(&owner, async || {
            let (status, answer) = remove(acme, &owner, "").await;
            assert_eq!((status, &answer["ended"]), (200, &json!(1)), "{answer}");
        })
        .await;
    assert_ne!(stopped.code, Some(0), "{stopped:?}");
    let refused = world.short(acme, &owner).await;
    assert_eq!(refused.code, Some(122), "{refused:?}");
    assert!(refused.stderr.contains("was taken back"), "{refused:?}");

    // The sign of before is not that of now.
    let second = add(acme, &owner).await;
    assert_ne!(second, first);
    assert_eq!(verify(acme, &owner).await.0, 409);
    owner.show(&well_known(&second), 200, "42");
    assert_eq!(verify(acme, &owner).await.0, 200);
    assert_eq!(world.short(acme, &owner).await.code.map(|code| code % 3), Some(0));

    // What an operator takes back only an operator gives again, also when the tenant had taken it back before; and it may answer
    // for what shows nothing.
    assert_eq!(remove(acme, &owner, "").await.0, 200);
    assert_eq!(remove(operator, &owner, "?tenant=acme").await.0, 200);
    let again = json!({"host": owner.host()});
    let (status, answer) = acme.call("POST", "/v1/targets", Some(&again)).await;
    assert_eq!(status, 403, "{answer}");
    let answers = json!({"host": owner.host(), "tenant": "acme", "pre_authorised": true});
    assert_eq!(acme.call("POST", "/v1/targets", Some(&answers)).await.0, 403);
    let (status, answer) = operator.call("POST", "/v1/targets", Some(&answers)).await;
    assert_eq!((status.as_u16(), &answer["state"]), (201, &json!("pre_authorised")), "{answer}");
    owner.show(&well_known(&second), 404, "");
    let load = owner.load();
    let ran = world.short(acme, &owner).await;
    assert!(matches!(ran.code, Some(0 | 3)) && owner.load() == load + 10, "{ran:?}");
    world.up.signal("TERM").await;
}

#[tokio::test]
async fn many_commands_are_no_load_test() {
    let stack = Stack::start(&["japan"]).await;
    stack
        .publish("getter", |manifest| {
            let word =
                manifest.arguments.iter_mut().find(|a| a.name == "WORD").expect("it has one");
            word.kind = blitz_contract::ArgumentKind::Url;
        })
        .await;
    let (acme, other) = (tenant(&stack.api, "acme").await, tenant(&stack.api, "other").await);
    let ask_of = |plugin: &str, args: &[&str]| json!({"plugin": plugin, "args": args, "regions": [stack.region()], "engines": 100});
    let ask = |url: &str| {
        json!({"plugin": "getter", "args": ["get", url], "regions": [stack.region()], "engines": 100,
            "queue_timeout_ms": 1000})
    };
    for number in 0..6 {
        let from = if number % 2 == 0 { &acme } else { &other };
        let (status, answer) =
            from.call("POST", "/v1/jobs", Some(&ask("http://example.com/"))).await;
        assert_eq!(status, 201, "{answer}");
    }
    for url in ["http://example.com/", "https://EXAMPLE.com:8443/x"] {
        let answer = acme.raw("POST", "/v1/jobs", &[], Some(&ask(url))).await;
        assert_eq!(answer.status(), 429);
        assert!(answer.headers().contains_key("retry-after"));
        let (_, answer) = other.call("POST", "/v1/jobs", Some(&ask(url))).await;
        assert_eq!(answer["error"], "target_jobs_per_minute", "{answer}");
        assert!(
            answer["reason"].as_str().is_some_and(|text| text.contains("600 jobs")),
            "{answer}"
        );
    }
    // Those that come with the product say where they go, in whatever form.
    for manifest in [
        include_str!("../../plugins/curl/plugin.toml"),
        include_str!("../../plugins/dig/plugin.toml"),
        include_str!("../../plugins/ping/plugin.toml"),
    ] {
        let manifest = Manifest::from_toml(manifest).expect("a manifest");
        stack.publish(&manifest.name.clone(), |of| *of = manifest).await;
    }
    for (plugin, args) in [
        ("curl", &["http:/example.com/x"][..]),
        ("curl", &["-I", "--url", "example.com"]),
        ("curl", &["ht\ttp://exam\tple.com"]),
        ("dig", &["@example.com", "x.test"]),
        ("ping", &["example.com"]),
    ] {
        let (status, answer) = acme.call("POST", "/v1/jobs", Some(&ask_of(plugin, args))).await;
        assert_eq!(status, 429, "{plugin} {args:?}: {answer}");
    }
    // Of a command that is refused nothing counts, whatever refuses it.
    for _ in 0..6 {
        let both = ask_of("curl", &["http://example.org/", "--url", "http://example.com/"]);
        assert_eq!(acme.call("POST", "/v1/jobs", Some(&both)).await.0, 429);
    }
    // Other hosts, one's own machines, and the operator are not meant.
    for (api, url) in [
        (&acme, "http://example.org/"),
        (&acme, "http://10.0.0.1/"),
        (&stack.api, "http://example.com/"),
    ] {
        let (status, answer) = api.call("POST", "/v1/jobs", Some(&ask(url))).await;
        assert_eq!(status, 201, "{url}: {answer}");
    }
}
