//! An engine: the real contest, driven as the real engine drives it.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use blitz_couchdb::Revision;
use blitz_jobs::contest::{Action, Config, Contest};
use blitz_jobs::engine::{Beat, BeatKind};
use blitz_jobs::writing::{Answer, PutReply};
use blitz_jobs::{Incarnation, Run};

use super::World;
use super::calls::Call;
use super::document::{Body, rev};
use super::event::Peer;
use super::mutant::Mutant;
use super::peer::{Life, Mind};
use super::plan::PLUGIN;
use super::running::Running;
use super::site::BEATS;
use super::store::Op;
use crate::couchdb::Rev;

#[derive(Debug)]
pub(super) struct EngineMind {
    pub(super) contest: Contest,
    /// Which of all starts of engines this is.
    pub(super) life: usize,
    /// It claims nothing more, and ends when it holds nothing.
    pub(super) leaves: bool,
    beat_revision: Option<Rev>,
    /// One beat is written at a time, as engines do it: two could overtake each other.
    is_beating: bool,
    /// The newest that came up meanwhile.
    beat_waiting: Option<Body>,
    pub(super) running: BTreeMap<usize, Running>,
    /// Claims that it wrote last, for a mutant.
    claims: BTreeMap<usize, Run>,
}

impl World {
    pub(super) fn engine_mind(&mut self, peer: Peer) -> Mind {
        let incarnation = Incarnation::from_random(self.chance.bytes());
        let life = self.lives.len();
        self.life_of.insert(incarnation.clone(), life);
        self.lives.push(Life { incarnation: incarnation.clone(), died: None, signs: Vec::new() });
        let slots = u32::try_from(1 + self.chance.below(4)).unwrap_or(1);
        let state = &self.peers[peer];
        let mut contest = Contest::new(Config {
            engine: format!("e{}", state.machine),
            incarnation,
            region: self.regions[state.region].name.clone(),
            epoch: state.epoch,
            only_safe: state.is_provisional(),
            slots,
            timing: self.timing(),
            guards: self.mutants.guards(),
        });
        contest.add_plugin(PLUGIN);
        let own = self.lives[life].incarnation.clone();
        for other in self.with_siblings(peer) {
            if let Mind::Engine(mind) = &mut self.peers[other].mind {
                contest.hear_beside(self.lives[mind.life].incarnation.clone());
                mind.contest.hear_beside(own.clone());
            }
        }
        contest.hear_engines(self.peers[peer].engines);
        Mind::Engine(Box::new(EngineMind {
            contest,
            life,
            leaves: false,
            beat_revision: None,
            is_beating: false,
            beat_waiting: None,
            running: BTreeMap::new(),
            claims: BTreeMap::new(),
        }))
    }

    pub(super) fn engine(&mut self, peer: Peer) -> Option<&mut EngineMind> {
        match &mut self.peers[peer].mind {
            Mind::Engine(mind) => Some(mind),
            _ => None,
        }
    }

    /// Does what is due, and says when something is due again.
    pub(super) fn tick_engine(&mut self, peer: Peer) -> Option<Duration> {
        let local = self.local(peer);
        let actions = self.engine(peer)?.contest.tick(local);
        if self.peers[peer].unchecked {
            self.count_all(peer);
            self.peers[peer].unchecked = false;
        }
        self.perform(peer, actions);
        self.engine(peer)?.contest.due()
    }

    pub(super) fn perform(&mut self, peer: Peer, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Write { job, over, run } => {
                    let Some(job) = self.job_of.get(&job).copied() else { continue };
                    if matches!(run, Run::Claimed { .. }) {
                        self.outcome.tally.claims_tried += 1;
                        if self.mutants.breaks_fence()
                            && let Some(mind) = self.engine(peer)
                        {
                            mind.claims.insert(job, run.clone());
                        }
                    }
                    self.write_step(peer, job, over, run);
                }
                Action::Fence { job, start, claim } => {
                    let Some(job) = self.job_of.get(&job).copied() else { continue };
                    self.pass_fence(peer, job, start, claim);
                }
                Action::Start { spec, claim, time_left } => {
                    let Some(job) = self.job_of.get(&spec.job).copied() else { continue };
                    self.start_job(peer, job, &claim, time_left);
                }
                Action::Stop { job, why } => {
                    let Some(job) = self.job_of.get(&job).copied() else { continue };
                    self.stop_job(peer, job, why);
                }
                Action::Beat { counter, held } => {
                    let wall = self.peers[peer].clock.wall(self.now);
                    let Some(EngineMind { life, .. }) = self.engine(peer) else {
                        return;
                    };
                    let life = *life;
                    let beat = Beat {
                        kind: BeatKind::Beat,
                        blitz: String::new(),
                        engine: format!("e{}", self.peers[peer].machine),
                        incarnation: self.lives[life].incarnation.clone(),
                        counter,
                        held,
                    };
                    self.beat(peer, Body::beat(beat, wall));
                }
                Action::Poll { engines } => self.poll(peer, engines.iter().map(String::as_str)),
            }
        }
    }

    /// Asks for the beats of engines, whose names are `e` and the places of their machines.
    pub(super) fn poll<'a>(&mut self, peer: Peer, engines: impl Iterator<Item = &'a str>) {
        let engines = engines.filter_map(|name| name.strip_prefix('e')?.parse().ok()).collect();
        self.outcome.tally.polls += 1;
        self.ask(peer, Op::Beats { engines }, Call::Poll);
    }

    pub(super) fn polled(&mut self, peer: Peer, beats: &[(Beat, Duration)]) {
        let local = self.local(peer);
        let region = self.regions[self.peers[peer].region].name.clone();
        let beats = self.as_seen(peer, beats);
        match &mut self.peers[peer].mind {
            Mind::Engine(mind) => mind.contest.hear_beats(local, &region, &beats),
            Mind::Keeper(mind) => mind.keeper.hear_beats(local, &region, &beats),
            Mind::Gateway(_) | Mind::None => return,
        }
        self.settle(peer);
    }

    /// The beats as a watcher looks at them. One that compares clocks on walls takes an engine for alive while its
    /// stamp is young.
    fn as_seen(&self, peer: Peer, beats: &[(Beat, Duration)]) -> Vec<Beat> {
        if !self.mutants.has(Mutant::WallClock) {
            return beats.iter().map(|(beat, _)| beat.clone()).collect();
        }
        let wall = self.peers[peer].clock.wall(self.now);
        let polled = u64::try_from(self.now.as_millis()).unwrap_or(0);
        beats
            .iter()
            .filter(|(_, stamp)| wall < *stamp + self.timing().dead)
            .map(|(beat, _)| Beat { counter: polled, ..beat.clone() })
            .collect()
    }

    fn beat(&mut self, peer: Peer, body: Body) {
        let sent = self.local(peer);
        let Some(mind) = self.engine(peer) else { return };
        if mind.is_beating {
            mind.beat_waiting = Some(body);
            return;
        }
        mind.is_beating = true;
        let parent = mind.beat_revision;
        self.put_beat(peer, parent, sent, body, false);
    }

    pub(super) fn beat_answered(
        &mut self,
        peer: Peer,
        sent: Duration,
        body: Body,
        again: bool,
        reply: &PutReply,
    ) {
        let (local, now) = (self.local(peer), self.now);
        let Some(mind) = self.engine(peer) else { return };
        let life = mind.life;
        let mut stored = None;
        match reply {
            PutReply::Created(revision) => {
                mind.beat_revision = Some(rev(revision));
                mind.contest.beat_acknowledged(local, sent);
                if let Body::Beat(beat, _) = &body {
                    stored = Some(beat.value.counter);
                }
            }
            PutReply::Accepted(revision) => mind.beat_revision = Some(rev(revision)),
            PutReply::Conflict if !again => {
                let id = super::document::Id::Beat(self.peers[peer].machine);
                return self.ask(peer, Op::Get { base: BEATS, id }, Call::BeatRead { sent, body });
            }
            PutReply::Conflict | PutReply::Unknown | PutReply::Refused => mind.beat_revision = None,
        }
        mind.is_beating = false;
        let waiting = mind.beat_waiting.take();
        self.lives[life].signs.extend(stored.map(|counter| (counter, now)));
        if let Some(body) = waiting {
            self.beat(peer, body);
        }
        self.settle(peer);
    }

    pub(super) fn engine_answered(&mut self, peer: Peer, job: usize, answer: Answer) {
        let local = self.local(peer);
        let id = self.jobs[job].id().clone();
        let Some(mind) = self.engine(peer) else { return };
        let actions = mind.contest.write_answered(local, &id, answer);
        self.perform(peer, actions);
        self.settle(peer);
    }

    pub(super) fn fence_decided(&mut self, peer: Peer, job: usize, goes: bool) {
        let local = self.local(peer);
        let id = self.jobs[job].id().clone();
        let Some(mind) = self.engine(peer) else { return };
        let actions = mind.contest.fence_answered(local, &id, goes);
        self.perform(peer, actions);
        self.settle(peer);
    }

    pub(super) fn claim_of(&mut self, peer: Peer, job: usize) -> Option<Run> {
        self.engine(peer)?.claims.get(&job).cloned()
    }

    pub(super) fn hear_spec(&mut self, peer: Peer, job: usize) {
        let local = self.local(peer);
        let spec = self.jobs[job].spec.clone();
        match &mut self.peers[peer].mind {
            Mind::Engine(mind) => mind.contest.hear_spec(local, spec),
            Mind::Keeper(mind) => mind.keeper.hear_spec(local, &spec),
            Mind::Gateway(_) | Mind::None => {}
        }
    }

    pub(super) fn hear_run(&mut self, peer: Peer, job: usize, revision: Revision, run: Run) {
        let local = self.local(peer);
        let spec = self.jobs[job].spec.clone();
        let mut actions = Vec::new();
        self.note_fenced(peer, job, &run);
        match &mut self.peers[peer].mind {
            Mind::Engine(mind) => actions = mind.contest.hear_run(local, &spec.job, revision, run),
            Mind::Keeper(mind) => mind.keeper.hear_run(local, &spec.job, revision, run),
            Mind::Gateway(_) => self.reader_hears(peer, job, &run),
            Mind::None => {}
        }
        self.perform(peer, actions);
    }

    pub(super) fn hear_cancel(&mut self, peer: Peer, job: usize) {
        let spec = self.jobs[job].spec.clone();
        let mut actions = Vec::new();
        match &mut self.peers[peer].mind {
            Mind::Engine(mind) => actions = mind.contest.hear_cancel(&spec.job),
            Mind::Keeper(mind) => mind.keeper.hear_cancel(&spec.job),
            Mind::Gateway(_) | Mind::None => {}
        }
        self.perform(peer, actions);
    }

    /// The engines that run something now.
    pub(super) fn busy_engines(&self) -> Vec<Peer> {
        let busy: HashSet<Peer> =
            self.jobs.iter().flat_map(|job| job.active.iter().map(|active| active.peer)).collect();
        let mut busy: Vec<Peer> = busy.into_iter().collect();
        busy.sort_unstable();
        busy
    }
}
