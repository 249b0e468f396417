//! The ticks of an engine's workers, as ticks of the engine: pure.

use std::collections::{BTreeMap, BTreeSet};

use blitz_contract::load::{Closing, ErrorKind, Share, Tick, Verdict};

/// What is not given out yet.
#[derive(Debug)]
pub(super) struct Merge {
    share: Share,
    workers: Vec<State>,
    pending: BTreeMap<u32, Tick>,
    /// The latest second that anybody said.
    last: u32,
    /// Of these the first one was told.
    firsts: BTreeSet<ErrorKind>,
}

#[derive(Debug, Default)]
struct State {
    /// The latest second that it has said.
    said: Option<u32>,
    ended: Option<(Verdict, String)>,
    /// When it had nothing more to send.
    at_us: Option<u64>,
}

/// Why a test is stopped before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) verdict: Verdict,
    pub(super) text: String,
}

impl Merge {
    pub(super) fn new(share: Share, workers: usize) -> Self {
        let workers = (0..workers).map(|_| State::default()).collect();
        Self { share, workers, pending: BTreeMap::new(), last: 0, firsts: BTreeSet::new() }
    }

    /// A tick of a worker.
    pub(super) fn add(&mut self, worker: usize, mut tick: Tick) {
        let Some(state) = self.workers.get_mut(worker).filter(|state| state.ended.is_none()) else {
            return;
        };
        if let Some(Closing { verdict, text, at_us, .. }) = tick.closing.take() {
            state.ended = Some((verdict, text));
            state.at_us = at_us;
        }
        state.said = state.said.max(Some(tick.second));
        self.last = self.last.max(tick.second);
        match self.pending.get_mut(&tick.second) {
            Some(sum) => sum.add(&tick),
            None => drop(self.pending.insert(tick.second, tick)),
        }
    }

    /// A worker that will say nothing more, and did not say so. What it had said counts.
    pub(super) fn failed(&mut self, worker: usize, why: String) {
        if let Some(state) = self.workers.get_mut(worker) {
            state.ended.get_or_insert((Verdict::Failed, why));
        }
    }

    pub(super) fn is_open(&self, worker: usize) -> bool {
        self.workers.get(worker).is_some_and(|state| state.ended.is_none())
    }

    pub(super) fn has_ended(&self) -> bool {
        self.workers.iter().all(|state| state.ended.is_some())
    }

    /// The earliest second that somebody has said, and somebody else has not.
    pub(super) fn waits_for(&self) -> Option<u32> {
        self.pending.keys().next().copied()
    }

    /// Seconds of which all has been said, and those up to `overdue`, which wait for nobody any more. What is said later of a
    /// second that was given comes as a further tick of it.
    pub(super) fn ready(&mut self, overdue: Option<u32>) -> Vec<Tick> {
        let open = self.workers.iter().filter(|state| state.ended.is_none());
        // `None` is a worker that has said nothing: no second is whole, but those that are overdue.
        let whole = open.map(|state| state.said).min().unwrap_or(Some(u32::MAX));
        let Some(until) = whole.max(overdue) else { return Vec::new() };
        let mut given = Vec::new();
        while let Some(entry) = self.pending.first_entry().filter(|entry| *entry.key() <= until) {
            let mut tick = entry.remove();
            tick.firsts.retain(|first| self.firsts.insert(first.kind));
            given.push(tick);
        }
        given
    }

    /// The rest, of which the last one has the closing. `reason` is why it was stopped, if it was.
    pub(super) fn close(mut self, reason: Option<Reason>) -> Vec<Tick> {
        let mut given = self.ready(Some(u32::MAX));
        if given.is_empty() {
            given.push(Tick { second: self.last, ..Tick::default() });
        }
        let closing = self.closing(reason);
        if let Some(last) = given.last_mut() {
            last.closing = Some(closing);
        }
        given
    }

    fn closing(&self, reason: Option<Reason>) -> Closing {
        let ends = self.workers.iter().filter_map(|state| state.ended.as_ref());
        let mut verdict = ends.clone().map(|(verdict, _)| *verdict).max_by_key(|v| rank(*v));
        let mut texts: Vec<&str> = Vec::new();
        // That a worker ended because it was told to needs no words of its own.
        for (_, text) in
            ends.filter(|(verdict, text)| *verdict == Verdict::Failed && !text.is_empty())
        {
            if !texts.contains(&text.as_str()) {
                texts.push(text);
            }
        }
        if let Some(Reason { verdict: why, text }) = &reason {
            // Whole, although somebody asked it to end: it had.
            let is_late = *why == Verdict::Stopped && verdict == Some(Verdict::Ended);
            if !is_late {
                verdict = verdict.into_iter().chain([*why]).max_by_key(|v| rank(*v));
                if !text.is_empty() {
                    texts.insert(0, text);
                }
            }
        }
        let verdict = verdict.unwrap_or(Verdict::Failed);
        let at_us = self.workers.iter().filter_map(|state| state.at_us).max();
        Closing { share: self.share, verdict, text: texts.join("; "), at_us }
    }
}

/// The worse, the greater.
fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Ended => 0,
        Verdict::Stopped => 1,
        Verdict::Failed => 2,
        Verdict::Revoked => 3,
    }
}

#[cfg(test)]
mod tests {
    use blitz_contract::load::First;

    use super::*;

    fn tick(second: u32, sent: u64) -> Tick {
        Tick { second, sent, users: 1, ..Tick::default() }
    }

    fn last(second: u32, sent: u64, verdict: Verdict) -> Tick {
        let at_us = Some(sent * 1000);
        let closing = Closing { share: Share::WHOLE, verdict, text: "done".to_owned(), at_us };
        Tick { closing: Some(closing), ..tick(second, sent) }
    }

    fn sums(ticks: &[Tick]) -> Vec<(u32, u64)> {
        ticks.iter().map(|tick| (tick.second, tick.sent)).collect()
    }

    #[test]
    fn a_second_is_given_when_all_have_said_it() {
        let mut merge = Merge::new(Share::WHOLE, 2);
        merge.add(0, tick(0, 1));
        merge.add(0, tick(1, 2));
        assert_eq!(merge.ready(None), []);
        merge.add(1, tick(0, 10));
        let given = merge.ready(None);
        assert_eq!((sums(&given), given[0].users), (vec![(0, 11)], 2));
        merge.add(1, last(1, 20, Verdict::Ended));
        assert_eq!(sums(&merge.ready(None)), [(1, 22)]);
        assert!(!merge.has_ended());
        merge.add(0, last(2, 4, Verdict::Ended));
        assert!(merge.has_ended());
        let given = merge.close(None);
        assert_eq!(sums(&given), [(2, 4)]);
        let closing = given[0].closing.clone().unwrap();
        assert_eq!((closing.verdict, closing.text.as_str()), (Verdict::Ended, ""));
        assert_eq!(closing.at_us, Some(20_000), "the last one's end is the end");
    }

    #[test]
    fn who_is_late_holds_nobody_and_is_not_lost() {
        let mut merge = Merge::new(Share::WHOLE, 2);
        merge.add(0, tick(0, 1));
        assert_eq!(merge.waits_for(), Some(0));
        assert_eq!(sums(&merge.ready(Some(0))), [(0, 1)]);
        merge.add(1, tick(0, 7));
        assert_eq!(sums(&merge.ready(Some(0))), [(0, 7)], "a further tick of the same second");
    }

    #[test]
    fn who_dies_is_told() {
        let mut merge = Merge::new(Share { index: 1, of: 3 }, 2);
        merge.add(0, tick(0, 1));
        merge.add(1, tick(0, 2));
        merge.failed(1, "worker 2 died".to_owned());
        assert!(merge.is_open(0) && !merge.is_open(1));
        merge.add(1, tick(1, 100));
        assert_eq!(sums(&merge.ready(None)), [(0, 3)]);
        merge.add(0, last(1, 5, Verdict::Ended));
        let given = merge.close(None);
        assert_eq!(sums(&given), [(1, 5)], "the dead say nothing");
        let closing = given[0].closing.clone().unwrap();
        assert_eq!((closing.verdict, closing.text.as_str()), (Verdict::Failed, "worker 2 died"));
        assert_eq!(closing.share, Share { index: 1, of: 3 });
    }

    #[test]
    fn the_worst_is_the_verdict() {
        use Verdict::{Ended, Failed, Revoked, Stopped};
        for (one, two, reason, wanted) in [
            (Ended, Ended, None, Ended),
            (Ended, Ended, Some(Stopped), Ended),
            (Ended, Ended, Some(Revoked), Revoked),
            (Stopped, Ended, Some(Stopped), Stopped),
            (Stopped, Failed, Some(Stopped), Failed),
            (Stopped, Stopped, Some(Revoked), Revoked),
        ] {
            let mut merge = Merge::new(Share::WHOLE, 2);
            merge.add(0, last(0, 1, one));
            merge.add(1, last(0, 1, two));
            let reason = reason.map(|verdict| Reason { verdict, text: "why".to_owned() });
            let given = merge.close(reason);
            assert_eq!(given.last().unwrap().closing.as_ref().unwrap().verdict, wanted);
        }
        let given = Merge::new(Share::WHOLE, 0).close(None);
        assert_eq!(given.len(), 1);
    }

    #[test]
    fn each_kind_has_one_first() {
        let first =
            |at_ms| First { kind: ErrorKind::Connect, at_ms, users: 1, text: String::new() };
        let mut merge = Merge::new(Share::WHOLE, 2);
        merge.add(0, Tick { firsts: vec![first(5)], ..tick(0, 1) });
        merge.add(1, Tick { firsts: vec![first(3)], ..tick(0, 1) });
        let given = merge.ready(None);
        assert_eq!(given[0].firsts, [first(3)]);
        merge.add(0, Tick { firsts: vec![first(1500)], ..tick(1, 1) });
        merge.add(1, tick(1, 1));
        assert_eq!(merge.ready(None)[0].firsts, []);
    }
}
