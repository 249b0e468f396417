//! Where `-L` goes, with what method, body and credentials.

/// The ways to send something that a redirect may change.
const SENT: &[&str] = &[
    "",
    "-d a=1",
    "-X POST -d a=1",
    "-X PUT -d a=1",
    "-T text -H Expect:",
    "-F a=1",
    "-I",
    "-X DELETE",
];

const STATUSES: &[u16] = &[300, 301, 302, 303, 304, 305, 306, 307, 308, 310, 399];

pub(super) fn add(lines: &mut Vec<String>) {
    for sent in SENT {
        for status in STATUSES {
            // Status 304 has no body, whatever its length says: the rest would be the next answer.
            if *status != 304 {
                lines.push(join(&["-L", sent, &format!("{{url}}/to/{status}/ok")]));
            }
        }
    }
    for keep in ["--post301", "--post302", "--post303", "--post301 --post302 --post303"] {
        for status in [301, 302, 303] {
            lines.push(format!("-L {keep} -d a=1 {{url}}/to/{status}/ok"));
        }
    }
    for name in LOCATIONS {
        lines.push(format!("-L -i {{url}}/location/{name}"));
    }
    for name in ["absolute", "relative", "empty", "dots", "ftp", "no-host", "bad-ipv6", "space"] {
        lines.push(format!("-i {{url}}/location/{name}"));
    }
    super::take(lines, LIMITS);
    for secret in SECRETS {
        for way in ["-L", "--location-trusted"] {
            for to in ["other-host", "other-host-and-back", "absolute", "relative"] {
                lines.push(format!("{way} {secret} {{url}}/location/{to}"));
            }
        }
    }
    super::take(lines, CARRIED);
}

fn join(words: &[&str]) -> String {
    let words: Vec<&str> = words.iter().copied().filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

const LOCATIONS: &[&str] = &[
    "absolute",
    "other-host",
    "user",
    "user-elsewhere",
    "protocol-relative",
    "relative",
    "dots",
    "query",
    "fragment",
    "path-and-fragment",
    "empty",
    "space",
    "padded",
    "utf8",
    "percent",
    "brackets",
    "quote",
    "backslash",
    "tab",
    "upper-scheme",
    "one-slash",
    "three-slashes",
    "ftp",
    "file",
    "mailto",
    "no-host",
    "bad-port",
    "bad-ipv6",
    "bad-host",
    "unresolvable",
    "refused",
    "none",
    "twice",
    "on-200",
    "on-201",
    "on-404",
    "chunked",
    "eof",
    "cookie",
    "large",
    "short",
    "two-hops",
];

const LIMITS: &[&str] = &[
    "-L {url}/location/loop",
    "-L --max-redirs 0 {url}/to/302/ok",
    "-L --max-redirs 1 {url}/to/302/ok",
    "-L --max-redirs 1 {url}/location/two-hops",
    "-L --max-redirs 2 {url}/location/two-hops",
    "-L --max-redirs 3 {url}/location/loop",
    "-L --max-redirs -1 {url}/location/two-hops",
    "-L --max-redirs -2 {url}/ok",
    "-L -m 5 --max-redirs 20 -s -i {url}/location/loop",
    "-L -f {url}/to/302/status/404",
    "-L --fail-with-body {url}/to/302/status/404",
    "-f {url}/to/302/ok",
    "-L -o out -D head {url}/to/302/ok",
    "-L {url}/ok",
    "-L --proto-redir =https {url}/to/302/ok",
];

const SECRETS: &[&str] = &[
    "-u me:secret",
    "-b a=1",
    "-H 'Authorization: Token x'",
    "-H 'Cookie: a=1'",
    "--oauth2-bearer token",
];

const CARRIED: &[&str] = &[
    "-L http://me:secret@127.0.0.1:{port}/location/other-host",
    "-L http://me:secret@127.0.0.1:{port}/location/absolute",
    "-L http://me:secret@127.0.0.1:{port}/location/relative",
    "--location-trusted http://me:secret@127.0.0.1:{port}/location/other-host",
    "-L -u you:other {url}/location/user",
    "-L -u you:other {url}/location/user-elsewhere",
    "-L -H 'Host: other.example' {url}/location/other-host",
    "-L -H 'Host: other.example' {url}/location/relative",
    "-L -H 'X-A: 1' {url}/location/other-host",
    "-L -e 'http://from.example/;auto' {url}/location/two-hops",
    "-L -e ';auto' {url}/location/other-host",
    "-L -e http://from.example/ {url}/location/two-hops",
    "-L -e ';auto' http://me:secret@127.0.0.1:{port}/to/302/ok#part",
    "-L --range 0-4 {url}/to/302/206",
    "-L {url}/to/302/ok#part",
    "-L {url}/location/path-and-fragment#own",
    "-L -G -d a=1 {url}/to/302/ok",
    "-L --json {} {url}/to/302/ok",
    "-L --json {} {url}/to/307/ok",
    "-L -d @- {url}/to/307/ok",
    "-L -T - {url}/to/307/ok",
    "-L -d a=1 {url}/to/307/to/302/ok",
    "-L -d a=1 -H 'Content-Type: text/plain' {url}/to/302/ok",
    "-L -d a=1 -H 'Content-Type: text/plain' {url}/to/307/ok",
    "-L -b a=1 {url}/location/cookie",
    "-L -X POST {url}/to/303/ok",
    "-L -I -X GET {url}/to/302/empty",
];
