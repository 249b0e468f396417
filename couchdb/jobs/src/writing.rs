//! One write of a step of a run, and what its answer means: pure, so that the engine, the keeper and the
//! simulation take the same decisions.
//!
//! On a cluster every copy checks revisions alone: 201 means that the asked number of copies agreed, and any
//! lesser agreement is answered 202 **and stored**. So a claim asks for all copies; a 201 is a win, a 409 is a loss,
//! and anything else is decided by the leaves that are stored. This is good enough for jobs that may run twice; those
//! that may not pass [`crate::start`] before they begin.
//!
//! Source: CouchDB documentation, "Cluster theory"; `fabric_doc_update.erl`.

use blitz_couchdb::Revision;

use crate::guards::{Guard, Guards};
use crate::run::{Run, resolve};
use crate::start::Start;

/// How a step was answered, in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It stands, under this revision.
    Won(Revision),
    /// Something else stands.
    Lost,
    /// It was not decided. Trying again is right: a step that was stored is then found.
    Unknown,
}

/// What to ask the store next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// All leaves of the run from a majority of copies, and the start fence when there are several.
    Leaves,
    /// The same from all copies. It may stay without an answer while a copy hangs.
    AllLeaves,
    /// Write the step over this revision. `quorum` is how many copies must agree for a 201; `None` is the
    /// store's default, a majority.
    Put {
        /// The revision that it replaces.
        over: Option<Revision>,
        /// Copies.
        quorum: Option<u32>,
    },
    /// Remove this leaf, our own.
    Remove(Revision),
}

/// How a store answered a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutReply {
    /// 201: as many copies as asked for agreed.
    Created(Revision),
    /// 202: fewer did, and it is stored.
    Accepted(Revision),
    /// 409: every copy refused.
    Conflict,
    /// No answer, or one that says nothing: it may be stored, now or later.
    Unknown,
    /// Not now and not later: the database is gone, or not ours.
    Refused,
}

/// The leaves of a run as a majority of copies has them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leaves {
    /// Every living leaf that this version can read.
    pub runs: Vec<(Revision, Run)>,
    /// The living leaves that it cannot.
    pub unreadable: Vec<Revision>,
    /// The start fence, if there is one and there are several leaves.
    pub start: Option<Start>,
}

impl Leaves {
    /// The leaf that counts.
    #[must_use]
    pub fn resolved(&self, guards: Guards) -> Option<&(Revision, Run)> {
        resolve(&self.runs, self.start.as_ref(), guards)
    }

    /// The leaves that lost: all beside the one that counts, but none that this version cannot read.
    pub fn losers(&self, guards: Guards) -> impl Iterator<Item = &Revision> {
        let counts = match self.found(guards) {
            Found::Run(revision, _) => Some(revision),
            Found::Nothing | Found::Unreadable(_) => None,
        };
        let lost = self.runs.iter().map(|(revision, _)| revision);
        lost.filter(move |revision| counts.is_some_and(|counts| counts != *revision))
    }

    /// What the leaves say together. An end that can be read is an end; else a leaf that cannot be read may be a
    /// claim of a newer version, and nothing may be said of the job.
    #[must_use]
    pub fn found(&self, guards: Guards) -> Found<'_> {
        match (self.resolved(guards), self.unreadable.iter().max_by_key(|leaf| leaf.hash())) {
            (Some((revision, run)), None) => Found::Run(revision, run),
            (Some((revision, run)), Some(_)) if run.is_final() => Found::Run(revision, run),
            (_, Some(revision)) => Found::Unreadable(revision),
            (None, None) => Found::Nothing,
        }
    }
}

/// What the leaves of a run say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// There is none: nobody ever claimed the job.
    Nothing,
    /// The leaf that counts.
    Run(&'a Revision, &'a Run),
    /// No end that can be read, and a leaf that cannot.
    Unreadable(&'a Revision),
}

/// What the store answered to an [`Ask`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// `None`: not now.
    Leaves(Option<Leaves>),
    /// To a write.
    Put(PutReply),
    /// To a removal, however it went.
    Removed,
}

/// What follows from a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Ask this.
    Ask(Ask),
    /// It is decided.
    Decided(Answer),
}

/// One write under way.
#[derive(Debug, Clone)]
pub struct Writing {
    copies: u32,
    over: Option<Revision>,
    run: Run,
    guards: Guards,
    stage: Stage,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// Looking before the write, at a majority of copies first.
    Looking { of_all: bool },
    /// The write is on its way.
    Put,
    /// It was answered so; what is stored is being read, on a cluster from all copies first.
    Deciding { put: PutReply, of_all: bool },
    /// Our leaf, which does not count, is being removed.
    Yielding,
}

impl Writing {
    /// Begins to write `run` over `over` in a database of so many `copies`.
    ///
    /// With one copy the write alone decides, exactly. With several it looks first and gives up when the leaf that
    /// counts is not the one that this step replaces.
    #[must_use]
    pub fn begin(copies: u32, over: Option<Revision>, run: Run, guards: Guards) -> (Self, Ask) {
        let looks = copies > 1 && guards.has(Guard::ReadFirst);
        let stage = if looks { Stage::Looking { of_all: false } } else { Stage::Put };
        let writing = Self { copies, over, run, guards, stage };
        let ask = if looks { Ask::Leaves } else { writing.put() };
        (writing, ask)
    }

    /// The run that is being written.
    #[must_use]
    pub fn run(&self) -> &Run {
        &self.run
    }

    fn is_claim(&self) -> bool {
        matches!(self.run, Run::Claimed { .. })
    }

    fn put(&self) -> Ask {
        let quorum = match (self.copies > 1 && self.is_claim(), self.guards.has(Guard::AllCopies)) {
            (false, _) => None,
            (true, true) => Some(self.copies),
            (true, false) => Some(1),
        };
        Ask::Put { over: self.over.clone(), quorum }
    }

    /// What a reply means.
    #[must_use]
    pub fn hear(&mut self, reply: Reply) -> Next {
        match (std::mem::replace(&mut self.stage, Stage::Put), reply) {
            (Stage::Looking { of_all }, Reply::Leaves(leaves)) => self.looked(leaves, of_all),
            (_, Reply::Put(reply)) => self.answered(reply),
            (Stage::Deciding { put, of_all: true }, Reply::Leaves(None)) => {
                self.stage = Stage::Deciding { put, of_all: false };
                Next::Ask(Ask::Leaves)
            }
            (Stage::Deciding { put, of_all }, Reply::Leaves(leaves)) => {
                self.decide(put, leaves, of_all)
            }
            (Stage::Yielding, _) => Next::Decided(Answer::Lost),
            // A reply that was not asked for.
            (stage, _) => {
                self.stage = stage;
                Next::Decided(Answer::Unknown)
            }
        }
    }

    fn looked(&mut self, leaves: Option<Leaves>, of_all: bool) -> Next {
        let Some(leaves) = leaves else {
            // All copies were asked since a majority names another's leaf.
            if of_all {
                return Next::Decided(Answer::Lost);
            }
            // For a claim a read that fails says nothing: all copies are asked, and the write itself will tell. Any
            // other step would be stored on its branch, though another branch may count by now.
            if self.is_claim() && self.over.is_none() {
                self.stage = Stage::Put;
                return Next::Ask(self.put());
            }
            return Next::Decided(Answer::Unknown);
        };
        match leaves.found(self.guards) {
            // An earlier try of ours, whose answer was lost.
            Found::Run(_, run) if *run == self.run => self.look_again(PutReply::Unknown),
            Found::Run(revision, _) if Some(revision) != self.over.as_ref() => {
                // A leaf that only one copy has may be the one that counts: an end is not thrown away for that.
                if self.over.is_some() && !of_all {
                    self.stage = Stage::Looking { of_all: true };
                    return Next::Ask(Ask::AllLeaves);
                }
                Next::Decided(Answer::Lost)
            }
            Found::Unreadable(_) if !self.replaces_unreadable(&leaves) => {
                Next::Decided(Answer::Lost)
            }
            _ => {
                self.stage = Stage::Put;
                Next::Ask(self.put())
            }
        }
    }

    /// Whether this step is to end a run that cannot be read.
    fn replaces_unreadable(&self, leaves: &Leaves) -> bool {
        self.over.as_ref().is_some_and(|over| leaves.unreadable.contains(over))
    }

    fn answered(&mut self, reply: PutReply) -> Next {
        match reply {
            // All copies took it over the claim of an engine that fell silent; by now they may know of another claim
            // of that time, which counts.
            PutReply::Created(revision)
                if self.copies > 1 && self.over.is_some() && self.is_claim() =>
            {
                self.look_again(PutReply::Accepted(revision))
            }
            PutReply::Created(revision) => Next::Decided(Answer::Won(revision)),
            PutReply::Accepted(revision) if !self.guards.has(Guard::DecideByReading) => {
                Next::Decided(Answer::Won(revision))
            }
            PutReply::Unknown if !self.guards.has(Guard::UnknownIsRead) => {
                Next::Decided(Answer::Lost)
            }
            PutReply::Refused => Next::Decided(Answer::Lost),
            // Also after a conflict: the answer of an earlier try may have been lost on its way, and then the
            // conflict is with ourselves.
            unclear => self.look_again(unclear),
        }
    }

    /// Reads what is stored, from all copies: two of three may agree on a leaf that another writer, of whom the
    /// third one knows, sees beside his own. Both would take theirs for the one that counts, or an end would yield to a
    /// claim that lost.
    fn look_again(&mut self, put: PutReply) -> Next {
        let of_all = self.copies > 1;
        self.stage = Stage::Deciding { put, of_all };
        Next::Ask(if of_all { Ask::AllLeaves } else { Ask::Leaves })
    }

    fn decide(&mut self, put: PutReply, leaves: Option<Leaves>, of_all: bool) -> Next {
        let Some(leaves) = leaves else {
            let lost = put == PutReply::Conflict;
            return Next::Decided(if lost { Answer::Lost } else { Answer::Unknown });
        };
        let is_end = self.run.is_final();
        match leaves.found(self.guards) {
            Found::Run(revision, run) if *run == self.run => {
                Next::Decided(Answer::Won(revision.clone()))
            }
            Found::Run(revision, run)
                if is_end && !run.is_final() && !self.guards.has(Guard::EndOverClaim) =>
            {
                self.over = Some(revision.clone());
                Next::Ask(self.put())
            }
            // What it was to replace still stands: the write was lost, or is late.
            Found::Run(revision, _) if Some(revision) == self.over.as_ref() => {
                Next::Decided(Answer::Unknown)
            }
            Found::Unreadable(_) if put == PutReply::Unknown => Next::Decided(Answer::Unknown),
            // It is stored, and only a majority says that another's counts: looked at again before it yields.
            Found::Run(..) if is_end && !of_all && matches!(put, PutReply::Accepted(_)) => {
                Next::Decided(Answer::Unknown)
            }
            Found::Run(..) | Found::Unreadable(_) => match put {
                PutReply::Accepted(own) if self.guards.has(Guard::YieldLeaf) => {
                    self.stage = Stage::Yielding;
                    Next::Ask(Ask::Remove(own))
                }
                _ => Next::Decided(Answer::Lost),
            },
            // What it was to replace was deleted: no copy will ever take it.
            Found::Nothing if put == PutReply::Conflict && self.over.is_some() => {
                Next::Decided(Answer::Lost)
            }
            Found::Nothing => Next::Decided(Answer::Unknown),
        }
    }
}

#[cfg(test)]
mod tests;
