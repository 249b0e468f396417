//! Filter functions of `_changes`.

use crate::client::{Feed, Server};
use serde_json::{Value, json};

const FILTERS: &str = r#"{
    "filters": {
        "r": "function (doc, req) { return doc.r === req.query.r }",
        "n": "function (doc) { return doc.n > 1 }",
        "late": "function (doc) { if (doc.boom) doc.no.such(); return true }",
        "show": "function (doc, req) { throw ['error', 'shown', JSON.stringify(req)] }",
        "broken": "function (", "number": 5
    },
    "views": {"v": {"map": "function (doc) { if (doc.r === 'paris') emit(1) }"}}
}"#;

async fn server() -> Server {
    let server = Server::with_database().await;
    let body = FILTERS.replace(", \"number\": 5", "");
    assert_eq!(server.ask("PUT /db/_design/f", &body).await.status, 201);
    server
}

async fn put(server: &Server, id: &str, body: &str) {
    assert_eq!(server.ask(&format!("PUT /db/{id}"), body).await.status, 201);
}

async fn ids(server: &Server, query: &str) -> Vec<String> {
    let answer = server.ask(&format!("GET /db/_changes?{query}"), "").await;
    assert_eq!(answer.status, 200, "{query}");
    let rows = answer.json()["results"].as_array().unwrap().clone();
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn functions_let_through_what_they_want() {
    let server = server().await;
    for n in 0..1200 {
        let region = if n % 3 == 0 { "tokyo" } else { "paris" };
        if n < 6 {
            put(&server, &format!("d{n}"), &json!({"r": region}).to_string()).await;
        }
    }
    assert_eq!(ids(&server, "filter=f/r&r=tokyo").await, ["d0", "d3"]);
    assert_eq!(ids(&server, "filter=f/r&r=tokyo&limit=1").await, ["d0"]);
    assert_eq!(ids(&server, "filter=f/r&r=tokyo&descending=true").await, ["d3", "d0"]);
    assert_eq!(ids(&server, "filter=_view&view=f/v").await, ["d1", "d2", "d4", "d5"]);
    let rows = server.ask("GET /db/_changes?filter=f/r&r=tokyo&include_docs=true", "").await.json();
    assert_eq!(rows["results"][0]["doc"]["r"], "tokyo");
    server.stop().await;
}

/// Pages of the store are filtered one after the other; a limit may fall into the middle of one.
#[tokio::test]
async fn a_large_database_is_filtered_page_by_page() {
    let server = server().await;
    let docs: Vec<Value> =
        (0..1500).map(|n| json!({"_id": format!("{n:04}"), "n": n % 4})).collect();
    let answer = server.ask("POST /db/_bulk_docs", &json!({"docs": docs}).to_string()).await;
    assert_eq!(answer.status, 201);
    assert_eq!(ids(&server, "filter=f/n").await.len(), 750);
    let (mut since, mut seen) = (String::from("0"), Vec::new());
    loop {
        let line = format!("GET /db/_changes?filter=f/n&limit=100&since={since}");
        let page = server.ask(&line, "").await.json();
        let rows = page["results"].as_array().unwrap();
        seen.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        since = page["last_seq"].as_str().unwrap().to_owned();
        if rows.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 750);
    seen.dedup();
    assert_eq!(seen.len(), 750);
    server.stop().await;
}

#[tokio::test]
async fn leaves_are_tried_one_by_one() {
    let server = server().await;
    let docs = json!({"new_edits": false, "docs": [
        {"_id": "a", "_rev": "2-bbb", "n": 1}, {"_id": "a", "_rev": "2-aaa", "n": 5}]});
    assert_eq!(server.ask("POST /db/_bulk_docs", &docs.to_string()).await.status, 201);
    assert_eq!(ids(&server, "filter=f/n").await, Vec::<String>::new());
    let rows = server.ask("GET /db/_changes?filter=f/n&style=all_docs", "").await.json();
    assert_eq!(rows["results"][0]["changes"], json!([{"rev": "2-aaa"}]));
    server.stop().await;
}

#[tokio::test]
async fn a_live_feed_has_heartbeats_and_an_end() {
    let server = server().await;
    let query = "since=now&heartbeat=50&filter=f/late";
    let mut feed = Feed::open(server.address, query, "{}").await;
    put(&server, "a", "{}").await;
    loop {
        let line = feed.line().await.unwrap();
        if !line.is_empty() {
            assert!(line.contains("\"id\":\"a\""), "{line}");
            break;
        }
    }
    assert_eq!(feed.line().await.unwrap(), "", "a heartbeat");
    put(&server, "b", r#"{"boom":true}"#).await;
    loop {
        let line = feed.line().await.unwrap();
        if !line.is_empty() {
            assert!(line.starts_with("{\"error\":\"TypeError\""), "{line}");
            break;
        }
    }
    assert_eq!(feed.line().await, None, "the feed has ended");
    server.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_told_before_the_feed() {
    let server = server().await;
    put(&server, "a", r#"{"boom":true}"#).await;
    for (query, status, error) in [
        ("filter=f/late", 500, "TypeError"),
        ("filter=f/late&feed=continuous", 500, "TypeError"),
        ("filter=f/late&feed=longpoll", 500, "TypeError"),
        ("filter=f/broken", 500, "compilation_error"),
        ("filter=f/none", 404, "not_found"),
        ("filter=none/none", 404, "not_found"),
        ("filter=f/a/b", 400, "bad_request"),
        ("filter=_none", 400, "bad_request"),
        ("filter=_view&view=f", 400, "bad_request"),
        ("filter=_view&view=f/none", 404, "not_found"),
    ] {
        let answer = server.ask(&format!("GET /db/_changes?{query}"), "").await;
        assert_eq!((answer.status, &answer.json()["error"]), (status, &json!(error)), "{query}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_filter_sees_the_request() {
    let server = server().await;
    let line = "POST /db/_changes?filter=f/show&x=1&x=2&key=%5B1%5D";
    let answer = server.ask(line, r#"{"a":1}"#).await;
    let request: Value = serde_json::from_str(answer.json()["reason"].as_str().unwrap()).unwrap();
    assert_eq!(request["method"], "POST");
    assert_eq!(request["query"], json!({"filter": "f/show", "x": "2", "key": [1]}));
    assert_eq!(request["path"], json!(["db", "_changes"]));
    assert_eq!(request["body"], json!({"a": 1}));
    assert_eq!(request["headers"]["Content-Type"], "application/json");
    assert_eq!(request["userCtx"]["db"], "db");
    assert_eq!(request["secObj"]["members"], json!({"roles": ["_admin"]}));
    assert_eq!(request["info"]["db_name"], "db");
    server.stop().await;
}
