//! Servers that break the protocol: each request ends with a kind and with words, and nothing hangs.

use blitz_contract::load::ErrorKind;
use proptest::prelude::*;
use serde_json::json;

use super::server::{by_hand, frame, ok, settings};
use super::{Driver, Happened, connect, script};
use crate::failure::Failure;

/// What a request becomes when the server answers it so.
fn answered_by(answer: Vec<u8>, stays: bool) -> Result<u16, Failure> {
    let (address, served) = by_hand(1, answer, stays);
    let (_, script) = script("http", &[json!({"method": "GET"})]);
    let mut driver = Driver::new(script, connect(address), None, 10);
    driver.open();
    driver.send(5, 0);
    let told = driver.happened();
    let found = match &told[..] {
        [Happened::Answered { lane: 5, status, .. }] => Ok(*status),
        [Happened::Failed { lane: 5, failure, unprocessed: false }] => Err(failure.clone()),
        other => panic!("{other:?}"),
    };
    drop(driver);
    served.join().unwrap();
    found
}

#[test]
fn what_is_no_http2_has_words() {
    let long_head = {
        // A header of the literal form without indexing, of 60 KiB each, in frames of 16 KiB: never the last one.
        let mut text = vec![0x00, 0x01, b'a', 0x7f, 0xe1, 0xd3, 0x03];
        text.resize(16_384, b'a');
        let mut all = frame(1, 0, 1, &text);
        for _ in 0..2000 {
            all.extend(frame(9, 0, 1, &vec![b'a'; 16_384]));
        }
        all
    };
    let whole = |parts: &[&[u8]]| [&settings()[..], &parts.concat()].concat();
    for (name, answer, stays, kind, words) in [
        (
            "HTTP/1",
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            true,
            ErrorKind::Parse,
            "answers in HTTP/1",
        ),
        ("nothing", Vec::new(), false, ErrorKind::Closed, "closed the connection"),
        ("settings alone", settings(), false, ErrorKind::Closed, "closed the connection"),
        ("half a frame", whole(&[&ok(1)[..5]]), false, ErrorKind::Closed, "closed the connection"),
        (
            "a frame of 10 MiB",
            whole(&[&[0xa0, 0, 0, 0, 0, 0, 0, 0, 1]]),
            true,
            ErrorKind::Parse,
            "frame with invalid size",
        ),
        (
            "data before its head",
            whole(&[&frame(0, 1, 1, b"abc")]),
            true,
            ErrorKind::Parse,
            "unspecific protocol error",
        ),
        (
            "a stream that is not",
            whole(&[&ok(9)]),
            true,
            ErrorKind::Parse,
            "unspecific protocol error",
        ),
        (
            "a head that is no HPACK",
            whole(&[&frame(1, 5, 1, &[0xff, 0xff, 0xff, 0xff, 0xff])]),
            true,
            ErrorKind::Parse,
            "",
        ),
        (
            "no status",
            whole(&[&frame(1, 5, 1, &[0x00, 0x01, b'a', 0x01, b'b'])]),
            true,
            ErrorKind::Parse,
            "",
        ),
        (
            "less than content-length",
            whole(&[&frame(1, 4, 1, &[0x88, 0x5c, 0x01, b'9']), &frame(0, 1, 1, b"abc")]),
            true,
            ErrorKind::Parse,
            "unspecific protocol error",
        ),
        (
            "closed in the body",
            whole(&[&frame(1, 4, 1, &[0x88]), &frame(0, 0, 1, b"abc")]),
            false,
            ErrorKind::Closed,
            "before the answer was whole",
        ),
        (
            "GOAWAY with an error",
            whole(&[&frame(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 2, b'o', b'o', b'm'])]),
            false,
            ErrorKind::Closed,
            "",
        ),
        (
            "a promise that was not allowed",
            whole(&[&frame(5, 4, 1, &[0, 0, 0, 2, 0x82])]),
            true,
            ErrorKind::Parse,
            "",
        ),
        ("an endless head", whole(&[&long_head]), true, ErrorKind::Limit, "too_many_continuations"),
    ] {
        let failed = answered_by(answer, stays).expect_err(name);
        assert!(failed.text.contains(words), "{name}: {failed:?}");
        assert_eq!(failed.kind, kind, "{name}: {failed:?}");
    }
}

#[test]
fn what_is_odd_and_allowed_is_an_answer() {
    let whole = |parts: &[&[u8]]| [&settings()[..], &parts.concat()].concat();
    // `:status: 103` as a literal.
    let early = frame(1, 4, 1, &[0x08, 0x03, b'1', b'0', b'3']);
    for (name, answer) in [
        ("an early hint", whole(&[&early, &ok(1)])),
        (
            "pings and unknown frames",
            whole(&[&frame(6, 0, 0, &[0; 8]), &frame(0xbe, 0, 0, b"?"), &ok(1)]),
        ),
        (
            "empty data",
            whole(&[&frame(1, 4, 1, &[0x88]), &frame(0, 0, 1, b""), &frame(0, 1, 1, b"")]),
        ),
        ("no settings at all", ok(1)),
        ("padding", whole(&[&frame(1, 4, 1, &[0x88]), &frame(0, 9, 1, &[3, b'a', 0, 0, 0])])),
    ] {
        assert_eq!(answered_by(answer, true), Ok(200), "{name}");
    }
}

#[test]
fn who_hangs_is_given_up() {
    let (address, served) = by_hand(1, settings(), true);
    let (_, script) = script("http", &[json!({"method": "GET"})]);
    let mut driver = Driver::new(script, connect(address), None, 1);
    driver.open();
    driver.send(5, 0);
    assert_eq!(driver.turn().1, []);
    assert!(!driver.held.room());
    driver.held.cancel(5);
    assert!(driver.until(super::Multiplex::room).is_empty());
    drop(driver);
    served.join().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn garbage_ends_in_words(frames in prop::collection::vec(
        (0..12_u8, any::<u8>(), 0..4_u32, prop::collection::vec(any::<u8>(), 0..40)), 0..8))
    {
        let mut all = settings();
        for (kind, flags, stream, payload) in frames {
            all.extend(frame(kind, flags, stream, &payload));
        }
        let (address, served) = by_hand(1, all, false);
        let (_, script) = script("http", &[json!({"method": "GET"})]);
        let mut driver = Driver::new(script, connect(address), None, 10);
        driver.open();
        driver.send(5, 0);
        let told = driver.happened();
        prop_assert_eq!(told.len(), 1, "{:?}", told);
        drop(driver);
        served.join().unwrap();
    }
}
