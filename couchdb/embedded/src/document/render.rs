//! A document on its way out: one JSON object written from its parts.

use super::attachment::Attachment;
use crate::revision::Revision;
use serde::Serialize;
use serde_json::{Value, json};

/// Writes one document.
#[derive(Debug)]
pub(crate) struct Render {
    text: Vec<u8>,
}

impl Render {
    /// Starts with `_id` and `_rev`, as every document does.
    pub(crate) fn new(id: &str, revision: &impl std::fmt::Display) -> Render {
        let mut render = Render { text: Vec::with_capacity(128) };
        render.text.push(b'{');
        render.put("_id", &id);
        render.member("_rev", &revision.to_string());
        render
    }

    /// Adds the user's members. `body` is the text of an object.
    pub(crate) fn body(mut self, body: &str) -> Render {
        let inner = body.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or("");
        if !inner.is_empty() {
            self.text.push(b',');
            self.text.extend_from_slice(inner.as_bytes());
        }
        self
    }

    /// Adds `_deleted` for a tombstone.
    pub(crate) fn deleted(mut self, deleted: bool) -> Render {
        if deleted {
            self.member("_deleted", &true);
        }
        self
    }

    /// Adds `_attachments` as stubs, when there are any.
    pub(crate) fn stubs(self, attachments: &[Attachment]) -> Render {
        let stub = |one| attachment(one, None, Told::default());
        self.attachments(attachments.iter().map(|one| (&*one.name, stub(one))))
    }

    /// Adds `_attachments` in this order, when there are any. A client that writes the document back
    /// keeps the order, and with it the name that the next revision has on a CouchDB.
    pub(crate) fn attachments<'a>(
        mut self,
        attachments: impl IntoIterator<Item = (&'a str, impl Serialize)>,
    ) -> Render {
        let mut first = true;
        for (name, value) in attachments {
            let before: &[u8] = if first { b",\"_attachments\":{" } else { b"," };
            self.text.extend_from_slice(before);
            self.put(name, &value);
            first = false;
        }
        if !first {
            self.text.push(b'}');
        }
        self
    }

    /// Adds one member.
    pub(crate) fn member(&mut self, name: &str, value: &impl Serialize) {
        self.text.push(b',');
        self.put(name, value);
    }

    fn put(&mut self, name: &str, value: &impl Serialize) {
        append(&mut self.text, &name);
        self.text.push(b':');
        append(&mut self.text, value);
    }

    /// The whole object.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.text.push(b'}');
        self.text
    }
}

/// Appends a value as JSON.
pub(crate) fn append(text: &mut Vec<u8>, value: &impl Serialize) {
    // A Vec takes every write and none of our types has a key that is no string.
    serde_json::to_writer(text, value).expect("our own values are JSON");
}

/// What is told of attachments beside their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// How the bytes are packed: `att_encoding_info`.
    pub(crate) encodings: bool,
    /// The bytes of those that are newer than this generation follow in parts of their own.
    pub(crate) following_after: Option<u64>,
}

impl Told {
    /// Whether the bytes of this attachment follow.
    pub(crate) fn follows(&self, attachment: &Attachment) -> bool {
        self.following_after.is_some_and(|generation| attachment.revpos > generation)
    }
}

/// What a reader sees of an attachment; `data` is in base64.
#[derive(Serialize)]
pub(crate) struct Seen<'a> {
    content_type: &'a str,
    revpos: u64,
    digest: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stub: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    follows: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoded_length: Option<u64>,
}

/// An attachment as a reader sees it.
pub(crate) fn attachment<'a>(
    attachment: &'a Attachment,
    data: Option<&'a str>,
    told: Told,
) -> Seen<'a> {
    let follows = told.follows(attachment);
    let encoded_length = attachment.encoded_length.filter(|_| told.encodings);
    Seen {
        content_type: &attachment.content_type,
        revpos: attachment.revpos,
        digest: &attachment.digest,
        data,
        length: data.is_none().then_some(attachment.length),
        stub: (data.is_none() && !follows).then_some(true),
        follows: follows.then_some(true),
        encoding: encoded_length.map(|_| "gzip"),
        encoded_length,
    }
}

/// `_revisions`: the path of a revision, newest first, as the protocol writes it.
pub(crate) fn revisions<'a>(path: impl IntoIterator<Item = &'a Revision>) -> Value {
    let mut start = 0;
    let mut ids = Vec::new();
    for revision in path {
        start = start.max(revision.generation);
        ids.push(Value::from(revision.hash.to_string()));
    }
    json!({ "start": start, "ids": ids })
}
