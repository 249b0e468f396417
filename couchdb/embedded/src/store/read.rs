//! Reading one document: its winner, one revision, or several leaves.

use super::{body, body::Body, row};
use crate::{
    document::{attachment::BASE64, render, render::Render},
    error::StoreError,
    revision::{
        Revision,
        tree::{Node, Tree},
    },
    sequence::Sequence,
};
use base64::Engine as _;
use rusqlite::Connection;
use serde_json::{Map, Value, json};

/// Which revisions of a document are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// The one that stands for the document; it may be a tombstone.
    Winner,
    /// All leaves.
    Leaves,
    /// These; with `latest`, the leaves that grew out of each.
    These { revisions: Vec<Revision>, latest: bool },
}

/// A document that was read.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) id: String,
    pub(crate) sequence: Sequence,
    pub(crate) tree: Tree,
    pub(crate) revisions: Vec<Opened>,
}

/// A revision that was asked for.
#[derive(Debug)]
pub(crate) enum Opened {
    Found(Box<Found>),
    /// It is unknown, or its body was dropped.
    Missing(Revision),
}

/// A revision with its body.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) revision: Revision,
    pub(crate) deleted: bool,
    pub(crate) body: Body,
    /// The bytes of the attachments as base64, when they were asked for.
    data: Option<Vec<String>>,
}

impl Found {
    /// Starts the JSON of the revision: everything but what depends on the tree.
    pub(crate) fn render(&self, id: &str) -> Render {
        let render = Render::new(id, &self.revision).body(&self.body.text).deleted(self.deleted);
        let Some(data) = &self.data else { return render.stubs(&self.body.attachments) };
        let with_data =
            |(attachment, data): (&crate::document::attachment::Attachment, &String)| {
                let value = json!({
                    "content_type": attachment.content_type,
                    "revpos": attachment.revpos,
                    "digest": attachment.digest,
                    "data": data,
                });
                (attachment.name.clone(), value)
            };
        let mut render = render;
        let all: Map<String, Value> =
            self.body.attachments.iter().zip(data).map(with_data).collect();
        if !all.is_empty() {
            render.member("_attachments", &all);
        }
        render
    }
}

impl Document {
    /// `_revisions` of one of its revisions.
    pub(crate) fn revisions_member(&self, revision: &Revision) -> Value {
        render::revisions(self.tree.path(revision).into_iter().map(|node| &node.revision))
    }
}

/// Reads the document; None when the id is unknown.
pub(super) fn document(
    connection: &Connection,
    database: i64,
    id: String,
    which: Which,
    with_data: bool,
) -> Result<Option<Document>, StoreError> {
    let Some(row) = row::get(connection, database, &id)? else { return Ok(None) };
    let tree = row.tree;
    let open = |node: &Node| match node.body {
        Some(key) => {
            let body = body::get(connection, key)?;
            let found = found(connection, node.revision.clone(), node.deleted, body, with_data)?;
            Ok(Opened::Found(Box::new(found)))
        }
        None => Ok::<_, StoreError>(Opened::Missing(node.revision.clone())),
    };
    let mut revisions = Vec::new();
    match which {
        Which::Winner => {
            if let Some(node) = tree.winner() {
                revisions.push(open(node)?);
            }
        }
        Which::Leaves => {
            for node in tree.leaves() {
                revisions.push(open(node)?);
            }
        }
        Which::These { revisions: asked, latest } => {
            for revision in asked {
                let nodes = if latest {
                    tree.leaves_after(&revision)
                } else {
                    tree.find(&revision).into_iter().collect()
                };
                if nodes.is_empty() {
                    revisions.push(Opened::Missing(revision));
                }
                for node in nodes {
                    revisions.push(open(node)?);
                }
            }
        }
    }
    Ok(Some(Document { id, sequence: row.sequence, tree, revisions }))
}

/// A revision with the data of its attachments, if that is wanted.
pub(super) fn found(
    connection: &Connection,
    revision: Revision,
    deleted: bool,
    body: Body,
    with_data: bool,
) -> Result<Found, StoreError> {
    let data = if with_data {
        let encode = |attachment| Ok(BASE64.encode(body::blob(connection, attachment)?));
        Some(body.attachments.iter().map(encode).collect::<Result<_, StoreError>>()?)
    } else {
        None
    };
    Ok(Found { revision, deleted, body, data })
}

/// What of these revisions is not here, and the leaves that might be their parents.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) missing: Vec<Revision>,
    pub(crate) possible_ancestors: Vec<Revision>,
}

/// Compares revisions with what is known: `_revs_diff`.
pub(super) fn missing(
    connection: &Connection,
    database: i64,
    id: &str,
    asked: Vec<Revision>,
) -> Result<Missing, StoreError> {
    let tree = row::get(connection, database, id)?.map(|row| row.tree).unwrap_or_default();
    let missing: Vec<Revision> =
        asked.into_iter().filter(|revision| tree.find(revision).is_none()).collect();
    let newest = missing.iter().map(|revision| revision.generation).max().unwrap_or(0);
    let leaves = tree.leaves().into_iter().map(|leaf| &leaf.revision);
    let possible_ancestors = leaves.filter(|leaf| leaf.generation < newest).cloned().collect();
    Ok(Missing { missing, possible_ancestors })
}
