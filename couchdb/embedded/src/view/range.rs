//! Reading the rows of a view between two places, a bounded page at a time.

use crate::{
    error::StoreError,
    store::list::{COUNT_MAX, PAGE_BYTES, PAGE_ROWS},
};
use rusqlite::{Connection, types::Value};

/// One end of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// Nothing lies beyond.
    Open,
    /// At the rows of a key, with them or without.
    Key { key: Vec<u8>, inclusive: bool },
    /// At the rows of a document among those of a key.
    Document { key: Vec<u8>, id: String, inclusive: bool },
    /// Beside this row.
    Row { key: Vec<u8>, id: String, number: i64 },
}

/// Rows between two edges, from `low` upwards or from `high` downwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) low: Edge,
    pub(crate) high: Edge,
    pub(crate) descending: bool,
}

/// A row of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) key: Vec<u8>,
    pub(crate) id: String,
    pub(crate) number: i64,
    pub(crate) emitted: String,
    pub(crate) value: String,
}

/// Some rows.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) rows: Vec<Row>,
    /// There may be more.
    pub(crate) more: bool,
}

impl Range {
    /// What is left after this row.
    pub(crate) fn go_on_after(&mut self, row: &Row) {
        let next = Edge::Row { key: row.key.clone(), id: row.id.clone(), number: row.number };
        if self.descending { self.high = next } else { self.low = next }
    }

    /// What lies before the range in the direction of reading.
    pub(crate) fn before(&self) -> Range {
        let (low, high) = if self.descending {
            (self.high.beyond(), Edge::Open)
        } else {
            (Edge::Open, self.low.beyond())
        };
        // Nothing lies beyond an open end: an empty key is below every one.
        let nothing = if self.descending { &self.high } else { &self.low } == &Edge::Open;
        let high = if nothing { Edge::Key { key: Vec::new(), inclusive: false } } else { high };
        Range { low, high, descending: false }
    }
}

impl Edge {
    /// The same edge, seen from the other side.
    fn beyond(&self) -> Edge {
        let mut other = self.clone();
        match &mut other {
            Edge::Key { inclusive, .. } | Edge::Document { inclusive, .. } => {
                *inclusive = !*inclusive;
            }
            Edge::Open | Edge::Row { .. } => {}
        }
        other
    }

    /// Rows of one document and one key are in the order of their numbers in both directions.
    fn condition(&self, sign: char, values: &mut Vec<Value>) -> String {
        let equal = |inclusive: &bool| if *inclusive { "=" } else { "" };
        match self {
            Edge::Open => String::new(),
            Edge::Key { key, inclusive } => {
                values.push(key.clone().into());
                format!(" AND key {sign}{} ?", equal(inclusive))
            }
            Edge::Document { key, id, inclusive } => {
                values.push(key.clone().into());
                values.push(id.clone().into());
                format!(" AND (key, id) {sign}{} (?, ?)", equal(inclusive))
            }
            Edge::Row { key, id, number } => {
                values.push(key.clone().into());
                values.push(id.clone().into());
                if sign == '>' {
                    values.push((*number).into());
                    return String::from(" AND (key, id, number) > (?, ?, ?)");
                }
                values.push(key.clone().into());
                values.push(id.clone().into());
                values.push((*number).into());
                String::from(
                    " AND (key, id) <= (?, ?) AND NOT (key = ? AND id = ? AND number <= ?)",
                )
            }
        }
    }
}

fn condition(view: usize, range: &Range) -> (String, Vec<Value>) {
    let mut values = vec![Value::from(i64::try_from(view).unwrap_or(i64::MAX))];
    let low = range.low.condition('>', &mut values);
    let high = range.high.condition('<', &mut values);
    (format!("view = ?{low}{high}"), values)
}

/// The first rows of a range, after `skip` others.
pub(crate) fn page(
    connection: &Connection,
    view: usize,
    range: &Range,
    skip: u64,
    limit: u64,
) -> Result<Page, StoreError> {
    let (condition, mut values) = condition(view, range);
    let order = if range.descending { "DESC" } else { "ASC" };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT key, id, number, emitted, value FROM rows WHERE {condition} \
         ORDER BY key {order}, id {order}, number LIMIT ? OFFSET ?"
    ))?;
    let wanted = limit.min(u64::try_from(PAGE_ROWS).unwrap_or(u64::MAX));
    values.push(i64::try_from(wanted).unwrap_or(i64::MAX).into());
    values.push(i64::try_from(skip).unwrap_or(i64::MAX).into());
    let mut found = statement.query(rusqlite::params_from_iter(values))?;
    let mut page = Page::default();
    let mut bytes = 0;
    while let Some(row) = found.next()? {
        let row = Row {
            key: row.get(0)?,
            id: row.get(1)?,
            number: row.get(2)?,
            emitted: row.get(3)?,
            value: row.get(4)?,
        };
        bytes += row.key.len() + row.id.len() + row.emitted.len() + row.value.len();
        page.rows.push(row);
        if bytes > PAGE_BYTES {
            page.more = true;
            return Ok(page);
        }
    }
    page.more = u64::try_from(page.rows.len()) == Ok(wanted);
    Ok(page)
}

/// A row where it lies in the index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowRef<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) id: &'a str,
    pub(crate) number: i64,
    pub(crate) emitted: &'a str,
    pub(crate) value: &'a str,
}

impl RowRef<'_> {
    /// The edge beside this row.
    pub(crate) fn edge(&self) -> Edge {
        Edge::Row { key: self.key.to_vec(), id: self.id.to_owned(), number: self.number }
    }
}

/// Looks at the rows of a range until `look` has enough; whether it saw all of them.
pub(crate) fn scan<E: From<StoreError>>(
    connection: &Connection,
    view: usize,
    range: &Range,
    mut look: impl FnMut(RowRef<'_>) -> Result<bool, E>,
) -> Result<bool, E> {
    let (condition, values) = condition(view, range);
    let order = if range.descending { "DESC" } else { "ASC" };
    let mut statement = connection
        .prepare_cached(&format!(
            "SELECT key, id, number, emitted, value FROM rows WHERE {condition} \
             ORDER BY key {order}, id {order}, number"
        ))
        .map_err(StoreError::from)?;
    let found = statement.query(rusqlite::params_from_iter(values));
    let mut found = found.map_err(StoreError::from)?;
    while let Some(row) = found.next().map_err(StoreError::from)? {
        let row = borrow(row).map_err(StoreError::from)?;
        if !look(row)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn borrow<'a>(row: &'a rusqlite::Row<'_>) -> rusqlite::Result<RowRef<'a>> {
    Ok(RowRef {
        key: row.get_ref(0)?.as_blob()?,
        id: row.get_ref(1)?.as_str()?,
        number: row.get(2)?,
        emitted: row.get_ref(3)?.as_str()?,
        value: row.get_ref(4)?.as_str()?,
    })
}

/// How many rows a range has; None above [`COUNT_MAX`].
pub(crate) fn count(
    connection: &Connection,
    view: usize,
    range: &Range,
) -> Result<Option<u64>, StoreError> {
    let (condition, mut values) = condition(view, range);
    let mut statement = connection.prepare_cached(&format!(
        "SELECT count(*) FROM (SELECT 1 FROM rows WHERE {condition} LIMIT ?)"
    ))?;
    values.push(i64::try_from(COUNT_MAX + 1).unwrap_or(i64::MAX).into());
    let count: u64 = statement.query_row(rusqlite::params_from_iter(values), |row| row.get(0))?;
    Ok((count <= COUNT_MAX).then_some(count))
}

/// The documents of the rows of a range, each as often as it has rows; None above [`COUNT_MAX`].
pub(crate) fn ids(
    connection: &Connection,
    view: usize,
    range: &Range,
) -> Result<Option<Vec<String>>, StoreError> {
    let (condition, mut values) = condition(view, range);
    let mut statement =
        connection.prepare_cached(&format!("SELECT id FROM rows WHERE {condition} LIMIT ?"))?;
    values.push(i64::try_from(COUNT_MAX + 1).unwrap_or(i64::MAX).into());
    let found = statement.query_map(rusqlite::params_from_iter(values), |row| row.get(0))?;
    let ids = found.collect::<Result<Vec<String>, _>>()?;
    Ok((u64::try_from(ids.len()).unwrap_or(u64::MAX) <= COUNT_MAX).then_some(ids))
}
