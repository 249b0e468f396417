//! What the writer promises: one commit for all that wait, no waiting for readers, nothing half done.

mod books;
mod failures;

use super::{
    Store,
    database::Database,
    databases,
    databases::Created,
    edit,
    edit::{Edit, Kind, Outcome},
    list::{ChangesRange, Detail},
    read::Which,
};
use crate::{
    error::StoreError,
    feed::filter::Filter,
    options::{Options, Storage},
};
use futures_util::future::join_all;
use std::sync::{Arc, mpsc};

/// A store in memory and one on disk, each with the database "db".
async fn stores() -> Vec<(tempfile::TempDir, Arc<Store>, Arc<Database>)> {
    let mut stores = Vec::new();
    for on_disk in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let storage =
            if on_disk { Storage::Directory(directory.path().to_owned()) } else { Storage::Memory };
        let store = Store::open(storage, Options::default()).unwrap();
        let create = store.write(|tx| databases::create(tx, String::from("db"), 1)).await;
        assert_eq!(create.unwrap(), Created::Yes);
        let database = store.catalog().get("db").unwrap();
        stores.push((directory, store, database));
    }
    stores
}

fn new_document(id: &str) -> Edit {
    let kind = Kind::Update {
        parent: Vec::new(),
        unknown_parent: false,
        deleted: false,
        text: String::from("{\"n\":1}"),
        attachments: Vec::new(),
    };
    Edit { id: id.to_owned(), kind }
}

async fn put(store: &Store, database: &Arc<Database>, id: &str) -> Outcome {
    let (database, one) = (Arc::clone(database), new_document(id));
    store.write(move |tx| edit::apply(tx, &database, one)).await.unwrap()
}

/// Holds the writer until the returned sender is dropped.
async fn hold_writer(store: &Arc<Store>) -> (mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
    let (release, held) = mpsc::channel::<()>();
    let (started, has_started) = tokio::sync::oneshot::channel();
    let holder = Arc::clone(store);
    let task = tokio::spawn(async move {
        let hold = holder.write(move |_| {
            started.send(()).unwrap();
            held.recv().unwrap_err();
            Ok(())
        });
        hold.await.unwrap();
    });
    has_started.await.unwrap();
    (release, task)
}

#[tokio::test]
async fn writers_that_wait_share_one_commit() {
    for (_directory, store, database) in stores().await {
        let (release, held) = hold_writer(&store).await;
        let before = store.stats().commits.get();
        let ids: Vec<String> = (0..40).map(|n| n.to_string()).collect();
        let puts = join_all(ids.iter().map(|id| put(&store, &database, id)));
        // The first poll puts all of them into the queue; then the writer may go on.
        tokio::pin!(puts);
        assert!(futures_util::poll!(puts.as_mut()).is_pending());
        drop(release);
        let outcomes = puts.await;
        held.await.unwrap();
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Stored(_))));
        assert_eq!(store.stats().commits.get() - before, 1);
        assert_eq!(database.state().sequence, 40);
    }
}

#[tokio::test]
async fn one_lone_write_is_one_commit_and_a_refused_one_is_none() {
    for (_directory, store, database) in stores().await {
        let before = store.stats().commits.get();
        assert!(matches!(put(&store, &database, "a").await, Outcome::Stored(_)));
        assert_eq!(store.stats().commits.get() - before, 1);
        assert_eq!(put(&store, &database, "a").await, Outcome::Conflict);
        assert_eq!(store.stats().commits.get() - before, 1);
    }
}

#[tokio::test]
async fn a_write_that_fails_undoes_itself_and_no_other() {
    for (_directory, store, database) in stores().await {
        let (release, held) = hold_writer(&store).await;
        let failing = {
            let database = Arc::clone(&database);
            store.write(move |tx| -> Result<(), StoreError> {
                edit::apply(tx, &database, new_document("undone"))?;
                Err(StoreError::Damaged("for this test"))
            })
        };
        let work = async {
            tokio::join!(put(&store, &database, "a"), failing, put(&store, &database, "b"))
        };
        tokio::pin!(work);
        assert!(futures_util::poll!(work.as_mut()).is_pending());
        drop(release);
        let (a, failed, b) = work.await;
        held.await.unwrap();
        assert!(matches!((a, b), (Outcome::Stored(_), Outcome::Stored(_))));
        assert!(failed.is_err());
        let undone = store.document(&database, String::from("undone"), Which::Winner, false);
        assert!(undone.await.unwrap().is_none());
        let state = database.state();
        assert_eq!((state.sequence, state.documents), (2, 2));
    }
}

#[tokio::test]
async fn what_changed_after_a_reader_looked_is_read_at_its_new_place() {
    for (_directory, store, database) in stores().await {
        let Outcome::Stored(first) = put(&store, &database, "a").await else {
            panic!("not stored")
        };
        let until = database.state().sequence;
        put(&store, &database, "b").await;
        let mut again = new_document("a");
        let Kind::Update { parent, .. } = &mut again.kind else { panic!("no update") };
        parent.push(first);
        let of = Arc::clone(&database);
        let stored = store.write(move |tx| edit::apply(tx, &of, again)).await;
        assert!(matches!(stored, Ok(Outcome::Stored(_))), "{stored:?}");
        let range = ChangesRange { position: 0, until, descending: false, limit: u64::MAX };
        let filter = Arc::new(Filter::All);
        let page = store.changes(&database, range, filter, Detail::default()).await.unwrap();
        let ids: Vec<&str> = page.changes.iter().map(|change| &*change.id).collect();
        assert_eq!((ids, page.position, page.more), (vec!["b", "a"], 3, false));
    }
}

#[tokio::test]
async fn a_write_to_a_database_that_was_deleted_meanwhile_is_refused() {
    for (_directory, store, database) in stores().await {
        let deleted = store.write(|tx| databases::delete(tx, "db")).await;
        assert_eq!(deleted.unwrap(), Some(database.identity));
        store.write(|tx| databases::create(tx, String::from("db"), 1)).await.unwrap();
        let (old, one) = (Arc::clone(&database), new_document("a"));
        let written = store.write(move |tx| edit::apply(tx, &old, one)).await;
        assert!(matches!(written, Err(StoreError::DatabaseGone)), "{written:?}");
        let again = store.catalog().get("db").unwrap();
        assert_ne!(again.started_us, database.started_us);
        assert_eq!(again.state().documents, 0);
    }
}

#[tokio::test]
async fn writers_on_disk_do_not_wait_for_readers() {
    let (_directory, store, database) = stores().await.remove(1);
    // Every reading thread is stuck in the middle of a read transaction.
    let mut stuck = Vec::new();
    for _ in 0..super::engine::Engine::readers() {
        let (release, held) = mpsc::channel::<()>();
        let (started, has_started) = tokio::sync::oneshot::channel();
        let reader = Arc::clone(&store);
        let task = tokio::spawn(async move {
            let read = reader.engine.read(move |sql| {
                let snapshot = sql.unchecked_transaction()?;
                let count = || -> rusqlite::Result<i64> {
                    snapshot.query_row("SELECT count(*) FROM documents", [], |row| row.get(0))
                };
                let before = count()?;
                started.send(()).unwrap();
                held.recv().unwrap_err();
                Ok((before, count()?))
            });
            read.await.unwrap()
        });
        has_started.await.unwrap();
        stuck.push((release, task));
    }
    for id in ["a", "b", "c"] {
        assert!(matches!(put(&store, &database, id).await, Outcome::Stored(_)));
    }
    for (release, task) in stuck {
        drop(release);
        assert_eq!(task.await.unwrap(), (0, 0), "a snapshot does not move");
    }
}

#[tokio::test]
async fn removed_databases_and_old_bodies_leave_nothing_behind() {
    for (_directory, store, database) in stores().await {
        for id in 0..250 {
            put(&store, &database, &id.to_string()).await;
        }
        let rewritten = Arc::clone(&database);
        let rewrite = store.write(move |tx| {
            let mut parent = Vec::new();
            for n in 0..50 {
                let text = format!("{{\"n\":{n}}}");
                let attachments = Vec::new();
                let kind = Kind::Update {
                    parent,
                    unknown_parent: false,
                    deleted: false,
                    text,
                    attachments,
                };
                match edit::apply(tx, &rewritten, Edit { id: String::from("often"), kind })? {
                    Outcome::Stored(revision) => parent = vec![revision],
                    other => panic!("{other:?}"),
                }
            }
            Ok(())
        });
        rewrite.await.unwrap();
        let count = async |table: &'static str| {
            let sql = format!("SELECT count(*) FROM {table}");
            let read = store.engine.read(move |connection| {
                Ok(connection.query_row(&sql, [], |row| row.get::<_, usize>(0))?)
            });
            read.await.unwrap()
        };
        // The leaf, the few before it, and one body for each of the others.
        assert_eq!(count("bodies").await, 250 + 1 + super::row::OLD_BODIES_MAX);
        store.write(|tx| databases::delete(tx, "db")).await.unwrap();
        while count("databases").await > super::database::SYSTEM.len() {
            tokio::task::yield_now().await;
        }
        assert_eq!((count("documents").await, count("bodies").await), (0, 0));
    }
}

/// A replica that comes back after more edits than are remembered: what it brings follows what is here.
#[tokio::test]
async fn a_leaf_is_covered_from_beyond_the_limit() {
    for (_directory, store, database) in stores().await {
        let one = Arc::clone(&database);
        let limited = store.write(move |tx| databases::set_revs_limit(tx, &one, 2)).await;
        limited.unwrap();
        for path in ["1-a", "5-e 4-d 3-c 2-b 1-a"] {
            let kind = Kind::Merge {
                path: path.split(' ').map(|revision| revision.parse().unwrap()).collect(),
                deleted: false,
                text: String::from("{}"),
                attachments: Vec::new(),
            };
            let one = Arc::clone(&database);
            let edit = Edit { id: String::from("a"), kind };
            let stored = store.write(move |tx| edit::apply(tx, &one, edit)).await;
            assert!(matches!(stored, Ok(Outcome::Stored(_))), "{stored:?}");
        }
        let read = store.document(&database, String::from("a"), Which::Leaves, false).await;
        let tree = read.unwrap().unwrap().tree;
        let leaves: Vec<_> = tree.leaves().iter().map(|leaf| leaf.revision.to_string()).collect();
        assert_eq!((leaves, tree.nodes().len()), (vec![String::from("5-e")], 2));
        assert_eq!(database.state().superseded, 0);
    }
}
