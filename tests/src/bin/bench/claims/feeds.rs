//! A store that is ended and comes back: when a thousand feeds of engines have heard what is new.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use blitz_jobs::JobId;
use blitz_jobs::feed::{self, Asked, Heard};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::site::Site;
use crate::sample::{Sample, say};

/// Engines of a large region.
const FEEDS: usize = 1_000;

/// How long the store is away: a restart, and long enough for every feed to have come to its longest pause.
const OUTAGES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(40)];

/// What waits between a feed and its listener; little is said here.
const HEARD_WAITING: usize = 16;

/// Longer than any feed may take: what has not been heard by then is told as missing.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) async fn measure() {
    let mut site = Site::start().await;
    let (told_in, mut told) = mpsc::channel(FEEDS);
    let mut feeds = JoinSet::new();
    for number in 0..FEEDS {
        // Each engine is a process of its own in life, with connections of its own.
        let jobs = site.jobs(&site.client());
        let (heard_in, mut heard) = mpsc::channel(HEARD_WAITING);
        let told = told_in.clone();
        feeds.spawn(async move {
            let listen = async {
                while let Some(thing) = heard.recv().await {
                    if let Heard::Spec(spec) = thing {
                        told.send((number, spec.job.clone(), Instant::now())).await.ok();
                    }
                }
            };
            tokio::join!(feed::follow(jobs, 1, None, Asked::never(), heard_in), listen);
        });
    }
    let begun = Instant::now();
    let first = site.submit(&[]).await;
    let all = hearing(&mut told, &first, begun).await;
    assert_eq!(all.len(), FEEDS, "feeds that have begun");
    let here = descriptors(std::process::id());
    let there = site.served().pid().map_or(0, descriptors);
    say(&format!(
        "{FEEDS} feeds of engines; descriptors open: {here} here, {there} in the store; limit {}",
        limit()
    ));
    say(&format!(
        "{:<52} {:>5} {:>7} {:>7} {:>7}   aim",
        "store killed; from its start until feeds heard, s", "n", "50 %", "99 %", "all"
    ));
    for outage in OUTAGES {
        site.kill().await;
        tokio::time::sleep(outage).await;
        site.start_again().await;
        let back = Instant::now();
        let cpu = site.served().cpu();
        let job = site.submit(&[]).await;
        let all = hearing(&mut told, &job, back).await;
        let s = |percent| all.percentile(percent).as_secs_f64();
        say(&format!(
            "{:<52} {:>5} {:>7.2} {:>7.2} {:>7.2}   all <= 10",
            format!("away for {} s", outage.as_secs()),
            all.len(),
            s(50),
            s(99),
            s(100)
        ));
        let cpu = site.served().cpu().saturating_sub(cpu);
        say(&format!("  the store's CPU until then: {:.2} s", cpu.as_secs_f64()));
    }
    feeds.shutdown().await;
}

/// When each feed has heard of the job; those are missing that have not when the limit has passed.
async fn hearing(
    told: &mut mpsc::Receiver<(usize, JobId, Instant)>,
    wanted: &JobId,
    since: Instant,
) -> Sample {
    let limit = tokio::time::Instant::from_std(since + LIMIT);
    let (mut feeds, mut sample) = (HashSet::new(), Sample::default());
    while feeds.len() < FEEDS
        && let Ok(Some((number, job, at))) = tokio::time::timeout_at(limit, told.recv()).await
    {
        // A feed may tell again what it has told before.
        if job == *wanted && feeds.insert(number) {
            sample.add(at.saturating_duration_since(since));
        }
    }
    sample
}

/// Open descriptors of a process.
fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// The soft limit of descriptors, as the system words it: `proc_pid_limits(5)`.
fn limit() -> String {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_whitespace().next()).unwrap_or("unknown").to_owned()
}
