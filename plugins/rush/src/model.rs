//! How many and when: `--pattern` (users, a closed model), `--rate` (arrivals, an open one), or one transaction.

use std::time::Duration;

use blitz_plugin::Failure;
use blitz_plugin::load::{Segment, Shape, Step};

use crate::EXIT_USAGE;
use crate::item::{Item, last};
use crate::shape::{self, Height, Heights};
use crate::text::Text;

/// Of a sprint, beyond the time-outs of its requests: so that the last one can end.
const SPRINT_SPARE_MS: u64 = 1000;
/// The longest test, as the contract has it.
const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);
/// A test is a millisecond long, or longer.
const DURATION_MIN: Duration = Duration::from_millis(1);

/// A shape, and how many requests are enough.
#[derive(Debug, PartialEq)]
pub(crate) struct Model {
    pub(crate) shape: Shape,
    pub(crate) requests: Option<u64>,
    /// The same of transactions.
    pub(crate) transactions: Option<u64>,
}

/// Reads what the items of the whole test say of it.
///
/// # Errors
///
/// For options that do not go together, and for a height without a time.
pub(crate) fn of(items: &[Item], steps: &[Step]) -> Result<Model, Failure> {
    let requests = last(items, "requests").map(|text| whole(text, 1, u64::MAX)).transpose()?;
    let duration =
        last(items, "duration").map(|text| time(text, DURATION_MIN, DURATION_MAX)).transpose()?;
    let duration = duration.zip(last(items, "duration"));
    let (pattern, rate) = (last(items, "pattern"), last(items, "rate"));
    let poisson = items.iter().any(|item| item.key == "poisson");
    if let (Some(_), Some(rate)) = (pattern, rate) {
        return Err(rate.refuse(
            "not together with a pattern: --pattern is so many users, each of whom waits for its answer (closed); \
             --rate so many transactions a second, whatever is answered (open)",
        ));
    }
    if rate.is_none() {
        of_rates_only(items)?;
    } else if let Some(think) = last(items, "think") {
        return Err(think.refuse("users think; with --rate each transaction begins at its time"));
    }
    let shape = match (pattern, rate) {
        (Some(text), _) => {
            let segments = match shape::read(text, Height::Users)? {
                Heights::Segments(segments) => varied(segments, duration)?,
                Heights::Plain(users) => constant(text, users, duration, None)?,
            };
            Shape::Users { segments }
        }
        (None, Some(text)) => {
            let segments = match shape::read(text, Height::Rate)? {
                Heights::Segments(segments) => varied(segments, duration)?,
                Heights::Plain(rate) => {
                    let enough = requests.map(|requests| enough_ms(requests, steps, rate, poisson));
                    constant(text, rate, duration, enough)?
                }
            };
            Shape::Rate { segments, poisson }
        }
        (None, None) => return one_user(items, steps, requests, duration),
    };
    Ok(Model { shape, requests, transactions: None })
}

/// One user: for a time, or for one transaction.
fn one_user(
    items: &[Item],
    steps: &[Step],
    requests: Option<u64>,
    duration: Option<(u64, &Text)>,
) -> Result<Model, Failure> {
    let users =
        |duration_ms| Shape::Users { segments: vec![Segment { from: 1.0, to: 1.0, duration_ms }] };
    match (requests, duration, last(items, "requests")) {
        (requests, Some((duration_ms, _)), _) => {
            Ok(Model { shape: users(duration_ms), requests, transactions: None })
        }
        (_, None, Some(text)) => {
            Err(text.refuse("how long at most? Give --pattern USERS:TIME, --rate, or --duration"))
        }
        (_, None, None) => {
            let timeouts = steps.iter().fold(0u64, |sum, step| sum.saturating_add(step.timeout_ms));
            // Not so many requests: when a step fails, those behind it are not made up for.
            let shape = users(timeouts.saturating_add(SPRINT_SPARE_MS));
            Ok(Model { shape, requests: None, transactions: Some(1) })
        }
    }
}

/// Heights that say how long themselves.
fn varied(segments: Vec<Segment>, duration: Option<(u64, &Text)>) -> Result<Vec<Segment>, Failure> {
    match duration {
        None => Ok(segments),
        Some((_, text)) => Err(text.refuse("the pattern or rate says how long already")),
    }
}

/// One height, for the time that is said, or that is enough.
fn constant(
    text: &Text,
    height: f64,
    duration: Option<(u64, &Text)>,
    enough_ms: Option<u64>,
) -> Result<Vec<Segment>, Failure> {
    if height == 0.0 {
        return Err(text.refuse("more than nothing"));
    }
    let duration_ms = duration.map(|(duration_ms, _)| duration_ms).or(enough_ms);
    match duration_ms {
        Some(duration_ms) => Ok(vec![Segment { from: height, to: height, duration_ms }]),
        None => {
            let value = &text.value;
            Err(text.fault(
                value.len(),
                format!("how long? {value}:60 is for 60 seconds, or give --duration"),
            ))
        }
    }
}

/// The time in which so many requests are due. Arrivals at random have five standard deviations more.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a time is rounded, and one beyond all limits is refused by the check of the plan"
)]
fn enough_ms(requests: u64, steps: &[Step], rate: f64, poisson: bool) -> u64 {
    let transactions = requests.div_ceil(steps.len().max(1) as u64) as f64;
    let spare = if poisson { 5.0 * transactions.sqrt() + 5.0 } else { 0.0 };
    ((transactions + spare) / rate * 1000.0).ceil().max(1.0) as u64
}

fn of_rates_only(items: &[Item]) -> Result<(), Failure> {
    if let Some(text) = last(items, "connections") {
        return Err(text.refuse("only with --rate: each user of a pattern has one connection"));
    }
    match items.iter().any(|item| item.key == "poisson") {
        true => Err(Failure::new(EXIT_USAGE, "--poisson: only with --rate")),
        false => Ok(()),
    }
}

/// A whole number.
pub(crate) fn whole(text: &Text, min: u64, max: u64) -> Result<u64, Failure> {
    let value = text.value.as_str();
    if let Some(bad) = value.find(|c: char| !c.is_ascii_digit()) {
        return Err(text.fault(bad, "a whole number"));
    }
    let number = value.parse().ok().filter(|number| (min..=max).contains(number));
    let wrong = || match max {
        u64::MAX => text.refuse(format!("{min} or more")),
        max => text.refuse(format!("{min} to {max}")),
    };
    number.ok_or_else(wrong)
}

/// A time in milliseconds.
pub(crate) fn time(text: &Text, min: Duration, max: Duration) -> Result<u64, Failure> {
    let value = text.value.as_str();
    let Some(time) = blitz_plugin::duration(value) else {
        let bad = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(0);
        return Err(text.fault(bad, "a time: 60 (seconds), 0.5, 500ms, 2m, 1h"));
    };
    match (min..=max).contains(&time) {
        true => Ok(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        false => Err(text.refuse(format!("{min:?} to {} h", max.as_secs() / 3600))),
    }
}
