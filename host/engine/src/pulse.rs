//! The engine's beats: one is written at a time, and the newest waits for the one that is on its way.

use std::time::Duration;

use blitz_couchdb::Database;
use blitz_jobs::Incarnation;
use blitz_jobs::engine::{Beat, BeatKind, Held};

use crate::own::{NotWritten, Own};
use crate::siblings::Siblings;

/// What the loop knows of its beats.
#[derive(Debug)]
pub(crate) struct Pulse {
    database: Database,
    copies: u32,
    engine: String,
    incarnation: Incarnation,
    siblings: Siblings,
    /// A beat may take this long.
    timeout: Duration,
    /// `None` while a beat is on its way.
    own: Option<Box<Own>>,
    /// The newest that came up meanwhile.
    waiting: Option<Beat>,
    /// Of the last beat.
    counter: u64,
}

/// A beat that is to be written now.
pub(crate) struct Stroke {
    own: Box<Own>,
    beat: Beat,
}

/// The document of beats, on its way back to the loop.
#[derive(Debug)]
pub(crate) struct Returned(Box<Own>);

impl Stroke {
    /// Writes it; true when a majority has it.
    pub(crate) async fn write(mut self) -> (Returned, Result<bool, NotWritten>) {
        let written = self.own.write(&self.beat).await;
        (Returned(self.own), written)
    }
}

impl Pulse {
    /// No beat was written yet. `stop` is how long a lease lasts: a third of it is what a write may take, since watchers
    /// count on no beat being stored later than that ([`blitz_jobs::watch`]).
    pub(crate) fn new(
        database: Database,
        copies: u32,
        engine: &str,
        incarnation: Incarnation,
        siblings: Siblings,
        stop: Duration,
    ) -> Self {
        let mut pulse = Self {
            database,
            copies,
            engine: engine.to_owned(),
            incarnation,
            siblings,
            timeout: stop / 3,
            own: None,
            waiting: None,
            counter: 0,
        };
        pulse.own = Some(pulse.own());
        pulse
    }

    /// The database of the region's beats.
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    fn own(&self) -> Box<Own> {
        let id = Beat::document_id(&self.engine);
        let (database, incarnation) = (self.database.clone(), self.incarnation.clone());
        let siblings = self.siblings.clone();
        Box::new(Own::new(database, id, incarnation, self.copies, siblings, self.timeout))
    }

    /// A beat is due. Given back when it is to be written now.
    pub(crate) fn beat(&mut self, counter: u64, held: Vec<Held>) -> Option<Stroke> {
        self.counter = counter;
        self.waiting = Some(self.body(counter, held));
        self.next()
    }

    /// The beat that was on its way is done, or lost with its task. Gives the next one, if one waits.
    pub(crate) fn done(&mut self, returned: Option<Returned>) -> Option<Stroke> {
        self.own = Some(returned.map_or_else(|| self.own(), |Returned(own)| own));
        self.next()
    }

    fn next(&mut self) -> Option<Stroke> {
        let own = self.own.take_if(|_| self.waiting.is_some())?;
        Some(Stroke { own, beat: self.waiting.take()? })
    }

    /// The last one, that says that nothing is held any more; none when there never was one.
    pub(crate) fn last(&mut self) -> Option<Stroke> {
        let counter = self.counter.checked_add(1).filter(|_| self.counter > 0)?;
        // One that was on its way may be stored or not; either is this start's own.
        let own = self.own.take().unwrap_or_else(|| self.own());
        Some(Stroke { own, beat: self.body(counter, Vec::new()) })
    }

    fn body(&self, counter: u64, held: Vec<Held>) -> Beat {
        Beat {
            kind: BeatKind::Beat,
            blitz: blitz_jobs::BUILD.to_owned(),
            engine: self.engine.clone(),
            incarnation: self.incarnation.clone(),
            counter,
            held,
        }
    }
}
