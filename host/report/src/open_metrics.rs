//! The figures in the text format of OpenMetrics 1.0, by region: for a push gateway, or a file that a node exporter reads.

use std::fmt::Write as _;

use crate::report::{RegionFigures, Report};

/// Limits of buckets, in microseconds: three for each power of ten, from 100 us to 100 s.
const BUCKETS_US: [u64; 19] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
];

/// The figures as OpenMetrics.
#[must_use]
pub fn open_metrics(report: &Report) -> String {
    let mut text = Text::default();
    text.family("blitz_load", "info", "", "The program that made the load.");
    text.sample("blitz_load_info", &[("version", &report.blitz)], "1");
    text.family("blitz_load_valid", "gauge", "", "1 when the generator was not the limit.");
    text.sample("blitz_load_valid", &[], if report.judgement.is_valid { "1" } else { "0" });
    text.family(
        "blitz_load_whole",
        "gauge",
        "",
        "1 when every part of the plan was carried out and told.",
    );
    text.sample("blitz_load_whole", &[], if report.judgement.is_partial { "0" } else { "1" });
    text.family("blitz_load_measured_seconds", "gauge", "seconds", "Time that the figures are of.");
    text.sample("blitz_load_measured_seconds", &[], &report.measured_s.to_string());
    type Count = fn(&RegionFigures) -> u64;
    let counts: [(&str, &str, &str, Count); 5] = [
        ("blitz_load_asked", "", "Requests that were due.", |region| region.figures.asked),
        ("blitz_load_sent", "", "Requests that were sent.", |region| region.figures.sent),
        (
            "blitz_load_repeated",
            "",
            "Requests that were sent once more, after a kept connection was closed.",
            |region| region.figures.tally.repeated,
        ),
        ("blitz_load_sent_bytes", "bytes", "Bytes that were sent.", |region| {
            region.figures.tally.sent_bytes
        }),
        ("blitz_load_received_bytes", "bytes", "Bytes that came.", |region| {
            region.figures.tally.received_bytes
        }),
    ];
    for (name, unit, help, count) in counts {
        text.family(name, "counter", unit, help);
        for region in &report.regions {
            let labels = [("region", region.region.as_str())];
            text.sample(&format!("{name}_total"), &labels, &count(region).to_string());
        }
    }
    text.family("blitz_load_answers", "counter", "", "Answers, by their status.");
    for region in &report.regions {
        for (status, count) in &region.figures.tally.statuses {
            let status = status.to_string();
            let labels = [("region", region.region.as_str()), ("status", &status)];
            text.sample("blitz_load_answers_total", &labels, &count.to_string());
        }
    }
    text.family("blitz_load_errors", "counter", "", "Errors, by their kind.");
    for region in &report.regions {
        for (kind, count) in &region.figures.tally.errors.kinds {
            let labels = [("region", region.region.as_str()), ("kind", kind)];
            text.sample("blitz_load_errors_total", &labels, &count.to_string());
        }
    }
    times(&mut text, report);
    text.0.push_str("# EOF\n");
    text.0
}

fn times(text: &mut Text, report: &Report) {
    let response = "blitz_load_response_seconds";
    text.family(
        response,
        "histogram",
        "seconds",
        "From when a request was due to the last byte of its answer.",
    );
    for region in &report.regions {
        let name = region.region.as_str();
        let latency = &region.figures.tally.response;
        let counts = || latency.distribution().counts();
        for limit in BUCKETS_US {
            let below: u64 =
                counts().filter(|(value, _)| *value <= limit).map(|(_, count)| count).sum();
            let labels = [("region", name), ("le", &seconds(limit))];
            text.sample(&format!("{response}_bucket"), &labels, &below.to_string());
        }
        let all = latency.count().to_string();
        text.sample(&format!("{response}_bucket"), &[("region", name), ("le", "+Inf")], &all);
        text.sample(&format!("{response}_count"), &[("region", name)], &all);
        let sum = latency.mean_us() as f64 * latency.count() as f64 / 1e6;
        text.sample(&format!("{response}_sum"), &[("region", name)], &sum.to_string());
    }
    let quantiles = "blitz_load_response_quantiles_seconds";
    text.family(quantiles, "summary", "seconds", "The same, as exact percentiles.");
    for region in &report.regions {
        let latency = &region.figures.tally.response;
        if latency.is_empty() {
            continue;
        }
        for quantile in [0.5, 0.9, 0.95, 0.99, 0.999, 1.0] {
            let written = quantile.to_string();
            let labels = [("region", region.region.as_str()), ("quantile", &written)];
            text.sample(quantiles, &labels, &seconds(latency.quantile_us(quantile)));
        }
    }
}

fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    let short = text.trim_end_matches('0');
    if short.ends_with('.') { format!("{short}0") } else { short.to_owned() }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, unit: &str, help: &str) {
        let _ = writeln!(self.0, "# TYPE {name} {kind}");
        if !unit.is_empty() {
            let _ = writeln!(self.0, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.0, "# HELP {name} {help}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: &str) {
        self.0.push_str(name);
        if !labels.is_empty() {
            let labels =
                labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
            let _ = write!(self.0, "{{{}}}", labels.collect::<Vec<_>>().join(","));
        }
        let _ = writeln!(self.0, " {value}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn figures_are_metrics() {
        insta::assert_snapshot!(open_metrics(&fixture::ramp().report()));
        assert_eq!(escaped("a\\\"\n"), "a\\\\\\\"\\n");
        assert_eq!([seconds(0), seconds(1_500_000)], ["0.0", "1.5"]);
    }
}
