//! Real races: one job after the other before 1, 10 and 100 engines, idle or nearly all busy.

use std::sync::Arc;
use std::time::Instant;

use blitz_jobs::timing::Timing;
use blitz_tests::until;
use tokio::sync::mpsc;

use super::contender::{Contender, News, Tally};
use super::site::{HOLD, Site};
use crate::sample::{Sample, say};

/// Engines, and how many of them are busy.
const FIELDS: [(usize, usize); 5] = [(1, 0), (10, 0), (10, 9), (100, 0), (100, 90)];

/// Jobs that are counted, after some that are not: the first ones measure how long a feed takes.
const JOBS: usize = 300;
const WARM_UP: usize = 20;

/// News of engines that wait for the bench.
const NEWS_WAITING: usize = 1_024;

pub(crate) async fn measure() {
    say(
        "real feeds on the embedded store; engines in one process, which has the cores with the store",
    );
    say(&format!(
        "{:>8} {:>6} {:>6} {:>9} {:>9} {:>12} {:>9} {:>9} {:>9}   aim",
        "engines",
        "busy",
        "jobs",
        "PUTs/job",
        "409s/job",
        "by the store",
        "p50 ms",
        "p99 ms",
        "max ms"
    ));
    for (engines, busy) in FIELDS {
        race(engines, busy).await;
    }
    say("PUTs: writes of claims. p50, p99: from the spec's acknowledgement to the claim's 201.");
}

async fn race(engines: usize, busy: usize) {
    let site = Site::start().await;
    let tally = Arc::new(Tally::default());
    let (news_in, mut news) = mpsc::channel(NEWS_WAITING);
    let start = |number: usize| {
        let id = format!("engine-{number:03}");
        Contender::start(&site, &id, engines, Timing::default(), &tally, &news_in)
    };
    // The busy ones are alone until each has a job that does not end.
    let mut contenders: Vec<Contender> = (0..busy).map(start).collect();
    for _ in 0..busy {
        site.submit(&[HOLD]).await;
        while !matches!(news.recv().await, Some(News::Won { .. })) {}
    }
    contenders.extend((busy..engines).map(start));

    let mut latency = Sample::default();
    let (mut puts, mut refused) = (tally.puts(), tally.refused());
    let mut before = site.counters().await;
    for number in 0..WARM_UP + JOBS {
        if number == WARM_UP {
            (puts, refused, before) = (tally.puts(), tally.refused(), site.counters().await);
        }
        let job = site.submit(&[]).await;
        let acknowledged = Instant::now();
        loop {
            match news.recv().await {
                Some(News::Won { job: won, at, .. }) if won == job && number >= WARM_UP => {
                    latency.add(at.saturating_duration_since(acknowledged));
                }
                Some(News::Ended { job: ended }) if ended == job => break,
                _ => {}
            }
        }
        // The next job finds all engines as this one did: each has heard of the end.
        let ends = (number + 1) * engines;
        until("all engines hear of the end", || async {
            (tally.ends_heard() >= ends).then_some(())
        })
        .await;
    }
    let after = site.counters().await;
    let each = |count: usize| count as f64 / JOBS as f64;
    let by_store = (after.writes - after.stored) - (before.writes - before.stored);
    let ms = |percent| latency.percentile(percent).as_secs_f64() * 1e3;
    say(&format!(
        "{engines:>8} {busy:>6} {JOBS:>6} {:>9.2} {:>9.2} {:>12.2} {:>9.1} {:>9.1} {:>9.1}   PUTs <= 2",
        each(tally.puts() - puts),
        each(tally.refused() - refused),
        by_store / JOBS as f64,
        ms(50),
        ms(99),
        ms(100)
    ));
    for contender in contenders {
        contender.kill().await;
    }
}
