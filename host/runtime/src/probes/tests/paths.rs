//! Traces over chains of routers.

use std::net::IpAddr;

use super::chain::Chain;
use super::*;

const ROUTERS: usize = 3;

/// Each kind of probe, without rights and with raw sockets.
const WAYS: [(Protocol, bool); 6] = [
    (Protocol::Udp, false),
    (Protocol::Udp, true),
    (Protocol::Icmp, false),
    (Protocol::Icmp, true),
    (Protocol::Tcp, false),
    (Protocol::Tcp, true),
];

/// A chain on which those without rights may send echoes, and those with rights do it by raw sockets.
fn allow_echoes(chain: &Chain, is_privileged: bool) {
    let groups = if is_privileged { "1 0" } else { "0 2147483647" };
    chain.sysctl(0, "ipv4/ping_group_range", groups).unwrap();
}

fn is_ipv4(host: &str) -> bool {
    host.parse::<IpAddr>().unwrap().is_ipv4()
}

/// What every hop of the chain says.
fn hops(chain: &Chain, host: &str) -> Vec<(u32, Outcome, Option<String>)> {
    let hop = |node: usize| {
        let outcome = if node > ROUTERS { Outcome::Reached } else { Outcome::TimeExceeded };
        (u32::try_from(node).unwrap(), outcome, Some(chain.router(is_ipv4(host), node)))
    };
    (1..=ROUTERS + 1).map(hop).collect()
}

/// One probe a second until there are answers.
async fn ask_again(guest: &mut Guest, probe: impl Fn(u32) -> Probe) -> Vec<Answer> {
    for id in 0..5 {
        guest.send(&[probe(id)]).await.unwrap();
        let wait = Duration::from_millis(1100);
        let answers = guest.live.next(wait, &guest.control).await.unwrap();
        if !answers.is_empty() {
            return answers;
        }
    }
    Vec::new()
}

#[test]
fn every_hop_of_a_chain_answers_for_its_own_probe() {
    let Some(chain) = Chain::new(ROUTERS + 2) else { return };
    for (protocol, is_privileged) in WAYS {
        allow_echoes(&chain, is_privileged);
        for host in chain.targets() {
            chain.test(is_privileged, || async {
                let mut guest = Guest::open(&target(&host, protocol)).await.unwrap();
                // Flow and port are the probe's own.
                let own = |ttl: u8| {
                    let number = u16::from(ttl);
                    Probe { flow: number, port: 33_434 + number, ..probe(ttl.into(), ttl) }
                };
                guest.send(&[own(1), own(2), own(3), own(4)]).await.unwrap();
                let answers = guest.hear(4).await;
                let heard: Vec<_> = answers.iter().map(short).collect();
                assert_eq!(heard, hops(&chain, &host), "{protocol:?} {is_privileged}");
                for (answer, ttl) in answers.iter().zip([64, 63, 62, 61]) {
                    assert!((1..1_000_000_000).contains(&answer.rtt_ns), "{answer:?}");
                    let by_kernel = protocol == Protocol::Tcp && !is_privileged;
                    match answer.ttl {
                        // Hosts send errors of IPv6 with 64, and those of IPv4 with 64 or 255.
                        Some(heard) => assert!([ttl, ttl + 191].contains(&heard), "{answer:?}"),
                        None => assert!(by_kernel && answer.is_open.is_some(), "{answer:?}"),
                    }
                }
                assert_eq!(guest.hear_for(Duration::from_millis(30)).await, [], "each once");
            });
        }
    }
}

#[test]
fn probes_that_look_alike_find_their_answers() {
    let Some(chain) = Chain::new(ROUTERS + 2) else { return };
    for (protocol, is_privileged) in WAYS {
        if (protocol, is_privileged) == (Protocol::Tcp, false) {
            continue;
        }
        allow_echoes(&chain, is_privileged);
        for host in chain.targets() {
            chain.test(is_privileged, || async {
                let mut guest = Guest::open(&target(&host, protocol)).await.unwrap();
                // The nearest last, so that their order tells nothing.
                guest.send(&[4, 3, 2, 1].map(|ttl| probe(ttl.into(), ttl))).await.unwrap();
                let heard: Vec<_> = guest.hear(4).await.iter().map(short).collect();
                assert_eq!(heard, hops(&chain, &host), "{protocol:?} {is_privileged}");
            });
        }
    }
}

#[test]
fn a_hundred_traces_at_once_do_not_mix() {
    let Some(chain) = Chain::new(ROUTERS + 2) else { return };
    for (protocol, is_privileged) in WAYS {
        allow_echoes(&chain, is_privileged);
        chain.test(is_privileged, || async {
            let traces = (0..100_u16).map(|number| {
                let [v4, v6] = chain.targets();
                let host = if number % 2 == 0 { v4 } else { v6 };
                let chain = &chain;
                async move {
                    let mut guest = Guest::open(&target(&host, protocol)).await.unwrap();
                    let own = |ttl: u8| Probe { flow: ttl.into(), ..probe(ttl.into(), ttl) };
                    guest.send(&[own(1), own(2), own(3), own(4)]).await.unwrap();
                    let heard: Vec<_> = guest.hear(4).await.iter().map(short).collect();
                    assert_eq!(heard, hops(chain, &host), "{protocol:?} {is_privileged} {number}");
                }
            });
            futures_util::future::join_all(traces).await;
        });
    }
}

#[test]
fn a_smaller_link_says_what_it_carries() {
    let Some(chain) = Chain::new(4) else { return };
    chain.ip(1, "link set right mtu 1300\n").unwrap();
    chain.ip(2, "link set left mtu 1300\n").unwrap();
    for (protocol, is_privileged) in WAYS {
        if protocol == Protocol::Tcp {
            continue;
        }
        allow_echoes(&chain, is_privileged);
        for host in chain.targets() {
            chain.test(is_privileged, || async {
                let asked = Target { dont_fragment: true, ..target(&host, protocol) };
                let mut guest = Guest::open(&asked).await.unwrap();
                assert_eq!(guest.live.session.mtu(), 1500);
                let sized = |id, size_bytes| Probe { size_bytes, ..probe(id, 64) };
                guest.send(&[sized(1, 1300), sized(2, 1400), sized(3, 1501)]).await.unwrap();
                let answers = guest.hear(3).await;
                let heard: Vec<_> = answers.iter().map(short).collect();
                assert_eq!(
                    heard,
                    [
                        (1, Outcome::Reached, Some(host.clone())),
                        (2, Outcome::Unreachable, Some(chain.router(is_ipv4(&host), 1))),
                        (3, Outcome::Unsent, None),
                    ]
                );
                let too_big = if is_ipv4(&host) { (3, 4) } else { (2, 0) };
                assert_eq!((answers[1].icmp, answers[1].mtu), (Some(too_big), Some(1300)));
                assert_eq!(answers[2].mtu, Some(1500));
                assert_eq!(
                    answers[2].text.as_deref(),
                    Some("1501 bytes are too large for the first link: Message too long")
                );
                // Once more: what the kernel has learned meanwhile does not count.
                guest.send(&[sized(4, 1400)]).await.unwrap();
                let again = guest.hear(1).await;
                let mtu = again.first().and_then(|answer| answer.mtu);
                assert_eq!(mtu, Some(1300), "{protocol:?} {is_privileged} {host} {again:?}");

                let mut cut = Guest::open(&Target { dont_fragment: false, ..asked }).await.unwrap();
                // The target has to learn for its echo as well what the way back carries.
                let answers = ask_again(&mut cut, |id| sized(id, 1501)).await;
                let said = answers.first().map(|answer| answer.outcome);
                assert_eq!(said, Some(Outcome::Reached), "in fragments: {protocol:?}");
            });
        }
    }
}

#[test]
fn a_router_that_does_not_let_through_says_why() {
    let Some(chain) = Chain::new(4) else { return };
    let [v4, v6] = chain.targets();
    for (kind, code_v4, code_v6) in [("prohibit", (3, 13), (1, 1)), ("unreachable", (3, 1), (1, 0))]
    {
        let routes = format!("route replace {kind} {v4}/32\nroute replace {kind} {v6}/128\n");
        chain.ip(1, &routes).unwrap();
        for (protocol, is_privileged) in WAYS {
            allow_echoes(&chain, is_privileged);
            for (host, code) in [(&v4, code_v4), (&v6, code_v6)] {
                chain.test(is_privileged, || async {
                    let mut guest = Guest::open(&target(host, protocol)).await.unwrap();
                    // A router of Linux says it five times, and then once a second.
                    let own = |id| Probe { flow: u16::try_from(id).unwrap(), ..probe(id, 64) };
                    let answers = ask_again(&mut guest, own).await;
                    let said = answers.first().map(|answer| (answer.outcome, short(answer).2));
                    let router = Some(chain.router(is_ipv4(host), 1));
                    assert_eq!(said, Some((Outcome::Unreachable, router)), "{protocol:?} {kind}");
                    // The kernel's own TCP translates codes of IPv6, and tells them nevertheless.
                    assert_eq!(answers[0].icmp, Some(code), "{protocol:?} {is_privileged}");
                });
            }
        }
    }
}

#[test]
fn a_network_that_goes_away_is_an_answer_and_no_end() {
    let Some(chain) = Chain::new(3) else { return };
    for (protocol, is_privileged) in WAYS {
        allow_echoes(&chain, is_privileged);
        let [host, _] = chain.targets();
        chain.test(is_privileged, || async {
            let mut guest = Guest::open(&target(&host, protocol)).await.unwrap();
            guest.send(&[probe(1, 1)]).await.unwrap();
            assert_eq!(guest.hear(1).await[0].outcome, Outcome::TimeExceeded);
            chain.ip(0, "link set right down\n").unwrap();
            guest.send(&[probe(2, 1)]).await.unwrap();
            let answers = guest.hear(1).await;
            assert_eq!(answers[0].outcome, Outcome::Unsent, "{protocol:?} {is_privileged}");
            let text = answers[0].text.as_deref();
            assert_eq!(text, Some("Network is unreachable"), "{protocol:?} {is_privileged}");
            chain.ip(0, "link set right up\nroute add default via 10.99.0.2\n").unwrap();
            guest.send(&[probe(3, 1)]).await.unwrap();
            assert_eq!(guest.hear(1).await[0].outcome, Outcome::TimeExceeded, "it is back");
        });
    }
}
