//! Bringing an index up to date: the changes since its sequence, through the map functions, into rows.
//!
//! Changes are taken a page at a time, and each page is one transaction of the index, so that memory is
//! bounded however much is to be done, and what was done is kept when somebody stops it. While one page
//! is written the next one is mapped.

use super::{
    collation::Collation,
    design::{Group, View},
    index::{Batch, Index, NewRow, counts},
    reduce::{BadValue, check_stats},
};
use crate::{
    error::StoreError,
    feed::{change::Change, filter::Filter},
    script::{Emitted, ScriptError, Scripts},
    sequence::Sequence,
    store::{
        Store,
        database::{Database, State},
        list::{ChangesRange, Detail},
        read::Which,
    },
};
use std::sync::Arc;

/// How many changes are mapped and written together.
const CHANGES_AT_ONCE: u64 = 500;

/// Why an index is not up to date.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum UpdateError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Script(#[from] ScriptError),
    #[error(transparent)]
    Value(#[from] BadValue),
}

/// Whether the index has everything that the database has in this state, and nothing that was purged.
///
/// The sequence alone does not tell: a purge that comes while the index is brought up to date moves the
/// sequence, and what was purged may be in the rows already.
pub(crate) async fn is_current(index: &Index, state: &State) -> Result<bool, StoreError> {
    Ok(index.sequence().await? == state.sequence && index.purged().await? == state.purge_sequence)
}

/// Brings the index to the database's present sequence, or further. Those who call it at the same time
/// wait for the one that works, and then have nothing left to do.
pub(crate) async fn update(
    index: &Index,
    store: &Store,
    database: &Database,
    scripts: &Scripts,
) -> Result<(), UpdateError> {
    let group = &index.group;
    let until = database.state().sequence;
    let _alone = index.updating.lock().await;
    let mut position = index.sequence().await?;
    let now = database.state();
    if position > until.max(now.sequence) || index.purged().await? > now.purge_sequence {
        // The store is an older copy than the one that the rows are from.
        index.clear().await?;
        position = 0;
    }
    let after = index.purged().await?;
    let purges = purges(store, database, after, position).await?;
    if !purges.complete && position > 0 {
        index.clear().await?;
        position = 0;
    }
    if purges.until != after {
        let purged = Some(purges.until);
        let batch = Batch { removed: purges.ids, purged, ..Batch::default() };
        index.apply(batch, position, position).await?;
    }
    let mut waiting: Option<(Batch, Sequence)> = None;
    let mut read = position;
    while read < until || waiting.is_some() {
        let write = async {
            match waiting.take() {
                None => Ok(position),
                Some((batch, to)) => index.apply(batch, position, to).await.map(|()| to),
            }
        };
        let map = async {
            if read >= until {
                Ok(None)
            } else {
                next(group, store, database, scripts, read).await.map(Some)
            }
        };
        let (written, mapped) = tokio::join!(write, map);
        position = written?;
        if let Some((batch, to)) = mapped? {
            read = to;
            waiting = Some((batch, to));
        }
    }
    check(index).await
}

/// What was purged since an index looked last: no change tells of it.
struct Purges {
    /// The documents that were named. Those that survive in another revision are among the changes.
    ids: Vec<String>,
    /// The purge sequence up to which this goes.
    until: Sequence,
    /// No purge after the one that was asked for is forgotten. When one is, the index is made again.
    complete: bool,
}

/// Reads the purges after a purge sequence. `position` is the sequence of the index's rows.
async fn purges(
    store: &Store,
    database: &Database,
    after: Sequence,
    position: Sequence,
) -> Result<Purges, StoreError> {
    let mut found = Purges { ids: Vec::new(), until: after, complete: true };
    loop {
        let page = store.purges(database, found.until).await?;
        found.complete &= page.complete;
        let Some(last) = page.purges.last() else { return Ok(found) };
        found.until = last.sequence;
        for purge in page.purges {
            let id = purge.id.clone();
            let document = store.document(database, id, Which::Winner, false).await?;
            // One that was named with revisions that it did not have stays as it was.
            if document.is_none_or(|document| document.sequence > position) {
                found.ids.push(purge.id);
            }
        }
    }
}

/// The rows of the next changes, and up to where these go.
async fn next(
    group: &Group,
    store: &Store,
    database: &Database,
    scripts: &Scripts,
    position: Sequence,
) -> Result<(Batch, Sequence), UpdateError> {
    let until = database.state().sequence;
    let range = ChangesRange { position, until, descending: false, limit: CHANGES_AT_ONCE };
    let detail = Detail { documents: true, conflicts: true, ..Detail::default() };
    let page = store.changes(database, range, Arc::new(Filter::All), detail).await?;
    let mut batch = Batch::default();
    let (mut ids, mut documents) = (Vec::new(), Vec::new());
    for change in page.changes {
        batch.removed.push(change.id.to_string());
        let is_design = change.id.starts_with("_design/");
        if !change.deleted && (group.include_design || !is_design) {
            ids.push(change.id.to_string());
            documents.push(text(group, &change));
        }
    }
    if documents.is_empty() || group.views.is_empty() {
        return Ok((batch, page.position));
    }
    let mapped = scripts.map(&group.design, documents).await?;
    let views = group.views.clone();
    let work = move || {
        for (id, emitted) in ids.into_iter().zip(mapped) {
            for (view, rows) in emitted.into_iter().enumerate() {
                let Some(how) = views.get(view) else { continue };
                add(&mut batch, *how, view, &id, rows)?;
            }
        }
        Ok::<_, BadValue>(batch)
    };
    let batch = tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)??;
    Ok((batch, page.position))
}

/// A document as map functions see it.
fn text(group: &Group, change: &Change) -> Box<str> {
    let text = change.document.as_deref().unwrap_or("null");
    match text.strip_suffix('}') {
        Some(open) if group.local_sequence => {
            format!("{open},\"_local_seq\":{}}}", change.sequence).into()
        }
        _ => text.into(),
    }
}

/// Adds the rows of one document in one view. Those of one key are in the order of their values as
/// Erlang has it, whatever the order in which they were emitted: so CouchDB stores them.
fn add(
    batch: &mut Batch,
    how: View,
    view: usize,
    id: &str,
    rows: Vec<Emitted>,
) -> Result<(), BadValue> {
    let mut placed = Vec::with_capacity(rows.len());
    for row in rows {
        if how.has_stats {
            check_stats(&row.value)?;
        }
        // Deeper than 128 levels there is no order of keys: such a row is left out.
        let Ok(place) = how.collation.encode(&row.key) else { continue };
        placed.push((place, row));
    }
    if placed.len() > 1 {
        placed.sort_by_cached_key(|(place, row)| {
            let value = Collation::Raw.encode(&row.value).unwrap_or_default();
            (place.clone(), value)
        });
    }
    for (number, (key, Emitted { key: emitted, value })) in placed.into_iter().enumerate() {
        batch.rows.push(NewRow { view, key, id: id.to_owned(), number, emitted, value });
    }
    Ok(())
}

/// CouchDB reduces while it indexes, and refuses the whole group when that fails.
pub(crate) async fn check(index: &Index) -> Result<(), UpdateError> {
    let group = &index.group;
    let sums: Vec<usize> =
        (0..group.views.len()).filter(|view| group.views[*view].has_sum).collect();
    if sums.is_empty() {
        return Ok(());
    }
    let look = move |sql: &rusqlite::Connection| {
        let counts = sums.into_iter().map(|view| counts(sql, view));
        counts.collect::<Result<Vec<_>, _>>()
    };
    let (counted, _) = index.reader().await?.run(look).await?;
    if counted.iter().any(|counts| counts.numbers > 0 && counts.objects > 0) {
        let found = String::from("give each kind a view of its own");
        return Err(BadValue::Mixed(found).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        options::{Options, Storage},
        store::{databases, edit, edit::Edit, edit::Kind, purge},
    };
    use serde_json::json;

    /// A purge while an update goes on: the sequence of the index comes to be that of the purge, and the
    /// purged document is in its rows.
    #[tokio::test]
    async fn an_index_that_holds_what_was_purged_is_not_current() {
        let options = Options::default();
        let scripts = Scripts::new();
        let store = Store::open(Storage::Memory, options).unwrap();
        store.write(|tx| databases::create(tx, String::from("db"), 1)).await.unwrap();
        let database = store.catalog().get("db").unwrap();
        let kind = Kind::Merge {
            path: vec!["1-a".parse().unwrap()],
            deleted: false,
            text: String::from("{}"),
            attachments: Vec::new(),
        };
        let one = Arc::clone(&database);
        store
            .write(move |tx| edit::apply(tx, &one, Edit { id: String::from("d"), kind }))
            .await
            .unwrap();
        let group = Group::read(&json!({"views": {"v": {"map": "function () {}"}}})).unwrap();
        let index = Index::open(None, database.identity, group).unwrap();
        let row = NewRow {
            view: 0,
            key: vec![1],
            id: String::from("d"),
            number: 0,
            emitted: "null".into(),
            value: "null".into(),
        };
        let batch = Batch { rows: vec![row], ..Batch::default() };
        index.apply(batch, 0, 1).await.unwrap();
        assert!(is_current(&index, &database.state()).await.unwrap());

        let one = Arc::clone(&database);
        let asked = vec![(String::from("d"), vec!["1-a".parse().unwrap()])];
        store.write(move |tx| purge::purge(tx, &one, asked)).await.unwrap();
        let state = database.state();
        index.apply(Batch::default(), 1, state.sequence).await.unwrap();
        assert!(!is_current(&index, &state).await.unwrap());

        update(&index, &store, &database, &scripts).await.unwrap();
        assert!(is_current(&index, &state).await.unwrap());
        let (rows, _) = index.reader().await.unwrap().run(|sql| counts(sql, 0)).await.unwrap();
        assert_eq!(rows.rows, 0);
    }
}
