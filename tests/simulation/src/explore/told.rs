//! What the core tells an actor to do, and what an actor tells the core.

use blitz_couchdb::Revision;
use blitz_jobs::writing::PutReply;

use super::few::Few;
use super::table::Id;

/// What an actor is told to do by the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Read the leaves, and tell this machine.
    Read(Id),
    /// Read the leaves of all copies, and tell this machine.
    ReadAll(Id),
    /// Have this revision written by so many copies, and tell this machine.
    Put { machine: Id, target: Id, quorum: u8 },
    /// Remove this leaf, and tell this machine.
    Remove { machine: Id, leaf: Id },
    /// Create this fence, and tell this machine.
    Create { machine: Id, start: Id },
    /// It stands, under this revision; of a fence: go.
    Won(Id),
    /// Something else stands; of a fence: do not go.
    Lost,
    /// Not decided.
    Unknown,
}

/// How the store answered a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Put {
    Created,
    Accepted,
    Conflict,
    Unknown,
}

/// What a machine hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Reply {
    /// To a write of this revision or fence.
    Put(Put, Id),
    /// The leaves of a run and the fence that was found beside them, or of fences the fence alone.
    Read {
        leaves: Few,
        start: Id,
    },
    /// A read that failed.
    Blind,
    Removed,
}

impl Put {
    pub(super) fn of(self, revision: Revision) -> PutReply {
        match self {
            Self::Created => PutReply::Created(revision),
            Self::Accepted => PutReply::Accepted(revision),
            Self::Conflict => PutReply::Conflict,
            Self::Unknown => PutReply::Unknown,
        }
    }
}
