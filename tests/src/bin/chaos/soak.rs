//! No faults: a steady stream of jobs over a long time, and whether any process grows.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::flags::Flags;
use crate::resident::Growth;
use crate::site::Site;
use crate::table::{progress, say};
use crate::witness::Witness;
use crate::work::{self, Submitter};

/// A sample this often.
const SAMPLE: Duration = Duration::from_secs(5);

/// How far it is, on stderr.
const TELL: Duration = Duration::from_secs(30);

/// Jobs on their way at once: when so many wait, the next one waits too, and the pace is not kept.
const ON_THE_WAY_MAX: usize = 200;

/// A job of the soak ends within this time.
const JOB_MAX: Duration = Duration::from_secs(60);

/// True when nothing grew and all jobs were done.
pub(crate) async fn run(flags: &Flags, lasts: Duration, directory: &Path) -> Result<bool, String> {
    let site = Arc::new(Site::start(flags, directory.to_owned()).await?);
    let submitter = site.submitter(Witness::start().await?.address);
    let mut growths = processes(&site).await;
    let begun = Instant::now();
    let pace = lasts / u32::try_from(flags.jobs).unwrap_or(u32::MAX);
    let wrong: Arc<Mutex<Vec<String>>> = Arc::default();
    let done = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let works = async {
        let mut running: JoinSet<()> = JoinSet::new();
        for (number, due) in (0..flags.jobs).zip(0u32..) {
            // Begins with the busiest moment that there can be: what grows with it has grown.
            let at_once = u32::try_from(ON_THE_WAY_MAX).unwrap_or(u32::MAX);
            tokio::time::sleep_until(begun + pace * due.saturating_sub(at_once)).await;
            while running.len() >= ON_THE_WAY_MAX {
                running.join_next().await;
            }
            while running.try_join_next().is_some() {}
            let (submitter, wrong, done) = (submitter.clone(), wrong.clone(), done.clone());
            running.spawn(async move {
                let ended = timeout(JOB_MAX, one(&submitter, number)).await;
                match ended
                    .unwrap_or_else(|_| Err(format!("job {number} has no end after {JOB_MAX:?}")))
                {
                    Ok(()) => drop(done.fetch_add(1, std::sync::atomic::Ordering::Relaxed)),
                    Err(why) => wrong.lock().unwrap_or_else(PoisonError::into_inner).push(why),
                }
            });
        }
        while running.join_next().await.is_some() {}
    };
    let samples = async {
        let mut told = begun;
        loop {
            let at = begun.elapsed();
            for growth in &mut growths {
                growth.sample(at);
            }
            if told.elapsed() >= TELL {
                told = Instant::now();
                let done = done.load(std::sync::atomic::Ordering::Relaxed);
                progress(&format!("{:>5} s: {done} jobs done", at.as_secs()));
            }
            tokio::time::sleep(SAMPLE).await;
        }
    };
    tokio::select! {
        () = works => {}
        () = samples => {}
    }
    let took = begun.elapsed();
    let wrong = std::mem::take(&mut *wrong.lock().unwrap_or_else(PoisonError::into_inner));
    let done = done.load(std::sync::atomic::Ordering::Relaxed);
    say(&format!(
        "soak: {done} of {} jobs done in {took:.0?}, {:.1} a second, {} engines, {} gateways",
        flags.jobs,
        done as f64 / took.as_secs_f64(),
        flags.engines,
        flags.gateways
    ));
    Growth::print_heads();
    let mut is_clean = wrong.is_empty();
    for growth in &growths {
        is_clean &= growth.print();
    }
    Growth::print_rules();
    for why in wrong.iter().take(20) {
        say(&format!("  {why}"));
    }
    if !wrong.is_empty() {
        say(&format!("{} jobs were not done", wrong.len()));
    }
    Ok(is_clean)
}

async fn one(submitter: &Submitter, number: usize) -> Result<(), String> {
    let work = work::short(number);
    let job = submitter.submit(work.clone()).await?;
    let told = submitter.follow(&job.id, number).await;
    let end = told.end.unwrap_or_default();
    match end["state"] == "done" && told.output == work.output(&job.name) {
        true => Ok(()),
        false => Err(format!("{}: {end}, told {:?}", job.id, told.output)),
    }
}

async fn processes(site: &Site) -> Vec<Growth> {
    let mut growths = Vec::new();
    if let Some(store) = &site.own_store {
        growths.push(Growth::new("store", store.lock().await.pid()));
    }
    for (number, gateway) in site.gateways.iter().enumerate() {
        growths.push(Growth::new(&format!("gateway {number}"), gateway.process.lock().await.pid()));
    }
    for seat in &site.engines {
        growths
            .push(Growth::new(&format!("engine {}", seat.id()), seat.process.lock().await.pid()));
    }
    growths
}
