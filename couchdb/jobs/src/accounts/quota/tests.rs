//! Tests of [`super`]: what plans allow, and when there is room again.

use super::*;

/// 02:59:00 on a day of 1970.
const NOW: u64 = 10 * 24 * HOUR_MS + 3 * HOUR_MS - 60_000;

fn plan() -> Plan {
    Plan {
        jobs_per_hour: Some(100),
        jobs_at_once: Some(10),
        engines_per_run: Some(4),
        load_minutes_per_day: Some(60),
        ..Plan::unlimited("free")
    }
}

fn jobs(tasks: u64) -> Asked {
    Asked { tasks, load_ms: None }
}

#[test]
fn each_limit_holds_and_says_when_it_is_free_again() {
    let used = |jobs_this_hour, jobs_now| Used { jobs_this_hour, jobs_now, ..Used::default() };
    let at = FreeAgain::At { at_ms: NOW + 60_000, in_ms: 60_000 };
    let ends = FreeAgain::WhenJobsEnd { in_ms: JOBS_AGAIN_MS };
    for (used, tasks, wanted) in [
        (used(0, 0), 4, None),
        (used(99, 9), 1, None),
        (used(0, 0), 5, Some((Limit::EnginesPerRun, FreeAgain::Never))),
        (used(99, 0), 2, Some((Limit::JobsPerHour, at))),
        (used(500, 0), 1, Some((Limit::JobsPerHour, at))),
        (used(0, 9), 2, Some((Limit::JobsAtOnce, ends))),
        (used(100, 10), 1, Some((Limit::JobsPerHour, at))),
        (used(u64::MAX, 0), 1, Some((Limit::JobsPerHour, at))),
    ] {
        let decided = may(&plan(), &used, &jobs(tasks), NOW);
        let found = decided.err().map(|exceeded| (exceeded.limit, exceeded.free_again));
        assert_eq!(found, wanted, "{used:?} and {tasks}");
    }
    let none = Used {
        jobs_this_hour: 1 << 60,
        jobs_now: 1 << 60,
        load_ms_today: 1 << 60,
        ..Used::default()
    };
    let all = Asked { tasks: 100, load_ms: Some(1 << 40) };
    assert_eq!(may(&Plan::unlimited("all"), &none, &all, NOW), Ok(Granted::default()));
}

#[test]
fn of_load_each_task_gets_its_part_of_what_is_left() {
    let hour = 3_600_000;
    for (used, tasks, load_ms, wanted) in [
        (0, 1, 60_000, Ok(60_000)),
        (0, 1, 2 * hour, Ok(hour)),
        (0, 4, hour, Ok(hour / 4)),
        (hour - 3_000, 3, hour, Ok(1_000)),
        (
            hour - 2_999,
            3,
            hour,
            Err(FreeAgain::At { at_ms: 11 * 24 * hour, in_ms: 21 * hour + 60_000 }),
        ),
        (2 * hour, 1, 1, Err(FreeAgain::At { at_ms: 11 * 24 * hour, in_ms: 21 * hour + 60_000 })),
    ] {
        let used = Used { load_ms_today: used, ..Used::default() };
        let asked = Asked { tasks, load_ms: Some(load_ms) };
        let decided = may(&plan(), &used, &asked, NOW);
        let found = decided.map(|granted| granted.load_ms.unwrap()).map_err(|e| e.free_again);
        assert_eq!(found, wanted, "{used:?} and {asked:?}");
        assert!(may(&plan(), &used, &jobs(1), NOW).is_ok(), "only load is limited");
    }
    let no_load = Plan { load_minutes_per_day: Some(0), ..plan() };
    let asked = Asked { tasks: 1, load_ms: Some(hour) };
    let refused = may(&no_load, &Used::default(), &asked, NOW).unwrap_err();
    assert_eq!(refused.free_again, FreeAgain::Never);
}

#[test]
fn a_refusal_names_the_limit_what_was_used_and_when_it_is_free_again() {
    let say = |used: Used, tasks| may(&plan(), &used, &jobs(tasks), NOW).unwrap_err().to_string();
    let used = Used { jobs_this_hour: 99, ..Used::default() };
    assert_eq!(
        say(used, 2),
        "99 of 100 used and 2 asked for (jobs_per_hour of plan 'free'); free again in 1 min 0 s"
    );
    let used = Used { jobs_now: 10, ..Used::default() };
    assert_eq!(
        say(used, 1),
        "10 of 10 used and 1 asked for (jobs_at_once of plan 'free'); free again when jobs end"
    );
    assert_eq!(
        say(Used::default(), 20),
        "20 asked for, plan 'free' allows 4 (engines_per_run); ask for fewer, or ask the operator for another plan"
    );
}

#[test]
fn the_limits_that_are_reached_are_told_with_their_time() {
    let used =
        |jobs_this_hour, load_ms_today| Used { jobs_this_hour, load_ms_today, ..Used::default() };
    let (hour, day) = (NOW + 60_000, 11 * 24 * HOUR_MS);
    for (used, wanted) in [
        (used(99, 3_598_000), vec![]),
        (used(100, 0), vec![(Limit::JobsPerHour, hour)]),
        (used(500, 3_600_000), vec![(Limit::JobsPerHour, hour), (Limit::LoadMinutesPerDay, day)]),
    ] {
        assert_eq!(reached(&plan(), &used, NOW), wanted, "{used:?}");
        assert_eq!(reached(&Plan::unlimited("all"), &used, NOW), []);
    }
}

#[test]
fn a_plan_that_is_over_is_changed_for_the_next_one_in_the_same_way_by_all() {
    let of = |name: &str, then: Option<&str>| Plan {
        then: then.map(str::to_owned),
        ..Plan::unlimited(name)
    };
    let tenant = |until, contested: &[&str]| Tenant {
        plan_until_ms: until,
        blitz: "0".to_owned(),
        contested: contested.iter().map(|plan| (*plan).to_owned()).collect(),
        ..Tenant::new("acme", "paid", 7)
    };
    for (plan, until, contested, becomes) in [
        (of("paid", Some("free")), None, &[][..], None),
        (of("paid", Some("free")), Some(NOW + 1), &[], None),
        (of("paid", Some("free")), Some(NOW), &[], Some("free")),
        (of("paid", Some("free")), Some(NOW), &["other"], None),
        (of("paid", None), Some(NOW), &[], None),
        (of("paid", Some("paid")), Some(NOW), &[], None),
        (of("other", Some("free")), Some(NOW), &[], None),
    ] {
        let next = expired(&tenant(until, contested), &plan, NOW);
        let wanted = becomes.map(|then| Tenant { plan: then.to_owned(), ..tenant(None, &[]) });
        assert_eq!(next, wanted, "{plan:?} until {until:?}");
    }
}

#[test]
fn who_may_do_nothing_learns_why() {
    let tenant = |until| Tenant { plan_until_ms: until, ..Tenant::new("acme", "paid", 7) };
    let why =
        |until, plan: &Plan| why_nothing(&tenant(until), plan, NOW).map(|why| why.to_string());
    assert_eq!(why(None, &plan()), None);
    let unknown = why(Some(NOW + 1), &Plan::nothing("paid")).unwrap();
    assert!(unknown.starts_with("plan 'paid' of tenant 'acme' is not known here"), "{unknown}");
    let over = why(Some(NOW), &Plan::nothing("paid")).unwrap();
    assert!(over.starts_with("plan 'paid' of tenant 'acme' is over"), "{over}");
}
