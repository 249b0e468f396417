//! TLS and HTTP/2.

pub(super) fn add(lines: &mut Vec<String>) {
    for kind in ["tls", "self-signed", "expired", "not yet", "other name"] {
        for options in ["", "-k", "--cacert ca.pem", "-s -i --cacert ca.pem", "-k -o out -D head"] {
            let space = if options.is_empty() { "" } else { " " };
            lines.push(format!("{kind}: {options}{space}{{url}}/ok"));
        }
    }
    for path in ["ok", "empty", "204", "missing", "moved", "away", "large"] {
        lines.push(format!("h2: -k -i {{url}}/{path}"));
        lines.push(format!("h2: -k -L -s -o out -D head {{url}}/{path}"));
        lines.push(format!("h2c: --http2-prior-knowledge -i {{url}}/{path}"));
    }
    super::take(lines, MORE);
}

const MORE: &[&str] = &[
    "tls: --cacert absent {url}/ok",
    "tls: --cacert text {url}/ok",
    "tls: --cacert ca.pem -L {url}/to/302/ok",
    "tls: --cacert ca.pem -d a=1 {url}/ok",
    "tls: --cacert ca.pem {url}/chunked",
    "tls: --cacert ca.pem {url}/short",
    "tls: --cacert ca.pem {url}/eof",
    "tls: --cacert ca.pem {url}/nothing",
    "tls: --cacert ca.pem {url}/large",
    "tls: --cacert ca.pem https://127.0.0.1:{port}/ok",
    "tls: -k https://127.0.0.1:{port}/ok",
    "tls: -k http://localhost:{port}/ok",
    "tls: -k --http2 -i {url}/ok",
    "tls: -k --http1.1 -i {url}/ok",
    "tls: -k --tlsv1.3 {url}/ok",
    "tls: -k --tlsv1.2 --tls-max 1.2 {url}/ok",
    "tls: --cacert ca.pem --resolve localhost:{port}:127.0.0.1 {url}/ok",
    "tls: --cacert ca.pem --connect-to other.example:443:localhost:{port} https://other.example/ok",
    "tls: -k --connect-to other.example:443:localhost:{port} https://other.example/ok",
    "tls: -k -w '%{scheme} %{http_version} %{ssl_verify_result} %{num_certs}' {url}/ok",
    "self-signed: -k -w '%{ssl_verify_result}' {url}/ok",
    "expired: -k -w '%{ssl_verify_result}' {url}/ok",
    "expired: -s -w '%{ssl_verify_result} %{http_code} %{exitcode}' --cacert ca.pem {url}/ok",
    "other name: -k -w '%{ssl_verify_result}' --cacert ca.pem {url}/ok",
    "h2: -k --http1.1 -i {url}/ok",
    "h2: -k --http2 -i {url}/ok",
    "h2: -k --http2-prior-knowledge -i {url}/ok",
    "h2: -k -I {url}/ok",
    "h2: -k -d a=1 {url}/ok",
    "h2: -k --data-binary @large {url}/ok",
    "h2: -k -T text {url}/ok",
    "h2: -k -F a=1 {url}/ok",
    "h2: -k -H 'X-A: 1' -H 'Connection: close' {url}/ok",
    "h2: -k -H 'Host: other.example' {url}/ok",
    "h2: -k -f {url}/missing",
    "h2: -k -w '%{http_version} %{scheme} %{num_headers} %{size_header}' {url}/ok",
    "h2: -k -b a=1 -b b=2 -u me:secret {url}/ok",
    "h2: {url}/ok",
    "h2c: -m 5 {url}/ok",
    "--http2 -A '' {url}/ok",
];
