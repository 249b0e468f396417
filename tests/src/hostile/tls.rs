//! Handshakes that are none, certificates that are not to be trusted, and connections that break inside TLS.

use super::case::{Case, case};
use super::http1::noise;
use super::pki::{Identity, Pki};
use super::script::{Door, Script, Step, for_ever, say};

/// Inside the first message of the server.
const INSIDE_SERVER_HELLO: usize = 40;
/// Inside its encrypted part, the certificate.
const INSIDE_CERTIFICATE: usize = 300;

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// All of them.
#[must_use]
pub fn cases(pki: &Pki) -> Vec<Case> {
    [garbage(), certificates(pki), breaks(pki)].concat()
}

/// What a server says in place of its handshake.
fn hello(name: &'static str, steps: Vec<Step>) -> Case {
    let mut case = case(name, Script::raw([Step::HearSome].into_iter().chain(steps)));
    case.scheme = "https";
    case.fails(35, "")
}

/// A record of TLS 1.2 and 1.3.
fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("a record that fits");
    [&[kind, 3, 3][..], &length.to_be_bytes(), payload].concat()
}

fn garbage() -> Vec<Case> {
    const ALERT: u8 = 21;
    const HANDSHAKE: u8 = 22;
    const CHANGE_CIPHER_SPEC: u8 = 20;
    const WARNING: u8 = 1;
    const FATAL: u8 = 2;
    let server_hello_of_16_mib = [2, 0xff, 0xff, 0xff];
    vec![
        hello("plain HTTP on a port of TLS", vec![say("HTTP/1.1 400 Bad Request\r\n\r\n")]),
        hello("a mail server on a port of TLS", vec![say("220 mail.example ESMTP\r\n")]),
        hello("random bytes", vec![say(noise(4096))]),
        hello("random bytes without end", vec![for_ever(noise(65_536))]),
        hello("zeros without end", vec![for_ever([0; 1024])]),
        hello("an alert", vec![say(record(ALERT, &[FATAL, 40]))]).fails(35, "andshake"),
        hello("an alert about the name", vec![say(record(ALERT, &[FATAL, 112]))]),
        hello("warnings without end", vec![for_ever(record(ALERT, &[WARNING, 90]))]),
        hello("empty records without end", vec![for_ever(record(HANDSHAKE, &[]))]),
        hello("a change of cipher without end", vec![for_ever(record(CHANGE_CIPHER_SPEC, &[1]))]),
        hello("a record beyond 16 KiB", vec![say([22, 3, 3, 0xff, 0xff]), for_ever([0; 1024])]),
        hello(
            "a message of 16 MiB",
            vec![
                say(record(HANDSHAKE, &server_hello_of_16_mib)),
                for_ever(record(HANDSHAKE, &[0; 1024])),
            ],
        ),
        hello("the client's own hello", vec![say(record(HANDSHAKE, &[1, 0, 0, 2, 3, 3]))]),
        hello("nothing for ever", vec![Step::Hang])
            .times_out("0.5")
            .fails(28, "SSL connection timed out"),
        hello("nothing for ever, with a limit on connecting", vec![Step::Hang])
            .with(&["--connect-timeout", "0.5"])
            .fails(28, "SSL connection timed out")
            .lasts(1),
        hello("nothing for ever, without a limit", vec![Step::Hang]).outlasts_its_job(),
        hello("half a record for ever", vec![say([22, 3, 3, 0x10, 0, 2]), Step::Hang])
            .times_out("0.5")
            .fails(28, "SSL connection timed out"),
        hello("a close", vec![]),
        {
            let mut reset = hello("a reset", vec![]);
            reset.script = reset.script.reset();
            reset
        },
    ]
}

fn certificates(pki: &Pki) -> Vec<Case> {
    let shown = |name, identity: &Identity| case(name, Script::answer([say(ANSWER)]).tls(identity));
    let refused = |name, identity, says| shown(name, identity).fails(60, says);
    // The largest handshake message that rustls takes.
    let too_large = |name, identity| shown(name, identity).fails(35, "64 KiB").or(100, "64 KiB");
    let ignored = |name, identity| shown(name, identity).with(&["-k"]).prints(b"ok");
    vec![
        shown("a good certificate", &pki.good).prints(b"ok"),
        shown("a good certificate, and HTTP/1 where HTTP/2 was agreed on", &pki.http2)
            .fails(1, "")
            .or(16, "")
            .or(56, ""),
        shown("5,000 session tickets", &pki.generous).fails(35, "TLS").or(0, ""),
        refused("expired", &pki.expired, "certificate has expired"),
        refused("not valid yet", &pki.early, "certificate is not yet valid"),
        refused(
            "for another name",
            &pki.misnamed,
            "subject name matches target host name '127.0.0.1'",
        ),
        refused("signed by itself", &pki.self_signed, "self-signed certificate"),
        refused("of an unknown authority", &pki.unknown, "unable to get local issuer certificate"),
        refused("too many authorities in a row", &pki.deep_chain, "certificate"),
        ignored("expired, with -k", &pki.expired),
        ignored("for another name, with -k", &pki.misnamed),
        ignored("signed by itself, with -k", &pki.self_signed),
        ignored("too many authorities in a row, with -k", &pki.deep_chain),
        too_large("200 needless certificates", &pki.long_chain),
        too_large("200 needless certificates, with -k", &pki.long_chain).with(&["-k"]),
        too_large("a certificate with 20,000 names", &pki.huge),
        too_large("a certificate with 20,000 names, with -k", &pki.huge).with(&["-k"]),
    ]
}

fn breaks(pki: &Pki) -> Vec<Case> {
    let cut = |name, bytes, script: Script| {
        let mut script = script;
        script.door = Door::TlsCut(pki.good.clone(), bytes);
        case(name, script)
    };
    let secure = |script: Script| script.tls(&pki.good);
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.";
    vec![
        cut("a reset inside the server's hello", INSIDE_SERVER_HELLO, Script::raw([]).reset())
            .fails(35, ""),
        cut("a reset inside the certificate", INSIDE_CERTIFICATE, Script::raw([]).reset())
            .fails(35, ""),
        cut("a close inside the certificate", INSIDE_CERTIFICATE, Script::raw([])).fails(35, ""),
        cut("silence inside the certificate", INSIDE_CERTIFICATE, Script::raw([Step::Hang]))
            .times_out("0.5")
            .fails(28, "SSL connection timed out"),
        case("a reset behind the handshake", secure(Script::raw([say("")]).reset()))
            .fails(56, "")
            .or(52, ""),
        case("a reset inside the head", secure(Script::answer([say("HTTP/1.1 20")]).reset()))
            .fails(56, "reset by peer"),
        case("a reset inside the body", secure(Script::answer([say(head)]).reset()))
            .fails(56, "reset by peer"),
        case("silence behind the handshake", secure(Script::raw([Step::Hang]))).times_out("0.5"),
        case(
            "a body without end",
            secure(Script::answer([say("HTTP/1.1 200 OK\r\n\r\n"), for_ever("x")])),
        )
        .with(&["-o", "/dev/null"])
        .times_out("0.5"),
        case(
            "fields without end",
            secure(Script::answer([say("HTTP/1.1 200 OK\r\n"), for_ever("a: b\r\n")])),
        )
        .fails(100, super::http1::HEAD_LIMIT),
    ]
}
