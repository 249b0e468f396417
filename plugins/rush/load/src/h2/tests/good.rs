//! What a good server answers is counted, whatever it limits.

use rustls::version::TLS13;
use serde_json::json;

use super::server::{by_hand, frame, ok, serve, settings};
use super::{Driver, Happened, connect, handshake, script};
use crate::tls::Tls;
use crate::tls::tests::{identity, work};

fn answered(told: &[Happened]) -> Vec<(u32, u16, bool)> {
    let mut found: Vec<_> = told
        .iter()
        .map(|event| match event {
            Happened::Answered { lane, status, found, .. } => (*lane, *status, *found),
            other => panic!("{other:?}"),
        })
        .collect();
    found.sort_unstable();
    found
}

fn steps() -> Vec<serde_json::Value> {
    vec![
        json!({"method": "POST", "url": "/echo", "body": {"text": "b".repeat(300_000)}}),
        json!({"method": "GET", "url": "/long"}),
        json!({"method": "GET", "url": "/cookie", "extract": ["a", "b"]}),
        json!({"method": "GET", "url": "/cookie", "extract": ["c", "b"]}),
        json!({"method": "GET", "url": "/trailer"}),
        json!({"method": "HEAD", "url": "/missing"}),
        json!({"method": "GET", "url": "/#{a}"}),
    ]
}

#[test]
fn all_kinds_of_answers_over_plain_and_tls() {
    for scheme in ["http", "https"] {
        let (_, script) = script(scheme, &steps());
        let (config, root) = identity(&["h2"], &[&TLS13]);
        let (address, served) =
            serve(h2::server::Builder::new(), (scheme == "https").then_some(config));
        let fd = connect(address);
        let session = (scheme == "https").then(|| {
            let tls = Tls::new(&work("https://localhost/", "http2", true, true, vec![root]))
                .unwrap()
                .unwrap();
            handshake(&tls, &fd).unwrap()
        });
        let mut driver = Driver::new(script, fd, session, 100);
        driver.open();
        for round in 0..3 {
            let mut told = Vec::new();
            for lane in 0..7 {
                driver.send(lane, lane as usize);
            }
            while told.len() < 7 {
                told.extend(driver.happened());
                assert!(!driver.is_over, "{told:?}");
            }
            let wanted = [
                (0, 200, true),
                (1, 200, true),
                (2, 200, true),
                (3, 200, false),
                (4, 200, true),
                (5, 404, true),
                (6, 200, true),
            ];
            assert_eq!(answered(&told), wanted, "round {round} over {scheme}");
            for event in told {
                if let Happened::Answered { lane: 2, kept, .. } = event {
                    let sending = super::Sending { lane: 6, step: 6, number: 0, kept };
                    let (request, _) =
                        driver.script.message(6, sending.number, sending.kept.as_deref()).unwrap();
                    assert_eq!(request.uri().path(), "/1");
                }
            }
        }
        assert!(
            driver.sent > 900_000 && driver.received > 3 << 20,
            "{} {}",
            driver.sent,
            driver.received
        );
        drop(driver);
        assert_eq!(served.join().unwrap(), (21, 0));
    }
}

#[test]
fn the_servers_limit_and_the_plans_are_kept() {
    for (of_server, of_plan, wanted) in [(2, 10, 2), (10, 3, 3), (1, 1, 1)] {
        let mut builder = h2::server::Builder::new();
        builder.max_concurrent_streams(of_server);
        let (address, served) = serve(builder, None);
        let (_, script) = script(
            "http",
            &[json!({"method": "GET", "url": "/never"}), json!({"method": "GET", "url": "/a"})],
        );
        let mut driver = Driver::new(script, connect(address), None, of_plan);
        driver.open();
        // With the first answer the server's settings have come.
        driver.send(0, 1);
        assert_eq!(answered(&driver.happened()), [(0, 200, true)]);
        let mut lane = 1;
        while driver.held.room() {
            driver.send(lane, 0);
            lane += 1;
        }
        assert_eq!(lane - 1, wanted);
        // What is given up makes room.
        driver.held.cancel(1);
        driver.open();
        driver.send(lane, 1);
        assert_eq!(answered(&driver.happened()), [(lane, 200, true)]);
        for given_up in 2..lane {
            driver.held.cancel(given_up);
        }
        driver.open();
        driver.send(99, 1);
        assert_eq!(answered(&driver.happened()), [(99, 200, true)]);
        drop(driver);
        assert_eq!(served.join().unwrap(), (wanted + 3, wanted));
    }
}

#[test]
fn what_the_server_did_nothing_with_may_be_sent_again() {
    // RST_STREAM with REFUSED_STREAM; RST_STREAM with CANCEL; and GOAWAY above the first stream.
    let refused = [settings(), frame(3, 0, 3, &[0, 0, 0, 7]), ok(1)].concat();
    let reset = [settings(), frame(3, 0, 3, &[0, 0, 0, 8]), ok(1)].concat();
    let leaving = [settings(), frame(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]), ok(1)].concat();
    for (answer, again, words) in [
        (
            refused,
            true,
            "stream error received: refused stream before processing any application logic",
        ),
        (reset, false, "stream error received: stream no longer needed"),
        (leaving, true, "connection error received: not a result of an error"),
    ] {
        let (address, served) = by_hand(2, answer, true);
        let (_, script) = script("http", &[json!({"method": "GET"})]);
        let mut driver = Driver::new(script, connect(address), None, 10);
        driver.open();
        driver.send(1, 0);
        driver.send(2, 0);
        let mut told = Vec::new();
        while told.len() < 2 {
            told.extend(driver.happened());
        }
        told.sort_by_key(|event| matches!(event, Happened::Failed { .. }));
        assert_eq!(answered(&told[..1]), [(1, 200, true)]);
        let Happened::Failed { lane: 2, failure, unprocessed } = &told[1] else {
            panic!("{told:?}")
        };
        assert_eq!(
            (*unprocessed, failure.text.as_str()),
            (again, format!("HTTP/2: {words}").as_str())
        );
        if words.contains("connection") {
            assert!(!driver.held.room(), "no new streams on a connection that goes away");
            assert!(driver.turn().0.is_over);
        } else {
            assert!(driver.held.room());
        }
        drop(driver);
        served.join().unwrap();
    }
}
