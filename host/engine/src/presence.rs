//! Says that the engine is there: its document, rewritten regularly and when what it can run has changed. On the way
//! it learns how many others there are, and whether another process has this engine's id.

use std::sync::Arc;
use std::time::Duration;

use blitz_couchdb::{AllDocs, Error};
use blitz_jobs::clock::Clock;
use blitz_jobs::engine::{EngineDocument, EngineKind};
use blitz_jobs::{Incarnation, read};
use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use crate::census::{Census, ENGINES_READ_MAX};
use crate::config::Config;
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
}

/// Keeps the engine's document fresh until `stop`, then marks it as gone.
pub(crate) async fn keep(
    config: Config,
    incarnation: Incarnation,
    mut own: Own,
    shelf: Shelf,
    changed: Arc<Notify>,
    words: Sender<Word>,
    stop: CancellationToken,
) {
    let clock = Clock::start();
    let mut census = Census::default();
    let mut counted: Option<Duration> = None;
    let mut document = EngineDocument {
        kind: EngineKind::Engine,
        blitz: blitz_jobs::BUILD.to_owned(),
        engine: config.id.clone(),
        incarnation,
        region: config.region.clone(),
        slots: config.slots,
        plugins: Vec::new(),
        refused: Vec::new(),
        counter: 0,
        gone: false,
    };
    loop {
        document.counter += 1;
        document.plugins = shelf.labels();
        document.refused = shelf.refused();
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
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(REST) => {}
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = changed.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
    document.counter += 1;
    document.gone = true;
    match own.write(&document).await {
        // The document is another's by now, which is there.
        Ok(_) | Err(NotWritten::Replaced { .. }) => {}
        Err(error) => tracing::warn!(%error, "cannot write that this engine is gone"),
    }
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
    let all = read::list::<EngineDocument>(engines, AllDocs::default()).await?;
    Ok(census.hear(now, all.into_iter().map(|(_, _, document)| document).collect(), silence))
}
