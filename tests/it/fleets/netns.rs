//! Engines in namespaces: each is told by its own instance metadata who it is and that its machine is taken back, and nothing
//! of an instance stays when it is gone.

use std::net::SocketAddr;
use std::path::Path;

use blitz_boot_core::instance::InstanceId;
use blitz_boot_core::netns::{Config, Namespaces, Prefix};
use blitz_boot_core::provider::Provider as _;
use blitz_boot_core::reconcile::Rules;
use blitz_boot_core::round::Duties;
use blitz_jobs::clock::now_ms;
use blitz_jobs::region::engines_database;
use blitz_tests::net::Namespace;
use blitz_tests::program::send_signal;
use blitz_tests::proxy::Proxy;
use blitz_tests::{FIXTURE, Home, until};
use serde_json::{Value, json};

use super::{FLEET, Lab, RECORDS, duties, engine};

/// Time ahead of which EC2 tells that it takes a machine back, in milliseconds.
const NOTICE_MS: u64 = 120_000;

impl Lab<Namespaces> {
    /// A fleet in namespaces whose machines run what `command` says for the store's address and the lab's directory; `None`,
    /// and a word about it, where this machine has no namespaces.
    async fn in_namespaces(
        region: &str,
        more: &str,
        command: impl FnOnce(&str, &Path) -> Vec<String>,
    ) -> Option<Self> {
        let _probe = Namespace::or_skipped("fleet")?;
        let mut proxy = None;
        let mut lab = Lab::with(region, more, async |stack, directory| {
            let (address, to_store) = seen_from_namespaces(&stack.store_url()).await;
            proxy = Some(to_store);
            let config = Config {
                directory: directory.join(RECORDS),
                fleet: FLEET.to_owned(),
                place: "here".to_owned(),
                prefix: Prefix::DEFAULT,
                machine: [env!("CARGO_BIN_EXE_chaos"), "part-machine"].map(str::to_owned).to_vec(),
                command: command(&address, directory),
            };
            Namespaces::new(config).unwrap()
        })
        .await;
        lab.proxy = proxy;
        Some(lab)
    }

    /// The document of an engine of the region, other than this one.
    async fn engine_but(&self, but: Option<&str>) -> Option<(String, Value)> {
        let documents = self.documents().await;
        let mut ids = documents.iter().filter_map(|id| id.strip_prefix("engine:"));
        let id = ids.find(|id| but.is_none_or(|but| *id != but))?.to_owned();
        let database = self.stack.store.database(&engines_database(self.stack.region()));
        let found = database.get::<Value>(&format!("engine:{id}")).await.unwrap()?;
        Some((id, found.body))
    }

    fn has_namespace(&self, id: &str) -> bool {
        let name = self.provider.namespace(&InstanceId(id.to_owned()));
        Path::new("/run/netns").join(name).exists()
    }

    /// The process that is the machine, and its child, the engine.
    fn processes(&self, id: &str) -> (u32, u32) {
        let stat = self.directory.path().join(RECORDS).join(format!("{id}.stat"));
        let machine = std::fs::read_to_string(stat).unwrap();
        let machine = machine.split(' ').next().unwrap().parse().unwrap();
        let children = format!("/proc/{machine}/task/{machine}/children");
        (machine, std::fs::read_to_string(children).unwrap().trim().parse().unwrap())
    }
}

/// The address of a store on this machine's loopback as engines in namespaces reach it, and what carries them there.
async fn seen_from_namespaces(store: &str) -> (String, Proxy) {
    let rest = store.strip_prefix("http://").unwrap().trim_end_matches('/');
    let (who, server) = rest.rsplit_once('@').map_or(("", rest), |(who, at)| (who, at));
    let at = if who.is_empty() { "" } else { "@" };
    let server: SocketAddr = tokio::net::lookup_host(server).await.unwrap().next().unwrap();
    let proxy = Proxy::listen("0.0.0.0:0", server).await.unwrap();
    (format!("http://{who}{at}{}:{}", Prefix::DEFAULT.host(), proxy.address.port()), proxy)
}

/// What an engine's document has of its machine.
fn machine(is_spot: bool) -> Value {
    json!({"provider": "ec2", "instance_type": "netns", "zone": "herea", "is_spot": is_spot})
}

#[tokio::test]
async fn a_fleet_in_namespaces_comes_with_the_queue_and_goes_with_it() {
    let fleet = "max = 2\nslots = 1\ncool-down-s = 1";
    let asks = |store: &str, directory: &Path| engine(store, "--imds", directory);
    let Some(lab) = Lab::in_namespaces("spaces", fleet, asks).await else { return };
    let both = duties(true, true);
    let jobs = [lab.submit().await, lab.submit().await];
    let (first, document) = lab
        .rounds_until("an engine is registered", &both, async || lab.engine_but(None).await)
        .await;
    assert_eq!(document["machine"], machine(false));
    let instances = lab.instances().await;
    assert_eq!(instances.len(), 2, "{instances:?}");
    assert!(instances.iter().any(|one| one.id.0 == first), "{first} is one of {instances:?}");
    assert!(instances.iter().all(|one| lab.has_namespace(&one.id.0)));
    for job in &jobs {
        lab.is_done(job).await;
    }
    lab.rounds_until("the engines have left, and nothing of them", &both, async || {
        (lab.alive().await == 0 && lab.documents().await.is_empty()).then_some(())
    })
    .await;
    // The listing that sees them gone clears up.
    assert!(lab.instances().await.iter().all(|one| !lab.has_namespace(&one.id.0)));
    let told = lab.told().await;
    assert!(!told.iter().any(|one| one == "fleet.terminate"), "they left by themselves: {told:?}");
}

#[tokio::test]
async fn a_machine_that_is_taken_back_is_left_before_and_replaced() {
    let home = Home::new(Path::new(env!("CARGO_BIN_EXE_bench")));
    // As on an instance of EC2: the program itself, with nobody's id.
    let program = |store: &str, _: &Path| {
        let digest = blitz_jobs::plugin::sha256(FIXTURE);
        let args =
            ["engine", "--imds", "--region", "{region}", "--store", store, "--trust", &digest];
        let command = home.command(&args);
        let command = command.as_std();
        let text = |word: &std::ffi::OsStr| word.to_str().unwrap().to_owned();
        let mut words = ["env", "-i"].map(str::to_owned).to_vec();
        let set = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
        words.extend(set.map(|(name, value)| format!("{}={}", text(name), text(value))));
        words.extend(std::iter::once(command.get_program()).chain(command.get_args()).map(text));
        words
    };
    let fleet = "min = 1\nmax = 2\nspot = true";
    let Some(lab) = Lab::in_namespaces("notice", fleet, program).await else { return };
    // The program has the times of every day.
    let both = Duties { rules: Rules::default(), ..duties(true, true) };
    let (first, document) = lab
        .rounds_until("an engine is registered", &both, async || lab.engine_but(None).await)
        .await;
    assert_eq!(document["machine"], machine(true));
    assert!(lab.instances().await.iter().any(|one| one.id.0 == first && one.is_spot));

    let noticed = now_ms();
    let id = InstanceId(first.clone());
    lab.provider.interrupt(&id, noticed + NOTICE_MS).unwrap();
    lab.rounds_until("another in its place, and nothing of the first", &both, async || {
        let documents = lab.documents().await;
        let (next, _) = lab.engine_but(Some(&first)).await?;
        (documents.len() == 1 && lab.has_namespace(&next) && !lab.has_namespace(&first))
            .then_some(())
    })
    .await;
    assert!(now_ms() < noticed + NOTICE_MS, "it left before its time");
    let log = lab.directory.path().join(RECORDS).join(format!("{first}.log"));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("the provider takes the machine back (spot, terminate)"), "{log}");
    assert!(log.contains(&format!("engine   {first}\n")), "{log}");
    let told = lab.told().await;
    assert!(!told.iter().any(|one| one == "fleet.terminate"), "it left by itself: {told:?}");
}

#[tokio::test]
async fn an_engine_or_a_machine_that_was_killed_leaves_nothing() {
    let asks = |store: &str, directory: &Path| engine(store, "--imds", directory);
    let Some(lab) = Lab::in_namespaces("killed", "min = 1\nmax = 2", asks).await else { return };
    let both = duties(true, true);
    let replaced = async |lost: &str| {
        lab.rounds_until("another in its place, and nothing of the first", &both, async || {
            let (next, _) = lab.engine_but(Some(lost)).await?;
            let is_alone = lab.documents().await == [format!("engine:{next}")];
            (is_alone && !lab.has_namespace(lost)).then_some(next)
        })
        .await
    };
    let (first, _) = lab
        .rounds_until("an engine is registered", &both, async || lab.engine_but(None).await)
        .await;
    let (machine, engine) = lab.processes(&first);
    send_signal(engine, "KILL").await;
    until("a machine without an engine is off", async || {
        (!Path::new(&format!("/proc/{machine}/cwd")).exists()).then_some(())
    })
    .await;
    let second = replaced(&first).await;

    // Without the machine its engine is ended by the next listing.
    let (machine, engine) = lab.processes(&second);
    send_signal(machine, "KILL").await;
    let third = replaced(&second).await;
    assert!(!Path::new(&format!("/proc/{engine}/cwd")).exists(), "the engine has ended");
    lab.provider.terminate(&InstanceId(third)).await.unwrap();
    until("all have ended", async || (lab.alive().await == 0).then_some(())).await;
}
