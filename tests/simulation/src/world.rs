//! A world in simulated time: regions with their stores, engines, keepers and gateways, jobs, trouble, and the
//! verdict on what came of it.
//!
//! Everything that decides is the core's ([`blitz_jobs`]); here is what surrounds it: networks that lose, clocks that go
//! wrong, machines that stop. One seed is one world, and the same world each time.
//!
//! # The order to read in
//!
//! `plan` draws a world from its seed; `event` is what happens when; `site` is what a cluster has of a region, `store` brings requests to
//! the model of CouchDB there and answers back; `calls` says what an answer means to who asked. `peer` is what all that act have in common,
//! with their `feed`; `engine`, `keeper` and `gateway` drive the core as the real ones do; `running` is an
//! engine's work on one job. `trouble` is what goes wrong. A `region` may have several clusters: `replication` goes between
//! them, `stay` is who is where, and `topology` is what befalls them. `verdict` looks on, `tally` adds up, `mutant` breaks one rule, and
//! `command` is the command line.

mod calls;
mod chance;
mod clock;
mod command;
mod document;
mod engine;
mod event;
mod feed;
mod gateway;
mod job;
mod keeper;
mod mutant;
mod peer;
mod plan;
mod proof;
mod region;
mod replication;
mod running;
mod site;
mod stay;
mod store;
mod tally;
mod topology;
mod trouble;
mod verdict;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash as _, Hasher as _};
use std::time::Duration;

use blitz_jobs::{Incarnation, JobId};

use crate::couchdb::{BuildMixer, Mixer, Rev, WriteId};
use calls::Request;
use chance::Chance;
use event::{Base, Event, Peer, Queue};
use job::Job;
use peer::{Life, PeerState};
use region::Region;
use replication::Flow;
use site::Site;
use stay::Machine;

pub use command::{CLEAN, FOUND, USAGE, command};
pub use mutant::{Mutant, Mutants};
pub use plan::Size;
pub use tally::{Finding, Outcome, Tally};

/// One world.
#[derive(Debug)]
pub struct World {
    mutants: Mutants,
    now: Duration,
    queue: Queue,
    chance: Chance,
    plan: plan::Plan,
    peers: Vec<PeerState>,
    regions: Vec<Region>,
    sites: Vec<Site>,
    flows: Vec<Flow>,
    machines: Vec<Machine>,
    /// From beside which site nobody gets to which other, and for how many reasons.
    cuts: BTreeMap<(usize, usize), u32>,
    jobs: Vec<Job>,
    job_of: HashMap<JobId, usize, BuildMixer>,
    /// Every start of every engine.
    lives: Vec<Life>,
    life_of: HashMap<Incarnation, usize, BuildMixer>,
    requests: HashMap<u64, Request, BuildMixer>,
    requests_made: u64,
    /// Whose claim a revision of a run is.
    claims: HashMap<(usize, Rev), (u32, Incarnation), BuildMixer>,
    travelling: HashMap<(usize, Base, WriteId), u64, BuildMixer>,
    outcome: Outcome,
    digest: Mixer,
    /// The job of which every step is told.
    traced: Option<usize>,
    /// How often it was seen at rest on end.
    rest: u32,
    over: bool,
}

impl World {
    /// The world of a seed.
    #[must_use]
    pub fn new(seed: u64, size: Size, mutants: Mutants) -> Self {
        let mut chance = Chance::new(seed);
        let plan = plan::Plan::draw(size, &mut chance);
        let mut world = Self {
            mutants,
            now: Duration::ZERO,
            queue: Queue::default(),
            chance,
            plan,
            peers: Vec::new(),
            regions: Vec::new(),
            sites: Vec::new(),
            flows: Vec::new(),
            machines: Vec::new(),
            cuts: BTreeMap::new(),
            jobs: Vec::new(),
            job_of: HashMap::default(),
            lives: Vec::new(),
            life_of: HashMap::default(),
            requests: HashMap::default(),
            requests_made: 0,
            claims: HashMap::default(),
            travelling: HashMap::default(),
            outcome: Outcome::new(seed),
            digest: Mixer::default(),
            traced: None,
            rest: 0,
            over: false,
        };
        world.found();
        world
    }

    /// Tells every step of the job with this number or this id; the lines are in the outcome.
    #[must_use]
    pub fn tracing(mut self, job: &str) -> Self {
        let by_id = job.parse().ok().and_then(|id: JobId| self.job_of.get(&id).copied());
        self.traced = by_id.or_else(|| job.parse().ok());
        self
    }

    /// Lets it come to rest, or until something is found when `first` is true.
    #[must_use]
    pub fn run(mut self, first: bool) -> Outcome {
        while let Some((at, event)) = self.queue.next() {
            debug_assert!(at >= self.now, "{event:?} in the past");
            self.now = at;
            (at, event).hash(&mut self.digest);
            self.outcome.tally.events += 1;
            self.happen(event);
            if self.over || (first && !self.outcome.findings.is_empty()) {
                break;
            }
        }
        self.outcome.digest = self.digest.finish();
        self.outcome.tally.simulated += self.now;
        self.outcome
    }

    fn happen(&mut self, event: Event) {
        if let Some((peer, life)) = event.peer() {
            let state = &mut self.peers[peer];
            if state.life != life || !state.alive && !matches!(event, Event::Start { .. }) {
                return;
            }
            if state.paused && !matches!(event, Event::Resume { .. } | Event::Heal { .. }) {
                state.deferred.push(event);
                return;
            }
        }
        match event {
            Event::Request(id) => self.request_arrives(id),
            Event::Arrive { site, base, write, copy } => {
                self.copy_hears(site, base, write, copy);
            }
            Event::Reply(id) => self.reply_arrives(id, event),
            Event::TimeOut(id) => self.no_reply(id, event),
            Event::Wake { peer, .. } => self.wake(peer),
            Event::Feed { peer, .. } => self.hear_feed(peer),
            Event::List { peer, stage, .. } => self.list(peer, stage),
            Event::FeedCheck { peer, .. } => self.check_feed(peer),
            Event::Step { peer, job, .. } => self.step(peer, job),
            Event::Stopped { peer, job, .. } => self.stopped(peer, job),
            Event::Chunk { peer, job, seq, .. } => self.write_chunk(peer, job, seq),
            Event::Submit(job) => self.submit(job),
            Event::Cancel(job) => self.submit_cancel(job),
            Event::Fault => self.fault(),
            Event::Store { site, trouble } => self.trouble_store(site, trouble),
            Event::Start { peer, .. } => self.boot(peer),
            Event::Resume { peer, .. } => self.resume(peer),
            Event::Heal { peer, .. } => self.heal(peer),
            Event::NodeUp { site, node } => self.node_up(site, node),
            Event::NodeNotice { site, node } => self.node_noticed(site, node),
            Event::Repair { site, node, job } => self.repair(site, node, job),
            Event::Sync { site } => self.sync(site),
            Event::Join { site } => self.join(site),
            Event::Replicate(flow) => self.replicate(flow),
            Event::LinkUp { from, to } => self.link_up(from, to),
            Event::Change { region, change } => self.change(region, change),
            Event::MadeAnew(site) => self.made_anew(site),
            Event::DropLook(region) => self.drop_look(region),
            Event::Drop(site) => self.drop_first(site),
            Event::Around(machine) => self.around(machine),
            Event::Place(peer) => self.find_places(peer),
            Event::Look => self.look(),
        }
    }

    fn later(&mut self, wait: Duration, event: Event) {
        self.queue.put(self.now + wait, event);
    }

    fn local(&self, peer: Peer) -> Duration {
        self.peers[peer].clock.local(self.now)
    }

    fn trace(&mut self, job: usize, line: impl FnOnce(&Self) -> String) {
        if self.traced == Some(job) {
            let line = format!("{:12.6} {}", self.now.as_secs_f64(), line(self));
            self.outcome.lines.push(line);
        }
    }

    fn find(&mut self, verdict: &'static str, text: String) {
        let at = self.now;
        self.outcome.find(verdict, at, text);
    }
}
