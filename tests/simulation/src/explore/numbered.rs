//! Things by number.

use std::collections::HashMap;
use std::fmt::Debug;

use super::table::Id;

/// Things by number, each once. Two are equal when they look the same in full.
#[derive(Debug)]
pub(super) struct Numbered<T> {
    things: Vec<T>,
    numbers: HashMap<String, Id>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { things: Vec::new(), numbers: HashMap::new() }
    }
}

impl<T: Debug> Numbered<T> {
    pub(super) fn number(&mut self, thing: T) -> Id {
        let text = format!("{thing:?}");
        if let Some(known) = self.numbers.get(&text) {
            return *known;
        }
        self.things.push(thing);
        let id = number(self.things.len());
        self.numbers.insert(text, id);
        id
    }

    pub(super) fn get(&self, id: Id) -> &T {
        &self.things[usize::from(id) - 1]
    }
}

/// The number of what is at this place.
pub(super) fn number(at: usize) -> Id {
    Id::try_from(at).expect("the bounds of a configuration keep its tables small")
}
