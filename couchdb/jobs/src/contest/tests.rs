//! What an engine does about jobs, event by event.

use super::*;
use blitz_contract::Retry;

const S: Duration = Duration::from_secs(1);

fn without_plugin(slots: usize) -> Contest {
    let incarnation = Incarnation::from_random([1; 16]);
    Contest::new("e1".to_owned(), incarnation, 1, slots, Timing::default())
}

fn contest(slots: usize) -> Contest {
    let mut contest = without_plugin(slots);
    contest.add_plugin("abc");
    contest
}

fn revision(text: &str) -> Revision {
    text.parse().unwrap()
}

fn others(attempt: u32) -> Run {
    let claim = crate::run::Claim {
        epoch: 1,
        attempt,
        engine: "e2".to_owned(),
        incarnation: Incarnation::from_random([2; 16]),
    };
    Run::Claimed { claim }
}

/// A contest that holds `job` since second 0.
fn holding(job: &JobId) -> Contest {
    let mut contest = contest(1);
    contest.hear_spec(Duration::ZERO, Spec::sample(job, Retry::Safe));
    assert!(matches!(contest.tick(Duration::ZERO)[..], [Action::Claim { over: None, .. }]));
    let won = ClaimAnswer::Won(revision("1-a"));
    let actions = contest.claim_answered(Duration::ZERO, job, won);
    assert!(matches!(actions[..], [Action::Start { .. }]));
    contest
}

#[test]
fn a_free_engine_claims_as_many_as_it_has_slots() {
    let mut contest = contest(2);
    let jobs: Vec<JobId> = (0..3).map(|_| JobId::new("japan", 1)).collect();
    jobs.iter().for_each(|job| contest.hear_spec(S, Spec::sample(job, Retry::Safe)));
    assert_eq!(contest.tick(S).len(), 2);
    assert_eq!(contest.due(), Some(61 * S), "full: nothing to do but for the jobs' deadlines");
    let first = contest.jobs.keys().next().unwrap().clone();
    contest.claim_answered(S, &first, ClaimAnswer::Won(revision("1-a")));
    contest.finished(&first);
    assert_eq!(contest.tick(S).len(), 1);
}

#[test]
fn what_others_have_or_somebody_cancelled_or_no_plugin_can_do_is_left_alone() {
    let job = JobId::new("japan", 1);
    let mut contest = contest(1);
    contest.hear_run(&job, revision("1-a"), others(1));
    contest.hear_spec(S, Spec::sample(&job, Retry::Safe));
    assert!(contest.tick(S).is_empty());
    let Run::Claimed { claim: last } = others(1) else { unreachable!() };
    let open = Run::Open { last, reason: "drains".to_owned() };
    contest.hear_run(&job, revision("2-b"), open);
    let actions = contest.tick(S);
    let [Action::Claim { over: Some(over), run, .. }] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!((over.to_string().as_str(), run.claim().unwrap().attempt), ("2-b", 2));

    let other = JobId::new("japan", 1);
    contest.hear_cancel(&other);
    contest.hear_spec(S, Spec::sample(&other, Retry::Safe));
    contest.claim_answered(S, &job, ClaimAnswer::Lost);
    assert!(contest.tick(S).is_empty());
}

#[test]
fn an_engine_that_hears_of_anothers_claim_stops() {
    let job = JobId::new("japan", 1);
    let mut contest = holding(&job);
    let actions = contest.hear_run(&job, revision("1-b"), others(1));
    assert_eq!(actions, [Action::Stop { job: job.clone(), why: Why::LostClaim }]);
    assert!(contest.hear_cancel(&job).is_empty(), "it stops already");
}

#[test]
fn an_engine_that_lost_a_job_takes_it_again_when_it_is_open() {
    let job = JobId::new("japan", 1);
    for open_first in [true, false] {
        let mut contest = holding(&job);
        let Run::Claimed { claim: mut last } = others(1) else { unreachable!() };
        last.incarnation = Incarnation::from_random([1; 16]);
        let open = Run::Open { last, reason: "no beat".to_owned() };
        if open_first {
            assert_eq!(contest.hear_run(&job, revision("2-b"), open.clone()).len(), 1);
        } else {
            contest.tick(20 * S);
        }
        contest.stopped(20 * S, &job);
        if !open_first {
            assert!(contest.tick(20 * S).is_empty(), "nobody has opened it yet");
            contest.hear_run(&job, revision("2-b"), open);
        }
        let actions = contest.tick(20 * S);
        assert!(matches!(&actions[..], [Action::Claim { over: Some(_), .. }]), "{actions:?}");
    }
}

#[test]
fn an_engine_that_hears_of_its_own_end_goes_on_to_its_end() {
    let job = JobId::new("japan", 1);
    let mut contest = holding(&job);
    let Run::Claimed { mut claim } = others(1) else { unreachable!() };
    claim.incarnation = Incarnation::from_random([1; 16]);
    let exit = blitz_contract::Exit::Status(0);
    let digest = String::new();
    let end = crate::run::End { exit, chunks: 0, bytes: 0, digest, duration_ms: 1 };
    let done = Run::Done { claim: claim.clone(), end };
    assert!(contest.hear_run(&job, revision("2-b"), done).is_empty());
    let lost = Run::Lost { claim, reason: "no beat".to_owned() };
    assert!(!contest.hear_run(&job, revision("2-c"), lost).is_empty(), "the keeper's is not");
}

#[test]
fn an_engine_whose_beats_are_not_answered_stops_before_others_may_take_over() {
    let job = JobId::new("japan", 1);
    let mut contest = holding(&job);
    assert_eq!(contest.due(), Some(5 * S));
    assert!(matches!(contest.tick(5 * S)[..], [Action::Beat { counter: 1, .. }]));
    contest.beat_acknowledged(5 * S);
    contest.tick(10 * S);
    contest.tick(15 * S);
    assert!(
        contest.tick(20 * S).contains(&Action::Stop { job, why: Why::LostClaim }),
        "15 s after the last acknowledged beat was sent"
    );
    assert!(Timing::default().stop < Timing::default().dead);
}

#[test]
fn a_cancel_during_the_claim_starts_and_stops_it() {
    let job = JobId::new("japan", 1);
    let mut contest = contest(1);
    contest.hear_spec(S, Spec::sample(&job, Retry::Safe));
    contest.tick(S);
    contest.hear_cancel(&job);
    let actions = contest.claim_answered(S, &job, ClaimAnswer::Won(revision("1-a")));
    assert!(matches!(
        actions[..],
        [Action::Start { .. }, Action::Stop { why: Why::Cancelled, .. }]
    ));
}

#[test]
fn a_plugin_that_comes_later_lets_the_waiting_jobs_be_claimed() {
    let job = JobId::new("japan", 1);
    let mut contest = without_plugin(1);
    contest.hear_spec(S, Spec::sample(&job, Retry::Safe));
    assert!(contest.tick(S).is_empty());
    contest.add_plugin("abc");
    assert_eq!(contest.tick(S).len(), 1);
}

#[test]
fn what_is_heard_again_changes_nothing() {
    let job = JobId::new("japan", 1);
    let mut contest = contest(1);
    let Run::Claimed { claim: last } = others(1) else { unreachable!() };
    let open = Run::Open { last, reason: "drains".to_owned() };
    contest.hear_run(&job, revision("2-b"), open.clone());
    contest.hear_spec(S, Spec::sample(&job, Retry::Safe));
    contest.tick(S);
    assert!(contest.hear_run(&job, revision("2-b"), open.clone()).is_empty());
    contest.claim_answered(S, &job, ClaimAnswer::Won(revision("3-c")));
    // The same change again, from a feed that went back.
    assert_eq!(contest.busy(), 1);
    contest.hear_spec(S, Spec::sample(&job, Retry::Safe));
    assert_eq!(contest.busy(), 1);
}

#[test]
fn an_own_claim_whose_answer_was_lost_is_asked_for_again() {
    let job = JobId::new("japan", 1);
    let mut contest = contest(1);
    contest.hear_spec(S, Spec::sample(&job, Retry::Never));
    let [Action::Claim { run, .. }] = &contest.tick(S)[..] else { panic!("no claim") };
    let run = run.clone();
    contest.claim_answered(S, &job, ClaimAnswer::Unknown);
    contest.hear_run(&job, revision("1-a"), run.clone());
    let again = contest.tick(6 * S);
    assert_eq!(again, [Action::Claim { job, over: None, run }], "the same body: it finds itself");
}

#[test]
fn an_end_that_comes_before_its_spec_is_an_end() {
    let job = JobId::new("japan", 1);
    let mut contest = contest(1);
    contest.hear_run(&job, revision("1-a"), Run::Expired { reason: "late".to_owned() });
    contest.hear_spec(S, Spec::sample(&job, Retry::Safe));
    assert!(contest.tick(S).is_empty());
}

#[test]
fn beats_go_out_however_many_jobs_are_won() {
    let mut contest = contest(100);
    let mut beats = 0;
    for second in 0..20 {
        let job = JobId::new("japan", 1);
        contest.hear_spec(second * S, Spec::sample(&job, Retry::Safe));
        for action in contest.tick(second * S) {
            match action {
                Action::Claim { job, .. } => {
                    contest.claim_answered(second * S, &job, ClaimAnswer::Won(revision("1-a")));
                }
                Action::Beat { .. } => {
                    beats += 1;
                    contest.beat_acknowledged(second * S);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(beats, 3, "at 5, 10 and 15 s");
}

#[test]
fn a_job_that_is_being_cancelled_is_fenced_all_the_same() {
    let job = JobId::new("japan", 1);
    let mut contest = holding(&job);
    assert_eq!(contest.hear_cancel(&job).len(), 1);
    let stops = contest.hear_run(&job, revision("1-b"), others(1));
    assert_eq!(stops, [Action::Stop { job, why: Why::LostClaim }]);
}

#[test]
fn of_the_tasks_of_one_run_an_engine_takes_one() {
    let tasks: Vec<JobId> = (0..2).map(|_| JobId::new("japan", 1)).collect();
    let mut contest = contest(8);
    for job in &tasks {
        contest.hear_spec(S, Spec { tasks: tasks.clone(), ..Spec::sample(job, Retry::Safe) });
    }
    let [Action::Claim { job, .. }] = &contest.tick(S)[..] else { panic!("not one claim") };
    let job = job.clone();
    assert!(contest.tick(S).is_empty());
    contest.claim_answered(S, &job, ClaimAnswer::Lost);
    let [Action::Claim { job: other, .. }] = &contest.tick(2 * S)[..] else { panic!("no claim") };
    assert_ne!(*other, job, "the other task is free now, this one was lost");
}
