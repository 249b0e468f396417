//! What is refused before the first packet, each with its kind and its words.

use std::time::Duration;

use blitz_contract::Exit;
use blitz_contract::load::Terms;
use blitz_runtime::{LoadCaps, RuntimeConfig, TargetPolicy};
use serde_json::{Value, json};

use crate::support::{Server, World, config, plan};

const DENIED: u8 = 10;
const LIMIT: u8 = 11;
const FAILED: u8 = 12;

async fn check(config: RuntimeConfig, server: &Server, plan: &str, status: u8, words: &[&str]) {
    let seen = World::new(config).await.run(plan, |_| {}).await;
    let error = seen.error();
    assert_eq!(seen.exit, Exit::Status(status), "{error}");
    for word in words {
        assert!(error.contains(word), "{word:?} is not in {error:?}");
    }
    assert_eq!(seen.records().len(), 0);
    assert_eq!(server.connections(), 0, "{error}");
}

#[tokio::test]
async fn who_may_not_be_loaded_sees_nothing() {
    let server = Server::start().await;
    let url = server.url();
    let one = plan(&url, 1, 1000, "send");
    let mut two = one.clone();
    two["steps"]
        .as_array_mut()
        .unwrap()
        .push(json!({"method": "GET", "url": "http://192.0.2.1/", "timeout_ms": 1000}));
    check(config(), &server, &two.to_string(), DENIED, &["192.0.2.1", "--load-target 192.0.2.1"])
        .await;
    let public = RuntimeConfig { targets: TargetPolicy::public_only(), ..config() };
    check(public, &server, &one.to_string(), DENIED, &["127.0.0.1", "public-only"]).await;
    let rule = format!("127.0.0.1:{}", server.address.port()).parse().unwrap();
    let closed = RuntimeConfig { targets: TargetPolicy::any().deny(rule), ..config() };
    check(closed, &server, &one.to_string(), DENIED, &["is denied by the rule"]).await;

    let world = World::new(config()).await;
    let seen = world.run(&one.to_string(), |invocation| invocation.capabilities.clear()).await;
    assert_eq!(seen.exit, Exit::Status(DENIED));
    assert!(seen.error().contains("no grant \"load\""), "{}", seen.error());
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn what_is_too_much_is_said_with_figures() {
    let server = Server::start().await;
    let url = server.url();
    let caps = LoadCaps { connections: 50, transactions_per_s: 100, connects_per_s: 40 };
    let with = |change: &dyn Fn(&mut RuntimeConfig)| {
        let mut config = config();
        change(&mut config);
        config
    };
    let engine = with(&|config| config.load.engine = caps);
    let target = with(&|config| config.load.target = caps);
    let rate = |to: f64, keep_alive: bool| -> Value {
        let mut plan = plan(&url, 1, 1000, "send");
        plan["shape"] =
            json!({"rate": {"segments": [{"from": 1.0, "to": to, "duration_ms": 1000}]}});
        plan["keep_alive"] = json!(keep_alive);
        plan
    };
    let users = |users: u32| plan(&url, users, 1000, "send");
    for (config, plan, words) in [
        (engine.clone(), users(51), &["51 connections on this engine", "it has 50"][..]),
        (target.clone(), users(51), &["51 connections to 127.0.0.1", "gives a target 50"]),
        (engine.clone(), rate(101.0, true), &["101 transactions per second on this engine", "100"]),
        (target.clone(), rate(101.0, true), &["101 transactions per second to 127.0.0.1"]),
        (engine, rate(41.0, false), &["41 new connections per second on this engine", "40"]),
        (config(), users(50_000), &["50000 connections", "source ports", "ip_local_port_range"]),
        (config(), users(90_000_000), &["90000000 connections", "descriptors", "LimitNOFILE"]),
    ] {
        check(config, &server, &plan.to_string(), LIMIT, words).await;
    }
    let long = format!("{}{}", users(1), " ".repeat(17 << 20));
    check(config(), &server, &long, LIMIT, &["at most 16 MiB"]).await;
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let server = Server::start().await;
    let mut bad = plan(&server.url(), 1, 1000, "send");
    bad["steps"][0]["timeout_ms"] = json!(0);
    check(config(), &server, &bad.to_string(), FAILED, &["steps[0].timeout_ms", "1 to 3600000"])
        .await;
    let refused = plan(&server.url(), 1, 1000, "refuse").to_string();
    check(config(), &server, &refused, FAILED, &["this worker cannot do that"]).await;
    let nobody = RuntimeConfig { child: None, ..config() };
    let plan = plan(&server.url(), 1, 1000, "send").to_string();
    check(nobody, &server, &plan, FAILED, &["no program for its load workers"]).await;
}

#[tokio::test]
async fn what_is_more_than_the_terms_of_the_run_sends_nothing() {
    let server = Server::start().await;
    let url = server.url();
    let mut rate = plan(&url, 1, 1000, "send");
    rate["shape"] = json!({"rate": {"segments": [{"from": 1.0, "to": 21.0, "duration_ms": 1000}]}});
    let terms =
        Terms { users: Some(5), rate_per_s: Some(20), duration: Some(Duration::from_millis(1500)) };
    for (plan, words) in [
        (plan(&url, 6, 1000, "send"), "a load test of 6 users, 5 are allowed (load_users)"),
        (rate, "21 requests in a second, 20 are allowed (load_rate_per_s)"),
        (plan(&url, 5, 2000, "send"), "a load test of 2 s, 1.5 s of today's are left"),
    ] {
        let world = World::new(config()).await;
        let seen = world.run(&plan.to_string(), |invocation| invocation.load.terms = terms).await;
        let error = seen.error();
        assert_eq!(seen.exit, Exit::Status(DENIED), "{error}");
        assert!(error.contains(words), "{words:?} is not in {error:?}");
        assert_eq!(server.connections(), 0, "{error}");
    }
    let world = World::new(config()).await;
    let plan = plan(&url, 5, 1000, "send").to_string();
    let seen = world.run(&plan, |invocation| invocation.load.terms = terms).await;
    assert_eq!(seen.exit, Exit::Status(0), "{}", seen.error());
    assert!(server.connections() > 0);
}
