//! HTTP/1 without TLS: what goes out, what comes in, and every way to fail.

use bytes::Bytes;

use super::server::{Then, client, client_under, converse, drain, failure, get, hang, serve};
use crate::TargetPolicy;
use crate::http::{Failure, Phases, Request, VersionChoice};
use crate::tests::sockets::{closed_port, listen};

#[tokio::test]
async fn an_exchange_has_its_phases_in_order() {
    let answer =
        b"HTTP/1.1 200 Fine\r\nX-CamelCase: 1\r\nContent-Length: 5\r\nx-last: z\r\n\r\nhello";
    let (url, served) = serve(answer, 0, Then::Close).await;
    let mut answer = client().exchange(get(&format!("{url}/a/b?c=d#e"))).await.unwrap();
    assert_eq!((answer.status, answer.reason.as_slice()), (200, &b"Fine"[..]));
    assert_eq!(answer.version, http::Version::HTTP_11);
    let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    assert_eq!(
        answer.headers,
        [field("X-CamelCase", "1"), field("Content-Length", "5"), field("x-last", "z")]
    );
    assert_eq!(format!("http://{}", answer.connection.remote.unwrap()), url);
    assert!(answer.connection.local.unwrap().ip().is_loopback() && answer.connection.tls.is_none());
    let Phases { dns, connect, tls, sent, first_byte } = answer.phases;
    assert_eq!(drain(&mut answer).await.unwrap(), b"hello");
    assert!(answer.body.read(10).await.unwrap().is_empty(), "the end stays the end");
    let instants = [dns, connect, tls, sent, first_byte, answer.body.total()];
    assert!(instants.is_sorted(), "{instants:?}");
    assert_eq!(connect, tls, "no handshake took place");
    assert!(!sent.is_zero() && first_byte > sent, "{instants:?}");
    let request = served.await.unwrap();
    let host = url.strip_prefix("http://").unwrap();
    assert_eq!(request, format!("GET /a/b?c=d HTTP/1.1\r\nHost: {host}\r\n\r\n"));
}

#[tokio::test]
async fn headers_and_body_go_out_as_stated() {
    let (url, served) = serve(b"HTTP/1.1 204 No Content\r\n\r\n", 7, Then::Hang).await;
    let header = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
    let request = Request {
        method: "PATCH".to_owned(),
        headers: vec![
            header("user-agent", b"curl/8"),
            header("HOST", b"other.example"),
            header("X-Two", b"a"),
            header("accept", b"*/*"),
            header("x-two", b"b"),
        ],
        body: Some(Bytes::from_static(b"a=1&b=2")),
        ..get(&url)
    };
    let mut answer = client().exchange(request).await.unwrap();
    assert_eq!((answer.status, drain(&mut answer).await), (204, Ok(Vec::new())));
    drop(answer);
    assert_eq!(
        served.await.unwrap(),
        "PATCH / HTTP/1.1\r\nuser-agent: curl/8\r\nHOST: other.example\r\nX-Two: a\r\naccept: */*\r\n\
         x-two: b\r\nContent-Length: 7\r\n\r\na=1&b=2"
    );
}

#[tokio::test]
async fn a_target_goes_out_as_it_stands_in_the_url() {
    for target in ["/%2e%2e/ok", "/a\\b^c`d", "/a[1]{2}", "/a\"b<c>d|e?<\">", "//a/../b?"] {
        let (url, served) = serve(b"HTTP/1.1 204 No Content\r\n\r\n", 0, Then::Close).await;
        client().exchange(get(&format!("{url}{target}"))).await.unwrap();
        let request = served.await.unwrap();
        assert_eq!(request.lines().next().unwrap(), format!("GET {target} HTTP/1.1"));
    }
}

#[tokio::test]
async fn lines_that_are_folded_are_one_value() {
    let answer = b"HTTP/1.1 200 d\xc3\xa9j\xc3\xa0\r\nX-Long: a\r\n b\r\n\tc\r\nX-A : 1\r\nContent-Length: 0\r\n\r\n";
    let (url, _) = serve(answer, 0, Then::Close).await;
    let answer = client().exchange(get(&url)).await.unwrap();
    let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    assert_eq!(answer.reason, "d\u{e9}j\u{e0}".as_bytes());
    assert_eq!(
        answer.headers,
        [field("X-Long", "a b\tc"), field("X-A", "1"), field("Content-Length", "0")]
    );
}

#[tokio::test]
async fn bodies_of_every_framing_are_read() {
    for (answer, version, wanted) in [
        (
            &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nT: t\r\n\r\n"[..],
            http::Version::HTTP_11,
            "abcdefg",
        ),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", http::Version::HTTP_10, "until the end"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", http::Version::HTTP_11, ""),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            http::Version::HTTP_11,
            "ok",
        ),
    ] {
        let (url, _) = serve(answer, 0, Then::Close).await;
        let mut answer = client().exchange(get(&url)).await.unwrap();
        let body = drain(&mut answer).await.unwrap();
        assert_eq!((answer.status, answer.version), (200, version), "{wanted}");
        assert_eq!(String::from_utf8(body).unwrap(), wanted);
        assert!(!answer.headers.iter().any(|(name, _)| name == "Link"), "{:?}", answer.headers);
    }
}

#[tokio::test]
async fn a_head_request_has_no_body() {
    let (url, _) = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", 0, Then::Hang).await;
    let request = Request { method: "HEAD".to_owned(), ..get(&url) };
    let mut answer = client().exchange(request).await.unwrap();
    assert_eq!(drain(&mut answer).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_body_is_not_read_ahead_of_its_reader() {
    let (listener, address) = listen().await;
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        converse(&mut stream, b"HTTP/1.1 200 OK\r\n\r\n", 0).await;
        let piece = vec![b'x'; 1 << 20];
        let mut written = 0_u64;
        // Until the socket's own buffers are full and nothing moves any more.
        while tokio::time::timeout(
            std::time::Duration::from_millis(300),
            tokio::io::AsyncWriteExt::write_all(&mut stream, &piece),
        )
        .await
        .is_ok()
        {
            written += 1 << 20;
            assert!(written < 256 << 20, "256 MiB were taken without a reader");
        }
    });
    let mut answer = client().exchange(get(&format!("http://{address}"))).await.unwrap();
    assert!(!answer.body.read(10).await.unwrap().is_empty());
    served.await.unwrap();
}

#[tokio::test]
async fn every_failure_has_its_class_and_its_words() {
    let truncated = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
    let cut_chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc";
    let bad_chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc";
    let receive = |text: &str| Failure::Receive(text.to_owned());
    let partial = |text: &str| Failure::Partial(text.to_owned());
    for (answer, then, wanted) in [
        (&b""[..], Then::Close, Failure::EmptyReply("Empty reply from server".to_owned())),
        (b"", Then::Reset, receive("Recv failure: Connection reset by peer")),
        (
            b"HTTP/1.1 200 OK\r\nServ",
            Then::Close,
            receive("Recv failure: the connection was closed inside the answer's head"),
        ),
        (truncated, Then::Close, partial("transfer closed with 7 bytes remaining to read")),
        (truncated, Then::Reset, receive("Recv failure: Connection reset by peer")),
        (cut_chunk, Then::Close, partial("transfer closed with outstanding read data remaining")),
        (
            bad_chunk,
            Then::Close,
            receive("Recv failure: Invalid chunk size line: missing size digit"),
        ),
        (
            b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
            Then::Hang,
            Failure::Protocol("the answer is not HTTP: invalid HTTP version parsed".to_owned()),
        ),
    ] {
        let (url, _) = serve(answer, 0, then).await;
        let said = String::from_utf8_lossy(answer).into_owned();
        assert_eq!(failure(get(&url)).await, wanted, "{said:?} {then:?}");
    }
}

#[tokio::test]
async fn a_url_that_cannot_be_fetched_is_refused() {
    for (url, words) in [
        ("ftp://127.0.0.1/x", "Protocol \"ftp\" not supported"),
        ("127.0.0.1/x", "is malformed"),
        ("http://", "is malformed"),
        ("http://127.0.0.1:99999/", "is malformed"),
        ("", "is malformed"),
    ] {
        let found = failure(get(url)).await;
        assert!(matches!(&found, Failure::Url(text) if text.contains(words)), "{url}: {found:?}");
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_sent_is_refused() {
    let url = "http://127.0.0.1:1/";
    let header = |name: &str, value: &str| vec![(name.to_owned(), value.as_bytes().to_vec())];
    for request in [
        Request { method: "GE T".to_owned(), ..get(url) },
        Request { method: "CONNECT".to_owned(), ..get(url) },
        Request { headers: header("a b", "c"), ..get(url) },
        Request { headers: header("a", "b\r\nc: d"), ..get(url) },
        Request { headers: header("Content-Length", "5"), ..get(url) },
    ] {
        let shown = format!("{request:?}");
        let found = failure(request).await;
        assert!(matches!(found, Failure::Send(_)), "{shown}: {found:?}");
    }
}

#[tokio::test]
async fn nobody_listens() {
    let port = closed_port("127.0.0.1").await;
    let found = failure(get(&format!("http://127.0.0.1:{port}/"))).await;
    let Failure::Connect(text) = &found else { panic!("{found:?}") };
    assert!(
        text.starts_with(&format!("Failed to connect to 127.0.0.1 port {port} after ")),
        "{text}"
    );
    assert!(text.ends_with(" ms: Connection refused"), "{text}");
}

#[tokio::test]
async fn a_name_that_does_not_exist() {
    let found = failure(get("http://name.invalid/")).await;
    assert_eq!(found, Failure::Resolve("Could not resolve host: name.invalid".to_owned()));
}

#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    // Bound to one family only; `localhost` may have the other first.
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        converse(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0).await;
        hang(&mut stream).await;
    });
    let url = format!("http://localhost:{}/", address.port());
    let answer = client().exchange(get(&url)).await.unwrap();
    assert_eq!((answer.status, answer.connection.remote), (200, Some(address)));
}

#[tokio::test]
async fn the_policy_holds_for_names_and_every_spelling() {
    let (_listener, address) = listen().await;
    let port = address.port();
    for (host, words) in [
        ("127.0.0.1", "127.0.0.1 is loopback (policy public-only)"),
        ("2130706433", "127.0.0.1 is loopback (policy public-only)"),
        ("0x7f.1", "127.0.0.1 is loopback (policy public-only)"),
        ("0177.0.0.1", "127.0.0.1 is loopback (policy public-only)"),
        ("[::1]", "::1 is loopback (policy public-only)"),
        (
            "[::ffff:127.0.0.1]",
            "::ffff:127.0.0.1 is IPv4-mapped of 127.0.0.1, which is loopback (policy public-only)",
        ),
        (
            "[64:ff9b::7f00:1]",
            "64:ff9b::7f00:1 is NAT64 of 127.0.0.1, which is loopback (policy public-only)",
        ),
        ("169.254.169.254", "169.254.169.254 is link-local (policy public-only)"),
        ("0", "0.0.0.0 is this host (policy public-only)"),
        ("localhost", "is loopback (policy public-only)"),
    ] {
        let client = client_under(TargetPolicy::public_only());
        let found = client.exchange(get(&format!("http://{host}:{port}/"))).await;
        let found = found.expect_err("it was reached");
        assert!(
            matches!(&found.failure, Failure::Denied(text) if text.ends_with(words)),
            "{host}: {found:?}"
        );
    }
}

#[tokio::test]
async fn http2_without_tls_is_prior_knowledge() {
    let (url, served) = serve(b"", 0, Then::Close).await;
    let request = Request { version: VersionChoice::Http2, ..get(&url) };
    let _failed = client().exchange(request).await.expect_err("the server does not speak HTTP/2");
    assert!(served.await.unwrap().starts_with("PRI * HTTP/2.0\r\n\r\n"));
}
