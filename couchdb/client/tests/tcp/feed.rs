//! A feed over TCP whose server goes away and comes back.

use std::time::Duration;

use crate::script::{Wire, soon};
use blitz_couchdb::{Client, FeedEvent, FollowOptions};
use tokio::net::{TcpListener, TcpStream};

const INFO: &str = r#"{"doc_count":1,"update_seq":"9","instance_start_time":"1"}"#;

async fn accept(listener: &TcpListener) -> Wire<TcpStream> {
    Wire::new(soon(listener.accept()).await.unwrap().0)
}

/// Accepts the feed and answers who the database is.
async fn open(listener: &TcpListener, since: &str) -> (Wire<TcpStream>, Wire<TcpStream>) {
    let mut feed = accept(listener).await;
    feed.expect(&format!("GET /db/_changes?since={since}&feed=continuous&heartbeat=10000")).await;
    feed.begin(200).await;
    let mut info = accept(listener).await;
    info.expect("GET /db").await;
    info.answer(200, INFO).await;
    (feed, info)
}

#[tokio::test]
async fn a_feed_outlives_its_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let database = Client::new(format!("http://{address}")).unwrap().database("db");
    let mut feed = database.follow(FollowOptions::default());

    let (event, (mut wire, info)) = tokio::join!(feed.next(), open(&listener, "0"));
    assert!(matches!(event, FeedEvent::Connected), "{event:?}");
    wire.chunk("{\"seq\":\"1\",\"id\":\"a\",\"changes\":[{\"rev\":\"1-a\"}]}\n").await;
    let event = feed.next().await;
    assert!(matches!(&event, FeedEvent::Change(change) if change.id == "a"), "{event:?}");

    wire.end().await;
    let event = feed.next().await;
    assert!(matches!(event, FeedEvent::Disconnected(_)), "{event:?}");
    drop((wire, info));
    // A server that is about to go accepts, and closes without a word.
    let (event, ()) = tokio::join!(feed.next(), async { drop(accept(&listener).await) });
    assert!(matches!(event, FeedEvent::Disconnected(_)), "{event:?}");
    let (event, (mut wire, _info)) = tokio::join!(feed.next(), open(&listener, "1"));
    assert!(matches!(event, FeedEvent::Connected), "{event:?}");

    // A feed that is dropped closes its connection.
    drop(feed);
    let end = tokio::time::timeout(Duration::from_secs(10), wire.asked()).await;
    assert!(matches!(end, Ok(None)), "{end:?}");
}
