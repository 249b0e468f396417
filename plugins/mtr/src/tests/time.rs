//! Runs that end before all was asked that there was to ask.

use blitz_plugin::probes::Outcome;
use blitz_plugin::testing::{self, FakeHost, FakePath};

use super::{MS, address, answer, report, way};
use crate::Mtr;

#[test]
fn a_run_that_is_cancelled_reports_what_there_was() {
    let host = FakeHost::default().path(way()).cancelled_after(MS * 2015);
    let ran = testing::run!(Mtr, ["--report", "-oLS", "x"], host);
    assert_eq!(
        report(&ran),
        "\
HOST: testing                     Loss%   Snt
  1.|-- 10.0.0.1                   0.0%     3
  2.|-- 10.0.0.2                   0.0%     3
  3.|-- 10.0.0.3                   0.0%     3
  4.|-- 10.0.0.4                   0.0%     3
"
    );
}

const TIME_IS_OVER: &str = "mtr: the job's time is over; --timeout gives it more\n";

#[test]
fn the_last_round_is_the_last_that_the_jobs_time_has_room_for() {
    let slow = || {
        FakePath::new(|probe| {
            let (_, mut answer) = answer(probe);
            answer.rtt_ns = 700_000_000;
            vec![(MS * 700, answer)]
        })
    };
    for (args, path, time, rounds, says) in [
        (&["-c100"][..], way(), 8000, "8", TIME_IS_OVER),
        (&["-c8"], way(), 8000, "8", ""),
        (&["-c100"], way(), 3000, "3", TIME_IS_OVER),
        (&["-c60"], way(), 60_000, "60", ""),
        // A fifth of it is kept, however short it is, and three times the slowest answer, however long.
        (&["-c100", "-i0.5"], way(), 1000, "2", TIME_IS_OVER),
        (&["-c100"], slow(), 60_000, "58", TIME_IS_OVER),
        (&["-c100"], slow(), 5000, "5", TIME_IS_OVER),
        // Each flow has a turn of its own.
        (&["-c1", "--paths=6"], way(), 4000, "4", TIME_IS_OVER),
    ] {
        let host = FakeHost::default().path(path).time(MS * time);
        let ran = testing::run!(Mtr, [args, &["--report", "-oSL", "x"]].concat(), host);
        assert_eq!((ran.status, ran.stderr().as_str()), (0, says), "{args:?} in {time} ms");
        let text = ran.stdout();
        let first: Vec<&str> = text.lines().nth(2).unwrap().split_whitespace().collect();
        assert_eq!(first[2..], [rounds, "0.0%"], "{args:?} in {time} ms: {text}");
        assert!(ran.host.waited.get() < MS * time, "{args:?}: {:?}", ran.host.waited);
    }
}

#[test]
fn a_way_that_is_long_to_find_leaves_time_for_the_report() {
    // Every second hop is silent, and so is the last one of each wave.
    let path = FakePath::new(|probe| {
        let (_, mut answer) = answer(probe);
        answer.outcome = Outcome::TimeExceeded;
        answer.from = Some(address(probe.ttl));
        if probe.ttl % 2 == 0 { vec![] } else { vec![(MS * 10, answer)] }
    });
    let host = FakeHost::default().path(path).time(MS * 1000);
    let ran = testing::run!(Mtr, ["--report", "-c1", "-m64", "-oS", "x"], host);
    assert_eq!((ran.status, ran.stderr().as_str()), (0, TIME_IS_OVER));
    assert_eq!(ran.stdout().lines().count(), 2 + 18, "{}", ran.stdout());
    assert!(ran.host.waited.get() < MS * 1000, "{:?}", ran.host.waited);
}
