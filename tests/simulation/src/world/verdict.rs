//! Looks on, knows everything, and says what must not be.
//!
//! Each file has the verdicts of one kind: `begin` on what must not begin, `overlap` on a job that runs in two places,
//! `hold` on who runs on or leaves a job alone, `rescue` on how soon a dead engine's job begins elsewhere, `poison` on
//! whom a job is said to have killed, `end` on what is told of an end and stays of it, `apart` on regions with several
//! clusters. Here they are asked, until the world
//! has come to rest.

mod apart;
mod begin;
mod end;
mod hold;
mod overlap;
mod poison;
mod rescue;

use std::time::Duration;

use blitz_couchdb::Revision;
use blitz_jobs::Run;

use super::World;
use super::event::{Event, Peer};
use super::peer::{Mind, Role};

pub(super) use rescue::{Death, TROUBLED_MAX, clear_max};

/// Everything is looked at this often.
const LOOK: Duration = Duration::from_secs(5);

/// Who is told to stop has stopped after this long.
const STOPPED: Duration = Duration::from_secs(6);

/// The world is at rest when it was seen to be so often on end.
const RESTS: u32 = 3;

impl World {
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
            Mind::Engine(mind) => {
                mind.contest.busy() > 0 && !self.sites[self.peers[*peer].site].gone
            }
            _ => false,
        };
        (0..self.peers.len()).filter(is_busy).collect()
    }

    /// The leaf of a job that counts in the end.
    fn in_the_end(&mut self, job: usize) -> Option<(Revision, Run)> {
        self.resolved_at(self.home_of(self.jobs[job].region), job)
    }
}
