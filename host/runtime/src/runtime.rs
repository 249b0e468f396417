//! The runtime: one wasmtime engine, and the way from a component's bytes to a [`Plugin`].

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OnceCell, Semaphore};
use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, Linker};

use crate::bindings;
use crate::cache::Cache;
use crate::egress::{Egress, Endpoint, TargetPolicy};
use crate::error::Error;
use crate::http;
use crate::job::Job;
use crate::limits::{
    COMPILES_AT_ONCE, COMPONENT_MAX_BYTES, FIBER_STACK_BYTES, GUEST_STACK_BYTES, INSTANCES_MAX,
    LOADED_MAX,
};
use crate::meter::Turns;
use crate::plugin::{Loaded, Plugin};
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
    /// Runs at once; `None` is [`crate::INSTANCES_MAX`].
    pub instances_max: Option<usize>,
}

/// Loads and runs plugins. A clone is the same runtime.
#[derive(Clone)]
pub struct Runtime {
    shared: Arc<Shared>,
}

/// What all plugins of a runtime share.
pub(crate) struct Shared {
    engine: Engine,
    linker: Linker<Job>,
    cache: Option<Cache>,
    compiles: Arc<Semaphore>,
    loaded: Mutex<LoadedPlugins>,
    pub(crate) instances: Semaphore,
    pub(crate) instances_max: usize,
    pub(crate) ticker: Ticker,
    pub(crate) turns: Turns,
    pub(crate) threads: Threads,
    pub(crate) http: http::Client,
}

impl Runtime {
    /// Sets up the engine. A cache directory that cannot be used is logged and done without.
    ///
    /// # Errors
    ///
    /// [`Error::Start`] when this machine cannot run WASM or a thread cannot be started.
    pub fn new(config: RuntimeConfig) -> Result<Self, Error> {
        let start = |e: wasmtime::Error| Error::Start(format!("{e:#}"));
        let engine = Engine::new(&engine_config()).map_err(start)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(start)?;
        bindings::Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |job: &mut Job| job)
            .map_err(start)?;
        let cache = config.cache_dir.and_then(|dir| {
            Cache::open(dir.clone(), &engine)
                .inspect_err(|error| {
                    tracing::warn!(dir = %dir.display(), %error, "plugins are compiled anew in each process");
                })
                .ok()
        });
        let ticker = Ticker::start(engine.weak()).map_err(|e| Error::Start(e.to_string()))?;
        let threads = Threads::start().map_err(|e| Error::Start(e.to_string()))?;
        let instances_max = config.instances_max.unwrap_or(INSTANCES_MAX);
        Ok(Self {
            shared: Arc::new(Shared {
                engine,
                linker,
                cache,
                compiles: Arc::new(Semaphore::new(COMPILES_AT_ONCE)),
                loaded: Mutex::default(),
                instances: Semaphore::new(instances_max),
                instances_max,
                ticker,
                turns: Turns::new(),
                threads,
                http: http::Client::new(Egress::new(config.targets, config.protected)),
            }),
        })
    }

    /// Loads the component that has this SHA-256 (hex): verified, then compiled off the async threads,
    /// unless this process or an earlier one did so already. Callers that ask for the same component at
    /// the same time share one compilation.
    ///
    /// # Errors
    ///
    /// [`Error::Digest`], [`Error::TooLarge`], [`Error::NotAComponent`] and [`Error::Contract`]. All of
    /// them stay true for these bytes.
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
        let loaded = cell.get_or_try_init(|| self.compile(component, &found)).await?;
        Ok(Plugin::new(Arc::clone(&self.shared), Arc::clone(loaded)))
    }

    #[cfg(test)]
    pub(crate) fn free_instances(&self) -> usize {
        self.shared.instances.available_permits()
    }

    async fn compile(&self, bytes: Bytes, sha256: &str) -> Result<Arc<Loaded>, Error> {
        let permit = Arc::clone(&self.shared.compiles)
            .acquire_owned()
            .await
            .map_err(|_| Error::Start("the runtime is closed".to_owned()))?;
        let shared = Arc::clone(&self.shared);
        let sha256 = sha256.to_owned();
        let work = move || {
            let component = shared.component(&bytes, &sha256)?;
            // Held by the work and not by its caller: a caller that goes away does not free the CPU.
            drop(permit);
            let contract = |e: wasmtime::Error| Error::Contract(format!("{e:#}"));
            let pre = shared.linker.instantiate_pre(&component).map_err(contract)?;
            let pre = bindings::PluginPre::new(pre).map_err(contract)?;
            Ok(Arc::new(Loaded::new(sha256, pre)))
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|e| Error::NotAComponent(format!("the compiler failed: {e}")))?
    }
}

impl Shared {
    fn component(&self, bytes: &[u8], sha256: &str) -> Result<Component, Error> {
        let cached = self.cache.as_ref().and_then(|cache| cache.read(&self.engine, sha256));
        if let Some(component) = cached {
            return Ok(component);
        }
        let started = std::time::Instant::now();
        // Text would also be accepted by some builds of wasmtime: a plugin is a binary.
        let component = Component::from_binary(&self.engine, bytes)
            .map_err(|e| Error::NotAComponent(format!("{e:#}")))?;
        tracing::info!(sha256, bytes = bytes.len(), elapsed = ?started.elapsed(), "compiled a plugin");
        if let Some(cache) = &self.cache
            && let Err(error) = cache.write(&component, sha256)
        {
            tracing::warn!(sha256, %error, "the compiled plugin is not kept for the next process");
        }
        Ok(component)
    }

    fn loaded(&self) -> std::sync::MutexGuard<'_, LoadedPlugins> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Plugins in memory, by digest. A plugin that is dropped here lives on in its clones.
#[derive(Default)]
struct LoadedPlugins {
    cells: HashMap<String, Slot>,
    uses: u64,
}

struct Slot {
    cell: Arc<OnceCell<Arc<Loaded>>>,
    last_use: u64,
}

impl LoadedPlugins {
    fn cell(&mut self, sha256: &str) -> Arc<OnceCell<Arc<Loaded>>> {
        self.uses += 1;
        if self.cells.len() >= LOADED_MAX && !self.cells.contains_key(sha256) {
            let oldest = self.cells.iter().min_by_key(|(_, slot)| slot.last_use);
            if let Some(oldest) = oldest.map(|(sha256, _)| sha256.clone()) {
                self.cells.remove(&oldest);
            }
        }
        let slot = self
            .cells
            .entry(sha256.to_owned())
            .or_insert_with(|| Slot { cell: Arc::default(), last_use: 0 });
        slot.last_use = self.uses;
        Arc::clone(&slot.cell)
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

fn engine_config() -> wasmtime::Config {
    let mut config = wasmtime::Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK_BYTES)
        .async_stack_size(FIBER_STACK_BYTES)
        // Maps machine code back to WASM offsets, which only backtraces read: a third of the cached file.
        .generate_address_map(false);
    config
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
