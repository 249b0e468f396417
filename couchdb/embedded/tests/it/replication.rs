//! Replication by the server itself: two servers in this process, and what may go wrong between them.

mod couchdb;
mod documents;
mod forbidding;
mod proxy;

use crate::client::Server;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use blitz_embedded::{Options, Storage};
use forbidding::Forbidding;
use proxy::Proxy;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// How often a condition that must come is looked at.
const LOOK: Duration = Duration::from_millis(20);

async fn server() -> Server {
    Server::start(Storage::Memory, Options::default()).await
}

async fn ask(server: &Server, line: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = server.ask(line, &body).await;
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

async fn get(server: &Server, path: &str) -> Value {
    ask(server, &format!("GET {path}"), &Value::Null).await.1
}

async fn create(server: &Server, name: &str) {
    assert_eq!(ask(server, &format!("PUT /{name}"), &Value::Null).await.0, 201);
}

fn url(server: &Server, name: &str) -> String {
    format!("http://{}/{name}", server.address)
}

async fn replicate(server: &Server, body: &Value) -> Value {
    let (status, answer) = ask(server, "POST /_replicate", body).await;
    assert!(matches!(status, 200 | 202), "{status} {answer}");
    answer
}

/// The counters of the newest session.
fn session(answer: &Value) -> (u64, u64, u64) {
    let newest = &answer["history"][0];
    let count = |name: &str| newest[name].as_u64().unwrap_or_else(|| panic!("{answer}"));
    (count("docs_read"), count("docs_written"), count("doc_write_failures"))
}

/// Looks until it is so, but not for ever.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..3_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
    panic!("it never came: {what}");
}

/// All leaves of all documents, the winner first.
async fn leaves(server: &Server, name: &str) -> BTreeMap<String, Vec<String>> {
    let changes = get(server, &format!("/{name}/_changes?style=all_docs")).await;
    let rows = changes["results"].as_array().unwrap_or_else(|| panic!("{changes}"));
    let leaf = |change: &Value| change["rev"].as_str().unwrap().to_owned();
    let row = |row: &Value| {
        let id = row["id"].as_str().unwrap().to_owned();
        (id, row["changes"].as_array().unwrap().iter().map(leaf).collect())
    };
    rows.iter().map(row).collect()
}

/// Stores documents of which every tenth has a conflict and every seventh a deleted leaf.
async fn fill(server: &Server, name: &str, count: u64) {
    create(server, name).await;
    let mut docs = Vec::new();
    for n in 0..count {
        let (id, first) = (format!("d{n:05}"), format!("{n:032x}"));
        docs.push(json!({"_id": id, "_rev": format!("1-{first}"), "n": n, "even": n % 2 == 0}));
        for (step, more) in [(10, 1_u64 << 60), (7, 1 << 61)] {
            if n % step == 0 {
                let ids = [format!("{:032x}", n + more), first.clone()];
                let revisions = json!({"start": 2, "ids": ids});
                docs.push(json!({"_id": id, "_revisions": revisions, "_deleted": step == 7}));
            }
        }
    }
    for part in docs.chunks(1_000) {
        let body = json!({"docs": part, "new_edits": false});
        let (status, refused) = ask(server, &format!("POST /{name}/_bulk_docs"), &body).await;
        assert_eq!((status, refused), (201, json!([])));
    }
}

#[tokio::test]
async fn documents_go_both_ways_with_conflicts_and_tombstones() {
    const COUNT: u64 = 5_000;
    let (ours, theirs) = (server().await, server().await);
    fill(&ours, "a", COUNT).await;
    // Pulled by one server, then pushed back by the same to another database of the first.
    for (by, source, target) in [
        (&theirs, json!(url(&ours, "a")), json!("b")),
        (&theirs, json!("b"), json!(url(&ours, "c"))),
    ] {
        let body = json!({"source": source, "target": target, "create_target": true});
        let answer = replicate(by, &body).await;
        let written = COUNT + COUNT / 10 + COUNT.div_ceil(7) - COUNT.div_ceil(70);
        let (read, stored, failed) = session(&answer);
        assert_eq!((read, failed), (stored, 0));
        assert!(stored <= written && stored >= COUNT, "{stored} of {written}");
        assert_eq!(replicate(by, &body).await["no_changes"], true);
    }
    let wanted = leaves(&ours, "a").await;
    assert_eq!(wanted.len(), usize::try_from(COUNT).unwrap());
    assert!(leaves(&theirs, "b").await == wanted && leaves(&ours, "c").await == wanted);
    for (server, name) in [(&theirs, "b"), (&ours, "c")] {
        for count in ["doc_count", "doc_del_count"] {
            let (source, target) = (get(&ours, "/a").await, get(server, &format!("/{name}")).await);
            assert_eq!(source[count], target[count], "{count} of {name}");
        }
    }
    ours.stop().await;
    theirs.stop().await;
}

#[tokio::test]
async fn only_what_is_selected_is_copied() {
    let server = server().await;
    fill(&server, "a", 50).await;
    for (number, (selection, wanted)) in [
        (json!({"selector": {"even": true}}), None),
        (json!({"doc_ids": ["d00003", "d00004", "d%30%30005", "none"]}), Some(3)),
        (json!({"since_seq": get(&server, "/a").await["update_seq"]}), Some(0)),
        (json!({"worker_batch_size": 3, "winning_revs_only": true}), Some(50)),
    ]
    .into_iter()
    .enumerate()
    {
        let target = format!("t{number}");
        let mut body = json!({"source": "a", "target": target, "create_target": true});
        body.as_object_mut().unwrap().extend(selection.as_object().unwrap().clone());
        replicate(&server, &body).await;
        let copied = leaves(&server, &target).await;
        match wanted {
            Some(wanted) => assert_eq!(copied.len(), wanted, "{selection}"),
            None => {
                // The selector looks at the winner, which has no body where it is a conflict.
                assert!(!copied.is_empty() && copied.len() < 25, "{copied:?}");
            }
        }
        if number == 3 {
            assert!(copied.values().all(|leaves| leaves.len() == 1), "{copied:?}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn large_attachments_are_carried() {
    let (ours, theirs) = (server().await, server().await);
    create(&ours, "a").await;
    let large: Vec<u8> =
        (0..5_u32 << 20).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let attachment = |data: &[u8]| json!({"content_type": "x/y", "data": STANDARD.encode(data)});
    for (id, data) in [("large", large.as_slice()), ("small", b"hi".as_slice())] {
        let body = json!({"_attachments": {"one": attachment(data), "two": attachment(b"")}});
        assert_eq!(ask(&ours, &format!("PUT /a/{id}"), &body).await.0, 201);
    }
    let body = json!({"source": url(&ours, "a"), "target": "b", "create_target": true});
    assert_eq!(session(&replicate(&theirs, &body).await), (2, 2, 0));
    assert!(theirs.ask("GET /b/large/one", "").await.body == large);
    assert_eq!(theirs.ask("GET /b/small/one", "").await.body, b"hi");
    assert_eq!(get(&theirs, "/b/large").await, get(&ours, "/a/large").await);
    // A later revision brings its attachments again, which are then where they were.
    let mut changed = get(&ours, "/a/large").await;
    changed["n"] = json!(2);
    assert_eq!(ask(&ours, "PUT /a/large", &changed).await.0, 201);
    assert_eq!(session(&replicate(&theirs, &body).await), (1, 1, 0));
    assert_eq!(get(&theirs, "/b/large").await, get(&ours, "/a/large").await);
    ours.stop().await;
    theirs.stop().await;
}

#[tokio::test]
async fn continuous_ones_in_a_circle_follow_and_settle() {
    let (ours, theirs) = (server().await, server().await);
    create(&ours, "a").await;
    create(&theirs, "b").await;
    let there = json!({"source": "a", "target": url(&theirs, "b"), "continuous": true});
    let back = json!({"source": url(&theirs, "b"), "target": "a", "continuous": true});
    let ids = [replicate(&ours, &there).await, replicate(&ours, &back).await];
    for n in 0..20 {
        assert_eq!(ask(&ours, &format!("PUT /a/x{n}"), &json!({})).await.0, 201);
        assert_eq!(ask(&theirs, &format!("PUT /b/y{n}"), &json!({})).await.0, 201);
    }
    until("both have all", async || {
        leaves(&ours, "a").await.len() == 40
            && leaves(&ours, "a").await == leaves(&theirs, "b").await
    })
    .await;
    // Settled: the sequences move no more although both still follow.
    let before = (get(&ours, "/a").await["update_seq"].clone(), get(&theirs, "/b").await);
    assert_eq!(ask(&theirs, "PUT /b/last", &json!({})).await.0, 201);
    until("the last one", async || get(&ours, "/a/last").await["_id"] == "last").await;
    let moved = |seq: &Value| -> u64 {
        seq.as_str().and_then(|seq| seq.split('-').next()?.parse().ok()).unwrap()
    };
    assert_eq!(moved(&get(&ours, "/a").await["update_seq"]), moved(&before.0) + 1);
    for id in &ids {
        let cancel = json!({"cancel": true, "replication_id": id["_local_id"]});
        assert_eq!(replicate(&ours, &cancel).await["_local_id"], id["_local_id"]);
        assert_eq!(ask(&ours, "POST /_replicate", &cancel).await.0, 404);
    }
    ours.stop().await;
    theirs.stop().await;
}

#[tokio::test]
async fn a_run_that_was_cut_by_a_stop_goes_on_where_it_was() {
    const COUNT: u64 = 2_000;
    let directory = tempfile::tempdir().unwrap();
    let storage = || Storage::Directory(directory.path().to_owned());
    let source = server().await;
    fill(&source, "a", COUNT).await;
    let first = Server::start(storage(), Options::default()).await;
    create(&first, "b").await;
    let slow = Proxy::slow(source.address, Duration::from_millis(20)).await;
    let from = format!("http://{}/a", slow.address);
    let body = json!({"source": from, "target": "b", "continuous": true, "worker_batch_size": 50});
    replicate(&first, &body).await;
    until("a quarter is there", async || {
        get(&first, "/b").await["doc_count"].as_u64().unwrap() > COUNT / 4
    })
    .await;
    first.stop().await;

    let second = Server::start(storage(), Options::default()).await;
    let there = get(&second, "/b").await;
    let before = there["doc_count"].as_u64().unwrap() + there["doc_del_count"].as_u64().unwrap();
    assert!(before < COUNT, "it was not cut in the middle");
    // The same replication, but for its end: the checkpoints are the same.
    let body = json!({"source": from, "target": "b", "worker_batch_size": 50});
    let answer = replicate(&second, &body).await;
    let checked = answer["history"][0]["missing_checked"].as_u64().unwrap();
    let all: usize = leaves(&source, "a").await.values().map(Vec::len).sum();
    assert!(
        checked < u64::try_from(all).unwrap() - before / 2,
        "{checked} of {all}, {before} there"
    );
    assert_eq!(answer["history"].as_array().unwrap().len(), 2);
    assert!(leaves(&second, "b").await == leaves(&source, "a").await);
    second.stop().await;
    source.stop().await;
}

#[tokio::test]
async fn a_run_that_failed_goes_on_from_its_last_checkpoint() {
    const COUNT: u64 = 2_000;
    let (source, target) = (server().await, server().await);
    fill(&source, "a", COUNT).await;
    create(&target, "b").await;
    let proxy = Proxy::slow(source.address, Duration::from_millis(20)).await;
    let body = json!({
        "source": format!("http://{}/a", proxy.address), "target": "b",
        "worker_batch_size": 50, "checkpoint_interval": 100,
    });
    let half = async {
        until("a half is there", async || {
            get(&target, "/b").await["doc_count"].as_u64().unwrap() > COUNT / 2
        })
        .await;
        proxy.set_broken(true);
        // One connection more, which finds that all are cut.
        tokio::net::TcpStream::connect(proxy.address).await.unwrap();
    };
    let ((status, failed), ()) = tokio::join!(ask(&target, "POST /_replicate", &body), half);
    assert_eq!((status, &failed["error"]), (500, &json!("replication_failed")), "{failed}");
    let there = leaves(&target, "b").await.len();
    assert!(there < usize::try_from(COUNT).unwrap(), "it was not cut in the middle");
    proxy.set_broken(false);
    let answer = replicate(&target, &body).await;
    let checked = answer["history"][0]["missing_checked"].as_u64().unwrap();
    let all: usize = leaves(&source, "a").await.values().map(Vec::len).sum();
    assert!(checked < u64::try_from(all).unwrap() * 3 / 4, "{checked} of {all}, {there} there");
    assert!(leaves(&target, "b").await == leaves(&source, "a").await);
    source.stop().await;
    target.stop().await;
}

#[tokio::test]
async fn a_source_that_drops_connections_costs_time_and_nothing_else() {
    let (source, target) = (server().await, server().await);
    fill(&source, "a", 1_000).await;
    // Each connection lives for so many bytes: less than a batch, sometimes less than an answer.
    let proxy = Proxy::cutting(source.address, 150_000).await;
    let from = format!("http://{}/a", proxy.address);
    let body = json!({
        "source": from, "target": "b", "create_target": true, "worker_batch_size": 200
    });
    let answer = replicate(&target, &body).await;
    assert_eq!(session(&answer).2, 0);
    assert!(proxy.cuts() > 0, "nothing was cut");
    assert!(leaves(&target, "b").await == leaves(&source, "a").await);
    source.stop().await;
    target.stop().await;
}

#[tokio::test]
async fn a_source_that_answers_rubbish_is_an_error_and_no_panic() {
    let target = server().await;
    create(&target, "b").await;
    for rubbish in [
        "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nrubbish",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "rubbish\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\n\r\n<html>no!",
    ] {
        let proxy = Proxy::saying(rubbish).await;
        let from = format!("http://{}/a", proxy.address);
        let body = json!({"source": from, "target": "b"});
        let (status, answer) = ask(&target, "POST /_replicate", &body).await;
        assert!(status >= 400 && answer["reason"].is_string(), "{rubbish}: {status} {answer}");
    }
    assert_eq!(get(&target, "/_up").await["status"], "ok");
    target.stop().await;
}

#[tokio::test]
async fn what_the_target_refuses_is_counted_and_the_rest_goes_on() {
    let (source, target) = (
        server().await,
        Server::start(Storage::Memory, Options { document_bytes_max: 500, ..Options::default() })
            .await,
    );
    create(&source, "a").await;
    let document = |n: usize| {
        let pad = "x".repeat(if n % 10 == 3 { 1_000 } else { 10 });
        json!({"_id": format!("d{n:03}"), "pad": pad})
    };
    let docs: Vec<Value> = (0..100).map(document).collect();
    assert_eq!(ask(&source, "POST /a/_bulk_docs", &json!({"docs": docs})).await.0, 201);
    let body = json!({"source": url(&source, "a"), "target": "b", "create_target": true});
    assert_eq!(session(&replicate(&target, &body).await), (100, 90, 10));
    // They are not tried again until they change.
    assert_eq!(replicate(&target, &body).await["no_changes"], true);
    source.stop().await;
    target.stop().await;
}

#[tokio::test]
async fn a_target_that_forbids_every_document_is_read_to_the_end() {
    let source = server().await;
    fill(&source, "a", 300).await;
    let target = Forbidding::start().await;
    let body = json!({"source": "a", "target": format!("http://{}/b", target.address)});
    let answer = replicate(&source, &body).await;
    let all: usize = leaves(&source, "a").await.values().map(Vec::len).sum();
    let all = u64::try_from(all).unwrap();
    assert_eq!(session(&answer), (all, 0, all));
    assert!(answer["source_last_seq"].is_string(), "{answer}");
    source.stop().await;
}

#[tokio::test]
async fn a_peer_without_the_database_or_that_is_not_there_is_refused_by_name() {
    let server = server().await;
    create(&server, "b").await;
    for (source, status, word) in [
        (json!(url(&server, "none")), 404, "could not open"),
        (json!("none"), 404, "could not open none"),
        (json!("https://u:hidden@127.0.0.1:1/db"), 500, "127.0.0.1:1"),
        (json!("http://u:hidden@127.0.0.1:1/db"), 500, "127.0.0.1:1"),
        (json!(5), 400, "`source` must be"),
        (json!("Bad Name"), 404, "could not open"),
    ] {
        let body = json!({"source": source, "target": "b"});
        let (got, answer) = ask(&server, "POST /_replicate", &body).await;
        let reason = answer["reason"].as_str().unwrap_or_default();
        assert_eq!(got, status, "{answer}");
        assert!(reason.contains(word) && !reason.contains("hidden"), "{answer}");
    }
    for (more, status, word) in [
        (json!({"target": "Bad Name", "create_target": true}), 400, "lowercase"),
        (json!({"filter": "no/filter"}), 404, "no/filter"),
        (json!({"proxy": "http://p"}), 400, "`proxy`"),
    ] {
        let mut body = json!({"source": "b", "target": "b"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (got, answer) = ask(&server, "POST /_replicate", &body).await;
        assert_eq!(got, status, "{answer}");
        assert!(answer["reason"].as_str().unwrap_or_default().contains(word), "{answer}");
    }
    server.stop().await;
}
