//! The reader against answers good and bad, in any division.

use blitz_contract::load::ErrorKind;
use proptest::prelude::*;

use super::{HEAD_BYTES_MAX, HELD_BYTES_MAX, Held, LastHead, Progress, Reader};

/// How an answer ended: its status and whether the connection stays, or what was wrong with it.
type Ending = Result<(u16, bool), ErrorKind>;

/// Reads pieces one after the other, and then the end of the connection.
fn read(is_head: bool, pieces: &[&[u8]]) -> Ending {
    read_after(None, is_head, pieces)
}

/// The same behind other answers of its step, whose last head is remembered.
fn read_after(mut last: Option<&mut LastHead>, is_head: bool, pieces: &[&[u8]]) -> Ending {
    let mut reader = Reader::new(is_head);
    let mut held: Option<Box<Held>> = None;
    let mut is_whole = false;
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        if is_whole {
            return Err(ErrorKind::Parse);
        }
        match reader.take(piece, &mut held, last.as_deref_mut(), &mut |_| {}) {
            Ok(progress) => is_whole = progress == Progress::Whole,
            Err(fault) => return Err(fault.kind),
        }
    }
    let is_lasting = is_whole && reader.is_lasting();
    if !is_whole {
        reader.end(&mut held).map_err(|fault| fault.kind)?;
    }
    Ok((reader.status(), is_lasting))
}

fn check(answer: &[u8], wanted: Ending) {
    let shown = String::from_utf8_lossy(&answer[..answer.len().min(200)]).into_owned();
    assert_eq!(read(false, &[answer]), wanted, "{shown:?}");
    if answer.len() < 10_000 {
        let bytes: Vec<&[u8]> = answer.chunks(1).collect();
        assert_eq!(read(false, &bytes), wanted, "byte by byte: {shown:?}");
        for at in 0..answer.len() {
            let (one, other) = answer.split_at(at);
            assert_eq!(read(false, &[one, other]), wanted, "split at {at}: {shown:?}");
        }
    }
}

#[test]
fn answers_end_where_they_say() {
    check(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Ok((200, true)));
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Ok((200, true)));
    check(
        b"HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\nContent-Length: 2\r\n\r\nab",
        Ok((200, true)),
    );
    check(b"HTTP/1.1 200\r\nconnection: x, Close\r\ncontent-length: 1\r\n\r\na", Ok((200, false)));
    check(b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na", Ok((200, false)));
    check(
        b"HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 1\r\n\r\na",
        Ok((200, true)),
    );
    check(b"HTTP/1.1 204 None\r\ncontent-length: 9\r\n\r\n", Ok((204, true)));
    check(b"HTTP/1.1 304 Same\r\ntransfer-encoding: chunked\r\n\r\n", Ok((304, true)));
    check(b"HTTP/1.1 200 OK\r\n\r\nto the end", Ok((200, false)));
    check(b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nto the end", Ok((200, false)));
    check(b"HTTP/1.1 404 No\ncontent-length: 1\n\na", Ok((404, true)));
    check(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n\
          HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na",
        Ok((200, true)),
    );
    check(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n\
          0a;name=\"v\"\r\n0123456789\r\n1 \r\nx\r\n000\r\n\r\n",
        Ok((200, true)),
    );
    check(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\na: b\r\nc: d\r\n\r\n",
        Ok((200, true)),
    );
    check(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\nx\n0\n\n", Ok((200, true)));
    check(
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Ok((200, false)),
    );
}

#[test]
fn a_head_request_has_no_body() {
    for framing in ["content-length: 1000", "transfer-encoding: chunked", "x: y"] {
        let answer = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n");
        assert_eq!(read(true, &[answer.as_bytes()]), Ok((200, true)), "{framing}");
    }
}

#[test]
fn what_is_no_answer_is_told_apart() {
    check(b"", Err(ErrorKind::Closed));
    check(b"HTTP/1.1 200 OK\r\ncontent-le", Err(ErrorKind::Closed));
    check(b"HTTP/1.1 100 Continue\r\n\r\n", Err(ErrorKind::Closed));
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell", Err(ErrorKind::Closed));
    check(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        Err(ErrorKind::Closed),
    );
    check(b"SSH-2.0-OpenSSH_9.9\r\n", Err(ErrorKind::Parse));
    check(b"\x15\x03\x01\x00\x02\x02\x16", Err(ErrorKind::Parse));
    check(b"HTTP/2 200 OK\r\n\r\n", Err(ErrorKind::Parse));
    check(b"HTTP/1.1 101 Switch\r\n\r\n", Err(ErrorKind::Parse));
    check(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", Err(ErrorKind::Parse));
    check(
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
        Err(ErrorKind::Parse),
    );
    check(
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\na",
        Err(ErrorKind::Parse),
    );
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab", Err(ErrorKind::Parse));
    check(b"HTTP/1.1 204 None\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Err(ErrorKind::Parse));
    for chunks in [
        "\r\n",
        "x\r\n",
        "1\r\nabc\r\n",
        "1;a\rb\r\nx\n\n",
        "11111111111111111\r\n",
        "0\r\n\rx",
        "1\rx",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
        check(answer.as_bytes(), Err(ErrorKind::Parse));
    }
}

#[test]
fn what_does_not_end_is_ended() {
    let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
    head.extend_from_slice(&b"x: y\r\n".repeat(200));
    check(&head, Err(ErrorKind::Limit));
    let mut head = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
    head.resize(HEAD_BYTES_MAX + 10_000, b'y');
    check(&head, Err(ErrorKind::Limit));
    for size in [1, 7, 1000, 40_000] {
        let pieces: Vec<&[u8]> = head.chunks(size).collect();
        assert_eq!(read(false, &pieces), Err(ErrorKind::Limit), "pieces of {size}");
    }
    check(&b"HTTP/1.1 102 Wait\r\n\r\n".repeat(33), Err(ErrorKind::Limit));
    let mut chunk = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;".to_vec();
    chunk.resize(20_000, b'e');
    check(&chunk, Err(ErrorKind::Limit));
    let mut trailer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n".to_vec();
    trailer.extend_from_slice(&b"t: u\r\n".repeat(4000));
    check(&trailer, Err(ErrorKind::Limit));
}

#[test]
fn a_head_of_almost_the_limit_is_read() {
    let mut head = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nx: ".to_vec();
    head.resize(HEAD_BYTES_MAX - 4, b'y');
    head.extend_from_slice(b"\r\n\r\na");
    for size in [1, 1000, 5000, 1 << 20] {
        let pieces: Vec<&[u8]> = head.chunks(size).collect();
        assert_eq!(read(false, &pieces), Ok((200, true)), "pieces of {size}");
    }
}

/// Pieces of answers, so that chance finds its way into every phase.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 200\r\n",
        "HTTP/1.1 100 C\r\n\r\n",
        "HTTP/1.1 204 N\r\n",
        "HTTP/1.1 304 N\r\n",
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        "content-length: 3\r\n",
        "content-length: 0\r\n",
        "transfer-encoding: chunked\r\n",
        "transfer-encoding: x\r\n",
        "connection: close\r\n",
        "abc",
        "3\r\n",
        "3;x=y\r\n",
        "0\r\n",
        "0\r\n\r\n",
        "a: b\r\n",
        " ",
        ";",
        "ffffffffffffffff\r\n",
    ]);
    prop_oneof![
        9 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ]
}

#[test]
fn heads_that_never_end_take_bounded_memory() {
    let piece = [&b"HTTP/1.1 200 OK\r\nx: "[..], &[b'y'; 60 << 10]].concat();
    let begin = || {
        let (mut reader, mut held) = (Reader::new(false), None);
        reader.take(&piece, &mut held, None, &mut |_| {}).map(|_| held)
    };
    for _ in 0..2 {
        let begun: Vec<_> = (0..1000).map(|_| begin()).take_while(Result::is_ok).collect();
        assert_eq!(begun.len(), HELD_BYTES_MAX / piece.len(), "room of all");
        assert_eq!(begin().unwrap_err().kind, ErrorKind::Limit);
        // What is closed gives its room back.
    }
    assert!(begin().is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn any_division_gives_the_same_result(
        fragments in prop::collection::vec(fragment(), 0..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        is_head in any::<bool>(),
    ) {
        let bytes = fragments.concat();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(read(is_head, &pieces), read(is_head, &[&bytes]));
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(read(is_head, &single), read(is_head, &[&bytes]));
    }

    #[test]
    fn a_remembered_head_changes_nothing(
        answers in prop::collection::vec(prop::collection::vec(fragment(), 0..8), 1..6),
        others in prop::collection::vec(prop::collection::vec(fragment(), 0..4), 1..6),
        cut in any::<prop::sample::Index>(),
        heads in any::<[bool; 2]>(),
    ) {
        let mut last = LastHead::default();
        // Each again behind itself, and with something else behind its begin: so that the same heads come again.
        for (answer, other) in answers.iter().zip(others.iter().cycle()) {
            let bytes = answer.concat();
            let (one, _) = bytes.split_at(cut.index(bytes.len() + 1));
            let mixed = [one, &other.concat()].concat();
            for bytes in [&bytes, &mixed, &bytes, &bytes] {
                for is_head in heads {
                    let whole = read(is_head, &[bytes]);
                    prop_assert_eq!(read_after(Some(&mut last), is_head, &[bytes]), whole);
                    let (one, two) = bytes.split_at(cut.index(bytes.len() + 1));
                    prop_assert_eq!(read_after(Some(&mut last), is_head, &[one, two]), whole);
                }
            }
        }
    }

    #[test]
    fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000), size in 1_usize..50) {
        let mut framed = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        framed.extend_from_slice(&bytes);
        for bytes in [&bytes, &framed] {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            prop_assert_eq!(read(false, &pieces), read(false, &[bytes]));
        }
    }
}
