//! Feeds over a simulated network with the clock stopped: silence, interruptions, another database.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::script::{Network, Wire};

const HEARTBEAT: Duration = Duration::from_secs(1);
const A: &str = r#"{"seq":"1-x","id":"a","changes":[{"rev":"1-a"}]}"#;
const B: &str = r#"{"seq":2,"id":"b","changes":[{"rev":"2-b"}],"deleted":true}"#;

/// A server of feeds.
struct Server {
    network: Network,
    /// The pooled connection on which the client asks for the database's identity.
    asking: Option<Wire>,
}

impl Server {
    fn follow(options: FollowOptions) -> (Feed, Self) {
        let (client, network) = Network::new();
        let feed = client.database("db").follow(FollowOptions { heartbeat: HEARTBEAT, ..options });
        (feed, Self { network, asking: None })
    }

    fn follow_since(since: &str) -> (Feed, Self) {
        let since = serde_json::from_value(json!(since)).unwrap();
        Self::follow(FollowOptions { since, ..FollowOptions::default() })
    }

    /// Accepts the feed from this place, and says whose it is.
    async fn open(&mut self, since: &str, identity: &str) -> Wire {
        let mut wire = self.network.accept().await;
        let path = format!("GET /db/_changes?since={since}&feed=continuous&heartbeat=1000");
        wire.expect(&path).await;
        wire.begin(200).await;
        wire.chunk("\n").await;
        self.identify(identity).await;
        wire
    }

    async fn identify(&mut self, identity: &str) {
        let mut wire = match self.asking.take() {
            Some(wire) => wire,
            None => self.network.accept().await,
        };
        wire.expect("GET /db").await;
        let body = json!({"doc_count": 1, "update_seq": "9-x", "instance_start_time": identity});
        wire.answer(200, &body.to_string()).await;
        self.asking = Some(wire);
    }
}

async fn change(feed: &mut Feed) -> Change {
    match feed.next().await {
        FeedEvent::Change(change) => change,
        other => panic!("{other:?} instead of a change"),
    }
}

async fn disconnected(feed: &mut Feed) -> String {
    match feed.next().await {
        FeedEvent::Disconnected(error) => error.to_string(),
        other => panic!("{other:?} instead of a disconnection"),
    }
}

/// Awaits the next event, which must be a new connection, while the server opens it.
async fn connected(feed: &mut Feed, server: &mut Server, since: &str) -> Wire {
    let (event, wire) = tokio::join!(feed.next(), server.open(since, "one"));
    assert!(matches!(event, FeedEvent::Connected), "{event:?}");
    wire
}

#[tokio::test(start_paused = true)]
async fn changes_come_and_heartbeats_do_not() {
    let (mut feed, mut server) = Server::follow_since("0");
    let mut wire = connected(&mut feed, &mut server, "0").await;
    wire.chunk(&format!("\n\n{A}\n{}", &B[..9])).await;
    wire.chunk(&format!("{}\n\n", &B[9..])).await;
    let first = change(&mut feed).await;
    assert_eq!((first.id.as_str(), first.deleted), ("a", false));
    assert_eq!(first.revisions, ["1-a".parse().unwrap()]);
    let second = change(&mut feed).await;
    assert_eq!((second.id.as_str(), second.deleted), ("b", true));
    assert_eq!(feed.since().to_string(), "2");
    assert_eq!(feed.instance_start_time(), Some("one"));
}

#[tokio::test(start_paused = true)]
async fn a_feed_is_alive_as_long_as_heartbeats_come_and_dead_after_three_without() {
    let (mut feed, mut server) = Server::follow_since("0");
    let mut wire = connected(&mut feed, &mut server, "0").await;
    let (_, ()) = tokio::join!(change(&mut feed), async {
        for _ in 0..10 {
            sleep(HEARTBEAT * 2).await;
            wire.chunk("\n").await;
        }
        wire.chunk(&format!("{A}\n")).await;
    });
    let silent = Instant::now();
    let error = disconnected(&mut feed).await;
    assert_eq!(silent.elapsed(), HEARTBEAT * 3);
    assert!(error.contains("not a byte for 3s, 3 heartbeats"), "{error}");
    connected(&mut feed, &mut server, "1-x").await;
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_interruption_goes_on_from_the_last_sequence() {
    let (mut feed, mut server) = Server::follow_since("0");
    let mut wire = connected(&mut feed, &mut server, "0").await;
    wire.chunk(&format!("{A}\n{{\"seq\":\"2")).await;
    change(&mut feed).await;
    drop(wire);
    disconnected(&mut feed).await;

    let mut wire = connected(&mut feed, &mut server, "1-x").await;
    wire.chunk("{\"last_seq\":\"5+/=\",\"pending\":0}\n").await;
    wire.end().await;
    let error = disconnected(&mut feed).await;
    assert!(error.contains("the server ended the feed"), "{error}");

    let mut wire = connected(&mut feed, &mut server, "5%2B%2F%3D").await;
    wire.end().await;
    let error = disconnected(&mut feed).await;
    assert!(error.contains("the server closed the feed"), "{error}");

    let mut wire = connected(&mut feed, &mut server, "5%2B%2F%3D").await;
    wire.chunk("{\"error\":\"internal\",\"reason\":\"oops\"}\n").await;
    let error = disconnected(&mut feed).await;
    assert!(error.contains("internal: oops"), "{error}");

    let mut wire = connected(&mut feed, &mut server, "5%2B%2F%3D").await;
    wire.chunk("{\"seq\":}\n").await;
    let error = disconnected(&mut feed).await;
    assert!(
        error.starts_with("understand the answer to the feed of http://couch:5984/db"),
        "{error}"
    );
    connected(&mut feed, &mut server, "5%2B%2F%3D").await;
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_to_a_ceiling_while_there_is_no_server() {
    let (mut feed, mut server) = Server::follow_since("0");
    let mut bound = RECONNECT_FLOOR;
    for _ in 0..12 {
        let start = Instant::now();
        let (_, ()) = tokio::join!(disconnected(&mut feed), async {
            drop(server.network.accept().await);
        });
        if bound > RECONNECT_FLOOR {
            assert!(start.elapsed() >= RECONNECT_FLOOR, "{:?}", start.elapsed());
        }
        // The clock has milliseconds.
        assert!(start.elapsed() <= bound + Duration::from_millis(1), "{:?}", start.elapsed());
        bound = (bound * 2).min(RECONNECT_CEILING);
    }
    let mut wire = connected(&mut feed, &mut server, "0").await;
    // A change is a success, after which the pauses are short again.
    wire.chunk(&format!("{A}\n")).await;
    change(&mut feed).await;
    drop(wire);
    disconnected(&mut feed).await;
    let start = Instant::now();
    connected(&mut feed, &mut server, "1-x").await;
    assert!(start.elapsed() <= RECONNECT_FLOOR * 2 + Duration::from_millis(1));
}

#[tokio::test(start_paused = true)]
async fn a_database_made_anew_is_noticed_and_followed_from_its_beginning() {
    let (mut feed, mut server) = Server::follow_since("7-x");
    let wire = connected(&mut feed, &mut server, "7-x").await;
    drop(wire);
    disconnected(&mut feed).await;
    let (event, mut wire) = tokio::join!(feed.next(), server.open("7-x", "two"));
    assert!(matches!(event, FeedEvent::Replaced), "{event:?}");
    assert!(wire.asked().await.is_none(), "the feed of another database stays open");
    let (event, _wire) = tokio::join!(feed.next(), server.open("0", "two"));
    assert!(matches!(event, FeedEvent::Connected), "{event:?}");
    assert_eq!(feed.instance_start_time(), Some("two"));
}

#[tokio::test(start_paused = true)]
async fn a_sequence_of_an_earlier_database_is_noticed_at_once() {
    let (mut feed, mut server) = Server::follow(FollowOptions {
        since: serde_json::from_value(json!("7-x")).unwrap(),
        instance_start_time: Some("zero".to_owned()),
        ..FollowOptions::default()
    });
    let (event, _wire) = tokio::join!(feed.next(), server.open("7-x", "one"));
    assert!(matches!(event, FeedEvent::Replaced), "{event:?}");
    connected(&mut feed, &mut server, "0").await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_database_ends_the_feed() {
    let (mut feed, mut server) = Server::follow_since("0");
    let mut wire = connected(&mut feed, &mut server, "0").await;
    wire.chunk("{\"last_seq\":\"3-x\",\"pending\":0}\n").await;
    disconnected(&mut feed).await;
    let (event, _wire) = tokio::join!(feed.next(), async {
        let mut wire = server.network.accept().await;
        wire.asked().await.unwrap();
        wire.answer(404, r#"{"error":"not_found","reason":"Database does not exist."}"#).await;
        wire
    });
    assert!(matches!(event, FeedEvent::Gone), "{event:?}");
    assert!(matches!(feed.next().await, FeedEvent::Gone));
    let rest: Vec<_> = feed.into_stream().collect().await;
    assert!(matches!(rest[..], [FeedEvent::Gone]), "{rest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_is_told_and_tried_again() {
    let (mut feed, mut server) = Server::follow_since("0");
    let (error, _wire) = tokio::join!(disconnected(&mut feed), async {
        let mut wire = server.network.accept().await;
        wire.asked().await.unwrap();
        wire.answer(401, r#"{"error":"unauthorized","reason":"Name or password is incorrect."}"#)
            .await;
        wire
    });
    assert!(error.contains("Name or password is incorrect."), "{error}");
    connected(&mut feed, &mut server, "0").await;
}

#[tokio::test(start_paused = true)]
async fn next_may_be_dropped_at_any_moment() {
    let (mut feed, mut server) = Server::follow_since("0");
    let server = tokio::spawn(async move {
        let pause = || sleep(Duration::from_millis(70));
        let mut wire = server.network.accept().await;
        wire.asked().await.unwrap();
        pause().await;
        wire.begin(200).await;
        pause().await;
        server.identify("one").await;
        for piece in [&A[..5], &A[5..], "\n", &B[..30], &B[30..], "\n"] {
            pause().await;
            wire.chunk(piece).await;
        }
        wire.end().await;
        pause().await;
        server.open("2", "one").await
    });
    let mut seen = String::new();
    let mut dropped = 0;
    while seen.matches('C').count() < 2 {
        // Dropped each 10 ms, in the middle of everything.
        match timeout(Duration::from_millis(10), feed.next()).await {
            Ok(FeedEvent::Change(change)) => seen.push_str(&change.id),
            Ok(FeedEvent::Connected) => seen.push('C'),
            Ok(FeedEvent::Disconnected(_)) if seen.contains('D') => panic!("lost twice: {seen}"),
            Ok(FeedEvent::Disconnected(_)) => seen.push('D'),
            Ok(other) => panic!("{other:?}"),
            Err(_) => dropped += 1,
        }
        assert!(dropped < 1_000, "only {seen} was seen");
    }
    assert_eq!(seen, "CabDC");
    assert!(dropped > 50, "only {dropped} drops");
    drop(server.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_was_away_does_not_take_its_own_silence_for_the_servers() {
    let (mut feed, mut server) = Server::follow_since("0");
    let mut wire = connected(&mut feed, &mut server, "0").await;
    for _ in 0..20 {
        sleep(HEARTBEAT).await;
        wire.chunk("\n").await;
    }
    wire.chunk(&format!("{A}\n")).await;
    change(&mut feed).await;
    // And when the server is silent indeed, one more heartbeat is all that it gets.
    sleep(HEARTBEAT * 20).await;
    let start = Instant::now();
    disconnected(&mut feed).await;
    assert_eq!(start.elapsed(), HEARTBEAT);

    // So long after the first time, the identity is asked on a connection of its own.
    server.asking = None;
    let _wire = connected(&mut feed, &mut server, "1-x").await;
    // The first look finds what the server said when it opened, the second nothing.
    for _ in 0..2 {
        sleep(HEARTBEAT * 20).await;
        timeout(HEARTBEAT / 2, feed.next()).await.unwrap_err();
    }
    sleep(HEARTBEAT * 20).await;
    let start = Instant::now();
    disconnected(&mut feed).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn now_is_one_moment_also_after_an_interruption() {
    let (mut feed, mut server) = Server::follow_since("now");
    let (event, wire) = tokio::join!(feed.next(), async {
        server.identify("one").await;
        server.open("9-x", "one").await
    });
    assert!(matches!(event, FeedEvent::Connected), "{event:?}");
    drop(wire);
    disconnected(&mut feed).await;
    connected(&mut feed, &mut server, "9-x").await;
}

#[tokio::test(start_paused = true)]
async fn a_selector_goes_by_post_and_documents_come_typed() {
    let (mut feed, mut server) = Server::follow(FollowOptions {
        selector: Some(json!({"type": "job"})),
        include_docs: true,
        all_leaves: true,
        ..FollowOptions::default()
    });
    let (event, mut wire) = tokio::join!(feed.next(), async {
        let mut wire = server.network.accept().await;
        let asked = wire
            .expect(
                "POST /db/_changes?since=0&style=all_docs&include_docs=true\
                 &feed=continuous&heartbeat=1000&filter=_selector",
            )
            .await;
        assert_eq!(asked.body, r#"{"selector":{"type":"job"}}"#);
        assert!(asked.head.contains("content-type: application/json"), "{}", asked.head);
        wire.begin(200).await;
        server.identify("one").await;
        wire
    });
    assert!(matches!(event, FeedEvent::Connected), "{event:?}");
    let doc = r#"{"_id":"a","_rev":"1-a","n":1}"#;
    wire.chunk(&format!("{},\"doc\":{doc}}}\n", &A[..A.len() - 1])).await;
    let document = change(&mut feed).await.document::<Value>().unwrap().unwrap();
    assert_eq!((document.id.as_str(), document.body), ("a", json!({"n": 1})));
}

#[tokio::test(start_paused = true)]
async fn a_line_without_an_end_does_not_fill_the_memory() {
    let (mut feed, mut server) = Server::follow_since("0");
    let mut wire = connected(&mut feed, &mut server, "0").await;
    let piece = "x".repeat(64 * 1024);
    let (error, ()) = tokio::join!(disconnected(&mut feed), async {
        for _ in 0..=LINE_BYTES_MAX / piece.len() {
            wire.chunk(&piece).await;
        }
    });
    assert!(error.contains("larger than the limit of 16777216 bytes"), "{error}");
}
