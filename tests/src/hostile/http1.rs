//! Silence, heads and status lines of HTTP/1.

use super::case::{Case, case};
use super::script::{Script, Step, drip, for_ever, say, times};

/// What the product says of a head beyond its limits.
pub(super) const HEAD_LIMIT: &str = "the answer's head has more than 100 fields or 64 KiB";

/// All of them.
#[must_use]
pub fn cases() -> Vec<Case> {
    [silence(), heads(), status_lines(), resets()].concat()
}

fn silence() -> Vec<Case> {
    let nothing = || Script::answer([Step::Hang]);
    vec![
        case("hears the request and says nothing for ever", nothing()).times_out("0.5"),
        case("the same, without a limit on the command line", nothing()).outlasts_its_job(),
        case("takes the connection and reads nothing for ever", Script::raw([Step::Hang]).deaf())
            .times_out("0.5"),
        case("reads nothing of an upload", Script::raw([Step::Hang]).deaf())
            .with(&["-T", "upload"])
            .times_out("0.5"),
        case("one byte of the head a second", Script::answer([drip("HTTP/1.1 200 OK\r\n", 1000)]))
            .times_out("1.5"),
        case("one byte of a field every 50 ms", {
            Script::answer([say("HTTP/1.1 200 OK\r\nX: "), drip("x".repeat(1000), 50)])
        })
        .outlasts_its_job(),
        case("half a head and then nothing", {
            Script::answer([say("HTTP/1.1 200 OK\r\nX-Half: "), Step::Hang])
        })
        .times_out("0.5"),
    ]
}

fn heads() -> Vec<Case> {
    let start = || say("HTTP/1.1 200 OK\r\n");
    let long = |bytes: usize| format!("X: {}\r\n\r\n", "x".repeat(bytes));
    let bomb = |steps: Vec<Step>| Script::answer([start()].into_iter().chain(steps));
    vec![
        case("fields without end", bomb(vec![for_ever("X-Pad: 0123456789\r\n")]))
            .fails(100, HEAD_LIMIT),
        case("empty fields without end", bomb(vec![for_ever("X:\r\n")])).fails(100, HEAD_LIMIT),
        case("one field without end", bomb(vec![say("X: "), for_ever("x")])).fails(100, HEAD_LIMIT),
        case("a field's name without end", bomb(vec![for_ever("x")])).fails(100, HEAD_LIMIT),
        case("one field of 8 MiB", bomb(vec![say(long(8 << 20)), Step::Hang]))
            .fails(100, HEAD_LIMIT),
        case("100,000 small fields", bomb(vec![times("a: b\r\n", 100_000), say("\r\n")]))
            .fails(100, HEAD_LIMIT),
        case("101 fields", bomb(vec![times("a: b\r\n", 101), say("\r\n")])).fails(100, HEAD_LIMIT),
        case("empty lines without end before the head", Script::answer([for_ever("\r\n")]))
            .fails(100, HEAD_LIMIT),
        case("a reason phrase without end", Script::answer([say("HTTP/1.1 200 "), for_ever("x")]))
            .fails(100, HEAD_LIMIT),
        case("spaces without end in the status line", {
            Script::answer([say("HTTP/1.1"), for_ever(" ")])
        })
        .fails(100, HEAD_LIMIT)
        .or(1, ""),
        case("interim answers without end, with a limit", {
            Script::answer([for_ever("HTTP/1.1 100 Continue\r\n\r\n")])
        })
        .times_out("0.5")
        .or(100, ""),
        case("early hints without end, without a limit", {
            Script::answer([for_ever("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")])
        })
        .outlasts_its_job()
        .or(100, ""),
        case("fat early hints without end", {
            let hint = format!("HTTP/1.1 103 Early Hints\r\nX: {}\r\n\r\n", "x".repeat(60_000));
            Script::answer([for_ever(hint)])
        })
        .times_out("0.5")
        .or(100, ""),
        case("a name that is none", bomb(vec![say("a b: c\r\n\r\n")]))
            .fails(8, "Weird server reply"),
        case("a field without a colon", bomb(vec![say("nothing\r\n\r\n")]))
            .fails(8, "Weird server reply"),
        case("a NUL in a value", bomb(vec![say("X: a\0b\r\n\r\n")])).fails(8, "Weird server reply"),
        case("a bare CR in a value", bomb(vec![say("X: a\rY: b\r\n\r\n")]))
            .fails(8, "Weird server reply"),
    ]
}

fn status_lines() -> Vec<Case> {
    let line = |line: &[u8]| {
        let rest = b"\r\nContent-Length: 2\r\n\r\nok";
        Script::answer([say([line, rest].concat())])
    };
    let good = |name, bytes: &[u8]| case(name, line(bytes)).prints(b"ok");
    let bad = |name, bytes: &[u8]| case(name, line(bytes)).fails(1, "the answer is not HTTP: ");
    vec![
        good("no reason phrase", b"HTTP/1.1 200"),
        good("an empty reason phrase", b"HTTP/1.1 200 "),
        good("a status that nobody knows", b"HTTP/1.1 999 Strange"),
        good("a reason phrase that is not UTF-8", b"HTTP/1.1 200 \xff\xfe\x9b"),
        bad("HTTP/9.9", b"HTTP/9.9 200 OK"),
        bad("HTTP/2 in text", b"HTTP/2 200 OK"),
        bad("a version that is no number", b"HTTP/x.y 200 OK"),
        bad("a protocol in lower case", b"http/1.1 200 OK"),
        bad("another protocol", b"ICY 200 OK"),
        bad("a mail server", b"220 mail.example ESMTP"),
        bad("a status of two digits", b"HTTP/1.1 99 Low"),
        bad("a status of four digits", b"HTTP/1.1 1000 High"),
        bad("a status of zero", b"HTTP/1.1 000 Zero"),
        bad("a status that is no number", b"HTTP/1.1 abc OK"),
        bad("a negative status", b"HTTP/1.1 -20 OK"),
        bad("ESC in the reason phrase", b"HTTP/1.1 200 \x1b[31mOK"),
        bad("no head at all", b"hello"),
        bad("random bytes", &noise(4096)),
        case("random bytes without end", Script::answer([for_ever(noise(65_536))]))
            .fails(1, "the answer is not HTTP: "),
        case("101 that nobody asked for", {
            let head =
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n";
            Script::answer([say(head), for_ever("not HTTP any more ")])
        })
        .with(&["-o", "/dev/null"])
        .prints(b""),
    ]
}

fn resets() -> Vec<Case> {
    let reset = "Connection reset by peer";
    let body = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.";
    let chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nten bytes.";
    vec![
        // The reset may come before or behind the request.
        case("a reset at once", Script::raw([]).reset().deaf())
            .fails(56, "")
            .or(7, "reset by peer")
            .or(55, ""),
        case("a reset behind the request", Script::answer([]).reset()).fails(56, reset),
        case("a reset inside the upload", Script::raw([Step::HearSome]).reset().deaf())
            .with(&["-T", "upload"])
            .fails(56, "")
            .or(55, ""),
        case("a reset inside the status line", Script::answer([say("HTTP/1.")]).reset())
            .fails(56, reset),
        case("a reset inside the head", Script::answer([say("HTTP/1.1 200 OK\r\nX: ")]).reset())
            .fails(56, reset),
        case("a reset behind the head", {
            Script::answer([say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")]).reset()
        })
        .fails(56, reset),
        case("a reset inside the body", Script::answer([say(body)]).reset()).fails(56, reset),
        case("a reset inside a chunk", Script::answer([say(chunk)]).reset()).fails(56, reset),
        case("a reset in a body that ends with the connection", {
            Script::answer([say("HTTP/1.1 200 OK\r\n\r\nten bytes.")]).reset()
        })
        .fails(56, reset),
        case("a close behind the request", Script::answer([])).fails(52, "Empty reply from server"),
        case("a close inside the head", Script::answer([say("HTTP/1.1 200 OK\r\nX: ")]))
            .fails(56, "closed inside the answer's head"),
    ]
}

/// Bytes without a pattern, the same each time: the generator of Knuth's MMIX.
pub(super) fn noise(length: usize) -> Vec<u8> {
    let mut state = 42_u64;
    let byte = |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..length).map(byte).collect()
}
