//! What variables are worth: a function of seed, transaction and variable, without a table.

use blitz_contract::load::Values;

use super::cookie::{COOKIE_BYTES_MAX, Kept};
use crate::pace::Random;

/// Where a value comes from.
#[derive(Debug, Clone)]
pub(super) enum Value {
    List(Box<[Box<[u8]>]>),
    Alpha {
        min: u64,
        max: u64,
        count: u64,
    },
    Number {
        min: i128,
        range: u128,
        factor: u128,
        count: u64,
    },
    Udid,
    /// Taken from an answer: its number among those that a transaction keeps.
    Cookie(u16),
}

/// Of what words are made.
const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Sets the numbers that make words apart from those that choose them.
const WORDS: u64 = 0x0077_6f72_6473;

/// Of a number of 64 bits, with its sign.
const NUMBER_BYTES: usize = 20;
const UUID_BYTES: usize = 36;

/// Names that are known so far, each with its value; the latest definition counts.
#[derive(Debug)]
pub(super) struct Names {
    known: Vec<(Box<str>, usize)>,
    values: Vec<Value>,
    seed: u64,
}

/// What one transaction's holes are filled from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drawing<'a> {
    pub(super) values: &'a [Value],
    pub(super) seed: u64,
    /// Of the transaction, among all.
    pub(super) number: u64,
    pub(super) kept: Option<&'a Kept>,
}

impl Names {
    pub(super) fn new(seed: u64) -> Self {
        Self { known: Vec::new(), values: Vec::new(), seed }
    }

    pub(super) fn define(&mut self, name: &str, mut value: Value) {
        let place = self.values.len();
        if let Value::Number { range, factor, .. } = &mut value {
            let mut random = Random::of(&[self.seed, WORDS, as_u64(place)]);
            *factor = coprime(*range, u128::from(random.draw()));
        }
        self.known.retain(|(known, _)| **known != *name);
        self.known.push((name.into(), place));
        self.values.push(value);
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.known.iter().find(|(known, _)| **known == *name).map(|(_, place)| *place)
    }

    /// Bytes of the longest that a value can be.
    pub(super) fn bytes_max(&self, place: usize) -> usize {
        match self.values.get(place) {
            None => 0,
            Some(Value::List(list)) => list.iter().map(|word| word.len()).max().unwrap_or(0),
            Some(Value::Alpha { max, .. }) => usize::try_from(*max).unwrap_or(usize::MAX),
            Some(Value::Number { .. }) => NUMBER_BYTES,
            Some(Value::Udid) => UUID_BYTES,
            Some(Value::Cookie(_)) => COOKIE_BYTES_MAX,
        }
    }

    pub(super) fn values(self) -> Box<[Value]> {
        self.values.into()
    }
}

impl Value {
    pub(super) fn new(values: &Values) -> Self {
        match values {
            Values::List(list) => {
                Self::List(list.iter().map(|word| word.as_bytes().into()).collect())
            }
            Values::Alpha { min, max, count } => {
                Self::Alpha { min: u64::from(*min), max: u64::from(*max), count: u64::from(*count) }
            }
            Values::Number { min, max, count } => {
                let range =
                    u128::try_from(i128::from(*max) - i128::from(*min)).unwrap_or_default() + 1;
                Self::Number { min: i128::from(*min), range, factor: 1, count: u64::from(*count) }
            }
            Values::Udid => Self::Udid,
        }
    }
}

impl Drawing<'_> {
    /// Writes the value of that number behind `out`.
    pub(super) fn write(&self, place: usize, out: &mut Vec<u8>) {
        let mut random = Random::of(&[self.seed, self.number, as_u64(place)]);
        match self.values.get(place) {
            None => {}
            Some(Value::List(list)) => {
                let chosen = random.below(as_u64(list.len()));
                let word = usize::try_from(chosen).ok().and_then(|chosen| list.get(chosen));
                out.extend_from_slice(word.map_or(&[], |word| word));
            }
            Some(Value::Alpha { min, max, count }) => {
                // The words are not stored: each is made again from its own number.
                let word = random.below(*count);
                let mut letters = Random::of(&[self.seed, WORDS, as_u64(place), word]);
                let length = min + letters.below(max.saturating_sub(*min) + 1);
                for _ in 0..length {
                    let letter =
                        usize::try_from(letters.below(as_u64(LETTERS.len()))).unwrap_or_default();
                    out.push(LETTERS[letter]);
                }
            }
            Some(Value::Number { min, range, factor, count }) => {
                // Multiples of a number that shares no divisor with the range are all different.
                let step = u128::from(random.below(*count)) + 1;
                let number = min + i128::try_from(step * factor % range).unwrap_or_default();
                out.extend_from_slice(number.to_string().as_bytes());
            }
            Some(Value::Udid) => write_uuid([random.draw(), random.draw()], out),
            Some(Value::Cookie(number)) => {
                out.extend_from_slice(
                    self.kept.and_then(|kept| kept.get(*number)).unwrap_or_default(),
                );
            }
        }
    }
}

/// A UUID of version 4. Source: RFC 9562, section 5.4.
fn write_uuid([high, low]: [u64; 2], out: &mut Vec<u8>) {
    let high = high & !0xf000 | 0x4000;
    let low = low & !(0b11 << 62) | (0b10 << 62);
    let text = format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    );
    out.extend_from_slice(text.as_bytes());
}

/// A number near to `wish` that shares no divisor with `range`.
fn coprime(range: u128, wish: u128) -> u128 {
    let mut found = (wish % range).max(1);
    while divisor(found, range) != 1 {
        found = found % range + 1;
    }
    found
}

fn divisor(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn as_u64(place: usize) -> u64 {
    u64::try_from(place).unwrap_or(u64::MAX)
}
