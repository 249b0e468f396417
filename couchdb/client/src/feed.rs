//! A continuous feed of changes that finds its way back after every interruption.
//!
//! Deliberately absent: a task of its own. The feed moves only while somebody awaits [`Feed::next`];
//! what arrives in between waits in the socket, and a slow reader slows the server and fills no queue.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, unfold};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, Sleep, sleep};

use crate::backoff::Backoff;
use crate::changes::{Change, RawChange};
use crate::database::Database;
use crate::error::Error;
use crate::exchange::{Refusal, Request, Stream, Told};
use crate::lines::Lines;
use crate::sequence::Sequence;

/// The longest line of a feed, in bytes: 16 MiB, twice the largest document that CouchDB takes by
/// default, since JSON may escape what was stored plainly.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// After so many heartbeats without a byte the connection is dead: one may be late, two may be unlucky.
const HEARTBEATS_UNTIL_DEAD: u32 = 3;

/// How often the server gives a sign of life by default. It costs the server nothing to speak of.
const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(10);

/// The shortest heartbeat that is asked for: CouchDB keeps its time to 10 ms.
const HEARTBEAT_MIN: Duration = Duration::from_millis(10);

/// The first pause before connecting again is at least this long: a server that accepts and closes at
/// once is asked ten times a second at most.
const RECONNECT_FLOOR: Duration = Duration::from_millis(100);

/// And no pause is longer: a server that came back is found again within this time.
const RECONNECT_CEILING: Duration = Duration::from_secs(8);

const RECONNECT: Backoff =
    Backoff::new(RECONNECT_FLOOR, RECONNECT_CEILING).expect("the floor is below the ceiling");

/// What to follow, and from where.
#[derive(Debug, Clone, PartialEq)]
pub struct FollowOptions {
    /// Only what changes after this place.
    pub since: Sequence,
    /// The `instance_start_time` of the database that gave `since`. With it, a database that was
    /// replaced before the feed began is noticed too; with `None` the first one met is the right one.
    pub instance_start_time: Option<String>,
    /// Only documents whose winning revision matches this Mango selector.
    pub selector: Option<Value>,
    /// Brings the winning revision's document.
    pub include_docs: bool,
    /// Names all leaves of each document and not only the winning one.
    pub all_leaves: bool,
    /// How often the server gives a sign of life, at least 10 ms. Without any for three times as long,
    /// the feed connects again.
    pub heartbeat: Duration,
}

impl Default for FollowOptions {
    fn default() -> Self {
        Self {
            since: Sequence::zero(),
            instance_start_time: None,
            selector: None,
            include_docs: false,
            all_leaves: false,
            heartbeat: HEARTBEAT_DEFAULT,
        }
    }
}

/// What a feed tells.
#[derive(Debug)]
pub enum FeedEvent {
    /// A document changed. The same change may come again after an interruption, or at any time.
    Change(Change),
    /// The connection was lost, or could not be made. The feed tries again by itself.
    Disconnected(Error),
    /// The connection stands, and this database is still the one it was.
    Connected,
    /// The database was deleted and made anew: every place and every revision known of it is void. List
    /// it again. The feed goes on from the beginning of the new one.
    Replaced,
    /// The database does not exist (any more). This feed has ended and says only this from now on.
    Gone,
}

/// Follows the changes of a database.
pub struct Feed {
    plan: Arc<Plan>,
    since: Sequence,
    identity: Option<String>,
    backoff: Backoff,
    state: State,
}

/// What stays the same for the life of a feed.
#[derive(Debug)]
struct Plan {
    database: Database,
    options: FollowOptions,
}

enum State {
    /// The pause before the next try.
    Waiting(Pin<Box<Sleep>>),
    /// A try.
    Connecting(BoxFuture<'static, Result<Opened, Error>>),
    /// Lines arrive.
    Open(Open),
    /// The database does not exist.
    Gone,
}

impl Database {
    /// Follows what changes, for as long as the database exists.
    ///
    /// Nothing is sent before the first [`Feed::next`].
    #[must_use]
    pub fn follow(&self, mut options: FollowOptions) -> Feed {
        options.heartbeat = options.heartbeat.max(HEARTBEAT_MIN);
        let since = options.since.clone();
        let identity = options.instance_start_time.clone();
        let plan = Arc::new(Plan { database: self.clone(), options });
        let state = State::Connecting(Box::pin(open(Arc::clone(&plan), since.clone())));
        Feed { plan, since, identity, backoff: RECONNECT, state }
    }
}

impl Feed {
    /// Waits for the next event.
    ///
    /// Cancel safe: dropping the future loses nothing, so it may stand in a `select!`.
    pub async fn next(&mut self) -> FeedEvent {
        loop {
            match &mut self.state {
                State::Waiting(pause) => {
                    pause.as_mut().await;
                    self.connect();
                }
                State::Connecting(opening) => match opening.as_mut().await {
                    Ok(opened) => return self.opened(opened),
                    Err(error) => return self.lost(error),
                },
                State::Open(open) => match open.next_line(&self.plan).await {
                    Ok(Line::Change(change)) => {
                        self.since = change.seq.clone();
                        self.backoff.reset();
                        return FeedEvent::Change(change);
                    }
                    Ok(Line::End(last_seq)) => {
                        self.since = last_seq;
                        let error = self.plan.cut("the server ended the feed".into());
                        return self.lost(error);
                    }
                    Err(error) => return self.lost(error),
                },
                State::Gone => return FeedEvent::Gone,
            }
        }
    }

    /// The place after the last change that was told: where another feed could go on.
    ///
    /// What a selector holds back moves it only now and then.
    #[must_use]
    pub fn since(&self) -> &Sequence {
        &self.since
    }

    /// The `instance_start_time` of the database followed, once connected: keep it with [`Feed::since`].
    #[must_use]
    pub fn instance_start_time(&self) -> Option<&str> {
        self.identity.as_deref()
    }

    /// The events as a stream, which ends after [`FeedEvent::Gone`].
    #[must_use]
    pub fn into_stream(self) -> BoxStream<'static, FeedEvent> {
        unfold(Some(self), |feed| async {
            let mut feed = feed?;
            let event = feed.next().await;
            let rest = (!matches!(event, FeedEvent::Gone)).then_some(feed);
            Some((event, rest))
        })
        .boxed()
    }

    fn connect(&mut self) {
        let opening = open(Arc::clone(&self.plan), self.since.clone());
        self.state = State::Connecting(Box::pin(opening));
    }

    fn opened(&mut self, opened: Opened) -> FeedEvent {
        let known = self.identity.replace(opened.identity);
        if known.is_some() && known != self.identity {
            // This connection began at a place that means nothing here: it is given up.
            self.since = Sequence::zero();
            self.connect();
            return FeedEvent::Replaced;
        }
        self.since = opened.since;
        self.state = State::Open(Open::new(opened.stream, self.plan.dead_after()));
        FeedEvent::Connected
    }

    fn lost(&mut self, error: Error) -> FeedEvent {
        if matches!(error, Error::NotFound { .. }) {
            self.state = State::Gone;
            return FeedEvent::Gone;
        }
        if let State::Open(open) = &self.state
            && open.since.elapsed() >= self.plan.options.heartbeat
        {
            self.backoff.reset();
        }
        // Without a random source all that is lost is the spread: the middle will do.
        let pause = self.backoff.next(getrandom::u64().unwrap_or(u64::MAX / 2));
        let database = self.plan.database.name();
        tracing::debug!(database, %error, ?pause, "feed lost");
        self.state = State::Waiting(Box::pin(sleep(pause)));
        FeedEvent::Disconnected(error)
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Waiting(_) => "waiting",
            State::Connecting(_) => "connecting",
            State::Open(_) => "open",
            State::Gone => "gone",
        };
        let database = self.plan.database.name();
        let mut debug = f.debug_struct("Feed");
        debug.field("database", &database).field("since", &self.since).field("state", &state);
        debug.finish_non_exhaustive()
    }
}

/// A connection that stands.
struct Opened {
    stream: Stream,
    since: Sequence,
    identity: String,
}

async fn open(plan: Arc<Plan>, since: Sequence) -> Result<Opened, Error> {
    let database = &plan.database;
    // "Now" must be one moment and not a later one with every try.
    let since = if since.is_now() { database.info().await?.update_seq } else { since };
    let stream = database.client().exchange().open(&plan.request(&since)?).await?;
    // Asked only now: had the database been replaced before the feed was opened, this would tell.
    let identity = database.info().await?.instance_start_time;
    Ok(Opened { stream, since, identity })
}

impl Plan {
    fn request(&self, since: &Sequence) -> Result<Request, Error> {
        let FollowOptions { include_docs, all_leaves, heartbeat, selector, .. } = &self.options;
        let path = self.database.changes_path(since, *include_docs, *all_leaves)?;
        let path = path
            .parameter("feed", "continuous")
            .parameter("heartbeat", &heartbeat.as_millis().to_string());
        Ok(self.database.changes_request(path, selector.as_ref()))
    }

    fn dead_after(&self) -> Duration {
        self.options.heartbeat.saturating_mul(HEARTBEATS_UNTIL_DEAD)
    }

    /// What the feed is called in errors.
    fn name(&self) -> String {
        let shown = self.database.client().address();
        format!("the feed of {shown}/{}", self.database.name())
    }

    fn cut(&self, source: Box<dyn std::error::Error + Send + Sync>) -> Error {
        Error::Unreachable { request: self.name(), sent: false, source }
    }
}

/// A connection on which lines arrive.
struct Open {
    stream: Stream,
    lines: Lines,
    since: Instant,
    dead_after: Duration,
    silence: Pin<Box<Sleep>>,
    was_excused: bool,
}

/// What a line says.
enum Line {
    Change(Change),
    /// The feed is over; the next one begins here.
    End(Sequence),
}

impl Open {
    fn new(stream: Stream, dead_after: Duration) -> Self {
        let silence = Box::pin(sleep(dead_after));
        let lines = Lines::new(LINE_BYTES_MAX);
        Self { stream, lines, since: Instant::now(), dead_after, silence, was_excused: false }
    }

    async fn next_line(&mut self, plan: &Plan) -> Result<Line, Error> {
        self.excuse_once();
        loop {
            let line = self.lines.next_line().map_err(|too_long| Error::TooLarge {
                request: plan.name(),
                limit_bytes: too_long.limit_bytes,
            })?;
            if let Some(line) = line {
                return read(&line, plan);
            }
            let frame = tokio::select! {
                biased;
                frame = self.stream.body.frame() => frame,
                () = self.silence.as_mut() => {
                    let text = format!(
                        "not a byte for {:?}, {HEARTBEATS_UNTIL_DEAD} heartbeats",
                        self.dead_after
                    );
                    return Err(plan.cut(io::Error::new(io::ErrorKind::TimedOut, text).into()));
                }
            };
            match frame {
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        self.heard(&piece);
                    }
                }
                Some(Err(cause)) => return Err(plan.cut(Told(cause).into())),
                None => return Err(plan.cut("the server closed the feed".into())),
            }
        }
    }

    fn heard(&mut self, piece: &Bytes) {
        self.lines.push(piece);
        self.silence.as_mut().reset(Instant::now() + self.dead_after);
        self.was_excused = false;
    }

    /// When the time of silence passed while nobody awaited this feed, heartbeats may lie unread in the
    /// socket: it gets a third of the time again, once.
    fn excuse_once(&mut self) {
        if !self.was_excused && self.silence.deadline() <= Instant::now() {
            self.silence.as_mut().reset(Instant::now() + self.dead_after / HEARTBEATS_UNTIL_DEAD);
            self.was_excused = true;
        }
    }
}

fn read(line: &[u8], plan: &Plan) -> Result<Line, Error> {
    let not_a_change = match serde_json::from_slice::<RawChange>(line) {
        Ok(change) => return Ok(Line::Change(change.read())),
        Err(cause) => cause,
    };
    match serde_json::from_slice(line) {
        Ok(Last::Place { last_seq }) => Ok(Line::End(last_seq)),
        Ok(Last::Words(Refusal { error, reason })) => {
            Err(Error::Status { request: plan.name(), code: 200, error, reason })
        }
        Err(_) => Err(Error::Decode { request: plan.name(), source: not_a_change }),
    }
}

/// What a server says last in a feed.
#[derive(Deserialize)]
#[serde(untagged)]
enum Last {
    Place { last_seq: Sequence },
    Words(Refusal),
}

#[cfg(test)]
mod tests;
