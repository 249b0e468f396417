//! `-v`, `-w` and the records.

use blitz_plugin::testing::{CannedAnswer, FakeHost};
use blitz_plugin::web::{Failure, FailureKind, Phases, Tls, Version};
use serde_json::{Value, json};

use super::{curl, ok, redirect};

fn over_tls() -> CannedAnswer {
    let mut answer = CannedAnswer::new(200, "").header("content-type", "text/plain").piece("body");
    answer.version = Version::Http2;
    answer.tls = Some(Tls {
        protocol: "TLSv1.3".to_owned(),
        cipher: "TLS13_AES_256_GCM_SHA384".to_owned(),
        alpn: Some("h2".to_owned()),
        verdict: "ok".to_owned(),
        certificates: vec![vec![1], vec![2]],
    });
    answer
}

#[test]
fn a_conversation_reads_as_in_curl_but_without_secrets() {
    let mut host = FakeHost::default().answers(redirect(307, "https://t/")).answers(over_tls());
    let line = "-v -L -u me:pw -b a=secret -A agent -d data http://h/x";
    assert_eq!(curl(line, &mut host), 0);
    let expected = "\
* Connected to h (192.0.2.1) port 80
> POST /x HTTP/1.1
> Host: h
> Authorization: Basic [hidden]
> User-Agent: agent
> Accept: */*
> Cookie: [hidden]
> Content-Length: 4
> Content-Type: application/x-www-form-urlencoded
>\u{20}
* upload completely sent off: 4 bytes
< HTTP/1.1 307 Go
< Location: https://t/
<\u{20}
* Closing connection
* Issue another request to this URL: 'https://t/'
* Connected to t (192.0.2.1) port 80
* SSL connection using TLSv1.3 / TLS13_AES_256_GCM_SHA384
* ALPN: server accepted h2
*  SSL certificate verify ok.
> POST / HTTP/2
> Host: t
> User-Agent: agent
> Accept: */*
> Content-Length: 4
> Content-Type: application/x-www-form-urlencoded
>\u{20}
* upload completely sent off: 4 bytes
< HTTP/2 200\u{20}
< content-type: text/plain
<\u{20}
* 4 bytes received
* Closing connection
";
    assert_eq!(host.stderr_text(), expected);
    assert_eq!(host.stdout_text(), "body");
}

#[test]
fn variables_have_curls_values() {
    for (format, expected) in [
        ("%{http_code}~%{response_code}", "200 200"),
        ("%{time_namelookup}~%{time_connect}~%{time_appconnect}", "0.002000 0.004000 0.003000"),
        ("%{time_pretransfer}~%{time_starttransfer}", "0.006000 0.010000"),
        ("%{time_redirect}~%{time_total}", "0.006000 0.012000"),
        ("%{num_redirects}~%{num_headers}~%{num_certs}", "1 1 2"),
        ("%{size_download}~%{size_upload}~%{size_header}", "4 0 83"),
        ("%{url}~%{url_effective}~%{redirect_url}|", "h/x#f https://t/y |"),
        (
            "%{remote_ip}~%{remote_port}~%{local_ip}~%{local_port}",
            "192.0.2.1 80 198.51.100.7 40000",
        ),
        ("%{http_version}~%{scheme}~%{method}", "2 https GET"),
        ("%{content_type}~%header{Content-Type}~%header{x}", "text/plain text/plain "),
        ("%{exitcode}~%{errormsg}|%%\\n", "0 |%\n"),
        ("%{ssl_verify_result}~%{num_connects}", "0 2"),
        ("a%{onerror}b", "a"),
    ] {
        let mut host =
            FakeHost::default().answers(redirect(302, "https://t/y")).answers(over_tls());
        assert_eq!(curl(&format!("-L -o /dev/null -w {format} h/x#f"), &mut host), 0, "{format}");
        assert_eq!(host.stdout_text(), expected, "{format}");
    }
}

#[test]
fn streams_and_files_are_for_formats_too() {
    let mut host = FakeHost::default().answers(ok()).input("f", "%{http_code}\\n");
    assert_eq!(curl("-w @f h", &mut host), 0);
    assert_eq!(host.stdout_text(), "200\n");

    let mut host = FakeHost::default().answers(ok());
    assert_eq!(curl("-w a%{stderr}b%{stdout}c%{nope} h", &mut host), 0);
    assert_eq!(host.stdout_text(), "ac");
    assert_eq!(host.stderr_text(), "bcurl: unknown --write-out variable: 'nope'\n");
}

#[test]
fn a_failure_can_be_written_out() {
    let mut host =
        FakeHost::default().fails(Failure::new(FailureKind::Resolve, "Could not resolve host: h"));
    let code = curl("-s -w %{exitcode}|%{errormsg}|%{http_code}|%{onerror}! h", &mut host);
    assert_eq!(code, 6);
    assert_eq!(host.stdout_text(), "6|Could not resolve host: h|000|!");
}

#[test]
fn all_variables_come_as_json() {
    let mut host = FakeHost::default().answers(over_tls());
    assert_eq!(curl("-o /dev/null -w %{json} https://h/", &mut host), 0);
    let all: Value = serde_json::from_slice(&host.stdout.bytes).unwrap();
    for (name, value) in [
        ("http_code", json!(200)),
        ("http_version", json!("2")),
        ("time_total", json!(0.006)),
        ("remote_port", json!(80)),
        ("errormsg", Value::Null),
        ("filename_effective", json!("/dev/null")),
    ] {
        assert_eq!(all[name], value, "{name}");
    }
}

#[test]
fn each_exchange_has_a_record() {
    let mut host = FakeHost::default().answers(redirect(302, "https://t/y")).answers(over_tls());
    assert_eq!(curl("-L http://me:pw@h/x", &mut host), 0);
    let kinds: Vec<&str> = host.events.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["exchange", "exchange"]);
    let phases = json!({
        "dns_us": 1000, "connect_us": 1000, "tls_us": 1000, "send_us": 1000, "wait_us": 1000,
        "download_us": 1000, "total_us": 6000,
    });
    let (first, last) = (&host.events[0].1, &host.events[1].1);
    assert_eq!(first["url"], "http://h/x");
    assert_eq!((&first["status"], &first["redirect_url"]), (&json!(302), &json!("https://t/y")));
    assert_eq!(first["tls"], Value::Null);
    assert_eq!(last["phases"], phases);
    assert_eq!(last["body_bytes"], 4);
    assert_eq!(last["http_version"], "2");
    assert_eq!(last["tls"]["certificates_count"], 2);
    assert_eq!(last["remote"], "192.0.2.1:80");
}

#[test]
fn phases_that_run_backwards_do_not_break_a_record() {
    let mut answer = ok();
    answer.phases = Phases { dns_us: 9, connect_us: 1, ..Phases::default() };
    let mut host = FakeHost::default().answers(answer);
    assert_eq!(curl("h", &mut host), 0);
    assert_eq!(host.events[0].1["phases"]["connect_us"], 0);
}
