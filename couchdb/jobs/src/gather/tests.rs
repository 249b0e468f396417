//! Who begins together, in whatever order things are heard.

use blitz_contract::Retry;
use proptest::prelude::*;

use super::*;
use crate::id::Incarnation;
use crate::meeting::Ready;
use crate::run::{Claim, Run};

const S: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);
const DELAY: Duration = Duration::from_secs(2);

fn gather() -> Gather {
    Gather::new(PATIENCE, DELAY)
}

/// The tasks of a run, in two regions.
fn tasks(count: usize) -> Vec<JobId> {
    let region = |n: usize| if n.is_multiple_of(2) { "japan" } else { "virginia" };
    (0..count).map(|n| JobId::new(region(n), 1)).collect()
}

fn spec(tasks: &[JobId], n: usize) -> Heard {
    Heard::Spec(Arc::new(Spec { tasks: tasks.to_vec(), ..Spec::sample(&tasks[n], Retry::Never) }))
}

fn ready(job: &JobId) -> Heard {
    let claim = Claim::first(1, "e1", Incarnation::from_random([1; 16]));
    Heard::Ready(Arc::new(Ready::new(job.clone(), &claim)))
}

fn end(job: &JobId) -> Heard {
    let run = Run::Expired { reason: "nobody".to_owned() };
    Heard::Run(job.clone(), "1-a".parse().unwrap(), run)
}

/// The only write.
fn write(gather: &mut Gather, now: Duration) -> Write {
    let writes = gather.tick(now, |_| true);
    let [write] = &writes[..] else { panic!("not one write: {writes:?}") };
    write.clone()
}

/// All orders of so many things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(count - 1);
    let longer = shorter.iter().flat_map(|order| {
        (0..count).map(|at| {
            let mut order = order.clone();
            order.insert(at, count - 1);
            order
        })
    });
    longer.collect()
}

#[test]
fn when_all_are_there_they_begin_in_whatever_order_they_were_heard() {
    let tasks = tasks(3);
    let things: Vec<Heard> = (0..3).flat_map(|n| [spec(&tasks, n), ready(&tasks[n])]).collect();
    for order in orders(things.len()) {
        let mut gather = gather();
        let mut writes = Vec::new();
        for (nth, thing) in order.iter().enumerate() {
            gather.hear(S, &things[*thing]);
            writes.extend(gather.tick(S, |_| true));
            let later = order[nth + 1..].iter().any(|thing| thing % 2 == 1);
            assert!(!later || writes.is_empty(), "{nth} of {order:?}");
        }
        let [Write { job, go }] = &writes[..] else { panic!("{order:?}: {writes:?}") };
        assert_eq!((job, &go.members), (&tasks[0], &tasks), "{order:?}");
        assert_eq!((go.missing.len(), go.delay()), (0, DELAY));
        assert!(gather.tick(S, |_| true).is_empty(), "it was asked for");
    }
}

#[test]
fn who_has_ended_is_missing_at_once_before_or_after_it_was_ready() {
    let tasks = tasks(3);
    let mut things: Vec<Heard> = (0..3).map(|n| spec(&tasks, n)).collect();
    things.extend([ready(&tasks[0]), ready(&tasks[2]), ready(&tasks[1]), end(&tasks[1])]);
    for order in orders(things.len()) {
        let mut gather = gather();
        order.iter().for_each(|&thing| gather.hear(S, &things[thing]));
        let go = write(&mut gather, S).go;
        assert_eq!(go.members, [tasks[0].clone(), tasks[2].clone()], "{order:?}");
        assert_eq!((&go.missing[..], go.place(&tasks[2])), (&tasks[1..2], Some(1)));
    }
    // Too few are left, and nobody else will come.
    let mut gather = gather();
    things.push(end(&tasks[2]));
    things.iter().for_each(|thing| gather.hear(S, thing));
    let reason = write(&mut gather, S).go.refused.clone().unwrap();
    assert!(reason.starts_with("1 of 3 engines") && reason.contains("have ended"), "{reason}");
}

#[test]
fn a_quorum_begins_after_the_deadline_and_less_is_refused() {
    let tasks = tasks(4);
    for (there, begins) in [(1, false), (2, false), (3, true)] {
        let mut gather = gather();
        (0..4).for_each(|n| gather.hear(S, &spec(&tasks, n)));
        assert_eq!(gather.due(|_| true), None, "nobody was ready: perhaps they do not meet at all");
        for (n, at) in (0..there).zip(1..) {
            gather.hear(at * S, &ready(&tasks[n]));
        }
        assert_eq!(gather.due(|_| true), Some(S + PATIENCE));
        assert!(gather.tick(10 * S, |_| true).is_empty());
        let go = write(&mut gather, 11 * S).go;
        assert_eq!(go.refused.is_none(), begins, "{go:?}");
        if begins {
            assert_eq!((&go.members[..], &go.missing[..]), (&tasks[..3], &tasks[3..]));
        } else {
            let says = format!(
                "{there} of 4 engines can begin, and it takes more than half of them: \
                the others were not ready 10 s after the first;"
            );
            assert!(go.refused.as_ref().unwrap().starts_with(&says), "{go:?}");
            assert_eq!((go.members.len(), go.missing.len()), (0, 4 - there));
        }
    }
}

#[test]
fn the_others_get_copies_of_what_stands_with_what_is_left_of_the_delay() {
    let tasks = tasks(3);
    let mut gather = gather();
    (0..3).for_each(|n| gather.hear(S, &spec(&tasks, n)));
    (0..3).for_each(|n| gather.hear(S, &ready(&tasks[n])));
    let own = write(&mut gather, S);
    // Another keeper was faster.
    let stands = Arc::new(Go::begin(tasks[..2].to_vec(), tasks[2..].to_vec(), DELAY));
    assert_ne!(own.go, stands);
    gather.hear(S, &Heard::Go(tasks[0].clone(), Arc::clone(&stands)));
    let later = S + Duration::from_millis(300);
    let copies = gather.tick(later, |_| true);
    let jobs: Vec<&JobId> = copies.iter().map(|copy| &copy.job).collect();
    assert_eq!(jobs, [&tasks[1], &tasks[2]]);
    for copy in &copies {
        assert_eq!(*copy.go, Go { delay_ms: 1_700, ..(*stands).clone() });
    }
    // One copy stands; the other is asked for again, until its task has ended.
    gather.hear_go(later, &tasks[1], Arc::clone(&copies[0].go));
    assert_eq!(gather.due(|_| true), Some(later + AGAIN));
    assert_eq!(write(&mut gather, later + AGAIN).job, tasks[2]);
    gather.hear(20 * S, &end(&tasks[2]));
    assert_eq!((gather.due(|_| true), gather.runs.len(), gather.firsts.len()), (None, 0, 0));
}

#[test]
fn only_who_keeps_the_region_of_the_first_task_decides() {
    let tasks = tasks(2);
    let mut gather = gather();
    (0..2).for_each(|n| gather.hear(S, &spec(&tasks, n)));
    (0..2).for_each(|n| gather.hear(S, &ready(&tasks[n])));
    assert_eq!(gather.due(|region| region == "virginia"), None);
    assert!(gather.tick(S, |region| region == "virginia").is_empty());
    assert_eq!(gather.tick(S, |region| region == "japan").len(), 1);
}

#[test]
fn what_does_not_meet_leaves_nothing() {
    let tasks = tasks(3);
    let mut gather = gather();
    let alone = [JobId::new("japan", 1)];
    gather.hear(S, &spec(&alone, 0));
    let strange = [tasks[0].clone(), tasks[1].clone()];
    (0..2).for_each(|n| gather.hear(S, &spec(&tasks, n)));
    gather.hear(S, &spec(&strange, 1));
    (0..2).for_each(|n| gather.hear(2 * S, &end(&tasks[n])));
    assert_eq!((gather.runs.len(), gather.firsts.len(), gather.open.len()), (0, 0, 0));
    (0..3).for_each(|n| gather.hear(S, &spec(&tasks, n)));
    gather.hear(S, &ready(&tasks[1]));
    gather.hear(S, &Heard::Replaced(tasks[0].jobs_database()));
    assert_eq!((gather.runs.len(), gather.firsts.len(), gather.open.len()), (0, 0, 0));
}

/// A store that takes the first go of each job, and two keepers that hear and write as it comes.
#[derive(Default)]
struct World {
    keepers: [Gather; 2],
    stored: BTreeMap<JobId, Arc<Go>>,
    under_way: Vec<(usize, Write)>,
}

impl World {
    fn tick(&mut self, now: Duration) {
        for (n, keeper) in self.keepers.iter_mut().enumerate() {
            self.under_way.extend(keeper.tick(now, |_| true).into_iter().map(|write| (n, write)));
        }
    }

    /// A write arrives; its answer is lost now and then.
    fn arrive(&mut self, now: Duration, which: usize, lost: bool) {
        if self.under_way.is_empty() {
            return;
        }
        let (n, Write { job, go }) = self.under_way.remove(which % self.under_way.len());
        let stands = Arc::clone(self.stored.entry(job.clone()).or_insert(go));
        if !lost {
            self.keepers[n].hear_go(now, &job, stands);
        }
    }
}

proptest! {
    #[test]
    fn two_keepers_give_every_task_the_same_word(
        count in 2_usize..5,
        order in Just((0..15).collect::<Vec<usize>>()).prop_shuffle(),
        other in Just((0..15).collect::<Vec<usize>>()).prop_shuffle(),
        ends in 0_u8..16,
        readies in 0_u8..16,
        steps in proptest::collection::vec((0_u64..3_000, 0_usize..9, any::<bool>()), 15),
    ) {
        let tasks = tasks(count);
        let has = |bits: u8, n: usize| bits & (1 << n) != 0;
        let things: Vec<Heard> = (0..count).flat_map(|n| {
            let ready = has(readies, n).then(|| ready(&tasks[n]));
            let end = has(ends, n).then(|| end(&tasks[n]));
            [Some(spec(&tasks, n)), ready, end].into_iter().flatten()
        }).collect();
        let mut world = World::default();
        let mut now = Duration::ZERO;
        for (nth, (ms, which, lost)) in steps.into_iter().enumerate() {
            now += Duration::from_millis(ms);
            for (keeper, order) in world.keepers.iter_mut().zip([&order, &other]) {
                if let Some(thing) = things.get(order[nth]) {
                    keeper.hear(now, thing);
                }
            }
            world.tick(now);
            world.arrive(now, which, lost);
        }
        // Then the store answers.
        for _ in 0..40 {
            now += S;
            world.tick(now);
            while !world.under_way.is_empty() {
                world.arrive(now, 0, false);
            }
        }
        for keeper in &world.keepers {
            prop_assert_eq!(keeper.due(|_| true), None);
        }
        let lives = |n: &usize| !has(ends, *n);
        let waits = (0..count).any(|n| has(readies, n) && lives(&n));
        if waits {
            for n in (0..count).filter(lives) {
                prop_assert!(world.stored.contains_key(&tasks[n]), "task {n} hears nothing");
            }
        }
        let Some(stands) = world.stored.get(&tasks[0]) else {
            prop_assert!(world.stored.is_empty());
            return Ok(());
        };
        prop_assert_eq!(stands.members.len() * 2 > count, stands.refused.is_none());
        for go in world.stored.values() {
            prop_assert_eq!((&go.members, &go.refused), (&stands.members, &stands.refused));
            prop_assert!(go.delay_ms <= stands.delay_ms);
        }
    }
}
