//! What the CouchDB client promises, told as stories against a running server.
//!
//! `blitz_tests::store()` gives the server: the embedded one, or the Apache CouchDB that
//! `BLITZ_TEST_COUCHDB` names. Each story has a database of its own and is a function of a client, so
//! that other servers can be asked the same. A story that fails leaves its database behind to look at.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails at once")]

use std::collections::BTreeSet;
use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use blitz_couchdb::{
    AllDocs, BulkOutcome, Change, ChangesQuery, Client, Creation, Database, Error, Feed, FeedEvent,
    FollowOptions, Put, PutOptions, Removal, Revision, Sequence,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// How long a story waits for an event of a feed before it says that none came.
const EVENT_MAX: Duration = Duration::from_secs(30);

/// One test for each story, so that a report names them.
macro_rules! stories {
    ($($story:ident),* $(,)?) => {
        mod on_the_store {
            $(#[tokio::test]
            async fn $story() {
                super::$story(blitz_tests::store().await).await;
            })*
        }
    };
}

stories!(
    databases_come_and_go,
    documents_are_written_over_their_revision,
    every_id_names_its_own_document,
    one_of_many_writers_wins,
    a_view_tells_what_its_reduce_says,
    bulk_writes_are_checked_one_by_one,
    listings_are_ranges_or_keys,
    leaves_are_what_is_not_deleted,
    attachments_come_back_byte_by_byte,
    local_documents_take_the_last_word,
    changes_come_in_pages,
    a_feed_resumes_where_another_stopped,
    a_feed_with_a_selector_tells_only_what_matches,
    a_feed_knows_another_database_and_a_deleted_one,
);

/// A database that was made and is deleted, listed and described in between.
pub(crate) async fn databases_come_and_go(client: Client) {
    assert!(!client.server().await.unwrap().version.is_empty());
    let database = client.database(&name("databases+come/and-go"));
    assert_eq!(database.create().await.unwrap(), Creation::Created);
    assert_eq!(database.create().await.unwrap(), Creation::Existed);
    let listed = client.databases().await.unwrap();
    assert!(listed.iter().any(|name| name == database.name()), "{listed:?}");
    let info = database.info().await.unwrap();
    assert_eq!(info.doc_count, 0);
    assert!(!info.instance_start_time.is_empty());
    assert!(info.cluster.n >= 1);
    assert_eq!(database.drop().await.unwrap(), Removal::Dropped);
    assert_eq!(database.drop().await.unwrap(), Removal::Missing);

    is_not_found(database.info().await);
    is_not_found(database.get::<Value>("a").await);
    is_not_found(database.put("a", None, &json!({}), PutOptions::default()).await);
    is_not_found(database.bulk(&[json!({"_id": "a"})]).await);
    is_not_found(database.all_docs::<Value>(&AllDocs::default()).await);
    is_not_found(database.changes(&ChangesQuery::default()).await);
    let refused = client.database("Not/A name").create().await;
    assert!(matches!(refused, Err(Error::Status { code: 400, .. })), "{refused:?}");
}

/// A body type that denies what is not its own.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counter {
    count: u64,
}

/// Create, read, replace, lose the revision check, delete.
pub(crate) async fn documents_are_written_over_their_revision(client: Client) {
    let database = scratch(&client, "documents").await;
    assert_eq!(database.get::<Counter>("a").await.unwrap(), None);
    let first = put(&database, "a", None, &json!({"count": 1})).await;
    assert_eq!(first.generation(), 1);
    let found = database.get::<Counter>("a").await.unwrap().unwrap();
    assert_eq!((found.id.as_str(), &found.revision), ("a", &first));
    assert_eq!(found.body, Counter { count: 1 });

    let second = put(&database, "a", Some(&first), &json!({"count": 2})).await;
    assert_eq!(second.generation(), 2);
    for stale in [None, Some(&first), Some(&"2-0123456789abcdef0123456789abcdef".parse().unwrap())]
    {
        let lost = database.put("a", stale, &json!({"count": 3}), PutOptions::default()).await;
        assert_eq!(lost.unwrap(), Put::Conflict, "over {stale:?}");
    }
    assert_eq!(database.get::<Counter>("a").await.unwrap().unwrap().body, Counter { count: 2 });

    assert_eq!(database.delete("a", &first).await.unwrap(), Put::Conflict);
    assert!(matches!(database.delete("a", &second).await.unwrap(), Put::Created(_)));
    assert_eq!(database.delete("a", &second).await.unwrap(), Put::Conflict);
    assert_eq!(database.get::<Counter>("a").await.unwrap(), None);
    // A deleted document begins anew without a revision, and its generations go on.
    assert!(put(&database, "a", None, &json!({"count": 4})).await.generation() > 2);
    database.drop().await.unwrap();
}

/// Ids with everything that means something in a URL.
pub(crate) async fn every_id_names_its_own_document(client: Client) {
    let database = scratch(&client, "ids").await;
    let ids = [
        "a/b",
        "a%2Fb",
        "pl+us",
        "pl us",
        "100%",
        "q?x=1&y#z",
        "job:run",
        "é日本",
        "\"quoted\"",
        "..",
        "_design/d-1",
    ];
    for id in ids {
        put(&database, id, None, &json!({"named": id})).await;
    }
    for id in ids {
        let found = database.get::<Value>(id).await.unwrap().unwrap();
        assert_eq!((found.id.as_str(), &found.body), (id, &json!({"named": id})));
    }
    let page = database.all_docs::<Value>(&AllDocs::default()).await.unwrap();
    let listed: BTreeSet<_> = page.rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(listed, BTreeSet::from(ids));
    database.drop().await.unwrap();
}

/// The revision check is what claims stand on: of writers at once exactly one is told that it won.
pub(crate) async fn one_of_many_writers_wins(client: Client) {
    let database = scratch(&client, "writers").await;
    for round in 0..5 {
        let id = format!("round-{round}");
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let (database, id) = (database.clone(), id.clone());
                tokio::spawn(async move {
                    let body = json!({"writer": writer});
                    let put = database.put(&id, None, &body, PutOptions::default()).await;
                    (writer, put.unwrap())
                })
            })
            .collect();
        let mut winners = Vec::new();
        for writer in writers {
            let (writer, put) = writer.await.unwrap();
            if put != Put::Conflict {
                winners.push((writer, put));
            }
        }
        let stored = database.get::<Value>(&id).await.unwrap().unwrap();
        let winner = (stored.body["writer"].as_i64().unwrap(), Put::Created(stored.revision));
        assert_eq!(winners, [winner], "in {id}");
    }
    database.drop().await.unwrap();
}

/// A view tells what its reduce says of each key; a row that cannot be reduced is an error, though the answer is 200.
pub(crate) async fn a_view_tells_what_its_reduce_says(client: Client) {
    let database = scratch(&client, "views").await;
    for (id, who, count) in [("a", "ann", 1), ("b", "ann", 2), ("c", "bob", 4)] {
        put(&database, id, None, &json!({"who": who, "count": count})).await;
    }
    let map = "function (doc) { emit(doc.who, doc.count); }";
    let bad = "function (doc) { emit(doc.who, doc.who); }";
    let views =
        json!({"count": {"map": map, "reduce": "_sum"}, "bad": {"map": bad, "reduce": "_sum"}});
    put(&database, "_design/d", None, &json!({"views": views})).await;
    let counts = database.reduced::<String, u64>("_design/d", "count").await.unwrap();
    assert_eq!(counts, [("ann".to_owned(), 3), ("bob".to_owned(), 4)]);
    let error = database.reduced::<String, u64>("_design/d", "bad").await.unwrap_err();
    // A row with a value of another shape, or no answer at all.
    assert!(matches!(&error, Error::Decode { .. } | Error::Status { code: 500, .. }), "{error}");
    let error = database.reduced::<String, u64>("_design/d", "none").await.unwrap_err();
    assert!(matches!(&error, Error::Status { code: 404, .. }), "{error}");
    database.drop().await.unwrap();
}

/// Each document of a bulk write has its own outcome, in the order of the documents.
pub(crate) async fn bulk_writes_are_checked_one_by_one(client: Client) {
    let database = scratch(&client, "bulk").await;
    let first = put(&database, "b", None, &json!({})).await;
    let documents = [
        json!({"_id": "a", "n": 1}),
        json!({"_id": "b", "n": 2}),
        json!({"_id": "b", "_rev": first, "n": 3}),
        json!({"_id": "a", "n": 4}),
    ];
    let rows = database.bulk(&documents).await.unwrap();
    let ids: Vec<_> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "b", "a"]);
    assert!(matches!(&rows[0].outcome, BulkOutcome::Stored(rev) if rev.generation() == 1));
    assert_eq!(rows[1].outcome, BulkOutcome::Conflict);
    assert!(matches!(&rows[2].outcome, BulkOutcome::Stored(rev) if rev.generation() == 2));
    assert_eq!(rows[3].outcome, BulkOutcome::Conflict);
    assert_eq!(database.get::<Value>("b").await.unwrap().unwrap().body, json!({"n": 3}));
    assert_eq!(database.bulk::<Value>(&[]).await.unwrap(), []);
    database.drop().await.unwrap();
}

/// A range has both its ends, from either side; keys also find what is deleted.
pub(crate) async fn listings_are_ranges_or_keys(client: Client) {
    let database = scratch(&client, "listings").await;
    let documents: Vec<_> = ["j1:out.0", "j1:out.1", "j1:run", "j2:run"]
        .iter()
        .map(|id| json!({"_id": id, "of": id}))
        .collect();
    database.bulk(&documents).await.unwrap();
    let deleted = put(&database, "gone", None, &json!({})).await;
    assert!(matches!(database.delete("gone", &deleted).await.unwrap(), Put::Created(_)));

    let ids = async |query: AllDocs| -> Vec<String> {
        let page = database.all_docs::<Value>(&query).await.unwrap();
        page.rows.into_iter().map(|row| row.id).collect()
    };
    let (start, end) = (Some("j1:".to_owned()), Some("j1;".to_owned()));
    let job = AllDocs { start: start.clone(), end: end.clone(), ..AllDocs::default() };
    assert_eq!(ids(job.clone()).await, ["j1:out.0", "j1:out.1", "j1:run"]);
    assert_eq!(ids(AllDocs { limit: Some(1), skip: 1, ..job }).await, ["j1:out.1"]);
    let down = AllDocs { start: end, end: start, descending: true, ..AllDocs::default() };
    assert_eq!(ids(down).await, ["j1:run", "j1:out.1", "j1:out.0"]);
    let end = Some("j1:run".to_owned());
    let open = AllDocs { end, exclusive_end: true, ..AllDocs::default() };
    assert_eq!(ids(open).await, ["j1:out.0", "j1:out.1"]);

    let keys = ["j2:run", "never", "gone", "j1:run"].map(str::to_owned).to_vec();
    let query = AllDocs { keys: Some(keys), include_docs: true, ..AllDocs::default() };
    let page = database.all_docs::<Value>(&query).await.unwrap();
    let rows: Vec<_> = page.rows.iter().map(|row| (&*row.id, row.deleted, &row.doc)).collect();
    let (second, first) = (Some(json!({"of": "j2:run"})), Some(json!({"of": "j1:run"})));
    assert_eq!(
        rows,
        [("j2:run", false, &second), ("gone", true, &None), ("j1:run", false, &first)]
    );
    assert_eq!(page.missing, ["never"]);
    database.drop().await.unwrap();
}

/// Without conflicts there is one leaf; a deleted or unknown document has none.
pub(crate) async fn leaves_are_what_is_not_deleted(client: Client) {
    let database = scratch(&client, "leaves").await;
    let first = put(&database, "a", None, &json!({"count": 1})).await;
    let second = put(&database, "a", Some(&first), &json!({"count": 2})).await;
    let leaves = database.leaves::<Counter>("a", Some(1)).await.unwrap();
    assert_eq!(leaves.len(), 1, "{leaves:?}");
    assert_eq!((&leaves[0].revision, &leaves[0].body), (&second, &Counter { count: 2 }));
    assert!(matches!(database.delete("a", &second).await.unwrap(), Put::Created(_)));
    assert_eq!(database.leaves::<Counter>("a", None).await.unwrap(), []);
    assert_eq!(database.leaves::<Counter>("never", None).await.unwrap(), []);
    database.drop().await.unwrap();
}

/// Bytes of every value, in a size that no buffer has.
pub(crate) async fn attachments_come_back_byte_by_byte(client: Client) {
    let database = scratch(&client, "attachments").await;
    let bytes: Vec<u8> = (0..3_000_017_u32).map(|index| (index % 251).to_le_bytes()[0]).collect();
    let first = put(&database, "a", None, &json!({"count": 1})).await;
    let kind = "application/wasm";
    let attach = async |over: Option<&Revision>| {
        database.put_attachment("a", "x/y.wasm", over, kind, bytes.clone().into()).await.unwrap()
    };
    assert_eq!(attach(None).await, Put::Conflict);
    let Put::Created(second) = attach(Some(&first)).await else { panic!("not attached") };
    assert_eq!(second.generation(), 2);
    let found = database.attachment("a", "x/y.wasm").await.unwrap().unwrap();
    assert!(found == bytes, "{} bytes came back of {}", found.len(), bytes.len());
    assert_eq!(database.get::<Counter>("a").await.unwrap().unwrap().body, Counter { count: 1 });
    assert_eq!(database.attachment("a", "other").await.unwrap(), None);
    assert_eq!(database.attachment("never", "x").await.unwrap(), None);
    let alone = database.put_attachment("b", "x", None, "text/plain", "".into()).await.unwrap();
    assert!(matches!(alone, Put::Created(_)), "{alone:?}");
    assert_eq!(database.attachment("b", "x").await.unwrap().unwrap(), "");
    database.drop().await.unwrap();
}

/// No revision check, not listed, not in feeds.
pub(crate) async fn local_documents_take_the_last_word(client: Client) {
    let database = scratch(&client, "local").await;
    assert_eq!(database.get_local::<Counter>("feed/1").await.unwrap(), None);
    for count in 1..=3_u64 {
        database.put_local("feed/1", &json!({"count": count})).await.unwrap();
        let found = database.get_local::<Counter>("feed/1").await.unwrap();
        assert_eq!(found, Some(Counter { count }));
    }
    assert!(database.all_docs::<Value>(&AllDocs::default()).await.unwrap().rows.is_empty());
    assert!(database.changes(&ChangesQuery::default()).await.unwrap().changes.is_empty());
    database.drop().await.unwrap();
}

/// Pages that follow each other tell each document once, its latest change.
pub(crate) async fn changes_come_in_pages(client: Client) {
    let database = scratch(&client, "pages").await;
    for id in ["a", "b", "c"] {
        put(&database, id, None, &json!({"named": id})).await;
    }
    let first = database.get::<Value>("a").await.unwrap().unwrap().revision;
    let second = put(&database, "a", Some(&first), &json!({"named": "a again"})).await;
    let mut told = Vec::new();
    let mut since = Sequence::zero();
    loop {
        let limit = Some(2);
        let query = ChangesQuery { since, limit, include_docs: true, ..ChangesQuery::default() };
        let page = database.changes(&query).await.unwrap();
        since = page.last_seq;
        if page.changes.is_empty() {
            break;
        }
        told.extend(page.changes);
    }
    let mut ids: Vec<_> = told.iter().map(|change| change.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["a", "b", "c"]);
    let again = told.iter().find(|change| change.id == "a").unwrap();
    assert_eq!(again.revisions, [second]);
    let document = again.document::<Value>().unwrap().unwrap();
    assert_eq!(document.body, json!({"named": "a again"}));

    let selector = Some(json!({"named": {"$in": ["b", "a"]}}));
    let query = ChangesQuery { selector, ..ChangesQuery::default() };
    let page = database.changes(&query).await.unwrap();
    let ids: Vec<_> = page.changes.iter().map(|change| change.id.as_str()).collect();
    assert_eq!(ids, ["b"]);
    database.drop().await.unwrap();
}

/// Read the sequence first, then follow from there; what a new feed is given, it goes on from.
pub(crate) async fn a_feed_resumes_where_another_stopped(client: Client) {
    let database = scratch(&client, "resume").await;
    put(&database, "before", None, &json!({})).await;
    let info = database.info().await.unwrap();
    put(&database, "a", None, &json!({})).await;
    let options = FollowOptions {
        since: info.update_seq,
        instance_start_time: Some(info.instance_start_time),
        heartbeat: Duration::from_secs(1),
        ..FollowOptions::default()
    };
    let mut feed = database.follow(options.clone());
    connected(&mut feed).await;
    assert_eq!(change(&mut feed).await.id, "a");
    // Written while the feed is open.
    let first = put(&database, "b", None, &json!({})).await;
    let told = change(&mut feed).await;
    assert_eq!(
        (told.id.as_str(), told.deleted, &told.revisions),
        ("b", false, &vec![first.clone()])
    );
    let since = feed.since().clone();
    drop(feed);

    // Written while there is none.
    assert!(matches!(database.delete("b", &first).await.unwrap(), Put::Created(_)));
    let mut feed = database.follow(FollowOptions { since, ..options });
    connected(&mut feed).await;
    let told = change(&mut feed).await;
    assert_eq!((told.id.as_str(), told.deleted), ("b", true));
    database.drop().await.unwrap();
}

/// Only what matches, with its document, before and after the feed was opened.
pub(crate) async fn a_feed_with_a_selector_tells_only_what_matches(client: Client) {
    let database = scratch(&client, "selector").await;
    put(&database, "a", None, &json!({"type": "spec", "count": 1})).await;
    put(&database, "b", None, &json!({"type": "run"})).await;
    let mut feed = database.follow(FollowOptions {
        selector: Some(json!({"type": "spec"})),
        include_docs: true,
        all_leaves: true,
        heartbeat: Duration::from_secs(1),
        ..FollowOptions::default()
    });
    connected(&mut feed).await;
    assert_eq!(change(&mut feed).await.id, "a");
    put(&database, "c", None, &json!({"type": "run"})).await;
    put(&database, "d", None, &json!({"type": "spec", "count": 2})).await;
    let told = change(&mut feed).await;
    assert_eq!(told.id, "d");
    let document = told.document::<Value>().unwrap().unwrap();
    assert_eq!(document.body, json!({"type": "spec", "count": 2}));
    assert_eq!(told.revisions, [document.revision]);
    database.drop().await.unwrap();
}

/// A sequence of a database that is not this one starts again; a deleted database is the end.
pub(crate) async fn a_feed_knows_another_database_and_a_deleted_one(client: Client) {
    let database = scratch(&client, "identity").await;
    put(&database, "a", None, &json!({})).await;
    let mut feed = database.follow(FollowOptions {
        since: database.info().await.unwrap().update_seq,
        instance_start_time: Some("the one before".to_owned()),
        heartbeat: Duration::from_secs(1),
        ..FollowOptions::default()
    });
    let event = soon(feed.next()).await;
    assert!(matches!(event, FeedEvent::Replaced), "{event:?}");
    connected(&mut feed).await;
    assert_eq!(change(&mut feed).await.id, "a");
    database.drop().await.unwrap();
    loop {
        match soon(feed.next()).await {
            FeedEvent::Gone => break,
            FeedEvent::Disconnected(_) => {}
            other => panic!("{other:?} after the database was deleted"),
        }
    }
}

/// A name that no other run and no other story uses.
fn name(story: &str) -> String {
    let run = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("blitz-test-{story}-{run:x}-{}", std::process::id())
}

async fn scratch(client: &Client, story: &str) -> Database {
    let database = client.database(&name(story));
    assert_eq!(database.create().await.unwrap(), Creation::Created);
    database
}

/// A write that must be stored.
async fn put(database: &Database, id: &str, over: Option<&Revision>, body: &Value) -> Revision {
    match database.put(id, over, body, PutOptions::default()).await.unwrap() {
        Put::Created(revision) => revision,
        other => panic!("{other:?} for {id:?} over {over:?}"),
    }
}

fn is_not_found<T: std::fmt::Debug>(result: Result<T, Error>) {
    assert!(matches!(result, Err(Error::NotFound { .. })), "{result:?}");
}

async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(EVENT_MAX, event).await.expect("no event came")
}

async fn connected(feed: &mut Feed) {
    let event = soon(feed.next()).await;
    assert!(matches!(event, FeedEvent::Connected), "{event:?}");
}

async fn change(feed: &mut Feed) -> Change {
    match soon(feed.next()).await {
        FeedEvent::Change(change) => change,
        other => panic!("{other:?} instead of a change"),
    }
}
