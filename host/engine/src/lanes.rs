//! Which of its region's jobs databases one engine follows. Pure.
//!
//! A feed costs the store some work for each follower and each write. Where a region has several databases that take new
//! jobs, its lanes, an engine follows two of them: each lane then has a part of the engines, and a part of the jobs.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use blitz_jobs::region::Region;

/// Lanes that an engine follows.
const LANES_FOLLOWED: u32 = 2;

/// Engines for each lane below which all follow all: chosen by chance, few engines leave a lane without any. With
/// sixteen for each lane that is one region in some ten million million.
const ENGINES_PER_LANE: u64 = 16;

/// The names of the databases that the engine with this id follows, of a region that has about so many engines.
pub(crate) fn followed(region: &Region, engine: &str, engines: u64) -> BTreeSet<String> {
    let lanes = region.lanes.max(1);
    let database = |n: &u32| format!("blitz-jobs-{}-{n}", region.name);
    if lanes <= LANES_FOLLOWED || engines < ENGINES_PER_LANE * u64::from(lanes) {
        return region.open.iter().map(database).collect();
    }
    let own = own_lanes(engine, lanes);
    let oldest_taking = region.taking().last().unwrap_or(region.current);
    // A database keeps its lane while others come and go. Those that take nothing new are few jobs for all.
    let follows = |n: &&u32| **n < oldest_taking || own.contains(&(**n % lanes));
    region.open.iter().filter(follows).map(database).collect()
}

/// Two distinct lanes of so many, at least three, by the engine's id.
fn own_lanes(engine: &str, lanes: u32) -> [u32; 2] {
    let mut hasher = DefaultHasher::new();
    engine.hash(&mut hasher);
    let hash = hasher.finish();
    let lane = |number: u64, of: u32| {
        u32::try_from(number % u64::from(of)).expect("less than the number of lanes")
    };
    let first = lane(hash & u64::from(u32::MAX), lanes);
    let apart = 1 + lane(hash >> 32, lanes - 1);
    [first, (first + apart) % lanes]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(lanes: u32, current: u32, open: impl IntoIterator<Item = u32>) -> Region {
        let open = open.into_iter().collect();
        Region { lanes, current, open, ..Region::new("japan").unwrap() }
    }

    #[test]
    fn few_lanes_and_those_of_few_engines_are_followed_by_all() {
        for (region, engines) in [
            (region(1, 3, [1, 2, 3]), 1_000),
            (region(2, 3, [1, 2, 3]), 1_000),
            (region(8, 8, 1..=9), 100),
        ] {
            let all: BTreeSet<String> = region.jobs_databases().collect();
            assert_eq!(followed(&region, "e", engines), all, "{} lanes", region.lanes);
        }
    }

    #[test]
    fn of_many_lanes_each_engine_follows_two_and_all_older_databases() {
        // 1 and 2 take nothing new, 3 to 6 do, 7 is there ahead of time.
        let region = region(4, 6, 1..=7);
        let mut followers = std::collections::BTreeMap::<String, u32>::new();
        for number in 0..200 {
            let follows = followed(&region, &format!("japan-{number}"), 200);
            let taking = (3..=6).filter(|n| follows.contains(&format!("blitz-jobs-japan-{n}")));
            assert_eq!(taking.count(), 2, "{follows:?}");
            // The next one is in the lane of the one that it will take the place of.
            let (third, next) = ("blitz-jobs-japan-3", "blitz-jobs-japan-7");
            assert_eq!(follows.contains(third), follows.contains(next), "{follows:?}");
            follows.into_iter().for_each(|name| *followers.entry(name).or_default() += 1);
        }
        assert_eq!(followers["blitz-jobs-japan-1"], 200);
        let taking = (3..=6).map(|n| followers[&format!("blitz-jobs-japan-{n}")]);
        assert!(taking.clone().all(|count| (60..140).contains(&count)), "{followers:?}");
    }
}
