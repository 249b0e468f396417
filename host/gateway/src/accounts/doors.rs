//! Who comes too often: keys with a rate, and addresses that show what is not known. Both tables have an end, and forget those
//! who were quiet.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::connections::network;

/// Within this time the rates of keys and of wrong keys are counted.
const MINUTE: Duration = Duration::from_secs(60);

/// Wrong keys of one address in a minute: who has lost a key tries some, who tries more is not looking for their own. The
/// right key comes in all the same: an office behind one address is not locked out by one machine in it.
const WRONG_PER_MINUTE: u32 = 30;

/// Keys and addresses that are remembered at once, each in a table of its own: about 100 bytes each. When a table is full those
/// who were quiet for the longest time go.
const REMEMBERED_MAX: usize = 10_000;

/// Both tables of one gateway.
#[derive(Debug, Default)]
pub(crate) struct Doors {
    keys: Mutex<Buckets<String>>,
    wrong: Mutex<Buckets<IpAddr>>,
}

impl Doors {
    /// Takes one of a key's submissions, of so many in a minute.
    ///
    /// # Errors
    ///
    /// After how long there is the next one.
    pub(crate) fn take(&self, key: &str, per_minute: u32) -> Result<(), Duration> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.take(key.to_owned(), per_minute, Instant::now())
    }

    /// Notes that somebody at this address has shown a wrong key.
    ///
    /// # Errors
    ///
    /// When it was one too many: after how long the next one is looked at.
    pub(crate) fn wrong(&self, from: IpAddr) -> Result<(), Duration> {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.take(network(from), WRONG_PER_MINUTE, Instant::now())
    }
}

/// A bucket for each: full at first, it fills again in a minute.
#[derive(Debug)]
struct Buckets<K>(HashMap<K, Bucket>);

#[derive(Debug)]
struct Bucket {
    /// When it is full again.
    full_at: Instant,
}

impl<K> Default for Buckets<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash + Clone> Buckets<K> {
    fn take(&mut self, who: K, per_minute: u32, now: Instant) -> Result<(), Duration> {
        self.make_room(&who, now);
        let Some(one) = MINUTE.checked_div(per_minute) else { return Err(MINUTE) };
        let bucket = self.0.entry(who).or_insert(Bucket { full_at: now });
        let full_at = bucket.full_at.max(now) + one;
        let over = full_at.saturating_duration_since(now + MINUTE);
        if !over.is_zero() {
            return Err(over);
        }
        bucket.full_at = full_at;
        Ok(())
    }

    /// Who is full again is as good as not remembered.
    fn make_room(&mut self, who: &K, now: Instant) {
        if self.0.len() < REMEMBERED_MAX || self.0.contains_key(who) {
            return;
        }
        self.0.retain(|_, bucket| bucket.full_at > now);
        if self.0.len() >= REMEMBERED_MAX {
            let quietest = self.0.iter().min_by_key(|(_, bucket)| bucket.full_at);
            if let Some(who) = quietest.map(|(who, _)| who.clone()) {
                self.0.remove(&who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_so_many_and_then_one_at_a_time() {
        let start = Instant::now();
        let mut buckets = Buckets::default();
        for per_minute in [1, 2, 7, 30, 600] {
            for at in 0..per_minute {
                assert_eq!(
                    buckets.take(per_minute, per_minute, start),
                    Ok(()),
                    "{at} of {per_minute}"
                );
            }
            let one = MINUTE / per_minute;
            let wait = buckets.take(per_minute, per_minute, start).unwrap_err();
            assert!(wait <= one, "{per_minute}: {wait:?}");
            assert!(buckets.take(per_minute, per_minute, start + one / 2).is_err());
            assert_eq!(buckets.take(per_minute, per_minute, start + one), Ok(()), "{per_minute}");
            assert!(buckets.take(per_minute, per_minute, start + one).is_err(), "{per_minute}");
        }
        assert!(buckets.take(0, 0, start).is_err());
    }

    #[test]
    fn the_tables_have_an_end_and_keep_those_who_came_last() {
        let start = Instant::now();
        let mut buckets = Buckets::default();
        for who in 0..2 * REMEMBERED_MAX {
            let now = start + Duration::from_millis(u64::try_from(who).unwrap() / 10);
            assert_eq!(buckets.take(who, 1, now), Ok(()));
        }
        assert_eq!(buckets.0.len(), REMEMBERED_MAX);
        let now = start + Duration::from_secs(2);
        assert!(buckets.take(2 * REMEMBERED_MAX - 1, 1, now).is_err());
    }
}
