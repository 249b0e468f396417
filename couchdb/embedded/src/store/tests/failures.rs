//! What holds when the disk is full, a commit fails or a thread dies: nothing half stored, nothing
//! told that is not so, and work goes on where it can.

use super::{hold_writer, new_document, put, stores};
use crate::{
    error::StoreError,
    store::{
        Store,
        database::Database,
        databases, edit,
        edit::{Edit, Kind, Outcome},
        read::Which,
        transaction::Transaction,
    },
};
use std::sync::Arc;

async fn is_there(store: &Store, database: &Database, id: &str) -> bool {
    store.document(database, id.to_owned(), Which::Winner, false).await.unwrap().is_some()
}

/// Lets the file grow by this many pages from now on.
fn leave_pages(transaction: &Transaction<'_>, count: i64) {
    let sql = transaction.connection;
    let pages: i64 = sql.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    sql.pragma_update(None, "max_page_count", pages + count).unwrap();
}

/// A document that does not fit into the pages that are left.
fn large_document(id: &str) -> Edit {
    let mut large = new_document(id);
    if let Kind::Update { text, .. } = &mut large.kind {
        *text = format!("{{\"n\":\"{}\"}}", "x".repeat(200_000));
    }
    large
}

#[tokio::test]
async fn a_full_disk_fails_a_whole_commit_and_nothing_after_it() {
    for (_directory, store, database) in stores().await {
        assert!(matches!(put(&store, &database, "a").await, Outcome::Stored(_)));
        let before = database.state();
        let (release, held) = hold_writer(&store).await;
        let apply = |one: Edit, full: bool| {
            let database = Arc::clone(&database);
            store.write(move |tx| {
                if full {
                    leave_pages(tx, 2);
                }
                edit::apply(tx, &database, one)
            })
        };
        let batch = async {
            tokio::join!(
                apply(new_document("first"), false),
                apply(large_document("too large"), true),
                apply(new_document("last"), false),
            )
        };
        tokio::pin!(batch);
        assert!(futures_util::poll!(batch.as_mut()).is_pending());
        drop(release);
        let (first, full, last) = batch.await;
        held.await.unwrap();
        for answer in [first, full, last] {
            assert!(matches!(answer, Err(StoreError::Full)), "{answer:?}");
        }
        assert_eq!(database.state(), before);
        for id in ["first", "too large", "last"] {
            assert!(!is_there(&store, &database, id).await, "{id} is half stored");
        }
        // Still full: refused again, and again nothing is kept.
        let again = apply(large_document("too large"), false).await;
        assert!(matches!(again, Err(StoreError::Full)), "{again:?}");
        // There is room again.
        let room = store.write(|tx| {
            leave_pages(tx, 1_000_000);
            Ok(())
        });
        room.await.unwrap();
        for id in ["first", "too large", "last"] {
            assert!(matches!(put(&store, &database, id).await, Outcome::Stored(_)), "{id}");
        }
        let after = database.state();
        assert_eq!((after.sequence, after.documents), (before.sequence + 3, before.documents + 3));
    }
}

#[tokio::test]
async fn a_compaction_whose_request_fails_does_not_run() {
    for (_directory, store, database) in stores().await {
        let asked = Arc::clone(&database);
        let failed = store.write(move |tx| -> Result<(), StoreError> {
            databases::compact(tx, &asked)?;
            Err(StoreError::Damaged("for this test"))
        });
        assert!(failed.await.is_err());
        assert!(!database.is_compacting());
        // A later one is not taken for a second.
        let (release, held) = hold_writer(&store).await;
        let asked = Arc::clone(&database);
        let compact = store.write(move |tx| databases::compact(tx, &asked));
        drop(release);
        compact.await.unwrap();
        held.await.unwrap();
        while database.is_compacting() {
            tokio::task::yield_now().await;
        }
    }
}

/// Only in memory, where reads have the writer's connection.
#[tokio::test]
async fn a_compaction_that_cannot_be_committed_changes_no_number() {
    let (_directory, store, database) = stores().await.remove(0);
    let Outcome::Stored(first) = put(&store, &database, "a").await else { panic!("not stored") };
    let mut second = new_document("a");
    if let Kind::Update { parent, .. } = &mut second.kind {
        parent.push(first);
    }
    let for_second = Arc::clone(&database);
    store.write(move |tx| edit::apply(tx, &for_second, second)).await.unwrap();
    // From here on no commit that rewrites a tree succeeds.
    let forbid = store.engine.read(|sql| {
        sql.pragma_update(None, "foreign_keys", true)?;
        Ok(sql.execute_batch(
            "CREATE TABLE parents (key INTEGER PRIMARY KEY);
             CREATE TABLE children (
                 parent INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED
             );
             CREATE TRIGGER forbid AFTER UPDATE OF tree ON documents
             BEGIN INSERT INTO children VALUES (1); END;",
        )?)
    });
    forbid.await.unwrap();
    let before = database.state();
    let compact = async || {
        let asked = Arc::clone(&database);
        store.write(move |tx| databases::compact(tx, &asked)).await.unwrap();
        while database.is_compacting() {
            tokio::task::yield_now().await;
        }
    };
    compact().await;
    assert_eq!(database.state(), before);
    let allow = store.engine.read(|sql| Ok(sql.execute_batch("DROP TRIGGER forbid")?));
    allow.await.unwrap();
    compact().await;
    assert_eq!(database.state().bytes, before.bytes / 2);
}

#[tokio::test]
async fn a_store_whose_writer_died_says_so() {
    for (_directory, store, _database) in stores().await {
        assert!(store.is_alive());
        let died = store.write(|_| -> Result<(), StoreError> { panic!("for this test") }).await;
        assert!(matches!(died, Err(StoreError::Closed)), "{died:?}");
        // The queue is closed while the thread unwinds.
        while store.is_alive() {
            tokio::task::yield_now().await;
        }
    }
}
