//! Everything that runs: at each place a store, a gateway and engines, each a process in the place's namespace.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use blitz_contract::Retry;
use blitz_couchdb::{Client, Database};
use blitz_jobs::guards::Guards;
use blitz_jobs::region::{CONTROL, Failover, Region};
use blitz_jobs::run::{self, RunDocument};
use blitz_jobs::start::Start;
use blitz_jobs::{DocumentId, JobId, Run};
use blitz_tests::net::{LAB, Wan, WanCut};
use blitz_tests::regions::topology;
use blitz_tests::{Api, Home};
use serde_json::Value;
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::{Duration, Instant};

use super::PLACES;
use crate::flags::Flags;
use crate::part::{self, TOKEN};
use crate::process::Process;
use crate::site::{NEVER, READY_MAX, SAFE, publish, this};
use crate::verdict::Read;
use crate::work::Submitter;

/// Where a store listens.
const STORE_PORT: u16 = 5984;

/// The administrator of every store.
const ADMIN: &str = "admin:chaos";

/// Engines of a region beside its home. One more is at the next place.
const NEAR_ENGINES: usize = 2;

/// The clusters, beside its own, that the gateway of each place can enter.
const ENTERS: [&[usize]; 3] = [&[1, 2], &[], &[0]];

/// The region whose engines go to a hub by themselves.
const FAILS_OVER: usize = 2;

/// All clusters name the same runs so long after the last end at the latest.
const AGREED_MAX: Duration = Duration::from_secs(5);

/// The whole.
#[derive(Debug)]
pub(crate) struct Site {
    clients: Vec<Client>,
    regions: Vec<Region>,
    apis: Vec<Api>,
    processes: Mutex<Vec<(String, Process)>>,
    directory: PathBuf,
    home: Home,
    /// Last: with it goes every process that is left.
    wan: Wan,
}

impl Site {
    /// Starts all of it, and waits until each engine has both plugins. `directory` gets stores and logs.
    pub(crate) async fn start(flags: &Flags, wan: Wan, directory: PathBuf) -> Result<Self, String> {
        let carrier = std::env::current_exe().map_err(|error| error.to_string())?;
        let home = Home::new(&carrier);
        std::fs::create_dir_all(directory.join("logs")).map_err(|error| error.to_string())?;
        let mut site = Self {
            clients: Vec::new(),
            regions: regions()?,
            apis: Vec::new(),
            processes: Mutex::default(),
            directory,
            home,
            wan,
        };
        for place in 0..PLACES.len() {
            site.start_store(place).await?;
        }
        site.set_up().await?;
        let digests = [
            publish(&site.clients[0], SAFE, Retry::Safe).await?,
            publish(&site.clients[0], NEVER, Retry::Never).await?,
        ];
        site.control_is_everywhere().await?;
        for place in 0..PLACES.len() {
            site.start_gateway(place, flags.faster).await?;
        }
        for place in 0..PLACES.len() {
            for number in 0..=NEAR_ENGINES {
                let at = if number < NEAR_ENGINES { place } else { (place + 1) % PLACES.len() };
                site.start_engine(place, number, at, flags.faster, &digests).await?;
            }
        }
        site.engines_are_ready(digests.len()).await?;
        Ok(site)
    }

    /// Who submits the job of this number: to the regions in turn, at the gateways in turn.
    pub(crate) fn submitter(&self, number: usize, witness_port: u16) -> Submitter {
        let mut apis = self.apis.clone();
        apis.rotate_left(number / PLACES.len() % PLACES.len());
        let witness = format!("{LAB}:{witness_port}").parse();
        Submitter {
            apis: apis.into(),
            region: PLACES[number % PLACES.len()].1.to_owned(),
            witness: witness.unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], witness_port))),
        }
    }

    /// Each database of jobs at each cluster that has it, with its place in ids.
    pub(crate) fn copies(&self) -> Vec<(usize, String, Database)> {
        let mut copies = Vec::new();
        for region in &self.regions {
            for (number, name) in region.open.iter().zip(region.jobs_databases()) {
                for (cluster, client) in self.clients.iter().enumerate() {
                    let place = format!("{}-{number}", region.name);
                    copies.push((cluster, place, client.database(&name)));
                }
            }
        }
        copies
    }

    pub(crate) fn cut(&self, cut: WanCut) -> Result<(), String> {
        self.wan.cut(cut).map_err(|error| error.to_string())
    }

    pub(crate) fn heal(&self) -> Result<(), String> {
        self.wan.heal().map_err(|error| error.to_string())
    }

    /// Parts that should run and do not.
    pub(crate) async fn ended_by_itself(&self) -> Vec<String> {
        let mut processes = self.processes.lock().await;
        let ended = processes.iter_mut().filter_map(|(name, process)| {
            process.ended().map(|how| format!("{name} ended by itself: {how}"))
        });
        ended.collect()
    }

    /// The jobs whose runs are not the same everywhere, with what each cluster has.
    pub(crate) async fn apart(&self, reads: &[Read]) -> Vec<(String, String)> {
        let limit = Instant::now() + AGREED_MAX;
        let mut left: Vec<JobId> =
            reads.iter().filter_map(|read| read.job.id.parse().ok()).collect();
        loop {
            let mut apart = Vec::new();
            for job in &left {
                let mut runs = Vec::new();
                for client in &self.clients {
                    runs.push(counting(&client.database(&job.jobs_database()), job).await);
                }
                let first = runs.first().cloned();
                if runs.iter().any(|run| Some(run) != first.as_ref()) {
                    apart.push((job.clone(), format!("{runs:?}")));
                }
            }
            if apart.is_empty() || Instant::now() > limit {
                return apart.into_iter().map(|(job, runs)| (job.to_string(), runs)).collect();
            }
            left = apart.into_iter().map(|(job, _)| job).collect();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The replications that do not run now, each with its state and why.
    pub(crate) async fn unwell_replications(&self) -> Vec<String> {
        let mut unwell = Vec::new();
        for ((place, _), client) in PLACES.iter().zip(&self.clients) {
            let all = client.replications().await.unwrap_or_default();
            unwell.extend(all.into_iter().filter_map(|one| {
                let state = one.state.filter(|state| state != "running")?;
                let error = one.info.and_then(|info| info.error).unwrap_or_default();
                Some(format!(
                    "{} on {place}: {state}, {} in a row, {error}",
                    one.doc_id, one.error_count
                ))
            }));
        }
        unwell
    }

    /// A store as every process reaches it, with name and password.
    fn url(&self, place: usize) -> String {
        format!("http://{ADMIN}@{}:{STORE_PORT}", self.wan.address(place))
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.join(format!("logs/{name}.log"))
    }

    async fn start_store(&mut self, place: usize) -> Result<(), String> {
        let name = format!("store-{}", PLACES[place].0);
        let data = self.directory.join(&name).to_string_lossy().into_owned();
        let listen = format!("{}:{STORE_PORT}", self.wan.address(place));
        let mut command = self.home.command(&["couchdb", "--data", &data, "--listen", &listen]);
        command.env("BLITZ_COUCHDB_ADMIN", ADMIN);
        self.start_part(&name, place, &command).await?;
        self.clients.push(Client::new(self.url(place)).map_err(|error| error.to_string())?);
        Ok(())
    }

    async fn start_gateway(&mut self, place: usize, faster: u32) -> Result<(), String> {
        let clusters = self.entered(place, ENTERS[place]);
        let listen = format!("{}:0", self.wan.lab_address(place));
        let mut command = this(part::GATEWAY)?;
        command.args([&clusters, &listen, &faster.to_string()]);
        let name = format!("gateway-{}", PLACES[place].0);
        let address = self.start_part(&name, place, &command).await?;
        self.apis.push(Api::new(&format!("http://{address}"), TOKEN));
        Ok(())
    }

    async fn start_engine(
        &mut self,
        region: usize,
        number: usize,
        at: usize,
        faster: u32,
        digests: &[String],
    ) -> Result<(), String> {
        let others: Vec<usize> = (0..PLACES.len()).filter(|other| *other != at).collect();
        let clusters = self.entered(at, &others);
        let id = engine_id(region, number);
        let mut command = this(part::ENGINE)?;
        command.args([&clusters, PLACES[region].1, &id, &faster.to_string(), &cache()]);
        command.args(digests);
        self.start_part(&format!("engine-{id}"), at, &command).await.map(drop)
    }

    /// Starts a process at a place and gives its first line.
    async fn start_part(
        &mut self,
        name: &str,
        place: usize,
        command: &Command,
    ) -> Result<String, String> {
        let (process, said) = Process::start(self.wan.at(place, command), &self.log(name)).await?;
        self.processes.get_mut().push((name.to_owned(), process));
        Ok(said)
    }

    /// `NAME=ADDRESS,..` of these clusters, the near one first.
    fn entered(&self, near: usize, others: &[usize]) -> String {
        let one = |place: &usize| format!("{}={}", PLACES[*place].0, self.url(*place));
        std::iter::once(&near).chain(others).map(one).collect::<Vec<_>>().join(",")
    }

    /// Adds clusters and regions, as an operator does.
    async fn set_up(&self) -> Result<(), String> {
        let named = |url: &dyn Fn(usize) -> String| {
            let one = |(place, (name, _)): (usize, &(&str, &str))| ((*name).to_owned(), url(place));
            PLACES.iter().enumerate().map(one).collect::<Vec<_>>()
        };
        let operator = topology::operator(&named(&|place| self.url(place)));
        let address = |place| format!("http://{}:{STORE_PORT}", self.wan.address(place));
        let done = topology::set_up(&operator, &named(&address), &self.regions).await;
        done.map_err(|error| error.to_string())
    }

    /// Waits until every cluster knows the regions and the plugins.
    async fn control_is_everywhere(&self) -> Result<(), String> {
        let mut ids: Vec<String> = self.regions.iter().map(Region::document_id).collect();
        let query = blitz_couchdb::AllDocs {
            start: Some("plugin:".to_owned()),
            end: Some("plugin;".to_owned()),
            ..blitz_couchdb::AllDocs::default()
        };
        let plugins = self.clients[0].database(CONTROL).all_docs::<Value>(&query).await;
        ids.extend(plugins.map_err(|error| error.to_string())?.rows.into_iter().map(|row| row.id));
        for client in &self.clients {
            for id in &ids {
                let control = client.database(CONTROL);
                arrives(id, || async { control.get::<Value>(id).await.ok().flatten().map(drop) })
                    .await?;
            }
        }
        Ok(())
    }

    async fn engines_are_ready(&self, plugins: usize) -> Result<(), String> {
        for (place, region) in self.regions.iter().enumerate() {
            let engines = self.clients[place].database(&region.engines_database());
            for number in 0..=NEAR_ENGINES {
                let id = format!("engine:{}", engine_id(place, number));
                arrives(&id, || async {
                    let known = engines.get::<Value>(&id).await.ok()??;
                    (known.body["plugins"].as_array()?.len() >= plugins).then_some(())
                })
                .await?;
            }
        }
        Ok(())
    }
}

/// A region at home at each place, with the others as its hubs.
fn regions() -> Result<Vec<Region>, String> {
    let mut regions = Vec::new();
    for (number, (place, name)) in PLACES.into_iter().enumerate() {
        let mut region = Region::new(name).map_err(|error| error.to_string())?;
        region.home = Some(place.to_owned());
        let hubs = PLACES.into_iter().filter(|(other, _)| *other != place);
        region.hubs = hubs.map(|(other, _)| other.to_owned()).collect();
        if number == FAILS_OVER {
            region.failover = Failover::Safe;
        }
        regions.push(region);
    }
    Ok(regions)
}

fn engine_id(region: usize, number: usize) -> String {
    let place = if number < NEAR_ENGINES { "near" } else { "far" };
    format!("{}-{place}-{number}", PLACES[region].1)
}

/// Compiled plugins: of all runs of this build.
fn cache() -> String {
    let beside = std::env::current_exe().unwrap_or_default();
    let path: &Path = &beside.with_file_name("compiled-plugins/blitz/compiled");
    path.to_string_lossy().into_owned()
}

/// Asks again and again until it is there.
async fn arrives<F: Future<Output = Option<()>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> Result<(), String> {
    let limit = Instant::now() + READY_MAX;
    while ask().await.is_none() {
        if Instant::now() > limit {
            return Err(format!("{what} was not there within {READY_MAX:?}; see the logs"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// The run of a job that counts at a cluster, as text; errors too, for who reads it.
async fn counting(jobs: &Database, job: &JobId) -> String {
    let asked = async {
        let run = DocumentId::Run(job.clone()).to_string();
        let leaves = jobs.leaves::<RunDocument>(&run, None).await?;
        let start = DocumentId::Start(job.clone()).to_string();
        let start = jobs.get::<Start>(&start).await?.map(|found| found.body);
        let leaves: Vec<_> =
            leaves.into_iter().map(|leaf| (leaf.revision, leaf.body.run)).collect();
        let counts: Option<Run> =
            run::resolve(&leaves, start.as_ref(), Guards::default()).map(|(_, run)| run.clone());
        Ok::<_, blitz_couchdb::Error>(format!("{counts:?}"))
    };
    asked.await.unwrap_or_else(|error| error.to_string())
}
