//! The tables of the page.

use blitz_contract::load::Shape;

use super::escape;
use crate::check::Outcome;
use crate::latency::Latency;
use crate::meaning::named;
use crate::report::Report;
use crate::tally::Tally;
use crate::words::{bytes, clock, count, micros, number, percent, plain, span};

/// Rows of the seconds: a page of a day would not open. The CSV has them all.
const SECONDS_MAX: usize = 1800;
/// Rows of the engines.
const PARTS_MAX: usize = 200;

/// A table whose cells are escaped here.
struct Table {
    head: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    fn html(&self) -> String {
        let row = |cells: &[String]| {
            let cells = cells.iter().map(|cell| format!("<td>{}</td>", escape(cell)));
            format!("<tr>{}</tr>", cells.collect::<String>())
        };
        let head: String = self.head.iter().map(|name| format!("<th>{name}</th>")).collect();
        let rows: String = self.rows.iter().map(|cells| row(cells)).collect();
        format!(
            "<div class=\"scroll\"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        )
    }

    fn card(&self, title: &str) -> String {
        format!("<section class=\"card\"><h2>{title}</h2>{}</section>\n", self.html())
    }
}

fn time(latency: &Latency, us: u64) -> String {
    if latency.is_empty() { "-".to_owned() } else { micros(us) }
}

/// What the plan asked for, in a few words.
pub(super) fn shape(report: &Report) -> String {
    let Some(plan) = &report.plan else { return String::new() };
    let unit = match &plan.shape {
        Shape::Users { .. } => " users",
        Shape::Rate { poisson: false, .. } => "/s",
        Shape::Rate { poisson: true, .. } => "/s at random",
    };
    let segments = plan.shape.segments();
    let written: Vec<String> = segments
        .iter()
        .take(3)
        .map(|segment| {
            let height = if segment.from.to_bits() == segment.to.to_bits() {
                number(segment.to)
            } else {
                format!("{} to {}", number(segment.from), number(segment.to))
            };
            let unit = if height == "1" { unit.replace("users", "user") } else { unit.to_owned() };
            format!("{height}{unit} in {}", span(segment.duration_ms as f64 / 1000.0))
        })
        .collect();
    let more = if segments.len() > 3 { ", and so on" } else { "" };
    format!("{}{more}", written.join(", then "))
}

pub(super) fn checks(outcomes: &[Outcome]) -> String {
    if outcomes.is_empty() {
        return String::new();
    }
    let row = |outcome: &Outcome| {
        let (class, word) = if outcome.holds { ("holds", "met") } else { ("breaks", "not met") };
        let text = outcome.text.split_once(": ").map_or("", |(_, text)| text);
        let text = text.split_once(": ").map_or(text, |(_, text)| text);
        format!(
            "<tr><td><code>{}</code></td><td class=\"text {class}\">{word}</td><td class=\"text\">{}</td></tr>",
            escape(&outcome.expression),
            escape(text),
        )
    };
    format!(
        "<section class=\"card\"><h2>Checks</h2><div class=\"scroll\"><table><thead><tr><th>Check</th><th class=\"text\">Outcome</th>\
         <th class=\"text\">Measured</th></tr></thead><tbody>{}</tbody></table></div></section>\n",
        outcomes.iter().map(row).collect::<String>(),
    )
}

pub(super) fn all(report: &Report) -> String {
    let mut text = percentiles(report);
    text.push_str(&answers(report));
    if report.regions.len() > 1 {
        text.push_str(&regions(report));
    }
    if report.plan.as_ref().is_some_and(|plan| plan.steps.len() > 1) {
        text.push_str(&steps(report));
    }
    text.push_str(&parts(report));
    text.push_str(&seconds(report));
    text
}

fn percentiles(report: &Report) -> String {
    let (total, tally) = (&report.total, &report.total.tally);
    let named = [
        ("Response, from when it was due", &tally.response),
        ("Service, from when it was sent", tally.service()),
        ("Connect", &total.connect),
        ("TLS handshake", &total.tls),
        ("Generator's own lag", &total.lag),
    ];
    let row = |(name, latency): &(&str, &Latency)| {
        let mut cells = vec![(*name).to_owned()];
        let quantiles = [0.5, 0.95, 0.99, 0.999].map(|quantile| latency.quantile_us(quantile));
        cells.push(time(latency, latency.mean_us()));
        cells.extend(quantiles.map(|us| time(latency, us)));
        cells.push(time(latency, latency.max_us()));
        cells
    };
    let rows = named.iter().filter(|(_, latency)| !latency.is_empty()).map(row).collect();
    Table { head: &["Time", "mean", "p50", "p95", "p99", "p99.9", "slowest"], rows }.card("Times")
}

fn answers(report: &Report) -> String {
    let tally = &report.total.tally;
    let share = |number: u64, of: u64| percent(number as f64 / of.max(1) as f64);
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (status, number) in &tally.statuses {
        let name = if *status == 0 {
            "no status of three digits".to_owned()
        } else {
            format!("status {status}")
        };
        rows.push(vec![name, count(*number), share(*number, tally.ended())]);
    }
    for (kind, number) in &tally.errors.kinds {
        // "12 time-outs", without the 12.
        let name = named(kind, 2);
        let name = name.trim_start_matches("2 ").to_owned();
        rows.push(vec![format!("errors: {name}"), count(*number), share(*number, tally.ended())]);
    }
    let (sent, asked) = (report.total.sent, report.total.asked);
    rows.push(vec![
        "requests sent, of those due".to_owned(),
        format!("{} of {}", count(sent), count(asked)),
        share(sent, asked),
    ]);
    Table { head: &["Outcome", "requests", "share"], rows }.card("Answers and errors")
}

const FIGURES: [&str; 8] =
    ["answers", "per second", "p50", "p95", "p99", "slowest", "errors", "received"];

fn figures(name: String, tally: &Tally, measured_s: f64) -> Vec<String> {
    let response = &tally.response;
    vec![
        name,
        count(tally.hits),
        number(crate::report::per_second(tally.hits, measured_s)),
        time(response, response.p50_us()),
        time(response, response.p95_us()),
        time(response, response.p99_us()),
        time(response, response.max_us()),
        percent(tally.error_rate()),
        bytes(tally.received_bytes),
    ]
}

fn regions(report: &Report) -> String {
    const HEAD: [&str; 9] = with("Region");
    let region = report.regions.iter();
    let rows = region
        .map(|one| figures(plain(&one.region), &one.figures.tally, report.measured_s))
        .collect();
    Table { head: &HEAD, rows }.card("Regions")
}

fn steps(report: &Report) -> String {
    const HEAD: [&str; 9] = with("Step");
    let steps = report.plan.iter().flat_map(|plan| &plan.steps).zip(0u32..);
    let rows = steps
        .map(|(step, number)| {
            let none = Tally::default();
            let told = report.steps.iter().find(|own| own.step == number);
            let name = format!("{}. {} {}", number + 1, plain(&step.method), plain(&step.url));
            figures(name, told.map_or(&none, |own| &own.tally), report.measured_s)
        })
        .collect();
    Table { head: &HEAD, rows }.card("Steps")
}

/// The columns of figures, after a first one.
const fn with(first: &'static str) -> [&'static str; 9] {
    let [a, b, c, d, e, f, g, h] = FIGURES;
    [first, a, b, c, d, e, f, g, h]
}

fn parts(report: &Report) -> String {
    let row = |part: &crate::report::PartFigures| {
        let (figures, response) = (&part.figures, &part.figures.tally.response);
        vec![
            plain(&part.label),
            if part.is_whole { "whole".to_owned() } else { plain(&part.fate) },
            part.share.map_or_else(
                || "-".to_owned(),
                |share| format!("{} of {}", u64::from(share.index) + 1, share.of),
            ),
            count(part.workers.into()),
            count(figures.sent),
            time(response, response.p99_us()),
            time(&figures.lag, figures.lag.p99_us()),
            count(part.busy_seconds.into()),
        ]
    };
    let rows = report.parts.iter().take(PARTS_MAX).map(row).collect();
    let head =
        &["Engine", "part", "share", "workers", "sent", "p99", "lag p99", "seconds above 80% CPU"];
    let skew = micros(report.skew_ms * 1000);
    let more = report.parts.len().saturating_sub(PARTS_MAX);
    let more =
        if more > 0 { format!(" {more} more engines are in the JSON.") } else { String::new() };
    format!(
        "<section class=\"card\"><h2>Engines</h2>{}<p class=\"quiet\">By their clocks they started within {skew}.{more}</p></section>\n",
        Table { head, rows }.html(),
    )
}

fn seconds(report: &Report) -> String {
    let row = |second: &crate::second::Second| {
        let (tally, response) = (&second.tally, &second.tally.response);
        vec![
            if second.is_warm_up {
                format!("{} warm-up", clock(second.second.into()))
            } else {
                clock(second.second.into())
            },
            count(second.users),
            count(second.connections),
            count(second.asked),
            count(second.sent),
            count(tally.hits),
            time(response, response.p50_us()),
            time(response, response.p95_us()),
            time(response, response.p99_us()),
            count(tally.timeouts()),
            count(tally.errors.total),
            number((tally.received_bytes + tally.sent_bytes) as f64 * 8.0 / 1e6),
        ]
    };
    let rows = report.seconds.iter().take(SECONDS_MAX).map(row).collect();
    let head = &[
        "Time",
        "users",
        "connections",
        "due",
        "sent",
        "answers",
        "p50",
        "p95",
        "p99",
        "time-outs",
        "errors",
        "Mbit/s",
    ];
    let more = report.seconds.len().saturating_sub(SECONDS_MAX);
    let more = if more > 0 {
        format!("<p class=\"quiet\">{more} more seconds are in the CSV.</p>")
    } else {
        String::new()
    };
    format!(
        "<section class=\"card\"><details><summary>Every second</summary>{}{more}</details></section>\n",
        Table { head, rows }.html(),
    )
}
