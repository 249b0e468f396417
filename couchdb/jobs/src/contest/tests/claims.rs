//! From hearing of a job to its start.

use super::*;

#[test]
fn a_free_engine_claims_as_many_as_it_has_slots() {
    let mut contest = contest(2);
    let jobs: Vec<JobId> = (0..3).map(|_| new_job()).collect();
    jobs.iter().for_each(|job| contest.hear_spec(S, spec(job, Retry::Safe)));
    let actions = contest.tick(S);
    assert_eq!(states(&actions), ["claimed", "claimed"]);
    assert_eq!(contest.due(), Some(61 * S), "full: nothing to do but for the jobs' deadlines");
    let first = writes(&actions)[0].0.clone();
    contest.write_answered(S, &first, won("1-a"));
    let closing = contest.job_ended(S, &first, Some(end(0)));
    assert_eq!(states(&closing), ["done"]);
    assert!(states(&contest.tick(S)).is_empty(), "it has its slot until its end is written");
    contest.write_answered(S, &first, won("2-a"));
    assert_eq!(states(&contest.tick(S)), ["claimed"]);
}

#[test]
fn what_others_have_or_somebody_cancelled_is_left_alone() {
    let job = new_job();
    let mut contest = contest(1);
    contest.hear_run(S, &job, revision("1-a"), others(1));
    contest.hear_spec(S, spec(&job, Retry::Safe));
    assert!(states(&contest.tick(S)).is_empty());
    contest.hear_run(S, &job, revision("2-b"), opened(claim_of(2, 1)));
    let actions = contest.tick(S);
    assert_eq!(writes(&actions), [(&job, Some("2-b".to_owned()), "claimed")]);
    assert_eq!(written(&actions).claim().unwrap().attempt, 2);

    let other = new_job();
    contest.hear_cancel(&other);
    contest.hear_spec(S, spec(&other, Retry::Safe));
    contest.write_answered(S, &job, Answer::Lost);
    assert!(states(&contest.tick(S)).is_empty());
}

#[test]
fn a_plugin_that_comes_later_lets_waiting_jobs_be_claimed_and_one_that_goes_does_not() {
    let job = new_job();
    let mut contest = without_plugin(1);
    contest.hear_spec(S, spec(&job, Retry::Safe));
    assert!(states(&contest.tick(S)).is_empty());
    contest.add_plugin("abc");
    contest.remove_plugin("abc");
    assert!(states(&contest.tick(S)).is_empty());
    contest.add_plugin("abc");
    assert_eq!(states(&contest.tick(S)), ["claimed"]);
}

#[test]
fn what_is_heard_again_changes_nothing() {
    let job = new_job();
    let mut contest = contest(1);
    let open = opened(claim_of(2, 1));
    contest.hear_run(S, &job, revision("2-b"), open.clone());
    contest.hear_spec(S, spec(&job, Retry::Safe));
    contest.tick(S);
    assert!(contest.hear_run(S, &job, revision("2-b"), open.clone()).is_empty());
    let claim = Claim { attempt: 2, ..claim_of(1, 2) };
    assert_eq!(starts(&contest.write_answered(S, &job, won("3-c"))), 1);
    // The same changes again, from a feed that went back.
    assert!(contest.hear_run(S, &job, revision("2-b"), open).is_empty(), "what its claim replaced");
    assert!(contest.hear_run(S, &job, revision("3-c"), Run::Claimed { claim }).is_empty());
    contest.hear_spec(S, spec(&job, Retry::Safe));
    assert_eq!(contest.busy(), 1);
}

#[test]
fn a_claim_without_an_answer_is_written_again_with_the_lease_of_the_first_try() {
    let job = new_job();
    let mut contest = contest(1);
    contest.hear_spec(S, spec(&job, Retry::Safe));
    let first = written(&contest.tick(S));
    contest.write_answered(6 * S, &job, Answer::Unknown);
    assert_eq!(contest.busy(), 0);
    assert!(states(&contest.tick(6 * S)).is_empty());
    let again = contest.tick(11 * S);
    assert_eq!(written(&again), first, "the same body: it finds itself");
    assert_eq!(starts(&contest.write_answered(12 * S, &job, won("1-a"))), 1);
    // Its first beat is late already, and its lease counts from second 1.
    assert_eq!(beats(&contest.tick(12 * S)), [1]);
    assert!(contest.may_write(15 * S, &job));
    assert!(!contest.may_write(16 * S, &job), "15 s after the first try");
    let stop = Action::Stop { job, why: Why::LostLease };
    assert!(contest.tick(16 * S).contains(&stop));
}

#[test]
fn a_claim_that_the_feed_brings_before_its_answer_is_asked_for_at_once() {
    let job = new_job();
    let mut contest = contest(1);
    contest.hear_spec(S, spec(&job, Retry::Safe));
    let run = written(&contest.tick(S));
    contest.write_answered(2 * S, &job, Answer::Unknown);
    let again = contest.hear_run(3 * S, &job, revision("1-a"), run.clone());
    assert_eq!(written(&again), run);
    assert_eq!(starts(&contest.write_answered(3 * S, &job, won("1-a"))), 1);
    assert!(contest.hear_run(3 * S, &job, revision("1-a"), run).is_empty());
}

#[test]
fn a_late_win_is_given_back_and_one_that_must_not_run_twice_takes_the_fence_first() {
    for retry in [Retry::Safe, Retry::Never] {
        let job = new_job();
        let mut contest = contest(1);
        contest.hear_spec(S, spec(&job, retry));
        contest.tick(S);
        let actions = contest.write_answered(16 * S, &job, won("1-a"));
        if retry == Retry::Safe {
            assert_eq!(writes(&actions), [(&job, Some("1-a".to_owned()), "open")]);
            continue;
        }
        assert!(matches!(actions[..], [Action::Fence { .. }]), "{actions:?}");
        let actions = contest.fence_answered(17 * S, &job, true);
        let Run::Lost { begun, .. } = written(&actions) else { panic!("{actions:?}") };
        assert!(!begun, "who has the fence knows that nobody begins");
    }
}

#[test]
fn a_job_that_must_not_run_twice_goes_only_behind_its_fence() {
    for (goes, expected) in [(true, None), (false, Some("lost"))] {
        let job = new_job();
        let mut contest = contest(1);
        contest.hear_spec(S, spec(&job, Retry::Never));
        contest.tick(S);
        let actions = contest.write_answered(S, &job, won("1-a"));
        let [Action::Fence { start, claim, .. }] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!((start.attempt, claim.to_string().as_str()), (1, "1-a"));
        let actions = contest.fence_answered(S, &job, goes);
        assert_eq!(starts(&actions), usize::from(goes));
        assert_eq!(states(&actions).first().copied(), expected);
        if !goes {
            let Run::Lost { begun, .. } = written(&actions) else { panic!("{actions:?}") };
            assert!(begun, "another may have passed it");
        }
    }
}

#[test]
fn a_job_that_became_anothers_while_it_was_fenced_does_not_begin() {
    let job = new_job();
    let mut contest = contest(1);
    contest.hear_spec(S, spec(&job, Retry::Never));
    contest.tick(S);
    contest.write_answered(S, &job, won("1-a"));
    assert!(contest.hear_run(S, &job, revision("1-b"), others(1)).is_empty());
    assert!(contest.fence_answered(S, &job, true).is_empty());
    assert_eq!(contest.busy(), 0);
}

#[test]
fn a_win_that_the_feed_contradicts_is_asked_for_again() {
    let job = new_job();
    let mut contest = contest(1);
    contest.hear_spec(S, spec(&job, Retry::Safe));
    let run = written(&contest.tick(S));
    contest.hear_run(S, &job, revision("1-b"), others(1));
    let again = contest.write_answered(S, &job, won("1-a"));
    assert_eq!(written(&again), run);
    assert!(contest.write_answered(S, &job, Answer::Lost).is_empty());
    assert_eq!(contest.busy(), 0);
    assert!(states(&contest.tick(20 * S)).is_empty(), "the feed does not tell the other's again");

    // An end that was told so is the end.
    let job = new_job();
    contest.hear_spec(S, spec(&job, Retry::Safe));
    contest.tick(S);
    contest.hear_run(S, &job, revision("2-b"), Run::Done { claim: claim_of(2, 1), end: end(0) });
    contest.write_answered(S, &job, won("1-a"));
    contest.write_answered(S, &job, Answer::Lost);
    assert!(!contest.jobs.contains_key(&job));

    // When the other one yields, the feed says ours, and the answer stands.
    let job = new_job();
    contest.hear_spec(S, spec(&job, Retry::Safe));
    let run = written(&contest.tick(S));
    contest.hear_run(S, &job, revision("1-b"), others(1));
    contest.hear_run(S, &job, revision("1-a"), run);
    assert_eq!(starts(&contest.write_answered(S, &job, won("1-a"))), 1);
}

#[test]
fn an_end_that_comes_before_its_spec_is_an_end() {
    let job = new_job();
    let mut contest = contest(1);
    contest.hear_run(S, &job, revision("1-a"), Run::Expired { reason: "late".to_owned() });
    contest.hear_spec(S, spec(&job, Retry::Safe));
    assert!(states(&contest.tick(S)).is_empty());
}

/// A copy that got the end before the spec tells the spec again, and that alone, when its feed goes back.
#[test]
fn a_job_that_ended_is_not_queued_again_by_its_spec() {
    let job = new_job();
    let ended = |own: bool| {
        let mut contest = if own { running(&job, Retry::Safe) } else { contest(1) };
        if own {
            contest.job_ended(S, &job, Some(end(0)));
            contest.write_answered(S, &job, won("2-a"));
        } else {
            contest.hear_spec(S, spec(&job, Retry::Safe));
            let lost = lost(claim_of(2, 1));
            contest.hear_run(S, &job, revision("2-a"), lost);
        }
        contest
    };
    for own in [true, false] {
        let mut contest = ended(own);
        for _ in 0..2 {
            contest.hear_spec(2 * S, spec(&job, Retry::Safe));
            assert!(states(&contest.tick(9 * S)).is_empty(), "own: {own}");
            assert_eq!(contest.busy(), 0);
        }
        // Its end was deleted: as if nobody had ever claimed it.
        contest.hear_no_run(10 * S, &job);
        contest.hear_spec(10 * S, spec(&job, Retry::Safe));
        assert_eq!(states(&contest.tick(10 * S)), ["claimed"], "own: {own}");
    }
}

/// An engine lives for months: of the jobs that it heard of it keeps no documents.
#[test]
fn nothing_but_its_id_stays_of_a_job_that_ended() {
    let mut contest = contest(1);
    for _ in 0..100 {
        let job = new_job();
        contest.hear_spec(S, spec(&job, Retry::Safe));
        let claimed = written(&contest.tick(S));
        contest.write_answered(S, &job, won("1-a"));
        contest.hear_run(S, &job, revision("1-a"), claimed);
        let done = written(&contest.job_ended(S, &job, Some(end(0))));
        contest.write_answered(S, &job, won("2-a"));
        contest.hear_run(S, &job, revision("2-a"), done);
        assert!(contest.ended.has(&job));
        assert_eq!((contest.jobs.len(), contest.runs_early.puttings()), (0, 0));
        assert_eq!((contest.queue.len(), contest.deadlines.len(), contest.writes.len()), (0, 0, 0));
    }
}

#[test]
fn a_cancel_during_the_claim_starts_and_stops_it() {
    let job = new_job();
    let mut contest = contest(1);
    contest.hear_spec(S, spec(&job, Retry::Safe));
    contest.tick(S);
    contest.hear_cancel(&job);
    let actions = contest.write_answered(S, &job, won("1-a"));
    assert!(
        matches!(actions[..], [Action::Start { .. }, Action::Stop { why: Why::Cancelled, .. }]),
        "{actions:?}"
    );
}

#[test]
fn heavy_jobs_take_their_slots_and_room_is_kept_for_them() {
    let mut contest = contest(4);
    let (light, big, late) = (new_job(), new_job(), new_job());
    contest.hear_spec(S, spec(&light, Retry::Safe));
    assert_eq!(states(&contest.tick(S)), ["claimed"]);
    contest.write_answered(S, &light, won("1-a"));
    contest.hear_spec(2 * S, heavy(&big, 99));
    assert!(states(&contest.tick(2 * S)).is_empty(), "it takes all four, and one is taken");
    // For a while lighter ones may go first, and then they may not.
    let quick = new_job();
    contest.hear_spec(3 * S, spec(&quick, Retry::Safe));
    assert_eq!(writes(&contest.tick(3 * S)), [(&quick, None, "claimed")]);
    contest.write_answered(3 * S, &quick, Answer::Lost);
    contest.hear_spec(7 * S, spec(&late, Retry::Safe));
    assert!(states(&contest.tick(7 * S)).is_empty(), "room is kept since second 7");
    contest.job_ended(8 * S, &light, Some(end(0)));
    contest.write_answered(8 * S, &light, won("2-a"));
    assert_eq!(writes(&contest.tick(8 * S)), [(&big, None, "claimed")]);
    assert_eq!(contest.slots_taken, 4);
}

#[test]
fn engines_that_become_free_at_once_do_not_all_try_the_same_job() {
    let jobs: Vec<JobId> = (0..CHOICE_OF).map(|_| new_job()).collect();
    let firsts: BTreeSet<JobId> = (0..20)
        .map(|n| {
            let mut contest = Contest::new(Config { engine: format!("e{n}"), ..config(1) });
            contest.add_plugin("abc");
            contest.hear_engines(20);
            jobs.iter().for_each(|job| contest.hear_spec(S, spec(job, Retry::Safe)));
            // All have waited out their turns.
            writes(&contest.tick(9 * S))[0].0.clone()
        })
        .collect();
    // By chance about 12; 5 or fewer are never seen.
    assert!(firsts.len() > 5, "20 engines tried {} of {CHOICE_OF} jobs", firsts.len());
}

const CHOICE_OF: usize = 16;

#[test]
fn above_its_limit_an_engine_leaves_jobs_out_and_wants_them_listed_again() {
    let mut contest = without_plugin(1);
    let sample = Spec::sample(&new_job(), Retry::Safe);
    let jobs: Vec<JobId> = (0..=JOBS_KNOWN_MAX).map(|_| new_job()).collect();
    for job in &jobs {
        let spec = Spec { job: job.clone(), tasks: vec![job.clone()], ..sample.clone() };
        contest.hear_spec(S, Arc::new(spec));
    }
    assert_eq!(contest.jobs.len(), JOBS_KNOWN_MAX);
    assert!(!contest.wants_listing(), "there is no room yet");
    let left_out = jobs.last().unwrap();
    contest.tick(61 * S);
    assert_eq!(contest.jobs.len(), 0, "their time is over");
    assert_eq!(contest.oldest("blitz-jobs-japan-1"), Some(left_out));
    assert!(contest.wants_listing());
    assert!(!contest.wants_listing(), "it says so once");
}

#[test]
fn the_oldest_job_is_one_of_the_database_that_was_asked_for() {
    let mut contest = contest(1);
    let jobs = [JobId::new("japan", 10), JobId::new("japan", 1), JobId::new("japan", 3)];
    jobs.iter().for_each(|job| contest.hear_spec(S, spec(job, Retry::Safe)));
    for job in &jobs {
        assert_eq!(contest.oldest(&job.jobs_database()), Some(job));
    }
    assert_eq!(contest.oldest("blitz-jobs-japan-2"), None);
    assert_eq!(contest.oldest("x"), None);
}
