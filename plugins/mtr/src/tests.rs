//! Whole runs over a network whose every answer is the test's to say.

mod time;

use std::net::IpAddr;
use std::time::Duration;

use blitz_plugin::HostError;
use blitz_plugin::probes::{Answer, Label, Network, Outcome, Probe, Protocol};
use blitz_plugin::testing::{self, FakeHost, FakePath, Ran};
use blitz_plugin::web::Family;

use super::Mtr;

const MS: Duration = Duration::from_millis(1);
const TARGET: u8 = 4;

fn address(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

/// An answer of a hop on a way of [`TARGET`] hops, so many milliseconds times its distance after.
fn answer(probe: &Probe) -> (Duration, Answer) {
    let ttl = probe.ttl.min(TARGET);
    let outcome = if ttl == TARGET { Outcome::Reached } else { Outcome::TimeExceeded };
    let rtt = MS * 10 * u32::from(ttl);
    let rtt_ns = u64::try_from(rtt.as_nanos()).unwrap();
    (rtt, Answer::new(probe.id, outcome, Some(address(ttl)), rtt_ns))
}

fn way() -> FakePath {
    FakePath::new(|probe| vec![answer(probe)]).address(address(TARGET))
}

fn run(args: &[&str], path: FakePath) -> Ran {
    testing::run!(Mtr, args, FakeHost::default().path(path))
}

/// Without the first line, which has the time.
fn report(ran: &Ran) -> String {
    assert_eq!((ran.status, ran.stderr().as_str()), (0, ""));
    let text = ran.stdout();
    let (start, rest) = text.split_once('\n').unwrap();
    assert!(start.starts_with("Start: 20") && start.ends_with("+0000"), "{start}");
    rest.to_owned()
}

#[test]
fn a_report_is_as_mtr_prints_it() {
    let path = way().name(address(1), "a-router-with-a-long-name.example");
    let ran = run(&["--report", "-c2", "host.example"], path);
    assert_eq!(
        report(&ran),
        "\
HOST: testing                     Loss%   Snt   Last   Avg  Best  Wrst StDev
  1.|-- a-router-with-a-long-name  0.0%     2   10.0  10.0  10.0  10.0   0.0
  2.|-- 10.0.0.2                   0.0%     2   20.0  20.0  20.0  20.0   0.0
  3.|-- 10.0.0.3                   0.0%     2   30.0  30.0  30.0  30.0   0.0
  4.|-- 10.0.0.4                   0.0%     2   40.0  40.0  40.0  40.0   0.0
"
    );
    assert!(ran.records("path").is_empty(), "a report alone");
    let [record] = &ran.records("report")[..] else { panic!("{:?}", ran.host.events) };
    assert_eq!((&record["hops_count"], &record["is_reached"]), (&4.into(), &true.into()));
    assert_eq!((&record["avg_us"], &record["loss_percent"]), (&40_000.into(), &0.into()));
    assert_eq!(record["hops"][0]["addresses"][0]["name"], "a-router-with-a-long-name.example");
    assert_eq!(record["hops"][3]["addresses"][0]["flows"][0], 1);
}

#[test]
fn wide_reports_cut_no_host_and_order_chooses_columns() {
    let path = way().name(address(1), "a-router-with-a-long-name.example");
    let ran = run(&["-wb", "-c", "1", "-o", "LDRS JMXIG", "host.example"], path);
    assert_eq!(
        report(&ran),
        "\
HOST: testing                                        Loss% Drop   Rcv   Snt  Jttr Javg Jmax Jint Gmean
  1.|-- a-router-with-a-long-name.example (10.0.0.1)  0.0%    0     1     1   0.0  0.0  0.0  0.0  10.0
  2.|-- 10.0.0.2                                      0.0%    0     1     1   0.0  0.0  0.0  0.0  20.0
  3.|-- 10.0.0.3                                      0.0%    0     1     1   0.0  0.0  0.0  0.0  30.0
  4.|-- 10.0.0.4                                      0.0%    0     1     1   0.0  0.0  0.0  0.0  40.0
"
    );
}

#[test]
fn the_command_line_reaches_the_probes() {
    for (args, protocol, family, port) in [
        (&["x"][..], Protocol::Icmp, Family::Any, 33434),
        (&["-u4", "x"], Protocol::Udp, Family::Ipv4, 33434),
        (&["-T6", "x"], Protocol::Tcp, Family::Ipv6, 80),
        (&["-T", "-P", "443", "-s", "100", "x"], Protocol::Tcp, Family::Any, 443),
    ] {
        let path = way();
        let sent = path.sent.clone();
        let ran = run(args, path);
        let [target] = &ran.host.targets[..] else { panic!("{:?}", ran.host.targets) };
        assert_eq!((target.host.as_str(), target.protocol, target.family), ("x", protocol, family));
        let first = sent.borrow()[0].1;
        assert_eq!((first.port, first.flow, first.ttl), (port, 0, 1), "{args:?}");
        assert_eq!(first.size_bytes, if args.len() > 3 { 100 } else { 64 });
    }
}

#[test]
fn each_router_is_asked_once_a_round() {
    let path = way();
    let sent = path.sent.clone();
    run(&["-c3", "-i2", "x"], path);
    let sent = sent.borrow();
    for (round, at) in [(0, 0), (1, 2), (2, 4)] {
        let start = Duration::from_secs(at);
        let in_round = sent.iter().filter(|(at, _)| (start..start + MS * 2000).contains(at));
        let ttls: Vec<u8> = in_round.map(|(_, probe)| probe.ttl).collect();
        let wanted: &[u8] = if round == 0 { &[1, 2, 3, 4, 5, 6] } else { &[1, 2, 3, 4] };
        assert_eq!(ttls, wanted, "round {round}: the first one is a wave past the target");
    }
}

#[test]
fn udp_passes_the_target_by_little_and_each_syn_has_a_port() {
    for (args, ttls, flows) in [
        (&["-c1", "-u", "x"][..], &[1, 2, 3, 4, 5, 6][..], &[0; 6][..]),
        (&["-c1", "-T", "x"], &[1, 2, 3, 4, 5, 6], &[0, 1, 2, 3, 4, 5]),
        (&["-c1", "-u", "-f2", "x"], &[2, 3, 4], &[0; 3]),
        (
            &["-c1", "-T", "--paths=2", "x"],
            &[1, 2, 3, 4, 5, 6, 1, 2, 3, 4],
            &[0, 0, 0, 0, 0, 0, 1, 1, 1, 1],
        ),
    ] {
        let path = way();
        let sent = path.sent.clone();
        run(args, path);
        let sent = sent.borrow();
        assert_eq!(sent.iter().map(|(_, probe)| probe.ttl).collect::<Vec<u8>>(), ttls, "{args:?}");
        assert_eq!(
            sent.iter().map(|(_, probe)| probe.flow).collect::<Vec<u16>>(),
            flows,
            "{args:?}"
        );
    }
}

#[test]
fn loss_is_counted_and_late_answers_are_not_lost() {
    let mut times = 0;
    let path = FakePath::new(move |probe| {
        times += u32::from(probe.ttl == 2);
        match probe.ttl {
            // Every second one is lost.
            2 if times.is_multiple_of(2) => vec![],
            // After the next round has begun.
            3 => vec![(MS * 1500, answer(probe).1)],
            _ => vec![answer(probe)],
        }
    });
    let ran = run(&["--report", "-n", "-c4", "-o", "LSR", "x"], path);
    assert_eq!(
        report(&ran),
        "\
HOST: testing                     Loss%   Snt   Rcv
  1.|-- 10.0.0.1                   0.0%     4     4
  2.|-- 10.0.0.2                  50.0%     4     2
  3.|-- 10.0.0.3                  25.0%     4     3
  4.|-- 10.0.0.4                   0.0%     4     4
"
    );
}

#[test]
fn a_silent_target_has_a_row_behind_the_last_that_answered() {
    let path = FakePath::new(|probe| match probe.ttl {
        1 | 3 => vec![answer(probe)],
        _ => vec![],
    });
    let sent = path.sent.clone();
    let ran = run(&["--report", "-c2", "-oLS", "x"], path);
    assert_eq!(
        report(&ran),
        "\
HOST: testing                     Loss%   Snt
  1.|-- 10.0.0.1                   0.0%     2
  2.|-- ???                       100.0     2
  3.|-- 10.0.0.3                   0.0%     2
  4.|-- ???                       100.0     2
"
    );
    let record = ran.records("report")[0];
    assert_eq!((&record["is_reached"], &record["loss_percent"]), (&false.into(), &100.into()));
    assert!(record["avg_us"].is_null() && record["hops"][1]["avg_us"].is_null());
    let farthest = sent.borrow().iter().map(|(_, probe)| probe.ttl).max();
    assert_eq!(farthest, Some(13), "ten silent hops behind the third");
    let ran = run(&["--report", "-c1", "x"], FakePath::new(|_| vec![]));
    assert_eq!(report(&ran).lines().count(), 1, "a network without an answer has no hops");
    assert!(ran.host.waited.get() < MS * 8000, "{:?}", ran.host.waited);
}

#[test]
fn the_way_ends_where_somebody_says_so() {
    let path = FakePath::new(|probe| {
        let (after, mut answer) = answer(probe);
        if probe.ttl > 1 {
            answer.outcome = Outcome::Unreachable;
            answer.from = Some(address(1));
        }
        vec![(after, answer)]
    });
    let ran = run(&["--report", "-c1", "-oS", "x"], path);
    let text = report(&ran);
    assert_eq!(text.lines().count(), 3, "{text}");
    assert_eq!(ran.records("report")[0]["is_reached"], false);
}

#[test]
fn flows_show_which_way_they_take() {
    let path = FakePath::new(|probe| {
        let (after, mut answer) = answer(probe);
        if probe.ttl == 2 && probe.flow % 3 != 0 {
            answer.from = Some(address(22));
            answer.labels = vec![Label { label: 16, traffic_class: 0, is_bottom: true, ttl: 1 }];
        }
        vec![(after, answer)]
    });
    let sent = path.sent.clone();
    let ran = run(&["-we", "--paths", "6", "-c2", "-oS", "x"], path);
    assert_eq!(ran.records("report")[0]["sent"], 12);
    assert_eq!(
        report(&ran),
        "\
HOST: testing       Snt
  1.|-- 10.0.0.1     12
  2.|-- 10.0.0.22    12
    |-- 10.0.0.22  66.7%  flows 2-3,5-6
       [MPLS: Lbl 16 TC 0 S 1 TTL 1]
    |-- 10.0.0.2  33.3%  flows 1,4
  3.|-- 10.0.0.3     12
  4.|-- 10.0.0.4     12
"
    );
    let sent = sent.borrow();
    let starts = sent.iter().filter(|(_, probe)| probe.ttl == 1).map(|(at, _)| at.as_millis());
    let starts: Vec<u128> = starts.collect();
    assert_eq!(starts[..7], [0, 1000, 2000, 3000, 4000, 5000, 6000], "a second between flows");
    let addresses = &ran.records("report")[0]["hops"][1]["addresses"];
    assert_eq!((&addresses[1]["flows"][0], &addresses[1]["flows"][1]), (&1.into(), &4.into()));
}

#[test]
fn other_addresses_of_a_hop_stand_below_it() {
    let mut round = 0;
    let path = FakePath::new(move |probe| {
        let (after, mut answer) = answer(probe);
        round += u8::from(probe.ttl == 2);
        answer.from = Some(if probe.ttl == 2 { address(20 + round) } else { address(probe.ttl) });
        vec![(after, answer)]
    });
    let ran = run(&["--report", "-c3", "-m2", "-oL", "x"], path);
    assert_eq!(
        report(&ran),
        "\
HOST: testing                     Loss%
  1.|-- 10.0.0.1                   0.0%
  2.|-- 10.0.0.23                  0.0%
        10.0.0.21
        10.0.0.22
"
    );
}

#[test]
fn networks_come_from_the_engines_database() {
    let network = Network { asn: Some(64500), ..Network::default() };
    let host = FakeHost::default().path(way()).network(address(2), network);
    let ran = testing::run!(Mtr, ["--report", "-z", "-c1", "-oL", "x"], host);
    let text = report(&ran);
    assert!(text.contains("\n  1. AS???    10.0.0.1             0.0%\n"), "{text}");
    assert!(text.contains("\n  2. AS64500  10.0.0.2             0.0%\n"), "{text}");
    assert_eq!(ran.records("report")[0]["hops"][1]["addresses"][0]["asn"], 64500);
    let ran = run(&["--report", "-z", "-c1", "-oL", "x"], way());
    assert_eq!(ran.stderr(), "mtr: -z: this engine has no database of networks\n");
    assert!(ran.stdout().contains("AS???    10.0.0.4"), "{}", ran.stdout());
}

#[test]
fn a_terminal_is_told_twice_a_second_at_most() {
    let ran = run(&["-c3", "x"], way());
    let records = ran.records("path");
    assert!((3..=7).contains(&records.len()), "{} records in 2.5 s", records.len());
    let last = records.last().unwrap();
    assert_eq!((&last["round"], &last["rounds_count"]), (&3.into(), &3.into()));
    assert_eq!(last["hops"][1]["host"], "10.0.0.2");
    assert_eq!(last["hops"][1]["last_us"], 20_000);
    assert!(ran.stdout().starts_with("Start: "));
}

#[test]
fn what_cannot_be_done_is_told() {
    let refused = HostError::Denied("10.0.0.4 is private".to_owned());
    let unknown = HostError::Failed("host \"x\" has no address".to_owned());
    for (args, host, status, says) in [
        (&["x"][..], FakeHost::default().no_path(refused), 122, "refused by testing: 10.0.0.4 is"),
        (&["x"], FakeHost::default().no_path(unknown), 1, "host \"x\" has no address"),
        (&["-o", "Q", "x"], FakeHost::default(), 1, "unknown field identifier: Q"),
        (&["-uT", "x"], FakeHost::default(), 1, "-u and -T are mutually exclusive"),
        (&["-46", "x"], FakeHost::default(), 1, "-4 and -6 are mutually exclusive"),
        (&["-m0", "x"], FakeHost::default(), 1, "-m is 1 to 64, not 0"),
        (&["-m256", "x"], FakeHost::default(), 1, "-m is 1 to 64, not 256"),
        (&["-f5", "-m4", "x"], FakeHost::default(), 1, "the first hop is 5, and the last one 4"),
        (&["-c0", "x"], FakeHost::default(), 1, "-c is 1 to 100000, not 0"),
        (&["-s9000", "x"], FakeHost::default(), 1, "-s is 28 to 4470, not 9000"),
        (&["-P70000", "x"], FakeHost::default(), 1, "-P is 1 to 65535, not 70000"),
        (&["-i", "0", "x"], FakeHost::default(), 1, "-i is 0.1 s or more, not 0 s"),
        (&["-i", "50ms", "x"], FakeHost::default(), 1, "-i is 0.1 s or more, not 0.05 s"),
        (&[], FakeHost::default(), 2, "HOST is missing"),
    ] {
        let ran = testing::run!(Mtr, args, host);
        assert_eq!(ran.status, status, "{args:?}");
        assert!(ran.stderr().starts_with(&format!("mtr: {says}")), "{args:?}: {}", ran.stderr());
    }
}

#[test]
fn probes_that_do_not_leave_are_told() {
    let path = FakePath::new(|probe| {
        let mut unsent = Answer::new(probe.id, Outcome::Unsent, None, 0);
        unsent.text = Some("Network is unreachable".to_owned());
        vec![(MS, unsent)]
    });
    let ran = run(&["--report", "-c1", "x"], path);
    assert_eq!((ran.status, ran.stderr().as_str()), (1, "mtr: Network is unreachable\n"));
}

#[test]
fn foreign_answers_change_nothing() {
    let path = FakePath::new(|probe| {
        let (after, right) = answer(probe);
        let wrong = Answer::new(77_777, Outcome::Reached, Some(address(9)), 1);
        // Twice, and one that nobody asked for.
        vec![(after, right.clone()), (after, right), (MS, wrong)]
    });
    let ran = run(&["--report", "-c2", "-oRS", "x"], path);
    assert!(report(&ran).contains("  4.|-- 10.0.0.4                      2     2\n"));
    let rude = way().name(address(1), "a\u{1b}[2Jb").name(address(2), "");
    let ran = run(&["--report", "-c1", "-oS", "x"], rude);
    assert!(report(&ran).contains("  1.|-- 10.0.0.1 "), "an address, not what a terminal obeys");
}

#[test]
fn times_are_dates() {
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00+0000"),
        (951_827_696, "2000-02-29T12:34:56+0000"),
        (1_795_281_559, "2026-11-21T17:19:19+0000"),
    ] {
        assert_eq!(super::report::time_text(Duration::from_secs(seconds)), text);
    }
}
