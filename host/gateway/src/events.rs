//! A job as server-sent events: `state`, `restart`, `output`, `incomplete`, `end`.
//!
//! An `output` event's id is its position (attempt, incarnation, sequence): a client that comes back with it
//! as `Last-Event-ID`, at this gateway or at another, goes on right after it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event as Sse;
use blitz_couchdb::Client;
use blitz_jobs::follow::{Event, Follow};
use blitz_jobs::output::{Chunk, StoredFrame};
use blitz_jobs::{JobId, Position, Run};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use crate::history;
use crate::hub::Live;

/// What goes to one reader; it waits here when the reader is slow.
pub(crate) type Events = Sender<Result<Sse, Infallible>>;

/// A chunk that the run says exists is looked for in the store after this long, and again each time.
const LOOK_FOR_MISSING: Duration = Duration::from_millis(500);

/// A job that nothing was heard of is looked up after this long, and again each time.
const LOOK_FOR_RUN: Duration = Duration::from_secs(5);

/// A chunk that does not come for so long is given up: replication that takes longer is an outage.
const MISSING_MAX: Duration = Duration::from_secs(10);

/// Tells one reader all of a job, until its end or until the reader has gone.
pub(crate) async fn tell(
    store: Client,
    job: JobId,
    live: Arc<Live>,
    after: Option<Position>,
    run: Option<Run>,
    events: Events,
) {
    let mut teller = Teller {
        needs_store: after.is_some() || !live.is_whole(),
        follow: Follow::new(after.clone()),
        told: after,
        store,
        job,
        live,
        cursor: 0,
        missing_since: None,
        events,
    };
    let closed = teller.events.clone();
    tokio::select! {
        () = closed.closed() => {}
        () = teller.run(run) => {}
    }
}

struct Teller {
    store: Client,
    job: JobId,
    live: Arc<Live>,
    follow: Follow,
    /// Chunks up to here were told.
    told: Option<Position>,
    /// Where to read on in the live log.
    cursor: usize,
    /// Chunks may exist that the live log does not have.
    needs_store: bool,
    /// The first chunk that is missing, and since when.
    missing_since: Option<(Position, Instant)>,
    events: Events,
}

impl Teller {
    async fn run(&mut self, run: Option<Run>) {
        let mut changed = self.live.subscribe();
        match &run {
            Some(run) => self.follow.hear_run(run),
            None if self.told.is_none() && self.live.news(0).run.is_none() => {
                let queued = json!({"state": "queued", "region": self.job.region()});
                if !self.send("state", None, &queued).await {
                    return;
                }
            }
            None => {}
        }
        loop {
            let news = self.live.news(self.cursor);
            self.needs_store |= news.has_gap;
            self.cursor = news.cursor;
            if let Some(run) = &news.run {
                self.follow.hear_run(run);
            }
            if self.needs_store {
                // The log's chunks come again out of the store: they are not kept twice meanwhile.
                if !self.read_store().await {
                    return;
                }
            }
            for (position, chunk) in news.chunks {
                self.follow.hear_chunk(position, chunk);
            }
            if !self.tell_ready().await {
                return;
            }
            let Some(()) = self.wait(&mut changed).await else { return };
        }
    }

    /// Waits for news, or for the time to look into the store. `None` when it is over.
    async fn wait(&mut self, changed: &mut tokio::sync::watch::Receiver<()>) -> Option<()> {
        let Some(missing) = self.follow.missing() else {
            self.missing_since = None;
            // Feeds tell nothing twice: what was not heard here is looked up now and then.
            return match tokio::time::timeout(LOOK_FOR_RUN, changed.changed()).await {
                Ok(changed) => changed.ok(),
                Err(_) => {
                    self.look_for_run().await;
                    Some(())
                }
            };
        };
        let since = match self.missing_since.take() {
            Some((position, since)) if position == missing => since,
            _ => Instant::now(),
        };
        if since.elapsed() >= MISSING_MAX {
            self.follow.skip_missing();
            let reason = "a part of the output did not arrive";
            return self.send("incomplete", None, &json!({"reason": reason})).await.then_some(());
        }
        self.missing_since = Some((missing, since));
        match tokio::time::timeout(LOOK_FOR_MISSING, changed.changed()).await {
            Ok(changed) => changed.ok(),
            Err(_) => {
                self.needs_store = true;
                Some(())
            }
        }
    }

    async fn look_for_run(&mut self) {
        match history::job(&self.store, &self.job).await {
            Ok(Some(history::Job { run: Some(run), .. })) => self.follow.hear_run(&run),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(job = %self.job, %error, "cannot look for the job's state");
            }
        }
    }

    /// Tells what the store has after the last told chunk, page by page. False when the reader has gone.
    async fn read_store(&mut self) -> bool {
        let mut after = self.told.clone();
        loop {
            let page = match history::chunks(&self.store, &self.job, after.as_ref()).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(job = %self.job, %error, "cannot read output, trying again");
                    tokio::time::sleep(LOOK_FOR_MISSING).await;
                    continue;
                }
            };
            let Some((last, _)) = page.last() else {
                self.needs_store = false;
                return true;
            };
            after = Some(last.clone());
            for (position, chunk) in page {
                self.follow.hear_chunk(position, chunk);
            }
            if !self.tell_ready().await {
                return false;
            }
        }
    }

    /// Tells everything whose turn it is. False when the reader has gone, or the end was told.
    async fn tell_ready(&mut self) -> bool {
        while let Some(event) = self.follow.next_event() {
            let goes_on = match event {
                Event::State(run) => self.send("state", None, &state(&self.job, &run)).await,
                Event::Restart(run) => {
                    self.told = None;
                    let claim = run.claim();
                    let restart = json!({
                        "attempt": claim.map(|claim| claim.attempt),
                        "engine": claim.map(|claim| &claim.engine),
                        "reason": "another engine runs the job, from the start",
                    });
                    self.send("restart", None, &restart).await
                }
                Event::Output(position, chunk) => {
                    let output = Output::new(&position, &chunk);
                    let sent = self.send("output", Some(&position), &output).await;
                    self.told = Some(position);
                    sent
                }
                Event::End(run) => {
                    if self.follow.is_damaged() {
                        let reason = "the output is not what the engine counted";
                        self.send("incomplete", None, &json!({"reason": reason})).await;
                    }
                    self.send("end", None, &end(&run)).await;
                    false
                }
            };
            if !goes_on {
                return false;
            }
        }
        true
    }

    async fn send(&self, kind: &str, id: Option<&Position>, data: &impl Serialize) -> bool {
        let Ok(event) = Sse::default().event(kind).json_data(data) else { return false };
        let event = match id {
            Some(position) => event.id(position.to_string()),
            None => event,
        };
        self.events.send(Ok(event)).await.is_ok()
    }
}

#[derive(Serialize)]
struct Output<'a> {
    attempt: u32,
    incarnation: &'a str,
    seq: u64,
    frames: &'a [StoredFrame],
}

impl<'a> Output<'a> {
    fn new(position: &'a Position, chunk: &'a Chunk) -> Self {
        Self {
            attempt: position.attempt,
            incarnation: position.incarnation.as_str(),
            seq: position.seq,
            frames: &chunk.frames,
        }
    }
}

/// A state that is not the end: `claimed`, or `released` for a run that is open again.
fn state(job: &JobId, run: &Run) -> Value {
    let claim = run.claim();
    json!({
        "state": if matches!(run, Run::Claimed { .. }) { "claimed" } else { "released" },
        "region": job.region(),
        "engine": claim.map(|claim| &claim.engine),
        "attempt": claim.map(|claim| claim.attempt),
        "reason": run.reason(),
    })
}

fn end(run: &Run) -> Value {
    let (claim, end) = (run.claim(), run.end());
    let mut told = json!({
        "state": run.state(),
        "exit": end.map(|end| &end.exit),
        "reason": run.reason(),
        "engine": claim.map(|claim| &claim.engine),
        "attempt": claim.map(|claim| claim.attempt),
        "chunks": end.map(|end| end.chunks),
        "bytes": end.map(|end| end.bytes),
        "duration_ms": end.map(|end| end.duration_ms),
    });
    // Only where it is certain: then running it again is safe, whatever it is.
    if let Run::Lost { begun: false, .. } = run {
        told["begun"] = json!(false);
    }
    told
}
