//! What an engine does about jobs, event by event.

mod claims;
mod distinct;
mod epochs;
mod holding;
mod property;
mod region;
mod sharing;

use std::sync::Arc;
use std::time::Duration;

use blitz_contract::{Exit, Retry};
use blitz_couchdb::Revision;

use super::*;
use crate::run::{End, Silent};
use crate::writing::Answer;

const S: Duration = Duration::from_secs(1);

fn incarnation(byte: u8) -> Incarnation {
    Incarnation::from_random([byte; 16])
}

fn config(slots: u32) -> Config {
    Config {
        engine: "e1".to_owned(),
        incarnation: incarnation(1),
        region: "japan".to_owned(),
        epoch: 1,
        only_safe: false,
        slots,
        timing: Timing::of_tests(),
        guards: Guards::default(),
    }
}

fn without_plugin(slots: u32) -> Contest {
    Contest::new(config(slots))
}

fn contest(slots: u32) -> Contest {
    let mut contest = without_plugin(slots);
    contest.add_plugin("abc");
    contest
}

fn revision(text: &str) -> Revision {
    text.parse().unwrap()
}

fn new_job() -> JobId {
    JobId::new("japan", 1)
}

fn spec(job: &JobId, retry: Retry) -> Arc<Spec> {
    Arc::new(Spec::sample(job, retry))
}

/// A job that takes so many slots.
fn heavy(job: &JobId, slots: u32) -> Arc<Spec> {
    let mut spec = Spec::sample(job, Retry::Safe);
    spec.limits.slots = Some(slots);
    Arc::new(spec)
}

fn claim_of(byte: u8, attempt: u32) -> Claim {
    let engine = format!("e{byte}");
    Claim { epoch: 1, attempt, engine, incarnation: incarnation(byte), silent: Vec::new() }
}

/// Another engine's claim.
fn others(attempt: u32) -> Run {
    Run::Claimed { claim: claim_of(2, attempt) }
}

fn lost(claim: Claim) -> Run {
    Run::Lost { claim: Some(claim), reason: "x".to_owned(), begun: true }
}

fn opened(last: Claim) -> Run {
    Run::Open { last, reason: "drains".to_owned() }
}

fn end(status: u8) -> End {
    let exit = Exit::Status(status);
    End { exit, chunks: 0, bytes: 0, digest: String::new(), duration_ms: 1 }
}

fn won(text: &str) -> Answer {
    Answer::Won(revision(text))
}

/// The writes among the actions, as job, revision that is replaced, and state.
fn writes(actions: &[Action]) -> Vec<(&JobId, Option<String>, &'static str)> {
    let mut writes = Vec::new();
    for action in actions {
        if let Action::Write { job, over, run } = action {
            writes.push((job, over.as_ref().map(ToString::to_string), run.state()));
        }
    }
    writes
}

fn states(actions: &[Action]) -> Vec<&'static str> {
    writes(actions).into_iter().map(|(_, _, state)| state).collect()
}

/// The only write's run.
fn written(actions: &[Action]) -> Run {
    let runs: Vec<&Run> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Write { run, .. } => Some(run),
            _ => None,
        })
        .collect();
    let [run] = runs[..] else { panic!("not one write: {actions:?}") };
    run.clone()
}

fn starts(actions: &[Action]) -> usize {
    actions.iter().filter(|action| matches!(action, Action::Start { .. })).count()
}

fn beats(actions: &[Action]) -> Vec<u64> {
    let counter = |action: &Action| match action {
        Action::Beat { counter, .. } => Some(*counter),
        _ => None,
    };
    actions.iter().filter_map(counter).collect()
}

/// A contest with one slot that runs `job`, won over `1-a` at second 0.
fn running(job: &JobId, retry: Retry) -> Contest {
    let mut contest = contest(1);
    contest.hear_spec(Duration::ZERO, spec(job, retry));
    assert_eq!(states(&contest.tick(Duration::ZERO)), ["claimed"]);
    let actions = contest.write_answered(Duration::ZERO, job, won("1-a"));
    if retry == Retry::Never {
        assert!(matches!(actions[..], [Action::Fence { .. }]), "{actions:?}");
        assert_eq!(starts(&contest.fence_answered(Duration::ZERO, job, true)), 1);
    } else {
        assert_eq!(starts(&actions), 1, "{actions:?}");
    }
    contest
}
