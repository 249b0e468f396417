//! Engines on instances of EC2, as processes: they join by the metadata of their instance, and leave when their machine is
//! taken away.

use std::process::Stdio;
use std::time::{Duration, SystemTime};

use blitz_couchdb::{Put, PutOptions};
use blitz_jobs::region::{CONTROL, DatabaseKind, Region};
use blitz_tests::imds::{ACCOUNT, CERTIFICATE, How, REGION};
use blitz_tests::net::Namespace;
use blitz_tests::{Home, Imds, Web, Witness, until};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::database;
use super::tokens::World;

/// What must come comes within this time, or the story has failed.
const LIMIT: Duration = Duration::from_secs(60);

/// An engine, and what it says in its log.
struct Engine {
    child: Child,
    said: Vec<String>,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStderr>>,
}

impl Engine {
    fn start(mut command: Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, said: Vec::new(), lines }
    }

    /// Waits until it says this.
    async fn says(&mut self, part: &str) {
        let hears = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.said.push(line);
                if self.said.last().is_some_and(|line| line.contains(part)) {
                    return true;
                }
            }
            false
        };
        let heard = tokio::time::timeout(LIMIT, hears).await;
        assert!(heard == Ok(true), "{heard:?}, waited for {part:?}: {:#?}", self.said);
    }

    /// Waits for its end, and gives its exit code and all that it said.
    async fn ends(mut self) -> (Option<i32>, String) {
        let ends = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.said.push(line);
            }
            self.child.wait().await.unwrap()
        };
        let ended = tokio::time::timeout(LIMIT, ends).await.expect("the engine ends");
        (ended.code(), self.said.join("\n"))
    }
}

/// A gateway that lets the instances of the tests join a region where they are.
async fn world() -> World {
    let world = World::start_with(None, |command| {
        let home = command.as_std().get_current_dir().unwrap();
        std::fs::write(home.join("aws.pem"), CERTIFICATE).unwrap();
        command.args(["--ec2-certificate", "aws.pem", "--ec2-account", ACCOUNT]);
    })
    .await;
    // Instances join the region that has AWS's name of theirs.
    let control = world.server.client(None).database(CONTROL);
    let id = format!("region:{}", world.region);
    let mut found = control.get::<Region>(&id).await.unwrap().expect("the region");
    found.body.aliases.push(REGION.to_owned());
    let put = control.put(&id, Some(&found.revision), &found.body, PutOptions::default()).await;
    assert_ne!(put.unwrap(), Put::Conflict);
    until("the gateway knows where the region is", || async {
        let regions = world.operate(&["regions"]).await;
        regions.stdout.contains(REGION).then_some(())
    })
    .await;
    world
}

impl World {
    fn on(&self, imds: &Imds) -> Engine {
        let args = ["engine", "--region", &self.region, "--join", &self.address];
        let mut command = self.home.command(&args);
        command.args(["--targets", "any", "--imds", &imds.url()]);
        Engine::start(command)
    }

    /// The document of an engine, when it is so.
    async fn engine_is(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/{}/engine:{id}", database(DatabaseKind::Engines, &self.region));
        let engine =
            self.server.client(None).database(&database(DatabaseKind::Engines, &self.region));
        until(&format!("{path} as it should be"), || async {
            let found = engine.get::<Value>(&format!("engine:{id}")).await.ok()??.body;
            wanted(&found).then_some(found)
        })
        .await
    }

    /// Starts a job that runs until the witness answers it, and gives its id.
    async fn submit(&self, witness: &Witness) -> String {
        let [_, url] = witness.words();
        let args = ["curl", "--detach", "-s", "-r", &self.region, "--queue-timeout", "60", &url];
        let started = self.operate(&args).await;
        assert_eq!(started.code, Some(0), "{started:?}");
        started.stdout.trim().to_owned()
    }

    /// How a job ended: its state and the engine that ran it.
    async fn end_of(&self, job: &str) -> (Value, Value) {
        until(&format!("the end of {job}"), || async {
            let said = self.operate(&["job", job, "--json"]).await;
            let view: Value = serde_json::from_str(&said.stdout).ok()?;
            let is_over =
                matches!(view["state"].as_str()?, "done" | "failed" | "lost" | "cancelled");
            is_over.then(|| (view["state"].clone(), view["engine"].clone()))
        })
        .await
    }
}

#[tokio::test]
async fn an_instance_joins_by_its_metadata_and_leaves_before_it_is_taken_away() {
    let world = world().await;
    let (one, other) = ("i-0123456789abcdef0", "i-0fedcba9876543210");
    let (first, second) = (Imds::start(one).await, Imds::start(other).await);
    second.set("/latest/meta-data/instance-life-cycle", Some("on-demand"));

    // Under its instance id, with what is known of its machine.
    let engine = world.on(&first);
    let document = world.engine_is(one, |engine| engine["slots"].is_u64()).await;
    let machine = json!({"provider": "ec2", "instance_type": "m7g.large", "zone": "ap-northeast-1a",
        "is_spot": true});
    assert_eq!(document["machine"], machine);
    let web = Web::start(|_| blitz_tests::web::ok("hello\n")).await;
    let url = web.url("/");
    let curl = ["curl", "-s", "-r", &world.region, "--queue-timeout", "60"];
    let ran = world.operate(&[&curl[..], &[&url]].concat()).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "hello\n"), "{ran:?}");
    let listed = world.operate(&["engines"]).await;
    assert!(listed.stdout.contains("m7g.large ap-northeast-1a spot"), "{listed:?}");

    // Who reads its metadata is the instance: no job does.
    let before = first.asked().len();
    let theft = world.operate(&[&curl[..], &["-S", "-X", "PUT", &first.url()]].concat()).await;
    assert_eq!(theft.code, Some(122), "{theft:?}");
    assert!(theft.stderr.contains("the instance's metadata"), "{theft:?}");
    let since = first.asked().split_off(before);
    assert!(since.iter().all(|asked| asked.starts_with("GET /latest/meta-data/")), "{since:?}");

    // A machine that may be taken away soon: its job goes on to its end, and others go elsewhere.
    let mut engine = engine;
    let witness = Witness::start().await;
    let long = world.submit(&witness).await;
    let seen = witness.begins().await;
    let next = world.on(&second);
    world.engine_is(other, |engine| engine["plugins"].to_string().contains("curl@")).await;
    first.forget_tokens();
    first.recommend_rebalance();
    engine.says("recommends to leave the machine").await;
    world.engine_is(one, |engine| engine["leaving"] == json!(true)).await;
    let job = world.submit(&witness).await;
    let meanwhile = witness.begins().await;
    meanwhile.answer("elsewhere").await;
    assert_eq!(world.end_of(&job).await, (json!("done"), json!(other)));
    seen.answer("to its end").await;
    assert_eq!(world.end_of(&long).await, (json!("done"), json!(one)));
    let (code, said) = engine.ends().await;
    assert_eq!(code, Some(0), "{said}");
    world.engine_is(one, |engine| engine["gone"] == json!(true)).await;

    // One that is taken away: what has not ended in time runs elsewhere.
    let mut engine = next;
    let job = world.submit(&witness).await;
    let mut seen = witness.begins().await;
    first.set("/latest/meta-data/events/recommendations/rebalance", None);
    let mut again = world.on(&first);
    world.engine_is(one, |engine| engine["gone"] == json!(false)).await;
    second.interrupt("terminate", SystemTime::now() + Duration::from_secs(24));
    engine.says("the provider takes the machine back (spot, terminate)").await;
    seen.stops().await;
    witness.begins().await.answer("by another").await;
    assert_eq!(world.end_of(&job).await, (json!("done"), json!(one)));
    let (code, said) = engine.ends().await;
    assert_eq!(code, Some(0), "{said}");
    world.engine_is(other, |engine| engine["gone"] == json!(true)).await;

    // A service that goes away takes nothing with it, and is heard when it is back.
    first.answer(How::NotAtAll);
    again.says("it is asked on").await;
    let ran = world.operate(&[&curl[..], &[&url]].concat()).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "hello\n"), "{ran:?}");
    first.answer(How::Well);
    first.interrupt("stop", SystemTime::now() - Duration::from_secs(3600));
    let (code, said) = again.ends().await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("it is asked on").count(), 1, "{said}");
}

#[tokio::test]
async fn an_engine_that_is_told_nothing_of_its_instance_says_what_to_do() {
    let home = Home::new(std::path::Path::new(env!("CARGO_BIN_EXE_bench")));
    let imds = Imds::start("i-0123456789abcdef0").await;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let absent = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let url = imds.url();
    for (how, url, code, parts) in [
        (How::VersionOneOnly, &url, 1, ["answers 404", "IMDSv2", "--http-tokens required"]),
        (How::Garbage, &url, 1, [&url, "/latest/api/token", "gives no token"]),
        (How::Well, &absent, 125, [&absent, "within 10 s", "leave --imds away"]),
        (How::Slowly(Duration::from_secs(3)), &url, 125, [&url, "no answer within 1 s", "--id"]),
        (How::Well, &"ftp://x".to_owned(), 2, ["ftp://x", "no address", "http://HOST"]),
    ] {
        imds.answer(how);
        let args = ["engine", "--region", "japan", "--store", "http://127.0.0.1:9", "--imds", url];
        let ended = home.run(&args).await;
        assert_eq!(ended.code, Some(code), "{how:?}: {ended:?}");
        for part in parts {
            assert!(ended.stderr.contains(part), "{how:?}: no {part:?} in {ended:?}");
        }
    }
    let asked = imds.asked();
    assert!(
        asked.iter().all(|asked| asked.starts_with("PUT")),
        "version 1 is never spoken: {asked:?}"
    );
}

#[tokio::test]
async fn the_metadata_is_found_where_every_instance_has_it() {
    let Some(space) = Namespace::or_skipped("instance") else { return };
    space.ip(&["addr", "add", "169.254.169.254/32", "dev", "lo"]).unwrap();
    let listener = space.listener("169.254.169.254:80");
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let imds = Imds::serve(listener, "i-0a1b2c3d");
    imds.set("/latest/meta-data/tags/instance", Some("Name\nblitz:fleet"));
    imds.set("/latest/meta-data/tags/instance/blitz:fleet", Some("web"));
    let home = Home::new(std::path::Path::new(env!("CARGO_BIN_EXE_bench")));
    let args = ["engine", "--region", "japan", "--store", "http://127.0.0.1:9", "--imds"];
    let mut command = space.enter(&home.command(&args));
    // `ip` itself must be found.
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    while said.len() < 3 {
        let line = tokio::time::timeout(LIMIT, lines.next_line()).await.expect("it says who it is");
        said.push(line.unwrap().unwrap_or_else(|| panic!("it ended: {said:?}")));
    }
    let machine = "machine  m7g.large in ap-northeast-1a, spot, blitz:fleet=web";
    assert_eq!(said, ["engine   i-0a1b2c3d", "region   japan", machine]);
    child.kill().await.unwrap();
}
