//! Worlds in which one rule, or two, are broken: a checker that does not notice is none.

use std::fmt;
use std::str::FromStr;

use blitz_jobs::guards::{Guard, Guards};

/// A rule that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// One of the core's guards is off.
    Without(Guard),
    /// Watchers judge by the wall-clock time in a beat.
    WallClock,
    /// The place in the feed is read after the listing.
    ListFirst,
    /// The keeper leaves all leaves that lost.
    LosersStay,
    /// A watcher may take a job before its engine has stopped it.
    DeadBeforeStop,
}

const OF_THE_WORLD: [(Mutant, &str, &str); 4] = [
    (Mutant::WallClock, "wall-clock", "Watchers judge by the wall-clock time in a beat."),
    (Mutant::ListFirst, "list-first", "The place in the feed is read after the listing."),
    (Mutant::LosersStay, "losers-stay", "The keeper removes no leaf that lost."),
    (
        Mutant::DeadBeforeStop,
        "dead-before-stop",
        "A job may be taken before its engine has stopped it.",
    ),
];

impl Mutant {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let core = Guard::ALL.iter().map(|guard| Self::Without(*guard));
        core.chain(OF_THE_WORLD.iter().map(|(mutant, ..)| *mutant))
    }

    /// What is broken, in one line.
    #[must_use]
    pub fn broken(self) -> String {
        match self {
            Self::Without(guard) => format!("No more: {}", guard.rule()),
            world => {
                let found = OF_THE_WORLD.iter().find(|(mutant, ..)| *mutant == world);
                found.map(|(_, _, text)| (*text).to_owned()).unwrap_or_default()
            }
        }
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Without(guard) => f.write_str(guard.name()),
            world => {
                let found = OF_THE_WORLD.iter().find(|(mutant, ..)| mutant == world);
                f.write_str(found.map_or("", |(_, name, _)| name))
            }
        }
    }
}

impl FromStr for Mutant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::all()
            .find(|mutant| mutant.to_string() == text)
            .ok_or_else(|| format!("{text:?} is no mutant; --list-mutants names them"))
    }
}

/// Which rules are broken in a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mutants {
    guards: Guards,
    world: [bool; OF_THE_WORLD.len()],
    breaks_fence: bool,
}

impl Mutants {
    /// The same with this one too.
    #[must_use]
    pub fn with(mut self, mutant: Mutant) -> Self {
        match mutant {
            Mutant::Without(guard) => {
                self.guards = self.guards.without(guard);
                self.breaks_fence |= guard == Guard::FenceApart;
            }
            world => {
                for (place, (mutant, ..)) in OF_THE_WORLD.iter().enumerate() {
                    self.world[place] |= *mutant == world;
                }
            }
        }
        self
    }

    pub(super) fn guards(&self) -> Guards {
        self.guards
    }

    pub(super) fn has(&self, world: Mutant) -> bool {
        OF_THE_WORLD.iter().zip(self.world).any(|((mutant, ..), is)| is && *mutant == world)
    }

    /// Whether fences are children of claims.
    pub(super) fn breaks_fence(&self) -> bool {
        self.breaks_fence
    }
}
