//! An engine without any right: what it can do it does, and of the rest it says why and what helps.

use blitz_tests::Outcome;
use blitz_tests::net::path::{Delay, Family, Path, output};

use super::{TOOLS, carrier, from, said};

#[tokio::test]
async fn without_any_right_the_way_is_found_and_the_rest_is_explained() {
    let path = Path::builder(4).silent(&[2]).slow(3, Delay::ms(5));
    let Some(path) = path.needs(&TOOLS).build(carrier()).await else { return };
    path.namespace(0).set(&[("net/ipv4/ping_group_range", "1 0")]).expect("a setting");
    for family in Family::ALL {
        let target = path.destination(family);
        for args in [&[][..], &["-U"], &["-T"], &["--paris"]] {
            finds_the_way(&path, family, args).await;
        }
        let group = "net.ipv4.ping_group_range";
        for (tool, args, remedies) in [
            ("traceroute", &["-n", "-I", &target][..], &[group, "CAP_NET_RAW"][..]),
            ("ping", &["-c", "1", &target], &[group, "CAP_NET_RAW"]),
            ("mtr", &["--report", "-n", "-c", "1", &target], &[group, "CAP_NET_RAW"]),
            ("traceroute", &["-n", "-T", "--paris", &target], &["CAP_NET_RAW"]),
        ] {
            let outcome = as_nobody(&path, tool, args).await;
            assert!(outcome.code.is_some_and(|code| code != 0), "{args:?}: {}", said(&outcome));
            for remedy in remedies {
                assert!(outcome.stderr.contains(remedy), "{args:?}: {}", said(&outcome));
            }
        }
    }
    // And with the remedy it works.
    path.namespace(0).set(&[("net/ipv4/ping_group_range", "0 2147483647")]).expect("a setting");
    for family in Family::ALL {
        finds_the_way(&path, family, &["-I"]).await;
        let target = path.destination(family);
        let outcome = as_nobody(&path, "ping", &["-c", "2", "-i", "0.2", &target]).await;
        assert!(outcome.stdout.contains("2 received"), "{family}: {}", said(&outcome));
    }
}

async fn finds_the_way(path: &Path, family: Family, args: &[&str]) {
    let target = path.destination(family);
    let outcome = as_nobody(path, "traceroute", &[args, &["-n", &target]].concat()).await;
    let seen = from(&output::traceroute(&outcome.stdout));
    assert_eq!(seen, path.to_destination(family), "{args:?}: {}", said(&outcome));
    assert_eq!(outcome.code, Some(0), "{args:?}: {}", said(&outcome));
}

/// Everything is started by the command itself, which compiles the plugins the first time.
async fn as_nobody(path: &Path, tool: &str, args: &[&str]) -> Outcome {
    let words = [tool, "-r", "local", "--queue-timeout", "50"];
    path.blitz_as_nobody(&[&words, args].concat()).await
}
