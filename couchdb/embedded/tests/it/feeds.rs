//! Feeds: who hears of what, when, and what it costs the others.

use crate::client::{Answer, Connection, Feed, Server, patient};
use serde_json::{Value, json};

async fn put(server: &Server, id: &str, body: &str) -> Answer {
    let answer = server.ask(&format!("PUT /db/{id}"), body).await;
    assert_eq!(answer.status, 201);
    answer
}

async fn last_seq(server: &Server) -> String {
    let info = server.ask("GET /db", "").await.json();
    info["update_seq"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_feed_hears_of_each_commit_and_reads_no_store_for_it() {
    let server = Server::with_database().await;
    let mut feed =
        Feed::open(server.address, "since=now&heartbeat=60000&include_docs=true", "{}").await;
    assert_eq!(feed.line().await.unwrap(), "", "the first heartbeat comes at once");
    let pages = server.counter("httpd/feed_pages_read").await;
    for n in 0..50 {
        put(&server, &n.to_string(), &json!({"n": n}).to_string()).await;
        let row = feed.row().await.unwrap();
        assert_eq!((&row["id"], &row["doc"]["n"]), (&json!(n.to_string()), &json!(n)));
    }
    assert_eq!(server.counter("httpd/feed_pages_read").await, pages);
}

#[tokio::test]
async fn a_selector_lets_through_what_it_names() {
    let server = Server::with_database().await;
    let body = json!({"selector": {"region": "tokyo", "state": {"$in": ["new", "open"]}}});
    let mut feed = Feed::open(server.address, "since=now&heartbeat=60000", &body.to_string()).await;
    // Without the filter's name the body is not a filter.
    drop(feed.line().await);
    let mut filtered =
        Feed::open(server.address, "since=now&heartbeat=60000&filter=_selector", &body.to_string())
            .await;
    drop(filtered.line().await);
    put(&server, "a", r#"{"region":"paris","state":"new"}"#).await;
    put(&server, "b", r#"{"region":"tokyo","state":"done"}"#).await;
    put(&server, "c", r#"{"region":"tokyo","state":"open"}"#).await;
    assert_eq!(filtered.id().await, "c");
    assert_eq!([feed.id().await, feed.id().await, feed.id().await], ["a", "b", "c"]);
}

/// A reader that resumes from its last sequence misses nothing, wherever it was cut.
#[tokio::test]
async fn a_feed_that_resumes_misses_nothing() {
    let server = Server::with_database().await;
    let address = server.address;
    let writer = tokio::spawn(async move {
        let mut connection = Connection::open(address).await;
        for n in 0..2000 {
            let answer = connection.ask(&format!("PUT /db/{n}"), "{}").await;
            assert_eq!(answer.status, 201);
        }
    });
    let mut since = String::from("0");
    let mut seen = Vec::new();
    while seen.len() < 2000 {
        let mut feed = Feed::open(address, &format!("since={since}&heartbeat=60000"), "{}").await;
        for _ in 0..97.min(2000 - seen.len()) {
            let row = feed.row().await.unwrap();
            since = row["seq"].as_str().unwrap().to_owned();
            seen.push(row["id"].as_str().unwrap().parse::<u32>().unwrap());
        }
    }
    writer.await.unwrap();
    assert_eq!(seen, (0..2000).collect::<Vec<_>>());
}

/// 24 MB lie before a client that does not read; the writers do not notice, and it gets them later.
#[tokio::test]
async fn a_slow_reader_stops_only_itself() {
    let server = Server::with_database().await;
    let mut slow =
        Feed::open(server.address, "since=0&heartbeat=60000&include_docs=true", "{}").await;
    let mut quick = Feed::open(server.address, "since=0&heartbeat=60000", "{}").await;
    let mut connection = Connection::open(server.address).await;
    let body = json!({"text": "x".repeat(40_000)}).to_string();
    for n in 0..600 {
        assert_eq!(connection.ask(&format!("PUT /db/{n}"), &body).await.status, 201);
        assert_eq!(quick.id().await, n.to_string());
    }
    for n in 0..600 {
        assert_eq!(slow.id().await, n.to_string());
    }
    // It was too slow for the memory of recent changes and read the rest from the store.
    assert!(server.counter("httpd/feed_pages_read").await > 0);
}

#[tokio::test]
async fn a_document_that_changes_fast_is_told_with_its_last_state() {
    let server = Server::with_database().await;
    let mut revision = put(&server, "a", "{}").await.revision();
    for _ in 0..20 {
        revision = put(&server, &format!("a?rev={revision}"), "{}").await.revision();
    }
    let mut feed = Feed::open(server.address, "since=0&heartbeat=60000", "{}").await;
    let row = feed.row().await.unwrap();
    assert_eq!(row["changes"], json!([{"rev": revision}]));
    put(&server, "b", "{}").await;
    assert_eq!(feed.id().await, "b");
}

#[tokio::test]
async fn a_feed_ends_with_its_database_and_with_the_server() {
    let server = Server::with_database().await;
    let mut feed = Feed::open(server.address, "since=now&heartbeat=60000", "{}").await;
    drop(feed.line().await);
    assert_eq!(server.ask("DELETE /db", "").await.status, 200);
    assert!(feed.row().await.unwrap().get("last_seq").is_some());
    assert_eq!(feed.row().await, None);

    assert_eq!(server.ask("PUT /db", "").await.status, 201);
    let mut feed = Feed::open(server.address, "since=now&heartbeat=60000", "{}").await;
    drop(feed.line().await);
    let mut longpoll = Connection::open(server.address).await;
    longpoll.send("GET /db/_changes?feed=longpoll&since=now", "", "").await;
    assert_eq!(longpoll.head().await.0, 200);
    server.stop().await;
    assert!(feed.row().await.unwrap().get("last_seq").is_some());
    assert_eq!(feed.row().await, None);
    let mut body = Vec::new();
    while let Some(chunk) = longpoll.chunk().await {
        body.extend(chunk);
    }
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["results"], json!([]));
}

/// A sequence of a database that was made again is no place in the new one: everything comes again.
#[tokio::test]
async fn a_sequence_of_another_database_replays_all() {
    let server = Server::with_database().await;
    for id in ["a", "b", "c"] {
        put(&server, id, "{}").await;
    }
    let old = last_seq(&server).await;
    let started = server.ask("GET /db", "").await.json()["instance_start_time"].clone();
    server.ask("DELETE /db", "").await;
    server.ask("PUT /db", "").await;
    put(&server, "d", "{}").await;
    let again = server.ask("GET /db", "").await.json();
    assert_ne!(again["instance_start_time"], started);
    let changes = server.ask(&format!("GET /db/_changes?since={old}"), "").await.json();
    assert_eq!(changes["results"][0]["id"], "d");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_feeds_hear_of_one_write() {
    let server = Server::with_database().await;
    let selector = json!({"selector": {"n": {"$gte": 0}}}).to_string();
    let mut feeds = Vec::new();
    for _ in 0..200 {
        let query = "since=now&heartbeat=60000&filter=_selector&include_docs=true";
        let mut feed = Feed::open(server.address, query, &selector).await;
        drop(feed.line().await);
        feeds.push(feed);
    }
    let pages = server.counter("httpd/feed_pages_read").await;
    for n in 0..5 {
        put(&server, &n.to_string(), &json!({"n": n}).to_string()).await;
    }
    patient(async {
        for feed in &mut feeds {
            for n in 0..5 {
                assert_eq!(feed.id().await, n.to_string());
            }
        }
    })
    .await;
    assert_eq!(server.counter("httpd/feed_pages_read").await, pages);
    // A client that goes takes its feed with it; the others hear on.
    feeds.truncate(1);
    put(&server, "last", r#"{"n":9}"#).await;
    assert_eq!(feeds[0].id().await, "last");
}
