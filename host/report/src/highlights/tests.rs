//! What is said of tests that were never made.

use super::*;
use crate::fixture;
use blitz_contract::load::Verdict;

#[test]
fn a_ramp_from_two_regions_is_told() {
    insta::assert_snapshot!(highlights(&fixture::ramp().report()));
}

#[test]
fn an_open_model_with_a_pause_is_told() {
    insta::assert_snapshot!(highlights(&fixture::hangs().report()));
}

#[test]
fn streams_and_refused_connections_are_told() {
    let mut plan = fixture::users(10, 10, 1);
    (plan.version, plan.streams) = (HttpVersion::Http2, 5);
    let mut run = fixture::opened(&plan, &["local"]);
    fixture::hear(&mut run, 0, &fixture::tick(0, 2, 10, 900.0));
    let text = highlights(&run.report());
    let words = "Over HTTP/2, with at most 5 requests at once on each of 2 connections.";
    assert!(text.contains(words), "{text}");

    let mut run = fixture::opened(&fixture::rate(10, 10, 1), &["local"]);
    let first = First { kind: ErrorKind::Connect, at_ms: 3, users: 1, text: "refused".to_owned() };
    let step = blitz_contract::load::StepTick {
        errors: [(ErrorKind::Connect, 10)].into(),
        ..Default::default()
    };
    let tick = blitz_contract::load::Tick {
        asked: 10,
        steps: vec![step],
        firsts: vec![first],
        ..Default::default()
    };
    fixture::hear(&mut run, 0, &tick);
    fixture::close(&mut run, 0, 0, Verdict::Ended, "");
    let report = run.report();
    assert!(report.judgement.is_valid, "{:?}", report.judgement);
    let text = highlights(&report);
    for words in ["Not one of 10 requests could be sent", "with 1 transaction under way"] {
        assert!(text.contains(words), "{text}");
    }
    let outcome = "errors<50%".parse::<crate::Check>().unwrap().measure(&report);
    assert!(!outcome.holds && outcome.measured == "100%", "{outcome:?}");
}

#[test]
fn a_generator_at_its_limit_is_told() {
    insta::assert_snapshot!(highlights(&fixture::flat_out().report()));
}

#[test]
fn what_is_missing_is_told() {
    let mut run = fixture::opened(&fixture::users(10, 10, 10), &["virginia", "virginia", "japan"]);
    for second in 0..5 {
        fixture::hear(&mut run, 0, &fixture::tick(second, 3, 30, 1000.0));
    }
    run.ended(0, crate::PartEnd::Lost { reason: "its engine did not come back".to_owned() });
    fixture::close(&mut run, 1, 3, Verdict::Revoked, "the operator took it from the list\u{7}");
    run.hear(2, "load-tick", "{");
    run.ended(2, crate::PartEnd::Refused { reason: "127.0.0.9 may not be loaded".to_owned() });
    insta::assert_snapshot!(highlights(&run.report()));
    insta::assert_snapshot!(highlights(&crate::Run::new(Vec::new()).report()));
}

#[test]
fn what_was_sent_twice_is_told() {
    let mut run = fixture::opened(&fixture::users(10, 10, 10), &["local"]);
    for second in 0..10 {
        let mut tick = fixture::tick(second, 10, 100, 900.0);
        tick.steps[0].repeated = 19;
        fixture::hear(&mut run, 0, &tick);
    }
    fixture::close(&mut run, 0, 10, Verdict::Ended, "");
    let report = run.report();
    let text = highlights(&report);
    let words =
        "190 requests were sent twice: the server closed kept connections without an answer.";
    assert!(text.contains(words), "{text}");
    for (check, holds, measured) in [
        ("repeated<1", false, "190"),
        ("repeated<20%", true, "19%"),
        ("repeated<20 over 1s", true, "19"),
        ("step1.repeated<1", false, "190"),
    ] {
        let outcome = check.parse::<crate::Check>().unwrap().measure(&report);
        assert_eq!((outcome.holds, outcome.measured.as_str()), (holds, measured), "{check}");
    }
    assert_eq!(Report::from_json(&report.to_json()).unwrap().total.tally.repeated, 190);
    assert!(crate::csv(&report).lines().nth(1).unwrap().ends_with(",19"));
}

#[test]
fn one_is_one_and_a_short_test_says_nothing_of_a_month() {
    let mut plan = fixture::users(1, 1, 20);
    plan.requests = Some(1);
    plan.steps.push(plan.steps[0].clone());
    let mut run = fixture::opened(&plan, &["local"]);
    let mut tick = fixture::tick(0, 1, 1, 900.0);
    let error = [(ErrorKind::Connect, 1)].into();
    tick.steps.push(blitz_contract::load::StepTick {
        step: 1,
        errors: error,
        ..Default::default()
    });
    fixture::hear(&mut run, 0, &tick);
    fixture::close(&mut run, 0, 0, Verdict::Ended, "");
    insta::assert_snapshot!(highlights(&run.report()));
}

#[test]
fn a_test_of_errors_alone_says_how_to_make_it_fail() {
    let mut run = fixture::opened(&fixture::users(10, 10, 1), &["local"]);
    let mut tick = fixture::tick(0, 10, 100, 900.0);
    tick.steps[0].classes[0].class = 4;
    tick.steps[0].classes[0].statuses = [(404, 100)].into();
    fixture::hear(&mut run, 0, &tick);
    let text = highlights(&run.report());
    assert!(text.contains("--fail 'errors<1%'"), "{text}");
}

#[test]
fn users_are_those_of_all_workers() {
    for (workers, words) in [(1, "with 3 users"), (2, "with 10 users")] {
        let first =
            First { kind: ErrorKind::Closed, at_ms: 3, users: 3, text: "closed".to_owned() };
        let mut run = fixture::opened(&fixture::users(10, 10, 1), &["local"]);
        let mut tick = fixture::tick(0, 10, 100, 900.0);
        tick.firsts.push(first);
        fixture::hear(&mut run, 0, &tick);
        let mut report = run.report();
        report.parts[0].workers = workers;
        let text = highlights(&report);
        assert!(text.contains(words), "{text}");
    }
}
