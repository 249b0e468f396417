//! Targets that an engine may not reach: refused before the first packet, by every tool.

use blitz_tests::net::path::{Family, Path};

use super::{ours, path_with_engine, said};

/// What is no target under `public-only`: addresses, and names for them.
const PRIVATE: [&str; 9] = [
    "10.1.2.3",
    "169.254.169.254",
    "192.168.1.1",
    "100.64.0.1",
    "fd00::1",
    "fe80::1",
    "::ffff:10.1.2.3",
    "private.path.example",
    "metadata.path.example",
];

/// Where those are.
const NETWORKS: [&str; 6] =
    ["10.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fe80::/10"];

#[tokio::test]
async fn private_targets_are_refused_before_the_first_packet() {
    let policy = ["--targets", "public-only"];
    let Some((path, _engine)) = path_with_engine(Path::builder(2), &policy).await else { return };
    path.count_to(0, &NETWORKS);
    for target in PRIVATE {
        for words in [
            &["traceroute", "-n", target][..],
            &["traceroute", "-I", "-n", target],
            &["traceroute", "-T", "-n", target],
            &["traceroute", "--mtu", "-n", target],
            &["ping", "-c", "1", target],
            &["mtr", "--report", "-n", "-c", "1", target],
        ] {
            let outcome = ours(&path, words[0], &words[1..]).await;
            assert!(outcome.code.is_some_and(|code| code != 0), "{words:?}: {}", said(&outcome));
            assert!(outcome.stderr.contains("public-only"), "{words:?}: {}", said(&outcome));
            assert!(outcome.stdout.is_empty(), "{words:?}: {}", said(&outcome));
        }
        let server = format!("@{target}");
        let outcome = ours(&path, "dig", &[&server, "example.com"]).await;
        assert_ne!(outcome.code, Some(0), "dig {server}: {}", said(&outcome));
        assert!(said(&outcome).contains("public-only"), "dig {server}: {}", said(&outcome));
    }
    assert_eq!(path.counted(0), 0, "packets to private networks");
    // The counter does see what leaves.
    path.run(&["ping", "-c", "1", "-W", "1", "10.1.2.3"]).await;
    assert_eq!(path.counted(0), 1, "the packet of a ping that nobody refuses");
    let outcome = ours(&path, "traceroute", &["-n", &path.destination(Family::V4)]).await;
    assert_eq!(outcome.code, Some(0), "{}", said(&outcome));
}
