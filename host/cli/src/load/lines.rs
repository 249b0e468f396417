//! The plain lines: one for each second, as soon as it is whole, under titles that come again. Pure.

use blitz_contract::load::Plan;
use blitz_report::Second;

use super::row::{Count, Heads, Row, all, is_told, titles};

/// Lines from one row of titles to the next: both are on a small screen.
const TITLES_EVERY: u32 = 20;

/// Writes lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Seconds that were taken.
    taken: u32,
    /// Rows of them that were written.
    written: u32,
    count: Count,
    /// Of the screen or of a wide page: longer notes are cut.
    width_chars: Option<usize>,
}

/// Characters of a line that nobody's terminal bounds: all columns, and all kinds of errors.
const WIDTH_CHARS_MAX: usize = 240;

impl Lines {
    pub(super) fn new(width_chars: Option<usize>) -> Self {
        Self { width_chars, ..Self::default() }
    }

    /// The next seconds, in their order.
    pub(super) fn push(&mut self, seconds: &[Second], plan: Option<&Plan>) -> String {
        let (columns, heads) = (all(), Heads::of(plan));
        let width = self.width_chars.unwrap_or(WIDTH_CHARS_MAX);
        let mut text = String::new();
        for second in seconds {
            self.taken = self.taken.saturating_add(1);
            if !is_told(second, plan) {
                continue;
            }
            if self.written.is_multiple_of(TITLES_EVERY) {
                text.push_str(&titles(&columns, heads, width));
                text.push('\n');
            }
            self.written = self.written.saturating_add(1);
            self.count.add(second);
            text.push_str(&Row::of(second, self.count).text(&columns, heads, width));
            text.push('\n');
        }
        text
    }

    /// How many seconds were taken.
    pub(super) fn taken(&self) -> u32 {
        self.taken
    }
}
