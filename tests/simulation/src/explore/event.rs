//! What can happen, one thing at a time.

use super::told::Put;

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) actor: usize,
    pub(super) did: Did,
    /// The copies that were read for it, a bit each.
    pub(super) read: u8,
    /// A read of it failed.
    pub(super) is_blind: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Did {
    Claims,
    ClaimsAgain,
    Judges { takes: bool },
    Expires,
    Cancels,
    HearsAnswer(Put),
    HearsNothing,
    Finishes,
    FinishesCancelled,
    GivesBack,
    LeaseRunsOut,
    SendsLastWord,
    HearsOfAnother,
    HearsOldNews,
    Crashes,
    StartsAgain,
    RemovesLosers,
    UserCancels,
    Arrives { copy: usize },
    LateArrives { copy: usize },
    LateFenceArrives { copy: usize },
    Syncs,
    GoesAway { copy: usize },
    ComesBack { copy: usize },
}

/// Whether it can be counted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It happens sooner or later when nothing goes wrong.
    Duty,
    /// Somebody may want it.
    Wish,
    /// Something goes wrong.
    Fault,
}

impl Event {
    pub(super) fn new(actor: usize, did: Did) -> Self {
        Self { actor, did, read: 0, is_blind: false }
    }

    pub(super) fn reading(self, mask: u8) -> Self {
        Self { read: self.read | mask, ..self }
    }

    pub(super) fn kind(self) -> Kind {
        match self.did {
            _ if self.is_blind => Kind::Fault,
            Did::HearsNothing | Did::Crashes | Did::GoesAway { .. } | Did::HearsOldNews => {
                Kind::Fault
            }
            Did::UserCancels | Did::StartsAgain => Kind::Wish,
            _ => Kind::Duty,
        }
    }
}
