//! Bodies that are decoded, and bodies that are cut.

use blitz_plugin::testing::{CannedAnswer, FakeHost};
use blitz_plugin::web::{Failure, FailureKind};

use super::{curl, ok, wire};

const TEXT: &[u8] = include_bytes!("../decode/tests/text.txt");
const BROTLI: &[u8] = include_bytes!("../decode/tests/text.br");

fn brotli() -> CannedAnswer {
    let length = BROTLI.len().to_string();
    let (first, second) = BROTLI.split_at(100);
    ok().header("Content-Encoding", "br")
        .header("Content-Length", &length)
        .piece(first)
        .piece(second)
}

#[test]
fn compressed_bodies_are_decoded_for_those_who_ask() {
    let mut host = FakeHost::default().answers(brotli());
    assert_eq!(curl("--compressed -e http://r -w %{stderr}%{size_download} h", &mut host), 0);
    let sent =
        "GET http://h/\nHost: h\nAccept-Encoding: deflate, gzip, br, zstd\nReferer: http://r\n";
    assert_eq!(wire(&host.requests[0]), sent);
    assert!(host.stdout.bytes == TEXT);
    assert_eq!(host.stderr_text(), BROTLI.len().to_string());
    assert_eq!(host.events[0].1["body_bytes"], BROTLI.len());

    let mut host = FakeHost::default().answers(brotli());
    assert_eq!(curl("-i --compressed -H Accept-Encoding:~br -o f h", &mut host), 0);
    assert_eq!(wire(&host.requests[0]), "GET http://h/\nHost: h\nAccept-Encoding: br\n");
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: {}\r\n\r\n",
        BROTLI.len()
    );
    assert!(host.outputs["f"] == [head.as_bytes(), TEXT].concat());

    let mut host = FakeHost::default().answers(brotli());
    assert_eq!(curl("h", &mut host), 0);
    assert!(host.stdout.bytes == BROTLI && host.requests[0].headers.len() == 3);
}

#[test]
fn what_cannot_be_decoded_is_told() {
    let encoded = |encoding, body: &str| ok().header("content-encoding", encoding).piece(body);
    let odd = "Unrecognized content encoding type. libcurl understands deflate, gzip, br, zstd content \
               encodings.";
    for (answer, text) in [
        (encoded("odd", "x"), odd),
        (
            encoded("gzip", "this is not gzip"),
            "Error while processing content unencoding: invalid gzip header",
        ),
        (encoded("br,br,br,br,br,br", "x"), "Reject response due to more than 5 content encodings"),
    ] {
        let mut host = FakeHost::default().answers(answer);
        assert_eq!(curl("--compressed h", &mut host), 61);
        assert_eq!(host.stderr_text(), format!("curl: (61) {text}\n"));
        assert_eq!(host.events[0].1["error"]["exit"], 61);
    }
    let broken = ok().header("content-encoding", "br").piece(&BROTLI[..200]);
    let failure = Failure::new(FailureKind::Partial, "transfer closed");
    let mut host = FakeHost::default().answers(broken.then_fails(failure));
    assert_eq!(curl("--compressed h", &mut host), 18);
    assert_eq!(host.stderr_text(), "curl: (18) transfer closed\n");
    let mut host = FakeHost::default().answers(encoded("gzip", "x"));
    assert_eq!(curl("--compressed -I h", &mut host), 0);
}

#[test]
fn a_body_that_is_too_large_is_a_failure() {
    const LARGER: &str = "Exceeded the maximum allowed file size (5) with 8 bytes";
    let known = || ok().header("Content-Length", "8").piece("12345678");
    let unknown = || ok().piece("1234").piece("5678").piece("9");
    for (line, answer, code, stdout, text) in [
        ("--max-filesize 8 h", known(), 0, "12345678", ""),
        ("--max-filesize 0 h", known(), 0, "12345678", ""),
        ("--max-filesize 1k h", known(), 0, "12345678", ""),
        ("--max-filesize 5 h", known(), 63, "", "Maximum file size exceeded"),
        ("--max-filesize 5 h", unknown(), 63, "12345", LARGER),
        ("--max-filesize 9B h", unknown(), 0, "123456789", ""),
        (
            "--max-filesize 5 -I h",
            known(),
            63,
            "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n",
            "Maximum file size exceeded",
        ),
    ] {
        let mut host = FakeHost::default().answers(answer);
        assert_eq!(curl(line, &mut host), code, "{line}");
        assert_eq!(host.stdout_text(), stdout, "{line}");
        let text = if code == 0 { String::new() } else { format!("curl: (63) {text}\n") };
        assert_eq!(host.stderr_text(), text, "{line}");
    }
    let mut host = FakeHost::default().answers(brotli());
    assert_eq!(curl("--compressed --max-filesize 1000 h", &mut host), 0, "as it comes");
}

#[test]
fn the_rest_of_a_body_can_be_left() {
    let known = || ok().header("Content-Length", "8").piece("12345678");
    let unknown = || ok().piece("1234").piece("5678").piece("9");
    for (line, answer, stdout, text) in [
        ("--body-limit 8 h", known(), "12345678", ""),
        ("--body-limit 5 h", known(), "12345", "curl: body cut at 5 of 8 bytes (--body-limit)\n"),
        ("--body-limit 5 h", unknown(), "12345", "curl: body cut at 5 bytes (--body-limit)\n"),
        ("--body-limit 4 h", unknown(), "1234", "curl: body cut at 4 bytes (--body-limit)\n"),
        ("--body-limit 0 h", unknown(), "", "curl: body cut at 0 bytes (--body-limit)\n"),
        ("--body-limit 5 -s h", known(), "12345", ""),
        (
            "--body-limit 5 -sS h",
            known(),
            "12345",
            "curl: body cut at 5 of 8 bytes (--body-limit)\n",
        ),
        ("--body-limit 5 h", ok(), "", ""),
    ] {
        let mut host = FakeHost::default().answers(answer);
        assert_eq!(curl(line, &mut host), 0, "{line}");
        assert_eq!(host.stdout_text(), stdout, "{line}");
        assert_eq!(host.stderr_text(), text, "{line}");
        let is_cut = line.contains("-s ") || !text.is_empty();
        for (kind, record) in &host.events {
            assert_eq!(record["body_truncated"], is_cut, "{line} {kind}");
        }
    }
    let mut host = FakeHost::default().answers(brotli());
    assert_eq!(curl("--compressed --body-limit 100 h", &mut host), 0);
    assert!(host.stdout.bytes == TEXT[..100]);
    assert_eq!(host.stderr_text(), "curl: body cut at 100 bytes (--body-limit)\n");
}
