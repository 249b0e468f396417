//! What the seed decides: which ways are cut when and for how long, and what the jobs are.

use std::time::Duration;

use blitz_jobs::timing::Timing;
use blitz_tests::net::WanCut;

use crate::chance::Chance;
use crate::work::{self, Work};

/// The shortest and the longest cut.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(20);

/// So many of 100 cuts are short, and a short one lasts at most so long: most that happen are, and a run has an end.
const SHORT_PERCENT: u64 = 75;
const SHORT: Duration = Duration::from_secs(6);

/// Between the time when all know the same and the next cut.
const CALM: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3));

/// Jobs of a plan; later ones begin it anew. More than any run of an hour has.
const WORKS: usize = 8_192;

/// A cut that is to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planned {
    pub(crate) after: Duration,
    pub(crate) cut: WanCut,
    pub(crate) lasts: Duration,
}

/// The cuts of a seed.
pub(crate) fn plan(count: usize, seed: u64, places: usize) -> Vec<Planned> {
    let mut chance = Chance::new(seed, 3);
    let mut planned = Vec::new();
    let places = u64::try_from(places).unwrap_or(1);
    while planned.len() < count {
        let place = |chance: &mut Chance| usize::try_from(chance.below(places)).unwrap_or(0);
        let (one, other) = (place(&mut chance), place(&mut chance));
        let cut = match chance.below(4) {
            0 => WanCut::Down(one),
            1 => WanCut::Lost(one),
            _ if one == other => continue,
            2 => WanCut::Between(one, other),
            _ => WanCut::OneWay(one, other),
        };
        let lasts = match chance.percent(SHORT_PERCENT) {
            true => chance.between(SHORTEST, SHORT),
            false => chance.between(SHORT, LONGEST),
        };
        planned.push(Planned { after: chance.between(CALM.0, CALM.1), cut, lasts });
    }
    planned
}

/// The jobs of a seed, by their numbers.
pub(crate) fn works(seed: u64, timing: &Timing) -> impl Fn(usize) -> Work {
    let works = work::plan(WORKS, seed, timing);
    move |number| works[number % WORKS].numbered(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_plans_the_same_cuts_each_within_its_limits() {
        let (one, other) = (plan(50, 7, 3), plan(50, 7, 3));
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
        assert_ne!(format!("{one:?}"), format!("{:?}", plan(50, 8, 3)));
        assert!(one.iter().all(|cut| (SHORTEST..=LONGEST).contains(&cut.lasts)));
        let all: Duration = one.iter().map(|cut| cut.after + cut.lasts).sum();
        assert!(all < Duration::from_secs(600), "{all:?}");
        let apart = |cut: &Planned| match cut.cut {
            WanCut::Between(one, other) | WanCut::OneWay(one, other) => one != other,
            WanCut::Down(place) | WanCut::Lost(place) => place < 3,
        };
        assert!(one.iter().all(apart));
    }
}
