//! Places for connections: so many in all, and so many of one address (of IPv6: of one network).
//!
//! Where there is none the connection that has been without a request for the longest time gives its own. One whose head
//! does not come is without a request: who opens thousands of those takes places from himself, and not from who asks.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::network::network;
use crate::limits::Limits;

/// All places of a gateway.
#[derive(Debug, Clone)]
pub(super) struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max: usize,
    max_of_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    count: usize,
    by_address: HashMap<IpAddr, usize>,
    /// Who is without a request, the longest first: its address, and what takes its place away.
    resting: BTreeMap<u64, (IpAddr, CancellationToken)>,
    next: u64,
}

/// One connection's place.
#[derive(Debug)]
pub(super) struct Place {
    shared: Arc<Shared>,
    address: IpAddr,
    lost: CancellationToken,
    /// Where it stands among those that rest.
    turn: Mutex<Option<u64>>,
}

/// A request under way: while it or a clone of it lives nobody takes the place, and the place counts, also when its connection
/// is gone.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    _working: Arc<Working>,
}

#[derive(Debug)]
struct Working(Arc<Place>);

impl Places {
    pub(super) fn new(limits: &Limits) -> Self {
        Self(Arc::new(Shared {
            max: limits.connections,
            max_of_one: limits.connections_per_address,
            taken: Mutex::default(),
        }))
    }

    /// A place for a connection from this address; `None` when all of them are at work.
    pub(super) fn take(&self, address: IpAddr) -> Option<Arc<Place>> {
        // The network of loopback is not loopback itself.
        let is_loopback = address.to_canonical().is_loopback();
        let address = network(address);
        let mut taken = self.0.taken();
        let own = taken.by_address.get(&address).copied().unwrap_or(0);
        if !is_loopback && own >= self.0.max_of_one {
            let turn = taken.resting.iter().find(|(_, (of, _))| *of == address);
            let turn = turn.map(|(turn, _)| *turn)?;
            taken.take_from(turn);
        }
        if taken.count >= self.0.max {
            let turn = *taken.resting.first_key_value()?.0;
            taken.take_from(turn);
        }
        taken.count += 1;
        *taken.by_address.entry(address).or_default() += 1;
        let lost = CancellationToken::new();
        let turn = taken.rest(address, lost.clone());
        drop(taken);
        let shared = Arc::clone(&self.0);
        Some(Arc::new(Place { shared, address, lost, turn: Mutex::new(Some(turn)) }))
    }

    /// Takes the place of one that rests: something else than places has run out.
    pub(super) fn make_room(&self) {
        let mut taken = self.0.taken();
        let first = taken.resting.first_key_value().map(|(turn, _)| *turn);
        if let Some(turn) = first {
            taken.take_from(turn);
        }
    }
}

impl Shared {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn rest(&mut self, address: IpAddr, lost: CancellationToken) -> u64 {
        self.next += 1;
        self.resting.insert(self.next, (address, lost));
        self.next
    }

    fn take_from(&mut self, turn: u64) {
        if let Some((address, lost)) = self.resting.remove(&turn) {
            self.leave(address);
            lost.cancel();
        }
    }

    fn leave(&mut self, address: IpAddr) {
        self.count = self.count.saturating_sub(1);
        if let Some(own) = self.by_address.get_mut(&address) {
            *own -= 1;
            if *own == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

impl Place {
    /// Waits until somebody else has it.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Whether it is without a request.
    pub(super) fn rests(&self) -> bool {
        self.turn().is_some()
    }

    /// A request begins.
    pub(super) fn work(self: &Arc<Self>) -> Work {
        let turn = self.turn().take();
        if let Some(turn) = turn {
            let was_there = self.shared.taken().resting.remove(&turn).is_some();
            if !was_there {
                // Taken in this very moment: it is cut, and is counted no more.
                *self.turn() = Some(turn);
            }
        }
        Work { _working: Arc::new(Working(Arc::clone(self))) }
    }

    fn turn(&self) -> MutexGuard<'_, Option<u64>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        let place = &self.0;
        let mut turn = place.turn();
        if turn.is_none() {
            *turn = Some(place.shared.taken().rest(place.address, place.lost.clone()));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let turn = self.turn().take();
        let mut taken = self.shared.taken();
        let is_counted = match turn {
            Some(turn) => taken.resting.remove(&turn).is_some(),
            None => true,
        };
        if is_counted {
            taken.leave(self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(connections: usize, connections_per_address: usize) -> Places {
        Places::new(&Limits { connections, connections_per_address, ..Limits::default() })
    }

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn counted(places: &Places) -> (usize, usize, usize) {
        let taken = places.0.taken();
        (taken.count, taken.by_address.values().sum(), taken.resting.len())
    }

    #[test]
    fn who_has_no_request_for_the_longest_time_gives_its_place() {
        let places = places(3, 9);
        let all: Vec<_> = (1..=3).map(|n| places.take(address(n)).unwrap()).collect();
        let work = all[0].work();
        let fourth = places.take(address(4)).unwrap();
        let lost: Vec<_> = all.iter().map(|place| place.lost.is_cancelled()).collect();
        assert_eq!(lost, [false, true, false]);
        // The first rests again, behind the third and the fourth.
        drop(work);
        let fifth = places.take(address(5)).unwrap();
        assert!(all[2].lost.is_cancelled() && !all[0].lost.is_cancelled());
        let at_work = [all[0].work(), fourth.work(), fifth.work()];
        assert!(places.take(address(6)).is_none(), "all are at work");
        drop(at_work);
        assert_eq!(counted(&places), (3, 3, 3));
        drop((all, fourth, fifth));
        assert_eq!(counted(&places), (0, 0, 0));
    }

    #[test]
    fn one_address_takes_places_from_itself_and_loopback_has_no_limit() {
        let places = places(100, 2);
        let other = places.take(address(9)).unwrap();
        let all: Vec<_> = (0..3).map(|_| places.take(address(1)).unwrap()).collect();
        assert!(all[0].lost.is_cancelled() && !other.lost.is_cancelled());
        let mapped = "::ffff:10.0.0.1".parse().unwrap();
        let _fourth = places.take(mapped).unwrap();
        assert!(all[1].lost.is_cancelled(), "the same address in another form");
        let local: Vec<_> = (0..9).filter_map(|_| places.take([127, 0, 0, 1].into())).collect();
        assert!(local.iter().all(|place| !place.lost.is_cancelled()) && local.len() == 9);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let places = places(100, 2);
        let take = |address: &str| places.take(address.parse().unwrap()).unwrap();
        let other = take("2001:db8:0:1::1");
        let all: Vec<_> = (1..=3).map(|host| take(&format!("2001:db8::{host}"))).collect();
        assert!(all[0].lost.is_cancelled() && !other.lost.is_cancelled());
        let local: Vec<_> = (0..9).map(|_| take("::1")).collect();
        assert!(local.iter().all(|place| !place.lost.is_cancelled()), "loopback has no limit");
    }

    #[test]
    fn a_request_that_goes_on_without_its_connection_has_its_place() {
        let places = places(1, 9);
        let place = places.take(address(1)).unwrap();
        let work = place.work();
        let goes_on = work.clone();
        drop((place, work));
        assert!(places.take(address(2)).is_none());
        drop(goes_on);
        assert!(places.take(address(2)).is_some());
    }

    #[test]
    fn one_that_begins_a_request_as_it_loses_its_place_is_counted_once() {
        let places = places(1, 9);
        let first = places.take(address(1)).unwrap();
        let second = places.take(address(2)).unwrap();
        let work = first.work();
        drop(work);
        drop(first);
        assert_eq!(counted(&places), (1, 1, 1));
        drop(second);
        assert_eq!(counted(&places), (0, 0, 0));
    }
}
