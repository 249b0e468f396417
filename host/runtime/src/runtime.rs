//! The runtime: one wasmtime engine, and the way from a component's bytes to a [`Plugin`].

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blitz_contract::load::{Consent, Proof, Way};
use blitz_contract::package;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, Linker};

use crate::bindings;
use crate::cache::{self, Cache, Kept};
use crate::carrier;
use crate::child::ChildProgram;
use crate::compile;
use crate::egress::{Egress, Endpoint, TargetPolicy};
use crate::engine::{self, Slots};
use crate::error::Error;
use crate::http;
use crate::job::Job;
use crate::limits::{
    COMPILES_AT_ONCE, COMPONENT_MAX_BYTES, INSTANCES_MAX, LOADED_CODE_MAX_BYTES, LOADED_MAX,
};
use crate::load::{LoadConfig, Loads};
use crate::loaded::LoadedPlugins;
use crate::meter::Turns;
use crate::native::{NativePolicy, Natives};
use crate::networks::Networks;
use crate::plugin::{Loaded, Plugin};
use crate::proof::{NotProved, Prover};
use crate::rate::Rates;
use crate::tape;
use crate::threads::Threads;
use crate::ticker::Ticker;

/// How a runtime is set up.
#[derive(Debug, Clone, Default)]
pub struct RuntimeConfig {
    /// Where compiled components are kept between processes: a directory of mode 0700 that is ours, made
    /// when missing. `None` compiles again in each process.
    pub cache_dir: Option<PathBuf>,
    /// Which destinations plugins may reach.
    pub targets: TargetPolicy,
    /// Services of the operator that plugins never reach, whatever `targets` says: the engine's store.
    pub protected: Vec<Endpoint>,
    /// How often plugins may ask.
    pub rates: Rates,
    /// Runs at once; `None` is [`crate::INSTANCES_MAX`].
    pub instances_max: Option<usize>,
    /// What compiles components, runs native plugins and sends the requests of load tests; `None` compiles in this process,
    /// and runs neither.
    pub child: Option<ChildProgram>,
    /// Whether native plugins run.
    pub native: NativePolicy,
    /// Files in MaxMind's format that say whose addresses are, read once, when the runtime starts. Each fact is the
    /// first one's that knows it.
    pub networks: Vec<PathBuf>,
    /// What load tests may do.
    pub load: LoadConfig,
}

/// Loads and runs plugins. A clone is the same runtime.
#[derive(Clone)]
pub struct Runtime {
    pub(crate) shared: Arc<Shared>,
}

/// What all plugins of a runtime share.
pub(crate) struct Shared {
    engine: Engine,
    linker: Linker<Job>,
    cache: Option<Cache>,
    child: Option<ChildProgram>,
    compiles: Arc<Semaphore>,
    loaded: Mutex<LoadedPlugins>,
    pub(crate) slots: Slots,
    pub(crate) instances: Semaphore,
    pub(crate) instances_max: usize,
    pub(crate) ticker: Ticker,
    pub(crate) turns: Turns,
    pub(crate) threads: Threads,
    pub(crate) http: http::Client,
    pub(crate) networks: Arc<Networks>,
    pub(crate) natives: Natives,
    pub(crate) loads: Arc<Loads>,
}

impl Runtime {
    /// Sets up the engine. A cache directory that cannot be used is logged and done without.
    ///
    /// # Errors
    ///
    /// [`Error::Networks`] for a file that is no database of networks, and [`Error::Start`] when this machine cannot run
    /// WASM or a thread cannot be started.
    pub fn new(config: RuntimeConfig) -> Result<Self, Error> {
        let networks = Networks::read(&config.networks)?;
        crate::probes::prepare();
        let start = |e: wasmtime::Error| Error::Start(format!("{e:#}"));
        let instances_max = config.instances_max.unwrap_or(INSTANCES_MAX);
        let (engine, slots) = engine::start(instances_max).map_err(start)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(start)?;
        crate::wasi_sockets::add_to_linker(&mut linker).map_err(start)?;
        crate::wasi_http::add_to_linker(&mut linker).map_err(start)?;
        bindings::Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |job: &mut Job| job)
            .map_err(start)?;
        tape::wasi::add_to_linker(&mut linker).map_err(start)?;
        let cache = config.cache_dir.and_then(|dir| {
            Cache::open(dir.clone(), &engine)
                .inspect_err(|error| {
                    tracing::warn!(dir = %dir.display(), %error, "plugins are compiled anew in each process");
                })
                .ok()
        });
        let ticker = Ticker::start(engine.weak()).map_err(|e| Error::Start(e.to_string()))?;
        let threads = Threads::start().map_err(|e| Error::Start(e.to_string()))?;
        Ok(Self {
            shared: Arc::new(Shared {
                engine,
                linker,
                cache,
                child: config.child.clone(),
                compiles: Arc::new(Semaphore::new(COMPILES_AT_ONCE)),
                loaded: Mutex::new(LoadedPlugins::new(LOADED_MAX, LOADED_CODE_MAX_BYTES)),
                slots,
                instances: Semaphore::new(instances_max),
                instances_max,
                ticker,
                turns: Turns::new(),
                threads,
                http: http::Client::new(Egress::paced(
                    config.targets,
                    config.protected,
                    config.rates,
                )),
                networks: Arc::new(networks),
                loads: Arc::new(Loads::new(config.load, config.child.clone())),
                natives: Natives::new(config.native, config.child),
            }),
        })
    }

    /// No run reaches this from now on, whatever the policy of targets says: beside the protected endpoints of the
    /// configuration, those that become known later.
    pub fn protect(&self, endpoint: Endpoint) {
        self.shared.http.egress().protect(endpoint);
    }

    /// Loads the component that has this SHA-256 (hex): verified, then compiled off the async threads, in a
    /// limited child where the runtime has one, unless this process or an earlier one did so already. Callers
    /// that ask for the same component at the same time share one compilation; when the one that began it goes
    /// away, the next begins anew.
    ///
    /// # Errors
    ///
    /// [`Error::Digest`], [`Error::TooLarge`], [`Error::NotAComponent`], [`Error::Contract`], [`Error::Unpacked`],
    /// [`Error::Manifest`] and [`Error::CompileLimit`] stay true for these bytes, and are remembered.
    /// [`Error::Compiler`] may not come again.
    pub async fn load(&self, component: Bytes, sha256: &str) -> Result<Plugin, Error> {
        let bytes = u64::try_from(component.len()).unwrap_or(u64::MAX);
        if bytes > COMPONENT_MAX_BYTES {
            return Err(Error::TooLarge { bytes, bytes_max: COMPONENT_MAX_BYTES });
        }
        let found = hex(&Sha256::digest(&component));
        if !found.eq_ignore_ascii_case(sha256) {
            return Err(Error::Digest { wanted: sha256.to_owned(), found });
        }
        let cell = self.shared.loaded().cell(&found);
        let loaded = cell.get_or_try_init(|| self.make_once(component, &found)).await.cloned();
        self.shared.loaded().settle(&found);
        Ok(Plugin::new(Arc::clone(&self.shared), loaded?))
    }

    /// The component of this digest without its bytes, when it is still in memory or in the cache. The handle
    /// holds its code in memory: ask again for the next run, and do not keep it.
    pub async fn ready(&self, sha256: &str) -> Option<Plugin> {
        let sha256 = sha256.to_ascii_lowercase();
        if !is_sha256(&sha256) {
            return None;
        }
        if let Some(library) = self.shared.natives.ready(&sha256) {
            return Some(Plugin::native(Arc::clone(&self.shared), library));
        }
        let cell = self.shared.loaded().cell(&sha256);
        let loaded = cell.get_or_try_init(|| self.find(&sha256)).await.cloned();
        self.shared.loaded().settle(&sha256);
        Some(Plugin::new(Arc::clone(&self.shared), loaded.ok()?))
    }

    /// Looks, by this runtime's own way out, for what proves that a host may be loaded. `None` for a proof that is not looked
    /// for.
    ///
    /// # Errors
    ///
    /// [`NotProved`] says for each way what was found.
    pub async fn prove(&self, proof: &Proof) -> Result<Option<Way>, NotProved> {
        Prover::of(self.shared.http.clone()).prove(proof).await
    }

    /// Replaces what the operator agrees to load. Tests under way that may not go on are stopped.
    pub fn agree_to_load(&self, consent: Consent) {
        self.shared.loads.agree(consent);
    }

    #[cfg(test)]
    pub(crate) fn free_instances(&self) -> usize {
        self.shared.instances.available_permits()
    }

    /// Unless it was refused before: also for those who waited for the one that found out.
    async fn make_once(&self, bytes: Bytes, sha256: &str) -> Result<Arc<Loaded>, Error> {
        let known = self.shared.loaded().refusal(sha256);
        if let Some(error) = known {
            return Err(error);
        }
        let made = self.make(bytes, sha256).await;
        made.inspect_err(|error| self.shared.loaded().refuse(sha256, error))
    }

    /// From the cache, or compiled.
    async fn make(&self, bytes: Bytes, sha256: &str) -> Result<Arc<Loaded>, Error> {
        let permit = Arc::clone(&self.shared.compiles)
            .acquire_owned()
            .await
            .map_err(|_| Error::Start("the runtime is closed".to_owned()))?;
        let shared = Arc::clone(&self.shared);
        let sha256 = sha256.to_owned();
        let (wanted, watch) = compile::wanted();
        let work = move || {
            let kept = shared.component(&bytes, &sha256, &watch)?;
            // Held by the work and not by its caller: a caller that goes away does not free the CPU.
            drop(permit);
            shared.link(sha256, kept)
        };
        let made = tokio::task::spawn_blocking(work).await;
        drop(wanted);
        made.map_err(|e| Error::Compiler(format!("the compiler failed: {e}")))?
    }

    /// From the cache. The error has no text: it is not there, or the log says what is wrong with it.
    async fn find(&self, sha256: &str) -> Result<Arc<Loaded>, ()> {
        let shared = Arc::clone(&self.shared);
        let sha256 = sha256.to_owned();
        let work = move || {
            let cache = shared.cache.as_ref().ok_or(())?;
            let kept = cache.read(&shared.engine, &sha256).ok_or(())?;
            shared.link(sha256, kept).map_err(|error| {
                tracing::warn!(%error, "a compiled plugin cannot be linked any more");
            })
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| ())?
    }
}

impl Shared {
    fn component(
        &self,
        bytes: &[u8],
        sha256: &str,
        wanted: &compile::Watch,
    ) -> Result<Kept, Error> {
        if let Some(kept) = self.cache.as_ref().and_then(|cache| cache.read(&self.engine, sha256)) {
            return Ok(kept);
        }
        carrier::check(bytes)?;
        let manifest = package::manifest(bytes).map(str::to_owned);
        let started = std::time::Instant::now();
        let code = match &self.child {
            Some(child) => compile::in_child(child, bytes, wanted)?,
            None => compile::in_process(&self.engine, bytes)?,
        };
        tracing::info!(sha256, bytes = bytes.len(), elapsed = ?started.elapsed(), "compiled a plugin");
        if let Some(cache) = &self.cache {
            match cache.write(&code, sha256, manifest.as_deref()) {
                // Mapped, its pages belong to the file and not to this process.
                Ok(()) => {
                    if let Some(kept) = cache.read(&self.engine, sha256) {
                        return Ok(kept);
                    }
                }
                Err(error) => {
                    tracing::warn!(sha256, %error, "the compiled plugin is not kept for the next process");
                }
            }
        }
        Ok(Kept { component: self.component_of(&code)?, manifest })
    }

    fn component_of(&self, code: &[u8]) -> Result<Component, Error> {
        cache::component(&self.engine, code).map_err(|e| Error::NotAComponent(format!("{e:#}")))
    }

    fn link(&self, sha256: String, kept: Kept) -> Result<Arc<Loaded>, Error> {
        Loaded::link(&self.linker, sha256, kept).map(Arc::new)
    }

    fn loaded(&self) -> MutexGuard<'_, LoadedPlugins> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("targets", &self.shared.http.policy())
            .field("instances_max", &self.shared.instances_max)
            .finish_non_exhaustive()
    }
}

/// Whether the text is a digest: it becomes part of a file's name.
fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
