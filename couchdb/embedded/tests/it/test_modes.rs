//! The test modes: what they do, and that they do no more than a cluster does.

use crate::client::{Connection, Server};
use blitz_embedded::{Options, Storage, TestMode};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Writers of one revision.
const WRITERS: usize = 10;

async fn troubled(modes: &[TestMode]) -> Server {
    let options = Options { test_modes: modes.to_vec(), test_seed: 7, ..Options::default() };
    let server = Server::start(Storage::Memory, options).await;
    assert_eq!(server.ask("PUT /db", "").await.status, 201);
    server
}

/// The answers to ten writers who create one document at once.
async fn race(server: &Server, id: &str, quorum: &str) -> Vec<u16> {
    let mut writers = Vec::new();
    for n in 0..WRITERS {
        let mut connection = Connection::open(server.address).await;
        let (line, body) = (format!("PUT /db/{id}{quorum}"), json!({"by": n}).to_string());
        writers.push(tokio::spawn(async move { connection.ask(&line, &body).await.status }));
    }
    let mut answers = Vec::new();
    for writer in writers {
        answers.push(writer.await.unwrap());
    }
    answers
}

fn count(answers: &[u16], status: u16) -> usize {
    answers.iter().filter(|answer| **answer == status).count()
}

async fn leaves(server: &Server, id: &str) -> Vec<Value> {
    let all = server.ask(&format!("GET /db/{id}?open_revs=all"), "").await.json();
    all.as_array().unwrap().clone()
}

#[tokio::test]
async fn without_a_mode_there_is_one_copy() {
    let server = troubled(&[]).await;
    let info = server.ask("GET /db", "").await.json();
    assert_eq!(info["cluster"], json!({"q": 2, "n": 1, "w": 1, "r": 1}));
    for round in 0..20 {
        let answers = race(&server, &round.to_string(), "").await;
        assert_eq!((count(&answers, 201), count(&answers, 409)), (1, WRITERS - 1));
    }
}

/// With all copies asked, a 201 never stands beside another leaf; with a majority it may.
#[tokio::test]
async fn losers_of_a_race_are_stored() {
    let server = troubled(&[TestMode::StoredLosers]).await;
    let info = server.ask("GET /db", "").await.json();
    assert_eq!(info["cluster"], json!({"q": 2, "n": 3, "w": 2, "r": 2}));
    let mut shapes = BTreeSet::new();
    for round in 0..40 {
        let id = format!("all-{round}");
        let answers = race(&server, &id, "?w=3").await;
        let (created, accepted) = (count(&answers, 201), count(&answers, 202));
        assert_eq!(created + accepted + count(&answers, 409), WRITERS, "{answers:?}");
        assert!(created == 1 && accepted == 0 || created == 0 && accepted > 1, "{answers:?}");
        assert_eq!(leaves(&server, &id).await.len(), created + accepted);
        shapes.insert(accepted > 0);
    }
    assert_eq!(shapes.len(), 2, "both outcomes are seen");
    let mut beside = 0;
    for round in 0..40 {
        let answers = race(&server, &format!("some-{round}"), "").await;
        assert_eq!(count(&answers, 201), 1, "{answers:?}");
        beside += count(&answers, 202);
    }
    assert!(beside > 0, "a 202 beside a 201");
    // What comes later meets no race.
    for round in 0..40 {
        assert_eq!(server.ask(&format!("PUT /db/all-{round}"), "{}").await.status, 409);
    }
}

#[tokio::test]
async fn a_stale_node_takes_what_came_long_ago() {
    let server = troubled(&[TestMode::StaleNode]).await;
    let mut accepted = 0;
    for n in 0..60 {
        assert_eq!(server.ask(&format!("PUT /db/{n}?w=3"), r#"{"by":"first"}"#).await.status, 201);
        let late = server.ask(&format!("PUT /db/{n}?w=3"), r#"{"by":"late"}"#).await.status;
        assert!(late == 202 || late == 409, "{late}");
        accepted += usize::from(late == 202);
        let expected = if late == 202 { 2 } else { 1 };
        assert_eq!(leaves(&server, &n.to_string()).await.len(), expected);
    }
    assert!((1..60).contains(&accepted), "{accepted}");
}

#[tokio::test]
async fn conflicts_are_told_of_late() {
    let server = troubled(&[TestMode::StaleNode, TestMode::LateConflicts]).await;
    let mut conflicted = None;
    for n in 0..60 {
        server.ask(&format!("PUT /db/{n}"), r#"{"by":"first"}"#).await;
        if server.ask(&format!("PUT /db/{n}"), r#"{"by":"late"}"#).await.status == 202 {
            conflicted = Some(n);
            break;
        }
    }
    let line = format!("GET /db/{}?conflicts=true", conflicted.unwrap());
    assert_eq!(server.ask(&line, "").await.json().get("_conflicts"), None);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while server.ask(&line, "").await.json().get("_conflicts").is_none() {
        assert!(tokio::time::Instant::now() < deadline, "never told of");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_feed_begins_before_its_sequence_and_ends_behind_it() {
    let server = troubled(&[TestMode::RewoundFeeds]).await;
    for n in 0..50 {
        assert_eq!(server.ask(&format!("PUT /db/{n}"), "{}").await.status, 201);
    }
    let half = server.ask("GET /db/_changes?limit=25", "").await.json();
    let since = half["last_seq"].as_str().unwrap();
    let mut lengths = BTreeSet::new();
    for _ in 0..40 {
        let rows = server.ask(&format!("GET /db/_changes?since={since}"), "").await.json();
        let rows = rows["results"].as_array().unwrap().clone();
        assert_eq!(rows.last().unwrap()["id"], "49");
        assert!((25..=50).contains(&rows.len()));
        lengths.insert(rows.len());
    }
    assert!(lengths.contains(&25) && lengths.len() > 1, "{lengths:?}");
}

#[tokio::test]
async fn some_answers_are_lost_and_some_requests() {
    let server = Server::start(
        Storage::Memory,
        Options { test_modes: vec![TestMode::LostAnswers], ..Options::default() },
    )
    .await;
    // Reads are not troubled: this waits until the write came through.
    while server.ask("GET /db", "").await.status == 404 {
        lossy(&server, "PUT /db").await;
    }
    let (mut stored, mut lost) = (0, 0);
    for n in 0..200 {
        let answered = lossy(&server, &format!("PUT /db/{n}")).await;
        let there = server.ask(&format!("GET /db/{n}"), "").await.status == 200;
        assert!(there || !answered, "an answer means that it is stored");
        if !answered {
            *(if there { &mut stored } else { &mut lost }) += 1;
        }
    }
    assert!(stored > 0 && lost > 0 && stored + lost < 100, "{stored} {lost}");
}

/// Sends a request on a connection of its own. Whether an answer came.
async fn lossy(server: &Server, line: &str) -> bool {
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A cut connection may also be reset.
    drop(stream.read_to_end(&mut answer).await);
    answer.starts_with(b"HTTP/1.1 201")
}
