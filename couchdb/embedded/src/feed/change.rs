//! One row of `_changes`: what happened to a document last.

use crate::{
    document::render,
    sequence::{Identity, Sequence, Token},
};
use serde_json::Value;
use std::sync::OnceLock;

/// A change, shared by all feeds that hear of it.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) sequence: Sequence,
    pub(crate) id: Box<str>,
    /// The winning revision is a tombstone.
    pub(crate) deleted: bool,
    /// The leaves, the winner first; only the winner where nobody asked for more.
    pub(crate) leaves: Vec<String>,
    /// The winning revision as JSON, where somebody may want it.
    pub(crate) document: Option<Box<str>>,
    /// The same, parsed once for all feeds with a selector.
    parsed: OnceLock<Value>,
}

impl Change {
    pub(crate) fn new(
        sequence: Sequence,
        id: &str,
        deleted: bool,
        leaves: Vec<String>,
        document: Option<Box<str>>,
    ) -> Change {
        Change { sequence, id: id.into(), deleted, leaves, document, parsed: OnceLock::new() }
    }

    /// What it holds in memory, roughly, in bytes.
    pub(crate) fn weight(&self) -> usize {
        let leaves: usize = self.leaves.iter().map(String::len).sum();
        // A parsed document takes about three times its text.
        size_of::<Change>()
            + self.id.len()
            + leaves
            + 4 * self.document.as_deref().map_or(0, str::len)
    }

    /// The winning revision as a value; null when the document was not asked for.
    pub(crate) fn value(&self) -> &Value {
        self.parsed.get_or_init(|| {
            let text = self.document.as_deref().unwrap_or("null");
            serde_json::from_str(text).unwrap_or_default()
        })
    }
}

/// How a row is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RowStyle {
    /// `style=all_docs`: every leaf, not only the winner.
    pub(crate) all_leaves: bool,
    /// `include_docs=true`.
    pub(crate) include_docs: bool,
}

impl Change {
    /// Writes the row as one line of JSON without its end. `document` takes the place of the one
    /// that the change carries.
    pub(crate) fn write(
        &self,
        text: &mut Vec<u8>,
        identity: Identity,
        style: RowStyle,
        document: Option<&str>,
    ) {
        text.extend_from_slice(b"{\"seq\":");
        render::append(text, &Token { sequence: self.sequence, identity });
        text.extend_from_slice(b",\"id\":");
        render::append(text, &&*self.id);
        text.extend_from_slice(b",\"changes\":[");
        let count = if style.all_leaves { self.leaves.len() } else { 1 };
        for (index, leaf) in self.leaves.iter().take(count).enumerate() {
            text.extend_from_slice(if index == 0 { b"{\"rev\":" } else { b",{\"rev\":" });
            render::append(text, leaf);
            text.push(b'}');
        }
        text.push(b']');
        if self.deleted {
            text.extend_from_slice(b",\"deleted\":true");
        }
        if style.include_docs {
            text.extend_from_slice(b",\"doc\":");
            let own = self.document.as_deref().unwrap_or("null");
            text.extend_from_slice(document.unwrap_or(own).as_bytes());
        }
        text.push(b'}');
    }
}
