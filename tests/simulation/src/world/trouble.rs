//! What goes wrong, and how it ends.

use std::time::Duration;

use super::World;
use super::event::{Event, Peer};
use super::peer::Role;
use super::plan::{FAULTS, Fault, StoreFault};
use super::site::{BASES, JOBS};
use crate::couchdb::{HANG_NOTICED, NodeState, STALE_MAX, STALE_MIN};

/// So many faults of a hundred hit an engine that runs a job at that moment.
const AIMED_PERCENT: f64 = 80.0;

/// So many pauses of a hundred begin when a beat is on its way.
const AT_BEAT_PERCENT: f64 = 25.0;

const SECOND: Duration = Duration::from_secs(1);

/// How long it takes until what a store's trouble delayed has been made up for: a lease, and a beat.
const RECOVERY: Duration = Duration::from_secs(30);

/// A feed whose node hangs is dead after three heartbeats.
const FEED_DEAD: Duration = Duration::from_secs(30);

impl World {
    /// A fault of a kind that this world knows, aimed as a rule at who has something to lose.
    pub(super) fn fault(&mut self) {
        let total: f64 = self.plan.weights.iter().sum();
        let mut place = self.chance.fraction() * total;
        let mut fault = FAULTS[0];
        for (kind, weight) in FAULTS.iter().zip(self.plan.weights) {
            if weight > 0.0 {
                fault = *kind;
            }
            if place < weight {
                break;
            }
            place -= weight;
        }
        let Some(peer) = self.victim(fault) else { return };
        let jobs: Vec<usize> = (0..self.jobs.len())
            .filter(|job| {
                Some(*job) == self.traced && self.jobs[*job].active.iter().any(|a| a.peer == peer)
            })
            .collect();
        for job in jobs {
            self.trace(job, |w| format!("{}: {fault:?}", w.name(peer)));
        }
        let tally = &mut self.outcome.tally;
        match fault {
            Fault::Crash | Fault::KeeperCrash => {
                tally.crashes += 1;
                let back = self.chance.between(SECOND, SECOND * 40);
                self.crash(peer, back);
            }
            Fault::Cut => {
                tally.cuts += 1;
                let time = self.chance.between(SECOND * 2, SECOND * 90);
                for peer in self.with_siblings(peer) {
                    self.peers[peer].cut = true;
                    self.peers[peer].troubled = self.now;
                    self.peers[peer].struck = self.now;
                    let life = self.peers[peer].life;
                    self.later(time, Event::Heal { peer, life });
                }
            }
            Fault::Pause => {
                if self.chance.percent(AT_BEAT_PERCENT) {
                    self.peers[peer].pauses_at_beat = true;
                } else {
                    self.pause_for_long(peer);
                }
            }
            Fault::FeedDrop => {
                tally.feed_drops += 1;
                self.drop_feed(peer);
            }
        }
    }

    pub(super) fn pause_for_long(&mut self, peer: Peer) {
        self.outcome.tally.pauses += 1;
        let time = self.chance.between(SECOND * 3, SECOND * 120);
        for peer in self.with_siblings(peer) {
            self.pause(peer, time);
        }
    }

    fn victim(&mut self, fault: Fault) -> Option<Peer> {
        let role = if fault == Fault::KeeperCrash { Role::Keeper } else { Role::Engine };
        let aims = role == Role::Engine && self.chance.percent(AIMED_PERCENT);
        let among: Vec<Peer> =
            if aims { self.busy_engines() } else { (0..self.peers.len()).collect() };
        let fit: Vec<Peer> = among
            .into_iter()
            .filter(|peer| {
                let state = &self.peers[*peer];
                state.role == role && state.alive && !state.paused && !state.cut
            })
            .collect();
        self.chance.pick(&fit).copied()
    }

    /// The network of a peer is back.
    pub(super) fn heal(&mut self, peer: Peer) {
        self.peers[peer].cut = false;
        self.peers[peer].troubled = self.now;
        self.peers[peer].struck = self.now;
        let wait = self.chance.between(Duration::ZERO, SECOND * 2);
        let life = self.peers[peer].life;
        self.later(wait, Event::FeedCheck { peer, life });
    }

    /// Trouble that was planned for a store.
    pub(super) fn trouble_store(&mut self, site: usize, trouble: usize) {
        if self.sites[site].troubled {
            let wait = self.chance.between(SECOND * 5, SECOND * 30);
            if self.now < self.plan.busy {
                self.later(wait, Event::Store { site, trouble });
            }
            return;
        }
        self.outcome.tally.store_faults += 1;
        let trouble = self.sites[site].plan[trouble];
        let copies = self.sites[site].copies;
        let node = self.chance.below(copies);
        let mut time = self.chance.between(SECOND * 5, SECOND * 60);
        if let Some(job) =
            self.traced.filter(|job| self.jobs[*job].region == self.sites[site].region)
        {
            self.trace(job, |_| format!("the store: {trouble:?} of node {node} for {time:?}"));
        }
        match trouble {
            StoreFault::NodeDown => {
                self.node_down(site, node);
                self.later(time, Event::NodeUp { site, node });
            }
            StoreFault::NodeHung => {
                time = self.chance.between(SECOND * 5, SECOND * 90);
                for base in 0..BASES {
                    self.sites[site].bases[base].hang(node);
                }
                for peer in self.peers_on(site, node) {
                    let life = self.peers[peer].life;
                    self.later(FEED_DEAD, Event::FeedCheck { peer, life });
                }
                self.later(HANG_NOTICED, Event::NodeNotice { site, node });
                self.later(time, Event::NodeUp { site, node });
            }
            StoreFault::Partition => {
                let sides: Vec<u8> = (0..copies).map(|place| u8::from(place == node)).collect();
                self.sites[site].parted = true;
                self.mark_split(site);
                for base in 0..BASES {
                    for decided in self.sites[site].bases[base].partition(&sides) {
                        self.decided(site, base, decided);
                    }
                }
                self.later(time, Event::Join { site });
            }
            StoreFault::Restart => {
                time = self.chance.between(SECOND * 2, SECOND * 30);
                for node in 0..copies {
                    self.node_down(site, node);
                    self.later(time, Event::NodeUp { site, node });
                }
            }
            StoreFault::Recreate => {
                self.recreate(site);
            }
        }
        if trouble != StoreFault::Recreate {
            self.sites[site].troubled = true;
            self.sites[site].unwell_until = self.now + time + RECOVERY;
        }
    }

    pub(super) fn node_down(&mut self, site: usize, node: usize) {
        for base in 0..BASES {
            for decided in self.sites[site].bases[base].stop(node) {
                self.decided(site, base, decided);
            }
        }
        for peer in self.peers_on(site, node) {
            if self.peers[peer].feed.live {
                self.drop_feed(peer);
            }
        }
    }

    fn peers_on(&self, site: usize, node: usize) -> Vec<Peer> {
        let peers = self.sites[site].peers.iter().copied();
        peers.filter(|peer| self.peers[*peer].node == node && self.peers[*peer].alive).collect()
    }

    /// A node is back, stale if it was down.
    pub(super) fn node_up(&mut self, site: usize, node: usize) {
        if self.sites[site].gone {
            return;
        }
        let hung = matches!(self.sites[site].state(node), NodeState::Hung { .. });
        for base in 0..BASES {
            let decided = self.sites[site].bases[base].start(node);
            for decided in decided {
                self.decided(site, base, decided);
            }
            self.tell_feeds(site, base);
        }
        if let Some(job) =
            self.traced.filter(|job| self.jobs[*job].region == self.sites[site].region)
        {
            self.trace(job, |_| format!("the store: node {node} is back"));
        }
        let wait = self.chance.between(STALE_MIN, STALE_MAX);
        self.sites[site].stale_until = self.now + wait;
        self.sites[site].troubled = false;
        if self.sites[site].copies > 1 {
            self.mark_split(site);
        }
        self.later(wait, Event::Sync { site });
        self.plan_flows(site);
        if hung {
            for peer in self.peers_on(site, node) {
                self.check_feed(peer);
            }
        }
    }

    pub(super) fn node_noticed(&mut self, site: usize, node: usize) {
        for base in 0..BASES {
            for decided in self.sites[site].bases[base].notice(node) {
                self.decided(site, base, decided);
            }
        }
    }

    /// The nodes reach each other again.
    pub(super) fn join(&mut self, site: usize) {
        for base in 0..BASES {
            self.sites[site].bases[base].heal();
        }
        if let Some(job) =
            self.traced.filter(|job| self.jobs[*job].region == self.sites[site].region)
        {
            self.trace(job, |_| "the store: its nodes reach each other again".to_owned());
        }
        let wait = self.chance.between(Duration::from_millis(50), STALE_MAX);
        self.sites[site].stale_until = self.now + wait;
        self.sites[site].parted = false;
        self.sites[site].troubled = false;
        self.mark_split(site);
        self.later(wait, Event::Sync { site });
    }

    pub(super) fn sync(&mut self, site: usize) {
        for base in 0..BASES {
            self.sites[site].bases[base].sync_all();
            self.tell_feeds(site, base);
        }
    }

    /// Somebody deletes the jobs and makes an empty database of the same name.
    fn recreate(&mut self, site: usize) {
        self.sites[site].bases[JOBS].recreate();
        self.sites[site].recreated = Some(self.now);
        self.travelling.retain(|(place, base, _), _| *place != site || *base != JOBS);
        let region = self.sites[site].region;
        for job in &mut self.jobs {
            if job.region == region && job.submitted.is_some() {
                job.void = true;
            }
        }
        for peer in self.sites[site].peers.clone() {
            self.drop_feed(peer);
        }
        self.tell_feeds(site, JOBS);
    }

    /// Whatever is open at a site now may be decided on two sides.
    pub(super) fn mark_split(&mut self, site: usize) {
        let region = self.sites[site].region;
        for job in &mut self.jobs {
            job.split |= job.region == region && !job.settled && job.submitted.is_some();
        }
    }
}
