//! Lengths that lie, chunks that are none, and bodies that do not end.

use super::case::{Case, case};
use super::script::{Script, Step, drip, for_ever, say};

/// All of them.
#[must_use]
pub fn cases() -> Vec<Case> {
    [lengths(), chunks(), endless()].concat()
}

/// An answer with these fields and this body.
fn answer(fields: &str, body: &str) -> Script {
    Script::answer([say(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}"))])
}

fn lengths() -> Vec<Case> {
    let length = |name, value: &str| {
        let wrong = case(name, answer(&format!("Content-Length: {value}"), "hello"));
        wrong.fails(1, "content-length").or(8, "")
    };
    let ignored = "Content-Length: 3\r\nTransfer-Encoding: chunked";
    vec![
        case("less than was promised", answer("Content-Length: 100", "ten bytes."))
            .fails(18, "transfer closed with 90 bytes remaining to read"),
        case("more than was promised", answer("Content-Length: 3", "abcHTTP/1.1 200 OK\r\n\r\n"))
            .prints(b"abc"),
        case("the same length twice", answer("Content-Length: 2\r\nContent-Length: 2", "ok"))
            .prints(b"ok"),
        case("two lengths", answer("Content-Length: 2\r\nContent-Length: 5", "hello"))
            .fails(1, "content-length")
            .or(8, ""),
        length("two lengths in one field", "2, 5"),
        length("a negative length", "-1"),
        length("a length that is no number", "five"),
        length("a length with a sign", "+5"),
        length("a length in hexadecimal", "0x5"),
        length("a length beyond 64 bits", "99999999999999999999"),
        length("an empty length", ""),
        case("the largest length", answer("Content-Length: 9223372036854775807", "ten bytes."))
            .fails(18, "transfer closed with 9223372036854775797 bytes remaining to read"),
        // RFC 9112, section 6.3: the encoding overrides the length.
        case("a length beside chunks", answer(ignored, "5\r\nhello\r\n0\r\n\r\n")).prints(b"hello"),
        case("an unknown transfer-encoding", answer("Transfer-Encoding: rot13", "uryyb"))
            .fails(8, "the transfer coding \"rot13\" is unknown"),
        case("chunked twice", answer("Transfer-Encoding: chunked, chunked", "0\r\n\r\n"))
            .or(56, "")
            .or(1, "")
            .or(61, ""),
        case("204 with a body", Script::answer([say("HTTP/1.1 204 No Content\r\n\r\nbody")]))
            .prints(b""),
        case("304 with a body", {
            Script::answer([say("HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nbody")])
        })
        .prints(b""),
        case("a body behind HEAD", answer("Content-Length: 4", "body"))
            .with(&["-I"])
            .prints(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"),
    ]
}

fn chunks() -> Vec<Case> {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let broken = |name, body: &str| {
        let script = Script::answer([say(chunked), say(body)]);
        case(name, script).fails(56, "Recv failure: ")
    };
    let cut = |name, body: &str| {
        let script = Script::answer([say(chunked), say(body)]);
        case(name, script).fails(18, "transfer closed with outstanding read data remaining")
    };
    let endless = |name, start: &str, piece: &str| {
        let script = Script::answer([say(chunked), say(start), for_ever(piece)]);
        case(name, script).with(&["-o", "/dev/null"])
    };
    vec![
        broken("a chunk size that is no number", "zz\r\nabc\r\n0\r\n\r\n"),
        broken("an empty chunk size", "\r\nabc\r\n0\r\n\r\n"),
        broken("a negative chunk size", "-3\r\nabc\r\n0\r\n\r\n"),
        broken("a chunk size beyond 64 bits", "fffffffffffffffff\r\nabc"),
        broken("no line break behind a chunk", "3\r\nabcX3\r\nabc\r\n0\r\n\r\n"),
        broken("a bare LF behind a chunk size", "3\nabc\r\n0\r\n\r\n"),
        cut("cut off in a chunk size", "3"),
        cut("cut off behind a chunk size", "3\r\n"),
        cut("cut off in a chunk", "ff\r\nabc"),
        cut("cut off behind a chunk", "3\r\nabc\r\n"),
        cut("cut off in the trailers", "3\r\nabc\r\n0\r\nX: "),
        cut("a chunk of almost 64 bits", "fffffffffffffff0\r\nabc"),
        endless("a chunk extension without end", "3;", "x").fails(56, "chunk extension"),
        endless(
            "an extension on each chunk, without end",
            "",
            "1;xxxxxxxxxxxxxxxxxxxxxxxx\r\na\r\n",
        )
        .fails(56, "chunk extension"),
        endless("zeros without end in a chunk size", "", "0").times_out("0.5").or(56, ""),
        endless("spaces without end behind a chunk size", "3", " ").times_out("0.5").or(56, ""),
        endless("trailers without end", "3\r\nabc\r\n0\r\n", "X: y\r\n").fails(56, "trailer"),
        endless("one trailer without end", "3\r\nabc\r\n0\r\nX: ", "y").fails(56, "trailer"),
        endless("chunks of one byte without end", "", "1\r\na\r\n").times_out("0.5"),
    ]
}

fn endless() -> Vec<Case> {
    let body = |step| Script::answer([say("HTTP/1.1 200 OK\r\n\r\n"), step]);
    let promised = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    vec![
        case("one byte of the body a second", Script::answer([say(promised), drip("body", 1000)]))
            .times_out("1.5")
            .fails(28, "with 2 out of 1000 bytes received"),
        case("one byte of the body every 50 ms", {
            Script::answer([say(promised), drip("body".repeat(100), 50)])
        })
        .outlasts_its_job(),
        case("one byte in a chunk every second", {
            let head = say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            Script::answer([head, drip("1\r\na\r\n".repeat(100), 150)])
        })
        .times_out("1"),
        case("a head and then nothing", Script::answer([say(promised), Step::Hang]))
            .times_out("0.5")
            .fails(28, "with 0 out of 1000 bytes received"),
        case("a body without end", body(for_ever("0123456789abcdef")))
            .with(&["-o", "/dev/null"])
            .times_out("0.5"),
        case("a body without end, with a limit on its size", body(for_ever("0123456789abcdef")))
            .with(&["-o", "/dev/null", "--max-filesize", "100000"])
            .fails(63, ""),
        case("a body that promises more than the limit", {
            Script::answer([say("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"), Step::Hang])
        })
        .with(&["--max-filesize", "100000"])
        .fails(63, ""),
        case("asks to come again in 136 years", {
            let head = "HTTP/1.1 503 Busy\r\nRetry-After: 4294967295\r\nContent-Length: 0\r\n\r\n";
            Script::answer([say(head)])
        })
        .with(&["--retry", "3"])
        .outlasts_its_job()
        .or(0, ""),
        case("a body without end, without a limit", body(for_ever("0123456789abcdef")))
            .with(&["-o", "/dev/null"])
            .outlasts_its_job(),
    ]
}
