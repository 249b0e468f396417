//! One round of one region: look, decide, write down, act.
//!
//! The order is what keeps it safe: the provider is listed before the engines are read; what the next round must know is
//! written before anything is done; an action is in the audit before it is begun. Who falls in between leaves nothing that the
//! next round does not find.

mod failing;

use std::collections::BTreeSet;

use blitz_couchdb::{Client, Error};
use blitz_jobs::drain::DrainOrder;
use serde::{Deserialize, Serialize};

use crate::demand;
use crate::fleet::FleetRegion;
use crate::home::{Engines, Home, HomeError};
use crate::instance::{Instance, InstanceState, TAG_LAUNCH, TAG_ORPHAN};
use crate::launches::{Intent, Next, settle};
use crate::provider::{Provider, ProviderError};
use crate::reconcile::{self, Action, Boots, Memory, Rules, Seen};
use crate::scale::{self, Decision, History, Outcome};
use failing::Failing;

/// What a round is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duties {
    /// Compare machines and engines, and end what is neither.
    pub reconciles: bool,
    /// Launch and drain.
    pub scales: bool,
    /// Say what would be done, and do nothing; nothing is remembered either.
    pub is_dry: bool,
    /// The times and bounds of reconciling.
    pub rules: Rules,
}

/// What a round did, a line each.
#[derive(Debug, Default)]
pub struct Report {
    /// What was done, or would be.
    pub done: Vec<String>,
    /// What was not done, and why.
    pub held: Vec<String>,
    /// What failed, and is tried again in the next round.
    pub failed: Vec<String>,
    /// What needs an operator.
    pub loud: Vec<String>,
    /// The decision about the number of engines.
    pub decision: Option<Decision>,
    /// What could not be looked at, so that the region was left alone.
    pub unseen: Option<Unseen>,
}

/// What a round could not look at.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unseen {
    /// The machines.
    #[error(transparent)]
    Machines(ProviderError),
    /// The engines; the store's words.
    #[error("read the engines of the region: {0}")]
    Engines(String),
}

/// What rounds remember.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Notes {
    #[serde(default)]
    memory: Memory,
    #[serde(default)]
    history: History,
    #[serde(default)]
    failing: Failing,
}

/// One round.
struct Round<'a, P> {
    provider: &'a P,
    home: Home,
    fleet: &'a str,
    region: &'a FleetRegion,
    duties: &'a Duties,
    now_ms: u64,
    notes: Notes,
    /// The launches that this round knows of.
    tokens: BTreeSet<String>,
    report: Report,
}

/// Goes one round of one region. `now_ms` is the time of day, in milliseconds since 1970.
///
/// # Errors
///
/// [`HomeError`] when the store cannot be read at all: nothing was done then.
pub async fn go<P: Provider>(
    provider: &P,
    store: &Client,
    (fleet, region): (&str, &FleetRegion),
    duties: &Duties,
    now_ms: u64,
) -> Result<Report, HomeError> {
    let listing = provider.list().await;
    let home = Home::enter(store, &region.name).await?;
    let engines = home.read(fleet, |engine| provider.names(engine)).await;
    let notes = home.recall(&notes_of(fleet, duties)).await?;
    let machines = listing.as_ref().err().cloned().map(Unseen::Machines);
    let unseen =
        machines.or_else(|| engines.as_ref().err().map(|e| Unseen::Engines(e.to_string())));
    let (registrations, engines) = match engines {
        Ok(engines) => (Ok(engines.registered.clone()), engines),
        Err(error) => (Err(error.to_string()), Engines::default()),
    };
    let tokens = engines.intents.iter().map(|intent| intent.token.clone()).collect();
    let report = Report { unseen, ..Report::default() };
    let mut round = Round { provider, home, fleet, region, duties, now_ms, notes, tokens, report };
    let seen = Seen { now_ms, fleet, region, listing: &listing, registrations: &registrations };
    let decided = reconcile::decide(&seen, round.notes.memory.clone(), &duties.rules);
    round.notes.memory = decided.memory;
    round.notes.history.booted(now_ms, &decided.boots);
    round.notes.failing.tidy(now_ms);
    let failing = round.notes.failing.clone();
    round.report.held.extend(decided.held);
    round.write_down().await?;
    if duties.reconciles {
        for action in decided.actions {
            round.perform(action).await;
        }
        for engine in &engines.left_orders {
            let line =
                format!("remove the order to drain {engine}: there is no such engine any more");
            let removed = round.remove_order(engine, &line).await;
            round.note(line, removed);
        }
    }
    if let (true, Some(mut capacity), Ok(listed)) = (duties.scales, decided.capacity, &listing) {
        capacity.launching = round.settle(&engines, listed).await?;
        round.scale(&engines, &capacity).await?;
    }
    if round.notes.failing != failing {
        round.write_down().await?;
    }
    Ok(round.report)
}

/// Rounds with other duties remember other things.
fn notes_of(fleet: &str, duties: &Duties) -> String {
    let word = match (duties.reconciles, duties.scales) {
        (true, true) => "run",
        (true, false) => "reconcile",
        _ => "scale",
    };
    format!("blitz-boot-{fleet}-{word}")
}

impl<P: Provider> Round<'_, P> {
    async fn write_down(&self) -> Result<(), Error> {
        if self.duties.is_dry {
            return Ok(());
        }
        self.home.remember(&notes_of(self.fleet, self.duties), &self.notes).await
    }

    /// Says what was done, or that it failed.
    fn note<E: std::fmt::Display>(&mut self, line: String, result: Result<(), E>) {
        match result {
            Ok(()) => self.report.done.push(line),
            Err(error) => self.report.failed.push(format!("{line}: failed: {error}")),
        }
    }

    async fn remove_order(&self, engine: &str, why: &str) -> Result<(), Error> {
        if self.duties.is_dry {
            return Ok(());
        }
        self.tell("remove-order", engine, 202, why).await?;
        self.home.remove(&DrainOrder::document_id(engine)).await
    }

    async fn perform(&mut self, action: Action) {
        let (word, of) = match &action {
            Action::RemoveDocument { engine, .. } => ("remove-document", engine.clone()),
            Action::Mark { id, .. } => ("mark", id.to_string()),
            Action::Unmark { id, .. } => ("unmark", id.to_string()),
            Action::Drain { engine, .. } => ("drain", engine.clone()),
            Action::Terminate { id, .. } => ("terminate", id.to_string()),
        };
        let key = format!("{word} {of}");
        let line = format!("{key}: {}", action.why());
        if let Some(why) = self.notes.failing.holds(&key, self.now_ms) {
            self.report.held.push(format!("{line}: {why}"));
            return;
        }
        if self.duties.is_dry {
            self.report.done.push(line);
            return;
        }
        let result = match self.tell(word, &of, 202, action.why()).await {
            Ok(()) => self.act(action).await,
            Err(error) => Err(format!("not begun, for the audit could not be written: {error}")),
        };
        match result {
            Ok(true) => {
                self.notes.failing.succeeded(&key);
                self.report.done.push(line);
            }
            Ok(false) => {
                let why = "not done, it has changed since it was read";
                self.tell(word, &of, 409, why).await.ok();
                self.report.held.push(format!("{line}: {why}"));
            }
            Err(error) => {
                self.notes.failing.failed(&key, self.now_ms);
                // That it failed is told too, as far as that can be.
                self.tell(word, &of, 500, &error).await.ok();
                self.report.failed.push(format!("{line}: failed: {error}"));
            }
        }
    }

    /// Performs an action; false when what it is about has changed.
    async fn act(&self, action: Action) -> Result<bool, String> {
        let (home, provider) = (&self.home, self.provider);
        let told = |error: Error| error.to_string();
        let said = |error: ProviderError| error.to_string();
        match action {
            Action::RemoveDocument { engine, last, .. } => {
                home.remove_engine(&engine, &last).await.map_err(told)
            }
            Action::Mark { id, value, .. } => {
                provider.tag(&id, TAG_ORPHAN, Some(&value)).await.map(|()| true).map_err(said)
            }
            Action::Unmark { id, .. } => {
                provider.tag(&id, TAG_ORPHAN, None).await.map(|()| true).map_err(said)
            }
            Action::Drain { engine, why } => {
                home.ask_to_drain(&engine, &why, self.now_ms).await.map_err(told)
            }
            Action::Terminate { id, last, .. } => {
                if home.sign(&id.0).await.map_err(told)? != last {
                    return Ok(false);
                }
                provider.terminate(&id).await.map(|()| true).map_err(said)
            }
        }
    }

    /// Writes into the audit: 202 is what is about to be done, 409 what was not done for it has changed, 500 what failed.
    async fn tell(&self, word: &str, of: &str, status: u16, why: &str) -> Result<(), Error> {
        let path = format!("{}/{}/{of}", self.fleet, self.region.name);
        self.home.tell(self.now_ms, (&format!("fleet.{word}"), &path, status), why).await
    }

    /// Goes on with the launches that were intended, and says how many machines are to come of them.
    async fn settle(&mut self, engines: &Engines, listed: &[Instance]) -> Result<u32, Error> {
        let history = &self.notes.history;
        let age_ms = |intent: &Intent| history.age_ms(intent);
        let settled = settle(self.now_ms, age_ms, &engines.intents, listed, &engines.registered);
        for (intent, next) in settled.next {
            match next {
                Next::Wait => {}
                Next::Remove { why } => {
                    self.hear_ended(intent, engines, listed);
                    let line = format!("settle launch {}: {why}", intent.token);
                    let removed = self.forget(intent).await;
                    self.note(line, removed);
                }
                Next::Ask => self.ask(intent.clone()).await?,
            }
        }
        Ok(settled.launching)
    }

    /// Machines of a launch that had ended before any round saw them: their boots have failed.
    fn hear_ended(&mut self, intent: &Intent, engines: &Engines, listed: &[Instance]) {
        let has_engine =
            |one: &Instance| engines.registered.iter().any(|engine| engine.engine == one.id.0);
        let of_it = listed.iter().filter(|one| one.tag(TAG_LAUNCH) == Some(&intent.token));
        let ended = of_it.filter(|one| one.state == InstanceState::Gone && !has_engine(one));
        let failed = ended.map(|one| one.id.clone()).collect();
        self.notes.history.booted(self.now_ms, &Boots { failed, is_registered: false });
    }

    async fn scale(
        &mut self,
        engines: &Engines,
        capacity: &reconcile::Capacity,
    ) -> Result<(), Error> {
        let demand = demand::read(&self.home, &engines.held, self.now_ms).await?;
        let place = (self.fleet, self.region);
        let decision = scale::decide(self.now_ms, place, &demand, capacity, &self.notes.history);
        if self.notes.history != decision.history {
            self.notes.history = decision.history.clone();
            self.write_down().await?;
        }
        if let Some(intent) = decision.launch.clone() {
            let why = decision.reasons.join("; ");
            let line = format!("launch {} ({})", intent.count, intent.token);
            if self.duties.is_dry {
                self.report.done.push(line);
            } else if self.is_overtaken().await? {
                self.report.held.push(format!(
                    "{line}: not asked for, as another process has launched since this round began"
                ));
            } else {
                self.tell("launch", &intent.token, 202, &why).await?;
                self.write_intent(&intent).await?;
                self.report.done.push(line);
                self.ask(intent).await?;
            }
        }
        for engine in decision.drain.clone() {
            self.perform(Action::Drain {
                engine,
                why: "there are more engines than are wanted".to_owned(),
            })
            .await;
        }
        self.report.decision = Some(decision);
        Ok(())
    }

    /// Asks the provider for an intended launch, and keeps what comes of it.
    async fn ask(&mut self, intent: Intent) -> Result<(), Error> {
        if self.duties.is_dry {
            let token = &intent.token;
            self.report.done.push(format!("ask for launch {token} again: its answer was lost"));
            return Ok(());
        }
        let mut next = Some(intent);
        while let Some(intent) = next.take() {
            let answer = self.provider.launch(&intent.request()).await;
            let outcome = self.notes.history.answered(self.now_ms, &intent, &answer);
            self.write_down().await?;
            match outcome {
                Outcome::Keep { intent: kept, why } => {
                    self.home.write_intent(&kept).await?;
                    let line = format!("launch {}: {why}", kept.token);
                    match answer {
                        Ok(_) => self.report.done.push(line),
                        Err(_) => self.report.failed.push(line),
                    }
                }
                Outcome::Remove { why, is_loud } => {
                    self.tell("launch", &intent.token, 500, &why).await?;
                    self.forget(&intent).await?;
                    let line = format!("launch {}: {why}", intent.token);
                    if is_loud { &mut self.report.loud } else { &mut self.report.failed }
                        .push(line);
                }
                Outcome::Instead { intent: other, why } => {
                    self.report.held.push(format!("launch {}: {why}", intent.token));
                    self.tell("launch", &other.token, 202, &why).await?;
                    self.write_intent(&other).await?;
                    self.forget(&intent).await?;
                    next = Some(other);
                }
            }
        }
        Ok(())
    }

    /// Whether somebody has intended a launch that this round does not know of. A process that was stopped for a while in the middle
    /// of a round has lost its duty, and does not know.
    async fn is_overtaken(&self) -> Result<bool, Error> {
        let intents = self.home.intents(self.fleet).await?;
        Ok(intents.iter().any(|intent| !self.tokens.contains(&intent.token)))
    }

    async fn write_intent(&mut self, intent: &Intent) -> Result<(), Error> {
        self.tokens.insert(intent.token.clone());
        self.home.write_intent(intent).await
    }

    async fn forget(&self, intent: &Intent) -> Result<(), Error> {
        if self.duties.is_dry {
            return Ok(());
        }
        self.home.remove(&intent.document_id()).await
    }
}
