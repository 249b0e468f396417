//! Views: what is indexed, when, and what becomes of it.

use crate::{
    child::Served,
    client::{Connection, Server},
};
use blitz_embedded::{Options, Storage};
use serde_json::{Value, json};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// A view that counts, and one that is not reduced, over `n` of each document.
fn design() -> String {
    json!({"views": {
        "rows": {"map": "function (doc) { if ('n' in doc) emit(doc.n, doc.v) }"},
        "sum": {
            "map": "function (doc) { if ('n' in doc) emit([doc.n % 3, doc.n], 1) }",
            "reduce": "_sum",
        },
        "script": {
            "map": "function (doc) { if ('n' in doc) emit([doc.n % 3, doc.n], doc.n) }",
            "reduce": "function (keys, values, again) { return sum(values) }",
        },
    }})
    .to_string()
}

async fn put_documents(server: &Server, from: usize, to: usize) {
    let docs: Vec<Value> =
        (from..to).map(|n| json!({"_id": format!("d{n:06}"), "n": n, "v": "x"})).collect();
    let put = server.ask("POST /db/_bulk_docs", &json!({"docs": docs}).to_string()).await;
    assert_eq!(put.status, 201);
}

async fn on_disk(directory: &Path) -> Server {
    Server::start(Storage::Directory(directory.into()), Options::default()).await
}

fn files(directory: &Path) -> Vec<String> {
    let files = std::fs::read_dir(directory.join("views")).into_iter().flatten();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".sqlite")).collect()
}

/// More rows than a page has, through every way of reading them.
#[tokio::test]
async fn long_answers_come_whole() {
    let server = Server::with_database().await;
    assert_eq!(server.ask("PUT /db/_design/d", &design()).await.status, 201);
    put_documents(&server, 0, 3_100).await;
    for (query, first, last, count) in [
        ("", 0, 3_099, 3_100),
        ("?descending=true", 3_099, 0, 3_100),
        ("?startkey=1000&endkey=2000", 1_000, 2_000, 1_001),
        ("?startkey=2000&endkey=1000&descending=true&inclusive_end=false", 2_000, 1_001, 1_000),
        ("?skip=3000", 3_000, 3_099, 100),
        ("?skip=700&limit=1200&include_docs=true", 700, 1_899, 1_200),
    ] {
        let answer = server.ask(&format!("GET /db/_design/d/_view/rows{query}"), "").await.json();
        let rows = answer["rows"].as_array().unwrap();
        assert_eq!(rows.len(), count, "{query}");
        assert_eq!((&rows[0]["key"], &rows[count - 1]["key"]), (&json!(first), &json!(last)));
        assert!(!query.contains("docs") || rows.iter().all(|row| row["doc"]["n"] == row["key"]));
        assert_eq!(answer["total_rows"], 3_100);
    }
    let keys: Vec<usize> = (0..1_500).map(|n| n * 2).collect();
    let body = json!({"keys": keys}).to_string();
    let rows = server.ask("POST /db/_design/d/_view/rows?skip=10", &body).await.json();
    assert_eq!(rows["rows"].as_array().unwrap().len(), 1_490);
    assert_eq!(rows["rows"][0]["key"], 20);
    for (view, each) in [("sum", 1), ("script", 0)] {
        let line = format!("GET /db/_design/d/_view/{view}?group=true");
        let rows = server.ask(&line, "").await.json();
        let rows = rows["rows"].as_array().unwrap();
        assert_eq!(rows.len(), 3_100, "{view}");
        let sound = |row: &Value| each == 1 && row["value"] == 1 || row["value"] == row["key"][1];
        assert!(rows.iter().all(sound), "{view}");
        let line = format!("GET /db/_design/d/_view/{view}?group_level=1");
        let rows = server.ask(&line, "").await.json();
        let sum = |rest: usize| -> usize {
            (0..3_100).filter(|n| n % 3 == rest).map(|n| if each == 1 { 1 } else { n }).sum()
        };
        for rest in 0..3 {
            assert_eq!(rows["rows"][rest], json!({"key": [rest], "value": sum(rest)}), "{view}");
        }
        let line = format!("GET /db/_design/d/_view/{view}?group=true&skip=250&limit=500");
        let some = server.ask(&line, "").await.json();
        let some = some["rows"].as_array().unwrap();
        assert_eq!(some.len(), 500, "{view}");
        assert_eq!(some[0]["key"], json!([0, 750]), "{view}");
    }
}

#[tokio::test]
async fn an_index_outlives_the_process_and_follows_the_documents() {
    let directory = tempfile::tempdir().unwrap();
    let server = on_disk(directory.path()).await;
    assert_eq!(server.ask("PUT /db", "").await.status, 201);
    assert_eq!(server.ask("PUT /db/_design/d", &design()).await.status, 201);
    put_documents(&server, 0, 100).await;
    let total = async |server: &Server, query: &str| {
        let answer = server.ask(&format!("GET /db/_design/d/_view/rows?limit=0{query}"), "").await;
        answer.json()["total_rows"].as_u64().unwrap()
    };
    assert_eq!(total(&server, "").await, 100);
    assert_eq!(files(directory.path()).len(), 1);
    server.stop().await;

    let server = on_disk(directory.path()).await;
    assert_eq!(total(&server, "&update=false").await, 100, "it is read, not made again");
    put_documents(&server, 100, 130).await;
    assert_eq!(total(&server, "&stale=ok").await, 100);
    assert_eq!(total(&server, "").await, 130);
    let revision = server.ask("GET /db/d000005", "").await.json()["_rev"].clone();
    let line = format!("DELETE /db/d000005?rev={}", revision.as_str().unwrap());
    assert_eq!(server.ask(&line, "").await.status, 200);
    assert_eq!(total(&server, "").await, 129);
    // Another design, the old index stays until it is cleaned up.
    let revision = server.ask("GET /db/_design/d", "").await.json()["_rev"].clone();
    let mut other: Value = serde_json::from_str(&design()).unwrap();
    other["_rev"] = revision;
    other["views"]["rows"]["map"] = json!("function (doc) { emit(doc._id) }");
    assert_eq!(server.ask("PUT /db/_design/d", &other.to_string()).await.status, 201);
    assert_eq!(total(&server, "").await, 129);
    assert_eq!(files(directory.path()).len(), 2);
    assert_eq!(server.ask("POST /db/_view_cleanup", "").await.status, 202);
    assert_eq!(files(directory.path()).len(), 1);
    assert_eq!(total(&server, "&update=false").await, 129);
    assert_eq!(server.ask("DELETE /db", "").await.status, 200);
    assert_eq!(files(directory.path()).len(), 0);
    server.stop().await;
}

/// What is no index, or one of an older copy of the store, is made again.
#[tokio::test]
async fn an_index_that_cannot_be_used_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let server = on_disk(directory.path()).await;
    server.ask("PUT /db", "").await;
    server.ask("PUT /db/_design/d", &design()).await;
    put_documents(&server, 0, 50).await;
    let line = "GET /db/_design/d/_view/rows";
    let rows = server.ask(line, "").await.json();
    server.stop().await;
    let views = directory.path().join("views");
    let name = files(directory.path()).remove(0);
    std::fs::write(views.join(&name), "this is no index").unwrap();
    let server = on_disk(directory.path()).await;
    assert_eq!(server.ask(line, "").await.json(), rows);
    server.stop().await;

    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(directory.path().join("store.sqlite"), copy.path().join("store.sqlite")).unwrap();
    let server = on_disk(directory.path()).await;
    put_documents(&server, 50, 80).await;
    assert_eq!(server.ask(line, "").await.json()["total_rows"], 80);
    server.stop().await;
    std::fs::create_dir(copy.path().join("views")).unwrap();
    std::fs::copy(views.join(&name), copy.path().join("views").join(&name)).unwrap();
    let server = on_disk(copy.path()).await;
    assert_eq!(server.ask(line, "").await.json(), rows);
    server.stop().await;
}

#[tokio::test]
async fn a_lazy_update_comes_after_the_answer() {
    let server = Server::with_database().await;
    server.ask("PUT /db/_design/d", &design()).await;
    put_documents(&server, 0, 10).await;
    let line = "GET /db/_design/d/_view/rows?update=lazy";
    assert_eq!(server.ask(line, "").await.json()["total_rows"], 0);
    let deadline = Instant::now() + Duration::from_secs(20);
    let line = "GET /db/_design/d/_view/rows?update=false";
    while server.ask(line, "").await.json()["total_rows"] != 10 {
        assert!(Instant::now() < deadline, "the index is not brought up to date");
        tokio::task::yield_now().await;
    }
}

/// Many ask at once while documents come: each sees at least what was there when it asked.
#[tokio::test]
async fn those_who_ask_together_share_the_work() {
    let server = Server::with_database().await;
    server.ask("PUT /db/_design/d", &design()).await;
    put_documents(&server, 0, 1_000).await;
    let ask = async |_: usize| {
        let mut connection = Connection::open(server.address).await;
        let answer = connection.ask("GET /db/_design/d/_view/sum", "").await.json();
        answer["rows"][0]["value"].as_u64().unwrap()
    };
    let more = put_documents(&server, 1_000, 1_200);
    let (asked, ()) = tokio::join!(futures_util::future::join_all((0..20).map(ask)), more);
    assert!(asked.iter().all(|count| (1_000..=1_200).contains(count)), "{asked:?}");
    assert_eq!(ask(0).await, 1_200);
}

#[tokio::test]
async fn options_of_a_design_document() {
    let server = Server::with_database().await;
    let body = json!({
        "options": {"include_design": true, "local_seq": true},
        "views": {"all": {"map": "function (doc) { emit(doc._id, doc._local_seq) }"}},
    });
    server.ask("PUT /db/_design/d", &body.to_string()).await;
    server.ask("PUT /db/a", "{}").await;
    let rows = server.ask("GET /db/_design/d/_view/all", "").await.json();
    let expected = json!([
        {"id": "_design/d", "key": "_design/d", "value": 1},
        {"id": "a", "key": "a", "value": 2},
    ]);
    assert_eq!(rows["rows"], expected);
}

#[tokio::test]
async fn what_is_not_here_is_named() {
    let server = Server::with_database().await;
    server.ask("PUT /db/_design/d", &design()).await;
    for part in ["_show/x", "_list/x/y", "_update/x", "_rewrite/x", "_search/x", "_nouveau/x"] {
        let answer = server.ask(&format!("GET /db/_design/d/{part}"), "").await;
        assert_eq!(answer.status, 501, "{part}");
        let reason = answer.json()["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains(part.split('/').next().unwrap()), "{reason}");
    }
    let info = server.ask("GET /db/_design/d/_info", "").await.json();
    assert_eq!(info["name"], "d");
    assert_eq!(server.ask("POST /db/_compact/d", "").await.status, 202);
    assert_eq!(server.ask("POST /db/_compact/nope", "").await.status, 404);
}

/// Each time the process is killed in the middle of indexing, somewhere else.
#[tokio::test]
async fn an_index_survives_the_end_of_its_process() {
    let directory = tempfile::tempdir().unwrap();
    let server = on_disk(directory.path()).await;
    server.ask("PUT /db", "").await;
    server.ask("PUT /db/_design/d", &design()).await;
    for from in (0..6_000).step_by(1_000) {
        put_documents(&server, from, from + 1_000).await;
    }
    server.stop().await;
    let mut seen = 0;
    for round in 0..5 {
        let child = Served::start(directory.path());
        let mut asks = Connection::open(child.address()).await;
        asks.send("GET /db/_design/d/_view/sum", "", "").await;
        let mut looks = Connection::open(child.address()).await;
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            assert!(Instant::now() < deadline, "round {round}: nothing is indexed");
            let line = "GET /db/_design/d/_view/rows?update=false&limit=0";
            let rows = looks.ask(line, "").await.json()["total_rows"].as_u64().unwrap();
            assert!(rows >= seen, "round {round}: {rows} rows after {seen}");
            let is_further = rows > seen || rows == 6_000;
            seen = rows;
            if is_further {
                break;
            }
        }
        child.kill();
    }
    let server = on_disk(directory.path()).await;
    let rows = server.ask("GET /db/_design/d/_view/rows", "").await.json();
    let rows = rows["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 6_000);
    assert!(rows.iter().enumerate().all(|(n, row)| row["key"] == n));
    let sum = server.ask("GET /db/_design/d/_view/sum", "").await.json();
    assert_eq!(sum["rows"][0]["value"], 6_000);
    server.stop().await;
}

/// Prints what an index costs: `cargo test --release ... -- --ignored --nocapture views::speed`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn speed() {
    let directory = tempfile::tempdir().unwrap();
    let server = on_disk(directory.path()).await;
    server.ask("PUT /db", "").await;
    let map = |key: &str| format!("function (doc) {{ if ('n' in doc) emit({key}, 1) }}");
    let body = json!({"views": {
        "a": {"map": map("[doc.n % 10, doc.n]"), "reduce": "_sum"},
        "b": {"map": map("doc.n"), "reduce": "_count"},
        "c": {"map": map("doc.v"), "reduce": "function (k, v) { return sum(v) }"},
    }});
    server.ask("PUT /db/_design/d", &body.to_string()).await;
    let count: usize = std::env::var("VIEWS_COUNT").map_or(20_000, |count| count.parse().unwrap());
    for from in (0..count).step_by(1_000) {
        put_documents(&server, from, from + 1_000).await;
    }
    let mut lines = Vec::new();
    let mut time = async |what: &str, line: &str| {
        let start = Instant::now();
        assert_eq!(server.ask(line, "").await.status, 200, "{line}");
        lines.push(format!("{what}: {:?}", start.elapsed()));
    };
    time("index", "GET /db/_design/d/_view/a?limit=1&reduce=false").await;
    for _ in 0..3 {
        time("_sum, group_level=1", "GET /db/_design/d/_view/a?group_level=1").await;
    }
    time("_count", "GET /db/_design/d/_view/b").await;
    time("script, group=true", "GET /db/_design/d/_view/c?group=true").await;
    time("rows", "GET /db/_design/d/_view/b?reduce=false").await;
    let mut times = Vec::new();
    for n in 0..51 {
        put_documents(&server, count + n, count + n + 1).await;
        let start = Instant::now();
        server.ask("GET /db/_design/d/_view/a?group_level=1", "").await;
        times.push(start.elapsed());
    }
    times.sort();
    lines.push(format!("one document and _sum, group_level=1: p50 {:?}", times[25]));
    println!("{}", lines.join("\n"));
    server.stop().await;
}
