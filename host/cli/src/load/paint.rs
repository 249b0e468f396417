//! Draws a [`View`] into the cells of a screen of any size. Pure.
//!
//! From the top: what is loaded and how far it is, the table, the chart, a line for each part, totals, errors, the generator
//! itself, what was said, and how to end it. What has no room goes in the order of its worth.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use super::chart;
use super::row;
use super::view::{PartLine, View};

/// Rows of the table, its titles included, that come before a chart.
const TABLE_ROWS_MIN: u16 = 5;
/// Rows above the table's that a part of the screen's height may take for parts: a run may have hundreds.
const PARTS_SHARE: u16 = 4;
/// Characters of a part's name that are always shown.
const LABEL_CHARS_MAX: usize = 16;
/// Characters of how a part stands, behind which figures stand under each other.
const STAGE_CHARS_MAX: usize = 30;
/// Lines of what was said.
const SAID_ROWS_MAX: usize = 3;

/// What a cell's text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Plain,
    Title,
    Good,
    Bad,
    Faint,
}

/// Lines from above or from below, each in one row.
struct Page<'a> {
    buffer: &'a mut Buffer,
    color: bool,
}

impl View {
    /// The whole screen.
    pub(crate) fn paint(&self, columns: u16, rows: u16) -> Buffer {
        let area = Rect::new(0, 0, columns, rows);
        let mut buffer = Buffer::empty(area);
        let mut page = Page { buffer: &mut buffer, color: self.color };
        let foot = self.foot(columns, rows);
        let foot_rows = rows_of(foot.len()).min(rows.saturating_sub(1));
        page.header(self, columns, rows);
        let body = rows.saturating_sub(foot_rows).saturating_sub(1);
        let chart_rows = match body.checked_sub(TABLE_ROWS_MIN) {
            Some(left) if left >= chart::ROWS_MIN && columns >= chart::COLUMNS_MIN => {
                // Three of five rows, where the table has its least then.
                left.min((body / 5 * 3).max(chart::ROWS_MIN))
            }
            _ => 0,
        };
        page.table(self, Rect::new(0, 1, columns, body - chart_rows));
        if chart_rows > 0 && !self.points.is_empty() {
            let area = Rect::new(0, 1 + body - chart_rows, columns, chart_rows);
            chart::draw(&self.points, self.axis, self.color, area, page.buffer);
        }
        // What is at the end of the foot matters least.
        for (at, (text, meaning)) in (rows - foot_rows..rows).zip(&foot) {
            page.put(0, at, text, *meaning);
        }
        buffer
    }

    /// The lines below table and chart, those that have room.
    fn foot(&self, columns: u16, rows: u16) -> Vec<(String, Meaning)> {
        let mut foot = Vec::new();
        let share = usize::from(rows / PARTS_SHARE).max(1);
        // Those that are lost are shown first.
        let mut parts: Vec<&PartLine> = self.parts.iter().collect();
        parts.sort_by_key(|part| !part.is_lost);
        let left_out = parts.len().saturating_sub(share);
        if left_out > 0 {
            parts.truncate(share.saturating_sub(1));
        }
        let width = parts.iter().map(|part| part.label.chars().count()).max().unwrap_or_default();
        let width = width.min(LABEL_CHARS_MAX);
        let with_figures = parts.iter().filter(|part| !part.figures.is_empty());
        let stage_width = with_figures.map(|part| part.stage.chars().count()).max();
        let stage_width = stage_width.unwrap_or_default().min(STAGE_CHARS_MAX);
        for part in &parts {
            let label: String = part.label.chars().take(width).collect();
            let text = match part.figures.as_str() {
                "" => format!("{label:width$}  {}", part.stage),
                figures => format!("{label:width$}  {:stage_width$}  {figures}", part.stage),
            };
            foot.push((text, if part.is_lost { Meaning::Bad } else { Meaning::Plain }));
        }
        if left_out > 0 {
            let text = format!("... {} more parts", self.parts.len() - parts.len());
            foot.push((text, Meaning::Faint));
        }
        if !self.total.is_empty() {
            foot.push((self.total.clone(), Meaning::Good));
        }
        if !self.errors.is_empty() {
            foot.push((format!("errors: {}", self.errors), Meaning::Bad));
        }
        if !self.generator.is_empty() {
            foot.push((format!("generator: {}", self.generator), Meaning::Plain));
        }
        let unsaid = self.said.len().saturating_sub(SAID_ROWS_MAX);
        foot.extend(self.said[unsaid..].iter().map(|said| (said.clone(), Meaning::Plain)));
        let way_out = match (self.is_ending, self.owns_jobs) {
            (true, _) => "cancelling, the last figures are on their way; ^C again leaves at once",
            (false, true) => "q or ^C ends the test; what is there by then is shown",
            (false, false) => "q or ^C leaves; the test goes on",
        };
        foot.push((way_out.chars().take(columns.into()).collect(), Meaning::Faint));
        // Small screens have the table first.
        foot.truncate(usize::from(rows / 2));
        foot
    }
}

impl Page<'_> {
    /// What is loaded, and on the right how far it is; where both have no room, how far it is.
    fn header(&mut self, view: &View, columns: u16, rows: u16) {
        if rows == 0 {
            return;
        }
        let room = usize::from(columns);
        let stage = view.stage.chars().count();
        let left = room.saturating_sub(stage + 2);
        if stage > 0 && left >= 8 {
            let title: String = view.title.chars().take(left).collect();
            self.put(0, 0, &title, Meaning::Title);
            let at = columns - rows_of(stage).min(columns);
            self.put(at, 0, &view.stage, Meaning::Good);
        } else if stage > 0 {
            self.put(0, 0, &view.stage, Meaning::Good);
        } else {
            self.put(0, 0, &view.title, Meaning::Title);
        }
    }

    /// Titles, and as many of the last rows as there is room for.
    fn table(&mut self, view: &View, area: Rect) {
        let (rows, heads) = (&view.rows, view.heads);
        if area.height == 0 || rows.is_empty() {
            return;
        }
        let room = usize::from(area.width);
        let columns = row::that_fit(heads, room);
        self.put(0, area.y, &row::titles(&columns, heads, room), Meaning::Title);
        let shown = rows.len().min(usize::from(area.height - 1));
        for (at, row) in (area.y + 1..).zip(&rows[rows.len() - shown..]) {
            let meaning = match () {
                () if row.has_errors => Meaning::Bad,
                () if row.is_warm_up => Meaning::Faint,
                () => Meaning::Plain,
            };
            self.put(0, at, &row.text(&columns, heads, room), meaning);
        }
    }

    fn put(&mut self, column: u16, row: u16, text: &str, meaning: Meaning) {
        if row >= self.buffer.area.height || column >= self.buffer.area.width {
            return;
        }
        let room = usize::from(self.buffer.area.width - column);
        self.buffer.set_stringn(column, row, text, room, style(meaning, self.color));
    }
}

fn style(meaning: Meaning, color: bool) -> Style {
    let plain = Style::new();
    match (meaning, color) {
        (Meaning::Plain, _) => plain,
        (Meaning::Title, _) => plain.add_modifier(Modifier::BOLD),
        (Meaning::Faint, _) => plain.add_modifier(Modifier::DIM),
        (Meaning::Good, true) => plain.fg(Color::Green),
        (Meaning::Bad, true) => plain.fg(Color::Red),
        (Meaning::Good | Meaning::Bad, false) => plain,
    }
}

/// Rows that so many lines take; a screen has fewer than 65,536.
fn rows_of(lines: usize) -> u16 {
    u16::try_from(lines).unwrap_or(u16::MAX)
}
