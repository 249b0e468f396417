//! Ways in which one server answers as a cluster in trouble may: for tests of those who use it.
//!
//! Everything here happens on a real cluster of Apache CouchDB 3.5; the numbers are what was measured on
//! one of three nodes. With any mode on, databases say that they have [`COPIES`] copies, so that clients
//! take the ways that they take there.

use std::{fmt, str::FromStr};

/// How many copies a database claims to have while a mode is on.
pub(crate) const COPIES: u32 = 3;

/// One trouble. All are off unless [`Options::test_modes`](crate::Options::test_modes) names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TestMode {
    /// `stored-losers`: of writers that change one revision at the same time several are stored. They are
    /// answered 202; with `w` of all copies no 201 stands beside them.
    StoredLosers,
    /// `late-conflicts`: for 3 seconds after a loser was stored, `_conflicts` is missing from
    /// `?conflicts=true`.
    LateConflicts,
    /// `rewound-feeds`: a `_changes` that goes on from a sequence may begin well before it.
    RewoundFeeds,
    /// `lost-answers`: the connection of a write is cut, sometimes before and sometimes after the write
    /// was made.
    LostAnswers,
    /// `stale-node`: a node that was away comes back: writes over revisions that were followed long ago
    /// are stored as conflicts and answered 202.
    StaleNode,
}

impl TestMode {
    /// Every mode.
    pub const ALL: [TestMode; 5] = [
        TestMode::StoredLosers,
        TestMode::LateConflicts,
        TestMode::RewoundFeeds,
        TestMode::LostAnswers,
        TestMode::StaleNode,
    ];

    fn name(self) -> &'static str {
        match self {
            TestMode::StoredLosers => "stored-losers",
            TestMode::LateConflicts => "late-conflicts",
            TestMode::RewoundFeeds => "rewound-feeds",
            TestMode::LostAnswers => "lost-answers",
            TestMode::StaleNode => "stale-node",
        }
    }
}

impl fmt::Display for TestMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no [`TestMode`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no test mode; there are {names}",
    names = TestMode::ALL.map(TestMode::name).join(", ")
)]
pub struct UnknownTestMode(String);

impl FromStr for TestMode {
    type Err = UnknownTestMode;

    fn from_str(text: &str) -> Result<TestMode, UnknownTestMode> {
        let found = TestMode::ALL.into_iter().find(|mode| mode.name() == text);
        found.ok_or_else(|| UnknownTestMode(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for mode in TestMode::ALL {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        let refused = "nope".parse::<TestMode>().unwrap_err().to_string();
        assert!(refused.contains("\"nope\"") && refused.contains("stale-node"), "{refused}");
    }
}
