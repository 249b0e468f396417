//! What is told of an end, and what stays of it.

use blitz_jobs::Run;

use super::STOPPED;
use crate::couchdb::Read;
use crate::world::World;
use crate::world::document::{Id, Kind};
use crate::world::event::Peer;
use crate::world::peer::Mind;

impl World {
    /// A reader heard of an end, and now of another.
    pub(in crate::world) fn two_ends(&mut self, peer: Peer, job: usize, end: &Run, other: &Run) {
        if self.jobs[job].is_divided() || self.jobs[job].void {
            self.outcome.tally.ends_split += 1;
            return;
        }
        let text = format!("{} heard of job {job}: {end:?}, and then: {other:?}", self.name(peer));
        self.find("end-changed", text);
    }

    /// A reader that heard of an end hears of a run again from the same cluster: never, once all copies are the same. Who
    /// heard of an end has forgotten the job.
    pub(in crate::world) fn end_undone(&mut self, peer: Peer, job: usize, run: &Run) {
        let found = &self.jobs[job];
        let base = &self.sites[self.peers[peer].site].bases[found.base];
        if !found.void && base.agrees(&Id::Job(job, Kind::Run)) {
            let text = format!(
                "{} had heard of the end of job {job}, and then: {}",
                self.name(peer),
                run.state()
            );
            self.find("end-undone", text);
        }
    }

    pub(super) fn judge_end(&mut self, job: usize, last: bool) {
        let found = &self.jobs[job];
        if self.regions[found.region].is_many() {
            return self.judge_end_of_many(job, last);
        }
        if found.void {
            self.jobs[job].settled = found.active.is_empty();
            self.outcome.tally.void += u64::from(self.jobs[job].settled);
            return;
        }
        let (site, active) = (self.home_of(found.region), !found.active.is_empty());
        let agrees = self.sites[site].bases[found.base].agrees(&Id::Job(job, Kind::Run));
        let counts = self.in_the_end(job).map(|(_, run)| run);
        let told = self.told_by_all(job);
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

    pub(in crate::world) fn spec_is_stored(&mut self, job: usize) -> bool {
        let site = self.home_of(self.jobs[job].region);
        let base = self.jobs[job].base;
        matches!(self.get(site, 0, base, &Id::Job(job, Kind::Spec)), Read::Answered(Some(_)))
    }

    pub(super) fn settled(&mut self, job: usize, counts: Option<Run>, told: &[Option<Run>]) {
        self.jobs[job].settled = true;
        let Some(run) = counts else { return };
        self.outcome.tally.ended(&run);
        self.trace(job, |_| format!("at rest: {run:?}"));
        if told.iter().flatten().any(|told| *told != run) {
            if self.jobs[job].is_divided() {
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

    /// Whoever follows the feed has heard of every end.
    pub(super) fn judge_missed(&mut self) {
        for peer in 0..self.peers.len() {
            let state = &self.peers[peer];
            let Mind::Engine(mind) = &state.mind else { continue };
            let follows = state.feed.live
                && !state.cut
                && !state.paused
                && state.troubled + STOPPED < self.now;
            if state.site != self.home_of(state.region) || mind.leaves {
                continue;
            }
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

    /// What lost was removed.
    pub(super) fn judge_leaves(&mut self) {
        for job in 0..self.jobs.len() {
            let region = self.jobs[job].region;
            if self.regions[region].is_many() {
                self.judge_leaves_of_many(job);
                continue;
            }
            let site = self.home_of(region);
            let r = self.sites[site].copies;
            let Read::Answered(leaves) = self.read_leaves(site, 0, job, r) else { continue };
            if leaves.runs.len() > 1 {
                self.find(
                    "leaves-left",
                    format!("job {job} has {} leaves at rest", leaves.runs.len()),
                );
            }
        }
    }
}
