//! Which indexes are open, where their files are, and when these are removed.

use super::{
    design::Group,
    index::{self, Index},
};
use crate::{error::StoreError, sequence::Identity};
use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::task::JoinSet;

/// How many indexes of a store on disk are open at once: each has three files and 24 MiB of memory at
/// most. One that nobody uses is closed for another.
const OPEN_MAX: usize = 64;

/// The directory of the indexes, beside the store's file.
const DIRECTORY: &str = "views";

/// How the name of an index ends.
const SUFFIX: &str = ".sqlite";

/// An index by its database and its group's signature.
type Key = (u64, String);

/// The indexes of a store.
#[derive(Debug)]
pub(crate) struct Views {
    /// None in memory.
    directory: Option<PathBuf>,
    open: tokio::sync::Mutex<HashMap<Key, Arc<Index>>>,
    /// Updates that go on although nobody waits for them.
    work: Mutex<JoinSet<()>>,
}

impl Views {
    /// Opens nothing yet. `store` is the directory of the store, None for one in memory.
    pub(crate) fn new(store: Option<&Path>) -> Views {
        Views {
            directory: store.map(|directory| directory.join(DIRECTORY)),
            open: tokio::sync::Mutex::new(HashMap::new()),
            work: Mutex::new(JoinSet::new()),
        }
    }

    /// The index of a group.
    pub(crate) async fn index(
        &self,
        identity: Identity,
        group: &Group,
    ) -> Result<Arc<Index>, StoreError> {
        let key = (identity.0, group.signature.clone());
        let mut open = self.open.lock().await;
        if let Some(index) = open.get(&key) {
            return Ok(Arc::clone(index));
        }
        if self.directory.is_some() && open.len() >= OPEN_MAX {
            let unused = open.iter().find(|(_, index)| Arc::strong_count(index) == 1);
            if let Some(unused) = unused.map(|(key, _)| key.clone()) {
                open.remove(&unused);
            }
        }
        let file = self.directory.as_ref().map(|directory| {
            directory.join(format!("{:016x}-{}{SUFFIX}", identity.0, group.signature))
        });
        let (directory, group) = (self.directory.clone(), group.clone());
        let work = move || {
            if let Some(directory) = directory {
                make(&directory)?;
            }
            Index::open(file, identity, group).map(Arc::new)
        };
        let index = tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)??;
        open.insert(key, Arc::clone(&index));
        Ok(index)
    }

    /// Removes an index that cannot be read; the next who asks makes it again.
    pub(crate) async fn discard(&self, identity: Identity, damaged: &Arc<Index>) {
        let key = (identity.0, damaged.group.signature.clone());
        let mut open = self.open.lock().await;
        // Not the one that somebody made in its place already.
        if open.get(&key).is_some_and(|index| Arc::ptr_eq(index, damaged)) {
            open.remove(&key);
            if let Some(file) = &damaged.file {
                index::remove(file);
            }
        }
    }

    /// Does work that nobody waits for; it ends with the last holder of the indexes at the latest.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(work);
    }

    /// Removes the indexes of a database but those of these groups.
    pub(crate) async fn keep(&self, identity: Identity, signatures: &HashSet<String>) {
        let wanted =
            |one: u64, signature: &str| one != identity.0 || signatures.contains(signature);
        let mut open = self.open.lock().await;
        open.retain(|(one, signature), _| wanted(*one, signature));
        self.sweep(wanted).await;
    }

    /// Removes the indexes of a database that is gone.
    pub(crate) async fn forget(&self, identity: Identity) {
        self.keep(identity, &HashSet::new()).await;
    }

    /// Removes the indexes of databases that are not among these.
    pub(crate) async fn keep_databases(&self, known: HashSet<u64>) {
        self.sweep(|one, _| known.contains(&one)).await;
    }

    async fn sweep(&self, wanted: impl Fn(u64, &str) -> bool) {
        let Some(directory) = self.directory.clone() else { return };
        let list = || std::fs::read_dir(directory).into_iter().flatten().flatten().collect();
        let files: Vec<std::fs::DirEntry> =
            tokio::task::spawn_blocking(list).await.unwrap_or_default();
        let unwanted = files.into_iter().filter_map(|file| {
            let name = file.file_name();
            let (identity, signature) = parts(name.to_str()?)?;
            (!wanted(identity, signature)).then(|| file.path())
        });
        let unwanted: Vec<PathBuf> = unwanted.collect();
        let work = move || unwanted.iter().for_each(|path| index::remove(path));
        if tokio::task::spawn_blocking(work).await.is_err() {
            tracing::error!("removing indexes of views panicked");
        }
    }
}

/// The database and the signature in the name of an index.
fn parts(name: &str) -> Option<(u64, &str)> {
    let (identity, signature) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    Some((u64::from_str_radix(identity, 16).ok()?, signature))
}

/// Makes the directory for this user alone, as the store's own is.
fn make(directory: &Path) -> Result<(), StoreError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory).map_err(|error| {
        let directory = directory.display();
        StoreError::Failed(format!("the directory {directory} cannot be made: {error}").into())
    })
}
