//! The databases of a store: what is told of each, kept in memory beside the rows.

use crate::{
    feed::hub::Hub,
    revision::hex,
    sequence::{Identity, Sequence, Token},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

/// How many revisions of a branch are remembered unless `_revs_limit` says otherwise; CouchDB's own.
pub(crate) const REVS_LIMIT: usize = 1000;

/// How many databases a store may have: each takes a hub and a row. blitz opens a few a region.
pub(crate) const DATABASES_MAX: usize = 10_000;

/// A database that exists.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) key: i64,
    pub(crate) name: String,
    pub(crate) identity: Identity,
    /// When it was made, in microseconds since 1970; no two databases of a store share it.
    pub(crate) started_us: i64,
    /// The `q` that was asked for: told to clients, which expect it, and not used.
    pub(crate) shards: u32,
    pub(crate) feed: Arc<Hub>,
    /// A compaction was asked for and has not ended.
    pub(crate) compacting: AtomicBool,
    state: Mutex<State>,
}

/// What changes with writes. The writer replaces it after each commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) sequence: Sequence,
    /// Documents whose winner is alive.
    pub(crate) documents: u64,
    /// Documents whose winner is a tombstone.
    pub(crate) tombstones: u64,
    /// The bodies and attachments of all revisions that are kept.
    pub(crate) bytes: u64,
    /// Bodies of revisions that others follow: what a compaction drops.
    pub(crate) superseded: u64,
    pub(crate) revs_limit: usize,
    /// How many purges of documents there were.
    pub(crate) purge_sequence: Sequence,
    /// How many of them are remembered.
    pub(crate) purges_limit: u64,
    /// When a design document changed last since the store was opened; 0 before the first. What was
    /// made of design documents is good as long as this stays.
    pub(crate) designs: Sequence,
    /// The text of `_security`; None for the default.
    pub(crate) security: Option<Arc<str>>,
}

/// A database is compacted by itself when this much of it is garbage, in bytes: less is not worth the
/// work.
const GARBAGE_BYTES_MIN: u64 = 4 << 20;

/// And when at least one body in so many is garbage. The same point at which CouchDB's daemon begins:
/// the file is twice as large as what lives in it.
const GARBAGE_SHARE: u64 = 2;

impl State {
    /// `_security` as it holds: without one of its own a database is for administrators of the server, as
    /// CouchDB's default is since 3.0.
    pub(crate) fn security(&self) -> Arc<str> {
        const DEFAULT: &str = r#"{"members":{"roles":["_admin"]},"admins":{"roles":["_admin"]}}"#;
        self.security.clone().unwrap_or_else(|| DEFAULT.into())
    }

    /// Whether so much of the database is garbage that it is compacted without being asked.
    pub(super) fn wants_compaction(&self) -> bool {
        let bodies = self.documents + self.tombstones + self.superseded;
        if self.superseded == 0 || self.superseded.saturating_mul(GARBAGE_SHARE) < bodies {
            return false;
        }
        // Taken as large as the others.
        let garbage = self.bytes / bodies * self.superseded;
        garbage >= GARBAGE_BYTES_MIN
    }
}

impl Database {
    pub(crate) fn new(
        key: i64,
        name: String,
        identity: Identity,
        started_us: i64,
        shards: u32,
        state: State,
    ) -> Database {
        Database {
            key,
            name,
            identity,
            started_us,
            shards,
            feed: Arc::new(Hub::new(state.sequence)),
            compacting: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    /// What was committed last.
    pub(crate) fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_state(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// A sequence of this database as clients see it.
    pub(crate) fn token(&self, sequence: Sequence) -> Token {
        Token { sequence, identity: self.identity }
    }

    pub(crate) fn is_compacting(&self) -> bool {
        self.compacting.load(Ordering::Relaxed)
    }
}

/// The databases by name.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    databases: RwLock<BTreeMap<String, Arc<Database>>>,
}

impl Catalog {
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Database>> {
        self.databases.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// All of them, in the order of their names.
    pub(crate) fn all(&self) -> Vec<Arc<Database>> {
        let databases = self.databases.read().unwrap_or_else(PoisonError::into_inner);
        databases.values().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.databases.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) fn add(&self, database: Arc<Database>) {
        let mut databases = self.databases.write().unwrap_or_else(PoisonError::into_inner);
        databases.insert(database.name.clone(), database);
    }

    pub(super) fn remove(&self, name: &str) {
        let mut databases = self.databases.write().unwrap_or_else(PoisonError::into_inner);
        databases.remove(name);
    }
}

/// A text that may not name a database. Its text is CouchDB's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Name: '{0}'. Only lowercase characters (a-z), digits (0-9), and any of the characters _, $, (, ), +, -, and / are allowed. Must begin with a letter."
)]
pub(crate) struct BadName(String);

/// The databases that every store has from its first start, as a single node of CouchDB does.
pub(super) const SYSTEM: [&str; 2] = ["_replicator", "_users"];

/// The longest name of a database, in bytes; CouchDB's own.
const NAME_BYTES_MAX: usize = 238;

/// Whether a new database may have this name.
pub(crate) fn check_name(name: &str) -> Result<(), BadName> {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'$' | b'(' | b')' | b'+' | b'-' | b'/');
    let sound = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(allowed)
        && name.len() <= NAME_BYTES_MAX;
    if sound || SYSTEM.contains(&name) || name == "_global_changes" {
        Ok(())
    } else {
        Err(BadName(name.to_owned()))
    }
}

/// 128 random bits as 32 hexadecimal digits: ids that the server gives out.
pub(crate) fn random_id() -> String {
    hex(&random::<16>())
}

/// Random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
