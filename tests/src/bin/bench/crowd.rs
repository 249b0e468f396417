//! Many at once: `curl` jobs of one engine that all wait for a slow server, and what they wait beyond it.

use std::time::Duration;

use blitz_tests::{Api, Home};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::peer::Peer;
use crate::road::{state, text};
use crate::sample::{Sample, print_heads, say};

/// Users that submit a job and wait for its end, again and again.
const USERS: usize = 200;

/// Jobs of each; the first, which all start at once, is not counted.
const JOBS: usize = 5;

/// The server's answer comes after so long.
const WAIT: Duration = Duration::from_secs(2);

pub(crate) async fn measure(home: &Home) {
    let slots = USERS.to_string();
    let up = home.up(&["--region", "local", "--slots", &slots]).await;
    let state = state(home);
    let api = Api::new(text(&state, "gateway"), text(&state, "token"));
    let peer = Peer::start().await;
    let url = peer.url(&format!("/wait/{}/0", WAIT.as_millis()));

    let mut users = JoinSet::new();
    for user in 0..USERS {
        let (api, url) = (api.clone(), url.clone());
        users.spawn(async move {
            // Spread over one wait: what is measured is a busy engine and not a stampede.
            tokio::time::sleep(WAIT / 200 * u32::try_from(user).unwrap_or(0)).await;
            let mut seen = Vec::new();
            for _ in 0..JOBS {
                seen.push(one(&api, &url).await);
            }
            seen
        });
    }
    let (mut transfers, mut jobs) = (Sample::default(), Sample::default());
    while let Some(seen) = users.join_next().await {
        for (transfer, job) in seen.expect("a user").into_iter().skip(1) {
            transfers.add(transfer.saturating_sub(WAIT));
            jobs.add(job.saturating_sub(WAIT));
        }
    }
    up.kill().await;
    say("");
    say(&format!(
        "{USERS} curls at once on one engine, each waits {} s for its server",
        WAIT.as_secs()
    ));
    print_heads();
    transfers.print("what curl measured beyond that", "");
    jobs.print("from submitting the job to its end beyond that", "");
    let p99 = |sample: &Sample| sample.percentile(99).as_secs_f64() * 1e3;
    say(&format!("p99 {:.2} and {:.2}, aim <= 20", p99(&transfers), p99(&jobs)));
}

/// What the transfer took by its own account, and what the whole job took for its user.
async fn one(api: &Api, url: &str) -> (Duration, Duration) {
    let begun = std::time::Instant::now();
    let request = json!({"plugin": "curl", "args": ["-s", url], "regions": ["local"]});
    let job = api.submit_with(request).await;
    let events = api.follow(&job).await;
    let elapsed = begun.elapsed();
    let end = events.last().filter(|event| event.kind == "end").expect("an end");
    assert_eq!(end.data["exit"], json!({"status": 0}), "{events:?}");
    let frames = events.iter().filter_map(|event| event.data["frames"].as_array()).flatten();
    let transfer = frames.filter(|frame| frame["stream"] == "event:transfer").find_map(|frame| {
        let record: Value = serde_json::from_str(frame["text"].as_str()?).ok()?;
        record["phases"]["total_us"].as_u64()
    });
    (Duration::from_micros(transfer.expect("a record of the transfer")), elapsed)
}
