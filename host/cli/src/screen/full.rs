//! The whole screen as cells: what is written to make it show the next ones, and back to what stood there before. Pure.
//!
//! It is the terminal's alternate screen, which no change of its size tears: what the user had stays, and the end of the
//! command is printed below it.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

/// What is on the screen.
#[derive(Debug, Default)]
pub(super) struct Full {
    shown: Option<Buffer>,
}

/// To the alternate screen, without the cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// Back from it. Also where there is none: then nothing was entered, and nothing is left.
const LEAVE: &str = "\x1b[0m\x1b[?25h\x1b[?1049l";
const CLEAR: &str = "\x1b[0m\x1b[2J";

impl Full {
    pub(super) fn is_shown(&self) -> bool {
        self.shown.is_some()
    }

    /// Bytes that make the screen show these cells; of those that are there already none.
    pub(super) fn show(&mut self, next: Buffer) -> Vec<u8> {
        let mut text = String::new();
        let before = match self.shown.take() {
            Some(before) if before.area == next.area => before,
            before => {
                text.push_str(if before.is_some() { "" } else { ENTER });
                text.push_str(CLEAR);
                Buffer::empty(next.area)
            }
        };
        let mut style = Style::reset();
        let mut cursor = None;
        for (column, row, cell) in before.diff(&next) {
            if cursor != Some((column, row)) {
                text.push_str(&format!("\x1b[{};{}H", row + 1, column + 1));
            }
            if cell.style() != style {
                style = cell.style();
                text.push_str(&sequence(style));
            }
            text.push_str(cell.symbol());
            // A symbol that is wider puts the next one elsewhere, and is followed by a sequence.
            cursor = (cell.symbol().is_ascii()).then(|| (column + 1, row));
        }
        if !text.is_empty() {
            text.push_str("\x1b[0m");
        }
        self.shown = Some(next);
        text.into_bytes()
    }

    /// Bytes that bring back what was there before.
    pub(super) fn leave(&mut self) -> Vec<u8> {
        match self.shown.take() {
            Some(_) => LEAVE.as_bytes().to_vec(),
            None => Vec::new(),
        }
    }
}

/// Sets colours and modifiers anew. The sixteen colours are those that the user has chosen.
fn sequence(style: Style) -> String {
    let mut codes = vec!["0".to_owned()];
    for (modifier, code) in [(Modifier::BOLD, "1"), (Modifier::DIM, "2"), (Modifier::REVERSED, "7")]
    {
        if style.add_modifier.contains(modifier) {
            codes.push(code.to_owned());
        }
    }
    let color = match style.fg {
        Some(Color::Red) => Some("31"),
        Some(Color::Green) => Some("32"),
        Some(Color::Yellow) => Some("33"),
        Some(Color::Blue) => Some("34"),
        Some(Color::Cyan) => Some("36"),
        // Others are not used.
        _ => None,
    };
    codes.extend(color.map(str::to_owned));
    format!("\x1b[{}m", codes.join(";"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(terminal: &vt100::Parser) -> String {
        terminal.screen().contents()
    }

    #[test]
    fn a_terminal_shows_each_one_and_then_what_it_had() {
        let size = |rows, columns| {
            (std::num::NonZeroU16::new(rows).unwrap(), std::num::NonZeroU16::new(columns).unwrap())
        };
        let (rows, columns) = size(3, 12);
        let mut terminal = vt100::Parser::new(rows, columns, 0);
        terminal.process(b"$ blitz\r\n");
        let mut full = Full::default();
        let mut red = Buffer::with_lines(["title", "ü 1.5   ms", "last"]);
        red.set_string(0, 0, "title", Style::new().fg(Color::Red));
        terminal.process(&full.show(red));
        assert_eq!(screen(&terminal), "title\nü 1.5   ms\nlast");
        assert_eq!(terminal.screen().cell(0, 0).unwrap().fgcolor(), vt100::Color::Idx(1));
        assert_eq!(terminal.screen().cell(1, 0).unwrap().fgcolor(), vt100::Color::Default);
        assert!(terminal.screen().hide_cursor() && full.is_shown());
        let next = Buffer::with_lines(["title", "ü 12.5  ms", ""]);
        let bytes = full.show(next.clone());
        assert!(bytes.len() < 80, "only what differs: {}", String::from_utf8_lossy(&bytes));
        terminal.process(&bytes);
        assert_eq!(screen(&terminal).trim_end(), "title\nü 12.5  ms");
        assert_eq!(full.show(next), b"");
        // Another size: all of it is drawn anew.
        let (rows, columns) = size(2, 6);
        terminal.screen_mut().set_size(rows, columns);
        terminal.process(&full.show(Buffer::with_lines(["small", "two"])));
        assert_eq!(screen(&terminal), "small\ntwo");
        terminal.process(&full.leave());
        assert_eq!(screen(&terminal).lines().next(), Some("$ blit"));
        assert!(!terminal.screen().hide_cursor());
        assert_eq!(full.leave(), b"");
    }
}
