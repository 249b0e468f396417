//! Store, gateway and engines in this process: what `blitz up`, `blitz demo` and a command without any
//! gateway start. Every part talks to the next over loopback, as separate processes would.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use blitz_couchdb::Client;
use blitz_embedded::{Admin, OpenError, Options, Storage, Store};
use blitz_engine::Trust;
use blitz_jobs::clock::now_ms;
use blitz_jobs::cluster::Clusters;
use blitz_jobs::sealing::{PrivateKey, RegionKeys};
use blitz_jobs::setup::{Operators, sealing};
use blitz_jobs::timing::Timing;
use blitz_runtime::{ChildProgram, Runtime, RuntimeConfig, TargetPolicy};
use tokio::net::TcpListener;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::api::{self, Gateway, TokenFrom};
use crate::built_in::{BuiltInPlugin, PLUGINS};
use crate::key_file::{self, BadKeyFile};
use crate::loads::LoadArgs;
use crate::targets;
use crate::text::without_os_code;

/// Jobs that an engine runs at once, when nobody says: as a rule they wait for the network, at 100 KiB each.
pub(crate) const SLOTS: usize = 100;

/// How long running jobs may go on once `blitz up` was told to stop.
pub(crate) const DRAIN: Duration = Duration::from_secs(30);

/// The name of the store's administrator; the password is random.
const ADMIN: &str = "blitz";

/// What to start.
#[derive(Debug)]
pub(crate) struct Plan {
    /// One engine each.
    pub(crate) regions: Vec<String>,
    pub(crate) storage: Storage,
    /// Where the gateway listens.
    pub(crate) listen: SocketAddr,
    /// What clients show; a new one when there is none.
    pub(crate) token: Option<String>,
    /// Under which API keys are stored; without it none are taken.
    pub(crate) accounts_key: Option<[u8; 32]>,
    /// The file with the private keys of the regions; in memory alone when there is none.
    pub(crate) region_keys: Option<PathBuf>,
    /// Whom engines believe, beside the built-in plugins.
    pub(crate) trust: Trust,
    pub(crate) slots: usize,
    /// Which addresses jobs may reach.
    pub(crate) targets: TargetPolicy,
    /// Who may be loaded, and how much.
    pub(crate) load: LoadArgs,
    /// Databases that say whose addresses are.
    pub(crate) networks: Vec<PathBuf>,
    /// Where compiled plugins are kept.
    pub(crate) cache: Option<PathBuf>,
    /// How long running jobs may go on when the stack stops.
    pub(crate) drain: Duration,
}

impl Plan {
    /// Everything in memory, on free ports of loopback.
    pub(crate) fn in_memory(regions: Vec<String>, cache: Option<PathBuf>) -> Self {
        Self {
            regions,
            storage: Storage::Memory,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            token: None,
            accounts_key: None,
            region_keys: None,
            trust: Trust::default(),
            slots: SLOTS,
            targets: TargetPolicy::any(),
            load: LoadArgs::default(),
            networks: Vec::new(),
            cache,
            drain: Duration::ZERO,
        }
    }
}

/// Why the stack did not start, or a part of it ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The store's directory.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The gateway's address.
    #[error("cannot listen on {address}: {cause}; choose another address with --listen")]
    Listen { address: SocketAddr, cause: String },
    /// A region's name, or the store.
    #[error(transparent)]
    Setup(#[from] blitz_jobs::setup::SetupError),
    /// The store, from its client's side.
    #[error("the store: {0}")]
    Store(#[from] blitz_couchdb::Error),
    /// A plugin of our own, on its way into the store.
    #[error("a built-in plugin: {0}")]
    Publish(#[from] blitz_jobs::plugin::PublishError),
    /// A plugin of our own.
    #[error("a built-in plugin: {0}")]
    BuiltIn(#[from] blitz_contract::ManifestError),
    /// The keys of the regions.
    #[error(transparent)]
    RegionKeys(#[from] BadKeyFile),
    /// What runs plugins.
    #[error(transparent)]
    Runtime(#[from] blitz_runtime::Error),
    /// The gateway.
    #[error(transparent)]
    Gateway(#[from] blitz_gateway::Error),
    /// An engine.
    #[error(transparent)]
    Engine(#[from] blitz_engine::Error),
    /// The gateway, from its client's side.
    #[error(transparent)]
    Api(#[from] api::Error),
    /// The system.
    #[error("{what}: {}", without_os_code(&source.to_string()))]
    Io { what: &'static str, source: io::Error },
    /// A part ended though nobody asked it to.
    #[error("the {part} ended by itself")]
    Ended { part: &'static str },
}

/// A part of the stack: its task, which does not outlive it, and how to stop it.
struct Part {
    name: &'static str,
    stop: CancellationToken,
    /// `None` once its end was seen.
    task: Option<AbortOnDropHandle<Result<(), Error>>>,
}

/// What runs. Stop it with [`Stack::stop`]; dropped, its tasks are aborted where they stand, as are those
/// of a stack that fails to start.
pub(crate) struct Stack {
    pub(crate) gateway: Gateway,
    pub(crate) token: String,
    /// Without name and password.
    pub(crate) store_url: String,
    pub(crate) store_admin: String,
    pub(crate) store_password: String,
    /// In the order in which they stop: engines, gateway, store.
    parts: Vec<Part>,
}

impl Stack {
    /// Starts everything and returns when the gateway takes requests.
    pub(crate) async fn start(plan: Plan) -> Result<Self, Error> {
        // The directory and the address are what can be taken: tried first, told first.
        let store_password = random_token()?;
        let admin = Admin { name: ADMIN.to_owned(), password: store_password.clone() };
        let options = Options { admins: vec![admin], ..Options::default() };
        let store = Store::open(plan.storage, options)?;
        let listener = listen(plan.listen).await?;
        let store_listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let io = |source| Error::Io { what: "read the address of a listener", source };
        let gateway_url = format!("http://{}", listener.local_addr().map_err(io)?);
        let store_address = store_listener.local_addr().map_err(io)?;

        let mut parts = vec![part("store", |stop| async move {
            let io = |source| Error::Io { what: "serve the store", source };
            blitz_embedded::serve(store, store_listener, stop).await.map_err(io)
        })];
        let client = Client::new(format!("http://{ADMIN}:{store_password}@{store_address}"))?;
        let regions: Vec<&str> = plan.regions.iter().map(String::as_str).collect();
        blitz_jobs::setup::install(&client, &regions).await?;
        let mut trust = plan.trust;
        trust.digests.extend(publish_built_ins(&client).await?);

        let token = match plan.token {
            Some(token) => token,
            None => random_token()?,
        };
        let clusters = Clusters::alone(client.clone());
        // The store is this process's own.
        let operators = Operators { clusters, names: BTreeSet::from([String::new()]) };
        let region_keys = region_keys(&operators, plan.region_keys.as_deref(), &regions).await?;
        let Operators { clusters, names: operators } = operators;
        let prover = targets::Looks::new(plan.targets.clone(), targets::protected([&client]));
        let config = blitz_gateway::Config {
            operators,
            consent: plan.load.consent(),
            accounts_key: plan.accounts_key,
            prover: Some(prover),
            ..blitz_gateway::Config::new(clusters, token.clone())
        };
        parts.insert(
            0,
            part(
                "gateway",
                |stop| async move { Ok(blitz_gateway::run(listener, config, stop).await?) },
            ),
        );
        let runtime = Runtime::new(RuntimeConfig {
            cache_dir: plan.cache,
            targets: plan.targets,
            protected: targets::protected([&client]),
            child: Some(ChildProgram::this()),
            networks: plan.networks,
            load: plan.load.config(),
            ..RuntimeConfig::default()
        })?;
        for region in plan.regions {
            let config = blitz_engine::Config {
                clusters: Clusters::alone(client.clone()),
                // The same at each start: an engine that was killed does not stay in the lists.
                id: format!("{region}-up"),
                region,
                slots: plan.slots,
                runtime: runtime.clone(),
                trust: trust.clone(),
                region_keys: region_keys.clone(),
                timing: Timing::default(),
                load_contact: plan.load.contact(),
                drain: plan.drain,
                machine: None,
                imds: None,
            };
            parts.insert(
                0,
                part("engine", |stop| async move { Ok(blitz_engine::run(config, stop).await?) }),
            );
        }
        Ok(Self {
            gateway: Gateway::new(&gateway_url, &token, TokenFrom::Up)?,
            token,
            store_url: format!("http://{store_address}"),
            store_admin: ADMIN.to_owned(),
            store_password,
            parts,
        })
    }

    /// Waits until a part ends by itself, which none should.
    pub(crate) async fn broken(&mut self) -> Error {
        let tasks = self.parts.iter_mut().filter_map(|part| part.task.as_mut());
        let (ended, index, _) = futures_util::future::select_all(tasks).await;
        let part = &mut self.parts[index];
        part.task = None;
        of_end(part.name, ended).err().unwrap_or(Error::Ended { part: part.name })
    }

    /// Stops the engines, which drain, then the gateway, then the store, each when the one before is done.
    pub(crate) async fn stop(self) -> Result<(), Error> {
        let mut result = Ok(());
        let mut parts = self.parts.into_iter().peekable();
        while let Some(part) = parts.next() {
            part.stop.cancel();
            let mut same = vec![part];
            // Engines drain side by side.
            while let Some(next) = parts.next_if(|next| next.name == same[0].name) {
                next.stop.cancel();
                same.push(next);
            }
            for part in same {
                if let Some(task) = part.task {
                    result = result.and(of_end(part.name, task.await));
                }
            }
        }
        result
    }
}

/// How a part's task ended.
fn of_end(part: &'static str, ended: Result<Result<(), Error>, JoinError>) -> Result<(), Error> {
    match ended {
        Ok(result) => result,
        // A panic was printed where it happened.
        Err(_) => Err(Error::Ended { part }),
    }
}

fn part<F>(name: &'static str, run: impl FnOnce(CancellationToken) -> F) -> Part
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let stop = CancellationToken::new();
    Part { name, task: Some(AbortOnDropHandle::new(tokio::spawn(run(stop.clone())))), stop }
}

/// The private keys of these regions, whose public halves are in their documents: those that are kept, and new ones where none
/// is. So secrets of commands can always be sealed.
async fn region_keys(
    operators: &Operators,
    file: Option<&Path>,
    regions: &[&str],
) -> Result<RegionKeys, Error> {
    let keys = match file {
        Some(path) if path.exists() => key_file::read(path)?,
        _ => RegionKeys::default(),
    };
    for region in regions {
        let mut is_usable = false;
        for key in keys.of_region(region) {
            let known = sealing::add(operators, region, &key.sealing_key(now_ms())).await?;
            is_usable |= known.sealing_keys().any(|usable| usable.id == key.id());
        }
        if !is_usable {
            let key = new_region_key()?;
            // Kept first: nothing may be sealed to a key that is lost.
            if let Some(path) = file {
                key_file::keep(path, region, &key)?;
            }
            sealing::add(operators, region, &key.sealing_key(now_ms())).await?;
            keys.add(region, key);
        }
    }
    Ok(keys)
}

/// A new private key of a region.
pub(crate) fn new_region_key() -> Result<PrivateKey, Error> {
    let no_random = |_| Error::Io {
        what: "read random numbers",
        source: io::Error::other("the system gives none"),
    };
    PrivateKey::generate().map_err(no_random)
}

/// Listens, with an error that names the address.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .await
        .map_err(|error| Error::Listen { address, cause: without_os_code(&error.to_string()) })
}

/// Publishes the plugins of this binary and gives their digests.
pub(crate) async fn publish_built_ins(store: &Client) -> Result<Vec<String>, Error> {
    let mut digests = Vec::new();
    for plugin in PLUGINS {
        let document =
            blitz_jobs::plugin::publish(store, plugin.manifest()?, plugin.component).await?;
        digests.push(document.sha256);
    }
    Ok(digests)
}

/// Trust in the plugins of this binary, beside those that the user trusts.
pub(crate) fn trusted(mut trust: Trust) -> Trust {
    trust.digests.extend(PLUGINS.iter().map(BuiltInPlugin::sha256));
    trust
}

/// A name for an engine that nobody named: the region and 48 random bits.
pub(crate) fn engine_id(region: &str) -> Result<String, Error> {
    Ok(format!("{region}-{}", random_hex::<6>()?))
}

/// 256 random bits.
pub(crate) fn random_token() -> Result<String, Error> {
    random_hex::<32>()
}

fn random_hex<const N: usize>() -> Result<String, Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::Io {
        what: "read random numbers",
        source: io::Error::other(error.to_string()),
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    /// Ends when the task that owns `guard` is gone.
    const GONE_MAX: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_part_ends_with_its_owner() {
        let (guard, gone) = oneshot::channel::<()>();
        let part = part("test", |_stop| async move {
            let _guard = guard;
            std::future::pending().await
        });
        drop(part);
        let ended = tokio::time::timeout(GONE_MAX, gone).await.expect("the task is gone");
        assert!(ended.is_err(), "aborted, not answered");
    }

    #[tokio::test]
    async fn a_stack_that_fails_midway_leaves_nothing_running() {
        let directory = tempfile::tempdir().unwrap();
        let plan = |region: &str| Plan {
            storage: Storage::Directory(directory.path().to_owned()),
            ..Plan::in_memory(vec![region.to_owned()], None)
        };
        // The store runs by then.
        let refused = Stack::start(plan("no region!")).await.err().expect("no name of a region");
        assert!(matches!(refused, Error::Setup(_)), "{refused}");
        // It lets go of its directory, which one process may hold once.
        let again = async {
            loop {
                match Stack::start(plan("japan")).await {
                    Err(Error::Open(_)) => tokio::task::yield_now().await,
                    started => return started,
                }
            }
        };
        let stack = tokio::time::timeout(GONE_MAX, again).await.expect("the store is gone");
        stack.unwrap_or_else(|error| panic!("{error}")).stop().await.unwrap();
    }
}
