//! What the databases hold: the documents of jobs, beats and output, in a form that is cheap to copy.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use blitz_couchdb::Revision;
use blitz_jobs::Run;
use blitz_jobs::engine::Beat;
use blitz_jobs::start::Start;

use crate::couchdb::{Mixer, Rev};

/// The id of a document. Those of one job sort together, as they do by their text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Id {
    Job(usize, Kind),
    /// By the engine.
    Beat(usize),
    Chunk {
        job: usize,
        attempt: u32,
        life: usize,
        seq: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Cancel,
    Run,
    Spec,
    Start,
}

/// What a document says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Body {
    Cancel,
    Spec,
    Run(Arc<Hashed<Run>>),
    Start(Arc<Start>),
    /// With what the wall clock of its writer showed.
    Beat(Arc<Hashed<Beat>>, Duration),
    Chunk,
}

/// A value that is hashed once.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hashed<T> {
    hash: u64,
    pub(super) value: T,
}

impl<T: std::fmt::Debug> Hashed<T> {
    fn new(value: T) -> Arc<Self> {
        let mut mixer = Mixer::default();
        mixer.write(format!("{value:?}").as_bytes());
        Arc::new(Self { hash: mixer.finish(), value })
    }
}

impl<T> Hash for Hashed<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Body {
    pub(super) fn run(run: Run) -> Self {
        Self::Run(Hashed::new(run))
    }

    pub(super) fn beat(beat: Beat, wall: Duration) -> Self {
        Self::Beat(Hashed::new(beat), wall)
    }
}

/// The model's name of a revision that the core names.
pub(super) fn rev(revision: &Revision) -> Rev {
    Rev {
        generation: u32::try_from(revision.generation()).unwrap_or(u32::MAX),
        hash: u64::from_str_radix(revision.hash(), 16).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_survive_the_way_through_the_core() {
        let first = Rev::child(None, Some(&Body::Spec));
        for one in [first, Rev::child(Some(first), Some(&Body::Cancel))] {
            assert_eq!(rev(&Revision::from(one)), one);
        }
    }
}
