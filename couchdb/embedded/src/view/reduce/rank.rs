//! `_top_N` and `_bottom_N`: the greatest or the least different values.

use std::collections::BTreeMap;

/// The values that lead so far, by their place in the order of keys.
#[derive(Debug)]
pub(crate) struct Rank {
    greatest: bool,
    count: usize,
    leading: BTreeMap<Vec<u8>, Box<str>>,
}

impl Rank {
    pub(super) fn greatest(count: usize) -> Rank {
        Rank { greatest: true, count, leading: BTreeMap::new() }
    }

    pub(super) fn least(count: usize) -> Rank {
        Rank { greatest: false, count, leading: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, place: Vec<u8>, value: &str) {
        self.leading.entry(place).or_insert_with(|| value.into());
        if self.leading.len() > self.count {
            if self.greatest {
                self.leading.pop_first()
            } else {
                self.leading.pop_last()
            };
        }
    }

    pub(super) fn text(self) -> String {
        let mut values: Vec<Box<str>> = self.leading.into_values().collect();
        if self.greatest {
            values.reverse();
        }
        format!("[{}]", values.join(","))
    }
}
