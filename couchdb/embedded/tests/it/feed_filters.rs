//! Feeds with filters beside writers that do not wait for them: each gets what is its own, in order, and
//! is not woken for the rest.

use crate::client::{Connection, Feed, Server, patient};
use serde_json::{Value, json};
use std::{collections::BTreeSet, net::SocketAddr};
use tokio::task::JoinSet;

const WRITERS: usize = 4;
const WRITES: usize = 300;
const KINDS: usize = 5;

/// The name of a document says what it is: `writer-kind-number`.
fn id(writer: usize, number: usize) -> String {
    format!("{writer}-{}-{number}", (writer + number) % KINDS)
}

fn everything() -> impl Iterator<Item = String> {
    (0..WRITERS).flat_map(|writer| (0..WRITES).map(move |number| id(writer, number)))
}

/// Which documents a feed wants, with its query and its body.
#[derive(Clone, Copy, Debug)]
enum Wants {
    Kind(usize),
    Writer(usize),
    Ids(usize),
    /// A selector too long to be shared.
    Long(usize),
    /// Read from the store: the hub does not remember conflicts.
    WithConflicts(usize),
    All,
}

impl Wants {
    fn has(self, id: &str) -> bool {
        let parts: Vec<usize> = id.split('-').map(|part| part.parse().unwrap()).collect();
        match self {
            Wants::Kind(kind) | Wants::Long(kind) | Wants::WithConflicts(kind) => parts[1] == kind,
            Wants::Writer(writer) => parts[0] == writer,
            Wants::Ids(rest) => parts[2] % 7 == rest,
            Wants::All => true,
        }
    }

    fn ask(self) -> (&'static str, String) {
        let selector = |selector: Value| json!({"selector": selector}).to_string();
        match self {
            Wants::Kind(kind) => ("filter=_selector", selector(json!({"kind": kind}))),
            Wants::Writer(writer) => {
                ("filter=_selector", selector(json!({"writer": {"$eq": writer}})))
            }
            Wants::Long(kind) => {
                let none = vec!["never"; 1000];
                let either = json!({"$or": [{"kind": kind}, {"kind": {"$in": none}}]});
                ("filter=_selector", selector(either))
            }
            Wants::WithConflicts(kind) => (
                "filter=_selector&include_docs=true&conflicts=true",
                selector(json!({"kind": kind})),
            ),
            Wants::Ids(_) => {
                let ids: Vec<String> = everything().filter(|id| self.has(id)).take(100).collect();
                ("filter=_doc_ids", json!({"doc_ids": ids}).to_string())
            }
            Wants::All => ("", String::from("{}")),
        }
    }

    fn truth(self) -> BTreeSet<String> {
        let limit = if matches!(self, Wants::Ids(_)) { 100 } else { usize::MAX };
        everything().filter(|id| self.has(id)).take(limit).collect()
    }
}

/// Follows from the beginning until it has all that it wants, and reconnects after `stay` rows each time.
async fn follow(address: SocketAddr, wants: Wants, stay: usize) {
    let truth = wants.truth();
    let (query, body) = wants.ask();
    let (mut since, mut last) = (String::from("0"), 0);
    let mut got = BTreeSet::new();
    while got.len() < truth.len() {
        let query = format!("since={since}&heartbeat=60000&{query}");
        let mut feed = Feed::open(address, &query, &body).await;
        for _ in 0..stay.min(truth.len() - got.len()) {
            let row = patient(feed.row()).await.expect("the feed goes on");
            let id = row["id"].as_str().unwrap_or_else(|| panic!("{wants:?}: {row}")).to_owned();
            since = row["seq"].as_str().unwrap().to_owned();
            let number: u64 = since.split('-').next().unwrap().parse().unwrap();
            assert!(number > last, "{wants:?}: {number} after {last}");
            last = number;
            assert!(truth.contains(&id), "{wants:?} got {id}");
            assert!(got.insert(id), "{wants:?} got {row} twice");
        }
    }
    assert_eq!(got, truth, "{wants:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feeds_that_come_and_go_miss_nothing_and_get_nothing_else() {
    let server = Server::with_database().await;
    let address = server.address;
    let mut work = JoinSet::new();
    for writer in 0..WRITERS {
        work.spawn(async move {
            let mut connection = Connection::open(address).await;
            for number in 0..WRITES {
                let kind = (writer + number) % KINDS;
                let body = json!({"writer": writer, "kind": kind}).to_string();
                let line = format!("PUT /db/{}", id(writer, number));
                assert_eq!(connection.ask(&line, &body).await.status, 201);
            }
        });
    }
    for turn in 0..4 {
        // Some stay, others leave after a few rows and come again.
        let stay = [usize::MAX, 1 + 6 * turn][turn % 2];
        for kind in 0..KINDS {
            work.spawn(follow(address, Wants::Kind(kind), stay));
        }
        work.spawn(follow(address, Wants::Writer(turn), stay));
        work.spawn(follow(address, Wants::Ids(turn), stay));
        work.spawn(follow(address, Wants::Long(turn), stay));
        work.spawn(follow(address, Wants::WithConflicts(turn), stay));
        work.spawn(follow(address, Wants::All, stay));
    }
    while let Some(ended) = work.join_next().await {
        ended.unwrap();
    }
}

async fn put(connection: &mut Connection, id: &str, kind: &str) {
    let body = json!({"kind": kind}).to_string();
    assert_eq!(connection.ask(&format!("PUT /db/{id}"), &body).await.status, 201);
}

/// A feed that slept through more than the hub remembers gets what comes then from memory, and its
/// last sequence is behind all of it.
#[tokio::test]
async fn a_feed_sleeps_through_what_it_does_not_want() {
    let server = Server::with_database().await;
    let mut connection = Connection::open(server.address).await;
    let body = json!({"selector": {"kind": "mine"}}).to_string();
    let query = "since=now&filter=_selector&heartbeat=60000";
    let mut feeds = Vec::new();
    for _ in 0..5 {
        let mut feed = Feed::open(server.address, query, &body).await;
        assert_eq!(feed.line().await.unwrap(), "");
        feeds.push(feed);
    }
    let looks = server.counter("httpd/feed_looks").await;
    let pages = server.counter("httpd/feed_pages_read").await;
    for number in 0..1000 {
        put(&mut connection, &format!("other-{number}"), "other").await;
    }
    for round in 0..3 {
        put(&mut connection, &format!("mine-{round}"), "mine").await;
        for feed in &mut feeds {
            assert_eq!(patient(feed.id()).await, format!("mine-{round}"));
        }
    }
    // The herald may lag behind a burst: then all look, which is what they did without it.
    let looks = server.counter("httpd/feed_looks").await - looks;
    assert!(looks < 100, "five feeds looked {looks} times for three changes");
    assert_eq!(server.counter("httpd/feed_pages_read").await, pages);
}

#[tokio::test]
async fn the_last_sequence_is_behind_what_nobody_wanted() {
    let server = Server::with_database().await;
    let body = json!({"selector": {"kind": "mine"}}).to_string();
    let mut connection = Connection::open(server.address).await;
    // On a slow machine the feed may end before the last write: then it gets more time.
    for timeout_ms in [300, 3_000, 30_000] {
        let query = format!("since=now&filter=_selector&timeout={timeout_ms}");
        let mut feed = Feed::open(server.address, &query, &body).await;
        let following = tokio::spawn(async move { feed.row().await.unwrap() });
        for number in 0..10 {
            put(&mut connection, &format!("other-{timeout_ms}-{number}"), "other").await;
        }
        let sequence = server.ask("GET /db", "").await.json()["update_seq"].clone();
        if !following.is_finished() {
            let end = following.await.unwrap();
            assert_eq!((&end["last_seq"], &end["pending"]), (&sequence, &json!(0)));
            return;
        }
    }
    panic!("ten writes take longer than a feed of half a minute");
}
