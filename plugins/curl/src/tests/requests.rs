//! What is sent.

use std::time::Duration;

use blitz_plugin::testing::FakeHost;
use blitz_plugin::web::VersionChoice;

use super::{curl, ok, wire};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\n";

fn sent(line: &str) -> String {
    let mut host = FakeHost::default()
        .answers(ok())
        .input("file", "one\r\ntwo\0\n")
        .input("-", "from stdin\n")
        .input("heads", "X-A: 1\r\n\nX-B: 2\n");
    assert_eq!(curl(line, &mut host), 0, "{line}: {}", host.stderr_text());
    wire(&host.requests[0])
}

#[test]
fn methods_and_bodies_are_curls() {
    let post = |length: usize, body: &str| {
        format!("POST http://h/\nHost: h\nContent-Length: {length}\n{FORM}\n{body}")
    };
    for (line, expected) in [
        ("h", "GET http://h/\nHost: h\n".to_owned()),
        ("--url h:8080/x", "GET http://h:8080/x\nHost: h:8080\n".to_owned()),
        ("-I h", "HEAD http://h/\nHost: h\n".to_owned()),
        ("-X DELETE h", "DELETE http://h/\nHost: h\n".to_owned()),
        ("-X POST h", "POST http://h/\nHost: h\n".to_owned()),
        ("-d a=b h", post(3, "a=b")),
        ("-da h --data b", post(3, "a&b")),
        ("--data-raw @file h", post(5, "@file")),
        ("-d @file h", post(6, "onetwo")),
        ("-d @- h", post(10, "from stdin")),
        ("--data-binary @file h", post(10, "one\r\ntwo\0\n")),
        ("--data-urlencode a=b~c& --data-urlencode =x=y h", post(14, "a=b+c%26&x%3Dy")),
        ("--data-urlencode pl~ain --data-urlencode @file h", post(25, "pl+ain&one%0D%0Atwo%00%0A")),
        ("-G -d a=b -d c h/?q=1#f", "GET http://h/?q=1&a=b&c\nHost: h\n".to_owned()),
        ("-G --data-raw  h/ok", "GET http://h/ok\nHost: h\n".to_owned()),
        (
            "-G --json 1 h",
            "GET http://h/?1\nHost: h\nContent-Type: application/json\nAccept: application/json\n"
                .to_owned(),
        ),
        ("-G -I -d a=b h", "HEAD http://h/?a=b\nHost: h\n".to_owned()),
        ("-X PUT -d x h", post(1, "x").replace("POST", "PUT")),
        (
            "--json {\"a\": --json 1} h -g",
            "POST http://h/\nHost: h\nContent-Type: application/json\nAccept: application/json\n\
             Content-Length: 7\n\n{\"a\":1}"
                .to_owned(),
        ),
        (
            "-T file h/dir/",
            "PUT http://h/dir/file\nHost: h\nContent-Length: 10\n\none\r\ntwo\0\n".to_owned(),
        ),
        ("-T - h/x", "PUT http://h/x\nHost: h\nContent-Length: 11\n\nfrom stdin\n".to_owned()),
    ] {
        assert_eq!(sent(line), expected, "{line}");
    }
}

#[test]
fn headers_are_added_replaced_and_left_out() {
    for (line, expected) in [
        ("-H X-A:~1 -H X-B; -H Accept: h", "Host: h\nX-A: 1\nX-B: \n"),
        ("-H @heads h", "Host: h\nX-A: 1\nX-B: 2\n"),
        ("-H host:~other h", "Host: other\n"),
        ("-H Host: h", ""),
        ("-A mine h", "Host: h\nUser-Agent: mine\n"),
        ("-H user-agent:~x h", "Host: h\nuser-agent: x\n"),
        ("-e http://r h", "Host: h\nReferer: http://r\n"),
        ("-e http://r;auto h", "Host: h\nReferer: http://r\n"),
        ("-e ;auto h", "Host: h\n"),
        ("-b a=b -b c=d h", "Host: h\nCookie: a=b;c=d\n"),
        ("-u me:pw h", "Host: h\nAuthorization: Basic bWU6cHc=\n"),
        ("http://me:p%77@h", "Host: h\nAuthorization: Basic bWU6cHc=\n"),
        ("-u me:pw http://x:y@h", "Host: h\nAuthorization: Basic bWU6cHc=\n"),
        ("--oauth2-bearer T -u me:pw h", "Host: h\nAuthorization: Bearer T\n"),
        ("-u me:pw -H Authorization:~x h", "Host: h\nAuthorization: x\n"),
        ("--range 0-9 h", "Host: h\nRange: bytes=0-9\n"),
        ("--range 5 h", "Host: h\nRange: bytes=5-\n"),
        ("--range x h", "Host: h\nRange: bytes=x\n"),
        ("-H X:~~~a~~ h", "Host: h\nX: a  \n"),
    ] {
        let sent = sent(line);
        assert_eq!(sent.split_once('\n').unwrap().1, expected, "{line}");
    }
    let empty_agent = sent("-A  h");
    assert!(!empty_agent.contains("User-Agent"), "{empty_agent}");
}

#[test]
fn a_form_is_multipart() {
    let sent = sent("-F a=b -F f=@file;type=t/x -F t=<file h");
    let (head, body) = sent.split_once("\n\n").unwrap();
    let boundary = head.rsplit_once("boundary=").unwrap().1;
    let part = |head: &str, content: &str| format!("--{boundary}\r\n{head}\r\n\r\n{content}\r\n");
    let file = "one\r\ntwo\0\n";
    let expected = [
        part("Content-Disposition: form-data; name=\"a\"", "b"),
        part(
            "Content-Disposition: form-data; name=\"f\"; filename=\"file\"\r\nContent-Type: t/x",
            file,
        ),
        part("Content-Disposition: form-data; name=\"t\"", file),
        format!("--{boundary}--\r\n"),
    ]
    .concat();
    assert_eq!(body, expected);
    assert!(head.contains(&format!("Content-Length: {}", expected.len())), "{head}");

    let sent = self::sent("-F =1 -F in=@- h");
    assert!(sent.contains("\r\nContent-Disposition: form-data\r\n\r\n1\r\n"), "{sent}");
    let stdin =
        "Content-Disposition: form-data; name=\"in\"; filename=\"-\"\r\n\r\nfrom stdin\n\r\n";
    assert!(sent.contains(stdin), "{sent}");

    let sent = self::sent("-F a=b -F =c -H content-type:~x/y h");
    let (_, rest) = sent.split_once("Content-Type: x/y; boundary=").unwrap();
    let (boundary, body) = rest.trim_start().split_once('\n').unwrap();
    let expected = [
        format!("--{boundary}\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\nb\r\n"),
        format!("--{boundary}\r\n\r\nc\r\n"),
        format!("--{boundary}--\r\n"),
    ];
    assert_eq!(body.trim_start(), expected.concat());
    assert!(!sent.contains("content-type:"), "{sent}");
    assert!(!self::sent("-F a=b -H content-type: h").to_lowercase().contains("content-type:"));
}

#[test]
fn limits_and_choices_reach_the_host() {
    let mut host = FakeHost::default().answers(ok());
    assert_eq!(curl("-k --http1.1 -m 2.5 --connect-timeout 500ms https://h", &mut host), 0);
    let request = &host.requests[0];
    assert!(!request.verify);
    assert_eq!(request.version, VersionChoice::Http1);
    assert_eq!(request.connect_timeout, Some(Duration::from_millis(500)));
    let left = request.timeout.unwrap();
    assert!(left <= Duration::from_millis(2500) && left > Duration::from_secs(1), "{left:?}");

    let mut host = FakeHost::default().answers(ok());
    assert_eq!(curl("-m 0 --http1.1 --http2 https://h", &mut host), 0);
    assert_eq!(host.requests[0].timeout, None);
    assert_eq!(host.requests[0].version, VersionChoice::Any);
    assert!(host.requests[0].verify);
}
