//! `_changes` that waits: `longpoll` until the first change, `continuous` and `eventsource` for ever.
//!
//! A feed sleeps until its database's hub tells of a commit that its filter may want, its heartbeat is
//! due, its time is over, or the server stops; and until it may not go on any more, see [`standing`](super::standing). It is a part of the connection's body: a client that does
//! not read stops its own feed and nothing else, and a client that goes takes the feed with it.

use super::{
    changes::{self, Ask},
    filter::{self, FeedError},
    refusal::Refusal,
    reply::{self, Broken, Pieces, Reply},
    standing::Standing,
};
use crate::{document::render, feed::change::Change, sequence::Sequence};
use http::StatusCode;
use std::{pin::pin, time::Duration};
use tokio::time::{Instant, sleep_until};

/// How changes are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// What there is, and the end.
    Normal,
    /// The same, but nothing is waited for.
    Longpoll,
    /// A line for each change.
    Continuous,
    /// A server-sent event for each change.
    EventSource,
}

impl Form {
    pub(crate) fn read(text: &str) -> Result<Form, Refusal> {
        match text {
            "normal" => Ok(Form::Normal),
            "longpoll" => Ok(Form::Longpoll),
            "continuous" | "live" => Ok(Form::Continuous),
            "eventsource" => Ok(Form::EventSource),
            _ => Err(Refusal::bad_request(
                "Supported `feed` types: normal, continuous, live, longpoll, eventsource",
            )),
        }
    }
}

/// Starts a feed.
pub(crate) fn start(ask: Ask) -> Reply {
    ask.server.store.stats().feeds.add(1);
    let content_type = match ask.form {
        Form::EventSource => "text/event-stream",
        Form::Normal | Form::Longpoll | Form::Continuous => "application/json",
    };
    reply::produced(StatusCode::OK, content_type, async move |pieces| {
        let mut feed = Feed::new(&ask, &pieces);
        if feed.run().await.is_err() {
            // A client that has gone does not hear it; one that is there learns of the failure.
            drop(pieces.send(Err(Broken)).await);
        }
    })
}

struct Feed<'a> {
    ask: &'a Ask,
    pieces: &'a Pieces,
    standing: Standing<'a>,
    text: Vec<u8>,
    position: Sequence,
    written: u64,
    greeted: bool,
    /// When the next heartbeat is due, or when the feed gives up.
    due: Instant,
}

impl<'a> Feed<'a> {
    fn new(ask: &'a Ask, pieces: &'a Pieces) -> Feed<'a> {
        let position = ask.start();
        let due = Instant::now() + wait(ask);
        let standing = Standing::new(ask);
        Feed { ask, pieces, standing, text: Vec::new(), position, written: 0, greeted: false, due }
    }

    async fn run(&mut self) -> Result<(), Broken> {
        // Follow first, look then: a commit between the two wakes the feed at once.
        let mut commits = self.ask.follow();
        // Made once: each wake would register a new one.
        let mut sleep = pin!(sleep_until(self.due));
        if self.ask.form == Form::Longpoll {
            self.text.extend_from_slice(b"{\"results\":[");
            self.flush().await?;
        }
        let mut over = false;
        loop {
            if !self.standing.holds().await {
                return self.end().await;
            }
            self.ask.server.store.stats().feed_looks.add(1);
            let committed = commits.look();
            // It slept through what it does not want.
            self.position = commits.skip(self.position);
            if let Err(failed) = self.catch_up(committed.sequence).await? {
                filter::fail(&mut self.text, failed)?;
                return self.flush().await;
            }
            let enough = over
                || self.written >= self.ask.limit
                || self.ask.descending
                || committed.deleted
                || self.ask.form == Form::Longpoll && self.written > 0;
            if enough {
                return self.end().await;
            }
            self.greet().await?;
            // A stop wakes all feeds, as a commit does.
            if self.ask.server.stop.is_cancelled() {
                return self.end().await;
            }
            loop {
                if sleep.deadline() != self.due {
                    sleep.as_mut().reset(self.due);
                }
                // Commits first: of all wakes they are the many, and a thousand feeds have each of them.
                let is_due = tokio::select! {
                    biased;
                    () = commits.woken() => false,
                    () = sleep.as_mut() => true,
                    () = self.standing.shaken() => false,
                };
                if is_due && self.ask.heartbeat.is_some() {
                    self.heartbeat().await?;
                    continue;
                }
                // At its end too it looks once more: `last_seq` is behind all that was committed.
                over = is_due;
                break;
            }
        }
    }

    /// Writes what was committed since, as far as the client wants it, with heartbeats while a filter
    /// takes its time.
    async fn catch_up(&mut self, until: Sequence) -> Result<Result<(), FeedError>, Broken> {
        while self.written < self.ask.limit && (self.ask.descending || self.position < until) {
            let left = self.ask.limit - self.written;
            let ask = self.ask;
            let mut next = pin!(ask.next(self.position, until, left));
            let page = loop {
                tokio::select! {
                    biased;
                    page = next.as_mut() => break page,
                    () = sleep_until(self.due), if ask.heartbeat.is_some() => {
                        self.heartbeat().await?;
                    }
                }
            };
            let page = match page {
                Ok(page) => page,
                Err(error) => return Ok(Err(error)),
            };
            for change in &page.changes {
                self.write(change);
                reply::flush(self.pieces, &mut self.text, false).await?;
            }
            self.position = page.position;
            if !page.changes.is_empty() {
                self.flush().await?;
            }
            if !page.more && self.ask.descending {
                return Ok(Ok(()));
            }
            // A client that reads slowly takes long for what was before it came. What ends it ends it in `run`.
            if page.more && !self.standing.holds().await {
                return Ok(Ok(()));
            }
        }
        Ok(Ok(()))
    }

    fn write(&mut self, change: &Change) {
        match self.ask.form {
            Form::Normal | Form::Longpoll => {
                self.text.extend_from_slice(if self.written == 0 { b"\n" } else { b",\n" });
                self.ask.write(&mut self.text, change);
            }
            Form::Continuous => {
                self.ask.write(&mut self.text, change);
                self.text.push(b'\n');
            }
            Form::EventSource => {
                self.text.extend_from_slice(b"data: ");
                self.ask.write(&mut self.text, change);
                let token = self.ask.database.token(change.sequence);
                self.text.extend_from_slice(format!("\nid: {token}\n\n").as_bytes());
            }
        }
        self.written += 1;
    }

    async fn flush(&mut self) -> Result<(), Broken> {
        self.due = Instant::now() + wait(self.ask);
        reply::flush(self.pieces, &mut self.text, true).await
    }

    /// The first sign of life comes at once, so that a client knows when it follows.
    async fn greet(&mut self) -> Result<(), Broken> {
        let greeted = std::mem::replace(&mut self.greeted, true);
        let silent = self.written == 0 && self.ask.form != Form::Longpoll;
        if !greeted && silent && self.ask.heartbeat.is_some() {
            return self.heartbeat().await;
        }
        Ok(())
    }

    async fn heartbeat(&mut self) -> Result<(), Broken> {
        self.text.extend_from_slice(match self.ask.form {
            Form::EventSource => b"event: heartbeat\ndata: \n\n",
            Form::Normal | Form::Longpoll | Form::Continuous => b"\n",
        });
        self.flush().await
    }

    async fn end(&mut self) -> Result<(), Broken> {
        let last = if self.ask.descending {
            self.ask.database.feed.committed().sequence
        } else {
            self.position
        };
        match self.ask.form {
            Form::Normal | Form::Longpoll => {
                changes::finish(self.ask, &mut self.text, last, self.written).await?;
            }
            Form::Continuous => {
                let pending = self.ask.pending(last, self.written).await.map_err(|_| Broken)?;
                self.text.extend_from_slice(b"{\"last_seq\":");
                render::append(&mut self.text, &self.ask.database.token(last));
                self.text.extend_from_slice(b",\"pending\":");
                render::append(&mut self.text, &pending);
                self.text.extend_from_slice(b"}\n");
            }
            Form::EventSource => {}
        }
        self.flush().await
    }
}

fn wait(ask: &Ask) -> Duration {
    ask.heartbeat.unwrap_or(ask.timeout).min(WAIT_MAX)
}

/// Longer waits than a year would leave the range of the clock.
const WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
