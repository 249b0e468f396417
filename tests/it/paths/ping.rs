//! ping: the words of Debian's ping, on the same path.

use blitz_tests::net::path::output::without_times;
use blitz_tests::net::path::{DeadEnd, Delay, Family, Path};

use super::{ours, path_with_engine, said};

#[tokio::test]
async fn ping_says_what_debians_says() {
    let path = Path::builder(4).slow(2, Delay::ms(3));
    let Some((path, _engine)) = path_with_engine(path, &[]).await else { return };
    for family in Family::ALL {
        for (target, more) in [
            (path.destination(family), &[][..]),
            (path.destination(family), &["-s", "1000"]),
            (path.destination(family), &["-s", "3000"]),
            (path.destination(family), &["-q"]),
            // A router on the way throws it away.
            (path.destination(family), &["-t", "2"]),
            (path.dead_end(DeadEnd::Unreachable, family), &[]),
            (path.dead_end(DeadEnd::Prohibited, family), &[]),
            (path.dead_end(DeadEnd::Blackhole, family), &["-W", "1"]),
        ] {
            let args = [&["-n", "-c", "3", "-i", "0.2"], more, &[target.as_str()]].concat();
            let outcome = ours(&path, "ping", &args).await;
            let debian = path.run(&[&["ping"], &args[..]].concat()).await;
            let (ours, theirs) = (without_times(&outcome.stdout), without_times(&debian.stdout));
            assert_eq!(ours, theirs, "{family} {args:?}: {}", said(&outcome));
            assert_eq!(outcome.code, debian.code, "{family} {args:?}: {}", said(&outcome));
        }
    }
}

#[tokio::test]
async fn ping_counts_what_is_lost() {
    let path = Path::builder(3).loses_one_of(2, 4);
    let Some((path, _engine)) = path_with_engine(path, &[]).await else { return };
    let args = ["-n", "-c", "20", "-i", "0.05", "-W", "1", &path.destination(Family::V4)];
    let outcome = ours(&path, "ping", &args).await;
    let told = "20 packets transmitted, 15 received, 25% packet loss";
    assert!(outcome.stdout.contains(told), "{}", said(&outcome));
    assert_eq!(outcome.stdout.matches("bytes from").count(), 15, "{}", said(&outcome));
}
