//! What engines, keepers and gateways have in common: a machine with a clock, on some node of a region's store.

use std::time::Duration;

use blitz_jobs::Incarnation;
use blitz_jobs::timing::Timing;

use super::World;
use super::clock::Clock;
use super::engine::EngineMind;
use super::event::{Event, Peer};
use super::feed::Feed;
use super::gateway::GatewayMind;
use super::keeper::KeeperMind;
use super::mutant::Mutant;
use super::stay::Machine;

/// A tick that leaves something due in the past is repeated after this long.
const SPIN: Duration = Duration::from_millis(1);

/// So many such ticks on end are a bug: an engine that is busy with nothing.
const SPINS_MAX: u32 = 200;

/// What a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Engine,
    Keeper,
    Gateway,
}

#[derive(Debug)]
pub(super) enum Mind {
    Engine(Box<EngineMind>),
    Keeper(Box<KeeperMind>),
    Gateway(Box<GatewayMind>),
    /// It does not run.
    None,
}

#[derive(Debug)]
pub(super) struct PeerState {
    pub(super) role: Role,
    pub(super) region: usize,
    /// The site that it talks to. A stay of an engine has one for its life.
    pub(super) site: usize,
    /// The site beside which it is: that one is never cut off from it by a link.
    pub(super) near: usize,
    /// The machine of an engine's stays.
    pub(super) machine: usize,
    /// The epoch under which a stay of an engine claims.
    pub(super) epoch: u32,
    /// The node that it talks to.
    pub(super) node: usize,
    pub(super) alive: bool,
    /// It has no duty where it is, and waits for one.
    pub(super) idle: bool,
    /// Counts its starts.
    pub(super) life: u32,
    pub(super) paused: bool,
    /// It went on after a pause and has not looked at its leases.
    pub(super) unchecked: bool,
    /// When its last pause or cut began or ended.
    pub(super) troubled: Duration,
    /// When anything last befell it, or ended that did: a start, a pause, a cut, the loss of its feed.
    pub(super) struck: Duration,
    /// It is paused when it has sent its next beat, so that the answer is old when it comes.
    pub(super) pauses_at_beat: bool,
    /// Its network is gone.
    pub(super) cut: bool,
    pub(super) clock: Clock,
    pub(super) feed: Feed,
    /// What happened to it while it was paused.
    pub(super) deferred: Vec<Event>,
    pub(super) wake: Option<Duration>,
    pub(super) spins: u32,
    /// How many engines it believes that the region has.
    pub(super) engines: u64,
    pub(super) mind: Mind,
}

/// Where a peer begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct PeerAt {
    pub(super) site: usize,
    pub(super) near: usize,
    pub(super) machine: usize,
    pub(super) epoch: u32,
}

/// One start of an engine.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) incarnation: Incarnation,
    /// When it crashed.
    pub(super) died: Option<Duration>,
    /// Its signs of life: the counters of its beats, and when their storing was answered. A job that it began is one
    /// of counter 0.
    pub(super) signs: Vec<(u64, Duration)>,
}

impl PeerState {
    /// Whether it is the stay of an engine that went to a hub by itself.
    pub(super) fn is_provisional(&self) -> bool {
        self.epoch.is_multiple_of(2)
    }
}

impl World {
    /// Adds a peer beside a site, to start soon.
    pub(super) fn add_peer(&mut self, site: usize, role: Role, engines: usize) -> Peer {
        let clock = Clock::new(&mut self.chance);
        // Everybody has counted a little wrong.
        let wrong = 0.9 + 0.2 * self.chance.fraction();
        let engines = Duration::from_secs(u64::try_from(engines).unwrap_or(1))
            .mul_f64(wrong)
            .as_secs()
            .max(1);
        let machine = self.machines.len();
        let peer =
            self.put_peer(PeerAt { site, near: site, machine, epoch: 1 }, role, clock, engines);
        if role == Role::Engine {
            self.machines.push(Machine::new(peer));
        }
        let wait = self.chance.between(Duration::ZERO, Duration::from_millis(900));
        self.later(wait, Event::Start { peer, life: 0 });
        peer
    }

    pub(super) fn put_peer(&mut self, at: PeerAt, role: Role, clock: Clock, engines: u64) -> Peer {
        let PeerAt { site, near, machine, epoch } = at;
        let peer = self.peers.len();
        let node = self.chance.below(self.sites[site].copies);
        self.peers.push(PeerState {
            role,
            region: self.sites[site].region,
            site,
            near,
            machine,
            epoch,
            node,
            alive: false,
            idle: false,
            life: 0,
            paused: false,
            unchecked: false,
            pauses_at_beat: false,
            cut: false,
            troubled: Duration::ZERO,
            struck: Duration::ZERO,
            clock,
            feed: Feed::default(),
            deferred: Vec::new(),
            wake: None,
            spins: 0,
            engines,
            mind: Mind::None,
        });
        self.sites[site].peers.push(peer);
        peer
    }

    /// A peer that does not run goes to another site.
    pub(super) fn put_to(&mut self, peer: Peer, site: usize) {
        let before = std::mem::replace(&mut self.peers[peer].site, site);
        if before != site {
            self.sites[before].peers.retain(|other| *other != peer);
            self.sites[site].peers.push(peer);
            self.peers[peer].node = self.chance.below(self.sites[site].copies);
        }
    }

    /// Whether what a peer sends arrives at a site, and the other way around.
    pub(super) fn enters(&self, peer: Peer, site: usize) -> bool {
        let state = &self.peers[peer];
        !state.cut && (state.near == site || !self.is_cut(state.near, site))
    }

    /// Starts a peer, with nothing that an earlier start of it knew.
    pub(super) fn boot(&mut self, peer: Peer) {
        if self.regions[self.peers[peer].region].is_many() && !self.find_place(peer) {
            return;
        }
        let state = &mut self.peers[peer];
        state.alive = true;
        state.paused = false;
        state.unchecked = false;
        state.cut = false;
        state.feed = Feed::default();
        state.wake = None;
        state.spins = 0;
        let mind = match state.role {
            Role::Engine => self.engine_mind(peer),
            Role::Keeper => self.keeper_mind(peer),
            Role::Gateway => GatewayMind::mind(),
        };
        self.peers[peer].mind = mind;
        self.peers[peer].feed.lists = true;
        let life = self.peers[peer].life;
        self.later(Duration::ZERO, Event::List { peer, life, stage: 0 });
    }

    pub(super) fn timing(&self) -> Timing {
        let normal = Timing::default();
        if self.mutants.has(Mutant::DeadBeforeStop) {
            return Timing { dead: normal.dead / 2, stop: normal.dead * 2, ..normal };
        }
        normal
    }

    /// What a peer planned is due.
    pub(super) fn wake(&mut self, peer: Peer) {
        if self.peers[peer].wake != Some(self.now)
            && self.peers[peer].wake.is_none_or(|at| at > self.now)
        {
            // A later plan has replaced this one; what rang late after a pause counts.
            return;
        }
        self.peers[peer].wake = None;
        self.settle(peer);
    }

    /// Lets a peer do what is due, and plans when it will look again.
    pub(super) fn settle(&mut self, peer: Peer) {
        let due = match self.peers[peer].role {
            Role::Engine => self.tick_engine(peer),
            Role::Keeper => self.tick_keeper(peer),
            Role::Gateway => None,
        };
        let now = self.now;
        let local = self.local(peer);
        let state = &mut self.peers[peer];
        if !state.alive {
            return;
        }
        let Some(due) = due else {
            state.spins = 0;
            return;
        };
        let at = if due <= local {
            state.spins += 1;
            now + SPIN
        } else {
            state.spins = 0;
            state.clock.truth(due).max(now)
        };
        let life = state.life;
        if state.wake.is_none_or(|wake| wake > at) {
            state.wake = Some(at);
            self.queue.put(at, Event::Wake { peer, life });
        }
        if self.peers[peer].spins == SPINS_MAX {
            let what = format!("{} is busy with nothing", self.name(peer));
            self.find("busy-loop", what);
        }
    }

    pub(super) fn name(&self, peer: Peer) -> String {
        let state = &self.peers[peer];
        match state.role {
            Role::Engine if self.regions[state.region].is_many() => {
                format!("e{} (stay {peer} at {} epoch {})", state.machine, state.site, state.epoch)
            }
            Role::Engine => format!("e{}", state.machine),
            Role::Keeper => format!("keeper {peer}"),
            Role::Gateway => format!("gateway {peer}"),
        }
    }

    /// A peer ends without a word; of an engine all stays.
    pub(super) fn crash(&mut self, peer: Peer, back_after: Duration) {
        let peer = if self.peers[peer].role == Role::Engine {
            let mut stays = std::mem::take(&mut self.machines[self.peers[peer].machine].stays);
            let last = stays.pop().unwrap_or(peer);
            stays.into_iter().for_each(|stay| self.die(stay));
            self.machines[self.peers[peer].machine].stays = vec![last];
            last
        } else {
            peer
        };
        self.die(peer);
        let life = self.peers[peer].life;
        self.later(back_after, Event::Start { peer, life });
    }

    /// What a peer did ends, without a word.
    pub(super) fn die(&mut self, peer: Peer) {
        self.stop_counting_all(peer, true);
        let state = &mut self.peers[peer];
        state.alive = false;
        state.paused = false;
        state.unchecked = false;
        state.struck = self.now;
        state.life += 1;
        state.deferred.clear();
        state.feed = Feed::default();
        if let Mind::Engine(mind) = std::mem::replace(&mut state.mind, Mind::None) {
            self.lives[mind.life].died = Some(self.now);
        }
    }

    pub(super) fn pause(&mut self, peer: Peer, time: Duration) {
        self.count_all(peer);
        let state = &mut self.peers[peer];
        state.paused = true;
        state.troubled = self.now;
        state.struck = self.now;
        let life = state.life;
        self.mark_paused(peer);
        self.later(time, Event::Resume { peer, life });
    }

    /// Goes on where it was: whatever waited happens now, in its order, but not at one instant.
    pub(super) fn resume(&mut self, peer: Peer) {
        self.count_all(peer);
        let state = &mut self.peers[peer];
        state.paused = false;
        state.troubled = self.now;
        state.struck = self.now;
        state.unchecked = matches!(state.role, Role::Engine);
        let mut at = self.now;
        for event in std::mem::take(&mut state.deferred) {
            at += self.chance.between(Duration::ZERO, Duration::from_micros(500));
            self.queue.put(at, event);
        }
    }
}
