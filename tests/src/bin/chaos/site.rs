//! Everything that runs: one store, gateways and engines with a proxy each between them and the store, each a process, on ports that the system
//! chooses and that a process keeps when it is started again.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::{Mutex as StdMutex, PoisonError};
use std::time::Duration;

use blitz_contract::{Manifest, Retry, package};
use blitz_couchdb::Client;
use blitz_tests::{Api, FIXTURE, FIXTURE_MANIFEST, Home, region_name};
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::flags::Flags;
use crate::part::{self, TOKEN};
use crate::process::Process;
use crate::work::Submitter;
use blitz_tests::proxy::Proxy;

/// The plugins of the jobs: the fixture under both policies.
pub(crate) const SAFE: &str = "chaos-safe";
pub(crate) const NEVER: &str = "chaos-never";

/// All engines are ready within this time: the first one compiles for all.
pub(crate) const READY_MAX: Duration = Duration::from_secs(120);

/// The store's administrator, where the store is ours.
const ADMIN: &str = "admin:chaos";

/// The whole.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) region: String,
    pub(crate) store: Client,
    /// The store's process, where it is ours.
    pub(crate) own_store: Option<Mutex<Process>>,
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) engines: Vec<Seat>,
    store_address: SocketAddr,
    store_login: String,
    digests: Vec<String>,
    faster: u32,
    directory: PathBuf,
    home: Home,
}

/// A gateway and its place, with a proxy as an engine has.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) api: Api,
    pub(crate) proxy: Proxy,
    pub(crate) process: Mutex<Process>,
    address: String,
    number: usize,
}

/// A place for an engine: its proxy, and the process that runs there now. Who changes it holds the process's lock.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) number: usize,
    pub(crate) proxy: Proxy,
    pub(crate) process: Mutex<Process>,
    id: StdMutex<String>,
}

impl Seat {
    /// The instance id of the engine that is here now.
    pub(crate) fn id(&self) -> String {
        self.id.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Site {
    /// Starts all of it, and waits until each engine has both plugins. `directory` gets store and logs.
    pub(crate) async fn start(flags: &Flags, directory: PathBuf) -> Result<Self, String> {
        let carrier = std::env::current_exe().map_err(|error| error.to_string())?;
        let home = Home::new(&carrier);
        for part in ["store", "logs"] {
            std::fs::create_dir_all(directory.join(part)).map_err(|error| error.to_string())?;
        }
        let (own_store, login, address) = match std::env::var("BLITZ_TEST_COUCHDB") {
            Ok(url) => {
                let (login, address) = login_and_address(&url)?;
                (None, login, address)
            }
            Err(_) => {
                let (process, address) = start_store(&home, &directory, "127.0.0.1:0").await?;
                (Some(Mutex::new(process)), ADMIN.to_owned(), address)
            }
        };
        let store = Client::new(format!("http://{login}@{address}")).map_err(|e| e.to_string())?;
        let region = region_name("chaos");
        blitz_jobs::setup::install(&store, &[&region]).await.map_err(|error| error.to_string())?;
        let digests = vec![
            publish(&store, SAFE, Retry::Safe).await?,
            publish(&store, NEVER, Retry::Never).await?,
        ];
        let mut site = Self {
            region,
            store,
            own_store,
            gateways: Vec::new(),
            engines: Vec::new(),
            store_address: address,
            store_login: login,
            digests,
            faster: flags.faster,
            directory,
            home,
        };
        for number in 0..flags.gateways {
            let proxy = Proxy::start(site.store_address).await?;
            let (process, address) = site.gateway(number, "127.0.0.1:0", &proxy).await?;
            let api = Api::new(&format!("http://{address}"), TOKEN);
            let process = Mutex::new(process);
            site.gateways.push(Gateway { api, proxy, process, address, number });
        }
        for number in 0..flags.engines {
            let proxy = Proxy::start(site.store_address).await?;
            let id = format!("e{number}");
            let process = Mutex::new(site.engine(number, &id, &proxy).await?);
            site.engines.push(Seat { number, proxy, process, id: StdMutex::new(id) });
        }
        site.wait_until_ready().await?;
        Ok(site)
    }

    /// Who submits to it.
    pub(crate) fn submitter(&self, witness: SocketAddr) -> Submitter {
        let apis = self.gateways.iter().map(|gateway| gateway.api.clone()).collect();
        Submitter { apis, region: self.region.clone(), witness }
    }

    /// The region's only database of jobs.
    pub(crate) fn jobs_database(&self) -> String {
        format!("blitz-jobs-{}-1", self.region)
    }

    /// Starts the engine of a seat, under a new id when there is one; `process` is the seat's.
    pub(crate) async fn start_engine(
        &self,
        seat: &Seat,
        process: &mut Process,
        new_id: Option<String>,
    ) -> Result<(), String> {
        if let Some(new) = new_id {
            *seat.id.lock().unwrap_or_else(PoisonError::into_inner) = new;
        }
        *process = self.engine(seat.number, &seat.id(), &seat.proxy).await?;
        Ok(())
    }

    /// Starts the store again, where it was.
    pub(crate) async fn start_store(&self, process: &mut Process) -> Result<(), String> {
        let place = self.store_address.to_string();
        *process = start_store(&self.home, &self.directory, &place).await?.0;
        Ok(())
    }

    /// Starts a gateway again, where it was.
    pub(crate) async fn start_gateway(
        &self,
        gateway: &Gateway,
        process: &mut Process,
    ) -> Result<(), String> {
        *process = self.gateway(gateway.number, &gateway.address, &gateway.proxy).await?.0;
        Ok(())
    }

    async fn engine(&self, number: usize, id: &str, proxy: &Proxy) -> Result<Process, String> {
        let store = format!("http://{}@{}", self.store_login, proxy.address);
        let cache = self.cache();
        let faster = self.faster.to_string();
        let mut command = this(part::ENGINE)?;
        command.args([&store, &self.region, id, &faster, &cache]).args(&self.digests);
        let log = self.directory.join(format!("logs/engine-{number}.log"));
        Ok(Process::start(command, &log).await?.0)
    }

    async fn gateway(
        &self,
        number: usize,
        place: &str,
        proxy: &Proxy,
    ) -> Result<(Process, String), String> {
        let store = format!("http://{}@{}", self.store_login, proxy.address);
        let faster = self.faster.to_string();
        let mut command = this(part::GATEWAY)?;
        command.args([&store, place, &faster]);
        Process::start(command, &self.directory.join(format!("logs/gateway-{number}.log"))).await
    }

    /// Compiled plugins: of all runs of this build.
    fn cache(&self) -> String {
        let beside = std::env::current_exe().unwrap_or_default();
        beside.with_file_name("compiled-plugins/blitz/compiled").to_string_lossy().into_owned()
    }

    async fn wait_until_ready(&self) -> Result<(), String> {
        let limit = Instant::now() + READY_MAX;
        let engines = self.store.database(&format!("blitz-engines-{}", self.region));
        for seat in &self.engines {
            let id = format!("engine:{}", seat.id());
            loop {
                let known = engines.get::<serde_json::Value>(&id).await.ok().flatten();
                let plugins = known.as_ref().and_then(|known| known.body["plugins"].as_array());
                if plugins.is_some_and(|plugins| plugins.len() >= self.digests.len()) {
                    break;
                }
                if Instant::now() > limit {
                    return Err(format!("{id} was not ready within {READY_MAX:?}; see its log"));
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }
}

/// This program as one of its parts. The environment of its user is not the children's.
pub(crate) fn this(word: &str) -> Result<Command, String> {
    let mut command = Command::new(std::env::current_exe().map_err(|error| error.to_string())?);
    command.arg(word).env_clear();
    Ok(command)
}

async fn start_store(
    home: &Home,
    directory: &std::path::Path,
    listen: &str,
) -> Result<(Process, SocketAddr), String> {
    let data = directory.join("store").to_string_lossy().into_owned();
    let mut command = home.command(&["couchdb", "--data", &data, "--listen", listen]);
    command.env("BLITZ_COUCHDB_ADMIN", ADMIN);
    let (process, said) = Process::start(command, &directory.join("logs/store.log")).await?;
    let address = said.trim_start_matches("http://").trim_end_matches('/').parse();
    Ok((process, address.map_err(|_| format!("the store said {said:?} and not its address"))?))
}

pub(crate) async fn publish(store: &Client, name: &str, retry: Retry) -> Result<String, String> {
    let mut manifest = Manifest::from_toml(FIXTURE_MANIFEST).map_err(|error| error.to_string())?;
    manifest.name = name.to_owned();
    manifest.retry = retry;
    let json = serde_json::to_string(&manifest).map_err(|error| error.to_string())?;
    let file = package::with_manifest(FIXTURE, &json).ok_or("the fixture is no component")?;
    let document = blitz_jobs::plugin::publish(store, manifest, &file).await;
    Ok(document.map_err(|error| error.to_string())?.sha256)
}

/// Of `http://NAME:PASSWORD@HOST:PORT`.
fn login_and_address(url: &str) -> Result<(String, SocketAddr), String> {
    let wanted = || format!("BLITZ_TEST_COUCHDB is http://NAME:PASSWORD@HOST:PORT, not {url:?}");
    let rest = url.strip_prefix("http://").ok_or_else(wanted)?.trim_end_matches('/');
    let (login, address) = rest.rsplit_once('@').ok_or_else(wanted)?;
    let mut found = address.to_socket_addrs().map_err(|_| wanted())?;
    Ok((login.to_owned(), found.next().ok_or_else(wanted)?))
}
