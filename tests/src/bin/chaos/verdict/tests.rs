//! One job with each thing that can be wrong with it, and what the verdict makes of that.

use serde_json::json;

use super::*;
use crate::claims::Hold;
use crate::work;

const S: Duration = Duration::from_secs(1);

/// A never job (`is_safe` makes it safe) that was claimed by e1, begun once and done.
fn facts(is_safe: bool) -> Facts {
    let begun = Instant::now();
    let mut works = vec![work::short(0)];
    works[0].is_safe = is_safe;
    let name = "job-0.0".to_owned();
    let end = json!({"state": "done", "exit": {"status": 0}});
    let told = Told { output: works[0].output(&name), end: Some(end), ..Told::default() };
    let job = Job {
        work: works[0].clone(),
        name: name.clone(),
        id: "j".to_owned(),
        accepted: begun,
        ended: Some(begun + 9 * S),
        told: told.clone(),
    };
    Facts {
        reads: vec![Read { job, again: told, state: json!({"state": "done"}) }],
        works,
        refused: Vec::new(),
        broken: Vec::new(),
        faults: Vec::new(),
        steps: [(
            "j".to_owned(),
            vec![step(begun, "claimed", "1"), step(begun + 9 * S, "done", "1")],
        )]
        .into(),
        runs: [(name, vec![run(begun, begun + 8 * S)])].into(),
        timing: Timing::faster(5),
    }
}

fn step(at: Instant, state: &str, incarnation: &str) -> Step {
    Step {
        at,
        revision: format!("{state}-{incarnation}"),
        state: state.to_owned(),
        engine: "e1".to_owned(),
        incarnation: incarnation.to_owned(),
        attempt: 1,
        reason: String::new(),
    }
}

fn run(began: Instant, closed: Instant) -> Seen {
    Seen { began, ended: Some(closed), closed: Some(closed) }
}

fn begun(facts: &Facts) -> Instant {
    facts.reads[0].job.accepted
}

fn fault(facts: &mut Facts, kind: Kind, lasted: Duration) {
    let at = begun(facts) + S;
    let held = vec![Hold { job: "j".to_owned(), incarnation: "1".to_owned(), attempt: 1 }];
    let target = if kind == Kind::Store { "store" } else { "e1" }.to_owned();
    facts.faults.push(Fault { kind, target, at, healed: at + lasted, held });
}

/// All that is told of the job's end says this state.
fn ends(facts: &mut Facts, state: &str) {
    let read = &mut facts.reads[0];
    let end = Some(json!({"state": state, "exit": null}));
    (read.job.told.end, read.again.end) = (end.clone(), end);
    read.state = json!({"state": state});
}

fn kinds(facts: &Facts) -> Vec<&'static str> {
    judge(facts).violations.iter().map(|violation| violation.kind).collect()
}

fn check(is_safe: bool, wrong: impl FnOnce(&mut Facts), found: &[&str]) {
    let mut facts = facts(is_safe);
    wrong(&mut facts);
    assert_eq!(kinds(&facts), found, "{:?}", judge(&facts).violations);
}

#[test]
fn what_is_right_is_clean() {
    check(true, |_| {}, &[]);
    check(false, |_| {}, &[]);
}

#[test]
fn a_job_that_is_lost_is_seen() {
    check(false, |facts| facts.reads[0].job.told.end = None, &["lost"]);
    check(true, |facts| ends(facts, "lost"), &["lost"]);
    check(
        true,
        |facts| {
            fault(facts, Kind::Kill, S);
            ends(facts, "lost");
        },
        &["lost"],
    );
}

#[test]
fn what_two_readers_or_two_runs_see_is_one_thing() {
    check(true, |facts| facts.reads[0].job.told.output.push('x'), &["double"]);
    check(true, |facts| facts.reads[0].again.output.clear(), &["double"]);
    check(true, |facts| facts.reads[0].again.incomplete.push("gap".to_owned()), &["double"]);
    check(true, |facts| facts.reads[0].state = json!({"state": "lost"}), &["double"]);
    check(true, |facts| facts.reads[0].again.end = Some(json!({"state": "lost"})), &["double"]);
    let again = |facts: &mut Facts| {
        let at = begun(facts) + 8 * S;
        facts.runs.values_mut().for_each(|runs| runs.push(run(at, at + S)));
    };
    check(false, again, &["double"]);
    check(true, again, &[]);
    check(true, |facts| facts.runs.clear(), &["unseen"]);
}

#[test]
fn two_runs_side_by_side_need_an_engine_that_was_stopped() {
    let beside = |facts: &mut Facts| {
        let at = begun(facts) + 6 * S;
        facts.runs.values_mut().for_each(|runs| runs.push(run(at, at + 3 * S)));
    };
    check(true, beside, &["beside"]);
    check(
        true,
        |facts| {
            fault(facts, Kind::Freeze, 8 * S);
            beside(facts);
        },
        &[],
    );
}

#[test]
fn an_end_needs_a_fault_that_explains_it() {
    for (state, kind, lasted, found) in [
        ("lost", None, S, &["end"][..]),
        ("lost", Some(Kind::Kill), Duration::ZERO, &[]),
        ("lost", Some(Kind::Freeze), 8 * S, &[]),
        ("lost", Some(Kind::Cut), Duration::ZERO, &["end"]),
        ("lost", Some(Kind::Store), 2 * S, &[]),
        ("cancelled", Some(Kind::Term), S, &[]),
        ("cancelled", Some(Kind::Kill), S, &["end"]),
        ("expired", None, S, &["end"]),
        ("failed", Some(Kind::Kill), S, &["end"]),
        ("poison", Some(Kind::Kill), S, &["end"]),
    ] {
        let wrong = |facts: &mut Facts| {
            kind.into_iter().for_each(|kind| fault(facts, kind, lasted));
            ends(facts, state);
        };
        check(false, wrong, found);
    }
    // A job that was never begun may be lost by less.
    check(
        false,
        |facts| {
            fault(facts, Kind::Cut, Duration::ZERO);
            facts.runs.clear();
            facts.reads[0].job.told.output.clear();
            facts.reads[0].again.output.clear();
            ends(facts, "lost");
        },
        &[],
    );
}

#[test]
fn a_rescue_counts_from_the_fault_to_the_next_claim() {
    let rescued = |after: Duration| {
        move |facts: &mut Facts| {
            fault(facts, Kind::Kill, S);
            let at = begun(facts) + S + after;
            let steps = facts.steps.get_mut("j").expect("its steps");
            steps.insert(1, step(at - S / 10, "open", "1"));
            steps.insert(2, step(at, "claimed", "2"));
        }
    };
    check(true, rescued(5 * S), &[]);
    check(true, rescued(6 * S), &["late"]);
    let mut facts = facts(true);
    rescued(6 * S)(&mut facts);
    fault(&mut facts, Kind::Store, S);
    assert!(kinds(&facts).is_empty(), "the store was away");
    assert_eq!(judge(&facts).rescues[0].took, 6 * S);
}
