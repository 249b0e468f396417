//! Workers, a lease, and a store that may not answer.

use super::*;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

fn revision(n: u64) -> Revision {
    format!("{n}-a").parse().unwrap()
}

fn worker(byte: u8) -> Duty {
    let incarnation = Incarnation::from_random([byte; 16]);
    Duty::new(&format!("g{byte}"), incarnation, Timing::of_tests())
}

/// A store with one lease.
#[derive(Default)]
struct Store {
    lease: Option<(u64, Option<Lease>)>,
    is_away: bool,
}

impl Store {
    /// Performs what a worker wants, until it wants nothing more at this instant.
    fn serve(&mut self, now: Duration, worker: &mut Duty) {
        let mut next = worker.tick(now);
        while let Some(action) = next.take().or_else(|| worker.tick(now)) {
            match action {
                Action::Read if self.is_away => next = worker.read_answered(now, Found::Unknown),
                Action::Read => {
                    let found = self
                        .lease
                        .clone()
                        .map_or(Found::Nothing, |(n, lease)| Found::Lease(revision(n), lease));
                    next = worker.read_answered(now, found);
                }
                Action::Write { lease, .. } if self.is_away => {
                    worker.write_answered(now, &lease, Written::Unknown);
                }
                Action::Write { over, lease } => {
                    let written = self.write(over, &lease);
                    worker.write_answered(now, &lease, written);
                }
            }
        }
        assert!(worker.due().is_none_or(|due| due > now), "{worker:?}");
    }

    fn write(&mut self, over: Option<Revision>, lease: &Lease) -> Written {
        let now = self.lease.as_ref().map_or(0, |(n, _)| *n);
        if over != (now > 0).then(|| revision(now)) {
            return Written::Conflict;
        }
        self.lease = Some((now + 1, Some(lease.clone())));
        Written::Stored(revision(now + 1))
    }
}

#[test]
fn one_worker_has_the_duty_and_keeps_it() {
    let (mut store, mut first, mut second) = (Store::default(), worker(1), worker(2));
    for second_ in 0..120 {
        store.serve(second_ * S, &mut first);
        store.serve(second_ * S, &mut second);
        assert!(first.is_on(second_ * S) && !second.is_on(second_ * S), "at {second_} s");
    }
    assert_eq!(first.due(), Some(120 * S));
    assert!(store.lease.unwrap().0 <= 25, "it is rewritten each beat and not more often");
}

#[test]
fn who_finds_no_lease_at_the_same_time_meets_the_revision_check() {
    let (mut store, mut first, mut second) = (Store::default(), worker(1), worker(2));
    assert_eq!(first.tick(S), Some(Action::Read));
    assert_eq!(second.tick(S), Some(Action::Read));
    let takes = [first.read_answered(S, Found::Nothing), second.read_answered(S, Found::Nothing)];
    for (worker, take) in [&mut first, &mut second].into_iter().zip(takes) {
        let Some(Action::Write { over, lease }) = take else { panic!("{take:?}") };
        let written = store.write(over, &lease);
        worker.write_answered(S, &lease, written);
    }
    assert!(first.is_on(S) && !second.is_on(S));
}

#[test]
fn a_dead_holder_is_followed_and_never_before_it_stopped() {
    let (mut store, mut first, mut second) = (Store::default(), worker(1), worker(2));
    store.serve(Duration::ZERO, &mut first);
    let mut taken = None;
    for ms in (0..60_000).step_by(500) {
        let now = ms * MS;
        store.serve(now, &mut second);
        assert!(!(first.is_on(now) && second.is_on(now)), "two at {now:?}");
        if second.is_on(now) {
            taken = taken.or(Some(now));
        }
    }
    let taken = taken.unwrap();
    assert!((25 * S..28 * S).contains(&taken), "{taken:?}");
    // The first one wakes up: it is off at once, and learns who has it.
    assert!(!first.is_on(taken));
    store.serve(taken, &mut first);
    assert!(!first.is_on(taken) && second.is_on(taken));
}

#[test]
fn a_holder_whose_writes_are_not_answered_stops_in_time_and_takes_its_own_lease_again() {
    let (mut store, mut first, mut second) = (Store::default(), worker(1), worker(2));
    store.serve(Duration::ZERO, &mut first);
    store.is_away = true;
    let mut asked = 0;
    for ms in (0..40_000_u32).step_by(100) {
        let now = ms * MS;
        if first.tick(now).is_some() {
            asked += 1;
            // The answer never comes, but the request is given up.
            let lease = Lease::new(Some(first.me.clone()), 9);
            match &first.state {
                State::On { is_unsure: false, .. } => {
                    first.write_answered(now, &lease, Written::Unknown);
                }
                _ => assert_eq!(first.read_answered(now, Found::Unknown), None),
            }
        }
        assert_eq!(first.is_on(now), ms < 15_000, "at {now:?}");
        store.serve(now, &mut second);
        assert!(!second.is_on(now), "who is blind takes nothing");
    }
    assert!(asked < 30, "{asked} requests to a store that does not answer");
    store.is_away = false;
    store.serve(42 * S, &mut first);
    assert!(first.is_on(42 * S), "nobody took it");
}

#[test]
fn a_write_that_was_stored_without_an_answer_is_found() {
    let (mut store, mut first) = (Store::default(), worker(1));
    store.serve(Duration::ZERO, &mut first);
    let Some(Action::Write { over, lease }) = first.tick(5 * S) else { panic!("no rewriting") };
    assert_eq!(store.write(over, &lease), Written::Stored(revision(2)));
    first.write_answered(6 * S, &lease, Written::Unknown);
    assert_eq!(first.tick(6 * S), None);
    store.serve(8 * S, &mut first);
    assert!(first.is_on(20 * S) && !first.is_on(23 * S), "renewed at 8 s");
    assert_eq!(store.lease.unwrap().0, 3);
}

#[test]
fn who_goes_gives_the_duty_back_and_the_next_takes_it_at_its_next_poll() {
    let (mut store, mut first, mut second) = (Store::default(), worker(1), worker(2));
    store.serve(Duration::ZERO, &mut first);
    store.serve(Duration::ZERO, &mut second);
    first.go();
    assert!(!first.is_on(Duration::ZERO), "from that moment on");
    store.serve(S, &mut first);
    assert!(first.is_gone() && first.due().is_none());
    let lease = store.lease.clone().unwrap().1.unwrap();
    assert_eq!((lease.holder, lease.counter), (None, 0));
    store.serve(2 * S, &mut second);
    assert!(second.is_on(2 * S));
    second.go();
    store.is_away = true;
    store.serve(3 * S, &mut second);
    assert!(second.is_gone(), "it does not stay for a store that is away");
    let mut third = worker(3);
    third.go();
    store.serve(3 * S, &mut third);
    assert!(third.is_gone(), "who never had it has nothing to give");
}

#[test]
fn a_lease_that_cannot_be_read_is_somebodys_as_long_as_it_changes() {
    let (mut store, mut first) = (Store::default(), worker(1));
    for second in 0..50_u32 {
        store.lease = Some((u64::from(second.min(20)) + 1, None));
        store.serve(second * S, &mut first);
        assert_eq!(first.is_on(second * S), second >= 46, "at {second} s");
        if first.is_on(second * S) {
            break;
        }
    }
}

#[test]
fn a_worker_that_was_blind_counts_anew() {
    let (mut store, mut first, mut second) = (Store::default(), worker(1), worker(2));
    store.serve(Duration::ZERO, &mut first);
    for second_ in 0..100 {
        store.is_away = (10..60).contains(&second_);
        store.serve(second_ * S, &mut second);
        assert_eq!(second.is_on(second_ * S), second_ >= 86, "at {second_} s");
    }
}

#[test]
fn a_lease_keeps_its_shape() {
    let lease = Lease::new(Some(worker(1).me), 3);
    let json = serde_json::to_value(&lease).unwrap();
    assert_eq!(
        json,
        serde_json::json!({"kind": "lease", "blitz": crate::BUILD, "counter": 3,
            "holder": {"name": "g1", "incarnation": "01".repeat(16)}})
    );
    assert_eq!(serde_json::from_value::<Lease>(json).unwrap(), lease);
    assert_eq!(Lease::document_id("keeper"), "lease:keeper");
}
