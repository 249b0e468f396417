//! The rows of a view as they are, with their documents if those are asked for.

use super::{View, options::Asked};
use crate::{
    document::render,
    error::StoreError,
    http::{
        call::Server,
        reply::{self, Broken, Pieces},
    },
    store::{
        database::Database,
        list::{Detail, PAGE_ROWS},
        read::{Opened, Which},
    },
    view::{
        index::{Counts, Index, counts, sequence},
        range::{self, Page, Range, Row},
    },
};
use serde_json::Value;
use std::{collections::VecDeque, sync::Arc};

/// Where the reading of some spans has come to.
#[derive(Debug)]
struct Cursor {
    view: usize,
    spans: VecDeque<Range>,
    skip: u64,
    limit: u64,
}

impl Cursor {
    /// The next rows, from as many spans as a page has room for.
    fn next(&mut self, sql: &rusqlite::Connection) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        while self.limit > 0 && rows.len() < PAGE_ROWS {
            // How much of several spans is skipped only their rows can tell.
            let dropped = if self.spans.len() > 1 { 0 } else { std::mem::take(&mut self.skip) };
            let Some(span) = self.spans.front_mut() else { break };
            let wanted = self.limit.saturating_add(self.skip);
            let Page { rows: found, more } = range::page(sql, self.view, span, dropped, wanted)?;
            match found.last() {
                Some(last) if more => span.go_on_after(last),
                _ => drop(self.spans.pop_front()),
            }
            let count = u64::try_from(found.len()).unwrap_or(u64::MAX);
            let skipped = self.skip.min(count);
            self.skip -= skipped;
            let kept = found.into_iter().skip(usize::try_from(skipped).unwrap_or(usize::MAX));
            let before = rows.len();
            rows.extend(kept.take(usize::try_from(self.limit).unwrap_or(usize::MAX)));
            let taken = u64::try_from(rows.len() - before).unwrap_or(u64::MAX);
            self.limit = self.limit.saturating_sub(taken);
            if more {
                break;
            }
        }
        Ok(rows)
    }

    fn is_done(&self) -> bool {
        self.limit == 0 || self.spans.is_empty()
    }
}

/// An answer that has begun: its head and its first rows are read.
///
/// No connection is held while a client takes what it was sent: a slow one is in nobody's way.
pub(super) struct Rows {
    index: Arc<Index>,
    cursor: Cursor,
    head: Vec<u8>,
    first: Vec<Row>,
    detail: Option<Detail>,
}

/// Reads the head and the first rows.
pub(super) async fn begin(
    view: &View,
    database: &Database,
    asked: Asked,
) -> Result<Rows, StoreError> {
    let Asked {
        spans, by_keys, limit, skip, include_docs, attachments, conflicts, update_seq, ..
    } = asked;
    let detail =
        include_docs.then_some(Detail { documents: true, conflicts, attachments, leaves: false });
    let shards = database.shards;
    let place = view.place;
    let mut cursor = Cursor { view: place, spans: spans.clone().into(), skip, limit };
    let read = move |sql: &rusqlite::Connection| {
        let Counts { rows: total, .. } = counts(sql, place)?;
        let before = match spans.as_slice() {
            [one] if !by_keys => range::count(sql, place, &one.before())?,
            _ => before_keys(sql, place, &spans, shards)?,
        };
        let offset = before.map(|before| before.saturating_add(skip).min(total));
        let first = cursor.next(sql)?;
        Ok((total, offset, sequence(sql)?, cursor, first))
    };
    let ((total, offset, sequence, cursor, first), _) =
        view.index.reader().await?.run(read).await?;
    let mut head = Vec::from(b"{\"total_rows\":");
    render::append(&mut head, &total);
    head.extend_from_slice(b",\"offset\":");
    render::append(&mut head, &offset);
    if update_seq {
        head.extend_from_slice(b",\"update_seq\":");
        render::append(&mut head, &database.token(sequence));
    }
    head.extend_from_slice(b",\"rows\":[");
    Ok(Rows { index: Arc::clone(&view.index), cursor, head, first, detail })
}

impl Rows {
    /// Writes everything.
    pub(super) async fn write(
        self,
        server: &Server,
        database: &Database,
        pieces: &Pieces,
        text: &mut Vec<u8>,
    ) -> Result<(), Broken> {
        let Rows { index, mut cursor, head, first, detail } = self;
        text.extend_from_slice(&head);
        let mut rows = first;
        let mut separator: &[u8] = b"\n";
        loop {
            // Documents are read a few at a time, so that memory is bounded by a page of them.
            let mut rest = rows.into_iter();
            loop {
                let some: Vec<Row> = rest.by_ref().take(DOCUMENTS_AT_ONCE).collect();
                if some.is_empty() {
                    break;
                }
                let documents = match detail {
                    None => Vec::new(),
                    Some(detail) => {
                        let read = documents(server, database, &some, detail).await;
                        read.map_err(|_| Broken)?
                    }
                };
                for (index, row) in some.iter().enumerate() {
                    text.extend_from_slice(separator);
                    separator = b",\n";
                    write_row(text, row, documents.get(index).map(Option::as_deref));
                    reply::flush(pieces, text, false).await?;
                }
            }
            if cursor.is_done() {
                break;
            }
            let read = move |sql: &rusqlite::Connection| {
                let rows = cursor.next(sql)?;
                Ok((rows, cursor))
            };
            let reader = index.reader().await.map_err(|_| Broken)?;
            ((rows, cursor), _) = reader.run(read).await.map_err(|_| Broken)?;
        }
        text.extend_from_slice(b"\n]}");
        Ok(())
    }
}

/// How many documents are in memory at once.
const DOCUMENTS_AT_ONCE: usize = 100;

fn write_row(text: &mut Vec<u8>, row: &Row, document: Option<Option<&str>>) {
    text.extend_from_slice(b"{\"id\":");
    render::append(text, &row.id);
    text.extend_from_slice(b",\"key\":");
    text.extend_from_slice(row.emitted.as_bytes());
    text.extend_from_slice(b",\"value\":");
    text.extend_from_slice(row.value.as_bytes());
    if let Some(document) = document {
        text.extend_from_slice(b",\"doc\":");
        text.extend_from_slice(document.unwrap_or("null").as_bytes());
    }
    text.push(b'}');
}

/// The document of each row, or the one that its value names.
async fn documents(
    server: &Server,
    database: &Database,
    rows: &[Row],
    detail: Detail,
) -> Result<Vec<Option<Box<str>>>, StoreError> {
    let mut found: Vec<Option<Box<str>>> = vec![None; rows.len()];
    // Linked documents come without what is asked for those of the rows themselves.
    let plain = Detail { documents: true, ..Detail::default() };
    let (mut own, mut linked) = (Vec::new(), Vec::new());
    for (index, row) in rows.iter().enumerate() {
        match link(&row.value) {
            None => own.push((index, Some(row.id.clone()))),
            Some((None, None)) => own.push((index, Some(row.id.clone()))),
            Some((Some(Value::String(id)), None)) => linked.push((index, Some(id))),
            Some((id, Some(revision))) => {
                let id = match id {
                    None => row.id.clone(),
                    Some(Value::String(id)) => id,
                    Some(_) => continue,
                };
                found[index] = one(server, database, id, &revision).await?;
            }
            // A link that is no text leads nowhere.
            Some((Some(_), None)) => {}
        }
    }
    for (mut wanted, detail) in [(own, detail), (linked, plain)] {
        while !wanted.is_empty() {
            let ids = wanted.iter().map(|(_, id)| id.clone()).collect();
            let (listed, count) = server.store.keys(database, ids, detail).await?;
            for ((index, _), listed) in wanted.drain(..count).zip(listed) {
                found[index] = listed.and_then(|listed| listed.document);
            }
        }
    }
    Ok(found)
}

/// `_id` and `_rev` of a value that is an object.
fn link(value: &str) -> Option<(Option<Value>, Option<String>)> {
    if !value.starts_with('{') {
        return None;
    }
    let mut value: Value = serde_json::from_str(value).ok()?;
    let id = value.get_mut("_id").map(Value::take);
    let revision = value.get("_rev").and_then(Value::as_str).map(str::to_owned);
    Some((id, revision))
}

/// A revision of a document.
async fn one(
    server: &Server,
    database: &Database,
    id: String,
    revision: &str,
) -> Result<Option<Box<str>>, StoreError> {
    let Ok(revision) = revision.parse() else { return Ok(None) };
    let which = Which::These { revisions: vec![revision], latest: false };
    let read = server.store.document(database, id, which, false).await?;
    let Some(document) = read else { return Ok(None) };
    let opened = document.revisions.first();
    Ok(opened.and_then(|opened| match opened {
        Opened::Found(found) => {
            let text = found.render(&document.id).finish();
            String::from_utf8(text).ok().map(String::into_boxed_str)
        }
        Opened::Missing(_) => None,
    }))
}

/// The offset of rows that are asked for by keys: in CouchDB each shard begins to count at the first
/// key that it has, and the counts are added up. It says nothing, but clients compare it.
fn before_keys(
    sql: &rusqlite::Connection,
    view: usize,
    spans: &[Range],
    shards: u32,
) -> Result<Option<u64>, StoreError> {
    let mut waiting: Vec<u32> = (0..shards.max(1)).collect();
    let mut offset = 0;
    for (index, span) in spans.iter().enumerate() {
        let is_last = index + 1 == spans.len();
        let Some(here) = range::ids(sql, view, span)? else { return Ok(None) };
        let found = |shard: &u32| is_last || here.iter().any(|id| shard_of(id, shards) == *shard);
        let begun: Vec<u32> = waiting.iter().copied().filter(found).collect();
        if begun.is_empty() {
            continue;
        }
        waiting.retain(|shard| !begun.contains(shard));
        let Some(before) = range::ids(sql, view, &span.before())? else { return Ok(None) };
        let theirs = before.iter().filter(|id| begun.contains(&shard_of(id, shards)));
        offset += u64::try_from(theirs.count()).unwrap_or(u64::MAX);
        if waiting.is_empty() {
            break;
        }
    }
    Ok(Some(offset))
}

/// Which shard a CouchDB keeps a document in.
fn shard_of(id: &str, shards: u32) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(id.as_bytes());
    let shards = shards.max(1);
    // The last one has what the division leaves.
    let width = (1_u64 << 32) / u64::from(shards);
    u32::try_from(u64::from(crc.sum()) / width).unwrap_or(u32::MAX).min(shards - 1)
}
