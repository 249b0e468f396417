//! Who is too fast waits, and the wait is nobody's phase.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::*;
use crate::doing::{Activity, Doing};
use crate::egress::OwnResolver;
use crate::rate::Rates;

const RATES: Rates =
    Rates { run_per_s: 100, run_burst: 100, target_per_s: 2, target_burst: 1, ..Rates::UNLIMITED };

/// A peer that nobody has to answer for.
async fn peer() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[tokio::test(start_paused = true)]
async fn connections_of_all_runs_to_one_address_take_turns() {
    let (_peer, address) = peer().await;
    let engine = Egress::paced(TargetPolicy::any(), Vec::new(), RATES);
    let begun = Instant::now();
    for _ in 0..3 {
        let run = engine.for_run(&Doing::default());
        run.connect_udp(&literal(address)).await.unwrap();
    }
    assert_eq!(begun.elapsed().as_millis(), 1000, "at once, after 500 ms, after 1000 ms");
}

#[tokio::test(start_paused = true)]
async fn messages_of_all_runs_to_the_engines_own_resolver_take_turns() {
    let (_peer, address) = peer().await;
    let engine = Egress::paced(TargetPolicy::public_only(), Vec::new(), RATES);
    let own = OwnResolver::of_test(address);
    let begun = Instant::now();
    for _ in 0..2 {
        engine.for_run(&Doing::default()).connect_own_udp(own).await.unwrap();
        // Nobody listens there; the turn is taken all the same.
        engine.for_run(&Doing::default()).connect_own_tcp(own).await.unwrap_err();
    }
    assert_eq!(begun.elapsed().as_millis(), 1500, "at once, and then every 500 ms");
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_takes_no_turn() {
    let rates = Rates { run_burst: 1, run_per_s: 1, ..RATES };
    let engine = Egress::paced(TargetPolicy::public_only(), Vec::new(), rates);
    let begun = Instant::now();
    for _ in 0..10 {
        engine.connect_udp(&literal("127.0.0.1:9".parse().unwrap())).await.unwrap_err();
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_shown_and_given_back_when_it_is_given_up() {
    let (_peer, address) = peer().await;
    let engine = Egress::paced(TargetPolicy::any(), Vec::new(), RATES);
    let doing = Doing::default();
    doing.now(Activity::Exchange);
    let run = engine.for_run(&doing);
    run.connect_udp(&literal(address)).await.unwrap();
    assert_eq!(doing.phrase(), " while it waited for an HTTP answer");
    let resolved = literal(address);
    for _ in 0..5 {
        let hurried = tokio::time::timeout(Duration::from_millis(1), run.connect_udp(&resolved));
        assert!(hurried.await.is_err());
        let shown = " while it waited for its turn (2 requests per second to 127.0.0.1)";
        assert_eq!(doing.phrase(), shown);
    }
    let begun = Instant::now();
    engine.for_run(&Doing::default()).connect_udp(&resolved).await.unwrap();
    assert_eq!(begun.elapsed().as_millis(), 495);
}

#[tokio::test(start_paused = true)]
async fn an_exchange_knows_how_long_it_waited() {
    let (_peer, address) = peer().await;
    let engine = Egress::paced(TargetPolicy::any(), Vec::new(), RATES);
    engine.connect_udp(&literal(address)).await.unwrap();
    let (exchange, waited) = engine.for_exchange();
    assert_eq!(waited.time(), Duration::ZERO);
    let resolved = literal(address);
    let (one, other) =
        tokio::join!(exchange.connect_udp(&resolved), exchange.connect_udp(&resolved));
    one.and(other).unwrap();
    assert_eq!(waited.time().as_millis(), 1000, "two waits at once are not their sum");
}
