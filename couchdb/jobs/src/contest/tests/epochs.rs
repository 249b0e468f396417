//! Jobs and claims of other home epochs: a region that moved, engines that went to a hub by themselves, a home that was
//! wiped.

use super::*;
use crate::engine::Held;

/// The contest of a stay that has begun at second 0.
fn stay(epoch: u32, only_safe: bool) -> Contest {
    let mut contest = Contest::new(Config { epoch, only_safe, ..config(2) });
    contest.add_plugin("abc");
    contest
}

/// A job that was admitted under this epoch, with ten minutes.
fn admitted(job: &JobId, retry: Retry, home_epoch: u32) -> Arc<Spec> {
    Arc::new(Spec { home_epoch, timeout_ms: 600_000, ..Spec::sample(job, retry) })
}

fn held_under(epoch: u32) -> Run {
    Run::Claimed { claim: Claim { epoch, ..claim_of(2, 1) } }
}

/// When the stay writes something first, while polls are answered by nobody's beats, and what.
fn first_write(contest: &mut Contest) -> Option<(u64, Run)> {
    for ms in (0..=120_000_u64).step_by(100) {
        let now = Duration::from_millis(ms);
        contest.hear_beats(now, "japan", &[]);
        let actions = contest.tick(now);
        if !states(&actions).is_empty() {
            return Some((ms / 1_000, written(&actions)));
        }
    }
    None
}

/// When a stay claims a job that was admitted under this epoch.
fn claimed_after(mut contest: Contest, retry: Retry, home_epoch: u32) -> Option<u64> {
    contest.hear_spec(Duration::ZERO, admitted(&new_job(), retry, home_epoch));
    let (second, run) = first_write(&mut contest)?;
    assert_eq!((run.state(), run.epoch()), ("claimed", contest.config.epoch));
    Some(second)
}

#[test]
fn what_a_stay_claims_is_said_by_the_epoch_of_the_job_and_whether_it_may_run_twice() {
    use Retry::{Never, Safe};
    for (epoch, only_safe, home_epoch, retry, after) in [
        (3, false, 3, Safe, Some(0)),
        (3, false, 3, Never, Some(0)),
        (3, false, 1, Safe, Some(30)),
        (3, false, 1, Never, None),
        (3, false, 5, Safe, None),
        (3, false, 5, Never, None),
        (2, true, 1, Safe, Some(30)),
        (2, true, 1, Never, None),
        (2, true, 3, Safe, None),
        (4, true, 1, Safe, Some(30)),
        (4, true, 1, Never, None),
    ] {
        let found = claimed_after(stay(epoch, only_safe), retry, home_epoch);
        assert_eq!(found, after, "epoch {epoch}, admitted under {home_epoch}, {retry:?}");
    }
}

#[test]
fn what_a_job_waits_to_settle_is_not_taken_from_its_time() {
    let job = new_job();
    let mut contest = stay(3, false);
    let spec = Spec { home_epoch: 1, timeout_ms: 20_000, ..Spec::sample(&job, Retry::Safe) };
    contest.hear_spec(S, Arc::new(spec));
    assert!(states(&contest.tick(30 * S)).is_empty());
    assert_eq!(contest.due(), Some(31 * S));
    assert_eq!(states(&contest.tick(31 * S)), ["claimed"]);
    let actions = contest.write_answered(33 * S, &job, won("1-a"));
    let [Action::Start { time_left, .. }] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(*time_left, 18 * S);
}

#[test]
fn an_end_that_comes_while_a_job_settles_is_its_end() {
    let job = new_job();
    let mut contest = stay(3, false);
    contest.hear_spec(S, admitted(&job, Retry::Safe, 1));
    contest.hear_run(
        29 * S,
        &job,
        revision("2-b"),
        Run::Done { claim: claim_of(2, 1), end: end(0) },
    );
    assert_eq!(first_write(&mut contest), None);
}

#[test]
fn the_oldest_job_of_a_later_home_is_where_a_listing_begins() {
    let [early, late] = [JobId::new("japan", 1), JobId::new("japan", 1)];
    let mut contest = stay(1, false);
    for job in [&late, &early] {
        contest.hear_spec(S, admitted(job, Retry::Safe, 3));
    }
    assert_eq!(contest.oldest("blitz-jobs-japan-1"), Some((&early).min(&late)));
    assert!(!contest.wants_listing(), "nobody here may claim them");
    contest.hear_replaced("blitz-jobs-japan-1");
    assert_eq!(contest.oldest("blitz-jobs-japan-1"), None);
}

#[test]
fn claims_of_other_epochs_are_judged_where_they_are_to_be_taken_over() {
    use Retry::{Never, Safe};
    for (epoch, only_safe, home_epoch, held, retry, verdict) in [
        // The engine of the former home may beat there, and what it has to say may be on its way.
        (3, false, 1, 1, Safe, Some((30, "claimed"))),
        (3, false, 1, 2, Safe, Some((30, "claimed"))),
        (3, false, 1, 1, Never, None),
        // Engines that went to a hub are this home's.
        (1, false, 1, 2, Safe, Some((25, "claimed"))),
        (1, false, 1, 3, Safe, None),
        (3, false, 3, 5, Safe, None),
        (3, false, 3, 3, Never, Some((25, "lost"))),
        (2, true, 1, 1, Safe, Some((30, "claimed"))),
        (2, true, 1, 1, Never, None),
        (2, true, 1, 3, Safe, None),
    ] {
        let job = new_job();
        let mut contest = stay(epoch, only_safe);
        contest.hear_spec(Duration::ZERO, admitted(&job, retry, home_epoch));
        contest.hear_run(Duration::ZERO, &job, revision("1-b"), held_under(held));
        let found = first_write(&mut contest);
        let found = found.as_ref().map(|(second, run)| (*second, run.state()));
        // Watchers have turns of less than two seconds.
        let is_so = match (found, verdict) {
            (Some((second, state)), Some((least, wanted))) => {
                (least..least + 2).contains(&second) && state == wanted
            }
            (found, wanted) => found.is_none() && wanted.is_none(),
        };
        assert!(is_so, "epoch {epoch}, claimed under {held}, {retry:?}: {found:?}");
    }
}

#[test]
fn what_a_later_home_gave_back_is_left_to_it() {
    for (last, claims) in [(1, true), (2, true), (3, false)] {
        let job = new_job();
        let mut contest = stay(1, false);
        contest.hear_spec(Duration::ZERO, admitted(&job, Retry::Safe, 1));
        let last_claim = Claim { epoch: last, ..claim_of(2, 1) };
        contest.hear_run(Duration::ZERO, &job, revision("2-b"), opened(last_claim));
        assert_eq!(first_write(&mut contest).is_some(), claims, "given back under {last}");
    }
}

#[test]
fn who_runs_a_job_that_a_later_home_has_stops() {
    let job = new_job();
    let mut contest = running(&job, Retry::Safe);
    let actions = contest.hear_run(S, &job, revision("1-b"), held_under(3));
    assert_eq!(actions, [Action::Stop { job: job.clone(), why: Why::LostClaim }]);
    assert!(!contest.may_write(S, &job));
    assert!(contest.job_ended(2 * S, &job, None).is_empty());
    assert_eq!((contest.busy(), states(&contest.tick(100 * S)).len()), (0, 0));
}

#[test]
fn who_leaves_a_home_gives_back_what_may_run_twice_and_lets_the_rest_come_to_its_end() {
    let (safe, never, waits) = (new_job(), new_job(), new_job());
    let mut contest = contest(3);
    for (job, retry) in [(&safe, Retry::Safe), (&never, Retry::Never)] {
        contest.hear_spec(S, spec(job, retry));
        contest.tick(S);
        contest.write_answered(S, job, won("1-a"));
        contest.fence_answered(S, job, true);
    }
    contest.hear_run(S, &waits, revision("1-b"), others(1));
    contest.hear_spec(S, spec(&waits, Retry::Safe));
    let stops = contest.leave_home();
    assert_eq!(stops, [Action::Stop { job: safe.clone(), why: Why::Release }]);
    assert!(contest.leave_home().is_empty(), "once");
    let run = written(&contest.job_ended(S, &safe, None));
    let reason = run.reason().unwrap();
    assert_eq!(run.state(), "open");
    assert_eq!(reason, "engine e1: its region has moved to another home");
    contest.write_answered(S, &safe, won("2-a"));
    // Nothing is claimed, watched or taken over.
    contest.hear_spec(S, spec(&new_job(), Retry::Safe));
    contest.hear_run(S, &waits, revision("2-b"), opened(claim_of(2, 1)));
    for second in 2..=60 {
        let actions = contest.tick(second * S);
        assert!(states(&actions).is_empty(), "{actions:?}");
        assert!(!actions.iter().any(|action| matches!(action, Action::Poll { .. })));
        contest.beat_acknowledged(second * S, second * S);
    }
    assert!(contest.may_write(60 * S, &never) && contest.busy() == 1);
    assert_eq!(states(&contest.job_ended(60 * S, &never, Some(end(0)))), ["done"]);
    contest.write_answered(60 * S, &never, won("2-a"));
    assert_eq!(contest.busy(), 0, "the stay is over");
}

#[test]
fn a_claim_that_is_under_way_when_the_home_is_left_is_given_back_or_begun() {
    for (retry, state) in [(Retry::Safe, Some("open")), (Retry::Never, None)] {
        let job = new_job();
        let mut contest = contest(1);
        contest.hear_spec(S, spec(&job, retry));
        assert_eq!(states(&contest.tick(S)), ["claimed"]);
        assert!(contest.leave_home().is_empty());
        let mut actions = contest.write_answered(S, &job, won("1-a"));
        assert_eq!(states(&actions), Vec::from_iter(state));
        if retry == Retry::Never {
            // Nobody else will ever begin it.
            assert!(matches!(actions[..], [Action::Fence { .. }]), "{actions:?}");
            actions = contest.fence_answered(S, &job, true);
        }
        assert_eq!(starts(&actions), usize::from(retry == Retry::Never));
    }
}

#[test]
fn a_job_that_came_to_its_end_when_its_home_was_left_has_ended() {
    let job = new_job();
    let mut contest = running(&job, Retry::Safe);
    assert_eq!(contest.leave_home().len(), 1);
    assert_eq!(states(&contest.job_ended(S, &job, Some(end(0)))), ["done"]);
}

#[test]
fn who_left_a_home_and_is_to_go_gives_up_what_must_not_run_twice_too() {
    let job = new_job();
    let mut contest = running(&job, Retry::Never);
    assert!(contest.leave_home().is_empty());
    assert_eq!(contest.give_back(), [Action::Stop { job, why: Why::Cancelled }]);
}

#[test]
fn another_stay_of_the_same_engine_is_not_called_dead() {
    let job = new_job();
    let held = |contest: &mut Contest| {
        let beat = |action| match action {
            Action::Beat { held, .. } => Some(held),
            _ => None,
        };
        contest.tick(S).into_iter().find_map(beat)
    };
    let beside = Run::Claimed { claim: Claim { incarnation: incarnation(9), ..claim_of(1, 1) } };
    for (told_before, said) in [(true, None), (false, Some(Vec::<Held>::new()))] {
        let mut contest = stay(3, false);
        if told_before {
            contest.hear_beside(incarnation(9));
        }
        contest.hear_run(S, &job, revision("1-b"), beside.clone());
        contest.hear_beside(incarnation(9));
        assert_eq!(
            held(&mut contest),
            said,
            "it says that it lives, and of nobody that he is dead"
        );
    }
}

/// The old jobs of a home that was wiped and made anew come back out of the hubs, and their runs may not.
#[test]
fn a_home_that_was_made_anew_begins_nothing_twice_that_must_not_be() {
    let (never, safe, new) = (new_job(), new_job(), new_job());
    let mut old = running(&never, Retry::Never);
    let stops = old.hear_replaced("blitz-jobs-japan-1");
    assert_eq!(stops, [Action::Stop { job: never.clone(), why: Why::LostClaim }]);
    assert!(old.job_ended(S, &never, None).is_empty() && old.busy() == 0);
    let mut contest = stay(3, false);
    contest.hear_spec(S, admitted(&never, Retry::Never, 1));
    contest.hear_spec(S, admitted(&safe, Retry::Safe, 1));
    contest.hear_spec(S, admitted(&new, Retry::Never, 3));
    assert_eq!(writes(&contest.tick(S)), [(&new, None, "claimed")]);
    contest.write_answered(S, &new, won("1-a"));
    let mut claims = Vec::new();
    for second in 2..200 {
        contest.beat_acknowledged(second * S, second * S);
        let actions = contest.tick(second * S);
        claims.extend(writes(&actions).into_iter().map(|(job, ..)| (second, job.clone())));
    }
    assert_eq!(claims, [(31, safe)], "and never the other one");
}

/// Each rule is what keeps something from happening: without it, it does.
#[cfg(feature = "mutants")]
#[test]
fn without_its_rule_a_stay_takes_what_is_not_its_own() {
    use crate::guards::Guard;
    use Retry::{Never, Safe};
    for (guard, epoch, only_safe, home_epoch, retry, after) in [
        (Guard::LaterEpoch, 1, false, 3, Safe, Some(0)),
        (Guard::EarlierEpochNever, 3, false, 1, Never, Some(30)),
        (Guard::SettleFirst, 3, false, 1, Safe, Some(0)),
        (Guard::ProvisionalSafeOnly, 2, true, 1, Never, Some(30)),
    ] {
        let guards = Guards::default().without(guard);
        let mut contest = Contest::new(Config { epoch, only_safe, guards, ..config(2) });
        contest.add_plugin("abc");
        assert_eq!(claimed_after(contest, retry, home_epoch), after, "without {guard}");
        assert_ne!(claimed_after(stay(epoch, only_safe), retry, home_epoch), after);
    }
}
