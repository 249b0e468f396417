//! `_purge`: revisions that go as if they had never been.

use crate::client::{Feed, Server};
use blitz_embedded::{Options, Storage};
use serde_json::{Value, json};

async fn purge(server: &Server, asked: Value) -> Value {
    let answer = server.ask("POST /db/_purge", &asked.to_string()).await;
    assert_eq!(answer.status, 201, "{:?}", answer.json());
    answer.json()["purged"].clone()
}

/// The counters of `GET /db`: update sequence, purge sequence, documents, tombstones.
async fn numbers(server: &Server) -> (u64, u64, u64, u64) {
    let info = server.ask("GET /db", "").await.json();
    let sequence = |name: &str| {
        info[name].as_str().unwrap().split('-').next().unwrap().parse::<u64>().unwrap()
    };
    let count = |name: &str| info[name].as_u64().unwrap();
    (sequence("update_seq"), sequence("purge_seq"), count("doc_count"), count("doc_del_count"))
}

async fn bring(server: &Server, docs: Value) {
    let body = json!({"new_edits": false, "docs": docs}).to_string();
    assert_eq!(server.ask("POST /db/_bulk_docs", &body).await.status, 201);
}

/// The numbers are those of Apache CouchDB 3.5.0 with `q=1`.
#[tokio::test]
async fn the_sequences_move_as_in_couchdb() {
    let server = Server::with_database().await;
    let rows = ["a", "b", "c"].map(|id| json!({"_id": id, "_rev": "1-a"}));
    bring(&server, json!(rows)).await;
    assert_eq!(numbers(&server).await, (3, 0, 3, 0));
    assert_eq!(purge(&server, json!({"a": ["1-a"]})).await, json!({"a": ["1-a"]}));
    assert_eq!(numbers(&server).await, (4, 1, 2, 0));
    assert_eq!(purge(&server, json!({"nope": ["1-a"]})).await, json!({"nope": []}));
    assert_eq!(numbers(&server).await, (5, 2, 2, 0));
    purge(&server, json!({"b": ["1-a"], "c": ["1-a"]})).await;
    assert_eq!(numbers(&server).await, (6, 4, 0, 0));
    assert_eq!(purge(&server, json!({})).await, json!({}));
    assert_eq!(numbers(&server).await, (6, 4, 0, 0));
    let changes = server.ask("GET /db/_changes", "").await.json();
    assert_eq!(changes["results"], json!([]));
}

#[tokio::test]
async fn the_other_leaves_of_a_document_stay_and_its_feeds_hear_of_it() {
    let server = Server::with_database().await;
    let path = |ids: Value| json!({"start": 2, "ids": ids});
    bring(
        &server,
        json!([
            {"_id": "a", "_rev": "2-c", "_revisions": path(json!(["c", "r"])), "v": "c"},
            {"_id": "a", "_rev": "2-b", "_revisions": path(json!(["b", "r"])), "v": "b"},
            {"_id": "a", "_rev": "9-t", "_deleted": true},
        ]),
    )
    .await;
    let mut feed = Feed::open(server.address, "since=now", "{}").await;
    // Inner revisions are no leaves and stay.
    let asked = json!({"a": ["2-c", "1-r", "2-x"]});
    assert_eq!(purge(&server, asked).await, json!({"a": ["2-c"]}));
    let row = feed.row().await.unwrap();
    assert_eq!((&row["id"], &row["changes"][0]["rev"]), (&json!("a"), &json!("2-b")));
    assert_eq!(server.ask("GET /db/a", "").await.json()["v"], "b");
    assert_eq!(numbers(&server).await.2, 1);
    // What is left is a tombstone, then nothing.
    purge(&server, json!({"a": ["2-b"]})).await;
    assert_eq!((numbers(&server).await.2, numbers(&server).await.3), (0, 1));
    assert_eq!(server.ask("GET /db/a", "").await.json()["reason"], "deleted");
    purge(&server, json!({"a": ["9-t"]})).await;
    assert_eq!(numbers(&server).await.3, 0);
    assert_eq!(server.ask("GET /db/a", "").await.json()["reason"], "missing");
    assert_eq!(server.ask("PUT /db/a", "{}").await.status, 201);
}

#[tokio::test]
async fn attachments_of_purged_revisions_are_released() {
    let server = Server::with_database().await;
    let empty = server.ask("GET /db", "").await.json()["sizes"].clone();
    let body = json!({"_attachments": {"x": {"data": "aGVsbG8="}}}).to_string();
    let revision = server.ask("PUT /db/a", &body).await.revision();
    assert_ne!(server.ask("GET /db", "").await.json()["sizes"], empty);
    purge(&server, json!({"a": [revision]})).await;
    assert_eq!(server.ask("GET /db", "").await.json()["sizes"], empty);
    assert_eq!(server.ask("GET /db/a/x", "").await.status, 404);
}

#[tokio::test]
async fn what_was_purged_is_remembered_up_to_a_limit_and_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::Directory(directory.path().to_owned());
    let server = Server::start(storage.clone(), Options::default()).await;
    server.ask("PUT /db", "").await;
    assert_eq!(server.ask("PUT /db/_purged_infos_limit", "2").await.status, 200);
    for bad in ["0", "-1", "\"x\"", "1.5"] {
        let answer = server.ask("PUT /db/_purged_infos_limit", bad).await;
        assert_eq!(answer.json()["reason"], "`purged_infos_limit` must be positive integer");
    }
    for id in ["a", "b", "c"] {
        purge(&server, json!({ id: ["1-a"] })).await;
    }
    let infos = json!([{"id": "b", "revs": ["1-a"]}, {"id": "c", "revs": ["1-a"]}]);
    let told = server.ask("GET /db/_purged_infos", "").await.json();
    assert_eq!(told["purged_infos"], infos);
    server.stop().await;
    let server = Server::start(storage, Options::default()).await;
    let told = server.ask("GET /db/_purged_infos", "").await.json();
    assert_eq!(told["purged_infos"], infos);
    assert_eq!(server.ask("GET /db/_purged_infos_limit", "").await.json(), 2);
    assert_eq!(numbers(&server).await, (3, 3, 0, 0));
}
