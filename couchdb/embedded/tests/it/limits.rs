//! Who may ask, what is too much, what is not there.

use crate::client::{Connection, Server};
use blitz_embedded::{Admin, Options, Storage};
use serde_json::json;

/// `u:p` in base64.
const BASIC: &str = "Authorization: Basic dTpw\r\n";

#[tokio::test]
async fn with_an_administrator_data_needs_its_password() {
    let admins = vec![Admin { name: String::from("u"), password: String::from("p") }];
    let server = Server::start(Storage::Memory, Options { admins, ..Options::default() }).await;
    for (line, anonymous, known) in [
        ("GET /", 200, 200),
        ("GET /_up", 200, 200),
        ("PUT /db", 401, 201),
        ("GET /db", 401, 200),
        ("PUT /db/a", 401, 201),
        ("GET /db/a", 401, 200),
        ("GET /db/_changes", 401, 200),
        ("GET /db/_local/x", 401, 404),
        ("POST /db/_bulk_docs", 401, 400),
        ("GET /no-such-database", 404, 404),
        ("GET /_all_dbs", 401, 200),
        ("GET /_node/_local/_stats", 401, 200),
        ("DELETE /db", 401, 200),
    ] {
        for (headers, status) in [("", anonymous), (BASIC, known)] {
            let mut connection = Connection::open(server.address).await;
            connection.send(line, headers, "{}").await;
            assert_eq!(connection.answer(false).await.status, status, "{line} {headers:?}");
        }
    }
}

#[tokio::test]
async fn what_is_not_implemented_says_so() {
    let server = Server::with_database().await;
    for line in
        ["GET /db/_design/d/_show/v", "PUT /other?partitioned=true", "GET /_node/_local/_config"]
    {
        let answer = server.ask(line, "{}").await;
        assert_eq!(answer.status, 501, "{line}: {:?}", answer.json());
        assert_eq!(answer.json()["error"], "not_implemented");
    }
    assert_eq!(server.ask("PUT /db/_design/d", r#"{"views":{}}"#).await.status, 201);
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_not_stored() {
    let options =
        Options { document_bytes_max: 1000, attachment_bytes_max: 2000, ..Options::default() };
    let server = Server::start(Storage::Memory, options).await;
    server.ask("PUT /db", "").await;
    let body = json!({"x": "x".repeat(1000)}).to_string();
    let large = server.ask("PUT /db/a", &body).await;
    assert_eq!((large.status, large.json()["error"].as_str()), (413, Some("document_too_large")));
    assert_eq!(server.ask("GET /db/a", "").await.status, 404);
    assert_eq!(server.ask("PUT /db/a/x", &"x".repeat(2001)).await.status, 413);
    assert_eq!(server.ask("PUT /db/a/x", &"x".repeat(2000)).await.status, 201);
}

#[tokio::test]
async fn one_put_is_one_commit_and_one_request() {
    let server = Server::with_database().await;
    let commits = server.counter("commits").await;
    let requests = server.counter("httpd/requests").await;
    for id in ["a", "b", "c"] {
        assert_eq!(server.ask(&format!("PUT /db/{id}"), "{}").await.status, 201);
    }
    assert_eq!(server.ask("PUT /db/a", "{}").await.status, 409);
    let docs = json!({"docs": [{"_id": "d"}, {"_id": "e"}]}).to_string();
    assert_eq!(server.ask("POST /db/_bulk_docs", &docs).await.status, 201);
    assert_eq!(server.counter("commits").await - commits, 4);
    // The two that asked for the counters are counted too.
    assert_eq!(server.counter("httpd/requests").await - requests, 5 + 2);
}

#[tokio::test]
async fn rubbish_is_answered_and_the_connection_goes_on() {
    let server = Server::with_database().await;
    let mut connection = Connection::open(server.address).await;
    for (line, status) in [
        ("GET /%FF", 404),
        ("PUT /db/%FF", 400),
        ("GET /db/_all_docs?startkey=%7B", 400),
        ("GET /db/_changes?since=999-abc", 400),
        ("GET /db/_changes?limit=99999999999999999999", 200),
        ("GET /db/_all_docs?skip=9223372036854775807", 200),
        ("GET /db/a?rev=99999999999999999999-a", 404),
        ("PUT /db/_revs_limit", 400),
        ("GET /db/..%2f..%2fetc%2fpasswd", 404),
        ("GET /db", 200),
    ] {
        assert_eq!(connection.ask(line, "{}").await.status, status, "{line}");
    }
}

/// What people type into a shell, with the quotes of JSON as they are.
#[tokio::test]
async fn the_first_request_of_a_connection_may_have_quotes_in_its_url() {
    let server = Server::with_database().await;
    server.ask("PUT /db/a", "{}").await;
    let list = server.ask("GET /db/_all_docs?keys=[\"a\"]", "").await;
    assert_eq!((list.status, &list.json()["rows"][0]["id"]), (200, &json!("a")));
}

#[tokio::test]
async fn a_history_longer_than_the_limit_is_cut() {
    let server = Server::with_database().await;
    server.ask("PUT /db/_revs_limit", "5").await;
    let ids: Vec<String> = (0..50_000).map(|n| format!("{n:x}")).collect();
    let doc = json!({"_id": "a", "_revisions": {"start": 60_000, "ids": ids}});
    let body = json!({"new_edits": false, "docs": [doc]}).to_string();
    assert_eq!(server.ask("POST /db/_bulk_docs", &body).await.status, 201);
    let read = server.ask("GET /db/a?revs=true", "").await.json();
    assert_eq!(read["_revisions"], json!({"start": 60_000, "ids": ["0", "1", "2", "3", "4"]}));
}
