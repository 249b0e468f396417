//! A load test under way: what its workers say becomes records, whatever happens to them, to the job, or to the consent
//! of the target.
//!
//! One loop owns all of it. It ends when every worker has said its last tick, is dead, or has had its time; dropping it
//! kills them.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use blitz_contract::load::work::{Order, Said};
use blitz_contract::load::{ClassTick, Consent, First, Plan, STEPS_MAX, Tick, Verdict};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ledger::Taken;
use super::merge::{Merge, Reason};
use super::parts;
use super::targets::Targets;
use super::worker::{Heard, Worker, short};
use crate::control::Control;
use crate::http::Client;
use crate::limits::Span;

/// A worker that says its second later than this holds nobody up.
const LATE: Duration = Duration::from_secs(2);
/// For the lookup of names while a test runs; one that takes longer changes nothing.
const LOOK_TIME: Duration = Duration::from_secs(8);
/// What a worker has to say its last tick once it is told to stop.
pub(super) const STOP_TIME: Duration = Duration::from_secs(5);
/// The same at the end of the job's time, which comes so much later.
const LAST_TIME: Duration = Duration::from_secs(2);
/// Behind the plan's own end, with the time of its slowest transaction.
const OVERDUE: Duration = Duration::from_secs(15);
/// Ticks that a worker may say for each second that has begun: 4 MiB of histograms, of more answers than it can get.
const TICKS_PER_S_MAX: u64 = 64;
/// The greatest status: HTTP has three digits.
const STATUS_MAX: u16 = 999;
/// Classes of statuses, with the one for those that have none.
const CLASSES_MAX: usize = 6;
/// Letters of what a worker says of a failure; a record has fewer.
const TEXT_BYTES_MAX: usize = 64 << 10;

pub(super) struct Drive {
    pub(super) workers: Vec<Worker>,
    pub(super) heard: mpsc::Receiver<Heard>,
    pub(super) listening: JoinSet<()>,
    pub(super) merge: Merge,
    pub(super) records: mpsc::Sender<String>,
    /// The plugin's word.
    pub(super) stop: CancellationToken,
    pub(super) control: Control,
    pub(super) begun: Instant,
    /// When it is over by its plan, at the latest.
    pub(super) over: Instant,
    pub(super) steps: usize,
    pub(super) watch: Watch,
    pub(super) taken: Taken,
}

/// Whether the target may be loaded.
pub(super) struct Watch {
    pub(super) targets: Targets,
    pub(super) http: Client,
    /// How often it is asked.
    pub(super) every: Duration,
    /// What the operator agrees to; a change is looked at when it comes.
    pub(super) agreed: watch::Receiver<Arc<Consent>>,
}

/// Gives itself back, and whether to look again soon.
type Looking = Pin<Box<dyn Future<Output = Result<(Watch, bool), String>> + Send>>;

/// Why the loop ends before its workers.
struct Unheard;

/// When the plan is over, and its slowest transaction.
pub(super) fn over(plan: &Plan, begun: Instant) -> Instant {
    let slowest = plan.steps.iter().fold(0_u64, |sum, step| sum.saturating_add(step.timeout_ms));
    let time = plan.shape.duration() + Duration::from_millis(slowest) + OVERDUE;
    begun.checked_add(time).unwrap_or(begun)
}

impl Drive {
    /// To its end. All records were given to the channel when it comes back.
    pub(super) async fn run(self) {
        let Self {
            workers,
            mut heard,
            listening,
            merge,
            records,
            stop,
            control,
            begun,
            over,
            steps,
            watch,
            taken,
        } = self;
        let said = vec![0; workers.len()];
        let mut test =
            Test { workers, said, merge, records, begun, steps, reason: None, give_up: None };
        let every = watch.every;
        let (mut watch, mut looking) = (Some(watch), None::<Looking>);
        let mut next_look = begun + every;
        let last = control.until.and_then(|until| until.checked_sub(LAST_TIME));
        let mut is_cancelled = false;
        loop {
            let (is_stopping, late) = (test.reason.is_some(), test.late());
            tokio::select! {
                biased;
                heard = heard.recv() => match heard {
                    Some((worker, said)) => test.hear(worker, said).await,
                    None => break,
                },
                // Without grace the run is dropped, and this with it.
                () = control.cancel.cancelled(), if !is_cancelled && !control.grace.is_zero() => {
                    is_cancelled = true;
                    // The rest is for the plugin, to say what it heard.
                    test.halt(Verdict::Stopped, "the job was cancelled", control.grace / 4 * 3).await;
                }
                () = at(last), if !is_stopping => {
                    test.halt(Verdict::Stopped, "the job's time is over", LAST_TIME / 2).await;
                }
                () = stop.cancelled(), if !is_stopping => {
                    test.halt(Verdict::Stopped, "", STOP_TIME).await;
                }
                () = at(Some(over)), if !is_stopping => {
                    test.halt(Verdict::Failed, "its workers did not end with the plan", STOP_TIME).await;
                }
                () = at(test.give_up), if is_stopping => test.abandon(),
                looked = look(&mut looking) => {
                    looking = None;
                    match looked {
                        Ok((seen, is_unclear)) => {
                            watch = Some(seen);
                            if is_unclear {
                                next_look -= every / 2;
                            }
                        }
                        Err(text) => test.halt(Verdict::Revoked, &text, STOP_TIME).await,
                    }
                }
                () = due(next_look, &mut watch), if watch.is_some() && !is_stopping => {
                    next_look = Instant::now() + every;
                    looking = watch.take().map(Watch::look);
                }
                () = at(late) => {}
            }
            if test.tell().is_err() || test.merge.has_ended() {
                break;
            }
        }
        drop(listening);
        test.close().await;
        // Behind the last packet.
        drop(taken);
    }
}

/// What the loop changes.
struct Test {
    workers: Vec<Worker>,
    /// Ticks of each.
    said: Vec<u64>,
    merge: Merge,
    records: mpsc::Sender<String>,
    begun: Instant,
    steps: usize,
    reason: Option<Reason>,
    /// Who has not ended by then does not.
    give_up: Option<Instant>,
}

impl Test {
    async fn hear(&mut self, worker: usize, said: Result<Said, String>) {
        let text = match said {
            Ok(Said::Tick(tick)) => match self.check(worker, &tick) {
                Ok(()) => return self.merge.add(worker, *tick),
                Err(text) => format!("it said a tick that it cannot have: {text}"),
            },
            Ok(Said::Refused(text)) => short(&text),
            Ok(Said::Caged { .. } | Said::Ready) => "it spoke out of turn".to_owned(),
            Err(text) => short(&text),
        };
        if !self.merge.is_open(worker) {
            return;
        }
        let count = self.workers.len();
        let Some(found) = self.workers.get_mut(worker) else { return };
        let ended = found.ended().await;
        let why = if text.is_empty() { ended } else { text };
        tracing::warn!(worker, why, "a load worker failed");
        let second = self.begun.elapsed().as_secs();
        self.merge.failed(
            worker,
            format!("worker {} of {count} failed in second {second} ({why}): its part is missing from then on", worker + 1),
        );
    }

    fn check(&mut self, worker: usize, tick: &Tick) -> Result<(), &'static str> {
        let elapsed = self.begun.elapsed().as_secs();
        if let Some(said) = self.said.get_mut(worker) {
            *said += 1;
            if *said > elapsed.saturating_add(2).saturating_mul(TICKS_PER_S_MAX) {
                return Err("one of far too many");
            }
        }
        if u64::from(tick.second) > elapsed.saturating_add(OVERDUE.as_secs()) {
            return Err("of a second that has not come");
        }
        is_possible(tick, self.steps)
    }

    /// Tells all workers to stop; a reason that stands is not replaced by a lesser one.
    async fn halt(&mut self, verdict: Verdict, text: &str, time: Duration) {
        let by = Instant::now() + time;
        self.give_up = Some(self.give_up.map_or(by, |known| known.min(by)));
        if self.reason.is_some() {
            return;
        }
        self.reason = Some(Reason { verdict, text: text.to_owned() });
        for (number, worker) in self.workers.iter_mut().enumerate() {
            // One that does not read its orders holds nobody up; one that is gone says so itself.
            let order = tokio::time::timeout(LATE / 20, worker.order(&Order::Stop)).await;
            if !matches!(order, Ok(Ok(()))) {
                tracing::debug!(number, "a load worker did not take the word to stop");
            }
        }
    }

    /// Who has not ended by now is through.
    fn abandon(&mut self) {
        let count = self.workers.len();
        for worker in 0..count {
            if self.merge.is_open(worker) {
                let text = format!(
                    "worker {} of {count} did not end when it was told to: its last ticks are missing",
                    worker + 1
                );
                self.merge.failed(worker, text);
            }
        }
    }

    /// When somebody is late.
    fn late(&self) -> Option<Instant> {
        let second = self.merge.waits_for()?;
        Some(self.begun + Duration::from_secs(u64::from(second) + 1) + LATE)
    }

    /// Gives out the seconds that are whole, or wait for nobody any more.
    fn tell(&mut self) -> Result<(), Unheard> {
        let overdue = self.begun.elapsed().checked_sub(LATE).map(|past| past.as_secs());
        let overdue =
            overdue.and_then(|past| past.checked_sub(1)).and_then(|s| u32::try_from(s).ok());
        let ready = self.merge.ready(overdue);
        self.give(ready)
    }

    fn give(&self, ticks: Vec<Tick>) -> Result<(), Unheard> {
        for record in ticks.into_iter().flat_map(parts::of_tick) {
            if let Err(error) = self.records.try_send(record) {
                tracing::warn!(%error, "nobody takes the records of a load test: it is stopped");
                return Err(Unheard);
            }
        }
        Ok(())
    }

    async fn close(self) {
        let Self { workers, merge, records, reason, .. } = self;
        // Nothing is sent behind the last tick.
        drop(workers);
        let reason = match merge.has_ended() {
            true => reason,
            false => Some(Reason {
                verdict: Verdict::Failed,
                text: "nobody took its records for a long time".to_owned(),
            }),
        };
        for record in merge.close(reason).into_iter().flat_map(parts::of_tick) {
            let given = tokio::time::timeout(STOP_TIME, records.send(record)).await;
            if !matches!(given, Ok(Ok(()))) {
                return tracing::debug!("the last tick of a load test was not told");
            }
        }
    }
}

impl Watch {
    /// Looks once more. What is known comes first: a name whose server takes its time keeps nobody from being asked.
    fn look(mut self) -> Looking {
        Box::pin(async move {
            let consent = Arc::clone(&self.agreed.borrow_and_update());
            let is_unclear = self.targets.look_again(&self.http, &consent).await?;
            let looking = self.targets.look_up_again(self.http.egress(), &consent);
            match tokio::time::timeout(LOOK_TIME, looking).await {
                Ok(looked) => looked?,
                Err(_) => tracing::info!(
                    "looking the targets of a load test up took longer than {}",
                    Span(LOOK_TIME)
                ),
            }
            Ok((self, is_unclear))
        })
    }
}

/// Whether a tick can be one of a plan of so many steps: one that is not may take memory or a record's room.
fn is_possible(tick: &Tick, steps: usize) -> Result<(), &'static str> {
    if tick.steps.len() > STEPS_MAX {
        return Err("of more steps than there may be");
    }
    for step in &tick.steps {
        let is_known = usize::try_from(step.step).is_ok_and(|number| number < steps);
        let is_class = |class: &ClassTick| {
            usize::from(class.class) < CLASSES_MAX
                && class.statuses.last_key_value().is_none_or(|(last, _)| *last <= STATUS_MAX)
        };
        if !is_known || step.classes.len() > CLASSES_MAX || !step.classes.iter().all(is_class) {
            return Err("of steps that are not in the plan, or of statuses that HTTP has not");
        }
    }
    let mut kinds = BTreeSet::new();
    let is_one = |first: &First| kinds.insert(first.kind) && first.text.len() <= TEXT_BYTES_MAX;
    let ends_well = tick.closing.as_ref().is_none_or(|end| end.text.len() <= TEXT_BYTES_MAX);
    if !tick.firsts.iter().all(is_one) || !ends_well {
        return Err("of two first failures of one kind, or of a text without end");
    }
    Ok(())
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// When the targets are to be looked at again: at that time, or when the operator's word changes.
async fn due(next: Instant, watch: &mut Option<Watch>) {
    let Some(watch) = watch else { return };
    tokio::select! {
        () = tokio::time::sleep_until(next) => {}
        // Without an operator there is no other word.
        Ok(()) = watch.agreed.changed() => {}
    }
}

async fn look(looking: &mut Option<Looking>) -> Result<(Watch, bool), String> {
    match looking {
        Some(looking) => looking.await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use blitz_contract::load::{Closing, ErrorKind, Share, StepTick};

    use super::*;

    #[test]
    fn what_no_worker_says_by_itself_is_refused() {
        let class = |class: u8, status: u16| ClassTick {
            class,
            statuses: BTreeMap::from([(status, u64::MAX)]),
            ..ClassTick::default()
        };
        let step = |step: u32, classes: Vec<ClassTick>| Tick {
            steps: vec![StepTick { step, classes, ..StepTick::default() }],
            ..Tick::default()
        };
        let first = |length: usize| First {
            kind: ErrorKind::Connect,
            at_ms: 0,
            users: 0,
            text: "x".repeat(length),
        };
        let said = |firsts: Vec<First>| Tick { firsts, ..Tick::default() };
        let text = "x".repeat(TEXT_BYTES_MAX + 1);
        let closing =
            Some(Closing { share: Share::WHOLE, verdict: Verdict::Ended, at_us: None, text });
        for (tick, is_one) in [
            (Tick::default(), true),
            (step(0, vec![class(2, 200), class(0, 999)]), true),
            (step(1, vec![]), false),
            (step(0, vec![class(6, 200)]), false),
            (step(0, vec![class(2, 1000)]), false),
            (step(0, vec![class(2, 200); CLASSES_MAX + 1]), false),
            (Tick { steps: vec![StepTick::default(); STEPS_MAX + 1], ..Tick::default() }, false),
            (said(vec![first(10)]), true),
            (said(vec![first(10), first(11)]), false),
            (said(vec![first(TEXT_BYTES_MAX + 1)]), false),
            (Tick { closing, ..Tick::default() }, false),
        ] {
            assert_eq!(is_possible(&tick, 1).is_ok(), is_one, "{tick:.200?}");
        }
    }

    #[test]
    fn counts_without_end_end_at_theirs() {
        let class = ClassTick {
            class: 2,
            statuses: BTreeMap::from([(200, u64::MAX)]),
            ..ClassTick::default()
        };
        let step = StepTick {
            classes: vec![class],
            errors: BTreeMap::from([(ErrorKind::Timeout, u64::MAX)]),
            ..StepTick::default()
        };
        let mut tick = Tick { steps: vec![step], ..Tick::default() };
        tick.add(&tick.clone());
        assert_eq!(tick.steps[0].errors[&ErrorKind::Timeout], u64::MAX);
        assert_eq!(tick.steps[0].classes[0].statuses[&200], u64::MAX);
    }
}
