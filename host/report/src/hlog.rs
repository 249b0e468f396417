//! Histograms of every second in the log format of HdrHistogram, version 1.3: its processor, its analyzers and its plotter read it.
//!
//! Values are response times in microseconds, the column of maxima is in milliseconds. The seconds of a test of one step stand
//! without a tag; of several steps each has the tag `stepN`. Service times have the tag `service` in an open model.

use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::latency::Latency;
use crate::report::Report;
use crate::second::Second;

/// An hour and a little more in microseconds: what a histogram of a tick holds.
const HIGHEST_US: u64 = 3_600_000_000;

/// The log, which is text.
#[must_use]
#[expect(
    clippy::missing_panics_doc,
    reason = "it cannot: bounds are constants, and it writes to memory"
)]
pub fn hlog(report: &Report) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let started = SystemTime::UNIX_EPOCH + Duration::from_millis(report.started_at_ms.unwrap_or(0));
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment("[Response times of a load test by blitz, in microseconds; Interval_Max in milliseconds]")
        .with_start_time(started)
        .with_base_time(started)
        .with_max_value_divisor(1000.0)
        .begin_log_with(&mut bytes, &mut serializer)
        .expect("memory takes what is written");
    for second in report.counted() {
        for (tag, latency) in intervals(second) {
            let start = Duration::from_secs(second.second.into());
            let tag = tag.as_deref().and_then(Tag::new);
            log.write_histogram(&histogram(latency), start, Duration::from_secs(1), tag)
                .expect("a histogram of these bounds has a form, and memory takes it");
        }
    }
    bytes
}

/// What stands for a second, each with the step it is of, or the word `service`.
fn intervals(second: &Second) -> Vec<(Option<String>, &Latency)> {
    let mut all: Vec<(Option<String>, &Latency)> = Vec::new();
    if second.steps.is_empty() {
        all.push((None, &second.tally.response));
    }
    for step in &second.steps {
        all.push((Some(format!("step{}", u64::from(step.step) + 1)), &step.tally.response));
    }
    if second.tally.service_apart.is_some() {
        all.push((Some("service".to_owned()), second.tally.service()));
    }
    all
}

fn histogram(latency: &Latency) -> Histogram<u64> {
    let mut histogram =
        Histogram::new_with_bounds(1, HIGHEST_US, 3).expect("bounds that are in order");
    for (value, count) in latency.distribution().counts() {
        histogram.saturating_record_n(value, count);
    }
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn it_is_read_back() {
        let report = fixture::hangs().report();
        let log = hlog(&report);
        assert!(log.starts_with(b"#[Histogram log format version 1.3]\n"));
        let (mut starts, mut intervals, mut count) = (0, 0, 0);
        for entry in IntervalLogIterator::new(&log) {
            match entry.unwrap() {
                LogEntry::StartTime(_) | LogEntry::BaseTime(_) => starts += 1,
                LogEntry::Interval(interval) => {
                    let compressed = interval.encoded_histogram();
                    let bytes = base64(compressed);
                    let read: Histogram<u64> =
                        Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
                    let second = &report.seconds
                        [usize::try_from(interval.start_timestamp().as_secs()).unwrap()];
                    let is_service = interval.tag().is_some_and(|tag| tag.as_str() == "service");
                    let of =
                        if is_service { second.tally.service() } else { &second.tally.response };
                    assert_eq!(read.len(), of.count());
                    for quantile in [0.5, 0.99, 1.0] {
                        assert_eq!(read.value_at_quantile(quantile), of.quantile_us(quantile));
                    }
                    intervals += 1;
                    count += if is_service { 0 } else { read.len() };
                }
            }
        }
        assert_eq!((starts, count), (2, report.total.tally.response.count()));
        assert_eq!(
            intervals,
            report.counted().count() + 16,
            "service times, but not of 4 silent seconds and the last"
        );
    }

    fn base64(text: &str) -> Vec<u8> {
        let digit = |letter: u8| match letter {
            b'A'..=b'Z' => u32::from(letter - b'A'),
            b'a'..=b'z' => u32::from(letter - b'a') + 26,
            b'0'..=b'9' => u32::from(letter - b'0') + 52,
            b'+' => 62,
            _ => 63,
        };
        let letters: Vec<u8> = text.bytes().filter(|letter| *letter != b'=').collect();
        let mut bytes = Vec::new();
        for group in letters.chunks(4) {
            let bits = group.iter().fold(0, |bits, letter| bits << 6 | digit(*letter))
                << (6 * (4 - group.len()));
            bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
        }
        bytes
    }
}
