//! Servers that do what they may.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use blitz_contract::load::{ErrorKind, Verdict};
use serde_json::json;

use crate::engine::{plan, run};
use crate::servers::{OK, answering, answering_once, serve};

#[test]
fn as_many_requests_as_the_plan_has_are_sent_and_answered() {
    let mut plan = plan(answering(OK), 7, 60_000);
    plan["requests"] = json!(1000);
    let report = run(&plan);
    let sum = report.sum();
    assert_eq!((sum.asked, sum.sent), (1000, 1000));
    assert_eq!(report.statuses(), BTreeMap::from([(200, 1000)]));
    assert_eq!(report.errors(), BTreeMap::new());
    assert_eq!(report.closing.verdict, Verdict::Ended);
    assert_eq!(report.exit, format!("{:?}", std::process::ExitCode::SUCCESS));
    assert_eq!(sum.connect_us.total(), 7, "each user has one connection and keeps it");
    assert!(
        sum.steps[0].sent_bytes > 1000 * 20
            && sum.steps[0].received_bytes == 1000 * OK.len() as u64
    );
}

/// 20 requests of 2 users; all answers are good.
fn check(name: &str, method: &str, address: std::net::SocketAddr, status: u16) {
    let mut plan = plan(address, 2, 60_000);
    plan["requests"] = json!(20);
    plan["steps"][0]["method"] = json!(method);
    let report = run(&plan);
    assert_eq!(report.errors(), BTreeMap::new(), "{name}: {:?}", report.ticks);
    assert_eq!(report.statuses(), BTreeMap::from([(status, 20)]), "{name}");
}

#[test]
fn answers_of_all_kinds_are_read() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    check("chunked", "GET", answering(chunked), 200);
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
    check("to a HEAD", "HEAD", answering(head), 200);
    check("204", "GET", answering("HTTP/1.1 204 Nothing\r\n\r\n"), 204);
    check("304", "GET", answering("HTTP/1.1 304 Same\r\ncontent-length: 5\r\n\r\n"), 304);
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
    check("interim answers", "GET", answering(format!("{hints}{OK}")), 200);
    check("to its end", "GET", answering_once("HTTP/1.1 200 OK\r\n\r\nall of this"), 200);
    check("HTTP/1.0", "GET", answering_once("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n1"), 200);
    let close = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\n1";
    check("closing", "POST", answering_once(close), 200);
    let mut large = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n".to_vec();
    large.resize(large.len() + 1_000_000, b'x');
    check("large", "GET", answering(large), 200);
    let pieces = serve(|mut peer| {
        while peer.request().is_some() {
            peer.stream.set_nodelay(true).expect("an option of TCP");
            for byte in chunked.as_bytes() {
                peer.say([*byte]);
            }
        }
    });
    check("byte by byte", "GET", pieces, 200);
}

#[test]
fn each_request_may_have_a_connection_of_its_own() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    let address = serve(move |mut peer| {
        counter.fetch_add(1, Ordering::SeqCst);
        let request = peer.request().expect("a request");
        assert!(request.head.contains("\r\nconnection: close"), "{}", request.head);
        peer.say(OK);
    });
    let mut plan = plan(address, 3, 60_000);
    plan["requests"] = json!(60);
    plan["keep_alive"] = json!(false);
    let report = run(&plan);
    assert_eq!(report.statuses(), BTreeMap::from([(200, 60)]), "{:?}", report.errors());
    assert_eq!(report.sum().connect_us.total(), 60);
    assert_eq!(connections.load(Ordering::SeqCst), 60);
}

#[test]
fn a_server_that_closes_between_requests_is_no_error_where_they_may_be_repeated() {
    let mut plan = plan(answering_once(OK), 2, 60_000);
    plan["requests"] = json!(50);
    let report = run(&plan);
    assert_eq!(report.errors(), BTreeMap::new(), "{}", report.first(ErrorKind::Closed));
    assert_eq!(report.statuses(), BTreeMap::from([(200, 50)]));
    assert_eq!(report.sum().sent, 50, "one that is sent again is counted once");
    assert_eq!(report.sum().steps[0].repeated, 48, "all but the first of each user");
}

#[test]
fn transactions_go_over_origins_with_cookies_and_variables() {
    let second = serve(|mut peer| {
        while let Some(request) = peer.request() {
            let is_known =
                request.head.contains("x-session: s-7") && request.head.starts_with("PUT /b?n=4");
            let is_whole = request.body == b"n is 4";
            let status = if is_known && is_whole { "200 OK" } else { "400 Bad" };
            peer.say(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n"));
        }
    });
    let first = answering(
        "HTTP/1.1 201 Made\r\nset-cookie: session=s-7; path=/\r\ncontent-length: 0\r\n\r\n",
    );
    let mut plan = plan(first, 4, 60_000);
    plan["steps"] = json!([
        {"method": "POST", "url": format!("http://{first}/a"), "timeout_ms": 10_000, "status": 201, "extract": ["session"],
         "variables": [{"name": "n", "values": {"number": {"min": 4, "max": 4, "count": 1}}}]},
        {"method": "PUT", "url": format!("http://{second}/b?n=#{{n}}"), "timeout_ms": 10_000, "status": 200,
         "headers": [["x-session", "#{session}"]], "body": {"text": "n is #{n}"}},
    ]);
    plan["requests"] = json!(100);
    let report = run(&plan);
    assert_eq!(report.errors(), BTreeMap::new(), "{}", report.first(ErrorKind::Assert));
    let statuses = report.statuses();
    assert_eq!(statuses[&200] + statuses[&201], 100);
    assert!(
        statuses[&201] - statuses[&200] <= 4,
        "each user's last transaction may be cut: {statuses:?}"
    );
    // A user may find all requests taken before it has come to an origin.
    let connects = report.sum().connect_us.total();
    assert!((2..=8).contains(&connects), "{connects}, at most one for each user and origin");
}

#[test]
fn a_transaction_ends_with_its_first_failure() {
    let address = answering(OK);
    let mut plan = plan(address, 1, 60_000);
    let step = |extra: (&str, serde_json::Value)| {
        let mut step =
            json!({"method": "GET", "url": format!("http://{address}/"), "timeout_ms": 10_000});
        step[extra.0] = extra.1;
        step
    };
    plan["steps"] = json!([step(("status", json!(404))), step(("status", json!(200)))]);
    plan["requests"] = json!(5);
    let report = run(&plan);
    assert_eq!(report.errors(), BTreeMap::from([(ErrorKind::Assert, 5)]));
    assert_eq!(report.first(ErrorKind::Assert), "status 200 in place of 404");
    assert_eq!(report.sum().steps.len(), 1, "the second step is never sent");
}

#[test]
fn a_cookie_that_does_not_come_ends_a_transaction() {
    let cookies = |count: usize| {
        let lines: String =
            (0..count).map(|number| format!("set-cookie: sid{number}=1; path=/\r\n")).collect();
        answering(format!("HTTP/1.1 200 OK\r\n{lines}content-length: 0\r\n\r\n"))
    };
    for (count, words) in [
        (0, "cookie nocookie did not come; the answer set none"),
        (2, "cookie nocookie did not come; the answer set sid0, sid1"),
        (
            10,
            "cookie nocookie did not come; the answer set sid0, sid1, sid2, sid3, sid4, sid5, sid6, \
             sid7 and 2 more",
        ),
    ] {
        let address = cookies(count);
        let mut plan = plan(address, 1, 60_000);
        plan["steps"] = json!([plan["steps"][0], plan["steps"][0]]);
        plan["steps"][0]["extract"] = json!(["nocookie"]);
        plan["transactions"] = json!(1);
        let report = run(&plan);
        assert_eq!(report.errors(), BTreeMap::from([(ErrorKind::Extract, 1)]));
        assert_eq!(report.first(ErrorKind::Extract), words);
        assert_eq!(report.sum().sent, 1, "neither the second step nor a second transaction");
        assert_eq!(report.sum().steps.len(), 1);
    }
}

#[test]
fn a_large_body_arrives_as_it_is() {
    let address = serve(|mut peer| {
        while let Some(request) = peer.request() {
            let is_whole = request.body.len() == 1 << 20
                && request.body.chunks(7).all(|piece| b"0123456".starts_with(piece));
            peer.say(if is_whole { OK } else { "HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n" });
        }
    });
    let mut plan = plan(address, 3, 60_000);
    let body: String = "0123456".chars().cycle().take(1 << 20).collect();
    plan["steps"][0]["method"] = json!("POST");
    plan["steps"][0]["body"] = json!({"text": body});
    plan["requests"] = json!(20);
    let report = run(&plan);
    assert_eq!(report.statuses(), BTreeMap::from([(200, 20)]), "{:?}", report.errors());
    assert!(report.sum().steps[0].sent_bytes > 20 << 20);
}
