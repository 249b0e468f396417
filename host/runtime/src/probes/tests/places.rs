//! Sockets of probes count among those of their run, and among those of their engine.

use super::chain::Chain;
use super::*;

const OF_RUN: &str = "a run of this plugin holds at most 2 sockets open, and probes need one for each flow: send fewer \
                      at once, or ask for more in the manifest (limits.sockets)";

fn flow(number: u16) -> Probe {
    Probe { flow: number, ..probe(number.into(), 64) }
}

fn limit(sent: Result<(), Error>) -> String {
    match sent {
        Err(Error::Limit(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_session_gives_up_its_own_flows_and_takes_none_of_others() {
    let egress = Egress::new(TargetPolicy::any(), Vec::new());
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        let (places, asked) = (Places::of(2, 64), target("127.0.0.1", protocol));
        let mut one = Guest::with(&asked, &egress, places.clone()).await.unwrap();
        let mut other = Guest::with(&asked, &egress, places.clone()).await.unwrap();
        for number in 0..5 {
            one.send(&[flow(number)]).await.unwrap();
            assert_eq!(one.hear(1).await.len(), 1, "flow {number}");
        }
        assert_eq!(limit(other.send(&[flow(0)]).await), OF_RUN);
        drop(one);
        other.send(&[flow(0)]).await.unwrap();
        assert_eq!(other.hear(1).await.len(), 1);
    }
}

#[tokio::test]
async fn all_runs_have_some_sockets_together() {
    let egress = Egress::new(TargetPolicy::any(), Vec::new());
    let (of_engine, asked) = (Places::of(64, 2), target("127.0.0.1", Protocol::Udp));
    let mut one = Guest::with(&asked, &egress, of_engine.clone()).await.unwrap();
    let mut other = Guest::with(&asked, &egress, of_engine.of_another_run(64)).await.unwrap();
    one.send(&[flow(0), flow(1), flow(2)]).await.unwrap();
    let text = limit(other.send(&[flow(0)]).await);
    assert!(text.starts_with("all runs of this engine hold at most "), "{text}");
    drop(one);
    other.send(&[flow(0)]).await.unwrap();
}

#[test]
fn a_tcp_probe_without_raw_sockets_has_a_place_until_it_is_over() {
    let Some(chain) = Chain::new(2) else { return };
    // Somebody who never answers.
    chain.ip(1, "route add blackhole 10.99.0.1/32\n").unwrap();
    let [host, _] = chain.targets();
    chain.test(false, || async {
        let egress = Egress::new(TargetPolicy::any(), Vec::new());
        let asked = target(&host, Protocol::Tcp);
        let mut guest = Guest::with(&asked, &egress, Places::of(2, 64)).await.unwrap();
        guest.send(&[flow(0), flow(1)]).await.unwrap();
        assert_eq!(limit(guest.send(&[flow(2)]).await), OF_RUN);
        assert_eq!(guest.hear_for(Duration::from_secs(1)).await, []);
        guest.send(&[flow(2), flow(3)]).await.unwrap();
    });
}
