//! Requests on their way to the store of a region and back, some of which are lost.

use std::time::Duration;

use blitz_couchdb::Revision;
use blitz_jobs::engine::Beat;
use blitz_jobs::writing::{Leaves, PutReply};

use super::World;
use super::calls::{Call, Request};
use super::document::{Body, Id, Kind};
use super::event::{Base, Event, Peer};
use super::peer::Role;
use super::plan::StoreFault;
use crate::couchdb::{
    Answer, Cluster, Decided, NodeState, Read, Rev, SYNC_DELAY, Sent, Seq, Write, WriteId,
};

pub(super) const JOBS: Base = 0;
pub(super) const BEATS: Base = 1;
pub(super) const OUTPUT: Base = 2;

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

/// A region and its store.
#[derive(Debug)]
pub(super) struct Region {
    pub(super) name: String,
    pub(super) copies: usize,
    pub(super) bases: [Cluster<Id, Body>; 3],
    /// Where the feeds of each node stood when the peers were last told.
    noted: [Vec<Option<Seq>>; 3],
    pub(super) peers: Vec<Peer>,
    pub(super) plan: Vec<StoreFault>,
    /// One of its nodes is in trouble, so no other gets into it.
    pub(super) troubled: bool,
    /// Its nodes are on two sides.
    pub(super) parted: bool,
    /// When its jobs database was replaced last.
    pub(super) recreated: Option<Duration>,
    /// Until when copies may differ from one another.
    pub(super) stale_until: Duration,
    /// The last time of trouble in its store, with what it takes to recover.
    pub(super) unwell_until: Duration,
}

impl Region {
    pub(super) fn new(number: usize, copies: usize) -> Self {
        Self {
            name: format!("r{number}"),
            copies,
            bases: [(); 3].map(|()| Cluster::new(copies, copies)),
            noted: [(); 3].map(|()| vec![None; copies]),
            peers: Vec::new(),
            plan: Vec::new(),
            troubled: false,
            parted: false,
            recreated: None,
            stale_until: Duration::ZERO,
            unwell_until: Duration::ZERO,
        }
    }

    pub(super) fn majority(&self) -> usize {
        self.copies / 2 + 1
    }

    /// Whether two engines may each have a right to a job now: copies that decide alone.
    pub(super) fn is_split(&self, now: Duration) -> bool {
        self.parted || now < self.stale_until
    }

    pub(super) fn state(&self, node: usize) -> NodeState {
        self.bases[JOBS].state(node)
    }
}

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
    /// Asks the store of the peer's region.
    pub(super) fn ask(&mut self, peer: Peer, op: Op, call: Call) {
        self.requests_made += 1;
        let id = self.requests_made;
        self.outcome.tally.requests += 1;
        let silence = op.no_data();
        let request = Request {
            peer,
            life: self.peers[peer].life,
            op: Some(op),
            call,
            data: silence,
            write: None,
        };
        self.requests.insert(id, request);
        self.later(CLIENT_TIMEOUT, Event::TimeOut(id));
        if !self.peers[peer].cut && !self.chance.percent(LOST_PERCENT) {
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
        let peer = request.peer;
        let (region, node) = (self.peers[peer].region, self.peers[peer].node);
        if self.regions[region].state(node) == NodeState::Down {
            let data = op.no_data();
            self.answer(id, data);
            return self.move_away(peer);
        }
        let data = match op {
            Op::Put { base, write } => match self.regions[region].bases[base].send(node, write) {
                Sent::Answered(answer) => Data::Put(put_reply(answer)),
                Sent::Travelling(write) => {
                    self.travelling.insert((region, base, write), id);
                    if let Some(request) = self.requests.get_mut(&id) {
                        request.write = Some((base, write));
                    }
                    return self.send_to_copies(region, base, write);
                }
            },
            Op::Leaves { job, r } => match self.read_leaves(region, node, job, r) {
                Read::Answered(leaves) => Data::Leaves(Some(leaves)),
                Read::Silent => return,
                Read::Unavailable | Read::Refused => Data::Leaves(None),
            },
            Op::Get { base, id } => match self.get(region, node, base, &id) {
                Read::Answered(found) => Data::Got(Some(found)),
                Read::Silent => return,
                Read::Unavailable | Read::Refused => Data::Got(None),
            },
            Op::Beats { engines } => {
                let mut beats = Vec::new();
                for engine in engines {
                    match self.get(region, node, BEATS, &Id::Beat(engine)) {
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

    fn send_to_copies(&mut self, region: usize, base: Base, write: WriteId) {
        let copies: Vec<usize> = self.regions[region].bases[base].on_the_way(write).collect();
        for copy in copies {
            let wait = self.chance.exponential(TO_COPY);
            self.later(wait, Event::Arrive { region, base, write, copy });
        }
    }

    pub(super) fn copy_hears(&mut self, region: usize, base: Base, write: WriteId, copy: usize) {
        let several = self.regions[region].copies > 1;
        let cluster = &mut self.regions[region].bases[base];
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
            self.sync_soon(region);
            // A copy that missed a message decides alone, as a stale one does.
            if let Some(id) = self.travelling.get(&(region, base, write))
                && let Some(Call::Step { job, .. }) =
                    self.requests.get(id).map(|request| &request.call)
            {
                self.jobs[*job].split = true;
            }
        }
        self.tell_feeds(region, base);
        if let Some(answer) = answer {
            self.decided(region, base, Decided { write, answer });
        }
    }

    /// The answer to a write is certain: its client is told, and copies that lack it get it some time.
    pub(super) fn decided(&mut self, region: usize, base: Base, decided: Decided) {
        if matches!(decided.answer, Answer::Accepted(_)) {
            self.sync_soon(region);
        }
        if let Some(id) = self.travelling.remove(&(region, base, decided.write)) {
            self.answer(id, Data::Put(put_reply(decided.answer)));
        }
    }

    /// Copies compare themselves after a write that one of them may have missed.
    fn sync_soon(&mut self, region: usize) {
        let wait = self.chance.between(Duration::from_millis(100), SYNC_DELAY);
        self.later(wait, Event::Sync { region });
    }

    pub(super) fn repair(&mut self, region: usize, node: usize, job: usize) {
        self.regions[region].bases[JOBS].repair(node, &Id::Job(job, Kind::Run));
        self.tell_feeds(region, JOBS);
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
        } else if !state.cut
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
            let (peer, node) = (request.peer, self.peers[request.peer].node);
            let region = self.peers[peer].region;
            self.answered(peer, request.call, silence);
            if self.regions[region].state(node) != NodeState::Up {
                self.move_away(peer);
            }
        }
    }

    fn forget_request(&mut self, id: u64) -> Option<Request> {
        let request = self.requests.remove(&id)?;
        if let Some((base, write)) = request.write {
            let region = self.peers[request.peer].region;
            self.travelling.remove(&(region, base, write));
        }
        Some(request)
    }

    /// The leaves of a run as one node reads them from `r` copies, and the start fence when there are several.
    pub(super) fn read_leaves(
        &mut self,
        region: usize,
        node: usize,
        job: usize,
        r: usize,
    ) -> Read<Leaves> {
        let Region { bases, copies, .. } = &self.regions[region];
        let id = Id::Job(job, Kind::Run);
        let chance = &mut self.chance;
        let found = match bases[JOBS].leaves(node, &id, r, |below| chance.below(below)) {
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
        if *copies > 1 && !bases[JOBS].agrees(&id) {
            let wait = REPAIR + self.chance.exponential(REPAIR);
            self.later(wait, Event::Repair { region, node, job });
        }
        let mut start = None;
        if runs.len() > 1 {
            match self.get(region, node, JOBS, &Id::Job(job, Kind::Start)) {
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
        region: usize,
        node: usize,
        base: Base,
        id: &Id,
    ) -> Read<Option<(Rev, Body)>> {
        let majority = self.regions[region].majority();
        let chance = &mut self.chance;
        let found =
            self.regions[region].bases[base].get(node, id, majority, |below| chance.below(below));
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
    pub(super) fn tell_feeds(&mut self, region: usize, base: Base) {
        if base == BEATS {
            return;
        }
        let mut news = 0u8;
        let region = &mut self.regions[region];
        for node in 0..region.copies {
            let seq = region.bases[base].now(node).answer();
            if seq.is_some() && seq != region.noted[base][node] {
                region.noted[base][node] = seq;
                news |= 1 << node;
            }
        }
        if news == 0 {
            return;
        }
        for peer in region.peers.clone() {
            let state = &mut self.peers[peer];
            let follows = base == JOBS || state.role == Role::Gateway;
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
