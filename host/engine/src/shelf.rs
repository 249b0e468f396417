//! The plugins that this engine can run: heard of on the control database's feed, checked, compiled, kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use blitz_contract::Manifest;
use blitz_couchdb::{Client, Database, Error, FeedEvent, FollowOptions, Sequence};
use blitz_jobs::plugin::{COMPONENT, PluginDocument};
use blitz_jobs::read;
use blitz_jobs::region::CONTROL;
use blitz_jobs::timing::HEARTBEAT;
use blitz_runtime::{Plugin, Runtime};
use serde_json::{Value, json};
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use crate::config::Trust;

/// A plugin that is ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    pub(crate) manifest: Manifest,
    pub(crate) plugin: Plugin,
}

/// What the engine can run, by digest. Shared by the loop and its executors.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shelf {
    ready: Arc<Mutex<BTreeMap<String, Ready>>>,
}

impl Shelf {
    /// The plugin with this digest.
    pub(crate) fn get(&self, sha256: &str) -> Option<Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).get(sha256).cloned()
    }

    /// All plugins as `name@version`.
    pub(crate) fn labels(&self) -> Vec<String> {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let mut labels: Vec<String> =
            ready.values().map(|r| format!("{}@{}", r.manifest.name, r.manifest.version)).collect();
        labels.sort();
        labels.dedup();
        labels
    }

    fn put(&self, sha256: String, ready: Ready) {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).insert(sha256, ready);
    }
}

/// A component that could not be fetched is tried again after this long.
const FETCH_AGAIN: Duration = Duration::from_secs(2);

/// Fills the shelf until `stop`; each digest that is ready to run is sent to `usable`.
pub(crate) async fn fill(
    store: Client,
    runtime: Runtime,
    trust: Trust,
    shelf: Shelf,
    usable: Sender<String>,
    stop: CancellationToken,
) {
    let control = store.database(CONTROL);
    let follow = follow(&control, &runtime, &trust, &shelf, &usable);
    let _ = stop.run_until_cancelled(follow).await;
}

async fn follow(
    control: &Database,
    runtime: &Runtime,
    trust: &Trust,
    shelf: &Shelf,
    usable: &Sender<String>,
) {
    loop {
        // From the start: a plugin's document is written once and there are few.
        let mut feed = control.follow(FollowOptions {
            since: Sequence::zero(),
            selector: Some(json!({"kind": "plugin"})),
            include_docs: true,
            heartbeat: HEARTBEAT,
            ..FollowOptions::default()
        });
        loop {
            match feed.next().await {
                FeedEvent::Change(change) => {
                    let Ok(Some(doc)) = change.document::<Value>() else { continue };
                    let Some(document) = read::document(&change.id, doc.body) else { continue };
                    let id = &change.id;
                    if let Some(sha256) = take(control, runtime, trust, shelf, id, document).await
                        && usable.send(sha256).await.is_err()
                    {
                        return;
                    }
                }
                FeedEvent::Connected => {}
                FeedEvent::Disconnected(error) => tracing::warn!(%error, "plugin feed interrupted"),
                FeedEvent::Replaced | FeedEvent::Gone => {
                    tokio::time::sleep(FETCH_AGAIN).await;
                    break;
                }
            }
        }
    }
}

/// Gets one plugin ready; its digest when it can run now.
async fn take(
    control: &Database,
    runtime: &Runtime,
    trust: &Trust,
    shelf: &Shelf,
    id: &str,
    document: PluginDocument,
) -> Option<String> {
    if shelf.get(&document.sha256).is_some() {
        return None;
    }
    let label = document.label();
    if let Err(error) = document.manifest.check() {
        tracing::warn!(label, %error, "plugin refused");
        return None;
    }
    if !trust.accepts(&document.sha256) {
        tracing::warn!(
            label,
            sha256 = document.sha256,
            "plugin refused: this engine does not trust it"
        );
        return None;
    }
    let component = loop {
        match control.attachment(id, COMPONENT).await {
            Ok(Some(component)) => break component,
            Ok(None) => {
                tracing::warn!(label, "plugin refused: its document has no {COMPONENT}");
                return None;
            }
            Err(error @ (Error::Forbidden { .. } | Error::TooLarge { .. })) => {
                tracing::warn!(label, %error, "plugin refused");
                return None;
            }
            Err(error) => {
                tracing::warn!(label, %error, "cannot fetch the plugin, trying again");
                tokio::time::sleep(FETCH_AGAIN).await;
            }
        }
    };
    match runtime.load(component, &document.sha256).await {
        Ok(plugin) => {
            // Trust is in the bytes, and so the rights are those that the bytes ask for: whoever can write
            // documents must not be able to widen them.
            match plugin.describe().await {
                Ok(own) if own.capabilities == document.manifest.capabilities => {}
                Ok(_) => {
                    tracing::warn!(
                        label,
                        "plugin refused: its document asks for other rights than itself"
                    );
                    return None;
                }
                Err(error) => {
                    tracing::warn!(label, %error, "plugin refused");
                    return None;
                }
            }
            tracing::info!(label, "plugin ready");
            shelf.put(document.sha256.clone(), Ready { manifest: document.manifest, plugin });
            Some(document.sha256)
        }
        Err(error) => {
            tracing::warn!(label, %error, "plugin refused");
            None
        }
    }
}
