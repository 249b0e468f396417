//! Bodies that are no JSON, too deep, too large, of the wrong shape, or no multipart.

use super::{JSON, check, lives, request, send};
use crate::client::{Connection, Server, patient};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

#[tokio::test]
async fn json_of_every_wrong_kind() {
    let server = Server::with_database().await;
    let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let (fits, deep, deepest) = (nested(126), nested(127), nested(1_000_000));
    let objects = format!("{}1{}", "{\"a\":".repeat(5000), "}".repeat(5000));
    let bulk = format!("{{\"docs\":[{}]}}", nested(300));
    let selector = format!("{{\"selector\":{}{{}}{}}}", "{\"$not\":".repeat(300), "}".repeat(300));
    let at_all = "201: CouchDB reads without recursion and has no limit";
    check(
        &server,
        JSON,
        &[
            (b"PUT /db/same", br#"{"_id":"x","_id":"y","a":1,"a":2}"#, 201, "", ""),
            (b"PUT /db/fits", fits.as_bytes(), 201, "", ""),
            (b"PUT /db/deep", deep.as_bytes(), 400, "bad_request", at_all),
            (b"PUT /db/deep", deepest.as_bytes(), 400, "bad_request", at_all),
            (b"PUT /db/deep", objects.as_bytes(), 400, "bad_request", at_all),
            (b"POST /db/_bulk_docs", bulk.as_bytes(), 400, "bad_request", at_all),
            (
                b"POST /db/_changes?filter=_selector",
                selector.as_bytes(),
                400,
                "bad_request",
                "200, no limit",
            ),
            (b"PUT /db/u", b"{\"a\":\"\xff\"}", 400, "bad_request", ""),
            (b"PUT /db/u", b"{\"\xc3\":1}", 400, "bad_request", ""),
            (b"PUT /db/u", b"\xef\xbb\xbf{}", 400, "bad_request", ""),
            (b"PUT /db/u", br#"{"a":"\ud800"}"#, 400, "bad_request", ""),
            (b"PUT /db/u", b"", 400, "bad_request", ""),
            (b"PUT /db/u", b"[]", 400, "bad_request", ""),
            (b"PUT /db/u", b"null", 400, "bad_request", ""),
            (b"PUT /db/u", br#"{"_rev":5}"#, 400, "bad_request", ""),
            (b"PUT /db/u", br#"{"_attachments":5}"#, 400, "doc_validation", "400 bad_request"),
            (b"PUT /db/u", br#"{"_attachments":{"x":{"data":"%%%"}}}"#, 400, "bad_request", ""),
            (b"PUT /db/u", br#"{"_attachments":{"x":{}}}"#, 400, "bad_request", ""),
            (b"PUT /db/u", br#"{"_attachments":{"x":{"stub":true}}}"#, 412, "missing_stub", ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn members_of_every_wrong_type() {
    let server = Server::with_database().await;
    let crashes = "500 function_clause";
    check(
        &server,
        JSON,
        &[
            (b"POST /db/_bulk_docs", b"[]", 400, "bad_request", ""),
            (b"POST /db/_bulk_docs", b"{\"docs\":5}", 400, "bad_request", ""),
            (b"POST /db/_bulk_docs", b"{\"docs\":[5]}", 400, "bad_request", ""),
            (b"POST /db/_bulk_docs", b"{\"docs\":[null]}", 400, "bad_request", ""),
            (b"POST /db/_bulk_docs", b"{\"docs\":[{\"_id\":5}]}", 400, "illegal_docid", ""),
            (b"POST /db/_bulk_docs", b"{\"docs\":[{\"_id\":\"\"}]}", 400, "illegal_docid", ""),
            (b"POST /db/_bulk_docs", b"{\"docs\":[{\"_id\":\"_x\"}]}", 400, "illegal_docid", ""),
            (b"POST /db/_bulk_docs", b"{\"docs\":[{\"_rev\":5}]}", 400, "bad_request", ""),
            (
                b"POST /db/_bulk_docs",
                br#"{"docs":[{"_id":"q","_revisions":{"start":-1,"ids":[]}}],"new_edits":false}"#,
                400,
                "doc_validation",
                "500 in its row",
            ),
            (b"POST /db/_bulk_get", b"{\"docs\":5}", 400, "bad_request", crashes),
            (b"POST /db/_bulk_get", b"{\"docs\":[{\"id\":5}]}", 400, "bad_request", crashes),
            (b"POST /db/_revs_diff", b"[]", 400, "bad_request", ""),
            (b"POST /db/_revs_diff", b"{\"a\":5}", 400, "bad_request", crashes),
            (b"POST /db/_revs_diff", b"{\"a\":[5]}", 400, "bad_request", crashes),
            (b"POST /db/_missing_revs", b"{\"a\":[5]}", 400, "bad_request", crashes),
            (b"POST /db/_all_docs", b"{\"keys\":5}", 400, "bad_request", ""),
            (b"POST /db/_all_docs/queries", b"{\"queries\":[5]}", 400, "bad_request", crashes),
            (b"POST /db/_changes?filter=_doc_ids", b"{\"doc_ids\":5}", 400, "bad_request", ""),
            (b"POST /db/_changes?filter=_selector", b"{\"selector\":5}", 400, "bad_request", ""),
            (b"PUT /db/_security", b"[]", 400, "bad_request", "500 no_majority"),
            (b"PUT /db/_security", b"{\"admins\":5}", 400, "bad_request", "500 no_majority"),
            (b"PUT /db/_revs_limit", b"-1", 400, "bad_request", crashes),
            (b"PUT /db/_revs_limit", b"1.5", 400, "bad_request", crashes),
        ],
    )
    .await;
}

#[tokio::test]
async fn parts_that_are_none() {
    let server = Server::with_database().await;
    let json = "--b\r\nContent-Type: application/json\r\n\r\n";
    let follows = |attachment: &str, rest: &str| {
        format!("{json}{{\"_attachments\":{{\"x\":{attachment}}}}}\r\n--b{rest}")
    };
    let three = r#"{"follows":true,"length":3}"#;
    let missing = follows(three, "--");
    let long = follows(three, "\r\n\r\nabcd\r\n--b--");
    let short = follows(three, "\r\n\r\nab\r\n--b--");
    let negative = follows(r#"{"follows":true,"length":-3}"#, "\r\n\r\nabc\r\n--b--");
    let gzip = r#"{"follows":true,"encoding":"br","encoded_length":3}"#;
    let unknown = follows(gzip, "\r\n\r\nabc\r\n--b--");
    let (open, list, text) =
        (format!("{json}{{}}\r\n"), format!("{json}[]\r\n--b--"), format!("{json}x\r\n--b--"));
    let bad = "bad_request";
    check(
        &server,
        "Content-Type: multipart/related; boundary=b\r\n",
        &[
            (b"PUT /db/m", b"", 400, bad, "500 expected more data"),
            (b"PUT /db/m", b"--b--", 400, bad, "500 expected more data"),
            (b"PUT /db/m", b"--c\r\n\r\n{}\r\n--c--", 400, bad, "500 expected more data"),
            (b"PUT /db/m", b"--b\n\n{}\n--b--", 400, bad, "500 expected more data"),
            (b"PUT /db/m", open.as_bytes(), 400, bad, "500 expected more data"),
            (b"PUT /db/m", list.as_bytes(), 400, bad, ""),
            (b"PUT /db/m", text.as_bytes(), 400, bad, ""),
            (b"PUT /db/m", missing.as_bytes(), 400, bad, ""),
            (b"PUT /db/m", long.as_bytes(), 400, bad, ""),
            (b"PUT /db/m", short.as_bytes(), 400, bad, ""),
            (b"PUT /db/m", negative.as_bytes(), 400, bad, ""),
            (b"PUT /db/m", unknown.as_bytes(), 501, "not_implemented", "500 function_clause"),
            (b"GET /db/m", b"", 404, "not_found", ""),
        ],
    )
    .await;
    for kind in
        ["multipart/related", "multipart/related; boundary=", "multipart/related; boundary=\"\""]
    {
        let headers = format!("Content-Type: {kind}\r\n");
        check(&server, &headers, &[(b"PUT /db/m", b"--b\r\n\r\n{}\r\n--b--", 400, bad, "")]).await;
    }
}

#[tokio::test]
async fn packed_bodies_that_are_not() {
    let server = Server::with_database().await;
    for (encoding, status, error) in [
        ("gzip", 400, "bad_request"),
        ("deflate", 415, "bad_content_type"),
        ("GZIP", 415, "bad_content_type"),
    ] {
        let headers = format!("{JSON}Content-Encoding: {encoding}\r\n");
        check(&server, &headers, &[(b"PUT /db/z", b"{}", status, error, "")]).await;
        check(&server, &headers, &[(b"POST /db/_bulk_docs", b"{}", status, error, "")]).await;
    }
}

/// More than the largest body, in bytes.
const HUGE: usize = 110 << 20;

/// An announced one is refused before it is sent; CouchDB takes it in first.
#[tokio::test]
async fn a_huge_body_that_is_announced() {
    let server = Server::with_database().await;
    for line in ["PUT /db/a", "POST /db/_bulk_docs", "PUT /db/a/attachment"] {
        let head =
            format!("{line} HTTP/1.1\r\nHost: test\r\n{JSON}Content-Length: 999999999\r\n\r\n{{");
        let said = send(server.address, head.as_bytes()).await;
        assert_eq!((said.status, said.error().as_str()), (Some(413), "too_large"), "{line}");
    }
    lives(&server).await;
}

/// One in chunks is refused when it is too long, and nothing of it is kept.
#[tokio::test]
async fn huge_bodies_in_chunks_leave_nothing_behind() {
    let server = Server::with_database().await;
    let before = resident_bytes();
    for _ in 0..4 {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let (mut read, mut write) = stream.into_split();
        let head =
            format!("PUT /db/a HTTP/1.1\r\nHost: test\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n");
        let sent = async move {
            let chunk =
                [format!("{:x}\r\n", 1 << 20).into_bytes(), vec![b' '; 1 << 20], b"\r\n".to_vec()];
            let chunk = chunk.concat();
            write.write_all(head.as_bytes()).await.ok();
            for _ in 0..HUGE >> 20 {
                // The server may have answered by now.
                if write.write_all(&chunk).await.is_err() {
                    break;
                }
            }
            write.write_all(b"0\r\n\r\n").await.ok();
            write
        };
        let answered = async {
            let mut start = [0; 12];
            // A connection that is cut while it is still written to may lose its answer.
            read.read_exact(&mut start).await.map(|_| start)
        };
        let (answer, _write) = patient(async { tokio::join!(answered, sent) }).await;
        if let Ok(start) = answer {
            assert_eq!(&start, b"HTTP/1.1 413");
        }
        assert_eq!(server.ask("GET /db/a", "").await.status, 404);
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 2 * HUGE, "{grown} bytes more after four bodies of {HUGE}");
}

/// The memory of this process, in bytes. Other tests of it run at the same time.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kibibytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes << 10
}

/// A body that ends early, and one that comes a byte at a time.
#[tokio::test]
async fn bodies_that_come_badly() {
    let server = Server::with_database().await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (read, mut write) = stream.into_split();
    let whole = request(b"PUT /db/cut", JSON, b"{\"a\":1}");
    write.write_all(&whole[..whole.len() - 3]).await.unwrap();
    drop((read, write));
    lives(&server).await;
    assert_eq!(server.ask("GET /db/cut", "").await.status, 404);

    let stream = TcpStream::connect(server.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut read, mut write) = stream.into_split();
    for byte in request(b"PUT /db/slow", JSON, b"{\"a\":1}") {
        write.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut start = [0; 12];
    patient(read.read_exact(&mut start)).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 201");

    // A head that never ends keeps nobody else waiting.
    let mut waiting = TcpStream::connect(server.address).await.unwrap();
    waiting.write_all(b"GET /db HTTP/1.1\r\nHost: test\r\nX-").await.unwrap();
    let mut other = Connection::open(server.address).await;
    assert_eq!(other.ask("GET /db", "").await.status, 200);
}
