//! HTTP/2 over TLS by hand: floods, frames that are none, and an answer that never comes.
//!
//! Source: RFC 9113 (frames), RFC 7541 (header compression).

use super::case::{Case, case};
use super::http1::noise;
use super::pki::Pki;
use super::script::{Script, Step, for_ever, say};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// A type that no document gives a meaning: to be ignored.
const UNKNOWN: u8 = 0xee;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// The client's first stream, and so its only one.
const STREAM: u32 = 1;

/// `:status: 200` from the static table.
const STATUS_200: u8 = 0x88;

/// The limit that ends what never comes to an answer.
const BEFORE_HEAD: &str = "more than 256 KiB before the head of its answer ended";

/// The limit that ends a body of almost nothing but framing.
const CRUMBS: &str = "more small HTTP/2 frames than are kept";

/// All of them.
#[must_use]
pub fn cases(pki: &Pki) -> Vec<Case> {
    let script = |steps: Vec<Step>| {
        let opening = [say(frame(SETTINGS, 0, 0, &[])), Step::Hear];
        Script::raw(opening.into_iter().chain(steps)).tls(&pki.http2)
    };
    let h2 = |name, steps: Vec<Step>| case(name, script(steps));
    let deaf = |name, steps: Vec<Step>| case(name, script(steps).deaf());
    let mut all = floods(&h2, &deaf);
    all.extend(heads(&h2));
    all.extend(frames(&h2));
    all.extend(ends(&h2));
    all.extend(by_prior_knowledge());
    let early = Script::raw([say(frame(GOAWAY, 0, 0, &goaway(0, 0, b"")))]).tls(&pki.http2);
    all.push(case("GOAWAY before anything else", early).fails(16, "").or(56, "").or(52, ""));
    all
}

/// A case of these steps behind settings and the client's request.
type Make<'a> = &'a dyn Fn(&'static str, Vec<Step>) -> Case;

fn floods(h2: Make<'_>, deaf: Make<'_>) -> Vec<Case> {
    let settings = || frame(SETTINGS, 0, 0, &setting(4, 65_535));
    let ping = || frame(PING, 0, 0, b"pingpong");
    let body = || say(frame(HEADERS, END_HEADERS, STREAM, &[STATUS_200]));
    vec![
        h2("nothing for ever", vec![Step::Hang]).times_out("0.5"),
        h2("SETTINGS without end", vec![for_ever(settings())]).fails(100, BEFORE_HEAD),
        deaf("SETTINGS without end, acknowledgements unread", vec![for_ever(settings())])
            .fails(100, BEFORE_HEAD),
        h2("PING without end", vec![for_ever(ping())]).fails(100, BEFORE_HEAD),
        deaf("PING without end, answers unread", vec![for_ever(ping())]).fails(100, BEFORE_HEAD),
        h2(
            "a reset of our stream without end",
            vec![for_ever(frame(RST_STREAM, 0, STREAM, &[0, 0, 0, 8]))],
        )
        .fails(92, "")
        .or(56, ""),
        h2(
            "resets of streams that nobody opened",
            vec![for_ever(frame(RST_STREAM, 0, 101, &[0, 0, 0, 8]))],
        )
        .fails(16, "")
        .or(56, "")
        .or(92, ""),
        h2(
            "CONTINUATION without end",
            vec![
                say(frame(HEADERS, 0, STREAM, &[STATUS_200])),
                for_ever(frame(CONTINUATION, 0, STREAM, &literal("x", &"y".repeat(1000)))),
            ],
        )
        .fails(100, super::http1::HEAD_LIMIT),
        h2(
            "empty CONTINUATION without end",
            vec![
                say(frame(HEADERS, 0, STREAM, &[STATUS_200])),
                for_ever(frame(CONTINUATION, 0, STREAM, &[])),
            ],
        )
        .fails(100, super::http1::HEAD_LIMIT),
        h2(
            "interim answers without end",
            vec![for_ever(frame(HEADERS, END_HEADERS, STREAM, &literal(":status", "103")))],
        )
        .times_out("0.5")
        .or(16, "")
        .or(56, "")
        .or(100, ""),
        h2("empty DATA without end", vec![body(), for_ever(frame(DATA, 0, STREAM, &[]))])
            .fails(100, CRUMBS),
        h2(
            "nothing but padding without end",
            vec![
                body(),
                for_ever(frame(DATA, PADDED, STREAM, &[[255].as_slice(), &[0; 255]].concat())),
            ],
        )
        .fails(100, CRUMBS),
        h2("unknown frames without end", vec![for_ever(frame(UNKNOWN, 0, 0, b"unknown"))])
            .fails(100, BEFORE_HEAD),
        h2(
            "WINDOW_UPDATE without end",
            vec![for_ever(frame(WINDOW_UPDATE, 0, STREAM, &[0, 0, 0, 1]))],
        )
        .fails(100, BEFORE_HEAD),
        h2(
            "a body of one byte per frame without end",
            vec![
                body(),
                // As much as the window allows; the rest is a violation of it.
                for_ever(frame(DATA, 0, STREAM, b"x")),
            ],
        )
        .with(&["-o", "/dev/null"])
        .times_out("0.5")
        .or(56, "")
        .or(100, CRUMBS),
        h2(
            "more data than the window allows",
            vec![body(), for_ever(frame(DATA, 0, STREAM, &[b'x'; 16_384]))],
        )
        .with(&["-o", "/dev/null"])
        .times_out("2")
        .or(16, "")
        .or(56, "")
        .or(92, ""),
    ]
}

fn heads(h2: Make<'_>) -> Vec<Case> {
    let limit = super::http1::HEAD_LIMIT;
    let head = |block: &[u8]| say(frame(HEADERS, END_HEADERS | END_STREAM, STREAM, block));
    // One field of 4,000 bytes goes into the dynamic table, and then each byte repeats it.
    let bomb = [&[STATUS_200, 0x40], literal("x", &"y".repeat(4000)).get(1..).unwrap_or_default()]
        .concat();
    let many: Vec<u8> = [STATUS_200].into_iter().chain(literal("a", "b").repeat(2000)).collect();
    vec![
        h2(
            "an HPACK bomb of 40 MB",
            vec![
                say(frame(HEADERS, 0, STREAM, &bomb)),
                say(frame(CONTINUATION, END_HEADERS, STREAM, &[0xbe; 10_000])),
                Step::Hang,
            ],
        )
        .fails(100, limit),
        h2(
            "an HPACK bomb without end",
            vec![
                say(frame(HEADERS, 0, STREAM, &bomb)),
                for_ever(frame(CONTINUATION, 0, STREAM, &[0xbe; 10_000])),
            ],
        )
        .fails(100, limit),
        h2("2,000 small fields", vec![head(&many), Step::Hang]).fails(100, limit),
        h2(
            "a dynamic table of 2 GiB",
            vec![head(&[0x3f, 0xe1, 0xff, 0xff, 0xff, 0x07, STATUS_200]), Step::Hang],
        )
        .fails(16, "")
        .or(56, ""),
        h2("an index that is not in the table", vec![head(&[0xff, 0xff, 0x7f]), Step::Hang])
            .fails(16, "")
            .or(56, ""),
        h2("an integer without end", vec![head(&[0xff; 1000]), Step::Hang])
            .fails(16, "")
            .or(56, ""),
        h2("no status", vec![head(&literal("x", "y")), Step::Hang])
            .fails(16, "")
            .or(92, "")
            .or(56, ""),
        h2("a status of two digits", vec![head(&literal(":status", "99")), Step::Hang])
            .fails(16, "")
            .or(92, "")
            .or(56, ""),
        h2(
            "a name in upper case",
            vec![head(&[vec![STATUS_200], literal("X", "y")].concat()), Step::Hang],
        )
        .fails(16, "")
        .or(92, "")
        .or(56, ""),
        h2(
            "ESC in a value",
            vec![head(&[vec![STATUS_200], literal("x", "\x1b[31m")].concat()), Step::Hang],
        )
        .fails(16, "")
        .or(92, "")
        .or(56, ""),
        h2(
            "less than was promised",
            vec![
                say(frame(
                    HEADERS,
                    END_HEADERS,
                    STREAM,
                    &[vec![STATUS_200], literal("content-length", "100")].concat(),
                )),
                say(frame(DATA, END_STREAM, STREAM, b"ten bytes.")),
                Step::Hang,
            ],
        )
        .fails(18, "")
        .or(92, "")
        .or(56, ""),
    ]
}

fn frames(h2: Make<'_>) -> Vec<Case> {
    let broken =
        |name, bytes: Vec<u8>| h2(name, vec![say(bytes), Step::Hang]).fails(16, "").or(56, "");
    let window = |stream, size: u32| frame(WINDOW_UPDATE, 0, stream, &size.to_be_bytes());
    let promise = [&2_u32.to_be_bytes()[..], &[0x82, 0x84, 0x86]].concat();
    let mut oversize = frame(DATA, 0, STREAM, &[]);
    oversize[..3].copy_from_slice(&[0xff, 0xff, 0xff]);
    vec![
        broken("random bytes", noise(4096)),
        broken("HTTP/1 where HTTP/2 was agreed on", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        broken("a frame of 16 MiB", oversize),
        broken("DATA for nobody", frame(DATA, 0, 0, b"x")),
        broken("DATA for a stream that nobody opened", frame(DATA, 0, 99, b"x")),
        broken(
            "an answer on a stream of the server",
            frame(HEADERS, END_HEADERS, 2, &[STATUS_200]),
        ),
        broken(
            "a promise that nobody asked for",
            frame(PUSH_PROMISE, END_HEADERS, STREAM, &promise),
        ),
        broken(
            "a window beyond 31 bits",
            [window(0, 0x7fff_ffff), window(0, 0x7fff_ffff)].concat(),
        ),
        // Nobody wants to send more on this stream: ignoring it is as good as an error of the stream.
        broken("a stream's window beyond 31 bits", window(STREAM, 0x7fff_ffff).repeat(2))
            .times_out("0.5")
            .or(92, "")
            .or(56, ""),
        broken("a window that grows by nothing", window(0, 0)),
        broken("an initial window beyond 31 bits", frame(SETTINGS, 0, 0, &setting(4, 0xffff_ffff))),
        broken("a frame size of one byte", frame(SETTINGS, 0, 0, &setting(5, 1))),
        broken("settings of five bytes", frame(SETTINGS, 0, 0, &[0; 5])),
        broken("settings for a stream", frame(SETTINGS, 0, STREAM, &[])),
        broken("a ping of three bytes", frame(PING, 0, 0, b"abc")),
        broken("CONTINUATION of nothing", frame(CONTINUATION, END_HEADERS, STREAM, &[STATUS_200])),
        broken("more padding than data", frame(DATA, PADDED, STREAM, &[200, 1])),
        h2(
            "an acknowledgement of nothing",
            vec![say(frame(SETTINGS, 1, 0, &[]).repeat(3)), Step::Hang],
        )
        .fails(16, "")
        .or(56, "")
        .or(28, "")
        .with(&["-m", "1"])
        .lasts(1),
    ]
}

fn ends(h2: Make<'_>) -> Vec<Case> {
    let reset = |code: u8| frame(RST_STREAM, 0, STREAM, &[0, 0, 0, code]);
    let head = || say(frame(HEADERS, END_HEADERS, STREAM, &[STATUS_200]));
    vec![
        h2("our stream is reset", vec![say(reset(8)), Step::Hang]).fails(92, "").or(56, ""),
        h2("our stream is refused", vec![say(reset(7)), Step::Hang]).fails(92, "").or(56, ""),
        h2(
            "our stream is reset inside the body",
            vec![head(), say(frame(DATA, 0, STREAM, b"part")), say(reset(2)), Step::Hang],
        )
        .fails(92, "")
        .or(56, ""),
        h2(
            "GOAWAY behind the request",
            vec![say(frame(GOAWAY, 0, 0, &goaway(0, 0, b""))), Step::Hang],
        )
        .fails(16, "")
        .or(56, "")
        .or(52, "")
        .or(92, ""),
        h2(
            "GOAWAY that asks for calm",
            vec![say(frame(GOAWAY, 0, 0, &goaway(0, 11, b"\x1b]52;c;aGk=\x07calm"))), Step::Hang],
        )
        .fails(16, "")
        .or(56, "")
        .or(92, ""),
        h2(
            "a window of nothing for ever",
            vec![say(frame(SETTINGS, 0, 0, &setting(4, 0))), Step::Hang],
        )
        .with(&["-T", "upload"])
        .times_out("0.5"),
        h2(
            "a body and then nothing",
            vec![head(), say(frame(DATA, 0, STREAM, b"part")), Step::Hang],
        )
        .times_out("0.5")
        .fails(28, "with 4 bytes received"),
        h2("a close inside the body", vec![head(), say(frame(DATA, 0, STREAM, b"part"))])
            .fails(18, "")
            .or(56, ""),
        h2("a close behind the request", vec![]).fails(52, "").or(56, "").or(18, "").or(16, ""),
    ]
}

/// The same protocol without TLS: a few of each kind, as only the way to it differs.
fn by_prior_knowledge() -> Vec<Case> {
    let h2c = |name, steps: Vec<Step>| {
        let opening = [say(frame(SETTINGS, 0, 0, &[])), Step::Hear];
        let script = Script::raw(opening.into_iter().chain(steps));
        case(name, script).with(&["--http2-prior-knowledge"])
    };
    let block = [STATUS_200].into_iter().chain(literal("a", "b").repeat(2000));
    vec![
        h2c("nothing for ever, without TLS", vec![Step::Hang]).times_out("0.5"),
        h2c("PING without end, without TLS", vec![for_ever(frame(PING, 0, 0, b"pingpong"))])
            .fails(100, BEFORE_HEAD),
        h2c(
            "2,000 small fields, without TLS",
            vec![say(frame(HEADERS, END_HEADERS, STREAM, &Vec::from_iter(block))), Step::Hang],
        )
        .fails(100, super::http1::HEAD_LIMIT),
        case("HTTP/1 where HTTP/2 was spoken", Script::answer([say("HTTP/1.1 400 Bad\r\n\r\n")]))
            .with(&["--http2-prior-knowledge"])
            .fails(16, "")
            .or(56, "")
            .or(1, ""),
    ]
}

/// One frame. Source: RFC 9113, section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame that fits").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

fn goaway(last_stream: u32, code: u32, text: &[u8]) -> Vec<u8> {
    [&last_stream.to_be_bytes()[..], &code.to_be_bytes(), text].concat()
}

/// A field that is written out and not remembered. Source: RFC 7541, section 6.2.2.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0];
    for text in [name, value] {
        let mut length = text.len();
        if length < 127 {
            field.push(u8::try_from(length).unwrap_or(126));
        } else {
            // Section 5.1: seven bits in the first byte, then seven in each.
            field.push(127);
            length -= 127;
            while length >= 128 {
                field.push(u8::try_from(length % 128).unwrap_or(0) | 128);
                length /= 128;
            }
            field.push(u8::try_from(length).unwrap_or(0));
        }
        field.extend_from_slice(text.as_bytes());
    }
    field
}
