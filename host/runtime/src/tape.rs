//! Tapes: what a run hears from the world, recorded, and given to another run in its place.
//!
//! A guest is one thread, and all that it hears comes through imports: HTTP exchanges, answers of the DNS, clocks,
//! random numbers, and which of the things that it waits for came first. With these written down in their order, a
//! second run of the same program with the same arguments does the same, without a network and without waiting.
//!
//! [`Tape`] is what a run is given, `Deck` is the side of the imports: each asks `Deck::replay` before it does
//! something, and tells `Deck::record` what came of it. `file` is the form on disk. `web`, `dns`, `networks`, `probes`, `load` and
//! `wasi` are the words of each import in that form, `heard` and `bytes` what they share.
//!
//! What is not on tapes: sockets and wasi:http. A replay has no network at all (see [`crate::egress`]), so they are
//! refused there by the one function that makes connections.

mod bytes;
mod file;
mod heard;
pub(crate) mod dns;
pub(crate) mod load;
pub(crate) mod networks;
pub(crate) mod probes;
pub(crate) mod wasi;
pub(crate) mod web;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blitz_contract::Stopped;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use file::{Entry, Header, TAPE_MAX_BYTES, TapeError, read, write};

use crate::job::Job;
use crate::limits::Size;
use crate::output::{Halt, Outlet};

/// Characters of a question that a message shows.
const SHOWN_CHARS_MAX: usize = 300;

/// Where a run hears the world from.
#[derive(Debug, Clone, Default)]
pub enum Tape {
    /// From the world.
    #[default]
    Live,
    /// From the world, and it is written down.
    Record(Recorder),
    /// From a tape. There is no network, and nothing waits.
    Replay(Player),
}

/// Takes down what one run hears. A clone is the same recorder.
#[derive(Debug, Clone, Default)]
pub struct Recorder {
    entries: Arc<Mutex<Recorded>>,
}

#[derive(Debug, Default)]
struct Recorded {
    entries: Vec<Entry>,
    bytes: u64,
}

impl Recorder {
    /// What was heard, in order. The recorder is empty after it.
    #[must_use]
    pub fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut *lock(&self.entries)).entries
    }

    fn push(&self, entry: Entry) -> Result<(), Stopped> {
        let mut recorded = lock(&self.entries);
        recorded.bytes += entry.bytes();
        if recorded.bytes > TAPE_MAX_BYTES {
            return Err(Stopped::Limit(format!(
                "tape limit {} reached; record a run that hears less",
                Size(TAPE_MAX_BYTES)
            )));
        }
        recorded.entries.push(entry);
        Ok(())
    }
}

/// Gives what a tape holds to one run. A clone is the same player.
#[derive(Debug, Clone)]
pub struct Player {
    position: Arc<Mutex<Position>>,
}

#[derive(Debug)]
struct Position {
    entries: Vec<Entry>,
    next: usize,
}

impl Player {
    /// At the first entry.
    #[must_use]
    pub fn new(entries: Vec<Entry>) -> Self {
        Self { position: Arc::new(Mutex::new(Position { entries, next: 0 })) }
    }

    /// Entries that no run asked for.
    #[must_use]
    pub fn left(&self) -> usize {
        let position = lock(&self.position);
        position.entries.len() - position.next
    }

    /// The answer to this question, if it is the one that comes next.
    fn answer(&self, import: &str, asks: &Value) -> Result<Value, Stopped> {
        let mut position = lock(&self.position);
        let number = position.next + 1;
        let Some(entry) = position.entries.get(position.next) else {
            return Err(Stopped::Limit(format!(
                "the tape has ended: all its {} entries were heard, and the plugin asks {}; \
                 record it again",
                position.entries.len(),
                shown(import, asks)
            )));
        };
        if entry.import != import || entry.asks != *asks {
            return Err(Stopped::Limit(format!(
                "the tape has another question: its entry {number} is {}, and the plugin asks {}; \
                 record it again when the plugin is right",
                shown(&entry.import, &entry.asks),
                shown(import, asks)
            )));
        }
        let hears = entry.hears.clone();
        position.next = number;
        Ok(hears)
    }
}

/// A question in a message: `web.exchange {"method":"GET",...}`.
fn shown(import: &str, asks: &Value) -> String {
    let mut text = match asks {
        Value::Null => import.to_owned(),
        asks => format!("{import} {asks}"),
    };
    if let Some((cut, _)) = text.char_indices().nth(SHOWN_CHARS_MAX) {
        text.truncate(cut);
        text.push_str("...");
    }
    text
}

/// The imports' side of a tape. A clone is the same deck.
#[derive(Clone, Default)]
pub(crate) struct Deck {
    tape: Tape,
    /// Ends a run whose tape cannot go on. `None` only where nothing was put in.
    outlet: Option<Outlet>,
    bodies: u64,
    sessions: u64,
    tests: u64,
}

impl Deck {
    pub(crate) fn new(tape: Tape, outlet: Outlet) -> Self {
        Self { tape, outlet: Some(outlet), bodies: 0, sessions: 0, tests: 0 }
    }

    /// Neither recorded nor replayed: the answer is the world's, and nobody writes it down.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.tape, Tape::Live)
    }

    /// The tape's answer, on a replay.
    ///
    /// # Errors
    ///
    /// The run ends: the plugin asks something else than the run that was recorded.
    pub(crate) fn replay<A: DeserializeOwned>(
        &self,
        import: &str,
        asks: &impl Serialize,
    ) -> wasmtime::Result<Option<A>> {
        let Tape::Replay(player) = &self.tape else { return Ok(None) };
        let heard = value(asks).and_then(|asks| player.answer(import, &asks)).and_then(|heard| {
            serde_json::from_value(heard).map_err(|error| {
                Stopped::Limit(format!("the tape's answer to {import} cannot be read: {error}"))
            })
        });
        heard.map(Some).map_err(|stopped| self.halt(stopped))
    }

    /// Writes an answer of the world down, on a recording.
    ///
    /// # Errors
    ///
    /// The run ends: the tape is full.
    pub(crate) fn record(
        &self,
        import: &str,
        asks: &impl Serialize,
        hears: &impl Serialize,
    ) -> wasmtime::Result<()> {
        let Tape::Record(recorder) = &self.tape else { return Ok(()) };
        let entry = || {
            let (asks, hears) = (value(asks)?, value(hears)?);
            recorder.push(Entry { import: import.to_owned(), asks, hears })
        };
        entry().map_err(|stopped| self.halt(stopped))
    }

    /// One question whose answer is waited for: the tape's answer, or `live`. For `control.pause` and its like.
    pub(crate) async fn wait<A: Serialize + DeserializeOwned>(
        &self,
        import: &str,
        asks: &impl Serialize,
        live: impl Future<Output = wasmtime::Result<A>>,
    ) -> wasmtime::Result<A> {
        if let Some(heard) = self.replay(import, asks)? {
            return Ok(heard);
        }
        let heard = live.await?;
        self.record(import, asks, &heard)?;
        Ok(heard)
    }

    /// The number of the next HTTP body, from 0: its name on a tape.
    pub(crate) fn next_body(&mut self) -> u64 {
        let number = self.bodies;
        self.bodies += 1;
        number
    }

    /// The number of the next session of probes, from 0: its name on a tape.
    pub(crate) fn next_session(&mut self) -> u64 {
        let number = self.sessions;
        self.sessions += 1;
        number
    }

    /// The number of the next load test, from 0: its name on a tape.
    pub(crate) fn next_test(&mut self) -> u64 {
        let number = self.tests;
        self.tests += 1;
        number
    }

    fn halt(&self, stopped: Stopped) -> wasmtime::Error {
        if let Some(outlet) = &self.outlet {
            outlet.halt(stopped);
        }
        Halt.into()
    }
}

impl Job {
    /// One question whose answer takes no time: the tape's answer, or `live`.
    pub(crate) fn hear<A: Serialize + DeserializeOwned>(
        &mut self,
        import: &str,
        asks: &impl Serialize,
        live: impl FnOnce(&mut Self) -> wasmtime::Result<A>,
    ) -> wasmtime::Result<A> {
        if let Some(heard) = self.tape.replay(import, asks)? {
            return Ok(heard);
        }
        let heard = live(self)?;
        self.tape.record(import, asks, &heard)?;
        Ok(heard)
    }
}

impl Tape {
    /// Whether a run with it may use the network.
    pub(crate) fn has_network(&self) -> bool {
        !matches!(self, Self::Replay(_))
    }
}

fn value(of: &impl Serialize) -> Result<Value, Stopped> {
    serde_json::to_value(of)
        .map_err(|error| Stopped::Limit(format!("the tape cannot hold this: {error}")))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
