//! Calendar dates as seconds since 1970 and back, for certificates and `Retry-After`. All in UTC.
//!
//! Its own and not a date crate: two formulas, without time zones, locales and tables.

/// Seconds of a day; leap seconds are not counted.
pub(crate) const DAY_SECONDS: i64 = 86_400;

/// A civil date and time, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Civil {
    /// 0 to 9999.
    pub(crate) year: i64,
    /// 1 to 12.
    pub(crate) month: i64,
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    /// 0 to 60.
    pub(crate) second: i64,
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Civil {
    /// `None` for a date that there is not.
    pub(crate) fn new(date: (i64, i64, i64), time: (i64, i64, i64)) -> Option<Self> {
        let ((year, month, day), (hour, minute, second)) = (date, time);
        let fits = (0..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_of_month(year, month)).contains(&day)
            && (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..=60).contains(&second);
        fits.then_some(Self { year, month, day, hour, minute, second })
    }

    /// Seconds since 1970.
    ///
    /// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
    pub(crate) fn seconds(self) -> i64 {
        let year = if self.month <= 2 { self.year - 1 } else { self.year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * ((self.month + 9) % 12) + 2) / 5 + self.day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        days * DAY_SECONDS + self.hour * 3600 + self.minute * 60 + self.second
    }

    /// `2030-12-31T23:59:59Z`.
    ///
    /// Source: RFC 3339.
    pub(crate) fn rfc3339(self) -> String {
        let Self { year, month, day, hour, minute, second } = self;
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }

    /// `Dec 31 23:59:59 2030 GMT`, as curl with OpenSSL writes it.
    pub(crate) fn openssl(self) -> String {
        let Self { year, day, hour, minute, second, .. } = self;
        let month = usize::try_from(self.month - 1).ok().and_then(|at| MONTHS.get(at));
        let month = month.copied().unwrap_or_default();
        format!("{month} {day:2} {hour:02}:{minute:02}:{second:02} {year} GMT")
    }
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Reads `Sun, 09 Sep 2001 01:46:40 GMT`; the obsolete forms are not read.
///
/// Source: RFC 9110, section 5.6.7.
pub(crate) fn seconds_of_http_date(text: &str) -> Option<i64> {
    let mut words = text.split(' ').skip(1);
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    let (time, zone) = (words.next()?, words.next()?);
    let month = MONTHS.iter().position(|&known| known == month)?;
    let mut parts = time.split(':').map(|part| part.parse().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let date = (year.parse().ok()?, i64::try_from(month + 1).ok()?, day.parse().ok()?);
    let civil = Civil::new(date, (hour, minute, second))?;
    (zone == "GMT" && words.next().is_none() && parts.next().is_none()).then(|| civil.seconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_become_seconds() {
        for (date, time, seconds, text) in [
            ((1970, 1, 1), (0, 0, 0), 0, "1970-01-01T00:00:00Z"),
            ((2000, 2, 29), (12, 0, 1), 951_825_601, "2000-02-29T12:00:01Z"),
            ((1950, 1, 1), (0, 0, 0), -631_152_000, "1950-01-01T00:00:00Z"),
            ((9999, 12, 31), (23, 59, 59), 253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            let civil = Civil::new(date, time).unwrap();
            assert_eq!((civil.seconds(), civil.rfc3339().as_str()), (seconds, text));
        }
        for (date, time) in [
            ((2001, 2, 29), (0, 0, 0)),
            ((2001, 0, 1), (0, 0, 0)),
            ((2001, 13, 1), (0, 0, 0)),
            ((2001, 1, 32), (0, 0, 0)),
            ((2001, 1, 1), (24, 0, 0)),
            ((2001, 1, 1), (0, 60, 0)),
            ((10_000, 1, 1), (0, 0, 0)),
        ] {
            assert_eq!(Civil::new(date, time), None, "{date:?} {time:?}");
        }
        let civil = Civil::new((2030, 3, 4), (5, 6, 7)).unwrap();
        assert_eq!(civil.openssl(), "Mar  4 05:06:07 2030 GMT");
    }

    #[test]
    fn an_http_date_is_read() {
        let read = seconds_of_http_date;
        assert_eq!(read("Sun, 09 Sep 2001 01:46:40 GMT"), Some(1_000_000_000));
        for text in [
            "",
            "Sun, 09 Sep 2001 01:46:40 CET",
            "Sun, 09 Zzz 2001 01:46:40 GMT",
            "x y z a b",
            "Sun, 31 Feb 2001 01:46:40 GMT",
            "Sun, 09 Sep 2001 01:46 GMT",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
