//! What the servers say, by the path of the request.

use std::time::Duration;

/// A body that does not come in one piece.
const LARGE_BYTES: usize = 5_000_000;

/// The same where it is asked for often.
const MEDIUM_BYTES: usize = 300_000;

/// Long enough to be seen in `time_starttransfer`, and short.
const SLOW: Duration = Duration::from_millis(150);

/// One thing that a server does with its connection. It closes it behind the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Send(Vec<u8>),
    Wait(Duration),
    /// Neither says anything nor closes.
    Hold,
    Reset,
    /// The connection is good for another request.
    Keep,
}

/// The answer to a request over HTTP/1. A HEAD gets the head only.
pub(crate) fn steps(method: &str, target: &str, port: u16) -> Vec<Step> {
    let path = target.split(['?', '#']).next().unwrap_or(target);
    let mut steps = match path.strip_prefix("/to/").and_then(|rest| rest.split_once('/')) {
        // `/to/302/PATH` leads to `/PATH`.
        Some((status, path)) => redirect(status, &format!("/{path}")),
        None => named(path, port),
    };
    if method == "HEAD" {
        for step in &mut steps {
            if let Step::Send(bytes) = step {
                let end = bytes.windows(4).rposition(|window| window == b"\r\n\r\n");
                bytes.truncate(end.map_or(bytes.len(), |end| end + 4));
            }
        }
    }
    steps
}

/// The answer over HTTP/2: a few of the same.
pub(crate) fn http2(method: &str, target: &str, port: u16) -> hyper::Response<Vec<u8>> {
    let path = target.split('?').next().unwrap_or(target);
    let (status, header, body) = match path {
        "/empty" => (200, ("x-empty", "1".to_owned()), Vec::new()),
        "/204" => (204, ("x-empty", "1".to_owned()), Vec::new()),
        "/missing" => (404, ("content-type", "text/plain".to_owned()), b"none\n".to_vec()),
        "/moved" => (302, ("location", "/ok".to_owned()), Vec::new()),
        "/away" => (301, ("location", format!("https://localhost:{port}/ok")), Vec::new()),
        "/large" => (200, ("x-large", "1".to_owned()), numbers(MEDIUM_BYTES)),
        _ => (200, ("content-type", "text/plain".to_owned()), b"hello\n".to_vec()),
    };
    let mut answer = hyper::Response::new(if method == "HEAD" { Vec::new() } else { body });
    *answer.status_mut() = hyper::StatusCode::from_u16(status).expect("a status");
    answer.headers_mut().insert(header.0, header.1.parse().expect("a value"));
    answer
}

fn redirect(status: &str, location: &str) -> Vec<Step> {
    kept(format!(
        "HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 6\r\n\r\nmoved\n"
    ))
}

fn kept(text: impl Into<Vec<u8>>) -> Vec<Step> {
    vec![Step::Send(text.into()), Step::Keep]
}

fn once(text: impl Into<Vec<u8>>) -> Vec<Step> {
    vec![Step::Send(text.into())]
}

/// An answer with these header lines and a body of the right length.
fn with(line: &str, headers: &str, body: &[u8]) -> Vec<Step> {
    let head = format!("HTTP/1.1 {line}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    kept([head.as_bytes(), body].concat())
}

fn numbers(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap_or(0)).collect()
}

fn location(location: &str) -> Vec<Step> {
    with("302 Found", &format!("Location: {location}\r\n"), b"")
}

fn named(path: &str, port: u16) -> Vec<Step> {
    if let Some(status) = path.strip_prefix("/status/") {
        return with(&format!("{status} Said"), "X-Said: so\r\n", b"said\n");
    }
    if let Some(name) = path.strip_prefix("/location/") {
        return odd_location(name, port);
    }
    match path {
        "/empty" => with("200 OK", "", b""),
        "/204" => kept("HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"),
        "/204-length" => kept("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
        "/304" => kept("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"),
        "/304-length" => kept("HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n"),
        "/206" => with("206 Partial Content", "Content-Range: bytes 0-4/10\r\n", b"01234"),
        "/416" => with("416 Range Not Satisfiable", "Content-Range: bytes */10\r\n", b"no\n"),
        "/401" => with("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", b"who?\n"),
        "/cookie" => with("200 OK", "Set-Cookie: a=1; Path=/\r\n", b"cookie\n"),
        "/type" => with("200 OK", "Content-Type: text/html; charset=utf-8\r\n", b"<p>\n"),
        "/binary" => with("200 OK", "", &Vec::from_iter(0..=255)),
        "/large" => with("200 OK", "", &numbers(LARGE_BYTES)),
        "/no-newline" => with("200 OK", "", b"no newline"),
        "/continue" => with("200 OK", "", b"went on\n"),
        _ => chunked(path)
            .or_else(|| odd_head(path))
            .or_else(|| interim(path))
            .or_else(|| broken(path))
            .or_else(|| slow(path))
            .or_else(|| encoded(path))
            .unwrap_or_else(|| {
                with("200 OK", "Content-Type: text/plain\r\nX-Some: thing\r\n", b"hello\n")
            }),
    }
}

fn chunked(path: &str) -> Option<Vec<Step>> {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";
    Some(match path {
        "/chunked" => kept(format!("{head}\r\n6\r\nhello\n\r\n6\r\nworld\n\r\n0\r\n\r\n")),
        "/chunked-empty" => kept(format!("{head}\r\n0\r\n\r\n")),
        "/chunked-extension" => {
            kept(format!("{head}\r\n6;a=b;c=\"d\"\r\nhello\n\r\n0;last\r\n\r\n"))
        }
        "/chunked-case" => kept(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\nA\r\n0123456789\r\n000\r\n\r\n",
        ),
        "/trailers" => kept(format!(
            "{head}Trailer: X-After\r\n\r\n6\r\nhello\n\r\n0\r\nX-After: late\r\nX-Two: 2\r\n\r\n"
        )),
        "/chunked-large" => {
            let mut bytes = format!("{head}\r\n").into_bytes();
            for piece in numbers(LARGE_BYTES).chunks(70_001) {
                bytes.extend(format!("{:x}\r\n", piece.len()).into_bytes());
                bytes.extend_from_slice(piece);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
            kept(bytes)
        }
        "/eof" => once("HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\nto the end\n"),
        "/eof-empty" => once("HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n"),
        "/eof-large" => once([b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), numbers(MEDIUM_BYTES)].concat()),
        "/length-and-chunked" => once(
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n\
             6\r\nhello\n\r\n0\r\n\r\n",
        ),
        "/more-than-length" => once("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more"),
        _ => return None,
    })
}

fn odd_head(path: &str) -> Option<Vec<Step>> {
    let body = "Content-Length: 6\r\n\r\nhello\n";
    Some(match path {
        "/close" => once(format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{body}")),
        "/folded" => kept(format!("HTTP/1.1 200 OK\r\nX-Long: a\r\n b\r\n\tc\r\n{body}")),
        "/twice" => kept(format!("HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nX-A:\r\n{body}")),
        "/spaces" => kept(format!("HTTP/1.1 200 OK\r\nX-A:   wide  \r\nX-B:tight\r\n{body}")),
        "/empty-header" => kept(format!("HTTP/1.1 200 OK\r\nX-Empty:\r\nX-Blank: \r\n{body}")),
        "/case" => kept(format!("HTTP/1.1 200 OK\r\nx-LOWER-Upper: MiXeD\r\n{body}")),
        "/latin1" => kept([b"HTTP/1.1 200 OK\r\nX-A: caf\xe9\r\n", body.as_bytes()].concat()),
        "/utf8" => kept(format!("HTTP/1.1 200 OK\r\nX-A: caf\u{e9} \u{1f600}\r\n{body}")),
        "/escape" => kept(format!("HTTP/1.1 200 OK\r\nX-A: \u{1b}[31mred\r\n{body}")),
        "/nul" => kept(format!("HTTP/1.1 200 OK\r\nX-A: a\0b\r\n{body}")),
        "/no-reason" => kept(format!("HTTP/1.1 200\r\n{body}")),
        "/no-reason-space" => kept(format!("HTTP/1.1 200 \r\n{body}")),
        "/odd-reason" => kept(format!("HTTP/1.1 200 Fine:  thanks, 404\r\n{body}")),
        "/utf8-reason" => kept(format!("HTTP/1.1 200 d\u{e9}j\u{e0}\r\n{body}")),
        "/http10" => once(format!("HTTP/1.0 200 OK\r\n{body}")),
        "/http10-eof" => once("HTTP/1.0 200 OK\r\n\r\nold\n"),
        "/http10-keep" => kept(format!("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n{body}")),
        "/http12" => kept(format!("HTTP/1.2 200 OK\r\n{body}")),
        "/http2-line" => kept(format!("HTTP/2 200 OK\r\n{body}")),
        "/http3-line" => kept(format!("HTTP/3 200 OK\r\n{body}")),
        "/line-feeds" => kept("HTTP/1.1 200 OK\nX-A: 1\nContent-Length: 6\n\nhello\n"),
        "/many-headers" => {
            let many: String = (0..90).map(|at| format!("X-{at}: {at}\r\n")).collect();
            kept(format!("HTTP/1.1 200 OK\r\n{many}{body}"))
        }
        "/long-header" => {
            let long = "x".repeat(20_000);
            kept(format!("HTTP/1.1 200 OK\r\nX-Long: {long}\r\n{body}"))
        }
        "/too-long-header" => {
            let long = "x".repeat(120_000);
            kept(format!("HTTP/1.1 200 OK\r\nX-Long: {long}\r\n{body}"))
        }
        "/no-colon" => kept(format!("HTTP/1.1 200 OK\r\nno colon here\r\n{body}")),
        "/space-before-colon" => kept(format!("HTTP/1.1 200 OK\r\nX-A : 1\r\n{body}")),
        "/same-lengths" => kept(format!("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n{body}")),
        "/other-lengths" => once(format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n{body}")),
        "/list-length" => once("HTTP/1.1 200 OK\r\nContent-Length: 6, 6\r\n\r\nhello\n"),
        "/bad-length" => once("HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\nhello\n"),
        "/negative-length" => once("HTTP/1.1 200 OK\r\nContent-Length: -6\r\n\r\nhello\n"),
        "/plus-length" => once("HTTP/1.1 200 OK\r\nContent-Length: +6\r\n\r\nhello\n"),
        "/overflow-length" => {
            once("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello\n")
        }
        "/unknown-coding" => once("HTTP/1.1 200 OK\r\nTransfer-Encoding: odd\r\n\r\nhello\n"),
        _ => return None,
    })
}

fn interim(path: &str) -> Option<Vec<Step>> {
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n";
    Some(match path {
        "/100" => kept(format!("HTTP/1.1 100 Continue\r\n\r\n{last}")),
        "/102" => kept(format!("HTTP/1.1 102 Processing\r\nX-Wait: yes\r\n\r\n{last}")),
        "/103" => kept(format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{last}")),
        "/100-twice" => kept(format!(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{last}"
        )),
        "/100-only" => once("HTTP/1.1 100 Continue\r\n\r\n"),
        _ => return None,
    })
}

fn broken(path: &str) -> Option<Vec<Step>> {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let long = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n";
    Some(match path {
        "/nothing" => Vec::new(),
        "/reset" => vec![Step::Reset],
        "/half-line" => once("HTTP/1.1 2"),
        "/half-head" => once("HTTP/1.1 200 OK\r\nContent-Le"),
        "/head-without-end" => once("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"),
        "/reset-in-head" => {
            vec![Step::Send(b"HTTP/1.1 200 OK\r\nX-A".to_vec()), Step::Wait(SLOW), Step::Reset]
        }
        "/reset-in-body" => {
            let bytes = format!("{long}hello\n").into_bytes();
            vec![Step::Send(bytes), Step::Wait(SLOW), Step::Reset]
        }
        "/short" => once(format!("{long}hello\n")),
        "/short-empty" => once(long),
        "/short-chunk" => once(format!("{chunked}64\r\nhello\n")),
        "/no-last-chunk" => once(format!("{chunked}6\r\nhello\n\r\n")),
        "/bad-chunk" => once(format!("{chunked}6\r\nhello\n\r\nzz\r\nx")),
        "/chunk-without-end" => once(format!("{chunked}6\r\nhello\nXX0\r\n\r\n")),
        "/huge-chunk" => once(format!("{chunked}fffffffffffffffff\r\nhello\n")),
        "/garbage" => once("this is not HTTP\r\n\r\n"),
        "/smtp" => once("220 mail.example ESMTP\r\n"),
        "/one-byte" => once("H"),
        "/status-word" => once("HTTP/1.1 abc OK\r\nContent-Length: 6\r\n\r\nhello\n"),
        "/status-short" => once("HTTP/1.1 20 OK\r\nContent-Length: 6\r\n\r\nhello\n"),
        "/status-long" => once("HTTP/1.1 2000 OK\r\nContent-Length: 6\r\n\r\nhello\n"),
        "/lower-protocol" => once("http/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n"),
        _ => return None,
    })
}

fn slow(path: &str) -> Option<Vec<Step>> {
    let send = |text: &str| Step::Send(text.as_bytes().to_vec());
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n";
    Some(match path {
        "/silent" => vec![Step::Hold],
        "/slow-head" => {
            let rest = "Content-Length: 6\r\n\r\nhello\n";
            vec![send("HTTP/1.1 200 OK\r\n"), Step::Wait(SLOW), send(rest), Step::Keep]
        }
        "/slow-answer" => vec![Step::Wait(SLOW), send(&format!("{head}hello\nworld\n"))],
        "/slow-body" => {
            vec![send(&format!("{head}hello\n")), Step::Wait(SLOW), send("world\n"), Step::Keep]
        }
        "/silent-in-head" => vec![send("HTTP/1.1 200 OK\r\nX-A"), Step::Hold],
        "/silent-in-body" => vec![send(&format!("{head}hello\n")), Step::Hold],
        _ => return None,
    })
}

/// `hello hello hello\n`, packed.
fn encoded(path: &str) -> Option<Vec<Step>> {
    const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcbH\xcd\xc9\xc9W\xc8@\x90\x5c\x00;|\x8a\xdf\x12\x00\x00\x00";
    const DEFLATE: &[u8] = b"x\x9c\xcbH\xcd\xc9\xc9W\xc8@\x90\x5c\x00@\xb5\x06\x87";
    const RAW_DEFLATE: &[u8] = b"\xcbH\xcd\xc9\xc9W\xc8@\x90\x5c\x00";
    const BROTLI: &[u8] = b"\x10\x01\x10hello hello hello\n\x03";
    const ZSTD: &[u8] = b"(\xb5/\xfd\x04Xm\x00\x008hello \x0a\x01\x001J\x11\xa3\xaat\xce";
    let (name, bytes) = match path {
        "/gzip" => ("gzip", GZIP),
        "/x-gzip" => ("x-gzip", GZIP),
        "/gzip-case" => ("GZip", GZIP),
        "/deflate" => ("deflate", DEFLATE),
        "/raw-deflate" => ("deflate", RAW_DEFLATE),
        "/br" => ("br", BROTLI),
        "/zstd" => ("zstd", ZSTD),
        "/identity" => ("identity", &b"hello hello hello\n"[..]),
        "/unknown-encoding" => ("odd", &b"hello hello hello\n"[..]),
        "/not-gzip" => ("gzip", &b"hello hello hello\n"[..]),
        "/short-gzip" => ("gzip", &GZIP[..GZIP.len() - 12]),
        "/empty-gzip" => ("gzip", &b""[..]),
        _ => return None,
    };
    Some(with("200 OK", &format!("Content-Encoding: {name}\r\n"), bytes))
}

fn odd_location(name: &str, port: u16) -> Vec<Step> {
    let here = format!("http://127.0.0.1:{port}");
    let there = format!("http://localhost:{port}");
    match name {
        "absolute" => location(&format!("{here}/ok")),
        "other-host" => location(&format!("{there}/ok")),
        "other-host-and-back" => location(&format!("{there}/location/absolute")),
        "user" => location(&format!("http://me:secret@127.0.0.1:{port}/ok")),
        "user-elsewhere" => location(&format!("http://me:secret@localhost:{port}/ok")),
        "protocol-relative" => location(&format!("//localhost:{port}/ok")),
        "relative" => location("ok"),
        "dots" => location("../../x/./y/../ok"),
        "query" => location("?a=b"),
        "fragment" => location("#part"),
        "path-and-fragment" => location("/ok?x#part"),
        "empty" => location(""),
        "space" => location("/a b?c d"),
        "padded" => location("   /ok   "),
        "utf8" => location("/caf\u{e9}?\u{e9}"),
        "percent" => location("/a%20b%2f%zz"),
        "brackets" => location("/a[1]{2}"),
        "quote" => location("/a\"b<c>"),
        "backslash" => location("\\ok"),
        "tab" => location("/a\tb"),
        "upper-scheme" => location(&format!("HTTP://127.0.0.1:{port}/ok")),
        "one-slash" => location(&format!("http:/127.0.0.1:{port}/ok")),
        "three-slashes" => location(&format!("http:///127.0.0.1:{port}/ok")),
        "ftp" => location("ftp://127.0.0.1/x"),
        "file" => location("file:///etc/hostname"),
        "mailto" => location("mailto:me@example.com"),
        "no-host" => location("http:///"),
        "bad-port" => location("http://127.0.0.1:99999/"),
        "bad-ipv6" => location("http://[::1/"),
        "bad-host" => location("http://a<b>/"),
        "unresolvable" => location("http://name.invalid/"),
        "refused" => location("http://127.0.0.1:1/"),
        "loop" => location("/location/loop"),
        "none" => with("302 Found", "", b"nowhere\n"),
        "twice" => with("302 Found", "Location: /first\r\nLocation: /second\r\n", b""),
        "on-200" => with("200 OK", "Location: /ok\r\n", b"stay\n"),
        "on-201" => with("201 Created", "Location: /ok\r\n", b"made\n"),
        "on-404" => with("404 Not Found", "Location: /ok\r\n", b"none\n"),
        "chunked" => kept(
            "HTTP/1.1 302 Found\r\nLocation: /ok\r\nTransfer-Encoding: chunked\r\n\r\n\
             6\r\nmoved\n\r\n0\r\n\r\n",
        ),
        "eof" => once("HTTP/1.1 302 Found\r\nLocation: /ok\r\n\r\nmoved\n"),
        "cookie" => with("302 Found", "Set-Cookie: a=1; Path=/\r\nLocation: /ok\r\n", b""),
        "large" => with("302 Found", "Location: /ok\r\n", &numbers(MEDIUM_BYTES)),
        "short" => {
            once("HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 100\r\n\r\nmoved\n")
        }
        "two-hops" => location("/to/302/ok"),
        _ => location("/ok"),
    }
}
