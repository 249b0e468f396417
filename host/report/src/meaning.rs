//! What an error means for people: its name, its words made readable, and where to look.

use blitz_contract::load::{ErrorKind, First};

use crate::tally::STATUS;
use crate::words::{count, plain};

/// What a check of certificates says in the words of a program, and in those of people.
const CERTIFICATES: [(&str, &str); 10] = [
    ("CaUsedAsEndEntity", "its certificate is that of an authority and not of a server"),
    ("UnknownIssuer", "its certificate was signed by nobody who is trusted here"),
    ("NotValidForName", "its certificate is for another name"),
    ("NotValidYet", "its certificate is not valid yet"),
    ("certificate expired", "its certificate has expired"),
    ("Expired", "its certificate has expired"),
    ("Revoked", "its certificate was revoked"),
    ("BadSignature", "the signature of its certificate is wrong"),
    ("BadEncoding", "its certificate cannot be read"),
    ("UnsupportedSignatureAlgorithm", "its certificate is signed in a way that is not known here"),
];

/// `1 time-out`, `2 time-outs`.
pub(crate) fn named(kind: &str, number: u64) -> String {
    let (one, many) = match kind {
        "connect" => ("failed connection", "failed connections"),
        "tls" => ("failed TLS handshake", "failed TLS handshakes"),
        "timeout" => ("time-out", "time-outs"),
        "closed" => ("closed connection", "closed connections"),
        "parse" => ("answer that is no HTTP", "answers that are no HTTP"),
        "limit" => ("answer that is too large", "answers that are too large"),
        "assert" => ("unexpected status", "unexpected statuses"),
        "extract" => ("missing cookie", "missing cookies"),
        STATUS => ("answer of 4xx or 5xx", "answers of 4xx or 5xx"),
        other => (other, other),
    };
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// What was said of it, in one line for people.
pub(crate) fn words_of(first: &First) -> String {
    let certificate = (first.kind == ErrorKind::Tls).then(|| certificate(&first.text)).flatten();
    match certificate {
        Some(words) => format!("TLS: {words}"),
        None => plain(&first.text).replace("DnsName(\"", "\"").replace("\")", "\""),
    }
}

fn certificate(text: &str) -> Option<&'static str> {
    CERTIFICATES.iter().find(|(word, _)| text.contains(word)).map(|(_, meaning)| *meaning)
}

/// Whether it came to no connection, so that nothing was sent.
pub(crate) fn is_unconnected(first: &First) -> bool {
    let text = first.text.to_ascii_lowercase();
    text.contains("no connection") || text.contains("handshake") || text.contains("tls")
}

/// Where to look.
pub(crate) fn hint(first: &First) -> &'static str {
    let text = first.text.to_ascii_lowercase();
    match first.kind {
        ErrorKind::Connect => "the target refuses connections, or its backlog of them is full",
        ErrorKind::Tls if certificate(&first.text).is_some() || text.contains("certificate") => {
            "-k takes any certificate"
        }
        ErrorKind::Tls => "look at the server's TLS, or at the CPU that handshakes take",
        ErrorKind::Timeout if text.contains("handshake") || text.contains("tls") => {
            "look whether the server speaks TLS at this port, and at the CPU that handshakes take, or give -T more time"
        }
        ErrorKind::Timeout if is_unconnected(first) => {
            "nobody took the connection: look at the address, at firewalls and at the server's backlog, or give -T more time"
        }
        ErrorKind::Timeout => {
            "requests queue somewhere: look at pools of workers and of database connections, or give -T more time"
        }
        ErrorKind::Closed => {
            "the server, or a proxy before it, closes connections under load: look at its limits and its log"
        }
        ErrorKind::Parse if text.contains("answers in http/1") => "leave out --http2",
        ErrorKind::Parse => "the server's answer is no HTTP: look at what it sends",
        ErrorKind::Limit => "the answers are larger than is read here",
        ErrorKind::Assert => {
            "the answer had another status than the expected one: often a proxy that sheds load"
        }
        ErrorKind::Extract => "a cookie that the steps after it need did not come",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_in_the_words_of_people() {
        let mut told = String::new();
        for (kind, text) in [
            (ErrorKind::Tls, "TLS: invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))"),
            (ErrorKind::Tls, "TLS: invalid peer certificate: UnknownIssuer"),
            (
                ErrorKind::Tls,
                "TLS: invalid peer certificate: certificate expired: verification time 9 (UNIX), but certificate is not valid \
                 after 5 (4 seconds ago)",
            ),
            (
                ErrorKind::Tls,
                "TLS: invalid peer certificate: certificate not valid for name \"a\"; certificate is only valid for DnsName(\"b\")",
            ),
            (ErrorKind::Tls, "TLS: invalid peer certificate: NotValidForName"),
            (ErrorKind::Tls, "TLS: received fatal alert: HandshakeFailure"),
            (ErrorKind::Timeout, "no connection within 1000 ms"),
            (
                ErrorKind::Timeout,
                "the server took the connection, and there was no TLS handshake within 1000 ms",
            ),
            (ErrorKind::Timeout, "no answer within 1000 ms"),
            (ErrorKind::Parse, "HTTP/2: the server answers in HTTP/1"),
            (ErrorKind::Parse, "the answer is not HTTP/1"),
        ] {
            let first = First { kind, at_ms: 0, users: 1, text: text.to_owned() };
            told.push_str(&format!("{} ({})\n", words_of(&first), hint(&first)));
        }
        insta::assert_snapshot!(told);
    }
}
