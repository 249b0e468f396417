//! Bodies that meet a peer that does not take them, and bodies that come in crumbs.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PING, SETTINGS, WINDOW_UPDATE, frame,
};
use super::server::{client, get};
use crate::http::{Failure, Request, VersionChoice};
use crate::tests::sockets::listen;

/// More than the buffers of a connection on loopback hold.
const LARGE_BYTES: usize = 16 * 1024 * 1024;

fn large(url: &str, version: VersionChoice) -> Request {
    Request {
        method: "POST".to_owned(),
        body: Some(Bytes::from(vec![b'x'; LARGE_BYTES])),
        version,
        ..get(url)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_counts_also_when_the_body_was_not_taken() {
    for _ in 0..8 {
        let (listener, address) = listen().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut [0; 1024]).await.unwrap();
            let answer =
                b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
            stream.write_all(answer).await.unwrap();
            // What was not read makes the system send a reset.
        });
        let url = format!("http://{address}/");
        let answer = client().exchange(large(&url, VersionChoice::Http1)).await;
        let mut answer = answer.unwrap_or_else(|failed| panic!("{failed:?}"));
        assert_eq!(answer.status, 413);
        assert_eq!(answer.body.read(10).await.unwrap(), "no");
        server.await.unwrap();
    }
}

#[tokio::test]
async fn an_exchange_that_was_given_up_leaves_no_connection() {
    let (listener, address) = listen().await;
    let (given_up, wait) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // A window as wide as the body, and then nobody reads it.
        let wide = 0x7fff_0000_u32.to_be_bytes();
        let initial = [&[0, 4][..], &wide].concat();
        stream.write_all(&frame(SETTINGS, 0, 0, &initial)).await.unwrap();
        stream.write_all(&frame(WINDOW_UPDATE, 0, 0, &wide)).await.unwrap();
        wait.await.unwrap();
        // To read would let the rest of the body out. What is sent to a connection that is gone fails.
        while stream.write_all(&frame(PING, 0, 0, &[0; 8])).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let mut request = large(&format!("http://{address}/"), VersionChoice::Http2);
    request.timeout = Some(Duration::from_millis(300));
    let failed = client().exchange(request).await.expect_err("nobody answered");
    assert!(matches!(failed.failure, Failure::Timeout(_)), "{failed:?}");
    given_up.send(()).unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(10), server).await;
    closed.expect("the connection stayed open").unwrap();
}

#[tokio::test]
async fn a_body_in_small_frames_is_whole_also_for_a_slow_reader() {
    const CRUMB: usize = 100;
    const CRUMBS: usize = 8_000;
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut opening = frame(SETTINGS, 0, 0, &[]);
        opening.extend(frame(SETTINGS, ACK, 0, &[]));
        // `:status: 200` from the static table.
        opening.extend(frame(HEADERS, END_HEADERS, 1, &[0x88]));
        for _ in 0..CRUMBS {
            opening.extend(frame(DATA, 0, 1, &[b'x'; CRUMB]));
        }
        opening.extend(frame(DATA, END_STREAM, 1, &[]));
        // The preface and the request's head first.
        stream.read_exact(&mut [0; 24]).await.unwrap();
        stream.write_all(&opening).await.unwrap();
        let mut buffer = vec![0; 65_536];
        while stream.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {}
    });
    let request = Request { version: VersionChoice::Http2, ..get(&format!("http://{address}/")) };
    let mut answer = client().exchange(request).await.unwrap_or_else(|failed| panic!("{failed:?}"));
    // All of it arrives before the first byte is read: 800 kB, below the stream's window.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut received = 0;
    loop {
        let piece = answer.body.read(65_536).await.unwrap();
        if piece.is_empty() {
            break;
        }
        received += piece.len();
    }
    assert_eq!(received, CRUMB * CRUMBS);
}
