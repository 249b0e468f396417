//! What there is: regions, engines and plugins, as the store's feeds tell.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use blitz_contract::{Capability, Retry};
use blitz_jobs::engine::{EngineDocument, Machine, Refused};
use blitz_jobs::plugin::versions::NoVersion;
use blitz_jobs::plugin::{Carrier, Mark, PluginDocument, PublicKey, Versions};
use blitz_jobs::region::Region;
use blitz_jobs::sealing::SealingKey;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::caller::Caller;
use crate::failure::{Failure, Unknown};

/// Shared by all who serve requests.
#[derive(Debug, Clone)]
pub(crate) struct Catalog {
    inner: Arc<RwLock<Inner>>,
    /// A region's document is another now.
    regions_changed: Arc<watch::Sender<()>>,
    /// An engine that has not rewritten its document for so long is gone.
    silence: Duration,
}

#[derive(Debug, Default)]
struct Inner {
    regions: BTreeMap<String, Region>,
    versions: Versions,
    engines: BTreeMap<String, (EngineDocument, Instant)>,
}

/// How much is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) versions: usize,
    /// Of their files.
    pub(crate) bytes: u64,
}

/// Whose the name of a plugin is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A built-in's.
    Operator,
    /// That of who published under it first, with the operator's token.
    Publisher(PublicKey),
    /// That of the tenant that published under it first.
    Tenant(String),
}

/// An engine as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct EngineView {
    id: String,
    region: String,
    build: String,
    slots: usize,
    plugins: Vec<String>,
    refused: Vec<Refused>,
    /// The machine that it is on, where a provider tells of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<Machine>,
    seen_ms_ago: u64,
}

/// One version of a plugin as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct PluginView {
    name: String,
    version: String,
    sha256: String,
    size_bytes: u64,
    summary: String,
    capabilities: Vec<Capability>,
    retry: Retry,
    carrier: Carrier,
    /// The publisher's key; absent for the operator's own.
    key: Option<PublicKey>,
    /// The only regions that have it; none is all.
    only: Vec<String>,
    /// The tenant whose it is; absent for the operator's.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    /// Whether it is there for that tenant alone.
    private: bool,
    /// Why it was taken back.
    yanked: Option<String>,
    published_at_ms: Option<u64>,
    /// The regions that may run it.
    regions: Vec<ReadyView>,
}

/// Which engines of a region can run a version.
#[derive(Debug, Serialize)]
struct ReadyView {
    name: String,
    engines: usize,
    ready: usize,
    refused: Vec<RefusalView>,
}

/// An engine that does not run a version.
#[derive(Debug, Serialize)]
struct RefusalView {
    engine: String,
    reason: String,
}

impl Catalog {
    pub(crate) fn new(presence: Duration) -> Self {
        let regions_changed = Arc::new(watch::Sender::new(()));
        Self { inner: Arc::default(), regions_changed, silence: presence * 3 }
    }

    fn read<T>(&self, look: impl FnOnce(&Inner) -> T) -> T {
        look(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.inner.write().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn hear_region(&self, region: Region) {
        self.write(|inner| {
            inner.tell_clashes(&region);
            inner.regions.insert(region.name.clone(), region);
        });
        self.regions_changed.send_replace(());
    }

    /// A region's document is gone.
    pub(crate) fn forget_region(&self, name: &str) {
        self.write(|inner| {
            inner.regions.remove(name);
        });
        self.regions_changed.send_replace(());
    }

    /// Wakes whenever a region's document was heard.
    pub(crate) fn regions_changed(&self) -> watch::Receiver<()> {
        self.regions_changed.subscribe()
    }

    /// Hears of a document of the control database that is about plugins; others are passed over.
    pub(crate) fn hear_control(&self, id: &str, doc: Value) {
        self.write(|inner| {
            inner.versions.hear(id, doc);
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

    /// The region of this very name.
    pub(crate) fn region_named(&self, name: &str) -> Option<Region> {
        self.read(|inner| inner.regions.get(name).cloned())
    }

    /// The region that the caller's word means: the one of this name, else the first by name that has it as an alias.
    pub(crate) fn region(&self, word: &str, caller: &Caller) -> Result<Region, Failure> {
        self.read(|inner| {
            let used = || inner.regions.values().filter(|region| caller.may_use(region));
            let found = inner.regions.get(word).filter(|region| caller.may_use(region));
            let found = found.or_else(|| used().find(|region| region.is_called(word)));
            found.cloned().ok_or_else(|| {
                let names = used().map(|region| region.name.clone()).collect();
                Failure::unknown(Unknown::Region, word, names)
            })
        })
    }

    /// The regions that a caller may use.
    pub(crate) fn regions(&self, caller: &Caller) -> Vec<Region> {
        let mut regions = self.all_regions();
        regions.retain(|region| caller.may_use(region));
        regions
    }

    pub(crate) fn region_names(&self) -> Vec<String> {
        self.read(|inner| inner.regions.keys().cloned().collect())
    }

    pub(crate) fn all_regions(&self) -> Vec<Region> {
        self.read(|inner| inner.regions.values().cloned().collect())
    }

    /// The key to which secrets for a region are sealed; false beside it where there are engines, and none has it.
    pub(crate) fn sealing_key(&self, region: &Region) -> Option<(SealingKey, bool)> {
        self.read(|inner| {
            let living = self.living(inner).filter(|(engine, _)| engine.region == region.name);
            let held: Vec<&[String]> = living.map(|(engine, _)| engine.keys.as_slice()).collect();
            region.sealing_key(&held).map(|(key, is_held)| (key.clone(), is_held))
        })
    }

    /// How many engines of a region live, and how many slots they have.
    pub(crate) fn capacity(&self, region: &str) -> (usize, usize) {
        self.read(|inner| {
            let living = self.living(inner).filter(|(engine, _)| engine.region == region);
            living.fold((0, 0), |(engines, slots), (engine, _)| (engines + 1, slots + engine.slots))
        })
    }

    /// The plugin of this name for these regions: the asked version, or the newest that all of them may run.
    pub(crate) fn plugin(
        &self,
        name: &str,
        version: Option<&str>,
        regions: &[String],
        caller: &Caller,
    ) -> Result<PluginDocument, Failure> {
        let regions: Vec<&str> = regions.iter().map(String::as_str).collect();
        self.read(|inner| {
            let refused = |plugin: &PluginDocument| self.is_refused(inner, plugin, &regions);
            let chosen =
                inner.versions.choose(name, version, &regions, |one| caller.sees(one), refused);
            chosen.cloned().map_err(|why| match why {
                NoVersion::Unknown => {
                    let word = version.map_or_else(|| name.to_owned(), |v| format!("{name}@{v}"));
                    let names = inner.versions.names(|plugin| caller.sees(plugin));
                    Failure::unknown(Unknown::Plugin, &word, names)
                }
                NoVersion::Yanked(mark) => {
                    let (sentence, name) = (mark.sentence(), &mark.name);
                    let reason = format!("{sentence}; 'blitz plugin list {name}' shows the others");
                    Failure::conflict("yanked", reason)
                }
                NoVersion::Elsewhere { label, only, region } => {
                    let used = |name: &&String| {
                        inner.regions.get(*name).is_some_and(|r| caller.may_use(r))
                    };
                    let used: Vec<&str> = only.iter().filter(used).map(String::as_str).collect();
                    let only = if used.is_empty() { "others".to_owned() } else { used.join(", ") };
                    let reason = format!(
                        "{label} is in {only} only, not in {region}; \
                         'blitz plugin promote {label}' lets all regions have it"
                    );
                    Failure::conflict("not_in_region", reason)
                }
            })
        })
    }

    /// Whether one of these regions has engines, and each of them has said that it does not run this version.
    fn is_refused(&self, inner: &Inner, plugin: &PluginDocument, regions: &[&str]) -> bool {
        let label = plugin.label();
        let refuses = |engine: &EngineDocument| engine.refused.iter().any(|r| r.plugin == label);
        regions.iter().any(|region| {
            let here = self.living(inner).filter(|(engine, _)| engine.region == *region);
            let mut here = here.map(|(engine, _)| engine).peekable();
            here.peek().is_some() && here.all(refuses)
        })
    }

    /// Whether a region has engines, and none of them runs this version yet that still may: they prepare it.
    pub(crate) fn is_preparing(&self, region: &str, plugin: &PluginDocument) -> bool {
        self.read(|inner| {
            let offers = |engine: &EngineDocument| engine.plugins.contains(&plugin.label());
            let here = self.living(inner).filter(|(engine, _)| engine.region == region);
            let mut here = here.map(|(engine, _)| engine).peekable();
            here.peek().is_some() && !here.any(offers) && !self.is_refused(inner, plugin, &[region])
        })
    }

    /// One version, whatever was said of it later.
    pub(crate) fn version(&self, name: &str, version: &str) -> Option<PluginDocument> {
        self.read(|inner| inner.versions.get(name, version).cloned())
    }

    /// The versions of a plugin as `name@version`; of all plugins when none has this name.
    pub(crate) fn labels(&self, name: &str, caller: &Caller) -> Vec<String> {
        self.read(|inner| {
            let labels = |of_name: bool| -> Vec<String> {
                let plugins = inner.versions.all().filter(|plugin| caller.sees(plugin));
                let plugins = plugins.filter(|p| !of_name || p.manifest.name == name);
                plugins.map(PluginDocument::label).collect()
            };
            Some(labels(true)).filter(|own| !own.is_empty()).unwrap_or_else(|| labels(false))
        })
    }

    /// The yank of a version.
    pub(crate) fn yanked(&self, plugin: &PluginDocument) -> Option<Mark> {
        let (name, version) = (&plugin.manifest.name, &plugin.manifest.version);
        self.read(|inner| inner.versions.yanked(name, version).cloned())
    }

    /// Whose a name is: nobody else publishes under it.
    pub(crate) fn owner(&self, name: &str) -> Option<Owner> {
        self.read(|inner| {
            let first = inner.versions.first(name)?;
            if let Some(tenant) = &first.tenant {
                return Some(Owner::Tenant(tenant.clone()));
            }
            let signature = first.signature.as_ref();
            Some(signature.map_or(Owner::Operator, |s| Owner::Publisher(s.key.clone())))
        })
    }

    /// How much all have published, taken back or not.
    pub(crate) fn published(&self) -> Published {
        self.read(|inner| Published::of(inner.versions.all()))
    }

    /// How much of it a tenant has.
    pub(crate) fn published_by(&self, tenant: &str) -> Published {
        let is_own = |plugin: &&PluginDocument| plugin.tenant.as_deref() == Some(tenant);
        self.read(|inner| Published::of(inner.versions.all().filter(is_own)))
    }

    /// All versions, with the engines that can run them.
    pub(crate) fn plugin_views(&self, caller: &Caller) -> Vec<PluginView> {
        self.read(|inner| {
            let engines = self.abilities(inner);
            let seen = inner.versions.all().filter(|plugin| caller.sees(plugin));
            seen.map(|plugin| inner.view(plugin, &engines, caller)).collect()
        })
    }

    /// One version, with the engines that can run it.
    pub(crate) fn plugin_view(&self, plugin: &PluginDocument, caller: &Caller) -> PluginView {
        self.read(|inner| inner.view(plugin, &self.abilities(inner), caller))
    }

    /// What each living engine says of each plugin: looked up by label, as there may be many of both.
    fn abilities<'a>(&self, inner: &'a Inner) -> Vec<Abilities<'a>> {
        let of = |(engine, _): &'a (EngineDocument, Instant)| {
            let ready = engine.plugins.iter().map(|label| (label.as_str(), None));
            let refused =
                engine.refused.iter().map(|r| (r.plugin.as_str(), Some(r.reason.as_str())));
            Abilities { engine, plugins: refused.chain(ready).collect() }
        };
        self.living(inner).map(of).collect()
    }

    /// The engines of the regions that a caller may use. Of plugins that are not there for it they say nothing.
    pub(crate) fn engines_view(&self, caller: &Caller) -> Vec<EngineView> {
        self.read(|inner| {
            let hidden: HashSet<String> = inner
                .versions
                .all()
                .filter(|plugin| !caller.sees(plugin))
                .map(PluginDocument::label)
                .collect();
            let is_used = |engine: &EngineDocument| {
                inner.regions.get(&engine.region).is_none_or(|region| caller.may_use(region))
            };
            self.living(inner)
                .filter(|(engine, _)| is_used(engine))
                .map(|(engine, seen)| EngineView {
                    id: engine.engine.clone(),
                    region: engine.region.clone(),
                    build: engine.blitz.clone(),
                    slots: engine.slots,
                    plugins: kept(&engine.plugins, |label| !hidden.contains(label)),
                    refused: kept(&engine.refused, |one| !hidden.contains(&one.plugin)),
                    machine: engine.machine.clone(),
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

impl Published {
    fn of<'a>(versions: impl Iterator<Item = &'a PluginDocument>) -> Self {
        versions.fold(Self { versions: 0, bytes: 0 }, |sum, plugin| Self {
            versions: sum.versions + 1,
            bytes: sum.bytes.saturating_add(plugin.size_bytes),
        })
    }
}

fn kept<T: Clone>(all: &[T], keeps: impl Fn(&T) -> bool) -> Vec<T> {
    all.iter().filter(|one| keeps(one)).cloned().collect()
}

/// One engine, and for each plugin that it knows why it does not run it, if so.
struct Abilities<'a> {
    engine: &'a EngineDocument,
    plugins: HashMap<&'a str, Option<&'a str>>,
}

impl<'a> Abilities<'a> {
    /// `None`: nothing yet. `Some(None)`: it can run it.
    fn says(&self, label: &str) -> Option<Option<&'a str>> {
        self.plugins.get(label).copied()
    }
}

impl Inner {
    /// Logs the words of a region that mean another one too: who says them gets one of the two.
    fn tell_clashes(&self, region: &Region) {
        if self.regions.get(&region.name).is_some_and(|known| known.aliases == region.aliases) {
            return;
        }
        for other in self.regions.values().filter(|other| other.name != region.name) {
            let clashes = region.aliases.iter().filter(|alias| other.is_called(alias));
            let named = other.aliases.iter().filter(|alias| **alias == region.name);
            for word in clashes.chain(named) {
                let (one, two) = (&region.name, &other.name);
                tracing::warn!(
                    word,
                    "means both region {one} and region {two}: a region's own name wins, else the first by name"
                );
            }
        }
    }

    fn view(
        &self,
        plugin: &PluginDocument,
        engines: &[Abilities<'_>],
        caller: &Caller,
    ) -> PluginView {
        let label = plugin.label();
        let may_run =
            |region: &&Region| self.versions.is_for(plugin, &region.name) && caller.may_use(region);
        let is_used =
            |name: &&String| self.regions.get(*name).is_none_or(|region| caller.may_use(region));
        let ready = |region: &Region| {
            let here = || engines.iter().filter(|able| able.engine.region == region.name);
            let refusal = |able: &Abilities<'_>| {
                let reason = able.says(&label)??.to_owned();
                Some(RefusalView { engine: able.engine.engine.clone(), reason })
            };
            ReadyView {
                name: region.name.clone(),
                engines: here().count(),
                ready: here().filter(|able| able.says(&label) == Some(None)).count(),
                refused: here().filter_map(refusal).collect(),
            }
        };
        let manifest = &plugin.manifest;
        let is_promoted = self.versions.is_promoted(plugin);
        let yanked = self.versions.yanked(&manifest.name, &manifest.version);
        PluginView {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            sha256: plugin.sha256.clone(),
            size_bytes: plugin.size_bytes,
            summary: manifest.summary.clone(),
            capabilities: manifest.capabilities.clone(),
            retry: manifest.retry,
            carrier: plugin.carrier.clone(),
            key: plugin.signature.as_ref().map(|signature| signature.key.clone()),
            only: if is_promoted {
                Vec::new()
            } else {
                plugin.only.iter().filter(is_used).cloned().collect()
            },
            tenant: plugin.tenant.clone(),
            private: plugin.private,
            yanked: yanked.map(|mark| mark.reason.clone()),
            published_at_ms: plugin.published_at_ms,
            regions: self.regions.values().filter(may_run).map(ready).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document<T: serde::de::DeserializeOwned>(body: Value) -> T {
        serde_json::from_value(body).expect("a document")
    }

    #[test]
    fn engines_that_say_nothing_of_a_version_prepare_it() {
        let plugin: PluginDocument = document(json!({
            "kind": "plugin", "blitz": "0.1.0", "sha256": "ab", "size_bytes": 1,
            "manifest": {"name": "hops", "version": "0.1.0", "summary": "s", "contract": "0.1.0"},
        }));
        let catalog = Catalog::new(Duration::from_secs(60));
        let mut counter = 0;
        let mut says = |engine: &str, ready: &[&str], refused: &[&str]| {
            counter += 1;
            let refused: Vec<Value> =
                refused.iter().map(|label| json!({"plugin": label, "reason": "r"})).collect();
            catalog.hear_engine(document(json!({
                "kind": "engine", "blitz": "0.1.0", "engine": engine, "region": "japan",
                "incarnation": "0123456789abcdef0123456789abcdef", "slots": 1,
                "plugins": ready, "refused": refused, "counter": counter,
            })));
        };
        let is_preparing = || catalog.is_preparing("japan", &plugin);
        assert!(!is_preparing(), "nobody is there");
        says("e1", &[], &[]);
        assert!(is_preparing());
        assert!(!catalog.is_preparing("virginia", &plugin), "nobody is there");
        says("e1", &["other@0.1.0"], &["hops@0.1.0"]);
        assert!(!is_preparing(), "nobody will run it");
        says("e2", &[], &[]);
        assert!(is_preparing(), "another may");
        says("e2", &["hops@0.1.0"], &[]);
        assert!(!is_preparing(), "it is ready");
    }
}
