//! The time in a `Date` header.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Reads `Sat, 21 Nov 2026 23:35:16 GMT`, the one form that servers may send (RFC 9110, section 5.6.7).
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    let (_, rest) = text.split_once(", ")?;
    let mut words = rest.split(' ');
    let mut word = || words.next();
    let day: u64 = number(word()?, 1, 31)?;
    let month = word()?;
    let month = MONTHS.iter().position(|name| *name == month)?;
    let year = number(word()?, 1970, 9999)?;
    let mut clock = word()?.split(':');
    let mut part = |most| number(clock.next()?, 0, most);
    let (hour, minute, second) = (part(23)?, part(59)?, part(60)?);
    if word() != Some("GMT") || word().is_some() {
        return None;
    }
    let days = days_before(year, u64::try_from(month).ok()? + 1) + day - 1;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

fn number(text: &str, least: u64, most: u64) -> Option<u64> {
    let number = text.parse().ok()?;
    (least..=most).contains(&number).then_some(number)
}

/// The days from 1970 to the first of this month.
fn days_before(year: u64, month: u64) -> u64 {
    // Counted from March, so that the day that a leap year has more is the last of its year.
    let year = if month < 3 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5;
    // From the first of March of year 0 to 1970 it is 719,468 days.
    year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199),
            ("Fri, 01 Mar 2024 00:00:00 GMT", 1_709_251_200),
            ("Thu, 31 Dec 2026 00:00:00 GMT", 1_798_675_200),
        ] {
            assert_eq!(parse(text), Some(UNIX_EPOCH + Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "now",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06 Nov 99999999999999999999 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
