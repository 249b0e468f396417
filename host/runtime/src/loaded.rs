//! The plugins that a runtime has in memory: a few of all that it may run, the longest unused first to go. And what
//! it will not have, so that a component that cannot be compiled costs its time once.
//!
//! A plugin that goes from here lives on in its handles ([`crate::Plugin`]), so nobody should keep one for longer
//! than a run: [`crate::Runtime::ready`] has it again in a millisecond.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::error::Error;
use crate::limits::REFUSED_MAX;
use crate::plugin::Loaded;

/// One plugin, or the place where it is being made ready.
pub(crate) type Cell = Arc<OnceCell<Arc<Loaded>>>;

pub(crate) struct LoadedPlugins {
    cells: HashMap<String, Slot>,
    uses: u64,
    plugins_max: usize,
    code_bytes_max: usize,
    /// By digest, the oldest first.
    refused: VecDeque<(String, Error)>,
}

struct Slot {
    cell: Cell,
    last_use: u64,
}

impl LoadedPlugins {
    pub(crate) fn new(plugins_max: usize, code_bytes_max: usize) -> Self {
        let (cells, refused) = (HashMap::new(), VecDeque::new());
        Self { cells, uses: 0, plugins_max, code_bytes_max, refused }
    }

    /// The place of this digest.
    pub(crate) fn cell(&mut self, sha256: &str) -> Cell {
        self.uses += 1;
        let slot = self
            .cells
            .entry(sha256.to_owned())
            .or_insert_with(|| Slot { cell: Arc::default(), last_use: 0 });
        slot.last_use = self.uses;
        Arc::clone(&slot.cell)
    }

    /// Why the component of this digest was refused before.
    pub(crate) fn refusal(&self, sha256: &str) -> Option<Error> {
        let known = self.refused.iter().find(|(refused, _)| refused == sha256);
        known.map(|(_, error)| error.clone())
    }

    /// Remembers a refusal that stays true.
    pub(crate) fn refuse(&mut self, sha256: &str, error: &Error) {
        if error.is_passing() {
            return;
        }
        if self.refused.len() >= REFUSED_MAX {
            self.refused.pop_front();
        }
        self.refused.push_back((sha256.to_owned(), error.clone()));
    }

    /// To be called when a place was filled, or could not be: lets others go until the rest is within its limits.
    pub(crate) fn settle(&mut self, sha256: &str) {
        if self.cells.get(sha256).is_some_and(|slot| {
            // The map's and that of the caller who failed: nobody else waits for it.
            !slot.cell.initialized() && Arc::strong_count(&slot.cell) <= 2
        }) {
            self.cells.remove(sha256);
        }
        while self.is_over() {
            let filled =
                |(name, slot): &(&String, &Slot)| *name != sha256 && slot.cell.initialized();
            let oldest = self.cells.iter().filter(filled).min_by_key(|(_, slot)| slot.last_use);
            let Some(oldest) = oldest.map(|(sha256, _)| sha256.clone()) else { return };
            self.cells.remove(&oldest);
        }
    }

    fn is_over(&self) -> bool {
        let filled = self.cells.values().filter_map(|slot| slot.cell.get());
        let (count, bytes) =
            filled.fold((0, 0), |(count, bytes), one| (count + 1, bytes + one.code_bytes));
        count > self.plugins_max || bytes > self.code_bytes_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_refused_is_remembered_and_the_oldest_forgotten() {
        let mut plugins = LoadedPlugins::new(1, 1);
        plugins.refuse("busy", &Error::Compiler("killed".to_owned()));
        assert!(plugins.refusal("busy").is_none());
        for n in 0..=REFUSED_MAX {
            plugins.refuse(&n.to_string(), &Error::NotAComponent(n.to_string()));
        }
        assert!(plugins.refusal("0").is_none());
        let refusal = plugins.refusal("1").map(|error| error.to_string());
        assert_eq!(refusal.as_deref(), Some("not a WASM component: 1"));
    }
}
