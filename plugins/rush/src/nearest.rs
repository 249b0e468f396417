//! The known word that a mistyped one is nearest to. Pure.

/// Typing slips that still count as the same word.
const SLIPS_MAX: usize = 2;

/// The nearest of `known` with at most [`SLIPS_MAX`] slips, and fewer than half of its letters.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .filter(|candidate| word.len().abs_diff(candidate.len()) <= SLIPS_MAX)
        .map(|candidate| (slips(word, candidate), candidate))
        .filter(|(slips, candidate)| *slips <= SLIPS_MAX && slips * 2 < candidate.len())
        .min()
        .map(|(_, candidate)| candidate)
}

/// `; did you mean ...?`, or nothing.
pub(crate) fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map_or_else(String::new, |known| format!("; did you mean {known}?"))
}

/// Bytes to add, drop or replace.
fn slips(from: &str, to: &str) -> usize {
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (row, a) in from.bytes().enumerate() {
        let mut line = vec![row + 1];
        for (column, b) in to.bytes().enumerate() {
            let replaced = above[column] + usize::from(a != b);
            line.push(replaced.min(above[column + 1] + 1).min(line[column] + 1));
        }
        above = line;
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_forgiven() {
        let known = ["pattern", "rate", "steps", "warm-up"];
        for (word, wanted) in [
            ("patern", Some("pattern")),
            ("rates", Some("rate")),
            ("step", Some("steps")),
            ("warmup", Some("warm-up")),
            ("warm_up", Some("warm-up")),
            ("speed", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), wanted, "{word}");
        }
    }
}
