//! Licences: expressions of SPDX, as packages have them.

/// Licences that may be shipped with a program under MIT or Apache-2.0: none of them asks for more than its text and its notice.
pub(crate) const ALLOWED: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    // Mozilla's list of roots: data.
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

/// Whether what an expression asks for can be had from [`ALLOWED`].
pub(crate) fn is_allowed(expression: &str) -> bool {
    let text = normal(expression).replace('(', " ( ").replace(')', " ) ");
    let mut words = text.split_whitespace().peekable();
    let allowed = either(&mut words);
    allowed == Some(true) && words.next().is_none()
}

/// An expression as SPDX wants it: older packages have a slash for OR.
pub(crate) fn normal(expression: &str) -> String {
    let words: Vec<&str> = expression.split('/').map(str::trim).collect();
    words.join(" OR ")
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

/// `A OR B`; nothing when it is no expression.
fn either(words: &mut Words<'_>) -> Option<bool> {
    let mut allowed = both(words)?;
    while words.next_if_eq(&"OR").is_some() {
        allowed |= both(words)?;
    }
    Some(allowed)
}

/// `A AND B`, which binds more.
fn both(words: &mut Words<'_>) -> Option<bool> {
    let mut allowed = one(words)?;
    while words.next_if_eq(&"AND").is_some() {
        allowed &= one(words)?;
    }
    Some(allowed)
}

fn one(words: &mut Words<'_>) -> Option<bool> {
    let word = words.next()?;
    if word == "(" {
        let allowed = either(words)?;
        return (words.next()? == ")").then_some(allowed);
    }
    if matches!(word, ")" | "OR" | "AND" | "WITH") {
        return None;
    }
    // An exception takes away from what a licence asks for.
    if words.next_if_eq(&"WITH").is_some() {
        words.next()?;
    }
    Some(ALLOWED.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read() {
        for (expression, allowed) in [
            ("MIT", true),
            ("MIT OR GPL-3.0", true),
            ("MIT AND GPL-3.0", false),
            ("(MIT OR GPL-3.0) AND Unicode-3.0", true),
            ("MIT OR GPL-3.0 AND AGPL-3.0", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("GPL-2.0 WITH Classpath-exception-2.0", false),
            ("MIT/Apache-2.0", true),
            ("Apache-2.0 / MIT", true),
            ("", false),
            ("(MIT", false),
            ("MIT MIT", false),
            ("MIT OR", false),
        ] {
            assert_eq!(is_allowed(expression), allowed, "{expression:?}");
        }
    }
}
