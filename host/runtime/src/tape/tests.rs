//! Tapes by themselves; runs with tapes are in `tests/tape.rs`.

use serde_json::json;

use super::*;

fn entry(import: &str, asks: Value, hears: Value) -> Entry {
    Entry { import: import.to_owned(), asks, hears }
}

#[test]
fn a_tape_survives_the_disk() {
    let header = Header::new("hops@0.1.0".to_owned(), vec!["-m".to_owned(), "3".to_owned()]);
    let entries = vec![
        entry("wasi.monotonic", Value::Null, json!(12)),
        entry("web.exchange", json!({"url": "http://x"}), json!({"failed": {"kind": "url"}})),
    ];
    let text = write(&header, &entries);
    assert_eq!(
        text,
        "{\"tape\":1,\"plugin\":\"hops@0.1.0\",\"args\":[\"-m\",\"3\"]}\n\
         {\"import\":\"wasi.monotonic\",\"hears\":12}\n\
         {\"import\":\"web.exchange\",\"asks\":{\"url\":\"http://x\"},\"hears\":{\"failed\":{\"kind\":\"url\"}}}\n"
    );
    assert_eq!(read(&text), Ok((header, entries)));
}

#[test]
fn what_is_no_tape_is_named() {
    for (text, says) in [
        ("", "not a tape"),
        ("hello\n", "not a tape"),
        ("{\"tape\":9,\"plugin\":\"x\",\"args\":[]}\n", "a tape of form 9"),
        ("{\"tape\":1,\"plugin\":\"x\",\"args\":[]}\n\n{\"import\":1}\n", "line 3 of the tape"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.starts_with(says), "{text}: {error}");
    }
}

#[test]
fn a_player_answers_what_was_asked_and_nothing_else() {
    let player = Player::new(vec![
        entry("a", json!({"url": "x"}), json!(1)),
        entry("b", Value::Null, json!(2)),
    ]);
    assert_eq!(player.answer("a", &json!({"url": "x"})), Ok(json!(1)));
    let other = player.answer("a", &json!({"url": "y"})).unwrap_err().to_string();
    assert_eq!(
        other,
        "the tape has another question: its entry 2 is b, and the plugin asks a {\"url\":\"y\"}; \
         record it again when the plugin is right"
    );
    assert_eq!(player.left(), 1);
    assert_eq!(player.answer("b", &Value::Null), Ok(json!(2)));
    let over = player.answer("b", &Value::Null).unwrap_err().to_string();
    assert!(over.starts_with("the tape has ended: all its 2 entries were heard"), "{over}");
}

#[test]
fn a_recorder_has_a_limit() {
    let recorder = Recorder::default();
    let mebibyte = json!("x".repeat(1024 * 1024));
    let pushed = (0..64).map(|_| recorder.push(entry("a", Value::Null, mebibyte.clone())));
    let refused = pushed.into_iter().find_map(Result::err).expect("a limit");
    assert_eq!(refused.to_string(), "tape limit 32 MiB reached; record a run that hears less");
}

#[test]
fn bytes_survive() {
    for given in [&b""[..], b"text", b"\xff\0", "é".as_bytes()] {
        let json = serde_json::to_string(&bytes::Piece::new(given)).unwrap();
        let piece: bytes::Piece = serde_json::from_str(&json).unwrap();
        assert_eq!(piece.bytes(), given, "{json}");
    }
    let long = serde_json::to_string(&bytes::Piece::of_question(&[b'x'; 20_000])).unwrap();
    assert!(long.contains("\"bytes\":20000"), "{long}");
}

/// A deck of its own, without an end to tell.
fn deck(tape: Tape) -> Deck {
    Deck { tape, ..Deck::default() }
}

#[tokio::test]
async fn messages_to_dns_servers_are_heard_again() {
    use crate::bindings::blitz::plugin::dns::{Error, Message, Reply, Transport};
    use crate::bindings::blitz::plugin::web::Family;

    let message = Message {
        bytes: vec![0x12, 0x34, 0xff],
        transport: Transport::Tls,
        server: Some("dns.example".to_owned()),
        family: Family::Ipv4,
        verify: true,
        timeout_ms: Some(500),
    };
    let reply = Reply {
        server: "192.0.2.53:853".to_owned(),
        bytes: vec![0x12, 0x34, 0x80, 0xfe],
        connect_us: 20,
        elapsed_us: 30,
    };
    let asked = dns::AskedMessage::from(&message);
    let recorder = Recorder::default();
    let recording = deck(Tape::Record(recorder.clone()));
    for heard in [Ok(reply.clone()), Err(Error::Limit("too much".to_owned()))] {
        let live = async { Ok(heard) };
        dns::exchange(&recording, &asked, live).await.unwrap().ok();
    }
    let entries = recorder.take();
    let player = Player::new(entries.clone());
    let replaying = deck(Tape::Replay(player.clone()));
    let hear = || dns::exchange(&replaying, &asked, async { panic!("the world is asked") });
    let again = hear().await.unwrap().unwrap();
    assert_eq!(again.server, reply.server);
    assert_eq!(again.bytes, reply.bytes);
    assert_eq!((again.connect_us, again.elapsed_us), (20, 30));
    assert!(matches!(hear().await.unwrap(), Err(Error::Limit(text)) if text == "too much"));
    assert_eq!(player.left(), 0);

    let other = dns::AskedMessage::from(&Message { verify: false, ..message });
    let replaying = deck(Tape::Replay(Player::new(entries)));
    assert!(dns::exchange(&replaying, &other, async { Ok(Ok(reply)) }).await.is_err());
}
