//! Command lines and targets that are refused: the words of traceroute, and its exit status.

use blitz_plugin::HostError;
use blitz_plugin::testing::{self, FakeHost};

use crate::Traceroute;

#[test]
fn a_command_line_that_does_not_fit_is_refused() {
    for (args, says) in [
        (&["-m256", "x"][..], "max hops cannot be more than 255"),
        (&["-m0", "x"], "max hops must be 1 or more"),
        (&["-f0", "x"], "first hop out of range"),
        (&["-f33", "x"], "first hop out of range"),
        (&["-f", "256", "-m255", "x"], "first hop out of range"),
        (&["-q11", "x"], "no more than 10 probes per hop"),
        (&["-q0", "x"], "at least one probe per hop"),
        (&["-q-1", "x"], "at least one probe per hop"),
        (&["-w-1", "x"], "bad wait specifications `-1' used"),
        (&["-w1,2,3,4", "x"], "bad wait specifications `1,2,3,4' used"),
        (&["-wnan", "x"], "bad wait specifications `nan' used"),
        (&["-N0", "x"], "at least one probe must be out at once: -N 1"),
        (&["-p65536", "x"], "port out of range: 0 to 65535"),
        (&["-p-1", "x"], "port out of range: 0 to 65535"),
        (&["x", "65001"], "too big packetlen 65001 specified"),
        (&["x", "70000"], "too big packetlen 70000 specified"),
        (&["-46", "x"], "only one of -4 and -6 may be given"),
        (&["-IT", "x"], "only one of -I, -T and -U may be given"),
        (&["-mx", "y"], "option -m: \"x\" is not a whole number\ntry 'blitz help traceroute'"),
        (&["-z", "y"], "option -z is not supported\ntry 'blitz help traceroute'"),
        (&["x", "60", "70"], "unexpected argument \"70\"\ntry 'blitz help traceroute'"),
        (&[], "HOST is missing\ntry 'blitz help traceroute'"),
    ] {
        let ran = testing::run!(Traceroute, args);
        assert_eq!((ran.status, ran.stderr()), (2, format!("traceroute: {says}\n")), "{args:?}");
        assert_eq!((ran.stdout().as_str(), ran.host.targets.len()), ("", 0), "{args:?}");
    }
}

#[test]
fn a_target_that_cannot_be_had_is_told() {
    for (error, status, says) in [
        (
            HostError::Failed("Could not resolve host: x".to_owned()),
            2,
            "traceroute: Could not resolve host: x\n",
        ),
        (
            HostError::Denied("10.0.0.1 is private (policy public-only)".to_owned()),
            122,
            "traceroute: refused by testing: 10.0.0.1 is private (policy public-only)\n",
        ),
    ] {
        let ran = testing::run!(Traceroute, ["x"], FakeHost::default().no_path(error));
        assert_eq!((ran.status, ran.stderr().as_str()), (status, says));
        assert_eq!(ran.stdout(), "");
    }
}
