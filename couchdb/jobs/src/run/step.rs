//! The steps of a run: what somebody may do to it, and what it is after that.

use blitz_contract::Exit;

use super::{ATTEMPTS_MAX, Claim, DEATHS_MAX, End, Run, Silent};
use crate::id::Incarnation;

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
    /// Its time is over, its region has moved, and what came of it at the other home has not become known here.
    Forsake {
        /// In words.
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
                    Self::Lost { claim: Some(claim), reason, begun }
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
            Step::Forsake { reason } => {
                Ok(Self::Lost { claim: now.and_then(Self::claim).cloned(), reason, begun: true })
            }
            Step::Dead { incarnation, counter, survivors, may_retry, reason, taker } => {
                let mut claim = held(now, &incarnation)?;
                if !may_retry {
                    return Ok(lost(claim, reason));
                }
                let (attempt, engine) = (claim.attempt, claim.engine.clone());
                // Who survived may die of the same job later, and is named again then.
                claim.silent.retain(|silent| !survivors.contains(silent));
                claim.silent.push(Silent { engine, incarnation, counter });
                Ok(if claim.silent.len() >= DEATHS_MAX {
                    Self::Poison { claim, reason }
                } else if attempt >= ATTEMPTS_MAX {
                    lost(claim, reason)
                } else if let Some(taker) = taker {
                    Self::Claimed { claim: taker.claim(attempt + 1, claim.silent) }
                } else {
                    Self::Open { last: claim, reason }
                })
            }
        }
    }
}

fn lost(claim: Claim, reason: String) -> Run {
    Run::Lost { claim: Some(claim), reason, begun: true }
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
