//! Feeds: who hears of what, when, and what it costs the others.

use crate::{
    auth::{add_user, ask, basic, options},
    client::{Answer, Connection, Feed, Server, patient},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use blitz_embedded::Storage;
use ring::hmac;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

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

/// A document that moves on while an answer is made is in the answer, at its old place or its new one.
#[tokio::test]
async fn a_document_that_changes_while_it_is_listed_is_listed() {
    let server = Server::with_database().await;
    let mut revision = put(&server, "a", "{}").await.revision();
    let writes = async {
        for _ in 0..300 {
            revision = put(&server, &format!("a?rev={revision}"), "{}").await.revision();
        }
    };
    let mut listings = 0;
    let listing = async {
        let mut client = Connection::open(server.address).await;
        loop {
            let listed = client.ask("GET /db/_changes", "").await.json();
            assert_eq!(listed["results"].as_array().map(Vec::len), Some(1), "{listed}");
            listings += 1;
        }
    };
    tokio::select! {
        () = writes => {}
        () = listing => {}
    }
    assert!(listings > 0);
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

/// A feed that this user may follow, opened with this proof; the first heartbeat has come.
async fn follow_as(server: &Server, authorization: &str) -> Connection {
    let mut connection = Connection::open(server.address).await;
    let line = "GET /db/_changes?feed=continuous&since=now&heartbeat=60000";
    connection.send(line, authorization, "").await;
    assert_eq!(connection.head().await.0, 200);
    assert_eq!(connection.chunk().await.unwrap(), b"\n");
    connection
}

/// What a feed says until its end.
async fn to_the_end(mut connection: Connection) -> String {
    let mut said = Vec::new();
    while let Some(chunk) = connection.chunk().await {
        said.extend(chunk);
    }
    String::from_utf8(said).unwrap()
}

/// A server with a database that the role `engine` may follow.
async fn guarded() -> Server {
    let server = Server::start(Storage::Memory, options()).await;
    let root = basic("root:pw");
    let security = json!({"members": {"roles": ["engine"]}}).to_string();
    for (line, body) in [("PUT /db", ""), ("PUT /db/_security", security.as_str())] {
        let (status, _, said) = ask(&server, line, &root, body).await;
        assert!(status < 300, "{line}: {said}");
    }
    server
}

#[tokio::test]
async fn a_feed_ends_with_its_user() {
    let server = guarded().await;
    let root = basic("root:pw");
    let session = json!({"name": "ann", "password": "x"}).to_string();
    for what in ["deleted", "roles", "password", "database"] {
        add_user(&server, "ann", "x", &["engine"]).await;
        add_user(&server, "bob", "x", &["engine"]).await;
        let (_, head, _) = ask(&server, "POST /_session", "", &session).await;
        let cookie = head.split("AuthSession=").nth(1).unwrap().split(';').next().unwrap();
        let by_password = follow_as(&server, &basic("ann:x")).await;
        let by_cookie = follow_as(&server, &format!("Cookie: AuthSession={cookie}\r\n")).await;
        let mut others = follow_as(&server, &basic("bob:x")).await;
        let mut admins = follow_as(&server, &root).await;

        let path = "/_users/org.couchdb.user:ann";
        let found = ask(&server, &format!("GET {path}"), &root, "").await.2;
        let mut user: Value = serde_json::from_str(&found).unwrap();
        let revision = user["_rev"].as_str().unwrap().to_owned();
        match what {
            "roles" => user["roles"] = json!(["engine", "another"]),
            "password" => user["password"] = json!("y"),
            _ => {}
        }
        let (line, body) = match what {
            "deleted" => (format!("DELETE {path}?rev={revision}"), String::new()),
            "database" => ("DELETE /_users".to_owned(), String::new()),
            _ => (format!("PUT {path}"), user.to_string()),
        };
        let (status, _, said) = ask(&server, &line, &root, &body).await;
        assert!(status < 300, "{what}: {said}");
        for feed in [by_password, by_cookie] {
            let said = to_the_end(feed).await;
            assert!(said.starts_with("{\"last_seq\":"), "{what}: {said}");
        }
        // Those of others go on; of a database of users that is gone nobody is left but who is configured.
        let (status, _, said) = ask(&server, &format!("PUT /db/{what}"), &root, "{}").await;
        assert_eq!(status, 201, "{said}");
        let row = String::from_utf8(admins.chunk().await.unwrap()).unwrap();
        assert!(row.contains(what), "{row}");
        let row = String::from_utf8(others.chunk().await.unwrap()).unwrap();
        assert_eq!(row.contains("last_seq"), what == "database", "{row}");
        ask(&server, "DELETE /_users", &root, "").await;
        ask(&server, "PUT /_users", &root, "").await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_feed_ends_with_its_token_and_with_what_lets_it_in() {
    let server = guarded().await;
    let root = basic("root:pw");
    let token = |seconds: u64| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({"sub": "e1", "exp": now + seconds, "_couchdb.roles": ["engine"]});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": "HS256"})), part(&claims));
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"secret"), signed.as_bytes());
        format!("Authorization: Bearer {signed}.{}\r\n", URL_SAFE_NO_PAD.encode(mac))
    };
    let mut long = follow_as(&server, &token(3600)).await;
    // On a busy machine a token may be over before it is shown.
    let mut short = None;
    for seconds in [2, 8, 30] {
        let mut connection = Connection::open(server.address).await;
        let line = "GET /db/_changes?feed=continuous&since=now&heartbeat=60000";
        connection.send(line, &token(seconds), "").await;
        if connection.head().await.0 == 200 {
            short = Some(connection);
            break;
        }
    }
    let said = to_the_end(short.expect("a token of half a minute")).await;
    assert!(said.trim_start().starts_with("{\"last_seq\":"), "{said}");
    ask(&server, "PUT /db/a", &root, "{}").await;
    let row = String::from_utf8(long.chunk().await.unwrap()).unwrap();
    assert!(row.contains("\"id\":\"a\""), "{row}");

    let another = json!({"members": {"roles": ["another"]}}).to_string();
    let (status, _, said) = ask(&server, "PUT /db/_security", &root, &another).await;
    assert_eq!(status, 200, "{said}");
    let said = to_the_end(long).await;
    assert!(said.starts_with("{\"last_seq\":"), "{said}");
    server.stop().await;
}
