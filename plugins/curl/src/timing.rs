//! `--timing`: a waterfall of all hops, a line for each phase, 80 columns wide and in ASCII: the
//! reader's terminal is somewhere else and not known here.

use std::fmt::Write as _;

use crate::spans::Spans;
use crate::stats::Stats;

/// Columns of the bars.
const BAR_COLUMNS: u64 = 38;

/// Characters of a hop's URL: it shares its line with the status.
const URL_CHARS_MAX: usize = 68;

/// The whole of it; empty when nothing was asked.
pub(crate) fn waterfall(stats: &Stats) -> String {
    let mut text = String::new();
    let scale = Scale { total_us: stats.times.total_us.max(1) };
    let mut start_us = 0;
    for hop in &stats.hops {
        let status = hop.status.map_or_else(|| "---".to_owned(), |status| status.to_string());
        // Writing to a `String` does not fail.
        writeln!(text, "{status} {}", shortened(&hop.url)).unwrap_or_default();
        for (name, length_us) in phases(hop.spans) {
            scale.line(name, start_us, length_us, &mut text);
            start_us += length_us;
        }
    }
    let left_out = usize::try_from(stats.hops_count).unwrap_or(usize::MAX);
    let left_out = left_out.saturating_sub(stats.hops.len());
    if left_out > 0 {
        writeln!(text, "... and {left_out} more hops").unwrap_or_default();
    }
    if stats.hops_count > 0 {
        writeln!(text, "{:>64} {:>9} ms", "total", milliseconds(stats.times.total_us))
            .unwrap_or_default();
    }
    text
}

fn phases(spans: Spans) -> impl Iterator<Item = (&'static str, u64)> {
    [
        Some(("dns", spans.dns_us)),
        Some(("connect", spans.connect_us)),
        spans.tls_us.map(|tls_us| ("tls", tls_us)),
        Some(("send", spans.send_us)),
        Some(("wait", spans.wait_us)),
        Some(("download", spans.download_us)),
    ]
    .into_iter()
    .flatten()
}

struct Scale {
    total_us: u64,
}

impl Scale {
    fn line(&self, name: &str, start_us: u64, length_us: u64, text: &mut String) {
        let first = self.column(start_us).min(BAR_COLUMNS - 1);
        let last = self.column(start_us + length_us).max(first + 1);
        let mut bar = String::new();
        for column in 0..BAR_COLUMNS {
            bar.push(match (first..last).contains(&column) {
                true if length_us > 0 => '=',
                _ => ' ',
            });
        }
        let (start, length) = (milliseconds(start_us), milliseconds(length_us));
        writeln!(text, "  {name:8} |{bar}| {start:>10} + {length:>9} ms").unwrap_or_default();
    }

    fn column(&self, at_us: u64) -> u64 {
        let column = u128::from(at_us) * u128::from(BAR_COLUMNS) / u128::from(self.total_us);
        u64::try_from(column).unwrap_or(BAR_COLUMNS).min(BAR_COLUMNS)
    }
}

/// Two decimals below 100 ms, where they say something, else one.
fn milliseconds(us: u64) -> String {
    if us < 100_000 {
        let hundredths = (us + 5) / 10;
        format!("{}.{:02}", hundredths / 100, hundredths % 100)
    } else {
        let tenths = us.saturating_add(50) / 100;
        format!("{}.{}", tenths / 10, tenths % 10)
    }
}

/// Keeps the start, which has the host.
fn shortened(url: &str) -> String {
    if url.chars().count() <= URL_CHARS_MAX {
        return url.to_owned();
    }
    let start: String = url.chars().take(URL_CHARS_MAX - 3).collect();
    format!("{start}...")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{PassedHop, Times};

    #[test]
    fn a_waterfall_fits_into_80_columns() {
        let spans = |tls_us, wait_us| Spans {
            dns_us: 2130,
            connect_us: 117_904,
            tls_us,
            send_us: 4,
            wait_us,
            download_us: 0,
        };
        let hop = |url: String, status, spans| PassedHop { url, status, spans };
        let hops = vec![
            hop("http://example.com/".to_owned(), Some(301), spans(None, 270_049)),
            hop(format!("https://example.com/{}", "x".repeat(99)), None, spans(Some(99_999), 0)),
        ];
        let total_us = hops.iter().map(|hop| hop.spans.total_us()).sum();
        let times = Times { total_us, ..Times::default() };
        let stats = Stats { hops, hops_count: 3, times, ..Stats::default() };
        let expected = "\
301 http://example.com/
  dns      |=                                     |       0.00 +      2.13 ms
  connect  |=======                               |       2.13 +     117.9 ms
  send     |       =                              |      120.0 +      0.00 ms
  wait     |       =================              |      120.0 +     270.0 ms
  download |                                      |      390.1 +      0.00 ms
--- https://example.com/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...
  dns      |                        =             |      390.1 +      2.13 ms
  connect  |                        =======       |      392.2 +     117.9 ms
  tls      |                               ====== |      510.1 +    100.00 ms
  send     |                                     =|      610.1 +      0.00 ms
  wait     |                                      |      610.1 +      0.00 ms
  download |                                      |      610.1 +      0.00 ms
... and 1 more hops
                                                           total     610.1 ms
";
        let shown = waterfall(&stats);
        assert_eq!(shown, expected);
        assert!(shown.is_ascii() && shown.lines().all(|line| line.len() <= 80));
        assert_eq!(waterfall(&Stats::default()), "");
    }

    #[test]
    fn milliseconds_have_as_many_decimals_as_they_need() {
        for (us, text) in [
            (0, "0.00"),
            (4, "0.00"),
            (5, "0.01"),
            (2130, "2.13"),
            (99_994, "99.99"),
            (100_000, "100.0"),
            (1_234_567, "1234.6"),
        ] {
            assert_eq!(milliseconds(us), text);
        }
    }
}
