//! How soon a job begins elsewhere when its engine has died.
//!
//! *Clear* is a rescue that nothing else struck, from the death to the new beginning: the store was well; one of those who
//! watch was awake, connected and heard its feed all the time, and so did everybody who tried to take the job or to open
//! it for others, and what they asked for was answered; an engine had room for it; and it was not [the one that may be one
//! too many](super::poison). It takes T_dead, and a little for turns and writes: [`clear_max`] is the bound of 99 in 100.
//!
//! All others are *troubled*: for as long as nobody who watches is there, or no copy answers, nobody can rescue, and who
//! comes back counts anew. Their bound is on the time in which somebody could: [`TROUBLED_MAX`], verdict `abandoned`.
//! It is T_dead for the engine that died and T_dead again for one that took the job and died in it, and twice what a
//! write without an answer costs: the waiting for the answer, and a beat before the next try.

use std::time::Duration;

use blitz_jobs::Run;
use blitz_jobs::run::DEATHS_MAX;
use blitz_jobs::timing::Timing;

use crate::world::World;
use crate::world::document::{Id, Kind};
use crate::world::event::Peer;
use crate::world::job::Job;
use crate::world::peer::Mind;
use crate::world::tally::Rescue;

/// See the text of this file: 2 x 25 s + 2 x (5 s + 5 s).
pub(in crate::world) const TROUBLED_MAX: Duration = Duration::from_secs(70);

/// What a clear rescue may take beyond T_dead: eight turns of 150 ms, and the writing of the claim.
const BEYOND_DEAD: Duration = Duration::from_secs(2);

/// A job that nobody has taken after this long waits for an engine with room.
const TAKEN: Duration = Duration::from_secs(2);

/// The bound of 99 in 100 clear rescues.
pub(in crate::world) fn clear_max() -> Duration {
    Timing::default().dead + BEYOND_DEAD
}

/// The death of an engine that ran a job, alone.
#[derive(Debug, Clone)]
pub(in crate::world) struct Death {
    at: Duration,
    /// Who has tried since to take the job, or to open it for others.
    rescuers: Vec<Peer>,
    /// It may be the one too many, and is not taken before it is sure how many are dead; or it was opened for others,
    /// and none of them had room; or one who tried got no answer.
    is_troubled: bool,
}

impl World {
    /// The engine that ran a job has died.
    pub(super) fn note_death(&mut self, job: usize) {
        let is_troubled = self.jobs[job].silent + 1 >= DEATHS_MAX;
        self.jobs[job].death = Some(Death { at: self.now, rescuers: Vec::new(), is_troubled });
    }

    /// Somebody writes a step of a job.
    pub(in crate::world) fn note_rescuer(&mut self, peer: Peer, job: usize, run: &Run) {
        let is_full = matches!(run, Run::Open { .. }) && self.is_full(job);
        if let Some(death) = &mut self.jobs[job].death {
            death.is_troubled |= is_full;
        }
        if let Some(death) = &mut self.jobs[job].death
            && !death.rescuers.contains(&peer)
        {
            death.rescuers.push(peer);
        }
    }

    /// Who tried to take a job, or to open it, got no answer: a request or an answer was lost.
    pub(in crate::world) fn note_unanswered(&mut self, job: usize) {
        if let Some(death) = &mut self.jobs[job].death {
            death.is_troubled = true;
        }
    }

    /// A job begins: if its engine had died, that was its rescue.
    pub(super) fn judge_rescue(&mut self, peer: Peer, job: usize) {
        let Some(death) = self.jobs[job].death.take() else { return };
        let region = self.jobs[job].region;
        let site = self.peers[peer].site;
        let was_well = |peer: &Peer| self.is_well(*peer) && self.peers[*peer].struck < death.at;
        let clear = self.sites[site].unwell_until < death.at
            && self.regions[region].unsettled_until < death.at
            && !self.jobs[job].is_spread()
            && !death.is_troubled
            && was_well(&peer)
            && death.rescuers.iter().all(was_well)
            && self.watchers(site).any(|watcher| was_well(&watcher));
        let time = self.now - death.at;
        let seed = self.outcome.seed;
        self.outcome.tally.rescues.push(Rescue { time, seed, job, clear });
    }

    /// Whether no engine of its region that is well has room for a job, or others have waited for one before it.
    fn is_full(&self, job: usize) -> bool {
        let Job { region, spec, .. } = &self.jobs[job];
        let site = &self.sites[self.home_of(*region)];
        let mut before = self.jobs.iter().enumerate().filter(|(_, other)| {
            let is_late = other.submitted.is_some_and(|at| at + TAKEN < self.now);
            other.region == *region && other.starts == 0 && !other.void && is_late
        });
        if before.any(|(number, other)| {
            site.bases[other.base].leaves_in_the_end(&Id::Job(number, Kind::Run)).is_empty()
        }) {
            return true;
        }
        let mut peers = site.peers.iter().filter(|peer| self.is_well(**peer));
        !peers.any(|peer| match &self.peers[*peer].mind {
            Mind::Engine(mind) => mind.contest.has_room(&spec.job),
            _ => false,
        })
    }

    /// Whether a peer is awake, connected, and hears its feed.
    fn is_well(&self, peer: Peer) -> bool {
        let state = &self.peers[peer];
        state.alive && !state.paused && self.enters(peer, state.site) && state.feed.live
    }

    /// Those at a site who watch the claims of others.
    fn watchers(&self, site: usize) -> impl Iterator<Item = Peer> + '_ {
        let peers = self.sites[site].peers.iter().copied();
        peers.filter(|peer| match &self.peers[*peer].mind {
            Mind::Engine(mind) => mind.contest.is_watcher(),
            Mind::Keeper(_) => true,
            _ => false,
        })
    }

    /// Since when one and the same of a site's watchers could have rescued a job, if one can now.
    pub(super) fn watched_since(&self, site: usize) -> Option<Duration> {
        let well = self.watchers(site).filter(|peer| self.is_well(*peer));
        well.map(|peer| self.peers[peer].struck).min()
    }
}
