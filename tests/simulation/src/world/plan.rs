//! A world drawn from its seed: how large, which stores, which jobs, which trouble.

use std::sync::Arc;
use std::time::Duration;

use blitz_contract::{Limits, Retry};
use blitz_jobs::spec::{Spec, SpecKind, Terms};

use super::World;
use super::chance::Chance;
use super::event::Event;
use super::job::Job;
use super::peer::Role;
use super::region::Region;
use super::site::Site;

/// How large a world is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Engines in all regions together.
    pub engines: usize,
    /// Regions.
    pub regions: usize,
    /// Jobs in all regions together.
    pub jobs: usize,
    /// No region has a hub.
    pub single: bool,
}

/// What is drawn once for a world.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) size: Size,
    /// Jobs come during this time, and trouble too.
    pub(super) busy: Duration,
    /// Trouble of each kind comes so often in that time, relative to the jobs.
    pub(super) weights: [f64; FAULTS.len()],
    /// Faults for each engine.
    pub(super) faults_per_engine: f64,
    /// Jobs wait so long for an engine, and may take so long.
    pub(super) queue_timeout: Duration,
    pub(super) timeout: Duration,
    /// When everything must have come to rest.
    pub(super) limit: Duration,
}

/// What goes wrong with engines and keepers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Crash,
    Cut,
    Pause,
    FeedDrop,
    KeeperCrash,
}

pub(super) const FAULTS: [Fault; 5] =
    [Fault::Crash, Fault::Cut, Fault::Pause, Fault::FeedDrop, Fault::KeeperCrash];

/// What goes wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoreFault {
    NodeDown,
    NodeHung,
    Partition,
    Restart,
    Recreate,
}

const SECOND: Duration = Duration::from_secs(1);

/// The first trouble: after the engines have come up.
const TROUBLE_FROM: Duration = Duration::from_secs(5);

/// So many regions of a hundred have hubs, and so many of their engines are beside any of the clusters.
const MANY_PERCENT: f64 = 60.0;
const FAR_PERCENT: f64 = 40.0;

/// The plugin that every engine has.
pub(super) const PLUGIN: &str = "abc";

impl Plan {
    pub(super) fn draw(size: Size, chance: &mut Chance) -> Self {
        let busy = chance.between(SECOND * 60, SECOND * 240);
        // Some worlds know no trouble of a kind: faults hide behind each other.
        let weights = FAULTS.map(|fault| {
            let usual = if fault == Fault::KeeperCrash { 0.02 } else { 1.0 };
            if chance.percent(75.0) { usual * (0.3 + chance.fraction()) } else { 0.0 }
        });
        let faults_per_engine = if chance.percent(8.0) { 0.0 } else { 2.0 * chance.fraction() };
        let timeout = chance.between(SECOND * 240, SECOND * 420);
        let queue_timeout = chance.between(SECOND * 60, SECOND * 200);
        let limit = busy + timeout * 2 + SECOND * 300;
        Self { size, busy, weights, faults_per_engine, queue_timeout, timeout, limit }
    }

    /// How many faults there will be.
    fn faults(&self) -> usize {
        let mut faults = 0;
        let mut due = self.faults_per_engine;
        for _ in 0..self.size.engines {
            while due >= 1.0 {
                faults += 1;
                due -= 1.0;
            }
            due += self.faults_per_engine;
        }
        if self.weights.iter().sum::<f64>() > 0.0 { faults } else { 0 }
    }
}

impl World {
    /// Builds everything that the world begins with.
    pub(super) fn found(&mut self) {
        for region in 0..self.plan.size.regions {
            self.found_region(region);
        }
        let mut engines = vec![0; self.plan.size.regions];
        for engine in 0..self.plan.size.engines {
            engines[engine % self.plan.size.regions] += 1;
        }
        for (region, count) in engines.iter().enumerate() {
            self.found_peers(region, *count);
        }
        for number in 0..self.plan.size.jobs {
            self.found_job(number);
        }
        for _ in 0..self.plan.faults() {
            let at = self.chance.between(TROUBLE_FROM, self.plan.busy);
            self.queue.put(at, Event::Fault);
        }
        self.queue.put(TROUBLE_FROM, Event::Look);
    }

    fn found_region(&mut self, number: usize) {
        let hubs = if !self.plan.size.single && self.chance.percent(MANY_PERCENT) {
            1 + self.chance.below(2)
        } else {
            0
        };
        let sites: Vec<usize> = (0..=hubs).map(|_| self.found_site(number, hubs > 0)).collect();
        self.regions.push(Region::new(number, sites.clone()));
        if hubs > 0 {
            self.outcome.tally.many_regions += 1;
            self.found_flows(&sites);
            self.plan_changes(number);
        }
    }

    fn found_peers(&mut self, region: usize, engines: usize) {
        let sites = self.regions[region].sites.clone();
        let [home, hubs @ ..] = sites.as_slice() else { return };
        for _ in 0..engines {
            self.add_peer(*home, Role::Engine, engines);
        }
        self.add_peer(*home, Role::Keeper, engines);
        for _ in 0..2 {
            let gateway = self.add_peer(*home, Role::Gateway, engines);
            self.regions[region].gateways.push(gateway);
        }
        for hub in hubs {
            self.add_peer(*hub, Role::Keeper, engines);
            let gateway = self.add_peer(*hub, Role::Gateway, engines);
            self.regions[region].gateways.push(gateway);
        }
        if !hubs.is_empty() {
            self.look_after(region);
        }
    }

    /// Those of a region with several clusters look where they should be.
    fn look_after(&mut self, region: usize) {
        let sites = self.regions[region].sites.clone();
        for peer in 0..self.peers.len() {
            let state = &self.peers[peer];
            if state.region != region {
                continue;
            }
            let (role, machine) = (state.role, state.machine);
            let wait = self.chance.between(SECOND, SECOND * 5);
            if role == Role::Engine {
                // Some are beside a hub, not beside the home.
                if self.chance.percent(FAR_PERCENT)
                    && let Some(near) = self.chance.pick(&sites).copied()
                {
                    self.peers[peer].near = near;
                }
                self.later(wait, Event::Around(machine));
            } else {
                self.later(wait, Event::Place(peer));
            }
        }
    }

    fn found_site(&mut self, region: usize, is_one_of_many: bool) -> usize {
        let copies = if self.chance.percent(70.0) { 3 } else { 1 };
        let number = self.sites.len();
        let mut site = Site::new(region, copies);
        if self.plan.faults_per_engine > 0.0 {
            let shares: &[(StoreFault, f64)] = if copies == 1 {
                &[(StoreFault::Restart, 60.0), (StoreFault::Recreate, 12.0)]
            } else {
                &[
                    (StoreFault::NodeDown, 50.0),
                    (StoreFault::NodeDown, 20.0),
                    (StoreFault::NodeHung, 35.0),
                    (StoreFault::Partition, 45.0),
                    (StoreFault::Partition, 20.0),
                    (StoreFault::Restart, 30.0),
                    (StoreFault::Recreate, 8.0),
                ]
            };
            for (trouble, share) in shares {
                // That a whole site loses its data is planned with its region.
                let fits = !is_one_of_many || *trouble != StoreFault::Recreate;
                if self.chance.percent(*share) && fits {
                    let at = self.chance.between(TROUBLE_FROM, self.plan.busy);
                    site.plan.push(*trouble);
                    let trouble = site.plan.len() - 1;
                    self.queue.put(at, Event::Store { site: number, trouble });
                }
            }
        }
        self.sites.push(site);
        number
    }

    fn found_job(&mut self, number: usize) {
        let region = self.chance.below(self.plan.size.regions);
        let place = &self.regions[region].name;
        let ulid = format!("01k{number:023}");
        let id: blitz_jobs::JobId =
            format!("{place}-1-{ulid}").parse().expect("a region's name, a number and 26 digits");
        let chance = &mut self.chance;
        let never = chance.percent(20.0);
        let poison = chance.percent(3.0);
        let duration = match chance.below(10) {
            0..6 => chance.between(Duration::from_millis(50), SECOND * 5),
            6..9 => chance.between(SECOND * 5, SECOND * 40),
            _ => chance.between(SECOND * 40, SECOND * 60),
        };
        let slots = chance.percent(10.0).then_some(2);
        let spec = Spec {
            kind: SpecKind::Spec,
            blitz: blitz_jobs::BUILD.to_owned(),
            job: id.clone(),
            run: format!("run-{number}"),
            tasks: vec![id.clone()],
            plugin: "p".to_owned(),
            version: "0.1.0".to_owned(),
            sha256: PLUGIN.to_owned(),
            args: Vec::new(),
            retry: if never { Retry::Never } else { Retry::Safe },
            limits: Limits { slots, ..Limits::default() },
            timeout_ms: ms(self.plan.timeout),
            queue_timeout_ms: ms(self.plan.queue_timeout),
            tenant: None,
            terms: Terms::default(),
            sealed: Vec::new(),
            inputs: Vec::new(),
            home_epoch: 1,
            created_at_ms: 0,
        };
        let at = chance.between(SECOND, self.plan.busy);
        self.queue.put(at, Event::Submit(number));
        if chance.percent(5.0) {
            let wait = if chance.percent(20.0) {
                Duration::ZERO
            } else {
                chance.between(Duration::ZERO, SECOND * 60)
            };
            self.queue.put(at + wait, Event::Cancel(number));
        }
        let chunks = chance.below(4);
        self.job_of.insert(id, number);
        let chunks = u64::try_from(chunks).unwrap_or(0);
        self.jobs.push(Job::new(Arc::new(spec), region, duration, chunks, poison));
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
