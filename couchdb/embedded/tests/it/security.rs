//! `_security`: who comes into a database, and design documents by every door.

use crate::{
    auth::{add_user, ask, basic, options},
    client::{Connection, Server},
};
use blitz_embedded::Storage;
use serde_json::json;

#[tokio::test]
async fn design_documents_are_for_administrators_by_every_door() {
    let server = Server::start(Storage::Memory, options()).await;
    add_user(&server, "ann", "a", &["engine"]).await;
    let root = basic("root:pw");
    assert_eq!(ask(&server, "PUT /db", &root, "").await.0, 201);
    let security = json!({"members": {"roles": ["engine"]}}).to_string();
    assert_eq!(ask(&server, "PUT /db/_security", &root, &security).await.0, 200);
    assert_eq!(ask(&server, "PUT /db/_design/d", &root, "{}").await.0, 201);
    let ann = basic("ann:a");
    let bulk = |new_edits: bool| {
        let docs = json!([{"_id": "_design/x", "_rev": "1-a"}]);
        json!({"docs": docs, "new_edits": new_edits}).to_string()
    };
    for (line, body, status) in [
        ("PUT /db/a", String::from("{}"), 201),
        ("GET /db/_design/d", String::new(), 200),
        ("PUT /db/_design/x", String::from("{}"), 403),
        ("PUT /db/_design%2Fx", String::from("{}"), 403),
        ("PUT /db/_design/x?new_edits=false", json!({"_rev": "1-a"}).to_string(), 403),
        ("PUT /db/_design/x?batch=ok", String::from("{}"), 403),
        ("POST /db", json!({"_id": "_design/x"}).to_string(), 403),
        ("PUT /db/_design/x/file", String::from("text"), 403),
        ("PUT /db/_design/d/file", String::from("text"), 403),
        ("DELETE /db/_design/d", String::new(), 403),
        ("DELETE /db/_design/d/file", String::new(), 403),
        ("POST /db/_index", json!({"index": {"fields": ["a"]}}).to_string(), 403),
        ("POST /db/_compact", String::new(), 401),
        ("POST /db/_view_cleanup", String::new(), 401),
        ("POST /db/_purge", String::from("{}"), 401),
        ("PUT /db/_purged_infos_limit", String::from("5"), 401),
        ("PUT /db/_revs_limit", String::from("5"), 403),
        ("PUT /db/_security", String::from("{}"), 403),
        ("GET /db/_security", String::new(), 200),
        ("GET /db/_revs_limit", String::new(), 200),
        ("DELETE /db", String::new(), 401),
        ("PUT /other", String::new(), 401),
        ("GET /_replicator", String::new(), 403),
        ("GET /_global_changes", String::new(), 401),
        ("GET /_nothing", String::new(), 401),
        ("GET /missing", String::new(), 404),
    ] {
        let (got, _, said) = ask(&server, line, &ann, &body).await;
        assert_eq!(got, status, "{line}: {said}");
    }
    for new_edits in [true, false] {
        let line = "POST /db/_bulk_docs";
        let (status, _, said) = ask(&server, line, &ann, &bulk(new_edits)).await;
        assert_eq!(status, 201);
        assert!(said.contains("You are not a db or server admin."), "{said}");
    }
    assert_eq!(ask(&server, "GET /db/_design/x", &root, "").await.0, 404);
    // An administrator of the database may, but what is the server's stays the server's.
    let security = json!({"admins": {"names": ["ann"]}}).to_string();
    assert_eq!(ask(&server, "PUT /db/_security", &root, &security).await.0, 200);
    for (line, body, status) in [
        ("PUT /db/_design/x", "{}", 201),
        ("POST /db/_compact", "", 202),
        ("PUT /db/_revs_limit", "5", 200),
        ("POST /db/_purge", "{}", 401),
        ("DELETE /db", "", 401),
    ] {
        assert_eq!(ask(&server, line, &ann, body).await.0, status, "{line}");
    }
    server.stop().await;
}

#[tokio::test]
async fn replications_of_others_stay_hidden() {
    let server = Server::start(Storage::Memory, options()).await;
    add_user(&server, "ann", "a", &[]).await;
    let root = basic("root:pw");
    assert_eq!(ask(&server, "PUT /_replicator/_security", &root, "{}").await.0, 200);
    for (line, status) in [
        ("GET /_replicator/job", 403),
        ("GET /_replicator/_all_docs?include_docs=true", 401),
        ("GET /_replicator/_changes?include_docs=true", 401),
        ("POST /_replicator/_bulk_get", 403),
        ("POST /_replicator/_find", 403),
        ("GET /_replicator/_local_docs", 403),
    ] {
        let (got, _, said) = ask(&server, line, &basic("ann:a"), "{}").await;
        assert_eq!(got, status, "{line}: {said}");
    }
    server.stop().await;
}

/// A page of the web may have its own name point to this machine, and its requests are then those of one
/// origin for the browser (DNS rebinding). Where everybody is an administrator it must not get in.
#[tokio::test]
async fn a_server_without_administrators_answers_to_no_name_of_the_web() {
    let server = Server::with_database().await;
    let open = async |host: &str| {
        let mut connection = Connection::open(server.address).await;
        connection.send_to(host, "GET /db").await;
        connection.answer(false).await
    };
    for host in [
        "localhost",
        "localhost:5984",
        "127.0.0.1:1",
        "[::1]:5984",
        "[::1]",
        "a.localhost",
        "couchdb",
        "couchdb:5984",
        "10.1.2.3",
        "LOCALHOST",
        "",
    ] {
        assert_eq!(open(host).await.status, 200, "{host}");
    }
    for host in [
        "evil.example",
        "evil.example:5984",
        "evil.example.",
        "localhost.",
        "a.localhost.evil.org",
        "127.0.0.1.evil.org",
        "127.0.0.1@evil.org",
        "user@evil.org:80",
        "evil.localhost:x",
        "[::1].evil.org",
        "\u{e9}",
    ] {
        let answer = open(host).await;
        assert!((400..404).contains(&answer.status), "{host}: {}", answer.status);
    }
    let answer = open("evil.example").await;
    assert_eq!(answer.status, 403);
    let reason = answer.json()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("evil.example") && reason.contains("administrator"), "{reason}");
    server.stop().await;
    let server = Server::start(Storage::Memory, options()).await;
    let mut connection = Connection::open(server.address).await;
    connection.send_to("store.example", "GET /").await;
    assert_eq!(
        connection.answer(false).await.status,
        200,
        "with administrators a name is no matter"
    );
    server.stop().await;
}
