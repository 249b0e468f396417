//! Moments as CouchDB writes them: in HTTP's form in checkpoints, in ISO 8601 in states.

use std::time::{SystemTime, UNIX_EPOCH};

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Sat, 21 Nov 2026 07:48:05 GMT`.
pub(crate) fn http_date(moment: SystemTime) -> String {
    let Civil { year, month, day, hour, minute, second, weekday } = civil(moment);
    let name = MONTHS.get(month - 1).unwrap_or(&"Jan");
    let weekday = DAYS.get(weekday).unwrap_or(&"Thu");
    format!("{weekday}, {day:02} {name} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

/// `2026-11-21T07:48:05Z`.
pub(crate) fn iso8601(moment: SystemTime) -> String {
    let Civil { year, month, day, hour, minute, second, .. } = civil(moment);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Seconds since 1970.
pub(crate) fn seconds(moment: SystemTime) -> u64 {
    moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

struct Civil {
    year: u64,
    month: usize,
    day: usize,
    hour: u64,
    minute: u64,
    second: u64,
    weekday: usize,
}

fn civil(moment: SystemTime) -> Civil {
    let seconds = seconds(moment);
    let days = usize::try_from(seconds / 86_400).unwrap_or(usize::MAX);
    let (mut year, mut day) = (1970, days);
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if day < length {
            break;
        }
        day -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    Civil {
        year,
        month,
        day: day + 1,
        hour: seconds / 3600 % 24,
        minute: seconds / 60 % 60,
        second: seconds % 60,
        weekday: days % 7,
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn moments_are_written_as_couchdb_writes_them() {
        for (seconds, http, iso) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT", "1970-01-01T00:00:00Z"),
            (951_827_696, "Tue, 29 Feb 2000 12:34:56 GMT", "2000-02-29T12:34:56Z"),
            (1_795_247_285, "Sat, 21 Nov 2026 07:48:05 GMT", "2026-11-21T07:48:05Z"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT", "2100-02-28T23:59:59Z"),
        ] {
            let moment = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!((http_date(moment), iso8601(moment)), (http.into(), iso.into()));
        }
    }
}
