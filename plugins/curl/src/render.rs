//! How an exchange looks: the head of an answer for `-i` and `-D`, and the conversation for `-v`.

use blitz_plugin::secret::{in_header, masked_url};
use blitz_plugin::web::{Answer, Connection, Request, Version};

use crate::tls;
use crate::url::Url;

/// The head of an answer as HTTP/1 writes it, with the empty line at its end.
pub(crate) fn head(answer: &Answer) -> Vec<u8> {
    let mut head = status_line(answer);
    head.extend_from_slice(b"\r\n");
    for (name, value) in &answer.headers {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Everything that was said up to the end of the answer's head.
pub(crate) fn conversation(
    url: &Url,
    way: &Connection,
    request: &Request,
    answer: &Answer,
) -> String {
    let mut said = connection(url, way, true);
    let mut line = |text: &str| {
        said.push_str(text);
        said.push('\n');
    };
    let protocol = match answer.version {
        Version::Http2 => "2",
        Version::Http3 => "3",
        Version::Http10 | Version::Http11 => "1.1",
    };
    line(&format!("> {} {} HTTP/{protocol}", request.method, url.target()));
    for (name, value) in &request.headers {
        line(&format!("> {name}: {}", shown(name, value)));
    }
    line("> ");
    if let Some(body) = request.body.as_ref().filter(|body| !body.is_empty()) {
        line(&format!("* upload completely sent off: {} bytes", body.len()));
    }
    line(&format!("< {}", String::from_utf8_lossy(&status_line(answer))));
    for (name, value) in &answer.headers {
        line(&format!("< {name}: {}", String::from_utf8_lossy(value)));
    }
    line("< ");
    said
}

/// `HTTP/1.1 200 OK`; HTTP/2 has no reason phrase but keeps the space, as in curl.
fn status_line(answer: &Answer) -> Vec<u8> {
    let mut line = format!("HTTP/{} {} ", answer.version, answer.status).into_bytes();
    line.extend_from_slice(&answer.reason);
    line
}

/// The way to a server, as far as it was gone; empty when no connection was made.
///
/// `goes_on` where a request followed.
pub(crate) fn connection(url: &Url, connection: &Connection, goes_on: bool) -> String {
    let Some(remote) = &connection.remote else { return String::new() };
    let (address, port) = address_and_port(remote);
    let mut said = format!("* Connected to {} ({address}) port {port}\n", url.host);
    if let Some(tls) = &connection.tls {
        said.push_str(&tls::verbose(tls, goes_on));
    }
    said
}

/// Splits `address:port`; an IPv6 address loses its brackets.
pub(crate) fn address_and_port(peer: &str) -> (&str, &str) {
    let (address, port) = peer.rsplit_once(':').unwrap_or((peer, ""));
    let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']'));
    (bare.unwrap_or(address), port)
}

/// A header's value for `-v`. What a job prints is stored: credentials are left out of it.
fn shown(name: &str, value: &[u8]) -> String {
    const HIDDEN: &str = "[hidden]";
    let value = String::from_utf8_lossy(value);
    if name.eq_ignore_ascii_case("authorization") {
        let scheme = value.split_once(' ').map_or("", |(scheme, _)| scheme);
        return format!("{scheme} {HIDDEN}").trim_start().to_owned();
    }
    // Whatever was sealed on its way here is not printed either.
    if in_header(&format!("{name}: {value}")).is_some() {
        return HIDDEN.to_owned();
    }
    if name.eq_ignore_ascii_case("referer") {
        return masked_url(&value);
    }
    value.into_owned()
}
