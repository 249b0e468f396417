//! The worker over TLS and over HTTP/2.

mod server;

use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;

use blitz_contract::load::{ErrorKind, Verdict};
use serde_json::{Value, json};

use crate::engine::{Engine, Report, plan, rate, work};
use crate::servers::{OK, answering, serve};
use server::{identity, multiplexed, secured};

/// So many users over `https`, until so many requests were sent.
fn https(address: SocketAddr, users: u32, requests: u64) -> Value {
    let mut plan = plan(address, users, 20_000);
    plan["steps"][0]["url"] = json!(format!("https://{address}/"));
    plan["requests"] = json!(requests);
    plan
}

fn run(plan: &Value, roots: &[&String]) -> Report {
    let mut order = work(plan);
    order.roots = roots.iter().map(|root| (*root).clone()).collect();
    Engine::start(order).rest()
}

fn good(report: &Report, requests: u64) {
    assert_eq!(report.errors().len(), 0, "{:?}", report.ticks);
    assert_eq!(report.statuses().into_iter().collect::<Vec<_>>(), [(200, requests)]);
    assert_eq!(report.sum().sent, requests);
    assert_eq!(report.closing.verdict, Verdict::Ended);
}

#[test]
fn https_is_answered_and_its_handshakes_are_timed() {
    let (config, root) = identity(&["http/1.1"]);
    let (address, seen) = secured(config, OK.as_bytes(), false, false);
    let report = run(&https(address, 10, 500), &[&root]);
    good(&report, 500);
    let sum = report.sum();
    assert_eq!((sum.tls_us.total(), sum.connect_us.total()), (10, 10));
    assert_eq!(seen.requests.load(Relaxed), 500);
    // Of HTTP, not of TLS.
    assert_eq!(sum.steps[0].received_bytes, 500 * OK.len() as u64);
}

#[test]
fn sessions_are_resumed_when_the_plan_wants_it() {
    for resume in [true, false] {
        let (config, root) = identity(&[]);
        let (address, seen) = secured(config, OK.as_bytes(), false, false);
        let mut plan = https(address, 1, 30);
        plan["keep_alive"] = json!(false);
        plan["resume"] = json!(resume);
        let report = run(&plan, &[&root]);
        good(&report, 30);
        assert_eq!(report.sum().tls_us.total(), 30);
        let found = (seen.whole_handshakes.load(Relaxed), seen.resumed_handshakes.load(Relaxed));
        assert_eq!(found, if resume { (1, 29) } else { (30, 0) });
    }
}

#[test]
fn certificates_are_trusted_or_not() {
    let (config, root) = identity(&[]);
    let (_, other) = identity(&[]);
    let (address, seen) = secured(config, OK.as_bytes(), false, false);
    let mut plan = https(address, 1, 20);
    let report = run(&plan, &[&other]);
    assert_eq!(report.errors().keys().copied().collect::<Vec<_>>(), [ErrorKind::Tls]);
    let words = report.first(ErrorKind::Tls);
    assert!(words.starts_with("TLS: invalid peer certificate"), "{words}");
    assert_eq!(seen.requests.load(Relaxed), 0);
    plan["verify"] = json!(false);
    good(&run(&plan, &[&other]), 20);
    plan["verify"] = json!(true);
    good(&run(&plan, &[&other, &root]), 20);
}

#[test]
fn a_body_to_the_end_needs_the_end_of_tls() {
    let answer = b"HTTP/1.1 200 OK\r\n\r\nall of it";
    for says_end in [true, false] {
        let (config, root) = identity(&[]);
        let (address, _) = secured(config, answer, true, says_end);
        let report = run(&https(address, 2, 20), &[&root]);
        if says_end {
            good(&report, 20);
        } else {
            let kinds: Vec<ErrorKind> = report.errors().keys().copied().collect();
            assert_eq!(
                (kinds, report.statuses().len()),
                (vec![ErrorKind::Closed], 0),
                "cut off, perhaps"
            );
        }
    }
}

#[test]
fn who_speaks_no_tls_is_named() {
    let address = serve(|mut peer| {
        let mut hello = [0; 2000];
        if matches!(peer.stream.read(&mut hello), Ok(1..)) {
            peer.say("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        }
        peer.hang();
    });
    let report = run(&https(address, 1, 3), &[&identity(&[]).1]);
    assert_eq!(report.errors().keys().copied().collect::<Vec<_>>(), [ErrorKind::Tls]);
}

#[test]
fn a_handshake_that_is_not_answered_is_named() {
    let words = "the server took the connection, and there was no TLS handshake within 60 ms";
    let address = serve(|peer| peer.hang());
    let mut open = rate(address, 50, 200);
    open["steps"][0]["url"] = json!(format!("https://{address}/"));
    for mut plan in [https(address, 1, 3), open] {
        plan["steps"][0]["timeout_ms"] = json!(60);
        let report = run(&plan, &[&identity(&[]).1]);
        assert_eq!(report.errors().keys().copied().collect::<Vec<_>>(), [ErrorKind::Timeout]);
        assert_eq!(report.first(ErrorKind::Timeout), words);
    }
}

#[test]
fn http2_over_tls_and_plain() {
    for (is_secure, users, streams, of_server) in [
        (true, 10, 5, 100),
        (false, 10, 5, 100),
        (false, 3, 1, 100),
        (true, 1, 1, 1),
        (false, 8, 8, 3),
    ] {
        let (config, root) = identity(&["h2"]);
        let (address, seen) = multiplexed(is_secure.then_some(config), of_server);
        let mut plan =
            if is_secure { https(address, users, 400) } else { plan(address, users, 20_000) };
        plan["requests"] = json!(400);
        plan["version"] = json!("http2");
        plan["streams"] = json!(streams);
        plan["steps"][0]["body"] = json!({"text": "b".repeat(100)});
        let report = run(&plan, &[&root]);
        good(&report, 400);
        let sum = report.sum();
        assert_eq!(sum.connect_us.total(), u64::from(users.div_ceil(streams)));
        assert_eq!(sum.tls_us.total(), if is_secure { sum.connect_us.total() } else { 0 });
        // What the server refused at first came again.
        assert!(seen.requests.load(Relaxed) >= 400);
        assert!(sum.steps[0].received_bytes > 400 * 3000 && sum.steps[0].sent_bytes > 400 * 100);
    }
}

#[test]
fn cookies_go_through_http2() {
    let (address, _) = multiplexed(None, 100);
    let mut plan = plan(address, 4, 20_000);
    let url = format!("http://{address}");
    plan["steps"] = json!([
        {"method": "GET", "url": format!("{url}/a"), "timeout_ms": 10_000, "extract": ["c"]},
        {"method": "GET", "url": format!("{url}/b"), "timeout_ms": 10_000, "headers": [["cookie", "c=#{c}"]], "status": 200},
    ]);
    plan["version"] = json!("http2");
    plan["streams"] = json!(2);
    plan["requests"] = json!(200);
    good(&run(&plan, &[]), 200);
}

#[test]
fn who_does_not_choose_http2_is_named() {
    for (alpn, words) in [
        (&[][..], "TLS: the server does not choose HTTP/2 (ALPN h2)"),
        (&["http/1.1"][..], "TLS: received fatal alert: NoApplicationProtocol"),
    ] {
        let (config, root) = identity(alpn);
        let (address, _) = secured(config, OK.as_bytes(), false, false);
        let mut plan = https(address, 1, 5);
        plan["version"] = json!("http2");
        let report = run(&plan, &[&root]);
        assert_eq!(report.errors().keys().copied().collect::<Vec<_>>(), [ErrorKind::Tls]);
        assert_eq!(report.first(ErrorKind::Tls), words);
    }
    let mut plan =
        plan(answering("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"), 1, 20_000);
    plan["requests"] = json!(3);
    plan["version"] = json!("http2");
    let report = run(&plan, &[]);
    assert_eq!(report.errors().keys().copied().collect::<Vec<_>>(), [ErrorKind::Parse]);
    assert_eq!(report.first(ErrorKind::Parse), "HTTP/2: the server answers in HTTP/1");
}
