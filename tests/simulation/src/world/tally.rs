//! What came of one world, and of many.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use blitz_jobs::Run;
use blitz_jobs::run::DEATHS_MAX;
use blitz_jobs::writing::Answer;

use super::verdict::{TROUBLED_MAX, clear_max};

/// Fewer clear rescues have no 99 in 100.
const RESCUES_MIN: usize = 100;

/// Findings of one world that are kept; the rest is only counted.
const FINDINGS_MAX: usize = 10;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which verdict, in one word.
    pub verdict: &'static str,
    /// When, in simulated time.
    pub at: Duration,
    /// What.
    pub text: String,
}

/// What came of a world.
#[derive(Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// A hash of everything that happened.
    pub digest: u64,
    /// What must not be, the first first.
    pub findings: Vec<Finding>,
    /// Figures.
    pub tally: Tally,
    /// What was traced.
    pub lines: Vec<String>,
}

impl Outcome {
    pub(super) fn new(seed: u64) -> Self {
        let tally = Tally { worlds: 1, ..Tally::default() };
        Self { seed, digest: 0, findings: Vec::new(), tally, lines: Vec::new() }
    }

    pub(super) fn find(&mut self, verdict: &'static str, at: Duration, text: String) {
        *self.tally.findings.entry(verdict).or_default() += 1;
        let is_new = self.findings.iter().all(|finding| finding.verdict != verdict);
        if is_new || self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { verdict, at, text });
        }
    }
}

/// The time from the death of an engine that ran a job to the next beginning of that job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rescue {
    /// How long.
    pub time: Duration,
    /// In which world.
    pub seed: u64,
    /// Which job.
    pub job: usize,
    /// Nothing else struck it.
    pub clear: bool,
}

macro_rules! tally {
    ($($(#[doc = $doc:literal])+ $field:ident: $kind:ty,)+) => {
        /// Figures of one world or of many.
        #[derive(Debug, Clone, Default)]
        pub struct Tally {
            $($(#[doc = $doc])+ pub $field: $kind,)+
            /// How often each verdict was found.
            pub findings: BTreeMap<&'static str, u64>,
            /// Ends by their state.
            pub ends: BTreeMap<&'static str, u64>,
            /// Jobs that began elsewhere after their engine had died.
            pub rescues: Vec<Rescue>,
            /// Poisoned jobs by how many of the attempts that count as deaths were deaths; the last place is of three and
            /// more.
            pub poison_deaths: [u64; DEATHS_MAX + 1],
        }

        impl Tally {
            /// Adds another's figures.
            pub fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)+
                for (verdict, count) in &other.findings {
                    *self.findings.entry(verdict).or_default() += count;
                }
                for (state, count) in &other.ends {
                    *self.ends.entry(state).or_default() += count;
                }
                self.rescues.extend(&other.rescues);
                for (all, more) in self.poison_deaths.iter_mut().zip(other.poison_deaths) {
                    *all += more;
                }
            }
        }
    };
}

tally! {
    /// Worlds.
    worlds: u64,
    /// Events.
    events: u64,
    /// Simulated time.
    simulated: Duration,
    /// Jobs that came to rest.
    jobs: u64,
    /// Jobs whose database was replaced.
    void: u64,
    /// Times that an engine began to run a job.
    starts: u64,
    /// Claims that engines tried.
    claims_tried: u64,
    /// Claims that they won.
    claims_won: u64,
    /// Writes of runs that were asked of a store.
    puts: u64,
    /// Writes of beats.
    beats: u64,
    /// Polls of beats.
    polls: u64,
    /// Requests of all kinds.
    requests: u64,
    /// Engines that a job killed.
    kills: u64,
    /// Engines and keepers that crashed.
    crashes: u64,
    /// Engines that were cut off.
    cuts: u64,
    /// Engines that were paused.
    pauses: u64,
    /// Feeds that were dropped.
    feed_drops: u64,
    /// Troubles of stores.
    store_faults: u64,
    /// Time that a job ran in two places.
    overlap: Duration,
    /// The same, where copies of its database decided apart.
    overlap_split: Duration,
    /// Readers that heard of two ends, where copies decided apart.
    ends_split: u64,
    /// Jobs whose readers were told an end that another replaced, where copies decided apart.
    told_split: u64,
    /// Poisoned jobs whose copies decided apart: not judged.
    poison_split: u64,
    /// Regions with several clusters.
    many_regions: u64,
    /// Documents that replication carried.
    carried: u64,
    /// Replications that went back.
    rewinds: u64,
    /// Replications that stood still.
    stalls: u64,
    /// Links that were cut, each direction of its own.
    links_cut: u64,
    /// Sites that were down.
    sites_down: u64,
    /// Regions that moved.
    moves: u64,
    /// Homes that are gone for good.
    homes_gone: u64,
    /// Sites that lost everything.
    wipes: u64,
    /// Regions that got their next database.
    rotations: u64,
    /// Jobs for a database that was dropped.
    refused: u64,
    /// Stays that engines began because their region has another home.
    stays: u64,
    /// Stays that engines began at a hub by themselves.
    failovers: u64,
    /// Jobs about which clusters decided apart.
    jobs_apart: u64,
    /// Time that a job ran in two clusters, or in two places after they decided apart.
    overlap_apart: Duration,
    /// Jobs whose end at home was replaced when clusters met.
    ends_apart: u64,
    /// Jobs that must not run twice, lost before they began.
    lost_unbegun: u64,
}

impl Tally {
    pub(super) fn decided(&mut self, answer: &Answer, run: &Run) {
        let won = matches!((answer, run), (Answer::Won(_), Run::Claimed { .. }));
        self.claims_won += u64::from(won);
    }

    pub(super) fn ended(&mut self, run: &Run) {
        self.jobs += 1;
        *self.ends.entry(run.state()).or_default() += 1;
    }

    /// The rescues of a kind, the quickest first.
    fn sorted(&self, clear: bool) -> Vec<Rescue> {
        let kind = self.rescues.iter().filter(|rescue| rescue.clear == clear);
        let mut sorted: Vec<Rescue> = kind.copied().collect();
        sorted.sort_unstable();
        sorted
    }

    /// The slowest clear rescue of 99 in 100, and the bound, when that is exceeded. Of a few rescues nothing is said.
    #[must_use]
    pub fn slow_rescue(&self) -> Option<(Rescue, Duration)> {
        let sorted = self.sorted(true);
        let slow = place(&sorted, 990).filter(|_| sorted.len() >= RESCUES_MIN)?;
        (slow.time > clear_max()).then(|| (slow, clear_max()))
    }
}

/// The one within which so many of a thousand are.
fn place(sorted: &[Rescue], of_thousand: usize) -> Option<Rescue> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((sorted.len() * of_thousand / 1000).min(last)).copied()
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_job = |count: u64| count as f64 / self.jobs.max(1) as f64;
        let mut row = |name: &str, value: String| writeln!(f, "{name:<34}{value:>16}");
        row("worlds", self.worlds.to_string())?;
        row("simulated hours", format!("{:.1}", self.simulated.as_secs_f64() / 3600.0))?;
        row("events", self.events.to_string())?;
        row("jobs at rest", self.jobs.to_string())?;
        for (state, count) in &self.ends {
            row(&format!("  {state}"), count.to_string())?;
        }
        row("  lost before they began", self.lost_unbegun.to_string())?;
        let [none, one, two, three] = self.poison_deaths;
        row("  poison of 3 deaths, 2, 1, 0", format!("{three} / {two} / {one} / {none}"))?;
        row("  poison, copies apart", self.poison_split.to_string())?;
        row("jobs of replaced databases", self.void.to_string())?;
        row("crashes, and killed by a job", format!("{} + {}", self.crashes, self.kills))?;
        row(
            "cut off / paused / feeds dropped",
            format!("{} / {} / {}", self.cuts, self.pauses, self.feed_drops),
        )?;
        row("troubles of stores", self.store_faults.to_string())?;
        row("regions of several clusters", self.many_regions.to_string())?;
        row(
            "  links cut / stalls / rewinds",
            format!("{} / {} / {}", self.links_cut, self.stalls, self.rewinds),
        )?;
        row(
            "  moves / homes gone / wipes",
            format!("{} / {} / {}", self.moves, self.homes_gone, self.wipes),
        )?;
        row(
            "  sites down / failovers / stays",
            format!("{} / {} / {}", self.sites_down, self.failovers, self.stays),
        )?;
        row("  rotations / refused", format!("{} / {}", self.rotations, self.refused))?;
        row("  documents carried", self.carried.to_string())?;
        row("  jobs apart / ends replaced", format!("{} / {}", self.jobs_apart, self.ends_apart))?;
        row("  overlap ms, clusters apart", self.overlap_apart.as_millis().to_string())?;
        row("starts per job", format!("{:.3}", per_job(self.starts)))?;
        row("run PUTs per job", format!("{:.3}", per_job(self.puts)))?;
        let tries = self.claims_tried as f64 / self.claims_won.max(1) as f64;
        row("claims tried per claim won", format!("{tries:.3}"))?;
        row("requests per job", format!("{:.1}", per_job(self.requests)))?;
        for (clear, name) in [(true, "clear"), (false, "troubled")] {
            let sorted = self.sorted(clear);
            let at = |of_thousand| place(&sorted, of_thousand).map(|r| r.time.as_secs_f64());
            if let (Some(p50), Some(p99), Some(most)) = (at(500), at(990), at(1000)) {
                row(
                    &format!("rescue s p50 p99 max, {name} ({})", sorted.len()),
                    format!("{p50:.1} {p99:.1} {most:.1}"),
                )?;
            }
        }
        row(
            "  bounds: clear p99, troubled *",
            format!("{} / {}", clear_max().as_secs(), TROUBLED_MAX.as_secs()),
        )?;
        row("overlap ms", self.overlap.as_millis().to_string())?;
        row("overlap ms, copies apart", self.overlap_split.as_millis().to_string())?;
        row(
            "ends changed / told, copies apart",
            format!("{} / {}", self.ends_split, self.told_split),
        )?;
        for (verdict, count) in &self.findings {
            row(&format!("FOUND {verdict}"), count.to_string())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rescued(times_s: impl IntoIterator<Item = (u64, bool)>) -> Tally {
        let rescue = |(job, (time, clear))| {
            let time = Duration::from_secs(time);
            Rescue { time, seed: 7, job, clear }
        };
        let rescues = times_s.into_iter().enumerate().map(rescue).collect();
        Tally { rescues, ..Tally::default() }
    }

    #[test]
    fn one_in_a_hundred_clear_rescues_may_be_slow_and_no_more() {
        let bound = clear_max().as_secs();
        let quick = || (0..297).map(|_| (bound, true));
        let troubled = (0..50).map(|_| (bound * 3, false));
        assert_eq!(rescued(quick().chain(troubled)).slow_rescue(), None, "troubled ones");
        let with_slow =
            |count| rescued(quick().chain((0..count).map(|_| (bound + 1, true)))).slow_rescue();
        assert_eq!(with_slow(2), None, "2 of 299");
        let (slow, _) = with_slow(4).expect("4 of 301 are more than 1 in 100");
        assert_eq!((slow.seed, slow.time.as_secs()), (7, bound + 1));
        let few = (0..20).map(|_| (bound * 2, true));
        assert_eq!(rescued(few).slow_rescue(), None, "of a few nothing is said");
    }
}
