//! Users and arrivals, and how a test ends.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use blitz_contract::load::work::{Order, Said};
use blitz_contract::load::{ErrorKind, Verdict};
use serde_json::json;

use crate::engine::{Engine, plan, rate, run, work};
use crate::servers::{OK, answering, serve};

#[test]
fn arrivals_are_as_many_as_the_rate_says() {
    let report = run(&rate(answering(OK), 500, 1300));
    let sum = report.sum();
    assert_eq!((sum.asked, sum.sent), (650, 650), "{:?}", report.errors());
    assert_eq!(report.statuses(), BTreeMap::from([(200, 650)]));
    assert_eq!(sum.lag_us.total(), 650);
    let class = &sum.steps[0].classes[0];
    assert_eq!(class.response_us.total(), 650);
    assert!(report.ticks.len() >= 2 && report.ticks[0].second == 0);
}

#[test]
fn arrivals_that_find_no_connection_keep_their_time() {
    // One connection, on which a request takes 100 ms: of 100 arrivals in a second a tenth is served.
    let address = serve(|mut peer| {
        let (_hold, wait) = mpsc::channel::<()>();
        while peer.request().is_some() {
            let _: Result<(), _> = wait.recv_timeout(Duration::from_millis(100));
            peer.say(OK);
        }
    });
    let mut plan = rate(address, 100, 1000);
    plan["connections"] = json!(1);
    let report = run(&plan);
    let sum = report.sum();
    assert_eq!(sum.asked, 100);
    assert!(sum.sent < 20, "{}", sum.sent);
    let last = report.ticks.last().expect("a tick");
    assert_eq!(last.backlog, 100 - sum.sent);
    assert_eq!(sum.connect_us.total(), 1);
    let class = &sum.steps[0].classes[0];
    let most = |of: &blitz_contract::load::Distribution| of.counts().last().map_or(0, |(us, _)| us);
    assert!(most(&class.response_us) > 300_000, "{:?}", class.response_us);
    assert!(most(&class.service_us) < most(&class.response_us));
}

#[test]
fn what_was_due_before_the_end_is_sent() {
    let slow = |ms: u64| {
        serve(move |mut peer| {
            let (_hold, wait) = mpsc::channel::<()>();
            while peer.request().is_some() {
                let _: Result<(), _> = wait.recv_timeout(Duration::from_millis(ms));
                peer.say(OK);
            }
        })
    };
    // Each needs a connection of its own, and these come only when the plan is over.
    let mut order = work(&rate(slow(5000), 100, 100));
    order.connects_per_s = 20;
    let report = Engine::start(order).rest();
    let sum = report.sum();
    assert_eq!((sum.asked, sum.sent, sum.backlog), (10, 10, 0), "{:?}", report.errors());
    let at_us = report.closing.at_us.expect("a time");
    assert!((400_000..5_000_000).contains(&at_us), "the last one was sent then: {at_us}");
    // A transaction that has begun is carried out.
    let mut plan = rate(slow(100), 100, 50);
    plan["steps"] = json!([plan["steps"][0], plan["steps"][0]]);
    let report = run(&plan);
    let sum = report.sum();
    assert_eq!((sum.asked, sum.sent), (10, 10), "{:?}", report.errors());
    assert_eq!(report.statuses(), BTreeMap::from([(200, 10)]));
}

#[test]
fn the_last_tick_says_when_it_ended() {
    let mut plan = plan(answering(OK), 2, 3_600_000);
    plan["requests"] = json!(10);
    let at_us = run(&plan).closing.at_us.expect("a time");
    assert!((1..60_000_000).contains(&at_us), "{at_us}");
    for plan in [rate(answering(OK), 100, 300), crate::engine::plan(answering(OK), 2, 300)] {
        let at_us = run(&plan).closing.at_us.expect("a time");
        assert!(
            (300_000..5_000_000).contains(&at_us),
            "with its plan, or its last request: {at_us}"
        );
    }
}

#[test]
fn a_transaction_that_fails_is_not_made_up_for() {
    for address in [answering("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"), serve(drop)] {
        let mut plan = plan(address, 1, 60_000);
        plan["steps"][0]["status"] = json!(200);
        plan["steps"] = json!([plan["steps"][0], plan["steps"][0]]);
        plan["transactions"] = json!(1);
        let report = run(&plan);
        assert_eq!(report.sum().sent, 1, "{:?}", report.errors());
        plan["transactions"] = json!(3);
        assert_eq!(run(&plan).sum().sent, 3);
    }
}

#[test]
fn the_first_that_cannot_be_sent_was_under_way() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address")
    };
    let report = run(&rate(closed, 100, 100));
    let sum = report.sum();
    let errors = BTreeMap::from([(ErrorKind::Connect, 10)]);
    assert_eq!((sum.asked, sum.sent, sum.backlog, report.errors()), (10, 0, 0, errors));
    let first = report.ticks.iter().flat_map(|tick| &tick.firsts).next().expect("a failure");
    assert!(first.users >= 1, "{first:?}");
}

#[test]
fn users_come_think_and_go() {
    let mut plan = plan(answering(OK), 0, 1);
    plan["shape"] = json!({"users": {"segments": [
        {"from": 1, "to": 21, "duration_ms": 1000}, {"from": 5, "to": 5, "duration_ms": 1500}]}});
    plan["think_ms"] = json!(50);
    let report = run(&plan);
    let users: Vec<u32> = report.ticks.iter().map(|tick| tick.users).collect();
    assert_eq!(&users[1..], &[5, 0], "{users:?}");
    assert_eq!(report.errors(), BTreeMap::new());
    let sum = report.sum();
    // Eleven users on average for a second, and then five for one and a half, each 20 times a second at most, and once
    // when it comes.
    assert!((1..=392).contains(&sum.sent), "{}", sum.sent);
    assert!(report.ticks[1].connections <= 5, "who goes takes the connection along");
}

#[test]
fn the_warm_up_is_marked() {
    let mut plan = rate(answering(OK), 100, 1500);
    plan["warm_up_ms"] = json!(500);
    let report = run(&plan);
    let warm: u64 = report.ticks.iter().filter(|tick| tick.is_warm_up).map(|tick| tick.asked).sum();
    assert!((49..=51).contains(&warm), "{warm}");
    assert_eq!(report.sum().asked, 150);
}

#[test]
fn who_is_stopped_says_the_rest() {
    let mut engine = Engine::start(work(&plan(serve(|peer| peer.hang()), 3, 3_600_000)));
    engine.next_tick();
    engine.order(&Order::Stop);
    let begin = Instant::now();
    let report = engine.rest();
    assert_eq!(report.closing.verdict, Verdict::Stopped);
    assert!(begin.elapsed() < Duration::from_secs(20), "what is in flight is not waited for");
    let mut engine = Engine::start(work(&plan(answering(OK), 3, 3_600_000)));
    let first = engine.next_tick().expect("a tick");
    engine.order(&Order::Stop);
    let report = engine.rest();
    let answered = first.steps[0].classes[0].service_us.total() + report.statuses()[&200];
    assert_eq!(first.sent + report.sum().sent, answered, "what was sent is answered");
}

#[test]
fn who_loses_the_engine_stops() {
    let mut engine = Engine::start(work(&plan(answering(OK), 3, 3_600_000)));
    engine.next_tick();
    assert_eq!(engine.leave(), format!("{:?}", std::process::ExitCode::FAILURE));
    let (engine, _) = Engine::with(work(&plan(answering(OK), 3, 1000)));
    assert_eq!(engine.leave(), format!("{:?}", std::process::ExitCode::FAILURE));
}

#[test]
fn work_that_cannot_be_done_is_refused() {
    let mut order = work(&plan(answering(OK), 30, 1000));
    order.connections_max = 29;
    let (engine, said) = Engine::with(order);
    let reason = "30 users of this worker need 30 connections, and it may open 29".to_owned();
    assert_eq!(said, Said::Refused(reason));
    assert_eq!(engine.leave(), format!("{:?}", std::process::ExitCode::FAILURE));
}

/// The most connections at the end of a second, and the whole.
fn most_connections(plan: &serde_json::Value) -> (u32, blitz_contract::load::Tick) {
    let mut order = work(plan);
    order.connections_max = 20_000;
    let report = Engine::start(order).rest();
    assert_eq!(report.errors(), BTreeMap::new(), "{:?}", report.ticks);
    (report.ticks.iter().map(|tick| tick.connections).max().unwrap_or(0), report.sum())
}

#[test]
fn a_slow_server_gets_as_many_connections_as_it_needs() {
    let slow = serve(|mut peer| {
        let (_hold, wait) = mpsc::channel::<()>();
        while peer.request().is_some() {
            let _: Result<(), _> = wait.recv_timeout(Duration::from_millis(200));
            peer.say(OK);
        }
    });
    let (connections, sum) = most_connections(&rate(slow, 1000, 3000));
    assert!((190..1000).contains(&connections), "{connections}");
    assert_eq!((sum.asked, sum.sent), (3000, 3000), "it keeps up");
    let response = &sum.steps[0].classes[0].response_us;
    let soon: u64 = response.counts().filter(|(us, _)| *us < 400_000).map(|(_, count)| count).sum();
    assert!(soon > 1500, "most wait for the server alone: {response:?}");
}

#[test]
fn a_fast_server_at_a_high_rate_gets_few_connections() {
    let (connections, sum) = most_connections(&rate(answering(OK), 3000, 3000));
    assert!(connections < 100, "{connections}");
    assert_eq!((sum.asked, sum.sent), (9000, 9000));
}

#[test]
fn connections_are_opened_no_faster_than_allowed() {
    let mut order = work(&plan(answering(OK), 100, 1000));
    order.connects_per_s = 20;
    let report = Engine::start(order).rest();
    // Those of the first second, and a few that a late start makes up for.
    assert!(report.sum().connect_us.total() <= 22, "{}", report.sum().connect_us.total());
    assert_eq!(report.errors(), BTreeMap::new());
}

#[test]
fn sources_take_turns() {
    let (seen, sources) = mpsc::channel();
    let address = serve(move |mut peer| {
        let from = peer.stream.peer_addr().expect("an address").ip().to_string();
        drop(seen.send(from));
        while peer.request().is_some() && peer.say(OK) {}
    });
    let mut plan = plan(address, 4, 60_000);
    plan["requests"] = json!(8);
    let mut order = work(&plan);
    order.sources = ["127.0.0.1", "127.0.0.2"].map(|ip| ip.parse().expect("an address")).into();
    let report = Engine::start(order).rest();
    assert_eq!(report.errors(), BTreeMap::new(), "{}", report.first(ErrorKind::Connect));
    let mut seen: Vec<String> = sources.try_iter().collect();
    seen.sort();
    assert_eq!(seen, ["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.2"]);
}
