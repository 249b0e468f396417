//! About how many engines a region has: what the herd is spread by. Pure.
//!
//! An engine counts before it hears of any job: of a thousand that believe to be alone each would try to claim every
//! job that waits.
//!
//! The engines' documents stay when engines go, and one that was started anew may have another name. Of few documents
//! those count that are rewritten; of many all do, which is read for nothing.

use std::collections::HashMap;
use std::time::Duration;

use blitz_jobs::engine::EngineDocument;

/// So many documents are read by each engine once a [`presence`](blitz_jobs::timing::Timing::presence): 100 KB in each
/// minute. Where there are more, a few that have gone make no difference.
pub(crate) const ENGINES_READ_MAX: u64 = 200;

/// No job is heard of for so long while the first count is awaited. It takes milliseconds where the store is well; users
/// wait for the engine where it is not.
pub(crate) const FIRST_COUNT_MAX: Duration = Duration::from_secs(2);

/// So many engines are there as far as one knows that could not count: as in a large region. It costs a job less
/// than a second where it is wrong, and where one engine were assumed a large region's store might get as many writes
/// for each job.
pub(crate) const ENGINES_UNKNOWN: u64 = 1_000;

/// The first count of an engine that starts, until it has come or is awaited no longer.
#[derive(Debug)]
pub(crate) struct FirstCount {
    awaited_until: Option<Duration>,
}

impl FirstCount {
    /// Awaited from now on.
    pub(crate) fn awaited(now: Duration) -> Self {
        Self { awaited_until: Some(now + FIRST_COUNT_MAX) }
    }

    /// A count has come; true when it is the first one, and was still awaited.
    pub(crate) fn has_come(&mut self) -> bool {
        self.awaited_until.take().is_some()
    }

    /// Whether it is awaited no longer though it has not come. Says so once.
    pub(crate) fn is_given_up(&mut self, now: Duration) -> bool {
        self.awaited_until.take_if(|until| *until <= now).is_some()
    }

    /// Until when it is awaited.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.awaited_until
    }
}

/// What was seen of the documents of few engines.
#[derive(Debug, Default)]
pub(crate) struct Census {
    /// By id: the counter of the document, and when it was first seen.
    seen: HashMap<String, (u64, Duration)>,
}

impl Census {
    /// The engines that are there. One whose counter has not moved for `silence` is not.
    pub(crate) fn hear(
        &mut self,
        now: Duration,
        documents: Vec<EngineDocument>,
        silence: Duration,
    ) -> u64 {
        let last = std::mem::take(&mut self.seen);
        for document in documents.into_iter().filter(|document| !document.gone) {
            let known = last.get(&document.engine).filter(|(c, _)| *c == document.counter);
            let since = known.map_or(now, |(_, since)| *since);
            self.seen.insert(document.engine, (document.counter, since));
        }
        let living = self.seen.values().filter(|(_, since)| now.saturating_sub(*since) < silence);
        living.count().max(1) as u64
    }
}

#[cfg(test)]
mod tests {
    use blitz_jobs::Incarnation;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn document(engine: &str, counter: u64, gone: bool) -> EngineDocument {
        let incarnation = Incarnation::from_random([1; 16]);
        EngineDocument { counter, gone, ..EngineDocument::new(engine, incarnation, "japan", 1) }
    }

    #[test]
    fn the_first_count_is_awaited_once_and_not_for_ever() {
        let mut first = FirstCount::awaited(S);
        assert_eq!(first.due(), Some(S + FIRST_COUNT_MAX));
        assert!(!first.is_given_up(S));
        assert!(first.has_come() && !first.has_come());
        assert!(!first.is_given_up(100 * S) && first.due().is_none());
        let mut late = FirstCount::awaited(S);
        assert!(late.is_given_up(S + FIRST_COUNT_MAX) && !late.is_given_up(100 * S));
        assert!(!late.has_come(), "it listens already");
    }

    #[test]
    fn those_count_that_are_rewritten() {
        let mut census = Census::default();
        let mut hear = |second: u32, documents| census.hear(S * second, documents, 180 * S);
        let gone = || document("left", 9, true);
        assert_eq!(hear(0, vec![document("a", 1, false), document("b", 7, false), gone()]), 2);
        assert_eq!(hear(100, vec![document("a", 2, false), document("b", 7, false), gone()]), 2);
        assert_eq!(hear(200, vec![document("a", 3, false), document("b", 7, false), gone()]), 1);
        assert_eq!(hear(260, vec![document("a", 4, false), document("b", 8, false)]), 2);
        assert_eq!(hear(300, Vec::new()), 1, "who asks is there");
    }
}
