//! Requests on their way to the store of a site and back, some of which are lost.

use std::time::Duration;

use blitz_couchdb::Revision;
use blitz_jobs::engine::Beat;
use blitz_jobs::writing::{Leaves, PutReply};

use super::World;
use super::calls::{Call, Request};
use super::document::{Body, Id, Kind};
use super::event::{Base, Event, Peer};
use super::peer::Role;
use super::site::{BEATS, FOLLOWED, Site};
use crate::couchdb::{Answer, Decided, NodeState, Read, Rev, SYNC_DELAY, Sent, Write, WriteId};

/// Who asked waits so long, as the real clients do.
const CLIENT_TIMEOUT: Duration = blitz_jobs::claim::CLAIM_TIMEOUT;

/// So many requests of a hundred are lost on their way, and so many answers.
const LOST_PERCENT: f64 = 2.0;

/// Half a request: the way there or back, the least and the mean of what is added; one in a hundred is slow.
const WAY: Duration = Duration::from_millis(1);
const WAY_MORE: Duration = Duration::from_millis(2);
const WAY_SLOW: Duration = Duration::from_millis(60);

/// From the coordinator of a write to a copy.
const TO_COPY: Duration = Duration::from_micros(300);

/// A read that saw copies differ repairs them after this long, and about as long again.
const REPAIR: Duration = Duration::from_millis(2);

/// Messages between nodes that never arrive, and those of which the coordinator never hears, of a hundred.
const LOST_INSIDE_PERCENT: f64 = 0.2;

/// What is asked of a store.
#[derive(Debug)]
pub(super) enum Op {
    Put {
        base: Base,
        write: Write<Id, Body>,
    },
    /// The leaves of a run from so many copies, and its start fence.
    Leaves {
        job: usize,
        r: usize,
    },
    Get {
        base: Base,
        id: Id,
    },
    Beats {
        engines: Vec<Peer>,
    },
}

/// What was answered, `None` within: nothing that says anything.
#[derive(Debug)]
pub(super) enum Data {
    Put(PutReply),
    Leaves(Option<Leaves>),
    Got(Option<Option<(Rev, Body)>>),
    Beats(Option<Vec<(Beat, Duration)>>),
}

impl Op {
    /// The database that it writes to.
    fn base(&self) -> Option<Base> {
        match self {
            Self::Put { base, .. } => Some(*base),
            _ => None,
        }
    }

    fn no_data(&self) -> Data {
        match self {
            Self::Put { .. } => Data::Put(PutReply::Unknown),
            Self::Leaves { .. } => Data::Leaves(None),
            Self::Get { .. } => Data::Got(None),
            Self::Beats { .. } => Data::Beats(None),
        }
    }
}

impl World {
    /// Asks the store of the peer's site.
    pub(super) fn ask(&mut self, peer: Peer, op: Op, call: Call) {
        self.ask_at(peer, self.peers[peer].site, op, call);
    }

    /// Asks the store of a site.
    pub(super) fn ask_at(&mut self, peer: Peer, site: usize, op: Op, call: Call) {
        self.requests_made += 1;
        let id = self.requests_made;
        self.outcome.tally.requests += 1;
        let silence = op.no_data();
        let node = if site == self.peers[peer].site {
            self.peers[peer].node
        } else {
            self.chance.below(self.sites[site].copies)
        };
        let request = Request {
            peer,
            site,
            node,
            life: self.peers[peer].life,
            op: Some(op),
            call,
            data: silence,
            write: None,
        };
        self.requests.insert(id, request);
        self.later(CLIENT_TIMEOUT, Event::TimeOut(id));
        if self.enters(peer, site) && !self.chance.percent(LOST_PERCENT) {
            let wait = self.way();
            self.later(wait, Event::Request(id));
        }
    }

    fn way(&mut self) -> Duration {
        let more = if self.chance.percent(1.0) { WAY_SLOW } else { WAY_MORE };
        WAY + self.chance.exponential(more)
    }

    pub(super) fn request_arrives(&mut self, id: u64) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let Some(op) = request.op.take() else { return };
        let (peer, site, node) = (request.peer, request.site, request.node);
        if self.sites[site].state(node) == NodeState::Down || self.sites[site].absent {
            let data = op.no_data();
            self.answer(id, data);
            return self.move_away(peer);
        }
        if op.base().is_some_and(|base| self.sites[site].dropped[base]) {
            return self.answer(id, Data::Put(PutReply::Refused));
        }
        // Of a database that was replaced meanwhile: it is asked for in the new one.
        if let Call::Spec { job, .. } = request.call
            && !self.regions[self.jobs[job].region].is_many()
        {
            self.jobs[job].void = false;
        }
        let data = match op {
            Op::Put { base, write } => {
                self.note_apart(site, base, &write);
                match self.sites[site].bases[base].send(node, write) {
                    Sent::Answered(answer) => Data::Put(put_reply(answer)),
                    Sent::Travelling(write) => {
                        self.travelling.insert((site, base, write), id);
                        if let Some(request) = self.requests.get_mut(&id) {
                            request.write = Some((base, write));
                        }
                        return self.send_to_copies(site, base, write);
                    }
                }
            }
            Op::Leaves { job, r } => match self.read_leaves(site, node, job, r) {
                Read::Answered(leaves) => Data::Leaves(Some(leaves)),
                Read::Silent => return,
                Read::Unavailable | Read::Refused => Data::Leaves(None),
            },
            Op::Get { base, id } => match self.get(site, node, base, &id) {
                Read::Answered(found) => Data::Got(Some(found)),
                Read::Silent => return,
                Read::Unavailable | Read::Refused => Data::Got(None),
            },
            Op::Beats { engines } => {
                let mut beats = Vec::new();
                for engine in engines {
                    match self.get(site, node, BEATS, &Id::Beat(engine)) {
                        Read::Answered(Some((_, Body::Beat(beat, wall)))) => {
                            beats.push((beat.value.clone(), wall));
                        }
                        Read::Answered(_) => {}
                        Read::Silent => return,
                        Read::Unavailable | Read::Refused => {
                            return self.answer(id, Data::Beats(None));
                        }
                    }
                }
                Data::Beats(Some(beats))
            }
        };
        self.answer(id, data);
    }

    fn send_to_copies(&mut self, site: usize, base: Base, write: WriteId) {
        let copies: Vec<usize> = self.sites[site].bases[base].on_the_way(write).collect();
        for copy in copies {
            let wait = self.chance.exponential(TO_COPY);
            self.later(wait, Event::Arrive { site, base, write, copy });
        }
    }

    pub(super) fn copy_hears(&mut self, site: usize, base: Base, write: WriteId, copy: usize) {
        let several = self.sites[site].copies > 1;
        let cluster = &mut self.sites[site].bases[base];
        let lost = several && self.chance.percent(LOST_INSIDE_PERCENT);
        let unheard = several && self.chance.percent(LOST_INSIDE_PERCENT);
        let answer = if lost {
            cluster.lose(write, copy)
        } else if unheard {
            cluster.arrive_unheard(write, copy)
        } else {
            cluster.arrive(write, copy)
        };
        if lost || unheard {
            self.sync_soon(site);
            // A copy that missed a message decides alone, as a stale one does.
            if let Some(id) = self.travelling.get(&(site, base, write))
                && let Some(Call::Step { job, .. }) =
                    self.requests.get(id).map(|request| &request.call)
            {
                self.jobs[*job].split = true;
            }
        }
        self.tell_feeds(site, base);
        if let Some(answer) = answer {
            self.decided(site, base, Decided { write, answer });
        }
    }

    /// The answer to a write is certain: its client is told, and copies that lack it get it some time.
    pub(super) fn decided(&mut self, site: usize, base: Base, decided: Decided) {
        if matches!(decided.answer, Answer::Accepted(_)) {
            self.sync_soon(site);
        }
        if let Some(id) = self.travelling.remove(&(site, base, decided.write)) {
            self.answer(id, Data::Put(put_reply(decided.answer)));
        }
    }

    /// Copies compare themselves after a write that one of them may have missed.
    pub(super) fn sync_soon(&mut self, site: usize) {
        let wait = self.chance.between(Duration::from_millis(100), SYNC_DELAY);
        self.later(wait, Event::Sync { site });
    }

    pub(super) fn repair(&mut self, site: usize, node: usize, job: usize) {
        let base = self.jobs[job].base;
        self.sites[site].bases[base].repair(node, &Id::Job(job, Kind::Run));
        self.tell_feeds(site, base);
    }

    /// Sends an answer on its way back.
    fn answer(&mut self, id: u64, data: Data) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.data = data;
        if !self.chance.percent(LOST_PERCENT) {
            let wait = self.way();
            self.later(wait, Event::Reply(id));
        }
    }

    /// An answer arrives, unless who asked has gone, sleeps or is cut off.
    pub(super) fn reply_arrives(&mut self, id: u64, event: Event) {
        let Some(request) = self.requests.get(&id) else { return };
        let state = &mut self.peers[request.peer];
        if state.life != request.life || !state.alive {
            self.forget_request(id);
        } else if state.paused {
            state.deferred.push(event);
        } else if self.enters(self.requests[&id].peer, self.requests[&id].site)
            && let Some(request) = self.forget_request(id)
        {
            self.answered(request.peer, request.call, request.data);
        }
    }

    /// Who asked waits no longer.
    pub(super) fn no_reply(&mut self, id: u64, event: Event) {
        let Some(request) = self.requests.get(&id) else { return };
        let state = &mut self.peers[request.peer];
        if state.life != request.life || !state.alive {
            self.forget_request(id);
        } else if state.paused {
            state.deferred.push(event);
        } else if let Some(request) = self.forget_request(id) {
            let silence = match request.data {
                Data::Put(_) => Data::Put(PutReply::Unknown),
                Data::Leaves(_) => Data::Leaves(None),
                Data::Got(_) => Data::Got(None),
                Data::Beats(_) => Data::Beats(None),
            };
            let (peer, site, node) = (request.peer, request.site, request.node);
            self.answered(peer, request.call, silence);
            if self.sites[site].state(node) != NodeState::Up {
                self.move_away(peer);
            }
        }
    }

    fn forget_request(&mut self, id: u64) -> Option<Request> {
        let request = self.requests.remove(&id)?;
        if let Some((base, write)) = request.write {
            self.travelling.remove(&(request.site, base, write));
        }
        Some(request)
    }

    /// The leaves of a run as one node reads them from `r` copies, and the start fence when there are several.
    pub(super) fn read_leaves(
        &mut self,
        site: usize,
        node: usize,
        job: usize,
        r: usize,
    ) -> Read<Leaves> {
        let base = self.jobs[job].base;
        let Site { bases, copies, .. } = &self.sites[site];
        let id = Id::Job(job, Kind::Run);
        let chance = &mut self.chance;
        let found = match bases[base].leaves(node, &id, r, |below| chance.below(below)) {
            Read::Answered(found) => found,
            Read::Silent => return Read::Silent,
            Read::Unavailable => return Read::Unavailable,
            Read::Refused => return Read::Refused,
        };
        let runs: Vec<_> = found
            .iter()
            .filter_map(|leaf| match leaf.body {
                Some(Body::Run(run)) => Some((Revision::from(leaf.rev), run.value.clone())),
                _ => None,
            })
            .collect();
        if *copies > 1 && !bases[base].agrees(&id) {
            let wait = REPAIR + self.chance.exponential(REPAIR);
            self.later(wait, Event::Repair { site, node, job });
        }
        let mut start = None;
        if runs.len() > 1 {
            match self.get(site, node, base, &Id::Job(job, Kind::Start)) {
                Read::Answered(Some((_, Body::Start(found)))) => start = Some((*found).clone()),
                Read::Answered(_) => {}
                Read::Silent => return Read::Silent,
                Read::Unavailable | Read::Refused => return Read::Unavailable,
            }
        }
        Read::Answered(Leaves { runs, start, ..Leaves::default() })
    }

    pub(super) fn get(
        &mut self,
        site: usize,
        node: usize,
        base: Base,
        id: &Id,
    ) -> Read<Option<(Rev, Body)>> {
        let majority = self.sites[site].majority();
        let chance = &mut self.chance;
        let found =
            self.sites[site].bases[base].get(node, id, majority, |below| chance.below(below));
        match found {
            Read::Answered(found) => {
                Read::Answered(found.and_then(|leaf| Some((leaf.rev, leaf.body?.clone()))))
            }
            Read::Silent => Read::Silent,
            Read::Unavailable => Read::Unavailable,
            Read::Refused => Read::Refused,
        }
    }

    /// Wakes the feeds of those for whom there is news.
    pub(super) fn tell_feeds(&mut self, site: usize, base: Base) {
        if base == BEATS {
            return;
        }
        let mut news = 0u8;
        let number = site;
        let site = &mut self.sites[site];
        for node in 0..site.copies {
            let seq = site.bases[base].now(node).answer();
            if seq.is_some() && seq != site.noted[base][node] {
                site.noted[base][node] = seq;
                news |= 1 << node;
            }
        }
        if news == 0 {
            return;
        }
        self.plan_flows(number);
        for place in 0..self.sites[number].peers.len() {
            let peer = self.sites[number].peers[place];
            let state = &mut self.peers[peer];
            let follows = FOLLOWED.contains(&base) || state.role == Role::Gateway;
            if follows && state.feed.live && !state.feed.pending && news & (1 << state.node) != 0 {
                state.feed.pending = true;
                self.plan_feed(peer);
            }
        }
    }
}

fn put_reply(answer: Answer) -> PutReply {
    match answer {
        Answer::Created(rev) => PutReply::Created(rev.into()),
        Answer::Accepted(rev) => PutReply::Accepted(rev.into()),
        Answer::Conflict => PutReply::Conflict,
        Answer::Unavailable | Answer::Refused => PutReply::Unknown,
    }
}
