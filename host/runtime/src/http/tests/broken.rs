//! Servers whose answers are broken or never come to the point: each ends with its class, and with what was known.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::frames::{CONTINUATION, END_HEADERS, HEADERS, PING, SETTINGS, frame};
use super::server::{Then, client, failure, get, hang, serve};
use crate::http::{Failed, Failure, Request, VersionChoice};
use crate::tests::sockets::{listen, silent};

async fn failed(request: Request) -> Failed {
    client().exchange(request).await.expect_err("the exchange succeeded")
}

fn http2(url: &str) -> Request {
    Request { version: VersionChoice::Http2, ..get(url) }
}

/// Says `bytes` to whoever comes, `again` until the client goes, and then closes.
async fn say(bytes: Vec<u8>, again: Vec<u8>) -> String {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let talk = async {
            writer.write_all(&bytes).await?;
            while !again.is_empty() {
                writer.write_all(&again).await?;
            }
            writer.shutdown().await
        };
        let listen = async {
            let mut buffer = [0; 4096];
            while reader.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {}
        };
        let _ended_as_it_has_to = tokio::join!(talk, listen);
    });
    format!("http://{address}/")
}

#[tokio::test]
async fn a_broken_head_has_curls_class() {
    let http1 = "HTTP/1.1 200 OK\r\n";
    let empty = Failure::EmptyReply(String::new());
    let malformed = Failure::Malformed(String::new());
    let protocol = Failure::Protocol(String::new());
    for (answer, wanted) in [
        ("H".to_owned(), &empty),
        ("HTTP/1.1 2".to_owned(), &empty),
        ("HTTP/1.1 100 Continue\r\n\r\n".to_owned(), &empty),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2".to_owned(), &empty),
        (format!("{http1}Content-Length: abc\r\n\r\n"), &malformed),
        (format!("{http1}Content-Length: -6\r\n\r\n"), &malformed),
        (format!("{http1}X: a\0b\r\n\r\n"), &malformed),
        (format!("{http1}no colon\r\n\r\n"), &malformed),
        (format!("{http1}Transfer-Encoding: odd\r\n\r\nabc"), &malformed),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nno colon\r\n\r\n".to_owned(), &malformed),
        ("HTTP/1.2 200 OK\r\n\r\n".to_owned(), &protocol),
        ("HTTP/1.1 099 OK\r\n\r\n".to_owned(), &protocol),
        ("HTTP/1.1 2000 OK\r\n\r\n".to_owned(), &protocol),
        ("220 mail\r\n".to_owned(), &protocol),
        ("220".to_owned(), &protocol),
        ("\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64".to_owned(), &protocol),
    ] {
        let (url, _) = serve(answer.clone().leak().as_bytes(), 0, Then::Close).await;
        let found = failure(get(&url)).await;
        let same = std::mem::discriminant(&found) == std::mem::discriminant(wanted);
        assert!(same, "{answer:?}: {found:?}");
    }
}

#[tokio::test]
async fn an_answer_before_the_request_waits_for_it() {
    let url = say(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_vec(), Vec::new()).await;
    assert_eq!(client().exchange(get(&url)).await.unwrap().status, 503);
    let url = say(b"220 mail\r\n".to_vec(), Vec::new()).await;
    let found = failure(get(&url)).await;
    assert!(matches!(found, Failure::Protocol(_)), "{found:?}");
}

#[tokio::test]
async fn what_leads_nowhere_has_a_budget() {
    let before = "the server sent more than 256 KiB before the head of its answer ended";
    let without = "the server sent more than 256 KiB of HTTP/2 frames without any data";
    let interim = b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n".repeat(50);
    let settings = frame(SETTINGS, 0, 0, &[]);
    let pings = frame(PING, 0, 0, &[0; 8]).repeat(50);
    // 0x88 is `:status: 200`.
    let open = [settings.clone(), frame(HEADERS, END_HEADERS, 1, &[0x88])].concat();
    let data = [open.clone(), frame(0, 0, 1, b"abc")].concat();
    for (request, words) in [
        (get(&say(Vec::new(), interim).await), before),
        (http2(&say(settings.clone(), pings.clone()).await), before),
        (http2(&say(settings.clone(), settings.clone().repeat(50)).await), before),
        (http2(&say(data, pings).await), without),
    ] {
        assert_eq!(failure(request).await, Failure::Limit(words.to_owned()));
    }
}

#[tokio::test]
async fn a_head_of_http2_has_a_size_too() {
    let large = "the answer's head has more than 100 fields or 64 KiB";
    // Fields that enter the table, and fields that name its first entry; RFC 7541 sections 6.2.1 and 6.1.
    let field = [&[0x40, 1, b'a', 120][..], &[b'b'; 120]].concat();
    let head = |fields: usize, named: usize, piece_bytes: usize| {
        let block = [vec![0x88], field.repeat(fields), vec![0xbe; named]].concat();
        let pieces: Vec<&[u8]> = block.chunks(piece_bytes).collect();
        let last = pieces.len() - 1;
        let cut = pieces.iter().enumerate().flat_map(|(at, piece)| {
            let kind = if at == 0 { HEADERS } else { CONTINUATION };
            frame(kind, if at == last { END_HEADERS } else { 0 }, 1, piece)
        });
        [frame(SETTINGS, 0, 0, &[]), cut.collect()].concat()
    };
    let budget = "the server sent more than 256 KiB before the head of its answer ended";
    for (head, words) in [
        (head(101, 0, 16_000), large),
        (head(1, 1000, 16_000), large),
        (head(1000, 0, 16_000), large),
        (head(1800, 0, 16_000), large),
        (head(1, 8000, 16_000), large),
        (head(100, 0, 100), large),
        (head(20_000, 0, 16_000), budget),
    ] {
        let bytes = head.len();
        let found = failure(http2(&say(head, Vec::new()).await)).await;
        assert_eq!(found, Failure::Limit(words.to_owned()), "{bytes} bytes");
    }
}

#[tokio::test]
async fn a_server_that_closes_on_http2_gave_nothing() {
    for _ in 0..5 {
        let found = failure(http2(&say(Vec::new(), Vec::new()).await)).await;
        assert_eq!(found, Failure::EmptyReply("Empty reply from server".to_owned()));
    }
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // The preface, so that nothing lies unread and the close is no reset.
        let mut buffer = [0; 4096];
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
    });
    let found = failure(http2(&format!("http://{address}/"))).await;
    let is_known = matches!(found, Failure::EmptyReply(_) | Failure::Receive(_));
    assert!(is_known, "{found:?}");
}

#[tokio::test]
async fn a_failure_keeps_what_was_known() {
    const SHORT: Option<Duration> = Some(Duration::from_millis(100));
    let short = |url: &str| Request { timeout: SHORT, ..get(url) };
    let (listener, mute) = listen().await;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move { hang(&mut stream).await });
        }
    });
    let (full, _held) = silent().await;
    let (in_head, _) = serve(b"HTTP/1.1 200 OK\r\nSer", 0, Then::Hang).await;
    let (nothing, _) = serve(b"", 0, Then::Close).await;
    let (cut, _) = serve(b"HTTP/1.1 200 OK\r\nSer", 0, Then::Close).await;
    let (foreign, _) = serve(b"220 mail\r\n", 0, Then::Close).await;
    let (broken, _) = serve(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", 0, Then::Close).await;
    let (reset, _) = serve(b"HTTP/1.1 200 OK\r\nSer", 0, Then::Reset).await;
    // How many phases were passed, and whether the first byte came.
    for (name, request, passed) in [
        ("connect", short(&format!("http://{full}/")), 1),
        ("TLS", short(&format!("https://{mute}/")), 2),
        ("head", short(&format!("http://{mute}/")), 4),
        ("inside the head", short(&in_head), 5),
        ("empty", get(&nothing), 4),
        ("cut", get(&cut), 5),
        ("foreign", get(&foreign), 5),
        ("broken", get(&broken), 5),
        ("reset", get(&reset), 4),
    ] {
        let Failed { failure, phases, connection } = failed(request).await;
        let instants = [phases.dns, phases.connect, phases.tls, phases.sent, phases.first_byte];
        let found = instants.iter().take_while(|at| !at.is_zero()).count();
        // The reset may overtake the bytes before it.
        assert!(
            found >= passed && (found == passed || name == "reset"),
            "{name}: {instants:?} {failure:?}"
        );
        assert!(instants[..found].is_sorted(), "{name}: {instants:?}");
        assert_eq!(connection.remote.is_some(), passed > 1, "{name}: {connection:?}");
        assert_eq!(connection.local.is_some(), passed > 1, "{name}: {connection:?}");
        assert_eq!(connection.addresses.len(), 1, "{name}: {connection:?}");
    }
}
