//! What happens to jobs right now, for those who follow them: one feed a database fills it, any number read.
//!
//! A job is kept while somebody follows it or shortly after it was submitted here. What does not fit is
//! dropped, and its readers go to the store for it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use blitz_jobs::output::Chunk;
use blitz_jobs::{JobId, Position, Run, Spec};
use tokio::sync::watch;
use tokio::time::Instant;

/// Output kept of one job, in bytes of its documents: enough for a reader that is a moment behind.
const JOB_BYTES_MAX: usize = 1 << 20;

/// A job that nobody follows is kept this long: a command line comes back for what it has just submitted.
const KEPT: Duration = Duration::from_secs(60);

/// Jobs kept at once; above it those that nobody follows go. With [`JOB_BYTES_MAX`] it bounds the memory.
const UNFOLLOWED_MAX: usize = 200;

/// How often jobs are looked through for those to be dropped.
const SWEEP: Duration = Duration::from_secs(10);

/// The jobs that somebody may follow.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hub {
    jobs: Arc<Mutex<Jobs>>,
}

#[derive(Debug, Default)]
struct Jobs {
    live: HashMap<JobId, (Arc<Live>, Instant)>,
    swept: Option<Instant>,
    /// The output databases that are heard from a known place on.
    heard: HashSet<String>,
}

/// One job as it happens.
#[derive(Debug)]
pub(crate) struct Live {
    /// Whose it is, when it was submitted here: it can be told without asking the store.
    owner: Option<Owner>,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

/// Whose a job is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Absent: the operator's.
    pub(crate) tenant: Option<String>,
    pub(crate) user: Option<String>,
}

impl Owner {
    /// That of a job.
    pub(crate) fn of(spec: &Spec) -> Self {
        Self { tenant: spec.tenant.clone(), user: spec.terms.user.clone() }
    }
}

#[derive(Debug, Default)]
struct State {
    /// Nothing of the job can have happened before it was kept, and its feed was never changed for another.
    whole: bool,
    /// How often its feed was changed for another: what fell between two of them is in the store.
    feeds: u32,
    run: Option<Run>,
    chunks: VecDeque<(Position, Arc<Chunk>, usize)>,
    /// How many chunks were dropped at the front.
    dropped: usize,
    bytes: usize,
}

/// What a reader has not seen yet.
#[derive(Debug)]
pub(crate) struct News {
    pub(crate) run: Option<Run>,
    pub(crate) chunks: Vec<(Position, Arc<Chunk>)>,
    /// Where to read on.
    pub(crate) cursor: usize,
    /// Chunks between the reader's cursor and these were dropped: the store has them.
    pub(crate) has_gap: bool,
    /// How often the job's feed was changed for another: after each time the store may know more.
    pub(crate) feeds: u32,
}

impl Hub {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job is about to be written: everything of it will be heard here, if its output is heard by now.
    pub(crate) fn expect(&self, job: &JobId, owner: Owner) {
        let mut jobs = self.jobs();
        jobs.sweep();
        let is_heard = jobs.heard.contains(&job.output_database());
        let live = Live::new(Some(owner), is_heard);
        jobs.live.insert(job.clone(), (Arc::new(live), Instant::now()));
    }

    /// From now on all output of a database is heard, perhaps at another place than before.
    pub(crate) fn begin(&self, output_database: &str) {
        self.jobs().heard.insert(output_database.to_owned());
        self.stir(|job| job.output_database() == output_database);
    }

    /// The output of a database is not heard any more.
    pub(crate) fn end(&self, output_database: &str) {
        self.jobs().heard.remove(output_database);
        self.stir(|job| job.output_database() == output_database);
    }

    pub(crate) fn hears(&self, output_database: &str) -> bool {
        self.jobs().heard.contains(output_database)
    }

    /// Readers of these jobs look into the store: their feed is another now.
    fn stir(&self, which: impl Fn(&JobId) -> bool) {
        for (_, (live, _)) in self.jobs().live.iter().filter(|(job, _)| which(job)) {
            let mut state = live.state();
            state.whole = false;
            state.feeds = state.feeds.wrapping_add(1);
            drop(state);
            live.changed.send_replace(());
        }
    }

    /// The job as it happens from now on, for a reader.
    pub(crate) fn join(&self, job: &JobId) -> Arc<Live> {
        let mut jobs = self.jobs();
        jobs.sweep();
        let (live, touched) = jobs
            .live
            .entry(job.clone())
            .or_insert_with(|| (Arc::new(Live::new(None, false)), Instant::now()));
        *touched = Instant::now();
        Arc::clone(live)
    }

    fn find(&self, job: &JobId) -> Option<Arc<Live>> {
        self.jobs().live.get(job).map(|(live, _)| Arc::clone(live))
    }

    pub(crate) fn hear_run(&self, job: &JobId, run: &Run) {
        if let Some(live) = self.find(job) {
            live.state().run = Some(run.clone());
            live.changed.send_replace(());
        }
    }

    /// Whether anybody may read the job's output here.
    pub(crate) fn wants(&self, job: &JobId) -> bool {
        self.find(job).is_some()
    }

    pub(crate) fn hear_chunk(&self, job: &JobId, position: Position, chunk: Chunk) {
        if let Some(live) = self.find(job) {
            live.state().push(position, Arc::new(chunk));
            live.changed.send_replace(());
        }
    }
}

impl Jobs {
    fn sweep(&mut self) {
        let now = Instant::now();
        if self.live.len() <= UNFOLLOWED_MAX && self.swept.is_some_and(|at| now - at < SWEEP) {
            return;
        }
        self.swept = Some(now);
        self.live.retain(|_, (live, touched)| Arc::strong_count(live) > 1 || now - *touched < KEPT);
        // Whoever comes back for one of these reads the store.
        if self.live.len() > UNFOLLOWED_MAX {
            self.live.retain(|_, (live, _)| Arc::strong_count(live) > 1);
        }
    }
}

impl Live {
    fn new(owner: Option<Owner>, whole: bool) -> Self {
        let state = Mutex::new(State { whole, ..State::default() });
        Self { owner, state, changed: watch::Sender::new(()) }
    }

    /// Whose the job is, when it is known without the store.
    pub(crate) fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a reader from the start needs nothing of the store.
    pub(crate) fn is_whole(&self) -> bool {
        self.state().whole
    }

    /// Wakes for everything that happens after this call.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// What has happened since `cursor` (0 at first).
    pub(crate) fn news(&self, cursor: usize) -> News {
        let state = self.state();
        let skip = cursor.saturating_sub(state.dropped);
        News {
            run: state.run.clone(),
            chunks: state
                .chunks
                .iter()
                .skip(skip)
                .map(|(position, chunk, _)| (position.clone(), Arc::clone(chunk)))
                .collect(),
            cursor: state.dropped + state.chunks.len(),
            has_gap: cursor < state.dropped,
            feeds: state.feeds,
        }
    }
}

impl State {
    fn push(&mut self, position: Position, chunk: Arc<Chunk>) {
        let frames = chunk.frames.iter();
        let bytes =
            frames.map(|f| f.text.as_ref().or(f.base64.as_ref()).map_or(0, String::len)).sum();
        self.bytes += bytes;
        self.chunks.push_back((position, chunk, bytes));
        while self.bytes > JOB_BYTES_MAX {
            let Some((_, _, bytes)) = self.chunks.pop_front() else { break };
            self.bytes -= bytes;
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blitz_contract::{Frame, Stream};
    use blitz_jobs::Incarnation;
    use blitz_jobs::output::StoredFrame;

    #[test]
    fn a_reader_that_is_too_slow_is_told_of_the_gap() {
        let hub = Hub::default();
        let job = JobId::new("japan", 1);
        hub.begin(&job.output_database());
        hub.expect(&job, Owner::default());
        let live = hub.join(&job);
        assert!(live.is_whole());
        let push = |seq| {
            let incarnation = Incarnation::from_random([1; 16]);
            let position = Position { attempt: 1, incarnation, seq };
            let bytes = vec![b'x'; JOB_BYTES_MAX / 2];
            let frame = StoredFrame::new(Frame { stream: Stream::Stdout, bytes });
            hub.hear_chunk(&job, position, Chunk::new(vec![frame]));
        };
        push(0);
        push(1);
        let news = live.news(0);
        assert_eq!((news.chunks.len(), news.cursor, news.has_gap), (2, 2, false));
        push(2);
        push(3);
        push(4);
        let news = live.news(2);
        assert_eq!((news.chunks.len(), news.cursor, news.has_gap), (2, 5, true));
        assert_eq!(live.news(5).chunks.len(), 0);
    }

    #[test]
    fn what_falls_between_two_feeds_is_for_the_store() {
        let hub = Hub::default();
        let (job, other) = (JobId::new("japan", 1), JobId::new("japan", 2));
        hub.expect(&job, Owner::default());
        assert!(!hub.join(&job).is_whole(), "nobody hears its output yet");
        for job in [&job, &other] {
            hub.begin(&job.output_database());
            hub.expect(job, Owner::default());
        }
        let live = hub.join(&job);
        assert!(live.is_whole() && live.news(0).feeds == 0);
        hub.begin(&job.output_database());
        assert!(!live.is_whole() && live.news(0).feeds == 1);
        hub.end(&job.output_database());
        assert_eq!((live.news(0).feeds, hub.hears(&job.output_database())), (2, false));
        assert!(hub.join(&other).is_whole(), "another database");
    }

    #[test]
    fn what_nobody_asked_for_is_not_kept() {
        let hub = Hub::default();
        let job = JobId::new("japan", 1);
        hub.hear_run(&job, &Run::Expired { reason: String::new() });
        assert!(hub.join(&job).news(0).run.is_none());
    }
}
