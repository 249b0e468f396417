//! What an answer of the store means to the peer that asked.

use std::sync::Arc;
use std::time::Duration;

use blitz_couchdb::Revision;
use blitz_jobs::Run;
use blitz_jobs::start::{self, Fencing};
use blitz_jobs::writing::{self, Answer, Next, PutReply, Reply, Writing};

use super::World;
use super::document::{Body, Id, Kind, rev};
use super::event::{Base, Event, Peer};
use super::peer::{Mind, PeerState, Role};
use super::site::{BEATS, Site};
use super::store::{Data, Op};
use crate::couchdb::{Rev, Write, WriteId};

/// A gateway writes a spec again after this long.
const SUBMIT_AGAIN: Duration = Duration::from_secs(1);

/// Of so many jobs of a hundred an engine of the next region hears too.
const STRAY_PERCENT: f64 = 10.0;

/// A gateway writes at two sites in so many of a hundred cases.
const BOTH_PERCENT: f64 = 15.0;

/// A request that was not answered.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) peer: Peer,
    /// Where it goes.
    pub(super) site: usize,
    pub(super) node: usize,
    pub(super) life: u32,
    /// Until it arrives.
    pub(super) op: Option<Op>,
    pub(super) call: Call,
    /// What was answered, or what no answer means.
    pub(super) data: Data,
    pub(super) write: Option<(Base, WriteId)>,
}

/// What the peer does with the answer.
#[derive(Debug)]
pub(super) enum Call {
    /// A step of a run.
    Step {
        job: usize,
        writing: Box<Writing>,
    },
    /// The removal of a leaf that such a step left.
    Yield {
        job: usize,
        writing: Box<Writing>,
    },
    /// A start fence.
    Fence {
        job: usize,
        fencing: Box<Fencing>,
    },
    /// The question, behind a fence, whether the site still is the home of the stay's epoch; and what it knew when it was
    /// asked.
    Home {
        job: usize,
        is_still: bool,
    },
    /// The keeper looks at what is stored.
    Look {
        job: usize,
    },
    /// The keeper removes a leaf.
    Remove {
        job: usize,
        loser: Revision,
    },
    Beat {
        sent: Duration,
        body: Body,
        again: bool,
    },
    BeatRead {
        sent: Duration,
        body: Body,
    },
    Poll,
    Chunk {
        job: usize,
        seq: u64,
    },
    Spec {
        job: usize,
        site: usize,
        sent: Duration,
    },
    Cancel {
        job: usize,
    },
}

impl World {
    pub(super) fn answered(&mut self, peer: Peer, call: Call, data: Data) {
        match (call, data) {
            (Call::Step { job, mut writing }, data) => {
                if matches!(data, Data::Put(PutReply::Unknown) | Data::Leaves(None)) {
                    self.note_unanswered(job);
                }
                let reply = match data {
                    Data::Put(reply) => {
                        self.trace(job, |w| format!("{} is answered {reply:?}", w.name(peer)));
                        Reply::Put(reply)
                    }
                    Data::Leaves(leaves) => {
                        if let Some(leaves) = &leaves {
                            self.tell_losers(peer, job, leaves);
                        }
                        Reply::Leaves(leaves)
                    }
                    _ => return,
                };
                match writing.hear(reply) {
                    Next::Ask(ask) => self.ask_step(peer, job, writing, ask),
                    Next::Decided(answer) => self.step_decided(peer, job, &writing, answer),
                }
            }
            (Call::Yield { job, mut writing }, _) => {
                if let Next::Decided(answer) = writing.hear(Reply::Removed) {
                    self.step_decided(peer, job, &writing, answer);
                }
            }
            (Call::Fence { job, mut fencing }, data) => {
                let reply = match data {
                    Data::Put(reply) => start::Reply::Put(reply),
                    Data::Got(Some(Some((_, Body::Start(start))))) => {
                        start::Reply::Read(Some((*start).clone()))
                    }
                    _ => start::Reply::Read(None),
                };
                self.trace(job, |w| format!("{} fence: {reply:?}", w.name(peer)));
                match fencing.hear(&reply) {
                    start::Next::Ask(ask) => self.ask_fence(peer, job, fencing, ask),
                    start::Next::Decided(true) => self.ask_home(peer, job),
                    start::Next::Decided(false) => self.fence_decided(peer, job, false),
                }
            }
            (Call::Home { job, is_still }, Data::Got(found)) => {
                self.fence_decided(peer, job, is_still && found.is_some());
            }
            (Call::Remove { job, loser }, Data::Put(reply)) => {
                let is_gone = !matches!(reply, PutReply::Unknown | PutReply::Refused);
                self.remove_answered(peer, job, is_gone.then_some(loser));
            }
            (Call::Look { job }, Data::Leaves(Some(leaves))) => {
                self.keeper_looked(peer, job, &leaves);
            }
            (Call::Beat { sent, body, again }, Data::Put(reply)) => {
                self.beat_answered(peer, sent, body, again, &reply);
            }
            (Call::BeatRead { sent, body }, Data::Got(Some(found))) => {
                let parent = found.map(|(rev, _)| rev);
                self.put_beat(peer, parent, sent, body, true);
            }
            (Call::BeatRead { sent, body }, Data::Got(None)) => {
                self.beat_answered(peer, sent, body, true, &PutReply::Unknown);
            }
            (Call::Poll, Data::Beats(Some(beats))) => self.polled(peer, &beats),
            (Call::Chunk { job, seq }, Data::Put(reply)) => {
                self.chunk_answered(peer, job, seq, &reply);
            }
            (Call::Spec { job, .. }, Data::Put(PutReply::Unknown)) => {
                self.later(SUBMIT_AGAIN, Event::Submit(job));
            }
            (Call::Spec { job, site, sent }, Data::Put(reply)) => match reply {
                // The database is gone: who asked is told so, and asks anew under another id.
                PutReply::Refused if self.sites[site].dropped[self.jobs[job].base] => {
                    self.outcome.tally.refused += 1;
                    let accepted = self.jobs[job].accepted;
                    self.jobs[job].void |= !accepted;
                }
                PutReply::Refused => self.later(SUBMIT_AGAIN, Event::Submit(job)),
                _ => {
                    // What is wiped between the writing and its answer is lost as well.
                    self.jobs[job].stored_at.push((site, sent));
                    self.trace(job, |_| format!("accepted, {reply:?}"));
                    if !std::mem::replace(&mut self.jobs[job].accepted, true) {
                        self.tell_neighbour(job);
                    }
                }
            },
            (Call::Cancel { job }, Data::Put(PutReply::Unknown)) => {
                self.later(SUBMIT_AGAIN, Event::Cancel(job));
            }
            _ => {}
        }
    }

    /// Specs travel between clusters, so that an engine of the next region may hear of a job that is not its own.
    fn tell_neighbour(&mut self, job: usize) {
        let next = (self.jobs[job].region + 1) % self.regions.len();
        if next == self.jobs[job].region || !self.chance.percent(STRAY_PERCENT) {
            return;
        }
        let site = self.home_of(next);
        let Some(peer) = self.chance.pick(&self.sites[site].peers).copied() else { return };
        let state = &self.peers[peer];
        if state.role == Role::Engine && state.alive && !state.paused {
            self.hear_spec(peer, job);
            self.settle(peer);
        }
    }

    /// Begins a step of a run.
    pub(super) fn write_step(&mut self, peer: Peer, job: usize, over: Option<Revision>, run: Run) {
        self.note_rescuer(peer, job, &run);
        self.trace(job, |w| {
            format!("{} writes {} over {over:?}: {run:?}", w.name(peer), run.state())
        });
        let site = &self.sites[self.peers[peer].site];
        let copies = u32::try_from(site.copies).unwrap_or(1);
        // Both sides of a cluster that is split may end a job that neither of them began.
        self.jobs[job].split |= run.is_final() && site.is_split(self.now);
        let (writing, ask) = Writing::begin(copies, over, run, self.mutants.guards());
        self.ask_step(peer, job, Box::new(writing), ask);
    }

    fn ask_step(&mut self, peer: Peer, job: usize, writing: Box<Writing>, ask: writing::Ask) {
        let id = Id::Job(job, Kind::Run);
        let majority = self.sites[self.peers[peer].site].majority();
        let op = match ask {
            writing::Ask::Leaves => Op::Leaves { job, r: majority },
            writing::Ask::AllLeaves => {
                Op::Leaves { job, r: self.sites[self.peers[peer].site].copies }
            }
            writing::Ask::Put { over, quorum } => {
                self.outcome.tally.puts += 1;
                let w = quorum.and_then(|quorum| usize::try_from(quorum).ok()).unwrap_or(majority);
                let body = Body::run(writing.run().clone());
                self.judge_step(job, over.as_ref().map(rev), writing.run(), &body);
                Op::Put {
                    base: self.jobs[job].base,
                    write: Write::put(id, over.as_ref().map(rev), body, w),
                }
            }
            writing::Ask::Remove(own) => {
                self.trace(job, |w| format!("{} removes its leaf {own}", w.name(peer)));
                let write = Write::delete(id, rev(&own), majority);
                return self.ask(
                    peer,
                    Op::Put { base: self.jobs[job].base, write },
                    Call::Yield { job, writing },
                );
            }
        };
        self.ask(peer, op, Call::Step { job, writing });
    }

    fn step_decided(&mut self, peer: Peer, job: usize, writing: &Writing, answer: Answer) {
        self.trace(job, |w| format!("{} {}: {answer:?}", w.name(peer), writing.run().state()));
        if answer != Answer::Unknown {
            self.outcome.tally.decided(&answer, writing.run());
        }
        match self.peers[peer].mind {
            Mind::Engine(_) => self.engine_answered(peer, job, answer),
            Mind::Keeper(_) => self.keeper_answered(peer, job, writing.run(), answer),
            _ => {}
        }
    }

    /// Begins to pass a start fence.
    pub(super) fn pass_fence(
        &mut self,
        peer: Peer,
        job: usize,
        start: start::Start,
        claim: Revision,
    ) {
        let (fencing, ask) = Fencing::begin(start, claim, self.mutants.guards());
        self.ask_fence(peer, job, Box::new(fencing), ask);
    }

    fn ask_fence(&mut self, peer: Peer, job: usize, fencing: Box<Fencing>, ask: start::Ask) {
        let w = self.sites[self.peers[peer].site].majority();
        let op = match ask {
            start::Ask::Create(start) => {
                let write =
                    Write::put(Id::Job(job, Kind::Start), None, Body::Start(start.into()), w);
                Op::Put { base: self.jobs[job].base, write }
            }
            start::Ask::Child(claim) => {
                let Some(run) = self.claim_of(peer, job) else { return };
                let write =
                    Write::put(Id::Job(job, Kind::Run), Some(rev(&claim)), Body::run(run), w);
                Op::Put { base: self.jobs[job].base, write }
            }
            start::Ask::Read => {
                Op::Get { base: self.jobs[job].base, id: Id::Job(job, Kind::Start) }
            }
        };
        self.ask(peer, op, Call::Fence { job, fencing });
    }

    /// A home that was wiped has lost the fence of whoever began before. It has the region's new document before it has
    /// databases again.
    fn ask_home(&mut self, peer: Peer, job: usize) {
        let PeerState { site, epoch, .. } = self.peers[peer];
        let is_still = self.edition_at(site).epoch <= epoch;
        let op = Op::Get { base: self.jobs[job].base, id: Id::Job(job, Kind::Start) };
        self.ask(peer, op, Call::Home { job, is_still });
    }

    /// Writes a beat over what is known of the last one.
    pub(super) fn put_beat(
        &mut self,
        peer: Peer,
        parent: Option<Rev>,
        sent: Duration,
        body: Body,
        again: bool,
    ) {
        let w = self.sites[self.peers[peer].site].majority();
        self.outcome.tally.beats += 1;
        let write = Write::put(Id::Beat(self.peers[peer].machine), parent, body.clone(), w);
        self.ask(peer, Op::Put { base: BEATS, write }, Call::Beat { sent, body, again });
        if std::mem::take(&mut self.peers[peer].pauses_at_beat) && !self.peers[peer].paused {
            self.pause_for_long(peer);
        }
    }

    /// A gateway writes the spec, until the store has it.
    pub(super) fn submit(&mut self, job: usize) {
        let region = self.jobs[job].region;
        if self.jobs[job].submitted.is_none() {
            self.jobs[job].submitted = Some(self.now);
            if let Some(gateway) = self.chance.pick(&self.regions[region].gateways).copied()
                && self.regions[region].is_many()
            {
                self.admit(job, gateway);
            }
        }
        self.create(job, Kind::Spec, Body::Spec, Event::Submit(job));
    }

    /// A gateway makes the job, from what it knows of its region. Whoever writes it again writes the same.
    fn admit(&mut self, job: usize, gateway: Peer) {
        let known = self.known_by(gateway);
        let number = Self::number_of(known.current);
        let found = &mut self.jobs[job];
        found.base = known.current;
        let mut spec = (*found.spec).clone();
        self.job_of.remove(&spec.job);
        let text = spec.job.as_str().replacen("-1-", &format!("-{number}-"), 1);
        spec.job = text.parse().unwrap_or(spec.job);
        spec.tasks = vec![spec.job.clone()];
        spec.home_epoch = known.epoch;
        self.job_of.insert(spec.job.clone(), job);
        found.spec = Arc::new(spec);
    }

    /// A gateway writes the cancel, until the store has it.
    pub(super) fn submit_cancel(&mut self, job: usize) {
        self.trace(job, |_| "somebody cancels".to_owned());
        self.create(job, Kind::Cancel, Body::Cancel, Event::Cancel(job));
    }

    /// Writes what a gateway writes once: at home when that answers, else at a hub, and now and then at both.
    fn create(&mut self, job: usize, kind: Kind, body: Body, again: Event) {
        if self.jobs[job].void {
            return;
        }
        let region = self.jobs[job].region;
        let gateways = &self.regions[region].gateways;
        let Some(gateway) = self.chance.pick(gateways).copied() else { return };
        let sites = self.sites_for(gateway);
        if !self.peers[gateway].alive || sites.is_empty() {
            return self.later(SUBMIT_AGAIN, again);
        }
        for site in sites {
            let Site { copies, .. } = self.sites[site];
            let w = if kind == Kind::Spec { copies } else { self.sites[site].majority() };
            let write = Write::put(Id::Job(job, kind), None, body.clone(), w);
            let call = match kind {
                Kind::Spec => Call::Spec { job, site, sent: self.now },
                _ => Call::Cancel { job },
            };
            self.trace(job, |w| format!("{} writes {kind:?} at {site}", w.name(gateway)));
            self.ask_at(gateway, site, Op::Put { base: self.jobs[job].base, write }, call);
        }
    }

    /// Where a gateway writes now.
    fn sites_for(&mut self, gateway: Peer) -> Vec<usize> {
        let PeerState { region, near, site, .. } = self.peers[gateway];
        if !self.regions[region].is_many() {
            return vec![site];
        }
        let home = self.edition_at(near).home;
        let all = self.regions[region].sites.iter().copied();
        let mut places: Vec<usize> = Vec::new();
        for site in [home, near].into_iter().chain(all) {
            if self.enters(gateway, site) && self.sites[site].answers() && !places.contains(&site) {
                places.push(site);
            }
        }
        let both = self.chance.percent(BOTH_PERCENT);
        places.truncate(if both { 2 } else { 1 });
        places
    }
}
