//! Which changes a feed wants. A change is tried before anything of it is written.

use super::change::Change;
use crate::selector::Selector;
use std::collections::HashSet;

/// A filter of `_changes`.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    /// No filter.
    All,
    /// `filter=_doc_ids`.
    Ids(HashSet<String>),
    /// `filter=_design`.
    Design,
    /// `filter=_selector`, on the winning revision.
    Selector(Selector),
}

impl Filter {
    /// Whether the filter looks into documents.
    pub(crate) fn reads_documents(&self) -> bool {
        matches!(self, Filter::Selector(_))
    }

    /// Whether a change of this id may be wanted: asked before its document is read.
    pub(crate) fn wants_id(&self, id: &str) -> bool {
        match self {
            Filter::All | Filter::Selector(_) => true,
            Filter::Ids(ids) => ids.contains(id),
            Filter::Design => id.starts_with("_design/"),
        }
    }

    /// Whether the change is wanted.
    pub(crate) fn wants(&self, change: &Change) -> bool {
        match self {
            Filter::Selector(selector) => selector.matches(change.value()),
            _ => self.wants_id(&change.id),
        }
    }
}
