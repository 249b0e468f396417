//! Reading many documents, a bounded page at a time: by id, by key, and in the order of changes.

use super::{body, read, row};
use crate::{
    error::StoreError,
    feed::{change::Change, filter::Filter},
    revision::{Revision, codec},
    sequence::Sequence,
};
use rusqlite::{Connection, OptionalExtension as _};
use std::sync::Arc;

/// How many rows one read looks at: a millisecond or a few, after which others have their turn.
pub(crate) const PAGE_ROWS: usize = 500;

/// A page ends with the row that brings it over this many bytes.
pub(crate) const PAGE_BYTES: usize = 1 << 20;

/// How far `offset` is counted. Beyond it the answer would cost more than the rows.
pub(crate) const COUNT_MAX: u64 = 20_000;

/// How far `pending` of changes is counted: clients show progress by it. The index alone is read for it.
const PENDING_MAX: u64 = 1_000_000;

/// What of the documents is wanted beside their ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Detail {
    pub(crate) documents: bool,
    /// `_conflicts` in the documents.
    pub(crate) conflicts: bool,
    /// The bytes of attachments in the documents.
    pub(crate) attachments: bool,
    /// All leaves of a change.
    pub(crate) leaves: bool,
}

/// One end of a range of ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Before every id.
    First,
    /// After every id.
    Last,
    At(String),
    /// At this id, without it.
    Beside(String),
}

/// Living documents between two ids, read from `low` upwards or from `high` downwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) low: End,
    pub(crate) high: End,
    pub(crate) descending: bool,
}

/// A document in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) revision: String,
    pub(crate) deleted: bool,
    /// The winning revision as JSON, when it is wanted.
    pub(crate) document: Option<Box<str>>,
}

/// Some rows of a list.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) rows: Vec<Listed>,
    /// There may be more after the last row.
    pub(crate) more: bool,
}

const COLUMNS: &str = "id, revision, deleted, body, tree";

type Columns = (String, String, bool, Option<i64>, Vec<u8>);

fn columns(row: &rusqlite::Row<'_>) -> rusqlite::Result<Columns> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

/// The condition on living documents, and its two values.
fn condition(range: &Range) -> (String, String, String) {
    let (condition, from, to) = ids(range);
    (format!("{condition} AND deleted = 0"), from, to)
}

/// The condition on the id, and its two values.
pub(super) fn ids(range: &Range) -> (String, String, String) {
    let (low, from) = match &range.low {
        End::First => ("id >= ?2", ""),
        // Nothing: no text is greater than every id.
        End::Last => ("?2 IS NULL", ""),
        End::At(id) => ("id >= ?2", id.as_str()),
        End::Beside(id) => ("id > ?2", id.as_str()),
    };
    let (high, to) = match &range.high {
        End::Last => ("?3 IS NOT NULL", ""),
        End::First => ("?3 IS NULL", ""),
        End::At(id) => ("id <= ?3", id.as_str()),
        End::Beside(id) => ("id < ?3", id.as_str()),
    };
    (format!("database = ?1 AND {low} AND {high}"), from.into(), to.into())
}

/// The first rows of the range, after `skip` others.
pub(super) fn range(
    connection: &Connection,
    database: i64,
    range: &Range,
    skip: u64,
    limit: u64,
    detail: Detail,
) -> Result<Page, StoreError> {
    let (condition, from, to) = condition(range);
    let order = if range.descending { "DESC" } else { "ASC" };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM documents WHERE {condition} ORDER BY id {order} LIMIT ?4 OFFSET ?5"
    ))?;
    let wanted = limit.min(u64::try_from(PAGE_ROWS).unwrap_or(u64::MAX));
    let mut found = statement.query((database, from, to, wanted, skip.min(SKIP_MAX)))?;
    let mut page = Page { rows: Vec::new(), more: false };
    let mut bytes = 0;
    while let Some(row) = found.next()? {
        let listed = listed(connection, columns(row)?, detail)?;
        bytes += listed.document.as_deref().map_or(0, str::len);
        page.rows.push(listed);
        if bytes > PAGE_BYTES {
            page.more = true;
            return Ok(page);
        }
    }
    page.more = u64::try_from(page.rows.len()) == Ok(wanted);
    Ok(page)
}

/// SQLite counts in signed integers.
pub(super) const SKIP_MAX: u64 = 1 << 62;

/// How many living documents the range has; None above [`COUNT_MAX`].
pub(super) fn count(
    connection: &Connection,
    database: i64,
    range: &Range,
) -> Result<Option<u64>, StoreError> {
    let (condition, from, to) = condition(range);
    let mut statement = connection.prepare_cached(&format!(
        "SELECT count(*) FROM (SELECT 1 FROM documents WHERE {condition} LIMIT ?4)"
    ))?;
    let count: u64 = statement.query_row((database, from, to, COUNT_MAX + 1), |row| row.get(0))?;
    Ok((count <= COUNT_MAX).then_some(count))
}

/// The documents of these ids, tombstones included, in the order of the ids. The second number is
/// how many ids were looked at before the page was full.
pub(super) fn keys(
    connection: &Connection,
    database: i64,
    ids: &[Option<String>],
    detail: Detail,
) -> Result<(Vec<Option<Listed>>, usize), StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM documents WHERE database = ?1 AND id = ?2"
    ))?;
    let mut rows = Vec::new();
    let mut bytes = 0;
    for id in ids {
        let found = match id {
            Some(id) => statement.query_row((database, id), columns).optional()?,
            None => None,
        };
        let row = match found {
            // A tombstone has no document here, as in CouchDB.
            Some(columns) if columns.2 => {
                Some(listed(connection, columns, Detail { documents: false, ..detail })?)
            }
            Some(columns) => Some(listed(connection, columns, detail)?),
            None => None,
        };
        bytes += row.as_ref().and_then(|row| row.document.as_deref()).map_or(0, str::len);
        rows.push(row);
        if rows.len() >= PAGE_ROWS || bytes > PAGE_BYTES {
            break;
        }
    }
    let count = rows.len();
    Ok((rows, count))
}

fn listed(
    connection: &Connection,
    (id, revision, deleted, body, tree): Columns,
    detail: Detail,
) -> Result<Listed, StoreError> {
    let document = if detail.documents {
        Some(document(connection, &id, &revision, deleted, body, &tree, detail)?)
    } else {
        None
    };
    Ok(Listed { id, revision, deleted, document })
}

fn document(
    connection: &Connection,
    id: &str,
    revision: &str,
    deleted: bool,
    body: Option<i64>,
    tree: &[u8],
    detail: Detail,
) -> Result<Box<str>, StoreError> {
    let body = body.ok_or(StoreError::Damaged("a leaf has no body"))?;
    let body = body::get(connection, body)?;
    if !detail.conflicts && !detail.attachments {
        return Ok(row::render(id, &revision, deleted, &body));
    }
    let winner: Revision =
        revision.parse().map_err(|_| StoreError::Damaged("a revision cannot be read"))?;
    let found = read::found(connection, winner, deleted, body, detail.attachments)?;
    let mut render = found.render(id);
    if detail.conflicts {
        let tree = codec::decode(tree)?;
        let conflicts = tree.conflicts(false);
        if !conflicts.is_empty() {
            render.member("_conflicts", &conflicts);
        }
    }
    Ok(String::from_utf8(render.finish()).unwrap_or_default().into())
}

/// Some changes of a database.
#[derive(Clone, Debug)]
pub(crate) struct Changes {
    /// Those that the filter wants.
    pub(crate) changes: Vec<Arc<Change>>,
    /// Everything up to here was looked at.
    pub(crate) position: Sequence,
    /// There may be more after `position`.
    pub(crate) more: bool,
}

/// Which changes to read.
#[derive(Clone, Debug)]
pub(crate) struct ChangesRange {
    /// After this one; with `descending`, before it.
    pub(crate) position: Sequence,
    /// What was committed before: a page that comes to the end of the changes goes up to here at least. It may go
    /// further, for a document that changed since has its only place there.
    pub(crate) until: Sequence,
    pub(crate) descending: bool,
    /// How many the filter may let through.
    pub(crate) limit: u64,
}

/// The next changes that the filter wants.
pub(super) fn changes(
    connection: &Connection,
    database: i64,
    range: &ChangesRange,
    filter: &Filter,
    detail: Detail,
) -> Result<Changes, StoreError> {
    let sql = if range.descending {
        format!(
            "SELECT {COLUMNS}, sequence FROM documents WHERE database = ?1 AND sequence < ?2 \
             ORDER BY sequence DESC LIMIT ?3"
        )
    } else {
        format!(
            "SELECT {COLUMNS}, sequence FROM documents WHERE database = ?1 AND sequence > ?2 \
             ORDER BY sequence LIMIT ?3"
        )
    };
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query((database, range.position, PAGE_ROWS))?;
    let mut page = Changes { changes: Vec::new(), position: range.position, more: true };
    let (mut bytes, mut rows) = (0, 0);
    while let Some(row) = found.next()? {
        let columns = columns(row)?;
        page.position = row.get(5)?;
        rows += 1;
        if filter.wants_id(&columns.0) {
            let change = change(connection, page.position, columns, filter, detail)?;
            if filter.wants(&change) {
                bytes += change.weight();
                page.changes.push(Arc::new(change));
            }
        }
        let full = u64::try_from(page.changes.len()).is_ok_and(|count| count >= range.limit);
        if bytes > PAGE_BYTES || full {
            return Ok(page);
        }
    }
    page.more = rows == PAGE_ROWS;
    if !page.more && !range.descending {
        page.position = range.until.max(page.position);
    }
    Ok(page)
}

fn change(
    connection: &Connection,
    sequence: Sequence,
    (id, revision, deleted, body, tree): Columns,
    filter: &Filter,
    detail: Detail,
) -> Result<Change, StoreError> {
    let text = if detail.documents || filter.reads_documents() {
        Some(document(connection, &id, &revision, deleted, body, &tree, detail)?)
    } else {
        None
    };
    let leaves = if detail.leaves {
        let tree = codec::decode(&tree)?;
        tree.leaves().iter().map(|leaf| leaf.revision.to_string()).collect()
    } else {
        vec![revision]
    };
    Ok(Change::new(sequence, &id, deleted, leaves, text))
}

/// How many changes lie after `position`, counted up to [`PENDING_MAX`].
pub(super) fn pending(
    connection: &Connection,
    database: i64,
    position: Sequence,
) -> Result<u64, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) FROM (SELECT 1 FROM documents INDEXED BY changes \
         WHERE database = ?1 AND sequence > ?2 LIMIT ?3)",
    )?;
    Ok(statement.query_row((database, position, PENDING_MAX), |row| row.get(0))?)
}
