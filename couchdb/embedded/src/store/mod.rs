//! The store: databases and documents in SQLite, behind one writer.
//!
//! Read in this order: [`engine`] (threads, group commit), [`transaction`] (what a commit makes
//! visible), [`edit`], [`row`] and [`purge`] (what a write does), [`read`] and [`list`] (what a reader gets),
//! [`schema`] (tables), [`chores`] (what happens in idle time). Nothing here knows HTTP.

mod body;
mod chores;
pub(crate) mod database;
pub(crate) mod databases;
pub(crate) mod edit;
mod engine;
mod idle;
pub(crate) mod list;
pub(crate) mod local;
mod lock;
mod open;
pub(crate) mod purge;
pub(crate) mod preview;
pub(crate) mod read;
mod row;
mod schema;
pub(crate) mod transaction;

pub(crate) use schema::CHUNK_BYTES;

use crate::{
    error::{OpenError, StoreError},
    feed::filter::Filter,
    options::{Options, Storage},
    revision::Revision,
    sequence::Sequence,
    stats::Stats,
};
use database::{Catalog, Database};
use list::{Changes, ChangesRange, Detail, Listed, Page, Range};
use local::Local;
use read::{Document, Missing, Which};
use std::sync::Arc;
use transaction::{Shared, Transaction};

/// An open store.
///
/// It holds its directory until the last [`Arc`] of it is dropped, which waits for writes that were
/// already given to it.
pub struct Store {
    // Dropped in this order: the threads close their connections before the directory is let go.
    engine: engine::Engine,
    shared: Arc<Shared>,
    options: Options,
    uuid: String,
    /// None in memory.
    directory: Option<std::path::PathBuf>,
    cookie_secret: String,
    _lock: Option<lock::DirectoryLock>,
}

impl std::fmt::Debug for Store {
    /// Without the secret of its cookies.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("uuid", &self.uuid).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens a store, and makes it when the directory is empty or missing.
    ///
    /// Blocks while files are read; a store of any size opens in milliseconds unless its last process
    /// was killed in the middle of much work.
    ///
    /// # Errors
    ///
    /// Each variant of [`OpenError`] names the file or directory and what to do next.
    pub fn open(storage: Storage, options: Options) -> Result<Arc<Store>, OpenError> {
        open::open(storage, options).map(Arc::new)
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// What tells this store from others: the `uuid` of `GET /`.
    pub(crate) fn uuid(&self) -> &str {
        &self.uuid
    }

    /// Where its files are; None in memory.
    pub(crate) fn directory(&self) -> Option<&std::path::Path> {
        self.directory.as_deref()
    }

    /// What session cookies are signed with.
    pub(crate) fn cookie_secret(&self) -> &str {
        &self.cookie_secret
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.shared.catalog
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    /// Whether its threads still run; when one of them has died, only a new start helps.
    pub(crate) fn is_alive(&self) -> bool {
        self.engine.is_alive() && self.shared.herald.is_alive()
    }

    /// Runs a write; see [`engine::Engine::write`].
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.engine.write(write).await
    }

    /// Reads a document; None when its id is unknown.
    pub(crate) async fn document(
        &self,
        database: &Database,
        id: String,
        which: Which,
        with_data: bool,
    ) -> Result<Option<Document>, StoreError> {
        let key = database.key;
        self.engine.read(move |sql| read::document(sql, key, id, which, with_data)).await
    }

    /// What the writer would make of each of the edits, which are given back.
    pub(crate) async fn preview(
        &self,
        database: &Database,
        edits: Vec<edit::Edit>,
    ) -> Result<Vec<(edit::Edit, preview::Seen)>, StoreError> {
        let key = database.key;
        let look = move |sql: &rusqlite::Connection| {
            let one = |edit| Ok((preview::preview(sql, key, &edit)?, edit));
            let seen = edits.into_iter().map(one).collect::<Result<Vec<_>, StoreError>>()?;
            Ok(seen.into_iter().map(|(seen, edit)| (edit, seen)).collect())
        };
        self.engine.read(look).await
    }

    /// What of each document's revisions is not here.
    pub(crate) async fn missing(
        &self,
        database: &Database,
        asked: Vec<(String, Vec<Revision>)>,
    ) -> Result<Vec<(String, Missing)>, StoreError> {
        let key = database.key;
        let compare = move |sql: &rusqlite::Connection| {
            let one = |(id, revisions): (String, Vec<Revision>)| {
                let missing = read::missing(sql, key, &id, revisions)?;
                Ok((id, missing))
            };
            asked.into_iter().map(one).collect()
        };
        self.engine.read(compare).await
    }

    /// A page of living documents.
    pub(crate) async fn range(
        &self,
        database: &Database,
        range: Range,
        skip: u64,
        limit: u64,
        detail: Detail,
    ) -> Result<Page, StoreError> {
        let key = database.key;
        self.engine.read(move |sql| list::range(sql, key, &range, skip, limit, detail)).await
    }

    /// How many living documents a range has, when that is cheap to count.
    pub(crate) async fn count(
        &self,
        database: &Database,
        range: Range,
    ) -> Result<Option<u64>, StoreError> {
        let key = database.key;
        self.engine.read(move |sql| list::count(sql, key, &range)).await
    }

    /// The documents of the first of these ids: as many as fit a page.
    pub(crate) async fn keys(
        &self,
        database: &Database,
        ids: Vec<Option<String>>,
        detail: Detail,
    ) -> Result<(Vec<Option<Listed>>, usize), StoreError> {
        let key = database.key;
        self.engine.read(move |sql| list::keys(sql, key, &ids, detail)).await
    }

    /// A page of changes.
    pub(crate) async fn changes(
        &self,
        database: &Database,
        range: ChangesRange,
        filter: Arc<Filter>,
        detail: Detail,
    ) -> Result<Changes, StoreError> {
        let key = database.key;
        self.engine.read(move |sql| list::changes(sql, key, &range, &filter, detail)).await
    }

    /// How many changes lie after `position`.
    pub(crate) async fn pending(
        &self,
        database: &Database,
        position: Sequence,
    ) -> Result<u64, StoreError> {
        let key = database.key;
        self.engine.read(move |sql| list::pending(sql, key, position)).await
    }

    /// A `_local` document.
    pub(crate) async fn local(
        &self,
        database: &Database,
        id: String,
    ) -> Result<Option<Local>, StoreError> {
        let key = database.key;
        self.engine.read(move |sql| local::get(sql, key, &id)).await
    }

    /// A page of `_local` documents; without their text unless it is wanted.
    pub(crate) async fn locals(
        &self,
        database: &Database,
        range: Range,
        skip: u64,
        limit: u64,
        with_text: bool,
    ) -> Result<Vec<Local>, StoreError> {
        let key = database.key;
        self.engine.read(move |sql| local::list(sql, key, &range, skip, limit, with_text)).await
    }

    /// The purges after this purge sequence: a page of them, none at the end.
    pub(crate) async fn purges(
        &self,
        database: &Database,
        after: Sequence,
    ) -> Result<purge::History, StoreError> {
        let key = database.key;
        self.engine.read(move |sql| purge::history(sql, key, after)).await
    }

    /// A piece of an attachment.
    pub(crate) async fn chunk(&self, blob: i64, number: i64) -> Result<Vec<u8>, StoreError> {
        self.engine.read(move |sql| body::chunk(sql, blob, number)).await
    }
}

#[cfg(test)]
mod tests;
