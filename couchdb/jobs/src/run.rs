//! `<job>:run`: the one document that is contended for, as a pure state machine.
//!
//! Each step is a compare-and-set of that document in the region's home cluster. Engines write it, and the
//! keeper ends what no engine can. Terminal states never change. Beats and output never touch it: a loser
//! that kept renewing would lengthen its branch and become CouchDB's winner.

use blitz_contract::Exit;
use serde::{Deserialize, Serialize};

use crate::id::Incarnation;

mod possible;
mod resolve;
mod step;

pub use resolve::resolve;
pub use step::{Refused, Step, Taker};

/// How many engines a job may take with it: a plugin that killed three is not given a fourth.
pub const DEATHS_MAX: usize = 3;

/// How often a job may be claimed, for whatever reason it was given back or lost: a network that never lets
/// it end must not keep it for ever.
pub const ATTEMPTS_MAX: u32 = 16;

/// The document `<job>:run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunDocument {
    /// Always `run`.
    pub kind: RunKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// The state.
    pub run: Run,
}

/// The `kind` of a run's document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// The only one.
    Run,
}

impl RunDocument {
    /// The document of a state.
    #[must_use]
    pub fn new(run: Run) -> Self {
        Self { kind: RunKind::Run, blitz: crate::BUILD.to_owned(), run }
    }
}

/// Who has a job, and how it ended. A job without a run document is queued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Run {
    /// An engine runs it.
    Claimed {
        /// Who.
        claim: Claim,
    },
    /// Given back, or its engine was lost: any engine may claim it with the next attempt.
    Open {
        /// The claim that was given up.
        last: Claim,
        /// Why.
        reason: String,
    },
    /// The plugin returned a status.
    Done {
        /// Who ran it.
        claim: Claim,
        /// What came of it.
        end: End,
    },
    /// The host stopped the plugin.
    Failed {
        /// Who ran it.
        claim: Claim,
        /// What came of it.
        end: End,
    },
    /// Stopped on somebody's wish.
    Cancelled {
        /// Who ran it; absent when nobody had begun.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        claim: Option<Claim>,
        /// What came of it, when somebody had begun.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<End>,
    },
    /// No engine took it in time.
    Expired {
        /// Which time that was.
        reason: String,
    },
    /// Its engine was lost and it must not run twice, or it was lost too often. Or its region has moved, and nobody there
    /// knows what came of it.
    Lost {
        /// Who had it; absent when nobody is known to have had it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        claim: Option<Claim>,
        /// How it was noticed.
        reason: String,
        /// False when it is certain that it never began and never will: running it again is safe. Only who passed
        /// the start fence of a job can know that.
        #[serde(default = "begun", skip_serializing_if = "Clone::clone")]
        begun: bool,
    },
    /// It killed as many engines as [`DEATHS_MAX`].
    Poison {
        /// Who had it last.
        claim: Claim,
        /// How it was noticed.
        reason: String,
    },
}

/// One engine's right to run one attempt. Its body must be unlike any other's: CouchDB derives the revision
/// from it, and two equal bodies would be one revision with two winners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The region's home epoch when it was made.
    pub epoch: u32,
    /// From 1 to [`ATTEMPTS_MAX`].
    #[serde(deserialize_with = "possible::attempt")]
    pub attempt: u32,
    /// The engine's instance id.
    #[serde(deserialize_with = "possible::engine")]
    pub engine: String,
    /// Which start of that engine.
    pub incarnation: Incarnation,
    /// The earlier attempts whose engines fell silent and stayed so, oldest first; at most [`ATTEMPTS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "possible::silent")]
    pub silent: Vec<Silent>,
}

impl Claim {
    /// The first claim of a job.
    #[must_use]
    pub fn first(epoch: u32, engine: &str, incarnation: Incarnation) -> Self {
        Self { epoch, attempt: 1, engine: engine.to_owned(), incarnation, silent: Vec::new() }
    }
}

/// An attempt whose engine gave no sign of life for too long. When that same start of the engine beats again
/// later, it was the network that was lost and not the engine; when a later start of it does, this one is dead.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Silent {
    /// The engine's instance id.
    #[serde(deserialize_with = "possible::engine")]
    pub engine: String,
    /// Which start of it.
    pub incarnation: Incarnation,
    /// The counter of its last beat that was seen; 0 is none.
    pub counter: u64,
}

fn begun() -> bool {
    true
}

/// What came of a run, with what a reader needs to know that it has all output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The plugin's status, or why it was stopped.
    pub exit: Exit,
    /// How many chunks of output there are.
    pub chunks: u64,
    /// Bytes in all streams.
    pub bytes: u64,
    /// blake3 of the stream in hexadecimal, see [`crate::output::Digest`].
    pub digest: String,
    /// How long the plugin ran, in milliseconds.
    pub duration_ms: u64,
}

impl Run {
    /// Whether nothing will change it any more.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Claimed { .. } | Self::Open { .. })
    }

    /// The claim whose output counts: of the engine that runs or ran it, or had it last.
    #[must_use]
    pub fn claim(&self) -> Option<&Claim> {
        match self {
            Self::Claimed { claim }
            | Self::Done { claim, .. }
            | Self::Failed { claim, .. }
            | Self::Poison { claim, .. } => Some(claim),
            Self::Cancelled { claim, .. } | Self::Lost { claim, .. } => claim.as_ref(),
            Self::Open { last, .. } => Some(last),
            Self::Expired { .. } => None,
        }
    }

    /// The home epoch of its claim; 0 where nobody's claim led to it.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.claim().map_or(0, |claim| claim.epoch)
    }

    /// What came of it, when a plugin ran to an end.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        match self {
            Self::Done { end, .. } | Self::Failed { end, .. } => Some(end),
            Self::Cancelled { end, .. } => end.as_ref(),
            _ => None,
        }
    }

    /// The state in one word, as documents and the API have it.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self {
            Self::Claimed { .. } => "claimed",
            Self::Open { .. } => "open",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
            Self::Expired { .. } => "expired",
            Self::Lost { .. } => "lost",
            Self::Poison { .. } => "poison",
        }
    }

    /// Why it stands as it does, where no plugin said so.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Open { reason, .. }
            | Self::Expired { reason, .. }
            | Self::Lost { reason, .. }
            | Self::Poison { reason, .. } => Some(reason),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
