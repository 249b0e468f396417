//! The known word that a mistyped one is nearest to. Pure.

/// Typing slips that still count as the same word.
const SLIPS_MAX: usize = 2;

/// The nearest of `known` with at most [`SLIPS_MAX`] slips, and fewer than half of its letters.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (slips(word, candidate), candidate))
        .filter(|(slips, candidate)| *slips <= SLIPS_MAX && slips * 2 < candidate.chars().count())
        .min()
        .map(|(_, candidate)| candidate)
}

/// Letters to add, drop, replace or swap with their neighbour (optimal string alignment distance).
fn slips(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().collect();
    let to: Vec<char> = to.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for row in 1..=from.len() {
        let mut line = vec![row];
        for column in 1..=to.len() {
            let replaced = above[column - 1] + usize::from(from[row - 1] != to[column - 1]);
            let mut least = replaced.min(above[column] + 1).min(line[column - 1] + 1);
            let swapped = row > 1
                && column > 1
                && from[row - 1] == to[column - 2]
                && from[row - 2] == to[column - 1];
            if swapped {
                least = least.min(before[column - 2] + 1);
            }
            line.push(least);
        }
        before = std::mem::replace(&mut above, line);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_forgiven() {
        let known = ["jobs", "job", "regions", "curl", "japan", "virginia"];
        for (word, nearest_word) in [
            ("jpan", Some("japan")),
            ("crul", Some("curl")),
            ("regoins", Some("regions")),
            ("virgina", Some("virginia")),
            ("jbos", Some("jobs")),
            ("traceroute", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), nearest_word, "{word}");
        }
    }
}
