//! A reader of one job: documents in any order in, output in the order of the stream out.
//!
//! Replication is ordered only in part and a feed may repeat itself, so chunks come late, early, twice, or from
//! an engine that lost the job. A reader takes output only of the claim that the run names, in sequence,
//! and an end only when every chunk of it was there. Pure: the caller reads feeds, asks the store for what
//! [`Follow::missing`] names, and decides how long to wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::id::{Incarnation, Position};
use crate::output::{Chunk, Digest};
use crate::run::Run;

/// What a reader is told, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The job has another state now: claimed or open. Ends come as [`Event::End`].
    State(Run),
    /// Another engine runs it from the start: output of earlier attempts is void.
    Restart(Run),
    /// The next chunk.
    Output(Position, Arc<Chunk>),
    /// Nothing comes after it.
    End(Run),
}

/// Where one reader of one job stands.
#[derive(Debug)]
pub struct Follow {
    /// The claim whose output is shown, and the sequence number that comes next.
    shown: Option<(u32, Incarnation, u64)>,
    /// The newest state, and whether the reader was told of it.
    state: Option<Run>,
    told_state: bool,
    /// Chunks whose turn has not come, also of other claims: the run document may come after them.
    chunks: BTreeMap<(u32, Incarnation), BTreeMap<u64, Arc<Chunk>>>,
    ended: bool,
    /// Of what was told, when it was told from the start.
    digest: Option<Digest>,
}

/// Chunks of one claim that a reader keeps at once because their turn has not come. Above it the latest are
/// dropped; at the end they are missing and asked for.
pub const CHUNKS_AHEAD_MAX: usize = 1024;

impl Follow {
    /// A reader that has seen everything up to and with `after`, or nothing.
    #[must_use]
    pub fn new(after: Option<Position>) -> Self {
        // A digest is of the whole stream: a reader that begins in the middle has none.
        let digest = after.is_none().then(Digest::default);
        Self {
            shown: after.map(|p| (p.attempt, p.incarnation, p.seq.saturating_add(1))),
            state: None,
            told_state: false,
            chunks: BTreeMap::new(),
            ended: false,
            digest,
        }
    }

    /// The run document has this state.
    pub fn hear_run(&mut self, run: &Run) {
        if self.state.as_ref() == Some(run) || self.state.as_ref().is_some_and(Run::is_final) {
            return;
        }
        self.state = Some(run.clone());
        self.told_state = false;
    }

    /// A chunk has come, perhaps again.
    pub fn hear_chunk(&mut self, position: Position, chunk: Arc<Chunk>) {
        let Position { attempt, incarnation, seq } = position;
        if let Some((shown_attempt, shown, next)) = &self.shown
            && (attempt < *shown_attempt
                || (attempt == *shown_attempt && *shown == incarnation && seq < *next))
        {
            return;
        }
        let ahead = self.chunks.entry((attempt, incarnation)).or_default();
        ahead.insert(seq, chunk);
        if ahead.len() > CHUNKS_AHEAD_MAX {
            ahead.pop_last();
        }
    }

    /// The next thing to tell the reader; `None` until more is heard.
    pub fn next_event(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        let run = self.state.clone()?;
        if let Some(claim) = run.claim() {
            let other = match &self.shown {
                None => {
                    self.shown = Some((claim.attempt, claim.incarnation.clone(), 0));
                    false
                }
                Some((attempt, incarnation, _)) => {
                    *attempt != claim.attempt || *incarnation != claim.incarnation
                }
            };
            if other {
                self.shown = Some((claim.attempt, claim.incarnation.clone(), 0));
                self.digest = Some(Digest::default());
                let key = (claim.attempt, claim.incarnation.clone());
                self.chunks.retain(|k, _| *k >= key);
                self.told_state = !run.is_final();
                return Some(Event::Restart(run));
            }
        }
        if !self.told_state && !run.is_final() {
            self.told_state = true;
            return Some(Event::State(run));
        }
        if let Some(output) = self.next_chunk() {
            return Some(output);
        }
        if run.is_final() && self.missing().is_none() {
            self.ended = true;
            return Some(Event::End(run));
        }
        None
    }

    fn next_chunk(&mut self) -> Option<Event> {
        let (attempt, incarnation, next) = self.shown.as_mut()?;
        let chunk = self.chunks.get_mut(&(*attempt, incarnation.clone()))?.remove(next)?;
        let position = Position { attempt: *attempt, incarnation: incarnation.clone(), seq: *next };
        *next += 1;
        if let Some(digest) = &mut self.digest {
            for frame in chunk.frames.iter().filter_map(crate::output::StoredFrame::frame) {
                digest.add(&frame.stream.to_string(), &frame.bytes);
            }
        }
        Some(Event::Output(position, chunk))
    }

    /// The first chunk that the run says exists and that has not come. Ask the store for it by its id.
    #[must_use]
    pub fn missing(&self) -> Option<Position> {
        let end = self.state.as_ref().filter(|run| run.is_final())?.end()?;
        let (attempt, incarnation, next) = self.shown.as_ref()?;
        (*next < end.chunks).then(|| Position {
            attempt: *attempt,
            incarnation: incarnation.clone(),
            seq: *next,
        })
    }

    /// Gives up on the chunks that are missing now, up to the next that has come: the reader is to be told that
    /// the output is incomplete.
    pub fn skip_missing(&mut self) {
        if self.missing().is_none() {
            return;
        }
        let end = self.state.as_ref().and_then(Run::end).map_or(0, |end| end.chunks);
        if let Some((attempt, incarnation, next)) = &mut self.shown {
            let ahead = self.chunks.get(&(*attempt, incarnation.clone()));
            let there = ahead.and_then(|chunks| chunks.keys().next().copied());
            *next = there.unwrap_or(end).min(end);
            self.digest = None;
        }
    }

    /// Whether the bytes that were told are not those that the engine counted. Only for a reader that began
    /// at the start and has been told the end.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        match (&self.digest, self.state.as_ref().and_then(Run::end)) {
            (Some(digest), Some(end)) if self.ended => digest.clone().finish() != end.digest,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Batch, StoredFrame};
    use crate::run::{Claim, End};
    use blitz_contract::{Exit, Frame, Stream};
    use std::time::Duration;

    fn incarnation(byte: u8) -> Incarnation {
        Incarnation::from_random([byte; 16])
    }

    fn claim(attempt: u32, byte: u8) -> Claim {
        let claim = Claim::first(1, "e", incarnation(byte));
        Claim { attempt, ..claim }
    }

    fn chunks(texts: &[&str]) -> (Vec<Arc<Chunk>>, End) {
        let mut batch = Batch::new(Duration::ZERO);
        let chunks = texts
            .iter()
            .map(|text| {
                let bytes = text.as_bytes().to_vec();
                batch.add(Duration::ZERO, Frame { stream: Stream::Stdout, bytes });
                Arc::new(batch.take_rest(Duration::ZERO).unwrap().1)
            })
            .collect();
        let (chunks_count, bytes, digest) = batch.finish();
        let exit = Exit::Status(0);
        (chunks, End { exit, chunks: chunks_count, bytes, digest, duration_ms: 1 })
    }

    fn at(attempt: u32, byte: u8, seq: u64) -> Position {
        Position { attempt, incarnation: incarnation(byte), seq }
    }

    /// What the reader is told, as short words.
    fn told(follow: &mut Follow) -> Vec<String> {
        std::iter::from_fn(|| follow.next_event())
            .map(|event| match event {
                Event::State(run) => run.state().to_owned(),
                Event::Restart(_) => "restart".to_owned(),
                Event::Output(_, chunk) => text(&chunk.frames[0]),
                Event::End(run) => format!("end {}", run.state()),
            })
            .collect()
    }

    fn text(frame: &StoredFrame) -> String {
        frame.text.clone().unwrap()
    }

    #[test]
    fn chunks_that_come_early_late_and_twice_are_told_once_in_order() {
        let (chunks, end) = chunks(&["a", "b", "c"]);
        let mut follow = Follow::new(None);
        follow.hear_chunk(at(1, 1, 2), chunks[2].clone());
        assert!(told(&mut follow).is_empty(), "nobody has said whose output counts");
        follow.hear_run(&Run::Claimed { claim: claim(1, 1) });
        follow.hear_chunk(at(1, 1, 0), chunks[0].clone());
        assert_eq!(told(&mut follow), ["claimed", "a"]);
        follow.hear_chunk(at(1, 1, 0), chunks[0].clone());
        follow.hear_run(&Run::Done { claim: claim(1, 1), end });
        assert!(told(&mut follow).is_empty());
        assert_eq!(follow.missing(), Some(at(1, 1, 1)));
        follow.hear_chunk(at(1, 1, 1), chunks[1].clone());
        assert_eq!(told(&mut follow), ["b", "c", "end done"]);
        assert!(!follow.is_damaged());
    }

    #[test]
    fn another_attempt_starts_from_the_start_and_old_output_is_void() {
        let (old, _) = chunks(&["a", "b"]);
        let (new, end) = chunks(&["x"]);
        let mut follow = Follow::new(None);
        follow.hear_run(&Run::Claimed { claim: claim(1, 1) });
        follow.hear_chunk(at(1, 1, 0), old[0].clone());
        assert_eq!(told(&mut follow), ["claimed", "a"]);
        follow.hear_run(&Run::Open { last: claim(1, 1), reason: "no beat".to_owned() });
        follow.hear_run(&Run::Claimed { claim: claim(2, 2) });
        follow.hear_chunk(at(1, 1, 1), old[1].clone());
        follow.hear_chunk(at(2, 2, 0), new[0].clone());
        follow.hear_run(&Run::Done { claim: claim(2, 2), end });
        assert_eq!(told(&mut follow), ["restart", "x", "end done"]);
        assert!(!follow.is_damaged());
    }

    #[test]
    fn a_reader_goes_on_after_a_position() {
        let (chunks, end) = chunks(&["a", "b"]);
        let mut follow = Follow::new(Some(at(1, 1, 0)));
        for (seq, chunk) in chunks.iter().enumerate() {
            follow.hear_chunk(at(1, 1, seq as u64), chunk.clone());
        }
        follow.hear_run(&Run::Done { claim: claim(1, 1), end });
        assert_eq!(told(&mut follow), ["b", "end done"]);
    }

    #[test]
    fn what_is_gone_for_good_is_skipped_and_changed_bytes_are_noticed() {
        let (good, end) = chunks(&["x", "a", "b"]);
        let (other, _) = chunks(&["z"]);
        let done = Run::Done { claim: claim(1, 1), end };
        let mut follow = Follow::new(None);
        follow.hear_run(&done);
        follow.hear_chunk(at(1, 1, 2), good[2].clone());
        assert!(told(&mut follow).is_empty());
        follow.skip_missing();
        assert_eq!(told(&mut follow), ["b", "end done"], "two are skipped at once");

        let mut follow = Follow::new(None);
        follow.hear_run(&done);
        follow.hear_chunk(at(1, 1, 0), other[0].clone());
        follow.hear_chunk(at(1, 1, 1), good[1].clone());
        follow.hear_chunk(at(1, 1, 2), good[2].clone());
        told(&mut follow);
        assert!(follow.is_damaged());
    }
}
