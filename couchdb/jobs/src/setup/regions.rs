//! Adding, changing and moving a region: its databases, its replications and its document, in this order, so that whoever sees
//! the document finds the databases. Only a home that is made anew has the document, with its new epoch, first.

use std::collections::BTreeSet;

use super::apply::{Applied, What, apply, crowded};
use super::clusters::control;
use super::error::SetupError;
use super::inspect::inspect;
use super::known::Known;
use super::operators::Operators;
use super::prune::prune;
use crate::id::BadName;
use crate::region::{Failover, Place, Region, Rotation, is_name};
use crate::topology::plan;

/// What somebody wants a region to be; what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wish {
    /// Its hubs.
    pub hubs: Option<Vec<String>>,
    /// Other words for it.
    pub aliases: Option<Vec<String>>,
    /// Where it is.
    pub place: Option<Place>,
    /// Who may use it; an empty list is everybody.
    pub access: Option<Vec<String>>,
    /// Where its jobs may go; an empty list is wherever its engines let them.
    pub targets: Option<Vec<String>>,
    /// What its engines do without their home.
    pub failover: Option<Failover>,
    /// How it changes its databases; `Some(None)` is never.
    pub rotation: Option<Option<Rotation>>,
    /// How many databases take new specs.
    pub lanes: Option<u32>,
    /// Former homes that will never answer again.
    pub forget: Vec<String>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its document, as it is now.
    pub region: Region,
    /// Its document was not there.
    pub is_new: bool,
    /// What else there is to say, a line each.
    pub notes: Vec<String>,
    /// What was done.
    pub applied: Applied,
}

/// Makes a region. Doing it again changes nothing.
///
/// # Errors
///
/// [`SetupError::Duplicate`] when there is one of this name that is not as it is wanted.
pub async fn add(
    operators: &Operators,
    name: &str,
    home: Option<&str>,
    wish: &Wish,
) -> Result<Outcome, SetupError> {
    let region = Region::new(name)?;
    let known = read(operators).await?;
    let Some(before) = known.regions().into_iter().find(|one| one.name == name) else {
        let Some(home) = home else {
            let (region, known) = (name.to_owned(), known.cluster_names());
            return Err(SetupError::NoHome { region, known });
        };
        let mut wanted = Region { home: Some(home.to_owned()), ..region };
        // Words that it would have had from the start, unless they are another's.
        wanted.aliases.retain(|word| known.region(word).is_none());
        wish.make(&mut wanted);
        return settle(operators, known, None, wanted).await;
    };
    let before = at_home(operators, before);
    let mut wanted = before.clone();
    if let Some(home) = home {
        wanted.home = Some(home.to_owned());
    }
    wish.make(&mut wanted);
    let differs = differences(&before, &wanted);
    if !differs.is_empty() {
        return Err(SetupError::Duplicate { region: name.to_owned(), differs: differs.join(", ") });
    }
    settle(operators, known, Some(before.clone()), before).await
}

/// Makes a region with its home in the near cluster, unless there is one of this name, wherever it is.
///
/// # Errors
///
/// As [`add`].
pub async fn ensure(operators: &Operators, name: &str) -> Result<(), SetupError> {
    let known = Known::read(operators).await?;
    if known.region(name).is_some() {
        return Ok(());
    }
    let near = operators.clusters.own().ok_or(SetupError::NoName)?;
    add(operators, name, Some(near), &Wish::default()).await.map(drop)
}

/// Changes a region, and sees to everything that it needs: former homes that answer again become hubs, and a home that was
/// wiped has its databases again.
///
/// # Errors
///
/// [`SetupError`].
pub async fn set(operators: &Operators, name: &str, wish: &Wish) -> Result<Outcome, SetupError> {
    let known = read(operators).await?;
    let before = at_home(operators, find(&known, name)?);
    let mut wanted = before.clone();
    wish.make(&mut wanted);
    settle(operators, known, Some(before), wanted).await
}

/// Moves a region's home, in a new epoch. A former home that answers becomes a hub, so that what it has comes over.
///
/// # Errors
///
/// [`SetupError`]; the new home must answer.
pub async fn move_to(operators: &Operators, name: &str, to: &str) -> Result<Outcome, SetupError> {
    let known = read(operators).await?;
    let before = at_home(operators, find(&known, name)?);
    let mut wanted = before.clone();
    let mut notes = Vec::new();
    if before.home.as_deref() != Some(to) {
        wanted.home = Some(to.to_owned());
        wanted.home_epoch += EPOCHS_A_HOME;
        wanted.hubs.retain(|hub| hub != to);
        wanted.former.retain(|former| former != to);
        let old = before.home.clone().filter(|old| known.cluster(old).is_some());
        if let Some(old) = old {
            match answers(operators, &known, &old).await {
                Ok(()) => {
                    notes.push(format!(
                        "cluster '{old}' was the home and is a hub now: what it has comes over"
                    ));
                    wanted.hubs.push(old);
                }
                Err(error) => {
                    notes.push(format!(
                        "cluster '{old}' was the home and cannot help: {error}; what it has that was not replicated is only there. \
                         When it answers again, run 'blitz region set {name}': it becomes a hub, and what it has comes over. If it \
                         never will: 'blitz region set {name} --forget {old}'. Engines and gateways whose near cluster it is do not \
                         hear of the move: start them again with --cluster {}",
                        wanted.home.as_deref().unwrap_or_default()
                    ));
                    wanted.former.push(old);
                }
            }
        }
    }
    let mut outcome = settle(operators, known, Some(before), wanted).await?;
    notes.append(&mut outcome.notes);
    Ok(Outcome { notes, ..outcome })
}

/// Begins a new epoch at the same home: another server has taken its place, or it has lost its databases in this `epoch`.
///
/// # Errors
///
/// [`SetupError`]; the home must answer. [`SetupError::Changed`] when it has another epoch by now: somebody else did this.
pub async fn begin_anew(
    operators: &Operators,
    name: &str,
    epoch: u32,
) -> Result<Outcome, SetupError> {
    let known = Known::read(operators).await?;
    let before = find(&known, name)?;
    if before.home_epoch != epoch {
        let cluster = before.home.clone().unwrap_or_default();
        return Err(SetupError::Changed { cluster, document: before.document_id() });
    }
    let wanted = Region { home_epoch: before.home_epoch + EPOCHS_A_HOME, ..before.clone() };
    let note = format!(
        "region {name}: its home is a new server, in epoch {}; jobs that the former one had begun and that must not run twice \
         end as lost",
        wanted.home_epoch
    );
    let mut outcome = settle(operators, known, Some(before), wanted).await?;
    outcome.notes.insert(0, note);
    Ok(outcome)
}

/// A new home is two epochs later: the one between belongs to engines that go to a hub by themselves.
const EPOCHS_A_HOME: u32 = 2;

/// The most databases that take new specs at once: each has feeds of its own, and every engine follows two.
pub const LANES_MAX: u32 = 64;

impl Wish {
    /// Makes a region what is wished for.
    fn make(&self, region: &mut Region) {
        if let Some(hubs) = &self.hubs {
            region.hubs = once(hubs);
        }
        if let Some(aliases) = &self.aliases {
            region.aliases = once(aliases);
            region.aliases.retain(|alias| *alias != region.name);
        }
        if let Some(place) = self.place {
            region.place = Some(place);
        }
        if let Some(targets) = &self.targets {
            region.targets = once(targets);
        }
        if let Some(access) = &self.access {
            region.access = once(access);
        }
        if let Some(failover) = self.failover {
            region.failover = failover;
        }
        if let Some(rotation) = self.rotation {
            region.rotation = rotation;
        }
        if let Some(lanes) = self.lanes {
            region.lanes = lanes.clamp(1, LANES_MAX);
        }
        region.former.retain(|former| !self.forget.contains(former));
        open_lanes(region);
    }
}

/// Opens as many databases as take new specs.
fn open_lanes(region: &mut Region) {
    let wanted = usize::try_from(region.lanes.max(1)).unwrap_or(usize::MAX);
    let takes = |region: &Region| {
        let open = region.taking().filter(|number| region.open.contains(number));
        open.count()
    };
    while takes(region) < wanted {
        // Never one that was there before: a number is given once.
        region.current += 1;
        region.open.push(region.current);
    }
}

/// Each once, in the order in which they were given.
fn once(words: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    words.iter().filter(|word| seen.insert(word.as_str())).cloned().collect()
}

/// What of a region is not as it is wanted, in the words of the flags.
fn differences(before: &Region, wanted: &Region) -> Vec<&'static str> {
    let same = [
        ("home", before.home == wanted.home),
        ("hub", before.hubs == wanted.hubs),
        ("alias", before.aliases == wanted.aliases),
        ("place", before.place == wanted.place),
        ("access", before.access == wanted.access),
        ("targets", before.targets == wanted.targets),
        ("failover", before.failover == wanted.failover),
        ("rotation", before.rotation == wanted.rotation),
        ("lanes", before.lanes == wanted.lanes),
    ];
    same.into_iter().filter(|(_, is_same)| !is_same).map(|(name, _)| name).collect()
}

/// Reads what there is, for who has a name for every cluster.
async fn read(operators: &Operators) -> Result<Known, SetupError> {
    operators.clusters.own().ok_or(SetupError::NoName)?;
    Known::read(operators).await
}

fn find(known: &Known, name: &str) -> Result<Region, SetupError> {
    known.region(name).cloned().ok_or_else(|| SetupError::UnknownRegion {
        name: name.to_owned(),
        known: known.region_names(),
    })
}

/// A region that was made where there was one store has its home there.
fn at_home(operators: &Operators, region: Region) -> Region {
    let home = region.home.or_else(|| operators.clusters.own().map(str::to_owned));
    Region { home, ..region }
}

/// Whether a cluster answers as itself.
async fn answers(operators: &Operators, known: &Known, name: &str) -> Result<(), SetupError> {
    let client = operators.client(name)?;
    inspect(name, client, known.cluster(name)).await.map(drop)
}

/// Makes everything so that the region is what it shall be.
async fn settle(
    operators: &Operators,
    mut known: Known,
    before: Option<Region>,
    mut wanted: Region,
) -> Result<Outcome, SetupError> {
    let mut notes = Vec::new();
    check(&known, &wanted)?;
    let home = wanted.home.clone().unwrap_or_default();
    let client = operators.client(&home)?;
    inspect(&home, client, known.cluster(&home)).await?;
    if let Some(before) = &before {
        absorb(operators, &known, before, &mut wanted, &mut notes).await;
        if before.home == wanted.home && before.home_epoch == wanted.home_epoch {
            let lost = lost(operators, &home, before, &mut wanted).await?;
            if !lost.is_empty() {
                wanted.home_epoch += EPOCHS_A_HOME;
                notes.push(format!(
                    "cluster '{home}' has lost {}: made anew, in epoch {}; jobs that it had begun and that must not run twice \
                     end as lost, all others begin again",
                    lost.join(", "),
                    wanted.home_epoch
                ));
            }
        }
    }
    let clusters = known.clusters();
    let mut regions = known.regions();
    regions.retain(|one| one.name != wanted.name);
    regions.push(wanted.clone());
    let plan = plan(&clusters, &regions);
    let mut applied = Applied::default();
    // A home that is made anew: the document comes first. Who looks what epoch it is after he has written into a database
    // there knows so whether he writes into those of the home that he heard of.
    let is_anew = before
        .as_ref()
        .is_some_and(|before| before.home == wanted.home && before.home_epoch < wanted.home_epoch);
    if is_anew {
        applied.add(apply(operators, &[], &control([home.as_str()])).await?);
        if known.put_region(operators, &wanted).await? {
            applied.step(&home, What::Document, &wanted.document_id());
        }
        if !known.has_newest(&home, &wanted.name) {
            return Err(SetupError::Changed { cluster: home, document: wanted.document_id() });
        }
    }
    applied.add(apply(operators, &clusters, &plan.about(&wanted.name)).await?);
    // A replication more may be one too many for whoever runs it: that is the home.
    for warning in crowded(operators, &plan, &BTreeSet::from([home.as_str()])).await {
        applied.warn(warning);
    }
    // Else the document comes last: whoever sees a region finds its databases.
    if known.put_region(operators, &wanted).await? {
        applied.step(&home, What::Document, &wanted.document_id());
    }
    applied.add(prune(operators, &known.clusters(), &known.regions()).await?);
    Ok(Outcome { region: wanted, is_new: before.is_none(), notes, applied })
}

/// The jobs databases that the home has lost. An old one that is nowhere has gone as it should, and who says that it is open
/// had not heard of that: it is open no more.
async fn lost(
    operators: &Operators,
    home: &str,
    before: &Region,
    wanted: &mut Region,
) -> Result<Vec<String>, SetupError> {
    let mut lost = Vec::new();
    let there = databases(operators, home).await?;
    for (number, name) in before.open.iter().zip(before.jobs_databases()) {
        if there.contains(&name) {
            continue;
        }
        let mut is_lost = *number >= before.current;
        for hub in &before.hubs {
            // Of one that does not answer the worst is thought.
            let there = databases(operators, hub).await;
            is_lost |= there.map_or(true, |there| there.contains(&name));
        }
        if is_lost {
            lost.push(name);
        } else {
            wanted.open.retain(|open| open != number);
        }
    }
    Ok(lost)
}

async fn databases(operators: &Operators, cluster: &str) -> Result<Vec<String>, SetupError> {
    let there = operators.client(cluster)?.databases().await;
    there.map_err(|source| SetupError::of(cluster, source))
}

/// Former homes that answer become hubs.
async fn absorb(
    operators: &Operators,
    known: &Known,
    before: &Region,
    wanted: &mut Region,
    notes: &mut Vec<String>,
) {
    for former in &before.former {
        if !wanted.former.contains(former) {
            continue;
        }
        match answers(operators, known, former).await {
            Ok(()) => {
                wanted.former.retain(|one| one != former);
                if !wanted.hubs.contains(former) {
                    wanted.hubs.push(former.clone());
                }
                notes.push(format!("cluster '{former}' was the home once, answers again and is a hub now: what it has comes over"));
            }
            Err(error) => notes.push(format!(
                "cluster '{former}' was the home once, and cannot help yet: {error}"
            )),
        }
    }
}

/// Refuses what cannot be.
fn check(known: &Known, wanted: &Region) -> Result<(), SetupError> {
    let region = wanted.name.clone();
    let Some(home) = &wanted.home else {
        return Err(SetupError::NoHome { region, known: known.cluster_names() });
    };
    for name in [home].into_iter().chain(&wanted.hubs) {
        if known.cluster(name).is_none() {
            let (name, known) = (name.clone(), known.cluster_names());
            return Err(SetupError::UnknownCluster { name, known });
        }
    }
    if wanted.hubs.contains(home) {
        return Err(SetupError::HubIsHome { region, cluster: home.clone() });
    }
    for word in &wanted.aliases {
        if !is_name(word) {
            return Err(BadName::new(
                word,
                "another word for a region (a-z, 0-9 and -, a letter first, up to 32)",
            )
            .into());
        }
    }
    for word in [&wanted.name].into_iter().chain(&wanted.aliases) {
        let other =
            known.regions().into_iter().find(|one| one.name != wanted.name && one.is_called(word));
        if let Some(other) = other {
            return Err(SetupError::Word { region, word: word.clone(), other: other.name });
        }
    }
    Ok(())
}
