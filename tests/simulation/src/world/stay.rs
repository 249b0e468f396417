//! Where engines, keepers and gateways of a region with several clusters are: stays, duties, places.
//!
//! An engine stays at one cluster under one epoch. When it hears that its region has moved it begins another stay there,
//! a new incarnation, and the old one claims nothing more. When the home does not answer for long and the region
//! says so, it begins a provisional stay at a hub, and leaves that when the home has answered for a while. A keeper works at the
//! site that is home by what is known there. A gateway follows at home when it gets there, else beside itself.

use std::time::Duration;

use super::World;
use super::event::{Event, Peer};
use super::feed::Feed;
use super::peer::{Mind, PeerAt, PeerState, Role};

/// An engine looks around so often; one in so many of a hundred is slow.
const AROUND_MIN: Duration = Duration::from_secs(1);
const AROUND_MAX: Duration = Duration::from_secs(6);
const SLOW_PERCENT: f64 = 5.0;
const SLOW: Duration = Duration::from_secs(40);

/// Keepers and gateways look so often where they should be.
const PLACE_MIN: Duration = Duration::from_millis(700);
const PLACE_MAX: Duration = Duration::from_secs(4);

/// The machine of an engine.
#[derive(Debug)]
pub(super) struct Machine {
    /// The last is the one that begins again after a crash.
    pub(super) stays: Vec<Peer>,
    /// The newest edition of its region's document that it read.
    edition: usize,
    /// Since when the home does not answer, or does.
    silent_since: Option<Duration>,
    home_since: Option<Duration>,
}

impl Machine {
    pub(super) fn new(stay: Peer) -> Self {
        Self { stays: vec![stay], edition: 0, silent_since: None, home_since: None }
    }
}

impl World {
    /// The stays of an engine, or the peer itself.
    pub(super) fn with_siblings(&self, peer: Peer) -> Vec<Peer> {
        match self.peers[peer].role {
            Role::Engine => self.machines[self.peers[peer].machine].stays.clone(),
            _ => vec![peer],
        }
    }

    /// Whether a peer would be answered at a site.
    fn is_served(&self, peer: Peer, site: usize) -> bool {
        self.enters(peer, site) && self.sites[site].answers()
    }

    /// The newest edition that a peer can read: at its site, else anywhere.
    fn read_edition(&self, peer: Peer) -> Option<usize> {
        let own = self.peers[peer].site;
        if self.is_served(peer, own) {
            return Some(self.sites[own].edition());
        }
        let sites = self.regions[self.peers[peer].region].sites.iter();
        sites
            .filter(|site| self.is_served(peer, **site))
            .map(|site| self.sites[*site].edition())
            .max()
    }

    /// A peer begins: where? False when it has nothing to do for now.
    pub(super) fn find_place(&mut self, peer: Peer) -> bool {
        let region = self.peers[peer].region;
        match self.peers[peer].role {
            Role::Engine => {
                // A stay that was begun on purpose is where it is to be.
                if self.peers[peer].life == 0 {
                    return true;
                }
                let machine = self.peers[peer].machine;
                if let Some(edition) = self.read_edition(peer) {
                    let known = &mut self.machines[machine].edition;
                    *known = edition.max(*known);
                }
                let edition = self.regions[region].editions[self.machines[machine].edition];
                self.peers[peer].epoch = edition.epoch;
                self.put_to(peer, edition.home);
                true
            }
            Role::Keeper => {
                let is_home = self.edition_at(self.peers[peer].near).home == self.peers[peer].near;
                self.peers[peer].idle = !is_home;
                is_home
            }
            Role::Gateway => true,
        }
    }

    /// An engine looks where it should be, now and again.
    pub(super) fn around(&mut self, machine: usize) {
        let mut wait = self.chance.between(AROUND_MIN, AROUND_MAX);
        if self.chance.percent(SLOW_PERCENT) {
            wait += self.chance.between(Duration::ZERO, SLOW);
        }
        self.later(wait, Event::Around(machine));
        if let Some(stay) = self.machines[machine].stays.last().copied() {
            self.look_around(stay);
        }
    }

    pub(super) fn look_around(&mut self, stay: Peer) {
        let machine = self.peers[stay].machine;
        let region = self.peers[stay].region;
        let Some(last) = self.machines[machine].stays.last().copied() else { return };
        if !self.peers[last].alive || self.peers[last].paused {
            let machine = &mut self.machines[machine];
            (machine.silent_since, machine.home_since) = (None, None);
            return;
        }
        let read = self.read_edition(stay).max(self.read_edition(last));
        if let Some(edition) = read
            && edition > self.machines[machine].edition
        {
            self.machines[machine].edition = edition;
            let editions = &self.regions[region].editions;
            let edition = editions[edition];
            let is_there = self.machines[machine].stays.iter().any(|stay| {
                let state = &self.peers[*stay];
                (state.site, state.epoch) == (edition.home, edition.epoch)
            });
            if !is_there {
                for stay in self.machines[machine].stays.clone() {
                    self.leave(stay, true);
                }
                self.begin_stay(machine, edition.home, edition.epoch);
                self.outcome.tally.stays += 1;
            }
        }
        self.fail_over(machine);
        self.retire(machine);
    }

    /// To a hub, or back from it.
    fn fail_over(&mut self, machine: usize) {
        let Some(last) = self.machines[machine].stays.last().copied() else { return };
        let region = self.peers[last].region;
        let edition = self.regions[region].editions[self.machines[machine].edition];
        let is_served = self.is_served(last, edition.home);
        let (now, timing) = (self.now, self.timing());
        let found = &mut self.machines[machine];
        if is_served {
            found.silent_since = None;
            found.home_since.get_or_insert(now);
        } else {
            found.home_since = None;
            found.silent_since.get_or_insert(now);
        }
        let provisional = found.stays.iter().copied().find(|stay| {
            let state = &self.peers[*stay];
            let leaves = matches!(&state.mind, Mind::Engine(mind) if mind.leaves);
            state.epoch == edition.epoch + 1 && state.alive && !leaves
        });
        let (silent, back) = (found.silent_since, found.home_since);
        match provisional {
            Some(stay) if back.is_some_and(|since| since + timing.home_again <= now) => {
                self.leave(stay, false);
            }
            None if self.regions[region].fails_over
                && silent.is_some_and(|since| since + timing.failover_after <= now) =>
            {
                let hubs = self.regions[region].sites.iter().filter(|site| **site != edition.home);
                let hub = hubs.copied().find(|site| self.is_served(last, *site));
                if let Some(hub) = hub {
                    self.begin_stay(machine, hub, edition.epoch + 1);
                    // The stay at home is the one that begins again after a crash.
                    self.machines[machine].stays.rotate_right(1);
                    self.outcome.tally.failovers += 1;
                }
            }
            _ => {}
        }
    }

    fn begin_stay(&mut self, machine: usize, site: usize, epoch: u32) {
        let Some(last) = self.machines[machine].stays.last().copied() else { return };
        let PeerState { near, clock, engines, cut, .. } = &self.peers[last];
        let (near, clock, engines, cut) = (*near, *clock, *engines, *cut);
        let at = PeerAt { site, near, machine, epoch };
        let peer = self.put_peer(at, Role::Engine, clock, engines);
        self.peers[peer].cut = cut;
        self.machines[machine].stays.push(peer);
        let life = self.peers[peer].life;
        self.later(Duration::from_millis(10), Event::Start { peer, life });
    }

    /// A stay claims nothing more. When the region has moved it gives back what others may run.
    fn leave(&mut self, stay: Peer, moved: bool) {
        let Some(mind) = self.engine(stay) else { return };
        mind.leaves = true;
        let actions = if moved {
            mind.contest.leave_home()
        } else {
            mind.contest.drain();
            Vec::new()
        };
        self.perform(stay, actions);
        self.settle(stay);
    }

    /// Ends the stays that are left and have nothing more to do.
    fn retire(&mut self, machine: usize) {
        for stay in self.machines[machine].stays.clone() {
            let is_done = match &self.peers[stay].mind {
                Mind::Engine(mind) => mind.leaves && mind.contest.busy() == 0,
                _ => false,
            };
            if is_done && self.machines[machine].stays.len() > 1 {
                self.machines[machine].stays.retain(|other| *other != stay);
                self.end_stay(stay);
            }
        }
    }

    fn end_stay(&mut self, stay: Peer) {
        self.die(stay);
        let site = self.peers[stay].site;
        self.sites[site].peers.retain(|other| *other != stay);
    }

    /// A keeper or a gateway looks where it should be, now and again.
    pub(super) fn find_places(&mut self, peer: Peer) {
        let wait = self.chance.between(PLACE_MIN, PLACE_MAX);
        self.later(wait, Event::Place(peer));
        let PeerState { role, near, alive, idle, paused, .. } = self.peers[peer];
        if paused {
            return;
        }
        let home = self.edition_at(near).home;
        match role {
            Role::Keeper if alive && home != near => {
                self.die(peer);
                self.peers[peer].idle = true;
            }
            Role::Keeper if alive => {
                let (local, epoch) = (self.local(peer), self.edition_at(near).epoch);
                if let Mind::Keeper(mind) = &mut self.peers[peer].mind {
                    mind.keeper.hear_epoch(local, epoch);
                }
                self.settle(peer);
            }
            Role::Keeper if idle && home == near && self.sites[near].answers() => {
                self.peers[peer].idle = false;
                let life = self.peers[peer].life;
                self.later(Duration::ZERO, Event::Start { peer, life });
            }
            Role::Gateway if alive => {
                let others = self.regions[self.peers[peer].region].sites.iter().copied();
                let mut places = [home, near].into_iter().chain(others);
                let Some(best) = places.find(|site| self.is_served(peer, *site)) else { return };
                if best != self.peers[peer].site {
                    self.put_to(peer, best);
                    self.peers[peer].feed = Feed::listing();
                    let life = self.peers[peer].life;
                    self.later(Duration::ZERO, Event::List { peer, life, stage: 0 });
                }
            }
            _ => {}
        }
    }
}
