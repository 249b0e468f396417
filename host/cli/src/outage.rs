//! What is said of a region whose home does not answer while jobs of this command wait for it: once for each outage. Pure, but
//! for the time zone of this machine.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::wire::{Event, Outage};

/// What was said, of all jobs of a command.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    /// The regions that were said to be out of reach.
    away: BTreeSet<String>,
    /// The jobs that an engine has begun.
    begun: BTreeSet<usize>,
}

impl Outages {
    /// A job's own event: once it has begun it does not wait.
    pub(crate) fn hear_event(&mut self, job: usize, event: &Event) {
        match event {
            Event::State(state) if state.state == "claimed" => {
                self.begun.insert(job);
            }
            Event::State(_) => {
                self.begun.remove(&job);
            }
            Event::Output(_) | Event::Restart(_) => {
                self.begun.insert(job);
            }
            Event::Incomplete(_) | Event::End(_) => {}
        }
    }

    /// What a person is told of it, if that is news.
    pub(crate) fn hear(&mut self, job: usize, outage: &Outage) -> Option<String> {
        match outage {
            Outage::Began(began) => {
                let is_news = self.away.insert(began.region.clone());
                let what = match self.begun.contains(&job) {
                    false => "your job waits",
                    true => "your job had begun, its output comes later",
                };
                let (region, since) = (&began.region, time_of_day(began.since_ms));
                is_news.then(|| format!("region {region} not reachable since {since}, {what}"))
            }
            Outage::Over(over) => {
                let is_news = self.away.remove(&over.region);
                is_news.then(|| format!("region {} is reachable again", over.region))
            }
        }
    }
}

/// The same in a report, where the time of day of some machine would not do.
pub(crate) fn in_report(outage: &Outage) -> String {
    match outage {
        Outage::Began(began) => {
            let since = i64::try_from(began.since_ms).unwrap_or_default();
            let since = Timestamp::from_millisecond(since).unwrap_or_default();
            format!("region {} not reachable since {since:.0}", began.region)
        }
        Outage::Over(over) => format!("region {} is reachable again", over.region),
    }
}

/// A moment in the time of this machine: `14:03:20`, with the day when that is not today.
pub(crate) fn time_of_day(ms: u64) -> String {
    at_place(ms, &Zoned::now())
}

fn at_place(ms: u64, now: &Zoned) -> String {
    let Some(then) = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok())
    else {
        return "long ago".to_owned();
    };
    let then = then.to_zoned(TimeZone::clone(now.time_zone()));
    let format = if then.date() == now.date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    then.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::events::Reachable;
    use crate::wire::{State, Unreachable};

    fn began(region: &str) -> Outage {
        let since_ms = 0;
        Outage::Began(Unreachable { region: region.to_owned(), since_ms, reason: String::new() })
    }

    fn over(region: &str) -> Outage {
        Outage::Over(Reachable { region: region.to_owned() })
    }

    fn state(word: &str) -> Event {
        let state = word.to_owned();
        Event::State(State { state, region: None, engine: None, attempt: None, reason: None })
    }

    #[test]
    fn each_outage_is_told_once_for_all_jobs() {
        let mut outages = Outages::default();
        let said = outages.hear(0, &began("japan")).unwrap();
        assert!(said.starts_with("region japan not reachable since "), "{said}");
        assert!(said.ends_with(", your job waits"), "{said}");
        assert_eq!(outages.hear(1, &began("japan")), None);
        assert!(outages.hear(2, &began("oslo")).is_some());
        let said = outages.hear(1, &over("japan")).unwrap();
        assert_eq!(said, "region japan is reachable again");
        assert_eq!(outages.hear(0, &over("japan")), None);
        outages.hear_event(0, &state("claimed"));
        let said = outages.hear(0, &began("japan")).unwrap();
        assert!(said.ends_with("its output comes later"), "{said}");
        outages.hear(0, &over("japan"));
        outages.hear_event(0, &state("released"));
        assert!(outages.hear(0, &began("japan")).unwrap().ends_with("waits"));
    }

    #[test]
    fn a_moment_is_told_as_clocks_here_show_it() {
        let at = |text: &str| -> Zoned { text.parse().unwrap() };
        let now = at("2026-03-05T14:10:00+09:00[+09:00]");
        for (then, shown) in [
            ("2026-03-05T14:03:20+09:00[+09:00]", "14:03:20"),
            ("2026-03-05T05:03:20+00:00[+00:00]", "14:03:20"),
            ("2026-03-04T23:59:59+09:00[+09:00]", "2026-03-04 23:59:59"),
        ] {
            let ms = u64::try_from(at(then).timestamp().as_millisecond()).unwrap();
            assert_eq!(at_place(ms, &now), shown, "{then}");
        }
        assert_eq!(at_place(u64::MAX, &now), "long ago");
    }

    #[test]
    fn a_report_has_the_time_of_the_world() {
        assert_eq!(
            in_report(&began("japan")),
            "region japan not reachable since 1970-01-01T00:00:00Z"
        );
    }
}
