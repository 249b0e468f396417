//! The import `metrics`: counters and distributions of a run, which become one record of kind `metrics` at its end.
//! Needs no grant.
//!
//! The two functions are the ones that a plugin calls most often: they wait for nothing, and a name is checked
//! when it is first seen.

mod distribution;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

use crate::bindings::blitz::plugin::metrics::{Error, Host};
use crate::job::Job;
use crate::limits::Size;
use distribution::Distribution;

/// The kind of the record.
pub(crate) const METRICS_KIND: &str = "metrics";

/// Counters and distributions of one run together: a table that a person can still read, and a record well below
/// the largest event.
const NAMES_MAX: usize = 64;
/// Longest name; the contract has this number.
const NAME_MAX_BYTES: usize = 40;
/// What the distributions of one run may occupy: 30 of times up to a minute in microseconds, or 9 of any numbers.
const DISTRIBUTIONS_MAX_BYTES: usize = 4 * 1024 * 1024;

/// What one run has counted. A clone is of the same run, and outlives the guest.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics(Arc<Mutex<Counted>>);

#[derive(Debug, Default)]
struct Counted {
    counters: BTreeMap<String, u64>,
    distributions: BTreeMap<String, Distribution>,
    /// What the distributions occupy.
    bytes: usize,
}

impl Metrics {
    fn count(&self, name: &str, by: u64) -> Result<(), Error> {
        let mut counted = self.counted();
        if let Some(counter) = counted.counters.get_mut(name) {
            *counter = counter.saturating_add(by);
            return Ok(());
        }
        counted.check_new(name)?;
        counted.counters.insert(name.to_owned(), by);
        Ok(())
    }

    /// All of the values, or none when they are refused.
    fn observe(&self, name: &str, values: &[u64]) -> Result<(), Error> {
        let mut counted = self.counted();
        let counted = &mut *counted;
        let Some(highest) = values.iter().copied().max() else {
            return if counted.distributions.contains_key(name) {
                Ok(())
            } else {
                counted.check_new(name)
            };
        };
        if let Some(distribution) = counted.distributions.get_mut(name) {
            let more = distribution.growth_bytes(highest);
            if more > 0 {
                counted.bytes = room_for(name, counted.bytes, more)?;
            }
            distribution.add(values);
            return Ok(());
        }
        counted.check_new(name)?;
        let mut distribution = Distribution::default();
        counted.bytes = room_for(name, counted.bytes, distribution.growth_bytes(highest))?;
        distribution.add(values);
        counted.distributions.insert(name.to_owned(), distribution);
        Ok(())
    }

    /// The record, and an empty table in its place; `None` when nothing was counted.
    pub(crate) fn take_record(&self) -> Option<String> {
        let Counted { counters, distributions, .. } = std::mem::take(&mut *self.counted());
        if counters.is_empty() && distributions.is_empty() {
            return None;
        }
        let distributions: Map<String, Value> =
            distributions.into_iter().map(|(name, of)| (name, of.summary())).collect();
        Some(json!({ "counters": counters, "distributions": distributions }).to_string())
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn check_new(&self, name: &str) -> Result<(), Error> {
        if !is_metric_name(name) {
            let shown: String = name.chars().take(NAME_MAX_BYTES).collect();
            return Err(Error::Failed(format!(
                "a metric's name is 1 to {NAME_MAX_BYTES} of a-z, 0-9 and _, and ends with its unit (latency_us, \
                 requests_count), not {shown:?}"
            )));
        }
        if self.counters.len() + self.distributions.len() >= NAMES_MAX {
            return Err(Error::Limit(format!(
                "a run has at most {NAMES_MAX} counters and distributions; {name:?} is one more"
            )));
        }
        Ok(())
    }
}

/// What the distributions occupy with `more`, if they may.
fn room_for(name: &str, bytes: usize, more: usize) -> Result<usize, Error> {
    let sum = bytes + more;
    if sum > DISTRIBUTIONS_MAX_BYTES {
        let size = |bytes: usize| Size(u64::try_from(bytes).unwrap_or(u64::MAX));
        return Err(Error::Limit(format!(
            "the distributions of a run occupy at most {}, and {name:?} would need {} more; observe fewer names or \
             smaller numbers",
            size(DISTRIBUTIONS_MAX_BYTES),
            size(more)
        )));
    }
    Ok(sum)
}

/// Two words or more: the last one is the unit.
fn is_metric_name(name: &str) -> bool {
    name.len() <= NAME_MAX_BYTES
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && name.rsplit_once('_').is_some_and(|(what, unit)| !what.is_empty() && !unit.is_empty())
}

impl Host for Job {
    fn count(&mut self, name: String, by: u64) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.metrics.count(&name, by))
    }

    fn observe(&mut self, name: String, values: Vec<u64>) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.metrics.observe(&name, &values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(result: Result<(), Error>) -> String {
        match result {
            Ok(()) => String::new(),
            Err(Error::Limit(text)) => format!("limit: {text}"),
            Err(Error::Failed(text)) => format!("failed: {text}"),
            Err(Error::Denied(text)) => format!("denied: {text}"),
        }
    }

    #[test]
    fn what_was_counted_is_one_record() {
        let metrics = Metrics::default();
        assert_eq!(metrics.take_record(), None);
        metrics.count("requests_count", 2).unwrap();
        metrics.count("requests_count", 3).unwrap();
        metrics.count("body_bytes", u64::MAX).unwrap();
        metrics.count("body_bytes", 1).unwrap();
        metrics.observe("latency_us", &[]).unwrap();
        metrics.observe("latency_us", &(1..=1000).collect::<Vec<_>>()).unwrap();
        metrics.observe("latency_us", &[2_000_000]).unwrap();
        let record: Value = serde_json::from_str(&metrics.take_record().unwrap()).unwrap();
        assert_eq!(
            record,
            json!({
                "counters": { "requests_count": 5, "body_bytes": u64::MAX },
                "distributions": { "latency_us": {
                    "count": 1001, "min": 1, "max": 2_000_000, "mean": 2_500_500.0 / 1001.0,
                    "p50": 501, "p90": 901, "p99": 991, "p999": 1000,
                } },
            })
        );
        assert_eq!(metrics.take_record(), None);
    }

    #[test]
    fn names_are_checked() {
        let metrics = Metrics::default();
        let long = format!("{}_us", "x".repeat(38));
        for name in ["", "latency", "_us", "latency_", "Latency_us", "latency-us", "ë_us", &long] {
            for refused in
                [metrics.count(name, 1), metrics.observe(name, &[1]), metrics.observe(name, &[])]
            {
                let text = text(refused);
                assert!(
                    text.starts_with("failed: a metric's name is 1 to 40 of"),
                    "{name:?}: {text}"
                );
            }
        }
        metrics.count(&long[1..], 1).unwrap();
    }

    #[test]
    fn names_are_bounded() {
        let metrics = Metrics::default();
        for number in 0..NAMES_MAX / 2 {
            metrics.count(&format!("n{number}_count"), 1).unwrap();
            metrics.observe(&format!("n{number}_us"), &[1]).unwrap();
        }
        let wanted =
            "limit: a run has at most 64 counters and distributions; \"more_us\" is one more";
        assert_eq!(text(metrics.count("more_us", 1)), wanted);
        assert_eq!(text(metrics.observe("more_us", &[1])), wanted);
        metrics.count("n0_count", 1).unwrap();
        metrics.observe("n0_us", &[2]).unwrap();
        assert!(metrics.take_record().unwrap().len() < crate::limits::EVENT_MAX_BYTES / 2);
    }

    #[test]
    fn the_memory_of_distributions_is_bounded() {
        let metrics = Metrics::default();
        let mut held = 0;
        let refused = loop {
            match metrics.observe(&format!("n{held}_us"), &[1, u64::MAX]) {
                Ok(()) => held += 1,
                Err(error) => break text(Err(error)),
            }
        };
        assert_eq!(held, 9);
        assert_eq!(
            refused,
            "limit: the distributions of a run occupy at most 4 MiB, and \"n9_us\" would need 432 KiB more; \
             observe fewer names or smaller numbers"
        );
        metrics.observe("n0_us", &[1, u64::MAX]).unwrap();
        metrics.observe("small_us", &[5]).unwrap();
        let grown = text(metrics.observe("small_us", &[6, u64::MAX]));
        assert!(grown.starts_with("limit: "), "{grown}");
        let record: Value = serde_json::from_str(&metrics.take_record().unwrap()).unwrap();
        assert_eq!(record["distributions"]["small_us"]["count"], 1, "refused whole");
        let max = &record["distributions"]["n0_us"];
        assert_eq!((&max["min"], &max["max"]), (&json!(1), &json!(u64::MAX)));
    }
}
