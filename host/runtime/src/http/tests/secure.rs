//! TLS and HTTP/2.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::date_time_ymd;

use super::server::{Then, client, client_trusting, drain, get, identity, serve, serve_tls};
use crate::http::{Failed, Failure, Phases, Request, VersionChoice};
use crate::tests::sockets::listen;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn a_trusted_server_shows_its_facts() {
    let (certificate, acceptor) = identity("localhost", &["http/1.1"], |_| {});
    let port = serve_tls(acceptor, OK).await;
    let client = client_trusting(certificate.clone());
    let mut answer = client.exchange(get(&format!("https://localhost:{port}/"))).await.unwrap();
    assert_eq!(drain(&mut answer).await.unwrap(), b"ok");
    assert_eq!((answer.status, answer.version), (200, http::Version::HTTP_11));
    let tls = answer.connection.tls.as_ref().unwrap();
    assert_eq!(tls.protocol, "TLSv1.3");
    assert_eq!(tls.cipher, "TLS_AES_256_GCM_SHA384");
    assert_eq!(tls.alpn.as_deref(), Some("http/1.1"));
    assert_eq!(tls.verdict, "ok");
    assert_eq!(tls.certificates, [certificate.to_vec()]);
    let Phases { dns, connect, tls, sent, first_byte } = answer.phases;
    let instants = [dns, connect, tls, sent, first_byte, answer.body.total()];
    assert!(instants.is_sorted() && connect < tls, "{instants:?}");
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_says_why() {
    for (name, host, wanted) in [
        ("localhost", "localhost", "self-signed certificate"),
        (
            "other.example",
            "localhost",
            "no alternative certificate subject name matches target host name 'localhost' (the certificate is for other.example)",
        ),
        (
            "localhost",
            "127.0.0.1",
            "no alternative certificate subject name matches target host name '127.0.0.1' (the certificate is for localhost)",
        ),
    ] {
        let (certificate, acceptor) = identity(name, &[], |_| {});
        let client =
            if wanted.starts_with("self") { client() } else { client_trusting(certificate) };
        let port = serve_tls(acceptor.clone(), OK).await;
        let url = format!("https://{host}:{port}/");
        let found = client.exchange(get(&url)).await.expect_err("it was trusted");
        assert_eq!(
            found.failure,
            Failure::Certificate(format!("SSL certificate problem: {wanted}"))
        );

        let port = serve_tls(acceptor, OK).await;
        let lax = Request { verify: false, ..get(&format!("https://{host}:{port}/")) };
        let answer = client.exchange(lax).await.unwrap();
        assert_eq!(answer.connection.tls.unwrap().verdict, wanted, "the verdict is kept");
    }
}

#[tokio::test]
async fn an_old_certificate_is_named_so() {
    let (certificate, acceptor) = identity("localhost", &[], |params| {
        params.not_after = date_time_ymd(2020, 1, 1);
        params.not_before = date_time_ymd(2019, 1, 1);
    });
    let port = serve_tls(acceptor, OK).await;
    let client = client_trusting(certificate);
    let found = client.exchange(get(&format!("https://localhost:{port}/"))).await;
    let wanted = "SSL certificate problem: certificate has expired".to_owned();
    assert_eq!(found.expect_err("it was trusted").failure, Failure::Certificate(wanted));
}

#[tokio::test]
async fn a_server_without_tls_fails_in_the_handshake() {
    for (answer, then) in
        [(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], Then::Close), (b"", Then::Close)]
    {
        // The ClientHello has no blank line to wait for: the server answers the first bytes.
        let (listener, address) = listen().await;
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut hello = [0; 16];
            tokio::io::AsyncReadExt::read_exact(&mut stream, &mut hello).await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.unwrap();
            assert_eq!(then, Then::Close);
        });
        let found = client().exchange(get(&format!("https://{address}/"))).await;
        assert!(
            matches!(&found, Err(failed) if matches!(failed.failure, Failure::Tls(_))),
            "{found:?}"
        );
    }
}

/// Echoes method, authority, path and body; the body thousandfold.
async fn echo(
    request: http::Request<Incoming>,
) -> Result<http::Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let said = format!("{} {} {:?}\n", head.method, head.uri, head.headers.get("x-one"));
    let mut answer = said.into_bytes();
    answer.extend(body.repeat(1000));
    let mut response = http::Response::new(Full::new(answer.into()));
    *response.status_mut() = http::StatusCode::ACCEPTED;
    response.headers_mut().insert("x-answer", http::HeaderValue::from_static("Yes"));
    Ok(response)
}

#[tokio::test]
async fn http2_is_spoken_where_it_is_negotiated() {
    let (certificate, acceptor) = identity("localhost", &["h2", "http/1.1"], |_| {});
    let (listener, address) = listen().await;
    let served = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let tls = acceptor.accept(tcp).await.unwrap();
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(tls), service_fn(echo))
            .await
    });
    let request = Request {
        method: "POST".to_owned(),
        headers: vec![
            ("Host".to_owned(), b"virtual.example".to_vec()),
            ("X-One".to_owned(), b"1".to_vec()),
            ("Connection".to_owned(), b"close".to_vec()),
        ],
        body: Some(Bytes::from(vec![b'x'; 4000])),
        ..get(&format!("https://localhost:{}/p?q", address.port()))
    };
    let mut answer = client_trusting(certificate).exchange(request).await.unwrap();
    assert_eq!((answer.status, answer.version), (202, http::Version::HTTP_2));
    assert_eq!(answer.reason, b"");
    assert!(
        answer.headers.contains(&("x-answer".to_owned(), b"Yes".to_vec())),
        "{:?}",
        answer.headers
    );
    let Phases { dns, connect, tls, sent, first_byte } = answer.phases;
    let body = drain(&mut answer).await.unwrap();
    let (said, rest) = body.split_at(body.iter().position(|b| *b == b'\n').unwrap() + 1);
    assert_eq!(String::from_utf8_lossy(said), "POST https://virtual.example/p?q Some(\"1\")\n");
    // Four times the window that the server may fill without us reading.
    assert_eq!(rest.len(), 4_000_000);
    let instants = [dns, connect, tls, sent, first_byte, answer.body.total()];
    assert!(instants.is_sorted() && sent > tls, "{instants:?}");
    drop(answer);
    // However the server saw the end, it saw it: nothing keeps the connection.
    let _ended = served.await.unwrap();
}

#[tokio::test]
async fn http2_or_nothing() {
    let (certificate, acceptor) = identity("localhost", &[], |_| {});
    let port = serve_tls(acceptor, OK).await;
    let request =
        Request { version: VersionChoice::Http2, ..get(&format!("https://localhost:{port}/")) };
    let found = client_trusting(certificate).exchange(request).await;
    assert!(
        matches!(&found, Err(Failed { failure: Failure::Tls(text), .. }) if text.contains("HTTP/2")),
        "{found:?}"
    );
}

#[tokio::test]
async fn http1_is_what_is_offered_when_asked_for() {
    let (certificate, acceptor) = identity("localhost", &["h2", "http/1.1"], |_| {});
    let port = serve_tls(acceptor, OK).await;
    let request =
        Request { version: VersionChoice::Http1, ..get(&format!("https://localhost:{port}/")) };
    let answer = client_trusting(certificate).exchange(request).await.unwrap();
    assert_eq!(answer.version, http::Version::HTTP_11);
}

#[tokio::test]
async fn a_dropped_body_closes_the_connection() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
    let (url, served) = serve(answer, 0, Then::Hang).await;
    let answer = client().exchange(get(&url)).await.unwrap();
    drop(answer);
    served.await.unwrap();
}
