//! Compares what was seen with the table of what is meant: neither may have more than the other.

mod refused;
mod table;

use std::collections::BTreeSet;

use super::case::Case;
use super::compare::Difference;

/// One line of the table.
struct Known {
    cases: Cases,
    /// As in [`Difference::aspect`].
    aspects: &'static [&'static str],
    why: &'static str,
}

/// Which cases a line is about.
enum Cases {
    /// All in which the two values are so; each aspect must be seen once.
    Where(fn(&Difference) -> bool),
    /// These, each of them in one aspect at least; `*` in front stands for any beginning.
    These(&'static [&'static str]),
}

use Cases::{These, Where};

impl Known {
    fn covers(&self, case: &str, difference: &Difference) -> bool {
        self.aspects.contains(&difference.aspect.as_str())
            && match self.cases {
                Where(is_so) => is_so(difference),
                These(patterns) => patterns.iter().any(|pattern| is_meant(pattern, case)),
            }
    }
}

/// The whole table, with a number for each line.
fn table() -> impl Iterator<Item = (usize, &'static Known)> {
    table::TABLE.iter().chain(refused::TABLE).enumerate()
}

fn is_meant(pattern: &str, case: &str) -> bool {
    pattern.strip_prefix('*').map_or(pattern == case, |end| case.ends_with(end))
}

/// Whether the differences of a case are those that the table has for it, as far as one case tells.
pub(crate) fn fits(case: &Case, differences: &[Difference]) -> bool {
    let covered = |it: &Difference| table().any(|(_, known)| known.covers(&case.name, it));
    let named = |known: &Known| match known.cases {
        Where(_) => false,
        These(patterns) => patterns.iter().any(|pattern| is_meant(pattern, &case.name)),
    };
    differences.iter().all(covered)
        && table()
            .filter(|(_, known)| named(known))
            .all(|(_, known)| differences.iter().any(|it| known.covers(&case.name, it)))
}

/// Collects what was seen.
#[derive(Default)]
pub(crate) struct Book {
    cases: BTreeSet<String>,
    /// Line of the table, case, and aspect that were needed.
    used: BTreeSet<(usize, String, String)>,
    complaints: Vec<String>,
}

impl Book {
    /// Takes the differences of one case.
    pub(crate) fn note(&mut self, case: &Case, differences: Vec<Difference>) {
        self.cases.insert(case.name.clone());
        let mut unknown = Vec::new();
        for it in differences {
            let lines = table().filter(|(_, known)| known.covers(&case.name, &it));
            let lines: Vec<usize> = lines.map(|(line, _)| line).collect();
            if lines.is_empty() {
                unknown.push(format!(
                    "  {}\n    curl:  {}\n    blitz: {}",
                    it.aspect, it.curl, it.blitz
                ));
            }
            for line in lines {
                self.used.insert((line, case.name.clone(), it.aspect.clone()));
            }
        }
        if !unknown.is_empty() {
            self.complaints.push(format!("{}\n{}", case.name, unknown.join("\n")));
        }
    }

    /// What is wrong. Lines that nobody needed count only when all cases ran.
    pub(crate) fn complaints(mut self, is_whole: bool) -> Vec<String> {
        self.complaints.sort();
        if is_whole {
            for (line, known) in table() {
                for what in self.missing(line, known) {
                    self.complaints.push(format!(
                        "the table expects a difference, and there is none: {what} ({})",
                        known.why
                    ));
                }
            }
        }
        self.complaints
    }

    /// What a line says and nobody saw.
    fn missing(&self, line: usize, known: &Known) -> Vec<String> {
        let used = || self.used.iter().filter(move |(at, _, _)| *at == line);
        let unseen = known
            .aspects
            .iter()
            .filter(|aspect| !used().any(|(_, _, seen)| seen == *aspect))
            .map(|aspect| format!("{aspect:?} of any case"));
        let patterns: &[&str] = match known.cases {
            Where(_) => &[],
            These(patterns) => patterns,
        };
        let unmatched = patterns
            .iter()
            .filter(|pattern| !self.cases.iter().any(|case| is_meant(pattern, case)))
            .map(|pattern| format!("no case {pattern:?}"));
        let same = self
            .cases
            .iter()
            .filter(|case| patterns.iter().any(|pattern| is_meant(pattern, case)))
            .filter(|case| !used().any(|(_, seen, _)| seen == *case))
            .map(|case| format!("case {case:?}"));
        unseen.chain(unmatched).chain(same).collect()
    }
}
