//! Requests that run out of time, while the clock is stopped: no test waits.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::client::Config;
use crate::error::Error;
use crate::put::PutOptions;
use crate::script::Network;

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_ends_after_ten_seconds() {
    let (client, mut network) = Network::new();
    let start = Instant::now();
    let database = client.database("db");
    let (result, _wire) = tokio::join!(database.get::<Value>("a"), async {
        let mut wire = network.accept().await;
        wire.expect("GET /db/a").await;
        wire
    });
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(error.is_outcome_unknown());
    assert!(error.to_string().contains("GET http://couch:5984/db/a within 10s"), "{error}");
    assert_eq!(start.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn the_time_covers_the_last_byte_of_the_answer() {
    let (client, mut network) = Network::new();
    let start = Instant::now();
    let database = client.database("db");
    let (result, _wire) = tokio::join!(database.get::<Value>("a"), async {
        let mut wire = network.accept().await;
        wire.expect("GET /db/a").await;
        wire.begin(200).await;
        wire.chunk("{\"_id\"").await;
        wire
    });
    assert!(matches!(result, Err(Error::Timeout { .. })), "{result:?}");
    assert_eq!(start.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_write_has_its_own_time_and_is_sent_once() {
    let (client, mut network) = Network::new();
    let start = Instant::now();
    let options = PutOptions { timeout: Some(Duration::from_secs(3)), quorum: Some(3) };
    let database = client.database("db");
    let body = json!({});
    let (result, next) = tokio::join!(database.put("a", None, &body, options), async {
        let mut wire = network.accept().await;
        wire.expect("PUT /db/a?w=3").await;
        // The client closes the connection and does not come back.
        wire.asked().await
    });
    assert!(matches!(result, Err(Error::Timeout { .. })), "{result:?}");
    assert_eq!(start.elapsed(), Duration::from_secs(3));
    assert!(next.is_none(), "{next:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_not_accepted_is_unreachable_and_nothing_was_sent() {
    let config = Config {
        connect_timeout: Duration::from_secs(2),
        requests_max: 2,
        ..Config::new("http://couch:5984")
    };
    let (client, _network) = Network::with(config);
    let start = Instant::now();
    let (first, second) = (client.database("a"), client.database("b"));
    // The first fills the backlog and then waits for its answer; the second is never let in.
    let (first, second) = tokio::join!(first.create(), async {
        let result = second.create().await;
        (result, start.elapsed())
    });
    assert!(matches!(first, Err(Error::Timeout { .. })), "{first:?}");
    let (second, elapsed) = second;
    let second = second.unwrap_err();
    assert!(matches!(second, Error::Unreachable { sent: false, .. }), "{second}");
    assert!(!second.is_outcome_unknown());
    assert!(second.to_string().contains("no connection within 2s"), "{second}");
    assert_eq!(elapsed, Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_are_under_way_than_allowed() {
    let config = Config { requests_max: 1, ..Config::new("http://couch:5984") };
    let (client, mut network) = Network::with(config);
    let databases = (client.database("a"), client.database("b"));
    let (first, second, ()) = tokio::join!(databases.0.create(), databases.1.create(), async {
        let mut wire = network.accept().await;
        wire.expect("PUT /a").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        wire.answer(201, "{}").await;
        // The second waited for the first, and took over its connection.
        wire.expect("PUT /b").await;
        wire.answer(201, "{}").await;
    });
    first.unwrap();
    second.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_idle_for_long_is_not_used_again() {
    let (client, mut network) = Network::new();
    let database = client.database("db");
    let (result, _wires) = tokio::join!(
        async {
            database.create().await.unwrap();
            tokio::time::sleep(Duration::from_secs(31)).await;
            database.create().await
        },
        async {
            let mut first = network.accept().await;
            first.expect("PUT /db").await;
            first.answer(201, "{}").await;
            let mut second = network.accept().await;
            second.expect("PUT /db").await;
            second.answer(412, "{\"error\":\"file_exists\",\"reason\":\"x\"}").await;
            (first, second)
        }
    );
    assert_eq!(result.unwrap(), crate::Creation::Existed);
}
