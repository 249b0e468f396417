//! How a peer hears of what is in the store: a listing first, then every change, with all that goes wrong there.

use std::time::Duration;

use super::World;
use super::document::{Body, Id, Kind};
use super::event::{Base, Event, Peer};
use super::mutant::Mutant;
use super::peer::{Mind, Role};
use super::site::{BASES, FOLLOWED, output_of};
use crate::couchdb::{NodeState, Read, Rev, Seq};

/// From a change to whoever follows, the least and the mean of what is added.
const DELAY: Duration = Duration::from_millis(5);
const DELAY_MORE: Duration = Duration::from_millis(10);

/// A listing takes so long at most, and is tried again after so long.
const LIST_MAX: Duration = Duration::from_millis(400);
const LIST_AGAIN: Duration = Duration::from_secs(1);

/// A feed that was dropped is taken up again within this time.
const AGAIN_MIN: Duration = Duration::from_millis(100);
const AGAIN_MAX: Duration = Duration::from_secs(3);

/// One in so many feeds begins earlier than it was asked to, by up to so many changes.
const REWINDS_PERCENT: f64 = 20.0;
const REWIND_MAX: usize = 40;

#[derive(Debug, Default)]
pub(super) struct Feed {
    since: [Seq; BASES],
    identity: [u64; BASES],
    /// It lists before it follows.
    pub(super) lists: bool,
    /// Connected, as far as it knows.
    pub(super) live: bool,
    /// News are on their way.
    pub(super) pending: bool,
    /// It heard that the first database was dropped.
    has_dropped: bool,
    /// Runs with several leaves that could not be read.
    unread: Vec<usize>,
}

impl Feed {
    /// It begins with a listing.
    pub(super) fn listing() -> Self {
        Self { lists: true, ..Self::default() }
    }
}

impl World {
    pub(super) fn plan_feed(&mut self, peer: Peer) {
        let wait = DELAY + self.chance.exponential(DELAY_MORE);
        let life = self.peers[peer].life;
        self.later(wait, Event::Feed { peer, life });
    }

    fn reaches(&self, peer: Peer) -> bool {
        let state = &self.peers[peer];
        let site = &self.sites[state.site];
        self.enters(peer, state.site) && !site.absent && site.state(state.node) == NodeState::Up
    }

    /// Lists what is there: first the place in the feed, then the documents. (A mutant does it the other way around.)
    pub(super) fn list(&mut self, peer: Peer, stage: u8) {
        let life = self.peers[peer].life;
        if !self.reaches(peer) {
            self.move_away(peer);
            return self.later(LIST_AGAIN, Event::List { peer, life, stage: 0 });
        }
        // Which database it is was read, and now whose home it is: what is listed is of that home or a later one.
        if stage == 1 && self.regions[self.peers[peer].region].is_many() {
            self.read_home(peer);
        }
        if (stage == 0) != self.mutants.has(Mutant::ListFirst) {
            self.take_place(peer);
        } else {
            self.list_jobs(peer);
        }
        if stage == 0 {
            let wait = self.chance.between(Duration::from_millis(5), LIST_MAX);
            return self.later(wait, Event::List { peer, life, stage: 1 });
        }
        self.peers[peer].struck = self.now;
        let feed = &mut self.peers[peer].feed;
        feed.lists = false;
        feed.live = true;
        feed.pending = true;
        self.plan_feed(peer);
        self.settle(peer);
    }

    /// Reads the region's document at the site, before anything is heard from there.
    fn read_home(&mut self, peer: Peer) {
        match self.peers[peer].role {
            Role::Engine => self.look_around(peer),
            Role::Keeper => {
                let epoch = self.edition_at(self.peers[peer].site).epoch;
                let local = self.local(peer);
                if let Mind::Keeper(mind) = &mut self.peers[peer].mind {
                    mind.keeper.hear_epoch(local, epoch);
                }
            }
            Role::Gateway => {}
        }
    }

    fn take_place(&mut self, peer: Peer) {
        let (site, node) = (self.peers[peer].site, self.peers[peer].node);
        for base in FOLLOWED {
            let jobs = &self.sites[site].bases[base];
            if let Some(seq) = jobs.now(node).answer() {
                self.peers[peer].feed.since[base] = seq;
                self.peers[peer].feed.identity[base] = jobs.identity();
            }
        }
    }

    fn list_jobs(&mut self, peer: Peer) {
        for base in FOLLOWED {
            self.list_base(peer, base);
        }
    }

    fn list_base(&mut self, peer: Peer, base: Base) {
        let (site, node) = (self.peers[peer].site, self.peers[peer].node);
        if self.sites[site].dropped[base] {
            return;
        }
        let Some(rows) = self.sites[site].bases[base].list(node, ..).answer() else { return };
        let ids: Vec<(Id, Rev)> = rows.iter().map(|row| (*row.id, row.rev)).collect();
        for (id, _) in ids {
            match id {
                Id::Job(job, Kind::Cancel) => self.hear_cancel(peer, job),
                Id::Job(job, Kind::Run) => self.hear_leaves(peer, job),
                Id::Job(job, Kind::Spec) => self.hear_spec(peer, job),
                _ => {}
            }
        }
    }

    /// News have come.
    pub(super) fn hear_feed(&mut self, peer: Peer) {
        let feed = &mut self.peers[peer].feed;
        feed.pending = false;
        if !feed.live || !self.reaches(peer) {
            return;
        }
        let site = &self.sites[self.peers[peer].site];
        let identity = &self.peers[peer].feed.identity;
        if FOLLOWED.iter().any(|base| site.bases[*base].identity() != identity[*base]) {
            return self.replaced(peer);
        }
        for base in FOLLOWED {
            self.hear_base(peer, base);
        }
        for job in std::mem::take(&mut self.peers[peer].feed.unread) {
            self.hear_leaves(peer, job);
        }
        if self.peers[peer].role == Role::Gateway {
            for base in FOLLOWED {
                self.hear_output(peer, output_of(base));
            }
        }
        self.settle(peer);
    }

    fn hear_base(&mut self, peer: Peer, base: Base) {
        let (site, node) = (self.peers[peer].site, self.peers[peer].node);
        if self.sites[site].dropped[base] {
            return self.hear_dropped(peer);
        }
        let since = self.peers[peer].feed.since[base];
        let Some(changes) = self.sites[site].bases[base].changes(node, since).answer() else {
            return;
        };
        let last = changes.last_seq();
        let news: Vec<(Id, Rev, Option<Body>, usize)> = changes
            .map(|change| (*change.id, change.rev, change.body.cloned(), change.leaves))
            .collect();
        self.peers[peer].feed.since[base] = last;
        for (id, rev, body, leaves) in news {
            match (id, body) {
                (Id::Job(job, Kind::Run), _) if leaves > 1 => self.hear_leaves(peer, job),
                (Id::Job(job, Kind::Run), Some(Body::Run(run))) => {
                    self.hear_run(peer, job, rev.into(), run.value.clone());
                }
                (Id::Job(job, Kind::Spec), _) => self.hear_spec(peer, job),
                (Id::Job(job, Kind::Cancel), _) => self.hear_cancel(peer, job),
                _ => {}
            }
        }
    }

    /// The first database is gone: nothing in it was open.
    fn hear_dropped(&mut self, peer: Peer) {
        if std::mem::replace(&mut self.peers[peer].feed.has_dropped, true) {
            return;
        }
        let name = format!("blitz-jobs-{}-1", self.regions[self.peers[peer].region].name);
        let mut actions = Vec::new();
        match &mut self.peers[peer].mind {
            Mind::Engine(mind) => actions = mind.contest.hear_replaced(&name),
            Mind::Keeper(mind) => mind.keeper.hear_replaced(&name),
            Mind::Gateway(_) | Mind::None => {}
        }
        self.perform(peer, actions);
    }

    fn hear_output(&mut self, peer: Peer, base: Base) {
        let (site, node) = (self.peers[peer].site, self.peers[peer].node);
        let since = self.peers[peer].feed.since[base];
        let output = &self.sites[site].bases[base];
        let Some(changes) = output.changes(node, since).answer() else { return };
        let last = changes.last_seq();
        let ids: Vec<Id> = changes.map(|change| *change.id).collect();
        self.peers[peer].feed.since[base] = last;
        for id in ids {
            self.hear_chunk(peer, id);
        }
    }

    /// A run has several leaves, or may have: the one that counts is read, from all copies while they answer, as the
    /// real feed does. What cannot be read now is read later.
    fn hear_leaves(&mut self, peer: Peer, job: usize) {
        let (site, node) = (self.peers[peer].site, self.peers[peer].node);
        let (copies, majority) = (self.sites[site].copies, self.sites[site].majority());
        let read = match self.read_leaves(site, node, job, copies) {
            Read::Answered(leaves) => Read::Answered(leaves),
            _ => self.read_leaves(site, node, job, majority),
        };
        match read {
            Read::Answered(leaves) => {
                self.tell_losers(peer, job, &leaves);
                if let Some((revision, run)) = leaves.resolved(self.mutants.guards()).cloned() {
                    self.hear_run(peer, job, revision, run);
                }
            }
            _ => {
                self.peers[peer].feed.unread.push(job);
                let life = self.peers[peer].life;
                self.peers[peer].feed.pending = true;
                self.later(LIST_AGAIN, Event::Feed { peer, life });
            }
        }
    }

    /// Another database has this name now: what was claimed in the old one is void, and the new one is listed.
    ///
    /// Where the region has several clusters it was made anew under a new epoch, and who hears of it reads the region's
    /// document first: an engine begins another stay.
    fn replaced(&mut self, peer: Peer) {
        let region = self.peers[peer].region;
        let name = &self.regions[region].name;
        let names = [1, 2].map(|number| format!("blitz-jobs-{name}-{number}"));
        let state = &mut self.peers[peer];
        state.struck = self.now;
        state.feed = Feed::listing();
        let life = state.life;
        let mut actions = Vec::new();
        match &mut state.mind {
            Mind::Engine(mind) => {
                for name in &names {
                    actions.extend(mind.contest.hear_replaced(name));
                }
            }
            Mind::Keeper(mind) => names.iter().for_each(|name| mind.keeper.hear_replaced(name)),
            Mind::Gateway(_) | Mind::None => {}
        }
        if self.regions[region].is_many() && self.peers[peer].role == Role::Engine {
            self.perform(peer, actions);
            self.settle(peer);
            return self.look_around(peer);
        }
        self.later(LIST_AGAIN, Event::List { peer, life, stage: 0 });
        self.perform(peer, actions);
        self.settle(peer);
    }

    /// A feed breaks, and is taken up again, perhaps a little before where it was.
    pub(super) fn drop_feed(&mut self, peer: Peer) {
        if self.peers[peer].feed.lists {
            return;
        }
        let wait = self.chance.between(AGAIN_MIN, AGAIN_MAX);
        let rewinds = self.chance.percent(REWINDS_PERCENT);
        let earlier = self.chance.below(REWIND_MAX);
        let state = &mut self.peers[peer];
        state.feed.live = false;
        state.struck = self.now;
        if rewinds {
            let earlier = u64::try_from(earlier).unwrap_or(0);
            for base in FOLLOWED {
                state.feed.since[base] = state.feed.since[base].earlier(earlier);
            }
        }
        let life = state.life;
        self.later(wait, Event::FeedCheck { peer, life });
    }

    /// Takes up a feed that is dead, if the node answers.
    pub(super) fn check_feed(&mut self, peer: Peer) {
        if self.peers[peer].feed.lists {
            return;
        }
        if !self.reaches(peer) {
            self.peers[peer].feed.live = false;
            self.peers[peer].struck = self.now;
            self.move_away(peer);
            let wait = self.chance.between(AGAIN_MIN, AGAIN_MAX);
            let life = self.peers[peer].life;
            return self.later(wait, Event::FeedCheck { peer, life });
        }
        self.peers[peer].struck = self.now;
        let feed = &mut self.peers[peer].feed;
        feed.live = true;
        if !feed.pending {
            feed.pending = true;
            self.plan_feed(peer);
        }
    }

    /// The node of a peer does not answer: half of the peers know another.
    pub(super) fn move_away(&mut self, peer: Peer) {
        let (site, node) = (self.peers[peer].site, self.peers[peer].node);
        if !self.enters(peer, site)
            || self.sites[site].state(node) == NodeState::Up
            || self.chance.percent(50.0)
        {
            return;
        }
        let up: Vec<usize> = (0..self.sites[site].copies)
            .filter(|node| self.sites[site].state(*node) == NodeState::Up)
            .collect();
        let Some(node) = self.chance.pick(&up).copied() else { return };
        self.peers[peer].node = node;
        if !self.peers[peer].feed.lists {
            self.drop_feed(peer);
        }
    }
}
