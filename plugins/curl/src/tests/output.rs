//! Where heads and bodies go.

use blitz_plugin::testing::{CannedAnswer, FakeHost};

use super::{curl, ok, redirect};

#[test]
fn a_body_is_shown_as_it_arrives() {
    let bytes: Vec<u8> = (0..=255).collect();
    let mut host =
        FakeHost::default().answers(ok().piece(bytes.clone()).piece("tail\n").piece("x"));
    assert_eq!(curl("h", &mut host), 0);
    assert_eq!(host.stdout.bytes, [&bytes[..], b"tail\nx"].concat());
    assert_eq!(host.stdout.flushed_at, [256, 261, 262]);
    assert_eq!(host.stderr_text(), "");
}

#[test]
fn heads_and_bodies_go_where_the_options_say() {
    const HOP: &str = "HTTP/1.1 302 Go\r\nLocation: /x\r\n\r\n";
    const END: &str = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
    let none: &[(&str, &str)] = &[];
    for (line, stdout, files) in [
        ("h -L", "body".to_owned(), none),
        ("h -L -i", format!("{HOP}{END}body"), none),
        ("h -L -I", format!("{HOP}{END}"), none),
        ("h -L -o f", String::new(), &[("f", "body")]),
        ("h -L -o -", "body".to_owned(), none),
        ("h -L -o /dev/null", String::new(), none),
        ("h -L -D -", format!("{HOP}{END}body"), none),
        ("h -L -D heads", "body".to_owned(), &[("heads", &[HOP, END].concat())]),
        ("h -L -i -o f", String::new(), &[("f", &[HOP, END, "body"].concat())]),
        ("h -L -D d -o f", String::new(), &[("d", &[HOP, END].concat()), ("f", "body")]),
    ] {
        let mut host = FakeHost::default()
            .answers(redirect(302, "/x"))
            .answers(ok().header("A", "b").piece("bo").piece("dy"));
        assert_eq!(curl(line, &mut host), 0, "{line}");
        assert_eq!(host.stdout_text(), stdout, "{line}");
        let written: Vec<(&str, &str)> = host
            .outputs
            .iter()
            .map(|(name, bytes)| (name.as_str(), std::str::from_utf8(bytes).unwrap()))
            .collect();
        assert_eq!(written, files, "{line}");
    }
}

#[test]
fn an_empty_body_makes_an_empty_file() {
    let mut host = FakeHost::default().answers(ok());
    assert_eq!(curl("h -o f", &mut host), 0);
    assert_eq!(host.outputs["f"], b"");
    let mut host = FakeHost::default().answers(CannedAnswer::new(304, "Not Modified"));
    assert_eq!(curl("h -o f", &mut host), 0);
    assert!(host.outputs.is_empty(), "what is there stays");
    let mut host = FakeHost::default();
    assert_eq!(curl("h -o f -D d", &mut host), 7);
    assert_eq!(Vec::from_iter(host.outputs.keys()), ["d"]);
}

#[test]
fn a_failed_status_is_a_failure_for_those_who_ask() {
    let answer = || CannedAnswer::new(404, "Not Found").piece("page");
    let text = "curl: (22) The requested URL returned error: 404\n";
    let head = "HTTP/1.1 404 Not Found\r\n\r\n";
    for (line, code, stdout, stderr) in [
        ("h", 0, "page".to_owned(), ""),
        ("-f h", 22, String::new(), text),
        ("-fi h", 22, head.to_owned(), text),
        ("-fs h", 22, String::new(), ""),
        ("-fsS h", 22, String::new(), text),
        ("--fail-with-body h", 22, "page".to_owned(), text),
    ] {
        let mut host = FakeHost::default().answers(answer());
        assert_eq!(curl(line, &mut host), code, "{line}");
        assert_eq!(host.stdout_text(), stdout, "{line}");
        assert_eq!(host.stderr_text(), stderr, "{line}");
    }
    let mut host = FakeHost::default().answers(CannedAnswer::new(399, "Odd").piece("page"));
    assert_eq!(curl("-f h", &mut host), 0);
}

#[test]
fn a_closed_stdout_ends_the_transfer() {
    let mut host = FakeHost::default().answers(ok().piece("x"));
    host.stdout.is_closed = true;
    assert_eq!(curl("h", &mut host), 23);
    assert!(host.stderr_text().starts_with("curl: (23) Failure writing output"));
}
