//! The documents of `_replicator`, from their first revision to their deletion.

use super::{Proxy, ask, create, server, until, url};
use crate::client::{Connection, Server, patient};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use blitz_embedded::{Admin, Options, Storage};
use serde_json::{Value, json};

#[tokio::test]
async fn documents_start_restart_and_stop_replications_and_outlive_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let storage = || Storage::Directory(directory.path().to_owned());
    let options = || Options {
        admins: vec![Admin { name: String::from("root"), password: String::from("hidden") }],
        ..Options::default()
    };
    let peer = server().await;
    create(&peer, "a").await;
    let root = Root(Server::start(storage(), options()).await);
    root.ask("PUT /b", &Value::Null).await;
    let live = json!({
        "source": {"url": url(&peer, "a"), "auth": {"basic": {"username": "u", "password": "hidden"}}},
        "target": "b", "continuous": true,
    });
    let (status, put) = root.ask("PUT /_replicator/live", &live).await;
    assert_eq!(status, 201, "{put}");
    assert_eq!(ask(&peer, "PUT /a/one", &json!({})).await.0, 201);
    until("the first", async || root.get("/b/one").await["_id"] == "one").await;
    let stored = root.get("/_replicator/live").await;
    assert_eq!((&stored["owner"], &stored["user_ctx"]["name"]), (&json!("root"), &json!("root")));
    assert!(stored.get("_replication_state").is_none(), "{stored}");
    for path in ["/_scheduler/docs", "/_scheduler/jobs", "/_active_tasks"] {
        let shown = root.get(path).await.to_string();
        assert!(shown.contains("live") && !shown.contains("hidden"), "{path}: {shown}");
    }
    assert_eq!(ask(&root.0, "GET /_scheduler/jobs", &Value::Null).await.0, 401);
    root.0.stop().await;

    let root = Root(Server::start(storage(), options()).await);
    assert_eq!(ask(&peer, "PUT /a/two", &json!({})).await.0, 201);
    until("the second", async || root.get("/b/two").await["_id"] == "two").await;
    // Another target: the document is changed, the job is another one.
    root.ask("PUT /c", &Value::Null).await;
    let mut changed = root.get("/_replicator/live").await;
    changed["target"] = json!("c");
    assert_eq!(root.ask("PUT /_replicator/live", &changed).await.0, 201);
    until("the new target", async || root.get("/c/two").await["_id"] == "two").await;
    let jobs = root.get("/_scheduler/jobs").await;
    assert_eq!(jobs["total_rows"], 1, "{jobs}");
    let rev = root.get("/_replicator/live").await["_rev"].as_str().unwrap().to_owned();
    assert_eq!(root.ask(&format!("DELETE /_replicator/live?rev={rev}"), &Value::Null).await.0, 200);
    until("no job", async || root.get("/_scheduler/jobs").await["total_rows"] == 0).await;

    // One that fails is kept back and says why; one that can never be is refused at the door.
    let bad = json!({"source": url(&peer, "none"), "target": "b"});
    assert_eq!(root.ask("PUT /_replicator/bad", &bad).await.0, 201);
    until("it crashes", async || {
        root.get("/_scheduler/docs/_replicator/bad").await["state"] == "crashing"
    })
    .await;
    let shown = root.get("/_scheduler/docs?states=crashing").await;
    let error = shown["docs"][0]["info"]["error"].as_str().unwrap_or_default().to_owned();
    assert!(error.starts_with("db_not_found: could not open http://"), "{shown}");
    assert_eq!(root.get("/_scheduler/docs?states=completed").await["docs"], json!([]));
    assert_eq!(root.ask("PUT /_replicator/never", &json!({"source": "b"})).await.0, 403);
    // As a replica it comes in, and is failed by the manager.
    let replica = json!({"docs": [{"_id": "r", "_rev": "1-a", "source": "b"}], "new_edits": false});
    assert_eq!(root.ask("POST /_replicator/_bulk_docs", &replica).await.0, 201);
    until("it fails", async || {
        root.get("/_scheduler/docs/_replicator/r").await["state"] == "failed"
    })
    .await;
    assert_eq!(
        root.get("/_replicator/r").await["_replication_state_reason"],
        "Missing replicator database"
    );
    root.0.stop().await;
    peer.stop().await;
}

/// A server asked as its administrator.
struct Root(Server);

impl Root {
    async fn ask(&self, line: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut connection = Connection::open(self.0.address).await;
        let authorization = format!("Authorization: Basic {}\r\n", STANDARD.encode("root:hidden"));
        connection.send(line, &authorization, &body).await;
        let answer = patient(connection.answer(false)).await;
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Value {
        self.ask(&format!("GET {path}"), &Value::Null).await.1
    }
}

/// What is fetched at once is a guess at first. On a slow line it is smaller the next time, and not the same for ever.
#[tokio::test]
async fn a_batch_that_takes_too_long_is_made_smaller() {
    let peer = server().await;
    create(&peer, "a").await;
    let text = "x".repeat(480_000);
    for n in 0..8 {
        assert_eq!(ask(&peer, &format!("PUT /a/{n}"), &json!({"text": text})).await.0, 201);
    }
    let admin = Admin { name: String::from("root"), password: String::from("hidden") };
    let options = Options { admins: vec![admin], ..Options::default() };
    let root = Root(Server::start(Storage::Memory, options).await);
    root.ask("PUT /b", &Value::Null).await;
    // 8 KiB each 10 ms and more: a document takes 0.6 s, and all of them 5.
    let line = Proxy::slow(peer.address, std::time::Duration::from_millis(10)).await;
    let document = json!({
        "source": format!("http://{}/a", line.address), "target": "b", "continuous": true,
        "connection_timeout": 4000, "retries_per_request": 1,
    });
    assert_eq!(root.ask("PUT /_replicator/slow", &document).await.0, 201);
    until("all are there", async || root.get("/b").await["doc_count"] == 8).await;
    let row = root.get("/_scheduler/docs/_replicator/slow").await;
    assert_eq!((&row["state"], &row["error_count"]), (&json!("running"), &json!(0)), "{row}");
}

/// A line that loses all packets says nothing: who waits for an answer, or for a change, must notice by itself.
#[tokio::test]
async fn a_line_that_falls_silent_is_noticed_in_the_time_that_the_document_says() {
    let peer = server().await;
    create(&peer, "a").await;
    let admin = Admin { name: String::from("root"), password: String::from("hidden") };
    let options = Options { admins: vec![admin], ..Options::default() };
    let root = Root(Server::start(Storage::Memory, options).await);
    root.ask("PUT /b", &Value::Null).await;
    root.ask("PUT /c", &Value::Null).await;
    let line = Proxy::slow(peer.address, std::time::Duration::ZERO).await;
    let far = format!("http://{}/a", line.address);
    let timeouts =
        json!({"continuous": true, "connection_timeout": 1000, "retries_per_request": 1});
    // With a selector a source may read for long, and ten times as long is waited: not where it has nothing to read.
    root.ask("PUT /d", &Value::Null).await;
    let chosen = json!({"selector": {"_id": {"$gt": null}}, "connection_timeout": 5000});
    let none = json!({});
    let all =
        [("in", &*far, "b", &none), ("out", "c", &*far, &none), ("chosen", &*far, "d", &chosen)];
    for (id, source, target, more) in all {
        let mut document = timeouts.clone();
        for (name, value) in more.as_object().into_iter().flatten() {
            document[name] = value.clone();
        }
        document["source"] = json!(source);
        document["target"] = json!(target);
        assert_eq!(root.ask(&format!("PUT /_replicator/{id}"), &document).await.0, 201);
    }
    assert_eq!(ask(&peer, "PUT /a/one", &json!({})).await.0, 201);
    assert_eq!(root.ask("PUT /c/two", &json!({})).await.0, 201);
    until("the first", async || root.get("/b/one").await["_id"] == "one").await;
    until("the first one that was chosen", async || root.get("/d/one").await["_id"] == "one").await;
    until("the second", async || ask(&peer, "GET /a/two", &Value::Null).await.0 == 200).await;

    line.set_silent(true);
    assert_eq!(root.ask("PUT /c/three", &json!({})).await.0, 201);
    let state = async |id: &str| {
        root.get(&format!("/_scheduler/docs/_replicator/{id}")).await["state"].clone()
    };
    until("all are given up", async || {
        let states = [state("in").await, state("out").await, state("chosen").await];
        states.iter().all(|state| state == "crashing")
    })
    .await;

    // Whoever knows that the line is there again rewrites the documents: another option, and they begin anew at once.
    line.set_silent(false);
    assert_eq!(ask(&peer, "PUT /a/four", &json!({})).await.0, 201);
    for id in ["in", "out", "chosen"] {
        let mut document = root.get(&format!("/_replicator/{id}")).await;
        document["mended"] = json!(1);
        assert_eq!(root.ask(&format!("PUT /_replicator/{id}"), &document).await.0, 201);
    }
    until("the third", async || ask(&peer, "GET /a/three", &Value::Null).await.0 == 200).await;
    until("the fourth", async || root.get("/b/four").await["_id"] == "four").await;
    until("the chosen fourth", async || root.get("/d/four").await["_id"] == "four").await;
}
