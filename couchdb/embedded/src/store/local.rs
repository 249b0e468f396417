//! `_local` documents: checkpoints of replicators and engines. They have no revision tree and no
//! conflicts, the last writer wins; they are in no feed and no listing of documents.

use super::{
    database::Database,
    list::{self, PAGE_BYTES, PAGE_ROWS, Range, SKIP_MAX},
    transaction::Transaction,
};
use crate::{document::render::Render, error::StoreError};
use rusqlite::{Connection, OptionalExtension as _};
use std::sync::Arc;

/// A `_local` document as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Local {
    /// The full id, with `_local/`.
    pub(crate) id: String,
    /// The N of its revision `0-N`.
    pub(crate) revision: u64,
    /// The user's members.
    pub(crate) text: String,
}

impl Local {
    /// The document as a client reads it.
    pub(crate) fn render(&self) -> Vec<u8> {
        Render::new(&self.id, &format_args!("0-{}", self.revision)).body(&self.text).finish()
    }
}

/// Writes the document over whatever is there. A client that names a revision gets the next one.
pub(crate) fn put(
    transaction: &mut Transaction<'_>,
    database: &Arc<Database>,
    local: &Local,
) -> Result<(), StoreError> {
    transaction.state(database)?;
    let mut statement = transaction.connection.prepare_cached(
        "INSERT OR REPLACE INTO locals (database, id, revision, text) VALUES (?1, ?2, ?3, ?4)",
    )?;
    statement.execute((database.key, &local.id, local.revision, &local.text))?;
    Ok(())
}

/// Removes the document; false when it is not there.
pub(crate) fn delete(
    transaction: &mut Transaction<'_>,
    database: &Arc<Database>,
    id: &str,
) -> Result<bool, StoreError> {
    transaction.state(database)?;
    let mut statement = transaction
        .connection
        .prepare_cached("DELETE FROM locals WHERE database = ?1 AND id = ?2")?;
    Ok(statement.execute((database.key, id))? > 0)
}

pub(super) fn get(
    connection: &Connection,
    database: i64,
    id: &str,
) -> Result<Option<Local>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT revision, text FROM locals WHERE database = ?1 AND id = ?2")?;
    let found = statement
        .query_row((database, id), |row| {
            Ok(Local { id: id.to_owned(), revision: row.get(0)?, text: row.get(1)? })
        })
        .optional()?;
    Ok(found)
}

/// The first `_local` documents of the range, after `skip` others: as many as fit a page, none at the
/// end. Without `with_text` their text is left empty.
pub(super) fn list(
    connection: &Connection,
    database: i64,
    range: &Range,
    skip: u64,
    limit: u64,
    with_text: bool,
) -> Result<Vec<Local>, StoreError> {
    let text = if with_text { "text" } else { "''" };
    let (condition, from, to) = list::ids(range);
    let order = if range.descending { "DESC" } else { "ASC" };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT id, revision, {text} FROM locals WHERE {condition} \
         ORDER BY id {order} LIMIT ?4 OFFSET ?5"
    ))?;
    let wanted = limit.min(u64::try_from(PAGE_ROWS).unwrap_or(u64::MAX));
    let mut found = statement.query((database, from, to, wanted, skip.min(SKIP_MAX)))?;
    let mut page = Vec::new();
    let mut bytes = 0;
    while bytes <= PAGE_BYTES
        && let Some(row) = found.next()?
    {
        let local = Local { id: row.get(0)?, revision: row.get(1)?, text: row.get(2)? };
        bytes += local.text.len();
        page.push(local);
    }
    Ok(page)
}
