//! What a request costs, on demand: `LOAD_URL=http://127.0.0.1:8080/ LOAD_CONNECTIONS=100 LOAD_MS=3000 cargo test
//! --release -p blitz-load --test it -- --ignored --nocapture measure`.

use std::env;

use serde_json::json;

use crate::engine::{Engine, plan, work};

fn number(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
#[ignore = "a measurement against a server of its own"]
fn measure() {
    let url = env::var("LOAD_URL").expect("LOAD_URL is the URL of a server");
    let users = u32::try_from(number("LOAD_CONNECTIONS", 100)).expect("fewer");
    let mut plan = plan("127.0.0.1:1".parse().expect("an address"), users, number("LOAD_MS", 3000));
    plan["steps"][0]["url"] = json!(url);
    if let Ok(version) = env::var("LOAD_VERSION") {
        plan["version"] = json!(version);
        plan["streams"] = json!(number("LOAD_STREAMS", 1));
    }
    if let Ok(rate) = env::var("LOAD_RATE") {
        let rate: f64 = rate.parse().expect("a rate");
        plan["shape"] = json!({"rate": {"segments": [
            {"from": rate, "to": rate, "duration_ms": number("LOAD_MS", 3000)}]}});
        plan["connections"] = json!(users);
    }
    plan["verify"] = json!(false);
    plan["keep_alive"] = json!(number("LOAD_KEEP", 1) == 1);
    let mut order = work(&plan);
    order.connections_max = 100_000;
    let report = Engine::start(order).rest();
    let sum = report.sum();
    let cpu_us: u64 = report.ticks.iter().map(|tick| tick.cpu_us).sum();
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    let hits: u64 = report.statuses().values().sum();
    let starved_us: u64 = report.ticks.iter().map(|tick| tick.starved_us).sum();
    #[expect(clippy::cast_precision_loss, reason = "for a person to read")]
    let each = cpu_us as f64 / hits.max(1) as f64;
    println!(
        "{hits} hits, {each:.2} us each, starved {starved_us} us, {} connects, errors {:?}, {peak}",
        sum.connect_us.total(),
        report.errors()
    );
    let most = report.ticks.iter().map(|tick| tick.connections).max().unwrap_or(0);
    println!("{most} connections at most, {} asked, {} sent", sum.asked, sum.sent);
    let class = &sum.steps[0].classes[0];
    for (name, of) in
        [("lag", &sum.lag_us), ("service", &class.service_us), ("response", &class.response_us)]
    {
        let total = of.total();
        let at = |per_mille: u64| {
            let mut seen = 0;
            of.counts().find(|(_, count)| {
                seen += count;
                seen * 1000 >= total * per_mille
            })
        };
        println!("{name} us: {:?}", [500, 900, 990, 999].map(|mille| at(mille).map(|(us, _)| us)));
    }
}
