//! What stays of a load test in the terminal: the table, the highlights, the regions, what was checked. Pure.

use blitz_report::{Figures, Latency, Outcome, Report, highlights, is_undecided, words};

use super::row::{Count, Heads, Row, all, is_told, titles};
use crate::cells::{line, of_text};
use crate::text::{Side, aligned};

/// Rows of the table: a screen, whatever the length of the test.
const ROWS_MAX: usize = 20;
/// Characters of a line of prose: longer ones are hard to read, and shorter ones a terminal breaks by itself.
const PROSE_CHARS_MAX: usize = 96;
const PROSE_CHARS_MIN: usize = 40;
/// Characters of a row.
const WIDTH_CHARS_MAX: usize = 120;

/// How the end is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    /// No lines were shown while it ran.
    pub(super) has_table: bool,
    /// Of the terminal, where it is one.
    pub(super) width_chars: Option<usize>,
}

/// The whole end.
pub(super) fn text(report: &Report, results: &[Outcome], page: Page) -> String {
    let mut text = String::new();
    if page.has_table {
        text.push_str(&table(report));
    }
    let width = page.width_chars.unwrap_or(PROSE_CHARS_MAX).clamp(PROSE_CHARS_MIN, PROSE_CHARS_MAX);
    let mut section = |part: String| {
        if !part.is_empty() {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&part);
        }
    };
    section(regions(report));
    section(wrapped(&safe(&highlights(report)), width));
    section(self::results(report, results));
    text
}

/// A line for each check, and what they say of a generator that was the limit.
pub(super) fn results(report: &Report, results: &[Outcome]) -> String {
    let mut text: String =
        results.iter().map(|result| format!("{}\n", line(&result.text))).collect();
    if !report.judgement.is_valid && !is_undecided(report, results) {
        text.push_str("The generator was the limit, and all of this is met all the same: a faster one changes nothing.\n");
    }
    text
}

/// The seconds, several in a row where there are too many.
fn table(report: &Report) -> String {
    let (plan, heads) = (report.plan.as_ref(), Heads::of(report.plan.as_ref()));
    // What is left out at the end has nothing that counts.
    let told = report.seconds.iter().rposition(|second| is_told(second, plan));
    let seconds = &report.seconds[..told.map_or(0, |last| last + 1)];
    if seconds.is_empty() {
        return String::new();
    }
    let columns = all();
    let mut text = titles(&columns, heads, WIDTH_CHARS_MAX) + "\n";
    let mut count = Count::default();
    for several in seconds.chunks(seconds.len().div_ceil(ROWS_MAX)) {
        several.iter().for_each(|second| count.add(second));
        text.push_str(&Row::of_several(several, count).text(&columns, heads, WIDTH_CHARS_MAX));
        text.push('\n');
    }
    text
}

/// A row for each region, and for each part where a region has several.
fn regions(report: &Report) -> String {
    if report.parts.len() < 2 {
        return String::new();
    }
    let head =
        ["REGION", "ENGINES", "HITS", "ERRORS", "TIMEOUTS", "HITS/S", "P50", "P95", "P99", ""];
    let sides = head.iter().enumerate().map(|(at, title)| {
        let is_text = at == 0 || at + 1 == head.len();
        ((*title).to_owned(), if is_text { Side::Left } else { Side::Right })
    });
    let mut rows = Vec::new();
    for region in &report.regions {
        let parts: Vec<_> =
            report.parts.iter().filter(|part| part.region == region.region).collect();
        // What is missing of it, in the words of the parts.
        let fates = parts.iter().filter(|part| !part.is_whole);
        let fates: Vec<String> = fates
            .map(|part| match parts.len() {
                1 => line(&part.fate),
                _ => format!("{}: {}", line(&part.label), line(&part.fate)),
            })
            .collect();
        let engines = format!("{} of {}", region.engines, parts.len());
        let engines = match usize::try_from(region.engines) == Ok(parts.len()) {
            true => region.engines.to_string(),
            false => engines,
        };
        rows.push(row(&region.region, engines, &region.figures, report, fates.join("; ")));
    }
    if report.regions.len() > 1 {
        let told = report.regions.iter().map(|region| region.engines).sum::<u32>();
        rows.push(row("all", told.to_string(), &report.total, report, String::new()));
    }
    aligned(&Vec::from_iter(sides), &rows)
}

fn row(
    name: &str,
    engines: String,
    figures: &Figures,
    report: &Report,
    note: String,
) -> [String; 10] {
    let tally = &figures.tally;
    let rate = match report.measured_s > 0.0 {
        true => words::number(tally.hits as f64 / report.measured_s),
        false => crate::cells::NOTHING.to_owned(),
    };
    let time = |read: fn(&Latency) -> u64| match tally.response.is_empty() {
        true => crate::cells::NOTHING.to_owned(),
        false => words::micros(read(&tally.response)),
    };
    [
        of_text(name),
        engines,
        words::count(tally.hits),
        words::count(tally.errors.total.saturating_sub(tally.timeouts())),
        words::count(tally.timeouts()),
        rate,
        time(Latency::p50_us),
        time(Latency::p95_us),
        time(Latency::p99_us),
        note,
    ]
}

/// Lines broken between words, each with its end.
fn wrapped(text: &str, width: usize) -> String {
    let mut wrapped = String::new();
    for line in text.lines() {
        let mut used = 0;
        for word in line.split(' ') {
            let length = word.chars().count();
            if used > 0 && used + 1 + length > width {
                wrapped.push('\n');
                used = 0;
            } else if used > 0 {
                wrapped.push(' ');
                used += 1;
            }
            wrapped.push_str(word);
            used += length;
        }
        wrapped.push('\n');
    }
    wrapped
}

/// Lines whose foreign words move no cursor.
fn safe(text: &str) -> String {
    let bytes = crate::strip::Strip::default().push(text.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_broken_between_words() {
        for (text, width, wanted) in [
            ("", 5, ""),
            ("one two three", 7, "one two\nthree\n"),
            ("one\n\nunbreakable two", 4, "one\n\nunbreakable\ntwo\n"),
        ] {
            assert_eq!(wrapped(text, width), wanted, "{text:?}");
        }
    }
}
