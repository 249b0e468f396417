//! An engine's work on one job: chunks of output, an end, and all that may stop it.

use std::collections::BTreeSet;
use std::time::Duration;

use blitz_contract::{Exit, Stopped};
use blitz_jobs::contest::Why;
use blitz_jobs::output::Digest;
use blitz_jobs::run::{Claim, End};
use blitz_jobs::writing::PutReply;

use super::World;
use super::calls::Call;
use super::document::{Body, Id};
use super::event::{Event, Peer};
use super::job::Active;
use super::site::output_of;
use super::store::Op;
use crate::couchdb::Write;

/// A plugin that was told to stop has stopped within this time.
const STOP_MAX: Duration = Duration::from_millis(300);

/// A chunk that was not stored is written again after this long.
const CHUNK_AGAIN: Duration = Duration::from_millis(200);

/// A plugin that kills its engine does so within this time.
const KILL_MAX: Duration = Duration::from_secs(3);

/// An engine that was killed by a plugin is back so much later.
const KILLED_MIN: Duration = Duration::from_secs(2);
const KILLED_MAX: Duration = Duration::from_secs(40);

#[derive(Debug)]
pub(super) struct Running {
    attempt: u32,
    life: usize,
    /// Between two chunks, and from the last one to the end.
    step: Duration,
    chunks: u64,
    seq: u64,
    unstored: BTreeSet<u64>,
    exit: Exit,
    ended: bool,
    stopping: Option<Why>,
}

impl World {
    pub(super) fn start_job(&mut self, peer: Peer, job: usize, claim: &Claim, time_left: Duration) {
        self.trace(job, |w| format!("{} STARTS attempt {}", w.name(peer), claim.attempt));
        let found = &self.jobs[job];
        let (chunks, poison) = (found.chunks, found.poison);
        let late = found.duration > time_left;
        let time = if poison {
            self.chance.between(Duration::ZERO, found.duration.min(KILL_MAX))
        } else {
            found.duration.min(time_left)
        };
        let steps = u32::try_from(chunks).unwrap_or(0) + 1;
        let exit = if late {
            Exit::Stopped(Stopped::Timeout("the job's time is over".to_owned()))
        } else {
            Exit::Status(0)
        };
        let Some(mind) = self.engine(peer) else { return };
        let life = mind.life;
        let running = Running {
            attempt: claim.attempt,
            life,
            step: time / steps,
            chunks,
            seq: 0,
            unstored: BTreeSet::new(),
            exit,
            ended: false,
            stopping: None,
        };
        let again = mind.running.insert(job, running).is_some();
        self.lives[life].signs.push((0, self.now));
        self.jobs[job].silent = claim.silent.len();
        if again {
            let text = format!("{} starts job {job} while it runs it", self.name(peer));
            self.find("started-twice", text);
        }
        let life = self.peers[peer].life;
        self.later(time / steps, Event::Step { peer, life, job });
        self.begun(peer, job);
    }

    /// A job goes on.
    pub(super) fn step(&mut self, peer: Peer, job: usize) {
        let local = self.local(peer);
        let poison = self.jobs[job].poison;
        let id = self.jobs[job].id().clone();
        let Some(mind) = self.engine(peer) else { return };
        let may_write = mind.contest.may_write(local, &id);
        let Some(running) = mind.running.get_mut(&job) else { return };
        if running.stopping.is_some() || running.ended {
            return;
        }
        if running.seq < running.chunks {
            let (seq, step) = (running.seq, running.step);
            if may_write {
                running.seq += 1;
                running.unstored.insert(seq);
                self.write_chunk(peer, job, seq);
            }
            let wait = step.max(Duration::from_millis(1));
            let life = self.peers[peer].life;
            return self.later(wait, Event::Step { peer, life, job });
        }
        if poison {
            self.trace(job, |w| format!("{} is killed by it", w.name(peer)));
            self.judge_kill(job);
            let back = self.chance.between(KILLED_MIN, KILLED_MAX);
            return self.crash(peer, back);
        }
        running.ended = true;
        self.end_job(peer, job);
    }

    /// Writes a chunk, again and again while the job is this engine's.
    pub(super) fn write_chunk(&mut self, peer: Peer, job: usize, seq: u64) {
        let local = self.local(peer);
        let id = self.jobs[job].id().clone();
        let majority = self.sites[self.peers[peer].site].majority();
        let Some(mind) = self.engine(peer) else { return };
        let Some(running) = mind.running.get(&job) else { return };
        if !running.unstored.contains(&seq) {
            return;
        }
        if !mind.contest.may_write(local, &id) {
            let life = self.peers[peer].life;
            return self.later(CHUNK_AGAIN, Event::Chunk { peer, life, job, seq });
        }
        let id = Id::Chunk { job, attempt: running.attempt, life: running.life, seq };
        let write = Write::put(id, None, Body::Chunk, majority);
        self.ask(
            peer,
            Op::Put { base: output_of(self.jobs[job].base), write },
            Call::Chunk { job, seq },
        );
    }

    pub(super) fn chunk_answered(&mut self, peer: Peer, job: usize, seq: u64, reply: &PutReply) {
        if matches!(reply, PutReply::Unknown | PutReply::Refused) {
            let life = self.peers[peer].life;
            return self.later(CHUNK_AGAIN, Event::Chunk { peer, life, job, seq });
        }
        let Some(mind) = self.engine(peer) else { return };
        if let Some(running) = mind.running.get_mut(&job) {
            running.unstored.remove(&seq);
            self.end_job(peer, job);
        }
    }

    /// Reports the end, when there is one and all output is stored.
    fn end_job(&mut self, peer: Peer, job: usize) {
        let duration = self.jobs[job].duration;
        let Some(mind) = self.engine(peer) else { return };
        let Some(running) = mind.running.get(&job) else { return };
        if !running.ended || !running.unstored.is_empty() {
            return;
        }
        let Some(running) = mind.running.remove(&job) else { return };
        let mut digest = Digest::default();
        for seq in 0..running.seq {
            digest.add("stdout", text(job, running.life, seq).as_bytes());
        }
        let end = End {
            exit: running.exit,
            chunks: running.seq,
            bytes: digest.bytes(),
            digest: digest.finish(),
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(0),
        };
        self.report(peer, job, Some(end));
    }

    pub(super) fn stop_job(&mut self, peer: Peer, job: usize, why: Why) {
        self.trace(job, |w| format!("{} is told to stop: {why:?}", w.name(peer)));
        self.count(job);
        for active in &mut self.jobs[job].active {
            active.stops |= active.peer == peer;
        }
        let wait = self.chance.between(Duration::from_millis(1), STOP_MAX);
        let life = self.peers[peer].life;
        let Some(running) = self.engine(peer).and_then(|mind| mind.running.get_mut(&job)) else {
            return;
        };
        running.stopping = Some(why);
        self.later(wait, Event::Stopped { peer, life, job });
    }

    /// The plugin has stopped. A job that was cancelled has an end, with the output so far.
    pub(super) fn stopped(&mut self, peer: Peer, job: usize) {
        let Some(mind) = self.engine(peer) else { return };
        let Some(running) = mind.running.get_mut(&job) else { return };
        match running.stopping {
            Some(Why::Cancelled) => {
                if !running.ended {
                    running.exit = Exit::Stopped(Stopped::Cancelled);
                    running.ended = true;
                }
                self.stop_counting(peer, job, false);
                self.end_job(peer, job);
            }
            _ => {
                mind.running.remove(&job);
                self.report(peer, job, None);
            }
        }
    }

    fn report(&mut self, peer: Peer, job: usize, end: Option<End>) {
        self.trace(job, |w| {
            format!(
                "{} has stopped, {}",
                w.name(peer),
                if end.is_some() { "with an end" } else { "without an end" }
            )
        });
        self.stop_counting(peer, job, false);
        let (local, now, life) = (self.local(peer), self.now, self.peers[peer].life);
        let id = self.jobs[job].id().clone();
        let Some(mind) = self.engine(peer) else { return };
        let good = mind.contest.may_write(local, &id) && end.is_some();
        let actions = mind.contest.job_ended(local, &id, end);
        self.jobs[job].finished = good.then_some((peer, life, now)).or(self.jobs[job].finished);
        self.perform(peer, actions);
        self.settle(peer);
    }

    fn begun(&mut self, peer: Peer, job: usize) {
        self.count(job);
        self.outcome.tally.starts += 1;
        let found = &mut self.jobs[job];
        found.starts += 1;
        found.active.push(Active { peer, was_paused: false, stops: false, fenced: None });
        self.judge_start(peer, job);
    }
}

/// What the chunk says.
pub(super) fn text(job: usize, life: usize, seq: u64) -> String {
    format!("{job}.{life}.{seq}\n")
}
