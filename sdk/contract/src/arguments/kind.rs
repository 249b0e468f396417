//! What a value of each kind looks like, and which file it names.

use std::time::Duration;

use crate::manifest::ArgumentKind;

impl ArgumentKind {
    /// What a value should be, when this one is not it.
    pub(crate) fn refuses(self, value: &str) -> Option<&'static str> {
        let (fits, wanted) = match self {
            Self::Number => (value.parse::<f64>().is_ok_and(f64::is_finite), "a number"),
            Self::Integer => (value.parse::<i64>().is_ok(), "a whole number"),
            Self::Duration => (duration(value).is_some(), "a duration (2, 0.5, 500ms, 2s, 1m, 1h)"),
            Self::Host => (!value.is_empty() && !value.contains(['/', ' ']), "a host"),
            Self::Url => (is_url(value), "a URL (without spaces: write them as %20)"),
            Self::InputFile | Self::OutputFile => (!value.is_empty(), "a file name"),
            Self::Form => (value.contains('='), "NAME=VALUE"),
            _ => (true, ""),
        };
        (!fits).then_some(wanted)
    }

    /// The input file that a value names.
    pub(super) fn input(self, value: &str) -> Option<&str> {
        match self {
            Self::InputFile => Some(value),
            Self::TextOrInputFile => value.strip_prefix('@'),
            Self::Form => {
                let (_, content) = value.split_once('=')?;
                let file = content.strip_prefix(['@', '<'])?;
                Some(file.split(';').next().unwrap_or(file))
            }
            _ => None,
        }
    }
}

/// Whether it may be a URL, or a host with a path: what a program asks of it beyond that is its own.
fn is_url(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// Reads a duration: bare seconds (`2`, `0.5`) or a number with `ms`, `s`, `m` or `h`.
///
/// `None` when it is not one, is negative, or passes 1,000,000 hours.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    const SECONDS_MAX: f64 = 3.6e9;
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let factor = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let seconds = number.parse::<f64>().ok()? * factor;
    (seconds.is_finite() && (0.0..=SECONDS_MAX).contains(&seconds))
        .then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_no_spaces() {
        for text in [
            "https://example.com/a?b#c",
            "example.com/path",
            "http://[::1]:80/",
            "http://é.example",
        ] {
            assert_eq!(ArgumentKind::Url.refuses(text), None, "{text}");
        }
        for text in
            ["", "not a url", "http://example.com/\n", "http://example.com/\u{0}", " http://x"]
        {
            assert!(ArgumentKind::Url.refuses(text).is_some(), "{text:?}");
        }
    }

    #[test]
    fn durations_have_units() {
        for (text, ms) in [("2", 2000), ("0.5", 500), ("500ms", 500), ("2s", 2000), ("1m", 60_000)]
        {
            assert_eq!(duration(text).map(|d| d.as_millis()), Some(ms), "{text}");
        }
        for text in ["", "-1", "1d", "nan", "1e300", "ms", "s5"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
