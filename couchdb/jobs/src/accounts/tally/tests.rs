//! Tests of [`super`]: counts of several gateways that hear each other late.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::accounts::usage::HOUR_MS;

/// 10:00 on a day of 1970.
const NOW: u64 = 10 * 24 * HOUR_MS + 10 * HOUR_MS;

fn plan(jobs: u64) -> Plan {
    Plan { jobs_per_hour: Some(jobs), load_minutes_per_day: Some(10), ..Plan::unlimited("free") }
}

fn jobs(tasks: u64) -> Asked {
    Asked { tasks, load_ms: None }
}

fn revision(n: u64) -> Revision {
    format!("{n}-a").parse().unwrap()
}

#[test]
fn one_gateway_alone_never_passes_a_limit_and_forgets_at_the_hour() {
    let mut tally = Tally::new("a".to_owned());
    for _ in 0..33 {
        tally.admit("acme", &plan(100), &jobs(3), 0, NOW).unwrap();
    }
    let refused = tally.admit("acme", &plan(100), &jobs(2), 0, NOW).unwrap_err();
    assert_eq!((refused.used, refused.asked, refused.max), (99, 2, 100));
    tally.admit("acme", &plan(100), &jobs(1), 0, NOW).unwrap();
    tally.admit("other", &plan(100), &jobs(1), 0, NOW).unwrap();
    tally.admit("acme", &plan(100), &jobs(1), 0, NOW + HOUR_MS).unwrap();
}

#[test]
fn what_others_told_counts_once_and_the_latest_of_it() {
    let mut tally = Tally::new("b".to_owned());
    let hear = |tally: &mut Tally, gateway: &str, count, jobs| {
        let (tenant, gateway) = ("acme".to_owned(), gateway.to_owned());
        let id = UsageId { tenant, hour: hour_of(NOW), gateway };
        tally.hear(id, &Usage::new(count, Counts { jobs, ..Counts::default() }));
    };
    for (gateway, count, jobs, sum) in [
        ("a", 2, 7, 7),
        ("a", 1, 3, 7),
        ("c", 1, 2, 9),
        ("a", 2, 7, 9),
        ("a", 3, 5, 7),
        ("b", 9, 99, 7),
    ] {
        hear(&mut tally, gateway, count, jobs);
        assert_eq!(tally.used("acme", NOW).jobs_this_hour, sum, "{gateway} {count} {jobs}");
    }
    assert_eq!(tally.used("acme", NOW + HOUR_MS).jobs_this_hour, 0);
}

#[test]
fn load_that_was_not_used_is_given_back_to_the_day_that_it_was_of() {
    let mut tally = Tally::new("a".to_owned());
    let asked = Asked { tasks: 2, load_ms: Some(3_600_000) };
    let granted = tally.admit("acme", &plan(100), &asked, 0, NOW).unwrap();
    assert_eq!(granted.load_ms, Some(300_000));
    assert!(tally.admit("acme", &plan(100), &asked, 0, NOW).is_err());
    let rest = Counts { load_ms: 200_000, ..Counts::default() };
    tally.give_back("acme", hour_of(NOW), rest);
    assert_eq!(tally.used("acme", NOW + HOUR_MS).load_ms_today, 400_000);
    let granted = tally.admit("acme", &plan(100), &asked, 0, NOW + HOUR_MS).unwrap();
    assert_eq!(granted.load_ms, Some(100_000));
}

#[test]
fn what_the_store_did_not_take_is_due_until_it_does() {
    let mut tally = Tally::new("a".to_owned());
    tally.admit("acme", &plan(100), &jobs(1), 0, NOW).unwrap();
    let first = tally.due();
    assert_eq!((first.len(), first[0].usage.count, &first[0].over), (1, 1, &None));
    tally.admit("acme", &plan(100), &jobs(2), 0, NOW).unwrap();
    tally.stored(&first[0].id, 1, revision(1));
    let second = tally.due();
    assert_eq!((second[0].usage.count, second[0].usage.counts.jobs), (2, 3));
    assert_eq!(second[0].over, Some(revision(1)));
    let long_after = NOW + (REMEMBERED_HOURS + 1) * HOUR_MS;
    tally.forget_old(long_after);
    assert_eq!(tally.due(), second, "not forgotten before it is stored");
    tally.stored(&second[0].id, 2, revision(2));
    assert_eq!(tally.due(), []);
    tally.forget_old(long_after);
    assert!(tally.tenants.is_empty());
}

#[test]
fn an_hour_is_remembered_until_the_last_of_its_jobs_has_ended() {
    let mut tally = Tally::new("a".to_owned());
    let asked = Asked { tasks: 1, load_ms: Some(60_000) };
    // A millisecond before midnight, and ten hours after all jobs of before.
    let accepted = NOW + 14 * HOUR_MS - 1;
    for _ in 0..3 {
        tally.admit("acme", &plan(100), &asked, 0, accepted).unwrap();
    }
    let [due] = &tally.due()[..] else { panic!("one document") };
    tally.stored(&due.id, due.usage.count, revision(1));
    let (longest, minutes) = (u64::try_from(JOB_TIMEOUT_MAX.as_millis()).unwrap(), 120_000);
    for (ends_after, gives_back, left) in
        [(minutes, 20_000, 160_000), (longest + minutes, 30_000, 130_000)]
    {
        let now = accepted + ends_after;
        tally.forget_old(now);
        assert_eq!(tally.used("acme", now).load_ms_today, 0, "of another day");
        let rest = Counts { load_ms: gives_back, ..Counts::default() };
        tally.give_back("acme", due.id.hour, rest);
        let [due] = &tally.due()[..] else { panic!("one document") };
        assert_eq!((due.usage.counts.jobs, due.usage.counts.load_ms), (3, left));
        assert!(due.over.is_some(), "over what the store has");
        tally.stored(&due.id, due.usage.count, revision(due.usage.count));
    }
}

#[test]
fn what_the_store_lost_is_due_over_what_it_has() {
    let mut tally = Tally::new("a".to_owned());
    tally.admit("acme", &plan(100), &jobs(1), 0, NOW).unwrap();
    let id = tally.due()[0].id.clone();
    tally.stored(&id, 1, revision(7));
    for found in [None, Some(revision(3))] {
        tally.admit("acme", &plan(100), &jobs(1), 0, NOW).unwrap();
        tally.found(&id, found.clone());
        assert_eq!(tally.due()[0].over, found);
    }
    assert_eq!(tally.due()[0].usage.counts.jobs, 3);
    let of_another = UsageId { gateway: "b".to_owned(), ..id };
    tally.found(&of_another, None);
    assert_eq!(tally.due()[0].over, Some(revision(3)));
}

/// One step of a world of gateways.
#[derive(Debug, Clone)]
struct Step {
    gateway: usize,
    tasks: u64,
    /// Since the step before.
    waits_ms: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..5usize, 1..10u64, 0..400u64);
    let step = step.prop_map(|(gateway, tasks, waits_ms)| Step { gateway, tasks, waits_ms });
    proptest::collection::vec(step, 1..200)
}

const FLUSH_MS: u64 = 1_000;

proptest! {
    /// What is used is at most the limit and what the other gateways admitted within a flush interval and a lag before the last
    /// admission; and when all have heard all, nothing more is admitted.
    #[test]
    fn many_gateways_pass_a_limit_by_no_more_than_the_bound(
        gateways in 1..5usize, lag_ms in 0..2_000u64, max in 1..150u64, steps in steps(),
    ) {
        let mut all: Vec<Tally> = (0..gateways).map(|n| Tally::new(format!("g{n}"))).collect();
        // What was written, and when it is heard by all.
        let mut under_way: VecDeque<(u64, UsageId, Usage)> = VecDeque::new();
        let mut admitted: Vec<(u64, usize, u64)> = Vec::new();
        let (mut now, mut next_flush) = (NOW, NOW + FLUSH_MS);
        for step in steps {
            now += step.waits_ms;
            while next_flush <= now {
                for tally in &mut all {
                    for Due { id, usage, .. } in tally.due() {
                        tally.stored(&id, usage.count, revision(usage.count));
                        under_way.push_back((next_flush + lag_ms, id, usage));
                    }
                }
                next_flush += FLUSH_MS;
            }
            while under_way.front().is_some_and(|(at, ..)| *at <= now) {
                let (_, id, usage) = under_way.pop_front().unwrap();
                all.iter_mut().for_each(|tally| tally.hear(id.clone(), &usage));
            }
            let gateway = step.gateway % gateways;
            if all[gateway].admit("acme", &plan(max), &jobs(step.tasks), 0, now).is_ok() {
                admitted.push((now, gateway, step.tasks));
                let sum: u64 = admitted.iter().map(|(_, _, tasks)| tasks).sum();
                let unheard = now.saturating_sub(FLUSH_MS + lag_ms);
                let of_others: u64 = admitted
                    .iter()
                    .filter(|(at, by, _)| *at >= unheard && *by != gateway)
                    .map(|(_, _, tasks)| tasks)
                    .sum();
                prop_assert!(sum <= max + of_others, "{sum} of {max}, {of_others} unheard");
                prop_assert!(gateways > 1 || sum <= max);
                prop_assert!(sum <= max * u64::try_from(gateways).unwrap());
            }
        }
    }
}
