//! Bursts of submissions, timed one by one, and the CPU time of both processes for each.

use std::process::Stdio;
use std::time::{Duration, Instant};

use blitz_contract::Manifest;
use blitz_tests::program::address;
use blitz_tests::{Api, FIXTURE, FIXTURE_MANIFEST, Home, until};
use serde_json::{Value, json};
use tokio::process::Child;
use tokio::task::JoinSet;

use crate::claims::site::{REGION, Site};
use crate::sample::{Sample, say};
use crate::store::server::cpu;

/// Jobs of one burst.
const BURST: usize = 1_000;

/// Bursts that are counted, after one that is not: 10 ms of CPU, which the kernel counts in, are a hundredth of what is measured.
const BURSTS: usize = 3;

/// Who submits at once, each the next job when it has the answer to the last.
const CLIENTS: usize = 8;

/// The token of the gateway.
const TOKEN: &str = "token-of-a-bench";

/// Limits that are looked at and never met.
const NEVER: u64 = 1_000_000_000;

pub(super) async fn measure() {
    let site = Site::start().await;
    let manifest = Manifest::from_toml(FIXTURE_MANIFEST).expect("the fixture's manifest");
    blitz_jobs::plugin::publish(&site.client, manifest, FIXTURE).await.expect("published");
    let home = Home::new(&std::env::current_exe().expect("the path of this program"));
    let url = site.url();
    let words =
        ["gateway", "--store", &url, "--listen", "127.0.0.1:0", "--accounts-key", "accounts.key"];
    let mut command = home.command(&words);
    command.env("BLITZ_TOKEN", TOKEN).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut gateway = command.spawn().expect("the gateway starts");
    let base = format!("http://{}", address(&mut gateway).await);
    let operator = Api::new(&base, TOKEN);
    until("a gateway that knows the fixture", || async {
        let answer = operator.try_raw("GET", "/v1/plugins/fixture", &[], None).await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;

    say(&format!(
        "{BURSTS} bursts of {BURST} jobs, {CLIENTS} clients at once{:>8} {:>8} {:>8} {:>10} {:>10}   aim",
        "p50 ms", "p99 ms", "max ms", "gateway us", "store us"
    ));
    let aim = "p99 <= 25 ms, <= 300 us of the gateway";
    bursts(&operator, &site, &gateway, "operator: no guards", "").await;
    match key(&operator).await {
        Ok(secret) => {
            let member = Api::new(&base, &secret);
            bursts(&member, &site, &gateway, "tenant: key, quota, policy, audit", aim).await;
        }
        Err(why) => say(&format!("tenant: not measured, {why}")),
    }
    gateway.kill().await.expect("ended");
}

/// A key of a tenant whose plan has every limit.
async fn key(operator: &Api) -> Result<String, String> {
    let plan = json!({
        "jobs_per_hour": NEVER, "jobs_at_once": NEVER, "engines_per_run": NEVER, "load_users": NEVER,
        "load_rate_per_s": NEVER, "load_minutes_per_day": NEVER, "output_bytes": NEVER,
    });
    let tenant = json!({"name": "bench", "plan": "bench"});
    let key = json!({"tenant": "bench", "user": "ann", "scopes": {"rate_per_minute": 1_000_000}});
    let mut told = Value::Null;
    for (method, path, body) in [
        ("PUT", "/v1/plans/bench", &plan),
        ("POST", "/v1/tenants", &tenant),
        ("POST", "/v1/keys", &key),
    ] {
        let (status, answer) = operator.call(method, path, Some(body)).await;
        if !status.is_success() {
            return Err(format!("{method} {path} is answered with {status} {answer}"));
        }
        told = answer;
    }
    let secret = told["secret"].as_str().map(str::to_owned);
    let secret = secret.ok_or("a key was made without its secret")?;
    // The gateway hears of its own key on a feed.
    let member = Api::new(&operator.base, &secret);
    until("the key is known", || async {
        let answer = member.try_raw("GET", "/v1/whoami", &[], None).await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    Ok(secret)
}

async fn bursts(api: &Api, site: &Site, gateway: &Child, name: &str, aim: &str) {
    burst(api).await;
    let mut sample = Sample::default();
    let spent = || gateway.id().and_then(cpu).unwrap_or_default();
    let before = (spent(), site.served().cpu());
    for _ in 0..BURSTS {
        sample.extend(burst(api).await);
    }
    let after = (spent(), site.served().cpu());
    let ms = |percent| sample.percentile(percent).as_secs_f64() * 1e3;
    let each = |from: Duration, to: Duration| {
        to.saturating_sub(from).as_secs_f64() * 1e6 / sample.len() as f64
    };
    say(&format!(
        "{name:<44} {:>8.2} {:>8.2} {:>8.2} {:>10.0} {:>10.0}   {aim}",
        ms(50),
        ms(99),
        ms(100),
        each(before.0, after.0),
        each(before.1, after.1),
    ));
}

/// One burst: the time of each submission until its answer.
async fn burst(api: &Api) -> Sample {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let api = api.clone();
        clients.spawn(async move {
            let mut sample = Sample::default();
            for _ in 0..BURST / CLIENTS {
                let job = json!({
                    "plugin": "fixture", "args": ["noop"], "regions": [REGION],
                    // Nothing is over while this measures, and all of them together do not fill the queue.
                    "queue_timeout_ms": 600_000,
                });
                let begun = Instant::now();
                api.submit_with(job).await;
                sample.add(begun.elapsed());
            }
            sample
        });
    }
    let mut all = Sample::default();
    while let Some(sample) = clients.join_next().await {
        all.extend(sample.expect("a client that does not panic"));
    }
    all
}
