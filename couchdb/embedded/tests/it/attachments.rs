//! Attachments as replicators bring and fetch them.

use crate::client::{Connection, Server};
use blitz_embedded::{Options, Storage};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(data).unwrap();
    gzip.finish().unwrap()
}

/// PUTs a document whose attachment `x` follows it.
async fn put_related(server: &Server, id: &str, attachment: Value, part: &[u8]) -> u16 {
    let doc = json!({"_rev": "1-a", "_attachments": {"x": attachment}});
    let head = format!("--b\r\nContent-Type: application/json\r\n\r\n{doc}\r\n--b\r\n\r\n");
    let mut body = head.into_bytes();
    body.extend_from_slice(part);
    body.extend_from_slice(b"\r\n--b--");
    let line = format!("PUT /db/{id}?new_edits=false");
    Connection::open(server.address).await.put_related(&line, &body).await.status
}

/// CouchDB sends the attachments that it compressed as they lie on its disk.
#[tokio::test]
async fn a_compressed_attachment_keeps_its_bytes_and_its_digest() {
    let server = Server::with_database().await;
    let text = "the same words again and again, ".repeat(100);
    let packed = gzip(text.as_bytes());
    let given = json!({"content_type": "text/plain", "encoding": "gzip", "follows": true});
    assert_eq!(put_related(&server, "a", given.clone(), &packed).await, 201);
    assert_eq!(server.ask("GET /db/a/x", "").await.body, text.as_bytes());
    let doc = server.ask("GET /db/a", "").await.json();
    let stub = doc["_attachments"]["x"].clone();
    assert_eq!(stub["length"], text.len());
    // The digest that CouchDB has of it is that of the packed bytes, and its later stubs say so.
    let plain = json!({"content_type": "application/gzip", "follows": true});
    assert_eq!(put_related(&server, "packed", plain, &packed).await, 201);
    let packed_digest =
        server.ask("GET /db/packed", "").await.json()["_attachments"]["x"]["digest"].clone();
    assert_eq!(stub["digest"], packed_digest);
    let next = json!({
        "_rev": "2-b",
        "_revisions": {"start": 2, "ids": ["b", "a"]},
        "_attachments": {"x": {"stub": true, "revpos": 1, "digest": packed_digest}},
    });
    let next = server.ask("PUT /db/a?new_edits=false", &next.to_string()).await;
    assert_eq!(next.status, 201, "{:?}", next.json());
    assert_eq!(server.ask("GET /db/a/x", "").await.body, text.as_bytes());
}

const LIMIT: usize = 1_000_000;

#[tokio::test]
async fn what_cannot_be_unpacked_is_refused_and_not_stored() {
    let options = Options { attachment_bytes_max: LIMIT, ..Options::default() };
    let server = Server::start(Storage::Memory, options).await;
    server.ask("PUT /db", "").await;
    let gzipped = json!({"content_type": "text/plain", "encoding": "gzip", "follows": true});
    let other = json!({"content_type": "text/plain", "encoding": "br", "follows": true});
    // A few KiB that would be more than an attachment may have.
    let bomb = gzip(&vec![0; LIMIT + 1]);
    for (given, part, status) in [
        (&gzipped, &b"no gzip"[..], 400),
        (&gzipped, &gzip(b"cut off in the middle")[..20], 400),
        (&gzipped, &bomb, 413),
        (&other, b"anything", 501),
    ] {
        assert_eq!(put_related(&server, "a", given.clone(), part).await, status, "{given}");
        assert_eq!(server.ask("GET /db/a", "").await.status, 404);
    }
    let fits = gzip(&vec![0; LIMIT]);
    assert_eq!(put_related(&server, "a", gzipped, &fits).await, 201);
}

/// As in CouchDB: data that stands in the document is never packed, whatever `encoding` says.
#[tokio::test]
async fn inline_data_is_taken_as_it_is() {
    let server = Server::with_database().await;
    let body = json!({"_attachments": {"x": {"data": "aGVsbG8=", "encoding": "gzip"}}});
    assert_eq!(server.ask("PUT /db/a", &body.to_string()).await.status, 201);
    assert_eq!(server.ask("GET /db/a/x", "").await.body, b"hello");
}

#[tokio::test]
async fn revisions_in_parts_bring_their_attachments() {
    let server = Server::with_database().await;
    let body = json!({"_attachments": {"x": {"data": "aGVsbG8="}}}).to_string();
    let rev = server.ask("PUT /db/a", &body).await.revision();
    let bulk = json!({"docs": [{"id": "a", "rev": rev}]}).to_string();
    for (line, body) in [
        ("GET /db/a?open_revs=all&revs=true", ""),
        (&*format!("GET /db/a?open_revs=[\"{rev}\"]&revs=true"), ""),
        ("POST /db/_bulk_get?revs=true", &bulk),
    ] {
        let text = Connection::open(server.address).await.multipart(line, body).await;
        assert!(
            text.contains("\"follows\":true") && text.contains("\r\n\r\nhello\r\n--"),
            "{line}: {text}"
        );
    }
    // What the reader has already does not follow.
    let line = format!("GET /db/a?open_revs=all&atts_since=[\"{rev}\"]");
    let text = Connection::open(server.address).await.multipart(&line, "").await;
    assert!(text.contains("\"stub\":true") && !text.contains("hello"), "{text}");
    // As JSON they are stubs unless the bytes are asked for.
    let list = server.ask("GET /db/a?open_revs=all", "").await.json();
    assert_eq!(list[0]["ok"]["_attachments"]["x"]["stub"], true);
}

/// What Apache CouchDB 3.5.0 answered to the same requests.
#[tokio::test]
async fn revisions_with_several_attachments_are_those_of_couchdb() {
    let server = Server::with_database().await;
    let put = |line: String, body: &'static str| {
        let address = server.address;
        async move {
            Connection::open(address).await.put_octets(&line, body.as_bytes()).await.revision()
        }
    };
    let body = r#"{"_attachments":{"b":{"data":"","content_type":"image/png"},"a":{"data":"eA=="},"c":{"data":"eHg="}}}"#;
    let first = server.ask("PUT /db/d", body).await.revision();
    assert_eq!(first, "1-f7c03b77b2bdb753e6c261d514c24708");
    let second = put(format!("PUT /db/d/0?rev={first}"), "x").await;
    assert_eq!(second, "2-8fe8809e6e99d528e5538f0b177dd3d8");
    let third = put(format!("PUT /db/d/a?rev={second}"), "y").await;
    assert_eq!(third, "3-fc0dabb11ab1149ab1e10180edc1ef58");
    // The client sends back what it read, in the order in which it stood there.
    let read = String::from_utf8(server.ask("GET /db/d", "").await.body).unwrap();
    let names = ["\"a\":{", "\"0\":{", "\"b\":{", "\"c\":{"];
    let places = names.map(|name| read.find(name).unwrap());
    assert!(places.is_sorted(), "{read}");
    let changed = format!("{},\"n\":1}}", read.trim_end().strip_suffix('}').unwrap());
    let fourth = server.ask("PUT /db/d", &changed).await.revision();
    assert_eq!(fourth, "4-2443fefaf9ef5c178e2961f2aaaccc4b");
    let fifth = server.ask(&format!("DELETE /db/d/b?rev={fourth}"), "").await.revision();
    assert_eq!(fifth, "5-3b90a1a5330612f060b34de6c4a8c159");
}

/// Base64 and hashing of much data would hold up all other requests of the thread.
#[test]
fn large_bodies_are_read_on_threads_for_long_work() {
    let large = "A".repeat(400_000);
    let inline = json!({"_attachments": {"x": {"data": large}}}).to_string();
    let bulk = json!({"docs": [{"_attachments": {"x": {"data": large}}}]}).to_string();
    for (line, body, threads) in [
        ("PUT /db/a", r#"{"_attachments":{"x":{"data":"AAAA"}}}"#, 0),
        ("PUT /db/a", &inline, 1),
        ("POST /db", &inline, 1),
        ("POST /db/_bulk_docs", &bulk, 1),
    ] {
        let started = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&started);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .on_thread_start(move || {
                count.fetch_add(1, Ordering::SeqCst);
            })
            .build()
            .unwrap();
        runtime.block_on(async {
            let server = Server::with_database().await;
            assert_eq!(server.ask(line, body).await.status, 201, "{line}");
            assert_eq!(started.load(Ordering::SeqCst), threads, "{line}");
            server.stop().await;
        });
    }
}

/// What Apache CouchDB 3.5.0 answered to the same requests; the text is one that both implementations
/// of deflate pack into the same bytes.
#[tokio::test]
async fn a_text_is_packed_and_comes_as_the_reader_takes_it() {
    let server = Server::with_database().await;
    let text = "aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8=";
    let plain = b"hello hello hello hello";
    let body = json!({"_attachments": {"t": {"content_type": "text/plain", "data": text}}});
    assert_eq!(server.ask("PUT /db/a", &body.to_string()).await.status, 201);
    let told = server.ask("GET /db/a?att_encoding_info=true", "").await.json();
    let mut stub = json!({
        "content_type": "text/plain", "revpos": 1, "digest": "md5-iZnIgHaZ3ETVHDtRSQc4IA==",
        "length": 23, "stub": true, "encoding": "gzip", "encoded_length": 28,
    });
    assert_eq!(told["_attachments"]["t"], stub);
    stub.as_object_mut().unwrap().retain(|name, _| !name.starts_with("enc"));
    assert_eq!(server.ask("GET /db/a", "").await.json()["_attachments"]["t"], stub);
    let inline = server.ask("GET /db/a?attachments=true", "").await.json();
    assert_eq!(inline["_attachments"]["t"]["data"], text);
    // A range of what is packed is not given.
    for (headers, packed) in [
        ("", false),
        ("Range: bytes=0-1\r\n", false),
        ("Accept-Encoding: gzip;q=0\r\n", false),
        ("Accept-Encoding: br, gzip\r\n", true),
    ] {
        let mut connection = Connection::open(server.address).await;
        connection.send("GET /db/a/t", headers, "").await;
        let (status, head) = connection.head().await;
        assert_eq!((status, head.contains("content-encoding: gzip")), (200, packed), "{headers}");
        assert!(head.contains("accept-ranges: none"), "{head}");
        let length = if packed { 28 } else { plain.len() };
        assert!(head.contains(&format!("content-length: {length}\r\n")), "{head}");
    }
    assert_eq!(server.ask("GET /db/a/t", "").await.body, plain);
}

#[tokio::test]
async fn what_comes_packed_is_looked_through_and_kept() {
    let server = Server::with_database().await;
    let packed = gzip(&vec![b'x'; 300_000]);
    let put = async |name: &str, encoding: &str, body: &[u8]| {
        let line = format!("PUT /db/{name}/x");
        let encoding = format!("Content-Encoding: {encoding}");
        Connection::open(server.address).await.put_with(&encoding, &line, body).await.status
    };
    assert_eq!(put("a", "gzip", &packed).await, 201);
    let stub = server.ask("GET /db/a?att_encoding_info=true", "").await.json();
    let stub = &stub["_attachments"]["x"];
    // CouchDB does not know the other length either.
    assert_eq!(
        (&stub["length"], &stub["encoded_length"]),
        (&json!(packed.len()), &json!(packed.len()))
    );
    assert_eq!(server.ask("GET /db/a/x", "").await.body, vec![b'x'; 300_000]);
    assert_eq!(put("b", "gzip", b"abc").await, 400);
    assert_eq!(put("b", "br", b"abc").await, 415);
    assert_eq!(server.ask("GET /db/b", "").await.status, 404);
}

#[tokio::test]
async fn several_ranges_come_as_parts() {
    let server = Server::with_database().await;
    Connection::open(server.address).await.put_octets("PUT /db/a/x", b"0123456789").await;
    let mut connection = Connection::open(server.address).await;
    connection.send("GET /db/a/x", "Range: bytes=0-1,-1\r\n", "").await;
    let answer = connection.answer(false).await;
    let text = String::from_utf8(answer.body).unwrap();
    assert_eq!(answer.status, 206);
    for part in ["Content-Range: bytes 0-1/10\r\n\r\n01\r\n--", "bytes 9-9/10\r\n\r\n9\r\n--"] {
        assert!(text.contains(part), "{text}");
    }
}
