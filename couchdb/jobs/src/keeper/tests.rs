//! What a keeper ends, and what it leaves alone.

mod epochs;

use super::*;
use crate::engine::{BeatKind, Held};
use crate::id::Incarnation;
use crate::run::{Claim, Silent};

const S: Duration = Duration::from_secs(1);

fn incarnation(byte: u8) -> Incarnation {
    Incarnation::from_random([byte; 16])
}

fn claim() -> Claim {
    Claim::first(1, "e1", incarnation(1))
}

fn revision(text: &str) -> Revision {
    text.parse().unwrap()
}

fn beat(job: &JobId, counter: u64) -> Beat {
    Beat {
        kind: BeatKind::Beat,
        blitz: crate::BUILD.to_owned(),
        engine: "e1".to_owned(),
        incarnation: incarnation(1),
        counter,
        held: vec![Held::new(job.clone(), 1)],
    }
}

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

fn expired(reason: &str) -> Run {
    Run::Expired { reason: reason.to_owned() }
}

fn keeper() -> Keeper {
    Keeper::new(Timing::of_tests(), Guards::default())
}

/// A keeper that watches a claimed job since second 0.
fn watching(job: &JobId, retry: Retry) -> Keeper {
    let mut keeper = keeper();
    keeper.hear_spec(Duration::ZERO, &Spec::sample(job, retry));
    keeper.hear_run(Duration::ZERO, job, revision("1-a"), Run::Claimed { claim: claim() });
    keeper.hear_beats(Duration::ZERO, "japan", &[]);
    keeper
}

/// Engines go first: a keeper's verdicts come so much later.
fn after_engines() -> Duration {
    Timing::of_tests().take_turns * u32::try_from(WATCHERS).unwrap()
}

#[test]
fn a_task_that_finds_no_other_engine_expires_and_says_why() {
    let tasks = [JobId::new("japan", 1), JobId::new("japan", 1), JobId::new("virginia", 1)];
    let mut keeper = keeper();
    let spec = Spec { tasks: tasks.to_vec(), ..Spec::sample(&tasks[1], Retry::Never) };
    keeper.hear_spec(S, &spec);
    let actions = keeper.tick(11 * S);
    let [Action::Write { run: Run::Expired { reason, .. }, .. }] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert!(reason.contains("free of the other tasks of its run"), "{reason}");
    assert!(reason.contains("the 2 tasks go to as many engines, one to each"), "{reason}");
}

#[test]
fn a_job_that_nobody_takes_expires_once() {
    let job = JobId::new("japan", 1);
    let mut keeper = keeper();
    keeper.hear_spec(S, &Spec::sample(&job, Retry::Safe));
    assert!(keeper.tick(10 * S).is_empty());
    assert_eq!(keeper.due(), Some(11 * S));
    assert_eq!(writes(&keeper.tick(11 * S)), [(&job, None, "expired")]);
    assert!(keeper.tick(12 * S).is_empty(), "it was asked for");
    assert_eq!(keeper.due(), Some(16 * S));
    assert_eq!(states(&keeper.tick(16 * S)), ["expired"], "the store did not take it");
    keeper.hear_run(17 * S, &job, revision("1-a"), expired("late"));
    assert_eq!(keeper.due(), None, "it is forgotten");
}

#[test]
fn a_cancel_before_the_claim_ends_the_job_whichever_comes_first() {
    for cancel_first in [true, false] {
        let job = JobId::new("japan", 1);
        let mut keeper = keeper();
        if cancel_first {
            keeper.hear_cancel(&job);
        }
        keeper.hear_spec(S, &Spec::sample(&job, Retry::Never));
        if !cancel_first {
            keeper.hear_cancel(&job);
        }
        assert_eq!(states(&keeper.tick(S)), ["cancelled"]);
    }
}

#[test]
fn a_cancel_of_a_claimed_job_is_its_engines_and_of_an_open_one_the_keepers() {
    let job = JobId::new("japan", 1);
    let mut keeper = watching(&job, Retry::Safe);
    keeper.hear_cancel(&job);
    assert!(keeper.tick(S).is_empty());
    let open = Run::Open { last: claim(), reason: "drains".to_owned() };
    keeper.hear_run(2 * S, &job, revision("2-a"), open);
    assert_eq!(writes(&keeper.tick(2 * S)), [(&job, Some("2-a".to_owned()), "cancelled")]);
}

#[test]
fn an_engine_without_a_beat_loses_its_job_after_the_engines_had_their_turns() {
    for (retry, state) in [(Retry::Safe, "open"), (Retry::Never, "lost")] {
        let job = JobId::new("japan", 1);
        let mut keeper = watching(&job, retry);
        let mut second = 0;
        for counter in 1..=4 {
            second += 5;
            keeper.hear_beats(second * S, "japan", &[beat(&job, counter)]);
            assert!(keeper.tick(second * S).is_empty());
        }
        while second < 45 {
            second += 5;
            keeper.hear_beats(second * S, "japan", &[beat(&job, 4)]);
            assert!(keeper.tick(second * S).is_empty(), "at {second} s");
        }
        let now = 45 * S + after_engines();
        keeper.hear_beats(now, "japan", &[beat(&job, 4)]);
        let actions = keeper.tick(now);
        assert_eq!(writes(&actions), [(&job, Some("1-a".to_owned()), state)]);
        assert!(keeper.tick(now + S).is_empty(), "it was asked for");
        let later = now + 5 * S;
        keeper.hear_beats(later, "japan", &[beat(&job, 4)]);
        assert_eq!(states(&keeper.tick(later)), [state]);
    }
}

#[test]
fn a_job_that_is_given_back_when_its_time_is_over_is_not_begun_again() {
    let job = JobId::new("japan", 1);
    let mut keeper = watching(&job, Retry::Safe);
    let open = Run::Open { last: claim(), reason: "the engine drains".to_owned() };
    // It waits again as long as any job, but not beyond its own 60 s.
    keeper.hear_run(45 * S, &job, revision("2-a"), open.clone());
    assert_eq!(keeper.due(), Some(55 * S));
    keeper.hear_run(54 * S, &job, revision("3-a"), Run::Claimed { claim: claim() });
    keeper.hear_run(55 * S, &job, revision("4-a"), open);
    assert!(keeper.tick(59 * S).is_empty());
    assert_eq!(keeper.due(), Some(60 * S));
    let actions = keeper.tick(60 * S);
    assert_eq!(writes(&actions), [(&job, Some("4-a".to_owned()), "expired")]);
    let Action::Write { run, .. } = &actions[0] else { panic!("{actions:?}") };
    let reason = run.reason().unwrap();
    assert!(reason.contains("60 s") && reason.contains("the engine drains"), "{reason}");
}

#[test]
fn a_job_whose_engine_dies_when_its_time_is_over_is_not_begun_again() {
    let job = JobId::new("japan", 1);
    let mut keeper = watching(&job, Retry::Safe);
    for second in (2..=48).step_by(2) {
        keeper.hear_beats(second * S, "japan", &[beat(&job, u64::from(second))]);
    }
    for second in (50..=74).step_by(2) {
        keeper.hear_beats(second * S, "japan", &[beat(&job, 48)]);
        assert!(keeper.tick(second * S).is_empty(), "at {second} s");
    }
    keeper.hear_beats(76 * S, "japan", &[beat(&job, 48)]);
    let actions = keeper.tick(76 * S);
    assert_eq!(states(&actions), ["open"], "or poison: the death counts");
    let Action::Write { run, .. } = actions[0].clone() else { panic!("{actions:?}") };
    keeper.hear_run(76 * S, &job, revision("2-a"), run);
    assert_eq!(states(&keeper.tick(76 * S)), ["expired"]);
}

#[test]
fn a_run_that_comes_before_its_spec_counts() {
    let job = JobId::new("japan", 1);
    let mut keeper = keeper();
    let run = Run::Claimed { claim: claim() };
    keeper.hear_run(Duration::ZERO, &job, revision("1-a"), run);
    keeper.hear_spec(Duration::ZERO, &Spec::sample(&job, Retry::Never));
    assert_eq!(keeper.poll(S).len(), 1, "its engine is watched");

    let ended = JobId::new("japan", 1);
    keeper.hear_run(S, &ended, revision("1-a"), expired("late"));
    keeper.hear_spec(S, &Spec::sample(&ended, Retry::Never));
    let unreadable = JobId::new("japan", 1);
    keeper.hear_unreadable(S, &unreadable, revision("1-x"));
    keeper.hear_spec(S, &Spec::sample(&unreadable, Retry::Never));
    assert!(keeper.tick(60 * S).is_empty());
}

#[test]
fn a_keeper_that_was_blind_starts_counting_anew() {
    let job = JobId::new("japan", 1);
    let mut keeper = watching(&job, Retry::Safe);
    assert!(keeper.tick(60 * S).is_empty(), "no poll was answered");
    keeper.hear_beats(60 * S, "japan", &[]);
    assert!(keeper.tick(60 * S).is_empty());
}

#[test]
fn an_end_that_was_lost_with_its_database_is_none() {
    let job = JobId::new("japan", 1);
    let spec = Spec::sample(&job, Retry::Never);
    let mut keeper = keeper();
    keeper.hear_spec(Duration::ZERO, &spec);
    // The feed tells the end twice, and the second time of a job that is forgotten.
    for _ in 0..2 {
        keeper.hear_run(S, &job, revision("1-a"), expired("nobody took it"));
    }
    keeper.hear_replaced(&job.jobs_database());
    // It comes back from another cluster without its end.
    keeper.hear_spec(2 * S, &spec);
    assert_eq!(states(&keeper.tick(600 * S)), ["expired"]);
}

#[test]
fn a_job_of_a_replaced_database_is_no_more() {
    let (job, other) = (JobId::new("japan", 1), JobId::new("japan", 11));
    let mut keeper = watching(&job, Retry::Safe);
    keeper.hear_spec(S, &Spec::sample(&other, Retry::Safe));
    keeper.hear_losers(&job, vec![revision("1-b")]);
    keeper.hear_replaced("blitz-jobs-japan-1");
    assert_eq!(writes(&keeper.tick(60 * S)), [(&other, None, "expired")]);
    assert!(keeper.poll(60 * S).is_empty());
}

#[test]
fn losers_are_removed_once_however_often_they_are_told() {
    let job = JobId::new("japan", 1);
    let mut keeper = keeper();
    keeper.hear_losers(&job, vec![revision("1-b")]);
    keeper.hear_losers(&job, vec![revision("1-b"), revision("1-c")]);
    assert_eq!(keeper.due(), Some(Duration::ZERO));
    let losers = vec![revision("1-b"), revision("1-c")];
    assert_eq!(keeper.tick(S), [Action::Remove { job: job.clone(), losers: losers.clone() }]);
    assert!(keeper.tick(S).is_empty());
    keeper.remove_answered(S, &job, &losers);
    assert!(keeper.tick(S).is_empty() && keeper.due().is_none());
}

#[test]
fn losers_whose_removal_fails_are_removed_later() {
    let job = JobId::new("japan", 1);
    let mut keeper = keeper();
    let losers = vec![revision("1-b")];
    let remove = [Action::Remove { job: job.clone(), losers: losers.clone() }];
    keeper.hear_losers(&job, losers);
    assert_eq!(keeper.tick(S), remove);
    keeper.remove_answered(2 * S, &job, &[]);
    assert!(keeper.tick(3 * S).is_empty());
    assert_eq!(keeper.due(), Some(4 * S));
    assert_eq!(keeper.tick(4 * S), remove);
    // The answer is lost.
    assert_eq!(keeper.due(), Some(29 * S));
    assert!(keeper.tick(29 * S).is_empty());
    assert_eq!(keeper.tick(33 * S), remove);
}

#[test]
fn a_run_that_cannot_be_read_gets_all_its_time_and_is_then_ended_over_itself() {
    let job = JobId::new("japan", 1);
    let mut keeper = watching(&job, Retry::Safe);
    keeper.hear_unreadable(S, &job, revision("2-x"));
    assert!(keeper.poll(S).is_empty(), "whose beats?");
    keeper.hear_unreadable(9 * S, &job, revision("3-x"));
    assert!(keeper.tick(85 * S).is_empty());
    assert_eq!(keeper.due(), Some(86 * S), "its 60 s, and 25 s of silence after that");
    let actions = keeper.tick(86 * S);
    assert_eq!(writes(&actions), [(&job, Some("3-x".to_owned()), "expired")]);
    let Action::Write { run, .. } = &actions[0] else { panic!("{actions:?}") };
    assert!(run.reason().unwrap().contains("could not be read"), "{run:?}");
    // A newer version finished it after all.
    keeper.hear_run(87 * S, &job, revision("4-x"), expired(""));
    assert_eq!(keeper.due(), None);
}

#[test]
fn a_run_that_can_be_read_again_is_watched_again() {
    let job = JobId::new("japan", 1);
    let mut keeper = watching(&job, Retry::Safe);
    keeper.hear_unreadable(S, &job, revision("2-x"));
    keeper.hear_run(2 * S, &job, revision("3-a"), Run::Claimed { claim: claim() });
    assert_eq!(keeper.poll(2 * S).len(), 1);
    assert!(keeper.tick(100 * S).is_empty());
}

#[test]
fn a_run_that_was_deleted_queues_its_job_again() {
    let job = JobId::new("japan", 1);
    let mut keeper = watching(&job, Retry::Safe);
    keeper.hear_no_run(20 * S, &job);
    assert!(keeper.poll(20 * S).is_empty());
    keeper.hear_no_run(25 * S, &job);
    assert!(keeper.tick(29 * S).is_empty());
    assert_eq!(writes(&keeper.tick(30 * S)), [(&job, None, "expired")]);
}

#[test]
fn three_poisoned_jobs_of_one_version_yank_it_and_a_dead_engine_too_many_is_poison() {
    let mut keeper = keeper();
    for n in 0..3 {
        let job = JobId::new("japan", 1);
        let silent =
            |byte| Silent { engine: "e".to_owned(), incarnation: incarnation(byte), counter: 1 };
        let claim = Claim { attempt: 3, silent: vec![silent(8), silent(9)], ..claim() };
        keeper.hear_spec(Duration::ZERO, &Spec::sample(&job, Retry::Safe));
        keeper.hear_run(Duration::ZERO, &job, revision("3-a"), Run::Claimed { claim });
        // Later starts of these engines say that the earlier ones are dead.
        let later = |engine: &str, died: &[u8]| {
            let held = died.iter().map(|byte| Held {
                died_with: Some(incarnation(*byte)),
                ..Held::new(job.clone(), 1)
            });
            let (engine, held) = (engine.to_owned(), held.collect());
            Beat { engine, held, incarnation: incarnation(20), ..beat(&job, 1) }
        };
        let beats = [later("e1", &[1]), later("e", &[8, 9])];
        for second in (100 * n..=100 * n + 24).step_by(2) {
            keeper.hear_beats(second * S, "japan", &beats);
        }
        let now = 100 * n * S + 26 * S + after_engines();
        keeper.hear_beats(now, "japan", &beats);
        let actions = keeper.tick(now);
        assert_eq!(writes(&actions), [(&job, Some("3-a".to_owned()), "poison")]);
        let Action::Write { run, .. } = actions[0].clone() else { panic!("{actions:?}") };
        keeper.hear_run(now, &job, revision("4-a"), run.clone());
        keeper.hear_run(now, &job, revision("4-a"), run);
        let actions = keeper.tick(now);
        if n < 2 {
            assert!(actions.is_empty(), "{actions:?}");
            continue;
        }
        let [Action::Yank { plugin, reason }] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!((plugin.name.as_str(), plugin.version.as_str()), ("p", "0.1.0"));
        assert!(reason.contains(job.as_str()), "{reason}");
    }
}

#[test]
fn what_is_due_after_a_tick_lies_ahead() {
    let jobs: Vec<JobId> = (0..40).map(|_| JobId::new("japan", 1)).collect();
    let mut keeper = keeper();
    // A small generator of its own: the same events each time.
    let mut state = 1_u64;
    let mut next = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut now = Duration::ZERO;
    for step in 0..20_000_u32 {
        now += Duration::from_millis(u64::try_from(next(700)).unwrap());
        let job = &jobs[next(jobs.len())];
        let text = revision(&format!("1-{step:x}"));
        match next(9) {
            0 | 1 => {
                let retry = if next(2) == 0 { Retry::Safe } else { Retry::Never };
                let home_epoch = [1, 3, 5][next(3)];
                keeper.hear_spec(now, &Spec { home_epoch, ..Spec::sample(job, retry) });
            }
            2 => keeper.hear_run(now, job, text, Run::Claimed { claim: claim() }),
            3 => {
                let run = Run::Open { last: claim(), reason: String::new() };
                keeper.hear_run(now, job, text, run);
            }
            4 => keeper.hear_run(now, job, text, expired("")),
            5 => keeper.hear_cancel(job),
            6 => keeper.hear_beats(now, "japan", &[beat(job, u64::from(step / 40))]),
            7 => keeper.hear_unreadable(now, job, text),
            _ => keeper.hear_no_run(now, job),
        }
        if step % 4_000 == 0 {
            keeper.hear_epoch(now, 1 + step / 4_000);
        }
        keeper.tick(now);
        keeper.poll(now);
        assert!(keeper.due().is_none_or(|due| due > now), "step {step}");
        let planned = keeper.jobs.values().filter(|watched| watched.look.is_some()).count();
        assert_eq!(planned, keeper.looks.len(), "step {step}");
    }
}
