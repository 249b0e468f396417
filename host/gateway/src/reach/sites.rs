//! Which of the clusters that this gateway can enter answer: pure, signs in, state out. The driver is [`super::Reach`].
//!
//! A cluster counts as there until a probe says otherwise, and as there again when a probe was answered by the one that its
//! document names. Requests and feeds are signs for free: a failure asks for a probe at once, and a cluster is probed without
//! one only while it is away or while nothing else is heard of it.

use std::time::Duration;

/// When something was heard: by the machine's own clock, which decides, and by the time of day, which is only told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    pub(crate) clock: Duration,
    /// Milliseconds since 1970.
    pub(crate) day_ms: u64,
}

/// The durations of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    /// A cluster of which nothing was heard for so long is probed.
    pub(crate) idle: Duration,
    /// One that is away is probed this often.
    pub(crate) again: Duration,
    /// One that was away is preferred again when it has answered for so long.
    pub(crate) home_again: Duration,
}

/// A cluster that this process can enter, by its place among them; the near one is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Site(pub(super) usize);

impl Site {
    /// The near cluster.
    pub(crate) const NEAR: Self = Self(0);
}

/// What was learned of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It answered a request, or a feed brought something.
    Answered,
    /// A request had no answer.
    Failed,
    /// It answered a probe, and is this one.
    Identified(Option<String>),
    /// It did not answer a probe as a CouchDB that lets us in would.
    Silent,
}

/// Why a cluster does not count as there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// No answer that can be used.
    Silent,
    /// Another one answers in its place.
    Other,
}

/// The time in which a cluster is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outage {
    /// Since when, in milliseconds since 1970: the first thing that had no answer.
    pub(crate) since_ms: u64,
    pub(crate) why: Why,
}

/// All clusters that can be entered.
#[derive(Debug)]
pub(crate) struct Sites {
    patience: Patience,
    all: Vec<State>,
}

#[derive(Debug)]
struct State {
    /// Who its document says that it is.
    expected: Option<String>,
    /// Who answered the last probe.
    found: Option<String>,
    outage: Option<Outage>,
    /// How often it came back.
    came: u32,
    /// It was away until then, and is not steady yet.
    back: Option<Duration>,
    /// The last sign of life.
    heard: Duration,
    /// The first failure since.
    failed_ms: Option<u64>,
    /// A probe is under way.
    is_probed: bool,
    /// The next probe, if it is away.
    probe_at: Duration,
    /// A probe is to be made whatever was heard.
    wants_probe: bool,
}

impl Sites {
    /// So many clusters, all taken to be there, and to be probed at once.
    pub(crate) fn new(count: usize, patience: Patience, now: Duration) -> Self {
        let state = |_| State {
            expected: None,
            found: None,
            outage: None,
            came: 0,
            back: None,
            heard: now,
            failed_ms: None,
            is_probed: false,
            probe_at: now,
            wants_probe: true,
        };
        Self { patience, all: (0..count).map(state).collect() }
    }

    /// Hears one thing. True when another place may be the best now.
    pub(crate) fn hear(&mut self, now: Now, site: Site, sign: Sign) -> bool {
        let again = self.patience.again;
        let Some(state) = self.all.get_mut(site.0) else { return false };
        match sign {
            // Who answers may be another one by now: only a probe brings it back.
            Sign::Answered => {
                state.heard = now.clock;
                if state.outage.is_none() {
                    state.failed_ms = None;
                }
                false
            }
            Sign::Failed => {
                if state.outage.is_none() {
                    state.failed_ms.get_or_insert(now.day_ms);
                    state.wants_probe = true;
                }
                false
            }
            Sign::Identified(found) => {
                state.is_probed = false;
                state.heard = now.clock;
                state.found = found;
                if state.is_another() {
                    state.probe_at = now.clock + again;
                    return state.leave(now, Why::Other);
                }
                state.failed_ms = None;
                let was_away = state.outage.take().is_some();
                if was_away {
                    state.came = state.came.wrapping_add(1);
                    state.back = Some(now.clock);
                }
                was_away
            }
            Sign::Silent => {
                state.is_probed = false;
                state.found = None;
                state.probe_at = now.clock + again;
                state.leave(now, Why::Silent)
            }
        }
    }

    /// Who a cluster is, as its document says now. It is probed again when that is news.
    pub(crate) fn expect(&mut self, site: Site, uuid: Option<String>) {
        let Some(state) = self.all.get_mut(site.0) else { return };
        if state.expected != uuid {
            state.expected = uuid;
            state.wants_probe = true;
        }
    }

    /// The clusters to probe now; each is to be answered with [`Sign::Identified`] or [`Sign::Silent`]. And whether another
    /// place may be the best now.
    pub(crate) fn tick(&mut self, now: Duration) -> (Vec<Site>, bool) {
        let mut changed = false;
        let mut due = Vec::new();
        for (at, state) in self.all.iter_mut().enumerate() {
            if state.back.is_some_and(|back| now >= back + self.patience.home_again) {
                state.back = None;
                changed = true;
            }
            if !state.is_probed && state.probe_due(self.patience.idle) <= now {
                state.is_probed = true;
                state.wants_probe = false;
                due.push(Site(at));
            }
        }
        (due, changed)
    }

    /// When [`Self::tick`] has something to do next.
    pub(crate) fn due(&self) -> Option<Duration> {
        let probes = self.all.iter().filter(|state| !state.is_probed);
        let probes = probes.map(|state| state.probe_due(self.patience.idle));
        let steady = self.all.iter().filter_map(|state| state.back);
        probes.chain(steady.map(|back| back + self.patience.home_again)).min()
    }

    /// Since when a cluster is not there; `None` when it is.
    pub(crate) fn outage(&self, site: Site) -> Option<Outage> {
        self.all.get(site.0)?.outage
    }

    /// How often a cluster came back: connections from before may be dead, and nobody has said so.
    pub(crate) fn came(&self, site: Site) -> u32 {
        self.all.get(site.0).map_or(0, |state| state.came)
    }

    /// Whether a cluster is there, and was not away a moment ago.
    pub(crate) fn is_steady(&self, site: Site) -> bool {
        let state = self.all.get(site.0);
        state.is_some_and(|state| state.outage.is_none() && state.back.is_none())
    }
}

impl State {
    /// A document or a server without an identity is taken at its word.
    fn is_another(&self) -> bool {
        let both = self.expected.as_ref().zip(self.found.as_ref());
        both.is_some_and(|(expected, found)| expected != found)
    }

    fn leave(&mut self, now: Now, why: Why) -> bool {
        self.back = None;
        let since_ms = self.failed_ms.take().unwrap_or(now.day_ms);
        let was = self.outage;
        let outage = self.outage.get_or_insert(Outage { since_ms, why });
        outage.why = why;
        was != self.outage
    }

    fn probe_due(&self, idle: Duration) -> Duration {
        match (self.wants_probe, self.outage) {
            (true, _) => Duration::ZERO,
            (false, Some(_)) => self.probe_at,
            (false, None) => self.heard + idle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        idle: Duration::from_secs(5),
        again: Duration::from_secs(2),
        home_again: Duration::from_secs(10),
    };

    fn now(seconds: u64) -> Now {
        Now { clock: Duration::from_secs(seconds), day_ms: seconds * 1000 }
    }

    fn due(sites: &mut Sites, seconds: u64) -> Vec<Site> {
        sites.tick(Duration::from_secs(seconds)).0
    }

    /// Two clusters that were found to be there at second 0.
    fn two() -> Sites {
        let mut sites = Sites::new(2, PATIENCE, Duration::ZERO);
        assert_eq!(due(&mut sites, 0), [Site(0), Site(1)], "nobody knows yet who they are");
        for at in 0..2 {
            assert!(!sites.hear(now(0), Site(at), Sign::Identified(Some(format!("u{at}")))));
        }
        sites
    }

    #[test]
    fn who_is_heard_of_is_not_probed_and_who_is_idle_is() {
        let mut sites = two();
        assert_eq!(sites.due(), Some(Duration::from_secs(5)));
        sites.hear(now(4), Site(0), Sign::Answered);
        assert_eq!(due(&mut sites, 5), [Site(1)]);
        assert_eq!(due(&mut sites, 6), [], "one probe at a time");
        sites.hear(now(6), Site(1), Sign::Identified(None));
        assert_eq!(due(&mut sites, 9), [Site(0)]);
    }

    #[test]
    fn one_request_without_an_answer_is_no_outage_and_a_probe_without_one_is() {
        let mut sites = two();
        assert!(!sites.hear(now(1), Site(1), Sign::Failed));
        assert_eq!(sites.outage(Site(1)), None);
        assert_eq!(due(&mut sites, 1), [Site(1)], "asked at once");
        assert!(!sites.hear(now(1), Site(1), Sign::Identified(None)), "it was the request's fault");
        sites.hear(now(2), Site(1), Sign::Failed);
        assert_eq!(due(&mut sites, 2), [Site(1)]);
        sites.hear(now(5), Site(0), Sign::Answered);
        assert!(sites.hear(now(5), Site(1), Sign::Silent));
        let outage = sites.outage(Site(1)).unwrap();
        assert_eq!((outage.since_ms, outage.why), (2000, Why::Silent), "since the first failure");
        assert_eq!(due(&mut sites, 6), [], "not at every turn");
        assert_eq!(due(&mut sites, 7), [Site(1)]);
        assert!(!sites.hear(now(8), Site(1), Sign::Silent), "no news");
        assert_eq!(sites.outage(Site(1)), Some(outage));
        assert!(sites.outage(Site(0)).is_none());
    }

    #[test]
    fn who_comes_back_is_there_at_once_and_steady_after_a_while() {
        let mut sites = two();
        sites.hear(now(1), Site(0), Sign::Silent);
        sites.hear(now(2), Site(0), Sign::Answered);
        assert!(sites.outage(Site(0)).is_some(), "it may be another one: a probe tells");
        assert!(sites.hear(now(3), Site(0), Sign::Identified(Some("u0".to_owned()))));
        assert!(sites.outage(Site(0)).is_none() && !sites.is_steady(Site(0)));
        assert_eq!((sites.came(Site(0)), sites.came(Site(1))), (1, 0));
        assert!(!sites.tick(Duration::from_secs(12)).1 && !sites.is_steady(Site(0)));
        sites.hear(now(12), Site(0), Sign::Answered);
        assert_eq!(sites.due(), Some(Duration::from_secs(13)));
        assert!(sites.tick(Duration::from_secs(13)).1 && sites.is_steady(Site(0)));
        // Gone again before it was steady: the time begins anew.
        sites.hear(now(14), Site(0), Sign::Silent);
        sites.hear(now(15), Site(0), Sign::Identified(None));
        sites.hear(now(16), Site(0), Sign::Silent);
        sites.hear(now(20), Site(0), Sign::Identified(None));
        assert!(!sites.tick(Duration::from_secs(29)).1);
        assert!(sites.tick(Duration::from_secs(30)).1);
    }

    #[test]
    fn another_one_in_its_place_does_not_count() {
        let mut sites = two();
        sites.expect(Site(1), Some("u1".to_owned()));
        assert_eq!(due(&mut sites, 1), [Site(1)], "a new document: who is it?");
        assert!(!sites.hear(now(1), Site(1), Sign::Identified(Some("u1".to_owned()))));
        sites.expect(Site(1), Some("u1".to_owned()));
        assert_eq!(due(&mut sites, 1), [], "the same document");
        sites.hear(now(2), Site(1), Sign::Silent);
        assert!(sites.hear(now(4), Site(1), Sign::Identified(Some("ux".to_owned()))));
        assert_eq!(sites.outage(Site(1)).unwrap().why, Why::Other);
        assert_eq!(sites.outage(Site(1)).unwrap().since_ms, 2000);
        // Its document is made to name it.
        sites.expect(Site(1), Some("ux".to_owned()));
        assert_eq!(due(&mut sites, 4), [Site(1)]);
        assert!(sites.hear(now(4), Site(1), Sign::Identified(Some("ux".to_owned()))));
        assert!(sites.outage(Site(1)).is_none());
    }
}
