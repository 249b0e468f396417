//! A record becomes the cells of a row. Pure.
//!
//! Records, titles and names are foreign text: a cell is one short line without control characters,
//! whoever reads it, as it would break the rows of the others otherwise.

use blitz_contract::{Column, Table, Unit};
use serde_json::Value;

use crate::strip::Strip;
use crate::text::Side;

/// Characters of a cell: an address of IPv6 or the name of an engine fit, a page of text does not.
const CELL_CHARS_MAX: usize = 40;

/// Rows of one record: a path has at most 255 hops, with a few addresses each.
const ROWS_MAX: usize = 1000;

/// What stands where there is nothing.
pub(crate) const NOTHING: &str = "-";

/// A record's figure for a column; [`NOTHING`] where it has none.
pub(crate) fn of_record(record: &Value, column: &Column) -> String {
    match (column.unit, record.pointer(&column.value).unwrap_or(&Value::Null)) {
        (_, Value::Null) => NOTHING.to_owned(),
        (_, Value::String(text)) => of_text(text),
        (Unit::Us, Value::Number(us)) => {
            us.as_f64().map_or_else(|| NOTHING.to_owned(), milliseconds)
        }
        (_, other) => of_text(&other.to_string()),
    }
}

/// The elements of a record that become rows: those of its list, or the record itself where the table names none.
pub(crate) fn rows_of<'a>(record: &'a Value, table: &Table) -> Vec<&'a Value> {
    if table.rows.is_empty() {
        return vec![record];
    }
    let list = record.pointer(&table.rows).and_then(Value::as_array);
    list.into_iter().flatten().take(ROWS_MAX).collect()
}

/// Any text as a cell: in one line, at most [`CELL_CHARS_MAX`] characters, the last of them an ellipsis
/// when there were more.
pub(crate) fn of_text(text: &str) -> String {
    let line = line(text);
    match line.chars().count() {
        0 => NOTHING.to_owned(),
        1..=CELL_CHARS_MAX => line,
        _ => line.chars().take(CELL_CHARS_MAX - 1).chain(['…']).collect(),
    }
}

/// Any text as one line without control characters, however long.
pub(crate) fn line(text: &str) -> String {
    let safe = Strip::default().push(text.as_bytes());
    let safe = String::from_utf8_lossy(&safe);
    let line: String = safe
        .chars()
        .filter(|c| !turns_text_round(*c))
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .collect();
    line.trim().to_owned()
}

/// Where the cells of a column stand.
pub(crate) fn side(unit: Unit) -> Side {
    match unit {
        Unit::Count | Unit::Us => Side::Right,
        Unit::Text => Side::Left,
    }
}

fn milliseconds(us: f64) -> String {
    of_text(&format!("{:.1}", us / 1000.0))
}

/// Characters that set the direction of text: they would move the cells behind them.
///
/// Source: Unicode Standard Annex 9, section 2.
fn turns_text_round(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_shown_by_their_unit() {
        let record = json!({
            "status": 200, "phases": {"dns_us": 1250, "tls_us": null, "a/b": 0}, "share": 0.5,
            "late_us": "never", "huge_us": 1e300, "days": -3, "ok": true, "list": [1, {"a": 2}],
            "name": "", "hops": [{"ttl": 7}],
        });
        for (pointer, unit, cell) in [
            ("/status", Unit::Count, "200"),
            ("/status", Unit::Text, "200"),
            ("/phases/dns_us", Unit::Us, "1.2"),
            ("/phases/dns_us", Unit::Count, "1250"),
            ("/phases/a~1b", Unit::Us, "0.0"),
            ("/phases/tls_us", Unit::Us, "-"),
            ("/phases/gone_us", Unit::Us, "-"),
            ("/late_us", Unit::Us, "never"),
            ("/huge_us", Unit::Us, "100000000000000001765280146275637971437…"),
            ("/share", Unit::Count, "0.5"),
            ("/days", Unit::Count, "-3"),
            ("/ok", Unit::Text, "true"),
            ("/list", Unit::Text, r#"[1,{"a":2}]"#),
            ("/name", Unit::Text, "-"),
            ("/hops/0/ttl", Unit::Count, "7"),
            ("no pointer", Unit::Text, "-"),
        ] {
            let column = Column { title: "X".to_owned(), value: pointer.to_owned(), unit };
            assert_eq!(of_record(&record, &column), cell, "{pointer} as {unit:?}");
        }
    }

    #[test]
    fn a_cell_is_one_short_line() {
        let long = "x".repeat(CELL_CHARS_MAX);
        for (text, cell) in [
            ("plain", "plain"),
            ("two\nlines\tand\r\n", "two lines and"),
            ("\u{1b}[31mred\u{1b}[0m \u{7}bell", "red bell"),
            ("\u{1b}]0;title\u{7}x", "x"),
            ("\u{9b}31mx", "x"),
            ("a\u{202e}b\u{2066}c", "abc"),
            ("a\u{2028}b", "a b"),
            ("\u{1b}[0m \n", "-"),
            (&long, &long),
            (&format!("{long}x"), &format!("{}…", &long[1..])),
            (&"é".repeat(100), &format!("{}…", "é".repeat(CELL_CHARS_MAX - 1))),
        ] {
            assert_eq!(of_text(text), cell, "{text:?}");
        }
    }
}
