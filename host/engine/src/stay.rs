//! One stay of an engine at one cluster and one home epoch: the loop that owns its state and selects over what happens.
//!
//! A stay is a start of its own, with its own claims, beats and ears. `acts` does what the contest asks for, `databases`
//! follows what the region has, `orders` what the engine says: to claim, to rest, to leave.

mod acts;
mod databases;
mod orders;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use blitz_couchdb::Client;
use blitz_jobs::clock::Clock;
use blitz_jobs::contest::{self, Contest};
use blitz_jobs::feed::Heard;
use blitz_jobs::guards::Guards;
use blitz_jobs::{Incarnation, JobId};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::census::{ENGINES_UNKNOWN, FirstCount};
use crate::chart::Chart;
use crate::config::Config;
use crate::course::Station;
use crate::ears::Ears;
use crate::entry::{self, Entry, Kept};
use crate::executor::Signals;
use crate::gate::{Asked, Gate};
use crate::going::{GIVE_BACK, Going, Leave, Order};
use crate::own::NotWritten;
use crate::presence::Word;
use crate::pulse::Pulse;
use crate::reach::{Door, Reach};
use crate::shelf::Shelf;
use crate::siblings::{Part, Siblings};
use crate::tasks::Tasks;
use databases::Followed;
use orders::Present;

/// Things heard that wait for the loop. The feed waits when it is full, which is what a feed can do best.
const HEARD_WAITING: usize = 1024;

/// While jobs are held the loop looks at its clock at least this often, whatever is due: timers stand still
/// while a machine sleeps, and what it holds may be another's when it wakes up.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// The loop rests at least this long when nothing happens: the resolution of timers.
const LOOK_MIN: Duration = Duration::from_millis(1);

/// Without jobs the loop looks this often, for nothing.
const LOOK_IDLE: Duration = Duration::from_secs(3600);

/// What all stays of an engine have in common.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    pub(crate) config: Config,
    pub(crate) reach: Reach,
    pub(crate) shelf: Shelf,
    /// Told when what the engine can run has changed.
    pub(crate) changed: Arc<Notify>,
    /// The digests of what it can run.
    pub(crate) plugins: watch::Receiver<BTreeSet<String>>,
    pub(crate) charts: watch::Receiver<Arc<Chart>>,
    pub(crate) siblings: Siblings,
    /// To the engine: that it is to leave.
    pub(crate) leaves: Sender<Leave>,
}

/// How a stay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// As it was told to.
    InOrder,
    /// Another process has this engine's id.
    Replaced,
}

/// Is at a station until it is told to end.
pub(crate) async fn stay(
    mut common: Common,
    station: Station,
    mut orders: watch::Receiver<Order>,
    mut part: Part,
) -> Ended {
    let Common { reach, config, charts, .. } = &mut common;
    match entry::wait(reach, &config.runtime, &station, charts, &mut orders, &mut part).await {
        Some(entry) => Stay::begin(common, station, orders, part, entry).await,
        None => Ended::InOrder,
    }
}

/// What comes to the loop from those who work beside it.
struct Inbox {
    heard: Receiver<Heard>,
    words: Receiver<Word>,
    asked: Receiver<Asked>,
}

/// What the loop owns.
struct Stay {
    common: Common,
    station: Station,
    orders: watch::Receiver<Order>,
    going: Going,
    part: Part,
    /// Other starts of the engine that the contest knows of.
    beside: HashSet<Incarnation>,
    door: Door,
    clock: Clock,
    contest: Contest,
    ears: Ears,
    first_count: FirstCount,
    /// About how many engines the region has; none while nobody listens.
    engines: Option<u64>,
    databases: BTreeMap<String, Followed>,
    plugins: BTreeSet<String>,
    pulse: Pulse,
    gate: Gate,
    running: HashMap<JobId, Signals>,
    tasks: Tasks,
    engines_database: Kept,
    present: Option<Present>,
    /// What is still being said of the engine's presence.
    presences: JoinSet<()>,
    words: Sender<Word>,
    /// Another process has this engine's id.
    replaced: bool,
}

impl Stay {
    async fn begin(
        common: Common,
        station: Station,
        orders: watch::Receiver<Order>,
        part: Part,
        entry: Entry,
    ) -> Ended {
        let Entry { door, beats, engines } = entry;
        let (heard_in, heard) = mpsc::channel(HEARD_WAITING);
        let (words, words_out) = mpsc::channel(HEARD_WAITING);
        let (gate, asked) = Gate::new();
        let (config, siblings) = (&common.config, common.siblings.clone());
        let (id, start, clock) = (config.id.clone(), part.start().clone(), Clock::start());
        let stay = Self {
            contest: Contest::new(contest::Config {
                engine: id.clone(),
                incarnation: start.clone(),
                region: config.region.clone(),
                epoch: station.epoch(),
                only_safe: station.is_refuge(),
                slots: u32::try_from(config.slots).unwrap_or(u32::MAX).max(1),
                timing: config.timing,
                guards: Guards::default(),
            }),
            ears: Ears::new(&door.client, &id, heard_in),
            first_count: FirstCount::awaited(clock.now()),
            pulse: Pulse::new(
                beats.database,
                beats.copies,
                &id,
                start,
                siblings,
                config.timing.stop,
            ),
            going: Going::On,
            beside: HashSet::new(),
            engines: None,
            databases: BTreeMap::new(),
            plugins: BTreeSet::new(),
            running: HashMap::new(),
            tasks: Tasks::default(),
            engines_database: engines,
            present: None,
            presences: JoinSet::new(),
            replaced: false,
            common,
            station,
            orders,
            part,
            door,
            clock,
            gate,
            words,
        };
        Box::pin(stay.run(Inbox { heard, words: words_out, asked })).await
    }

    async fn run(mut self, mut inbox: Inbox) -> Ended {
        self.obey();
        self.hear_plugins();
        self.follow_region();
        loop {
            let now = self.clock.now();
            self.listen_uncounted(now);
            self.hear_siblings();
            let actions = self.contest.tick(now);
            self.perform(actions);
            // Also when nothing is heard: room is made by what ends here.
            if self.contest.wants_listing() {
                self.ears.list_again();
            }
            self.leave_databases();
            self.part.take(self.contest.slots_taken());
            self.go_on(now);
            if self.going == Going::Over {
                break;
            }
            let rest = self.rest();
            tokio::select! {
                Some(thing) = inbox.heard.recv() => {
                    self.hear(thing);
                    // A listing brings thousands: they are looked at together.
                    for _ in 0..HEARD_WAITING {
                        let Ok(thing) = inbox.heard.try_recv() else { break };
                        self.hear(thing);
                    }
                }
                Some(word) = inbox.words.recv() => match word {
                    Word::Engines(count) => self.hear_count(count),
                    Word::Replaced(by) => self.hear_replaced(&by),
                    // Of many words that the engine has not heard yet, one is as good as two.
                    Word::Leave(leave) => drop(self.common.leaves.try_send(leave)),
                },
                Some(question) = inbox.asked.recv() => {
                    let may = self.contest.may_write(self.clock.now(), &question.job);
                    // Who asked may be gone.
                    let _ = question.answer.send(may);
                }
                Some(done) = self.tasks.next() => self.done(done),
                Ok(()) = self.orders.changed() => self.obey(),
                Ok(()) = self.common.plugins.changed() => self.hear_plugins(),
                Ok(()) = self.common.charts.changed() => self.follow_region(),
                () = self.part.changed() => {}
                Some(_) = self.presences.join_next() => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
        self.leave().await
    }

    /// The store of the cluster at which this stay is.
    fn store(&self) -> &Client {
        &self.door.client
    }

    fn hear(&mut self, thing: Heard) {
        match &thing {
            Heard::Place(place) => {
                let oldest = self.contest.oldest(&place.database).map(ToString::to_string);
                if let Some(leaves) = self.ears.leave(place, oldest) {
                    self.tasks.other(async move {
                        leaves.await;
                        crate::tasks::Done::Nothing
                    });
                }
            }
            Heard::Go(job, go) => {
                if let Some(signals) = self.running.get(job) {
                    signals.hear_go(go);
                }
            }
            Heard::Replaced(database) => self.look_for(&database.clone()),
            // Whoever has the key claims it.
            Heard::Spec(spec) => {
                if let Err(reason) = self.common.config.region_keys.check(spec) {
                    tracing::warn!(job = %spec.job, %reason, "left to other engines");
                    return;
                }
            }
            _ => {}
        }
        let actions = self.contest.hear(self.clock.now(), thing);
        self.perform(actions);
    }

    fn hear_count(&mut self, engines: u64) {
        self.contest.hear_engines(engines);
        if self.first_count.has_come() || self.engines.is_some() {
            self.listen(engines);
        }
    }

    /// Hears of jobs though nobody knows how many engines do, when no count comes.
    fn listen_uncounted(&mut self, now: Duration) {
        if self.first_count.is_given_up(now) {
            tracing::warn!("the region's engines are not counted yet, taken for {ENGINES_UNKNOWN}");
            self.contest.hear_engines(ENGINES_UNKNOWN);
            self.listen(ENGINES_UNKNOWN);
        }
    }

    fn hear_plugins(&mut self) {
        let plugins = self.common.plugins.borrow_and_update().clone();
        plugins.difference(&self.plugins).for_each(|sha256| self.contest.add_plugin(sha256));
        self.plugins.difference(&plugins).for_each(|sha256| self.contest.remove_plugin(sha256));
        self.plugins = plugins;
    }

    fn hear_siblings(&mut self) {
        self.contest.hear_elsewhere(self.part.elsewhere());
        for start in self.part.beside() {
            if self.beside.insert(start.clone()) {
                self.contest.hear_beside(start);
            }
        }
    }

    fn hear_replaced(&mut self, by: &Incarnation) {
        if !self.replaced {
            let (id, by) = (&self.common.config.id, by.short());
            tracing::error!(id, by, "another process with this engine's id was started");
            self.replaced = true;
        }
    }

    /// How long there is nothing to do if nothing happens.
    fn rest(&self) -> Duration {
        let now = self.clock.now();
        let due = self.contest.due().into_iter();
        let due = due.chain(self.going.until()).chain(self.first_count.due());
        let max = if self.contest.busy() > 0 { LOOK_MAX } else { LOOK_IDLE };
        due.min().map_or(max, |due| due.saturating_sub(now)).clamp(LOOK_MIN, max)
    }

    /// The last words: nothing is held any more. What could not be given back has no beat from here on.
    async fn leave(mut self) -> Ended {
        self.tasks.stop().await;
        if let Some(stroke) = self.pulse.last().filter(|_| !self.replaced) {
            let written = async { stroke.write().await.1 };
            match tokio::time::timeout(GIVE_BACK, written).await {
                Ok(Ok(_) | Err(NotWritten::Replaced { .. })) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "cannot write that nothing is held any more");
                }
                Err(_) => {
                    tracing::warn!("cannot write that nothing is held any more: no answer");
                }
            }
        }
        self.say_farewell();
        // Whoever says something still must not wait for this stay to hear it.
        drop(self.words);
        while self.presences.join_next().await.is_some() {}
        tracing::info!(epoch = self.station.epoch(), at = %self.door, "claims no jobs any more");
        if self.replaced { Ended::Replaced } else { Ended::InOrder }
    }
}
