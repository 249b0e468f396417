//! Three places, each with a store, a gateway and engines, and the ways between them cut again and again, while jobs come
//! in everywhere: whether one is lost or ran twice, and how soon all clusters know the same after each heal.
//!
//! `plan` is what the seed decides, `site` starts everything, `sightings` is what each cluster has when, `verdict` judges.

pub(crate) mod plan;
mod sightings;
mod site;
mod verdict;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use blitz_jobs::timing::Timing;
use blitz_tests::net::{Wan, WanCut};
use futures_util::{StreamExt as _, stream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::flags::Flags;
use crate::run::{AGAIN_MAX, READERS, panics};
use crate::table::progress;
use crate::verdict::Read;
use crate::witness::Witness;
use crate::work::{Job, Submitter, Told};
use plan::Planned;
use sightings::Sightings;
use site::Site;
use verdict::Facts;

/// The places, each with a cluster of this name, and the regions whose engines are there.
pub(crate) const PLACES: [(&str, &str); 3] =
    [("tokyo", "japan"), ("virginia", "east"), ("ireland", "west")];

/// A job comes this often: each is a process's work for seconds, and all share this machine.
const PACE: Duration = Duration::from_millis(500);

/// After the last heal all jobs have ended within this time.
const END_MAX: Duration = Duration::from_secs(90);

/// What is not known everywhere so long after a heal is not waited for any more: the next cut comes.
const APART_MAX: Duration = Duration::from_secs(30);

/// How far it is, on stderr.
const TELL: Duration = Duration::from_secs(15);

/// A cut that was made.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) what: String,
    pub(crate) at: Instant,
    pub(crate) healed: Instant,
    /// From the heal until all clusters had what any of them had at the heal.
    pub(crate) converged: Option<Duration>,
    /// What came last to where it was missing, or did not.
    pub(crate) last: Vec<String>,
}

type Jobs = Arc<Mutex<BTreeMap<usize, Job>>>;

/// The network of a run.
pub(crate) fn network() -> Result<Wan, String> {
    let places: Vec<&str> = PLACES.iter().map(|(place, _)| *place).collect();
    let wan = Wan::build(&places).map_err(|error| error.to_string())?;
    // Whoever submits and looks on reaches everything, whatever is cut.
    wan.enter_lab().map_err(|error| error.to_string())?;
    Ok(wan)
}

/// True when nothing was violated.
pub(crate) async fn run(
    flags: &Flags,
    count: usize,
    wan: Wan,
    directory: &Path,
) -> Result<bool, String> {
    let timing = Timing::faster(flags.faster);
    let witness = Witness::start_at("0.0.0.0:0").await?;
    let site = Arc::new(Site::start(flags, wan, directory.to_owned()).await?);
    let seen = Sightings::follow(&site);
    let cuts = plan::plan(count, flags.seed, PLACES.len());
    let works = plan::works(flags.seed, &timing);

    let jobs: Jobs = Arc::default();
    let refused: Arc<Mutex<Vec<String>>> = Arc::default();
    let begun = Instant::now();
    let mut running = JoinSet::new();
    let made: Mutex<Vec<Made>> = Mutex::default();
    let submits = async {
        for (number, due) in (0..).zip(0u32..) {
            tokio::time::sleep_until(begun + PACE * due).await;
            let work = works(number);
            let submitter = site.submitter(number, witness.address.port());
            let (jobs, refused) = (Arc::clone(&jobs), Arc::clone(&refused));
            running.spawn(async move {
                match submitter.submit(work).await {
                    Ok(job) => follow(&submitter, &jobs, job).await,
                    Err(why) => lock(&refused).push(why),
                }
            });
        }
    };
    let tells = async {
        loop {
            tokio::time::sleep(TELL).await;
            let (accepted, ended) = {
                let jobs = lock(&jobs);
                (jobs.len(), jobs.values().filter(|job| job.ended.is_some()).count())
            };
            let (cuts, at) = (lock(&made).len(), begun.elapsed().as_secs());
            progress(&format!("{at:>5} s: {accepted} accepted, {ended} ended, {cuts} cuts"));
        }
    };
    tokio::select! {
        made = make(&site, &seen, cuts, &made) => made?,
        () = submits => {}
        () = tells => {}
    }
    let limit = Instant::now() + END_MAX;
    let all = async { while running.join_next().await.is_some() {} };
    // Those who wait at the limit wait for what is lost.
    tokio::time::timeout_at(limit, all).await.ok();
    running.shutdown().await;

    let mut broken = site.ended_by_itself().await;
    let jobs: Vec<Job> = lock(&jobs).values().cloned().collect();
    progress(&format!("{} jobs are read again by a second reader", jobs.len()));
    let (site_of, port) = (&site, witness.address.port());
    let reads: Vec<Read> = stream::iter(jobs)
        .map(|job| async move {
            // At a gateway elsewhere, which has heard nothing of it by its own users.
            read_again(&site_of.submitter(job.work.number, port), job).await
        })
        .buffered(READERS)
        .collect()
        .await;
    let apart = site.apart(&reads).await;
    broken.extend(panics(&directory.join("logs")));
    let facts = Facts {
        reads,
        refused: std::mem::take(&mut *lock(&refused)),
        broken,
        apart,
        cuts: lock(&made).clone(),
        runs: witness.all(),
        timing,
    };
    let violations = verdict::judge(&facts);
    verdict::print(flags, &facts, &violations, begun);
    Ok(violations.is_empty())
}

/// Makes the cuts one after the other, each healed until all know the same again.
async fn make(
    site: &Site,
    seen: &Sightings,
    cuts: Vec<Planned>,
    made: &Mutex<Vec<Made>>,
) -> Result<(), String> {
    for planned in cuts {
        tokio::time::sleep(planned.after).await;
        let at = Instant::now();
        site.cut(planned.cut)?;
        tokio::time::sleep(planned.lasts).await;
        site.heal()?;
        let healed = Instant::now();
        let mut missing = seen.missing();
        let mut last = Vec::new();
        while !missing.is_empty() && healed.elapsed() < APART_MAX {
            last = missing.iter().take(EVIDENCE_MAX).map(ToString::to_string).collect();
            tokio::time::sleep(Duration::from_millis(20)).await;
            seen.strike_out(&mut missing);
        }
        let converged = missing.is_empty().then(|| healed.elapsed());
        let what = said(planned.cut);
        lock(made).push(Made { what, at, healed, converged, last });
    }
    Ok(())
}

/// Documents that are named when they came late: what one person reads.
const EVIDENCE_MAX: usize = 5;

fn said(cut: WanCut) -> String {
    let name = |place: usize| PLACES[place].0;
    match cut {
        WanCut::Down(place) => format!("{} down", name(place)),
        WanCut::Lost(place) => format!("{} lost", name(place)),
        WanCut::Between(one, other) => format!("{} and {}", name(one), name(other)),
        WanCut::OneWay(from, to) => format!("{} to {}", name(from), name(to)),
    }
}

async fn follow(submitter: &Submitter, jobs: &Jobs, mut job: Job) {
    let number = job.work.number;
    lock(jobs).insert(number, job.clone());
    job.told = submitter.follow(&job.id, number).await;
    job.ended = Some(Instant::now());
    lock(jobs).insert(number, job);
}

async fn read_again(submitter: &Submitter, job: Job) -> Read {
    let number = job.work.number + 1;
    let again = match job.ended {
        Some(_) => timeout(AGAIN_MAX, submitter.follow(&job.id, number)).await.unwrap_or_default(),
        None => Told::default(),
    };
    let state = submitter.state(&job.id, number).await.unwrap_or_default();
    Read { job, again, state }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
