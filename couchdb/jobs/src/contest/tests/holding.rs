//! From the start of a job to its last word: leases, fences, ends, giving back.

use super::*;

#[test]
fn an_engine_that_hears_of_anothers_claim_or_of_an_end_stops() {
    let lost = lost(claim_of(1, 1));
    for run in [others(1), others(2), lost, opened(claim_of(1, 1))] {
        let job = new_job();
        let mut contest = running(&job, Retry::Safe);
        let actions = contest.hear_run(S, &job, revision("2-b"), run.clone());
        assert_eq!(actions, [Action::Stop { job: job.clone(), why: Why::LostClaim }], "{run:?}");
        assert!(!contest.may_write(S, &job));
        assert!(contest.hear_cancel(&job).is_empty(), "it stops already");
        assert!(contest.hear_run(S, &job, revision("3-c"), others(3)).is_empty());
        assert!(contest.job_ended(S, &job, Some(end(0))).is_empty(), "nothing is its to write");
        assert_eq!(contest.busy(), 0);
    }
}

#[test]
fn a_job_that_is_being_cancelled_is_fenced_all_the_same() {
    let job = new_job();
    let mut contest = running(&job, Retry::Safe);
    assert_eq!(contest.hear_cancel(&job).len(), 1);
    let stops = contest.hear_run(S, &job, revision("1-b"), others(1));
    assert_eq!(stops, [Action::Stop { job, why: Why::LostClaim }]);
}

#[test]
fn an_end_is_written_until_it_is_decided() {
    let job = new_job();
    let mut contest = running(&job, Retry::Safe);
    let done = written(&contest.job_ended(S, &job, Some(end(3))));
    assert_eq!(done.state(), "done");
    contest.write_answered(2 * S, &job, Answer::Unknown);
    assert_eq!(contest.due(), Some(2 * S + Duration::from_millis(100)));
    let again = contest.tick(3 * S);
    assert_eq!(writes(&again), [(&job, Some("1-a".to_owned()), "done")]);
    contest.write_answered(3 * S, &job, Answer::Unknown);
    assert!(states(&contest.tick(3 * S)).is_empty(), "the pause grows");
    assert_eq!(states(&contest.tick(4 * S)), ["done"]);
    contest.write_answered(4 * S, &job, won("2-a"));
    assert_eq!(contest.busy(), 0);
    assert_eq!(contest.due(), None, "it is forgotten");
}

/// A conflict with ourselves, after which the reading was lost, looks like a loss.
#[test]
fn an_end_that_the_feed_tells_is_stored_whatever_the_answer() {
    for answer in [won("2-a"), Answer::Lost, Answer::Unknown] {
        let job = new_job();
        let mut contest = running(&job, Retry::Safe);
        let done = written(&contest.job_ended(S, &job, Some(end(3))));
        assert!(contest.hear_run(S, &job, revision("2-a"), done.clone()).is_empty());
        contest.write_answered(2 * S, &job, answer);
        assert_eq!((contest.busy(), contest.due()), (0, None), "it is forgotten");
    }
}

#[test]
fn an_end_that_is_refused_frees_its_slot() {
    let job = new_job();
    let mut contest = running(&job, Retry::Safe);
    contest.job_ended(S, &job, Some(end(0)));
    contest.write_answered(S, &job, Answer::Lost);
    assert_eq!((contest.busy(), contest.slots_taken), (0, 0));
    let next = new_job();
    contest.hear_spec(S, spec(&next, Retry::Safe));
    assert_eq!(writes(&contest.tick(S)), [(&next, None, "claimed")]);
}

#[test]
fn a_late_answer_to_an_old_write_is_not_taken_for_that_to_a_new_one() {
    let job = new_job();
    let mut contest = running(&job, Retry::Safe);
    assert_eq!(states(&contest.job_ended(S, &job, None)), ["open"]);
    // A watcher was faster, and its engine has given the job back since.
    contest.hear_run(2 * S, &job, revision("2-b"), others(2));
    contest.hear_run(3 * S, &job, revision("3-b"), opened(claim_of(2, 2)));
    assert!(states(&contest.tick(4 * S)).is_empty(), "its write is still under way");
    contest.write_answered(5 * S, &job, Answer::Lost);
    let actions = contest.tick(5 * S);
    assert_eq!(writes(&actions), [(&job, Some("3-b".to_owned()), "claimed")]);
    assert_eq!(starts(&contest.write_answered(5 * S, &job, won("4-a"))), 1);
}

#[test]
fn an_engine_whose_beats_are_not_answered_stops_before_others_may_take_over() {
    let job = new_job();
    let mut contest = running(&job, Retry::Safe);
    assert_eq!(contest.due(), Some(5 * S));
    assert_eq!(beats(&contest.tick(5 * S)), [1]);
    contest.beat_acknowledged(6 * S, 5 * S);
    contest.tick(10 * S);
    contest.tick(15 * S);
    assert!(contest.may_write(19 * S, &job));
    let stop = Action::Stop { job: job.clone(), why: Why::LostLease };
    assert!(contest.tick(20 * S).contains(&stop), "15 s after its beat was sent");
    assert!(!contest.may_write(20 * S, &job));
    assert!(!contest.tick(21 * S).contains(&stop), "once");
    assert!(Timing::of_tests().stop < Timing::default().dead);
}

#[test]
fn a_beat_renews_only_the_leases_that_it_names() {
    let (first, second) = (new_job(), new_job());
    let mut contest = contest(2);
    contest.hear_spec(Duration::ZERO, spec(&first, Retry::Safe));
    contest.tick(Duration::ZERO);
    contest.write_answered(Duration::ZERO, &first, won("1-a"));
    contest.hear_spec(S, spec(&second, Retry::Safe));
    contest.tick(S);
    let actions = contest.tick(5 * S);
    let [Action::Beat { held, .. }] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(held.len(), 1, "the second claim has no answer yet");
    contest.write_answered(6 * S, &second, won("1-a"));
    contest.beat_acknowledged(7 * S, 5 * S);
    assert!(contest.may_write(19 * S, &first));
    assert!(!contest.may_write(16 * S, &second), "its lease counts from its claim at 1 s");
    contest.tick(10 * S);
    contest.beat_acknowledged(11 * S, 10 * S);
    assert!(contest.may_write(24 * S, &second));
}

#[test]
fn who_stopped_for_want_of_beats_gives_the_job_back_and_beats_once_more() {
    let job = new_job();
    let mut contest = running(&job, Retry::Safe);
    for second in [5, 10] {
        contest.tick(second * S);
    }
    assert_eq!(contest.tick(15 * S).len(), 2, "a stop, and the beat that it owes");
    let actions = contest.job_ended(16 * S, &job, None);
    assert_eq!(writes(&actions), [(&job, Some("1-a".to_owned()), "open")]);
    contest.write_answered(21 * S, &job, Answer::Unknown);
    let actions = contest.tick(30 * S);
    assert_eq!((states(&actions), beats(&actions).len()), (vec!["open"], 1));
    let held = actions.iter().find_map(|action| match action {
        Action::Beat { held, .. } => Some(held.clone()),
        _ => None,
    });
    assert_eq!(held, Some(Vec::new()), "it holds nothing, and lives");
    contest.write_answered(30 * S, &job, won("2-a"));
    assert!(!beats(&contest.tick(35 * S)).is_empty(), "until one is acknowledged");
    contest.beat_acknowledged(36 * S, 35 * S);
    assert!(beats(&contest.tick(60 * S)).is_empty());
}

#[test]
fn results_of_a_machine_that_slept_are_given_back() {
    let job = new_job();
    let mut contest = running(&job, Retry::Safe);
    assert_eq!(states(&contest.job_ended(3600 * S, &job, Some(end(0)))), ["open"]);
    let job = new_job();
    let mut contest = running(&job, Retry::Never);
    let actions = contest.job_ended(3600 * S, &job, Some(end(0)));
    let Run::Lost { begun, .. } = written(&actions) else { panic!("{actions:?}") };
    assert!(begun);
}

#[test]
fn a_job_that_was_given_back_is_left_to_others_for_a_moment() {
    let job = new_job();
    let mut contest = running(&job, Retry::Safe);
    assert_eq!(states(&contest.job_ended(S, &job, None)), ["open"], "it could not be run");
    contest.write_answered(S, &job, won("2-a"));
    assert_eq!((contest.busy(), contest.slots_taken), (0, 0));
    assert!(states(&contest.tick(S)).is_empty());
    let actions = contest.tick(6 * S);
    assert_eq!(writes(&actions), [(&job, Some("2-a".to_owned()), "claimed")], "nobody did");
}

#[test]
fn a_draining_engine_claims_nothing_and_at_the_end_gives_back_what_runs() {
    for (retry, why, state) in
        [(Retry::Safe, Why::Release, "open"), (Retry::Never, Why::Cancelled, "lost")]
    {
        let (job, next) = (new_job(), new_job());
        let mut contest = running(&job, retry);
        contest.drain();
        contest.hear_spec(S, spec(&next, Retry::Safe));
        assert!(states(&contest.tick(S)).is_empty());
        let stops = contest.give_back();
        assert_eq!(stops, [Action::Stop { job: job.clone(), why }]);
        assert!(contest.give_back().is_empty(), "once");
        assert_eq!(states(&contest.job_ended(S, &job, None)), [state]);
        contest.write_answered(S, &job, won("2-a"));
        assert_eq!(contest.busy(), 0);
        assert!(states(&contest.tick(30 * S)).is_empty());
    }
}

#[test]
fn an_end_that_came_before_the_giving_back_is_an_end() {
    let job = new_job();
    let mut contest = running(&job, Retry::Safe);
    contest.give_back();
    assert_eq!(states(&contest.job_ended(S, &job, Some(end(0)))), ["done"]);
}

#[test]
fn what_is_won_while_the_engine_goes_is_given_back_unbegun() {
    let job = new_job();
    let mut contest = contest(1);
    contest.hear_spec(S, spec(&job, Retry::Never));
    contest.tick(S);
    contest.give_back();
    assert!(matches!(contest.write_answered(S, &job, won("1-a"))[..], [Action::Fence { .. }]));
    let actions = contest.fence_answered(S, &job, true);
    let Run::Lost { begun, .. } = written(&actions) else { panic!("{actions:?}") };
    assert!(!begun);
}

#[test]
fn a_replaced_database_voids_every_claim_in_it() {
    let job = new_job();
    let mut contest = running(&job, Retry::Safe);
    assert!(contest.hear_replaced("blitz-jobs-oregon-1").is_empty());
    let stops = contest.hear_replaced(&job.jobs_database());
    assert_eq!(stops, [Action::Stop { job: job.clone(), why: Why::LostClaim }]);
    // The other database may have a job of the same id: the first one's end is not written into it.
    assert!(contest.job_ended(S, &job, Some(end(0))).is_empty());
    assert_eq!((contest.busy(), contest.jobs.len()), (0, 0));
    contest.hear_spec(2 * S, spec(&job, Retry::Safe));
    assert_eq!(states(&contest.tick(2 * S)), ["claimed"]);
    // Replaced again while the claim is on its way: its answer is not the next one's.
    contest.hear_replaced(&job.jobs_database());
    contest.hear_spec(3 * S, spec(&job, Retry::Safe));
    assert!(states(&contest.tick(3 * S)).is_empty());
    assert!(contest.write_answered(3 * S, &job, won("1-a")).is_empty());
    assert_eq!(states(&contest.tick(3 * S)), ["claimed"]);
}

#[test]
fn a_run_that_cannot_be_read_is_left_alone_until_it_can() {
    let job = new_job();
    let mut contest = contest(1);
    contest.hear_unreadable(S, &job, revision("1-x"));
    contest.hear_spec(S, spec(&job, Retry::Safe));
    assert!(states(&contest.tick(S)).is_empty());
    contest.hear_run(S, &job, revision("2-x"), opened(claim_of(2, 1)));
    assert_eq!(states(&contest.tick(S)), ["claimed"]);
    contest.write_answered(S, &job, won("3-x"));
    let stops = contest.hear_unreadable(2 * S, &job, revision("4-x"));
    assert_eq!(stops, [Action::Stop { job: job.clone(), why: Why::LostClaim }]);
    assert!(contest.hear_unreadable(2 * S, &job, revision("4-x")).is_empty());
    assert!(contest.job_ended(2 * S, &job, None).is_empty());
    assert!(states(&contest.tick(10 * S)).is_empty());
    contest.tick(70 * S);
    assert_eq!(contest.jobs.len(), 0, "its time is over, and the keeper ends it");
}

#[test]
fn a_run_that_was_deleted_lets_its_job_be_claimed_again() {
    let job = new_job();
    let mut contest = contest(1);
    contest.hear_spec(S, spec(&job, Retry::Safe));
    contest.hear_run(S, &job, revision("1-b"), others(1));
    assert!(states(&contest.tick(S)).is_empty());
    contest.hear_no_run(S, &job);
    assert_eq!(writes(&contest.tick(S)), [(&job, None, "claimed")]);
    contest.write_answered(S, &job, won("3-a"));
    // Deleted under the engine: it goes on, and its end is refused.
    contest.hear_no_run(2 * S, &job);
    contest.job_ended(3 * S, &job, Some(end(0)));
    contest.write_answered(3 * S, &job, Answer::Lost);
    assert_eq!(states(&contest.tick(3 * S)), ["claimed"], "from its beginning");
}

#[test]
fn beats_go_out_however_many_jobs_are_won() {
    let mut contest = contest(100);
    let mut sent = 0;
    for second in 0..20 {
        let job = new_job();
        contest.hear_spec(second * S, spec(&job, Retry::Safe));
        for action in contest.tick(second * S) {
            match action {
                Action::Write { job, .. } => {
                    contest.write_answered(second * S, &job, won("1-a"));
                }
                Action::Beat { .. } => {
                    sent += 1;
                    contest.beat_acknowledged(second * S, second * S);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(sent, 3, "at 5, 10 and 15 s");
}
