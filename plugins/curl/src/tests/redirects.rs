//! `-L`: which request follows which answer, and what it carries.

use blitz_plugin::testing::FakeHost;

use super::{curl, ok, redirect, wire};

/// The last request after one redirect.
fn followed(line: &str, status: u16, location: &str) -> String {
    let mut host = FakeHost::default()
        .answers(redirect(status, location).piece("not shown"))
        .answers(ok().piece("shown"))
        .input("file", "body");
    assert_eq!(curl(line, &mut host), 0, "{line}: {}", host.stderr_text());
    if !line.contains("-I") {
        assert_eq!(host.stdout_text(), "shown", "{line}");
    }
    wire(&host.requests[1])
}

#[test]
fn the_method_changes_as_in_curl() {
    let table: &[(&str, &[u16], &str)] = &[
        ("-L h", &[301, 302, 303, 307, 308, 300], "GET"),
        ("-L -d x h", &[301, 302, 303], "GET"),
        ("-L -d x h", &[307, 308, 300], "POST+body"),
        ("-L -d x --post301 h", &[301], "POST+body"),
        ("-L -d x --post302 h", &[302], "POST+body"),
        ("-L -d x --post303 h", &[303], "POST+body"),
        ("-L -d x --post301 --post303 h", &[302], "GET"),
        // -X keeps its word, but the body goes by the method that it hides.
        ("-L -d x -X POST h", &[301, 302, 303], "POST"),
        ("-L -d x -X PUT h", &[301, 302, 303], "PUT"),
        ("-L -d x -X PUT h", &[307, 308], "PUT+body"),
        ("-L -T file h", &[303], "GET"),
        ("-L -T file h", &[301, 302, 307, 308], "PUT+body"),
        ("-L -I h", &[301, 302, 303, 307, 308], "HEAD"),
        ("-L -F a=b h", &[302], "GET"),
        ("-L -F a=b h", &[307], "POST+body"),
    ];
    for (line, statuses, expected) in table {
        for &status in *statuses {
            let request = followed(line, status, "/next");
            let method = request.split(' ').next().unwrap();
            let body = if request.contains("\n\n") { "+body" } else { "" };
            assert_eq!(format!("{method}{body}"), *expected, "{line} after {status}");
            let has_length = request.contains("Content-Length");
            assert_eq!(has_length, !body.is_empty(), "{line} after {status}: {request}");
        }
    }
}

#[test]
fn credentials_stay_with_their_origin() {
    let secrets = "-L -u me:pw -b a=b -H X-Other:~1";
    let all = "Authorization: Basic bWU6cHc=\nCookie: a=b\nX-Other: 1\n";
    for (line, location, expected) in [
        ("http://h:80/", "/x", all),
        ("http://h/", "http://H:80/x", all),
        ("http://h/", "http://h:81/x", "X-Other: 1\n"),
        ("http://h/", "https://h/x", "X-Other: 1\n"),
        ("http://h/", "http://h.evil/x", "X-Other: 1\n"),
        ("--location-trusted http://h/", "http://evil/x", all),
        ("http://h/", "http://a:b@other/", "X-Other: 1\n"),
        ("http://h/", "http://a:b@h:81/", "X-Other: 1\n"),
    ] {
        let request = followed(&format!("{secrets} {line}"), 302, location);
        let carried = request.splitn(3, '\n').nth(2).unwrap();
        assert_eq!(carried, expected, "{line} to {location}");
    }
    for name in ["Authorization", "cookie"] {
        let line = format!("-L -H {name}:~secret http://h/");
        assert!(followed(&line, 307, "/x").contains("secret"), "{name}");
        assert!(!followed(&line, 307, "http://other/").contains("secret"), "{name}");
    }
    assert!(followed("-L http://me:pw@h/", 302, "/x").contains("Basic bWU6cHc="));
    assert!(followed("-L http://h/", 302, "http://me:pw@h/x").contains("Basic bWU6cHc="));
    assert!(!followed("-L http://me:pw@h/", 302, "http://other/").contains("Basic"));
    assert!(!followed("-L -H Host:~v h", 302, "http://other/").contains("Host: v"));
}

#[test]
fn a_referer_can_follow() {
    let request = followed("-L -e ;auto http://me:pw@h/a#f", 302, "/x");
    assert!(request.contains("Referer: http://h/a\n"), "{request}");
}

#[test]
fn too_many_redirects_are_an_error() {
    for (line, requests, code) in [
        ("-L --max-redirs 2 h", 3, 47),
        ("-L --max-redirs 0 h", 1, 47),
        ("-L h", 51, 47),
        ("-L --max-redirs -1 h", 60, 0),
        ("h", 1, 0),
    ] {
        let mut host = FakeHost::default();
        for _ in 0..59 {
            host = host.answers(redirect(302, "/again"));
        }
        host = host.answers(ok());
        assert_eq!(curl(line, &mut host), code, "{line}");
        assert_eq!(host.requests.len(), requests, "{line}");
    }
    let mut host = FakeHost::default().answers(redirect(302, "/again"));
    curl("-L --max-redirs 0 h", &mut host);
    assert_eq!(host.stderr_text(), "curl: (47) Maximum (0) redirects followed\n");
}

#[test]
fn schemes_can_be_forbidden() {
    for (line, location, requests, text) in [
        ("--proto =https h", "/", 0, "curl: (1) Protocol \"http\" disabled\n"),
        ("-L --proto =https https://h", "https://h/", 2, ""),
        (
            "-L --proto =https https://h",
            "http://h/",
            1,
            "curl: (1) Protocol \"http\" disabled in redirect\n",
        ),
        ("-L --proto-redir =https h", "/", 1, "curl: (1) Protocol \"http\" disabled in redirect\n"),
        ("-L --proto-redir =https h", "https://h/", 2, ""),
        ("--proto =https --tlsv1.2 -sSf https://h", "http://h/", 1, ""),
    ] {
        let mut host = FakeHost::default().answers(redirect(302, location)).answers(ok());
        assert_eq!(curl(line, &mut host), u8::from(!text.is_empty()), "{line}");
        assert_eq!((host.requests.len(), host.stderr_text().as_str()), (requests, text), "{line}");
    }
}

#[test]
fn an_empty_location_is_none() {
    let mut host = FakeHost::default().answers(redirect(302, " ").piece("page"));
    assert_eq!(curl("-L -w |%{redirect_url}|%{num_redirects} h", &mut host), 0);
    assert_eq!(host.stdout_text(), "page||0");
}

#[test]
fn what_leads_nowhere_is_shown() {
    let mut host = FakeHost::default().answers(redirect(302, "ftp://x/").piece("page"));
    assert_eq!(curl("-w |%{redirect_url} h", &mut host), 0);
    assert_eq!(host.stdout_text(), "page|ftp://x/");
    let mut host = FakeHost::default().answers(redirect(302, "ftp://x/").piece("page"));
    let format = "%{redirect_url}|%{num_redirects}|%{url_effective}|%{time_redirect}";
    assert_eq!(curl(&format!("-L -w {format} h"), &mut host), 1);
    assert_eq!(host.stderr_text(), "curl: (1) Protocol \"ftp\" not supported\n");
    assert_eq!(host.stdout_text(), "|1|ftp://x/|0.006000");
    let mut host = FakeHost::default().answers(redirect(302, "mailto:me@x"));
    assert_eq!(curl("-sL -w %{num_redirects}|%{url_effective} h", &mut host), 1);
    assert_eq!(host.stdout_text(), "1|http://h/");
}
