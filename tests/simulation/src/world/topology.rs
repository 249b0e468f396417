//! What befalls a region with several clusters: links that are cut, sites that stand apart or are down, a home that moves
//! or is wiped, databases that change.

use std::time::Duration;

use blitz_jobs::Run;

use super::World;
use super::event::{Base, Event, Peer};
use super::region::Edition;
use super::site::{BASES, BEATS, JOBS, JOBS_NEXT, output_of};
use crate::couchdb::Read;

const SECOND: Duration = Duration::from_secs(1);

/// The first trouble: after the engines have come up.
const TROUBLE_FROM: Duration = Duration::from_secs(8);

/// After a change jobs wait so long: engines hear of it, a failover is waited for, an earlier epoch settles, and claims of
/// whom nobody sees beat are judged.
const SETTLED: Duration = Duration::from_secs(200);

/// A database is looked at so often, from so long after it took its last job.
const DROP_LOOK: Duration = Duration::from_secs(5);
const KEPT: Duration = Duration::from_secs(90);

/// Between the edition that names a database no more, and its dropping.
const DROP_WAIT: Duration = Duration::from_secs(10);

/// Something that befalls a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Links are cut, some in one direction only.
    Cut,
    /// A site reaches no other, and nobody beside another reaches it.
    Apart,
    /// A replication stands still.
    Stall,
    /// All nodes of a site are down.
    Down,
    /// An operator moves the region while its home is alive, cut off, or gone for good.
    Move,
    MoveCutOff,
    MoveGone,
    /// The home, or a hub, loses everything and is made anew.
    WipeHome,
    WipeHub,
    /// The region gets its next database.
    Rotate,
}

/// How likely each is, of a hundred.
const CHANGES: [(Change, f64); 14] = [
    (Change::Cut, 60.0),
    (Change::Cut, 40.0),
    (Change::Cut, 20.0),
    (Change::Apart, 50.0),
    (Change::Apart, 20.0),
    (Change::Stall, 30.0),
    (Change::Down, 40.0),
    (Change::Move, 30.0),
    (Change::MoveCutOff, 25.0),
    (Change::MoveGone, 15.0),
    (Change::Move, 10.0),
    (Change::WipeHome, 20.0),
    (Change::WipeHub, 10.0),
    (Change::Rotate, 50.0),
];

impl World {
    pub(super) fn plan_changes(&mut self, region: usize) {
        self.regions[region].fails_over = self.chance.percent(50.0);
        if self.plan.faults_per_engine == 0.0 {
            return;
        }
        for (change, share) in CHANGES {
            if self.chance.percent(share) {
                let at = self.chance.between(TROUBLE_FROM, self.plan.busy);
                self.regions[region].plan.push(change);
                let change = self.regions[region].plan.len() - 1;
                self.queue.put(at, Event::Change { region, change });
            }
        }
    }

    pub(super) fn change(&mut self, region: usize, change: usize) {
        let change = self.regions[region].plan[change];
        let home = self.home_of(region);
        let time = self.chance.between(SECOND * 3, SECOND * 150);
        if let Some(job) = self.traced.filter(|job| self.jobs[*job].region == region) {
            self.trace(job, |_| format!("the region: {change:?}, up to {time:?}"));
        }
        match change {
            Change::Cut => self.cut_some(region, time),
            Change::Apart => {
                let sites = self.regions[region].sites.clone();
                let of_home = self.chance.percent(60.0);
                let picked = self.chance.pick(&sites).copied();
                if let Some(site) = picked {
                    self.stand_apart(if of_home { home } else { site }, time);
                }
            }
            Change::Stall => self.stall(region, time / 2),
            Change::Down => {
                let sites = self.regions[region].sites.clone();
                let of_home = self.chance.percent(70.0);
                let picked = self.chance.pick(&sites).copied();
                if let Some(site) = picked {
                    self.go_down(if of_home { home } else { site }, time);
                }
            }
            Change::Move => self.move_region(region),
            Change::MoveCutOff => {
                self.stand_apart(home, time + SECOND * 20);
                self.move_region(region);
            }
            Change::MoveGone => {
                if self.new_home(region).is_some() && !self.sites[home].troubled {
                    for node in 0..self.sites[home].copies {
                        self.node_down(home, node);
                    }
                    self.note_forgotten(home);
                    self.sites[home].gone = true;
                    self.sites[home].troubled = true;
                    self.outcome.tally.homes_gone += 1;
                    self.move_region(region);
                }
            }
            Change::WipeHome => self.wipe(home),
            Change::WipeHub => {
                let hubs: Vec<usize> = self.regions[region]
                    .sites
                    .iter()
                    .copied()
                    .filter(|site| *site != home)
                    .collect();
                if let Some(hub) = self.chance.pick(&hubs).copied() {
                    self.wipe(hub);
                }
            }
            Change::Rotate => self.rotate(region),
        }
        self.unsettle(region, time);
    }

    fn unsettle(&mut self, region: usize, time: Duration) {
        let until = self.now + time + SETTLED;
        let region = &mut self.regions[region];
        region.unsettled_until = region.unsettled_until.max(until);
    }

    fn cut_some(&mut self, region: usize, time: Duration) {
        let sites = self.regions[region].sites.clone();
        let one = self.chance.below(sites.len());
        let other = (one + 1 + self.chance.below(sites.len() - 1)) % sites.len();
        self.cut_link(sites[one], sites[other], time);
        if self.chance.percent(60.0) {
            self.cut_link(sites[other], sites[one], time);
        }
    }

    fn stand_apart(&mut self, site: usize, time: Duration) {
        let others = self.regions[self.sites[site].region].sites.clone();
        for other in others.into_iter().filter(|other| *other != site) {
            self.cut_link(site, other, time);
            self.cut_link(other, site, time);
        }
    }

    fn go_down(&mut self, site: usize, time: Duration) {
        if self.sites[site].troubled {
            return;
        }
        self.outcome.tally.sites_down += 1;
        self.sites[site].troubled = true;
        self.sites[site].unwell_until = self.now + time + SECOND * 30;
        for node in 0..self.sites[site].copies {
            self.node_down(site, node);
            self.later(time, Event::NodeUp { site, node });
        }
    }

    /// A hub where the region can go to.
    fn new_home(&self, region: usize) -> Option<usize> {
        let home = self.home_of(region);
        let mut hubs = self.regions[region].sites.iter().copied().filter(|site| *site != home);
        hubs.find(|site| self.sites[*site].answers())
    }

    /// The operator says where the home is from now on.
    fn move_region(&mut self, region: usize) {
        let Some(home) = self.new_home(region) else { return };
        let newest = self.regions[region].newest();
        self.outcome.tally.moves += 1;
        self.write_edition(home, Edition { home, epoch: newest.epoch + 2, ..newest });
    }

    /// A site loses everything.
    fn wipe(&mut self, site: usize) {
        if self.sites[site].troubled || self.sites[site].absent {
            return;
        }
        self.outcome.tally.wipes += 1;
        self.note_forgotten(site);
        for base in 0..BASES {
            self.sites[site].bases[base].recreate();
        }
        self.sites[site].absent = true;
        self.sites[site].troubled = true;
        self.sites[site].wiped = Some(self.now);
        self.sites[site].heard.fill(None);
        self.travelling.retain(|(place, ..), _| *place != site);
        for peer in self.sites[site].peers.clone() {
            self.drop_feed(peer);
        }
        let wait = self.chance.between(SECOND * 2, SECOND * 60);
        self.later(wait, Event::MadeAnew(site));
    }

    /// Its databases are made anew. That it is another home now is written before they are there.
    pub(super) fn made_anew(&mut self, site: usize) {
        let region = self.sites[site].region;
        let newest = self.regions[region].newest();
        self.sites[site].absent = false;
        self.sites[site].troubled = false;
        self.sites[site].unwell_until = self.now + SECOND * 30;
        if newest.home == site {
            self.write_edition(site, Edition { epoch: newest.epoch + 2, ..newest });
        } else {
            let edition = self.regions[region].editions.len() - 1;
            self.site_learns(site, edition);
        }
        self.unsettle(region, Duration::ZERO);
        for base in 0..BASES {
            if base != BEATS {
                self.tell_feeds(site, base);
            }
        }
        for site in self.regions[region].sites.clone() {
            self.plan_flows(site);
        }
    }

    /// The next database takes new jobs. The first is dropped when nothing in it is open.
    fn rotate(&mut self, region: usize) {
        let home = self.home_of(region);
        if self.regions[region].rotated.is_some() || !self.sites[home].answers() {
            return;
        }
        self.outcome.tally.rotations += 1;
        self.regions[region].rotated = Some(self.now);
        let newest = self.regions[region].newest();
        self.write_edition(home, Edition { current: JOBS_NEXT, ..newest });
        self.later(KEPT, Event::DropLook(region));
    }

    /// May the first database go? Only when nothing in it is open anywhere that it is.
    pub(super) fn drop_look(&mut self, region: usize) {
        let home = self.home_of(region);
        let newest = self.regions[region].newest();
        let sites = self.regions[region].sites.clone();
        let asked = sites.iter().filter(|site| !self.sites[**site].gone);
        let all_answer = asked.clone().all(|site| {
            *site == home && self.sites[home].answers()
                || !self.is_cut(home, *site) && self.sites[*site].answers()
        });
        let is_known = asked.clone().all(|site| self.edition_at(*site).current == JOBS_NEXT);
        let asked: Vec<usize> = asked.copied().collect();
        let is_free = all_answer && is_known && {
            let jobs = (0..self.jobs.len()).filter(|job| {
                let job = &self.jobs[*job];
                job.region == region && job.base == JOBS && job.submitted.is_some()
            });
            let jobs: Vec<usize> = jobs.collect();
            jobs.into_iter().all(|job| asked.iter().all(|site| self.is_closed_at(*site, job, home)))
        };
        if !is_free {
            return self.later(DROP_LOOK, Event::DropLook(region));
        }
        if newest.has_first {
            self.write_edition(home, Edition { has_first: false, ..newest });
            return self.later(DROP_WAIT, Event::DropLook(region));
        }
        for site in asked {
            let wait = self.chance.between(Duration::ZERO, SECOND * 4);
            self.later(wait, Event::Drop(site));
        }
    }

    /// Whether a job is not open at a site: without a spec there, or with an end that the home has too.
    fn is_closed_at(&mut self, site: usize, job: usize, home: usize) -> bool {
        if !self.spec_is_at(site, job) && site != home {
            return true;
        }
        let at_home = self.resolved_at(home, job).map(|(_, run)| run);
        if site == home {
            return !self.spec_is_at(home, job) || at_home.is_some_and(|run| run.is_final());
        }
        at_home.as_ref().is_some_and(Run::is_final)
    }

    /// The first database is dropped at a site.
    pub(super) fn drop_first(&mut self, site: usize) {
        for base in [JOBS, output_of(JOBS)] {
            self.sites[site].dropped[base] = true;
        }
        for peer in self.sites[site].peers.clone() {
            self.drop_feed(peer);
        }
        let region = self.sites[site].region;
        if self.home_of(region) == site {
            for job in 0..self.jobs.len() {
                let found = &self.jobs[job];
                if found.region == region && found.base == JOBS && found.accepted && !found.void {
                    self.judge_dropped(job, site);
                }
            }
        }
    }

    /// What a gateway knows of its region when it makes a job.
    pub(super) fn known_by(&mut self, gateway: Peer) -> Edition {
        let near = self.peers[gateway].near;
        let lag = if self.chance.percent(20.0) {
            self.chance.between(Duration::ZERO, SECOND * 60)
        } else {
            self.chance.between(Duration::ZERO, SECOND * 3)
        };
        let now = self.now;
        let known =
            self.sites[near].heard.iter().rposition(|at| at.is_some_and(|at| at + lag <= now));
        let region = &self.regions[self.sites[near].region];
        region.editions[known.unwrap_or(0)]
    }

    /// The leaf that counts at a site in the end.
    pub(super) fn resolved_at(
        &mut self,
        site: usize,
        job: usize,
    ) -> Option<(blitz_couchdb::Revision, Run)> {
        let r = self.sites[site].copies;
        let Read::Answered(leaves) = self.read_leaves(site, 0, job, r) else { return None };
        leaves.resolved(self.mutants.guards()).cloned()
    }

    /// The database of jobs by its number.
    pub(super) fn number_of(base: Base) -> u32 {
        if base == JOBS { 1 } else { 2 }
    }
}
