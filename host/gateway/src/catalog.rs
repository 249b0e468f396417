//! What there is: regions, engines and plugins, as the store's feeds tell.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use blitz_jobs::engine::EngineDocument;
use blitz_jobs::plugin::PluginDocument;
use blitz_jobs::region::Region;
use serde::Serialize;
use tokio::time::Instant;

use crate::failure::{Failure, Unknown};

/// Shared by all who serve requests.
#[derive(Debug, Clone)]
pub(crate) struct Catalog {
    inner: Arc<RwLock<Inner>>,
    /// An engine that has not rewritten its document for so long is gone.
    silence: Duration,
}

#[derive(Debug, Default)]
struct Inner {
    regions: BTreeMap<String, Region>,
    /// By document id.
    plugins: BTreeMap<String, PluginDocument>,
    engines: BTreeMap<String, (EngineDocument, Instant)>,
}

/// A region as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct RegionView {
    name: String,
    aliases: Vec<String>,
    engines: usize,
    slots: usize,
}

/// An engine as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct EngineView {
    id: String,
    region: String,
    build: String,
    slots: usize,
    plugins: Vec<String>,
    seen_ms_ago: u64,
}

impl Catalog {
    pub(crate) fn new(presence: Duration) -> Self {
        Self { inner: Arc::default(), silence: presence * 3 }
    }

    fn read<T>(&self, look: impl FnOnce(&Inner) -> T) -> T {
        look(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.inner.write().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn hear_region(&self, region: Region) {
        self.write(|inner| {
            inner.regions.insert(region.name.clone(), region);
        });
    }

    pub(crate) fn hear_plugin(&self, plugin: PluginDocument) {
        self.write(|inner| {
            inner.plugins.insert(plugin.document_id(), plugin);
        });
    }

    pub(crate) fn hear_engine(&self, engine: EngineDocument) {
        self.write(|inner| {
            let key = format!("{}/{}", engine.region, engine.engine);
            let is_new = inner.engines.get(&key).is_none_or(|(known, _)| {
                known.counter != engine.counter || known.incarnation != engine.incarnation
            });
            let silence = self.silence;
            inner.engines.retain(|_, (_, seen)| seen.elapsed() < silence);
            if engine.gone {
                inner.engines.remove(&key);
            } else if is_new {
                inner.engines.insert(key, (engine, Instant::now()));
            }
        });
    }

    /// The region that the user's word means.
    pub(crate) fn region(&self, word: &str) -> Result<Region, Failure> {
        self.read(|inner| {
            let found = inner.regions.values().find(|region| region.is_called(word));
            found.cloned().ok_or_else(|| {
                let words = inner.regions.values();
                let names: Vec<String> = words.map(|region| region.name.clone()).collect();
                Failure::unknown(Unknown::Region, word, names)
            })
        })
    }

    pub(crate) fn region_names(&self) -> Vec<String> {
        self.read(|inner| inner.regions.keys().cloned().collect())
    }

    pub(crate) fn all_regions(&self) -> Vec<Region> {
        self.read(|inner| inner.regions.values().cloned().collect())
    }

    /// How many engines of a region live, and how many slots they have.
    pub(crate) fn capacity(&self, region: &str) -> (usize, usize) {
        self.read(|inner| {
            let living = self.living(inner).filter(|(engine, _)| engine.region == region);
            living.fold((0, 0), |(engines, slots), (engine, _)| (engines + 1, slots + engine.slots))
        })
    }

    /// The plugin of this name: the asked version, or the newest.
    pub(crate) fn plugin(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> Result<PluginDocument, Failure> {
        self.read(|inner| {
            let found = inner
                .plugins
                .values()
                .filter(|plugin| plugin.manifest.name == name)
                .filter(|plugin| version.is_none_or(|wanted| plugin.manifest.version == wanted))
                .max_by_key(|plugin| plugin.version_order());
            found.cloned().ok_or_else(|| {
                let mut names: Vec<String> =
                    inner.plugins.values().map(|plugin| plugin.manifest.name.clone()).collect();
                names.dedup();
                let word = version.map_or_else(|| name.to_owned(), |v| format!("{name}@{v}"));
                Failure::unknown(Unknown::Plugin, &word, names)
            })
        })
    }

    pub(crate) fn plugins(&self) -> Vec<PluginDocument> {
        self.read(|inner| inner.plugins.values().cloned().collect())
    }

    pub(crate) fn regions_view(&self) -> Vec<RegionView> {
        self.all_regions()
            .into_iter()
            .map(|region| {
                let (engines, slots) = self.capacity(&region.name);
                RegionView { name: region.name, aliases: region.aliases, engines, slots }
            })
            .collect()
    }

    pub(crate) fn engines_view(&self) -> Vec<EngineView> {
        self.read(|inner| {
            self.living(inner)
                .map(|(engine, seen)| EngineView {
                    id: engine.engine.clone(),
                    region: engine.region.clone(),
                    build: engine.blitz.clone(),
                    slots: engine.slots,
                    plugins: engine.plugins.clone(),
                    seen_ms_ago: u64::try_from(seen.elapsed().as_millis()).unwrap_or(u64::MAX),
                })
                .collect()
        })
    }

    fn living<'a>(&self, inner: &'a Inner) -> impl Iterator<Item = &'a (EngineDocument, Instant)> {
        let silence = self.silence;
        inner.engines.values().filter(move |(_, seen)| seen.elapsed() < silence)
    }
}
