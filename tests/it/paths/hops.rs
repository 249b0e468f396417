//! traceroute: the same hops as Debian's, on paths with silent and slow parts, two ways, and links that carry less.

use std::time::Duration;

use blitz_tests::net::path::output::{self, Hop};
use blitz_tests::net::path::{Delay, Family, Path, Spread, hop, twin};

use super::{Rights, from, ours, path_with_engine, path_with_engine_of, said};

/// What Debian's traceroute finds with these arguments.
async fn debians(path: &Path, args: &[&str]) -> Vec<Hop> {
    let outcome = path.run(&[&["traceroute", "-n", "-w", "2"], args].concat()).await;
    assert_eq!(outcome.code, Some(0), "traceroute {args:?}: {}", said(&outcome));
    output::traceroute(&outcome.stdout)
}

#[tokio::test]
async fn traceroute_finds_the_hops_that_debians_finds() {
    for rights in Rights::ALL {
        hops_are_found_by(rights).await;
    }
}

async fn hops_are_found_by(rights: Rights) {
    // 30 ms more from the fourth router on, most of them on the way back.
    let slow = Delay { there: Duration::from_millis(5), back: Duration::from_millis(25) };
    let path = Path::builder(6).silent(&[3]).slow(4, slow);
    let Some((path, _engine)) = path_with_engine_of(rights, path, &[]).await else { return };
    for family in Family::ALL {
        let target = path.destination(family);
        let truth = path.to_destination(family);
        for protocol in
            [&[][..], &["-U"], &["-I"], &["-T"], &["--paris"], &["-I", "--paris"], &["-q", "3"]]
        {
            let args = [protocol, &["-n", &target]].concat();
            let outcome = ours(&path, "traceroute", &args).await;
            let hops = output::traceroute(&outcome.stdout);
            assert_eq!(from(&hops), truth, "{rights:?} {family} {args:?}: {}", said(&outcome));
            assert_eq!(outcome.code, Some(0), "{args:?}: {}", said(&outcome));
            let head = format!("traceroute to {target} ({target}), ");
            assert!(outcome.stdout.starts_with(&head), "{}", said(&outcome));
            for hop in hops.iter().filter(|hop| hop.only().is_some()) {
                // No less than light takes here; no more than a busy machine needs.
                let least = if hop.ttl >= 4 { 30.0 } else { 0.0 };
                let sound = |rtt: &f64| (least..10_000.0).contains(rtt);
                assert!(hop.rtts.iter().all(sound), "{args:?}: {}", said(&outcome));
            }
            if let [own @ ("-U" | "-I" | "-T")] = protocol {
                let debian = debians(&path, &[family.option(), own, &target]).await;
                assert_eq!(from(&hops), from(&debian), "{family} {args:?}: {}", said(&outcome));
            }
        }
    }
}

#[tokio::test]
async fn traceroute_shows_one_way_with_paris_where_there_are_two() {
    let path = Path::builder(4).twin(2, Spread::Flows);
    let Some((path, _engine)) = path_with_engine(path, &[]).await else { return };
    for family in Family::ALL {
        let target = path.destination(family);
        let both = [hop(2, family), twin(family)];
        let debian = debians(&path, &["-q", "10", &target]).await;
        assert_eq!(debian[1].from.len(), 2, "without it there are two: {debian:?}");
        for protocol in ["-I", "-T", "-U", ""] {
            let mut args = vec!["--paris", "-n", "-q", "5", &target];
            args.extend(Some(protocol).filter(|protocol| !protocol.is_empty()));
            let outcome = ours(&path, "traceroute", &args).await;
            let hops = output::traceroute(&outcome.stdout);
            assert_eq!(hops.len(), 5, "{args:?}: {}", said(&outcome));
            for hop in &hops {
                assert!(hop.only().is_some(), "one way: {args:?}: {}", said(&outcome));
            }
            assert!(both.contains(&hops[1].from[0]), "{args:?}: {}", said(&outcome));
        }
    }
}

#[tokio::test]
async fn traceroute_tells_names_as_debians_does() {
    let Some((path, _engine)) = path_with_engine(Path::builder(3), &[]).await else { return };
    for family in Family::ALL {
        let target = path.destination(family);
        let outcome = ours(&path, "traceroute", &[family.option(), "dst.path.example"]).await;
        let head = format!("traceroute to dst.path.example ({target}), ");
        assert!(outcome.stdout.starts_with(&head), "{}", said(&outcome));
        let debian = path.run(&["traceroute", family.option(), "dst.path.example"]).await;
        let names = |text: &str| -> Vec<_> {
            let hops = output::traceroute(text).into_iter();
            hops.map(|hop| (hop.from, hop.names)).collect()
        };
        assert_eq!(names(&outcome.stdout), names(&debian.stdout), "{}", said(&outcome));
        assert!(outcome.stdout.contains(&format!("r2.path.example ({})", hop(2, family))));
    }
}

#[tokio::test]
async fn traceroute_tells_mpls_labels_as_debians_does() {
    let path = Path::builder(4).silent(&[2]);
    let Some((path, _engine)) = path_with_engine(path, &[]).await else { return };
    let _router = path.labels_at(2).await;
    let target = path.destination(Family::V4);
    for protocol in ["-U", "-I", "-T"] {
        let args = ["-n", "-e", "-q", "1", protocol, &target];
        let outcome = ours(&path, "traceroute", &args).await;
        let debian = path.run(&[&["traceroute", "-w", "2"], &args[..]].concat()).await;
        let labels = |text: &str| -> Vec<String> {
            let words = text.split_whitespace().filter(|word| word.contains("MPLS"));
            words.map(str::to_owned).collect()
        };
        let told = labels(&outcome.stdout);
        assert_eq!(told, labels(&debian.stdout), "{protocol}: {}{}", said(&outcome), said(&debian));
        assert!(told.len() == 1 && told[0].contains("24001"), "{protocol}: {}", said(&outcome));
    }
}

#[tokio::test]
async fn traceroute_finds_the_links_that_carry_less() {
    let path = Path::builder(5).narrow(3, 1400).narrow(5, 1300);
    let Some((path, _engine)) = path_with_engine(path, &[]).await else { return };
    let found = |hops: &[Hop]| -> Vec<(u8, u32)> {
        hops.iter().filter_map(|hop| Some((hop.ttl, hop.mtu?))).collect()
    };
    for family in Family::ALL {
        let target = path.destination(family);
        let outcome = ours(&path, "traceroute", &["--mtu", "-n", &target]).await;
        let hops = output::traceroute(&outcome.stdout);
        assert_eq!(from(&hops), path.to_destination(family), "{}", said(&outcome));
        let debian = debians(&path, &["--mtu", &target]).await;
        assert_eq!(found(&hops), found(&debian), "{family}: {}{debian:?}", said(&outcome));
        let smallest = hops.iter().filter_map(|hop| hop.mtu).min();
        assert_eq!(smallest, Some(1300), "{family}: {}", said(&outcome));
    }
}

#[tokio::test]
async fn traceroute_loses_no_hop_to_linuxs_own_limits_of_icmp() {
    for args in [&["-q", "1"][..], &["-q", "3"], &["-I"]] {
        // A new path: whom a router told much before, it tells nothing for a while.
        let path = Path::builder(11).silent(&[3, 7, 8]).slow(2, Delay::ms(10)).icmp_limits();
        let Some((path, _engine)) = path_with_engine(path, &[]).await else { return };
        let target = path.destination(Family::V4);
        let outcome = ours(&path, "traceroute", &[args, &["-n", &target]].concat()).await;
        let hops = output::traceroute(&outcome.stdout);
        assert_eq!(from(&hops), path.to_destination(Family::V4), "{args:?}: {}", said(&outcome));
    }
}
