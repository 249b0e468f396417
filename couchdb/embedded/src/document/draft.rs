//! A document as a client sends it, read and checked but not yet stored.

use super::{
    attachment::{self, BadAttachment, Given},
    check::{self, BadJson},
    object::{self, Members},
};
use crate::revision::{BadRevision, Hash, Revision};
use serde::Deserialize;

/// The longest document id, in bytes. CouchDB has no limit of its own; a URL does.
pub(crate) const ID_BYTES_MAX: usize = 8192;

/// What a client wants to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draft {
    /// `_id`, checked. A PUT's path goes before it.
    pub(crate) id: Option<String>,
    /// `_rev`: the revision that this one follows, or is when `new_edits` is false.
    pub(crate) revision: Option<Revision>,
    /// `_revisions`, newest first; empty when it is missing.
    pub(crate) history: Vec<Revision>,
    /// `_deleted`.
    pub(crate) deleted: bool,
    /// All members without an underscore, as the text of an object.
    pub(crate) body: Box<str>,
    /// `_attachments`.
    pub(crate) attachments: Vec<Given>,
}

/// Why bytes are no document. The texts are CouchDB's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadDraft {
    #[error(transparent)]
    Json(#[from] BadJson),
    #[error("Document must be a JSON object")]
    NotObject,
    #[error(transparent)]
    Id(#[from] BadId),
    #[error(transparent)]
    Revision(#[from] BadRevision),
    #[error("Bad special document member: {0}")]
    Member(String),
    #[error(transparent)]
    Attachment(#[from] BadAttachment),
}

/// Why a text is no document id. The texts are CouchDB's, but for the limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadId {
    #[error("Document id must be a string")]
    NotString,
    #[error("Document id must not be empty")]
    Empty,
    #[error("Only reserved document ids may start with underscore.")]
    Reserved,
    #[error("Document id is longer than {ID_BYTES_MAX} bytes")]
    TooLong,
    #[error("Document id must be valid UTF-8")]
    NotUtf8,
}

/// Whether a document may have this id.
pub(crate) fn check_id(id: &str) -> Result<(), BadId> {
    let reserved = ["_design/", "_local/"]
        .iter()
        .any(|prefix| id.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()));
    if id.is_empty() {
        Err(BadId::Empty)
    } else if id.starts_with('_') && !reserved {
        Err(BadId::Reserved)
    } else if id.len() > ID_BYTES_MAX {
        Err(BadId::TooLong)
    } else {
        Ok(())
    }
}

impl Draft {
    /// Reads a document. The id in it is checked only when `id_matters`.
    pub(crate) fn read(bytes: &[u8], id_matters: bool) -> Result<Draft, BadDraft> {
        Draft::from_checked(check::check(bytes)?, id_matters)
    }

    /// The same for text that is known to be JSON, such as a member of a larger body.
    pub(crate) fn from_checked(text: &str, id_matters: bool) -> Result<Draft, BadDraft> {
        let members = object::members(text).map_err(BadJson::from)?.ok_or(BadDraft::NotObject)?;
        let mut draft = Draft {
            id: None,
            revision: None,
            history: Vec::new(),
            deleted: false,
            body: body(&members),
            attachments: Vec::new(),
        };
        for (name, value) in members.0.iter().filter(|(name, _)| name.starts_with('_')) {
            let bad = || BadDraft::Member(name.to_string());
            match &**name {
                "_id" if id_matters => {
                    let id: String =
                        serde_json::from_str(value.get()).map_err(|_| BadId::NotString)?;
                    check_id(&id)?;
                    draft.id = Some(id);
                }
                "_rev" => {
                    let text: String =
                        serde_json::from_str(value.get()).map_err(|_| BadRevision)?;
                    draft.revision = Some(text.parse()?);
                }
                "_deleted" => {
                    draft.deleted = serde_json::from_str(value.get()).map_err(|_| bad())?;
                }
                "_revisions" => draft.history = history(value.get()).ok_or_else(bad)?,
                "_attachments" => {
                    draft.attachments = attachment::read(value).ok_or_else(bad)??;
                }
                // What a reader was told besides the document and sends back.
                "_id" | "_conflicts" | "_deleted_conflicts" | "_revs_info" | "_local_seq" => {}
                name if name.starts_with("_replication_") => {}
                _ => return Err(bad()),
            }
        }
        Ok(draft)
    }
}

/// The user's own members as the text of an object.
fn body(members: &Members<'_>) -> Box<str> {
    let mut body = String::from("{");
    for (name, value) in members.0.iter().filter(|(name, _)| !name.starts_with('_')) {
        if body.len() > 1 {
            body.push(',');
        }
        body.push_str(&serde_json::Value::from(name.as_ref()).to_string());
        body.push(':');
        body.push_str(value.get());
    }
    body.push('}');
    body.into()
}

#[derive(Deserialize)]
struct Revisions {
    start: u64,
    ids: Vec<String>,
}

/// `{"start": 3, "ids": ["c", "b"]}` as `3-c`, `2-b`; None when it is something else.
fn history(text: &str) -> Option<Vec<Revision>> {
    let revisions: Revisions = serde_json::from_str(text).ok()?;
    if revisions.start == 0 && revisions.ids.len() <= 1 {
        // A `_local` document has no past; CouchDB's replicator sends this with its checkpoints.
        return Some(Vec::new());
    }
    let mut history = Vec::with_capacity(revisions.ids.len());
    for (age, id) in (0..).zip(&revisions.ids) {
        let generation = revisions.start.checked_sub(age)?;
        // Read as one text, so that the limits on a revision hold here too.
        let hash: Hash = id.parse().ok()?;
        let revision: Revision = format!("{generation}-{hash}").parse().ok()?;
        history.push(revision);
    }
    let sound = history.last().is_some_and(|oldest| oldest.generation >= 1);
    sound.then_some(history)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn underscores_are_taken_out_and_the_rest_is_kept_as_it_came() {
        let draft = Draft::read(
            br#"{"_id":"a", "z": 1.0, "_rev":"1-abc","big":12345678901234567890123,"_deleted":true}"#,
            true,
        )
        .unwrap();
        assert_eq!(draft.id.as_deref(), Some("a"));
        assert_eq!(draft.revision.unwrap().to_string(), "1-abc");
        assert!(draft.deleted);
        assert_eq!(&*draft.body, r#"{"z":1.0,"big":12345678901234567890123}"#);
    }

    #[test]
    fn bad_drafts_say_what_is_wrong() {
        for (text, reason) in [
            ("", "invalid UTF-8 JSON"),
            ("[1]", "Document must be a JSON object"),
            (r#"{"_id":5}"#, "Document id must be a string"),
            (r#"{"_id":""}"#, "Document id must not be empty"),
            (r#"{"_id":"_x"}"#, "Only reserved document ids may start with underscore."),
            (r#"{"_foo":1}"#, "Bad special document member: _foo"),
            (r#"{"_deleted":"yes"}"#, "Bad special document member: _deleted"),
            (r#"{"_rev":null}"#, "Invalid rev format"),
            (r#"{"_attachments":5}"#, "Bad special document member: _attachments"),
            (r#"{"_attachments":{"a":{"data":"%%"}}}"#, "Invalid attachment data for a"),
            (
                r#"{"_revisions":{"start":1,"ids":["a","b"]}}"#,
                "Bad special document member: _revisions",
            ),
        ] {
            let got = Draft::read(text.as_bytes(), true).unwrap_err().to_string();
            assert_eq!(got, reason, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_draft_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            drop(Draft::read(&bytes, true));
        }

        /// What was kept of a body is JSON again, with the same members.
        #[test]
        fn a_kept_body_reads_as_it_was(names in prop::collection::vec("[^_]{0,6}", 0..5)) {
            let object: serde_json::Map<_, _> =
                names.iter().map(|name| (name.clone(), serde_json::Value::from(1))).collect();
            let object: serde_json::Map<_, _> =
                object.into_iter().filter(|(name, _)| !name.starts_with('_')).collect();
            let draft = Draft::read(&serde_json::to_vec(&object).unwrap(), true).unwrap();
            let kept: serde_json::Map<_, _> = serde_json::from_str(&draft.body).unwrap();
            prop_assert_eq!(kept, object);
        }
    }
}
