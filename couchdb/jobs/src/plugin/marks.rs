//! What is said of a version after its publishing: `yanked:<name>:<version>` takes it back,
//! `promoted:<name>:<version>` lets all regions have it.
//!
//! Documents of their own, created once: between stores that replicate both ways, an edited document can lose
//! against an older edit, and give a right back that was taken. Nothing deletes them, and a yank wins over
//! everything.

use blitz_couchdb::{Client, Error, Put, PutOptions};
use serde::{Deserialize, Serialize};

use crate::region::CONTROL;

/// The longest reason, in characters: a sentence for the user of the version.
pub const REASON_CHARS_MAX: usize = 300;

/// One of the two documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// What it says.
    pub kind: MarkKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// The plugin's name.
    pub name: String,
    /// The version that it is about.
    pub version: String,
    /// Why, for people; empty when nobody said.
    #[serde(default)]
    pub reason: String,
    /// When, for people. Milliseconds since 1970.
    #[serde(default)]
    pub at_ms: u64,
}

/// The `kind` of such a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkKind {
    /// Nobody may run the version any more.
    Yanked,
    /// All regions may run it.
    Promoted,
}

impl MarkKind {
    /// The word before the first colon of the id.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Yanked => "yanked",
            Self::Promoted => "promoted",
        }
    }
}

impl Mark {
    /// A mark on a version. The reason is cut to [`REASON_CHARS_MAX`].
    #[must_use]
    pub fn new(kind: MarkKind, name: &str, version: &str, reason: &str, at_ms: u64) -> Self {
        Self {
            kind,
            blitz: crate::BUILD.to_owned(),
            name: name.to_owned(),
            version: version.to_owned(),
            reason: reason.trim().chars().take(REASON_CHARS_MAX).collect(),
            at_ms,
        }
    }

    /// `yanked:<name>:<version>` or `promoted:<name>:<version>`.
    #[must_use]
    pub fn document_id(&self) -> String {
        format!("{}:{}:{}", self.kind.word(), self.name, self.version)
    }

    /// `name@version`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// The mark that a document is, if it is one. What takes a right away counts by its id, also when this
    /// version cannot read the rest.
    #[must_use]
    pub fn read(id: &str, doc: serde_json::Value) -> Option<Self> {
        let (word, rest) = id.split_once(':')?;
        let (name, version) = rest.split_once(':')?;
        let kind = match word {
            "yanked" => MarkKind::Yanked,
            "promoted" => MarkKind::Promoted,
            _ => return None,
        };
        let read = serde_json::from_value::<Self>(doc).ok().filter(|mark| mark.document_id() == id);
        match (read, kind) {
            // Of its words only what has a limit: such documents are kept for as long as a process lives.
            (Some(mark), _) => Some(Self::new(kind, name, version, &mark.reason, mark.at_ms)),
            (None, MarkKind::Yanked) => Some(Self::new(kind, name, version, "", 0)),
            (None, MarkKind::Promoted) => None,
        }
    }

    /// The sentence about a yanked version, for whoever asks for it.
    #[must_use]
    pub fn sentence(&self) -> String {
        let label = self.label();
        match self.reason.as_str() {
            "" => format!("{label} was yanked by its publisher"),
            reason => format!("{label} was yanked: {reason}"),
        }
    }
}

/// Creates the mark; false when the version had it already.
///
/// # Errors
///
/// Any of the store.
pub async fn mark(store: &Client, mark: &Mark) -> Result<bool, Error> {
    let control = store.database(CONTROL);
    let put = control.put(&mark.document_id(), None, mark, PutOptions::default()).await?;
    Ok(put != Put::Conflict)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_yank_counts_even_when_it_cannot_be_read() {
        let yank = Mark::new(MarkKind::Yanked, "hops", "0.1.0", " leaks memory ", 7);
        let doc = serde_json::to_value(&yank).unwrap();
        assert_eq!(Mark::read("yanked:hops:0.1.0", doc.clone()), Some(yank.clone()));
        assert_eq!(yank.sentence(), "hops@0.1.0 was yanked: leaks memory");
        let mut long = doc.clone();
        long["reason"] = json!("x".repeat(1 << 20));
        long["blitz"] = long["reason"].clone();
        let read = Mark::read("yanked:hops:0.1.0", long).unwrap();
        assert!(read.reason.len() == REASON_CHARS_MAX && read.blitz == crate::BUILD);
        for (id, doc) in [("yanked:hops:0.2.0", doc.clone()), ("yanked:hops:0.2.0", json!({}))] {
            let read = Mark::read(id, doc).unwrap();
            assert_eq!((read.label().as_str(), read.kind), ("hops@0.2.0", MarkKind::Yanked));
        }
        for id in ["promoted:hops:0.1.0", "plugin:hops:0.1.0", "yanked:hops", "yanked"] {
            assert_eq!(Mark::read(id, doc.clone()), None, "{id}");
        }
    }
}
