//! About how many engines a region has: what the herd is spread by. Pure.
//!
//! The engines' documents stay when engines go, and one that was started anew may have another name. Of few documents
//! those count that are rewritten; of many all do, which is read for nothing.

use std::collections::HashMap;
use std::time::Duration;

use blitz_jobs::engine::EngineDocument;

/// So many documents are read by each engine once a [`presence`](blitz_jobs::timing::Timing::presence): 100 KB in each
/// minute. Where there are more, a few that have gone make no difference.
pub(crate) const ENGINES_READ_MAX: u64 = 200;

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
    use blitz_jobs::engine::EngineKind;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn document(engine: &str, counter: u64, gone: bool) -> EngineDocument {
        EngineDocument {
            kind: EngineKind::Engine,
            blitz: String::new(),
            engine: engine.to_owned(),
            incarnation: Incarnation::from_random([1; 16]),
            region: "japan".to_owned(),
            slots: 1,
            plugins: Vec::new(),
            refused: Vec::new(),
            counter,
            gone,
        }
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
