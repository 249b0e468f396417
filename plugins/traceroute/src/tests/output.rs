//! What is printed, and the records beside it.

use std::net::IpAddr;

use blitz_plugin::probes::{Answer, Label, Network, Outcome, Probe, Protocol};
use blitz_plugin::testing::{self, FakePath, Ran};
use serde_json::json;

use super::way::{heard, host, ms, plain, router, target};
use crate::Traceroute;

fn lines(ran: &Ran) -> Vec<String> {
    ran.stdout().lines().map(String::from).collect()
}

/// Three hops, the answer of one of them changed.
fn changed(ttl: u8, mut change: impl FnMut(&mut Answer, &Probe) + 'static) -> FakePath {
    FakePath::new(move |probe| {
        let mut answer = plain(probe, 3, ms(2));
        if probe.ttl == ttl {
            change(&mut answer, probe);
        }
        heard(answer)
    })
}

#[test]
fn names_and_times_stand_as_in_the_original() {
    let path =
        changed(3, |_, _| ()).name(router(1), "gateway.example").name(router(2), "evil\u{1b}[2J");
    let ran = testing::run!(Traceroute, ["host.example"], host(path));
    assert_eq!(
        lines(&ran),
        [
            "traceroute to host.example (192.0.2.1), 32 hops max, 60 byte packets",
            " 1  gateway.example (10.0.1.1)  2.000 ms",
            " 2  10.0.2.1 (10.0.2.1)  2.000 ms",
            " 3  192.0.2.1 (192.0.2.1)  2.000 ms",
        ]
    );
    assert_eq!((ran.status, ran.stderr().as_str()), (0, ""));
    assert!(ran.host.targets[0].names);
}

#[test]
fn several_addresses_of_a_hop_share_its_line() {
    let mut count = 0;
    let path = changed(2, move |answer, _| {
        count += 1;
        answer.from = Some(router(if count == 2 { 9 } else { 2 }));
    });
    let ran = testing::run!(Traceroute, ["-nq3", "host.example"], host(path));
    assert_eq!(lines(&ran)[2], " 2  10.0.2.1  2.000 ms 10.0.9.1  2.000 ms 10.0.2.1  2.000 ms");
    let hop = ran.records("hop")[1].clone();
    assert_eq!(hop["addr"], "10.0.2.1");
    assert_eq!(hop["rtt_us"], json!([2000, 2000, 2000]));
    assert_eq!(hop["addresses"][1]["addr"], "10.0.9.1");
    assert_eq!(hop["addresses"][0]["rtt_us"], json!([2000, 2000]));
}

#[test]
fn who_says_no_ends_the_way() {
    for (icmp, mtu, note) in [
        ((3, 0), None, " !N"),
        ((3, 1), None, " !H"),
        ((3, 2), None, " !P"),
        ((3, 5), None, " !S"),
        ((3, 13), None, " !X"),
        ((3, 4), Some(1400), " !F-1400"),
        ((3, 14), None, " !V"),
        ((3, 15), None, " !C"),
        ((3, 77), None, " !<77>"),
        ((12, 1), None, " !<12-1>"),
        ((3, 3), None, ""),
    ] {
        let path = changed(2, move |answer, _| {
            answer.outcome = Outcome::Unreachable;
            answer.icmp = Some(icmp);
            answer.mtu = mtu;
        });
        let ran = testing::run!(Traceroute, ["-n", "host.example"], host(path));
        assert_eq!(lines(&ran)[2..], [format!(" 2  10.0.2.1  2.000 ms{note}")]);
        assert_eq!(ran.status, 1, "{icmp:?}");
        assert_eq!(ran.records("hop")[1]["icmp"], json!([icmp.0, icmp.1]));
    }
    // The target's own firewall: it is there.
    let path = changed(3, |answer, _| {
        answer.outcome = Outcome::Unreachable;
        answer.icmp = Some((3, 10));
    });
    let ran = testing::run!(Traceroute, ["-n", "host.example"], host(path));
    assert_eq!((ran.status, lines(&ran)[3].as_str()), (0, " 3  192.0.2.1  2.000 ms !X"));
}

#[test]
fn ipv6_has_its_own_size_and_codes() {
    let far: IpAddr = "2001:db8::9".parse().unwrap();
    let path = FakePath::new(move |probe| {
        let answer = Answer::new(probe.id, Outcome::Unreachable, Some(far), 1_234_567);
        heard(Answer { icmp: Some((1, 1)), ..answer })
    });
    let host = host(path.address("2001:db8::1".parse().unwrap()));
    let ran = testing::run!(Traceroute, ["-6n", "host.example"], host);
    assert_eq!(
        lines(&ran),
        [
            "traceroute to host.example (2001:db8::1), 32 hops max, 80 byte packets",
            " 1  2001:db8::9  1.234 ms !X"
        ]
    );
}

#[test]
fn labels_and_networks_stand_behind_the_address() {
    let label = |label, is_bottom| Label { label, traffic_class: 0, is_bottom, ttl: 1 };
    let path =
        || changed(2, move |answer, _| answer.labels = vec![label(16_000, false), label(24, true)]);
    let google =
        Network { asn: Some(15_169), country: Some("US".to_owned()), ..Network::default() };
    let host = host(path()).network(router(2), google);
    let ran = testing::run!(Traceroute, ["-neA", "host.example"], host);
    assert_eq!(
        lines(&ran)[1..3],
        [
            " 1  10.0.1.1 [*]  2.000 ms",
            " 2  10.0.2.1 [AS15169] <MPLS:L=16000,E=0,S=0,T=1/L=24,E=0,S=1,T=1>  2.000 ms"
        ]
    );
    let hop = ran.records("hop")[1];
    assert_eq!((&hop["asn"], &hop["country"]), (&15_169.into(), &"US".into()));
    assert_eq!(hop["mpls"][0]["label"], 16_000);
    // Without a database, once.
    let ran = testing::run!(Traceroute, ["-nA", "host.example"], super::way::host(path()));
    assert_eq!(ran.stderr(), "traceroute: -A: this engine has no database of networks\n");
    assert_eq!((ran.status, lines(&ran)[2].as_str()), (0, " 2  10.0.2.1 [*]  2.000 ms"));
}

#[test]
fn the_records_are_the_same_for_programs() {
    let ran = testing::run!(Traceroute, ["host.example"], host(changed(3, |_, _| ())));
    let trace = ran.records("trace")[0];
    assert_eq!(trace["host"], "host.example");
    assert_eq!(trace["address"], "192.0.2.1");
    assert_eq!((&trace["hops_count"], &trace["rtt_us"]), (&3.into(), &2000.into()));
    assert_eq!((&trace["reached"], &trace["probes_count"]), (&true.into(), &6.into()));
    assert_eq!(trace["hops"][1]["addr"], "10.0.2.1");
    assert_eq!(ran.host.counters["probes_count"], 6);
    assert_eq!(ran.host.observations["rtt_us"], [2000, 2000, 2000]);
}

#[test]
fn what_is_sent_is_what_was_asked_for() {
    let probes = |args: &[&str]| {
        let path = changed(3, |_, _| ());
        let sent = std::rc::Rc::clone(&path.sent);
        let args: Vec<&str> = args.iter().copied().chain(["host.example"]).collect();
        let ran = testing::run!(Traceroute, args, host(path));
        let sent: Vec<Probe> = sent.borrow().iter().map(|(_, probe)| *probe).collect();
        (ran.host.targets[0].protocol, sent)
    };
    let ports = |sent: &[Probe]| sent.iter().map(|probe| probe.port).take(3).collect::<Vec<_>>();
    let flows = |sent: &[Probe]| sent.iter().map(|probe| probe.flow).take(3).collect::<Vec<_>>();
    let (protocol, sent) = probes(&[]);
    assert_eq!((protocol, ports(&sent)), (Protocol::Udp, vec![33434, 33435, 33436]));
    assert_eq!(sent.iter().map(|probe| probe.ttl).take(3).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(sent.iter().all(|probe| probe.size_bytes == 60));
    let (_, sent) = probes(&["--paris"]);
    assert_eq!((ports(&sent), flows(&sent)), (vec![33434; 3], vec![0; 3]));
    let (_, sent) = probes(&["-U"]);
    assert_eq!((ports(&sent), flows(&sent)), (vec![53; 3], vec![0, 1, 2]));
    let (protocol, sent) = probes(&["-T", "-p443"]);
    assert_eq!((protocol, ports(&sent)), (Protocol::Tcp, vec![443; 3]));
    let (protocol, sent) = probes(&["-I", "-f2", "-m3"]);
    assert_eq!((protocol, sent.len(), sent[0].ttl), (Protocol::Icmp, 2, 2));
    let (_, sent) = probes(&["-p", "65535"]);
    assert_eq!(ports(&sent), [65535, 1, 1], "port 0 is none");
}

#[test]
fn the_mtu_is_found_where_the_way_gets_narrower() {
    let narrow = |probe: &Probe| {
        let mut answer = plain(probe, 7, ms(20));
        for (behind, mtu) in [(2, 1400), (4, 1300)] {
            if probe.ttl > behind && probe.size_bytes > mtu {
                answer = Answer::new(probe.id, Outcome::Unreachable, Some(router(behind)), 9);
                answer = Answer { icmp: Some((3, 4)), mtu: Some(u32::from(mtu)), ..answer };
                break;
            }
        }
        heard(answer)
    };
    let ran =
        testing::run!(Traceroute, ["-n", "--mtu", "host.example"], host(FakePath::new(narrow)));
    assert_eq!(
        lines(&ran),
        [
            "traceroute to host.example (192.0.2.1), 32 hops max, 65000 byte packets",
            " 1  10.0.1.1  20.000 ms F=1500",
            " 2  10.0.2.1  20.000 ms",
            " 3  10.0.3.1  20.000 ms F=1400",
            " 4  10.0.4.1  20.000 ms",
            " 5  10.0.5.1  20.000 ms F=1300",
            " 6  10.0.6.1  20.000 ms",
            " 7  192.0.2.1  20.000 ms",
        ]
    );
    assert!(ran.host.targets[0].dont_fragment);
    assert_eq!((ran.status, &ran.records("hop")[4]["mtu"]), (0, &1300.into()));
    let args = ["-n", "-F", "host.example", "1350"];
    let ran = testing::run!(Traceroute, args, host(FakePath::new(narrow)));
    assert_eq!(
        (ran.status, lines(&ran).last().unwrap().as_str()),
        (1, " 5  10.0.4.1  0.000 ms !F-1300")
    );
    // Somebody who says smaller and smaller does not keep us for ever.
    let path = FakePath::new(|probe| {
        let mtu = probe.size_bytes - 1;
        let answer = Answer::new(probe.id, Outcome::Unreachable, Some(target()), 9);
        heard(Answer { icmp: Some((3, 4)), mtu: Some(u32::from(mtu)), ..answer })
    });
    let ran = testing::run!(Traceroute, ["-n", "--mtu", "host.example"], host(path));
    assert!(ran.stdout().lines().count() == 2, "{}", ran.stdout());
}

#[test]
fn a_network_that_goes_away_is_told() {
    let unsent = |text: &'static str, mtu| {
        FakePath::new(move |probe| {
            if probe.ttl == 1 {
                return heard(plain(probe, 9, ms(1)));
            }
            let answer = Answer::new(probe.id, Outcome::Unsent, None, 0);
            heard(Answer { text: Some(text.to_owned()), mtu, ..answer })
        })
    };
    let path = unsent("Network is unreachable", None);
    let ran = testing::run!(Traceroute, ["-n", "host.example"], host(path));
    assert_eq!((ran.status, ran.stderr().as_str()), (1, "traceroute: Network is unreachable\n"));
    assert_eq!(lines(&ran)[1], " 1  10.0.1.1  1.000 ms");
    let args = ["-nF", "host.example", "2000"];
    let ran = testing::run!(Traceroute, args, host(unsent("Message too long", Some(1500))));
    assert_eq!((ran.status, lines(&ran)[2].as_str()), (1, " 2  * !F-1500"));
    assert_eq!(ran.records("hop")[1]["rtt_us"], json!([null]));
}
