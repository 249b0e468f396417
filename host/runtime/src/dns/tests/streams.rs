//! TCP, and TLS over it.

use tokio::io::AsyncWriteExt as _;

use super::server::{RAW, Server, identity};
use super::*;
use crate::tests::sockets::{closed_port, silent};

fn raw(bytes: &[u8]) -> Vec<u8> {
    [RAW, bytes].concat()
}

#[tokio::test]
async fn a_question_is_answered_over_tcp() {
    let server = Server::tcp(|question| {
        let long = changed(question, |bytes| bytes.resize(65_535, 1));
        vec![changed(question, |bytes| bytes[0] ^= 1), Vec::new(), long]
    })
    .await;
    let begun = std::time::Instant::now();
    let reply = ask(message(Transport::Tcp, &server.text())).await.unwrap();
    assert_eq!((reply.bytes.len(), reply.server.clone()), (65_535, server.text()));
    assert!(reply.connect_us > 0 && reply.elapsed_us > 0, "{reply:?}");
    assert!(microseconds(&reply) <= begun.elapsed());
}

#[tokio::test]
async fn hostile_servers_end_in_words() {
    for (answers, words) in [
        (Vec::new(), "it closed the connection without an answer"),
        (vec![raw(&[0])], "it closed the connection without an answer"),
        (vec![raw(&[1, 0, 7, 7, 7])], "it closed the connection without an answer"),
        (
            vec![vec![7; 30]; 2],
            "it closed the connection without an answer; it sent 2 messages that do not answer the question",
        ),
        (
            vec![vec![0; 65_535]; 100],
            "sent 64 messages that do not answer the question, the most that are read",
        ),
        (vec![Vec::new(); 100], "sent 64 messages that do not answer the question"),
    ] {
        let server = Server::tcp(move |_| answers.clone()).await;
        let error = failed(ask(message(Transport::Tcp, &server.text())).await);
        assert!(error.starts_with(&server.text()) && error.contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_left() {
    let (nobody, _queue) = silent().await;
    let short = Message { timeout_ms: Some(200), ..message(Transport::Tcp, &nobody.to_string()) };
    assert_eq!(failed(ask(short).await), format!("{nobody}: no connection in 200 ms"));

    let (listener, address) = crate::tests::sockets::listen().await;
    for transport in [Transport::Tcp, Transport::Tls] {
        let short = Message { timeout_ms: Some(200), ..message(transport, &address.to_string()) };
        let error = failed(ask(short).await);
        let wanted = match transport {
            Transport::Tcp => format!("{address} did not answer in 200 ms"),
            _ => format!("{address}: no connection in 200 ms"),
        };
        assert_eq!(error, wanted);
    }
    drop(listener);

    let port = closed_port("127.0.0.1").await;
    let error = failed(ask(message(Transport::Tcp, &format!("127.0.0.1:{port}"))).await);
    assert_eq!(error, format!("127.0.0.1:{port}: Connection refused"));
}

#[tokio::test]
async fn a_question_is_answered_over_tls() {
    for alpn in [&[][..], &[&b"dot"[..]]] {
        let (certificate, acceptor) = identity(alpn);
        let server = Server::tls(acceptor, |question| vec![answer_to(question)]).await;
        let client = client().trusting(certificate);
        let reply = exchange(&client, message(Transport::Tls, &server.localhost())).await.unwrap();
        assert_eq!(reply.bytes, answer_to(&question(0x1234)));
        assert_eq!(reply.server, server.text());
        assert!(reply.connect_us > 0 && reply.elapsed_us > 0, "{reply:?}");
    }
}

#[tokio::test]
async fn a_certificate_is_verified_unless_nobody_wants_that() {
    let (certificate, acceptor) = identity(&[]);
    let server = Server::tls(acceptor, |question| vec![answer_to(question)]).await;
    let trusting = client().trusting(certificate);
    for (client, name, problem) in [
        (&client(), server.localhost(), "SSL certificate problem: self-signed certificate"),
        (
            &trusting,
            server.text(),
            "SSL certificate problem: no alternative certificate subject name matches target host name '127.0.0.1'",
        ),
    ] {
        let error = failed(exchange(client, message(Transport::Tls, &name)).await);
        assert!(error.starts_with(&name) && error.contains(problem), "{error}");
        let lax = Message { verify: false, ..message(Transport::Tls, &name) };
        let reply = exchange(client, lax).await.unwrap();
        assert_eq!(reply.bytes, answer_to(&question(0x1234)));
    }
}

#[tokio::test]
async fn what_is_no_tls_is_told() {
    let (listener, address) = crate::tests::sockets::listen().await;
    let server = Server::running(address, async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"hello, this is not TLS at all\r\n").await.unwrap();
        std::future::pending::<()>().await;
    });
    let error = failed(ask(message(Transport::Tls, &server.text())).await);
    assert_eq!(error, format!("{address}: the server does not speak TLS on this port"));
}
