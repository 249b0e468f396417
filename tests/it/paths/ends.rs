//! Paths that do not reach their target: refused, swallowed, cut off in the middle, and lossy ones.

use blitz_tests::net::path::output;
use blitz_tests::net::path::{DeadEnd, Family, Path, hop};

use super::{from, ours, path_with_engine, said};

#[tokio::test]
async fn traceroute_says_why_a_way_ends_as_debians_does() {
    let Some((path, _engine)) = path_with_engine(Path::builder(3), &[]).await else { return };
    for end in DeadEnd::ALL {
        for family in Family::ALL {
            let target = path.dead_end(end, family);
            for protocol in ["-I", "-U"] {
                let args = [protocol, "-q", "1", "-m", "7", "-w", "1", "-n", &target];
                let outcome = ours(&path, "traceroute", &args).await;
                let hops = output::traceroute(&outcome.stdout);
                let debian = path.run(&[&["traceroute", "-N", "1"], &args[..]].concat()).await;
                let debian = output::traceroute(&debian.stdout);
                let compare = |hops: &[output::Hop]| -> Vec<_> {
                    hops.iter().map(|hop| (hop.ttl, hop.from.clone(), hop.marks.clone())).collect()
                };
                assert_eq!(compare(&hops), compare(&debian), "{end:?} {args:?} {}", said(&outcome));
                let mark = hops.last().and_then(|hop| hop.marks.first().cloned());
                assert_eq!(mark.as_deref(), end.mark(), "{end:?} {args:?} {}", said(&outcome));
                assert_eq!(outcome.code, Some(1), "not reached: {end:?} {}", said(&outcome));
            }
        }
    }
}

#[tokio::test]
async fn ping_goes_on_when_the_network_goes_away() {
    // The source's own link; a router's; and a router that says nothing any more.
    let cut: [fn(&Path); 3] =
        [|path| path.cut_behind(0), |path| path.cut_behind(2), |path| path.swallow_at(2)];
    for (number, cut) in cut.into_iter().enumerate() {
        let Some((path, _engine)) = path_with_engine(Path::builder(3), &[]).await else { return };
        let target = path.destination(Family::V4);
        let args = ["ping", "-r", "local", "-n", "-c", "20", "-i", "0.3", "-W", "1", &target];
        let mut running = path.start_blitz(&args);
        let mut answers = 0;
        while answers < 2 {
            let line = running.next_line().await.expect("answers before the cut");
            answers += usize::from(line.contains("bytes from"));
        }
        cut(&path);
        let outcome = running.end().await;
        let summary = outcome.stdout.lines().find(|line| line.contains("packets transmitted"));
        let summary = summary.unwrap_or_else(|| panic!("cut {number}: {}", said(&outcome)));
        assert!(summary.contains("20 packets transmitted"), "cut {number}: {}", said(&outcome));
        assert!(!summary.contains(" 0% packet loss"), "cut {number}: {}", said(&outcome));
        // Debian's ping also ends well as long as somebody answered.
        assert_eq!(outcome.code, Some(0), "cut {number}: {}", said(&outcome));
        if number == 1 {
            let refused = format!("From {} ", hop(2, Family::V4));
            assert!(outcome.stdout.contains(&refused), "{}", said(&outcome));
        }

        // And whoever begins now hears of it, and ends.
        let outcome = ours(&path, "traceroute", &["-n", "-m", "6", "-w", "1", &target]).await;
        assert_ne!(outcome.code, Some(0), "cut {number}: {}", said(&outcome));
        assert!(!outcome.stderr.contains("panicked"), "cut {number}: {}", said(&outcome));
        let hops = output::traceroute(&outcome.stdout);
        if number == 2 {
            let near = [Some(hop(1, Family::V4)), Some(hop(2, Family::V4)), None, None, None, None];
            assert_eq!(from(&hops), near, "{}", said(&outcome));
        }
    }
}

#[tokio::test]
async fn traceroute_asks_again_where_packets_are_lost() {
    let path = Path::builder(5).loses_one_of(1, 3);
    let Some((path, _engine)) = path_with_engine(path, &[]).await else { return };
    for _ in 0..3 {
        let target = path.destination(Family::V4);
        let outcome = ours(&path, "traceroute", &["-n", "-q", "3", &target]).await;
        let hops = output::traceroute(&outcome.stdout);
        assert_eq!(from(&hops), path.to_destination(Family::V4), "{}", said(&outcome));
    }
}
