//! Says that the engine is there, where it claims: its document, rewritten regularly and when what it can run has changed.
//! On the way it learns how many others there are, whether another process has this engine's id, and whether the engine was
//! ordered to leave.

use std::sync::Arc;
use std::time::Duration;

use blitz_couchdb::Error;
use blitz_jobs::clock::Clock;
use blitz_jobs::drain::DrainOrder;
use blitz_jobs::engine::{EngineDocument, Lack};
use blitz_jobs::{Incarnation, read};
use tokio::sync::mpsc::Sender;
use tokio::sync::{Notify, watch};

use crate::census::{Census, ENGINES_READ_MAX};
use crate::config::Config;
use crate::going::Leave;
use crate::own::{NotWritten, Own};
use crate::shelf::Shelf;

/// A write or a count that failed is tried again after this long.
const WRITE_AGAIN: Duration = Duration::from_secs(2);

/// Between two writes: an engine that starts with a thousand plugins does not write a thousand documents.
const REST: Duration = Duration::from_millis(50);

/// What the loop learns from here.
#[derive(Debug)]
pub(crate) enum Word {
    /// The region has about so many engines.
    Engines(u64),
    /// Another process with this engine's id was started.
    Replaced(Incarnation),
    /// This engine was ordered to leave.
    Leave(Leave),
}

/// What the document says of the stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It takes jobs.
    Here,
    /// It takes none any more.
    Leaving,
    /// It is over.
    Over(Farewell),
}

/// How the engine's document is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// The engine ends: marked as gone.
    Gone,
    /// It is somewhere else, and its words from there come here by replication.
    Elsewhere,
    /// The same, and these here are words that the home never had: taken away, lest they hide those from there.
    Withdrawn,
}

/// Keeps the engine's document fresh until the stay is over.
pub(crate) async fn keep(
    config: Config,
    incarnation: Incarnation,
    mut own: Own,
    shelf: Shelf,
    changed: Arc<Notify>,
    words: Sender<Word>,
    mut standing: watch::Receiver<Standing>,
) {
    let clock = Clock::start();
    let mut census = Census::default();
    let mut counted: Option<Duration> = None;
    let mut is_ordered = false;
    let mut document = EngineDocument {
        lacks: lacks(),
        machine: config.machine.clone(),
        ..EngineDocument::new(&config.id, incarnation, &config.region, config.slots)
    };
    let farewell = loop {
        match *standing.borrow_and_update() {
            Standing::Over(farewell) => break farewell,
            now => document.leaving = now == Standing::Leaving,
        }
        document.counter += 1;
        document.plugins = shelf.labels();
        document.refused = shelf.refused();
        document.keys = config.region_keys.ids(&config.region);
        let mut wait = match own.write(&document).await {
            Ok(_) => config.timing.presence,
            Err(NotWritten::Replaced { by }) => {
                drop(words.send(Word::Replaced(by)).await);
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot write that this engine is there");
                WRITE_AGAIN
            }
        };
        // What it can run may change many times a second while it starts.
        let now = clock.now();
        if counted.is_none_or(|at| now.saturating_sub(at) >= config.timing.presence / 2) {
            match count(&own, &mut census, now, config.timing.presence * 3).await {
                Ok(engines) => {
                    counted = Some(now);
                    drop(words.send(Word::Engines(engines)).await);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot count the region's engines");
                    wait = WRITE_AGAIN;
                }
            }
            match order(&own, &config.id).await {
                Ok(Some(leave)) if !std::mem::replace(&mut is_ordered, true) => {
                    drop(words.send(Word::Leave(leave)).await);
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot ask whether this engine was ordered to leave");
                }
            }
        }
        // Who lets go of the other end says nothing.
        let is_new = tokio::select! {
            is_new = standing.changed() => Some(is_new),
            () = tokio::time::sleep(REST) => None,
        };
        let is_new = match is_new {
            Some(is_new) => is_new,
            None => tokio::select! {
                is_new = standing.changed() => is_new,
                () = changed.notified() => Ok(()),
                () = tokio::time::sleep(wait) => Ok(()),
            },
        };
        if is_new.is_err() {
            break Farewell::Elsewhere;
        }
    };
    let left = match farewell {
        Farewell::Gone => {
            document.counter += 1;
            document.gone = true;
            own.write(&document).await.map(drop)
        }
        Farewell::Elsewhere => return,
        Farewell::Withdrawn => own.remove().await,
    };
    match left {
        // The document is another's by now, which is there.
        Ok(()) | Err(NotWritten::Replaced { .. }) => {}
        Err(error) => tracing::warn!(%error, "cannot write that this engine is not here any more"),
    }
}

/// What this machine does not let the engine do.
fn lacks() -> Vec<Lack> {
    let lacks = blitz_runtime::powers::lacks().into_iter();
    lacks.map(|lack| Lack { power: lack.power.to_owned(), reason: lack.reason }).collect()
}

/// The order to leave, if there is one for a start of this process. One for another start is over, or of another process with
/// this id.
async fn order(own: &Own, engine: &str) -> Result<Option<Leave>, Error> {
    let order = DrainOrder::read(own.database(), engine).await?;
    Ok(order.filter(|order| own.is_of_this_process(&order.incarnation)).map(|order| {
        let why = if order.why.is_empty() { "no reason is given" } else { &order.why };
        Leave::with_the_last_job(format!("it was ordered to ({why})"))
    }))
}

async fn count(
    own: &Own,
    census: &mut Census,
    now: Duration,
    silence: Duration,
) -> Result<u64, Error> {
    let engines = own.database();
    let documents = engines.info().await?.doc_count;
    if documents > ENGINES_READ_MAX {
        return Ok(documents);
    }
    let all = read::list::<EngineDocument>(engines, read::range("engine:", "engine;")).await?;
    Ok(census.hear(now, all.into_iter().map(|(_, _, document)| document).collect(), silence))
}
