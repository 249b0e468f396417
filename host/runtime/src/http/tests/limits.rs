//! Time limits in each phase, and sizes.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use super::server::{Then, client, drain, failure, get, hang, serve};
use crate::http::limits::TURN_MAX_BYTES;
use crate::http::tap::{Tap, Transport};
use crate::http::{Failure, Request};
use crate::tests::sockets::{listen, silent};

const SHORT: Option<Duration> = Some(Duration::from_millis(150));

fn timeout(found: &Failure, start: &str, end: &str) {
    let Failure::Timeout(text) = found else { panic!("{found:?}") };
    let ms = text.strip_prefix(start).and_then(|text| text.strip_suffix(end));
    assert!(ms.is_some_and(|ms| ms.parse::<u64>().unwrap() >= 150), "{text}");
}

#[tokio::test]
async fn connecting_has_a_limit() {
    let (quiet, _held) = silent().await;
    let url = format!("http://{quiet}/");
    for request in [
        Request { connect_timeout: SHORT, ..get(&url) },
        Request { timeout: SHORT, ..get(&url) },
        Request { connect_timeout: Some(Duration::MAX), timeout: SHORT, ..get(&url) },
    ] {
        timeout(&failure(request).await, "Connection timed out after ", " milliseconds");
    }
}

#[tokio::test]
async fn a_handshake_has_the_limit_of_the_connection() {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        hang(&mut stream).await;
    });
    let request = Request { connect_timeout: SHORT, ..get(&format!("https://{address}/")) };
    timeout(&failure(request).await, "SSL connection timed out after ", " milliseconds");
}

#[tokio::test]
async fn an_answer_has_a_limit() {
    let (url, _) = serve(b"", 0, Then::Hang).await;
    // The connection's own limit is over by then, and no longer counts.
    let request =
        Request { connect_timeout: Some(Duration::from_millis(100)), timeout: SHORT, ..get(&url) };
    timeout(
        &failure(request).await,
        "Operation timed out after ",
        " milliseconds with 0 bytes received",
    );
}

#[tokio::test]
async fn a_body_has_what_is_left_of_the_limit() {
    for (answer, end) in [
        (
            &b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"[..],
            " milliseconds with 3 out of 10 bytes received",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", " milliseconds with 3 bytes received"),
    ] {
        let (url, _) = serve(answer, 0, Then::Hang).await;
        let mut answer = client().exchange(Request { timeout: SHORT, ..get(&url) }).await.unwrap();
        let found = drain(&mut answer).await.expect_err("the body ended");
        timeout(&found, "Operation timed out after ", end);
        assert!(answer.body.total() >= Duration::from_millis(150), "{:?}", answer.body.total());
    }
}

#[tokio::test]
async fn heads_have_a_size() {
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101)).leak();
    let long = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "b".repeat(70_000)).leak();
    for answer in [many, long] {
        let (url, _) = serve(answer.as_bytes(), 0, Then::Hang).await;
        let wanted = "the answer's head has more than 100 fields or 64 KiB".to_owned();
        assert_eq!(failure(get(&url)).await, Failure::Limit(wanted));
    }
    let fits = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(100)).leak();
    let (url, _) = serve(fits.as_bytes(), 0, Then::Hang).await;
    assert_eq!(client().exchange(get(&url)).await.unwrap().headers.len(), 100);
}

#[tokio::test]
async fn requests_have_a_size() {
    let url = "http://127.0.0.1:1/";
    for request in [
        Request { headers: vec![("a".to_owned(), Vec::new()); 101], ..get(url) },
        Request { headers: vec![("a".to_owned(), vec![b'b'; 70_000])], ..get(url) },
        Request { body: Some(Bytes::from(vec![0; 64 * 1024 * 1024 + 1])), ..get(url) },
    ] {
        let found = failure(request).await;
        assert!(matches!(found, Failure::Limit(_)), "{found:?}");
    }
}

#[tokio::test]
async fn a_peer_that_never_pauses_gets_no_longer_turn() {
    let (listener, address) = listen().await;
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut peer, _) = listener.accept().await.unwrap();
    // Half a budget; by far more than a turn lies in the sockets' buffers at once.
    let sent = 2 * TURN_MAX_BYTES;
    peer.write_all(&vec![b'x'; sent]).await.unwrap();
    stream.readable().await.unwrap();
    let (mut tap, _log) = Tap::new(Transport::Plain(stream), Some(b"x".to_vec()));
    tap.write_all(b"x").await.unwrap();
    let (mut came, mut turns) = (0, 0);
    poll_fn(|context| {
        turns += 1;
        let before = came;
        loop {
            let mut space = [0; 4096];
            let mut buffer = ReadBuf::new(&mut space);
            match Pin::new(&mut tap).poll_read(context, &mut buffer) {
                Poll::Ready(read) => read.unwrap(),
                Poll::Pending => break,
            }
            came += buffer.filled().len();
            assert!(came - before <= TURN_MAX_BYTES, "{} bytes in a turn", came - before);
        }
        if came == sent { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    assert!(turns >= 2, "{turns} turns");
}
