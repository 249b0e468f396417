//! The paths are what they say: Debian's tools find them so.

use std::time::Duration;

use blitz_tests::net::path::output::{self, Hop};
use blitz_tests::net::path::{DeadEnd, Delay, Family, Path, Spread, twin};

use super::{TOOLS, carrier};

/// What traceroute of Debian finds with these arguments.
async fn traceroute(path: &Path, args: &[&str]) -> Vec<Hop> {
    let words = [&["traceroute", "-n"], args].concat();
    let outcome = path.run(&words).await;
    assert_eq!(outcome.code, Some(0), "{words:?}: {}{}", outcome.stdout, outcome.stderr);
    output::traceroute(&outcome.stdout)
}

fn from(hops: &[Hop]) -> Vec<Option<String>> {
    hops.iter().map(|hop| hop.only().map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_path_has_the_routers_that_it_was_made_of() {
    let slow = Delay { there: Duration::from_millis(5), back: Duration::from_millis(25) };
    let path = Path::builder(6).silent(&[3]).slow(3, slow).narrow(5, 1400);
    let Some(path) = path.needs(&TOOLS).build(carrier()).await else { return };
    for family in Family::ALL {
        let target = path.destination(family);
        for protocol in ["-U", "-I", "-T"] {
            let hops = traceroute(&path, &[family.option(), protocol, "-w", "1", &target]).await;
            assert_eq!(from(&hops), path.to_destination(family), "{family} {protocol} {hops:?}");
            let rtt = |hop: &Hop| hop.rtts.iter().copied().fold(f64::INFINITY, f64::min);
            assert!(
                rtt(&hops[3]) >= 30.0 && rtt(&hops[3]) < 10_000.0,
                "{family} {protocol} {hops:?}"
            );
            assert!(rtt(&hops[1]) < rtt(&hops[3]), "{family} {protocol} {hops:?}");
        }
        let near = blitz_tests::net::path::target(4, 2, family);
        let hops = traceroute(&path, &[family.option(), "-w", "1", &near]).await;
        assert_eq!(from(&hops), path.to(4, 2, family), "{family} {hops:?}");
    }
    let hops = traceroute(&path, &["--mtu", "-w", "1", &path.destination(Family::V4)]).await;
    assert!(hops.iter().any(|hop| hop.mtu == Some(1400)), "{hops:?}");
}

#[tokio::test]
async fn a_path_ends_where_it_is_said_to_end() {
    let Some(path) = Path::builder(3).needs(&TOOLS).build(carrier()).await else { return };
    for end in [DeadEnd::Unreachable, DeadEnd::Prohibited, DeadEnd::NoRoute] {
        for family in Family::ALL {
            let target = path.dead_end(end, family);
            let hops = traceroute(&path, &["-I", "-q", "1", "-w", "1", &target]).await;
            // The last router once for itself, and once for what it refuses.
            assert_eq!(hops.len(), 4, "{end:?} {hops:?}");
            assert_eq!(from(&hops[2..]), vec![path.to(4, 1, family)[2].clone(); 2], "{hops:?}");
            assert_eq!(hops[3].marks.first().map(String::as_str), end.mark(), "{family} {hops:?}");
        }
    }
}

#[tokio::test]
async fn a_path_has_two_ways_for_flows_or_for_targets() {
    let twins = Path::builder(4).twin(2, Spread::Flows);
    let Some(path) = twins.needs(&TOOLS).build(carrier()).await else { return };
    for family in Family::ALL {
        let target = path.destination(family);
        let hops = traceroute(&path, &["-q", "10", "-w", "1", &target]).await;
        assert_eq!(hops[1].from.len(), 2, "{family}: both ways {hops:?}");
        assert!(hops[1].from.contains(&twin(family)), "{family} {hops:?}");
    }
    let twins = Path::builder(4).twin(2, Spread::Targets);
    let Some(path) = twins.needs(&TOOLS).build(carrier()).await else { return };
    for family in Family::ALL {
        for number in [1, 128] {
            let target = blitz_tests::net::path::target(4, number, family);
            let hops = traceroute(&path, &["-w", "1", &target]).await;
            assert_eq!(from(&hops), path.to(4, number, family), "{family} {hops:?}");
        }
    }
}

#[tokio::test]
async fn a_path_loses_what_it_is_told_to_lose() {
    let Some(path) = Path::builder(3).loses_one_of(2, 4).needs(&TOOLS).build(carrier()).await
    else {
        return;
    };
    let target = path.destination(Family::V4);
    let outcome = path.run(&["ping", "-n", "-c", "20", "-i", "0.01", "-W", "1", &target]).await;
    assert!(outcome.stdout.contains("20 packets transmitted, 15 received"), "{}", outcome.stdout);
}
