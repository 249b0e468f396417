//! What must not begin: a job again, elsewhere, or one that has killed too many; and what an end may replace.

use blitz_jobs::Run;
use blitz_jobs::run::DEATHS_MAX;

use crate::couchdb::Rev;
use crate::world::World;
use crate::world::document::Body;
use crate::world::event::Peer;

impl World {
    /// A job begins once more.
    pub(in crate::world) fn judge_start(&mut self, peer: Peer, job: usize) {
        self.judge_rescue(peer, job);
        self.judge_epoch(peer, job);
        let here = self.peers[peer].site;
        let split = self.sites[here].is_split(self.now);
        self.jobs[job].split |= split;
        let (crowd, found) = (&self.peers, &self.jobs[job]);
        let unwell = self.sites[here].unwell_until;
        let again = found.finished.filter(|(peer, life, at)| {
            let state = &crowd[*peer];
            let well = state.alive && !state.paused && !state.cut && state.troubled < *at;
            let well = well && self.enters(*peer, state.site);
            let is_spread = found.is_spread() || state.site != here;
            well && state.life == *life && unwell < *at && !is_spread && !found.void
        });
        if let Some((peer, ..)) = again {
            let text = format!(
                "job {job} begins again though {} came to its end and is well",
                self.name(peer)
            );
            self.find("run-again", text);
        }
        let found = &self.jobs[job];
        let excused = found.void && !self.regions[found.region].is_many();
        if found.is_never() && found.starts > 1 && !excused {
            let text = format!("job {job} must not run twice and has begun {} times", found.starts);
            self.find("begun-twice", text);
        }
        let (home, here) = (self.jobs[job].region, self.peers[peer].region);
        if home != here {
            let (home, here) = (&self.regions[home].name, &self.regions[here].name);
            let text = format!("{} of region {here} begins job {job} of {home}", self.name(peer));
            self.find("wrong-region", text);
        }
    }

    /// An end replaces the claim that it ends.
    pub(in crate::world) fn judge_step(
        &mut self,
        job: usize,
        over: Option<Rev>,
        run: &Run,
        body: &Body,
    ) {
        let Some(claim) = run.claim() else { return };
        if matches!(run, Run::Poison { .. }) {
            self.note_poison(job, claim);
        }
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
    pub(in crate::world) fn judge_kill(&mut self, job: usize) {
        self.outcome.tally.kills += 1;
        let found = &mut self.jobs[job];
        found.kills += 1;
        if found.kills > DEATHS_MAX && !found.is_spread() && !found.void {
            let text = format!("job {job} has killed {} engines", found.kills);
            self.find("poison-spread", text);
        }
    }
}
