//! One run: everything started, jobs and faults side by side, the end waited for, and then the verdict.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use blitz_jobs::timing::Timing;
use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::claims::Claims;
use crate::fault::{self, Trouble};
use crate::flags::Flags;
use crate::site::Site;
use crate::table::{self, say};
use crate::verdict::{self, Facts, Read};
use crate::witness::Witness;
use crate::work::{self, Job, Submitter};

/// After the last fault all jobs have ended within this time: a silent feed is noticed after 30 s, then a job is
/// taken and runs for twice T_dead.
const END_MAX: Duration = Duration::from_secs(60);

/// Without faults a job comes this often.
const PACE: Duration = Duration::from_millis(200);

/// How far it is, on stderr.
const TELL: Duration = Duration::from_secs(15);

/// A job that has ended is told again within this time; it waits for parts that do not come.
pub(crate) const AGAIN_MAX: Duration = Duration::from_secs(30);

/// Second readers at once.
pub(crate) const READERS: usize = 16;

type Jobs = Arc<Mutex<BTreeMap<usize, Job>>>;

/// True when nothing was violated.
pub(crate) async fn run(flags: &Flags, directory: &Path) -> Result<bool, String> {
    let timing = Timing::faster(flags.faster);
    let site = Arc::new(Site::start(flags, directory.to_owned()).await?);
    let witness = Witness::start().await?;
    let claims = Claims::follow(site.store.database(&site.jobs_database()));
    let trouble = Trouble {
        site: Arc::clone(&site),
        claims: claims.clone(),
        faults: Arc::default(),
        broken: Arc::default(),
    };
    let works = work::plan(flags.jobs, flags.seed, &timing);
    let faults = fault::plan(flags.faults, flags.seed, &flags.kinds, &timing);
    let gap = timing.dead / 4;
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let pace = match flags.faults {
        0 => PACE,
        faults => gap * count(faults) / count(flags.jobs),
    };

    let jobs: Jobs = Arc::default();
    let refused: Arc<Mutex<Vec<String>>> = Arc::default();
    let submitter = site.submitter(witness.address);
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for (work, number) in works.iter().cloned().zip(0u32..) {
        let (submitter, jobs, refused) = (submitter.clone(), jobs.clone(), refused.clone());
        running.spawn(async move {
            tokio::time::sleep_until(begun + pace * number).await;
            match submitter.submit(work).await {
                Ok(job) => follow(&submitter, &jobs, job).await,
                Err(why) => lock(&refused).push(why),
            }
        });
    }
    let tells = async {
        loop {
            tokio::time::sleep(TELL).await;
            let (accepted, ended) = {
                let jobs = lock(&jobs);
                (jobs.len(), jobs.values().filter(|job| job.ended.is_some()).count())
            };
            let (faults, at) = (trouble.all().len(), begun.elapsed().as_secs());
            table::progress(&format!(
                "{at:>5} s: {accepted} accepted, {ended} ended, {faults} faults"
            ));
        }
    };
    tokio::select! {
        () = trouble.make(faults, gap) => {}
        () = tells => {}
    }
    let submitted = begun + pace * count(flags.jobs);
    let limit = submitted.max(Instant::now()) + END_MAX;
    let all = async { while running.join_next().await.is_some() {} };
    // Those who wait at the limit wait for what is lost.
    tokio::time::timeout_at(limit, all).await.ok();
    running.shutdown().await;

    let mut broken = std::mem::take(&mut *lock(&trouble.broken));
    broken.extend(ended_by_itself(&site).await);
    let jobs: Vec<Job> = lock(&jobs).values().cloned().collect();
    table::progress(&format!("{} jobs are read again by a second reader", jobs.len()));
    let submitter = &submitter;
    let reads: Vec<Read> = stream::iter(jobs)
        .map(|job| async move { read_again(submitter, job).await })
        .buffered(READERS)
        .collect()
        .await;
    broken.extend(panics(&directory.join("logs")));
    let facts = Facts {
        reads,
        works,
        refused: std::mem::take(&mut *lock(&refused)),
        broken,
        faults: trouble.all(),
        steps: claims.all(),
        runs: witness.all(),
        timing,
    };
    let verdict = verdict::judge(&facts);
    table::print(flags, &facts, &verdict, begun.elapsed());
    for violation in verdict.violations.iter().filter(|v| v.job.is_some()).take(EVIDENCE_MAX) {
        table::evidence(&facts, violation, begun, &documents(&site, violation).await);
    }
    if flags.keep {
        for slow in verdict.slowest() {
            table::evidence(&facts, &slow, begun, &documents(&site, &slow).await);
        }
    }
    if verdict.violations.is_empty() {
        return Ok(true);
    }
    say(&format!("\nseed {}: {} violations", flags.seed, verdict.violations.len()));
    Ok(false)
}

/// Violations whose evidence is printed: what one person reads.
const EVIDENCE_MAX: usize = 12;

async fn follow(submitter: &Submitter, jobs: &Jobs, mut job: Job) {
    let number = job.work.number;
    lock(jobs).insert(number, job.clone());
    job.told = submitter.follow(&job.id, number).await;
    job.ended = Some(Instant::now());
    lock(jobs).insert(number, job);
}

/// By a reader that has heard nothing of it, at another gateway where there is one.
async fn read_again(submitter: &Submitter, job: Job) -> Read {
    let number = job.work.number + 1;
    let again = match job.ended {
        Some(_) => timeout(AGAIN_MAX, submitter.follow(&job.id, number)).await.unwrap_or_default(),
        None => work::Told::default(),
    };
    let state = submitter.state(&job.id, number).await.unwrap_or_default();
    Read { job, again, state }
}

/// Parts that should run and do not.
async fn ended_by_itself(site: &Site) -> Vec<String> {
    let mut ended = Vec::new();
    for seat in &site.engines {
        let how = seat.process.lock().await.ended();
        ended.extend(how.map(|how| format!("engine {} ended by itself: {how}", seat.id())));
    }
    for (number, gateway) in site.gateways.iter().enumerate() {
        let how = gateway.process.lock().await.ended();
        ended.extend(how.map(|how| format!("gateway {number} ended by itself: {how}")));
    }
    if let Some(store) = &site.own_store {
        let how = store.lock().await.ended();
        ended.extend(how.map(|how| format!("the store ended by itself: {how}")));
    }
    ended
}

/// A task that panics does not end its process: its log has it.
pub(crate) fn panics(logs: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for log in std::fs::read_dir(logs).into_iter().flatten().flatten() {
        let text = std::fs::read(log.path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let panics = text.lines().filter(|line| line.contains("panicked at"));
        found.extend(panics.map(|line| format!("{}: {line}", log.path().display())));
    }
    found
}

/// What the store has of a job.
async fn documents(site: &Site, violation: &verdict::Violation) -> Vec<String> {
    let Some(job) = &violation.job else { return Vec::new() };
    let jobs = site.store.database(&site.jobs_database());
    let mut documents = Vec::new();
    for part in ["run", "start", "cancel"] {
        let id = format!("{job}:{part}");
        match jobs.leaves::<Value>(&id, None).await {
            Ok(leaves) => documents
                .extend(leaves.iter().map(|leaf| format!("{id} {} {}", leaf.revision, leaf.body))),
            Err(error) => documents.push(format!("{id}: {error}")),
        }
    }
    documents
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
