//! What comes back: every shape of head and body, shown in every way.

/// Answers that HTTP allows.
const GOOD: &[&str] = &[
    "ok",
    "empty",
    "204",
    "204-length",
    "304",
    "304-length",
    "401",
    "cookie",
    "type",
    "binary",
    "no-newline",
    "chunked",
    "chunked-empty",
    "chunked-extension",
    "chunked-case",
    "trailers",
    "eof",
    "eof-empty",
    "length-and-chunked",
    "more-than-length",
    "close",
    "folded",
    "twice",
    "spaces",
    "empty-header",
    "case",
    "latin1",
    "utf8",
    "escape",
    "no-reason",
    "no-reason-space",
    "odd-reason",
    "utf8-reason",
    "http10",
    "http10-eof",
    "http10-keep",
    "line-feeds",
    "many-headers",
    "long-header",
    "same-lengths",
    "100",
    "102",
    "103",
    "100-twice",
    "slow-head",
    "slow-answer",
    "slow-body",
];

/// Answers that no server should give, to be taken or refused as curl does.
const ODD: &[&str] = &[
    "nul",
    "http12",
    "http2-line",
    "http3-line",
    "too-long-header",
    "no-colon",
    "space-before-colon",
    "other-lengths",
    "list-length",
    "bad-length",
    "negative-length",
    "plus-length",
    "overflow-length",
    "unknown-coding",
    "100-only",
    "status-word",
    "status-short",
    "status-long",
    "lower-protocol",
];

/// Packed bodies.
const PACKED: &[&str] = &[
    "gzip",
    "x-gzip",
    "gzip-case",
    "deflate",
    "raw-deflate",
    "br",
    "zstd",
    "identity",
    "unknown-encoding",
    "not-gzip",
    "short-gzip",
    "empty-gzip",
];

pub(super) fn add(lines: &mut Vec<String>) {
    for path in GOOD {
        lines.push(format!("-i {{url}}/{path}"));
        lines.push(format!("-I {{url}}/{path}"));
        lines.push(format!("-s -D head -o out {{url}}/{path}"));
    }
    for path in ODD {
        lines.push(format!("-i -m 5 {{url}}/{path}"));
    }
    for path in PACKED {
        lines.push(format!("-i --compressed {{url}}/{path}"));
        lines.push(format!("{{url}}/{path}"));
    }
    for status in [200, 201, 203, 299, 300, 305, 399, 400, 401, 403, 404, 410, 418, 429, 499] {
        both(lines, status);
    }
    for status in [500, 502, 503, 504, 599, 600, 700, 999] {
        both(lines, status);
    }
    super::take(lines, SHOWN);
}

fn both(lines: &mut Vec<String>, status: u16) {
    lines.push(format!("-f {{url}}/status/{status}"));
    lines.push(format!("-i --fail-with-body {{url}}/status/{status}"));
}

const SHOWN: &[&str] = &[
    "{url}/large",
    "-o out {url}/chunked-large",
    "-o out {url}/eof-large",
    "-N {url}/slow-body",
    "-i {url}/status/099",
    "-o out {url}/ok",
    "-o - {url}/ok",
    "-o /dev/null {url}/ok",
    "-o out {url}/empty",
    "-o out -f {url}/status/404",
    "-o out -i {url}/ok",
    "-o out -I {url}/ok",
    "-o absent/out {url}/ok",
    "--create-dirs -o made/out {url}/ok",
    "-O {url}/ok",
    "-O {url}/a/page.html?q=1",
    "-O {url}/",
    "-OJ {url}/ok",
    "-D head {url}/ok",
    "-D - {url}/ok",
    "-D - -o out {url}/ok",
    "-D head -i {url}/ok",
    "-D same -o same {url}/ok",
    "-D head -f {url}/status/404",
    "-D head -L {url}/to/302/ok",
    "-D head -I {url}/ok",
    "-D /dev/null {url}/ok",
    "-s {url}/ok",
    "-s -i {url}/trailers",
    "-D head {url}/trailers",
    "-s -f {url}/status/404",
    "-sS -f {url}/status/404",
    "-s -i -L {url}/to/302/ok",
    "-v -s {url}/ok",
    "-sfSL {url}/to/302/missing",
    "-sSio out {url}/ok",
    "--silent --output out {url}/ok",
    "--output=out {url}/ok",
    "--no-progress-meter {url}/ok",
    "-# {url}/ok",
    "--max-filesize 3 {url}/ok",
    "--max-filesize 6 {url}/ok",
    "--max-filesize 5 {url}/chunked",
    "--max-filesize 100 {url}/chunked",
    "--max-filesize 3 {url}/eof",
    "--max-filesize 3 -i {url}/ok",
    "--max-filesize 3 -I {url}/ok",
    "--max-filesize 1k {url}/large",
    "--ignore-content-length {url}/close",
    "--raw -i {url}/chunked",
    "-j {url}/ok",
    "{url}/ok {url}/ok",
    "--no-such-option {url}/ok",
    "",
    "-s",
    "-o out",
    "-m x {url}/ok",
    "-m -1 {url}/ok",
    "-X '' {url}/ok",
    "--max-redirs x {url}/ok",
];
