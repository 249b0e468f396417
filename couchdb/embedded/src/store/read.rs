//! Reading one document: its winner, one revision, or several leaves.

use super::{body, body::Body, row};
use crate::{
    document::{
        render,
        render::{Render, Told},
    },
    error::StoreError,
    revision::{
        Revision,
        tree::{Node, Tree},
    },
    sequence::Sequence,
};
use rusqlite::Connection;
use serde_json::Value;

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
    /// Those that no longer fitted, to be asked for in the next read.
    pub(crate) rest: Vec<Revision>,
}

/// No further revision is read in the same go once there are this many bytes: a document may have many
/// conflicts with large attachments.
const PAGE_BYTES: usize = 1 << 20;

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
        self.render_as(id, Told::default())
    }

    /// The same, with more or less told of the attachments.
    pub(crate) fn render_as(&self, id: &str, told: Told) -> Render {
        let render = Render::new(id, &self.revision).body(&self.body.text).deleted(self.deleted);
        let data = self.data.iter().flatten().map(|data| Some(&**data));
        let data = data.chain(std::iter::repeat(None));
        render.attachments(self.body.attachments.iter().zip(data).map(|(attachment, data)| {
            (&*attachment.name, render::attachment(attachment, data, told))
        }))
    }

    /// About how many bytes it holds.
    fn weight(&self) -> usize {
        let data = self.data.iter().flatten().map(String::len).sum::<usize>();
        self.body.text.len().saturating_add(data)
    }
}

impl Document {
    /// `_revisions` of one of its revisions.
    pub(crate) fn revisions_member(&self, revision: &Revision) -> Value {
        render::revisions(self.tree.path(revision).into_iter().map(|node| &node.revision))
    }
}

/// Reads the document and the first of the revisions; None when the id is unknown.
pub(super) fn document(
    connection: &Connection,
    database: i64,
    id: String,
    which: Which,
    with_data: bool,
) -> Result<Option<Document>, StoreError> {
    let Some(row) = row::get(connection, database, &id)? else { return Ok(None) };
    let tree = row.tree;
    let (mut revisions, mut rest) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    for wanted in select(&tree, which) {
        if bytes > PAGE_BYTES {
            rest.push(wanted.map_or_else(|missing| missing, |node| node.revision.clone()));
            continue;
        }
        let opened = match wanted {
            Ok(node) => open(connection, node, with_data)?,
            Err(missing) => Opened::Missing(missing),
        };
        if let Opened::Found(found) = &opened {
            bytes += found.weight();
        }
        revisions.push(opened);
    }
    Ok(Some(Document { id, sequence: row.sequence, tree, revisions, rest }))
}

/// The nodes that are asked for, or the revision where there is none.
fn select(tree: &Tree, which: Which) -> Vec<Result<&Node, Revision>> {
    match which {
        Which::Winner => tree.winner().into_iter().map(Ok).collect(),
        Which::Leaves => tree.leaves().into_iter().map(Ok).collect(),
        Which::These { revisions, latest } => {
            let mut selected = Vec::new();
            for revision in revisions {
                let nodes = if latest {
                    tree.leaves_after(&revision)
                } else {
                    tree.find(&revision).into_iter().collect()
                };
                if nodes.is_empty() {
                    selected.push(Err(revision));
                }
                selected.extend(nodes.into_iter().map(Ok));
            }
            selected
        }
    }
}

fn open(connection: &Connection, node: &Node, with_data: bool) -> Result<Opened, StoreError> {
    let Some(key) = node.body else { return Ok(Opened::Missing(node.revision.clone())) };
    let body = body::get(connection, key)?;
    let found = found(connection, node.revision.clone(), node.deleted, body, with_data)?;
    Ok(Opened::Found(Box::new(found)))
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
        let encode = |attachment| body::base64(connection, attachment);
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
