//! Engines that fall silent while they hold a job: when the claim of another stands.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use blitz_jobs::JobId;
use blitz_jobs::timing::Timing;
use blitz_tests::until;
use tokio::sync::mpsc;

use super::contender::{Contender, News, Tally};
use super::site::{HOLD, Site};
use crate::sample::{Sample, say};

/// Engines of the region; whoever falls silent is replaced by a new one before the next wave.
const ENGINES: usize = 100;

/// Engines that fall silent in a wave, each at a moment of its own, and waves.
const SILENT: u32 = 20;
const WAVES: usize = 5;

/// How many times as fast as they ship the durations are: as they ship, and as tests have them.
const FACTORS: [u32; 2] = [1, 5];

/// What may come on top of the time after which an engine counts as dead.
const BEYOND_DEAD: Duration = Duration::from_secs(2);

/// A rescue that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(120);

const NEWS_WAITING: usize = 1_024;

pub(crate) async fn measure() {
    say(&format!(
        "{:<52} {:>4} {:>8} {:>8} {:>8}   aim",
        "from the silence to another's claim, s", "n", "p50", "p99", "max"
    ));
    for factor in FACTORS {
        let timing = Timing::faster(factor);
        let rescues = rescues(timing).await;
        let name = format!("{factor} times as fast as it ships (dead after {:?})", timing.dead);
        print(&rescues, &name, 1, timing.dead + BEYOND_DEAD);
        if factor > 1 {
            let dead = Timing::default().dead;
            print(&rescues, "  scaled back", factor, dead + BEYOND_DEAD);
        }
    }
}

fn print(rescues: &Sample, name: &str, factor: u32, aim: Duration) {
    let s = |percent| (rescues.percentile(percent) * factor).as_secs_f64();
    let (count, aim) = (rescues.len(), aim.as_secs_f64());
    let (p50, p99, max) = (s(50), s(99), s(100));
    say(&format!("{name:<52} {count:>4} {p50:>8.2} {p99:>8.2} {max:>8.2}   p99 <= {aim}"));
}

async fn rescues(timing: Timing) -> Sample {
    let site = Site::start().await;
    let tally = Arc::new(Tally::default());
    let (news_in, mut news) = mpsc::channel(NEWS_WAITING);
    let start = |number: usize| {
        let id = format!("engine-{number:03}");
        (id.clone(), Contender::start(&site, &id, ENGINES, timing, &tally, &news_in))
    };
    let mut engines: BTreeMap<String, Contender> = (0..ENGINES).map(start).collect();
    let mut started = ENGINES;
    let mut rescues = Sample::default();
    for _ in 0..WAVES {
        // Nobody is asked before all have begun to hear.
        let heard = tally.ends_heard();
        site.submit(&[]).await;
        let all = heard + ENGINES;
        until("all engines hear", || async { (tally.ends_heard() >= all).then_some(()) }).await;

        let mut holders = Vec::new();
        for _ in 0..SILENT {
            let held = site.submit(&[HOLD]).await;
            holders.push((winner(&mut news, &held).await.0, held));
        }
        // At least one beat has spoken for each job.
        tokio::time::sleep(timing.beat + timing.beat / 2).await;
        let mut silent: BTreeMap<JobId, Instant> = BTreeMap::new();
        for (engine, job) in holders {
            engines.remove(&engine).expect("an engine that runs").kill().await;
            silent.insert(job, Instant::now());
            tokio::time::sleep(timing.beat / SILENT).await;
        }
        let limit = tokio::time::Instant::now() + LIMIT;
        while !silent.is_empty() {
            let next = tokio::time::timeout_at(limit, news.recv()).await;
            let next = next.expect("every job is taken over in time");
            if let Some(News::Won { job, at, .. }) = next
                && let Some(since) = silent.remove(&job)
            {
                rescues.add(at.saturating_duration_since(since));
            }
        }
        while engines.len() < ENGINES {
            let (id, engine) = start(started);
            engines.insert(id, engine);
            started += 1;
        }
    }
    for (_, engine) in engines {
        engine.kill().await;
    }
    rescues
}

/// Who has won the job, and when.
async fn winner(news: &mut mpsc::Receiver<News>, wanted: &JobId) -> (String, Instant) {
    loop {
        match news.recv().await {
            Some(News::Won { job, engine, at }) if job == *wanted => return (engine, at),
            Some(_) => {}
            None => unreachable!("the bench itself may tell news"),
        }
    }
}
