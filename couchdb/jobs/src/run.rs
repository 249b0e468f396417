//! `<job>:run`: the one document that is contended for, as a pure state machine.
//!
//! Each step is a compare-and-set of that document in the region's home cluster. Engines write it, and the
//! keeper ends what no engine can. Terminal states never change. Beats and output never touch it: a loser
//! that kept renewing would lengthen its branch and become CouchDB's winner.

use blitz_contract::Exit;
use blitz_couchdb::Revision;
use serde::{Deserialize, Serialize};

use crate::id::Incarnation;

/// How often a job may be claimed: a plugin that killed three engines is not given a fourth.
pub const ATTEMPTS_MAX: u32 = 3;

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
    /// Its engine was lost and it must not run twice.
    Lost {
        /// Who had it.
        claim: Claim,
        /// How it was noticed.
        reason: String,
    },
    /// It was lost with as many engines as [`ATTEMPTS_MAX`].
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
    /// From 1.
    pub attempt: u32,
    /// The engine's instance id.
    pub engine: String,
    /// Which start of that engine.
    pub incarnation: Incarnation,
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
    Claim {
        /// The region's home epoch.
        epoch: u32,
        /// The engine's instance id.
        engine: String,
        /// Which start of it.
        incarnation: Incarnation,
    },
    /// The engine that runs it has come to an end.
    Finish {
        /// Which start of the engine: the right to finish.
        incarnation: Incarnation,
        /// What came of it.
        end: End,
    },
    /// The engine that runs it gives it back unharmed (it had not begun, or it drains).
    Release {
        /// Which start of the engine: the right to release.
        incarnation: Incarnation,
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
    /// Its engine is dead for the watcher that says so.
    Dead {
        /// The start that died: a newer claim is untouched.
        incarnation: Incarnation,
        /// Whether another engine may run it.
        may_retry: bool,
        /// How it was noticed.
        reason: String,
    },
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
            Step::Claim { epoch, engine, incarnation } => {
                let attempt = match now {
                    None => 1,
                    Some(Self::Open { last, .. }) => last.attempt + 1,
                    Some(_) => return Err(Refused::Claimed),
                };
                if attempt > ATTEMPTS_MAX {
                    return Err(Refused::NoAttemptLeft);
                }
                Ok(Self::Claimed { claim: Claim { epoch, attempt, engine, incarnation } })
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
            Step::Release { incarnation, reason } => {
                Ok(Self::Open { last: held(now, &incarnation)?, reason })
            }
            Step::CancelWaiting => match now {
                None | Some(Self::Open { .. }) => Ok(Self::Cancelled { claim: None, end: None }),
                Some(_) => Err(Refused::Claimed),
            },
            Step::Expire { reason } => match now {
                None | Some(Self::Open { .. }) => Ok(Self::Expired { reason }),
                Some(_) => Err(Refused::Claimed),
            },
            Step::Dead { incarnation, may_retry, reason } => {
                let claim = held(now, &incarnation)?;
                Ok(if !may_retry {
                    Self::Lost { claim, reason }
                } else if claim.attempt >= ATTEMPTS_MAX {
                    Self::Poison { claim, reason }
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

/// The leaf that counts among all that a store has: the same everywhere, whoever asks.
///
/// Higher epoch first, then a terminal state, then a claim before an open run, then the lowest attempt, then
/// the highest revision hash. Never the higher generation: a minority's retry would have one.
#[must_use]
pub fn resolve(leaves: &[(Revision, Run)]) -> Option<&(Revision, Run)> {
    leaves.iter().min_by_key(|(revision, run)| {
        let claim = run.claim();
        let rank = if run.is_final() {
            0
        } else if matches!(run, Run::Claimed { .. }) {
            1
        } else {
            2
        };
        (
            std::cmp::Reverse(claim.map_or(0, |c| c.epoch)),
            rank,
            claim.map_or(0, |c| c.attempt),
            std::cmp::Reverse(revision.hash().to_owned()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use blitz_contract::Stopped;

    fn incarnation(byte: u8) -> Incarnation {
        Incarnation::from_random([byte; 16])
    }

    fn claim(byte: u8) -> Step {
        Step::Claim { epoch: 1, engine: format!("e{byte}"), incarnation: incarnation(byte) }
    }

    fn end(exit: Exit) -> End {
        End { exit, chunks: 0, bytes: 0, digest: String::new(), duration_ms: 1 }
    }

    fn dead(byte: u8, may_retry: bool) -> Step {
        Step::Dead { incarnation: incarnation(byte), may_retry, reason: "no beat".to_owned() }
    }

    fn walk(steps: Vec<Step>) -> Result<Run, Refused> {
        let mut run = None;
        for step in steps {
            run = Some(Run::after(run.as_ref(), step)?);
        }
        Ok(run.unwrap())
    }

    #[test]
    fn the_usual_roads_lead_to_their_ends() {
        let finish = |byte, exit| Step::Finish { incarnation: incarnation(byte), end: end(exit) };
        let release =
            |byte| Step::Release { incarnation: incarnation(byte), reason: "drains".to_owned() };
        for (steps, state) in [
            (vec![claim(1), finish(1, Exit::Status(3))], "done"),
            (vec![claim(1), finish(1, Exit::Stopped(Stopped::Cancelled))], "cancelled"),
            (vec![claim(1), finish(1, Exit::Stopped(Stopped::Limit("m".to_owned())))], "failed"),
            (vec![Step::CancelWaiting], "cancelled"),
            (vec![Step::Expire { reason: "10 s".to_owned() }], "expired"),
            (vec![claim(1), release(1), claim(2)], "claimed"),
            (vec![claim(1), dead(1, true), claim(2), finish(2, Exit::Status(0))], "done"),
            (vec![claim(1), dead(1, false)], "lost"),
            (
                vec![claim(1), dead(1, true), claim(2), dead(2, true), claim(3), dead(3, true)],
                "poison",
            ),
            (vec![claim(1), release(1), Step::CancelWaiting], "cancelled"),
        ] {
            assert_eq!(walk(steps.clone()).map(|r| r.state()), Ok(state), "{steps:?}");
        }
    }

    #[test]
    fn what_is_not_possible_is_refused() {
        let finish = Step::Finish { incarnation: incarnation(2), end: end(Exit::Status(0)) };
        for (steps, refused) in [
            (vec![claim(1), claim(2)], Refused::Claimed),
            (vec![claim(1), finish.clone()], Refused::NotYours),
            (vec![claim(1), dead(2, true)], Refused::NotYours),
            (vec![claim(1), Step::CancelWaiting], Refused::Claimed),
            (vec![claim(1), Step::Expire { reason: String::new() }], Refused::Claimed),
            (vec![Step::CancelWaiting, claim(1)], Refused::Ended),
            (vec![claim(1), dead(1, true), finish], Refused::NotClaimed),
        ] {
            assert_eq!(walk(steps.clone()), Err(refused), "{steps:?}");
        }
    }

    #[test]
    fn a_terminal_leaf_beats_a_longer_branch() {
        let claimed = walk(vec![claim(1)]).unwrap();
        let done = walk(vec![
            claim(2),
            Step::Finish { incarnation: incarnation(2), end: end(Exit::Status(0)) },
        ])
        .unwrap();
        let leaf = |text: &str, run: &Run| (text.parse::<Revision>().unwrap(), run.clone());
        let leaves = [leaf("9-ffffffffffffffffffffffffffffffff", &claimed), leaf("2-00", &done)];
        assert_eq!(resolve(&leaves).map(|(_, run)| run.state()), Some("done"));
        // Among equals the hash decides, whatever the generation.
        let leaves = [leaf("3-aa", &claimed), leaf("1-bb", &claimed)];
        assert_eq!(resolve(&leaves).map(|(r, _)| r.to_string()), Some("1-bb".to_owned()));
        assert_eq!(resolve(&[]), None);
    }

    #[test]
    fn a_document_keeps_its_shape() {
        let document = RunDocument::new(walk(vec![claim(1)]).unwrap());
        let json = serde_json::to_value(&document).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"kind": "run", "blitz": crate::BUILD, "run": {"state": "claimed",
                "claim": {"epoch": 1, "attempt": 1, "engine": "e1",
                          "incarnation": "01".repeat(16)}}})
        );
        assert_eq!(serde_json::from_value::<RunDocument>(json).unwrap(), document);
    }
}
