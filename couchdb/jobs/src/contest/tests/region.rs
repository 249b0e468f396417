//! An engine among others: turns, watching, taking over.

use super::*;
use crate::engine::{Beat, BeatKind, Held};

/// A contest that watches the claim of `e2` on `job`, and has heard no beat of it for 25 s of answered polls.
fn watching(job: &JobId, retry: Retry, slots: u32) -> Contest {
    let mut contest = contest(slots);
    contest.hear_spec(
        Duration::ZERO,
        Arc::new(Spec { timeout_ms: 600_000, ..Spec::sample(job, retry) }),
    );
    contest.hear_run(Duration::ZERO, job, revision("1-b"), others(1));
    for second in (0..=24).step_by(2) {
        contest.tick(second * S);
        contest.hear_beats(second * S, "japan", &[]);
    }
    contest
}

/// Polls are answered until `job` is judged; the actions of that tick.
fn judged(contest: &mut Contest) -> Vec<Action> {
    for ms in (25_000..30_000).step_by(100) {
        let now = Duration::from_millis(ms);
        contest.hear_beats(now, "japan", &[]);
        let actions = contest.tick(now);
        if !states(&actions).is_empty() {
            return actions;
        }
    }
    panic!("no verdict");
}

#[test]
fn an_engine_with_a_free_slot_takes_a_dead_ones_job_and_starts_it() {
    let job = new_job();
    let mut contest = watching(&job, Retry::Safe, 1);
    let actions = judged(&mut contest);
    let run = written(&actions);
    let claim = run.claim().unwrap();
    assert_eq!((run.state(), claim.attempt, claim.engine.as_str()), ("claimed", 2, "e1"));
    let dead = Silent { engine: "e2".to_owned(), incarnation: incarnation(2), counter: 0 };
    assert_eq!(claim.silent, [dead]);
    assert_eq!(contest.busy(), 1);
    assert_eq!(starts(&contest.write_answered(26 * S, &job, won("2-a"))), 1);
}

#[test]
fn a_takeover_that_fails_is_not_tried_again_at_once() {
    for answer in [Answer::Lost, Answer::Unknown] {
        let job = new_job();
        let mut contest = watching(&job, Retry::Safe, 1);
        judged(&mut contest);
        contest.write_answered(30 * S, &job, answer);
        contest.hear_beats(30 * S, "japan", &[]);
        assert!(states(&contest.tick(30 * S)).is_empty());
        assert!(states(&contest.tick(34 * S)).is_empty());
        contest.hear_beats(36 * S, "japan", &[]);
        assert_eq!(states(&contest.tick(36 * S)), ["claimed"]);
    }
}

#[test]
fn an_engine_without_room_opens_it_and_one_that_must_not_run_twice_is_lost() {
    for (retry, state) in [(Retry::Safe, "open"), (Retry::Never, "lost")] {
        let (own, job) = (new_job(), new_job());
        let mut contest = contest(1);
        contest.hear_spec(
            Duration::ZERO,
            Arc::new(Spec { timeout_ms: 600_000, ..Spec::sample(&own, Retry::Safe) }),
        );
        contest.tick(Duration::ZERO);
        contest.write_answered(Duration::ZERO, &own, won("1-a"));
        contest.hear_spec(Duration::ZERO, spec(&job, retry));
        contest.hear_run(Duration::ZERO, &job, revision("1-b"), others(1));
        for second in (0..=24).step_by(2) {
            contest.tick(second * S);
            contest.beat_acknowledged(second * S, second * S);
            contest.hear_beats(second * S, "japan", &[]);
        }
        let actions = judged(&mut contest);
        assert_eq!(writes(&actions), [(&job, Some("1-b".to_owned()), state)]);
        assert_eq!(contest.busy(), 1, "a verdict takes no slot");
        contest.write_answered(26 * S, &job, won("2-b"));
        assert!(states(&contest.tick(26 * S)).is_empty());
    }
}

#[test]
fn a_job_that_must_not_run_twice_is_never_taken_over() {
    let job = new_job();
    let mut contest = watching(&job, Retry::Never, 8);
    assert_eq!(states(&judged(&mut contest)), ["lost"]);
}

#[test]
fn a_cancelled_job_of_a_dead_engine_is_not_run_again() {
    let job = new_job();
    let mut contest = watching(&job, Retry::Safe, 8);
    contest.hear_cancel(&job);
    assert_eq!(states(&judged(&mut contest)), ["lost"]);
}

fn beat(engine: u8, counter: u64, held: Vec<Held>) -> Beat {
    Beat {
        kind: BeatKind::Beat,
        blitz: crate::BUILD.to_owned(),
        engine: format!("e{engine}"),
        incarnation: incarnation(engine),
        counter,
        held,
    }
}

/// A later start of an engine, which says that the one before it is dead.
fn later_start(engine: u8, job: &JobId) -> Beat {
    let held = vec![Held { died_with: Some(incarnation(engine)), ..Held::new(job.clone(), 1) }];
    Beat { incarnation: incarnation(engine + 100), ..beat(engine, 1, held) }
}

#[test]
fn the_third_dead_engine_is_poison_and_those_that_came_back_are_no_deaths() {
    for (survivor, state) in [(false, "poison"), (true, "claimed")] {
        let job = new_job();
        let mut contest = contest(1);
        contest.hear_spec(
            Duration::ZERO,
            Arc::new(Spec { timeout_ms: 600_000, ..Spec::sample(&job, Retry::Safe) }),
        );
        let silent = |byte| Silent {
            engine: format!("e{byte}"),
            incarnation: incarnation(byte),
            counter: 7,
        };
        let claim = Claim { silent: vec![silent(3), silent(4)], ..claim_of(2, 3) };
        contest.hear_run(Duration::ZERO, &job, revision("3-b"), Run::Claimed { claim });
        let polls = contest.tick(Duration::ZERO);
        let wanted: BTreeSet<String> = ["e2", "e3", "e4"].map(str::to_owned).into();
        assert!(polls.contains(&Action::Poll { engines: wanted }), "{polls:?}");
        let third = if survivor { beat(3, 8, Vec::new()) } else { later_start(3, &job) };
        let beats = [later_start(2, &job), third, later_start(4, &job)];
        for second in (0..=24).step_by(2) {
            contest.tick(second * S);
            contest.hear_beats(second * S, "japan", &beats);
        }
        assert_eq!(states(&judged(&mut contest)), [state]);
    }
}

#[test]
fn who_reads_that_it_or_an_earlier_start_of_it_is_taken_for_dead_says_who_lives() {
    let job = new_job();
    let silent = |incarnation| Silent { engine: "e1".to_owned(), incarnation, counter: 7 };
    let held_by = |incarnation| Claim { incarnation, ..claim_of(1, 1) };
    let named = |silent| Claim { silent: vec![silent], ..claim_of(2, 2) };
    let died = |byte, attempt| {
        vec![Held { died_with: Some(incarnation(byte)), ..Held::new(job.clone(), attempt) }]
    };
    for (claim, said, what) in [
        (claim_of(2, 1), None, "another's claim"),
        (named(silent(incarnation(1))), Some(Vec::new()), "this start is silent"),
        (held_by(incarnation(9)), Some(died(9, 1)), "an earlier start has it"),
        (named(silent(incarnation(9))), Some(died(9, 2)), "an earlier start had it"),
    ] {
        let mut contest = contest(1);
        contest.hear_run(S, &job, revision("2-b"), Run::Claimed { claim: claim.clone() });
        let beat = |actions: Vec<Action>| {
            actions.into_iter().find_map(|action| match action {
                Action::Beat { held, .. } => Some(held),
                _ => None,
            })
        };
        assert_eq!(beat(contest.tick(S)), said, "{what}");
        contest.beat_acknowledged(S, S);
        assert_eq!(beat(contest.tick(60 * S)), None, "{what}: once is enough");
        contest.hear_run(60 * S, &job, revision("2-c"), Run::Claimed { claim });
        let again = beat(contest.tick(60 * S));
        assert_eq!(again.is_some(), what == "this start is silent", "{what}: told again");
    }
}

#[test]
fn a_job_of_another_region_is_left_alone() {
    let (own, other) = (new_job(), JobId::new("oregon", 1));
    let mut contest = contest(2);
    for job in [&own, &other] {
        contest.hear_spec(S, spec(job, Retry::Safe));
    }
    assert_eq!(writes(&contest.tick(S)), [(&own, None, "claimed")]);
    contest.hear_run(S, &other, revision("1-b"), opened(claim_of(2, 1)));
    assert!(states(&contest.tick(30 * S)).is_empty());
}

#[test]
fn a_job_past_its_time_is_opened_for_the_keeper_and_not_taken() {
    let job = new_job();
    let mut contest = contest(1);
    contest.hear_spec(
        Duration::ZERO,
        Arc::new(Spec { timeout_ms: 20_000, ..Spec::sample(&job, Retry::Safe) }),
    );
    contest.hear_run(Duration::ZERO, &job, revision("1-b"), others(1));
    for second in (0..=24).step_by(2) {
        contest.tick(second * S);
        contest.hear_beats(second * S, "japan", &[]);
    }
    assert_eq!(states(&judged(&mut contest)), ["open"]);
    contest.write_answered(26 * S, &job, won("2-b"));
    assert!(states(&contest.tick(40 * S)).is_empty());
    assert_eq!(contest.jobs.len(), 0);
}

#[test]
fn of_many_engines_a_few_watch_and_roles_follow_the_count() {
    let mut watchers = 0;
    for n in 0..200 {
        let job = new_job();
        let mut contest = Contest::new(Config { engine: format!("e{n}"), ..config(1) });
        contest.add_plugin("abc");
        contest.hear_engines(200);
        contest.tick(S);
        contest.hear_spec(S, spec(&job, Retry::Safe));
        contest.hear_run(S, &job, revision("1-b"), others(1));
        let polls = |actions: Vec<Action>| actions.iter().any(|a| matches!(a, Action::Poll { .. }));
        let is_watcher = polls(contest.tick(S));
        watchers += usize::from(is_watcher);
        contest.hear_engines(1);
        assert!(polls(contest.tick(4 * S)), "one alone watches everything");
        contest.hear_engines(200);
        assert_eq!(polls(contest.tick(8 * S)), is_watcher);
    }
    assert!((2..=20).contains(&watchers), "{watchers} watchers of 200 engines");
}

#[test]
fn a_job_is_waited_for_by_turns_and_given_up_when_another_takes_it() {
    let mut waited = false;
    for n in 0..20 {
        let job = new_job();
        let mut contest = Contest::new(Config { engine: format!("e{n}"), ..config(1) });
        contest.add_plugin("abc");
        contest.hear_engines(1000);
        contest.tick(S);
        contest.hear_spec(S, spec(&job, Retry::Safe));
        if !states(&contest.tick(S)).is_empty() {
            continue;
        }
        waited = true;
        let due = contest.due().unwrap();
        assert!(due > S && due < 3 * S, "{due:?}");
        contest.hear_run(S, &job, revision("1-b"), others(1));
        assert!(states(&contest.tick(9 * S)).is_empty());
    }
    assert!(waited, "twenty of a thousand engines did not wait");
}

#[test]
fn the_delay_of_the_feed_is_measured_on_its_own_claims() {
    let mut contest = contest(100);
    let first = contest.herd_step();
    for own in [false, true] {
        for _ in 0..50 {
            let job = new_job();
            contest.hear_spec(S, spec(&job, Retry::Safe));
            let run = written(&contest.tick(S));
            let later = S + Duration::from_millis(200);
            if own {
                // It is answered first, so that the feed brings nothing new; the delay is known all the same.
                contest.write_answered(S, &job, won("1-a"));
                contest.hear_run(later, &job, revision("1-a"), run);
            } else {
                contest.hear_run(later, &job, revision("1-b"), others(1));
                contest.write_answered(later, &job, Answer::Lost);
            }
        }
        assert_eq!(contest.herd_step() > first, own, "{:?}", contest.herd_step());
    }
}
