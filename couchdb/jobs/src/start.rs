//! `<job>:start`: the fence that a job which must not run twice passes before its first side effect.
//!
//! A document of its own, one for all attempts, created once with the agreement of a majority. Each copy takes
//! only the first create, so that two clear answers would need two majorities without a common copy. Hence: go on
//! a clear 201 and on nothing else; do not try again, and never decide by reading. It is never deleted.
//!
//! A second state of the run document ("started") would not do: children of two leaves do not conflict.

use blitz_couchdb::Revision;
use serde::{Deserialize, Serialize};

use crate::guards::{Guard, Guards};
use crate::id::{Incarnation, JobId};
use crate::run::Claim;
use crate::writing::PutReply;

/// The document `<job>:start`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Start {
    /// Always `start`.
    pub kind: StartKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// The job.
    pub job: JobId,
    /// Which attempt goes.
    pub attempt: u32,
    /// The engine's instance id.
    pub engine: String,
    /// Which start of that engine.
    pub incarnation: Incarnation,
}

/// The `kind` of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartKind {
    /// The only one.
    Start,
}

impl Start {
    /// The fence of this claim.
    #[must_use]
    pub fn new(job: JobId, claim: &Claim) -> Self {
        Self {
            kind: StartKind::Start,
            blitz: crate::BUILD.to_owned(),
            job,
            attempt: claim.attempt,
            engine: claim.engine.clone(),
            incarnation: claim.incarnation.clone(),
        }
    }

    /// Whether this claim is the one that went.
    #[must_use]
    pub fn is_of(&self, claim: &Claim) -> bool {
        self.attempt == claim.attempt && self.incarnation == claim.incarnation
    }
}

/// What to ask the store next. Every write is asked for with the store's default quorum, a majority.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// Create `<job>:start`.
    Create(Start),
    /// Instead of a fence: write the claim again, over this revision of it. Only a mutant asks so.
    Child(Revision),
    /// Read `<job>:start`. Only a mutant asks so.
    Read,
}

/// What the store answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// To a write.
    Put(PutReply),
    /// To a read; `None` when there is none, or no answer.
    Read(Option<Start>),
}

/// What follows from a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Ask this.
    Ask(Ask),
    /// The job may begin, or must not.
    Decided(bool),
}

/// The passing of one fence.
#[derive(Debug, Clone)]
pub struct Fencing {
    start: Start,
    guards: Guards,
    tries: u32,
}

impl Fencing {
    /// Begins to pass. `claim` is the revision of the claim.
    #[must_use]
    pub fn begin(start: Start, claim: Revision, guards: Guards) -> (Self, Ask) {
        let ask = if guards.has(Guard::FenceApart) {
            Ask::Create(start.clone())
        } else {
            Ask::Child(claim)
        };
        (Self { start, guards, tries: 1 }, ask)
    }

    /// What a reply means.
    #[must_use]
    pub fn hear(&mut self, reply: &Reply) -> Next {
        match reply {
            Reply::Put(PutReply::Created(_)) => Next::Decided(true),
            Reply::Put(_) if !self.guards.has(Guard::FenceNoTieBreak) => Next::Ask(Ask::Read),
            Reply::Put(PutReply::Accepted(_) | PutReply::Unknown)
                if !self.guards.has(Guard::FenceOnce) && self.tries < 3 =>
            {
                self.tries += 1;
                Next::Ask(Ask::Create(self.start.clone()))
            }
            // A mutant that tries again meets its own fence.
            Reply::Put(PutReply::Conflict) if self.tries > 1 => Next::Decided(true),
            Reply::Put(_) => Next::Decided(false),
            Reply::Read(found) => Next::Decided(found.as_ref() == Some(&self.start)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_answer_lets_a_job_begin() {
        let incarnation = Incarnation::from_random([1; 16]);
        let claim = Claim::first(1, "e1", incarnation);
        let revision: Revision = "1-a".parse().unwrap();
        for (reply, goes) in [
            (PutReply::Created(revision.clone()), true),
            (PutReply::Accepted(revision.clone()), false),
            (PutReply::Conflict, false),
            (PutReply::Unknown, false),
            (PutReply::Refused, false),
        ] {
            let start = Start::new(JobId::new("japan", 1), &claim);
            assert!(start.is_of(&claim));
            let (mut fencing, ask) =
                Fencing::begin(start.clone(), revision.clone(), Guards::default());
            assert_eq!(ask, Ask::Create(start));
            assert_eq!(fencing.hear(&Reply::Put(reply.clone())), Next::Decided(goes), "{reply:?}");
        }
    }
}
