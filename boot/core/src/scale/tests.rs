//! How many engines are wanted, when they are launched, and who is drained.

use super::*;
use crate::fleet::Fleet;
use crate::provider::ProviderError;

const NOW: u64 = 1_800_000_000_000;
const S: u64 = 1000;

/// Of four slots an engine, at most ten.
fn region(more: &str) -> FleetRegion {
    let slots = if more.contains("slots") { "" } else { "slots = 4\n" };
    let text = format!(
        "name = \"main\"\n[[region]]\nname = \"virginia\"\nplace = \"us-east-1\"\nmax = 10\n{slots}{more}"
    );
    Fleet::parse(&text).unwrap().regions.remove(0)
}

fn demand(waiting: u32, running: u32) -> Demand {
    Demand { waiting, running, ..Demand::default() }
}

fn old(waiting: u32, running: u32, oldest_s: u64) -> Demand {
    Demand { oldest_waiting_ms: oldest_s * S, ..demand(waiting, running) }
}

fn runs(waiting: u32, running: u32, reservations: &[u32]) -> Demand {
    Demand { reservations: reservations.to_vec(), ..demand(waiting, running) }
}

fn have(registered: u32) -> Capacity {
    Capacity { registered, ..Capacity::default() }
}

fn idle(engine: &str, launched_ms: u64, is_spot: bool) -> Idle {
    Idle { engine: engine.to_owned(), launched_ms, is_spot }
}

fn at(
    now_ms: u64,
    region: &FleetRegion,
    demand: &Demand,
    capacity: &Capacity,
    history: &History,
) -> Decision {
    decide(now_ms, ("main", region), demand, capacity, history)
}

fn count(decision: &Decision) -> u32 {
    decision.launch.as_ref().map_or(0, |intent| intent.count)
}

#[test]
fn what_waits_runs_and_is_reserved_says_what_is_wanted_and_all_that_comes_counts() {
    let booting = |booting| Capacity { booting, ..have(1) };
    let launching = |launching| Capacity { launching, ..have(1) };
    let draining = |draining| Capacity { draining, ..have(0) };
    let orphaned = |orphaned| Capacity { orphaned, ..have(0) };
    let table = [
        // What the file says, what there is to do, what there is; wanted, launched, and a word of the reasons.
        ("", demand(0, 0), have(0), 0, 0, "0 wanted"),
        ("", demand(1, 0), have(0), 1, 1, "1 are lacking"),
        ("", demand(4, 0), have(0), 1, 1, ""),
        ("", demand(5, 0), have(0), 2, 2, "2 are lacking"),
        (
            "",
            demand(5, 4),
            have(1),
            3,
            2,
            "4 slots are taken and 5 are waited for, of 4 an engine: 3",
        ),
        ("", demand(1000, 0), have(0), 10, 10, "at most 10"),
        ("", demand(u32::MAX, u32::MAX), have(9), 10, 1, ""),
        ("min = 2", demand(0, 0), have(0), 2, 2, "at least 2"),
        ("min = 2", demand(9, 0), have(0), 3, 3, ""),
        ("warm = 2", demand(0, 0), have(0), 2, 2, "with 2 warm"),
        ("warm = 2", demand(5, 0), have(0), 4, 4, ""),
        ("warm = 2\nmin = 3", demand(0, 0), have(0), 3, 3, ""),
        ("warm = 5", demand(40, 0), have(0), 10, 10, ""),
        ("slots = 1", demand(3, 2), have(2), 5, 3, ""),
        // What boots, or was asked for, comes; what drains or is lost does not, and is paid.
        ("", demand(8, 4), booting(2), 3, 0, "2 machines boot"),
        ("", demand(8, 4), launching(2), 3, 0, "2 are asked for"),
        ("", demand(8, 4), launching(1), 3, 1, ""),
        ("", demand(8, 0), draining(5), 2, 2, "5 drain"),
        ("", demand(40, 0), draining(5), 10, 5, "10 are lacking, and 5 more machines may be"),
        ("", demand(40, 0), orphaned(10), 10, 0, "0 more machines may be"),
        (
            "",
            demand(40, 0),
            Capacity { booting: 2, launching: 3, draining: 1, orphaned: 1, ..have(2) },
            10,
            1,
            "",
        ),
        // Runs of several engines.
        ("", runs(3, 0, &[3]), have(1), 3, 2, "a run waits for 3 engines, and 0 are full: 3"),
        ("", runs(5, 0, &[2, 3]), have(0), 3, 3, ""),
        ("", runs(3, 8, &[3]), have(2), 5, 3, "2 are full: 5 engines"),
        ("", runs(50, 0, &[50]), have(0), 10, 10, ""),
        ("", runs(0, 0, &[0]), have(0), 0, 0, ""),
        // Jobs that wait long.
        ("", old(2, 8, 29), have(2), 3, 1, ""),
        ("", old(2, 8, 30), have(2), 4, 2, "all slots are taken: 1 more"),
        ("", old(9, 8, 600), have(2), 8, 6, ": 3 more"),
        ("", old(2, 8, 600), Capacity { booting: 1, ..have(2) }, 3, 0, "on their way"),
        ("", old(2, 8, 600), Capacity { launching: 1, ..have(2) }, 3, 0, "on their way"),
        ("", old(1, 3, 600), have(1), 1, 0, "although slots are free"),
        ("", old(1, 0, 600), have(9), 1, 0, "although slots are free"),
        ("", old(1, 0, 600), have(0), 2, 2, ""),
    ];
    for (more, demand, capacity, wanted, launched, word) in table {
        let decision = at(NOW, &region(more), &demand, &capacity, &History::default());
        let name = format!("{more:?} {demand:?} {capacity:?}: {:#?}", decision.reasons);
        assert_eq!((decision.wanted, count(&decision)), (wanted, launched), "{name}");
        assert!(decision.reasons.join("\n").contains(word), "{word:?}: {name}");
        assert_eq!(decision.drain, [""; 0], "{name}");
    }
}

#[test]
fn a_launch_has_a_bound_and_a_token_of_its_own() {
    let region = FleetRegion { max: 1_000, ..region("") };
    let first = at(NOW, &region, &demand(2_000, 0), &have(0), &History::default());
    assert_eq!(count(&first), LAUNCH_COUNT_MAX);
    let second = at(NOW, &region, &demand(2_000, 0), &have(100), &first.history);
    let (first, second) = (first.launch.unwrap(), second.launch.unwrap());
    assert_ne!(first.token, second.token);
    assert_eq!((first.fleet.as_str(), first.region.as_str()), ("main", "virginia"));
}

#[test]
fn what_is_idle_is_drained_when_there_was_too_much_for_long_enough() {
    let region = region("cool-down-s = 100");
    let some = [idle("spot", 1, true), idle("new", 9, false), idle("old", 5, false)];
    let capacity = Capacity { idle: some.to_vec(), ..have(4) };
    let drained = |now: u64, demand: &Demand, history: &History| {
        at(NOW + now * S, &region, demand, &capacity, history)
    };
    let launched = at(NOW, &region, &demand(16, 0), &have(0), &History::default()).history;
    let seen = drained(50, &demand(0, 1), &launched);
    assert_eq!(seen.drain, [""; 0]);
    assert!(
        seen.reasons[3]
            .contains("3 are too many, and none is drained for 100 s more: cool-down-s = 100")
    );
    let seen = drained(149, &demand(0, 1), &seen.history);
    assert!(seen.reasons[3].contains("for 1 s more"), "{:?}", seen.reasons);
    let ends = drained(150, &demand(0, 1), &seen.history);
    assert_eq!(ends.drain, ["old", "new", "spot"], "what costs more first, and then the oldest");
    let after = drained(160, &demand(0, 1), &ends.history);
    assert!(after.reasons[3].contains("for 90 s more"), "{:?}", after.reasons);

    assert_eq!(
        drained(150, &demand(0, 12), &seen.history).drain,
        ["old"],
        "no more than is too much"
    );
    assert_eq!(drained(150, &demand(4, 9), &seen.history).drain, [""; 0], "never below what waits");
    let busy = drained(140, &demand(16, 0), &seen.history);
    assert_eq!(
        drained(150, &demand(0, 1), &busy.history).drain,
        [""; 0],
        "it was needed in between"
    );
    let back = drained(0, &demand(0, 1), &ends.history);
    assert_eq!(drained(101, &demand(0, 1), &back.history).drain.len(), 3, "a clock was set back");
}

#[test]
fn who_is_busy_is_not_drained_and_a_doubtful_sight_drains_nobody() {
    let region = region("cool-down-s = 0");
    let capacity = Capacity { idle: vec![idle("i-1", 1, false)], ..have(4) };
    let seen = at(NOW, &region, &demand(0, 3), &capacity, &History::default());
    assert_eq!(seen.drain, ["i-1"]);
    assert!(seen.reasons.last().unwrap().starts_with("3 are too many, 1 of all are idle"));
    let doubtful = Capacity { is_doubtful: true, ..capacity };
    let seen = at(NOW, &region, &demand(0, 3), &doubtful, &History::default());
    assert_eq!(seen.drain, [""; 0]);
    assert!(seen.reasons.last().unwrap().contains("circuit breaker"), "{:?}", seen.reasons);
}

#[test]
fn a_region_of_none_is_drained_at_once_and_nothing_is_launched() {
    let region = FleetRegion { max: 0, ..region("cool-down-s = 300") };
    let idle = vec![idle("i-1", 1, false), idle("i-2", 2, false)];
    let capacity = Capacity { idle, booting: 1, ..have(2) };
    let launched = at(
        NOW,
        &FleetRegion { max: 9, ..region.clone() },
        &demand(30, 0),
        &have(0),
        &History::default(),
    );
    assert_eq!(count(&launched), 8);
    let seen = at(NOW + 5 * S, &region, &demand(30, 8), &capacity, &launched.history);
    assert_eq!((&seen.drain[..], count(&seen)), (&["i-1".to_owned(), "i-2".to_owned()][..], 0));
    assert_eq!(seen.reasons.last().unwrap(), "max = 0, and 2 are there: 2 are to drain");
    let none = at(NOW, &region, &runs(9, 0, &[9]), &have(0), &History::default());
    assert_eq!((none.wanted, none.drain.len(), count(&none)), (0, 0, 0));
}

#[test]
fn nobody_is_drained_for_machines_that_only_boot() {
    let region = region("cool-down-s = 0\nwarm = 0");
    let capacity = Capacity { booting: 5, idle: vec![idle("i-1", 1, false)], ..have(1) };
    let seen = at(NOW, &region, &demand(2, 0), &capacity, &History::default());
    assert_eq!((seen.drain.len(), count(&seen)), (0, 0), "{:?}", seen.reasons);
}

/// A launch that is decided at this time.
fn launch(now: u64, region: &FleetRegion, history: &History) -> Decision {
    at(NOW + now * S, region, &demand(4, 0), &have(0), history)
}

/// The first launch of a region, and what is remembered of it.
fn first_launch(region: &FleetRegion) -> (Intent, History) {
    let Decision { launch, history, .. } = launch(0, region, &History::default());
    (launch.expect("a launch"), history)
}

#[test]
fn no_room_for_spot_machines_is_others_at_once() {
    let region = region("spot = true");
    let (intent, mut history) = first_launch(&region);
    assert!(intent.is_spot);
    let no_room = Err(ProviderError::NoCapacity("no spot capacity in us-east-1a".to_owned()));
    let Outcome::Instead { intent: other, why } = history.answered(NOW, &intent, &no_room) else {
        panic!("nothing instead")
    };
    assert_eq!((other.count, other.is_spot), (intent.count, false));
    assert_ne!(other.token, intent.token);
    assert_eq!(why, "no spot capacity in us-east-1a: not spot, then");
    let is_spot =
        |now: u64, history: &History| launch(now, &region, history).launch.unwrap().is_spot;
    assert!(!is_spot(599, &history) && is_spot(600, &history));
    let mut early = history.clone();
    early.hear(NOW - 86_400 * S, false);
    assert!(at(NOW - 86_400 * S, &region, &demand(4, 0), &have(0), &early).launch.unwrap().is_spot);
    let failed = history.answered(NOW, &other, &no_room);
    assert!(matches!(failed, Outcome::Remove { is_loud: false, .. }), "{failed:?}");
    assert_eq!(launch(19, &region, &history).launch, None, "and now it waits");
}

#[test]
fn a_quota_of_spot_machines_is_others_at_once_and_one_of_others_waits() {
    let region = region("spot = true");
    let (intent, mut history) = first_launch(&region);
    let used_up = Err(ProviderError::Quota("MaxSpotInstanceCountExceeded".to_owned()));
    let Outcome::Instead { intent: other, why } = history.answered(NOW, &intent, &used_up) else {
        panic!("nothing instead")
    };
    assert_eq!((other.count, other.is_spot), (intent.count, false));
    assert_eq!(why, "MaxSpotInstanceCountExceeded: not spot, then");
    let next = launch(1, &region, &history).launch.expect("nothing is held back");
    assert!(!next.is_spot, "for a while no spot machines are asked for");
    let failed = history.answered(NOW, &other, &used_up);
    assert!(matches!(failed, Outcome::Remove { is_loud: false, .. }), "{failed:?}");
    assert_eq!(launch(59, &region, &history).launch, None, "and now it waits");
    for error in [ProviderError::Denied(String::new()), ProviderError::Throttled(String::new())] {
        let outcome = History::default().answered(NOW, &intent, &Err(error.clone()));
        assert!(matches!(outcome, Outcome::Remove { .. }), "{error:?}: {outcome:?}");
    }
}

#[test]
fn failures_wait_longer_each_time_up_to_a_ceiling_and_say_why() {
    use ProviderError::{Denied, Invalid, NoCapacity, Quota, Throttled};
    let text = || "vCPU quota L-1216C47A is used up".to_owned();
    let table = [
        (NoCapacity(text()), 20, 300, false),
        (Quota(text()), 60, 900, false),
        (Throttled(text()), 5, 120, false),
        (Denied(text()), 900, 3_600, true),
        (Invalid(text()), 900, 3_600, true),
    ];
    let region = region("");
    for (error, first, most, loud) in table {
        let (mut history, mut now) = (History::default(), 0);
        for nth in 0..40_u32 {
            let Decision { launch: Some(intent), history: then, .. } =
                launch(now, &region, &history)
            else {
                panic!("{error:?}, {nth}: nothing is launched")
            };
            history = then;
            let outcome = history.answered(NOW + now * S, &intent, &Err(error.clone()));
            let Outcome::Remove { why, is_loud } = outcome else { panic!("{error:?}") };
            assert!(why.starts_with("vCPU quota L-1216C47A is used up: not asked again"), "{why}");
            assert_eq!(is_loud, loud, "{error:?}");
            let least = (first << nth.min(20)).min(most);
            let held = launch(now + least - 1, &region, &history);
            assert_eq!(held.launch, None, "{error:?}, {nth}");
            let told = held.reasons.last().unwrap();
            assert!(
                told.contains("L-1216C47A") && told.contains("1 would be launched: not for"),
                "{told}"
            );
            now += least + least / 4 + 1;
        }
        let mut other = history.clone();
        let intent = launch(now, &region, &history).launch.unwrap();
        let kept = other.answered(NOW + now * S, &intent, &Ok(vec![InstanceId("i-1".to_owned())]));
        assert!(matches!(kept, Outcome::Keep { .. }));
        let failed = other.answered(NOW + now * S, &intent, &Err(error.clone()));
        assert!(matches!(failed, Outcome::Remove { .. }));
        assert!(
            launch(now + first + first / 4 + 1, &region, &other).launch.is_some(),
            "it began anew"
        );
        assert!(launch(now - 1, &region, &other).launch.is_some(), "a clock was set back");
    }
}

#[test]
fn a_lost_answer_keeps_the_intent_whatever_the_next_one_says() {
    let region = region("spot = true");
    let unknown = ProviderError::Unknown("timed out".to_owned());
    let mut history = History::default();
    let first = launch(0, &region, &history).launch.unwrap();
    let Outcome::Keep { intent, why } = history.answered(NOW + S, &first, &Err(unknown)) else {
        panic!("given up")
    };
    assert_eq!((intent.unknown_count, intent.tried_ms, &intent.token), (1, NOW + S, &first.token));
    assert!(why.contains("same token"), "{why}");
    let no_room = Err(ProviderError::NoCapacity("no spot capacity".to_owned()));
    let Outcome::Keep { intent, .. } = history.answered(NOW + 9 * S, &intent, &no_room) else {
        panic!("the first may have been done")
    };
    assert_eq!(intent.unknown_count, 2);
    let ids = vec![InstanceId("i-1".to_owned())];
    let Outcome::Keep { intent, why } = history.answered(NOW + 20 * S, &intent, &Ok(ids.clone()))
    else {
        panic!("given up")
    };
    assert_eq!((intent.instances, why.as_str()), (Some(ids), "1 of 1 are launched"));
}

#[test]
fn a_launch_of_none_is_one_that_failed() {
    let region = region("");
    let (intent, mut history) = first_launch(&region);
    let asked = Intent { unknown_count: 1, ..intent };
    let outcome = history.answered(NOW, &asked, &Ok(Vec::new()));
    assert!(matches!(outcome, Outcome::Remove { .. }), "{outcome:?}");
    assert_eq!(launch(1, &region, &history).launch, None);
}

#[test]
fn a_history_is_read_as_it_was_written_and_another_versions_too() {
    let region = region("spot = true");
    let (intent, mut history) = first_launch(&region);
    let denied = Err(ProviderError::Denied("ec2:RunInstances".to_owned()));
    assert!(matches!(
        history.answered(NOW, &intent, &denied),
        Outcome::Remove { is_loud: true, .. }
    ));
    let text = serde_json::to_string(&history).unwrap();
    assert_eq!(serde_json::from_str::<History>(&text).unwrap(), history);
    assert_eq!(serde_json::from_str::<History>("{\"later\": 1}").unwrap(), History::default());
}
