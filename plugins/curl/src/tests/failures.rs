//! What goes wrong: curl's codes and words.

use blitz_plugin::testing::FakeHost;
use blitz_plugin::web::{Failure, FailureKind};

use super::{curl, ok};

#[test]
fn failures_of_the_host_become_curls() {
    for (failure, code, expected) in [
        (Failure::new(FailureKind::Denied, "why"), 122, "refused by testing: why"),
        (Failure::new(FailureKind::Limit, "why"), 100, "why"),
        (Failure::new(FailureKind::Url, "why"), 3, "why"),
        (Failure::new(FailureKind::Resolve, "why"), 6, "why"),
        (Failure::new(FailureKind::Connect, "why"), 7, "why"),
        (Failure::new(FailureKind::Timeout, "why"), 28, "why"),
        (Failure::new(FailureKind::Tls, "why"), 35, "why"),
        (Failure::new(FailureKind::Certificate, "why"), 60, "why"),
        (Failure::new(FailureKind::EmptyReply, "why"), 52, "why"),
        (Failure::new(FailureKind::Send, "why"), 55, "why"),
        (Failure::new(FailureKind::Receive, "why"), 56, "why"),
        (Failure::new(FailureKind::Partial, "why"), 18, "why"),
        (Failure::new(FailureKind::Unsupported, "why"), 4, "why"),
        (Failure::new(FailureKind::Protocol, "why"), 1, "why"),
        (Failure::new(FailureKind::Malformed, "why"), 8, "why"),
    ] {
        let mut host = FakeHost::default().fails(failure.clone());
        assert_eq!(curl("http://h:81/", &mut host), code, "{failure:?}");
        assert_eq!(host.stderr_text(), format!("curl: ({code}) {expected}\n"));
        assert_eq!(host.events[0].1["error"]["exit"], code);

        let mut host = FakeHost::default().fails(failure.clone());
        assert_eq!(curl("-s http://h:81/", &mut host), code, "{failure:?}");
        assert_eq!(host.stderr_text(), "", "{failure:?}");
    }
}

#[test]
fn a_body_that_breaks_off_keeps_what_came() {
    let partial = |text: &str| Failure::new(FailureKind::Partial, text);
    let receive = |text: &str| Failure::new(FailureKind::Receive, text);
    let short = "transfer closed with 46 bytes remaining to read";
    let cut = "transfer closed with outstanding read data remaining";
    let reset = "Recv failure: Connection reset by peer";
    for (framing, failure, code, text) in [
        (("Content-Length", "50"), partial(short), 18, short),
        (("Transfer-Encoding", "chunked"), partial(cut), 18, cut),
        (("Content-Length", "50"), receive(reset), 56, reset),
        (("Transfer-Encoding", "chunked"), receive(reset), 56, reset),
        (("Content-Length", ""), receive(reset), 56, reset),
        (("Content-Length", "50"), Failure::new(FailureKind::Timeout, "late"), 28, "late"),
    ] {
        let said = format!("{framing:?} {failure:?}");
        let answer = ok().header(framing.0, framing.1).piece("half").then_fails(failure);
        let mut host = FakeHost::default().answers(answer);
        assert_eq!(curl("h", &mut host), code, "{said}");
        assert_eq!(host.stdout_text(), "half");
        assert_eq!(host.stderr_text(), format!("curl: ({code}) {text}\n"));
    }
}

#[test]
fn time_that_is_used_up_asks_nobody() {
    let mut host = FakeHost::default().answers(ok());
    assert_eq!(curl("-m 0.000000001 h", &mut host), 28);
    assert!(host.requests.is_empty());
    assert!(host.stderr_text().ends_with(" milliseconds with 0 bytes received\n"));
}

#[test]
fn command_lines_that_cannot_be_carried_out_are_refused() {
    for (line, text) in [
        ("-s", "no URL specified"),
        ("h i", "unexpected argument \"i\""),
        ("h --url i", "more than one URL is not supported: \"i\"; run one command for each"),
        ("-c jar h", "option -c is not supported"),
        (
            "-O h",
            "option -O is not supported: the command line must name the file that is written; give -o FILE",
        ),
        (
            "-x http://p/ h",
            "option --proxy is not supported: engines use no proxies, a request leaves from the region \
             that you name; --connect-to sends it to another host",
        ),
        (
            "-p 1-100:60 h",
            "option -p: in blitz curl -p is curl's (proxytunnel), which is not supported; \
             load patterns: blitz rush -p",
        ),
        (
            "-p h",
            "option -p: in blitz curl -p is curl's (proxytunnel), which is not supported; \
             load patterns: blitz rush -p",
        ),
        (
            "-0 h",
            "option --http1.0 is not supported: engines speak HTTP/1.1 and later; give --http1.1",
        ),
        ("--status 42 h", "option --status: \"42\" is not a status, 100 to 999"),
        ("--retry 1.5 h", "option --retry: \"1.5\" is not a count of retries"),
        ("--max-filesize 1x h", "option --max-filesize: \"1x\" is not a size (500, 10k, 2M, 1G)"),
        ("--body-limit k h", "option --body-limit: \"k\" is not a size (500, 10k, 2M, 1G)"),
        ("--digest h", "option --digest is not supported"),
        ("-b jar h", "option -b: cookie files are not supported; give 'NAME=VALUE'"),
        ("-u me h", "option -u: give NAME:PASSWORD; nobody can be asked for a password here"),
        (
            "-d x -I h",
            "you can only select one HTTP request method, and asked for both HEAD (-I, --head) \
             and POST (-d, --data)",
        ),
        (
            "-d x -F a=b h",
            "you can only select one HTTP request method, and asked for both POST (-d, --data) \
             and multipart formpost (-F, --form)",
        ),
        ("-f --fail-with-body h", "--fail and --fail-with-body exclude each other: give one"),
        ("-X A/B h", "option -X: \"A/B\" is not a method"),
        (
            "-H plain h",
            "option -H: \"plain\" is not a header; give 'Name: value', 'Name;' or 'Name:'",
        ),
        ("--max-redirs 1.5 -L h", "option --max-redirs: \"1.5\" is not a count, nor -1"),
        (
            "h/{a,b}",
            "ranges and sets in a URL are not supported: \"h/{a,b}\"; -g takes the brackets literally",
        ),
        (
            "--data-urlencode a@b h",
            "option --data-urlencode: NAME@FILE is not supported: \"a@b\"; \
             give NAME=TEXT, @FILE, or =TEXT for a text with @",
        ),
    ] {
        let mut host = FakeHost::default();
        assert_eq!(curl(line, &mut host), 2, "{line}");
        assert_eq!(host.stderr_text(), format!("curl: {text}\ntry 'blitz help curl'\n"), "{line}");
        assert!(host.requests.is_empty(), "{line}");
    }
}

#[test]
fn nothing_is_sent_when_the_url_or_a_file_is_missing() {
    for (line, code, text) in [
        ("http://", 3, "URL rejected: No host part in the URL"),
        ("ftp://h/", 1, "Protocol \"ftp\" not supported"),
        ("-G -d a~b h", 3, "URL rejected: Malformed input to a URL function"),
        (
            "-d @gone h",
            26,
            "Failed to open/read local data from gone: \"gone\" did not come with the job",
        ),
        (
            "-F f=@gone h",
            26,
            "Failed to open/read local data from gone: \"gone\" did not come with the job",
        ),
    ] {
        let mut host = FakeHost::default();
        assert_eq!(curl(line, &mut host), code, "{line}");
        assert_eq!(host.stderr_text(), format!("curl: ({code}) {text}\n"), "{line}");
        assert!(host.requests.is_empty() && host.events.is_empty(), "{line}");
    }
}
