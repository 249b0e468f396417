//! A gateway: it submits jobs, and has a reader of every job, who must not be told two ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use blitz_contract::{Frame, Stream};
use blitz_jobs::Run;
use blitz_jobs::follow::{Event, Follow};
use blitz_jobs::id::Position;
use blitz_jobs::output::{Chunk, StoredFrame};

use super::World;
use super::document::Id;
use super::event::Peer;
use super::peer::Mind;
use super::running::text;
use super::site::output_of;
use crate::couchdb::Read;

#[derive(Debug, Default)]
pub(super) struct GatewayMind {
    readers: BTreeMap<usize, Reader>,
}

#[derive(Debug)]
struct Reader {
    follow: Follow,
    /// The end that it was told, or would be had all chunks come.
    end: Option<Run>,
    /// Where it heard of that, and when.
    at: usize,
    heard: Duration,
    told: bool,
}

impl GatewayMind {
    pub(super) fn mind() -> Mind {
        Mind::Gateway(Box::default())
    }

    fn reader(&mut self, job: usize) -> &mut Reader {
        self.readers.entry(job).or_insert_with(|| Reader {
            follow: Follow::new(None),
            end: None,
            at: 0,
            heard: Duration::ZERO,
            told: false,
        })
    }

    /// The end that the reader of a job was told.
    pub(super) fn told(&self, job: usize) -> Option<&Run> {
        self.readers.get(&job).filter(|reader| reader.told)?.end.as_ref()
    }
}

impl World {
    fn gateway(&mut self, peer: Peer) -> Option<&mut GatewayMind> {
        match &mut self.peers[peer].mind {
            Mind::Gateway(mind) => Some(mind),
            _ => None,
        }
    }

    pub(super) fn reader_hears(&mut self, peer: Peer, job: usize, run: &Run) {
        let (site, now) = (self.peers[peer].site, self.now);
        let wiped = self.sites[site].wiped;
        let Some(mind) = self.gateway(peer) else { return };
        let reader = mind.reader(job);
        reader.follow.hear_run(run);
        let (mut other, mut poison) = (None, None);
        if run.is_final() {
            match &reader.end {
                None => {
                    reader.end = Some(run.clone());
                    (reader.at, reader.heard) = (site, now);
                    if let Run::Poison { claim, .. } = run {
                        poison = Some(claim.clone());
                    }
                }
                Some(end) if end != run => other = Some(end.clone()),
                Some(_) => {}
            }
        } else if reader.end.is_some()
            && reader.at == site
            && wiped.is_none_or(|wiped| wiped < reader.heard)
        {
            self.end_undone(peer, job, run);
        }
        if run.is_final() {
            self.seal(peer, job, run);
        }
        if let Some(claim) = poison {
            self.judge_poison(job, &claim);
        }
        if let Some(end) = other {
            self.two_ends(peer, job, &end, run);
        }
        self.read_on(peer, job);
    }

    pub(super) fn hear_chunk(&mut self, peer: Peer, id: Id) {
        let Id::Chunk { job, attempt, life, seq } = id else { return };
        let incarnation = self.lives[life].incarnation.clone();
        let bytes = text(job, life, seq).into_bytes();
        let frame = StoredFrame::new(Frame { stream: Stream::Stdout, bytes });
        let Some(mind) = self.gateway(peer) else { return };
        let position = Position { attempt, incarnation, seq };
        mind.reader(job).follow.hear_chunk(position, Arc::new(Chunk::new(vec![frame])));
        self.read_on(peer, job);
    }

    fn read_on(&mut self, peer: Peer, job: usize) {
        let Some(mind) = self.gateway(peer) else { return };
        let reader = mind.reader(job);
        let mut damaged = false;
        while let Some(event) = reader.follow.next_event() {
            if let Event::End(run) = event {
                reader.told = true;
                damaged = reader.follow.is_damaged();
                reader.end = Some(run);
            }
        }
        if damaged {
            self.find(
                "damaged",
                format!("the reader of job {job} was told other bytes than its engine counted"),
            );
        }
    }

    /// Asks for the chunks that readers miss: after a while their feed will not bring them.
    pub(super) fn fetch_missing(&mut self, peer: Peer) {
        let Some(mind) = self.gateway(peer) else { return };
        let missing: Vec<(usize, Position)> = mind
            .readers
            .iter()
            .filter(|(_, reader)| !reader.told)
            .filter_map(|(job, reader)| Some((*job, reader.follow.missing()?)))
            .collect();
        let (site, node) = (self.peers[peer].site, self.peers[peer].node);
        for (job, position) in missing {
            let Some(life) = self.life_of.get(&position.incarnation).copied() else { continue };
            let id = Id::Chunk { job, attempt: position.attempt, life, seq: position.seq };
            if let Read::Answered(Some(_)) =
                self.get(site, node, output_of(self.jobs[job].base), &id)
            {
                self.hear_chunk(peer, id);
            }
        }
    }
}
