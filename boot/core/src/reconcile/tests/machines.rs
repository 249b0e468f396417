//! Instances that have no engine, or lost it.

use super::*;
use crate::instance::TAG_KEEP;

#[test]
fn an_instance_that_never_registers_is_marked_and_then_ended() {
    let mut story = Story::new();
    story.add(Instance { launched_ms: START, ..instance("i-1") });
    assert_eq!(words(&story.pass(300)), [""; 0], "it has 300 s");
    let round = story.once();
    assert_eq!(words(&round), ["mark i-1"]);
    assert_eq!(round.actions[0].why(), "no engine registered within 5 min of its launch");
    assert_eq!(words(&story.pass(40)), [""; 0], "it is looked at again after 60 s");
    let round = story.once();
    let why = "no engine registered within 6 min of its launch".to_owned();
    let ends = Action::Terminate { id: InstanceId("i-1".to_owned()), last: None, why };
    assert_eq!(round.actions, [ends]);
    assert_eq!(words(&story.once()), ["terminate i-1"], "until it is gone");
    story.instance("i-1").state = InstanceState::Stopping;
    assert_eq!(words(&story.once()), [""; 0]);
}

#[test]
fn one_that_is_stopped_is_ended_as_one_without_a_living_engine() {
    let mut story = Story::served();
    assert_eq!(words(&story.pass_beating("i-1", 600)), [""; 0]);
    story.instance("i-1").state = InstanceState::Stopping;
    assert_eq!(words(&story.once()), [""; 0], "it does what was asked of it");
    story.instance("i-1").state = InstanceState::Stopped;
    let seen: Vec<String> = (0..20).flat_map(|_| words(&story.once())).collect();
    let first = seen.iter().position(|word| word == "terminate i-1");
    assert_eq!(first, Some(1), "marked once, and then ended: {seen:?}");
    assert_eq!(seen[0], "mark i-1");

    let mut story = Story::lone();
    story.instance("i-1").state = InstanceState::Stopped;
    assert_eq!(words(&story.once()), ["mark i-1"], "one without a document, too");
    story.pass(280);
    assert_eq!(words(&story.once()), ["terminate i-1"]);
}

#[test]
fn an_old_one_is_marked_at_first_sight_and_ended_when_this_side_has_waited_too() {
    let mut story = Story::lone();
    assert_eq!(words(&story.once()), ["mark i-1"]);
    assert_eq!(words(&story.pass(280)), [""; 0]);
    assert_eq!(words(&story.once()), ["terminate i-1"]);
}

#[test]
fn a_short_time_to_register_is_no_short_life() {
    let mut story = Story::new();
    story.region.registration_s = 1;
    story.rules.orphan_again = std::time::Duration::from_secs(1);
    story.add(Instance { launched_ms: START, ..instance("i-1") });
    assert_eq!(words(&story.pass(60)), [""; 0], "marked a round before");
    assert_eq!(words(&story.once()), ["terminate i-1"]);
}

#[test]
fn who_registers_late_is_unmarked_and_lives() {
    let mut story = Story::lone();
    story.pass(200);
    story.join(registered("i-1"));
    assert_eq!(words(&story.once()), ["unmark i-1"]);
    assert_eq!(words(&story.pass_beating("i-1", 3_600)), [""; 0]);
}

#[test]
fn an_engine_that_falls_silent_loses_its_instance() {
    let mut story = Story::served();
    assert_eq!(words(&story.pass_beating("i-1", 600)), [""; 0]);
    assert_eq!(words(&story.pass(180)), [""; 0]);
    let round = story.once();
    assert_eq!(words(&round), ["mark i-1"]);
    assert_eq!(round.actions[0].why(), "its engine has not rewritten its document for 3 min");
    assert_eq!(words(&story.pass(40)), [""; 0]);
    let round = story.once();
    assert_eq!(words(&round), ["terminate i-1"]);
    let Action::Terminate { last, .. } = &round.actions[0] else { panic!() };
    assert_eq!(last.as_ref(), Some(&story.engine("i-1").sign()), "it is compared once more");
}

#[test]
fn a_sign_of_life_at_any_time_saves_it_and_everything_begins_anew() {
    for change in ["counter", "start", "beat"] {
        let mut story = Story::served();
        assert_eq!(words(&story.pass(220)), ["mark i-1"]);
        assert_eq!(words(&story.pass(40)), [""; 0]);
        let engine = story.engine("i-1");
        match change {
            "counter" => engine.counter += 1,
            "start" => "b".clone_into(&mut engine.incarnation),
            _ => engine.is_beat = true,
        }
        assert_eq!(words(&story.once()), ["unmark i-1"]);
        assert_eq!(words(&story.pass(180)), [""; 0]);
        assert_eq!(words(&story.once()), ["mark i-1"]);
        assert_eq!(words(&story.pass(40)), [""; 0]);
        assert_eq!(words(&story.once()), ["terminate i-1"]);
    }
}

#[test]
fn an_engine_that_went_has_minutes_to_power_its_machine_off() {
    let mut story = Story::served();
    story.pass_beating("i-1", 600);
    story.engine("i-1").gone = true;
    story.engine("i-1").counter += 1;
    assert_eq!(words(&story.pass(180)), [""; 0]);
    let round = story.once();
    assert_eq!(words(&round), ["mark i-1"]);
    assert_eq!(round.actions[0].why(), "its engine went 3 min ago, and the machine is still there");
    assert_eq!(words(&story.pass(60)), ["terminate i-1"]);
}

#[test]
fn who_holds_jobs_is_drained_first_and_then_has_its_time() {
    let mut story = Story::served();
    story.engine("i-1").holds_jobs = true;
    assert_eq!(words(&story.pass(220)), ["mark i-1"]);
    let round = story.pass(60);
    assert_eq!(words(&round), ["drain i-1"]);
    assert!(round.actions[0].why().ends_with("and it holds jobs"), "{:?}", round.actions);
    assert_eq!(words(&story.pass(3_600)), [""; 0]);
    let round = story.once();
    assert_eq!(words(&round), ["terminate i-1"]);
    assert!(
        round.actions[0].why().contains("was asked to drain 60 min ago"),
        "{:?}",
        round.actions
    );

    let mut story = Story::served();
    story.engine("i-1").holds_jobs = true;
    assert_eq!(words(&story.pass(280)), ["drain i-1"]);
    assert_eq!(words(&story.pass(60)), [""; 0]);
    story.engine("i-1").holds_jobs = false;
    assert_eq!(words(&story.once()), ["terminate i-1"], "it holds none any more");
}

#[test]
fn a_living_engine_is_never_ended_however_long_it_drains() {
    let mut story = Story::served();
    story.engine("i-1").is_asked_to_drain = true;
    story.engine("i-1").holds_jobs = true;
    let round = story.pass_beating("i-1", 7_220);
    assert_eq!(words(&round), [""; 0]);
    let [held] = &round.held[..] else { panic!("{:?}", round.held) };
    assert!(
        held.contains("i-1 was asked to drain 2 h ago and its engine is still there"),
        "{held}"
    );
}

#[test]
fn what_is_not_ours_or_kept_is_never_touched() {
    let tagged = |name: &str, value: Option<&str>| {
        let mut one = instance("i-1");
        match value {
            Some(value) => tags(&mut one).insert(name.to_owned(), value.to_owned()),
            None => tags(&mut one).remove(name),
        };
        tags(&mut one).insert(TAG_ORPHAN.to_owned(), "1".to_owned());
        one
    };
    let table = [
        tagged(TAG_FLEET, None),
        tagged(TAG_FLEET, Some("other")),
        tagged(TAG_FLEET, Some("main2")),
        tagged(TAG_REGION, None),
        tagged(TAG_REGION, Some("japan")),
        tagged(TAG_KEEP, Some("")),
        tagged(TAG_KEEP, Some("false")),
    ];
    for one in table {
        for engine in [None, Some(registered("i-1"))] {
            let mut story = Story::new();
            story.add(one.clone());
            story.registrations.as_mut().unwrap().extend(engine);
            let round = story.pass(7_200);
            assert_eq!(words(&round), [""; 0], "{one:?}");
            let is_kept = one.tag(TAG_KEEP).is_some();
            assert_eq!(round.held.len(), usize::from(is_kept), "{:?}", round.held);
        }
    }
}

#[test]
fn a_mark_that_cannot_be_read_or_is_of_the_future_is_set_anew() {
    let (past, future) = (START.to_string(), (START + 900 * S).to_string());
    for (value, is_good) in [
        (past.as_str(), true),
        (&future, false),
        ("", false),
        ("soon", false),
        ("-5", false),
        ("1e3", false),
    ] {
        let mut story = Story::lone();
        story.pass(600);
        tags(story.instance("i-1")).insert(TAG_ORPHAN.to_owned(), value.to_owned());
        let word = if is_good { "terminate i-1" } else { "mark i-1" };
        assert_eq!(words(&story.once()), [word], "{value:?}");
        if !is_good {
            assert_eq!(words(&story.pass(40)), [""; 0], "{value:?}");
            assert_eq!(words(&story.once()), ["terminate i-1"], "{value:?}");
        }
    }
}

#[test]
fn an_old_mark_is_not_believed_without_having_seen_it_wrong_for_as_long() {
    let mut story = Story::served();
    tags(story.instance("i-1")).insert(TAG_ORPHAN.to_owned(), "1".to_owned());
    let never_unmarked = |story: &mut Story, rounds: u32| {
        (0..rounds).map(|_| words(&story.round())).collect::<Vec<_>>()
    };
    assert_eq!(never_unmarked(&mut story, 10), vec![["unmark i-1"]; 10]);
    assert_eq!(never_unmarked(&mut story, 3), vec![[""; 0]; 3]);
    assert_eq!(never_unmarked(&mut story, 1), [["terminate i-1"]]);
}

#[test]
fn a_launch_in_the_future_or_long_ago_ends_nobody_early() {
    for launched_ms in [0, START - 86_400 * S, START + 86_400 * S, u64::MAX] {
        let mut story = Story::new();
        story.add(Instance { launched_ms, ..instance("i-1") });
        let mut first = None;
        for seconds in (0..=1_000).step_by(20) {
            let round = story.once();
            let ends = words(&round).contains(&"terminate i-1".to_owned());
            first = first.or(ends.then_some(seconds));
        }
        let expected = if launched_ms < START { 300 } else { 360 };
        assert_eq!(first, Some(expected), "{launched_ms}: and it is ended at last");
    }
}

#[test]
fn terminations_of_a_round_are_bounded() {
    let mut story = Story::new();
    story.rules.is_forced = true;
    (100..230).for_each(|n| story.add(instance(&format!("i-{n}"))));
    story.pass(300);
    let round = story.once();
    assert_eq!(round.actions.len(), 50);
    assert_eq!(round.held, ["80 more instances wait to be terminated: a round ends 50 at most"]);
}
