//! A region: its sites, what its document said at each time, and the links between its clusters.

use std::time::Duration;

use super::World;
use super::event::{Base, Event, Peer};
use super::site::JOBS;
use super::topology::Change;

/// What the region's document says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edition {
    /// The site where its jobs are claimed.
    pub(super) home: usize,
    pub(super) epoch: u32,
    /// The database that takes new jobs.
    pub(super) current: Base,
    /// Whether the first database may still hold open jobs.
    pub(super) has_first: bool,
}

#[derive(Debug)]
pub(super) struct Region {
    pub(super) name: String,
    /// The first is where it begins.
    pub(super) sites: Vec<usize>,
    /// Everything that its document said, the oldest first.
    pub(super) editions: Vec<Edition>,
    /// Those of all sites.
    pub(super) gateways: Vec<Peer>,
    /// Its engines go to a hub when the home does not answer.
    pub(super) fails_over: bool,
    /// What will befall it.
    pub(super) plan: Vec<Change>,
    /// When it rotated.
    pub(super) rotated: Option<Duration>,
    /// Until when its jobs may wait because homes and clusters changed.
    pub(super) unsettled_until: Duration,
}

impl Region {
    pub(super) fn new(number: usize, sites: Vec<usize>) -> Self {
        let home = sites.first().copied().unwrap_or_default();
        Self {
            name: format!("r{number}"),
            sites,
            editions: vec![Edition { home, epoch: 1, current: JOBS, has_first: true }],
            gateways: Vec::new(),
            fails_over: false,
            plan: Vec::new(),
            rotated: None,
            unsettled_until: Duration::ZERO,
        }
    }

    /// Whether it has hubs.
    pub(super) fn is_many(&self) -> bool {
        self.sites.len() > 1
    }

    /// What its document says, for who knows everything.
    pub(super) fn newest(&self) -> Edition {
        self.editions[self.editions.len() - 1]
    }
}

impl World {
    /// Where the jobs of a region are claimed, for who knows everything.
    pub(super) fn home_of(&self, region: usize) -> usize {
        self.regions[region].newest().home
    }

    /// What the region's document says at this site.
    pub(super) fn edition_at(&self, site: usize) -> Edition {
        let Some(found) = self.sites.get(site) else { return self.regions[0].newest() };
        self.regions[found.region].editions[found.edition()]
    }

    /// Whether nobody beside one site can reach another.
    pub(super) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cuts.get(&(from, to)).is_some_and(|count| *count > 0)
    }

    /// A site gets an edition of its region's document.
    pub(super) fn site_learns(&mut self, site: usize, edition: usize) {
        let now = self.now;
        let found = &mut self.sites[site];
        let heard = &mut found.heard;
        if heard.len() <= edition {
            heard.resize(edition + 1, None);
        }
        if heard[edition].is_none() {
            heard[edition] = Some(now);
            let region = found.region;
            // Whoever is home by this document begins to replicate.
            for site in self.regions[region].sites.clone() {
                self.plan_flows(site);
            }
        }
    }

    /// The operator writes the region's document at a site.
    pub(super) fn write_edition(&mut self, site: usize, edition: Edition) {
        let region = self.sites[site].region;
        self.regions[region].editions.push(edition);
        let number = self.regions[region].editions.len() - 1;
        if let Some(job) = self.traced.filter(|job| self.jobs[*job].region == region) {
            self.trace(job, |_| format!("edition {number}: {edition:?}"));
        }
        self.site_learns(site, number);
    }

    /// Cuts the way from one site to another for a while.
    pub(super) fn cut_link(&mut self, from: usize, to: usize, time: Duration) {
        *self.cuts.entry((from, to)).or_default() += 1;
        self.outcome.tally.links_cut += 1;
        let region = self.sites[from].region;
        if let Some(job) = self.traced.filter(|job| self.jobs[*job].region == region) {
            self.trace(job, |_| format!("nobody beside {from} reaches {to} for {time:?}"));
        }
        self.later(time, Event::LinkUp { from, to });
        self.strike(from, to);
    }

    /// Those beside one site who talk to another lose it, or have it back.
    fn strike(&mut self, from: usize, to: usize) {
        for place in 0..self.sites[to].peers.len() {
            let peer = self.sites[to].peers[place];
            let now = self.now;
            let state = &mut self.peers[peer];
            if state.near == from && from != to {
                state.troubled = now;
                state.struck = now;
                let life = state.life;
                let wait = self.chance.between(Duration::ZERO, Duration::from_secs(2));
                self.later(wait, Event::FeedCheck { peer, life });
            }
        }
    }

    pub(super) fn link_up(&mut self, from: usize, to: usize) {
        if let Some(count) = self.cuts.get_mut(&(from, to)) {
            *count = count.saturating_sub(1);
        }
        self.strike(from, to);
        self.plan_flows(from);
        self.plan_flows(to);
    }
}
