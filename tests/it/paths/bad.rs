//! Words that make no sense: refused with their limits, and nothing is sent.

use blitz_tests::net::path::{Family, Path, hop, output};

use super::{from, ours, path_with_engine, said};

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_name() {
    let Some((path, _engine)) = path_with_engine(Path::builder(2), &[]).await else { return };
    let four = path.destination(Family::V4);
    let six = path.destination(Family::V6);
    path.count_to(0, &["5.77.0.0/16", "2a05:77::/32"]);
    for words in [
        &["traceroute", "nobody.path.example"][..],
        &["ping", "-c", "1", "nobody.path.example"],
        &["mtr", "--report", "nobody.path.example"],
        // The wrong family.
        &["traceroute", "-6", &four],
        &["traceroute", "-4", &six],
        &["ping", "-6", "-c", "1", &four],
        &["ping", "-4", "-c", "1", &six],
        &["mtr", "--report", "-6", &four],
        // Numbers that do not exist.
        &["traceroute", "-f", "0", &four],
        &["traceroute", "-m", "256", &four],
        &["traceroute", "-m", "0", &four],
        &["traceroute", "-f", "9", "-m", "8", &four],
        &["traceroute", "-q", "0", &four],
        &["traceroute", "-p", "70000", &four],
        &["traceroute", &four, "70000"],
        &["traceroute", "-w", "never", &four],
        &["ping", "-t", "0", &four],
        &["ping", "-t", "256", &four],
        &["ping", "-s", "70000", &four],
        &["ping", "-c", "0", &four],
        &["mtr", "--report", "-m", "300", &four],
        &["mtr", "--report", "-s", "70000", &four],
        &["mtr", "--report", "-c", "0", &four],
        &["traceroute"],
        &["traceroute", ""],
        &["ping", "5.77.3.256"],
    ] {
        let outcome = ours(&path, words[0], &words[1..]).await;
        assert!(outcome.code.is_some_and(|code| code != 0), "{words:?}: {}", said(&outcome));
        assert!(outcome.stderr.trim().len() > words[0].len() + 2, "{words:?}: {}", said(&outcome));
        assert!(!said(&outcome).contains("panicked"), "{words:?}: {}", said(&outcome));
    }
    assert_eq!(path.counted(0), 0, "packets of what was refused");
}

#[tokio::test]
async fn packets_larger_than_the_link_are_told_or_cut() {
    let path = Path::builder(3).narrow(3, 1300);
    let Some((path, _engine)) = path_with_engine(path, &[]).await else { return };
    for family in Family::ALL {
        let target = path.destination(family);
        // In fragments, as Debian's. Of IPv6 no router makes smaller ones: that before the link says what it carries.
        let refused = (family == Family::V6).then_some("!F-1300");
        path.forget_mtus();
        let outcome = ours(&path, "traceroute", &["-n", &target, "4000"]).await;
        path.forget_mtus();
        let debian = path.run(&["traceroute", "-n", "-q", "1", "-w", "2", &target, "4000"]).await;
        for outcome in [outcome, debian] {
            let hops = output::traceroute(&outcome.stdout);
            assert_eq!(from(&hops[..2]), path.to_destination(family)[..2], "{}", said(&outcome));
            let mark = hops.last().and_then(|hop| hop.marks.first()).map(String::as_str);
            assert_eq!(mark, refused, "{}", said(&outcome));
        }
        path.forget_mtus();
        // Not in fragments: of IPv4, too.
        let outcome = ours(&path, "traceroute", &["-n", "-F", &target, "1450"]).await;
        let near = hop(2, family);
        assert!(outcome.stdout.contains(&near), "{}", said(&outcome));
        assert!(outcome.stdout.contains("!F-1300"), "{}", said(&outcome));
    }
}
