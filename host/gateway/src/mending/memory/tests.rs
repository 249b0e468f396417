//! Cuts, looks and answers, with a time that is passed in.

use serde_json::json;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn ids(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

/// The document of a replication that leads to these servers.
fn to(others: &[&str]) -> Standing {
    Standing {
        revision: serde_json::from_value(json!("1-a")).unwrap(),
        body: Map::new(),
        others: others.iter().map(|other| (*other).to_owned()).collect(),
    }
}

fn due(memory: &mut Memory, now: Duration) -> Vec<String> {
    memory.take_due(now).into_iter().map(|(id, _)| id).collect()
}

/// A look at which `id`, which leads to "far", fails; and whether that one is asked then.
fn fails(memory: &mut Memory, now: Duration, id: &str) -> bool {
    memory.look(now, ids(&[id]));
    for id in memory.unread() {
        memory.read(&id, to(&["far"]));
    }
    !memory.to_ask(now).is_empty()
}

#[test]
fn what_fails_is_mended_with_the_first_answer_and_each_end_asked_once() {
    let mut memory = Memory::default();
    memory.look(SECOND, ids(&["a", "b", "c"]));
    assert_eq!(memory.unread(), ["a", "b", "c"]);
    for (id, others) in [("a", &["far"][..]), ("b", &["far"]), ("c", &["far", "farther"])] {
        memory.read(id, to(others));
    }
    assert!(memory.unread().is_empty(), "a document is read once");
    assert_eq!(memory.to_ask(SECOND), ids(&["far", "farther"]));
    assert!(due(&mut memory, SECOND).is_empty(), "nobody has answered");
    memory.asked(SECOND * 2, "far", SECOND, true);
    assert_eq!(due(&mut memory, SECOND * 2), ["a", "b"]);
    memory.asked(SECOND * 5 / 2, "farther", SECOND, true);
    assert_eq!(due(&mut memory, SECOND * 5 / 2), ["c"]);
    assert!(due(&mut memory, SECOND * 5 / 2).is_empty(), "each is given once");
}

#[test]
fn an_answer_serves_what_is_seen_failing_a_moment_later_and_not_for_longer() {
    let mut memory = Memory::default();
    assert!(fails(&mut memory, SECOND, "a"));
    memory.asked(SECOND, "far", SECOND, true);
    assert_eq!(due(&mut memory, SECOND), ["a"]);
    let soon = SECOND + THERE / 2;
    fails(&mut memory, soon, "b");
    assert_eq!(due(&mut memory, soon), ["b"]);
    let later = SECOND + THERE;
    assert!(fails(&mut memory, later, "c"));
    assert!(due(&mut memory, later).is_empty());
}

#[test]
fn one_that_fails_again_at_once_rests_longer_each_time_up_to_a_limit() {
    let mut memory = Memory::default();
    let mut now = Duration::ZERO;
    let mut rests = Vec::new();
    for _ in 0..6 {
        let before = now;
        while !fails(&mut memory, now, "x") {
            assert!(due(&mut memory, now).is_empty());
            now += SECOND / 2;
        }
        rests.push((now - before).as_secs());
        memory.asked(now, "far", now, true);
        assert_eq!(due(&mut memory, now), ["x"]);
    }
    assert_eq!(rests, [0, 1, 2, 4, 8, REST_MAX.as_secs()]);
}

#[test]
fn of_cuts_that_come_one_after_the_other_each_is_the_first() {
    let mut memory = Memory::default();
    for round in 0..20 {
        // Too short for a question to remain without an answer: when the failure is noticed, the way is healed.
        let now = SECOND * 3 * round;
        assert!(fails(&mut memory, now, "x"), "round {round}: it does not rest");
        memory.asked(now, "far", now, true);
        assert_eq!(due(&mut memory, now), ["x"]);
        for later in [SECOND, SECOND * 2] {
            memory.look(now + later, BTreeSet::new());
        }
    }
    memory.look(SECOND * 100, BTreeSet::new());
    assert!(memory.mended.is_empty() && memory.answered.is_empty(), "{memory:?}");
}

#[test]
fn who_was_away_is_followed_at_once_and_an_old_question_says_nothing() {
    let mut memory = Memory::default();
    // It rests, since it was mended in vain.
    for now in [Duration::ZERO, SECOND] {
        assert!(fails(&mut memory, now, "x"));
        memory.asked(now, "far", now, true);
        assert_eq!(due(&mut memory, now), ["x"]);
    }
    assert!(!fails(&mut memory, SECOND * 2, "x"));
    memory.asked(SECOND * 2, "far", Duration::ZERO, false);
    assert!(!fails(&mut memory, SECOND * 2, "x"), "the silence is older than the answer");
    memory.asked(SECOND * 5 / 2, "far", SECOND * 3 / 2, false);
    assert!(fails(&mut memory, SECOND * 5 / 2, "x"), "it is away, and rests no more");
    memory.asked(SECOND * 5 / 2, "far", SECOND * 5 / 2, true);
    assert_eq!(due(&mut memory, SECOND * 5 / 2), ["x"]);
}

#[test]
fn one_whose_ends_are_not_known_waits_for_nobody() {
    let mut memory = Memory::default();
    memory.look(SECOND, ids(&["x"]));
    memory.read("x", to(&[]));
    assert_eq!(due(&mut memory, SECOND), ["x"]);
}
