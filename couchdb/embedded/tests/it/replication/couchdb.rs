//! The same with an Apache CouchDB, both as the one that replicates and as the peer.
//!
//! Runs when `BLITZ_TEST_COUCHDB` has its URL with the credentials of an administrator, such as
//! `http://admin:pw@127.0.0.1:5984`.

use super::{ask, create, fill, get, leaves, replicate, server, session};
use crate::client::{Connection, Server, patient};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::SocketAddr};

/// The CouchDB of the tests.
struct Couch {
    url: String,
    address: SocketAddr,
    authorization: String,
}

impl Couch {
    /// None when there is none; says so.
    async fn of_environment() -> Option<Couch> {
        let Ok(url) = std::env::var("BLITZ_TEST_COUCHDB") else {
            skipped();
            return None;
        };
        let url = url.trim_end_matches('/').to_owned();
        let rest = url.strip_prefix("http://").expect("an http URL");
        let (credentials, host) = rest.split_once('@').expect("a URL with credentials");
        let address = tokio::net::lookup_host(host).await.unwrap().next().unwrap();
        let authorization = format!("Authorization: Basic {}\r\n", STANDARD.encode(credentials));
        Some(Couch { url, address, authorization })
    }

    async fn ask(&self, line: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut connection = Connection::open(self.address).await;
        connection.send(line, &self.authorization, &body).await;
        let answer = patient(connection.answer(false)).await;
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    /// All leaves of all documents, the winner first.
    async fn leaves(&self, name: &str) -> BTreeMap<String, Vec<String>> {
        let (_, changes) =
            self.ask(&format!("GET /{name}/_changes?style=all_docs"), &Value::Null).await;
        let leaf = |change: &Value| change["rev"].as_str().unwrap().to_owned();
        let row = |row: &Value| {
            let id = row["id"].as_str().unwrap().to_owned();
            (id, row["changes"].as_array().unwrap().iter().map(leaf).collect())
        };
        changes["results"]
            .as_array()
            .unwrap_or_else(|| panic!("{changes}"))
            .iter()
            .map(row)
            .collect()
    }

    async fn drop_database(&self, name: &str) {
        self.ask(&format!("DELETE /{name}"), &Value::Null).await;
    }
}

#[expect(clippy::print_stderr, reason = "who reads the tests shall know what they did not show")]
fn skipped() {
    eprintln!("skipped: BLITZ_TEST_COUCHDB is not set");
}

/// A name that no other run has.
fn name(what: &str) -> String {
    let moment = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("blitz_repl_{what}_{:x}", moment.as_nanos())
}

/// Documents with conflicts, tombstones and attachments.
async fn filled() -> Server {
    let ours = server().await;
    fill(&ours, "a", 300).await;
    create(&ours, "back").await;
    let data = STANDARD.encode(vec![7; 1 << 20]);
    let body = json!({"_attachments": {
        "large": {"content_type": "application/octet-stream", "data": data},
        "text": {"content_type": "text/plain", "data": STANDARD.encode("hi ".repeat(1000))},
    }});
    assert_eq!(ask(&ours, "PUT /a/attached", &body).await.0, 201);
    ours
}

async fn check(ours: &Server, couch: &Couch, there: &str) {
    let wanted = leaves(ours, "a").await;
    assert!(couch.leaves(there).await == wanted, "CouchDB has others");
    assert!(leaves(ours, "back").await == wanted, "they came back otherwise");
    for name in ["large", "text"] {
        let line = |database: &str| format!("GET /{database}/attached/{name}");
        let (before, after) = (ours.ask(&line("a"), "").await, ours.ask(&line("back"), "").await);
        assert!(before.body == after.body && !before.body.is_empty(), "{name}");
    }
    assert!(get(ours, "/back").await["doc_del_count"] == get(ours, "/a").await["doc_del_count"]);
}

#[tokio::test]
async fn we_push_to_couchdb_and_pull_back() {
    let Some(couch) = Couch::of_environment().await else { return };
    let (ours, there) = (filled().await, name("push"));
    let remote = format!("{}/{there}", couch.url);
    for (source, target) in [("a", remote.as_str()), (remote.as_str(), "back")] {
        let body = json!({"source": source, "target": target, "create_target": true});
        let (read, written, failed) = session(&replicate(&ours, &body).await);
        assert!(read == written && failed == 0 && read > 300, "{read} {written} {failed}");
        assert_eq!(replicate(&ours, &body).await["no_changes"], true);
    }
    check(&ours, &couch, &there).await;
    couch.drop_database(&there).await;
    ours.stop().await;
}

#[tokio::test]
async fn couchdb_pulls_from_us_and_pushes_back() {
    let Some(couch) = Couch::of_environment().await else { return };
    let (ours, there) = (filled().await, name("pull"));
    let (local, remote) = (format!("http://{}", ours.address), format!("{}/{there}", couch.url));
    for (source, target) in
        [(format!("{local}/a"), remote.clone()), (remote.clone(), format!("{local}/back"))]
    {
        let body = json!({"source": source, "target": target, "create_target": true});
        let (status, answer) = couch.ask("POST /_replicate", &body).await;
        assert_eq!(status, 200, "{answer}");
        let (read, written, failed) = session(&answer);
        assert!(read == written && failed == 0 && read > 300, "{read} {written} {failed}");
    }
    check(&ours, &couch, &there).await;
    couch.drop_database(&there).await;
    ours.stop().await;
}
