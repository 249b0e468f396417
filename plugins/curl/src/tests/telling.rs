//! `-v`, `-w` and the records.

use blitz_plugin::testing::{CannedAnswer, FakeHost};
use blitz_plugin::web::{Connection, Failure, FailureKind, Phases, Tls, Version};
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
        ("%{http_connect}~%{proxy_used}~%{num_retries}|%{ftp_entry_path}", "000 0 0|"),
        ("%{url.host}~%{url.port}~%{url.fragment}~%{urle.scheme}~%{urle.path}", "h 80 f https /y"),
        ("%{time_posttransfer}", "0.008000"),
        ("a%{onerror}b", "a"),
        ("%{HTTP_Code}~\\\\n~%d", "200 \\\\n %d"),
        ("%{size_request}", "140"),
    ] {
        let mut host =
            FakeHost::default().answers(redirect(302, "https://t/y")).answers(over_tls());
        assert_eq!(curl(&format!("-L -o /dev/null -w {format} h/x#f"), &mut host), 0, "{format}");
        assert_eq!(host.stdout_text(), expected, "{format}");
    }
}

#[test]
fn streams_and_files_are_for_formats_too() {
    let mut host = FakeHost::default().answers(ok()).input("f", "%{http\r\n_code}\\n\n");
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
fn what_was_never_asked_has_its_method() {
    for (line, method) in [("", "GET"), ("-d x", "POST"), ("-X PURGE", "PURGE"), ("-I", "HEAD")] {
        let mut host = FakeHost::default();
        assert_eq!(curl(format!("-s -w %{{method}} --url http:// {line}").trim(), &mut host), 3);
        assert_eq!(host.stdout_text(), method, "{line}");
    }
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
fn headers_come_as_json() {
    let answer = ok().header("Set-Cookie", "a=\"b\"").header("X", "1").header("set-cookie", "c");
    let mut host = FakeHost::default().answers(answer);
    assert_eq!(curl("-w %{header_json} h", &mut host), 0);
    let expected = "{\"set-cookie\":[\"a=\\\"b\\\"\",\"c\"],\n\"x\":[\"1\"]\n}";
    assert_eq!(host.stdout_text(), expected);
}

#[test]
fn a_failure_has_the_times_that_passed() {
    let failure = Failure {
        phases: Phases { dns_us: 1000, connect_us: 3000, tls_us: 3000, ..Phases::default() },
        ..Failure::new(FailureKind::EmptyReply, "Empty reply from server")
    };
    let mut host = FakeHost::default().answers(redirect(302, "/x")).fails(failure);
    let format = "%{time_namelookup}~%{time_connect}~%{time_appconnect}~%{time_starttransfer}";
    assert_eq!(curl(&format!("-sL -w {format} h"), &mut host), 52);
    assert_eq!(host.stdout_text(), "0.002000 0.005000 0.000000 0.008000");
    let transfer = &host.events[2].1;
    assert_eq!((&transfer["hops_count"], &transfer["redirects_count"]), (&json!(2), &json!(1)));
    assert_eq!(
        (&transfer["phases"]["dns_us"], &transfer["phases"]["tls_us"]),
        (&json!(2000), &Value::Null)
    );
    let total = transfer["phases"]["total_us"].as_u64().unwrap();
    assert_eq!(transfer["cumulative"]["total_us"], total, "phases add up to it");
}

#[test]
fn sums_of_times_keep_their_order() {
    for (kind, phases, shown) in [
        (FailureKind::Resolve, Phases::default(), "0.001000 0.002000 0.003000 0.005000"),
        (
            FailureKind::Connect,
            Phases { dns_us: 9000, ..Phases::default() },
            "0.010000 0.011000 0.012000 0.014000",
        ),
        (
            FailureKind::Timeout,
            Phases { dns_us: 1, connect_us: 2, tls_us: 2, sent_us: 9000, first_byte_us: 0 },
            "0.001001 0.002002 0.003002 0.014000",
        ),
    ] {
        let failure = Failure { phases, ..Failure::new(kind, "why") };
        let mut host = FakeHost::default().answers(redirect(302, "/x")).fails(failure.clone());
        let format = "%{time_namelookup}~%{time_connect}~%{time_pretransfer}~%{time_starttransfer}";
        curl(&format!("-sL -w {format} h"), &mut host);
        assert_eq!(host.stdout_text(), shown, "{failure:?}");
    }
}

#[test]
fn a_handshake_that_failed_has_a_verdict() {
    let failed = |remote: bool, verdict: Option<&str>| Failure {
        connection: Box::new(Connection {
            remote: remote.then(|| "192.0.2.1:443".to_owned()),
            tls: verdict.map(|verdict| Tls {
                protocol: String::new(),
                cipher: String::new(),
                alpn: None,
                verdict: verdict.to_owned(),
                certificates: Vec::new(),
            }),
            ..Connection::default()
        }),
        ..Failure::new(FailureKind::Tls, "why")
    };
    for (url, failure, shown) in [
        ("https://h", failed(false, None), "0"),
        ("https://h", failed(true, None), "1"),
        ("h", failed(true, None), "0"),
        ("https://h", failed(true, Some("certificate has expired")), "10"),
    ] {
        let mut host = FakeHost::default().fails(failure.clone());
        curl(&format!("-s -w %{{ssl_verify_result}} {url}"), &mut host);
        assert_eq!(host.stdout_text(), shown, "{url} {failure:?}");
    }
}

#[test]
fn the_answer_before_a_failure_is_told() {
    let late = Failure::new(FailureKind::Timeout, "late");
    let mut host = FakeHost::default().answers(redirect(302, "/x")).fails(late);
    let format = "%{http_code}~%{num_connects}~%{remote_ip}~%{local_port}";
    assert_eq!(curl(&format!("-sL -w {format} h"), &mut host), 28);
    assert_eq!(host.stdout_text(), "302 1 192.0.2.1 40000");
    assert_eq!(host.events[1].1["status"], Value::Null, "but the second hop had none");
    assert_eq!(host.events[2].1["status"], Value::Null);
}

#[test]
fn what_was_sent_is_counted_also_when_no_answer_came() {
    let at = |kind, remote: bool, tls_us| Failure {
        phases: Phases { connect_us: 5, tls_us, ..Phases::default() },
        connection: Box::new(Connection {
            remote: remote.then(|| "192.0.2.1:80".to_owned()),
            ..Connection::default()
        }),
        ..Failure::new(kind, "why")
    };
    for (url, failure, uploaded) in [
        ("h", at(FailureKind::Connect, false, 0), 0),
        ("h", at(FailureKind::Timeout, false, 0), 0),
        ("h", at(FailureKind::Timeout, true, 0), 3),
        ("https://h", at(FailureKind::Timeout, true, 0), 0),
        ("https://h", at(FailureKind::Timeout, true, 9), 3),
        ("https://h", at(FailureKind::Certificate, true, 0), 0),
        ("h", at(FailureKind::EmptyReply, true, 0), 3),
        ("h", at(FailureKind::Receive, true, 0), 3),
    ] {
        let mut host = FakeHost::default().fails(failure.clone());
        curl(&format!("-s -d a=1 -w %{{size_upload}}~%{{size_request}} {url}"), &mut host);
        let (upload, request) =
            host.stdout_text().split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert_eq!(upload, uploaded.to_string(), "{failure:?}");
        assert_eq!(request == "0", uploaded == 0, "{failure:?}");
    }
}

#[test]
fn the_url_has_what_options_add_to_it() {
    for (line, shown) in [
        ("-G -d a=1 h/ok", "http://h/ok?a=1"),
        ("-T f h/", "http://h/f"),
        ("-d a=1 h/ok#x", "h/ok#x"),
    ] {
        let mut host = FakeHost::default().answers(ok()).input("f", "");
        assert_eq!(curl(&format!("-w %{{url}} {line}"), &mut host), 0);
        assert_eq!(host.stdout_text(), shown, "{line}");
    }
    let mut host = FakeHost::default().input("f", "a b");
    assert_eq!(curl("-s -w %{url}|%{url_effective} -G -d @f h", &mut host), 3);
    assert_eq!(host.stdout_text(), "http://h/?a b|http://h/?a b");
}

#[test]
fn the_whole_transfer_has_a_record() {
    let mut host = FakeHost::default().answers(redirect(302, "https://t/y")).answers(over_tls());
    assert_eq!(curl("-sL http://h/x", &mut host), 0);
    let (kind, record) = host.events.last().unwrap();
    assert_eq!(kind, "transfer");
    let expected = json!({
        "url": "https://t/y", "status": 200, "exit": 0, "redirects_count": 1, "hops_count": 2,
        "retries_count": 0, "body_bytes": 4, "body_truncated": false, "remote": "192.0.2.1:80",
        "cert_days": null,
        "phases": {
            "dns_us": 2000, "connect_us": 2000, "tls_us": 1000, "send_us": 3000, "wait_us": 2000,
            "download_us": 2000, "ttfb_us": 11000, "total_us": 12000,
        },
        "cumulative": {
            "namelookup_us": 2000, "connect_us": 4000, "appconnect_us": 3000,
            "pretransfer_us": 6000, "starttransfer_us": 10000, "redirect_us": 6000, "total_us": 12000,
        },
    });
    assert_eq!(*record, expected);
}

#[test]
fn a_waterfall_goes_to_stderr() {
    let mut host = FakeHost::default().answers(redirect(302, "https://t/y")).answers(over_tls());
    assert_eq!(curl("-sL --timing http://h/x", &mut host), 0);
    let expected = "\
302 http://h/x
  dns      |===                                   |       0.00 +      1.00 ms
  connect  |   ===                                |       1.00 +      1.00 ms
  send     |      ======                          |       2.00 +      2.00 ms
  wait     |            ===                       |       4.00 +      1.00 ms
  download |               ====                   |       5.00 +      1.00 ms
200 https://t/y
  dns      |                   ===                |       6.00 +      1.00 ms
  connect  |                      ===             |       7.00 +      1.00 ms
  tls      |                         ===          |       8.00 +      1.00 ms
  send     |                            ===       |       9.00 +      1.00 ms
  wait     |                               ===    |      10.00 +      1.00 ms
  download |                                  ====|      11.00 +      1.00 ms
                                                           total     12.00 ms
";
    assert_eq!(host.stderr_text(), expected);
    assert_eq!(host.stdout_text(), "body");
}

#[test]
fn each_exchange_has_a_record() {
    let mut host = FakeHost::default().answers(redirect(302, "https://t/y")).answers(over_tls());
    assert_eq!(curl("-L http://me:pw@h/x", &mut host), 0);
    let kinds: Vec<&str> = host.events.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["exchange", "exchange", "transfer"]);
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
