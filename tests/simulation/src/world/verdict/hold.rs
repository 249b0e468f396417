//! Who runs a job: nobody who knows that it is another's, and not nobody for long.

use std::time::Duration;

use blitz_jobs::Run;
use blitz_jobs::run::DEATHS_MAX;
use blitz_jobs::timing::Timing;

use super::{STOPPED, TROUBLED_MAX};
use crate::world::World;
use crate::world::document::{Id, Kind};
use crate::world::event::Peer;
use crate::world::peer::Mind;

/// An engine that reaches its store has heard of a replaced database after this long.
const VOID_HEARD: Duration = Duration::from_secs(15);

impl World {
    /// An engine that runs a job hears that it is another's, or has ended.
    pub(in crate::world) fn note_fenced(&mut self, peer: Peer, job: usize, run: &Run) {
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

    /// Nobody runs on a job that he knows to be another's, and none is left without anybody.
    pub(super) fn judge_running(&mut self) {
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
            let home = self.home_of(found.region);
            let site = &self.sites[home];
            let leaves = site.bases[found.base].leaves_in_the_end(&Id::Job(job, Kind::Run));
            let moves = leaves != found.leaves || !found.active.is_empty();
            let is_settled = self.regions[found.region].unsettled_until < now;
            let is_well = site.unwell_until < now && !site.is_split(now) && is_settled;
            let watched = self.watched_since(home).filter(|_| is_well && !moves);
            let Some(watched) = watched else {
                let found = &mut self.jobs[job];
                found.leaves = leaves;
                found.idle = now;
                found.is_abandoned = false;
                continue;
            };
            let since = found.idle.max(watched);
            if now > since + TROUBLED_MAX && !found.is_abandoned {
                self.judge_abandoned(job, now - since);
            }
        }
    }

    /// A job has been left alone, though one and the same watcher was there and well for so long.
    fn judge_abandoned(&mut self, job: usize, time: Duration) {
        let Some((_, Run::Claimed { claim })) = self.in_the_end(job) else { return };
        // Of these the keeper waits until their time is over: nobody knows what came of them at the former home.
        let found = &self.jobs[job];
        let home = self.regions[found.region].newest();
        if found.is_never() && found.spec.home_epoch < home.epoch {
            return;
        }
        // Who may be the one too many is judged when he, and those before him, are gone.
        let waits = claim.silent.len() + 1 >= DEATHS_MAX;
        let gone = if waits { Timing::default().gone() } else { Duration::ZERO };
        if time > TROUBLED_MAX + gone {
            self.jobs[job].is_abandoned = true;
            let text = format!("job {job} is claimed, and nobody has run it for {time:?}");
            self.find("abandoned", text);
        }
    }

    /// Nobody runs on what was in a database that is gone.
    pub(super) fn judge_void(&mut self) {
        for job in 0..self.jobs.len() {
            let found = &self.jobs[job];
            let site = &self.sites[self.home_of(found.region)];
            let Some(recreated) = site.recreated.filter(|_| found.void) else { continue };
            let ignorant = found.active.iter().find(|active| {
                let state = &self.peers[active.peer];
                self.now > recreated + VOID_HEARD
                    && site.unwell_until < self.now
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
}
