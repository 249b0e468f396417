//! Holding a report to a [`Check`].

use blitz_contract::load::Distribution;

use crate::check::{Bound, Check, Clock, Metric, Outcome, Reading};
use crate::latency::Latency;
use crate::pile::Rolling;
use crate::report::{Report, per_second};
use crate::second::Second;
use crate::tally::Tally;
use crate::words;

/// A value that was measured.
#[derive(Debug, Clone, Copy)]
enum Value {
    Is(f64),
    /// There was nothing to measure, and there should have been.
    Silent,
    /// There was nothing to measure.
    Nothing,
}

impl Check {
    /// Measures, and says whether it holds. What was never measured does not hold: a test that did nothing must not pass.
    #[must_use]
    pub fn measure(&self, report: &Report) -> Outcome {
        if let Some(step) = self.step
            && report.plan.as_ref().is_none_or(|plan| plan.steps.len() as u64 <= u64::from(step))
        {
            return self.outcome(
                false,
                "nothing".to_owned(),
                &format!("there is no step {}", step + 1),
            );
        }
        let outcome = match self.over_s {
            Some(over) => self.in_windows(report, over),
            None => self.in_all(report),
        };
        Outcome { is_proven: outcome.holds && self.is_robust(report), ..outcome }
    }

    fn in_all(&self, report: &Report) -> Outcome {
        let value = if self.after_s == 0 {
            self.whole(report)
        } else {
            self.window(report, &self.seconds(report))
        };
        match value {
            Value::Is(value) => {
                let written = self.written(value);
                self.outcome(self.holds(value), written.clone(), &written)
            }
            Value::Silent => self.outcome(false, "nothing".to_owned(), "not one answer"),
            Value::Nothing => self.outcome(false, "nothing".to_owned(), "nothing was measured"),
        }
    }

    fn in_windows(&self, report: &Report, over: u32) -> Outcome {
        let seconds = self.seconds(report);
        let width = usize::try_from(over).unwrap_or(usize::MAX);
        let mut worst: Option<(f64, u32)> = None;
        let mut silent: Option<u32> = None;
        let (mut broken, mut count) = (0u64, 0u64);
        let mut rolling = Rolling::default();
        for (place, second) in seconds.iter().enumerate() {
            if let Some(latency) = self.latency_of(second) {
                rolling.add(latency.distribution());
            }
            let Some(begin) = (place + 1).checked_sub(width) else { continue };
            let window = &seconds[begin..=place];
            let value = match self.metric {
                Metric::Time(clock, reading) => timed(clock, reading, &rolling.sum(), window),
                _ => self.window(report, window),
            };
            match value {
                Value::Is(value) => {
                    count += 1;
                    broken += u64::from(!self.holds(value));
                    let is_worse = worst.is_none_or(|(own, _)| {
                        if self.relation.is_ceiling() { value > own } else { value < own }
                    });
                    if is_worse {
                        worst = Some((value, window[0].second));
                    }
                }
                Value::Silent => {
                    (count, broken) = (count + 1, broken + 1);
                    silent = silent.or(Some(window[0].second));
                }
                Value::Nothing => {}
            }
            if let Some(latency) = self.latency_of(seconds[begin]) {
                rolling.remove(latency.distribution());
            }
        }
        let from = |second: u32| format!("in the {over} s from {}", words::clock(second.into()));
        let more = match broken {
            0 | 1 => String::new(),
            more => format!("; {more} of {count} windows break it"),
        };
        match (silent, worst) {
            (Some(second), _) => self.outcome(
                false,
                "nothing".to_owned(),
                &format!("not one answer {}{more}", from(second)),
            ),
            (None, Some((value, second))) => {
                let written = self.written(value);
                let text = format!("{written} at worst, {}{more}", from(second));
                self.outcome(broken == 0, written, &text)
            }
            (None, None) => {
                let text = format!("there are no {over} s that could be measured");
                self.outcome(false, "nothing".to_owned(), &text)
            }
        }
    }

    fn outcome(&self, holds: bool, measured: String, text: &str) -> Outcome {
        let is = if holds { "met" } else { "not met" };
        let text = format!("{}: {is}: {text}", self.expression);
        Outcome { expression: self.expression.clone(), holds, is_proven: false, measured, text }
    }

    /// Whether it would hold, too, had the generator not been the limit. A slow generator makes response times longer and answers fewer
    /// per second, never the reverse; and where all that was asked was sent, the target had the whole load.
    fn is_robust(&self, report: &Report) -> bool {
        let had_all = report.is_open_model() && report.total.sent >= report.total.asked;
        match (&self.metric, self.relation.is_ceiling()) {
            (Metric::Time(Clock::Response | Clock::Service, _), true) => {
                had_all || !report.is_open_model()
            }
            (Metric::Rate | Metric::Hits | Metric::Sent, false) => true,
            (Metric::Errors(_) | Metric::Status(..), _) => had_all,
            _ => false,
        }
    }

    fn holds(&self, value: f64) -> bool {
        let (Bound::Micros(bound)
        | Bound::Count(bound)
        | Bound::Share(bound)
        | Bound::PerSecond(bound)) = self.bound;
        self.relation.holds(value, bound)
    }

    fn written(&self, value: f64) -> String {
        match self.bound {
            Bound::Micros(_) => words::micros(words::whole(value)),
            Bound::Count(_) => words::number(value),
            Bound::Share(_) => words::percent(value),
            Bound::PerSecond(_) => format!("{}/s", words::number(value)),
        }
    }

    /// Seconds that it looks at. A rate is not measured after the plan's end.
    fn seconds<'a>(&self, report: &'a Report) -> Vec<&'a Second> {
        let is_late = |second: &&Second| second.second >= self.after_s;
        if self.metric == Metric::Rate {
            let all = report.steady().filter(is_late);
            // A window is of whole seconds.
            let is_whole =
                |second: &&Second| self.over_s.is_none() || report.part_of(second) > 0.999;
            all.filter(is_whole).collect()
        } else {
            report.counted().filter(is_late).collect()
        }
    }

    fn tally<'a>(&self, second: &'a Second) -> Option<&'a Tally> {
        match self.step {
            None => Some(&second.tally),
            // A plan of one step has no rows by step.
            Some(0) if second.steps.is_empty() => Some(&second.tally),
            Some(step) => second.steps.iter().find(|own| own.step == step).map(|own| &own.tally),
        }
    }

    fn latency_of<'a>(&self, second: &'a Second) -> Option<&'a Latency> {
        match self.metric {
            Metric::Time(Clock::Response, _) => self.tally(second).map(|tally| &tally.response),
            Metric::Time(Clock::Service, _) => self.tally(second).map(Tally::service),
            Metric::Time(Clock::Connect, _) => Some(&second.connect),
            Metric::Time(Clock::Tls, _) => Some(&second.tls),
            Metric::Time(Clock::Lag, _) => Some(&second.lag),
            _ => None,
        }
    }

    /// Of the whole test, from the figures of three digits.
    fn whole(&self, report: &Report) -> Value {
        let total = &report.total;
        let none = Tally::default();
        let tally = match self.step {
            None => &total.tally,
            Some(step) => {
                report.steps.iter().find(|own| own.step == step).map_or(&none, |own| &own.tally)
            }
        };
        // What could not even be sent is an error, too.
        if total.sent == 0 && total.tally.errors.total == 0 {
            return Value::Nothing;
        }
        match self.metric {
            Metric::Time(clock, reading) => {
                let latency = match clock {
                    Clock::Response => &tally.response,
                    Clock::Service => tally.service(),
                    Clock::Connect => &total.connect,
                    Clock::Tls => &total.tls,
                    Clock::Lag => &total.lag,
                };
                read(reading, latency).map_or(Value::Nothing, Value::Is)
            }
            Metric::Rate => Value::Is(per_second(tally.hits, report.measured_s)),
            _ => self.counted(tally, total.asked, total.sent),
        }
    }

    /// Of these seconds together.
    fn window(&self, report: &Report, seconds: &[&Second]) -> Value {
        let sum =
            |count: fn(&Second) -> u64| seconds.iter().map(|second| count(second)).sum::<u64>();
        let (asked, sent) = (sum(|second| second.asked), sum(|second| second.sent));
        if seconds.is_empty() {
            return Value::Nothing;
        }
        if let Metric::Time(clock, reading) = self.metric {
            let all = seconds.iter().filter_map(|second| self.latency_of(second));
            return timed(clock, reading, Latency::sum(all).distribution(), seconds);
        }
        let tallies: Vec<&Tally> = seconds.iter().filter_map(|second| self.tally(second)).collect();
        if self.metric == Metric::Rate {
            let hits = tallies.iter().map(|tally| tally.hits).sum();
            let length = seconds.iter().map(|second| report.part_of(second)).sum();
            return Value::Is(per_second(hits, length));
        }
        self.counted(&counts(&tallies), asked, sent)
    }

    fn counted(&self, tally: &Tally, asked: u64, sent: u64) -> Value {
        let (count, of) = match &self.metric {
            Metric::Errors(None) => (tally.errors.total, tally.ended()),
            Metric::Errors(Some(kind)) => (tally.errors.of(kind), tally.ended()),
            Metric::Hits => (tally.hits, 0),
            Metric::Status(from, to) => {
                (tally.statuses.range(from..to).map(|(_, count)| count).sum(), tally.hits)
            }
            Metric::Sent => (sent, asked),
            Metric::Repeated => (tally.repeated, tally.ended()),
            Metric::Rate | Metric::Time(..) => return Value::Nothing,
        };
        match self.bound {
            Bound::Share(_) if of == 0 && count == 0 => Value::Nothing,
            Bound::Share(_) => Value::Is((count as f64 / of.max(1) as f64).min(1.0)),
            _ => Value::Is(count as f64),
        }
    }
}

/// The sum of the counts alone: the histograms of a window are added elsewhere.
fn counts(tallies: &[&Tally]) -> Tally {
    let without = |tally: &&Tally| Tally {
        response: Latency::default(),
        service_apart: None,
        errors: tally.errors.clone(),
        statuses: tally.statuses.clone(),
        ..Tally { hits: tally.hits, repeated: tally.repeated, ..Tally::default() }
    };
    let without: Vec<Tally> = tallies.iter().map(without).collect();
    Tally::sum(&without.iter().collect::<Vec<_>>())
}

/// A time in a window. Requests and no answer is the worst that can be; no new connection is nothing.
fn timed(clock: Clock, reading: Reading, all: &Distribution, seconds: &[&Second]) -> Value {
    let is_awaited = matches!(clock, Clock::Response | Clock::Service)
        && seconds.iter().any(|second| second.sent > 0 || second.backlog > 0);
    match read(reading, &Latency::from(all.clone())) {
        Some(value) => Value::Is(value),
        None if is_awaited => Value::Silent,
        None => Value::Nothing,
    }
}

fn read(reading: Reading, latency: &Latency) -> Option<f64> {
    if latency.is_empty() {
        return None;
    }
    let us = match reading {
        Reading::Percentile(percent) => latency.quantile_us(percent / 100.0),
        Reading::Mean => latency.mean_us(),
        Reading::Min => latency.min_us(),
        Reading::Max => latency.max_us(),
    };
    Some(us as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn outcomes(report: &Report, expressions: &[&str]) -> String {
        let lines = expressions.iter().map(|text| text.parse::<Check>().unwrap().measure(report));
        lines.map(|outcome| format!("{} {}\n", outcome.holds, outcome.text)).collect()
    }

    #[test]
    fn a_report_is_held_to_expressions() {
        let report = fixture::ramp().report();
        insta::assert_snapshot!(outcomes(
            &report,
            &[
                "p99<300ms",
                "p50<1ms",
                "service.p99<300ms",
                "mean<1s",
                "max<1ms",
                "errors<0.1%",
                "errors<50%",
                "timeouts<5",
                "rate>=100/s",
                "rate>=100/s over 5s",
                "rate>=100/s over 5s after 20s",
                "sent>=99%",
                "status.5xx<1",
                "connect.p99<1ms",
                "tls.p99<1ms",
                "lag.p99<1ms",
                "step1.p95<1s",
                "step2.p95<1s",
                "step9.p95<1s",
                "p95<200ms over 10s",
                "p95<2s over 10s",
                "p95<1s over 500s",
                "errors<1% over 3s",
                "errors.timeout<1 after 10s",
                "hits>=1",
                "connect.p99<1ms over 1s",
            ]
        ));
    }

    #[test]
    fn a_test_that_did_nothing_meets_nothing() {
        let report = crate::Run::new(Vec::new()).report();
        for text in ["p99<1h", "errors<1", "timeouts<5", "sent>=0%", "rate>=0/s", "p50<1s over 1s"]
        {
            let Ok(check) = text.parse::<Check>() else { continue };
            assert!(!check.measure(&report).holds, "{text}");
        }
    }

    #[test]
    fn a_window_without_an_answer_is_the_worst() {
        let report = fixture::hangs().report();
        insta::assert_snapshot!(outcomes(
            &report,
            &["p99<1s", "p99<1s over 2s", "errors<1% over 2s"]
        ));
    }
}
