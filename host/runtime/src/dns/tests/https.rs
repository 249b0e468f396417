//! DNS over HTTPS, from a server of hyper's.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::CertificateDer;
use tokio::net::TcpListener;

use super::server::{Server, identity};
use super::*;

/// What a server answers to a question.
type Answer = hyper::Response<Full<Bytes>>;

/// What makes it, and the words of the error.
type Case = (fn(&[u8]) -> Answer, &'static str);

fn dns(status: u16, body: Vec<u8>) -> Answer {
    let mut answer = hyper::Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status.try_into().unwrap();
    let kind = HeaderValue::from_static("application/dns-message");
    answer.headers_mut().insert("content-type", kind);
    answer
}

/// A server by HTTP/2 or HTTP/1.1, as `alpn` says; gives the version of each request to `script`.
async fn serve(
    alpn: &[&[u8]],
    script: impl Fn(hyper::Version, &[u8]) -> Answer + Clone + Send + Sync + 'static,
) -> (Server, CertificateDer<'static>) {
    let (certificate, acceptor) = identity(alpn);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::running(address, async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(tcp).await else { continue };
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let script = script.clone();
            let service = service_fn(move |request: hyper::Request<Incoming>| {
                let script = script.clone();
                async move {
                    let (head, body) = request.into_parts();
                    assert_eq!(head.method, "POST");
                    assert_eq!(head.headers["content-type"], "application/dns-message");
                    assert_eq!(head.headers["accept"], "application/dns-message");
                    assert_eq!(head.uri.path(), "/dns-query");
                    let body = body.collect().await.unwrap().to_bytes();
                    Ok::<_, std::convert::Infallible>(script(head.version, &body))
                }
            });
            let io = TokioIo::new(stream);
            // A client that goes away is no error.
            if is_http2 {
                let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                http2.serve_connection(io, service).await.ok();
            } else {
                let http1 = hyper::server::conn::http1::Builder::new();
                http1.serve_connection(io, service).await.ok();
            }
        }
    });
    (server, certificate)
}

#[tokio::test]
async fn a_question_is_answered_by_the_version_that_tls_agrees_on() {
    for (alpn, version) in [
        (&[&b"h2"[..], b"http/1.1"][..], hyper::Version::HTTP_2),
        (&[&b"http/1.1"[..]], hyper::Version::HTTP_11),
        (&[], hyper::Version::HTTP_11),
    ] {
        let (server, certificate) = serve(alpn, move |came, question| {
            assert_eq!(came, version);
            dns(200, answer_to(question))
        })
        .await;
        let client = client().trusting(certificate);
        let url = format!("https://{}/dns-query{{?dns}}", server.localhost());
        for named in [server.localhost(), url] {
            let begun = std::time::Instant::now();
            let reply = exchange(&client, message(Transport::Https, &named)).await.unwrap();
            assert_eq!(reply.bytes, answer_to(&question(0x1234)), "{named}");
            assert_eq!(reply.server, server.text());
            assert!(reply.connect_us > 0 && reply.elapsed_us > 0, "{reply:?}");
            assert!(microseconds(&reply) <= begun.elapsed());
        }
    }
}

#[tokio::test]
async fn what_is_no_answer_is_told() {
    let redirect = |_: &[u8]| {
        let mut answer = dns(302, Vec::new());
        let to = HeaderValue::from_static("https://elsewhere.example/");
        answer.headers_mut().insert("location", to);
        answer
    };
    let html = |question: &[u8]| {
        let mut answer = dns(200, answer_to(question));
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        answer.headers_mut().insert("content-type", kind);
        answer
    };
    let scripts: [Case; 8] = [
        (|question| dns(500, answer_to(question)), " answered HTTP 500"),
        (|_| dns(404, Vec::new()), " answered HTTP 404"),
        (
            redirect,
            " answered HTTP 302, and redirects are not followed: https://elsewhere.example/",
        ),
        (html, " sent \"text/html\" and not application/dns-message; is it a DNS server?"),
        (|_| dns(200, Vec::new()), " sent 0 bytes that do not answer the question"),
        (|_| dns(200, vec![7; 50]), " sent 50 bytes that do not answer the question"),
        (
            |question| dns(200, changed(question, |bytes| bytes[0] ^= 1)),
            " sent 46 bytes that do not answer the question",
        ),
        (
            |question| dns(200, changed(question, |bytes| bytes.resize(65_536, 0))),
            " sent more than 65535 bytes, the longest message",
        ),
    ];
    for (script, words) in scripts {
        let (server, certificate) = serve(&[b"h2"], move |_, question| script(question)).await;
        let client = client().trusting(certificate);
        let asked = message(Transport::Https, &server.localhost());
        let (Err(Error::Failed(text) | Error::Limit(text)), url) =
            (exchange(&client, asked).await, format!("https://{}/dns-query", server.localhost()))
        else {
            panic!("{words}: it was an answer")
        };
        assert_eq!(text, format!("{url}{words}"));
    }
}

#[tokio::test]
async fn a_certificate_is_verified_unless_nobody_wants_that() {
    let (server, _) = serve(&[b"h2"], |_, question| dns(200, answer_to(question))).await;
    let strict = message(Transport::Https, &server.localhost());
    let error = failed(ask(strict.clone()).await);
    assert!(error.contains("SSL certificate problem: self-signed certificate"), "{error}");
    let reply = ask(Message { verify: false, ..strict }).await.unwrap();
    assert_eq!(reply.bytes, answer_to(&question(0x1234)));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_left() {
    let (listener, address) = crate::tests::sockets::listen().await;
    let short =
        Message { timeout_ms: Some(200), ..message(Transport::Https, &address.to_string()) };
    let error = failed(ask(short).await);
    assert!(
        error.starts_with(&format!("https://{address}/dns-query: SSL connection timed out")),
        "{error}"
    );
    drop(listener);
    for (server, words) in [
        ("http://dns.example/dns-query", "its URL begins with https://"),
        ("", "write NAME, NAME:PORT or a URL"),
        ("a b", "URL \"https://a b/dns-query\" is malformed"),
    ] {
        let error = failed(ask(message(Transport::Https, server)).await);
        assert!(error.contains(words), "{error}");
    }
}
