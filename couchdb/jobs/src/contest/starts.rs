//! What an engine hears of itself: of earlier starts of it, which are dead, and of those that live beside this one.
//!
//! Of one engine there is one process at a time, so that a start that is not its own is an earlier one and dead, and its
//! beats say so. But one process may be at two homes: at that which its region has left, until what must not run twice has
//! come to its end there, and at the next one; or at a hub until its home answers. Each stay is a start of its own.

use std::time::Duration;

use super::Contest;
use crate::engine::Held;
use crate::id::{Incarnation, JobId};
use crate::run::Claim;

/// Earlier starts of an engine that it says are dead, the newest of those that it read of: a run names few, and an engine
/// that starts so often within their time has other troubles.
pub const DIED_MAX: usize = 16;

/// Other starts of an engine that it knows to live: one at a home that is being left, one that is to be come back to, and
/// room for a region that moves again and again.
pub const BESIDE_MAX: usize = 16;

impl Contest {
    /// Another start of this engine lives beside this one, at another home: what it holds is not taken for that of a dead
    /// one.
    pub fn hear_beside(&mut self, start: Incarnation) {
        self.died.retain(|died| died.died_with.as_ref() != Some(&start));
        self.beside.push(start);
        let many = self.beside.len().saturating_sub(BESIDE_MAX);
        self.beside.drain(..many);
    }

    /// A claim may name this engine, or an earlier start of it, as one that fell silent, or be that start's own: a beat
    /// tells which of them lives.
    pub(super) fn hear_of_itself(&mut self, now: Duration, job: &JobId, claim: &Claim) {
        let own = &self.config.incarnation;
        let silent = claim.silent.iter().map(|silent| (&silent.engine, &silent.incarnation));
        let is_silent = silent.clone().any(|(_, start)| start == own);
        let named = silent.chain([(&claim.engine, &claim.incarnation)]);
        let earlier = named.filter(|(engine, start)| {
            let is_known = self.died.iter().any(|died| died.died_with.as_ref() == Some(*start))
                || self.beside.contains(start);
            **engine == self.config.engine && *start != own && !is_known
        });
        let died: Vec<Held> = earlier
            .map(|(_, start)| Held {
                died_with: Some(start.clone()),
                ..Held::new(job.clone(), claim.attempt)
            })
            .collect();
        if is_silent || !died.is_empty() {
            self.owes_beat = Some(now);
        }
        self.died.extend(died);
        let many = self.died.len().saturating_sub(DIED_MAX);
        self.died.drain(..many);
    }
}
