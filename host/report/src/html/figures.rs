//! The four charts of the page.

use super::chart::{Chart, ticks};
use crate::knee;
use crate::latency::Latency;
use crate::report::Report;
use crate::second::Second;
use crate::words::{clock, count, micros, number, percent, whole};

/// Columns of a chart over time: a longer test has several seconds in one.
const COLUMNS_MAX: usize = 240;
/// Bars of the histogram.
const BARS: u32 = 48;

/// One or more seconds that follow each other.
struct Column {
    from: f64,
    to: f64,
    is_warm_up: bool,
    latency: Latency,
    hits: f64,
    asked: f64,
    errors: f64,
    users: u64,
}

fn columns(report: &Report) -> Vec<Column> {
    let width = report.seconds.len().div_ceil(COLUMNS_MAX).max(1);
    let sum = |seconds: &[Second], of: fn(&Second) -> u64| {
        seconds.iter().map(of).sum::<u64>() as f64 / seconds.len() as f64
    };
    // What comes after the plan's end is no second of it.
    let last = report.steady().next_back().map_or(0, |second| second.second as usize + 1);
    let shown = report.seconds.get(..last).unwrap_or_default();
    let column = |seconds: &[Second]| Column {
        from: f64::from(seconds[0].second),
        to: f64::from(seconds[seconds.len() - 1].second) + 1.0,
        is_warm_up: seconds.iter().all(|second| second.is_warm_up),
        latency: Latency::sum(seconds.iter().map(|second| &second.tally.response)),
        hits: sum(seconds, |second| second.tally.hits),
        asked: sum(seconds, |second| second.asked),
        errors: sum(seconds, |second| second.tally.errors.total),
        users: seconds.iter().map(|second| second.users).max().unwrap_or(0),
    };
    shown.chunks(width).map(column).collect()
}

fn legend(names: &[(&str, &str)]) -> String {
    let name = |(color, name): &(&str, &str)| {
        format!("<span><s style=\"background:var(--{color})\"></s>{name}</span>")
    };
    format!("<div class=\"legend\">{}</div>", names.iter().map(name).collect::<String>())
}

fn card(title: &str, names: &[(&str, &str)], chart: Chart) -> String {
    format!("<section class=\"card\"><h2>{title}</h2>{}{}</section>", legend(names), chart.svg())
}

/// A color, a name, and how it is read.
type Percentile = (&'static str, &'static str, fn(&Latency) -> u64);

const PERCENTILES: [Percentile; 3] = [
    ("low", "p50", Latency::p50_us),
    ("mid", "p95", Latency::p95_us),
    ("high", "p99", Latency::p99_us),
];
/// The same for the legend.
const NAMES: [(&str, &str); 3] = [
    (PERCENTILES[0].0, PERCENTILES[0].1),
    (PERCENTILES[1].0, PERCENTILES[1].1),
    (PERCENTILES[2].0, PERCENTILES[2].1),
];

fn read(latency: &Latency, us: u64) -> Option<f64> {
    (!latency.is_empty()).then_some(us as f64)
}

fn at(us: f64) -> String {
    if us == 0.0 { "0".to_owned() } else { micros(whole(us)) }
}

pub(super) fn all(report: &Report) -> String {
    let columns = columns(report);
    if columns.is_empty() {
        return String::new();
    }
    let mut text =
        format!("<div class=\"pair\">{}{}</div>", times(report, &columns), rates(report, &columns));
    text.push_str(&format!("<div class=\"pair\">{}{}</div>", histogram(report), heights(report)));
    text
}

fn over_time(label: &str, columns: &[Column], most: f64) -> Chart {
    let end = columns.last().map_or(1.0, |column| column.to);
    let mut chart = Chart::new(label, (0.0, end), most);
    for column in columns.iter().filter(|column| column.is_warm_up) {
        chart.shade((column.from, column.to));
    }
    chart.x_axis(&seconds(end));
    chart
}

/// Round moments: of 1, 5, 15 or so seconds, minutes or hours, and not of decimal powers.
fn seconds(end: f64) -> Vec<(f64, String)> {
    let steps = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0,
        14_400.0,
    ];
    let step = steps.into_iter().find(|step| end / step <= 7.0).unwrap_or(28_800.0);
    let mut found = Vec::new();
    let mut value = 0.0;
    while value <= end {
        found.push((value, clock(whole(value))));
        value += step;
    }
    found
}

fn times(report: &Report, columns: &[Column]) -> String {
    let most = columns.iter().map(|column| column.latency.p99_us()).max().unwrap_or(0) as f64;
    let mut chart = over_time("Response time by second", columns, most);
    chart.y_axis(at);
    for (color, _, quantile) in PERCENTILES {
        let points = columns
            .iter()
            .map(|c| (f64::midpoint(c.from, c.to), read(&c.latency, quantile(&c.latency))));
        chart.line(color, points);
    }
    for (first, row) in report.firsts.iter().take(3).zip(0u8..) {
        let name = format!("first {}", crate::tally::word(first.kind));
        chart.rule(first.at_ms as f64 / 1000.0, &name, row);
    }
    for column in columns {
        let latency = &column.latency;
        let times = if latency.is_empty() {
            "no answer".to_owned()
        } else {
            format!(
                "p50 {}, p95 {}, p99 {}",
                micros(latency.p50_us()),
                micros(latency.p95_us()),
                micros(latency.p99_us())
            )
        };
        let title =
            format!("{}: {times}, {} users", clock(whole(column.from)), count(column.users));
        chart.hover((column.from, column.to), &title);
    }
    card("Response time", &NAMES, chart)
}

fn rates(report: &Report, columns: &[Column]) -> String {
    let most = columns.iter().map(|column| column.hits.max(column.asked)).fold(0.0, f64::max);
    let mut chart = over_time("Requests by second", columns, most);
    chart.y_axis(number);
    let middle = |column: &Column| f64::midpoint(column.from, column.to);
    let mut names = vec![("hits", "answers per second"), ("bad", "errors per second")];
    if report.is_open_model() {
        names.insert(0, ("asked", "due per second"));
        chart.line("asked", columns.iter().map(|column| (middle(column), Some(column.asked))));
    }
    chart.line("hits", columns.iter().map(|column| (middle(column), Some(column.hits))));
    chart.line("bad", columns.iter().map(|column| (middle(column), Some(column.errors))));
    for column in columns {
        let title = format!(
            "{}: {} answers per second, {} due, {} errors",
            clock(whole(column.from)),
            number(column.hits),
            number(column.asked),
            number(column.errors),
        );
        chart.hover((column.from, column.to), &title);
    }
    card("Throughput", &names, chart)
}

fn heights(report: &Report) -> String {
    let bins = knee::of_report(report);
    let height = if report.is_open_model() { "requests due per second" } else { "users" };
    let title = format!("Response time by {height}");
    let (Some(first), Some(last)) = (bins.first(), bins.last()) else {
        return format!(
            "<section class=\"card\"><h2>{title}</h2><p class=\"quiet\">The load was always about the same. A ramp shows how the \
             response time depends on it.</p></section>"
        );
    };
    let most = bins.iter().map(|bin| bin.latency.p99_us()).max().unwrap_or(0) as f64;
    let mut chart = Chart::new(&title, (first.height, last.height), most);
    chart.y_axis(at);
    chart.x_axis(&ticks(first.height, last.height, |value| count(whole(value))));
    for (color, _, quantile) in PERCENTILES {
        chart.line(
            color,
            bins.iter().map(|bin| (bin.height, read(&bin.latency, quantile(&bin.latency)))),
        );
    }
    if let Some(knee) = report.knee {
        let name = format!(
            "knee: about {} at {} answers/s",
            count(whole(knee.height)),
            number(knee.hits_per_s)
        );
        chart.rule(knee.height, &name, 0);
    }
    for (place, bin) in bins.iter().enumerate() {
        let to =
            bins.get(place + 1).map_or(last.height, |next| f64::midpoint(bin.height, next.height));
        let from = place
            .checked_sub(1)
            .map_or(first.height, |before| f64::midpoint(bins[before].height, bin.height));
        let title = format!(
            "{} {height}: {} answers per second, p50 {}, p95 {}, p99 {}",
            count(whole(bin.height)),
            number(bin.hits_per_s),
            micros(bin.latency.p50_us()),
            micros(bin.latency.p95_us()),
            micros(bin.latency.p99_us()),
        );
        chart.hover((from, to), &title);
    }
    card(&title, &NAMES, chart)
}

fn histogram(report: &Report) -> String {
    let latency = &report.total.tally.response;
    let (least, most) = (latency.min_us().max(1) as f64, latency.max_us().max(1) as f64 + 1.0);
    let all = latency.count().max(1) as f64;
    // Bars narrower than the histogram's own buckets, which are 1 wide at the least, would have gaps.
    let factor = (most / least).powf(1.0 / f64::from(BARS)).max(1.0 + 1.0 / least).max(1.01);
    let mut bars: Vec<(f64, f64, u64)> = Vec::new();
    let mut from = least;
    while from < most && bars.len() < 4 * BARS as usize {
        bars.push((from, from * factor, 0));
        from *= factor;
    }
    for (value, number) in latency.distribution().counts() {
        let place = bars.partition_point(|bar| bar.1 <= value as f64);
        if let Some(bar) = bars.get_mut(place) {
            bar.2 += number;
        }
    }
    let tallest = bars.iter().map(|bar| bar.2).max().unwrap_or(0) as f64 / all;
    let end = bars.last().map_or(most, |bar| bar.1);
    let mut chart =
        Chart::new("How many answers took how long", (least, end), tallest * 100.0).with_log_x();
    chart.y_axis(|share| format!("{}%", number(share)));
    let powers =
        (0..10u32).flat_map(|power| [1.0, 3.0].map(|factor| factor * 10f64.powf(f64::from(power))));
    let marks: Vec<f64> = powers.filter(|value| (least..=end).contains(value)).collect();
    let every = marks.len().div_ceil(7).max(1);
    chart.x_axis(
        &marks.into_iter().step_by(every).map(|value| (value, at(value))).collect::<Vec<_>>(),
    );
    for (from, to, number) in &bars {
        let share = *number as f64 / all;
        if *number > 0 {
            let title =
                format!("{} to {}: {} ({})", at(*from), at(*to), count(*number), percent(share));
            chart.bar("mid", (*from, *to), share * 100.0, &title);
        }
    }
    if !latency.is_empty() {
        for (name, us, row) in [
            ("p50", latency.p50_us(), 0),
            ("p95", latency.p95_us(), 1),
            ("p99", latency.p99_us(), 2),
        ] {
            chart.rule(us as f64, &format!("{name} {}", micros(us)), row);
        }
    }
    card(
        "How long answers took",
        &[("mid", "share of the answers, by a logarithmic scale of time")],
        chart,
    )
}
