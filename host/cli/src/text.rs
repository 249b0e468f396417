//! Words of errors and tables as people read them.

/// `No such file or directory` out of `No such file or directory (os error 2)`, anywhere in a text.
pub(crate) fn without_os_code(text: &str) -> String {
    let mut clean = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(" (os error ") {
        clean.push_str(before);
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    clean + rest
}

/// A word as it would have to be typed again.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Columns with two spaces between, widths as the cells need them, no spaces at the end of a line.
pub(crate) fn columns<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let head = head.map(str::to_owned);
    let all = || std::iter::once(&head).chain(rows);
    let mut widths = [0; N];
    for row in all() {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in all() {
        let mut line = String::new();
        for (cell, &width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let rows = [["virginia".to_owned(), "2".to_owned()], ["jp".to_owned(), String::new()]];
        assert_eq!(columns(["NAME", "ENGINES"], &rows), "NAME      ENGINES\nvirginia  2\njp\n");
        assert_eq!(columns(["NAME"], &[]), "NAME\n");
    }

    #[test]
    fn the_number_of_an_error_is_left_out() {
        for (text, clean) in [
            ("Is a directory (os error 21)", "Is a directory"),
            ("a (os error 1); b (os error 2) c", "a; b c"),
            ("plain", "plain"),
        ] {
            assert_eq!(without_os_code(text), clean);
        }
    }

    #[test]
    fn words_can_be_typed_again() {
        for (word, typed) in [
            ("http://x/a-b", "http://x/a-b"),
            ("a b", "'a b'"),
            ("it's", "'it'\\''s'"),
            ("", "''"),
            ("x?y&z", "'x?y&z'"),
        ] {
            assert_eq!(quoted(word), typed);
        }
    }
}
