//! Looks on, knows everything, and says what must not be.

use std::time::Duration;

use blitz_couchdb::Revision;
use blitz_jobs::Run;
use blitz_jobs::run::DEATHS_MAX;

use super::World;
use super::document::{Body, Id, Kind};
use super::event::{Event, Peer};
use super::peer::{Mind, Role};
use super::store::{BEATS, JOBS};
use crate::couchdb::{Read, Rev};

/// Everything is looked at this often.
const LOOK: Duration = Duration::from_secs(5);

/// An engine that reaches its store has heard of a replaced database after this long.
const VOID_HEARD: Duration = Duration::from_secs(15);

/// Who is told to stop has stopped after this long.
const STOPPED: Duration = Duration::from_secs(6);

/// A claim whose engine is dead is taken over in less than this.
const ABANDONED: Duration = Duration::from_secs(90);

/// The world is at rest when it was seen to be so often on end.
const RESTS: u32 = 3;

/// A beat that was stored so long ago has been seen by every watcher whose polls are answered.
const BEAT_SEEN: Duration = Duration::from_secs(15);

impl World {
    /// A job begins once more.
    pub(super) fn judge_start(&mut self, job: usize) {
        let region = &self.regions[self.jobs[job].region];
        let (split, unwell_until) = (region.is_split(self.now), region.unwell_until);
        let found = &mut self.jobs[job];
        found.split |= split;
        if let Some(crashed) = found.crashed.take()
            && unwell_until < crashed
        {
            self.outcome.tally.rescues.push(self.now - crashed);
        }
        let (crowd, found) = (&self.peers, &self.jobs[job]);
        let unwell = self.regions[found.region].unwell_until;
        let again = found.finished.filter(|(peer, life, at)| {
            let state = &crowd[*peer];
            let well = state.alive && !state.paused && !state.cut && state.troubled < *at;
            well && state.life == *life && unwell < *at && !found.split && !found.void
        });
        if let Some((peer, ..)) = again {
            let text = format!(
                "job {job} begins again though {} came to its end and is well",
                self.name(peer)
            );
            self.find("run-again", text);
        }
        let found = &self.jobs[job];
        if found.is_never() && found.starts > 1 && !found.void {
            let text = format!("job {job} must not run twice and has begun {} times", found.starts);
            self.find("begun-twice", text);
        }
    }

    /// An end replaces the claim that it ends.
    pub(super) fn judge_step(&mut self, job: usize, over: Option<Rev>, run: &Run, body: &Body) {
        let Some(claim) = run.claim() else { return };
        let right = (claim.attempt, claim.incarnation.clone());
        if matches!(run, Run::Claimed { .. }) {
            self.claims.insert((job, Rev::child(over, Some(body))), right);
        } else if run.is_final()
            && let Some(other) = over.and_then(|over| self.claims.get(&(job, over)))
            && *other != right
        {
            let text = format!(
                "job {job}: an end of attempt {} is written over attempt {}",
                right.0, other.0
            );
            self.find("wrong-end", text);
        }
    }

    /// A job kills its engine, but not more than a few of them.
    pub(super) fn judge_kill(&mut self, job: usize) {
        self.outcome.tally.kills += 1;
        let found = &mut self.jobs[job];
        found.kills += 1;
        if found.kills > DEATHS_MAX && !found.split && !found.void {
            let text = format!("job {job} has killed {} engines", found.kills);
            self.find("poison-spread", text);
        }
    }

    /// Adds up how long a job ran in two places, up to now.
    pub(super) fn count(&mut self, job: usize) {
        let found = &self.jobs[job];
        let time = self.now - found.counted;
        let running = found.active.iter().filter(|active| {
            let state = &self.peers[active.peer];
            !(state.paused || state.unchecked || active.was_paused && active.stops)
        });
        let runs_twice = running.count() > 1;
        let (split, void) = (found.split, found.void);
        self.jobs[job].counted = self.now;
        if !runs_twice || time.is_zero() {
            return;
        }
        let tally = &mut self.outcome.tally;
        if split || void {
            tally.overlap_split += time;
        } else {
            tally.overlap += time;
            let text = format!("job {job} ran in two places for {time:?}");
            self.find("overlap", text);
        }
    }

    /// The same for all jobs that a peer runs: its state is about to change.
    pub(super) fn count_all(&mut self, peer: Peer) {
        let Mind::Engine(mind) = &self.peers[peer].mind else { return };
        let jobs: Vec<usize> = mind.running.keys().copied().collect();
        for job in jobs {
            self.count(job);
        }
    }

    pub(super) fn mark_paused(&mut self, peer: Peer) {
        for job in &mut self.jobs {
            for active in &mut job.active {
                active.was_paused |= active.peer == peer;
            }
        }
    }

    /// A peer does not run the job any more.
    pub(super) fn stop_counting(&mut self, peer: Peer, job: usize, crashed: bool) {
        self.count(job);
        let now = self.now;
        let found = &mut self.jobs[job];
        let before = found.active.len();
        found.active.retain(|active| active.peer != peer);
        if crashed && found.active.is_empty() && before == 1 {
            found.crashed = Some(now);
        }
    }

    pub(super) fn stop_counting_all(&mut self, peer: Peer, crashed: bool) {
        let Mind::Engine(mind) = &self.peers[peer].mind else { return };
        let jobs: Vec<usize> = mind.running.keys().copied().collect();
        for job in jobs {
            if self.jobs[job].active.iter().any(|active| active.peer == peer) {
                let clean = crashed && !self.peers[peer].paused && !self.peers[peer].cut;
                self.stop_counting(peer, job, clean);
            }
        }
    }

    /// A reader heard of an end, and now of another.
    pub(super) fn two_ends(&mut self, peer: Peer, job: usize, end: &Run, other: &Run) {
        if self.jobs[job].split || self.jobs[job].void {
            self.outcome.tally.ends_split += 1;
            return;
        }
        let text = format!("{} heard of job {job}: {end:?}, and then: {other:?}", self.name(peer));
        self.find("end-changed", text);
    }

    /// An engine that runs a job hears that it is another's, or has ended.
    pub(super) fn note_fenced(&mut self, peer: Peer, job: usize, run: &Run) {
        let Mind::Engine(mind) = &self.peers[peer].mind else { return };
        let own = &self.lives[mind.life].incarnation;
        let is_own = matches!(run, Run::Claimed { claim } if claim.incarnation == *own);
        if is_own {
            return;
        }
        let now = self.now;
        for active in self.jobs[job].active.iter_mut().filter(|active| active.peer == peer) {
            active.fenced.get_or_insert(now);
        }
    }

    /// A reader that heard of an end hears of a run again: never, once all copies are the same.
    pub(super) fn end_undone(&mut self, peer: Peer, job: usize, run: &Run) {
        let found = &self.jobs[job];
        if !found.void && self.regions[found.region].bases[JOBS].agrees(&Id::Job(job, Kind::Run)) {
            let text = format!(
                "{} had heard of the end of job {job}, and then: {}",
                self.name(peer),
                run.state()
            );
            self.find("end-undone", text);
        }
    }

    /// Nobody runs on a job that he knows to be another's, and none is left without anybody.
    fn judge_running(&mut self) {
        for job in 0..self.jobs.len() {
            let now = self.now;
            let found = &self.jobs[job];
            if found.settled || found.void {
                continue;
            }
            let deaf = found.active.iter().find(|active| {
                let awake = !self.peers[active.peer].paused
                    && self.peers[active.peer].troubled + STOPPED < now;
                awake && active.fenced.is_some_and(|at| at + STOPPED < now)
            });
            if let Some(active) = deaf {
                let text = format!(
                    "{} runs on job {job} though it heard that it is not its own",
                    self.name(active.peer)
                );
                self.find("ran-fenced", text);
            }
            let found = &self.jobs[job];
            let region = &self.regions[found.region];
            let leaves = region.bases[JOBS].leaves_in_the_end(&Id::Job(job, Kind::Run));
            let moves =
                leaves != found.leaves || !found.active.is_empty() || region.unwell_until >= now;
            let split = region.is_split(now);
            let found = &mut self.jobs[job];
            if moves || split {
                found.leaves = leaves;
                found.idle = now;
            } else if now > found.idle + ABANDONED {
                found.idle = now;
                let claimed =
                    self.in_the_end(job).is_some_and(|(_, run)| matches!(run, Run::Claimed { .. }));
                if claimed {
                    self.find(
                        "abandoned",
                        format!("job {job} is claimed, and nobody has run it for {ABANDONED:?}"),
                    );
                }
            }
        }
    }

    /// Has everything come to rest?
    pub(super) fn look(&mut self) {
        let peers: Vec<Peer> =
            (0..self.peers.len()).filter(|peer| self.peers[*peer].role == Role::Gateway).collect();
        for peer in peers {
            self.fetch_missing(peer);
        }
        self.judge_void();
        self.judge_running();
        if self.now < self.plan.busy {
            return self.later(LOOK, Event::Look);
        }
        let last = self.now >= self.plan.limit;
        let mut open = 0usize;
        for job in 0..self.jobs.len() {
            if !self.jobs[job].settled {
                self.judge_end(job, last);
                open += usize::from(!self.jobs[job].settled);
            }
        }
        let busy = self.engines_busy();
        if open > 0 || !busy.is_empty() {
            self.rest = 0;
        } else {
            self.rest += 1;
        }
        if self.rest > RESTS || last {
            self.judge_missed();
            self.judge_leaves();
            for peer in busy {
                let text = format!("{} still holds a job when all have ended", self.name(peer));
                self.find("held", text);
            }
            self.over = true;
        } else {
            self.later(LOOK, Event::Look);
        }
    }

    fn engines_busy(&self) -> Vec<Peer> {
        let is_busy = |peer: &Peer| match &self.peers[*peer].mind {
            Mind::Engine(mind) => mind.contest.busy() > 0,
            _ => false,
        };
        (0..self.peers.len()).filter(is_busy).collect()
    }

    /// What lost was removed.
    fn judge_leaves(&mut self) {
        for job in 0..self.jobs.len() {
            let region = self.jobs[job].region;
            let r = self.regions[region].copies;
            let Read::Answered(leaves) = self.read_leaves(region, 0, job, r) else { continue };
            if leaves.runs.len() > 1 {
                self.find(
                    "leaves-left",
                    format!("job {job} has {} leaves at rest", leaves.runs.len()),
                );
            }
        }
    }

    /// Whoever follows the feed has heard of every end.
    fn judge_missed(&mut self) {
        for peer in 0..self.peers.len() {
            let state = &self.peers[peer];
            let Mind::Engine(mind) = &state.mind else { continue };
            let follows = state.feed.live
                && !state.cut
                && !state.paused
                && state.troubled + STOPPED < self.now;
            let name = format!("blitz-jobs-{}-1", self.regions[state.region].name);
            let Some(known) = mind.contest.oldest(&name).filter(|_| follows) else { continue };
            if let Some(job) = self
                .job_of
                .get(known)
                .filter(|job| self.jobs[**job].settled && !self.jobs[**job].void)
            {
                let text = format!("{} has not heard of the end of job {job}", self.name(peer));
                self.find("missed", text);
            }
        }
    }

    /// Nobody runs on what was in a database that is gone.
    fn judge_void(&mut self) {
        for job in 0..self.jobs.len() {
            let found = &self.jobs[job];
            let Some(recreated) = self.regions[found.region].recreated.filter(|_| found.void)
            else {
                continue;
            };
            let ignorant = found.active.iter().find(|active| {
                let state = &self.peers[active.peer];
                self.now > recreated + VOID_HEARD
                    && self.regions[found.region].unwell_until < self.now
                    && !state.cut
                    && !state.paused
                    && state.troubled < recreated
            });
            if let Some(active) = ignorant {
                let text = format!(
                    "{} runs on job {job} of a database that is gone",
                    self.name(active.peer)
                );
                self.jobs[job].active.clear();
                self.find("void", text);
            }
        }
    }

    /// The leaf of a job that counts in the end.
    fn in_the_end(&mut self, job: usize) -> Option<(Revision, Run)> {
        let region = self.jobs[job].region;
        let r = self.regions[region].copies;
        let Read::Answered(leaves) = self.read_leaves(region, 0, job, r) else { return None };
        leaves.resolved(self.mutants.guards()).cloned()
    }

    fn judge_end(&mut self, job: usize, last: bool) {
        let found = &self.jobs[job];
        if found.void {
            self.jobs[job].settled = found.active.is_empty();
            self.outcome.tally.void += u64::from(self.jobs[job].settled);
            return;
        }
        let (region, active) = (found.region, !found.active.is_empty());
        let agrees = self.regions[region].bases[JOBS].agrees(&Id::Job(job, Kind::Run));
        let counts = self.in_the_end(job).map(|(_, run)| run);
        let told: Vec<Option<Run>> = self.regions[region]
            .peers
            .iter()
            .filter_map(|peer| match &self.peers[*peer].mind {
                Mind::Gateway(mind) => Some(mind.told(job).cloned()),
                _ => None,
            })
            .collect();
        let is_final = counts.as_ref().is_some_and(Run::is_final);
        if agrees && is_final && !active && told.iter().all(Option::is_some) {
            self.settled(job, counts, &told);
        } else if last {
            let state = counts.as_ref().map_or("absent", Run::state);
            let (verdict, what) = if !agrees {
                ("diverged", "its copies differ")
            } else if !self.spec_is_stored(job) {
                ("lost", "its spec is gone")
            } else if !is_final {
                ("stuck", "it has no end")
            } else if active {
                ("stuck", "it is still run")
            } else {
                ("untold", "its readers were not told")
            };
            self.find(verdict, format!("job {job} ({state}): {what}"));
        }
    }

    fn spec_is_stored(&mut self, job: usize) -> bool {
        let region = self.jobs[job].region;
        matches!(self.get(region, 0, JOBS, &Id::Job(job, Kind::Spec)), Read::Answered(Some(_)))
    }

    fn settled(&mut self, job: usize, counts: Option<Run>, told: &[Option<Run>]) {
        self.jobs[job].settled = true;
        let Some(run) = counts else { return };
        self.outcome.tally.ended(&run);
        self.trace(job, |_| format!("at rest: {run:?}"));
        if told.iter().flatten().any(|told| *told != run) {
            if self.jobs[job].split {
                self.outcome.tally.told_split += 1;
            } else {
                self.find(
                    "told-twice",
                    format!("job {job}: readers were told {told:?}, what counts is {run:?}"),
                );
            }
        }
        self.outcome.tally.lost_unbegun += u64::from(matches!(run, Run::Lost { begun: false, .. }));
    }

    /// A job is poison because engines died of it, not because networks were lost.
    pub(super) fn judge_poison(&mut self, job: usize, claim: &blitz_jobs::run::Claim) {
        let region = self.jobs[job].region;
        let mut deaths = 0;
        let mut seen_alive = Vec::new();
        for silent in &claim.silent {
            let Some(life) = self.life_of.get(&silent.incarnation).copied() else { continue };
            if self.lives[life].dead {
                deaths += 1;
                continue;
            }
            let Some(peer) = silent.engine.strip_prefix('e').and_then(|peer| peer.parse().ok())
            else {
                continue;
            };
            let found = self.get(region, 0, BEATS, &Id::Beat(peer));
            let Read::Answered(Some((_, Body::Beat(beat, _)))) = found else { continue };
            let is_back =
                beat.value.incarnation == silent.incarnation && beat.value.counter > silent.counter;
            if is_back && self.lives[life].beat_at + BEAT_SEEN < self.now {
                seen_alive.push(silent.engine.clone());
            }
        }
        if deaths == 0 {
            self.outcome.tally.poison_without_death += 1;
        }
        let away = claim.silent.len() - deaths - seen_alive.len();
        if !self.jobs[job].split && deaths + away < DEATHS_MAX {
            self.find(
                "poison-alive",
                format!("job {job} is poison though {seen_alive:?} had been seen alive again"),
            );
        }
    }
}
