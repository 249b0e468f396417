//! Answers that are longer than what the server holds of them.

use crate::client::{Connection, Server};
use serde_json::{Value, json};

#[tokio::test]
async fn all_local_documents_are_listed_however_many() {
    let server = Server::with_database().await;
    let count = 10_500;
    let docs: Vec<Value> =
        (0..count).map(|n| json!({"_id": format!("_local/{n:05}"), "n": n})).collect();
    let put = server.ask("POST /db/_bulk_docs", &json!({"docs": docs}).to_string()).await;
    assert_eq!(put.status, 201);
    for line in ["GET /db/_local_docs", "GET /db/_local_docs?include_docs=true"] {
        let list = server.ask(line, "").await.json();
        let rows = list["rows"].as_array().unwrap();
        assert_eq!(rows.len(), count, "{line}");
        for (n, row) in rows.iter().enumerate() {
            assert_eq!(row["id"], format!("_local/{n:05}"));
            assert_eq!(row["value"]["rev"], "0-1");
            let doc = row.get("doc").map(|doc| &doc["n"]);
            assert_eq!(doc.cloned(), line.contains("include").then(|| json!(n)), "{row}");
        }
    }
    let empty = server.ask("PUT /empty", "").await;
    assert_eq!(empty.status, 201);
    assert_eq!(server.ask("GET /empty/_local_docs", "").await.json()["rows"], json!([]));
}

/// As CouchDB's replicator writes its second checkpoint.
#[tokio::test]
async fn a_checkpoint_may_bring_its_revision_twice() {
    let server = Server::with_database().await;
    let first = server.ask("PUT /db/_local/c", r#"{"seq":1}"#).await.revision();
    let next = json!({"_rev": first, "_revisions": {"start": 0, "ids": ["1"]}, "seq": 2});
    let second = server.ask("PUT /db/_local/c", &next.to_string()).await;
    assert_eq!((second.status, second.revision()), (201, String::from("0-2")));
    assert_eq!(server.ask("GET /db/_local/c", "").await.json()["seq"], 2);
}

/// Each conflict is more than a page of the store; all of them come, in both forms.
#[tokio::test]
async fn many_large_revisions_come_whole() {
    let server = Server::with_database().await;
    let large = "x".repeat(700_000);
    let revisions: Vec<String> = (0..6).rev().map(|n| format!("1-{n}")).collect();
    for rev in &revisions {
        let docs = json!([{"_id": "a", "_rev": rev, "large": large}]);
        let body = json!({"new_edits": false, "docs": docs}).to_string();
        assert_eq!(server.ask("POST /db/_bulk_docs", &body).await.status, 201);
    }
    let told = |rows: &Value| -> Vec<String> {
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row["ok"]["_rev"].as_str().unwrap().to_owned()).collect()
    };
    let all = server.ask("GET /db/a?open_revs=all", "").await;
    assert_eq!(told(&all.json()), revisions);
    let asked = r#"GET /db/a?open_revs=["1-5","1-0","1-9","1-3"]"#;
    let some = server.ask(asked, "").await.json();
    assert_eq!(some[2], json!({"missing": "1-9"}));
    assert_eq!(some[3]["ok"]["_rev"], "1-3");
    let body = json!({"docs": [{"id": "a"}, {"id": "b"}, {"id": "a", "rev": "1-2"}]}).to_string();
    let bulk = server.ask("POST /db/_bulk_get", &body).await.json();
    assert_eq!(told(&bulk["results"][0]["docs"]), revisions);
    assert_eq!(bulk["results"][1]["docs"][0]["error"]["error"], "not_found");
    assert_eq!(told(&bulk["results"][2]["docs"]), ["1-2"]);
    for (line, body) in
        [("GET /db/a?open_revs=all", ""), ("POST /db/_bulk_get", r#"{"docs":[{"id":"a"}]}"#)]
    {
        let mut connection = Connection::open(server.address).await;
        let text = connection.multipart(line, body).await;
        assert_eq!(text.matches("\r\nContent-Type: application/json\r\n\r\n{").count(), 6);
        assert!(revisions.iter().all(|rev| text.contains(&format!("\"_rev\":\"{rev}\""))));
        assert!(text.len() > 6 * large.len() && text.ends_with("--"));
    }
}

#[tokio::test]
async fn no_revision_is_an_empty_list() {
    let server = Server::with_database().await;
    server.ask("PUT /db/a", "{}").await;
    assert_eq!(server.ask("GET /db/a?open_revs=[]", "").await.json(), json!([]));
    assert_eq!(server.ask("GET /db/b?open_revs=all", "").await.status, 404);
    let missing = server.ask(r#"GET /db/b?open_revs=["1-a"]"#, "").await;
    assert_eq!(missing.json(), json!([{"missing": "1-a"}]));
}

/// As in CouchDB, and nothing is written by it.
#[tokio::test]
async fn what_can_be_got_can_be_asked_for_its_head() {
    let server = Server::with_database().await;
    for path in [
        "/_uuids",
        "/_node/_local/_stats",
        "/db/_security",
        "/db/_revs_limit",
        "/db/_purged_infos_limit",
        "/db/_index",
        "/db/_shards",
    ] {
        let head = server.ask(&format!("HEAD {path}"), "").await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
    }
    assert_eq!(server.ask("HEAD /db/_find", "").await.status, 405);
    server.stop().await;
}
