//! The rules of the strategy, one by one, at times that the test chooses.

use std::net::{IpAddr, Ipv4Addr};

use super::*;

const TARGET: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn strategy(queries: usize, out_max: Option<usize>) -> Strategy {
    let wait = Wait { max: ms(5000), here: 3.0, near: 3.0 };
    let target_is_rationed = true;
    Strategy::new(Plan { first: 1, last: 32, queries, out_max, wait, target_is_rationed }, 60)
}

/// Sends what is ready; their distances.
fn send(strategy: &mut Strategy, at: u64) -> Vec<u8> {
    let ready = strategy.ready(ms(at));
    strategy.sent(&ready, ms(at));
    ready.iter().map(|query| query.ttl).collect()
}

/// The last probe to this hop is answered.
fn hear(strategy: &mut Strategy, ttl: u8, outcome: Outcome, rtt_ms: u64) {
    let query = strategy.sent.iter().rev().find(|query| query.ttl == ttl).unwrap();
    let from = match outcome {
        Outcome::Reached => TARGET,
        _ => Ipv4Addr::new(10, 0, ttl, 1).into(),
    };
    strategy.hear(Answer::new(query.id, outcome, Some(from), rtt_ms * 1_000_000));
}

/// The distances of the hops that are final.
fn take(strategy: &mut Strategy, at: u64) -> Vec<u8> {
    let mut ttls = Vec::new();
    while let Some(ttl) = strategy.final_hop(ms(at)).map(|hop| hop.ttl) {
        ttls.push(ttl);
        strategy.take();
    }
    ttls
}

#[test]
fn far_hops_are_asked_as_time_passes_and_answers_come() {
    let mut trace = strategy(1, None);
    assert_eq!(send(&mut trace, 0), (1..=6).collect::<Vec<u8>>());
    assert_eq!(trace.due(ms(0)), Some(ms(50)));
    assert_eq!(send(&mut trace, 49), [0_u8; 0]);
    assert_eq!(send(&mut trace, 50), [7, 8, 9, 10]);
    hear(&mut trace, 8, Outcome::TimeExceeded, 20);
    assert_eq!(send(&mut trace, 70), [11, 12]);
    hear(&mut trace, 9, Outcome::Reached, 20);
    for at in (71..300).step_by(10) {
        assert!(send(&mut trace, at).iter().all(|ttl| *ttl < 9), "beyond the target at {at} ms");
    }
    // `-N` is the user's own limit, and the only one.
    assert_eq!(send(&mut strategy(1, Some(40)), 0).len(), 32);
    assert_eq!(send(&mut strategy(1, Some(3)), 0), [1, 2, 3]);
}

#[test]
fn one_hop_is_asked_in_passes() {
    let mut trace = strategy(3, None);
    send(&mut trace, 0);
    hear(&mut trace, 1, Outcome::TimeExceeded, 1);
    hear(&mut trace, 2, Outcome::Reached, 1);
    assert_eq!(send(&mut trace, 199), [0_u8; 0]);
    assert_eq!(send(&mut trace, 200), [1, 2]);
    hear(&mut trace, 1, Outcome::TimeExceeded, 1);
    assert_eq!(send(&mut trace, 399), [0_u8; 0]);
    assert_eq!(send(&mut trace, 400), [1, 2]);
    hear(&mut trace, 1, Outcome::TimeExceeded, 1);
    hear(&mut trace, 2, Outcome::Reached, 1);
    assert_eq!(take(&mut trace, 401), [1], "the second answer of the target is missing");
    assert_eq!(trace.due(ms(401)), Some(ms(600)));
    assert_eq!(send(&mut trace, 600), [2], "a hole is asked for again, after a pause");
    assert_eq!(take(&mut trace, 649), [0_u8; 0]);
    assert_eq!(take(&mut trace, 650), [2], "and once only");
    assert!(trace.is_done());
}

#[test]
fn a_silent_hop_is_given_up_once_a_later_one_has_answered() {
    let mut trace = strategy(1, None);
    send(&mut trace, 0);
    hear(&mut trace, 1, Outcome::TimeExceeded, 40);
    assert_eq!(take(&mut trace, 900), [1]);
    // Nothing later has answered: a router may be without tokens for a second.
    let mut other = strategy(1, None);
    send(&mut other, 0);
    hear(&mut other, 1, Outcome::TimeExceeded, 40);
    assert!(!send(&mut other, 1099).contains(&2));
    assert!(send(&mut other, 1100).contains(&2));
    assert_eq!(take(&mut other, 4999), [1]);
    // The third has answered: 3 times the slowest, which is 120 ms.
    let mut trace = strategy(1, None);
    send(&mut trace, 0);
    for (ttl, rtt_ms) in [(1, 40), (3, 10)] {
        hear(&mut trace, ttl, Outcome::TimeExceeded, rtt_ms);
    }
    assert!(!send(&mut trace, 119).contains(&2));
    assert!(send(&mut trace, 120).contains(&2));
    assert_eq!(take(&mut trace, 239), [1]);
    assert_eq!(take(&mut trace, 240), [2, 3]);
}

#[test]
fn the_user_may_want_the_longest_wait() {
    let mut trace = strategy(1, None);
    trace.plan.wait = Wait { max: ms(2000), here: 0.0, near: 0.0 };
    send(&mut trace, 0);
    hear(&mut trace, 3, Outcome::Reached, 1);
    hear(&mut trace, 1, Outcome::TimeExceeded, 1);
    assert_eq!(take(&mut trace, 1999), [1]);
    assert_eq!(take(&mut trace, 2000), [2, 3]);
}

#[test]
fn answers_of_the_target_to_farther_probes_are_its_own() {
    let mut trace = strategy(3, None);
    send(&mut trace, 0);
    for ttl in 1..=3 {
        hear(&mut trace, ttl, Outcome::TimeExceeded, 1);
    }
    // They come in any order.
    for ttl in [6, 4, 5] {
        hear(&mut trace, ttl, Outcome::Reached, 10);
    }
    for at in [200, 400] {
        assert_eq!(send(&mut trace, at), [1, 2, 3], "the target has said enough");
        for ttl in 1..=3 {
            hear(&mut trace, ttl, Outcome::TimeExceeded, 1);
        }
    }
    assert_eq!(take(&mut trace, 401), [1, 2, 3, 4]);
    assert!(trace.is_done());
}

#[test]
fn a_target_that_seems_far_is_looked_for_nearer() {
    // The second hop is the target, but had no tokens left but one.
    let found = |is_rationed: bool| {
        let mut trace = strategy(1, None);
        trace.plan.target_is_rationed = is_rationed;
        send(&mut trace, 0);
        hear(&mut trace, 1, Outcome::TimeExceeded, 1);
        hear(&mut trace, 5, Outcome::Reached, 1);
        assert_eq!(send(&mut trace, 100), [2, 3, 4]);
        assert_eq!(send(&mut trace, 1199), [0_u8; 0]);
        let again = send(&mut trace, 1200);
        if again == [2] {
            hear(&mut trace, 2, Outcome::Reached, 1);
        }
        take(&mut trace, 1250)
    };
    assert_eq!(found(true), [1, 2]);
    assert_eq!(found(false), [1, 2, 3, 4, 5]);
}

#[test]
fn what_is_late_foreign_or_double_changes_nothing() {
    let mut trace = strategy(1, None);
    send(&mut trace, 0);
    hear(&mut trace, 1, Outcome::TimeExceeded, 1);
    hear(&mut trace, 1, Outcome::Reached, 1);
    hear(&mut trace, 3, Outcome::Reached, 1);
    assert_eq!(take(&mut trace, 1), [1]);
    hear(&mut trace, 1, Outcome::Unreachable, 1);
    trace.hear(Answer::new(4000, Outcome::Reached, Some(TARGET), 1));
    hear(&mut trace, 2, Outcome::TimeExceeded, 1);
    assert_eq!(take(&mut trace, 2), [2, 3]);
    assert!(trace.is_done() && trace.due(ms(2)).is_none() && trace.ready(ms(900)).is_empty());
}

#[test]
fn time_always_brings_something() {
    let mut trace = strategy(10, Some(2));
    let mut now = Duration::ZERO;
    let mut steps = 0;
    while !trace.is_done() {
        let ready = trace.ready(now);
        trace.sent(&ready, now);
        while trace.final_hop(now).is_some() {
            trace.take();
        }
        let Some(due) = trace.due(now) else { break };
        assert!(due > now);
        now = due;
        steps += 1;
        assert!(steps < 100_000, "no end at {now:?}");
    }
    assert!(trace.is_done());
}
