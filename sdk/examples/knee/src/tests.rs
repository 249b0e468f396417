//! Services of which every second is written down.

use std::rc::Rc;
use std::time::Duration;

use blitz_plugin::HostError;
use blitz_plugin::load::ErrorKind;
use blitz_plugin::testing::{self, FakeHost, FakeLoad};

use super::*;

/// Steps of two seconds, of which the second one counts: so many answers in it, each after so many microseconds.
fn service(steps: &[(u64, u64)]) -> FakeLoad {
    steps.iter().fold(FakeLoad::default(), |load, (us, count)| {
        load.second(&[(200, 9_000_000, 1)]).second(&[(200, *us, *count)])
    })
}

#[test]
fn the_knee_is_behind_the_last_good_step_and_the_test_ends_there() {
    let load = service(&[(10_000, 100), (20_000, 190), (600_000, 200), (1, 1)]);
    let stopped_at = Rc::clone(&load.stopped_at);
    let ran =
        testing::run!(Knee, ["http://10.0.0.1/", "--hold=2s"], FakeHost::default().loads(load));
    assert_eq!((ran.status, ran.stderr().as_str()), (0, ""));
    let printed = "    10 users      100/s  p99    10.0 ms    0.0 % failed\n    \
                       20 users      190/s  p99    20.0 ms    0.0 % failed\n    \
                       40 users      200/s  p99   600.1 ms    0.0 % failed  too much\n\
                   the knee is behind 20 users\n";
    assert_eq!(ran.stdout(), printed);
    let record = ran.records("knee")[0];
    assert_eq!((&record["users"], &record["is_found"]), (&20.into(), &true.into()));
    assert_eq!(record["steps"][0]["rate_per_s"], 100);
    assert_eq!(stopped_at.get(), Some(Duration::from_secs(7)), "with the first tick behind it");
}

#[test]
fn the_arguments_become_a_plan() {
    let args = ["http://10.0.0.1/", "--from=3", "--to", "12", "--hold=2s", "-w", "1s"];
    let ran = testing::run!(Knee, args, FakeHost::default().loads(service(&[(1, 1); 3])));
    let [plan] = &ran.host.plans[..] else { panic!("{:?}", ran.host.plans) };
    let users: Vec<f64> = plan.shape.segments().iter().map(|segment| segment.from).collect();
    assert_eq!(users, [3.0, 6.0, 12.0]);
    assert_eq!(plan.shape.duration(), Duration::from_secs(6));
    assert_eq!((plan.steps[0].url.as_str(), plan.steps[0].timeout_ms), ("http://10.0.0.1/", 1000));
    assert_eq!(ran.status, 0);
    assert!(ran.stdout().ends_with("\nno knee up to 12 users; --to goes on\n"), "{}", ran.stdout());
    assert_eq!(ran.records("knee")[0]["is_found"], false);
}

#[test]
fn errors_are_too_much_as_slowness_is() {
    let load = service(&[(1000, 100)]).second(&[]).second(&[(200, 1000, 96), (503, 10, 2)]);
    let load = load.error(ErrorKind::Timeout, 2);
    for (percent, ends) in [("3.9", "the knee is behind 10 users\n"), ("4", "--to goes on\n")] {
        let args = ["http://10.0.0.1/", "--to=20", "--hold=2s", "--errors", percent];
        let ran = testing::run!(Knee, args, FakeHost::default().loads(load.clone()));
        assert!(ran.stdout().ends_with(ends), "{percent}: {}", ran.stdout());
        assert!(ran.stdout().contains("  4.0 % failed"), "{}", ran.stdout());
    }
}

#[test]
fn a_service_that_takes_nothing_has_no_knee() {
    let dead = FakeLoad::default().second(&[]).second(&[]).error(ErrorKind::Connect, 10);
    for load in [dead, service(&[(900_000, 10)])] {
        let ran =
            testing::run!(Knee, ["http://10.0.0.1/", "--hold=2s"], FakeHost::default().loads(load));
        let said = "knee: the first step was too much; --from is less\n";
        assert_eq!((ran.status, ran.stderr().as_str()), (3, said), "{}", ran.stdout());
        assert!(ran.records("knee").is_empty());
    }
}

#[test]
fn what_was_measured_before_the_end_is_told() {
    let four = || service(&[(1000, 10); 4]);
    let stopped = || FakeHost::default().loads(four()).cancelled_after(Duration::from_millis(4500));
    let ran = testing::run!(Knee, ["http://10.0.0.1/", "--hold=2s"], stopped());
    assert_eq!(ran.status, 1);
    assert!(ran.stdout().ends_with("no knee up to 10 users: it was stopped\n"), "{}", ran.stdout());

    let short = FakeHost::default().loads(service(&[(1000, 10)])).time(Duration::from_secs(3));
    let ran = testing::run!(Knee, ["http://10.0.0.1/", "--hold=2s"], short);
    let said = "knee: there is no time for more than 10 users; --timeout gives more\n";
    assert_eq!((ran.status, ran.stderr().as_str()), (0, said));
}

#[test]
fn what_the_host_refuses_is_told() {
    let nobody = HostError::Denied("10.0.0.1 may not be loaded".to_owned());
    let host = FakeHost::default().no_load(nobody);
    let ran = testing::run!(Knee, ["http://10.0.0.1/"], host);
    let said = "knee: refused by testing: 10.0.0.1 may not be loaded\n";
    assert_eq!((ran.status, ran.stderr().as_str()), (122, said));

    let gone = HostError::Failed("the workers are gone".to_owned());
    let host = FakeHost::default().loads(service(&[(1000, 10)]).then_fails(gone));
    let ran = testing::run!(Knee, ["http://10.0.0.1/", "--hold=2s"], host);
    assert_eq!((ran.status, ran.stderr().as_str()), (1, "knee: the workers are gone\n"));

    for (args, said) in [
        (["--hold=1s", "http://h/"], "knee: --hold is 2s or more, in whole seconds\n"),
        (["--to=9", "http://h/"], "knee: --to is not less than --from\n"),
    ] {
        let ran = testing::run!(Knee, args);
        assert_eq!((ran.status, ran.stderr().as_str()), (2, said));
    }
}
