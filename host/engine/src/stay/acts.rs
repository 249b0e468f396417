//! What the contest asks for is done here, beside the loop, and what it came to is told to the contest.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use blitz_jobs::contest::{Action, Why};
use blitz_jobs::engine::Beat;
use blitz_jobs::{Claim, Spec, claim, read};
use tracing::Instrument as _;

use super::Stay;
use crate::chart;
use crate::executor::{Execution, Signals};
use crate::house::House;
use crate::own::NotWritten;
use crate::pulse::Stroke;
use crate::tasks::Done;

impl Stay {
    pub(super) fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Write { job, over, run } => {
                    let (jobs, copies) = self.jobs(&job);
                    let id = job.clone();
                    self.tasks.write(job, async move {
                        claim::write(&jobs, copies, &id, over.as_ref(), &run).await
                    });
                }
                Action::Fence { job, start, claim } => {
                    let (jobs, _) = self.jobs(&job);
                    let (store, epoch) = (self.store().clone(), self.station.epoch());
                    let region = self.common.config.region.clone();
                    self.tasks.fence(job, async move {
                        // A home that was wiped has lost the fence of whoever began before, and takes another: what tells
                        // is that it is another home now.
                        claim::pass(&jobs, &start, &claim).await
                            && chart::is_still(&store, &region, epoch).await
                    });
                }
                Action::Start { spec, claim, time_left } => self.start(spec, claim, time_left),
                Action::Stop { job, why } => {
                    if let Some(signals) = self.running.get(&job) {
                        match why {
                            Why::Cancelled => signals.cancel.cancel(),
                            Why::LostClaim | Why::LostLease | Why::Release => signals.halt.cancel(),
                        }
                        if why.is_loss() {
                            tracing::warn!(%job, ?why, "stopped, and no more is written of it");
                        }
                    }
                }
                Action::Beat { counter, held } => {
                    let stroke = self.pulse.beat(counter, held);
                    self.beat(stroke);
                }
                Action::Poll { engines } => self.poll(engines),
            }
        }
    }

    fn start(&mut self, spec: Arc<Spec>, claim: Claim, time_left: Duration) {
        let job = spec.job.clone();
        let signals = Signals::default();
        self.running.insert(job.clone(), signals.clone());
        let execution = Execution {
            shelf: self.common.shelf.clone(),
            jobs: self.store().database(&job.jobs_database()),
            output: self.store().database(&job.output_database()),
            gate: self.gate.clone(),
            batch: self.common.config.timing.batch,
            region_keys: self.common.config.region_keys.clone(),
            load_contact: self.common.config.load_contact.clone(),
            house: House::of(&self.common.charts.borrow().region),
            spec,
            claim,
            time_left,
        };
        // An error's span, so that it is there whatever level of lines is asked for.
        let span = tracing::error_span!("job", %job, request = execution.spec.terms.request);
        self.tasks.job(job, execution.execute(signals).instrument(span));
    }

    fn beat(&mut self, stroke: Option<Stroke>) {
        if let Some(stroke) = stroke.filter(|_| !self.replaced) {
            let sent = self.clock.now();
            self.tasks.beat(async move {
                let (returned, written) = stroke.write().await;
                Done::Beat(sent, returned, written)
            });
        }
    }

    fn poll(&mut self, engines: BTreeSet<String>) {
        let beats = self.pulse.database().clone();
        self.tasks.other(async move {
            let ids = engines.iter().map(|engine| Beat::document_id(engine));
            let answer = read::list::<Beat>(&beats, read::keys(ids)).await;
            let answer = answer.inspect_err(|error| tracing::warn!(%error, "cannot poll beats"));
            Done::Beats(answer.ok().map(|rows| rows.into_iter().map(|(_, _, beat)| beat).collect()))
        });
    }

    /// What a task beside the loop came to.
    pub(super) fn done(&mut self, done: Done) {
        let now = self.clock.now();
        let actions = match done {
            Done::Write(job, answer) => self.contest.write_answered(now, &job, answer),
            Done::Fence(job, goes) => self.contest.fence_answered(now, &job, goes),
            Done::Job(job, end) => {
                self.running.remove(&job);
                self.contest.job_ended(now, &job, end)
            }
            Done::Beat(sent, returned, written) => {
                match written {
                    Ok(true) => self.contest.beat_acknowledged(now, sent),
                    Ok(false) => tracing::warn!("fewer copies than a majority have the beat"),
                    Err(NotWritten::Replaced { by }) => self.hear_replaced(&by),
                    Err(error) => tracing::warn!(%error, "beat not written"),
                }
                let stroke = self.pulse.done(Some(returned));
                self.beat(stroke);
                Vec::new()
            }
            Done::NoBeat => {
                let stroke = self.pulse.done(None);
                self.beat(stroke);
                Vec::new()
            }
            Done::Beats(answer) => {
                if let Some(beats) = answer {
                    let region = &self.common.config.region;
                    self.contest.hear_beats(now, region, &beats);
                }
                Vec::new()
            }
            Done::Copies(database, copies) => {
                self.found(&database, copies);
                Vec::new()
            }
            Done::Nothing => Vec::new(),
        };
        self.perform(actions);
    }
}
