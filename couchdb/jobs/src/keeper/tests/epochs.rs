//! Jobs of other home epochs: a region that moved to this home, or from it.

use super::*;

/// A keeper of a home with this epoch.
fn keeper_of(epoch: u32) -> Keeper {
    let mut keeper = keeper();
    keeper.hear_epoch(Duration::ZERO, epoch);
    keeper
}

/// A job that was admitted under this epoch, with 10 s to wait and 60 s in all.
fn admitted(job: &JobId, retry: Retry, home_epoch: u32) -> Spec {
    Spec { home_epoch, ..Spec::sample(job, retry) }
}

fn held_under(epoch: u32) -> Run {
    Run::Claimed { claim: Claim { epoch, ..claim() } }
}

/// When the keeper writes something first, while polls are answered by nobody's beats, and what.
fn first_write(keeper: &mut Keeper) -> Option<(u32, Option<String>, Run)> {
    for second in 0..=300 {
        keeper.hear_beats(second * S, "japan", &[]);
        if let [Action::Write { over, run, .. }] = &keeper.tick(second * S)[..] {
            return Some((second, over.as_ref().map(ToString::to_string), run.clone()));
        }
    }
    None
}

#[test]
fn what_must_not_run_twice_is_lost_when_its_time_is_over_and_no_end_came_from_its_home() {
    let (job, over) = (JobId::new("japan", 1), Some("1-a".to_owned()));
    for run in [None, Some(held_under(1))] {
        let mut keeper = keeper_of(3);
        keeper.hear_spec(Duration::ZERO, &admitted(&job, Retry::Never, 1));
        if let Some(run) = run.clone() {
            keeper.hear_run(S, &job, revision("1-a"), run);
        }
        assert!(keeper.poll(S).is_empty(), "its engine beats elsewhere");
        let (second, written_over, lost) = first_write(&mut keeper).unwrap();
        assert_eq!(second, 90, "its 60 s, and 30 s in which its end can come");
        assert_eq!(written_over, over.clone().filter(|_| run.is_some()));
        assert_eq!(lost.claim(), run.as_ref().and_then(Run::claim));
        let Run::Lost { reason, begun: true, .. } = lost else { panic!("{lost:?}") };
        let wanted = "region japan has moved to another home after the job was admitted, and no end of it has come \
                      from there within 60 s: nobody knows whether it began";
        assert_eq!(reason, wanted);
    }
}

#[test]
fn an_end_that_comes_from_the_former_home_is_the_end() {
    let job = JobId::new("japan", 1);
    let mut keeper = keeper_of(3);
    keeper.hear_spec(Duration::ZERO, &admitted(&job, Retry::Never, 1));
    let run = Run::Lost { claim: Some(claim()), reason: String::new(), begun: false };
    keeper.hear_run(80 * S, &job, revision("2-a"), run);
    assert_eq!(first_write(&mut keeper), None);
    assert_eq!(keeper.due(), None);
}

#[test]
fn a_cancel_ends_what_nobody_here_may_begin_but_not_before_its_end_can_have_come() {
    let job = JobId::new("japan", 1);
    let mut keeper = keeper_of(3);
    keeper.hear_spec(Duration::ZERO, &admitted(&job, Retry::Never, 1));
    keeper.hear_cancel(&job);
    let (second, _, lost) = first_write(&mut keeper).unwrap();
    assert_eq!((second, lost.state()), (30, "lost"), "not cancelled: it may have begun");
    assert!(lost.reason().unwrap().contains("it was cancelled"), "{lost:?}");
}

#[test]
fn what_may_run_twice_waits_for_an_engine_from_when_engines_may_take_it() {
    let job = JobId::new("japan", 1);
    let mut keeper = keeper_of(3);
    keeper.hear_spec(Duration::ZERO, &admitted(&job, Retry::Safe, 1));
    let open = Run::Open { last: claim(), reason: "its region has moved".to_owned() };
    keeper.hear_run(5 * S, &job, revision("2-a"), open);
    let (second, over, run) = first_write(&mut keeper).unwrap();
    assert_eq!((second, over.as_deref(), run.state()), (40, Some("2-a"), "expired"));
    // A claim of the former home, whose engine is not heard here.
    let mut keeper = keeper_of(3);
    keeper.hear_spec(Duration::ZERO, &admitted(&job, Retry::Safe, 1));
    keeper.hear_run(Duration::ZERO, &job, revision("1-a"), held_under(1));
    let (second, _, run) = first_write(&mut keeper).unwrap();
    assert_eq!((second, run.state()), (30, "open"));
}

#[test]
fn what_is_of_a_later_home_is_left_alone_until_that_is_this_one() {
    for (home_epoch, run) in [(3, None), (1, Some(held_under(3))), (3, Some(held_under(3)))] {
        let job = JobId::new("japan", 1);
        let mut keeper = keeper();
        keeper.hear_spec(Duration::ZERO, &admitted(&job, Retry::Safe, home_epoch));
        keeper.hear_cancel(&job);
        if let Some(run) = run.clone() {
            keeper.hear_run(Duration::ZERO, &job, revision("1-a"), run);
        }
        for second in 0..=84 {
            assert!(keeper.poll(second * S).is_empty(), "its engine beats elsewhere");
            assert!(keeper.tick(second * S).is_empty(), "admitted under {home_epoch}: {run:?}");
        }
        keeper.hear_epoch(84 * S, 3);
        assert_eq!(keeper.poll(84 * S).is_empty(), run.is_none());
        let ended = keeper.tick(84 * S);
        assert_eq!(states(&ended).first().copied(), run.is_none().then_some("cancelled"));
    }
}

#[test]
fn a_run_of_a_later_home_gets_all_its_time_and_what_was_admitted_for_it_waits() {
    for (home_epoch, run, ended) in [
        (1, Some(held_under(9)), Some((85, 9))),
        (9, Some(held_under(9)), Some((85, 9))),
        (9, None, None),
    ] {
        let job = JobId::new("japan", 1);
        let mut keeper = keeper();
        keeper.hear_spec(Duration::ZERO, &admitted(&job, Retry::Safe, home_epoch));
        if let Some(run) = run {
            keeper.hear_run(Duration::ZERO, &job, revision("1-a"), run);
        }
        let lost = first_write(&mut keeper);
        let found = lost.as_ref().map(|(second, _, run)| (*second, run.epoch()));
        assert_eq!(found, ended, "admitted under {home_epoch}");
        if let Some((_, _, run)) = lost {
            let reason = run.reason().unwrap();
            assert!(run.state() == "lost" && reason.contains("home epoch 9"), "{run:?}");
        }
    }
}

#[test]
fn claims_of_engines_that_left_this_home_by_themselves_are_judged_here() {
    let job = JobId::new("japan", 1);
    let mut keeper = keeper();
    keeper.hear_spec(Duration::ZERO, &admitted(&job, Retry::Safe, 1));
    keeper.hear_run(Duration::ZERO, &job, revision("1-a"), held_under(2));
    let (second, _, run) = first_write(&mut keeper).unwrap();
    assert_eq!((second, run.state()), (27, "open"));
    keeper.hear_run(27 * S, &job, revision("2-a"), run);
    let (second, _, run) = first_write(&mut keeper).unwrap();
    assert_eq!((second, run.state()), (37, "expired"));
}

#[test]
fn a_region_that_moves_here_has_its_jobs_counted_anew_and_hearing_it_again_changes_nothing() {
    let (never, safe, new) =
        (JobId::new("japan", 1), JobId::new("japan", 1), JobId::new("japan", 1));
    let mut keeper = keeper();
    keeper.hear_spec(Duration::ZERO, &admitted(&never, Retry::Never, 1));
    keeper.hear_run(Duration::ZERO, &never, revision("1-a"), held_under(1));
    keeper.hear_spec(5 * S, &admitted(&safe, Retry::Safe, 1));
    keeper.hear_spec(5 * S, &admitted(&new, Retry::Safe, 3));
    assert_eq!(keeper.poll(5 * S).len(), 1);
    keeper.hear_epoch(8 * S, 3);
    assert!(keeper.poll(20 * S).is_empty(), "the engine that has it beats elsewhere");
    for epoch in [3, 1, 2] {
        keeper.hear_epoch(15 * S, epoch);
    }
    let mut ended: Vec<(u32, JobId, &str)> = Vec::new();
    for second in 0..200 {
        for (job, _, state) in writes(&keeper.tick(second * S)) {
            if !ended.iter().any(|(_, other, _)| other == job) {
                ended.push((second, job.clone(), state));
            }
        }
    }
    assert_eq!(ended, [(18, new, "expired"), (48, safe, "expired"), (98, never, "lost")]);
}
