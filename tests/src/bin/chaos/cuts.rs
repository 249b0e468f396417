//! Three places, each with a store, a gateway and engines, and the ways between them cut again and again, while jobs come
//! in everywhere: whether one is lost or ran twice, and how soon all clusters know the same after each heal.
//!
//! `plan` is what the seed decides, `site` starts everything, `sightings` is what each cluster has when, `verdict` judges.

pub(crate) mod plan;
mod sightings;
mod site;
mod verdict;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use blitz_jobs::timing::Timing;
use blitz_tests::net::{Wan, WanCut};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::flags::Flags;
use crate::followed::{Followed, lock};
use crate::run::panics;
use crate::table::say;
use crate::witness::Witness;
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

/// After a heal all clusters have what one of them had within this time.
pub(crate) const CONVERGED_MAX: Duration = Duration::from_secs(5);

/// What is not known everywhere so long after a heal is not waited for any more: the next cut comes.
const APART_MAX: Duration = Duration::from_secs(30);

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
    /// Of one that came late: the replications that did not run when its time was over.
    pub(crate) unwell: Vec<String>,
}

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

    let followed = Followed::default();
    let begun = Instant::now();
    let mut running = JoinSet::new();
    let made: Mutex<Vec<Made>> = Mutex::default();
    let port = witness.address.port();
    let submits = async {
        for (number, due) in (0..).zip(0u32..) {
            tokio::time::sleep_until(begun + PACE * due).await;
            let (work, submitter) = (works(number), site.submitter(number, port));
            let followed = followed.clone();
            running.spawn(async move { followed.one(&submitter, work).await });
        }
    };
    tokio::select! {
        made = make(&site, &seen, cuts, &made) => made?,
        () = submits => {}
        () = followed.tell(begun, || format!("{} cuts", lock(&made).len())) => {}
    }
    Followed::wait(running, Instant::now() + END_MAX).await;

    let mut broken = site.ended_by_itself().await;
    let reads = followed.read_again(|job| site.submitter(job.work.number, port)).await;
    let apart = site.apart(&reads).await;
    broken.extend(panics(&directory.join("logs")));
    let facts = Facts {
        reads,
        refused: followed.refused(),
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
        let (mut last, mut unwell) = (Vec::new(), None);
        while !missing.is_empty() && healed.elapsed() < APART_MAX {
            last = missing.iter().take(EVIDENCE_MAX).map(ToString::to_string).collect();
            tokio::time::sleep(Duration::from_millis(20)).await;
            seen.strike_out(&mut missing);
            if healed.elapsed() > CONVERGED_MAX && unwell.is_none() && !missing.is_empty() {
                unwell = Some(site.unwell_replications().await);
            }
        }
        let unwell = unwell.unwrap_or_default();
        let converged = missing.is_empty().then(|| healed.elapsed());
        let what = said(planned.cut);
        if converged.is_none_or(|took| took > CONVERGED_MAX) {
            say(&format!("{what} for {:.1?}: late, {converged:.1?}", healed - at));
        }
        lock(made).push(Made { what, at, healed, converged, last, unwell });
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
