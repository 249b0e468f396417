//! How many connections an open model may have, while arrivals wait for one.
//!
//! A server that is slow needs as many as there are requests in flight, and needs them soon, or we would be what makes arrivals wait.
//! A server that is at its limit is not helped by more of them, and a moment in which it or we got no processor is
//! over when they stand: opened all the same, they come as a storm of connects that it answers with errors. The two are told apart by
//! whether answers come. While none comes, the width doubles in short rounds, each twice as long as the one before it where the server
//! was seen to be fast: it probably stands still for a moment. While some do, it grows by a little when
//! arrivals have waited for a long time without a pause, and more and more rarely where that brings no more answers.

/// Connections that are opened without a question, at most: a fast server is full with fewer, and any takes so many at once.
const WIDTH_MIN: u32 = 50;
/// No answer for so long, and the requests in flight are slow ones: several times of what a process waits for a processor on a
/// busy machine, and little beside the answer of a server that needs more than the first connections.
const QUIET_NS: u64 = 10_000_000;
/// Arrivals have waited for so long without a pause, though answers come: more than to make up for a short lag.
const ROUND_NS: u64 = 100_000_000;
/// The longest of such rounds, where more connections do not help.
const ROUND_MAX_NS: u64 = 64 * ROUND_NS;
/// What is added then: an eighth. Three times as many in a second, where it helps.
const GROWTH: u32 = 8;
/// An eighth more connections help if they bring a thirty-second part more answers: what differs by less may be chance.
const HELP: u64 = 32;

/// The limit, and what it is to be changed by.
#[derive(Debug)]
pub(super) struct Width {
    groups: u32,
    max: u32,
    shortage: Option<Shortage>,
    /// When to look again.
    due_ns: Option<u64>,
}

/// Since when all connections were in use while arrivals waited.
#[derive(Debug)]
struct Shortage {
    /// Answers when it was last looked, and when that was another number.
    answers: u64,
    moved_ns: u64,
    /// Without an answer for so long, it doubles.
    quiet_ns: u64,
    round: Round,
    round_ns: u64,
    /// Answers a second in the round before.
    before: Option<u64>,
}

#[derive(Debug)]
struct Round {
    began_ns: u64,
    answers: u64,
}

/// What is known at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) now_ns: u64,
    /// All that had come until then is looked at.
    pub(super) looked_ns: u64,
    /// Requests that ended in the whole test, well or not.
    pub(super) answers: u64,
    /// The shortest time that an answer took, of those that came.
    pub(super) least_ns: Option<u64>,
}

impl Width {
    /// Of a worker that may have so many groups of lanes, each with its connections.
    pub(super) fn new(max: u32) -> Self {
        Self { groups: WIDTH_MIN.min(max), max, shortage: None, due_ns: None }
    }

    /// Groups that may have connections.
    pub(super) fn groups(&self) -> u32 {
        self.groups
    }

    /// Groups that may be opened at the same time: as many as stand, so that a server that takes none sees few.
    pub(super) fn opening_max(standing: u32) -> u32 {
        standing.max(WIDTH_MIN)
    }

    /// When to look again, where that is to be.
    pub(super) fn due_ns(&self) -> Option<u64> {
        self.due_ns
    }

    /// It is being looked.
    pub(super) fn look(&mut self) {
        self.due_ns = None;
    }

    /// No arrival waits.
    pub(super) fn suffices(&mut self) {
        self.shortage = None;
    }

    /// All connections are in use, and arrivals wait: whether there may be more of them now.
    pub(super) fn lacks(&mut self, seen: Seen) -> bool {
        if self.groups >= self.max {
            return false;
        }
        let shortage = self.shortage.get_or_insert_with(|| Shortage::begin(seen));
        if shortage.answers != seen.answers {
            shortage.answers = seen.answers;
            shortage.moved_ns = seen.now_ns;
        }
        let added = if seen.looked_ns >= shortage.moved_ns.saturating_add(shortage.quiet_ns) {
            shortage.moved_ns = seen.now_ns;
            if seen.least_ns.is_some_and(|least_ns| least_ns < QUIET_NS) {
                shortage.quiet_ns = shortage.quiet_ns.saturating_mul(2);
            }
            self.groups
        } else if shortage.round_is_over(seen) {
            (self.groups / GROWTH).max(1)
        } else {
            0
        };
        self.groups = self.groups.saturating_add(added).min(self.max);
        self.due_ns = Some(shortage.moved_ns.saturating_add(shortage.quiet_ns));
        added > 0
    }
}

impl Shortage {
    fn begin(seen: Seen) -> Self {
        Self {
            answers: seen.answers,
            moved_ns: seen.now_ns,
            quiet_ns: QUIET_NS,
            round: Round { began_ns: seen.now_ns, answers: seen.answers },
            round_ns: ROUND_NS,
            before: None,
        }
    }

    /// Whether a round is over; the next one begins, and is longer where what the last one added was no help.
    fn round_is_over(&mut self, seen: Seen) -> bool {
        let took_ns = seen.now_ns.saturating_sub(self.round.began_ns);
        if took_ns < self.round_ns {
            return false;
        }
        let answers = seen.answers.saturating_sub(self.round.answers);
        let per_s = answers.saturating_mul(1_000_000) / (took_ns / 1000).max(1);
        let has_helped = self.before.is_none_or(|before| per_s > before + before / HELP);
        self.round_ns =
            if has_helped { ROUND_NS } else { self.round_ns.saturating_mul(2).min(ROUND_MAX_NS) };
        self.before = Some(per_s);
        self.round = Round { began_ns: seen.now_ns, answers: seen.answers };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Looks each millisecond, with so many answers until each; gives the width then.
    fn after(
        ms: std::ops::Range<u64>,
        width: &mut Width,
        answers: impl Fn(&Width, u64) -> u64,
        sum: &mut u64,
    ) -> u32 {
        for at in ms {
            *sum += answers(width, at);
            let answers = *sum;
            width.look();
            let now_ns = at * MS;
            while width.lacks(Seen {
                now_ns,
                looked_ns: now_ns,
                answers,
                least_ns: (answers > 0).then_some(MS),
            }) {}
            assert!(
                width.groups >= width.max || width.due_ns.is_some_and(|due_ns| due_ns > now_ns)
            );
        }
        width.groups
    }

    #[test]
    fn who_answers_nothing_gets_as_many_as_arrive() {
        let (mut width, mut sum) = (Width::new(30_000), 0);
        assert_eq!(after(0..10, &mut width, |_, _| 0, &mut sum), WIDTH_MIN);
        assert!(after(10..100, &mut width, |_, _| 0, &mut sum) > 10_000);
        assert_eq!(after(100..200, &mut width, |_, _| 0, &mut sum), 30_000);
    }

    #[test]
    fn a_fast_server_that_stands_still_is_not_stormed() {
        let (mut width, mut sum) = (Width::new(30_000), 0);
        assert_eq!(after(0..10, &mut width, |_, _| 50, &mut sum), WIDTH_MIN);
        let soon = after(10..100, &mut width, |_, _| 0, &mut sum);
        assert!(soon <= 8 * WIDTH_MIN, "{soon}");
        let later = after(100..5000, &mut width, |_, _| 0, &mut sum);
        assert!(later > 10_000, "and one that stays slow has all within seconds: {later}");
    }

    #[test]
    fn a_lag_that_is_made_up_for_leads_to_none() {
        let (mut width, mut sum) = (Width::new(30_000), 0);
        for lag in 0..100 {
            let begin = lag * 1000;
            assert_eq!(after(begin..begin + 90, &mut width, |_, _| 50, &mut sum), WIDTH_MIN);
            width.suffices();
        }
        // What came meanwhile is not looked at yet.
        let seen = |now_ns, looked_ns| Seen { now_ns, looked_ns, answers: 7, least_ns: None };
        assert!(!width.lacks(seen(0, 0)) && !width.lacks(seen(500 * MS / 10, 9 * MS)));
        assert!(width.lacks(seen(50 * MS, 50 * MS)));
    }

    #[test]
    fn who_is_at_the_limit_gets_few() {
        let (mut width, mut sum) = (Width::new(30_000), 0);
        let after_1_s = after(0..1000, &mut width, |_, _| 50, &mut sum);
        assert!(after_1_s < 100, "{after_1_s}");
        let after_60_s = after(1000..60_000, &mut width, |_, _| 50, &mut sum);
        assert!((after_1_s..600).contains(&after_60_s), "{after_60_s}");
        // As soon as they help, there are more of them again.
        let helped =
            after(60_000..75_000, &mut width, |width, _| u64::from(width.groups), &mut sum);
        assert!(helped > 10 * after_60_s, "{helped}");
    }
}
