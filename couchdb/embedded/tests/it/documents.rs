//! Documents as a client reads and writes them. The recorded transcripts of CouchDB check the rest.

use crate::client::{Connection, Server};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

#[tokio::test]
async fn of_64_writers_with_one_revision_exactly_one_wins() {
    let server = Server::with_database().await;
    for round in 0..5 {
        let path = format!("/db/job-{round}");
        let revision = server.ask(&format!("PUT {path}"), "{}").await.revision();
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..64 {
            let (address, line) = (server.address, format!("PUT {path}"));
            let body = json!({"_rev": revision, "by": writer}).to_string();
            writers.spawn(async move {
                let status = Connection::open(address).await.ask(&line, &body).await.status;
                (writer, status)
            });
        }
        let answers = writers.join_all().await;
        let won: Vec<i32> =
            answers.iter().filter(|(_, status)| *status == 201).map(|a| a.0).collect();
        assert_eq!(won.len(), 1, "{answers:?}");
        assert!(answers.iter().all(|(_, status)| matches!(status, 201 | 409)));
        let document = server.ask(&format!("GET {path}?conflicts=true"), "").await.json();
        assert_eq!(document["by"], won[0]);
        assert_eq!(document.get("_conflicts"), None);
    }
}

/// Two servers that exchange branches in different orders choose the same winner.
#[tokio::test]
async fn replicas_agree_whatever_came_first() {
    let branches = [
        json!({"_id": "a", "_rev": "3-c", "v": "c", "_revisions": {"start": 3, "ids": ["c", "b", "a"]}}),
        json!({"_id": "a", "_rev": "3-d", "v": "d", "_revisions": {"start": 3, "ids": ["d", "b", "a"]}}),
        json!({"_id": "a", "_rev": "9-f", "_deleted": true, "_revisions": {"start": 9, "ids": ["f"]}}),
    ];
    let mut seen: Vec<Value> = Vec::new();
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let server = Server::with_database().await;
        for index in order {
            let body = json!({"new_edits": false, "docs": [branches[index]]}).to_string();
            let answer = server.ask("POST /db/_bulk_docs", &body).await;
            assert_eq!((answer.status, answer.json()), (201, json!([])));
        }
        let read =
            server.ask("GET /db/a?conflicts=true&deleted_conflicts=true&revs=true", "").await;
        seen.push(read.json());
    }
    assert_eq!(seen[0]["_rev"], "3-d");
    assert_eq!(seen[0]["_conflicts"], json!(["3-c"]));
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
}

/// What the user wrote comes back as it was written.
#[tokio::test]
async fn numbers_and_the_order_of_members_survive() {
    let server = Server::with_database().await;
    let body = r#"{"z":1.0,"a":123456789012345678901234567890,"e":1e3,"m":{"z":1,"a":2}}"#;
    server.ask("PUT /db/a", body).await;
    let read = server.ask("GET /db/a", "").await;
    let text = String::from_utf8(read.body).unwrap();
    assert!(text.ends_with(&format!(",{}\n", &body[1..])), "{text}");
}

#[tokio::test]
async fn long_lists_come_whole_and_in_order() {
    let server = Server::with_database().await;
    // More than a page of the store in rows and in bytes.
    let docs: Vec<Value> =
        (0..1500).map(|n| json!({"_id": format!("{n:05}"), "text": "x".repeat(2000)})).collect();
    let put = server.ask("POST /db/_bulk_docs", &json!({"docs": docs}).to_string()).await;
    assert_eq!(put.status, 201);
    let keys = json!({"keys": (0..1500).map(|n| format!("{n:05}")).collect::<Vec<_>>()});
    for (line, body, reversed) in [
        ("GET /db/_all_docs?include_docs=true", String::new(), false),
        ("GET /db/_all_docs?include_docs=true&descending=true", String::new(), true),
        ("POST /db/_all_docs?include_docs=true", keys.to_string(), false),
        ("GET /db/_changes?include_docs=true", String::new(), false),
        ("GET /db/_changes?include_docs=true&descending=true", String::new(), true),
    ] {
        let list = server.ask(line, &body).await.json();
        let rows = list.get("rows").or_else(|| list.get("results")).unwrap().as_array().unwrap();
        assert_eq!(rows.len(), 1500, "{line}");
        for (index, row) in rows.iter().enumerate() {
            let wanted = if reversed { 1499 - index } else { index };
            assert_eq!(row["doc"]["_id"], format!("{wanted:05}"), "{line}");
        }
    }
}

#[tokio::test]
async fn an_attachment_of_several_pieces_comes_back_whole_and_in_parts() {
    let server = Server::with_database().await;
    let text: String =
        (0..200_000).map(|n| char::from(b'a' + u8::try_from(n % 23).unwrap())).collect();
    let text = text.repeat(4);
    let mut connection = Connection::open(server.address).await;
    let put = connection.put_octets("PUT /db/a/big.txt", text.as_bytes()).await;
    assert_eq!(put.status, 201);
    assert_eq!(server.ask("GET /db/a/big.txt", "").await.body, text.as_bytes());
    for (from, to) in [(0, 0), (262_143, 262_144), (262_144, 600_000), (799_999, 799_999)] {
        let mut connection = Connection::open(server.address).await;
        connection.send("GET /db/a/big.txt", &format!("Range: bytes={from}-{to}\r\n"), "").await;
        let part = connection.answer(false).await;
        assert_eq!(part.status, 206);
        assert!(part.body == text.as_bytes()[from..=to], "bytes {from} to {to}");
    }
    // The next revision carries it on, and a revision without it lets it go.
    let revision = put.revision();
    let body = json!({"_rev": revision, "_attachments": {"big.txt": {"stub": true}}}).to_string();
    let kept = server.ask("PUT /db/a", &body).await;
    assert_eq!(server.ask("GET /db/a/big.txt", "").await.body.len(), text.len());
    let body = json!({"_rev": kept.revision()}).to_string();
    assert_eq!(server.ask("PUT /db/a", &body).await.status, 201);
    assert_eq!(server.ask("GET /db/a/big.txt", "").await.status, 404);
}

#[tokio::test]
async fn a_compaction_drops_what_no_leaf_needs() {
    let server = Server::with_database().await;
    let first = server.ask("PUT /db/a", r#"{"v":1}"#).await.revision();
    let second = server.ask(&format!("PUT /db/a?rev={first}"), r#"{"v":2}"#).await.revision();
    assert_eq!(server.ask(&format!("GET /db/a?rev={first}"), "").await.status, 200);
    assert_eq!(server.ask("POST /db/_compact", "{}").await.status, 202);
    while server.ask("GET /db", "").await.json()["compact_running"] == true {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.ask(&format!("GET /db/a?rev={first}"), "").await.status, 404);
    let read = server.ask("GET /db/a?revs_info=true", "").await.json();
    assert_eq!(read["v"], 2);
    assert_eq!(
        read["_revs_info"],
        json!([{"rev": second, "status": "available"}, {"rev": first, "status": "missing"}])
    );
}

/// The revision of an edit has the name that Apache CouchDB would give it.
#[tokio::test]
async fn revisions_are_those_of_couchdb() {
    let server = Server::with_database().await;
    let first = server.ask("PUT /db/a", "{}").await.revision();
    assert_eq!(first, "1-967a00dff5e02add41819138abb3284d");
    let deleted = server.ask(&format!("DELETE /db/a?rev={first}"), "").await.revision();
    assert_eq!(deleted, "2-eec205a9d413992850a6e32678485900");
}

/// The revisions are those that Apache CouchDB 3.5.0 makes of the same.
#[tokio::test]
async fn a_copy_is_the_same_document_under_another_id() {
    let server = Server::with_database().await;
    let large = "x".repeat(600_000);
    let data = STANDARD.encode(&large);
    let plain = r#"{"n":1,"_attachments":{"x":{"data":"aGVsbG8="}}}"#;
    let a = server.ask("PUT /db/a", plain).await.revision();
    let packed = json!({"_attachments": {"t": {"content_type": "text/plain", "data": data},
        "o": {"data": data}}});
    server.ask("PUT /db/large", &packed.to_string()).await;
    server.ask("PUT /db/_local/l", r#"{"n":2}"#).await;
    let copy = async |line: &str, destination: &str| {
        let mut connection = Connection::open(server.address).await;
        connection.send(line, &format!("Destination: {destination}\r\n"), "").await;
        let answer = connection.answer(false).await;
        assert_eq!(answer.status, 201, "{line} {destination}: {:?}", answer.json());
        answer.revision()
    };
    let first = copy("COPY /db/a", "b").await;
    assert_eq!(first, "1-25e1adfadfa43c40e7c7b5b6a059d608");
    let second = copy("COPY /db/a", &format!("b?rev={first}")).await;
    assert_eq!(second, "2-01997d73c11b247b9b027f1c70d8522c");
    assert_eq!(server.ask("GET /db/b/x", "").await.body, b"hello");
    // Of a revision that is no leaf any more, and under an id with blanks.
    server.ask(&format!("PUT /db/a?rev={a}"), r#"{"n":9}"#).await;
    assert_eq!(copy(&format!("COPY /db/a?rev={a}"), "c%20d+e").await, first);
    assert_eq!(server.ask("GET /db/c%20d%20e", "").await.json()["n"], 1);
    copy("COPY /db/large", "larger").await;
    for name in ["t", "o"] {
        assert_eq!(server.ask(&format!("GET /db/larger/{name}"), "").await.body, large.as_bytes());
    }
    let digest = async |id: &str| {
        server.ask(&format!("GET /db/{id}"), "").await.json()["_attachments"].clone()
    };
    assert_eq!(digest("large").await, digest("larger").await);
    assert_eq!(
        copy("COPY /db/_local/l", "m").await,
        server.ask("GET /db/m", "").await.json()["_rev"]
    );
    assert_eq!(copy("COPY /db/a", "_local/n").await, "0-1");
    assert_eq!(server.ask("GET /db/_local/n", "").await.json()["n"], 9);
}
