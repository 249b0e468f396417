//! `_stats`: sum, count, least, greatest and sum of squares of numbers, or of lists of numbers.

use super::{BadValue, Json};
use crate::view::json::Number;

/// What is known of some values; a list where the values are lists.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stats {
    One(One),
    List(Vec<Stats>),
}

/// What is known of some numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct One {
    sum: Number,
    count: Number,
    min: Number,
    max: Number,
    sumsqr: Number,
}

/// Whether a value may come into a view with `_stats`: CouchDB refuses the whole view otherwise.
pub(crate) fn check(value: &str) -> Result<(), BadValue> {
    if value.parse::<i64>().is_ok() {
        return Ok(());
    }
    read(&Json::parse(value)?).map(drop)
}

pub(super) fn add(stats: &mut Option<Stats>, value: &Json) -> Result<(), BadValue> {
    let value = read(value)?;
    *stats = Some(match stats.take() {
        None => value,
        Some(stats) => merge(stats, value)?,
    });
    Ok(())
}

fn read(value: &Json) -> Result<Stats, BadValue> {
    match value {
        Json::Number(number) => Ok(Stats::One(One {
            sum: *number,
            count: Number::Integer(1),
            min: *number,
            max: *number,
            sumsqr: number.square(),
        })),
        Json::List(values) => values.iter().map(read).collect::<Result<_, _>>().map(Stats::List),
        // Somebody has computed it already.
        Json::Object(members) => {
            let number = |name: &str| {
                let found = members.iter().find(|(key, _)| key == name).map(|(_, value)| value);
                match found {
                    Some(Json::Number(number)) => Ok(*number),
                    Some(other) => Err(BadValue::Stats(format!(
                        "non-numeric _stats input received for {name}: {}",
                        other.term_text()
                    ))),
                    None => Err(BadValue::Stats(format!(
                        "user _stats input missing required field {name} ({})",
                        value.text()
                    ))),
                }
            };
            Ok(Stats::One(One {
                sum: number("sum")?,
                count: number("count")?,
                min: number("min")?,
                max: number("max")?,
                sumsqr: number("sumsqr")?,
            }))
        }
        other => Err(BadValue::Stats(format!("non-numeric _stats input: {}", other.term_text()))),
    }
}

fn merge(a: Stats, b: Stats) -> Result<Stats, BadValue> {
    match (a, b) {
        (Stats::One(a), Stats::One(b)) => Ok(Stats::One(One {
            sum: a.sum.add(b.sum),
            count: a.count.add(b.count),
            min: a.min.least(b.min),
            max: a.max.greatest(b.max),
            sumsqr: a.sumsqr.add(b.sumsqr),
        })),
        (Stats::List(a), Stats::List(b)) if a.len() == b.len() => {
            let merged = a.into_iter().zip(b).map(|(a, b)| merge(a, b));
            merged.collect::<Result<_, _>>().map(Stats::List)
        }
        (Stats::List(a), Stats::List(b)) => Err(BadValue::Stats(format!(
            "_stats input has lists of {} and of {} numbers",
            a.len(),
            b.len()
        ))),
        _ => Err(BadValue::Stats(String::from("_stats input has numbers and lists"))),
    }
}

impl Stats {
    pub(super) fn json(&self) -> Json {
        match self {
            Stats::List(list) => Json::List(list.iter().map(Stats::json).collect()),
            Stats::One(One { sum, count, min, max, sumsqr }) => {
                let members = [
                    ("sum", sum),
                    ("count", count),
                    ("min", min),
                    ("max", max),
                    ("sumsqr", sumsqr),
                ];
                let member =
                    |(name, value): (&str, &Number)| (String::from(name), Json::Number(*value));
                Json::Object(members.map(member).into())
            }
        }
    }
}
