//! Whole runs over a network that is made up.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use blitz_plugin::HostError;
use blitz_plugin::probes::{Answer, Outcome, Probe, Protocol};
use blitz_plugin::testing::{self, FakeHost, FakePath, Ran};

use crate::Ping;

const TARGET: &str = "192.0.2.1";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn reply(probe: &Probe, rtt_us: u64) -> (Duration, Answer) {
    let answer = Answer::new(probe.id, Outcome::Reached, Some(ip(TARGET)), rtt_us * 1000);
    (Duration::from_micros(rtt_us), Answer { ttl: Some(57), ..answer })
}

fn host(hears: impl FnMut(&Probe) -> Vec<(Duration, Answer)> + 'static) -> FakeHost {
    FakeHost::default().path(FakePath::new(hears))
}

fn elapsed(ran: &Ran) -> Duration {
    ran.host.waited.get()
}

#[test]
fn the_words_are_those_of_ping() {
    let path = FakePath::new(|probe| {
        vec![reply(probe, [0, 11_399, 1234, 987, 123_456][probe.id as usize])]
    });
    let ran = testing::run!(
        Ping,
        ["example.com"],
        FakeHost::default().path(path.name(ip(TARGET), "name.example"))
    );
    assert_eq!(
        ran.stdout(),
        "PING example.com (192.0.2.1) 56(84) bytes of data.\n\
         64 bytes from name.example (192.0.2.1): icmp_seq=1 ttl=57 time=11.4 ms\n\
         64 bytes from name.example (192.0.2.1): icmp_seq=2 ttl=57 time=1.23 ms\n\
         64 bytes from name.example (192.0.2.1): icmp_seq=3 ttl=57 time=0.987 ms\n\
         64 bytes from name.example (192.0.2.1): icmp_seq=4 ttl=57 time=123 ms\n\
         \n\
         --- example.com ping statistics ---\n\
         4 packets transmitted, 4 received, 0% packet loss, time 3000ms\n\
         rtt min/avg/max/mdev = 0.987/34.269/123.456/51.663 ms\n"
    );
    assert_eq!((ran.status, ran.stderr().as_str()), (0, ""));
    assert_eq!(elapsed(&ran), ms(3000) + Duration::from_micros(123_456), "no longer than the last");
    let summary = ran.records("summary")[0];
    assert_eq!((&summary["sent"], &summary["received"]), (&4.into(), &4.into()));
    assert_eq!(
        (&summary["rtt_us"]["avg"], &summary["jitter_us"]),
        (&34_269.into(), &44_293.into())
    );
    let echoes = ran.records("echo");
    assert_eq!((&echoes[0]["rtt_us"], &echoes[0]["outcome"]), (&11_399.into(), &"reply".into()));
    assert_eq!(ran.host.observations["rtt_us"].len(), 4);
}

#[test]
fn an_address_has_no_name_and_ipv6_its_own_words() {
    let ran = testing::run!(Ping, ["-c1", "-s100", TARGET], host(|p| vec![reply(p, 500)]));
    assert!(!ran.host.targets[0].names);
    assert!(ran.stdout().starts_with(
        "PING 192.0.2.1 (192.0.2.1) 100(128) bytes of data.\n108 bytes from 192.0.2.1: icmp_seq=1"
    ));
    let far = "2001:db8::1";
    for (name, head) in [
        (far, "PING 2001:db8::1(2001:db8::1) 56 data bytes\n"),
        ("six.example", "PING six.example(six.example (2001:db8::1)) 56 data bytes\n"),
        ("-n", "PING six.example(2001:db8::1) 56 data bytes\n"),
    ] {
        let path = FakePath::new(|p| vec![reply(p, 500)]).address(ip(far));
        let sent = Rc::clone(&path.sent);
        let args = if name == "-n" { vec!["-nc1", "six.example"] } else { vec!["-c1", name] };
        let ran = testing::run!(Ping, args, FakeHost::default().path(path));
        assert!(ran.stdout().starts_with(head), "{}", ran.stdout());
        assert_eq!((sent.borrow()[0].1.size_bytes, sent.borrow()[0].1.ttl), (104, 64));
    }
}

#[test]
fn silence_is_told() {
    let ran = testing::run!(Ping, ["-c2", "-i0.2", "-W0.5", "-O", TARGET], host(|_| Vec::new()));
    assert_eq!(
        ran.stdout(),
        "PING 192.0.2.1 (192.0.2.1) 56(84) bytes of data.\n\
         no answer yet for icmp_seq=1\n\
         \n\
         --- 192.0.2.1 ping statistics ---\n\
         2 packets transmitted, 0 received, 100% packet loss, time 200ms\n\
         \n"
    );
    assert_eq!((ran.status, elapsed(&ran)), (1, ms(700)));
    let summary = ran.records("summary")[0];
    assert!(summary["rtt_us"].is_null() && summary["jitter_us"].is_null());
    assert_eq!(summary["loss_percent"], 100.0);
}

#[test]
fn errors_are_told() {
    let error = |outcome, icmp, mtu| {
        host(move |probe| {
            let answer = Answer::new(probe.id, outcome, Some(ip("10.0.0.1")), 1000);
            vec![(ms(1), Answer { icmp: Some(icmp), mtu, ..answer })]
        })
    };
    for (outcome, icmp, mtu, says) in [
        (Outcome::TimeExceeded, (11, 0), None, "Time to live exceeded"),
        (Outcome::Unreachable, (3, 1), None, "Destination Host Unreachable"),
        (Outcome::Unreachable, (3, 13), None, "Packet filtered"),
        (Outcome::Unreachable, (3, 4), Some(1400), "Frag needed and DF set (mtu = 1400)"),
        (Outcome::Unreachable, (3, 99), None, "Dest Unreachable, Bad Code: 99"),
        (Outcome::Unreachable, (42, 0), None, "Bad ICMP type: 42"),
    ] {
        let ran = testing::run!(Ping, ["-c2", TARGET], error(outcome, icmp, mtu));
        let text = ran.stdout();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], format!("From 10.0.0.1 icmp_seq=1 {says}"));
        assert_eq!(
            lines[5],
            "2 packets transmitted, 0 received, +2 errors, 100% packet loss, time 1000ms"
        );
        assert_eq!((ran.status, elapsed(&ran)), (1, ms(1001)));
    }
}

#[test]
fn what_does_not_leave_is_told() {
    let unsent = |mtu: Option<u32>| {
        host(move |probe| {
            let answer = Answer::new(probe.id, Outcome::Unsent, None, 0);
            vec![(
                ms(0),
                Answer { mtu, text: Some("Operation not permitted".to_owned()), ..answer },
            )]
        })
    };
    let args = ["-c1", "-Mdo", "-s2000", TARGET];
    let ran = testing::run!(Ping, args, unsent(Some(1500)));
    assert_eq!(ran.stderr(), "ping: local error: message too long, mtu=1500\n");
    assert!(
        ran.stdout().contains("1 packets transmitted, 0 received, +1 errors, 100% packet loss")
    );
    assert_eq!((ran.status, ran.host.targets[0].dont_fragment), (1, true));
    let ran = testing::run!(Ping, ["-c1", TARGET], unsent(None));
    assert_eq!(ran.stderr(), "ping: sendmsg: Operation not permitted\n");
}

#[test]
fn late_and_double_answers_count() {
    // The first comes after the second was sent, the second twice, and one was never asked for.
    let ran = testing::run!(
        Ping,
        ["-c3", "-i1", TARGET],
        host(|probe| match probe.id {
            1 => vec![reply(probe, 1_500_000)],
            2 => vec![reply(probe, 1000), reply(probe, 2000)],
            _ => {
                let foreign = Probe { id: 77, ..*probe };
                vec![reply(&foreign, 1000), reply(probe, 3000)]
            }
        })
    );
    let text = ran.stdout();
    assert!(text.contains("icmp_seq=2 ttl=57 time=2.00 ms (DUP!)\n"), "{text}");
    assert!(text.contains("icmp_seq=1 ttl=57 time=1500 ms\n"), "{text}");
    assert!(
        text.contains(
            "3 packets transmitted, 3 received, +1 duplicates, 0% packet loss, time 2000ms\n"
        ),
        "{text}"
    );
    assert!(text.ends_with(" ms, pipe 2\n"), "{text}");
    assert_eq!(ran.records("echo").len(), 4);
}

#[test]
fn quiet_prints_the_statistics_and_a_stamp_the_time() {
    let ran = testing::run!(Ping, ["-qc1", TARGET], host(|p| vec![reply(p, 1000)]));
    assert_eq!(ran.stdout().lines().count(), 5);
    let ran = testing::run!(Ping, ["-Dc1", TARGET], host(|p| vec![reply(p, 1000)]));
    let line = ran.host.stdout_text().lines().nth(1).unwrap().to_owned();
    let (stamp, rest) = line.split_once("] ").unwrap();
    assert!(stamp.starts_with('[') && stamp.len() >= 18, "{line}");
    assert!(rest.starts_with("64 bytes"), "{line}");
}

#[test]
fn a_deadline_ends_it_and_wants_all_answers() {
    let ran = testing::run!(Ping, ["-w2.5", TARGET], host(|p| vec![reply(p, 1000)]));
    assert_eq!((ran.status, elapsed(&ran)), (0, ms(2500)));
    assert!(ran.stdout().contains("3 packets transmitted, 3 received"));
    // With a count it is answers that are counted.
    let lossy = || host(|p| if p.id == 1 { Vec::new() } else { vec![reply(p, 1000)] });
    let ran = testing::run!(Ping, ["-w9", "-c2", TARGET], lossy());
    assert_eq!((ran.status, elapsed(&ran)), (0, ms(2001)));
    let ran = testing::run!(Ping, ["-w1.5", "-c2", TARGET], lossy());
    assert_eq!((ran.status, elapsed(&ran)), (1, ms(1500)));
    // 0 is none.
    for args in [&["-w0", TARGET][..], &["-w0", "-c4", TARGET]] {
        let ran = testing::run!(Ping, args, host(|p| vec![reply(p, 1000)]));
        assert_eq!((ran.status, elapsed(&ran)), (0, ms(3001)), "{args:?}");
        assert!(ran.stdout().contains("4 packets transmitted, 4 received"), "{args:?}");
    }
}

#[test]
fn tcp_and_udp_have_words_of_their_own() {
    let opens = |is_open| {
        FakePath::new(move |p| {
            let (after, answer) = reply(p, 1000);
            vec![(after, Answer { is_open, ttl: None, ..answer })]
        })
    };
    for (is_open, word) in [(true, "open"), (false, "closed")] {
        let path = opens(Some(is_open));
        let sent = Rc::clone(&path.sent);
        let args = ["-c2", "--tcp=443", TARGET];
        let ran = testing::run!(Ping, args, FakeHost::default().path(path));
        let head = format!(
            "PING 192.0.2.1 (192.0.2.1) port 443/tcp\n{word} from 192.0.2.1: tcp_seq=1 time=1.00 ms\n"
        );
        assert!(ran.stdout().starts_with(&head), "{}", ran.stdout());
        assert_eq!((ran.status, ran.host.targets[0].protocol), (0, Protocol::Tcp));
        assert_eq!(ran.records("echo")[0]["is_open"], is_open);
        let [(_, first), (_, second)] = &sent.borrow()[..] else { panic!("two SYNs") };
        assert_eq!((first.port, second.port), (443, 443));
        assert_ne!(first.flow, second.flow, "two connections of the same ends would be one");
    }
    let ran =
        testing::run!(Ping, ["-c1", "--udp=53", TARGET], FakeHost::default().path(opens(None)));
    assert!(
        ran.stdout().contains("port 53/udp 56(84) bytes of data.\nanswer from"),
        "{}",
        ran.stdout()
    );
    assert_eq!(ran.records("summary")[0]["protocol"], "udp");
}

#[test]
fn a_job_that_is_asked_to_end_has_its_statistics() {
    let pinged = || host(|p| vec![reply(p, 1000)]);
    let ran = testing::run!(Ping, ["-c100", TARGET], pinged().cancelled_after(ms(2500)));
    assert!(ran.stdout().contains("3 packets transmitted, 3 received"), "{}", ran.stdout());
    assert_eq!(elapsed(&ran), ms(2500));
    // The same when the job's time is nearly over.
    let ran = testing::run!(Ping, ["-c100", TARGET], pinged().time(ms(5000)));
    assert!(ran.stdout().contains("5 packets transmitted, 5 received"), "{}", ran.stdout());
    assert_eq!((ran.status, elapsed(&ran)), (0, ms(4500)));
    assert_eq!(ran.stderr(), "ping: the job's time is over; --timeout gives it more\n");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (args, says) in [
        (&["-t0", "x"][..], "invalid argument: '0': out of range: 1 <= value <= 255"),
        (&["-t256", "x"], "invalid argument: '256': out of range: 1 <= value <= 255"),
        (&["-s-1", "x"], "invalid argument: '-1': out of range: 0 <= value <= 65507"),
        (&["-s65508", "x"], "invalid argument: '65508': out of range: 0 <= value <= 65507"),
        (&["-c0", "x"], "invalid argument: '0': out of range: 1 <= value <= 4294967295"),
        (
            &["-c4294967296", "x"],
            "invalid argument: '4294967296': out of range: 1 <= value <= 4294967295",
        ),
        (&["--tcp=0", "x"], "invalid argument: '0': out of range: 1 <= value <= 65535"),
        (&["--udp=65536", "x"], "invalid argument: '65536': out of range: 1 <= value <= 65535"),
        (&["--tcp=1", "--udp=1", "x"], "only one of --tcp and --udp may be given"),
        (&["--tcp=1", "-s56", "x"], "-s is not for TCP probes: a SYN carries no data"),
        (&["-Mdo", "--tcp=1", "x"], "-M is not for TCP probes: a SYN carries no data"),
        (&["-46", "x"], "only one -4 or -6 option may be specified"),
        (&["-i0.001", "x"], "cannot flood; minimal interval allowed is 2 ms: -i 0.002"),
        (
            &["-Mmaybe", "x"],
            "option -M: \"maybe\" is not one of do, want, dont\ntry 'blitz help ping'",
        ),
        (
            &["-i-1", "x"],
            "option -i: \"-1\" is not a duration (2, 0.5, 500ms, 2s, 1m, 1h)\ntry 'blitz help ping'",
        ),
        (&["-f", "x"], "option -f is not supported\ntry 'blitz help ping'"),
        (&[], "HOST is missing\ntry 'blitz help ping'"),
    ] {
        let ran = testing::run!(Ping, args);
        assert_eq!((ran.status, ran.stderr()), (2, format!("ping: {says}\n")), "{args:?}");
        assert_eq!((ran.stdout().as_str(), ran.host.targets.len()), ("", 0), "{args:?}");
    }
    let far = FakePath::new(|_| Vec::new()).address(ip("2001:db8::1"));
    let ran = testing::run!(Ping, ["-s65500", "x"], FakeHost::default().path(far));
    assert_eq!(
        (ran.status, ran.stderr().as_str()),
        (2, "ping: invalid argument: '65500': out of range: 0 <= value <= 65487\n")
    );
    for (error, status, says) in [
        (
            HostError::Failed("Could not resolve host: x".to_owned()),
            2,
            "ping: Could not resolve host: x\n",
        ),
        (
            HostError::Denied("10.0.0.1 is private".to_owned()),
            122,
            "ping: refused by testing: 10.0.0.1 is private\n",
        ),
    ] {
        let ran = testing::run!(Ping, ["x"], FakeHost::default().no_path(error));
        assert_eq!((ran.status, ran.stderr().as_str()), (status, says));
    }
}
