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

/// A number of bytes as a person reads it: `12 bytes`, `59.1 KiB`, `4 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * KIB;
    let (unit, name) = match bytes {
        0..KIB => return format!("{bytes} bytes"),
        KIB..MIB => (KIB, "KiB"),
        _ => (MIB, "MiB"),
    };
    match (bytes / unit, (bytes % unit) * 10 / unit) {
        (whole, 0) => format!("{whole} {name}"),
        (whole, tenths) => format!("{whole}.{tenths} {name}"),
    }
}

/// To which side of its column a cell goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    /// For numbers: digits of one worth stand under each other.
    Right,
}

/// Columns of text with two spaces between, widths as the cells need them, no spaces at the end of a line.
pub(crate) fn columns<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let head = head.map(|title| (title.to_owned(), Side::Left));
    aligned(&head, rows)
}

/// The same for any number of columns, each with its side. A row has a cell for each of them.
///
/// Widths count characters: those that take two columns of a screen, or none, move what stands behind.
pub(crate) fn aligned<R: AsRef<[String]>>(head: &[(String, Side)], rows: &[R]) -> String {
    let titles: Vec<&str> = head.iter().map(|(title, _)| title.as_str()).collect();
    let mut widths: Vec<usize> = titles.iter().map(|title| title.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row.as_ref()) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for ((cell, (_, side)), &width) in cells.zip(head).zip(&widths) {
            line.push_str(&match side {
                Side::Left => format!("{cell:width$}  "),
                Side::Right => format!("{cell:>width$}  "),
            });
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    };
    let mut text = line(&mut titles.iter().copied());
    for row in rows {
        text.push_str(&line(&mut row.as_ref().iter().map(String::as_str)));
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
    fn numbers_stand_on_the_right() {
        let head = [("A", Side::Left), ("MS", Side::Right), ("B", Side::Right), ("C", Side::Left)];
        let head = head.map(|(title, side)| (title.to_owned(), side));
        let rows =
            [["a", "1.5", "-", "é"], ["long", "12.0", "7", ""]].map(|r| r.map(str::to_owned));
        assert_eq!(aligned(&head, &rows), "A       MS  B  C\na      1.5  -  é\nlong  12.0  7\n");
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
    fn sizes_are_readable() {
        for (bytes, text) in
            [(0, "0 bytes"), (1536, "1.5 KiB"), (64 << 20, "64 MiB"), ((1 << 20) + 1, "1 MiB")]
        {
            assert_eq!(size(bytes), text);
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
