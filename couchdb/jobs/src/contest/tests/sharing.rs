//! An engine with stays at several homes, and one that claims again.

use super::*;

#[test]
fn slots_that_other_stays_have_are_not_taken() {
    let mut contest = contest(2);
    contest.hear_elsewhere(1);
    for job in [new_job(), new_job()] {
        contest.hear_spec(S, spec(&job, Retry::Safe));
    }
    assert_eq!(states(&contest.tick(2 * S)), ["claimed"]);
    assert_eq!(contest.slots_taken(), 1);
    assert_eq!(states(&contest.tick(3 * S)), [""; 0]);
    contest.hear_elsewhere(0);
    assert_eq!(states(&contest.tick(4 * S)), ["claimed"]);
    assert_eq!(contest.slots_taken(), 2);
}

#[test]
fn a_stay_that_rested_claims_again_unless_it_has_given_back() {
    let job = new_job();
    let mut contest = contest(1);
    contest.drain();
    contest.hear_spec(S, spec(&job, Retry::Safe));
    assert_eq!(states(&contest.tick(2 * S)), [""; 0]);
    contest.resume();
    assert_eq!(states(&contest.tick(3 * S)), ["claimed"]);
    contest.give_back();
    contest.resume();
    contest.hear_spec(S, spec(&new_job(), Retry::Safe));
    assert_eq!(states(&contest.tick(4 * S)), [""; 0]);
}

#[test]
fn a_job_that_has_stopped_takes_no_slot_of_other_stays_while_its_home_is_away() {
    let job = new_job();
    let mut contest = running(&job, Retry::Safe);
    assert_eq!(contest.slots_taken(), 1);
    let stops = contest.tick(16 * S);
    assert!(matches!(stops[..], [Action::Stop { why: Why::LostLease, .. }, ..]), "{stops:?}");
    assert_eq!(contest.slots_taken(), 1, "it stops");
    assert_eq!(states(&contest.job_ended(17 * S, &job, None)), ["open"]);
    assert_eq!((contest.slots_taken(), contest.busy()), (0, 1));
    contest.write_answered(22 * S, &job, Answer::Unknown);
    assert_eq!((contest.slots_taken(), contest.busy()), (0, 1));
}
