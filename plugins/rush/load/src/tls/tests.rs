//! Against rustls's own server half, through buffers and over loopback.

pub(crate) mod cost;

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use blitz_contract::load::work::{Pinned, Work};
use blitz_contract::load::{ErrorKind, Origin, Plan, Share};
use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ServerConfig, ServerConnection, SupportedProtocolVersion};
use serde_json::json;

use super::{Session, Tls};
use crate::failure::Failure;

/// A server for `localhost`, and the root that trusts it.
pub(crate) fn identity(
    alpn: &[&str],
    versions: &[&'static SupportedProtocolVersion],
) -> (ServerConfig, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let root = BASE64_STANDARD.encode(&certificate);
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], private)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    (config, root)
}

/// What a worker is told for one target.
pub(crate) fn work(
    url: &str,
    version: &str,
    verify: bool,
    resume: bool,
    roots: Vec<String>,
) -> Work {
    let plan = json!({"steps": [{"method": "GET", "url": url, "timeout_ms": 1000}], "version": version, "verify": verify,
        "resume": resume, "shape": {"users": {"segments": [{"from": 1.0, "to": 1.0, "duration_ms": 1000}]}}});
    let plan = Plan::from_json(&plan.to_string()).unwrap();
    let targets = plan
        .origins()
        .into_iter()
        .map(|origin: Origin| Pinned { origin, addresses: Vec::new() })
        .collect();
    let sources = Vec::new();
    Work {
        plan,
        share: Share::WHOLE,
        targets,
        sources,
        connections_max: 10,
        connects_per_s: 10,
        roots,
    }
}

fn server(config: &Arc<ServerConfig>) -> ServerConnection {
    ServerConnection::new(Arc::clone(config)).unwrap()
}

/// Both ends, and what lies between them.
struct Wire {
    client: Box<Session>,
    server: ServerConnection,
    came: Vec<u8>,
    heard: Vec<u8>,
}

impl Wire {
    fn new(client: Box<Session>, server: ServerConnection) -> Self {
        Self { client, server, came: Vec::new(), heard: Vec::new() }
    }

    /// Carries everything over, in pieces of this size, until nothing moves; errors of the server are its own.
    fn carry(&mut self, piece: usize) -> Result<(), Failure> {
        loop {
            let to_server = self.client.taken();
            let mut rest = &to_server[..];
            while !rest.is_empty() {
                self.server.read_tls(&mut rest).unwrap();
                if self.server.process_new_packets().is_err() {
                    break;
                }
                let mut some = [0; 32 << 10];
                while let Ok(length) = self.server.reader().read(&mut some) {
                    self.heard.extend_from_slice(&some[..length]);
                    if length == 0 {
                        break;
                    }
                }
            }
            let mut to_client = Vec::new();
            while self.server.wants_write() {
                self.server.write_tls(&mut to_client).unwrap();
            }
            if to_server.is_empty() && to_client.is_empty() {
                return Ok(());
            }
            for piece in to_client.chunks_mut(piece) {
                self.client.came(piece, &mut self.came)?;
            }
        }
    }

    fn heard(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.heard)
    }
}

fn client(tls: &Tls) -> Box<Session> {
    tls.session(0).unwrap()
}

fn made(url: &str, verify: bool, resume: bool, root: String) -> Tls {
    Tls::new(&work(url, "http1", verify, resume, vec![root])).unwrap().unwrap()
}

#[test]
fn text_goes_both_ways_in_pieces_of_any_size() {
    for version in [&TLS12, &TLS13] {
        let (config, root) = identity(&["http/1.1"], &[version]);
        let config = Arc::new(config);
        let tls = made("https://localhost/", true, false, root);
        for piece in [1, 7, 1000, 1 << 20] {
            let mut wire = Wire::new(client(&tls), server(&config));
            assert!(!wire.client.is_ready() && wire.client.pending());
            wire.carry(piece).unwrap();
            assert!(wire.client.is_ready() && !wire.client.is_h2() && !wire.client.pending());
            assert_eq!(wire.client.say(b"ping").unwrap(), 4);
            wire.carry(piece).unwrap();
            assert_eq!(wire.heard(), b"ping");
            let long: Vec<u8> = (0..40_000_u32).map(|n| n.to_le_bytes()[0]).collect();
            wire.server.writer().write_all(&long).unwrap();
            wire.carry(piece).unwrap();
            assert_eq!(wire.came, long, "{version:?} in pieces of {piece}");
            assert!(!wire.client.ended());
            wire.server.send_close_notify();
            wire.carry(piece).unwrap();
            assert!(wire.client.ended());
            wire.client.close().unwrap();
            wire.carry(piece).unwrap();
            assert_eq!(wire.server.reader().read(&mut [0; 1]).unwrap(), 0, "it was told, too");
            assert!(wire.client.partial.capacity() == 0 && wire.client.unsent.capacity() <= 1024);
        }
    }
}

#[test]
fn more_than_its_buffer_holds_is_taken_in_turns() {
    let (config, root) = identity(&[], &[&TLS13]);
    let tls = made("https://localhost/", true, true, root);
    let mut wire = Wire::new(client(&tls), server(&Arc::new(config)));
    wire.carry(9000).unwrap();
    let long = vec![b'a'; 200_000];
    let (mut said, mut heard) = (0, 0);
    while said < long.len() {
        let taken = wire.client.say(&long[said..]).unwrap();
        assert!(taken > 0 && taken <= 64 << 10);
        assert_eq!(wire.client.say(&long[..16384]).unwrap() == 0, taken >= 48 << 10);
        said += taken;
        wire.carry(9000).unwrap();
        heard += wire.heard().len();
    }
    assert!(heard >= long.len());
}

#[test]
fn sessions_are_resumed_or_not() {
    for (version, resume, wanted) in [
        (&TLS13, true, HandshakeKind::Resumed),
        (&TLS12, true, HandshakeKind::Resumed),
        (&TLS13, false, HandshakeKind::Full),
        (&TLS12, false, HandshakeKind::Full),
    ] {
        let (config, root) = identity(&[], &[version]);
        let config = Arc::new(config);
        let tls = made("https://localhost/", true, resume, root);
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let mut wire = Wire::new(client(&tls), server(&config));
            wire.carry(1 << 20).unwrap();
            kinds.push(wire.server.handshake_kind().unwrap());
        }
        assert_eq!(kinds, [HandshakeKind::Full, wanted], "{version:?} {resume}");
    }
}

#[test]
fn certificates_are_judged_or_not() {
    let (config, root) = identity(&[], &[&TLS12, &TLS13]);
    let (_, other) = identity(&[], &[&TLS13]);
    let config = Arc::new(config);
    for (url, verify, root, wanted) in [
        ("https://localhost/", true, &root, None),
        ("https://localhost./", true, &root, None),
        ("https://other/", true, &root, Some("NotValidForName")),
        ("https://127.0.0.1/", true, &root, Some("NotValidForName")),
        ("https://localhost/", true, &other, Some("invalid peer certificate: ")),
        ("https://other/", false, &other, None),
        ("https://127.0.0.1/", false, &other, None),
    ] {
        let mut wire = Wire::new(client(&made(url, verify, true, root.clone())), server(&config));
        let found = wire.carry(100);
        match wanted {
            None => assert!(found.is_ok() && wire.client.is_ready(), "{url}: {found:?}"),
            Some(words) => {
                let failed = found.unwrap_err();
                assert_eq!(failed.kind, ErrorKind::Tls);
                let told =
                    failed.text.contains(words) || failed.text.contains("not valid for name");
                assert!(told, "{url}: {}", failed.text);
            }
        }
    }
    let work = work("https://localhost/", "http1", true, true, vec!["*".to_owned()]);
    assert!(Tls::new(&work).unwrap_err().starts_with("roots[0]: "));
    let plain = self::work("http://localhost/", "http1", true, true, Vec::new());
    assert!(Tls::new(&plain).unwrap().is_none());
}

#[test]
fn http2_is_chosen_or_it_fails() {
    for (offered, wanted) in [
        (&["h2", "http/1.1"][..], None),
        (&[][..], Some("TLS: the server does not choose HTTP/2 (ALPN h2)")),
        (&["http/1.1"][..], Some("TLS: received fatal alert: NoApplicationProtocol")),
    ] {
        let (config, root) = identity(offered, &[&TLS13]);
        let tls = Tls::new(&work("https://localhost/", "http2", true, true, vec![root]))
            .unwrap()
            .unwrap();
        let mut wire = Wire::new(client(&tls), server(&Arc::new(config)));
        match (wire.carry(100), wanted) {
            (Ok(()), None) => assert!(wire.client.is_h2()),
            (Err(failed), Some(wanted)) => {
                assert!(failed.text.starts_with(wanted), "{}", failed.text);
            }
            other => panic!("{offered:?}: {other:?}"),
        }
    }
}

#[test]
fn keys_that_change_are_followed() {
    let (config, root) = identity(&[], &[&TLS13]);
    let tls = made("https://localhost/", true, true, root);
    let mut wire = Wire::new(client(&tls), server(&Arc::new(config)));
    wire.carry(1 << 20).unwrap();
    for round in 0..3 {
        wire.server.refresh_traffic_keys().unwrap();
        wire.server.writer().write_all(b"new keys").unwrap();
        wire.carry(5).unwrap();
        assert_eq!(std::mem::take(&mut wire.came), b"new keys", "{round}");
        wire.client.say(b"mine").unwrap();
        wire.carry(5).unwrap();
        assert_eq!(wire.heard(), b"mine");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn garbage_is_refused_in_words(garbage in prop::collection::vec(any::<u8>(), 5..2000), after in any::<bool>()) {
        let (config, root) = identity(&[], &[&TLS13]);
        let tls = made("https://localhost/", true, true, root);
        let mut wire = Wire::new(client(&tls), server(&Arc::new(config)));
        if after {
            wire.carry(1000).unwrap();
        }
        let mut plain = Vec::new();
        let mut garbage = garbage;
        if let Err(failed) = wire.client.came(&mut garbage, &mut plain) {
            prop_assert!(failed.kind == ErrorKind::Tls && failed.text.len() > 6, "{:?}", failed);
        }
        prop_assert!(plain.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// A server of which one byte is wrong, in the handshake or behind it, with text on its way from us.
    #[test]
    fn a_wrong_byte_is_a_failure_or_nothing(
        at in 0..6000_usize, bits in 1..=255_u8, piece in 1..3000_usize, is_old in any::<bool>(),
    ) {
        let version = if is_old { &TLS12 } else { &TLS13 };
        let (config, root) = identity(&[], &[version]);
        let tls = made("https://localhost/", true, true, root);
        let mut wire = Wire::new(client(&tls), server(&Arc::new(config)));
        let (mut seen, mut has_said, mut plain) = (0, false, Vec::new());
        'all: loop {
            let to_server = wire.client.taken();
            let mut rest = &to_server[..];
            while !rest.is_empty() {
                if wire.server.read_tls(&mut rest).is_err() || wire.server.process_new_packets().is_err() {
                    break 'all;
                }
            }
            if !wire.server.is_handshaking() && !has_said {
                has_said = true;
                wire.server.writer().write_all(&[b'x'; 3000]).unwrap();
                wire.server.send_close_notify();
            }
            let mut to_client = Vec::new();
            while wire.server.wants_write() {
                wire.server.write_tls(&mut to_client).unwrap();
            }
            if to_server.is_empty() && to_client.is_empty() {
                break;
            }
            if let Some(byte) = at.checked_sub(seen).and_then(|at| to_client.get_mut(at)) {
                *byte ^= bits;
            }
            seen += to_client.len();
            for piece in to_client.chunks_mut(piece) {
                let came = wire.client.came(piece, &mut plain);
                let said = wire.client.is_ready().then(|| wire.client.say(b"more"));
                prop_assert!(came.is_ok() || said.is_none_or(|said| said.is_err()), "it goes on after a failure");
            }
        }
        prop_assert!(plain.is_empty() || plain.iter().all(|byte| *byte == b'x'), "{} bytes", plain.len());
    }
}

#[test]
fn plain_text_in_place_of_tls_has_words() {
    let (_, root) = identity(&[], &[&TLS13]);
    let mut session = client(&made("https://localhost/", true, true, root));
    let failed = session
        .came(&mut b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), &mut Vec::new())
        .unwrap_err();
    assert!(failed.text.contains("InvalidContentType"), "{}", failed.text);
    assert!(session.came(&mut b"more".to_vec(), &mut Vec::new()).is_err(), "it stays so");
}
