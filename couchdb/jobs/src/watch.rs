//! Who holds claims and gives no sign of life: the part of watching that engines and the keeper share.
//!
//! A watcher compares *counters* of beats over *answered* polls with its own clock, and no times of two machines. Who
//! was blind itself begins to count anew.
//!
//! Silence is enough to give a job to another engine, for one that lives has stopped it. It is not enough to say that
//! the job kills engines: they may be cut off or stand still. So an engine that may be one too many is not judged before
//! it is sure that all of them are dead: a later start of each says so, or they are [gone](Timing::gone).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::engine::Beat;
use crate::guards::{Guard, Guards};
use crate::id::{Incarnation, JobId};
use crate::run::{Claim, DEATHS_MAX, Silent};
use crate::timing::Timing;

/// A watcher calls itself blind when no poll was answered for so many of them, and counts anew.
///
/// Not fewer: the next poll is always a little late, so that of `n` polls `n - 2` may be lost in a row. With three, two
/// lost ones made a watcher blind; where 4 of 100 are lost that was one watch of 25 s in 25. With five it is one in 15,000.
///
/// Not more: of what happened since the last answered poll nothing is known. An engine that runs on because of a beat
/// that this watcher did not see has sent it within [`Timing::stop`] after one that it saw. All that was stored until
/// [`Timing::dead`] less so many polls was seen, and that is later by as much as a beat may take to be stored: with the
/// usual durations 25 s - 5 s = 15 s + 5 s.
const POLLS_MISSED_MAX: u32 = 5;

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
    /// When that start of its engine was last seen alive, whatever it spoke for.
    sign: Duration,
    /// The last counter that spoke for it.
    counter: Option<u64>,
    /// The last counter of that start of its engine, whatever it spoke for.
    seen: u64,
    /// Those of the earlier silent attempts whose engine beat again.
    survivors: Vec<Silent>,
    /// The starts among its engine's and theirs that are dead, as later starts of these engines say.
    buried: BTreeSet<Incarnation>,
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
            sign: now,
            counter: None,
            seen: 0,
            survivors: Vec::new(),
            buried: BTreeSet::new(),
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
        let engines: HashMap<&str, &Beat> =
            beats.iter().map(|beat| (beat.engine.as_str(), beat)).collect();
        let beats: HashMap<&Incarnation, &Beat> =
            beats.iter().map(|beat| (&beat.incarnation, beat)).collect();
        for (job, watched) in &mut self.claims {
            if job.region() != region {
                continue;
            }
            let beat = beats.get(&watched.claim.incarnation);
            // A beat for earlier jobs is no sign of life after the silence.
            let seen = beat.map_or(watched.seen, |beat| beat.counter.max(watched.seen));
            if was_blind || seen > watched.seen {
                watched.sign = now;
            }
            watched.seen = seen;
            let counter = beat
                .filter(|beat| !per_claim || beat.holds(job, watched.claim.attempt))
                .map(|beat| beat.counter);
            if was_blind || (counter.is_some() && counter != watched.counter) {
                watched.since = now;
            }
            watched.counter = counter.or(watched.counter);
            for (engine, start) in starts(&watched.claim) {
                if engines.get(engine).is_some_and(|beat| beat.buries(start)) {
                    watched.buried.insert(start.clone());
                }
            }
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
                let is_sure = !self.guards.has(Guard::DeathsAreSure)
                    || now.saturating_sub(watched.sign) >= self.timing.gone()
                    || !watched.may_be_too_many();
                let is_dead = silent >= self.timing.dead && silent >= self.timing.dead + later(job);
                is_dead && is_sure && sees(job)
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

impl Watched {
    /// Whether as many engines may have died of the job as make it poison, and it is not sure that they have.
    fn may_be_too_many(&self) -> bool {
        let survived =
            |start: &Incarnation| self.survivors.iter().any(|silent| silent.incarnation == *start);
        let suspects = starts(&self.claim).map(|(_, start)| start).filter(|start| !survived(start));
        suspects.clone().count() >= DEATHS_MAX
            && suspects.into_iter().any(|start| !self.buried.contains(start))
    }
}

/// The starts of engines that had the job, the last one first, none of which was seen alive before the claim.
fn starts(claim: &Claim) -> impl Iterator<Item = (&str, &Incarnation)> + Clone {
    let silent = claim.silent.iter();
    let silent = silent.map(|silent| (silent.engine.as_str(), &silent.incarnation));
    std::iter::once((claim.engine.as_str(), &claim.incarnation)).chain(silent)
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
mod tests;
