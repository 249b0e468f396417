//! The steps of the run's machine that the actors take, as [`Step`]s of the core.

use blitz_contract::{Exit, Retry, Stopped};
use blitz_jobs::End;
use blitz_jobs::run::{Silent, Step, Taker};

use super::table::{Deed, What, incarnation};

/// The home epoch of the region: it does not change here.
const EPOCH: u32 = 1;

impl Deed {
    /// The deed of an engine, or of the keeper about nobody's claim.
    pub(super) fn of(what: What, who: (u8, u8)) -> Self {
        Self { what, who, whom: who, survivors: [0; 3] }
    }

    pub(super) fn step(self, retry: Retry) -> Step {
        let own = || incarnation(self.who);
        let may_retry = retry == Retry::Safe;
        let returned = |begun| Step::Release {
            incarnation: own(),
            may_retry,
            begun,
            reason: "given back".to_owned(),
        };
        match self.what {
            What::Claim => Step::Claim(self.taker()),
            What::Finish => Step::Finish { incarnation: own(), end: end(Exit::Status(0)) },
            What::FinishCancelled => {
                let exit = Exit::Stopped(Stopped::Cancelled);
                Step::Finish { incarnation: own(), end: end(exit) }
            }
            What::Return => returned(false),
            What::Release => returned(true),
            What::Cancel => Step::CancelWaiting,
            What::Expire => Step::Expire { reason: "nobody took it".to_owned() },
            What::Dead { takes, retries } => Step::Dead {
                incarnation: incarnation(self.whom),
                counter: 0,
                survivors: (0..)
                    .zip(self.survivors)
                    .filter_map(|(number, start)| {
                        let incarnation = incarnation((number, start.checked_sub(1)?));
                        Some(Silent { engine: engine(number), incarnation, counter: 0 })
                    })
                    .collect(),
                may_retry: retries,
                reason: "it fell silent".to_owned(),
                taker: takes.then(|| self.taker()),
            },
        }
    }

    fn taker(self) -> Taker {
        Taker { epoch: EPOCH, engine: engine(self.who.0), incarnation: incarnation(self.who) }
    }
}

/// The instance id of an engine.
pub(super) fn engine(number: u8) -> String {
    format!("e{}", number + 1)
}

fn end(exit: Exit) -> End {
    End { exit, chunks: 0, bytes: 0, digest: String::new(), duration_ms: 0 }
}
