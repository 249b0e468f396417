//! What TCP probes leave behind: nothing.

use std::net::TcpListener;

use super::chain::Chain;
use super::*;

const PORT: u16 = 8080;

#[test]
fn an_open_port_is_told_and_nobody_is_connected() {
    let Some(chain) = Chain::new(3) else { return };
    for host in chain.targets() {
        let listener = chain.inside(2, || TcpListener::bind((host.as_str(), PORT))).unwrap();
        listener.set_nonblocking(true).unwrap();
        for is_privileged in [false, true] {
            chain.test(is_privileged, || async {
                let mut guest = Guest::open(&target(&host, Protocol::Tcp)).await.unwrap();
                let own = |id: u16| Probe { flow: id, port: PORT, ..probe(id.into(), 64) };
                guest.send(&(0..20).map(own).collect::<Vec<_>>()).await.unwrap();
                let answers = guest.hear(20).await;
                assert_eq!(answers.len(), 20);
                for answer in &answers {
                    assert_eq!(short(answer).1, Outcome::Reached);
                    assert_eq!(answer.is_open, Some(true));
                    // The kernel's own TCP does not tell it.
                    assert_eq!(answer.ttl, is_privileged.then_some(63), "{answer:?}");
                    assert!((1..1_000_000_000).contains(&answer.rtt_ns), "{answer:?}");
                }
            });
            // One that is whole for a moment ends with a reset, and reads as an error or an end.
            while let Ok((mut stream, _)) = listener.accept() {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let read = std::io::Read::read(&mut stream, &mut [0; 8]);
                assert!(!is_privileged && read.is_err(), "{read:?}");
            }
        }
    }
}

/// TCP segments that came to the last node so far.
fn segments(chain: &Chain) -> u64 {
    let counts = chain.inside(1, || std::fs::read_to_string("/proc/thread-self/net/snmp")).unwrap();
    let mut lines = counts.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let at = names.split_whitespace().position(|name| name == "InSegs").unwrap();
    values.split_whitespace().nth(at).unwrap().parse().unwrap()
}

#[test]
fn a_syn_that_nobody_answers_is_not_sent_again() {
    let Some(chain) = Chain::new(2) else { return };
    let [host, _] = chain.targets();
    // It hears, and its answers go nowhere.
    chain.ip(1, "route add blackhole 10.99.0.1/32\n").unwrap();
    for is_privileged in [false, true] {
        let before = segments(&chain);
        chain.test(is_privileged, || async {
            let mut guest = Guest::open(&target(&host, Protocol::Tcp)).await.unwrap();
            guest.send(&[Probe { flow: 1, ..probe(1, 64) }]).await.unwrap();
            // The kernel would send it again after one second.
            assert_eq!(guest.hear_for(Duration::from_millis(1500)).await, []);
            // The ports are free again.
            guest.send(&[Probe { flow: 1, ..probe(2, 64) }]).await.unwrap();
        });
        assert_eq!(segments(&chain) - before, 2, "{is_privileged}");
    }
}

#[test]
fn a_guest_that_is_at_something_else_sends_no_syn_twice() {
    let Some(chain) = Chain::new(2) else { return };
    let [host, _] = chain.targets();
    chain.ip(1, "route add blackhole 10.99.0.1/32\n").unwrap();
    let before = segments(&chain);
    chain.test(false, || async {
        let mut guest = Guest::open(&target(&host, Protocol::Tcp)).await.unwrap();
        guest.send(&[probe(1, 64)]).await.unwrap();
        // It waits for names, for one.
        guest
            .live
            .session
            .meanwhile(tokio::time::sleep(Duration::from_millis(1500)))
            .await
            .unwrap();
    });
    assert_eq!(segments(&chain) - before, 1);
    let before = segments(&chain);
    chain.test(false, || async {
        let mut guest = Guest::open(&target(&host, Protocol::Tcp)).await.unwrap();
        guest.send(&[probe(1, 64)]).await.unwrap();
        // It does not ask for anything, and the kernel gives up behind its second one.
        tokio::time::sleep(Duration::from_millis(3500)).await;
        assert_eq!(guest.hear_for(Duration::from_millis(10)).await, []);
    });
    let sent = segments(&chain) - before;
    assert!(sent <= 2, "{sent} segments");
}

#[test]
fn what_is_read_late_counts_when_the_kernel_says_its_time() {
    let Some(chain) = Chain::new(2) else { return };
    for host in chain.targets() {
        let listener = chain.inside(1, || TcpListener::bind((host.as_str(), PORT))).unwrap();
        chain.test(false, || async {
            let mut guest = Guest::open(&target(&host, Protocol::Tcp)).await.unwrap();
            // The second port is closed: a reset has no time but that of its reading.
            let closed = Probe { port: PORT + 1, ..probe(2, 64) };
            guest.send(&[Probe { port: PORT, ..probe(1, 64) }, closed]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1200)).await;
            let answers = guest.hear_for(Duration::from_millis(10)).await;
            assert_eq!(answers.len(), 1, "{answers:?}");
            assert_eq!((answers[0].id, answers[0].is_open), (1, Some(true)));
            assert!(answers[0].rtt_ns < 900_000_000, "{answers:?}");
        });
        drop(listener);
    }
}
