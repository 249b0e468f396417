//! How a peer hears of what is in the store: a listing first, then every change, with all that goes wrong there.

use std::time::Duration;

use super::World;
use super::document::{Body, Id, Kind};
use super::event::{Event, Peer};
use super::mutant::Mutant;
use super::peer::{Mind, Role};
use super::store::{JOBS, OUTPUT};
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
    since: [Seq; 3],
    identity: u64,
    /// It lists before it follows.
    pub(super) lists: bool,
    /// Connected, as far as it knows.
    pub(super) live: bool,
    /// News are on their way.
    pub(super) pending: bool,
    /// Runs with several leaves that could not be read.
    unread: Vec<usize>,
}

impl World {
    pub(super) fn plan_feed(&mut self, peer: Peer) {
        let wait = DELAY + self.chance.exponential(DELAY_MORE);
        let life = self.peers[peer].life;
        self.later(wait, Event::Feed { peer, life });
    }

    fn reaches(&self, peer: Peer) -> bool {
        let state = &self.peers[peer];
        !state.cut && self.regions[state.region].state(state.node) == NodeState::Up
    }

    /// Lists what is there: first the place in the feed, then the documents. (A mutant does it the other way around.)
    pub(super) fn list(&mut self, peer: Peer, stage: u8) {
        let life = self.peers[peer].life;
        if !self.reaches(peer) {
            self.move_away(peer);
            return self.later(LIST_AGAIN, Event::List { peer, life, stage: 0 });
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

    fn take_place(&mut self, peer: Peer) {
        let (region, node) = (self.peers[peer].region, self.peers[peer].node);
        let jobs = &self.regions[region].bases[JOBS];
        if let Some(seq) = jobs.now(node).answer() {
            self.peers[peer].feed.since[JOBS] = seq;
            self.peers[peer].feed.identity = jobs.identity();
        }
    }

    fn list_jobs(&mut self, peer: Peer) {
        let (region, node) = (self.peers[peer].region, self.peers[peer].node);
        let Some(rows) = self.regions[region].bases[JOBS].list(node, ..).answer() else { return };
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
        let (region, node) = (self.peers[peer].region, self.peers[peer].node);
        let jobs = &self.regions[region].bases[JOBS];
        if jobs.identity() != self.peers[peer].feed.identity {
            return self.replaced(peer);
        }
        let Some(changes) = jobs.changes(node, self.peers[peer].feed.since[JOBS]).answer() else {
            return;
        };
        let last = changes.last_seq();
        let news: Vec<(Id, Rev, Option<Body>, usize)> = changes
            .map(|change| (*change.id, change.rev, change.body.cloned(), change.leaves))
            .collect();
        self.peers[peer].feed.since[JOBS] = last;
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
        for job in std::mem::take(&mut self.peers[peer].feed.unread) {
            self.hear_leaves(peer, job);
        }
        if self.peers[peer].role == Role::Gateway {
            self.hear_output(peer);
        }
        self.settle(peer);
    }

    fn hear_output(&mut self, peer: Peer) {
        let (region, node) = (self.peers[peer].region, self.peers[peer].node);
        let since = self.peers[peer].feed.since[OUTPUT];
        let output = &self.regions[region].bases[OUTPUT];
        let Some(changes) = output.changes(node, since).answer() else { return };
        let last = changes.last_seq();
        let ids: Vec<Id> = changes.map(|change| *change.id).collect();
        self.peers[peer].feed.since[OUTPUT] = last;
        for id in ids {
            self.hear_chunk(peer, id);
        }
    }

    /// A run has several leaves, or may have: the one that counts is read, from all copies while they answer, as the
    /// real feed does. What cannot be read now is read later.
    fn hear_leaves(&mut self, peer: Peer, job: usize) {
        let (region, node) = (self.peers[peer].region, self.peers[peer].node);
        let (copies, majority) = (self.regions[region].copies, self.regions[region].majority());
        let read = match self.read_leaves(region, node, job, copies) {
            Read::Answered(leaves) => Read::Answered(leaves),
            _ => self.read_leaves(region, node, job, majority),
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
    fn replaced(&mut self, peer: Peer) {
        let name = format!("blitz-jobs-{}-1", self.regions[self.peers[peer].region].name);
        let state = &mut self.peers[peer];
        state.struck = self.now;
        state.feed = Feed { lists: true, ..Feed::default() };
        let life = state.life;
        let mut actions = Vec::new();
        match &mut state.mind {
            Mind::Engine(mind) => actions = mind.contest.hear_replaced(&name),
            Mind::Keeper(mind) => mind.keeper.hear_replaced(&name),
            Mind::Gateway(_) | Mind::None => {}
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
            state.feed.since[JOBS] = state.feed.since[JOBS].earlier(earlier);
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
        let (region, node) = (self.peers[peer].region, self.peers[peer].node);
        if self.peers[peer].cut
            || self.regions[region].state(node) == NodeState::Up
            || self.chance.percent(50.0)
        {
            return;
        }
        let up: Vec<usize> = (0..self.regions[region].copies)
            .filter(|node| self.regions[region].state(*node) == NodeState::Up)
            .collect();
        let Some(node) = self.chance.pick(&up).copied() else { return };
        self.peers[peer].node = node;
        if !self.peers[peer].feed.lists {
            self.drop_feed(peer);
        }
    }
}
