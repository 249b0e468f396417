//! One run: everything started, jobs and faults side by side, the end waited for, and then the verdict.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use blitz_jobs::timing::Timing;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::claims::Claims;
use crate::fault::{self, Trouble};
use crate::flags::Flags;
use crate::followed::{Followed, lock};
use crate::site::Site;
use crate::table::{self, say};
use crate::verdict::{self, Facts};
use crate::witness::Witness;
use crate::work;

/// After the last fault all jobs have ended within this time: a silent feed is noticed after 30 s, then a job is
/// taken and runs for twice T_dead.
const END_MAX: Duration = Duration::from_secs(60);

/// Without faults a job comes this often.
const PACE: Duration = Duration::from_millis(200);

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

    let followed = Followed::default();
    let submitter = site.submitter(witness.address);
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for (work, number) in works.iter().cloned().zip(0u32..) {
        let (submitter, followed) = (submitter.clone(), followed.clone());
        running.spawn(async move {
            tokio::time::sleep_until(begun + pace * number).await;
            followed.one(&submitter, work).await;
        });
    }
    tokio::select! {
        () = trouble.make(faults, gap) => {}
        () = followed.tell(begun, || format!("{} faults", trouble.all().len())) => {}
    }
    let submitted = begun + pace * count(flags.jobs);
    Followed::wait(running, submitted.max(Instant::now()) + END_MAX).await;

    let mut broken = std::mem::take(&mut *lock(&trouble.broken));
    broken.extend(ended_by_itself(&site).await);
    let reads = followed.read_again(|_| submitter.clone()).await;
    broken.extend(panics(&directory.join("logs")));
    let facts = Facts {
        reads,
        works,
        refused: followed.refused(),
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
