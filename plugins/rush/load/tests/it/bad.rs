//! Servers that do what they must not, and none at all.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::time::Duration;

use blitz_contract::load::ErrorKind;
use serde_json::{Value, json};

use crate::engine::{Engine, plan, rate, run, work};
use crate::servers::{OK, answering, answering_once, serve};

/// Ten requests of two users fail in one way, in a closed model and in an open one.
fn check(
    name: &str,
    address: SocketAddr,
    kind: ErrorKind,
    words: &str,
    change: impl Fn(&mut Value),
) {
    for mut plan in [plan(address, 2, 400), rate(address, 50, 400)] {
        plan["requests"] = json!(10);
        plan["connections"] = json!(20);
        change(&mut plan);
        let report = run(&plan);
        let errors = report.errors();
        assert_eq!(
            errors.keys().copied().collect::<Vec<_>>(),
            [kind],
            "{name}: {:?}",
            report.ticks
        );
        assert!(report.first(kind).contains(words), "{name}: {:?}", report.first(kind));
        assert_eq!(report.statuses(), BTreeMap::new(), "{name}");
        let sum = report.sum();
        let unsent = if kind == ErrorKind::Connect { 0 } else { sum.sent };
        assert!(errors[&kind] >= unsent.max(1), "{name}: {errors:?} of {}", sum.sent);
    }
}

#[test]
fn what_is_no_answer_is_counted_by_its_kind() {
    let same = |_: &mut Value| {};
    check("garbage", answering("SSH-2.0-x\r\n"), ErrorKind::Parse, "not HTTP/1", same);
    check(
        "nothing",
        serve(|mut peer| drop(peer.request())),
        ErrorKind::Closed,
        "without an answer",
        same,
    );
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";
    check("half a body", answering_once(half), ErrorKind::Closed, "within a body", same);
    check(
        "half a head",
        answering_once("HTTP/1.1 200 OK\r\nx-"),
        ErrorKind::Closed,
        "within a head",
        same,
    );
    check("too much", answering(format!("{OK}more")), ErrorKind::Parse, "behind the end", same);
    let reset = serve(|mut peer| {
        // Closing with unread bytes resets the connection.
        let mut byte = [0];
        drop(std::io::Read::read(&mut peer.stream, &mut byte));
    });
    check("reset", reset, ErrorKind::Closed, "reset", same);
}

#[test]
fn what_does_not_end_is_ended() {
    let short = |plan: &mut Value| plan["steps"][0]["timeout_ms"] = json!(60);
    check(
        "silence",
        serve(|peer| peer.hang()),
        ErrorKind::Timeout,
        "no answer within 60 ms",
        short,
    );
    let headers = serve(|mut peer| {
        peer.request();
        peer.say("HTTP/1.1 200 OK\r\n");
        while peer.say(format!("x: {}\r\n", "y".repeat(9000))) {}
    });
    check("headers", headers, ErrorKind::Limit, "more than 64 KiB", |_| {});
    let body = serve(|mut peer| {
        peer.request();
        peer.say("HTTP/1.1 200 OK\r\n\r\n");
        while peer.say([b'x'; 9000]) {}
    });
    check("body", body, ErrorKind::Timeout, "no whole answer within 60 ms", short);
    let chunks = serve(|mut peer| {
        peer.request();
        peer.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        while peer.say("1\r\nx\r\n") {}
    });
    check("chunks", chunks, ErrorKind::Timeout, "no whole answer", short);
}

#[test]
fn no_server_is_an_error_of_connecting() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    check(
        "refused",
        address,
        ErrorKind::Connect,
        &format!("connect to {address}: Connection refused"),
        |_| {},
    );
}

#[test]
fn another_address_is_taken_where_one_refuses() {
    let listener = TcpListener::bind("127.0.0.2:0").expect("a port");
    let refusing = listener.local_addr().expect("an address");
    drop(listener);
    let mut plan = plan(answering(OK), 3, 60_000);
    plan["requests"] = json!(30);
    let mut order = work(&plan);
    order.targets[0].addresses.insert(0, refusing);
    let report = Engine::start(order).rest();
    assert_eq!(report.errors(), BTreeMap::new(), "{}", report.first(ErrorKind::Connect));
    assert_eq!(report.statuses(), BTreeMap::from([(200, 30)]));
}

#[test]
fn a_request_that_must_not_be_repeated_is_an_error_when_its_connection_is_closed() {
    let address = answering_once(OK);
    let mut plan = plan(address, 1, 60_000);
    plan["steps"][0]["method"] = json!("POST");
    plan["requests"] = json!(20);
    let report = run(&plan);
    let (errors, statuses) = (report.errors(), report.statuses());
    let closed = errors.get(&ErrorKind::Closed).copied().unwrap_or(0);
    assert_eq!(statuses.get(&200).copied().unwrap_or(0) + closed, 20, "{errors:?}");
}

#[test]
fn an_answer_before_the_end_of_the_request_counts() {
    let address = serve(|mut peer| {
        let mut piece = [0; 1000];
        drop(std::io::Read::read(&mut peer.stream, &mut piece));
        peer.say("HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        peer.hang();
    });
    let mut plan = plan(address, 2, 60_000);
    plan["steps"][0]["method"] = json!("POST");
    plan["steps"][0]["body"] = json!({"text": "x".repeat(1 << 20)});
    plan["requests"] = json!(10);
    let report = run(&plan);
    assert_eq!(report.statuses(), BTreeMap::from([(413, 10)]), "{:?}", report.errors());
}

#[test]
fn a_server_that_dies_in_the_middle_is_told() {
    let address = serve(|mut peer| {
        let number = peer.number;
        for _ in 0..5 {
            if peer.request().is_none() {
                return;
            }
            peer.say(OK);
        }
        peer.request();
        peer.say(if number == 0 { "HTTP/1.1 200 OK\r\nconte" } else { "" });
    });
    let mut plan = plan(address, 1, 60_000);
    plan["requests"] = json!(40);
    let report = run(&plan);
    let answered: u64 = report.statuses().values().sum();
    let failed: u64 = report.errors().values().sum();
    assert_eq!(answered + failed, 40);
    assert_eq!(report.errors(), BTreeMap::from([(ErrorKind::Closed, 1)]));
}

#[test]
fn a_server_that_takes_a_request_and_closes_later_is_at_fault() {
    let address = serve(|mut peer| {
        if peer.request().is_none() || !peer.say(OK) || peer.request().is_none() {
            return;
        }
        let (_hold, wait) = mpsc::channel::<()>();
        let _: Result<(), _> = wait.recv_timeout(Duration::from_millis(100));
    });
    let mut plan = plan(address, 1, 60_000);
    plan["requests"] = json!(10);
    let report = run(&plan);
    assert_eq!(report.statuses(), BTreeMap::from([(200, 5)]));
    assert_eq!(report.errors(), BTreeMap::from([(ErrorKind::Closed, 5)]));
    assert_eq!(report.sum().steps[0].repeated, 0);
}

/// Does something else with each request, good or bad.
fn moody() -> SocketAddr {
    serve(|mut peer| {
        let mut mood = peer.number;
        while peer.request().is_some() {
            mood = mood
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // What is said without its end is followed by closing.
            let is_open = match mood >> 33 & 15 {
                0 => false,
                1 => !peer.say("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf"),
                2 => !peer.say("HTTP/1.1 200 OK\r\n\r\nto the end"),
                3 => peer.say("nonsense\r\n\r\n"),
                4 => peer.say(format!("{OK}{OK}")),
                5 => peer.say("HTTP/1.1 500 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"),
                6 => peer.say("HTTP/1.1 103 Early Hints\r\n\r\n") && peer.say(OK),
                7 => !peer.say(OK),
                8 => return peer.hang(),
                _ => peer.say(OK),
            };
            if !is_open {
                return;
            }
        }
    })
}

#[test]
fn every_request_ends_once_whatever_servers_do() {
    let (one, other) = (moody(), moody());
    for shape in [plan(one, 20, 30_000), rate(one, 1000, 30_000)] {
        for think_ms in [0, 3] {
            let mut plan = shape.clone();
            plan["requests"] = json!(600);
            plan["think_ms"] = json!(think_ms);
            plan["connections"] = json!(40);
            let step = |address: SocketAddr, method: &str| json!({"method": method, "url": format!("http://{address}/"), "timeout_ms": 40, "status": 200});
            plan["steps"] = json!([step(one, "GET"), step(other, "POST"), step(one, "PUT")]);
            let report = run(&plan);
            let answered: u64 = report.statuses().values().sum();
            let mut errors = report.errors();
            errors.remove(&ErrorKind::Assert);
            let failed: u64 = errors.values().sum();
            let sum = report.sum();
            assert_eq!(answered + failed, 600, "{errors:?} {sum:?}");
            assert!(sum.sent <= 600 && sum.asked >= sum.sent, "{} of {}", sum.sent, sum.asked);
            let last = report.ticks.last().expect("a tick");
            assert_eq!(last.backlog, 0);
            assert!(errors.len() >= 3, "the servers are bad in many ways: {errors:?}");
        }
    }
}
