//! How often something was done in the last minute, by name, in a table that has an end.
//!
//! Counted by two windows of a minute: what the last one had counts for the part of it that is less than a minute old, as if it
//! had come evenly. So a limit is passed by at most as much as came unevenly, and never by more than what one window may have.
//! Each gateway counts for itself: over n of them a limit is n times as high.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use blitz_jobs::accounts::TargetHost;
use tokio::time::Instant;

use crate::failure::Failure;

/// Jobs of all tenants and all plugins to one host in a minute, at one gateway: ten in a second, which the smallest server
/// bears, and more than monitoring asks for. Whoever wants more has a load test, and needs a proof.
pub(crate) const TARGET_JOBS_PER_MINUTE: u32 = 600;

const MINUTE: Duration = Duration::from_secs(60);

/// Names that are remembered: about 150 bytes each.
const NAMES_MAX: usize = 10_000;

/// Hosts that one command names: each has a place in the table, which is all tenants'.
const HOSTS_MAX: usize = 100;

/// What all names share for which there is no place: a table that is full lets nobody count anew.
const OTHERS: &str = "";

/// Counts by name.
#[derive(Debug)]
pub(crate) struct Pace {
    counts: Mutex<HashMap<String, Count>>,
    begun: Instant,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    /// The number of its minute.
    minute: u64,
    now: u32,
    before: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { counts: Mutex::default(), begun: Instant::now() }
    }
}

impl Pace {
    /// Takes so many of `per_minute`.
    ///
    /// # Errors
    ///
    /// After how long there may be room. Nothing was taken.
    pub(crate) fn take(
        &self,
        name: &str,
        many: u32,
        per_minute: u32,
        now: Instant,
    ) -> Result<(), Duration> {
        self.take_of_each([name], many, per_minute, now).map_err(|(_, after)| after)
    }

    /// Takes so many of what each name has, or nothing of any.
    ///
    /// # Errors
    ///
    /// Which name has no room, and after how long there may be.
    fn take_of_each<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
        many: u32,
        per_minute: u32,
        now: Instant,
    ) -> Result<(), (&'a str, Duration)> {
        let since = now.saturating_duration_since(self.begun);
        let minute = since.as_secs() / 60;
        let into = since.saturating_sub(MINUTE * u32::try_from(minute).unwrap_or(u32::MAX));
        let left = MINUTE.saturating_sub(into).as_secs_f64() / MINUTE.as_secs_f64();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counted = BTreeSet::new();
        for name in names {
            if counts.len() >= NAMES_MAX && !counts.contains_key(name) {
                counts.retain(|_, count| count.minute + 1 >= minute);
            }
            let is_full = counts.len() >= NAMES_MAX && !counts.contains_key(name);
            let place = if is_full { OTHERS } else { name };
            let count = counts.entry(place.to_owned()).or_default();
            count.turn(minute);
            let already = f64::from(count.before).mul_add(left, f64::from(count.now));
            if already + f64::from(many) > f64::from(per_minute) {
                return Err((name, count.free(many, per_minute, into)));
            }
            counted.insert(place);
        }
        for place in counted {
            if let Some(count) = counts.get_mut(place) {
                count.now = count.now.saturating_add(many);
            }
        }
        Ok(())
    }
}

impl Count {
    fn turn(&mut self, minute: u64) {
        match minute.saturating_sub(self.minute) {
            0 => {}
            1 => (self.before, self.now) = (self.now, 0),
            _ => (self.before, self.now) = (0, 0),
        }
        self.minute = minute;
    }

    /// When so many have room, if nobody else comes.
    fn free(&self, many: u32, per_minute: u32, into: Duration) -> Duration {
        let room = f64::from(per_minute) - f64::from(many);
        let of = |count: u32, rest: f64| {
            // The part of a minute by which so many of them are forgotten.
            let part = 1.0 - (rest.max(0.0) / f64::from(count.max(1))).min(1.0);
            MINUTE.mul_f64(part)
        };
        let rest = room - f64::from(self.now);
        if rest >= 0.0 {
            return of(self.before, rest).saturating_sub(into);
        }
        MINUTE.saturating_sub(into) + of(self.now, room)
    }
}

/// What is sent to targets.
#[derive(Debug, Default)]
pub(crate) struct Paces(Pace);

impl Paces {
    /// Takes the jobs of a submission from what each of its hosts may get. Ports of one host are one host.
    pub(crate) fn take<'a>(
        &self,
        hosts: impl IntoIterator<Item = &'a TargetHost>,
        jobs: usize,
        per_minute: u32,
    ) -> Result<(), Failure> {
        let jobs = u32::try_from(jobs).unwrap_or(u32::MAX);
        let names: BTreeSet<&str> = hosts.into_iter().map(TargetHost::name).collect();
        if names.len() > HOSTS_MAX {
            return Err(Failure::usage(format!(
                "the command names {} hosts, {HOSTS_MAX} are the limit of one; divide it",
                names.len()
            )));
        }
        self.0.take_of_each(names, jobs, per_minute, Instant::now()).map_err(|(name, after)| {
            Failure::too_often(
                "target_jobs_per_minute",
                format!(
                    "{name} gets {per_minute} jobs in a minute from all users of this gateway, which is the limit \
                     target_jobs_per_minute; again in {} s, or load it with a proof that it is yours ('blitz targets add {name}')",
                    after.as_secs() + 1
                ),
                after,
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_so_many_and_no_more() {
        let pace = Pace::default();
        let at = |s: u64| pace.begun + Duration::from_secs(s);
        for _ in 0..10 {
            assert_eq!(pace.take("a", 1, 10, at(0)), Ok(()));
        }
        let after = pace.take("a", 1, 10, at(0)).unwrap_err();
        assert_eq!(after, Duration::from_secs(66), "one of ten is forgotten a tenth into the next");
        assert_eq!(pace.take("b", 10, 10, at(0)), Ok(()), "others are counted for themselves");
        assert!(pace.take("a", 1, 10, at(65)).is_err());
        assert_eq!(pace.take("a", 1, 10, at(66)), Ok(()));
        assert!(pace.take("a", 1, 10, at(66)).is_err());
        assert_eq!(pace.take("a", 10, 10, at(200)), Ok(()), "what is old is forgotten");
        assert!(pace.take_of_each(["c", "a"], 9, 10, at(200)).is_err());
        assert_eq!(
            pace.take("c", 10, 10, at(200)),
            Ok(()),
            "of a command that is refused nothing counts"
        );
    }

    #[test]
    fn a_table_that_is_full_lets_nobody_count_anew() {
        let pace = Pace::default();
        let at = |s: u64| pace.begun + Duration::from_secs(s);
        for number in 0..NAMES_MAX {
            assert_eq!(pace.take(&number.to_string(), 1, 2, at(0)), Ok(()));
        }
        for (name, may) in [("x", true), ("y", true), ("z", false), ("7", true), ("7", false)] {
            assert_eq!(pace.take(name, 1, 2, at(1)).is_ok(), may, "{name}");
        }
        assert_eq!(pace.take("z", 1, 2, at(200)), Ok(()), "who was quiet makes room");
        assert!(pace.counts.lock().unwrap().len() < 10);
    }

    #[test]
    fn ports_of_a_host_are_one_host() {
        let paces = Paces::default();
        let hosts = ["example.com", "example.com:81"].map(|h| TargetHost::parse(h).unwrap());
        assert!(paces.take(&hosts, 6, 10).is_ok());
        let failure = format!("{:?}", paces.take(&hosts[1..], 6, 10).unwrap_err());
        for part in ["429", "example.com gets 10 jobs", "target_jobs_per_minute"] {
            assert!(failure.contains(part), "{part}: {failure}");
        }
    }
}
