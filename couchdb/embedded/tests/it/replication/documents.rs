//! The documents of `_replicator`, from their first revision to their deletion.

use super::{ask, create, server, until, url};
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
