//! HTTP that is none: two lengths, folded headers, bare line ends, chunks that lie, heads that are too
//! large. What two servers in a row could read in two ways is refused.

use super::{lives, send};
use crate::client::Server;

/// What is taken is taken as one request, and what is refused stores nothing.
#[tokio::test]
async fn bodies_with_two_ends() {
    let server = Server::with_database().await;
    let chunked = "Transfer-Encoding: chunked\r\n";
    let one = "2\r\n{}\r\n0\r\n\r\n";
    for (headers, body, status, couchdb) in [
        // RFC 9112, section 6.1: the chunks count and the connection ends after it.
        ("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", one, 201, "201"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", one, 201, "201"),
        ("Content-Length: 2\r\nContent-Length: 2\r\n", "{}", 201, "201"),
        ("Content-Length: 2\r\nContent-Length: 5\r\n", "{}   ", 400, "400"),
        ("Content-Length: 2, 2\r\n", "{}", 400, "201"),
        ("Content-Length: +2\r\n", "{}", 400, "201"),
        ("Content-Length: -1\r\n", "{}", 400, "500"),
        ("Content-Length: x\r\n", "{}", 400, "it cuts the connection"),
        ("Content-Length: 99999999999999999999999\r\n", "{}", 400, "413"),
        ("Content-Length : 2\r\n", "{}", 400, "it hangs"),
        ("X-A: a\r\n b\r\nContent-Length: 2\r\n", "{}", 400, "201"),
        ("X-A: a\rb\r\nContent-Length: 2\r\n", "{}", 400, "201"),
        ("X-A: a\0b\r\nContent-Length: 2\r\n", "{}", 400, "201"),
        ("abc\r\nContent-Length: 2\r\n", "{}", 400, "it hangs"),
        (": a\r\nContent-Length: 2\r\n", "{}", 400, "201"),
        (chunked, "2;a=b\r\n{}\r\n0\r\n\r\n", 201, "500"),
        (chunked, "2\r\n{}\r\n0\r\nX-T: 1\r\n\r\n", 201, "201"),
        (chunked, "zz\r\n{}\r\n0\r\n\r\n", 400, "500"),
        (chunked, "-2\r\n{}\r\n0\r\n\r\n", 400, "it cuts the connection"),
        (chunked, "FFFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n", 400, "it hangs"),
        (chunked, "2\r\n{}0\r\n\r\n", 400, "it cuts the connection"),
        (chunked, "2\n{}\n0\n\n", 400, "it cuts the connection"),
        ("Transfer-Encoding: identity\r\nContent-Length: 2\r\n", "{}", 400, "500"),
        ("Transfer-Encoding: xchunked\r\nContent-Length: 2\r\n", "{}", 400, "500"),
        ("Transfer-Encoding: chunked, identity\r\n", one, 400, "500"),
        ("", "", 400, "400"),
    ] {
        let head = "PUT /db/a HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
        let said = send(server.address, format!("{head}{headers}\r\n{body}").as_bytes()).await;
        assert_eq!(said.status, Some(status), "{headers:?} {body:?}; CouchDB: {couchdb}");
        let read = server.ask("GET /db/a", "").await;
        assert_eq!(read.status, if status == 201 { 200 } else { 404 }, "{headers:?} {body:?}");
        if status == 201 {
            let revision = read.json()["_rev"].as_str().unwrap().to_owned();
            assert_eq!(server.ask(&format!("DELETE /db/a?rev={revision}"), "").await.status, 200);
        }
    }
}

/// After a request with chunks and a length nothing that follows is read as a request of its own.
#[tokio::test]
async fn a_second_request_is_not_smuggled() {
    let server = Server::with_database().await;
    let smuggled = "PUT /db/smuggled HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n{}";
    let length = smuggled.len() + 5;
    for framing in [
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
    ] {
        let request = format!(
            "POST /db/_all_docs HTTP/1.1\r\nHost: test\r\n{framing}\r\n0\r\n\r\n{smuggled}"
        );
        send(server.address, request.as_bytes()).await;
        lives(&server).await;
        assert_eq!(server.ask("GET /db/smuggled", "").await.status, 404, "{framing:?}");
    }
}

/// The connection ended without an answer.
const CUT: u16 = 0;

#[tokio::test]
async fn first_lines_and_heads_of_every_kind() {
    let server = Server::with_database().await;
    let plain = "Host: test\r\n\r\n";
    let host = |line: &str| format!("{line}\r\n{plain}");
    let large = |bytes: usize| format!("GET / HTTP/1.1\r\nX-A: {}\r\n{plain}", "a".repeat(bytes));
    let lines = |count: usize| -> String { (0..count).map(|n| format!("X-{n}: a\r\n")).collect() };
    let (some, many) = (lines(150), lines(10_000));
    for (request, statuses, couchdb) in [
        (host("GET http://other:1/db HTTP/1.1"), &[200][..], "200"),
        (host("CONNECT x:1 HTTP/1.1"), &[400, 404, 405], "it cuts the connection"),
        (host("OPTIONS * HTTP/1.1"), &[400, 404, 405], "it cuts the connection"),
        (
            format!(
                "GET /db HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                 HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n{plain}"
            ),
            &[200],
            "200: HTTP/1.1 goes on",
        ),
        (
            format!("GET /db HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{plain}"),
            &[200],
            "200",
        ),
        (String::from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), &[CUT, 400], "400"),
        (host("GET / HTTP/3.0"), &[400], "200"),
        (host("GET / http/1.1"), &[400], "it hangs"),
        (host("GET  / HTTP/1.1"), &[400], "200"),
        (host("GET\t/\tHTTP/1.1"), &[400], "200"),
        (host("G@T / HTTP/1.1"), &[400], "it hangs"),
        (host("  GET / HTTP/1.1"), &[400], "it hangs"),
        (host("\r\n\r\nGET / HTTP/1.1"), &[200], "200"),
        (host("GET / HTTP/1.1").replace("\r\n", "\n"), &[200], "200"),
        (String::from("GET /\r\n\r\n"), &[400], "200 as HTTP/0.9"),
        (String::from("GET / HTTP/1.0\r\n\r\n"), &[200], "200"),
        (String::from("\0\0\0\r\n\r\n"), &[400], "it hangs"),
        (String::from("\u{16}\u{3}\u{1}\r\n\r\n"), &[400], "it hangs"),
        (large(60_000), &[200], "200"),
        (large(1_000_000), &[431], "400"),
        (format!("GET / HTTP/1.1\r\n{some}{plain}"), &[200], "200"),
        (format!("GET / HTTP/1.1\r\n{many}{plain}"), &[431], "400"),
        (host(&format!("GET /?{} HTTP/1.1", "a".repeat(100_000))), &[414], "400"),
        (format!("GET / HTTP/1.1\r\nX-A: \u{e9}\r\n{plain}"), &[200], "200"),
    ] {
        let said = send(server.address, request.as_bytes()).await;
        let status = said.status.unwrap_or(CUT);
        assert!(statuses.contains(&status), "{request:.80?}: {status}; CouchDB: {couchdb}");
        lives(&server).await;
    }
}

/// Where the connection goes on after a refusal, the next request has its answer.
#[tokio::test]
async fn several_requests_at_once_are_answered_in_their_order() {
    let server = Server::with_database().await;
    let requests = "GET /db/none HTTP/1.1\r\nHost: test\r\n\r\n\
         PUT /db/a HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\n\r\n{\
         GET /db HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let mut got = String::new();
    crate::client::patient(async {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        stream.write_all(requests.as_bytes()).await.unwrap();
        stream.read_to_string(&mut got).await.unwrap();
    })
    .await;
    let statuses: Vec<&str> =
        got.match_indices("HTTP/1.1 ").map(|(at, found)| &got[at + found.len()..][..3]).collect();
    assert_eq!(statuses, ["404", "400", "200"]);
}
