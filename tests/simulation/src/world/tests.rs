//! A few small worlds: the same twice, clean as the protocol is, and not so when a rule is broken.

use super::proof::mutants;
use super::*;

const SMALL: Size = Size { engines: 30, regions: 2, jobs: 60, single: false };

#[test]
fn a_seed_is_the_same_world_each_time() {
    let run = |seed| World::new(seed, SMALL, Mutants::default()).run(false);
    let (one, again, other) = (run(3), run(3), run(4));
    assert_eq!(one.digest, again.digest);
    assert_eq!(one.findings, again.findings);
    assert_ne!(one.digest, other.digest);
}

#[test]
fn nothing_is_found_while_all_rules_hold() {
    for seed in 1..=8 {
        let outcome = World::new(seed, SMALL, Mutants::default()).run(true);
        assert_eq!(outcome.findings, [], "seed {seed}");
        assert!(outcome.tally.jobs + outcome.tally.void >= 60, "seed {seed}: {}", outcome.tally);
    }
}

#[test]
fn regions_have_several_clusters_unless_they_must_not() {
    let run = |single| {
        let mut total = Tally::default();
        for seed in 1..=4 {
            let size = Size { single, ..SMALL };
            total.add(&World::new(seed, size, Mutants::default()).run(true).tally);
        }
        total
    };
    let many = run(false);
    assert!(many.many_regions > 0 && many.carried > 0 && many.links_cut > 0, "{many}");
    let single = run(true);
    assert_eq!((single.many_regions, single.carried), (0, 0), "{single}");
}

#[test]
fn a_broken_rule_is_noticed() {
    for name in ["wall-clock", "dead-before-stop", "stop-when-fenced"] {
        let noticed = (1..=20).any(|seed| {
            let outcome = World::new(seed, SMALL, mutants(name)).run(true);
            !outcome.findings.is_empty()
        });
        assert!(noticed, "{name} is not noticed in 20 worlds");
    }
}

#[test]
fn a_command_line_that_is_wrong_is_told_so() {
    let mut out = Vec::new();
    let arguments = ["--seeds", "9..1"].map(str::to_owned).into_iter();
    assert_eq!(command(arguments, &mut out).unwrap(), USAGE);
    assert!(String::from_utf8(out).unwrap().contains("9..1"));
}
