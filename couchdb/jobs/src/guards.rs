//! The safety rules of the protocol by name, each of which can be switched off in a simulation to show that its
//! absence is noticed. In a release they are all on and cost nothing.

use std::fmt;
use std::str::FromStr;

macro_rules! guards {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// One rule that keeps a job from being lost or run where it must not.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Guard {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Guard {
            /// Every rule, in the order of a job's road.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The rule in words with dashes.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What the rule says, in one line.
            #[must_use]
            pub fn rule(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($doc,)+).trim_ascii(),)+
                }
            }
        }
    };
}

guards! {
    /// An engine leaves the jobs of a neighbour region alone.
    NeighbourRegion = "neighbour-region",
    /// On a cluster a claim first reads, and is not written when the job has a leaf already.
    ReadFirst = "read-first",
    /// A claim asks for the agreement of all copies of its database.
    AllCopies = "all-copies",
    /// A claim that fewer copies than asked for have stored is decided by what is stored.
    DecideByReading = "decide-by-reading",
    /// A write without an answer is decided by what is stored, and is never taken for a loss or a win.
    UnknownIsRead = "unknown-is-read",
    /// Who was answered 202 and is not named by the leaves removes his own.
    YieldLeaf = "yield-leaf",
    /// A longer branch is not a better one.
    GenerationIsNothing = "generation-is-nothing",
    /// Among leaves an end comes before a claim.
    EndsFirst = "ends-first",
    /// What must not run twice begins only after its start fence is won.
    StartFence = "start-fence",
    /// The start fence is a document of its own, and not a child of the claim.
    FenceApart = "fence-apart",
    /// A start fence without a clear answer is not tried again.
    FenceOnce = "fence-once",
    /// A start fence without a clear answer is not decided by reading.
    FenceNoTieBreak = "fence-no-tie-break",
    /// An engine stops a job whose lease it could not renew.
    SelfStop = "self-stop",
    /// A lease counts from when the beat, or the first try of the claim, was sent.
    LeaseFromSending = "lease-from-sending",
    /// An engine that hears of another's claim or of an end stops.
    StopWhenFenced = "stop-when-fenced",
    /// An end replaces the claim that it ends, and nothing else.
    EndOverClaim = "end-over-claim",
    /// A watcher counts only time over answered polls.
    AnsweredPolls = "answered-polls",
    /// A beat speaks for the claims that it names, and not for its engine.
    BeatPerClaim = "beat-per-claim",
    /// Engines that lost their network and came back are no deaths.
    SurvivorsLive = "survivors-live",
    /// Who fell silent counts as dead once a later start of his engine says so, or he is gone for long.
    DeathsAreSure = "deaths-are-sure",
    /// A database that was replaced by another voids every claim.
    IdentityVoids = "identity-voids",
    /// Who is at one home leaves the jobs and the claims of a later home alone.
    LaterEpoch = "later-epoch",
    /// What must not run twice and was admitted for an earlier home is not begun, nor judged by silence.
    EarlierEpochNever = "earlier-epoch-never",
    /// A job of an earlier epoch waits until what came of it there may have come here.
    SettleFirst = "settle-first",
    /// Engines that left their home by themselves take nothing that must not run twice.
    ProvisionalSafeOnly = "provisional-safe-only",
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no [`Guard`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no guard of the protocol")]
pub struct UnknownGuard(String);

impl FromStr for Guard {
    type Err = UnknownGuard;

    fn from_str(text: &str) -> Result<Self, UnknownGuard> {
        let found = Self::ALL.iter().find(|guard| guard.name() == text);
        found.copied().ok_or_else(|| UnknownGuard(text.to_owned()))
    }
}

/// Which rules are on: all of them, unless a simulation says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Guards {
    #[cfg(feature = "mutants")]
    off: u32,
}

impl Guards {
    /// Whether the rule is on.
    #[must_use]
    pub fn has(self, guard: Guard) -> bool {
        #[cfg(feature = "mutants")]
        return self.off & (1 << guard as u32) == 0;
        #[cfg(not(feature = "mutants"))]
        {
            let _ = guard;
            true
        }
    }

    /// The same rules without this one: a mutant.
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn without(self, guard: Guard) -> Self {
        Self { off: self.off | (1 << guard as u32) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for guard in Guard::ALL {
            assert_eq!(guard.to_string().parse(), Ok(*guard));
            assert!(Guards::default().has(*guard));
            assert!(guard.rule().ends_with('.'), "{guard}");
        }
        assert!("nope".parse::<Guard>().is_err());
    }
}
