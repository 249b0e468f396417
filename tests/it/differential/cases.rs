//! The command lines. Each table is about one side of curl; some are made by multiplying.

mod asked;
mod bodies;
mod answered;
mod redirected;
mod failed;
mod written;
mod secured;

use std::collections::BTreeSet;

use super::case::Case;

/// Every case, in the order of the tables.
pub(crate) fn all() -> Vec<Case> {
    let mut lines = Vec::new();
    asked::add(&mut lines);
    bodies::add(&mut lines);
    answered::add(&mut lines);
    redirected::add(&mut lines);
    failed::add(&mut lines);
    written::add(&mut lines);
    secured::add(&mut lines);
    // Two multiplied tables may make the same line.
    let mut known = BTreeSet::new();
    lines.retain(|line| known.insert(line.clone()));
    lines.iter().map(|line| Case::parse(line)).collect()
}

fn take(lines: &mut Vec<String>, table: &[&str]) {
    lines.extend(table.iter().map(|&line| line.to_owned()));
}
