//! `_all_docs`, `_design_docs` and `_local_docs`: living documents, or `_local` ones, in the order of their
//! ids.

use super::{
    asked::{self, Asked},
    call::{Call, Server},
    reply::{self, Broken, Handled, Pieces},
};
use crate::{
    document::render,
    error::StoreError,
    store::{
        database::Database,
        list::{Detail, End, Listed, Page, Range},
        local::Local,
    },
};
use http::StatusCode;
use serde_json::Value;
use std::sync::Arc;

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Documents,
    Designs,
    Locals,
}

/// One list: `_all_docs`, `_design_docs` or `_local_docs`.
pub(crate) async fn list(call: &Call, database: &Arc<Database>, kind: Kind) -> Handled {
    let asked = kind.narrow(asked::read(call).await?);
    let (server, database) = (Arc::clone(&call.server), Arc::clone(database));
    Ok(reply::produced(StatusCode::OK, "application/json", async move |pieces| {
        let work = async {
            let mut text = Vec::new();
            kind.write(&server, &database, asked, &pieces, &mut text).await?;
            text.push(b'\n');
            reply::flush(&pieces, &mut text, true).await
        };
        if work.await.is_err() {
            drop(pieces.send(Err(Broken)).await);
        }
    }))
}

/// `queries` below one of them: several lists in one answer.
pub(crate) async fn queries(call: &Call, database: &Arc<Database>, kind: Kind) -> Handled {
    let all = asked::read_queries(call).await?;
    let (server, database) = (Arc::clone(&call.server), Arc::clone(database));
    Ok(reply::produced(StatusCode::OK, "application/json", async move |pieces| {
        let work = async {
            let mut text = Vec::from(b"{\"results\":[\n");
            for (index, one) in all.into_iter().enumerate() {
                if index > 0 {
                    text.extend_from_slice(b",\n");
                }
                kind.write(&server, &database, kind.narrow(one), &pieces, &mut text).await?;
            }
            text.extend_from_slice(b"\n]}\n");
            reply::flush(&pieces, &mut text, true).await
        };
        if work.await.is_err() {
            drop(pieces.send(Err(Broken)).await);
        }
    }))
}

/// The ids of design documents. `0` is the character after `/`.
fn designs() -> Range {
    Range {
        low: End::At(String::from("_design/")),
        high: End::Beside(String::from("_design0")),
        descending: false,
    }
}

impl Kind {
    /// Keeps a list of design documents or of `_local` ones among them.
    fn narrow(self, mut asked: Asked) -> Asked {
        let prefix = match self {
            Kind::Documents => "",
            Kind::Designs => "_design/",
            Kind::Locals => "_local/",
        };
        let is_one = |key: &Value| {
            prefix.is_empty() || key.as_str().is_some_and(|id| id.starts_with(prefix))
        };
        asked.keys.iter_mut().for_each(|keys| keys.retain(is_one));
        if self == Kind::Designs {
            let all = designs();
            let before = |id: &String| id.as_str() < "_design/";
            match &asked.range.low {
                End::First => asked.range.low = all.low,
                End::At(id) | End::Beside(id) if before(id) => asked.range.low = all.low,
                _ => {}
            }
            match &asked.range.high {
                End::Last => asked.range.high = all.high,
                End::At(id) | End::Beside(id) if id.as_str() >= "_design0" => {
                    asked.range.high = all.high;
                }
                _ => {}
            }
        }
        asked
    }

    /// Writes `{"total_rows": .., "offset": .., "rows": [..]}`.
    async fn write(
        self,
        server: &Server,
        database: &Arc<Database>,
        asked: Asked,
        pieces: &Pieces,
        text: &mut Vec<u8>,
    ) -> Result<(), Broken> {
        let state = database.state();
        let count = async |range| server.store.count(database, range).await.map_err(|_| Broken);
        let total = match self {
            Kind::Documents => Some(state.documents),
            Kind::Designs => count(designs()).await?,
            // As in CouchDB these are not counted, and are no part of any sequence.
            Kind::Locals => None,
        };
        let offset = if self == Kind::Locals || asked.keys.is_some() {
            None
        } else {
            // Of design documents too, CouchDB counts all documents that come before.
            let before = count(before(&asked.range)).await?;
            before.map(|before| before.saturating_add(asked.skip).min(total.unwrap_or(u64::MAX)))
        };
        text.extend_from_slice(b"{\"total_rows\":");
        render::append(text, &total);
        text.extend_from_slice(b",\"offset\":");
        render::append(text, &offset);
        if asked.update_seq {
            let sequence = (self != Kind::Locals).then(|| database.token(state.sequence));
            text.extend_from_slice(b",\"update_seq\":");
            render::append(text, &sequence);
        }
        text.extend_from_slice(b",\"rows\":[");
        match asked.keys.clone() {
            Some(keys) => self.write_keys(server, database, &asked, keys, pieces, text).await?,
            None => self.write_range(server, database, asked, pieces, text).await?,
        }
        text.extend_from_slice(b"\n]}");
        Ok(())
    }

    /// A page of the range.
    async fn page(
        self,
        server: &Server,
        database: &Database,
        range: Range,
        skip: u64,
        limit: u64,
        detail: Detail,
    ) -> Result<Page, StoreError> {
        if self != Kind::Locals {
            return server.store.range(database, range, skip, limit, detail).await;
        }
        let locals = server.store.locals(database, range, skip, limit, detail.documents).await?;
        let rows: Vec<Listed> = locals.iter().map(|local| listed(local, detail)).collect();
        Ok(Page { more: !rows.is_empty(), rows })
    }

    /// The documents of the first of these keys, and how many keys that were.
    async fn of_keys(
        self,
        server: &Server,
        database: &Database,
        keys: &[Value],
        detail: Detail,
    ) -> Result<(Vec<Option<Listed>>, usize), StoreError> {
        let mut ids = keys.iter().map(|key| key.as_str().map(str::to_owned));
        if self != Kind::Locals {
            let ids = ids.take(KEYS_AT_ONCE).collect();
            return server.store.keys(database, ids, detail).await;
        }
        // One at a time: each may be as large as a document.
        let id = ids.next().flatten().unwrap_or_default();
        let local = server.store.local(database, id).await?;
        Ok((vec![local.map(|local| listed(&local, detail))], 1))
    }

    async fn write_range(
        self,
        server: &Server,
        database: &Arc<Database>,
        asked: Asked,
        pieces: &Pieces,
        text: &mut Vec<u8>,
    ) -> Result<(), Broken> {
        let Asked { mut range, mut skip, mut limit, detail, .. } = asked;
        let mut first = true;
        while limit > 0 {
            let page = self.page(server, database, range.clone(), skip, limit, detail).await;
            let page = page.map_err(|_| Broken)?;
            let Some(last) = page.rows.last() else { break };
            let next = End::Beside(last.id.clone());
            if range.descending {
                range.high = next;
            } else {
                range.low = next;
            }
            skip = 0;
            limit = limit.saturating_sub(u64::try_from(page.rows.len()).unwrap_or(u64::MAX));
            for row in page.rows {
                let key = Value::from(row.id.as_str());
                write_row(text, std::mem::take(&mut first), &key, Some(&row), detail);
                reply::flush(pieces, text, false).await?;
            }
            if !page.more {
                break;
            }
        }
        Ok(())
    }

    async fn write_keys(
        self,
        server: &Server,
        database: &Arc<Database>,
        asked: &Asked,
        mut keys: Vec<Value>,
        pieces: &Pieces,
        text: &mut Vec<u8>,
    ) -> Result<(), Broken> {
        if asked.range.descending {
            keys.reverse();
        }
        let skip = usize::try_from(asked.skip).unwrap_or(usize::MAX).min(keys.len());
        keys.drain(..skip);
        keys.truncate(usize::try_from(asked.limit).unwrap_or(usize::MAX));
        let mut first = true;
        while !keys.is_empty() {
            let read = self.of_keys(server, database, &keys, asked.detail).await;
            let (rows, count) = read.map_err(|_| Broken)?;
            for (key, row) in keys.iter().zip(&rows) {
                write_row(text, std::mem::take(&mut first), key, row.as_ref(), asked.detail);
                reply::flush(pieces, text, false).await?;
            }
            keys.drain(..count);
        }
        Ok(())
    }
}

/// What lies before the range in the direction of reading.
fn before(range: &Range) -> Range {
    let beside = |end: &End| match end {
        End::At(id) => End::Beside(id.clone()),
        // What follows an excluded end begins with the end itself.
        End::Beside(id) => End::At(id.clone()),
        other => other.clone(),
    };
    let mut all = Range { low: End::First, high: End::Last, descending: false };
    if range.descending {
        all.low = beside(&range.high);
    } else {
        all.high = beside(&range.low);
    }
    all
}

/// How many keys are handed to the store in one read.
const KEYS_AT_ONCE: usize = 500;

/// A `_local` document as a row of a list.
fn listed(local: &Local, detail: Detail) -> Listed {
    let document = detail
        .documents
        .then(|| String::from_utf8(local.render()).unwrap_or_default().into_boxed_str());
    let revision = format!("0-{}", local.revision);
    Listed { id: local.id.clone(), revision, deleted: false, document }
}

fn write_row(text: &mut Vec<u8>, first: bool, key: &Value, row: Option<&Listed>, detail: Detail) {
    text.extend_from_slice(if first { b"\n" } else { b",\n" });
    let Some(row) = row else {
        text.extend_from_slice(b"{\"key\":");
        render::append(text, key);
        text.extend_from_slice(b",\"error\":\"not_found\"}");
        return;
    };
    text.extend_from_slice(b"{\"id\":");
    render::append(text, &row.id);
    text.extend_from_slice(b",\"key\":");
    render::append(text, key);
    text.extend_from_slice(b",\"value\":{\"rev\":");
    render::append(text, &row.revision);
    text.extend_from_slice(if row.deleted { b",\"deleted\":true}" } else { b"}" });
    if detail.documents {
        text.extend_from_slice(b",\"doc\":");
        text.extend_from_slice(row.document.as_deref().unwrap_or("null").as_bytes());
    }
    text.push(b'}');
}
