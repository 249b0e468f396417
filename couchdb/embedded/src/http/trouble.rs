//! The [test modes](crate::TestMode) at work: what a cluster in trouble does to single requests.
//!
//! Only writes of one document are troubled, and feeds and reads of one document: these are what the
//! protocols above depend on. `_bulk_docs` goes on as on one node.

use super::{call::Call, refusal::Refusal};
use crate::{
    revision::{Revision, digest::digest},
    store::{
        database::Database,
        edit::{self, Edit, Kind, Outcome},
        transaction::Transaction,
    },
    test_mode::{COPIES, TestMode},
};
use http::Method;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

/// How long a race for one revision goes on: what arrives in it may be stored beside the first. The
/// answers to writes that ask for all copies wait so long, as the coordinator waits for its copies.
const RACE: Duration = Duration::from_millis(50);

/// Of the writers that come too late within a race, these in a hundred are stored all the same. Measured
/// were 2 to 3 of 10 in every second race.
const STORED_PERCENT: u64 = 30;

/// How long `_conflicts` stays silent: after 3 s all were told of.
const SILENCE: Duration = Duration::from_secs(3);

/// Of the writes over a revision that was followed before, these in a hundred meet the stale node.
const STALE_PERCENT: u64 = 30;

/// Of the feeds that go on somewhere, these in a hundred begin earlier.
const REWOUND_PERCENT: u64 = 50;

/// How far back a feed begins at most.
const REWOUND_CHANGES: u64 = 1000;

/// Of the writes, these in a hundred lose their connection.
const LOST_PERCENT: u64 = 10;

/// How many documents are remembered; a test has fewer.
const REMEMBERED_MAX: usize = 100_000;

/// A document: the key of its database, and its id.
type Name = (i64, String);

/// The modes that are on, and what they remember.
#[derive(Debug)]
pub(crate) struct Trouble {
    modes: Vec<TestMode>,
    seed: u64,
    drawn: AtomicU64,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    races: HashMap<Name, Race>,
    /// When a loser was stored last.
    losers: HashMap<Name, Instant>,
}

/// A write that was stored a moment ago, and those that are stored beside it.
#[derive(Clone, Debug)]
struct Race {
    parent: Option<Revision>,
    began: Instant,
    beaten: Arc<AtomicBool>,
    /// Held for reading by each loser until it is stored.
    storing: Arc<RwLock<()>>,
}

impl Race {
    fn new(parent: Option<Revision>) -> Race {
        Race {
            parent,
            began: Instant::now(),
            beaten: Arc::new(AtomicBool::new(false)),
            storing: Arc::new(RwLock::new(())),
        }
    }

    /// Waits until no more losers are stored, where the write asks for all copies: then all writers of
    /// the race see the same leaves once they are answered.
    async fn wait(&self, call: &Call) {
        let copies = call.server.trouble.copies();
        if super::write::quorum(call).is_some_and(|asked| asked >= copies) {
            tokio::time::sleep(RACE.saturating_sub(self.began.elapsed())).await;
            drop(self.storing.write().await);
        }
    }
}

/// When the connection of a write is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Before,
    After,
}

impl Trouble {
    pub(crate) fn new(modes: &[TestMode], seed: u64) -> Trouble {
        Trouble {
            modes: modes.to_vec(),
            seed,
            drawn: AtomicU64::new(0),
            memory: Mutex::new(Memory::default()),
        }
    }

    /// How many copies the databases say that they have.
    pub(crate) fn copies(&self) -> u32 {
        if self.modes.is_empty() { 1 } else { COPIES }
    }

    fn is_on(&self, mode: TestMode) -> bool {
        self.modes.contains(&mode)
    }

    /// Whether this happens now, as it does `percent` times in a hundred.
    fn happens(&self, percent: u64) -> bool {
        self.draw() % 100 < percent
    }

    /// The next number of the seed (SplitMix64).
    fn draw(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let mut mixed = self.seed.wrapping_add(drawn.wrapping_mul(GAMMA));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the connection of this request is cut, and when.
    pub(crate) fn cut(&self, method: &Method) -> Option<Cut> {
        let writes = method == Method::PUT || method == Method::POST || method == Method::DELETE;
        let lost = self.is_on(TestMode::LostAnswers) && writes && self.happens(LOST_PERCENT);
        lost.then(|| if self.happens(50) { Cut::Before } else { Cut::After })
    }

    /// Where a feed that asked to go on after this sequence begins.
    pub(crate) fn rewound(&self, since: u64) -> u64 {
        let rewinds = self.is_on(TestMode::RewoundFeeds) && self.happens(REWOUND_PERCENT);
        if rewinds { since.saturating_sub(1 + self.draw() % REWOUND_CHANGES) } else { since }
    }

    /// Whether nothing is told of this document's conflicts for now.
    pub(crate) fn hides_conflicts(&self, database: &Database, id: &str) -> bool {
        self.is_on(TestMode::LateConflicts)
            && self
                .memory()
                .losers
                .get(&(database.key, id.to_owned()))
                .is_some_and(|stored| stored.elapsed() < SILENCE)
    }

    /// A write came first, and begins a race.
    fn began(&self, name: Name, parent: Option<Revision>) -> Race {
        let race = Race::new(parent);
        let mut memory = self.memory();
        if memory.races.len() >= REMEMBERED_MAX {
            memory.races.retain(|_, race| race.began.elapsed() < RACE);
        }
        memory.races.insert(name, race.clone());
        race
    }

    /// Whether a write that came too late is stored all the same: its race, held open until it is.
    fn loses(
        &self,
        name: Name,
        parent: Option<&Revision>,
    ) -> Option<(Race, Option<OwnedRwLockReadGuard<()>>)> {
        let mut memory = self.memory();
        let race = memory.races.get(&name).cloned();
        let race = race.filter(|race| {
            self.is_on(TestMode::StoredLosers)
                && race.parent.as_ref() == parent
                && race.began.elapsed() < RACE
                && self.happens(STORED_PERCENT)
        });
        let stale = self.is_on(TestMode::StaleNode) && self.happens(STALE_PERCENT);
        let found = match race {
            Some(race) => {
                race.beaten.store(true, Ordering::Relaxed);
                // Whoever waits for it waits until the race is over, and it is not over yet.
                let held = Arc::clone(&race.storing).try_read_owned().ok();
                (race, held)
            }
            None if stale => (Race::new(parent.cloned()), None),
            None => return None,
        };
        if memory.losers.len() >= REMEMBERED_MAX {
            memory.losers.retain(|_, stored| stored.elapsed() < SILENCE);
        }
        memory.losers.insert(name, Instant::now());
        Some(found)
    }
}

/// Makes one edit as a cluster in trouble does, where a mode is on.
pub(crate) async fn apply(
    call: &Call,
    database: &Arc<Database>,
    one: Edit,
) -> Result<Outcome, Refusal> {
    let trouble = &call.server.trouble;
    let writes = trouble.is_on(TestMode::StoredLosers) || trouble.is_on(TestMode::StaleNode);
    let Some(loser) = writes.then(|| as_loser(&one)).flatten() else {
        return apply_alone(call, database, one).await;
    };
    let parent = match &loser.kind {
        Kind::Merge { path, .. } => path.get(1).cloned(),
        _ => None,
    };
    let name = (database.key, one.id.clone());
    let outcome = apply_alone(call, database, one).await?;
    match outcome {
        Outcome::Stored(_) => {
            let race = trouble.began(name, parent);
            race.wait(call).await;
            if race.beaten.load(Ordering::Relaxed) {
                call.note_disagreement();
            }
            Ok(outcome)
        }
        Outcome::Conflict => {
            let Some((race, held)) = trouble.loses(name, parent.as_ref()) else {
                return Ok(outcome);
            };
            call.note_disagreement();
            let outcome = apply_alone(call, database, loser).await?;
            drop(held);
            race.wait(call).await;
            Ok(outcome)
        }
        _ => Ok(outcome),
    }
}

async fn apply_alone(call: &Call, database: &Arc<Database>, one: Edit) -> Result<Outcome, Refusal> {
    let database = Arc::clone(database);
    let write = move |transaction: &mut Transaction<'_>| edit::apply(transaction, &database, one);
    Ok(call.store().write(write).await?)
}

/// The edit as a branch beside others; None for those that no race is about.
fn as_loser(one: &Edit) -> Option<Edit> {
    let (parent, deleted, text) = match &one.kind {
        Kind::Update { parent, deleted, text, attachments, .. } if attachments.is_empty() => {
            (parent.first(), *deleted, text.clone())
        }
        Kind::Delete { revision: Some(revision) } => (Some(revision), true, String::from("{}")),
        _ => return None,
    };
    let generation = parent.map_or(0, |parent| parent.generation) + 1;
    let mut path = vec![Revision::new(generation, digest(parent, deleted, &text, &[]))];
    path.extend(parent.cloned());
    let kind = Kind::Merge { path, deleted, text, attachments: Vec::new() };
    Some(Edit { id: one.id.clone(), kind })
}
