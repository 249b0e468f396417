//! What is judged of regions with several clusters.
//!
//! Two clusters decide *apart* about a job when one of them takes a step of it while another has a step that it does not
//! have. Until they meet each of them goes on from what it has; then `resolve` decides, the same everywhere. This happens only
//! where a region has moved, was failed over, or has lost a home. What holds:
//!
//! - **A job that must not run twice begins at most once**, over all clusters and epochs and whatever was wiped: `begun-twice`.
//! - Nobody begins a job of a later epoch than his own, nor one of an earlier epoch that must not run twice; who went to a
//!   hub by himself begins only what may run twice: `wrong-epoch`. What was admitted for an earlier home waits until what came
//!   of it there may have come: `unsettled`.
//! - At rest all clusters of a region that are there have the same leaf for each job, it is an end, no other leaf is alive, and
//!   all readers were told of it: `diverged`, `stuck`, `leaves-left`, `untold`. So there is one effective result at most.
//! - Where an end was heard of nothing but an end is heard of later, unless that cluster lost everything: `end-undone`.
//! - The first end that a reader heard of *at the home of the current epoch* is the end at rest, unless clusters or copies
//!   decided apart about the job: `end-changed`. Then another end of it may tell more of what happened; how often that was is
//!   counted.
//! - A job that was accepted has its spec at rest, unless all clusters that acknowledged it lost it later, wiped or gone for
//!   good: `lost`. Those that have no spec any more are counted as jobs of replaced databases.
//! - No database is dropped while one of its jobs that the home knows is open: `dropped-open`.
//! - A job all steps of which are taken in *one* cluster never runs in two places, as in regions with one cluster: `overlap`.
//!   One that was handed over may, while a former home and the new one each judge it by their own beats; how long is counted
//!   as `overlap_apart`.
//!
//! What a site alone had of a job when it was wiped, or went for good, was decided apart from all that comes later.

use std::time::Duration;

use blitz_jobs::Run;

use crate::couchdb::{Read, Write};
use crate::world::World;
use crate::world::document::{Body, Id, Kind};
use crate::world::event::{Base, Peer};
use crate::world::peer::Mind;
use crate::world::site::BEATS;

/// A job of an earlier home waits at least so long where its spec came: clocks go wrong by 1 %.
const SETTLED_LEAST: Duration = Duration::from_secs(29);

impl World {
    /// A site is asked to store a step of a run: does it have all that the others have?
    pub(in crate::world) fn note_apart(
        &mut self,
        site: usize,
        base: Base,
        write: &Write<Id, Body>,
    ) {
        if let Id::Job(job, Kind::Spec) = write.id {
            self.note_spec(site, job);
        }
        let Id::Job(job, Kind::Run) = write.id else { return };
        let region = self.sites[site].region;
        if base == BEATS || !self.regions[region].is_many() {
            return;
        }
        let before = self.jobs[job].step_at.replace(site);
        self.jobs[job].moved |= before.is_some_and(|before| before != site);
        if self.jobs[job].apart {
            return;
        }
        let here = &self.sites[site].bases[base];
        let apart =
            self.regions[region].sites.iter().filter(|other| **other != site).any(|other| {
                let leaves = self.sites[*other].bases[base].leaves_in_the_end(&write.id);
                leaves.iter().any(|leaf| !here.knows(&write.id, *leaf))
            });
        if apart {
            self.jobs[job].apart = true;
            self.outcome.tally.jobs_apart += 1;
            self.trace(job, |_| format!("decided apart from here on, at {site}"));
        }
    }

    /// A spec comes to a site.
    pub(in crate::world) fn note_spec(&mut self, site: usize, job: usize) {
        let now = self.now;
        let known = &mut self.jobs[job].spec_at;
        if known.iter().all(|(at, _)| *at != site) {
            known.push((site, now));
        }
    }

    /// A site loses everything: what it alone had is forgotten.
    pub(in crate::world) fn note_forgotten(&mut self, site: usize) {
        let region = self.sites[site].region;
        for job in 0..self.jobs.len() {
            let found = &mut self.jobs[job];
            found.spec_at.retain(|(at, _)| *at != site);
            if found.region != region || found.apart {
                continue;
            }
            let id = Id::Job(job, Kind::Run);
            let others = self.regions[region].sites.iter().filter(|other| **other != site);
            let leaves = self.sites[site].bases[found.base].leaves_in_the_end(&id);
            let is_forgotten = leaves.iter().any(|leaf| {
                !others.clone().any(|other| self.sites[*other].bases[found.base].knows(&id, *leaf))
            });
            if is_forgotten {
                self.jobs[job].apart = true;
                self.outcome.tally.jobs_apart += 1;
            }
        }
    }

    /// A job begins: under the right epoch?
    pub(super) fn judge_epoch(&mut self, peer: Peer, job: usize) {
        let found = &self.jobs[job];
        let (own, epoch) = (self.peers[peer].epoch, found.spec.home_epoch);
        let is_provisional = self.peers[peer].is_provisional();
        let wrong = epoch > own || found.is_never() && (epoch < own || is_provisional);
        if wrong {
            let text = format!("{} begins job {job} of epoch {epoch}", self.name(peer));
            self.find("wrong-epoch", text);
        }
        let site = self.peers[peer].site;
        // Who has not heard yet that its home was wiped has known the job since before; who is at a hub because its home does not
        // answer is the first to hear of what comes there.
        if own < self.edition_at(site).epoch || is_provisional && epoch + 1 == own {
            return;
        }
        let since = self.jobs[job].spec_at.iter().find(|(at, _)| *at == site).map(|(_, at)| *at);
        if epoch < own && since.is_some_and(|since| since + SETTLED_LEAST > self.now) {
            let text = format!(
                "{} begins job {job} of epoch {epoch} as soon as it hears of it",
                self.name(peer)
            );
            self.find("unsettled", text);
        }
    }

    /// A reader hears of an end at the home of the current epoch.
    pub(in crate::world) fn seal(&mut self, peer: Peer, job: usize, run: &Run) {
        let found = &self.jobs[job];
        if found.sealed.is_none() && self.peers[peer].site == self.home_of(found.region) {
            self.jobs[job].sealed = Some(run.clone());
        }
    }

    /// The sites of a job's region that are there and have its database.
    fn living_sites(&self, job: usize) -> Vec<usize> {
        let found = &self.jobs[job];
        let sites = self.regions[found.region].sites.iter().copied();
        sites
            .filter(|site| {
                let site = &self.sites[*site];
                !site.gone && !site.dropped[found.base]
            })
            .collect()
    }

    pub(in crate::world) fn spec_is_at(&self, site: usize, job: usize) -> bool {
        let base = self.jobs[job].base;
        !self.sites[site].bases[base].leaves_in_the_end(&Id::Job(job, Kind::Spec)).is_empty()
    }

    /// Whether every site that acknowledged a job lost it later.
    fn is_excused(&self, job: usize) -> bool {
        self.jobs[job].stored_at.iter().all(|(site, at)| {
            let site = &self.sites[*site];
            site.gone || site.wiped.is_some_and(|wiped| wiped >= *at)
        })
    }

    pub(super) fn judge_end_of_many(&mut self, job: usize, last: bool) {
        let found = &self.jobs[job];
        let is_idle = found.active.is_empty();
        if found.void && !found.accepted {
            self.jobs[job].settled = is_idle;
            return;
        }
        let sites = self.living_sites(job);
        let has_spec = sites.iter().any(|site| self.spec_is_at(*site, job));
        if self.jobs[job].accepted && !has_spec && self.is_excused(job) && is_idle {
            self.jobs[job].void = true;
            self.jobs[job].settled = true;
            self.outcome.tally.void += 1;
            return;
        }
        let ends: Vec<Option<Run>> =
            sites.iter().map(|site| self.resolved_at(*site, job).map(|(_, run)| run)).collect();
        let id = Id::Job(job, Kind::Run);
        let base = self.jobs[job].base;
        let agrees = ends.windows(2).all(|pair| pair[0] == pair[1])
            && sites.iter().all(|site| self.sites[*site].bases[base].agrees(&id));
        let counts = ends.into_iter().next().flatten();
        let told = self.told_by_all(job);
        let is_final = counts.as_ref().is_some_and(Run::is_final);
        if agrees && is_final && is_idle && told.iter().all(Option::is_some) {
            let sealed = self.jobs[job].sealed.clone();
            if sealed.is_some() && sealed != counts {
                if self.jobs[job].is_divided() {
                    self.outcome.tally.ends_apart += 1;
                } else {
                    let text = format!(
                        "job {job}: the home's readers heard {sealed:?}, and what counts is {counts:?}"
                    );
                    self.find("end-changed", text);
                }
            }
            self.settled(job, counts, &told);
        } else if last {
            let state = counts.as_ref().map_or("absent", Run::state);
            let (verdict, what) = if !has_spec {
                ("lost", "its spec is gone")
            } else if !agrees {
                ("diverged", "its clusters differ")
            } else if !is_final {
                ("stuck", "it has no end")
            } else if !is_idle {
                ("stuck", "it is still run")
            } else {
                ("untold", "its readers were not told")
            };
            self.find(verdict, format!("job {job} ({state}): {what}"));
        }
    }

    /// What the readers of a region were told of a job.
    pub(super) fn told_by_all(&self, job: usize) -> Vec<Option<Run>> {
        let gateways = self.regions[self.jobs[job].region].gateways.iter();
        gateways
            .filter_map(|peer| match &self.peers[*peer].mind {
                Mind::Gateway(mind) => Some(mind.told(job).cloned()),
                _ => None,
            })
            .collect()
    }

    /// The database of a job is dropped at its home.
    pub(in crate::world) fn judge_dropped(&mut self, job: usize, home: usize) {
        if self.jobs[job].settled {
            return;
        }
        let known = self.spec_is_at(home, job) || !self.is_excused(job);
        let run = self.found_at(home, job);
        if known && !run.as_ref().is_some_and(Run::is_final) {
            let state = run.as_ref().map_or("absent", Run::state);
            self.find(
                "dropped-open",
                format!("job {job} ({state}) is in a database that is dropped"),
            );
        }
        self.jobs[job].settled = true;
        match run.filter(Run::is_final) {
            Some(run) => self.outcome.tally.ended(&run),
            None => self.outcome.tally.void += 1,
        }
    }

    /// What counts at a site, by as many copies as answer: a node may hang since the last look at what is dropped now.
    fn found_at(&mut self, site: usize, job: usize) -> Option<Run> {
        let copies = self.sites[site].copies;
        for r in (1..=copies).rev() {
            for node in 0..copies {
                if let Read::Answered(leaves) = self.read_leaves(site, node, job, r) {
                    return leaves.resolved(self.mutants.guards()).map(|(_, run)| run.clone());
                }
            }
        }
        None
    }

    /// Of a region with several clusters each that is there.
    pub(super) fn judge_leaves_of_many(&mut self, job: usize) {
        for site in self.living_sites(job) {
            let r = self.sites[site].copies;
            let Read::Answered(leaves) = self.read_leaves(site, 0, job, r) else {
                continue;
            };
            if leaves.runs.len() > 1 {
                let text = format!("job {job} has {} leaves at {site} at rest", leaves.runs.len());
                self.find("leaves-left", text);
            }
        }
    }
}
