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

pub use resolve::resolve;

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
    /// Its engine was lost and it must not run twice, or it was lost too often.
    Lost {
        /// Who had it.
        claim: Claim,
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

/// What somebody wants to do to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// An engine wants it. The attempt is set by the machine.
    Claim(Taker),
    /// The engine that runs it has come to an end.
    Finish {
        /// Which start of the engine: the right to finish.
        incarnation: Incarnation,
        /// What came of it.
        end: End,
    },
    /// The engine that has it gives it back: it has not begun, it drains, or it stopped because it could not
    /// renew its lease. No death.
    Release {
        /// Which start of the engine: the right to release.
        incarnation: Incarnation,
        /// Whether another engine may run it. Otherwise it is lost.
        may_retry: bool,
        /// Whether it may have begun here.
        begun: bool,
        /// Why.
        reason: String,
    },
    /// Somebody cancelled, and nobody runs it.
    CancelWaiting,
    /// No engine took it in time.
    Expire {
        /// Which time that was.
        reason: String,
    },
    /// Its engine is dead for the watcher that says so, see [`crate::watch`].
    Dead {
        /// The start that died: a newer claim is untouched.
        incarnation: Incarnation,
        /// The counter of its last beat that was seen; 0 is none.
        counter: u64,
        /// Those of the earlier silent attempts whose engine was seen alive since.
        survivors: Vec<Silent>,
        /// Whether another engine may run it.
        may_retry: bool,
        /// How it was noticed.
        reason: String,
        /// The engine that takes it at once. Otherwise it is open for all.
        taker: Option<Taker>,
    },
}

/// An engine that wants a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taker {
    /// The region's home epoch.
    pub epoch: u32,
    /// The engine's instance id.
    pub engine: String,
    /// Which start of it.
    pub incarnation: Incarnation,
}

/// Why a step is not possible from where the run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It has ended; nothing changes it.
    #[error("the job has ended")]
    Ended,
    /// Another engine has it, or another start of the same engine.
    #[error("another engine has the job")]
    NotYours,
    /// Nobody has it.
    #[error("no engine has the job")]
    NotClaimed,
    /// Somebody has it.
    #[error("an engine has the job")]
    Claimed,
    /// Every attempt is used up.
    #[error("the job has no attempt left")]
    NoAttemptLeft,
}

impl Run {
    /// The run after `step`, from where it is (`None`: no document yet).
    ///
    /// # Errors
    ///
    /// [`Refused`] says why the step is not possible; the run stays as it is.
    pub fn after(now: Option<&Self>, step: Step) -> Result<Self, Refused> {
        let now = match now {
            Some(run) if run.is_final() => return Err(Refused::Ended),
            now => now,
        };
        match step {
            Step::Claim(taker) => {
                let (attempt, silent) = match now {
                    None => (1, Vec::new()),
                    Some(Self::Open { last, .. }) => (last.attempt + 1, last.silent.clone()),
                    Some(_) => return Err(Refused::Claimed),
                };
                if attempt > ATTEMPTS_MAX {
                    return Err(Refused::NoAttemptLeft);
                }
                Ok(Self::Claimed { claim: taker.claim(attempt, silent) })
            }
            Step::Finish { incarnation, end } => {
                let claim = held(now, &incarnation)?;
                Ok(match end.exit {
                    Exit::Status(_) => Self::Done { claim, end },
                    Exit::Stopped(blitz_contract::Stopped::Cancelled) => {
                        Self::Cancelled { claim: Some(claim), end: Some(end) }
                    }
                    Exit::Stopped(_) => Self::Failed { claim, end },
                })
            }
            Step::Release { incarnation, may_retry, begun, reason } => {
                let claim = held(now, &incarnation)?;
                Ok(if may_retry && claim.attempt < ATTEMPTS_MAX {
                    Self::Open { last: claim, reason }
                } else {
                    Self::Lost { claim, reason, begun }
                })
            }
            Step::CancelWaiting => match now {
                None | Some(Self::Open { .. }) => Ok(Self::Cancelled { claim: None, end: None }),
                Some(_) => Err(Refused::Claimed),
            },
            Step::Expire { reason } => match now {
                None | Some(Self::Open { .. }) => Ok(Self::Expired { reason }),
                Some(_) => Err(Refused::Claimed),
            },
            Step::Dead { incarnation, counter, survivors, may_retry, reason, taker } => {
                let mut claim = held(now, &incarnation)?;
                if !may_retry {
                    return Ok(Self::Lost { claim, reason, begun: true });
                }
                let (attempt, engine) = (claim.attempt, claim.engine.clone());
                // Who survived may die of the same job later, and is named again then.
                claim.silent.retain(|silent| !survivors.contains(silent));
                claim.silent.push(Silent { engine, incarnation, counter });
                Ok(if claim.silent.len() >= DEATHS_MAX {
                    Self::Poison { claim, reason }
                } else if attempt >= ATTEMPTS_MAX {
                    Self::Lost { claim, reason, begun: true }
                } else if let Some(taker) = taker {
                    Self::Claimed { claim: taker.claim(attempt + 1, claim.silent) }
                } else {
                    Self::Open { last: claim, reason }
                })
            }
        }
    }

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
            | Self::Lost { claim, .. }
            | Self::Poison { claim, .. } => Some(claim),
            Self::Cancelled { claim, .. } => claim.as_ref(),
            Self::Open { last, .. } => Some(last),
            Self::Expired { .. } => None,
        }
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
            | Self::Expired { reason }
            | Self::Lost { reason, .. }
            | Self::Poison { reason, .. } => Some(reason),
            _ => None,
        }
    }
}

/// The claim, if this start of an engine holds it.
fn held(now: Option<&Run>, incarnation: &Incarnation) -> Result<Claim, Refused> {
    match now {
        Some(Run::Claimed { claim }) if claim.incarnation == *incarnation => Ok(claim.clone()),
        Some(Run::Claimed { .. }) => Err(Refused::NotYours),
        _ => Err(Refused::NotClaimed),
    }
}

impl Taker {
    fn claim(self, attempt: u32, silent: Vec<Silent>) -> Claim {
        let Self { epoch, engine, incarnation } = self;
        Claim { epoch, attempt, engine, incarnation, silent }
    }
}

#[cfg(test)]
mod tests;
