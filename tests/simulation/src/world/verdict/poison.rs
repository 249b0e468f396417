//! Whom a job is said to have killed.
//!
//! A poisoned job names the attempts that count as deaths, three at least: they are all in its claim, and those that
//! survived are not. What is judged is each of them, at the moment at which the end was written. It is right to count
//!
//! - a start of an engine that had died by then, of whatever;
//! - one that lives, stood still or was cut off, and had given no sign of life for [`Timing::gone`]. Nobody can tell
//!   such a one from a dead one. They are counted apart, as poison with less than three deaths.
//!
//! It is wrong to count one that lives and was silent for less, or whose next beat had been stored for long enough that a
//! watcher whose polls are answered has seen it. Where copies decided apart nothing is judged.

use std::time::Duration;

use blitz_jobs::run::{Claim, DEATHS_MAX, Silent};
use blitz_jobs::timing::Timing;

use crate::world::World;

/// A beat that was stored so long ago has been seen by every watcher whose polls are answered: who was blind for
/// longer counts anew.
const BEAT_SEEN: Duration = Duration::from_secs(6);

/// Clocks go wrong by 1 %, and a watcher counts from the first sign of life of a claim that it hears of, not from when
/// the world saw it.
const GONE_ABOUT: Duration = Duration::from_secs(5);

/// What an attempt that is counted as a death was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    Death,
    Gone,
    /// It had beaten again, and everybody could have seen it.
    Seen,
    /// It was silent for too short a time.
    Hasty,
}

impl World {
    /// Somebody is about to write that a job is poison.
    pub(super) fn note_poison(&mut self, job: usize, claim: &Claim) {
        let poisoned = &mut self.jobs[job].poisoned;
        if poisoned.iter().all(|(silent, _)| *silent != claim.silent) {
            poisoned.push((claim.silent.clone(), self.now));
        }
    }

    /// A reader hears that a job is poison.
    pub(in crate::world) fn judge_poison(&mut self, job: usize, claim: &Claim) {
        let mut written = self.jobs[job].poisoned.iter();
        let at =
            written.find(|(silent, _)| *silent == claim.silent).map_or(self.now, |(_, at)| *at);
        let counted: Vec<(&Silent, Counted)> =
            claim.silent.iter().map(|silent| (silent, self.counted(silent, at))).collect();
        let deaths = counted.iter().filter(|(_, what)| *what == Counted::Death).count();
        if self.jobs[job].is_spread() {
            self.outcome.tally.poison_split += 1;
            return;
        }
        self.outcome.tally.poison_deaths[deaths.min(DEATHS_MAX)] += 1;
        let wrong = counted.iter().find(|(_, what)| matches!(what, Counted::Seen | Counted::Hasty));
        if let Some((silent, what)) = wrong {
            let why = match what {
                Counted::Seen => "had been seen alive again",
                _ => "lives, and was silent for a short time only",
            };
            let text = format!("job {job} is poison though {} {why}", silent.engine);
            self.find("poison-alive", text);
        } else if counted.len() < DEATHS_MAX {
            let text = format!("job {job} is poison after {} silent engines", counted.len());
            self.find("poison-alive", text);
        }
    }

    fn counted(&self, silent: &Silent, at: Duration) -> Counted {
        let Some(life) = self.life_of.get(&silent.incarnation) else { return Counted::Death };
        let life = &self.lives[*life];
        if life.died.is_some_and(|died| died <= at) {
            return Counted::Death;
        }
        let signs = life.signs.iter().filter(|(_, when)| *when <= at);
        if signs.clone().any(|(counter, when)| *counter > silent.counter && *when + BEAT_SEEN < at)
        {
            return Counted::Seen;
        }
        let last = signs.filter(|(counter, _)| *counter <= silent.counter).map(|(_, when)| *when);
        let silent_for = at.saturating_sub(last.max().unwrap_or_default());
        if silent_for + GONE_ABOUT < Timing::default().gone() {
            return Counted::Hasty;
        }
        Counted::Gone
    }
}
