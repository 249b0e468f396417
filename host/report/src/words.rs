//! Numbers as people read them, the same in every form of a report.

/// `1,234,567`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `0.4`, `12.3`, `456`, `1,234`: three digits, and all of those before the point.
#[must_use]
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    let size = value.abs();
    if size >= 99.95 {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", count(whole(size.round())));
    }
    let digits = if size >= 9.995 { 1 } else { 2 };
    let text = format!("{value:.digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `1.2 MB`, by powers of 1,000.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["bytes", "kB", "MB", "GB"] {
        if size < 999.5 {
            return format!("{} {unit}", number(size));
        }
        size /= 1000.0;
    }
    format!("{} TB", number(size))
}

/// `48 us`, `12.3 ms`, `1.25 s`.
#[must_use]
pub fn micros(us: u64) -> String {
    let size = us as f64;
    if us < 1000 {
        format!("{us} us")
    } else if us < 999_500 {
        format!("{} ms", number(size / 1e3))
    } else {
        format!("{} s", number(size / 1e6))
    }
}

/// `0:07`, `1:02`, `1:00:00`.
#[must_use]
pub fn clock(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{rest:02}")
    } else {
        format!("{minutes}:{rest:02}")
    }
}

/// `45 seconds`, `1 minute`, `2.5 minutes`; `3 ms` of what is much less than a second.
#[must_use]
pub fn span(seconds: f64) -> String {
    if seconds > 0.0 && seconds < 0.1 {
        return micros(whole((seconds * 1e6).round()));
    }
    let (value, unit) = match seconds {
        s if s < 60.0 => (s, "second"),
        s if s < 7200.0 => (s / 60.0, "minute"),
        s => (s / 3600.0, "hour"),
    };
    let text = number(value);
    let plural = if text == "1" { "" } else { "s" };
    format!("{text} {unit}{plural}")
}

/// `12.3%`; what is not nothing is not written as 0.
#[must_use]
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        p if p > 0.0 && p < 0.005 => "less than 0.01%".to_owned(),
        p if p < 100.0 && p > 99.99 => "more than 99.99%".to_owned(),
        p => format!("{}%", number(p)),
    }
}

/// `1 error`, `2 errors`.
#[must_use]
pub fn several(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// `2026-11-21 20:48:17 UTC`, of milliseconds since 1970.
#[must_use]
pub fn moment(ms: u64) -> String {
    let (days, rest) = (ms / 86_400_000, ms / 1000 % 86_400);
    // Years begin in March here, so that the day that leap years have is the last of its year. Source: Howard Hinnant,
    // "chrono-compatible low-level date algorithms", civil_from_days.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// A count that was reckoned with in floating point; what is no count is the nearest one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from floating point saturates, and takes what is no number as 0"
)]
pub(crate) fn whole(value: f64) -> u64 {
    value as u64
}

/// Whether a letter says how others are shown: controls, and what turns text round, so that it seems to say something else.
/// Source: Unicode Standard Annex 9, section 2.
pub(crate) fn changes_others(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What came from outside, in one line without control characters and of a length that can be read.
pub(crate) fn plain(text: &str) -> String {
    const LETTERS_MAX: usize = 200;
    let clean = text.chars().map(|letter| if changes_others(letter) { ' ' } else { letter });
    let mut short: String = clean.take(LETTERS_MAX).collect();
    if text.chars().nth(LETTERS_MAX).is_some() {
        short.push_str("...");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        for (written, expected) in [
            (count(0), "0"),
            (count(999), "999"),
            (count(1_234_567), "1,234,567"),
            (number(0.0), "0"),
            (number(0.456), "0.46"),
            (number(12.34), "12.3"),
            (number(9.999), "10"),
            (number(99.96), "100"),
            (number(-1234.5), "-1,235"),
            (number(f64::NAN), "-"),
            (bytes(12), "12 bytes"),
            (bytes(1_250_000), "1.25 MB"),
            (bytes(999_999), "1 MB"),
            (micros(48), "48 us"),
            (micros(12_345), "12.3 ms"),
            (micros(999_999), "1 s"),
            (clock(62), "1:02"),
            (clock(3600), "1:00:00"),
            (span(1.0), "1 second"),
            (span(0.003), "3 ms"),
            (span(10.42), "10.4 seconds"),
            (span(150.0), "2.5 minutes"),
            (span(86_400.0), "24 hours"),
            (percent(0.000_01), "less than 0.01%"),
            (percent(0.0), "0%"),
            (percent(1.0), "100%"),
            (percent(0.999_99), "more than 99.99%"),
            (several(1, "error"), "1 error"),
            (moment(0), "1970-01-01 00:00:00 UTC"),
            (moment(1_709_210_096_000), "2024-02-29 12:34:56 UTC"),
            (plain("a\nb\u{1b}[1m"), "a b [1m"),
            (plain("a\u{202e}b\u{2066}\u{9b}c"), "a b  c"),
        ] {
            assert_eq!(written, expected);
        }
    }
}
