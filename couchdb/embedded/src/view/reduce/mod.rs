//! Reductions that need no interpreter: `_sum`, `_count`, `_stats` and the other names of CouchDB.
//!
//! An [`Accumulator`] takes the rows of one group in their order and gives its value. What the rows
//! must not hold is refused in [`check`], before they come into an index.

mod distinct;
mod rank;
mod stats;
pub(crate) mod sum;

pub(crate) use stats::check as check_stats;

use super::{collation::Collation, json::Json};
use crate::document::check::NotJson;

/// Which reduction a view has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reduction {
    Sum,
    Count,
    Stats,
    Distinct,
    /// The greatest values, at most so many.
    Top(usize),
    /// The least.
    Bottom(usize),
    First,
    Last,
}

/// The most values that `_top_N` and `_bottom_N` may keep; CouchDB's own.
const RANK_MAX: usize = 100;

/// A name that begins with `_` and is no reduction. The texts are CouchDB's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnknownReduction {
    #[error("`{0}` is not a supported reduce function.")]
    Name(String),
    #[error("rank value must be between 1 and {RANK_MAX}")]
    Rank,
    #[error("invalid rank reducer")]
    NoRank,
}

impl Reduction {
    /// Reads a name such as `_sum`; CouchDB looks at its beginning only.
    pub(crate) fn named(name: &str) -> Result<Reduction, UnknownReduction> {
        let rank = |rest: &str| {
            let rank = rest.parse::<i64>().map_err(|_| UnknownReduction::NoRank)?;
            let rank = usize::try_from(rank).ok();
            rank.filter(|rank| (1..=RANK_MAX).contains(rank)).ok_or(UnknownReduction::Rank)
        };
        if let Some(rest) = name.strip_prefix("_top_") {
            return rank(rest).map(Reduction::Top);
        }
        if let Some(rest) = name.strip_prefix("_bottom_") {
            return rank(rest).map(Reduction::Bottom);
        }
        let known = [
            ("_sum", Reduction::Sum),
            ("_count", Reduction::Count),
            ("_stats", Reduction::Stats),
            ("_approx_count_distinct", Reduction::Distinct),
            ("_first", Reduction::First),
            ("_last", Reduction::Last),
        ];
        let found = known.into_iter().find(|(beginning, _)| name.starts_with(beginning));
        found.map(|(_, found)| found).ok_or_else(|| UnknownReduction::Name(name.to_owned()))
    }
}

/// Why a group has no value, where CouchDB refuses the whole request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadValue {
    /// The text is CouchDB's.
    #[error("{0}")]
    Stats(String),
    #[error("`_sum` met objects together with numbers or lists: {0}")]
    Mixed(String),
    #[error("a value of the index is no JSON")]
    NotJson,
}

impl From<NotJson> for BadValue {
    fn from(_: NotJson) -> BadValue {
        BadValue::NotJson
    }
}

/// Takes the rows of one group.
#[derive(Debug)]
pub(crate) enum Accumulator {
    Sum(sum::Sum),
    Count(u64),
    Stats(Option<stats::Stats>),
    Distinct(distinct::Distinct),
    Rank(rank::Rank),
    First(Option<Box<str>>),
    Last(Option<Box<str>>),
}

impl Accumulator {
    pub(crate) fn new(reduction: &Reduction) -> Accumulator {
        match reduction {
            Reduction::Sum => Accumulator::Sum(sum::Sum::default()),
            Reduction::Count => Accumulator::Count(0),
            Reduction::Stats => Accumulator::Stats(None),
            Reduction::Distinct => Accumulator::Distinct(distinct::Distinct::new()),
            Reduction::Top(count) => Accumulator::Rank(rank::Rank::greatest(*count)),
            Reduction::Bottom(count) => Accumulator::Rank(rank::Rank::least(*count)),
            Reduction::First => Accumulator::First(None),
            Reduction::Last => Accumulator::Last(None),
        }
    }

    /// Takes a row: its key and its value as texts, in the ascending order of keys.
    pub(crate) fn add(&mut self, key: &str, value: &str) -> Result<(), BadValue> {
        match self {
            Accumulator::Sum(sum) => sum.add(key, value)?,
            Accumulator::Count(count) => *count += 1,
            Accumulator::Stats(stats) => stats::add(stats, &Json::parse(value)?)?,
            Accumulator::Distinct(distinct) => distinct.add(key.as_bytes()),
            Accumulator::Rank(rank) => rank.add(Collation::Unicode.encode(value)?, value),
            Accumulator::First(Some(_)) => {}
            Accumulator::First(first) => *first = Some(value.into()),
            Accumulator::Last(last) => *last = Some(value.into()),
        }
        Ok(())
    }

    /// The value of the group as JSON.
    pub(crate) fn finish(self) -> Result<String, BadValue> {
        Ok(match self {
            Accumulator::Sum(sum) => sum.finish()?.text(),
            Accumulator::Count(count) => count.to_string(),
            Accumulator::Stats(stats) => stats.map_or(Json::Null, |stats| stats.json()).text(),
            Accumulator::Distinct(distinct) => distinct.estimate().to_string(),
            Accumulator::Rank(rank) => rank.text(),
            Accumulator::First(value) | Accumulator::Last(value) => {
                value.map_or_else(|| String::from("null"), String::from)
            }
        })
    }
}

#[cfg(test)]
mod tests;
