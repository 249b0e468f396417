//! When a launch is asked for again, when it counts, and when it is over.

use std::collections::BTreeMap;

use super::*;
use crate::instance::InstanceState;
use crate::scale::History;

const NOW: u64 = 1_800_000_000_000;

fn intent(count: u32) -> Intent {
    Intent::new(("main", "virginia"), 7, count, true, NOW)
}

fn named(count: u32, ids: &[&str]) -> Intent {
    let ids = ids.iter().map(|id| InstanceId((*id).to_owned())).collect();
    Intent { instances: Some(ids), ..intent(count) }
}

fn machine(id: &str, token: &str) -> Instance {
    Instance {
        id: InstanceId(id.to_owned()),
        state: InstanceState::Gone,
        launched_ms: NOW,
        is_spot: false,
        tags: BTreeMap::from([(TAG_LAUNCH.to_owned(), token.to_owned())]),
    }
}

fn engine(id: &str) -> Registered {
    Registered {
        engine: id.to_owned(),
        incarnation: "a".to_owned(),
        counter: 1,
        gone: false,
        holds_jobs: false,
        is_asked_to_drain: false,
        is_beat: false,
    }
}

/// Name, intent, milliseconds after it was asked for, what is listed and registered, then: what is next, how many are to
/// come, and why it is removed.
type Case<'a> =
    (&'a str, Intent, u64, &'a [Instance], &'a [Registered], (&'a str, u32), Option<&'a str>);

/// A history with rounds until so long after the launch.
fn later(passed: u64) -> History {
    let mut history = History::default();
    history.hear(NOW, false);
    for at in (0..=passed).step_by(10_000).chain([passed]) {
        history.hear(NOW + at, false);
    }
    history
}

#[test]
fn what_is_next_depends_on_what_was_answered_listed_and_passed() {
    let token = intent(2).token;
    let one = [machine("i-1", &token)];
    let two = [machine("i-1", &token), machine("i-2", &token)];
    let twice = [machine("i-1", &token), machine("i-1", &token)];
    let others = [machine("i-1", "1-a"), machine("i-2", "1-a")];
    let registered = [engine("i-2"), engine("i-9")];
    let again = |count| Intent { unknown_count: count, ..intent(2) };
    let is_over = Some("all its machines");
    let late = Some("were not listed for 600 s");
    let table: Vec<Case<'_>> = vec![
        ("just asked", intent(2), 0, &[], &[], ("wait", 2), None),
        ("no answer", intent(2), 5_000, &[], &[], ("ask", 2), None),
        ("unknown once", again(1), 5_000, &[], &[], ("wait", 2), None),
        ("unknown once, later", again(1), 10_000, &[], &[], ("ask", 2), None),
        ("unknown often", again(u32::MAX), 60_000, &[], &[], ("ask", 2), None),
        ("one is listed", intent(2), 5_000, &one, &[], ("ask", 1), None),
        ("one is listed twice", intent(2), 5_000, &twice, &[], ("ask", 1), None),
        ("both are listed", intent(2), 0, &two, &[], ("remove", 0), is_over),
        ("of another launch", intent(2), 0, &others, &[], ("wait", 2), None),
        ("answered", named(2, &["i-1", "i-2"]), 500_000, &[], &[], ("wait", 2), None),
        (
            "answered, listed without tags",
            named(2, &["i-1", "i-2"]),
            0,
            &others,
            &[],
            ("remove", 0),
            is_over,
        ),
        ("answered with fewer", named(2, &["i-1"]), 0, &one, &[], ("remove", 0), is_over),
        (
            "an engine of it is there",
            named(2, &["i-1", "i-2"]),
            0,
            &one,
            &registered,
            ("wait", 0),
            None,
        ),
        ("asked for the last time", intent(2), 299_999, &[], &[], ("ask", 2), None),
        ("not asked for any more", intent(2), 300_000, &[], &[], ("wait", 2), None),
        ("nearly too late", intent(2), 599_999, &[], &[], ("wait", 2), None),
        ("too late", intent(2), 600_000, &[], &[], ("remove", 0), late),
        (
            "answered, and too late",
            named(2, &["i-1", "i-2"]),
            600_000,
            &one,
            &[],
            ("remove", 0),
            late,
        ),
    ];
    for (name, intent, passed, listed, engines, (next, launching), why) in table {
        let intents = [intent];
        let settled = settle(NOW + passed, |i| later(passed).age_ms(i), &intents, listed, engines);
        let (_, found) = &settled.next[0];
        let word = match found {
            Next::Ask => "ask",
            Next::Wait => "wait",
            Next::Remove { .. } => "remove",
        };
        assert_eq!((word, settled.launching), (next, launching), "{name}");
        let told = match found {
            Next::Remove { why } => Some(why.as_str()),
            _ => None,
        };
        assert_eq!(told.is_some(), why.is_some(), "{name}: {told:?}");
        assert!(why.is_none_or(|why| told.unwrap().contains(why)), "{name}: {told:?}");
    }
}

#[test]
fn a_clock_that_was_set_makes_nobody_launch_again() {
    let intents = [named(2, &["i-1", "i-2"])];
    let settled = settle(NOW + 86_400_000, |i| later(86_400_000).age_ms(i), &intents, &[], &[]);
    assert!(matches!(settled.next[0].1, Next::Remove { .. }), "a day of rounds");
    let mut set_forward = later(0);
    set_forward.hear(NOW + 86_400_000, false);
    let settled = settle(NOW + 86_400_000, |i| set_forward.age_ms(i), &intents, &[], &[]);
    assert_eq!((settled.launching, &settled.next[0].1), (2, &Next::Wait));
    let intents = [Intent { passed_ms: 86_400_000, ..named(2, &["i-1", "i-2"]) }];
    let settled = settle(NOW + 600_000, |i| later(600_000).age_ms(i), &intents, &[], &[]);
    assert!(matches!(settled.next[0].1, Next::Remove { .. }), "its history was lost");
    let intents = [named(2, &["i-1", "i-2"])];
    let settled = settle(NOW - 3_600_000, |i| later(0).age_ms(i), &intents, &[], &[]);
    assert_eq!((settled.launching, &settled.next[0].1), (2, &Next::Wait));
    let intents = [intent(2)];
    assert_eq!(
        settle(NOW - 3_600_000, |i| later(0).age_ms(i), &intents, &[], &[]).next[0].1,
        Next::Ask
    );
}

#[test]
fn a_token_is_the_same_again_and_no_other_has_it() {
    let tokens = [
        token("main", "virginia", 7),
        token("main", "virginia", 8),
        token("main", "japan", 7),
        token("test", "virginia", 7),
        token(&"m".repeat(32), &"v".repeat(32), u64::MAX),
    ];
    for (n, one) in tokens.iter().enumerate() {
        assert!(one.len() <= 64 && one.is_ascii(), "{one}");
        assert!(!tokens[n + 1..].contains(one), "{one}");
    }
    assert_eq!(intent(2).token, tokens[0]);
    assert_eq!(intent(2).request().token, tokens[0]);
    assert_eq!(intent(2).document_id(), format!("launch:{}", tokens[0]));
    assert!(tokens[0].starts_with("7-"));
}

#[test]
fn numbers_rise_though_the_last_is_forgotten_and_clocks_are_set() {
    assert_eq!(next_number(0, NOW), NOW / 1000);
    assert_eq!(next_number(NOW / 1000, NOW), NOW / 1000 + 1);
    assert_eq!(next_number(NOW, 0), NOW + 1);
    assert_eq!(next_number(u64::MAX, NOW), u64::MAX);
}

#[test]
fn an_intent_is_read_as_it_was_written() {
    let intent = named(2, &["i-1"]);
    let text = serde_json::to_string(&intent).unwrap();
    assert!(text.contains(r#""kind":"launch""#), "{text}");
    assert_eq!(serde_json::from_str::<Intent>(&text).unwrap(), intent);
}
