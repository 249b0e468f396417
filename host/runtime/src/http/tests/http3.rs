//! HTTP/3, with servers of quinn and h3 on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use h3_quinn::Connection;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, TransportConfig, VarInt};
use rcgen::CertificateParams;
use tokio::sync::watch;

use super::server::{client, client_under, drain, get};
use super::trust::Authority;
use crate::TargetPolicy;
use crate::http::{Answer, Failed, Failure, Phases, Request, VersionChoice};

/// What a server takes from its program before the client took it.
const SERVER_WINDOW_BYTES: u64 = 64 * 1024;
/// What the client lets come before it is read.
const CLIENT_WINDOW_BYTES: u64 = 1024 * 1024;

type Stream = h3::server::RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>;

/// A server for `localhost` on loopback, its authority, and the chain that it shows.
struct Server {
    endpoint: Endpoint,
    address: SocketAddr,
    authority: Authority,
    chain: Vec<Vec<u8>>,
}

impl Server {
    fn new(name: &str, alpn: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let authority = Authority::new("ours");
        let (config, chain) = authority.server(name, &[alpn], change);
        let config = QuicServerConfig::try_from(config).unwrap();
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(config));
        let mut transport = TransportConfig::default();
        transport.send_window(SERVER_WINDOW_BYTES);
        config.transport_config(Arc::new(transport));
        let endpoint = Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
        let address = endpoint.local_addr().unwrap();
        Self { endpoint, address, authority, chain }
    }

    fn good() -> Self {
        Self::new("localhost", "h3", |_| {})
    }

    fn request(&self) -> Request {
        Request {
            version: VersionChoice::Http3,
            roots: Some(self.authority.pem().into()),
            addresses: vec!["127.0.0.1".to_owned()],
            ..get(&format!("https://localhost:{}/p?q", self.address.port()))
        }
    }

    /// Answers one request, then waits for the client to close; gives what it closed with.
    async fn serve<F: Future<Output = ()>>(
        &self,
        answer: impl FnOnce(http::Request<()>, Stream) -> F,
    ) -> quinn::ConnectionError {
        let quic = self.endpoint.accept().await.unwrap().await.unwrap();
        let mut connection =
            h3::server::builder().build::<_, Bytes>(Connection::new(quic.clone())).await.unwrap();
        let (request, stream) =
            connection.accept().await.unwrap().unwrap().resolve_request().await.unwrap();
        answer(request, stream).await;
        quic.closed().await
    }

    /// Says these bytes in place of an answer, over and over.
    async fn say_for_ever(&self, first: &[u8], then: &[u8]) {
        let quic = self.endpoint.accept().await.unwrap().await.unwrap();
        let (mut stream, _incoming) = quic.accept_bi().await.unwrap();
        let mut said = stream.write_all(first).await;
        while said.is_ok() {
            said = stream.write_all(then).await;
        }
    }
}

async fn exchange(request: Request) -> Result<Answer, Failed> {
    client().exchange(request).await
}

async fn failure(request: Request) -> Failed {
    match exchange(request).await {
        Err(failed) => failed,
        Ok(answer) => panic!("the exchange succeeded: {answer:?}"),
    }
}

fn ok() -> http::Response<()> {
    http::Response::builder().status(202).header("x-answer", "Yes").body(()).unwrap()
}

#[tokio::test]
async fn http3_has_its_facts_and_its_phases() {
    let server = Server::good();
    let request = Request {
        headers: vec![
            ("Host".to_owned(), b"virtual.example".to_vec()),
            ("X-One".to_owned(), b"1".to_vec()),
            ("Connection".to_owned(), b"close".to_vec()),
        ],
        ..server.request()
    };
    let asking = async {
        let mut answer = exchange(request).await.unwrap();
        assert_eq!((answer.status, answer.version), (202, http::Version::HTTP_3));
        assert_eq!(answer.reason, b"");
        assert_eq!(answer.headers, [("x-answer".to_owned(), b"Yes".to_vec())]);
        let tls = answer.connection.tls.as_ref().unwrap();
        assert_eq!((tls.protocol.as_str(), tls.alpn.as_deref()), ("TLSv1.3", Some("h3")));
        assert_eq!((tls.verdict.as_str(), &tls.certificates), ("ok", &server.chain));
        assert_eq!(answer.connection.remote, Some(server.address));
        assert!(answer.connection.local.is_some_and(|local| local.ip().is_loopback()));
        assert_eq!(drain(&mut answer).await.unwrap(), b"GET https://virtual.example/p?q 1");
        assert_eq!(answer.body.read(1).await.unwrap(), "", "the end stays the end");
        let Phases { dns, connect, tls, sent, first_byte } = answer.phases;
        let instants = [dns, connect, tls, sent, first_byte, answer.body.total()];
        assert!(instants.is_sorted() && connect == tls && dns < connect, "{instants:?}");
    };
    let serving = server.serve(async |request, mut stream| {
        // Something before the answer.
        let hint = http::Response::builder().status(103).body(()).unwrap();
        stream.send_response(hint).await.unwrap();
        stream.send_response(ok()).await.unwrap();
        let one = request.headers()["x-one"].to_str().unwrap();
        let said = format!("{} {} {one}", request.method(), request.uri());
        stream.send_data(said.into()).await.unwrap();
        stream.finish().await.unwrap();
    });
    let (closed, ()) = tokio::join!(serving, asking);
    // The end of the body is the end of the connection, before the answer is dropped or behind it.
    let quinn::ConnectionError::ApplicationClosed(close) = closed else { panic!("{closed:?}") };
    assert_eq!(close.error_code, VarInt::from_u32(0x100));
}

#[tokio::test]
async fn http3_sends_a_body_while_the_answer_comes() {
    let server = Server::good();
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_be_bytes()[3]).collect();
    let request =
        Request { method: "POST".to_owned(), body: Some(body.clone().into()), ..server.request() };
    let asking = async {
        let mut answer = exchange(request).await.unwrap();
        assert!(drain(&mut answer).await.unwrap() == body, "the body came back otherwise");
    };
    let serving = server.serve(async |request, mut stream| {
        assert_eq!(request.headers()["content-length"], "3000000");
        stream.send_response(ok()).await.unwrap();
        // More than all windows together: it goes on only when both directions do.
        while let Some(mut piece) = stream.recv_data().await.unwrap() {
            stream.send_data(piece.copy_to_bytes(piece.remaining())).await.unwrap();
        }
        stream.finish().await.unwrap();
    });
    tokio::join!(serving, asking);
}

#[tokio::test]
async fn http3_does_not_read_ahead_of_its_reader() {
    const FRAME_BYTES: usize = 500;
    const FRAMES: usize = 8000;
    let server = Server::good();
    let (said, mut heard) = watch::channel(0_u64);
    let asking = async {
        let mut answer = exchange(server.request()).await.unwrap();
        let mut received = 0;
        loop {
            // Until the server can say no more.
            while tokio::time::timeout(Duration::from_millis(200), heard.changed())
                .await
                .is_ok_and(|changed| changed.is_ok())
            {}
            let ahead = *heard.borrow() - received;
            // What the windows have, and what is kept of a packet or two.
            let most = CLIENT_WINDOW_BYTES + SERVER_WINDOW_BYTES + 8192;
            assert!(ahead <= most, "{ahead} bytes are ahead of the reader");
            let mut piece = Bytes::from_static(b"-");
            let goal = received + 1_000_000;
            while received < goal && !piece.is_empty() {
                piece = answer.body.read(300).await.unwrap();
                received += u64::try_from(piece.len()).unwrap();
            }
            if piece.is_empty() {
                return received;
            }
        }
    };
    let serving = server.serve(async |_, mut stream| {
        stream.send_response(ok()).await.unwrap();
        for _ in 0..FRAMES {
            stream.send_data(Bytes::from_static(&[b'x'; FRAME_BYTES])).await.unwrap();
            said.send_modify(|bytes| *bytes += u64::try_from(FRAME_BYTES).unwrap());
        }
        stream.finish().await.unwrap();
    });
    let (_, received) = tokio::join!(serving, asking);
    assert_eq!(received, u64::try_from(FRAME_BYTES * FRAMES).unwrap());
}

#[tokio::test]
async fn http3_refuses_a_bad_certificate_before_it_asks() {
    let old = |params: &mut CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2019, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    };
    let server = Server::new("localhost", "h3", old);
    let asking = failure(server.request());
    let serving = async { server.endpoint.accept().await.unwrap().await };
    let (found, served) = tokio::join!(asking, serving);
    let wanted = "SSL certificate problem: certificate has expired".to_owned();
    assert_eq!(found.failure, Failure::Certificate(wanted));
    let tls = found.connection.tls.unwrap();
    assert_eq!(
        (tls.verdict.as_str(), &tls.certificates),
        ("certificate has expired", &server.chain)
    );
    assert_eq!(found.connection.remote, Some(server.address));
    assert!(served.is_err(), "the server had a connection");

    let lax = Request { verify: false, ..server.request() };
    let asking = async {
        let answer = exchange(lax).await.unwrap();
        assert_eq!(answer.connection.tls.unwrap().verdict, "certificate has expired");
    };
    let serving = server.serve(async |_, mut stream| {
        stream.send_response(ok()).await.unwrap();
        stream.finish().await.unwrap();
    });
    tokio::join!(serving, asking);
}

#[tokio::test]
async fn http3_goes_where_the_policy_lets_it() {
    let server = Server::good();
    let found = client_under(TargetPolicy::public_only()).exchange(server.request()).await;
    let found = found.expect_err("it was let through");
    assert!(matches!(found.failure, Failure::Denied(_)), "{found:?}");
    assert_eq!((found.connection.remote, found.connection.tls), (None, None));
}

#[tokio::test]
async fn http3_says_that_nobody_is_there() {
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let request = |address: SocketAddr| Request {
        version: VersionChoice::Http3,
        connect_timeout: Some(Duration::from_millis(700)),
        ..get(&format!("https://{address}/"))
    };
    let found = failure(request(free)).await;
    let Failure::Connect(text) = &found.failure else { panic!("{found:?}") };
    assert!(text.starts_with("Failed to connect to 127.0.0.1 port"), "{text}");
    assert!(text.ends_with("Connection refused"), "{text}");

    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let found = failure(request(silent.local_addr().unwrap())).await;
    let Failure::Timeout(text) = &found.failure else { panic!("{found:?}") };
    assert!(text.starts_with("Connection timed out after 7"), "{text}");
}

#[tokio::test]
async fn http3_tries_every_address() {
    let server = Server::good();
    // One that refuses, and one that is silent.
    let silent = std::net::UdpSocket::bind(("127.0.0.3", server.address.port())).unwrap();
    let addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.1"].map(str::to_owned).to_vec();
    let connect_timeout = Some(Duration::from_secs(2));
    let request = Request { addresses, connect_timeout, ..server.request() };
    let asking = async {
        let answer = exchange(request).await.unwrap();
        assert_eq!(answer.connection.remote, Some(server.address));
    };
    let serving = server.serve(async |_, mut stream| {
        stream.send_response(ok()).await.unwrap();
        stream.finish().await.unwrap();
    });
    tokio::join!(serving, asking);
    drop(silent);
}

#[tokio::test]
async fn http3_or_nothing() {
    let version = VersionChoice::Http3;
    let found = failure(Request { version, ..get("http://127.0.0.1:1/") }).await;
    let wanted = "HTTP/3 has no form without TLS; ask for https://".to_owned();
    assert_eq!(found.failure, Failure::Unsupported(wanted));

    let server = Server::new("localhost", "other", |_| {});
    let serving = async { server.endpoint.accept().await.unwrap().await };
    let (found, _) = tokio::join!(failure(server.request()), serving);
    let wanted = "the server does not offer HTTP/3 (ALPN)".to_owned();
    assert_eq!(found.failure, Failure::Tls(wanted));
}

#[tokio::test]
async fn http3_bodies_that_end_early_are_partial() {
    for (stated, wanted) in [
        ("10", Failure::Partial("transfer closed with 7 bytes remaining to read".to_owned())),
        (
            "2",
            Failure::Protocol(
                "the answer is not HTTP/3: its body has more than the 2 bytes that it states"
                    .to_owned(),
            ),
        ),
    ] {
        let server = Server::good();
        let asking = async {
            let mut answer = exchange(server.request()).await.unwrap();
            drain(&mut answer).await.expect_err("the body was whole")
        };
        let serving = server.serve(async |_, mut stream| {
            let mut head = ok();
            head.headers_mut().insert("content-length", stated.parse().unwrap());
            stream.send_response(head).await.unwrap();
            stream.send_data("abc".into()).await.unwrap();
            stream.finish().await.unwrap();
        });
        let (_, found) = tokio::join!(serving, asking);
        assert_eq!(found, wanted);
    }
    // A head that says how long it would be.
    let server = Server::good();
    let request = Request { method: "HEAD".to_owned(), ..server.request() };
    let asking = async {
        let mut answer = exchange(request).await.unwrap();
        assert_eq!(drain(&mut answer).await.unwrap(), b"");
    };
    let serving = server.serve(async |_, mut stream| {
        let mut head = ok();
        head.headers_mut().insert("content-length", "10".parse().unwrap());
        stream.send_response(head).await.unwrap();
        stream.finish().await.unwrap();
    });
    tokio::join!(serving, asking);
}

#[tokio::test]
async fn http3_fails_with_its_connection() {
    let server = Server::good();
    let has_head = tokio::sync::Notify::new();
    let asking = async {
        let mut answer = exchange(server.request()).await.unwrap();
        has_head.notify_one();
        drain(&mut answer).await.expect_err("the body was whole")
    };
    let serving = async {
        let quic = server.endpoint.accept().await.unwrap().await.unwrap();
        let (mut stream, _incoming) = quic.accept_bi().await.unwrap();
        // HEADERS of one field, `:status: 200`, which is number 25 of the static table; 3 of 9 bytes.
        stream.write_all(&[1, 3, 0, 0, 0xd9, 0, 9, 1, 2, 3]).await.unwrap();
        has_head.notified().await;
        quic.close(VarInt::from_u32(0x102), b"bye");
        quic.closed().await
    };
    let (_, found) = tokio::join!(serving, asking);
    assert!(
        matches!(&found, Failure::Receive(text) if text.contains("H3_INTERNAL_ERROR")),
        "{found:?}"
    );
}

#[tokio::test]
async fn http3_heads_have_a_size() {
    // HEADERS of a gigabyte; frames that mean nothing, without end.
    let huge = [1, 0xc0, 0, 0, 0, 0x40, 0, 0, 0];
    let nothing = [0x21, 0x40, 0x80];
    for (first, then) in [(&huge[..], vec![b'x'; 4096]), (&[], [&nothing[..], &[0; 128]].concat())]
    {
        let server = Server::good();
        let (found, ()) =
            tokio::join!(failure(server.request()), server.say_for_ever(first, &then));
        let wanted = "the answer's head has more than 100 fields or 64 KiB".to_owned();
        assert_eq!(found.failure, Failure::Limit(wanted), "{first:?}");
    }
    // A head in good order, but too large once it is unpacked.
    let server = Server::good();
    let serving = server.serve(async |_, mut stream| {
        let mut head = ok();
        head.headers_mut().insert("x-large", "x".repeat(70_000).parse().unwrap());
        // The server may know the client's limit by now, and refuse by itself.
        let _refused = stream.send_response(head).await;
    });
    let (found, _) = tokio::join!(failure(server.request()), serving);
    assert!(
        matches!(found.failure, Failure::Limit(_) | Failure::Protocol(_) | Failure::Receive(_)),
        "{found:?}"
    );
}
