//! A keeper: the real one's decisions, performed as the gateway performs them.

use std::time::Duration;

use blitz_couchdb::Revision;
use blitz_jobs::Run;
use blitz_jobs::keeper::{Action, Keeper};
use blitz_jobs::writing::{Answer, Leaves};

use super::World;
use super::calls::Call;
use super::document::{Id, Kind, rev};
use super::event::Peer;
use super::mutant::Mutant;
use super::peer::Mind;
use super::store::Op;
use crate::couchdb::Write;

#[derive(Debug)]
pub(super) struct KeeperMind {
    pub(super) keeper: Keeper,
}

impl World {
    pub(super) fn keeper_mind(&self, peer: Peer) -> Mind {
        let mut keeper = Keeper::new(self.timing(), self.mutants.guards());
        keeper.hear_epoch(self.local(peer), self.edition_at(self.peers[peer].site).epoch);
        Mind::Keeper(Box::new(KeeperMind { keeper }))
    }

    fn keeper(&mut self, peer: Peer) -> Option<&mut Keeper> {
        match &mut self.peers[peer].mind {
            Mind::Keeper(mind) => Some(&mut mind.keeper),
            _ => None,
        }
    }

    pub(super) fn tick_keeper(&mut self, peer: Peer) -> Option<Duration> {
        let local = self.local(peer);
        let keeper = self.keeper(peer)?;
        let actions = keeper.tick(local);
        let polls = keeper.poll(local);
        for action in actions {
            match action {
                // Versions of plugins are not simulated.
                Action::Yank { .. } => {}
                Action::Write { job, over, run } => {
                    let Some(job) = self.job_of.get(&job).copied() else { continue };
                    self.write_step(peer, job, over, run);
                }
                Action::Remove { job, losers } => {
                    let Some(job) = self.job_of.get(&job).copied() else { continue };
                    self.trace(job, |w| format!("{} removes {losers:?}", w.name(peer)));
                    let w = self.sites[self.peers[peer].site].majority();
                    for loser in losers {
                        let write = Write::delete(Id::Job(job, Kind::Run), rev(&loser), w);
                        self.ask(
                            peer,
                            Op::Put { base: self.jobs[job].base, write },
                            Call::Remove { job, loser },
                        );
                    }
                }
            }
        }
        for engines in polls.values() {
            self.poll(peer, engines.iter().map(String::as_str));
        }
        self.keeper(peer)?.due()
    }

    /// A step was decided: what stands is heard at once, and what is not known is read.
    pub(super) fn keeper_answered(&mut self, peer: Peer, job: usize, run: &Run, answer: Answer) {
        match answer {
            Answer::Won(revision) => {
                self.hear_run(peer, job, revision, run.clone());
                self.settle(peer);
            }
            Answer::Lost => {
                let r = self.sites[self.peers[peer].site].majority();
                self.ask(peer, Op::Leaves { job, r }, Call::Look { job });
            }
            Answer::Unknown => {}
        }
    }

    pub(super) fn keeper_looked(&mut self, peer: Peer, job: usize, leaves: &Leaves) {
        self.tell_losers(peer, job, leaves);
        if let Some((revision, run)) = leaves.resolved(self.mutants.guards()).cloned() {
            self.hear_run(peer, job, revision, run);
        }
        self.settle(peer);
    }

    /// A leaf is gone, or may not have been removed.
    pub(super) fn remove_answered(&mut self, peer: Peer, job: usize, gone: Option<Revision>) {
        let (local, id) = (self.local(peer), self.jobs[job].id().clone());
        if let Some(keeper) = self.keeper(peer) {
            keeper.remove_answered(local, &id, gone.as_slice());
        }
        self.settle(peer);
    }

    /// Tells a keeper of the leaves beside the one that counts.
    pub(super) fn tell_losers(&mut self, peer: Peer, job: usize, leaves: &Leaves) {
        let stay = self.mutants.has(Mutant::LosersStay);
        if stay || leaves.runs.len() < 2 || !matches!(self.peers[peer].mind, Mind::Keeper(_)) {
            return;
        }
        let Some((counts, _)) = leaves.resolved(self.mutants.guards()) else { return };
        let losers = leaves
            .runs
            .iter()
            .map(|(revision, _)| revision.clone())
            .filter(|one| one != counts)
            .collect();
        let id = self.jobs[job].id().clone();
        if let Some(keeper) = self.keeper(peer) {
            keeper.hear_losers(&id, losers);
        }
    }
}
