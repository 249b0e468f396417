//! The state machine of a run, its leaves, and documents that cannot be.

use super::*;
use crate::guards::Guards;
use crate::start::Start;
use blitz_contract::Stopped;
use blitz_couchdb::Revision;
use proptest::prelude::*;

fn incarnation(byte: u8) -> Incarnation {
    Incarnation::from_random([byte; 16])
}

fn claim(byte: u8) -> Step {
    let engine = format!("e{byte}");
    Step::Claim(Taker { epoch: 1, engine, incarnation: incarnation(byte) })
}

fn end(exit: Exit) -> End {
    End { exit, chunks: 0, bytes: 0, digest: String::new(), duration_ms: 1 }
}

fn dead(byte: u8, may_retry: bool) -> Step {
    dead_but(byte, may_retry, &[], None)
}

fn dead_but(byte: u8, may_retry: bool, alive: &[u8], taker: Option<u8>) -> Step {
    Step::Dead {
        incarnation: incarnation(byte),
        counter: 7,
        survivors: alive
            .iter()
            .map(|byte| {
                let (engine, counter) = (format!("e{byte}"), 7);
                Silent { engine, incarnation: incarnation(*byte), counter }
            })
            .collect(),
        may_retry,
        reason: "no beat".to_owned(),
        taker: taker.map(|byte| Taker {
            epoch: 1,
            engine: format!("e{byte}"),
            incarnation: incarnation(byte),
        }),
    }
}

fn walk(steps: Vec<Step>) -> Result<Run, Refused> {
    let mut run = None;
    for step in steps {
        run = Some(Run::after(run.as_ref(), step)?);
    }
    Ok(run.unwrap())
}

#[test]
fn the_usual_roads_lead_to_their_ends() {
    let finish = |byte, exit| Step::Finish { incarnation: incarnation(byte), end: end(exit) };
    let release = |byte| Step::Release {
        incarnation: incarnation(byte),
        may_retry: true,
        begun: true,
        reason: "drains".to_owned(),
    };
    for (steps, state) in [
        (vec![claim(1), finish(1, Exit::Status(3))], "done"),
        (vec![claim(1), finish(1, Exit::Stopped(Stopped::Cancelled))], "cancelled"),
        (vec![claim(1), finish(1, Exit::Stopped(Stopped::Limit("m".to_owned())))], "failed"),
        (vec![Step::CancelWaiting], "cancelled"),
        (vec![Step::Expire { reason: "10 s".to_owned() }], "expired"),
        (vec![claim(1), release(1), claim(2)], "claimed"),
        (vec![claim(1), dead(1, true), claim(2), finish(2, Exit::Status(0))], "done"),
        (vec![claim(1), dead(1, false)], "lost"),
        (vec![claim(1), dead(1, true), claim(2), dead(2, true), claim(3), dead(3, true)], "poison"),
        (vec![claim(1), release(1), Step::CancelWaiting], "cancelled"),
    ] {
        assert_eq!(walk(steps.clone()).map(|r| r.state()), Ok(state), "{steps:?}");
    }
}

#[test]
fn what_is_not_possible_is_refused() {
    let finish = Step::Finish { incarnation: incarnation(2), end: end(Exit::Status(0)) };
    for (steps, refused) in [
        (vec![claim(1), claim(2)], Refused::Claimed),
        (vec![claim(1), finish.clone()], Refused::NotYours),
        (vec![claim(1), dead(2, true)], Refused::NotYours),
        (vec![claim(1), Step::CancelWaiting], Refused::Claimed),
        (vec![claim(1), Step::Expire { reason: String::new() }], Refused::Claimed),
        (vec![Step::CancelWaiting, claim(1)], Refused::Ended),
        (vec![claim(1), dead(1, true), finish], Refused::NotClaimed),
    ] {
        assert_eq!(walk(steps.clone()), Err(refused), "{steps:?}");
    }
}

#[test]
fn a_terminal_leaf_beats_a_longer_branch() {
    let claimed = walk(vec![claim(1)]).unwrap();
    let done = walk(vec![
        claim(2),
        Step::Finish { incarnation: incarnation(2), end: end(Exit::Status(0)) },
    ])
    .unwrap();
    let leaf = |text: &str, run: &Run| (text.parse::<Revision>().unwrap(), run.clone());
    let leaves = [leaf("9-ffffffffffffffffffffffffffffffff", &claimed), leaf("2-00", &done)];
    assert_eq!(resolve(&leaves, None, Guards::default()).map(|(_, run)| run.state()), Some("done"));
    let named = |leaves: &[(Revision, Run)]| {
        resolve(leaves, None, Guards::default()).map(|(revision, _)| revision.to_string())
    };
    let claims = [leaf("1-aa", &claimed), leaf("1-bb", &claimed), leaf("1-00", &claimed)];
    assert_eq!(named(&claims).as_deref(), Some("1-bb"), "among equals the hash decides");
    let claims = [leaf("3-bb", &claimed), leaf("1-aa", &claimed)];
    assert_eq!(
        named(&claims).as_deref(),
        Some("1-aa"),
        "one that was stored over a yielded claim is late"
    );
    assert_eq!(named(&[]), None);
}

#[test]
fn the_fence_names_the_claim_that_went_and_an_end_without_a_claim_stays() {
    let (first, second) = (walk(vec![claim(1)]).unwrap(), walk(vec![claim(2)]).unwrap());
    let leaf = |text: &str, run: &Run| (text.parse::<Revision>().unwrap(), run.clone());
    let leaves = [leaf("1-aa", &first), leaf("1-bb", &second)];
    let start = Start::new(crate::JobId::new("japan", 1), first.claim().unwrap());
    let named = |leaves: &[(Revision, Run)], start| {
        resolve(leaves, start, Guards::default()).map(|(revision, _)| revision.to_string())
    };
    assert_eq!(named(&leaves, None), Some("1-bb".to_owned()));
    assert_eq!(named(&leaves, Some(&start)), Some("1-aa".to_owned()));
    let expired = walk(vec![Step::Expire { reason: "10 s".to_owned() }]).unwrap();
    let leaves = [leaf("1-bb", &second), leaf("1-aa", &expired)];
    assert_eq!(named(&leaves, Some(&start)), Some("1-aa".to_owned()));
}

#[test]
fn engines_that_came_back_are_no_deaths() {
    let taken = |alive: &[u8]| {
        walk(vec![
            claim(1),
            dead_but(1, true, &[], Some(2)),
            dead_but(2, true, alive, Some(3)),
            dead_but(3, true, alive, Some(4)),
        ])
        .unwrap()
    };
    assert_eq!(taken(&[]).state(), "poison");
    let run = taken(&[1]);
    let claim = run.claim().unwrap();
    let silent: Vec<&str> = claim.silent.iter().map(|silent| silent.engine.as_str()).collect();
    assert_eq!((run.state(), claim.attempt, silent), ("claimed", 4, vec!["e2", "e3"]));
    assert_eq!(claim.silent[0].counter, 7);
}

#[test]
fn a_document_keeps_its_shape() {
    let document = RunDocument::new(walk(vec![claim(1)]).unwrap());
    let json = serde_json::to_value(&document).unwrap();
    assert_eq!(
        json,
        serde_json::json!({"kind": "run", "blitz": crate::BUILD, "run": {"state": "claimed",
            "claim": {"epoch": 1, "attempt": 1, "engine": "e1",
                      "incarnation": "01".repeat(16)}}})
    );
    assert_eq!(serde_json::from_value::<RunDocument>(json).unwrap(), document);
}

#[test]
fn of_two_ends_that_of_the_engine_that_began_counts() {
    let (begun, other) = (walk(vec![claim(1)]).unwrap(), walk(vec![claim(2)]).unwrap());
    let start = Start::new(crate::JobId::new("japan", 1), begun.claim().unwrap());
    let finish = Step::Finish { incarnation: incarnation(1), end: end(Exit::Status(0)) };
    let done = Run::after(Some(&begun), finish).unwrap();
    let lost = Run::after(Some(&other), dead(2, false)).unwrap();
    let leaf = |text: &str, run: &Run| (text.parse::<Revision>().unwrap(), run.clone());
    for leaves in
        [[leaf("2-aa", &done), leaf("2-bb", &lost)], [leaf("2-bb", &done), leaf("2-aa", &lost)]]
    {
        let counts = resolve(&leaves, Some(&start), Guards::default()).unwrap();
        assert_eq!(counts.1.state(), "done");
    }
}

#[test]
fn attempts_have_an_end_whatever_they_were_lost_to() {
    let release = |byte: u8| Step::Release {
        incarnation: incarnation(byte),
        may_retry: true,
        begun: true,
        reason: "drains".to_owned(),
    };
    let mut run = None;
    for attempt in 1..=ATTEMPTS_MAX {
        let byte = u8::try_from(attempt).unwrap();
        run = Some(Run::after(run.as_ref(), claim(byte)).unwrap());
        assert_eq!(run.as_ref().unwrap().claim().unwrap().attempt, attempt);
        run = Some(Run::after(run.as_ref(), release(byte)).unwrap());
    }
    assert_eq!(run.unwrap().state(), "lost");
    // Engines that all came back are no deaths, and the network is no reason to go on for ever.
    let alive: Vec<u8> = (1..=20).collect();
    let mut run = Run::after(None, claim(1)).unwrap();
    for byte in 1..=u8::try_from(ATTEMPTS_MAX).unwrap() {
        assert_eq!(run.state(), "claimed");
        run = Run::after(Some(&run), dead_but(byte, true, &alive, Some(byte + 1))).unwrap();
    }
    assert_eq!(run.state(), "lost");
    let json = serde_json::to_value(RunDocument::new(run.clone())).unwrap();
    assert_eq!(serde_json::from_value::<RunDocument>(json).unwrap().run, run, "it can be read");
}

#[test]
fn a_document_that_cannot_be_is_not_read_and_foreign_fields_are_passed_over() {
    let good = serde_json::json!({"kind": "run", "blitz": "9.9.9", "run": {"state": "claimed",
        "claim": {"epoch": 1, "attempt": 1, "engine": "e1", "incarnation": "01".repeat(16)}}});
    let with = |path: &str, value: serde_json::Value| {
        let mut document = good.clone();
        *document.pointer_mut(path).unwrap() = value;
        serde_json::from_value::<RunDocument>(document).is_ok()
    };
    let silent = serde_json::json!({"engine": "e", "incarnation": "02".repeat(16), "counter": 1});
    assert!(with("/blitz", "0.0.1".into()), "another version");
    assert!(with("/run/claim/attempt", 16.into()));
    for (path, value) in [
        ("/run/claim/attempt", serde_json::json!(0)),
        ("/run/claim/attempt", 17.into()),
        ("/run/claim/attempt", (-1).into()),
        ("/run/claim/attempt", u64::MAX.into()),
        ("/run/claim/engine", "".into()),
        ("/run/claim/engine", "e".repeat(300).into()),
        ("/run/claim/incarnation", "zz".into()),
        ("/run/claim", serde_json::Value::Null),
        ("/run/state", "started".into()),
        ("/run", "claimed".into()),
        ("/kind", "spec".into()),
    ] {
        assert!(!with(path, value.clone()), "{path} {value}");
    }
    let mut document = good.clone();
    document["run"]["claim"]["silent"] = vec![silent.clone(); 16].into();
    document["run"]["claim"]["more"] = "x".into();
    document["more"] = serde_json::json!({"a": [1]});
    assert!(serde_json::from_value::<RunDocument>(document.clone()).is_ok());
    document["run"]["claim"]["silent"] = vec![silent; 17].into();
    assert!(serde_json::from_value::<RunDocument>(document).is_err());
    for text in ["[]", "1", "null", "\"run\"", "{}", "{\"run\":{}}"] {
        assert!(serde_json::from_str::<RunDocument>(text).is_err(), "{text}");
    }
}

fn some_leaf() -> impl Strategy<Value = (Revision, Run)> {
    (1u64..9, 0u32..64, 1u32..4, 1u32..4, 1u8..4, 0u8..5).prop_map(
        |(generation, hash, epoch, attempt, byte, kind)| {
            let engine = format!("e{byte}");
            let claim = Claim { epoch, attempt, ..Claim::first(1, &engine, incarnation(byte)) };
            let run = match kind {
                0 => Run::Claimed { claim },
                1 => Run::Open { last: claim, reason: String::new() },
                2 => Run::Done { claim, end: end(Exit::Status(0)) },
                3 => Run::Lost { claim: Some(claim), reason: String::new(), begun: true },
                _ => Run::Expired { reason: String::new() },
            };
            (format!("{generation}-{hash:032x}").parse().unwrap(), run)
        },
    )
}

proptest! {
    #[test]
    fn whoever_asks_the_same_leaf_counts_and_an_end_is_never_passed_over(
        leaves in proptest::collection::vec(some_leaf(), 1..6),
        started in proptest::option::of(1u8..4),
    ) {
        let start = started.map(|byte| {
            let claim = Claim::first(1, &format!("e{byte}"), incarnation(byte));
            Start::new(crate::JobId::new("japan", 1), &claim)
        });
        let guards = Guards::default();
        let counts = resolve(&leaves, start.as_ref(), guards).unwrap().clone();
        for turn in 0..leaves.len() {
            let mut turned = leaves.clone();
            turned.rotate_left(turn);
            let again = resolve(&turned, start.as_ref(), guards).unwrap();
            // Two leaves of one revision are one leaf: a store has no such.
            let is_twin = again.0.hash() == counts.0.hash();
            prop_assert!(*again == counts || is_twin);
        }
        let ends = leaves.iter().any(|(_, run)| run.is_final());
        prop_assert_eq!(counts.1.is_final(), ends);
    }
}
