//! Which changes a feed wants. A change is tried before anything of it is written.

use super::change::Change;
use crate::{script::Design, selector::Selector};
use serde_json::Value;
use std::{collections::HashSet, sync::Arc};

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
    Selector {
        selector: Selector,
        /// As it was asked for.
        text: Box<str>,
    },
    /// A function of a design document. It is asked after the change was read, away from the threads
    /// that read.
    Script(Script),
}

/// A function that lets changes through.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) design: Arc<Design>,
    /// `req` of a filter function as JSON; None for a map function, which lets through what it emits
    /// for.
    pub(crate) request: Option<Box<str>>,
}

/// The longest name of a filter, in bytes. It bounds what one filter can cost those who wait for the
/// same commit; the feeds of longer ones try every commit themselves.
const NAME_BYTES_MAX: usize = 4 << 10;

impl Filter {
    /// What equal filters share; None for one that must be tried by its own feed.
    pub(crate) fn name(&self) -> Option<Box<str>> {
        let name: Box<str> = match self {
            Filter::All | Filter::Script(_) => return None,
            Filter::Design => "_design".into(),
            // An array and an object of JSON: no two kinds have one name.
            Filter::Ids(ids) => {
                let mut ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                ids.sort_unstable();
                Value::from(ids).to_string().into()
            }
            Filter::Selector { text, .. } => text.clone(),
        };
        (name.len() <= NAME_BYTES_MAX).then_some(name)
    }

    /// Whether the filter looks into documents.
    pub(crate) fn reads_documents(&self) -> bool {
        matches!(self, Filter::Selector { .. } | Filter::Script(_))
    }

    /// Whether a change of this id may be wanted: asked before its document is read.
    pub(crate) fn wants_id(&self, id: &str) -> bool {
        match self {
            Filter::All | Filter::Selector { .. } | Filter::Script(_) => true,
            Filter::Ids(ids) => ids.contains(id),
            Filter::Design => id.starts_with("_design/"),
        }
    }

    /// Whether the change is wanted.
    pub(crate) fn wants(&self, change: &Change) -> bool {
        match self {
            Filter::Selector { selector, .. } => selector.matches(change.value()),
            _ => self.wants_id(&change.id),
        }
    }
}
