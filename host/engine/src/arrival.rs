//! Plugins arrive on the control database's feed: each version is decided on, loaded before its first job, and
//! told to the loop. Yanks, promotions and a trust file that has changed are decided on the same way.

mod sizes;

use std::collections::VecDeque;
use std::time::Duration;

use blitz_couchdb::{Database, FollowOptions};
use blitz_jobs::plugin::document::document_id;
use blitz_jobs::plugin::marks::MarkKind;
use blitz_jobs::plugin::{Mark, PluginDocument};
use blitz_jobs::read;
use blitz_jobs::timing::HEARTBEAT;
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admission::{Verdict, admit};
use crate::shelf::{Item, NotLoaded, Shelf, Stand};
use crate::trust::{Roots, Trust};
use sizes::{KNOWN_MAX, Sizes};

/// Plugins fetched and compiled at once: one that takes 10 s must not keep the others waiting, and each may
/// hold a file of 64 MiB while it is loaded.
const LOADS_AT_ONCE: usize = 4;

/// What one document may have: a manifest of 256 KiB stands in it twice, once as an escaped text.
const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// Marks that an engine keeps, of either kind. Each has a few hundred bytes; one may be heard before its version.
const MARKS_MAX: usize = 10 * KNOWN_MAX;

/// Bytes of the id of a mark: its word, a name of 40 and a version of 29 characters fit.
const MARK_ID_BYTES_MAX: usize = 100;

/// The trust file is looked at this often: one `stat`.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A version that could not be loaded by no fault of its file is loaded again after this long, so many times in
/// all: what brings the compiler down each time is the file's fault after all.
const LOAD_AGAIN: Duration = Duration::from_secs(15);
const LOADS_MAX: u32 = 4;

/// Documents that wait to be decided on; the feed waits when it is full.
const HEARD_WAITING: usize = 64;

/// What the loop is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Jobs of this digest may be claimed.
    Add(String),
    /// They may not any more.
    Remove(String),
}

/// Fills the shelf until `stop`.
pub(crate) async fn attend(
    shelf: Shelf,
    region: String,
    trust: Trust,
    offers: Sender<Offer>,
    stop: CancellationToken,
) {
    let (heard_in, heard) = mpsc::channel(HEARD_WAITING);
    let control = shelf.control().clone();
    let desk = Desk {
        shelf,
        region,
        roots: Roots::new(trust),
        offers,
        waiting: VecDeque::new(),
        loads: JoinSet::new(),
        pauses: JoinSet::new(),
        sizes: Sizes::default(),
    };
    tokio::select! {
        () = follow(&control, heard_in) => {}
        () = desk.work(heard) => {}
        () = stop.cancelled() => {}
    }
}

/// Sends what is in the control database about plugins, and what changes.
async fn follow(control: &Database, heard: Sender<(String, Value)>) {
    // From the start: such documents are written once and there are few.
    let mut feed = control.follow_for_ever(FollowOptions {
        selector: Some(json!({"kind": {"$in": ["plugin", "yanked", "promoted"]}})),
        include_docs: true,
        heartbeat: HEARTBEAT,
        ..FollowOptions::default()
    });
    loop {
        let change = feed.next().await;
        let Ok(Some(doc)) = change.document::<Value>() else { continue };
        if heard.send((change.id, doc.body)).await.is_err() {
            return;
        }
    }
}

/// The one who decides; all changes of the shelf but those of a spoiled file come from here.
struct Desk {
    shelf: Shelf,
    region: String,
    roots: Roots,
    offers: Sender<Offer>,
    /// Plugins to be loaded, in the order in which they were heard of.
    waiting: VecDeque<Wanted>,
    loads: JoinSet<Loaded>,
    /// Those that are loaded again when their pause ends.
    pauses: JoinSet<Wanted>,
    sizes: Sizes,
}

/// A plugin to be loaded.
struct Wanted {
    id: String,
    /// How often it was tried before.
    tries: u32,
}

/// How a load ended.
struct Loaded {
    wanted: Wanted,
    /// As it was when the load began.
    document: PluginDocument,
    result: Result<(), NotLoaded>,
}

impl Desk {
    async fn work(mut self, mut heard: Receiver<(String, Value)>) {
        let mut look = tokio::time::interval(LOOK_AGAIN);
        loop {
            let offers = tokio::select! {
                document = heard.recv() => match document {
                    Some((id, doc)) => self.hear(&id, doc),
                    None => return,
                },
                Some(done) = self.loads.join_next() => match done {
                    Ok(loaded) => self.loaded(loaded),
                    Err(error) => {
                        tracing::error!(%error, "loading a plugin failed");
                        Vec::new()
                    }
                },
                Some(Ok(wanted)) = self.pauses.join_next() => self.try_again(wanted),
                digests = self.shelf.gone_bad() => self.gone_bad(digests),
                _ = look.tick(), if self.roots.has_file() => {
                    if self.roots.look() { self.reconsider_all() } else { Vec::new() }
                }
            };
            self.start_loads();
            for offer in offers {
                if self.offers.send(offer).await.is_err() {
                    return;
                }
            }
        }
    }

    fn hear(&mut self, id: &str, doc: Value) -> Vec<Offer> {
        if let Some(mark) = Mark::read(id, doc.clone()) {
            return self.hear_mark(id, mark);
        }
        let bytes = doc.to_string().len();
        if bytes > DOCUMENT_BYTES_MAX {
            tracing::warn!(
                id,
                bytes,
                "a plugin's document has more than {DOCUMENT_BYTES_MAX} bytes, ignored"
            );
            return Vec::new();
        }
        let Some(document) = read::document::<PluginDocument>(id, doc) else { return Vec::new() };
        // Under another id it could stand in for a version that was yanked.
        if document.document_id() != id {
            tracing::warn!(
                id,
                label = document.label(),
                "a plugin in another one's place, ignored"
            );
            return Vec::new();
        }
        let known = self.shelf.read(|known| known.items.get(id).cloned());
        if known.as_ref().is_some_and(|item| {
            item.document == document && matches!(item.stand, Stand::Loading | Stand::Ready)
        }) {
            return Vec::new();
        }
        if !self.make_room(id, &document, bytes) {
            tracing::warn!(id, "there is no room for more versions, ignored");
            return Vec::new();
        }
        self.sizes.put(id, bytes);
        let item = Item { document, stand: Stand::Elsewhere };
        self.shelf.write(|known| known.items.insert(id.to_owned(), item));
        let mut offers = known.map_or_else(Vec::new, |item| self.withdraw(&item));
        offers.extend(self.decide(id));
        offers
    }

    /// Whether there is room for this version. One that is to be run here takes the place of others that are not: who
    /// can write documents and is not believed must not keep those out who are.
    fn make_room(&mut self, id: &str, document: &PluginDocument, bytes: usize) -> bool {
        let is_idle = |(other, item): &(&String, &Item)| {
            *other != id && matches!(item.stand, Stand::NotAdmitted(_) | Stand::Elsewhere)
        };
        while !self.sizes.fits(id, bytes) {
            let is_promoted = self.shelf.read(|known| known.promoted.contains(id));
            if admit(document, &self.region, is_promoted, &self.roots) != Verdict::Admit {
                return false;
            }
            let idle = self
                .shelf
                .read(|known| known.items.iter().find(is_idle).map(|(other, _)| other.clone()));
            let Some(idle) = idle else { return false };
            self.sizes.remove(&idle);
            self.shelf.write(|known| known.items.remove(&idle));
        }
        true
    }

    fn hear_mark(&mut self, mark_id: &str, mark: Mark) -> Vec<Offer> {
        let id = document_id(&mark.name, &mark.version);
        let is_full = self.shelf.read(|known| {
            let marks = known.yanked.len().max(known.promoted.len());
            marks >= MARKS_MAX && !known.items.contains_key(&id)
        });
        if is_full || mark_id.len() > MARK_ID_BYTES_MAX {
            tracing::warn!("a mark on a version that is not known here, ignored");
            return Vec::new();
        }
        match mark.kind {
            MarkKind::Yanked => {
                tracing::info!("{}", mark.sentence());
                self.shelf.write(|known| known.yanked.insert(id.clone(), mark));
            }
            MarkKind::Promoted => {
                self.shelf.write(|known| known.promoted.insert(id.clone()));
            }
        }
        self.decide(&id)
    }

    /// Decides on a version by all that is known now.
    fn decide(&mut self, id: &str) -> Vec<Offer> {
        let Some((item, is_yanked, is_promoted)) = self.shelf.read(|known| {
            let item = known.items.get(id)?.clone();
            Some((item, known.yanked.contains_key(id), known.promoted.contains(id)))
        }) else {
            return Vec::new();
        };
        let verdict = admit(&item.document, &self.region, is_promoted, &self.roots);
        if is_yanked {
            // Its jobs that wait are taken all the same, and end at once with the reason. Not those of a document that
            // is not believed: it may name the file of another's version, whose jobs are not for this engine to end.
            return match verdict {
                Verdict::Admit => vec![Offer::Add(item.document.sha256)],
                Verdict::Elsewhere | Verdict::Refuse(_) => Vec::new(),
            };
        }
        let stand = match verdict {
            Verdict::Admit => match item.stand {
                Stand::Loading | Stand::Ready | Stand::Spoiled(_) | Stand::Failed(_) => {
                    return Vec::new();
                }
                Stand::Elsewhere | Stand::NotAdmitted(_) => {
                    self.waiting.push_back(Wanted { id: id.to_owned(), tries: 0 });
                    Stand::Loading
                }
            },
            Verdict::Elsewhere => Stand::Elsewhere,
            Verdict::Refuse(reason) => {
                tracing::warn!(label = item.document.label(), reason, "plugin refused");
                Stand::NotAdmitted(reason)
            }
        };
        self.set(id, stand);
        self.withdraw(&item)
    }

    /// The engine's trust has changed.
    fn reconsider_all(&mut self) -> Vec<Offer> {
        let ids: Vec<String> = self.shelf.read(|known| known.items.keys().cloned().collect());
        ids.iter().flat_map(|id| self.decide(id)).collect()
    }

    fn start_loads(&mut self) {
        while self.loads.len() < LOADS_AT_ONCE
            && let Some(wanted) = self.waiting.pop_front()
        {
            let item = self.shelf.read(|known| {
                let item = known.items.get(&wanted.id).filter(|item| item.stand == Stand::Loading);
                item.filter(|_| !known.yanked.contains_key(&wanted.id)).cloned()
            });
            let Some(Item { document, .. }) = item else { continue };
            let shelf = self.shelf.clone();
            self.loads.spawn(async move {
                let result = shelf.load(&wanted.id, &document).await.map(drop);
                Loaded { wanted, document, result }
            });
        }
    }

    fn loaded(&mut self, loaded: Loaded) -> Vec<Offer> {
        let Loaded { wanted: Wanted { id, tries }, document, result } = loaded;
        let item = self.shelf.read(|known| known.items.get(&id).cloned());
        // The document may have been replaced, or lost its trust, while its file was loaded: what was found holds
        // for that document alone, also where the next one has the same file.
        let item = item.filter(|i| i.document == document && i.stand == Stand::Loading);
        if item.is_none() {
            return Vec::new();
        }
        let label = document.label();
        match result {
            Ok(()) => {
                tracing::info!(label, "plugin ready");
                self.set(&id, Stand::Ready);
                return vec![Offer::Add(document.sha256)];
            }
            Err(NotLoaded { reason, is_passing: true }) if tries + 1 < LOADS_MAX => {
                tracing::warn!(label, reason, "plugin not loaded, trying again");
                self.set(&id, Stand::Failed(reason));
                let wanted = Wanted { id, tries: tries + 1 };
                self.pauses.spawn(async move {
                    tokio::time::sleep(LOAD_AGAIN).await;
                    wanted
                });
            }
            Err(NotLoaded { reason, .. }) => {
                tracing::warn!(label, reason, "plugin refused");
                self.set(&id, Stand::Spoiled(reason));
            }
        }
        Vec::new()
    }

    /// Its pause is over. It may have got another document, or lost its trust, meanwhile.
    fn try_again(&mut self, wanted: Wanted) -> Vec<Offer> {
        let failed = self.shelf.read(|known| {
            let item = known.items.get(&wanted.id);
            item.is_some_and(|item| matches!(item.stand, Stand::Failed(_)))
        });
        if failed {
            self.set(&wanted.id, Stand::Loading);
            self.waiting.push_back(wanted);
        }
        Vec::new()
    }

    /// Files that were found spoiled before a job: no more jobs of theirs, unless another version has the same file.
    fn gone_bad(&self, digests: Vec<String>) -> Vec<Offer> {
        let is_kept = |sha256: &String| {
            let is_ready =
                |item: &Item| item.stand == Stand::Ready && item.document.sha256 == *sha256;
            self.shelf.read(|known| known.items.values().any(is_ready))
        };
        digests.into_iter().filter(|sha256| !is_kept(sha256)).map(Offer::Remove).collect()
    }

    fn set(&self, id: &str, stand: Stand) {
        self.shelf.write(|known| {
            if let Some(item) = known.items.get_mut(id) {
                item.stand = stand;
            }
        });
    }

    /// Takes the digest of an item that was ready from the contest, unless another version has the same file.
    fn withdraw(&self, was: &Item) -> Vec<Offer> {
        let sha256 = &was.document.sha256;
        let is_ready = |item: &Item| item.stand == Stand::Ready && item.document.sha256 == *sha256;
        let is_kept = self.shelf.read(|known| known.items.values().any(is_ready));
        match is_ready(was) && !is_kept {
            true => vec![Offer::Remove(sha256.clone())],
            false => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
