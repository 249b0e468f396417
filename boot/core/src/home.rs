//! The store at a region's home, as rounds read it and write to it: engines, beats, orders to drain, intended launches, what
//! rounds remember, and the audit.
//!
//! Who does this has the role [`SCALER`](blitz_jobs::roles::SCALER), or is an administrator. It is always the home: in a copy
//! all engines look silent when the replication stands still, and what is written there reaches nobody.

use std::collections::{BTreeMap, BTreeSet};

use blitz_couchdb::{Client, Database, Error, Put, PutOptions, Revision};
use blitz_jobs::accounts::audit::{AuditKind, Deed, Entry, OPERATOR, Who, new_id, text};
use blitz_jobs::cluster::Cluster;
use blitz_jobs::drain::DrainOrder;
use blitz_jobs::engine::{Beat, EngineDocument};
use blitz_jobs::region::{CONTROL, Region};
use blitz_jobs::{JobId, read};
use serde_json::Value;

use crate::launches::Intent;
use crate::reconcile::{Registered, Sign};

/// The store, and the region's document as it was read.
#[derive(Debug)]
pub struct Home {
    /// The region.
    pub region: Region,
    store: Client,
}

/// Why the home was not entered.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Nobody has made it.
    #[error(
        "there is no region {0:?} in this store: make it with 'blitz region add', or correct fleet.toml"
    )]
    NoRegion(String),
    /// The store is another cluster.
    #[error(
        "region {region} has its home at cluster {home} ({url}), and this store is another: name that one with --store"
    )]
    Elsewhere {
        /// The region.
        region: String,
        /// The cluster.
        home: String,
        /// Its address.
        url: String,
    },
    /// What the store answered.
    #[error(transparent)]
    Store(#[from] Error),
}

/// What the engines' database and the beats say of a provider's engines.
#[derive(Debug, Default)]
pub struct Engines {
    /// The engines.
    pub registered: Vec<Registered>,
    /// The jobs that they hold.
    pub held: Vec<JobId>,
    /// The open launches of the fleet.
    pub intents: Vec<Intent>,
    /// Orders to drain for engines that have no document any more.
    pub left_orders: Vec<String>,
}

impl Home {
    /// Reads the region's document, and sees whether this store is its home.
    ///
    /// # Errors
    ///
    /// [`HomeError`].
    pub async fn enter(store: &Client, region: &str) -> Result<Self, HomeError> {
        let control = store.database(CONTROL);
        let region: Region = document(&control, &format!("region:{region}"))
            .await?
            .ok_or_else(|| HomeError::NoRegion(region.to_owned()))?;
        if let Some(home) = &region.home {
            let cluster: Option<Cluster> = document(&control, &format!("cluster:{home}")).await?;
            let found = store.greeting().await?.info.uuid;
            if let Some(Cluster { uuid: Some(wanted), url, .. }) = cluster
                && found.is_some_and(|found| found != wanted)
            {
                let (region, home) = (region.name, home.clone());
                return Err(HomeError::Elsewhere { region, home, url });
            }
        }
        Ok(Self { region, store: store.clone() })
    }

    /// Where engines say that they are there.
    #[must_use]
    pub fn engines(&self) -> Database {
        self.store.database(&self.region.engines_database())
    }

    /// Where they beat, and where leases are.
    #[must_use]
    pub fn beats(&self) -> Database {
        self.store.database(&self.region.beats_database())
    }

    /// A database of the region by its name.
    pub(crate) fn database(&self, name: &str) -> Database {
        self.store.database(name)
    }

    /// Reads what there is of the engines that `is_named` by the provider.
    ///
    /// # Errors
    ///
    /// What the store answers.
    pub async fn read(
        &self,
        fleet: &str,
        is_named: impl Fn(&str) -> bool,
    ) -> Result<Engines, Error> {
        let documents = self.engines();
        let list = read::list::<Value>(&documents, read::range("drain:", "launch;")).await?;
        let mut orders = BTreeMap::new();
        let mut engines: BTreeMap<String, Said> = BTreeMap::new();
        let mut read = Engines::default();
        for (id, _, body) in list {
            if id.starts_with("engine:") {
                if let Some(one) = read::document::<EngineDocument>(&id, body)
                    && is_named(&one.engine)
                {
                    let said = engines.entry(one.engine.clone()).or_default();
                    said.document = Some(one);
                }
            } else if id.starts_with("drain:") {
                if let Some(order) = read::document::<DrainOrder>(&id, body)
                    && is_named(&order.engine)
                {
                    orders.insert(order.engine, order.incarnation);
                }
            } else if id.starts_with("launch:") {
                read.intents.extend(self.intent(fleet, &id, body));
            }
        }
        // Read after the engines: who took a job in between holds it.
        for (_, _, beat) in read::list::<Beat>(&self.beats(), read::range("beat:", "beat;")).await?
        {
            if is_named(&beat.engine) {
                let said = engines.entry(beat.engine.clone()).or_default();
                said.beat = Some(beat);
            }
        }
        let mut held = BTreeSet::new();
        for (engine, said) in &engines {
            let Some(sign) = said.sign() else { continue };
            read.registered.push(Registered {
                engine: engine.clone(),
                gone: said.document.as_ref().is_some_and(|document| document.gone),
                // One that was told by its machine leaves, too.
                is_asked_to_drain: said.document.as_ref().is_some_and(|document| document.leaving)
                    || orders.get(engine).is_some_and(|start| start.as_str() == sign.incarnation),
                incarnation: sign.incarnation,
                counter: sign.counter,
                holds_jobs: sign.holds_jobs,
                is_beat: sign.is_beat,
            });
            held.extend(said.jobs().cloned());
        }
        read.held.extend(held);
        let is_left =
            |engine: &String| engines.get(engine).is_none_or(|said| said.document.is_none());
        read.left_orders = orders.into_keys().filter(is_left).collect();
        Ok(read)
    }

    /// What a round left in `_local/NAME`; nothing where it cannot be read, for everybody has all time anew then.
    pub(crate) async fn recall<T: serde::de::DeserializeOwned + Default>(
        &self,
        name: &str,
    ) -> Result<T, Error> {
        let Some(found) = self.engines().get_local::<Value>(name).await? else {
            return Ok(T::default());
        };
        Ok(read::document(name, found).unwrap_or_default())
    }

    /// Leaves something for the next round.
    pub(crate) async fn remember<T: serde::Serialize>(
        &self,
        name: &str,
        what: &T,
    ) -> Result<(), Error> {
        self.engines().put_local(name, what).await
    }

    /// What an engine says now.
    ///
    /// # Errors
    ///
    /// What the store answers.
    pub async fn sign(&self, engine: &str) -> Result<Option<Sign>, Error> {
        Ok(self.said(engine).await?.0.sign())
    }

    /// What an engine says now, and the revisions of its document and of its beat.
    async fn said(&self, engine: &str) -> Result<(Said, [Option<Revision>; 2]), Error> {
        let id = EngineDocument::document_id(engine);
        let found = self.engines().get::<Value>(&id).await?;
        let beat_id = Beat::document_id(engine);
        let beat = self.beats().get::<Value>(&beat_id).await?;
        let revisions =
            [&found, &beat].map(|found| found.as_ref().map(|found| found.revision.clone()));
        let said = Said {
            document: found.and_then(|found| read::document(&id, found.body)),
            beat: beat.and_then(|beat| read::document(&beat_id, beat.body)),
        };
        Ok((said, revisions))
    }

    /// Removes an engine's document, the beat of the same start and the order to the engine, if it still says this; false when
    /// it says something else by now. A beat that stayed would name its jobs for ever.
    ///
    /// # Errors
    ///
    /// What the store answers.
    pub async fn remove_engine(&self, engine: &str, last: &Sign) -> Result<bool, Error> {
        let (said, [document, beat]) = self.said(engine).await?;
        match said.sign() {
            None => return Ok(true),
            Some(now) if now != *last => return Ok(false),
            Some(_) => {}
        }
        let id = EngineDocument::document_id(engine);
        if let Some(revision) = document
            && self.engines().delete(&id, &revision).await? == Put::Conflict
        {
            return Ok(false);
        }
        self.remove(&DrainOrder::document_id(engine)).await?;
        let is_of_it = said.beat.is_some_and(|beat| beat.incarnation.as_str() == last.incarnation);
        match beat.filter(|_| is_of_it) {
            Some(revision) => {
                let id = Beat::document_id(engine);
                Ok(self.beats().delete(&id, &revision).await? != Put::Conflict)
            }
            None => Ok(true),
        }
    }

    /// Asks the start of an engine that is there now to drain; false when there is none, or when it was asked before.
    ///
    /// # Errors
    ///
    /// What the store answers.
    pub async fn ask_to_drain(&self, engine: &str, why: &str, now_ms: u64) -> Result<bool, Error> {
        let Some(sign) = self.sign(engine).await? else { return Ok(false) };
        let Ok(incarnation) = sign.incarnation.try_into() else { return Ok(false) };
        let order = DrainOrder::new(engine, incarnation, why, now_ms);
        if order.write(&self.engines()).await? {
            return Ok(true);
        }
        // One of an earlier start lies in the way.
        let earlier = DrainOrder::read(&self.engines(), engine).await?;
        if earlier.is_some_and(|earlier| earlier.incarnation == order.incarnation) {
            return Ok(false);
        }
        self.remove(&DrainOrder::document_id(engine)).await?;
        order.write(&self.engines()).await
    }

    /// The open launches of a fleet.
    ///
    /// # Errors
    ///
    /// What the store answers.
    pub async fn intents(&self, fleet: &str) -> Result<Vec<Intent>, Error> {
        let list = read::list::<Value>(&self.engines(), read::range("launch:", "launch;")).await?;
        let intents = list.into_iter().filter_map(|(id, _, body)| self.intent(fleet, &id, body));
        Ok(intents.collect())
    }

    /// The intent of this document, if it is one of the fleet for this region.
    fn intent(&self, fleet: &str, id: &str, body: Value) -> Option<Intent> {
        let intent = read::document::<Intent>(id, body)?;
        (intent.fleet == fleet && intent.region == self.region.name).then_some(intent)
    }

    /// Writes an intent down, over the one with its token if there is one.
    ///
    /// # Errors
    ///
    /// What the store answers.
    pub async fn write_intent(&self, intent: &Intent) -> Result<(), Error> {
        let (engines, id) = (self.engines(), intent.document_id());
        let found = engines.get::<Value>(&id).await?;
        let over = found.as_ref().map(|found| &found.revision);
        // Somebody else wrote it: the next round reads what stands there.
        engines.put(&id, over, intent, PutOptions::default()).await.map(drop)
    }

    /// Removes a document of the engines' database, whatever it says. One that was rewritten in between stays: the next round
    /// reads it.
    ///
    /// # Errors
    ///
    /// What the store answers.
    pub async fn remove(&self, id: &str) -> Result<(), Error> {
        if let Some(found) = self.engines().get::<Value>(id).await? {
            match self.engines().delete(id, &found.revision).await? {
                Put::Created(_) | Put::Accepted(_) | Put::Conflict => {}
            }
        }
        Ok(())
    }

    /// Writes an entry of the audit: `action` as `fleet.terminate`, `of` as `FLEET/REGION/INSTANCE`.
    ///
    /// # Errors
    ///
    /// What the store answers.
    pub async fn tell(
        &self,
        now_ms: u64,
        (action, path, status): (&str, &str, u16),
        why: &str,
    ) -> Result<(), Error> {
        let entry = Entry {
            kind: AuditKind::Audit,
            blitz: blitz_jobs::BUILD.to_owned(),
            at_ms: now_ms,
            gateway: None,
            request: None,
            who: Who::default(),
            from: None,
            deed: Deed::Change {
                action: action.to_owned(),
                path: text(path),
                status,
                of: Some(text(&format!("{path}: {why}"))),
            },
        };
        let audit = self.store.database(blitz_jobs::accounts::AUDIT);
        audit.put(&new_id(OPERATOR), None, &entry, PutOptions::default()).await.map(drop)
    }
}

/// What an engine says: its document, and its beat.
#[derive(Debug, Default)]
struct Said {
    document: Option<EngineDocument>,
    beat: Option<Beat>,
}

impl Said {
    /// The jobs that it holds. A beat of an earlier start than the document's says nothing of this one.
    fn jobs(&self) -> impl Iterator<Item = &JobId> {
        let is_of_this = |beat: &&Beat| {
            self.document.as_ref().is_none_or(|document| document.incarnation == beat.incarnation)
        };
        let held = self.beat.iter().filter(is_of_this).flat_map(|beat| &beat.held);
        held.filter(|held| held.died_with.is_none()).map(|held| &held.job)
    }

    /// Nothing of who has no document and holds nothing. An engine that can write only one of the two is there: both count.
    fn sign(&self) -> Option<Sign> {
        let holds_jobs = self.jobs().next().is_some();
        match (&self.document, &self.beat) {
            (Some(document), beat) => {
                let beat = beat.as_ref().filter(|beat| beat.incarnation == document.incarnation);
                let beats = beat.map_or(0, |beat| beat.counter);
                Some(Sign {
                    incarnation: document.incarnation.to_string(),
                    counter: document.counter.saturating_add(beats),
                    holds_jobs,
                    is_beat: false,
                })
            }
            (None, Some(beat)) if holds_jobs => Some(Sign {
                incarnation: beat.incarnation.to_string(),
                counter: beat.counter,
                holds_jobs,
                is_beat: true,
            }),
            (None, _) => None,
        }
    }
}

async fn document<T: serde::de::DeserializeOwned>(
    database: &Database,
    id: &str,
) -> Result<Option<T>, Error> {
    let found = database.get::<Value>(id).await?;
    Ok(found.and_then(|found| read::document(id, found.body)))
}
