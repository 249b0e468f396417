//! How long a job ran in two places.

use crate::world::World;
use crate::world::event::Peer;
use crate::world::peer::Mind;

impl World {
    /// Adds up how long a job ran in two places, up to now.
    pub(in crate::world) fn count(&mut self, job: usize) {
        let found = &self.jobs[job];
        let time = self.now - found.counted;
        let running = found.active.iter().filter(|active| {
            let state = &self.peers[active.peer];
            !(state.paused || state.unchecked || active.was_paused && active.stops)
        });
        let mut sites: Vec<usize> = running.map(|active| self.peers[active.peer].site).collect();
        let runs_twice = sites.len() > 1;
        sites.sort_unstable();
        let in_one = sites.windows(2).any(|pair| pair[0] == pair[1]);
        let (split, void, apart) = (found.split, found.void, found.apart || found.moved || !in_one);
        self.jobs[job].counted = self.now;
        if !runs_twice || time.is_zero() {
            return;
        }
        let tally = &mut self.outcome.tally;
        if apart {
            tally.overlap_apart += time;
        } else if split || void {
            tally.overlap_split += time;
        } else {
            tally.overlap += time;
            let text = format!("job {job} ran in two places for {time:?}");
            self.find("overlap", text);
        }
    }

    /// The same for all jobs that a peer runs: its state is about to change.
    pub(in crate::world) fn count_all(&mut self, peer: Peer) {
        let Mind::Engine(mind) = &self.peers[peer].mind else { return };
        let jobs: Vec<usize> = mind.running.keys().copied().collect();
        for job in jobs {
            self.count(job);
        }
    }

    pub(in crate::world) fn mark_paused(&mut self, peer: Peer) {
        for job in &mut self.jobs {
            for active in &mut job.active {
                active.was_paused |= active.peer == peer;
            }
        }
    }

    /// A peer does not run the job any more.
    pub(in crate::world) fn stop_counting(&mut self, peer: Peer, job: usize, crashed: bool) {
        self.count(job);
        let found = &mut self.jobs[job];
        let before = found.active.len();
        found.active.retain(|active| active.peer != peer);
        if crashed && found.active.is_empty() && before == 1 {
            self.note_death(job);
        }
    }

    pub(in crate::world) fn stop_counting_all(&mut self, peer: Peer, crashed: bool) {
        let Mind::Engine(mind) = &self.peers[peer].mind else { return };
        let jobs: Vec<usize> = mind.running.keys().copied().collect();
        for job in jobs {
            if self.jobs[job].active.iter().any(|active| active.peer == peer) {
                let clean = crashed && !self.peers[peer].paused && !self.peers[peer].cut;
                self.stop_counting(peer, job, clean);
            }
        }
    }
}
