//! What cannot be done without rights is refused by name, with the remedy.

use super::chain::Chain;
use super::*;

#[test]
fn echoes_without_any_right_name_what_helps() {
    let Some(chain) = Chain::new(2) else { return };
    chain.sysctl(0, "ipv4/ping_group_range", "1 0").unwrap();
    for host in chain.targets() {
        chain.test(false, || async {
            match Guest::open(&target(&host, Protocol::Icmp)).await {
                Err(Error::Failed(text)) => assert_eq!(
                    text,
                    "the engine may not send ICMP echo requests (Permission denied): set the sysctl \
                     net.ipv4.ping_group_range so that it covers the engine's group, or give the engine the \
                     capability CAP_NET_RAW"
                ),
                Err(other) => panic!("{other:?}"),
                Ok(_) => panic!("echoes were sent without any right"),
            }
        });
    }
}

#[test]
fn two_tcp_probes_of_one_flow_need_raw_sockets() {
    let Some(chain) = Chain::new(2) else { return };
    // Somebody who never answers.
    chain.ip(1, "route add blackhole 10.99.0.1/32\nroute add blackhole fd99:a0::1/128\n").unwrap();
    for host in chain.targets() {
        chain.test(false, || async {
            let mut guest = Guest::open(&target(&host, Protocol::Tcp)).await.unwrap();
            guest.send(&[probe(1, 64)]).await.unwrap();
            match guest.send(&[probe(2, 64)]).await {
                Err(Error::Failed(text)) => assert_eq!(
                    text,
                    "a TCP probe of flow 0 to port 33434 is out, and without raw sockets no second one can be \
                     beside it: give each probe a flow of its own, or give the engine the capability CAP_NET_RAW"
                ),
                other => panic!("{other:?}"),
            }
            guest.send(&[Probe { flow: 1, ..probe(3, 64) }]).await.unwrap();
        });
    }
}

#[test]
fn echoes_with_raw_sockets_need_no_group() {
    let Some(chain) = Chain::new(2) else { return };
    chain.sysctl(0, "ipv4/ping_group_range", "1 0").unwrap();
    for host in chain.targets() {
        chain.test(true, || async {
            let mut guest = Guest::open(&target(&host, Protocol::Icmp)).await.unwrap();
            guest.send(&[probe(1, 64)]).await.unwrap();
            assert_eq!(short(&guest.hear(1).await[0]), (1, Outcome::Reached, Some(host.clone())));
        });
    }
}
