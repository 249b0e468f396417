//! The plugins that this engine knows, and the way from a job to the one that it asks for.
//!
//! The shelf keeps documents and what became of them, not compiled plugins: the runtime keeps as many of those
//! as it has memory for, and what it has dropped is loaded again before a job.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use blitz_contract::{Manifest, package};
use blitz_couchdb::{Database, Error};
use blitz_jobs::Spec;
use blitz_jobs::engine::{REFUSED_MAX, REFUSED_REASON_CHARS_MAX, Refused};
use blitz_jobs::plugin::document::document_id;
use blitz_jobs::plugin::{COMPONENT, Carrier, Mark, PluginDocument};
use blitz_runtime::{Plugin, Runtime};
use bytes::Bytes;
use tokio::sync::Notify;

/// A file that could not be fetched is fetched again after this long.
const FETCH_AGAIN: Duration = Duration::from_secs(2);

/// What a job waits for could not be loaded by no fault of its file: once more after this long.
const LOAD_AGAIN: Duration = Duration::from_secs(1);

/// A plugin that is ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    pub(crate) manifest: Manifest,
    pub(crate) plugin: Plugin,
}

/// What became of a version here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stand {
    /// It waits to be loaded, or is.
    Loading,
    /// Jobs of it may be claimed.
    Ready,
    /// It is for other regions.
    Elsewhere,
    /// Its document is not to be believed, here and now.
    NotAdmitted(String),
    /// Its file is not what it should be. That does not change with the engine's trust.
    Spoiled(String),
    /// It could not be loaded by no fault of its file, and is tried again.
    Failed(String),
}

/// A version that was heard of.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) document: PluginDocument,
    pub(crate) stand: Stand,
}

/// Why a version's file was not loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotLoaded {
    pub(crate) reason: String,
    /// Whether it may be loaded later: the machine failed, and not the file.
    pub(crate) is_passing: bool,
}

impl NotLoaded {
    fn for_ever(reason: impl ToString) -> Self {
        Self { reason: reason.to_string(), is_passing: false }
    }
}

impl From<blitz_runtime::Error> for NotLoaded {
    fn from(error: blitz_runtime::Error) -> Self {
        Self { reason: error.to_string(), is_passing: error.is_passing() }
    }
}

/// What the engine knows, by the ids of the plugins' documents.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) items: BTreeMap<String, Item>,
    pub(crate) yanked: BTreeMap<String, Mark>,
    pub(crate) promoted: BTreeSet<String>,
    /// Digests of versions that were ready, and whose file was found spoiled before a job: still to be told to the
    /// loop, which must claim no more of their jobs.
    pub(crate) gone_bad: Vec<String>,
}

/// Shared by those who fill it and those who run from it. A clone is the same shelf.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    control: Database,
    runtime: Runtime,
    known: Arc<Mutex<Known>>,
    /// Told when what the engine can run has changed.
    changed: Arc<Notify>,
    /// Told when [`Known::gone_bad`] has something.
    gone_bad: Arc<Notify>,
}

impl Shelf {
    /// An empty one, which loads from this control database.
    pub(crate) fn new(control: Database, runtime: Runtime, changed: Arc<Notify>) -> Self {
        Self { control, runtime, known: Arc::default(), changed, gone_bad: Arc::default() }
    }

    /// Where its plugins come from.
    pub(crate) fn control(&self) -> &Database {
        &self.control
    }

    /// Looks at what is known.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.known())
    }

    /// Changes what is known, and has it told.
    pub(crate) fn write<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        let changed = change(&mut self.known());
        self.changed.notify_one();
        changed
    }

    /// Waits for files that were found spoiled before a job, and gives their digests.
    pub(crate) async fn gone_bad(&self) -> Vec<String> {
        self.gone_bad.notified().await;
        std::mem::take(&mut self.known().gone_bad)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All versions that it runs, as `name@version`.
    pub(crate) fn labels(&self) -> Vec<String> {
        self.read(|known| {
            let ready = |(id, item): &(&String, &Item)| {
                item.stand == Stand::Ready && !known.yanked.contains_key(*id)
            };
            known.items.iter().filter(ready).map(|(_, item)| item.document.label()).collect()
        })
    }

    /// Those that it does not run though they are for its region, the newest first.
    pub(crate) fn refused(&self) -> Vec<Refused> {
        self.read(|known| {
            let mut refused: Vec<(Option<u64>, Refused)> = known
                .items
                .iter()
                .filter(|(id, _)| !known.yanked.contains_key(*id))
                .filter_map(|(_, item)| {
                    let reason = match &item.stand {
                        Stand::NotAdmitted(reason)
                        | Stand::Spoiled(reason)
                        | Stand::Failed(reason) => reason,
                        Stand::Loading | Stand::Ready | Stand::Elsewhere => return None,
                    };
                    let reason = reason.chars().take(REFUSED_REASON_CHARS_MAX).collect();
                    let refused = Refused { plugin: item.document.label(), reason };
                    Some((item.document.published_at_ms, refused))
                })
                .collect();
            refused.sort_by_key(|(published_at_ms, _)| std::cmp::Reverse(*published_at_ms));
            refused.truncate(REFUSED_MAX);
            refused.into_iter().map(|(_, refused)| refused).collect()
        })
    }

    /// The plugin of a job, from the runtime's memory or loaded again.
    ///
    /// It waits while the store does not answer: the caller has a limit of time.
    ///
    /// # Errors
    ///
    /// The reason for the job's end.
    pub(crate) async fn plugin(&self, spec: &Spec) -> Result<Ready, String> {
        let id = document_id(&spec.plugin, &spec.version);
        let document = self.read(|known| known.for_job(&id, spec))?;
        let manifest = document.manifest.clone();
        if let Some(plugin) = self.runtime.ready(&document.sha256).await {
            return Ok(Ready { manifest, plugin });
        }
        let mut loaded = self.load(&id, &document).await;
        if loaded.as_ref().is_err_and(|not| not.is_passing) {
            tokio::time::sleep(LOAD_AGAIN).await;
            loaded = self.load(&id, &document).await;
        }
        loaded.map(|plugin| Ready { manifest, plugin }).map_err(
            |NotLoaded { reason, is_passing }| {
                if !is_passing {
                    self.write(|known| known.spoil(&id, &document, &reason));
                    self.gone_bad.notify_one();
                }
                format!("{}: {reason}", document.label())
            },
        )
    }

    /// Fetches a version's file, compares it with what was signed, and has it compiled.
    ///
    /// # Errors
    ///
    /// The reason why this file is not run.
    pub(crate) async fn load(
        &self,
        id: &str,
        document: &PluginDocument,
    ) -> Result<Plugin, NotLoaded> {
        let file = self.fetch(id, document).await.map_err(NotLoaded::for_ever)?;
        match document.carrier {
            Carrier::Component => self.load_component(file, document).await,
            // Its manifest is the signed one: nothing of it runs to be asked for another.
            Carrier::Native => {
                let manifest = Some(document.manifest.clone());
                let library = self.runtime.load_native(file, &document.sha256, manifest).await;
                Ok(library?)
            }
            Carrier::Unknown(_) => {
                Err(NotLoaded::for_ever("its carrier is not known to this engine"))
            }
        }
    }

    async fn load_component(
        &self,
        component: Bytes,
        document: &PluginDocument,
    ) -> Result<Plugin, NotLoaded> {
        let inside = package::manifest(&component).map(str::to_owned);
        let plugin = self.runtime.load(component, &document.sha256).await?;
        let own = match inside {
            Some(text) => Manifest::from_json(&text).map_err(NotLoaded::for_ever)?,
            None => plugin.describe().await?,
        };
        let is_same = match document.signature {
            Some(_) => own == document.manifest,
            // Trust is in the bytes alone, and so the rights are those that the bytes ask for: whoever can
            // write documents must not be able to widen them.
            None => own.capabilities == document.manifest.capabilities,
        };
        match is_same {
            true => Ok(plugin),
            false => Err(NotLoaded::for_ever(
                "its document says something else of it than itself; build and publish it again under a \
                 new version",
            )),
        }
    }

    async fn fetch(&self, id: &str, document: &PluginDocument) -> Result<Bytes, String> {
        loop {
            match self.control.attachment(id, COMPONENT).await {
                Ok(Some(file)) => return Ok(file),
                Ok(None) => return Err(format!("its document has no {COMPONENT}")),
                Err(error @ (Error::Forbidden { .. } | Error::TooLarge { .. })) => {
                    return Err(error.to_string());
                }
                Err(error) => {
                    let label = document.label();
                    tracing::warn!(label, %error, "cannot fetch the plugin, trying again");
                    tokio::time::sleep(FETCH_AGAIN).await;
                }
            }
        }
    }
}

impl Known {
    /// The file of a document was found not to be what it should be. Another document may have come meanwhile.
    fn spoil(&mut self, id: &str, document: &PluginDocument, reason: &str) {
        if let Some(item) = self.items.get_mut(id).filter(|item| item.document == *document) {
            item.stand = Stand::Spoiled(reason.to_owned());
            self.gone_bad.push(document.sha256.clone());
        }
    }

    /// The document that a job means; otherwise why it ends.
    fn for_job(&self, id: &str, spec: &Spec) -> Result<PluginDocument, String> {
        if let Some(mark) = self.yanked.get(id) {
            return Err(mark.sentence());
        }
        let label = format!("{}@{}", spec.plugin, spec.version);
        let item = self.items.get(id).filter(|item| item.document.sha256 == spec.sha256);
        // Gateways have asked the same; of one that is not there for a tenant it is told as of one that is not there.
        let item = item.filter(|item| item.document.is_seen_by(spec.tenant.as_deref()));
        let item = item.ok_or_else(|| format!("{label} is not on this engine"))?;
        match &item.stand {
            Stand::Ready => Ok(item.document.clone()),
            Stand::NotAdmitted(reason) | Stand::Spoiled(reason) | Stand::Failed(reason) => {
                Err(format!("{label}: {reason}"))
            }
            Stand::Loading | Stand::Elsewhere => Err(format!("{label} is not on this engine")),
        }
    }
}
