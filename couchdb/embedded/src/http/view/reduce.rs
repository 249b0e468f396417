//! The rows of a view put together: one value for all of them, or one for each group.
//!
//! A page of groups is computed at a time, from one state of the index. What is in memory is a page of
//! rows and a page of values, however many rows there are.

use super::{
    View, ViewError,
    options::{Asked, Level},
};
use crate::{
    document::{check::NotJson, object::elements, render},
    http::{
        call::Server,
        reply::{self, Broken, Pieces},
    },
    script::Scripts,
    store::database::Database,
    view::{
        collation::Collation,
        design::Reduce,
        index::{Index, Reader, sequence},
        range::{self, Range},
        reduce::{Accumulator, Reduction},
    },
};
use serde_json::value::RawValue;
use std::{collections::VecDeque, sync::Arc};

/// How many groups are computed before they are sent.
pub(super) const GROUPS_AT_ONCE: usize = 200;

/// Where the reading of some spans has come to.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    pub(super) view: usize,
    collation: Collation,
    level: Level,
    pub(super) spans: VecDeque<Range>,
    /// Groups that are still to be left out.
    skip: u64,
    pub(super) limit: u64,
}

/// An answer that has begun.
pub(super) struct Groups {
    index: Arc<Index>,
    cursor: Cursor,
    how: Reduce,
    head: Vec<u8>,
    first: Vec<String>,
}

/// Computes the first groups.
pub(super) async fn begin(
    view: &View,
    how: Reduce,
    server: &Server,
    database: &Database,
    asked: Asked,
) -> Result<Groups, ViewError> {
    let mut cursor = Cursor {
        view: view.place,
        collation: view.collation(),
        level: asked.level.unwrap_or(Level::All),
        spans: asked.spans.into(),
        skip: asked.skip,
        limit: asked.limit,
    };
    let (sequence, reader) = view.index.reader().await?.run(sequence).await?;
    let mut head = Vec::from(b"{");
    if asked.update_seq {
        head.extend_from_slice(b"\"update_seq\":");
        render::append(&mut head, &database.token(sequence));
        head.push(b',');
    }
    head.extend_from_slice(b"\"rows\":[");
    let first = next(reader, &mut cursor, &how, &server.scripts).await?;
    Ok(Groups { index: Arc::clone(&view.index), cursor, how, head, first })
}

impl Groups {
    /// Writes everything.
    pub(super) async fn write(
        self,
        server: &Server,
        pieces: &Pieces,
        text: &mut Vec<u8>,
    ) -> Result<(), Broken> {
        let Groups { index, mut cursor, how, head, first } = self;
        text.extend_from_slice(&head);
        let mut rows = first;
        let mut separator: &[u8] = b"\n";
        loop {
            for row in rows {
                text.extend_from_slice(separator);
                separator = b",\n";
                text.extend_from_slice(row.as_bytes());
                reply::flush(pieces, text, false).await?;
            }
            if cursor.is_done() {
                break;
            }
            let reader = index.reader().await.map_err(|_| Broken)?;
            let read = next(reader, &mut cursor, &how, &server.scripts).await;
            rows = read.map_err(|error| {
                tracing::warn!(%error, "the answer of a reduced view was cut off");
                Broken
            })?;
        }
        text.extend_from_slice(b"\n]}");
        Ok(())
    }
}

/// The next groups as rows of JSON.
async fn next(
    reader: Reader,
    cursor: &mut Cursor,
    how: &Reduce,
    scripts: &Scripts,
) -> Result<Vec<String>, ViewError> {
    match how {
        Reduce::Builtin(reduction) => {
            // CouchDB compares keys for these, so that the direction of reading changes nothing.
            let reduction = match (reduction, cursor.is_descending()) {
                (Reduction::First, true) => Reduction::Last,
                (Reduction::Last, true) => Reduction::First,
                (other, _) => other.clone(),
            };
            let mut moved = cursor.clone();
            let work = move |sql: &rusqlite::Connection| {
                let rows = moved.builtin(sql, &reduction);
                Ok((rows, moved))
            };
            let ((rows, moved), _) = reader.run(work).await?;
            *cursor = moved;
            rows
        }
        Reduce::Script(function) => {
            let reader = reader.hold().await?;
            cursor.script(reader, function, scripts).await
        }
    }
}

/// A group that is being put together.
pub(super) struct Group {
    /// The bytes that its keys begin with.
    pub(super) place: Vec<u8>,
    pub(super) key: String,
}

impl Cursor {
    fn is_done(&self) -> bool {
        self.limit == 0 || self.spans.is_empty()
    }

    fn is_descending(&self) -> bool {
        self.spans.front().is_some_and(|span| span.descending)
    }

    /// The bytes that tell the group of a key.
    pub(super) fn place<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        match self.level {
            Level::All => &[],
            Level::Exact => key,
            Level::Elements(count) => self.collation.prefix(key, count).unwrap_or(key),
        }
    }

    pub(super) fn group(&self, key: &[u8], emitted: &str) -> Result<Group, NotJson> {
        let place = self.place(key).to_vec();
        let text = match self.level {
            Level::All => String::from("null"),
            Level::Elements(count) if emitted.starts_with('[') => {
                let list: &RawValue = serde_json::from_str(emitted).map_err(|_| NotJson)?;
                let list = elements(list).ok_or(NotJson)?;
                let first: Vec<&str> = list.iter().take(count).map(|value| value.get()).collect();
                format!("[{}]", first.join(","))
            }
            Level::Exact | Level::Elements(_) => emitted.to_owned(),
        };
        Ok(Group { place, key: text })
    }

    /// Whether the group that ends is one to tell; counts it.
    pub(super) fn wants(&mut self) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.limit = self.limit.saturating_sub(1);
        true
    }

    fn builtin(
        &mut self,
        sql: &rusqlite::Connection,
        reduction: &Reduction,
    ) -> Result<Vec<String>, ViewError> {
        let mut rows = Vec::new();
        while let Some(span) = self.spans.front().cloned()
            && self.limit > 0
            && rows.len() < GROUPS_AT_ONCE
        {
            let mut open: Option<(Group, Accumulator)> = None;
            let mut last = None;
            let cursor = &mut *self;
            let whole = range::scan(sql, cursor.view, &span, |row| {
                if let Some((group, _)) = &open
                    && cursor.place(row.key) != group.place
                    && let Some((group, accumulator)) = open.take()
                    && cursor.wants()
                {
                    rows.push(row_of(&group.key, &accumulator.finish()?));
                    if rows.len() >= GROUPS_AT_ONCE || cursor.limit == 0 {
                        return Ok::<_, ViewError>(false);
                    }
                }
                if open.is_none() {
                    let group = cursor.group(row.key, row.emitted)?;
                    open = Some((group, Accumulator::new(reduction)));
                }
                // A group that is left out needs no value.
                if cursor.skip == 0
                    && let Some((_, accumulator)) = &mut open
                {
                    accumulator.add(row.emitted, row.value)?;
                }
                last = Some(row.edge());
                Ok(true)
            })?;
            if whole {
                self.spans.pop_front();
                if let Some((group, accumulator)) = open
                    && self.wants()
                {
                    rows.push(row_of(&group.key, &accumulator.finish()?));
                }
            } else if let (Some(last), Some(span)) = (last, self.spans.front_mut()) {
                if span.descending { span.high = last } else { span.low = last }
            }
        }
        Ok(rows)
    }
}

pub(super) fn row_of(key: &str, value: &str) -> String {
    format!("{{\"key\":{key},\"value\":{value}}}")
}
