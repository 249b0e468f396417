//! The differences that are meant, each with its reason; `refused` has the rest of them. What is a mistake of
//! ours does not belong here: it is to be mended, and fails the test until it is.

use super::Known;
use super::{These, Where};
use crate::differential::compare::Difference;

/// By so much our User-Agent is longer.
const AGENT_BYTES_MORE: u64 = ("blitz-curl/0.1.0".len() - "curl/7.88.1".len()) as u64;

pub(super) const TABLE: &[Known] = &[
    // Who asks, and over which connections.
    Known {
        cases: Where(|it| it.curl.starts_with("curl/") && it.blitz.starts_with("blitz-curl/")),
        aspects: &["header user-agent"],
        why: "servers should know what asks them",
    },
    Known {
        cases: Where(agent_makes_longer),
        aspects: &["%{size_request}", "json size_request"],
        why: "our User-Agent is longer, in each request",
    },
    Known {
        cases: Where(has_more_connections),
        aspects: &["%{num_connects}", "json num_connects"],
        why: "each hop and each attempt has a connection of its own, so that its phases are its own",
    },
    Known {
        cases: These(&["-w '%{num_connects}' -L {url}/to/302/ok"]),
        aspects: &["stdout"],
        why: "each hop and each attempt has a connection of its own, so that its phases are its own",
    },
    Known {
        cases: Where(|it| it.curl == "0.000000" && it.blitz > it.curl),
        aspects: &["%{time_connect}"],
        why: "curl has 0 for a connection that it used before, and where the TLS handshake failed behind the connect",
    },
    Known {
        cases: Where(|it| it.curl == "100-continue" && it.blitz == "(none)"),
        aspects: &["header expect"],
        why: "the body is with the engine already: waiting to be asked for it would only measure the wait",
    },
    Known {
        cases: These(&[
            "-T large {url}/continue",
            "--data-binary @large {url}/continue",
            "-F a=@large {url}/continue",
        ]),
        aspects: &["%{size_header}"],
        why: "where curl asks for 100 Continue, it counts that answer's head",
    },
    Known {
        cases: These(&["--http2 -A '' {url}/ok"]),
        aspects: &["header connection", "header upgrade", "header http2-settings"],
        why: "no upgrade to HTTP/2 on plain TCP: RFC 9113 has taken it out",
    },
    Known {
        cases: Where(|it| {
            let number = |text: &str| text.parse::<u32>().is_ok_and(|number| number > 0);
            number(&it.curl) && number(&it.blitz)
        }),
        aspects: &["%{ssl_verify_result}"],
        why: "of several things that are wrong with a certificate, OpenSSL and rustls name another one first",
    },
    Known {
        cases: These(&[
            "self-signed: -k -w '%{ssl_verify_result}' {url}/ok",
            "expired: -k -w '%{ssl_verify_result}' {url}/ok",
            "other name: -k -w '%{ssl_verify_result}' --cacert ca.pem {url}/ok",
        ]),
        aspects: &["stdout"],
        why: "of several things that are wrong with a certificate, OpenSSL and rustls name another one first",
    },
    Known {
        cases: These(&["-6 {url}/ok", "-4 http://[::1]:{port}/ok"]),
        aspects: &["%{time_namelookup}"],
        why: "an address of the wrong family is refused before there is an exchange that has times",
    },
    Known {
        cases: These(&["tls: --cacert text {url}/ok"]),
        aspects: &[
            "%{local_ip}",
            "%{num_connects}",
            "%{remote_ip}",
            "%{remote_port}",
            "%{scheme}",
            "%{ssl_verify_result}",
            "%{time_namelookup}",
            "%{time_total}",
        ],
        why: "the file of --cacert is read before there is a connection, and not behind it",
    },
    // How things are written.
    Known {
        cases: Where(|it| {
            let bare = it.curl.trim_matches('"');
            it.curl != it.blitz && it.curl.eq_ignore_ascii_case(&it.blitz)
                || matches!(bare, "" | "null") && it.blitz.trim_matches('"').starts_with("http")
        }),
        aspects: &["%{scheme}", "json scheme"],
        why: "small letters, as in curl 8; and the scheme is that of the URL, also when there was no connection",
    },
    Known {
        cases: These(&[
            "-s -w '<%{scheme}>' {url}/type",
            "h2: -k -w '%{http_version} %{scheme} %{num_headers} %{size_header}' {url}/ok",
            "tls: -k -w '%{scheme} %{http_version} %{ssl_verify_result} %{num_certs}' {url}/ok",
            "-w '%{scheme}' dict",
        ]),
        aspects: &["stdout"],
        why: "small letters, as in curl 8; and the scheme is that of the URL, also when there was no connection",
    },
    Known {
        cases: Where(|it| without_user(&it.curl).as_deref() == Some(it.blitz.as_str())),
        aspects: &["%{url_effective}"],
        why: "what a job prints is stored: credentials of a URL are left out",
    },
    Known {
        cases: These(&["-w '%{url_effective}' http://me:secret@127.0.0.1:{port}/ok"]),
        aspects: &["stdout"],
        why: "what a job prints is stored: credentials of a URL are left out",
    },
    Known {
        cases: Where(|it| it.curl.starts_with("\"libcurl/")),
        aspects: &["json curl_version"],
        why: "it is another program",
    },
    Known {
        cases: Where(|it| it.curl.starts_with("\"Subject:")),
        aspects: &["json certs"],
        why: "certificates are described by another library",
    },
    Known {
        cases: These(&["-w '%{header_json}' {url}/twice"]),
        aspects: &["stdout"],
        why: "7.88 takes the line end into the value of an empty header",
    },
    // How an answer's head is shown: as hyper parsed it, and not byte by byte.
    Known {
        cases: These(&[
            "-i {url}/spaces",
            "-I {url}/spaces",
            "*out {url}/spaces",
            "-i {url}/twice",
            "-I {url}/twice",
            "*out {url}/twice",
            "*{url}/empty-header",
            "*{url}/line-feeds",
            "*{url}/no-reason",
            "-L -i {url}/location/padded",
            "-i {url}/folded",
            "-I {url}/folded",
            "*out {url}/folded",
            "-w '%{num_headers} %{size_header}' {url}/folded",
            "-i -m 5 {url}/space-before-colon",
        ]),
        aspects: &["stdout", "file head", "%{size_header}"],
        why: "a head is written anew from what was parsed: `Name: value`, and a space behind the status",
    },
    Known {
        cases: These(&[
            "-i {url}/100",
            "-I {url}/100",
            "*out {url}/100",
            "-i {url}/102",
            "-I {url}/102",
            "*out {url}/102",
            "-i {url}/103",
            "-I {url}/103",
            "*out {url}/103",
            "-i {url}/100-twice",
            "-I {url}/100-twice",
            "*out {url}/100-twice",
            "-w '%{http_code} %{response_code} %{num_headers} %{size_header}' {url}/100-twice",
            "-H 'Expect: 100-continue' -d a {url}/continue",
        ]),
        aspects: &["stdout", "file head", "%{size_header}"],
        why: "the contract of web has no place for interim answers: they are passed over",
    },
    Known {
        cases: These(&[
            "-i {url}/trailers",
            "-s -i {url}/trailers",
            "-D head {url}/trailers",
            "*out {url}/trailers",
        ]),
        aspects: &["stdout", "file head"],
        why: "the contract of web has no place for trailers: they are passed over",
    },
    // Exit codes and outcomes.
    Known {
        cases: These(&["-o absent/out {url}/ok"]),
        aspects: &["exit", "problem"],
        why: "a file of this machine that cannot be written is blitz's own exit code 1",
    },
    Known {
        cases: These(&[
            "-m 1 ftp://127.0.0.1:{port}/",
            "-m 1 dict://127.0.0.1:{port}/",
            "-L -i {url}/location/ftp",
        ]),
        aspects: &["exit", "problem", "requests", "stdout"],
        why: "there are no protocols but http and https",
    },
    Known {
        cases: These(&["-i -m 5 {url}/too-long-header"]),
        aspects: &["exit", "problem", "stdout"],
        why: "100 as in curl 8; 7.88 says that it is out of memory",
    },
    Known {
        cases: These(&["--max-filesize 5 {url}/chunked", "--max-filesize 3 {url}/eof"]),
        aspects: &["exit", "problem", "stdout"],
        why: "the limit holds also where no length was announced, as in curl 8",
    },
    Known {
        cases: These(&[
            "*{url}/escape",
            "-i -m 5 {url}/other-lengths",
            "-i -m 5 {url}/plus-length",
            "-i -m 5 {url}/overflow-length",
            "-i -m 5 {url}/http2-line",
            "-i -m 5 {url}/lower-protocol",
            "-i -m 5 {url}/unknown-coding",
        ]),
        aspects: &["exit", "problem", "stdout", "file head", "file out"],
        why: "answers that RFC 9110 and 9112 forbid, and that clients read in different ways, are refused",
    },
    Known {
        cases: These(&["*{url}/half-head", "*{url}/head-without-end"]),
        aspects: &["exit", "problem", "stdout", "file out"],
        why: "a head without its end is a failure, and no part of it is shown",
    },
    Known {
        cases: These(&[
            "*{url}/reset-in-head",
            "-m 0.5 -i {url}/silent-in-head",
            "-i -m 5 {url}/100-only",
            "-i -m 5 {url}/bad-length",
            "-i -m 5 {url}/negative-length",
            "-i -m 5 {url}/no-colon",
            "-i -m 5 {url}/nul",
        ]),
        aspects: &[
            "stdout",
            "%{http_code}",
            "%{response_code}",
            "%{http_version}",
            "%{size_header}",
        ],
        why: "a head that is broken, or without its end, is a failure, and no part of it is shown",
    },
    Known {
        cases: These(&["*{url}/bad-chunk", "*{url}/chunk-without-end"]),
        aspects: &["%{size_download}", "%{speed_download}"],
        why: "curl does not count the piece in which the framing broke, though it printed it",
    },
    Known {
        cases: These(&["*{url}/odd-reason"]),
        aspects: &["%{num_headers}"],
        why: "curl takes a status line with a colon for one more header",
    },
    Known {
        cases: These(&[
            "--max-filesize 3 -I {url}/ok",
            "--max-filesize 3 -i {url}/ok",
            "--max-filesize 3 {url}/ok",
            "--max-filesize 1k {url}/large",
        ]),
        aspects: &["stdout", "%{size_header}"],
        why: "curl stops at the last line of the head, and the empty line behind it is missing",
    },
    Known {
        cases: These(&[
            "-L --max-redirs 0 {url}/to/302/ok",
            "-L --proto-redir =https {url}/to/302/ok",
            "-L --max-redirs 1 {url}/location/two-hops",
        ]),
        aspects: &["%{size_download}", "%{speed_download}"],
        why: "the body of a redirect is not brought when it is not shown",
    },
    // What is sent.
    Known {
        cases: These(&[
            "-L -b a=1 {url}/location/other-host",
            "-L -b a=1 {url}/location/other-host-and-back",
        ]),
        aspects: &["header cookie"],
        why: "cookies name the user: they go to other hosts with --location-trusted only, as -H Cookie does in curl",
    },
    Known {
        cases: These(&[
            "-H Expect: -T - {url}/ok",
            "-H Expect: -T - -H 'Content-Length: 24' {url}/ok",
        ]),
        aspects: &["header transfer-encoding", "header content-length", "%{size_upload}"],
        why: "standard input is read to its end before there is a job: its length is known",
    },
    Known {
        cases: These(&["-L -T - {url}/to/307/ok"]),
        aspects: &["exit", "problem", "stdout", "requests"],
        why: "standard input is read to its end before there is a job: it can be sent twice",
    },
    Known {
        cases: These(&["-H 'Transfer-Encoding: chunked' -d hello {url}/ok"]),
        aspects: &["%{size_upload}", "%{size_request}"],
        why: "the size is that of the body; curl counts the lines between its chunks, too",
    },
    Known {
        cases: These(&["-H 'Content-Length:' -d a {url}/ok"]),
        aspects: &["header content-length", "body", "%{size_request}"],
        why: "a body always has its length: without it the server does not see a body",
    },
    Known {
        cases: These(&["-m 1 -H 'Content-Length: 3' -d a {url}/ok"]),
        aspects: &["exit", "problem", "requests"],
        why: "a length that is not the body's is refused: the server would wait for the rest",
    },
    Known {
        cases: These(&["-H 'Host:' {url}/ok"]),
        aspects: &["header host", "%{size_request}"],
        why: "HTTP/1.1 wants a Host",
    },
    Known {
        cases: These(&["{url}/caf\u{e9}?\u{e9}"]),
        aspects: &["target", "%{url_effective}"],
        why: "a request target is ASCII (RFC 3986): 7.88 leaves a typed query as it is",
    },
    Known {
        cases: These(&["-d @binary {url}/ok"]),
        aspects: &["body", "header content-length", "%{size_upload}"],
        why: "7.88 loses what stands behind a NUL in its line; curl 8 leaves the NUL out, as we do",
    },
    Known {
        cases: These(&["-L -i {url}/location/fragment"]),
        aspects: &["exit", "problem", "stdout", "requests"],
        why: "a Location that is a fragment means the same page (RFC 3986, 5.2.2), 7.88 asks for its directory",
    },
    Known {
        cases: These(&["-w '%{redirect_url}' {url}/location/fragment"]),
        aspects: &["stdout"],
        why: "a Location that is a fragment means the same page (RFC 3986, 5.2.2), 7.88 asks for its directory",
    },
    Known {
        cases: These(&["-D same -o same {url}/ok"]),
        aspects: &["file same"],
        why: "what goes to one file is written behind each other",
    },
];

/// `blitz-curl/0.1.0` in place of `curl/7.88.1`, in each request.
fn agent_makes_longer(it: &Difference) -> bool {
    let size = |text: &str| text.parse::<u64>().ok();
    let more = size(&it.blitz).zip(size(&it.curl)).and_then(|(ours, curl)| ours.checked_sub(curl));
    more.is_some_and(|more| more > 0 && more % AGENT_BYTES_MORE == 0)
}

fn has_more_connections(it: &Difference) -> bool {
    let count = |text: &str| text.parse::<u64>().ok();
    count(&it.blitz).zip(count(&it.curl)).is_some_and(|(ours, curl)| ours > curl)
}

/// A URL without what stands before the `@`.
fn without_user(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (_, rest) = rest.split_once('@')?;
    Some(format!("{scheme}://{rest}"))
}
