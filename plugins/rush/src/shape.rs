//! How many and when, in one text: `1-250:60,250-250:120` for users, `500/s` or `10-1000:60` for a rate.

use std::time::Duration;

use blitz_plugin::Failure;
use blitz_plugin::load::{SEGMENTS_MAX, Segment};

use crate::text::Text;

/// What goes up and down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Height {
    /// Users, a whole number.
    Users,
    /// Transactions per second; `/s`, `/m` or `/h` may stand behind it.
    Rate,
}

/// What a text says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heights {
    /// One height, for a time that is said elsewhere.
    Plain(f64),
    /// One after the other.
    Segments(Vec<Segment>),
}

/// Reads a pattern of users, or rates.
///
/// # Errors
///
/// At the first letter that does not fit.
pub(crate) fn read(text: &Text, of: Height) -> Result<Heights, Failure> {
    let whole = text.value.as_str();
    if whole.strip_prefix('-').is_some_and(|number| number.parse::<f64>().is_ok()) {
        return Err(text.refuse("more than nothing"));
    }
    if !whole.contains([',', ':', '-']) {
        return height(text, 0..whole.len(), of).map(|(height, _)| Heights::Plain(height));
    }
    let mut segments = Vec::new();
    let mut begin = 0;
    for part in whole.split(',') {
        if segments.len() == SEGMENTS_MAX {
            return Err(text.fault(begin, format!("at most {SEGMENTS_MAX} segments")));
        }
        segments.push(segment(text, begin, part, of)?);
        begin += part.len() + 1;
    }
    if segments.iter().all(|segment| segment.from == 0.0 && segment.to == 0.0) {
        return Err(text.refuse("more than nothing at some time"));
    }
    Ok(Heights::Segments(segments))
}

/// `FROM-TO:TIME`, or `HEIGHT:TIME`.
fn segment(text: &Text, begin: usize, part: &str, of: Height) -> Result<Segment, Failure> {
    let Some(colon) = part.find(':') else {
        let example = match of {
            Height::Users => "1-250:60",
            Height::Rate => "10-1000:60",
        };
        return Err(
            text.fault(begin + part.len(), format!("how long? {example} is for 60 seconds"))
        );
    };
    let dash = part[..colon].find('-').unwrap_or(colon);
    let ((from, unit), to) = match dash == colon {
        true => (height(text, begin..begin + colon, of)?, None),
        false => {
            let from = height(text, begin..begin + dash, of)?;
            let to = height(text, begin + dash + 1..begin + colon, of)?;
            (from, Some(to))
        }
    };
    // `10-1000/m` has one unit, for both.
    let (from, to) = match to {
        None => (from, from),
        Some((to, to_unit)) => (if unit == 0 { from / per(to_unit) } else { from }, to),
    };
    let duration_ms = time_ms(text, begin + colon + 1, &part[colon + 1..])?;
    Ok(Segment { from, to, duration_ms })
}

/// The height at these bytes, and the seconds of its unit: 0 where it has none.
fn height(text: &Text, at: std::ops::Range<usize>, of: Height) -> Result<(f64, u32), Failure> {
    let begin = at.start + text.value[at.clone()].len() - text.value[at.clone()].trim_start().len();
    let shown = text.value[at.clone()].trim();
    let (number, unit) = match shown.find('/').filter(|_| of == Height::Rate) {
        Some(slash) => (&shown[..slash], Some(&shown[slash + 1..])),
        None => (shown, None),
    };
    let (rule, missing) = match of {
        Height::Users => ("users must be whole numbers", "how many users?"),
        Height::Rate => {
            ("rates are numbers, or with their unit: 500, 0.5, 500/s, 30/m, 10/h", "which rate?")
        }
    };
    if number.is_empty() {
        return Err(text.fault(begin, missing));
    }
    let may = |c: char| c.is_ascii_digit() || (of == Height::Rate && c == '.');
    if let Some(bad) = number.find(|c| !may(c)) {
        return Err(text.fault(begin + bad, rule));
    }
    let value: f64 = number.parse().map_err(|_| text.fault(begin, rule))?;
    let seconds = match unit {
        None => 0,
        Some("s") => 1,
        Some("m") => 60,
        Some("h") => 3600,
        Some(_) => {
            return Err(
                text.fault(begin + number.len() + 1, "per second, minute or hour: /s, /m, /h")
            );
        }
    };
    if value > HEIGHT_MAX {
        return Err(text.fault(begin, format!("at most {HEIGHT_MAX}")));
    }
    Ok((value / per(seconds), seconds))
}

/// As the contract has it: more than all machines of a region do.
const HEIGHT_MAX: f64 = 100_000_000.0;
/// As the contract has it: a plan is a day long at most.
const TIME_MAX: Duration = Duration::from_secs(24 * 3600);

fn per(seconds: u32) -> f64 {
    f64::from(seconds.max(1))
}

fn time_ms(text: &Text, begin: usize, shown: &str) -> Result<u64, Failure> {
    let begin = begin + shown.len() - shown.trim_start().len();
    let shown = shown.trim();
    let Some(time) = blitz_plugin::duration(shown) else {
        let bad = shown.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(0);
        return Err(text.fault(begin + bad, "how long is a time: 60 (seconds), 90s, 500ms, 2m, 1h"));
    };
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    match ms {
        0 => Err(text.fault(begin, "at least a millisecond long")),
        _ if time > TIME_MAX => Err(text.fault(begin, "at most a day long")),
        ms => Ok(ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str, of: Height) -> String {
        match read(&Text::of_line("--x", text), of) {
            Err(failure) => failure.message.replacen("--x: ", "", 1),
            Ok(Heights::Plain(height)) => height.to_string(),
            Ok(Heights::Segments(segments)) => {
                let one = |s: &Segment| format!("{}-{}:{}ms", s.from, s.to, s.duration_ms);
                segments.iter().map(one).collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn patterns_are_those_of_2011_and_more() {
        for (text, wanted) in [
            ("1-250:60", "1-250:60000ms"),
            ("1-250:60,500-500:10", "1-250:60000ms 500-500:10000ms"),
            ("1-250:60,250-250:120", "1-250:60000ms 250-250:120000ms"),
            ("1-250:2m, 250:500ms", "1-250:120000ms 250-250:500ms"),
            ("250-1:1h", "250-1:3600000ms"),
            ("0-9:0.5", "0-9:500ms"),
            ("250", "250"),
            ("1-25o:60", "users must be whole numbers\n  1-25o:60\n      ^"),
            ("1-2.5:60", "users must be whole numbers\n  1-2.5:60\n     ^"),
            ("1-250", "how long? 1-250:60 is for 60 seconds\n  1-250\n       ^"),
            ("1-250:60,", "how long? 1-250:60 is for 60 seconds\n  1-250:60,\n           ^"),
            ("-5", "more than nothing\n  -5\n  ^"),
            ("-250:60", "how many users?\n  -250:60\n  ^"),
            ("1-:60", "how many users?\n  1-:60\n    ^"),
            (":60", "how many users?\n  :60\n  ^"),
            ("", "how many users?\n  \n  ^"),
            ("1-2-3:60", "users must be whole numbers\n  1-2-3:60\n     ^"),
            ("1-250/s:60", "users must be whole numbers\n  1-250/s:60\n       ^"),
            ("1-250:", "how long is a time: 60 (seconds), 90s, 500ms, 2m, 1h\n  1-250:\n        ^"),
            (
                "1-250:60x",
                "how long is a time: 60 (seconds), 90s, 500ms, 2m, 1h\n  1-250:60x\n          ^",
            ),
            (
                "1-250:-1",
                "how long is a time: 60 (seconds), 90s, 500ms, 2m, 1h\n  1-250:-1\n        ^",
            ),
            ("1-250:0", "at least a millisecond long\n  1-250:0\n        ^"),
            ("1-250:25h", "at most a day long\n  1-250:25h\n        ^"),
            ("0-0:60", "more than nothing at some time\n  0-0:60\n  ^"),
            ("1-100000001:60", "at most 100000000\n  1-100000001:60\n    ^"),
            ("1-é:60", "users must be whole numbers\n  1-é:60\n    ^"),
        ] {
            assert_eq!(show(text, Height::Users), wanted, "{text}");
        }
    }

    #[test]
    fn rates_have_units() {
        for (text, wanted) in [
            ("500/s", "500"),
            ("500", "500"),
            ("0.5", "0.5"),
            ("30/m", "0.5"),
            ("7200/h", "2"),
            ("10-1000:60", "10-1000:60000ms"),
            ("60-600/m:60,10/s:30", "1-10:60000ms 10-10:30000ms"),
            ("10/s-600/m:60", "10-10:60000ms"),
            ("60/m-10:60", "1-10:60000ms"),
            ("10-1000", "how long? 10-1000:60 is for 60 seconds\n  10-1000\n         ^"),
            (
                "fast",
                "rates are numbers, or with their unit: 500, 0.5, 500/s, 30/m, 10/h\n  fast\n  ^",
            ),
            (
                "1.2.3",
                "rates are numbers, or with their unit: 500, 0.5, 500/s, 30/m, 10/h\n  1.2.3\n  ^",
            ),
            ("500/d", "per second, minute or hour: /s, /m, /h\n  500/d\n      ^"),
            ("-5", "more than nothing\n  -5\n  ^"),
            ("/s", "which rate?\n  /s\n  ^"),
        ] {
            assert_eq!(show(text, Height::Rate), wanted, "{text}");
        }
    }
}
