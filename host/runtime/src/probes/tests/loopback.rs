//! Probes to this machine itself, and what a session refuses.

use super::*;
use crate::tests::sockets::closed_port;

const HERE: [&str; 2] = ["127.0.0.1", "::1"];

#[tokio::test]
async fn a_closed_udp_port_is_reached() {
    for host in HERE {
        let port =
            tokio::net::UdpSocket::bind((host, 0)).await.unwrap().local_addr().unwrap().port();
        let mut guest = Guest::open(&target(host, Protocol::Udp)).await.unwrap();
        let probes = [Probe { port, ..probe(1, 64) }, Probe { port, flow: 1, ..probe(2, 64) }];
        guest.send(&probes).await.unwrap();
        let answers = guest.hear(2).await;
        let here = Some(host.to_owned());
        assert_eq!(
            answers.iter().map(short).collect::<Vec<_>>(),
            [(1, Outcome::Reached, here.clone()), (2, Outcome::Reached, here),]
        );
        for answer in answers {
            assert!((1..1_000_000_000).contains(&answer.rtt_ns), "{answer:?}");
            assert!(answer.ttl.is_some_and(|ttl| ttl >= 64), "{answer:?}");
            assert_eq!(answer.icmp, Some(if host == "::1" { (1, 4) } else { (3, 3) }));
        }
    }
}

#[tokio::test]
async fn a_udp_service_that_answers_is_reached_whatever_it_says() {
    for host in HERE {
        let service = tokio::net::UdpSocket::bind((host, 0)).await.unwrap();
        let port = service.local_addr().unwrap().port();
        let mut guest = Guest::open(&target(host, Protocol::Udp)).await.unwrap();
        guest.send(&[Probe { port, ..probe(9, 64) }]).await.unwrap();
        let mut bytes = [0; 100];
        let (length, peer) = service.recv_from(&mut bytes).await.unwrap();
        assert_eq!(length, if host == "::1" { 12 } else { 32 }, "60 bytes with the headers");
        service.send_to(b"hm?", peer).await.unwrap();
        service.send_to(&bytes[..length], peer).await.unwrap();
        let answers = guest.hear(2).await;
        let reached = (9, Outcome::Reached, Some(host.to_owned()));
        assert_eq!(answers.iter().map(short).collect::<Vec<_>>(), [reached.clone(), reached]);
    }
}

#[tokio::test]
async fn nobody_else_can_answer_a_udp_probe() {
    let service = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = service.local_addr().unwrap().port();
    let mut guest = Guest::open(&target("127.0.0.1", Protocol::Udp)).await.unwrap();
    guest.send(&[Probe { port, ..probe(1, 64) }]).await.unwrap();
    let mut bytes = [0; 100];
    let (length, peer) = service.recv_from(&mut bytes).await.unwrap();
    let other = tokio::net::UdpSocket::bind("127.0.0.2:0").await.unwrap();
    other.send_to(&bytes[..length], peer).await.unwrap();
    assert_eq!(guest.hear_for(Duration::from_millis(100)).await, []);
    service.send_to(b"me", peer).await.unwrap();
    assert_eq!(guest.hear(1).await.len(), 1);
}

#[tokio::test]
async fn tcp_ports_are_open_or_closed() {
    for host in HERE {
        let listener = tokio::net::TcpListener::bind((host, 0)).await.unwrap();
        let open = listener.local_addr().unwrap().port();
        let closed = closed_port(host).await;
        let mut guest = Guest::open(&target(host, Protocol::Tcp)).await.unwrap();
        let probes = [Probe { port: open, ..probe(1, 64) }, Probe { port: closed, ..probe(2, 64) }];
        guest.send(&probes).await.unwrap();
        let answers = guest.hear(2).await;
        let here = Some(host.to_owned());
        assert_eq!(
            answers.iter().map(short).collect::<Vec<_>>(),
            [(1, Outcome::Reached, here.clone()), (2, Outcome::Reached, here),]
        );
        let is_open: Vec<Option<bool>> = answers.iter().map(|answer| answer.is_open).collect();
        assert_eq!(is_open, [Some(true), Some(false)]);
        assert!(answers.iter().all(|answer| answer.rtt_ns < 1_000_000_000), "{answers:?}");
    }
}

#[tokio::test]
async fn an_echo_comes_back_or_what_is_missing_is_named() {
    for host in HERE {
        let mut guest = match Guest::open(&target(host, Protocol::Icmp)).await {
            Ok(guest) => guest,
            Err(Error::Failed(text)) => {
                assert!(text.contains("set the sysctl net.ipv4.ping_group_range"), "{text}");
                continue;
            }
            Err(other) => panic!("{other:?}"),
        };
        let sizes = [(1, 0), (2, 28), (3, 60), (4, 9000)];
        let probes = sizes.map(|(id, size_bytes)| Probe { size_bytes, ..probe(id, 64) });
        guest.send(&probes).await.unwrap();
        for (answer, id) in guest.hear(4).await.iter().zip(1..) {
            assert_eq!(short(answer), (id, Outcome::Reached, Some(host.to_owned())));
            assert_eq!(answer.icmp, None);
        }
    }
}

#[tokio::test]
async fn an_answer_has_the_time_at_which_it_came_and_not_that_of_its_reading() {
    super::super::prepare();
    let unread = Duration::from_millis(60);
    for host in HERE {
        let mut guest = Guest::open(&target(host, Protocol::Udp)).await.unwrap();
        let until = Instant::now() + PATIENCE;
        // The kernel takes a while to begin, and a busy machine may take as long to answer.
        while Instant::now() < until {
            guest.send(&[probe(1, 64)]).await.unwrap();
            tokio::time::sleep(unread).await;
            let answers = guest.hear(1).await;
            if Duration::from_nanos(answers[0].rtt_ns) < unread {
                break;
            }
        }
        assert!(Instant::now() < until, "{host}: no answer was stamped by the kernel");
    }
}

#[tokio::test]
async fn a_session_forgets_flows_and_not_how_to_send_them() {
    let mut guest = Guest::open(&target("127.0.0.1", Protocol::Udp)).await.unwrap();
    for batch in 0..4_u16 {
        let flow = |number: u16| {
            let flow = batch * 200 + number;
            Probe { flow, ..probe(flow.into(), 64) }
        };
        guest.send(&(0..200).map(flow).collect::<Vec<_>>()).await.unwrap();
        assert_eq!(guest.hear(200).await.len(), 200, "batch {batch}");
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_before_anything_is() {
    let mut guest = Guest::open(&target("127.0.0.1", Protocol::Udp)).await.unwrap();
    let many: Vec<Probe> = (0..257).map(|id| probe(id, 1)).collect();
    for (probes, said) in [
        (&[probe(1, 64), probe(2, 0)][..], "failed: a time to live is 1 to 255, not 0"),
        (&many, "limit: at most 256 probes are sent at once, not 257"),
        (
            &[probe(1, 64), probe(1, 64)],
            "limit: the probe 1 is out already; give this one another number",
        ),
    ] {
        let error = guest.send(probes).await.unwrap_err();
        let text = match error {
            Error::Failed(text) => format!("failed: {text}"),
            Error::Limit(text) => format!("limit: {text}"),
            Error::Denied(text) => format!("denied: {text}"),
        };
        assert_eq!(text, said);
    }
    assert_eq!(guest.hear_for(Duration::from_millis(50)).await, [], "nothing was sent");
}

#[tokio::test]
async fn a_number_is_free_once_it_is_answered() {
    let mut guest = Guest::open(&target("127.0.0.1", Protocol::Udp)).await.unwrap();
    for _ in 0..3 {
        guest.send(&[probe(7, 64)]).await.unwrap();
        assert_eq!(guest.hear(1).await.len(), 1);
    }
}

#[tokio::test]
async fn the_largest_packets_reach_this_machine() {
    for host in HERE {
        for dont_fragment in [true, false] {
            let asked = Target { dont_fragment, ..target(host, Protocol::Udp) };
            let mut guest = Guest::open(&asked).await.unwrap();
            assert_eq!(guest.live.session.mtu(), 65_535);
            guest.send(&[Probe { size_bytes: u16::MAX, ..probe(1, 64) }]).await.unwrap();
            assert_eq!(guest.hear(1).await[0].outcome, Outcome::Reached);
        }
    }
}

#[tokio::test]
async fn waiting_ends_with_the_job() {
    let mut guest = Guest::open(&target("127.0.0.1", Protocol::Udp)).await.unwrap();
    let cancel = guest.control.cancel.clone();
    let begun = Instant::now();
    let waiting = guest.live.next(PATIENCE, &guest.control);
    let (answers, ()) = tokio::join!(waiting, async { cancel.cancel() });
    assert_eq!(answers.unwrap(), []);
    assert!(begun.elapsed() < PATIENCE);
}

#[tokio::test]
async fn the_policy_is_asked_before_the_first_packet() {
    let egress = Egress::new(TargetPolicy::public_only(), Vec::new());
    for (host, said) in [
        ("127.0.0.1", "127.0.0.1 is loopback (policy public-only)"),
        ("10.1.2.3", "10.1.2.3 is private (policy public-only)"),
        ("169.254.169.254", "169.254.169.254"),
        ("::1", "::1 is loopback (policy public-only)"),
        ("fe80::1", "fe80::1 is link-local (policy public-only)"),
        ("::ffff:127.0.0.1", "127.0.0.1, which is loopback"),
    ] {
        for protocol in [Protocol::Udp, Protocol::Icmp, Protocol::Tcp] {
            match Guest::with_egress(&target(host, protocol), &egress).await {
                Err(Error::Denied(text)) => assert!(text.contains(said), "{text}"),
                Err(other) => panic!("{other:?}"),
                Ok(_) => panic!("{host} is allowed"),
            }
        }
    }
    let rule = "127.0.0.1:33434".parse().unwrap();
    let egress = Egress::new(TargetPolicy::any().deny(rule), Vec::new());
    let mut guest = Guest::with_egress(&target("127.0.0.1", Protocol::Udp), &egress).await.unwrap();
    let probes = [Probe { port: 33_433, ..probe(1, 64) }, probe(2, 64)];
    let denied = guest.send(&probes).await;
    assert!(
        matches!(&denied, Err(Error::Denied(text)) if text.contains("port 33434")),
        "{denied:?}"
    );
    assert_eq!(guest.hear_for(Duration::from_millis(50)).await, [], "nothing was sent");
}

#[tokio::test]
async fn a_session_is_judged_again_with_each_packet() {
    for protocol in [Protocol::Udp, Protocol::Icmp, Protocol::Tcp] {
        // Echoes may need a right.
        let Ok(mut guest) = Guest::open(&target("127.0.0.1", protocol)).await else { continue };
        guest.live.egress = Egress::new(TargetPolicy::public_only(), Vec::new());
        match guest.send(&[probe(1, 64)]).await {
            Err(Error::Denied(text)) => {
                assert_eq!(text, "127.0.0.1 is loopback (policy public-only)");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(guest.hear_for(Duration::from_millis(50)).await, [], "nothing was sent");
    }
}

#[tokio::test]
async fn an_address_has_its_family() {
    use blitz_contract::web::Family;
    for (host, family, said) in [
        ("127.0.0.1", Family::Ipv6, "127.0.0.1 is no IPv6 address"),
        ("::1", Family::Ipv4, "::1 is no IPv4 address"),
        ("no host", Family::Any, "\"no host\" is no name of a host"),
        ("", Family::Any, "\"\" is no name of a host"),
    ] {
        let asked = Target { family, ..target(host, Protocol::Udp) };
        match Guest::open(&asked).await {
            Err(Error::Failed(text)) => assert_eq!(text, said),
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("{host} was opened"),
        }
    }
}
