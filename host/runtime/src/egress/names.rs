//! From an address to its name, by the system's resolver: `/etc/hosts` counts, and then the PTR record. What was found
//! is known for a while to all runs of the engine, also that there is no name.
//!
//! Whoever holds an address names it as he likes: a name is something to read, and proves nothing.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::Egress;
use super::limits::{NAME_MAX_AGE, NAME_MAX_BYTES, NAME_TIME, NAMES_AT_ONCE_MAX, NAMES_MAX};

impl Egress {
    /// The name of an address, by the system's resolver, or `None`: there is none, or nobody said one in [`NAME_TIME`],
    /// or there is no network. Known for [`NAME_MAX_AGE`] to all runs of the engine.
    pub(crate) async fn name_of(&self, address: IpAddr) -> Option<String> {
        self.open().ok()?;
        self.shared.names.name_of(self, address).await
    }
}

/// What names an address; blocks for as long as the resolver does.
type Lookup = dyn Fn(IpAddr) -> Option<String> + Send + Sync;

/// `None` while it is looked up, then the name, if there is one.
type Told = watch::Receiver<Option<Option<String>>>;

/// The names that are known, and the lookups that are under way.
pub(super) struct Names {
    asked: Mutex<HashMap<IpAddr, Asked>>,
    lookups: Arc<Semaphore>,
    by: Arc<Lookup>,
}

/// One lookup, which all callers share that ask for the same address.
struct Asked {
    at: Instant,
    told: Told,
}

impl Default for Names {
    fn default() -> Self {
        Self::by(|address| dns_lookup::lookup_addr(&address).ok())
    }
}

impl Names {
    fn by(lookup: impl Fn(IpAddr) -> Option<String> + Send + Sync + 'static) -> Self {
        let lookups = Arc::new(Semaphore::new(NAMES_AT_ONCE_MAX));
        Self { asked: Mutex::default(), lookups, by: Arc::new(lookup) }
    }

    /// The name, waited for no longer than [`NAME_TIME`]. A lookup that takes longer goes on, and its answer is there
    /// for the next who asks.
    async fn name_of(&self, egress: &Egress, address: IpAddr) -> Option<String> {
        let name = self.name(egress, address.to_canonical());
        tokio::time::timeout(NAME_TIME, name).await.ok().flatten()
    }

    async fn name(&self, egress: &Egress, address: IpAddr) -> Option<String> {
        loop {
            let (mut told, tell) = self.asked_for(address);
            if let Some(tell) = tell {
                self.ask(egress, address, tell).await?;
            }
            if let Ok(name) = told.wait_for(Option::is_some).await {
                return name.clone().flatten();
            }
            // Who asked went away before its turn came.
        }
    }

    /// The lookup of this address. Its other end comes with it where the caller is the one to begin it.
    fn asked_for(&self, address: IpAddr) -> (Told, Option<watch::Sender<Option<Option<String>>>>) {
        let (now, mut all) = (Instant::now(), self.lock());
        if let Some(asked) = all.get(&address).filter(|asked| asked.counts(now)) {
            return (asked.told.clone(), None);
        }
        make_room(&mut all, now);
        let (tell, told) = watch::channel(None);
        all.insert(address, Asked { at: now, told: told.clone() });
        (told, Some(tell))
    }

    /// Begins a lookup, when it is its turn. `None` when the engine stops.
    async fn ask(
        &self,
        egress: &Egress,
        address: IpAddr,
        tell: watch::Sender<Option<Option<String>>>,
    ) -> Option<()> {
        let of_run = Arc::clone(&egress.names).acquire_owned().await.ok()?;
        // Beside what the run does, whose own waiting this is not. Before there is a place among those of all: who waits
        // for a turn of its own holds up nobody else.
        let turn = egress.shared.limiter.turn(&egress.run, [], Instant::now());
        tokio::time::sleep(turn.wait).await;
        turn.use_up();
        let of_all = Arc::clone(&self.lookups).acquire_owned().await.ok()?;
        let by = Arc::clone(&self.by);
        // A thread that the resolver holds cannot be ended: it tells what it found, whoever still waits for that.
        drop(tokio::task::spawn_blocking(move || {
            let name = by(address).and_then(|name| readable(&name));
            tell.send_replace(Some(name));
            drop((of_run, of_all));
        }));
        Some(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    /// Whether its answer may be given, or waited for.
    fn counts(&self, now: Instant) -> bool {
        let is_under_way = self.told.has_changed().is_ok() && self.told.borrow().is_none();
        let is_known = self.told.borrow().is_some();
        is_under_way || (is_known && now.duration_since(self.at) < NAME_MAX_AGE)
    }
}

/// Forgets what does not count any more when there is no room; when all counts, the oldest.
fn make_room(all: &mut HashMap<IpAddr, Asked>, now: Instant) {
    if all.len() < NAMES_MAX {
        return;
    }
    all.retain(|_, asked| asked.counts(now));
    if all.len() >= NAMES_MAX {
        let oldest = all.iter().min_by_key(|(_, asked)| asked.at).map(|(address, _)| *address);
        oldest.map(|address| all.remove(&address));
    }
}

/// Without its last dot; `None` for what could be no name: control characters, or another address.
fn readable(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_name = (1..=NAME_MAX_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_graphic())
        && name.parse::<IpAddr>().is_err();
    is_name.then(|| name.to_owned())
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("asked", &self.lock().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;
    use crate::doing::Doing;
    use crate::egress::TargetPolicy;
    use crate::egress::limits::NAMES_OF_RUN_MAX;
    use crate::rate::Rates;

    fn egress() -> Egress {
        Egress::new(TargetPolicy::any(), Vec::new())
    }

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + number).into()
    }

    /// Names that count how often they were looked up.
    fn counting() -> (Names, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let names = Names::by(move |address| {
            counted.fetch_add(1, Ordering::SeqCst);
            Some(format!("host-{}.example.", address.to_string().replace('.', "-")))
        });
        (names, count)
    }

    #[tokio::test]
    async fn this_machine_has_a_name() {
        let name = egress().name_of(Ipv4Addr::LOCALHOST.into()).await;
        assert!(name.as_ref().is_some_and(|name| name.starts_with("localhost")), "{name:?}");
        let mapped = egress().name_of("::ffff:127.0.0.1".parse().unwrap()).await;
        assert_eq!(mapped, name);
    }

    #[tokio::test]
    async fn a_run_without_a_network_hears_no_names() {
        let closed = egress().closed(&Doing::default());
        assert_eq!(closed.name_of(Ipv4Addr::LOCALHOST.into()).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_looked_up_once_in_a_while() {
        let ((names, count), egress) = (counting(), egress());
        let found =
            futures_util::future::join_all((0..50).map(|_| names.name_of(&egress, address(1))));
        let wanted = Some("host-10-0-0-1.example".to_owned());
        assert!(found.await.iter().all(|name| *name == wanted));
        assert_eq!(count.load(Ordering::SeqCst), 1);
        tokio::time::advance(NAME_MAX_AGE).await;
        assert_eq!(names.name_of(&egress, address(1)).await, wanted);
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_hangs_costs_a_bounded_time_and_its_answer_is_kept() {
        let (go, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let names = Names::by(move |_| {
            gate.lock().unwrap().recv().ok();
            Some("late.example".to_owned())
        });
        let egress = egress();
        // A clock that stands still while a thread works is moved here.
        let (waiting, moving) = (names.name_of(&egress, address(1)), async {
            tokio::task::yield_now().await;
            tokio::time::advance(NAME_TIME).await;
        });
        assert_eq!(tokio::join!(waiting, moving).0, None);
        go.send(()).unwrap();
        assert_eq!(names.name_of(&egress, address(1)).await.as_deref(), Some("late.example"));
    }

    #[tokio::test]
    async fn who_asks_first_and_goes_away_holds_nobody_up() {
        let ((names, count), egress) = (counting(), egress());
        // Its turn does not come: all of its run are taken.
        let taken = egress.names.acquire_many(u32::try_from(NAMES_OF_RUN_MAX).unwrap()).await;
        let mut first = Box::pin(names.name_of(&egress, address(1)));
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(first.as_mut().poll(context).is_pending())
        });
        assert!(polled.await);
        let other_run = egress.for_run(&Doing::default());
        let mut second = Box::pin(names.name_of(&other_run, address(1)));
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(second.as_mut().poll(context).is_pending())
        });
        assert!(polled.await);
        drop(first);
        assert!(second.await.is_some());
        assert_eq!(count.load(Ordering::SeqCst), 1);
        drop(taken);
    }

    #[tokio::test(start_paused = true)]
    async fn runs_that_wait_for_their_own_turn_hold_up_no_other() {
        let (names, _) = counting();
        let slow = Rates { run_per_s: 1, run_burst: 1, ..Rates::UNLIMITED };
        let engine = Egress::paced(TargetPolicy::any(), Vec::new(), slow);
        // As many as are looked up at once, and each of them waits.
        let runs = NAMES_AT_ONCE_MAX / NAMES_OF_RUN_MAX + 1;
        let runs: Vec<Egress> = (0..runs).map(|_| engine.for_run(&Doing::default())).collect();
        let all = runs.iter().zip(0..).flat_map(|(run, at)| {
            let count = u32::try_from(NAMES_OF_RUN_MAX).unwrap() + 1;
            let names = &names;
            (0..count).map(move |number| names.name_of(run, address(at * 100 + number)))
        });
        let mut waiting = std::pin::pin!(futures_util::future::join_all(all));
        let begun = Instant::now();
        // A task does a part of them, and then others have their turn.
        for _ in 0..16 {
            let polled = std::future::poll_fn(|context| {
                std::task::Poll::Ready(waiting.as_mut().poll(context).is_pending())
            });
            assert!(polled.await);
            tokio::task::yield_now().await;
        }
        let other = engine.for_run(&Doing::default());
        assert!(names.name_of(&other, address(10_000)).await.is_some());
        assert!(begun.elapsed() < std::time::Duration::from_secs(1), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let ((names, _), egress) = (counting(), egress());
        for number in 0..u32::try_from(NAMES_MAX).unwrap() + 100 {
            let _asked = names.asked_for(address(number));
            assert!(names.lock().len() <= NAMES_MAX);
        }
        assert!(names.name_of(&egress, address(7)).await.is_some());
    }

    #[test]
    fn what_cannot_be_a_name_is_none() {
        for (name, wanted) in [
            ("host.example.", Some("host.example")),
            ("_x.host-1", Some("_x.host-1")),
            ("", None),
            (".", None),
            ("192.0.2.1", None),
            ("2001:db8::1", None),
            ("a\u{1b}[2J.example", None),
            ("a b", None),
            ("h\u{f6}st.example", None),
        ] {
            assert_eq!(readable(name).as_deref(), wanted, "{name:?}");
        }
        assert_eq!(readable(&"a".repeat(NAME_MAX_BYTES + 1)), None);
    }
}
