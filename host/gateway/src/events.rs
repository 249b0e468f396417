//! A job as server-sent events: `state`, `restart`, `output`, `incomplete`, `unreachable`, `reachable`, `end`.
//!
//! `unreachable` comes when the home of the job's region does not answer, and `reachable` when it does again: meanwhile a
//! job waits, or runs and is not heard.
//!
//! An `output` event's id is its position (attempt, incarnation, sequence): a client that comes back with it
//! as `Last-Event-ID`, at this gateway or at another, goes on right after it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event as Sse;
use blitz_jobs::follow::{Event, Follow};
use blitz_jobs::output::{Chunk, StoredFrame};
use blitz_jobs::{JobId, Position, Run};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::Sender;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, timeout};

use crate::caller::Caller;
use crate::history;
use crate::hub::Live;
use crate::reach::{Outage, Why};
use crate::stores::Stores;

/// What goes to one reader; it waits here when the reader is slow.
pub(crate) type Events = Sender<Result<Sse, Infallible>>;

/// A chunk that the run says exists is looked for in the store after this long, and again each time.
const LOOK_FOR_MISSING: Duration = Duration::from_millis(500);

/// A job that nothing was heard of is looked up after this long, and again each time.
const LOOK_FOR_RUN: Duration = Duration::from_secs(5);

/// A chunk that does not come for so long is given up where the job was claimed: whoever counted it has written it there.
const MISSING_MAX: Duration = Duration::from_secs(10);

/// The same where only copies are read: an end that came before its output did, and then a link that was cut for less than a
/// minute. While it is known that the home does not answer nothing is given up.
const MISSING_COPY_MAX: Duration = Duration::from_secs(60);

/// What is known of a job when somebody begins to read it.
#[derive(Debug)]
pub(crate) enum Known {
    /// That it is there, and its run.
    Job(Option<Run>),
    /// Nothing: the stores that may have it do not answer, and its home is away.
    Nothing,
}

/// Tells one reader all of a job, until its end or until the reader has gone. A job that turns out to be somebody else's is not
/// there.
pub(crate) async fn tell(
    stores: Stores,
    reader: Caller,
    job: JobId,
    live: Arc<Live>,
    after: Option<Position>,
    known: Known,
    events: Events,
) {
    let mut teller = Teller {
        needs_store: after.is_some() || !live.is_whole(),
        follow: Follow::new(after.clone()),
        told: after,
        stores,
        reader,
        job,
        live,
        cursor: 0,
        feeds: 0,
        missing_since: None,
        turn: 0,
        outage: None,
        events,
    };
    let closed = teller.events.clone();
    tokio::select! {
        () = closed.closed() => {}
        () = teller.run(known) => {}
    }
}

struct Teller {
    stores: Stores,
    reader: Caller,
    job: JobId,
    live: Arc<Live>,
    follow: Follow,
    /// Chunks up to here were told.
    told: Option<Position>,
    /// Where to read on in the live log.
    cursor: usize,
    /// How often the job's feed was another when this looked last.
    feeds: u32,
    /// Chunks may exist that the live log does not have.
    needs_store: bool,
    /// The first chunk that is missing, and since when.
    missing_since: Option<(Position, Instant)>,
    /// How often a missing chunk was looked for: each time at another place first.
    turn: usize,
    /// What the reader was told last: the home does not answer.
    outage: Option<Outage>,
    events: Events,
}

impl Teller {
    async fn run(&mut self, known: Known) {
        let mut changed = self.live.subscribe();
        let mut reached = self.stores.reach.subscribe();
        let run = match known {
            Known::Job(run) => run,
            Known::Nothing => match self.find(&mut reached).await {
                Some(job) => job.run,
                // Who asks again is told that there is no such job.
                None => return,
            },
        };
        self.feeds = self.live.news(0).feeds;
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
            if self.feeds != news.feeds {
                self.feeds = news.feeds;
                self.needs_store = true;
                self.look_for_run().await;
            }
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
            if !self.tell_ready().await || !self.tell_outage().await {
                return;
            }
            let Some(()) = self.wait(&mut changed, &mut reached).await else { return };
        }
    }

    /// Waits until a store says what it has of the job. `None` when there is no such job, or the reader has gone.
    async fn find(&mut self, reached: &mut Receiver<()>) -> Option<history::Job> {
        loop {
            if !self.tell_outage().await {
                return None;
            }
            match history::job(&self.stores, &self.job).await {
                Ok(found) => return found.filter(|job| self.reader.may_see(&job.spec)),
                Err(error) => tracing::debug!(job = %self.job, %error, "not found yet"),
            }
            if let Ok(Err(_)) = timeout(LOOK_FOR_RUN, reached.changed()).await {
                return None;
            }
        }
    }

    /// Waits for news, or for the time to look into the store. `None` when it is over.
    async fn wait(&mut self, changed: &mut Receiver<()>, reached: &mut Receiver<()>) -> Option<()> {
        let mut news = async |limit| {
            tokio::select! {
                changed = timeout(limit, changed.changed()) => changed,
                changed = reached.changed() => Ok(changed),
            }
        };
        let Some(missing) = self.follow.missing() else {
            self.missing_since = None;
            self.turn = 0;
            // Feeds tell nothing twice: what was not heard here is looked up now and then.
            return match news(LOOK_FOR_RUN).await {
                Ok(changed) => changed.ok(),
                Err(_) => {
                    self.look_for_run().await;
                    Some(())
                }
            };
        };
        let since = match self.missing_since.take() {
            Some((position, since)) if position == missing && self.outage.is_none() => since,
            _ => Instant::now(),
        };
        let patience =
            if self.stores.is_at_home(&self.job) { MISSING_MAX } else { MISSING_COPY_MAX };
        if since.elapsed() >= patience {
            self.follow.skip_missing();
            let reason = "a part of the output did not arrive";
            return self.send("incomplete", None, &json!({"reason": reason})).await.then_some(());
        }
        self.missing_since = Some((missing, since));
        match news(LOOK_FOR_MISSING).await {
            Ok(changed) => changed.ok(),
            Err(_) => {
                self.needs_store = true;
                self.turn += 1;
                Some(())
            }
        }
    }

    /// Tells when the home of the job's region has gone or is back. False when the reader has gone.
    async fn tell_outage(&mut self) -> bool {
        let outage = self.stores.outage(&self.job);
        let was = std::mem::replace(&mut self.outage, outage);
        let region = self.job.region().to_owned();
        match (was, outage) {
            // Also when it turns out to be for another reason.
            (was, Some(Outage { since_ms, why })) if was != outage => {
                let reason = match why {
                    Why::Silent => "its home does not answer",
                    Why::Other => "another server answers in the place of its home",
                };
                let told = json!({"region": region, "since_ms": since_ms, "reason": reason});
                self.send("unreachable", None, &told).await
            }
            (Some(_), None) => self.send("reachable", None, &json!({"region": region})).await,
            _ => true,
        }
    }

    async fn look_for_run(&mut self) {
        match history::job(&self.stores, &self.job).await {
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
            let page =
                match history::chunks(&self.stores, &self.job, after.as_ref(), self.turn).await {
                    Ok(page) => page,
                    Err(error) => {
                        tracing::warn!(job = %self.job, %error, "cannot read output, trying again");
                        if !self.tell_outage().await {
                            return false;
                        }
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
