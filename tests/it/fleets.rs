//! Fleets of engines that are launched, drained and swept up by rounds, as processes that really start and die; those of
//! [`netns`] have a network namespace and instance metadata each.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails at once")]

mod duty;
mod netns;

use std::path::Path;
use std::time::{Duration, Instant};

use blitz_boot_core::fleet::{Fleet, FleetRegion};
use blitz_boot_core::instance::{Instance, InstanceId, InstanceState, TAG_ORPHAN};
use blitz_boot_core::process::Processes;
use blitz_boot_core::provider::{LaunchRequest, Provider};
use blitz_boot_core::reconcile::Rules;
use blitz_boot_core::round::{self, Duties, Report};
use blitz_couchdb::AllDocs;
use blitz_jobs::accounts::AUDIT;
use blitz_jobs::clock::now_ms;
use blitz_tests::net::Namespace;
use blitz_tests::proxy::Proxy;
use blitz_tests::{FIXTURE, Stack, until};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How much faster than normal engines say that they are there, and rounds judge that they do not.
const FASTER: u32 = 10;

/// What comes of rounds comes within this time even on a busy machine: the longest way is that of an engine that was killed, 20 s
/// until it counts as silent.
const LIMIT: Duration = Duration::from_secs(120);

/// The name of all fleets here.
const FLEET: &str = "lab";

/// A fleet of one region, and the directory that its instances are known in.
struct Lab<P = Processes> {
    stack: Stack,
    directory: TempDir,
    region: FleetRegion,
    provider: P,
    /// Where engines in namespaces reach the store.
    proxy: Option<Proxy>,
}

impl Lab {
    /// A fleet whose machines become this; without words they become engines.
    async fn new(region: &str, more: &str, command: &[&str]) -> Self {
        Lab::with(region, more, async |stack, directory| {
            let command = match command {
                [] => engine(&stack.store_url(), "{id}", directory),
                words => words.iter().map(|&word| word.to_owned()).collect(),
            };
            Processes::new(directory.join(RECORDS), FLEET.to_owned(), command)
        })
        .await
    }
}

/// Where records are, in the directory of a lab.
const RECORDS: &str = "records";

impl<P: Provider> Lab<P> {
    /// A fleet with this provider.
    async fn with(
        region: &str,
        more: &str,
        provider: impl AsyncFnOnce(&Stack, &Path) -> P,
    ) -> Self {
        let stack = Stack::start(&[region]).await;
        let directory = tempfile::tempdir().unwrap();
        let toml = format!(
            "name = \"{FLEET}\"\n[[region]]\nname = {:?}\nplace = \"here\"\n{more}",
            stack.region()
        );
        let region = Fleet::parse(&toml).unwrap().regions.remove(0);
        let provider = provider(&stack, directory.path()).await;
        Self { stack, directory, region, provider, proxy: None }
    }

    async fn round(&self, duties: &Duties) -> Report {
        let place = (FLEET, &self.region);
        let report = round::go(&self.provider, &self.stack.store, place, duties, now_ms()).await;
        let report = report.unwrap();
        assert!(report.failed.is_empty() && report.loud.is_empty(), "{report:?}");
        report
    }

    /// Goes rounds until something can be seen.
    async fn rounds_until<T>(
        &self,
        what: &str,
        duties: &Duties,
        look: impl AsyncFn() -> Option<T>,
    ) -> T {
        let begun = Instant::now();
        loop {
            let last = self.round(duties).await;
            if let Some(seen) = look().await {
                return seen;
            }
            assert!(begun.elapsed() < LIMIT, "waited {LIMIT:?} for {what}: {last:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Submits a job that any engine of the region ends well, and that waits for one for a minute.
    async fn submit(&self) -> String {
        let asked = json!({"plugin": "fixture", "regions": [self.stack.region()],
            "args": ["echo", "hello"], "queue_timeout_ms": 60_000});
        self.stack.api.submit_with(asked).await
    }

    /// Follows a job to its end, which must be a good one.
    async fn is_done(&self, job: &str) {
        let events = self.stack.api.follow(job).await;
        assert_eq!(events.last().unwrap().data["state"], "done", "{events:?}");
    }

    async fn instances(&self) -> Vec<Instance> {
        self.provider.list().await.unwrap()
    }

    async fn alive(&self) -> usize {
        self.instances().await.iter().filter(|one| one.state.is_alive()).count()
    }

    /// The ids of what there is in the engines' database.
    async fn documents(&self) -> Vec<String> {
        self.ids(&blitz_jobs::region::engines_database(self.stack.region())).await
    }

    /// Whether the engine's beat is there.
    async fn beats(&self, engine: &str) -> bool {
        let ids = self.ids(&blitz_jobs::region::beats_database(self.stack.region())).await;
        ids.contains(&format!("beat:{engine}"))
    }

    async fn ids(&self, database: &str) -> Vec<String> {
        let page = self.stack.store.database(database).all_docs::<Value>(&AllDocs::default()).await;
        let ids = page.unwrap().rows.into_iter().map(|row| row.id);
        ids.filter(|id| !id.starts_with("_design/")).collect()
    }

    /// What the audit says was done to machines of this fleet's region.
    async fn told(&self) -> Vec<String> {
        let query = AllDocs { include_docs: true, ..AllDocs::default() };
        let page = self.stack.store.database(AUDIT).all_docs::<Value>(&query).await.unwrap();
        let of = format!("{FLEET}/{}/", self.stack.region());
        let deeds = page.rows.into_iter().filter_map(|row| row.doc).map(|doc| doc["deed"].clone());
        let ours =
            deeds.filter(|deed| deed["path"].as_str().is_some_and(|path| path.starts_with(&of)));
        ours.map(|deed| deed["action"].as_str().unwrap().to_owned()).collect()
    }
}

impl<P> Drop for Lab<P> {
    fn drop(&mut self) {
        // A story that fails leaves no engine behind, and no namespace.
        let Ok(entries) = std::fs::read_dir(self.directory.path().join(RECORDS)) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let said = path.extension().filter(|ending| *ending == "stat");
            let said = said.and_then(|_| std::fs::read_to_string(&path).ok()).unwrap_or_default();
            let pid = said.split(' ').next().unwrap_or_default();
            let now = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // Another process may have the number by now.
            if started(&now).is_some_and(|at| started(&said) == Some(at)) {
                std::process::Command::new("kill").args(["-KILL", pid]).status().ok();
            }
            let id = path.file_stem().and_then(|id| id.to_str()).unwrap_or_default();
            if path.extension().is_some_and(|ending| ending == "json") && id.starts_with("netns-") {
                drop(Namespace::adopt(format!("blitz-{FLEET}.{id}")));
            }
        }
    }
}

/// When a process was started, in a line of `/proc/PID/stat`: the 22nd field, and the second, its name, ends with a bracket.
fn started(line: &str) -> Option<&str> {
    line.rsplit_once(") ")?.1.split(' ').nth(19)
}

/// An engine with times divided, as the chaos runs have them, under this id: `--imds` asks for it. It ends with its standard
/// input, which is a pipe of its own.
fn engine(store: &str, id: &str, directory: &Path) -> Vec<String> {
    let pipe = directory.join("pipe").to_string_lossy().into_owned();
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let program = env!("CARGO_BIN_EXE_chaos");
    let cache = Path::new(program).with_file_name("compiled-plugins");
    let digest = blitz_jobs::plugin::sha256(FIXTURE);
    let script = "exec \"$@\" 0<>\"$0\"".to_owned();
    let words = ["part-engine", store, "{region}", id].map(str::to_owned);
    let mut command = vec!["sh".to_owned(), "-c".to_owned(), script, pipe, program.to_owned()];
    command.extend(words);
    command.extend([FASTER.to_string(), cache.to_string_lossy().into_owned(), digest]);
    command
}

fn duties(reconciles: bool, scales: bool) -> Duties {
    Duties { reconciles, scales, is_dry: false, rules: Rules::faster(FASTER) }
}

#[tokio::test]
async fn a_fleet_comes_with_the_queue_and_goes_with_it() {
    let lab = Lab::new("fleet", "max = 3\nslots = 1\ncool-down-s = 1", &[]).await;
    let both = duties(true, true);
    let quiet = lab.round(&both).await;
    assert_eq!((lab.alive().await, quiet.done), (0, vec![]), "nothing waits");

    let jobs = [lab.submit().await, lab.submit().await];
    let dry = lab.round(&Duties { is_dry: true, ..both.clone() }).await;
    assert!(dry.done.iter().any(|line| line.starts_with("launch 2 ")), "{dry:?}");
    assert_eq!(lab.alive().await, 0, "what was said was not done");

    let launched = lab.round(&both).await;
    assert!(launched.done.iter().any(|line| line.starts_with("launch 2 ")), "{launched:?}");
    // More rounds while they boot launch no others.
    lab.rounds_until("both engines are registered", &both, async || {
        let documents = lab.documents().await;
        (documents.iter().filter(|id| id.starts_with("engine:")).count() == 2).then_some(())
    })
    .await;
    for job in &jobs {
        lab.is_done(job).await;
    }

    lab.rounds_until("the engines have left, and nothing of them", &both, async || {
        (lab.alive().await == 0 && lab.documents().await.is_empty()).then_some(())
    })
    .await;
    assert_eq!(lab.instances().await.len(), 2, "two machines were there in all");
    let told = lab.told().await;
    for action in ["fleet.launch", "fleet.drain", "fleet.remove-document"] {
        assert!(told.iter().any(|one| one == action), "{action} is in the audit: {told:?}");
    }
    assert!(!told.iter().any(|one| one == "fleet.terminate"), "they left by themselves: {told:?}");
}

#[tokio::test]
async fn machines_without_an_engine_are_marked_and_then_ended() {
    let lab = Lab::new("orphan", "min = 1\nmax = 1\nregistration-s = 1", &["sleep", "600"]).await;
    let request = LaunchRequest {
        token: "by hand".to_owned(),
        region: lab.stack.region().to_owned(),
        count: 2,
        is_spot: false,
    };
    let ids = lab.provider.launch(&request).await.unwrap();
    lab.provider.tag(&ids[1], "blitz:keep", Some("mine")).await.unwrap();
    // Who reconciles does not launch others in their place.
    let sweeps = duties(true, false);
    let tag = async |id: &InstanceId| {
        let all = lab.instances().await;
        let one = all.into_iter().find(|one| one.id == *id).unwrap();
        (one.state, one.tag(TAG_ORPHAN).map(str::to_owned))
    };
    lab.rounds_until("the orphan is marked", &sweeps, async || tag(&ids[0]).await.1).await;
    lab.rounds_until("the orphan is ended", &sweeps, async || {
        (tag(&ids[0]).await.0 == InstanceState::Gone).then_some(())
    })
    .await;
    assert!(tag(&ids[1]).await.0.is_alive(), "what an operator keeps stays");
    let told = lab.told().await;
    assert_eq!(told.iter().filter(|one| *one == "fleet.terminate").count(), 1, "{told:?}");
    lab.provider.terminate(&ids[1]).await.unwrap();
}

#[tokio::test]
async fn an_engine_that_was_killed_leaves_no_document() {
    let lab = Lab::new("ghost", "min = 1\nmax = 2", &[]).await;
    let both = duties(true, true);
    let engine_of = async || {
        lab.documents()
            .await
            .into_iter()
            .find_map(|id| id.strip_prefix("engine:").map(str::to_owned))
    };
    let first = lab.rounds_until("an engine is registered", &both, engine_of).await;
    // Its last beat names a job, which goes to another.
    lab.stack.api.submit(lab.stack.region(), &["ticks", "600", "100"]).await;
    until("its beat", async || lab.beats(&first).await.then_some(())).await;
    let stat = lab.provider.directory.join(format!("{first}.stat"));
    let said = std::fs::read_to_string(stat).unwrap();
    blitz_tests::program::send_signal(said.split(' ').next().unwrap().parse().unwrap(), "KILL")
        .await;

    lab.rounds_until("its document is gone, and another engine in its place", &both, async || {
        let engine = engine_of().await;
        let is_replaced = engine.is_some_and(|engine| engine != first);
        (is_replaced && lab.documents().await.len() == 1).then_some(())
    })
    .await;
    assert!(!lab.beats(&first).await, "its beat went with it");
    let job = lab.stack.api.submit(lab.stack.region(), &["echo", "hello"]).await;
    lab.is_done(&job).await;
    for instance in lab.instances().await {
        lab.provider.terminate(&instance.id).await.unwrap();
    }
    until("all have ended", || async { (lab.alive().await == 0).then_some(()) }).await;
}

#[tokio::test]
async fn a_place_that_cannot_be_listed_is_said() {
    let lab = Lab::new("unlisted", "max = 1\nmin = 1", &["true"]).await;
    // A file lies where the records would be.
    std::fs::write(&lab.provider.directory, "").unwrap();
    let report = lab.round(&duties(true, true)).await;
    let unseen = report.unseen.map(|unseen| unseen.to_string()).unwrap_or_default();
    assert!(unseen.contains("read '") && unseen.contains("Not a directory"), "{unseen:?}");
    assert!(report.done.is_empty() && report.decision.is_none(), "{:?}", report.done);
    std::fs::remove_file(&lab.provider.directory).unwrap();
    let seen = lab.round(&Duties { is_dry: true, ..duties(true, true) }).await;
    assert!(seen.unseen.is_none() && seen.done[0].starts_with("launch 1 ("), "{seen:?}");
}

#[tokio::test]
async fn a_region_that_nobody_made_is_said() {
    let lab = Lab::new("nowhere", "max = 1", &["true"]).await;
    let region = FleetRegion { name: "atlantis".to_owned(), ..lab.region.clone() };
    let both = duties(true, true);
    let place = (FLEET, &region);
    let error =
        round::go(&lab.provider, &lab.stack.store, place, &both, now_ms()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no region \"atlantis\" in this store: make it with 'blitz region add', or correct fleet.toml"
    );
}
