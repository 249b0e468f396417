//! Whole runs over canned replies. `tests/runs.txt` and `tests/records.txt` are what NSD 4.6 sent (`<`) and what dig
//! 9.18.49 printed for it (`>`), without times and ids.

mod refusals;
mod tracing;

use blitz_plugin::dns::{Reply, Transport};
use blitz_plugin::testing::{self, FakeHost, Ran};

use super::Dig;
use crate::wire::Message;
use crate::{lookup::Lookup, rdata};

const RUNS: &str = include_str!("tests/runs.txt");
const RECORDS: &str = include_str!("tests/records.txt");

/// The bytes of the lines that begin with `<`.
fn replies(case: &str) -> impl Iterator<Item = Vec<u8>> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let lines = case.lines().filter_map(|line| line.strip_prefix("< "));
    lines.map(move |line| line.as_bytes().chunks(2).map(byte).collect())
}

/// The text of the lines that begin with `>`.
fn printed(case: &str) -> String {
    let lines = case.lines().filter_map(|line| line.strip_prefix('>'));
    lines.map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect()
}

fn reply(bytes: Vec<u8>) -> Reply {
    Reply { server: "127.0.0.1:5391".to_owned(), bytes, connect_us: 0, elapsed_us: 0 }
}

/// Ids and times as the files have them.
fn without_times(text: &str) -> String {
    let line = |line: &str| {
        if line.starts_with(";; WHEN: ") {
            return ";; WHEN: -\n".to_owned();
        }
        match line.split_once(", id: ") {
            Some((head, _)) => format!("{head}, id: 0\n"),
            None => match line.strip_suffix(" (good)") {
                Some(cookie) => format!("{}... (good)\n", &cookie[..26]),
                None => format!("{line}\n"),
            },
        }
    };
    text.lines().map(line).collect()
}

#[test]
fn answers_are_printed_as_dig_prints_them() {
    for case in RUNS.split("\n\n") {
        let line = case.lines().next().unwrap();
        let words: Vec<&str> = line.split(' ').skip(1).collect();
        let mut host = FakeHost::default();
        for bytes in replies(case) {
            host = host.dns_reply(Ok(reply(bytes)));
        }
        let ran = testing::run!(Dig, words, host);
        assert_eq!((ran.status, ran.stderr().as_str()), (0, ""), "{line}");
        assert!(ran.host.dns_replies.is_empty(), "{line}: a reply was not asked for");
        let (ours, digs) = (without_times(&ran.stdout()), printed(case));
        assert_eq!(ours, digs, "{line}\n--- blitz\n{ours}--- dig\n{digs}");
    }
}

#[test]
fn data_is_printed_as_dig_prints_it() {
    let shows = Lookup::default();
    for case in RECORDS.split("\n\n") {
        let message = Message::read(replies(case).next().unwrap()).unwrap();
        let digs = printed(case);
        let ours = crate::print::lines(&message, &message.sections[0], &shows);
        assert_eq!(ours, digs, "--- blitz\n{ours}--- dig\n{digs}");
    }
}

#[test]
fn data_that_is_not_as_its_type_wants_it_is_shown_as_bytes() {
    for (kind, data) in [
        (1u16, &b"\x01\x02\x03"[..]),
        (1, b"\x01\x02\x03\x04\x05"),
        (28, b"\x01"),
        (5, b"\x03ww"),
        // A pointer to itself, and one beyond the message.
        (5, b"\xc0\x17"),
        (5, b"\xff\xff"),
        (15, b"\0"),
        (16, b"\x05abc"),
        (29, b"\0\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0"),
        (47, b"\0\0\0"),
        (47, b"\0\0\x21"),
        (257, b"\0\x02a\"x"),
        (65, b"\0\x01\0\0\x01\0\x06\x02h2"),
        (65280, b"\x01\x02"),
        (65280, b""),
    ] {
        let mut bytes = b"\0\0\x80\0\0\0\0\x01\0\0\0\0\0".to_vec();
        bytes.extend(kind.to_be_bytes());
        bytes.extend(b"\0\x01\0\0\0\0\0");
        bytes.push(u8::try_from(data.len()).unwrap());
        bytes.extend(data);
        let message = Message::read(bytes).unwrap();
        let text = rdata::text(&message, &message.sections[0][0]);
        let wanted = format!("\\# {} {}", data.len(), rdata::hex(data));
        assert_eq!(text, wanted.trim_end(), "type {kind}");
    }
}

#[test]
fn bytes_that_are_no_message_do_no_harm() {
    let whole = replies(RUNS).next().unwrap();
    for length in 0..whole.len() {
        assert!(Message::read(whole[..length].to_vec()).is_none(), "{length} bytes");
    }
    // A name that leads to itself by pointers, and one of many labels that is longer than a name may be.
    let header = b"\0\0\x80\0\0\x01\0\0\0\0\0\0";
    let looped = [&header[..], b"\xc0\x0e\xc0\x0c\0\x01\0\x01"].concat();
    assert!(Message::read(looped).is_none());
    let long = [&header[..], &b"\x3f".repeat(64 * 5), b"\0\0\x01\0\x01"].concat();
    assert!(Message::read(long).is_none());
    let ran = run(&["x"], vec![b"\0\0\x80".to_vec()]);
    assert_eq!((ran.status, ran.stderr().as_str()), (10, ""));
    assert_eq!(ran.stdout(), ";; Got bad packet: FORMERR\n3 bytes\n");
}

#[test]
fn no_byte_of_a_reply_does_harm() {
    let lookup = Lookup::default();
    let mut read_count = 0;
    for whole in replies(RECORDS).chain(replies(RUNS)).filter(|reply| reply.len() < 700) {
        for at in 0..whole.len() {
            for value in [0, 1, 0x3f, 0x7f, 0xc0, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                if let Some(message) = Message::read(bytes) {
                    read_count += 1;
                    message.sections.iter().for_each(|section| {
                        crate::print::lines(&message, section, &lookup);
                    });
                }
            }
        }
    }
    assert!(read_count > 10_000, "{read_count} messages were read");
}

fn run(args: &[&str], replies: Vec<Vec<u8>>) -> Ran {
    let mut host = FakeHost::default();
    for bytes in replies {
        host = host.dns_reply(Ok(reply(bytes)));
    }
    testing::run!(Dig, args, host)
}

/// The first reply of the file: `www.example`, two addresses.
fn www() -> Vec<u8> {
    replies(RUNS).next().unwrap()
}

#[test]
fn a_record_tells_what_was_said() {
    let mut answer = reply(www());
    (answer.connect_us, answer.elapsed_us) = (1500, 12_300);
    let ran = testing::run!(
        Dig,
        ["@127.0.0.1", "www.example", "+tls"],
        FakeHost::default().dns_reply(Ok(answer))
    );
    let [record] = &ran.records("answer")[..] else { panic!("{:?}", ran.host.events) };
    assert_eq!(
        (&record["server"], &record["transport"]),
        (&"127.0.0.1:5391".into(), &"tls".into())
    );
    assert_eq!((&record["rcode"], &record["flags"][1]), (&"NOERROR".into(), &"aa".into()));
    assert_eq!((&record["query_us"], &record["connect_us"]), (&12_300.into(), &1500.into()));
    assert_eq!(record["records_count"], 2);
    assert_eq!(record["records"][1]["data"], "192.0.2.2");
    assert_eq!(record["authority"][0]["type"], "NS");
    assert_eq!(record["additional"][2]["data"], "2001:db8::53");
    assert_eq!(record["is_cut"], false);
    assert!(
        ran.stdout().contains(";; Query time: 12 msec\n;; SERVER: 127.0.0.1#5391(127.0.0.1) (TLS)")
    );
}

#[test]
fn the_command_line_reaches_the_message() {
    for (args, transport, server, flags) in [
        (&["x"][..], Transport::Udp, None, 0x0120),
        (&["@::1", "x"], Transport::Udp, Some("::1"), 0x0120),
        (&["@::1", "-p", "5353", "x"], Transport::Udp, Some("[::1]:5353"), 0x0120),
        (&["x", "@ns.example", "+norec", "+cd"], Transport::Udp, Some("ns.example"), 0x0030),
        (&["x", "@9.9.9.9", "+tls", "+noad"], Transport::Tls, Some("9.9.9.9"), 0x0100),
        (&["x", "@9.9.9.9", "+https"], Transport::Https, Some("9.9.9.9"), 0x0120),
        (&["x", "@2620:fe::9", "+https"], Transport::Https, Some("[2620:fe::9]"), 0x0120),
        (&["x", "@d", "+https=/q"], Transport::Https, Some("https://d/q"), 0x0120),
        (&["x", "+vc"], Transport::Tcp, None, 0x0120),
        (&["x", "ANY"], Transport::Tcp, None, 0x0120),
        (&["x", "ANY", "+notcp"], Transport::Udp, None, 0x0120),
        (&["x", "+tcp", "+notcp"], Transport::Udp, None, 0x0120),
    ] {
        let ran = run(args, vec![www()]);
        let [message] = &ran.host.messages[..] else { panic!("{args:?}: {:?}", ran.host.messages) };
        assert_eq!((message.transport, message.server.as_deref()), (transport, server), "{args:?}");
        let read = Message::read(message.bytes.clone()).unwrap();
        assert_eq!(read.flags, flags, "{args:?}");
        assert_eq!(read.questions[0].0, "x.");
        assert_eq!(message.timeout_ms, Some(5000));
    }
}

/// An engine sends no others: one question in at most 4096 bytes, an OPT record if any, and nothing behind it.
fn assert_is_sent(message: &blitz_plugin::dns::Message) -> Message {
    let read = Message::read(message.bytes.clone()).unwrap();
    let counts = [1, 0, 0, u16::from(read.edns.is_some())];
    assert_eq!((read.counts, read.extra_bytes, read.flags & 0xf800), (counts, 0, 0));
    assert!(read.bytes.len() <= 4096, "{} bytes", read.bytes.len());
    read
}

#[test]
fn queries_are_such_that_engines_send_them() {
    let name = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
    let cookie = format!("+cookie={}", "5a".repeat(40));
    let all = ["+nsid", "+dnssec", "+subnet=2001:db8:1:2:3:4:5:6/127", &cookie, "+bufsize=65535"];
    for (args, options, length) in [
        (&["+noedns"][..], None, 271),
        (&["+nocookie"], Some(vec![]), 282),
        (&[], Some(vec![(10, 8)]), 294),
        (&["+subnet=192.0.2.1/20"], Some(vec![(8, 7), (10, 8)]), 305),
        (&["+subnet=0"], Some(vec![(8, 4), (10, 8)]), 302),
        (&["+nsid", "+cookie=0102030405060708"], Some(vec![(3, 0), (10, 8)]), 298),
        (&all, Some(vec![(3, 0), (8, 20), (10, 40)]), 354),
    ] {
        let args = [&[name.as_str()], args].concat();
        let ran = run(&args, vec![www()]);
        let read = assert_is_sent(&ran.host.messages[0]);
        let sent = read.edns.as_ref().map(|edns| {
            edns.options.iter().map(|(code, data)| (*code, data.len())).collect::<Vec<_>>()
        });
        assert_eq!((sent, read.bytes.len()), (options, length), "{args:?}");
    }
}

#[test]
fn certificates_are_checked_when_that_is_asked_for() {
    for (args, is_insecure) in [
        (&["x", "@d", "+tls"][..], true),
        (&["x", "@d", "+https"], true),
        (&["x", "@d", "+https", "+tls-ca"], false),
    ] {
        let ran = run(args, vec![www()]);
        assert_eq!(ran.host.messages[0].is_insecure, is_insecure, "{args:?}");
    }
}

#[test]
fn answers_are_not_taken_for_ones_of_other_queries() {
    let ids: Vec<u16> = (0..8)
        .map(|_| {
            let ran = run(&["x"], vec![www()]);
            u16::from_be_bytes([ran.host.messages[0].bytes[0], ran.host.messages[0].bytes[1]])
        })
        .collect();
    assert!(ids.iter().any(|id| *id != ids[0]), "{ids:?}");
}
