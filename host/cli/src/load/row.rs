//! One second, or several, as the columns of the table: those of the original, with percentiles and errors by kind. Pure.

use blitz_contract::load::{Plan, Shape};
use blitz_report::{Latency, Second, words};

use crate::cells::line;

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// Characters of all but huge figures.
    pub(super) width: usize,
    /// Terminals without room leave out those with the highest number.
    pub(super) rank: u8,
}

const fn column(title: &'static str, width: usize, rank: u8) -> Column {
    Column { title, width, rank }
}

/// All of them. Times are in milliseconds: a column of one unit can be read downwards.
pub(super) const COLUMNS: [Column; 11] = [
    column("Time", 7, 0),
    column("Users", 6, 1),
    column("Response ms", 11, 7),
    column("Hits", 9, 5),
    column("Timeouts", 8, 6),
    column("Errors", 7, 3),
    column("Hits/s", 8, 2),
    column("Mbps", 7, 9),
    column("p50 ms", 8, 8),
    column("p95 ms", 8, 10),
    column("p99 ms", 8, 4),
];

/// Where [`COLUMNS`] has the users: arrivals are none, and what is told is how many are not answered yet.
const UNDER_WAY: (usize, Column) = (1, column("Under way", 9, 1));

/// What the columns mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Heads {
    #[default]
    Users,
    Rate,
}

impl Heads {
    pub(super) fn of(plan: Option<&Plan>) -> Self {
        match plan.map(|plan| &plan.shape) {
            Some(Shape::Rate { .. }) => Self::Rate,
            Some(Shape::Users { .. }) | None => Self::Users,
        }
    }

    fn column(self, at: usize) -> Column {
        match self {
            Self::Rate if at == UNDER_WAY.0 => UNDER_WAY.1,
            Self::Rate | Self::Users => COLUMNS[at],
        }
    }
}

/// Whether a second has something to say. Behind the plan's end the last answers come; when there is none of them, its row would
/// look like an outage.
pub(super) fn is_told(second: &Second, plan: Option<&Plan>) -> bool {
    let length_s = plan.map_or(f64::INFINITY, |plan| plan.shape.duration().as_secs_f64());
    let has_more = second.users > 0
        || second.sent > 0
        || second.tally.hits > 0
        || second.tally.errors.total > 0;
    f64::from(second.second) < length_s || has_more
}

/// Between two columns.
const GAP: usize = 1;
/// Room for errors by kind, below which they are left out.
const KINDS_CHARS_MIN: usize = 12;

/// A row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Row {
    pub(super) cells: [String; COLUMNS.len()],
    /// Errors by kind, and what else is to be said of this time.
    pub(super) note: String,
    /// Something failed.
    pub(super) has_errors: bool,
    pub(super) is_warm_up: bool,
}

/// What has come by the end of a row: hits, time-outs and errors are counted from the start, as in the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Count {
    hits: u64,
    timeouts: u64,
    errors: u64,
}

impl Count {
    pub(super) fn add(&mut self, second: &Second) {
        let timeouts = second.tally.timeouts();
        self.hits = self.hits.saturating_add(second.tally.hits);
        self.timeouts = self.timeouts.saturating_add(timeouts);
        self.errors =
            self.errors.saturating_add(second.tally.errors.total.saturating_sub(timeouts));
    }
}

impl Row {
    /// Of one second; `count` has it already.
    pub(super) fn of(second: &Second, count: Count) -> Self {
        Self::of_several(std::slice::from_ref(second), count)
    }

    /// Of seconds in a row: rates are means of theirs, percentiles those of all their answers.
    pub(super) fn of_several(seconds: &[Second], count: Count) -> Self {
        let Some(last) = seconds.last() else { return Self::default() };
        let span = u32::try_from(seconds.len()).unwrap_or(u32::MAX);
        let sum = |of: fn(&Second) -> u64| seconds.iter().map(of).fold(0, u64::saturating_add);
        let bytes = sum(|s| s.tally.sent_bytes.saturating_add(s.tally.received_bytes));
        let response = Latency::sum(seconds.iter().map(|second| &second.tally.response));
        let is_warm_up = seconds.iter().all(|second| second.is_warm_up);
        let mut kinds = std::collections::BTreeMap::<&str, u64>::new();
        for (kind, number) in seconds.iter().flat_map(|second| &second.tally.errors.kinds) {
            *kinds.entry(kind).or_default() += number;
        }
        let mut notes: Vec<String> =
            kinds.iter().map(|(kind, number)| format!("{} {number}", line(kind))).collect();
        if is_warm_up {
            notes.insert(0, "warm-up".to_owned());
        }
        let users = seconds.iter().map(|second| second.users).max().unwrap_or_default();
        Self {
            cells: [
                words::clock(last.second.saturating_add(1).into()),
                users.to_string(),
                milliseconds(&response, Latency::mean_us),
                count.hits.to_string(),
                count.timeouts.to_string(),
                count.errors.to_string(),
                short(sum(|second| second.tally.hits) as f64 / f64::from(span)),
                short(bytes as f64 * 8.0 / 1e6 / f64::from(span)),
                milliseconds(&response, Latency::p50_us),
                milliseconds(&response, Latency::p95_us),
                milliseconds(&response, Latency::p99_us),
            ],
            note: notes.join(", "),
            has_errors: !kinds.is_empty(),
            is_warm_up,
        }
    }

    /// As one line of these columns, at most `room` characters.
    pub(super) fn text(&self, columns: &[usize], heads: Heads, room: usize) -> String {
        let cells = columns.iter().map(|&at| self.cells[at].as_str());
        let mut text = joined(cells, columns, heads);
        let used = text.chars().count() + 2 * GAP;
        if !self.note.is_empty() && used + KINDS_CHARS_MIN <= room {
            text.push_str("  ");
            text.extend(self.note.chars().take(room - used));
        }
        text.chars().take(room).collect()
    }
}

/// The titles above rows of these columns.
pub(super) fn titles(columns: &[usize], heads: Heads, room: usize) -> String {
    let titles = columns.iter().map(|&at| heads.column(at).title);
    joined(titles, columns, heads).chars().take(room).collect()
}

/// Which columns have room, in their order.
pub(super) fn that_fit(heads: Heads, room: usize) -> Vec<usize> {
    let mut by_rank: Vec<usize> = (0..COLUMNS.len()).collect();
    by_rank.sort_unstable_by_key(|&at| heads.column(at).rank);
    let mut left = room;
    let mut fitting: Vec<usize> = by_rank
        .into_iter()
        .take_while(|&at| {
            let width = heads.column(at).width;
            let fits = width <= left;
            left = left.saturating_sub(width + GAP);
            fits
        })
        .collect();
    fitting.sort_unstable();
    fitting
}

/// All columns.
pub(super) fn all() -> Vec<usize> {
    (0..COLUMNS.len()).collect()
}

fn joined<'a>(cells: impl Iterator<Item = &'a str>, columns: &[usize], heads: Heads) -> String {
    let padded = cells
        .zip(columns)
        .map(|(cell, &at)| format!("{cell:>width$}", width = heads.column(at).width));
    padded.collect::<Vec<_>>().join(" ")
}

/// A time in milliseconds with three digits that matter; nothing where nothing was measured.
fn milliseconds(latency: &Latency, read: fn(&Latency) -> u64) -> String {
    match latency.is_empty() {
        true => crate::cells::NOTHING.to_owned(),
        false => short(read(latency) as f64 / 1000.0),
    }
}

/// A figure of about three digits, with as many behind the point as others of its size: a column is read downwards.
fn short(figure: f64) -> String {
    match figure {
        _ if figure >= 99.95 => format!("{figure:.0}"),
        _ if figure >= 9.995 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_give_way_by_their_rank() {
        let shown_of = |heads: Heads, room| {
            let columns = that_fit(heads, room);
            let titles: Vec<_> = columns.into_iter().map(|at| heads.column(at).title).collect();
            titles.join(" ")
        };
        let shown = |room| shown_of(Heads::Users, room);
        assert_eq!(
            shown(200),
            "Time Users Response ms Hits Timeouts Errors Hits/s Mbps p50 ms p95 ms p99 ms"
        );
        assert_eq!(shown(80), "Time Users Response ms Hits Timeouts Errors Hits/s p50 ms p99 ms");
        assert_eq!(shown(40), "Time Users Errors Hits/s p99 ms");
        assert_eq!(shown_of(Heads::Rate, 40), "Time Under way Errors Hits/s");
        assert_eq!(shown(14), "Time Users");
        assert_eq!((shown(6), shown(0)), (String::new(), String::new()));
        for room in 0..120 {
            for heads in [Heads::Users, Heads::Rate] {
                let columns = that_fit(heads, room);
                let text = joined(columns.iter().map(|_| "x"), &columns, heads);
                assert!(text.len() <= room, "{room}");
            }
        }
    }

    #[test]
    fn figures_are_short() {
        for (figure, text) in
            [(0.0, "0.00"), (0.1234, "0.12"), (12.34, "12.3"), (99.96, "100"), (12345.6, "12346")]
        {
            assert_eq!(short(figure), text);
        }
    }
}
