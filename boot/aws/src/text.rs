//! Words of others, rows and times, as they are shown.

use std::fmt::Write as _;

use aws_sdk_ec2::primitives::{DateTime, DateTimeFormat};

/// Words of others, which say nothing to our terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A line for the head and each row, with columns as wide as their cells.
pub(crate) fn table<const N: usize>(head: [&str; N], mut rows: Vec<[String; N]>) -> String {
    rows.insert(0, head.map(str::to_owned));
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// A moment, given in milliseconds since 1970: in UTC, in seconds.
pub(crate) fn utc(moment_ms: u64) -> String {
    let seconds = i64::try_from(moment_ms / 1000).unwrap_or(i64::MAX);
    DateTime::from_secs(seconds).fmt(DateTimeFormat::DateTime).unwrap_or_else(|_| "-".to_owned())
}
