//! Redirects that do not end, or lead where no redirect may.

use super::case::{Case, case};
use super::pki::Pki;
use super::script::{Script, say};

/// All of them.
#[must_use]
pub fn cases(pki: &Pki) -> Vec<Case> {
    let to = |location: &str| {
        let head =
            format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        Script::answer([say(head)])
    };
    let refused =
        |name, location: &str| case(name, to(location)).with(&["-L"]).fails(1, "not supported");
    let malformed = |name, location: &str| case(name, to(location)).with(&["-L"]).fails(3, "");
    vec![
        case("redirects to itself", to("/"))
            .with(&["-L"])
            .fails(47, "Maximum (50) redirects followed")
            .lasts(10),
        case("a chain of redirects without end", to("x/"))
            .with(&["-L"])
            .fails(47, "Maximum (50)")
            .lasts(10),
        case("redirects to itself, with a lower limit", to("/"))
            .with(&["-L", "--max-redirs", "3"])
            .fails(47, "Maximum (3) redirects followed"),
        case("redirects to itself, without a limit on their number", to("/"))
            .with(&["-L", "--max-redirs", "-1"])
            .times_out("0.5"),
        case("to another port", to("//127.0.0.1:1/"))
            .with(&["-L"])
            .fails(7, "Failed to connect to 127.0.0.1 port 1"),
        // As curl does: a redirect may leave TLS.
        case("from https to http", to("http://127.0.0.1:1/").tls(&pki.good))
            .with(&["-L"])
            .fails(7, "Failed to connect to 127.0.0.1 port 1"),
        refused("from http to ftp", "ftp://127.0.0.1/etc/passwd"),
        refused("from http to file", "file:///etc/passwd"),
        refused("from http to gopher", "gopher://127.0.0.1:1/_x"),
        refused("from http to javascript", "javascript:alert(1)"),
        refused("from http to data", "data:text/plain,hello"),
        case("from https to file", to("file:///etc/passwd").tls(&pki.good))
            .with(&["-L"])
            .fails(1, "not supported"),
        malformed("to half an address", "http://[::1/"),
        malformed("to a port beyond 16 bits", "http://127.0.0.1:99999/"),
        // As curl does: one slash too many is no other URL.
        case("to three slashes", to("http:///nowhere.invalid"))
            .with(&["-L"])
            .fails(6, "nowhere.invalid"),
        case("to a name of 1,000 letters", to(&format!("http://{}/", "x".repeat(1000))))
            .with(&["-L"])
            .fails(6, "")
            .or(3, ""),
        case("not followed", to("javascript:alert(1)")).prints(b""),
    ]
}
