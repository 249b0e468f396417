//! Of the tasks of one run an engine takes one.

use super::*;

/// A contest with room for many that has heard of a run of two tasks in its region.
fn two_tasks() -> (Contest, [JobId; 2]) {
    let tasks = [new_job(), new_job()];
    let mut contest = contest(8);
    for job in &tasks {
        let spec = Spec { tasks: tasks.to_vec(), ..Spec::sample(job, Retry::Safe) };
        contest.hear_spec(S, Arc::new(spec));
    }
    (contest, tasks)
}

/// The task that it claims now, and the other one.
fn claimed(contest: &mut Contest, now: Duration, tasks: &[JobId; 2]) -> (JobId, JobId) {
    let actions = contest.tick(now);
    let [(job, None, "claimed")] = writes(&actions)[..] else { panic!("{actions:?}") };
    let other = if *job == tasks[0] { &tasks[1] } else { &tasks[0] };
    (job.clone(), other.clone())
}

#[test]
fn of_the_tasks_of_one_run_an_engine_takes_one_ever() {
    let (mut contest, tasks) = two_tasks();
    let (first, _) = claimed(&mut contest, S, &tasks);
    assert!(states(&contest.tick(S)).is_empty());
    contest.write_answered(S, &first, Answer::Lost);
    let (other, _) = claimed(&mut contest, 2 * S, &tasks);
    assert_ne!(other, first, "the other task is free now, this one was lost");
    contest.write_answered(2 * S, &other, won("1-a"));
    contest.job_ended(3 * S, &other, Some(end(0)));
    contest.write_answered(3 * S, &other, won("2-a"));
    assert!(states(&contest.tick(20 * S)).is_empty(), "it had its part in the run");
}

#[test]
fn an_end_that_the_feed_brings_before_its_answer_is_a_part_too() {
    let (mut contest, tasks) = two_tasks();
    let (first, _) = claimed(&mut contest, S, &tasks);
    contest.write_answered(S, &first, won("1-a"));
    let end = written(&contest.job_ended(2 * S, &first, Some(end(0))));
    contest.hear_run(2 * S, &first, revision("2-a"), end);
    contest.write_answered(2 * S, &first, won("2-a"));
    assert!(states(&contest.tick(9 * S)).is_empty(), "it had its part in the run");
}

#[test]
fn a_claim_that_may_stand_is_a_part_until_it_is_known_not_to() {
    let (mut contest, tasks) = two_tasks();
    let (first, other) = claimed(&mut contest, S, &tasks);
    contest.write_answered(S, &first, Answer::Unknown);
    let (again, _) = claimed(&mut contest, 9 * S, &tasks);
    assert_eq!(again, first, "and not the other");
    contest.write_answered(9 * S, &first, Answer::Unknown);
    contest.hear_run(9 * S, &first, revision("1-b"), others(1));
    assert_eq!(claimed(&mut contest, 9 * S, &tasks).0, other, "another engine has the first");
}

#[test]
fn one_that_was_given_back_is_none() {
    let (mut contest, tasks) = two_tasks();
    let (first, other) = claimed(&mut contest, S, &tasks);
    contest.write_answered(S, &first, won("1-a"));
    let open = written(&contest.job_ended(2 * S, &first, None));
    assert_eq!(open.state(), "open");
    contest.write_answered(2 * S, &first, won("2-a"));
    assert_eq!(claimed(&mut contest, 2 * S, &tasks).0, other);
}

#[test]
fn what_an_earlier_start_of_the_engine_has_is_its_part() {
    let (mut contest, [first, other]) = two_tasks();
    let earlier = Claim { engine: "e1".to_owned(), ..claim_of(9, 1) };
    contest.hear_run(S, &first, revision("1-a"), Run::Claimed { claim: earlier.clone() });
    assert!(states(&contest.tick(2 * S)).is_empty());
    contest.hear_run(3 * S, &first, revision("2-a"), opened(earlier));
    assert_eq!(claimed(&mut contest, 3 * S, &[first, other.clone()]).0, other);
}

#[test]
fn tasks_in_other_regions_are_no_reason_to_refuse_one() {
    let tasks = [new_job(), JobId::new("virginia", 1)];
    let mut contest = contest(8);
    let spec = Spec { tasks: tasks.to_vec(), ..Spec::sample(&tasks[0], Retry::Safe) };
    contest.hear_spec(S, Arc::new(spec));
    assert_eq!(claimed(&mut contest, S, &tasks).0, tasks[0]);
}
