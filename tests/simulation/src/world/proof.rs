//! Proof that the verdicts are worth something: every rule is broken, and it must be noticed.

use std::io::{self, Write};

use super::command::{CLEAN, FOUND, each};
use super::{Mutants, Size, World};

/// Worlds that are tried for each mutant.
const SEEDS: u64 = 20;

/// Databases are replaced in few worlds, few ends meet another's claim, and few fences are behind the home that moved: worlds for
/// the rules about them begin where there are some.
const FIRST_OF_RARE: u64 = 21;
const RARE: [(&str, &str); 3] =
    [("identity-voids", "void"), ("end-over-claim", "wrong-end"), ("later-epoch", "begun-twice")];

/// No rule of safety: a claim without a clear answer reads all copies anyway. Looking before the write saves leaves
/// that would be removed again.
const SAVES_WORK: &str = "read-first";

/// Smaller worlds with as much trouble for each engine, and more jobs.
const SMALL: Size = Size { engines: 90, regions: 3, jobs: 900, single: true };

/// The same with hubs: for rules about homes that change.
const SMALL_OF_MANY: Size = Size { single: false, ..SMALL };

/// The verdicts that only regions with several clusters know.
const OF_MANY: &[(&str, &str)] = &[
    ("later-epoch", "wrong-epoch"),
    ("later-epoch", "begun-twice"),
    ("earlier-epoch-never", "begun-twice"),
    ("settle-first", "unsettled"),
    ("provisional-safe-only", "begun-twice"),
];

/// Every rule and the verdict that notices when it is broken. Two names: each of them masks the other, and only the
/// pair leads to that verdict.
const TRIALS: &[(&str, &str)] = &[
    ("neighbour-region", "wrong-region"),
    ("all-copies", "overlap"),
    ("decide-by-reading", "overlap"),
    ("unknown-is-read", "run-again"),
    ("yield-leaf,losers-stay", "leaves-left"),
    ("generation-is-nothing", "end-undone"),
    ("ends-first", "end-undone"),
    ("start-fence", "begun-twice"),
    ("fence-apart,answered-polls", "begun-twice"),
    ("fence-once", "begun-twice"),
    ("fence-no-tie-break", "begun-twice"),
    ("self-stop", "overlap"),
    ("lease-from-sending", "overlap"),
    ("stop-when-fenced", "ran-fenced"),
    ("end-over-claim", "wrong-end"),
    ("answered-polls", "overlap"),
    ("beat-per-claim,unknown-is-read", "abandoned"),
    ("survivors-live", "poison-alive"),
    ("deaths-are-sure", "poison-alive"),
    ("identity-voids", "void"),
    ("wall-clock", "overlap"),
    ("list-first", "missed"),
    ("losers-stay", "leaves-left"),
    ("dead-before-stop", "overlap"),
];

/// Breaks every rule and tells the world in which it was noticed.
pub(super) fn prove(threads: usize, out: &mut impl Write) -> io::Result<u8> {
    let sized = |trials: &[(&'static str, &'static str)], size| {
        trials.iter().map(|(names, verdict)| (*names, *verdict, size)).collect::<Vec<_>>()
    };
    let mut trials = sized(TRIALS, SMALL);
    trials.extend(sized(OF_MANY, SMALL_OF_MANY));
    let mut missed = 0;
    let mut failed = Ok(());
    each(
        threads,
        &trials,
        |(names, verdict, size)| {
            let mutants = mutants(names);
            let noticed = |seed: &u64| {
                let outcome = World::new(*seed, *size, mutants).run(false);
                outcome.findings.into_iter().find(|finding| finding.verdict == *verdict)
            };
            let first = if RARE.contains(&(*names, *verdict)) { FIRST_OF_RARE } else { 1 };
            let found = (first..first + SEEDS)
                .find_map(|seed| noticed(&seed).map(|finding| (seed, finding)));
            (*names, found)
        },
        |(names, found)| {
            failed = match found {
                Some((seed, finding)) => writeln!(
                    out,
                    "{names:<44} seed {seed:>2} {:<14} at {:>7.1} s",
                    finding.verdict,
                    finding.at.as_secs_f64()
                ),
                None => {
                    missed += 1;
                    writeln!(out, "{names:<44} NOT FOUND in {SEEDS} worlds")
                }
            };
            failed.is_ok()
        },
    );
    failed?;
    writeln!(out, "{} of {} found", trials.len() - missed, trials.len())?;
    writeln!(out, "not tried: {SAVES_WORK}, which saves work and keeps nothing safe")?;
    Ok(if missed == 0 { CLEAN } else { FOUND })
}

/// The mutants of these names.
pub(super) fn mutants(names: &str) -> Mutants {
    let each = names.split(',').filter_map(|name| name.parse().ok());
    each.fold(Mutants::default(), Mutants::with)
}

#[cfg(test)]
mod tests {
    use super::super::Mutant;
    use super::*;

    #[test]
    fn every_rule_has_a_trial() {
        for mutant in Mutant::all() {
            let name = mutant.to_string();
            let mut trials = TRIALS.iter().chain(OF_MANY);
            let is_tried = trials.any(|(names, _)| names.split(',').any(|one| one == name));
            assert!(is_tried || name == SAVES_WORK, "{name} is never broken");
        }
        for (names, _) in TRIALS.iter().chain(OF_MANY) {
            assert_ne!(mutants(names), Mutants::default(), "{names}");
        }
    }
}
