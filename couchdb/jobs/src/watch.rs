//! Who holds claims and gives no sign of life: the part of watching that engines and the keeper share.
//!
//! A watcher compares *counters* of beats over *answered* polls with its own clock, and no times of two machines. Who
//! was blind itself begins to count anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::engine::Beat;
use crate::guards::{Guard, Guards};
use crate::id::{Incarnation, JobId};
use crate::run::{Claim, Silent};
use crate::timing::Timing;

/// Polls that may stay without an answer before a watcher calls itself blind.
const POLLS_MISSED_MAX: u32 = 3;

/// The claims that one watcher looks after.
#[derive(Debug)]
pub struct Watch {
    timing: Timing,
    guards: Guards,
    claims: BTreeMap<JobId, Watched>,
    /// When a poll of a region's beats was last answered.
    polled: BTreeMap<String, Duration>,
    poll_due: Duration,
    /// Before this nothing is dead.
    soonest: Duration,
    /// When it may be looked again who is: while somebody is dead and not judged, each look goes through all claims.
    look_from: Duration,
}

#[derive(Debug)]
struct Watched {
    claim: Claim,
    /// Since when it has not been seen alive.
    since: Duration,
    /// The last counter that spoke for it.
    counter: Option<u64>,
    /// The last counter of that start of its engine, whatever it spoke for.
    seen: u64,
    /// Those of the earlier silent attempts whose engine beat again.
    survivors: Vec<Silent>,
}

/// A claim whose engine is dead, as far as this watcher can see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// The job.
    pub job: JobId,
    /// Who had it.
    pub claim: Claim,
    /// The counter of the last beat of that start of its engine that was seen; 0 is none.
    pub counter: u64,
    /// Those of the earlier silent attempts whose engine beat again: one that survived may die of the same job later.
    pub survivors: Vec<Silent>,
}

impl Watch {
    /// A watcher of nothing.
    #[must_use]
    pub fn new(timing: Timing, guards: Guards) -> Self {
        Self {
            timing,
            guards,
            claims: BTreeMap::new(),
            polled: BTreeMap::new(),
            poll_due: Duration::ZERO,
            soonest: Duration::MAX,
            look_from: Duration::ZERO,
        }
    }

    /// The job has this claim: it is watched from now on. Hearing it again changes nothing.
    pub fn hear_claim(&mut self, now: Duration, job: &JobId, claim: &Claim) {
        if self.claims.get(job).is_some_and(|watched| watched.claim == *claim) {
            return;
        }
        let watched = Watched {
            claim: claim.clone(),
            since: now,
            counter: None,
            seen: 0,
            survivors: Vec::new(),
        };
        self.claims.insert(job.clone(), watched);
        self.soonest = self.soonest.min(now + self.timing.dead);
    }

    /// Nobody has the job, or this watcher leaves it to others.
    pub fn forget(&mut self, job: &JobId) {
        self.claims.remove(job);
    }

    /// Whether it looks after the claim of this job.
    #[must_use]
    pub fn watches(&self, job: &JobId) -> bool {
        self.claims.contains_key(job)
    }

    /// Leaves everything to others.
    pub fn forget_all(&mut self) {
        self.claims.clear();
    }

    /// Which engines' beats to poll in which region, if it is time.
    pub fn poll(&mut self, now: Duration) -> BTreeMap<String, BTreeSet<String>> {
        let mut engines: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        if now < self.poll_due || self.claims.is_empty() {
            return engines;
        }
        self.poll_due = now + self.timing.poll;
        for (job, Watched { claim, .. }) in &self.claims {
            let region = match engines.get_mut(job.region()) {
                Some(region) => region,
                None => engines.entry(job.region().to_owned()).or_default(),
            };
            region.insert(claim.engine.clone());
            region.extend(claim.silent.iter().map(|silent| silent.engine.clone()));
        }
        engines
    }

    /// The store answered a poll of a region with these beats; engines without one are silent.
    pub fn hear_beats(&mut self, now: Duration, region: &str, beats: &[Beat]) {
        let last = self.polled.insert(region.to_owned(), now);
        let patience = self.timing.poll * POLLS_MISSED_MAX;
        let was_blind = self.guards.has(Guard::AnsweredPolls)
            && last.is_none_or(|at| now.saturating_sub(at) > patience);
        let per_claim = self.guards.has(Guard::BeatPerClaim);
        let beats: HashMap<&Incarnation, &Beat> =
            beats.iter().map(|beat| (&beat.incarnation, beat)).collect();
        for (job, watched) in &mut self.claims {
            if job.region() != region {
                continue;
            }
            let beat = beats.get(&watched.claim.incarnation);
            // A beat for earlier jobs is no sign of life after the silence.
            watched.seen = beat.map_or(watched.seen, |beat| beat.counter.max(watched.seen));
            let counter = beat
                .filter(|beat| !per_claim || beat.holds(job, watched.claim.attempt))
                .map(|beat| beat.counter);
            if was_blind || (counter.is_some() && counter != watched.counter) {
                watched.since = now;
            }
            watched.counter = counter.or(watched.counter);
            for silent in &watched.claim.silent {
                let beats_on = beats
                    .get(&silent.incarnation)
                    .is_some_and(|beat| beat.counter > silent.counter);
                if beats_on && !watched.survivors.contains(silent) {
                    watched.survivors.push(silent.clone());
                }
            }
        }
        let since = self.claims.values().map(|watched| watched.since).min();
        self.soonest = since.map_or(Duration::MAX, |since| since + self.timing.dead);
    }

    /// The claims that are dead, each so much `later` than a watcher may first say so.
    pub fn silent(&mut self, now: Duration, later: impl Fn(&JobId) -> Duration) -> Vec<Silence> {
        if now < self.soonest.max(self.look_from) || self.claims.is_empty() {
            return Vec::new();
        }
        self.look_from = now + self.timing.take_turns;
        let fresh = self.timing.poll * POLLS_MISSED_MAX;
        let sees = |job: &JobId| {
            let polled = self.polled.get(job.region());
            !self.guards.has(Guard::AnsweredPolls)
                || polled.is_some_and(|at| now.saturating_sub(*at) <= fresh)
        };
        self.claims
            .iter()
            .filter(|(job, watched)| {
                let silent = now.saturating_sub(watched.since);
                silent >= self.timing.dead && silent >= self.timing.dead + later(job) && sees(job)
            })
            .map(|(job, watched)| Silence {
                job: job.clone(),
                claim: watched.claim.clone(),
                counter: watched.seen,
                survivors: if self.guards.has(Guard::SurvivorsLive) {
                    watched.survivors.clone()
                } else {
                    Vec::new()
                },
            })
            .collect()
    }

    /// When there is something to do next: a poll, or a look at who is dead.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        let look = self.soonest.max(self.look_from);
        (!self.claims.is_empty()).then(|| self.poll_due.min(look))
    }
}

/// Why a job was taken from an engine, in words for its user.
#[must_use]
pub fn reason(claim: &Claim, dead: Duration) -> String {
    let start = claim.incarnation.short();
    format!(
        "engine {} (start {start}) gave no sign of life for {} s",
        claim.engine,
        dead.as_secs_f64()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{BeatKind, Held};

    const S: Duration = Duration::from_secs(1);

    fn incarnation(byte: u8) -> Incarnation {
        Incarnation::from_random([byte; 16])
    }

    fn claim(silent: Vec<Silent>) -> Claim {
        Claim { silent, attempt: 2, ..Claim::first(1, "e1", incarnation(1)) }
    }

    fn beat(byte: u8, counter: u64, held: &[(&JobId, u32)]) -> Beat {
        Beat {
            kind: BeatKind::Beat,
            blitz: crate::BUILD.to_owned(),
            engine: format!("e{byte}"),
            incarnation: incarnation(byte),
            counter,
            held: held.iter().map(|&(job, attempt)| Held { job: job.clone(), attempt }).collect(),
        }
    }

    fn watching(job: &JobId, claim: &Claim) -> Watch {
        let mut watch = Watch::new(Timing::of_tests(), Guards::default());
        watch.hear_claim(Duration::ZERO, job, claim);
        watch
    }

    /// The second at which the job is first said to be dead, when `beats` answers each poll, every two seconds.
    fn dead_at(watch: &mut Watch, mut beats: impl FnMut(u32) -> Option<Vec<Beat>>) -> Option<u32> {
        for second in 0..120 {
            if second % 2 == 0
                && let Some(beats) = beats(second)
            {
                watch.hear_beats(second * S, "japan", &beats);
            }
            if !watch.silent(second * S, |_| Duration::ZERO).is_empty() {
                return Some(second);
            }
        }
        None
    }

    #[test]
    fn a_claim_is_dead_when_no_beat_spoke_for_it_for_long_enough() {
        let job = JobId::new("japan", 1);
        type Beats = fn(&JobId, u32) -> Option<Vec<Beat>>;
        let table: [(Beats, Option<u32>, &str); 8] = [
            (|_, _| Some(Vec::new()), Some(25), "no beat at all"),
            (|job, s| Some(vec![beat(1, s.into(), &[(job, 2)])]), None, "it beats"),
            (|job, s| Some(vec![beat(1, s.min(20).into(), &[(job, 2)])]), Some(45), "it stopped"),
            (|job, s| Some(vec![beat(1, s.into(), &[(job, 1)])]), Some(25), "another attempt"),
            (|_, s| Some(vec![beat(1, s.into(), &[])]), Some(25), "the engine lives without it"),
            (|job, s| Some(vec![beat(2, s.into(), &[(job, 2)])]), Some(25), "another start"),
            (|_, _| None, None, "the watcher is blind"),
            // Blind from 10 s to 60 s: then it counts anew.
            (|_, s| (s <= 10 || s >= 60).then(Vec::new), Some(85), "it was blind"),
        ];
        for (beats, expected, what) in table {
            let mut watch = watching(&job, &claim(Vec::new()));
            assert_eq!(dead_at(&mut watch, |second| beats(&job, second)), expected, "{what}");
        }
    }

    #[test]
    fn a_verdict_needs_a_fresh_poll_and_its_turn() {
        let job = JobId::new("japan", 1);
        let mut watch = watching(&job, &claim(Vec::new()));
        for second in (0..=20).step_by(2) {
            watch.hear_beats(second * S, "japan", &[]);
        }
        assert_eq!(watch.silent(25 * S, |_| S).len(), 0, "its turn is a second later");
        assert_eq!(watch.silent(26 * S, |_| S).len(), 1);
        assert_eq!(watch.silent(26 * S, |_| S).len(), 0, "it was looked at just now");
        assert_eq!(watch.due(), Some(Duration::ZERO), "a poll");
        assert_eq!(watch.poll(26 * S).len(), 1);
        assert_eq!(watch.due(), Some(26 * S + Timing::of_tests().take_turns));
        assert_eq!(watch.silent(27 * S, |_| S).len(), 0, "no poll was answered for 7 s");
    }

    #[test]
    fn polls_name_the_holders_and_those_who_were_silent_by_region() {
        let (job, other) = (JobId::new("japan", 1), JobId::new("oregon", 1));
        let silent = Silent { engine: "e7".to_owned(), incarnation: incarnation(7), counter: 3 };
        let mut watch = watching(&job, &claim(vec![silent]));
        watch.hear_claim(S, &other, &claim(Vec::new()));
        let polls = watch.poll(S);
        let names = |region: &str| polls[region].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!((names("japan"), names("oregon")), (vec!["e1", "e7"], vec!["e1"]));
        assert!(watch.poll(2 * S).is_empty(), "not yet");
        watch.forget(&job);
        watch.forget(&other);
        assert!(watch.poll(9 * S).is_empty() && watch.due().is_none(), "nothing is watched");
        assert!(!watch.watches(&job));
    }

    #[test]
    fn survivors_are_those_whose_counter_moved_since() {
        for (counter, survives) in [(3, false), (4, true)] {
            let job = JobId::new("japan", 1);
            let silent =
                Silent { engine: "e7".to_owned(), incarnation: incarnation(7), counter: 3 };
            let mut watch = watching(&job, &claim(vec![silent]));
            for second in (0..=24).step_by(2) {
                watch.hear_beats(second * S, "japan", &[beat(7, counter, &[])]);
            }
            let silences = watch.silent(25 * S, |_| Duration::ZERO);
            let survivors = silences[0].survivors.len();
            assert_eq!(survivors, usize::from(survives), "counter {counter}");
        }
    }

    #[test]
    fn a_new_claim_of_the_job_is_counted_from_its_hearing() {
        let job = JobId::new("japan", 1);
        let mut watch = watching(&job, &claim(Vec::new()));
        for second in (0..=30).step_by(2) {
            watch.hear_beats(second * S, "japan", &[]);
            if second == 20 {
                watch.hear_claim(second * S, &job, &Claim { attempt: 3, ..claim(Vec::new()) });
            }
        }
        assert!(watch.silent(30 * S, |_| Duration::ZERO).is_empty());
        watch.hear_beats(44 * S, "japan", &[]);
        assert!(watch.silent(45 * S, |_| Duration::ZERO).is_empty(), "it was blind since 30 s");
    }

    #[test]
    fn the_reason_names_the_engine_and_which_start_of_it() {
        let text = reason(&claim(Vec::new()), 25 * S);
        assert_eq!(text, "engine e1 (start 01010101) gave no sign of life for 25 s");
    }
}
