//! Which way a request goes.

use blitz_plugin::testing::FakeHost;
use blitz_plugin::web::{Family, Request, VersionChoice};

use super::{curl, ok, redirect};

const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

fn asked(line: &str) -> Request {
    let mut host = FakeHost::default().answers(ok()).input("roots", PEM);
    assert_eq!(curl(line, &mut host), 0, "{line}: {}", host.stderr_text());
    host.requests.remove(0)
}

#[test]
fn options_choose_the_way() {
    let request = asked("--resolve h:443:192.0.2.1 --resolver 192.0.2.53 https://h/");
    assert_eq!(request.addresses, ["192.0.2.1"]);
    assert_eq!(request.resolver.as_deref(), Some("192.0.2.53"));
    assert_eq!((request.connect_to, request.roots, request.family), (None, None, Family::Any));

    let request = asked("--connect-to h::other:81 --resolve *:81:192.0.2.9 --cacert roots h");
    assert_eq!(request.connect_to, Some(("other".to_owned(), 81)));
    assert_eq!(
        (request.addresses, request.url.as_str()),
        (vec!["192.0.2.9".to_owned()], "http://h/")
    );
    assert_eq!(request.roots.as_deref(), Some(PEM.as_bytes()));
}

#[test]
fn the_last_family_and_version_count() {
    for (line, family, version) in [
        ("h", Family::Any, VersionChoice::Any),
        ("-4 h", Family::Ipv4, VersionChoice::Any),
        ("-4 --ipv6 --http2 h", Family::Ipv6, VersionChoice::Any),
        ("-64 --http3 --http1.1 h", Family::Ipv4, VersionChoice::Http1),
        ("--http2-prior-knowledge h", Family::Any, VersionChoice::Http2),
        ("--http1.1 --http3 h", Family::Any, VersionChoice::Http3),
        ("--http3-only h", Family::Any, VersionChoice::Http3),
    ] {
        let request = asked(line);
        assert_eq!((request.family, request.version), (family, version), "{line}");
    }
}

#[test]
fn an_address_of_the_other_family_is_not_connected_to() {
    for (line, port) in [
        ("-6 127.0.0.1", 80),
        ("-6 https://127.1", 443),
        ("-4 [::1]:8", 8),
        ("-6 --connect-to ::127.0.0.1:9 h", 9),
        ("-4 --connect-to ::[::1]:9 h", 9),
    ] {
        let mut host = FakeHost::default().answers(ok());
        assert_eq!(curl(line, &mut host), 7, "{line}");
        let said = host.stderr_text();
        assert!(said.contains(&format!(" port {port}: it is of the other family")), "{said}");
    }
    for line in ["-4 127.0.0.1", "-6 [::1]", "-6 h", "-6 --resolve 127.0.0.1:80:::1 127.0.0.1"] {
        assert_eq!(curl(line, &mut FakeHost::default().answers(ok())), 0, "{line}");
    }
}

#[test]
fn a_redirect_has_its_own_way() {
    let mut host = FakeHost::default().answers(redirect(302, "http://b/")).answers(ok());
    assert_eq!(curl("-L --resolve a:80:192.0.2.1 --connect-to b::c: a", &mut host), 0);
    assert_eq!(host.requests[0].addresses, ["192.0.2.1"]);
    assert!(host.requests[1].addresses.is_empty());
    assert_eq!(host.requests[1].connect_to, Some(("c".to_owned(), 80)));
}

#[test]
fn a_way_that_makes_no_sense_is_not_gone() {
    for (line, code, text) in [
        ("--resolve x h", 49, "Couldn't parse CURLOPT_RESOLVE entry 'x'"),
        ("--connect-to ::o:x h", 49, "No valid port number in connect to host string (x)"),
        ("--cacert gone h", 77, "error setting certificate file: gone"),
        ("--cacert text h", 77, "error setting certificate file: text"),
    ] {
        let mut host = FakeHost::default().input("text", "no certificates");
        assert_eq!(curl(line, &mut host), code, "{line}");
        assert_eq!(host.stderr_text(), format!("curl: ({code}) {text}\n"), "{line}");
        assert!(host.requests.is_empty(), "{line}");
    }
}

#[test]
fn what_scripts_have_changes_nothing() {
    let line = "-N -# -q --no-progress-meter --progress-bar --tcp-nodelay --no-keepalive \
                --no-sessionid --fail-early --suppress-connect-headers h";
    assert_eq!(asked(line), asked("h"));
}
