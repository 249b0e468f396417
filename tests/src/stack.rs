//! Everything of a few regions in this process: store, gateway and engines, joined by real sockets.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use blitz_contract::Manifest;
use blitz_couchdb::Client;
use blitz_embedded::{Options, Storage, Store, TestMode};
use blitz_engine::Trust;
use blitz_jobs::cluster::Clusters;
use blitz_jobs::sealing::{PrivateKey, RegionKeys};
use blitz_jobs::setup::{Operators, sealing};
use blitz_jobs::timing::Timing;
use blitz_runtime::{ChildProgram, Rates, Runtime, RuntimeConfig, TargetPolicy};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::{FIXTURE, FIXTURE_MANIFEST};

/// The durations of the protocol are this many times as short: an engine is dead after 5 s, which a busy
/// machine does not reach by accident.
pub(crate) const FASTER: u32 = 5;

/// Under which all gateways store API keys.
pub const ACCOUNTS_KEY: [u8; 32] = [42; 32];

/// The token of a stack's gateway.
const TOKEN: &str = "token-of-a-test";

/// An empty store: the embedded one in memory, or the Apache CouchDB that `BLITZ_TEST_COUCHDB` names. It ends
/// with the runtime that it was started in.
///
/// # Panics
///
/// When it cannot be started or reached.
pub async fn store() -> Client {
    Client::new(&store_url().await).expect("http://NAME:PASSWORD@HOST:PORT")
}

async fn store_url() -> String {
    if let Ok(url) = std::env::var("BLITZ_TEST_COUCHDB") {
        return url;
    }
    embedded_url(Options::default()).await
}

/// An empty embedded store that answers as a cluster in these troubles.
///
/// # Panics
///
/// When it cannot be started.
pub async fn troubled_store(modes: &[TestMode], seed: u64) -> Client {
    Client::new(&troubled_url(modes, seed).await).expect("http://HOST:PORT")
}

async fn troubled_url(modes: &[TestMode], seed: u64) -> String {
    let options = Options { test_modes: modes.to_vec(), test_seed: seed, ..Options::default() };
    embedded_url(options).await
}

async fn embedded_url(options: Options) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let store = Store::open(Storage::Memory, options).expect("a store in memory");
    tokio::spawn(blitz_embedded::serve(store, listener, CancellationToken::new()));
    format!("http://{address}")
}

/// What runs the plugins of a test's engines.
pub(crate) fn runtime(child: Option<ChildProgram>) -> Runtime {
    let runtime = Runtime::new(RuntimeConfig {
        targets: TargetPolicy::any(),
        // All tests have one target.
        rates: Rates::UNLIMITED,
        child,
        ..RuntimeConfig::default()
    });
    runtime.expect("a runtime")
}

/// A region's name that no other test has: stores that outlive a test are shared.
#[must_use]
pub fn region_name(word: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{word}-{:x}-{next:x}", std::process::id())
}

/// Store, gateway and engines.
#[derive(Debug)]
pub struct Stack {
    /// The store.
    pub store: Client,
    /// The gateway.
    pub api: Api,
    /// The regions' names, unique to this stack, in the order asked for.
    pub regions: Vec<String>,
    /// The private keys of the regions, as all engines have them.
    pub region_keys: RegionKeys,
    store_url: String,
    runtime: Runtime,
    gateway: Option<(CancellationToken, JoinHandle<()>)>,
}

/// A running engine of a stack.
#[derive(Debug)]
pub struct EngineHandle {
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), blitz_engine::Error>>,
}

impl EngineHandle {
    /// Ends it as a loss of power would: nothing more is written.
    ///
    /// # Panics
    ///
    /// When it had ended by itself.
    pub async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|e| e.is_cancelled()), "the engine had ended by itself");
    }

    /// Ends it in order: it drains, and gives back what does not end in time.
    ///
    /// # Panics
    ///
    /// When the engine panicked, or did not end well.
    pub async fn drain(self) {
        self.shutdown.cancel();
        self.ended().await.expect("an engine that drains in order");
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    ///
    /// Why it ended, if not in order.
    ///
    /// # Panics
    ///
    /// When the engine panicked.
    pub async fn ended(self) -> Result<(), blitz_engine::Error> {
        self.task.await.expect("an engine that does not panic")
    }
}

impl Stack {
    /// A store and a gateway with these regions, and the plugin `fixture`; no engine yet.
    ///
    /// # Panics
    ///
    /// When something cannot be started.
    pub async fn start(regions: &[&str]) -> Self {
        Self::start_on(store_url().await, regions, None).await
    }

    /// The same with a program for the runtime's children, which compiles and runs native plugins.
    ///
    /// # Panics
    ///
    /// When something cannot be started.
    pub async fn start_with_children(regions: &[&str], program: &Path) -> Self {
        let child = ChildProgram { program: program.to_owned(), ..ChildProgram::this() };
        Self::start_on(store_url().await, regions, Some(child)).await
    }

    /// The same on a store in trouble.
    ///
    /// # Panics
    ///
    /// When something cannot be started.
    pub async fn start_troubled(regions: &[&str], modes: &[TestMode], seed: u64) -> Self {
        Self::start_on(troubled_url(modes, seed).await, regions, None).await
    }

    async fn start_on(store_url: String, regions: &[&str], child: Option<ChildProgram>) -> Self {
        let store = Client::new(&store_url).expect("http://NAME:PASSWORD@HOST:PORT");
        let regions: Vec<String> = regions.iter().map(|word| region_name(word)).collect();
        let names: Vec<&str> = regions.iter().map(String::as_str).collect();
        crate::until("a store that is set up", || async {
            blitz_jobs::setup::install(&store, &names).await.ok()
        })
        .await;
        let manifest = Manifest::from_toml(FIXTURE_MANIFEST).expect("the fixture's manifest");
        crate::until("the fixture is published", || async {
            blitz_jobs::plugin::publish(&store, manifest.clone(), FIXTURE).await.ok()
        })
        .await;
        let region_keys = RegionKeys::default();
        for region in &regions {
            let key = PrivateKey::generate().expect("a key");
            let operators = Operators {
                clusters: Clusters::alone(store.clone()),
                names: BTreeSet::from([String::new()]),
            };
            crate::until("a region with a key", || async {
                sealing::add(&operators, region, &key.sealing_key(1)).await.ok()
            })
            .await;
            region_keys.add(region, key);
        }
        let mut stack = Self {
            region_keys,
            api: Api::new("http://127.0.0.1:9", TOKEN),
            runtime: runtime(child),
            gateway: None,
            store_url,
            store,
            regions,
        };
        stack.start_gateway(0).await;
        stack
    }

    /// Starts the gateway on this port (0: any). It keeps its address when it is started again.
    ///
    /// # Panics
    ///
    /// When the port is taken.
    pub async fn start_gateway(&mut self, port: u16) {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shutdown = CancellationToken::new();
        let config = self.gateway_config();
        let stop = shutdown.clone();
        let task = tokio::spawn(async move {
            blitz_gateway::run(listener, config, stop).await.expect("a gateway that serves");
        });
        self.api = Api::new(&format!("http://{address}"), TOKEN);
        self.gateway = Some((shutdown, task));
    }

    /// Starts another gateway of the same store, and gives its API when it serves. It ends with the runtime.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn another_gateway(&self) -> Api {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let config = self.gateway_config();
        tokio::spawn(async move {
            let serves = blitz_gateway::run(listener, config, CancellationToken::new());
            serves.await.expect("a gateway that serves");
        });
        let api = Api::new(&format!("http://{address}"), TOKEN);
        crate::until("another gateway that serves", || async {
            let answer = api.try_raw("GET", "/v1/regions", &[], None).await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        api
    }

    fn gateway_config(&self) -> blitz_gateway::Config {
        blitz_gateway::Config {
            accounts_key: Some(ACCOUNTS_KEY),
            timing: Timing::faster(FASTER),
            ..blitz_gateway::Config::new(Clusters::alone(self.store.clone()), TOKEN)
        }
    }

    /// Ends the gateway, and gives the port that it had.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub async fn stop_gateway(&mut self) -> u16 {
        let (shutdown, task) = self.gateway.take().expect("a gateway that runs");
        shutdown.cancel();
        task.await.expect("a gateway that ends in order");
        let port = self.api.base.rsplit(':').next().and_then(|port| port.parse().ok());
        port.expect("an address with a port")
    }

    /// The address of the store, with name and password where it has them.
    #[must_use]
    pub fn store_url(&self) -> String {
        self.store_url.clone()
    }

    /// The name of the first region.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.regions[0]
    }

    /// Publishes the fixture under another name, with another manifest.
    ///
    /// # Panics
    ///
    /// When it is not published.
    pub async fn publish(&self, name: &str, change: impl FnOnce(&mut Manifest)) {
        let mut manifest = Manifest::from_toml(FIXTURE_MANIFEST).expect("the fixture's manifest");
        name.clone_into(&mut manifest.name);
        change(&mut manifest);
        crate::until("another fixture is published", || async {
            blitz_jobs::plugin::publish(&self.store, manifest.clone(), FIXTURE).await.ok()
        })
        .await;
        crate::until("the gateway knows it", || async {
            let (status, _) = self.api.call("GET", &format!("/v1/plugins/{name}"), None).await;
            status.is_success().then_some(())
        })
        .await;
    }

    /// Starts an engine in a region, ready for the fixture when this returns.
    ///
    /// # Panics
    ///
    /// When it does not get ready.
    pub async fn engine(&self, region: &str, id: &str, slots: usize) -> EngineHandle {
        self.engine_that_trusts(region, id, slots, Trust::default()).await
    }

    /// The same with trust in more than the fixture.
    ///
    /// # Panics
    ///
    /// When it does not get ready.
    pub async fn engine_that_trusts(
        &self,
        region: &str,
        id: &str,
        slots: usize,
        trust: Trust,
    ) -> EngineHandle {
        self.engine_with(region, id, |config| {
            config.slots = slots;
            let digests = std::mem::take(&mut config.trust.digests);
            config.trust = trust;
            config.trust.digests.extend(digests);
        })
        .await
    }

    /// The same with a configuration that is changed before it starts. It has four slots.
    ///
    /// # Panics
    ///
    /// When it does not get ready.
    pub async fn engine_with(
        &self,
        region: &str,
        id: &str,
        change: impl FnOnce(&mut blitz_engine::Config),
    ) -> EngineHandle {
        let mut trust = Trust::default();
        trust.digests.insert(blitz_jobs::plugin::sha256(FIXTURE));
        let shutdown = CancellationToken::new();
        let mut config = blitz_engine::Config {
            clusters: Clusters::alone(self.store.clone()),
            region: region.to_owned(),
            id: id.to_owned(),
            slots: 4,
            runtime: self.runtime.clone(),
            trust,
            region_keys: self.region_keys.clone(),
            timing: Timing::faster(FASTER),
            load_contact: "a test".to_owned(),
            drain: Duration::from_millis(500),
            machine: None,
            imds: None,
        };
        change(&mut config);
        let task = tokio::spawn(blitz_engine::run(config, shutdown.clone()));
        crate::until(&format!("engine {id} with its plugin"), || async {
            let engines = self.api.get("/v1/engines").await;
            let engines = engines["engines"].as_array()?.clone();
            let this = engines.into_iter().find(|e| e["id"] == id && e["region"] == region)?;
            let plugins = this["plugins"].as_array()?.clone();
            plugins
                .iter()
                .any(|p| p.as_str().is_some_and(|p| p.starts_with("fixture@")))
                .then_some(())
        })
        .await;
        EngineHandle { shutdown, task }
    }
}
