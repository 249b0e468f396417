//! The faults: planned by the seed, aimed at who runs a job at that moment, and written down as they happened.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use blitz_jobs::timing::Timing;
use tokio::sync::MutexGuard;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::chance::Chance;
use crate::claims::{Claims, Hold};
use crate::process::Process;
use crate::site::{Seat, Site};
use blitz_tests::proxy::{Mode, Proxy};

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Kill,
    KillNew,
    Pause,
    Freeze,
    Cut,
    Refuse,
    Stall,
    Deaf,
    Term,
    Store,
    Gateway,
}

/// Each kind with its word and its share of 100: mostly what ends a job that runs.
pub(crate) const KINDS: [(Kind, &str, u64); 11] = [
    (Kind::Kill, "kill", 24),
    (Kind::KillNew, "kill-new", 6),
    (Kind::Pause, "pause", 10),
    (Kind::Freeze, "freeze", 12),
    (Kind::Cut, "cut", 12),
    (Kind::Refuse, "refuse", 9),
    (Kind::Stall, "stall", 8),
    (Kind::Deaf, "deaf", 8),
    (Kind::Term, "term", 4),
    (Kind::Store, "store", 4),
    (Kind::Gateway, "gateway", 3),
];

impl Kind {
    pub(crate) fn word(self) -> &'static str {
        KINDS.iter().find(|(kind, ..)| *kind == self).map_or("", |(_, word, _)| word)
    }
}

/// A fault that is to come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planned {
    pub(crate) kind: Kind,
    /// Whether somebody is looked for who runs a job.
    is_aimed: bool,
    /// Whether the connections are a gateway's.
    meets_gateway: bool,
    /// Chooses among those who may be met.
    pick: u64,
    /// Until it is healed.
    lasts: Duration,
}

/// A fault that was.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// The instance id of the engine, or `store`, or `gateway N`.
    pub(crate) target: String,
    pub(crate) at: Instant,
    pub(crate) healed: Instant,
    /// What the engine had then.
    pub(crate) held: Vec<Hold>,
}

/// So many of 100 faults are aimed at an engine that runs a job.
const AIMED_PERCENT: u64 = 80;

/// So many of 100 faults of connections meet a gateway's.
const GATEWAY_PERCENT: u64 = 15;

/// The faults of a seed.
pub(crate) fn plan(count: usize, seed: u64, words: &[String], timing: &Timing) -> Vec<Planned> {
    let mut chance = Chance::new(seed, 1);
    let kinds: Vec<_> = KINDS
        .iter()
        .filter(|(_, word, _)| words.is_empty() || words.iter().any(|wanted| wanted == word))
        .collect();
    let all: u64 = kinds.iter().map(|(.., share)| share).sum();
    let ms = Duration::from_millis;
    (0..count)
        .map(|_| {
            let mut at = chance.below(all);
            let mut chosen = Kind::Kill;
            for (kind, _, share) in &kinds {
                chosen = *kind;
                if at < *share {
                    break;
                }
                at -= share;
            }
            let lasts = match chosen {
                Kind::Kill | Kind::KillNew | Kind::Term => chance.between(ms(50), timing.dead / 2),
                Kind::Pause => chance.between(timing.beat / 2, timing.stop * 4 / 5),
                Kind::Freeze => chance.between(timing.dead * 11 / 10, timing.dead * 2),
                Kind::Cut => Duration::ZERO,
                Kind::Refuse => chance.between(timing.beat / 2, timing.dead * 3 / 2),
                Kind::Stall => chance.between(timing.beat / 2, timing.dead * 3 / 2),
                Kind::Deaf => chance.between(timing.beat / 2, timing.stop),
                Kind::Store => chance.between(ms(50), timing.beat),
                Kind::Gateway => chance.between(ms(50), timing.dead / 2),
            };
            let (is_aimed, pick) = (chance.percent(AIMED_PERCENT), chance.next());
            let is_way = matches!(chosen, Kind::Cut | Kind::Refuse | Kind::Stall | Kind::Deaf);
            let meets_gateway = chance.percent(GATEWAY_PERCENT) && is_way;
            Planned { kind: chosen, is_aimed, meets_gateway, pick, lasts }
        })
        .collect()
}

/// Who makes the faults.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    pub(crate) site: Arc<Site>,
    pub(crate) claims: Claims,
    pub(crate) faults: Arc<Mutex<Vec<Fault>>>,
    /// What should have been healed and was not.
    pub(crate) broken: Arc<Mutex<Vec<String>>>,
}

/// While no engine may be met, one is looked for again after this long.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Trouble {
    /// Makes the faults, one after each `gap`, and returns when the last one is healed.
    pub(crate) async fn make(&self, plan: Vec<Planned>, gap: Duration) {
        let begun = Instant::now();
        let mut running = JoinSet::new();
        for (planned, number) in plan.into_iter().zip(0u32..) {
            tokio::time::sleep_until(begun + gap * number).await;
            let this = self.clone();
            running.spawn(async move { this.one(planned, number).await });
            while running.try_join_next().is_some() {}
        }
        while running.join_next().await.is_some() {}
    }

    /// All that was.
    pub(crate) fn all(&self) -> Vec<Fault> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn one(&self, planned: Planned, number: u32) {
        let healed = match planned.kind {
            Kind::Store => self.store(planned).await,
            Kind::Gateway => self.gateway(planned).await,
            _ if planned.meets_gateway => self.gateway(planned).await,
            _ => self.engine(planned, number).await,
        };
        if let Err(error) = healed {
            let what = format!("after {} {number}: {error}", planned.kind.word());
            self.broken.lock().unwrap_or_else(PoisonError::into_inner).push(what);
        }
    }

    fn write_down(&self, planned: Planned, target: &str, at: Instant, held: Vec<Hold>) {
        // Known from its begin on: what waits for its end may not come to it.
        let healed = Instant::now();
        let fault = Fault { kind: planned.kind, target: target.to_owned(), at, healed, held };
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    async fn store(&self, planned: Planned) -> Result<(), String> {
        let at = Instant::now();
        match &self.site.own_store {
            Some(store) => {
                let mut store = store.lock().await;
                let at = Instant::now();
                store.kill().await;
                tokio::time::sleep(planned.lasts).await;
                let started = self.site.start_store(&mut store).await;
                self.write_down(planned, "store", at, Vec::new());
                started
            }
            None => {
                for mode in [Mode::Refuse, Mode::Open] {
                    let engines = self.site.engines.iter().map(|seat| &seat.proxy);
                    let gateways = self.site.gateways.iter().map(|gateway| &gateway.proxy);
                    for proxy in engines.chain(gateways) {
                        proxy.set(mode);
                        proxy.cut();
                    }
                    if mode == Mode::Refuse {
                        tokio::time::sleep(planned.lasts).await;
                    }
                }
                self.write_down(planned, "store", at, Vec::new());
                Ok(())
            }
        }
    }

    async fn gateway(&self, planned: Planned) -> Result<(), String> {
        let count = u64::try_from(self.site.gateways.len()).unwrap_or(1);
        let index = usize::try_from(planned.pick % count).unwrap_or(0);
        let gateway = &self.site.gateways[index];
        let mut process = gateway.process.lock().await;
        let at = Instant::now();
        let mut started = Ok(());
        if planned.kind == Kind::Gateway {
            process.kill().await;
            tokio::time::sleep(planned.lasts).await;
            started = self.site.start_gateway(gateway, &mut process).await;
        } else {
            disturb(&gateway.proxy, planned).await;
        }
        self.write_down(planned, &format!("gateway {index}"), at, Vec::new());
        started
    }

    async fn engine(&self, planned: Planned, number: u32) -> Result<(), String> {
        let (seat, mut process) = self.choose(planned).await;
        let (at, id) = (Instant::now(), seat.id());
        let held = self.claims.live().remove(&id).unwrap_or_default();
        let rest = || tokio::time::sleep(planned.lasts);
        let mut healed = Ok(());
        match planned.kind {
            Kind::Kill | Kind::KillNew => {
                process.kill().await;
                rest().await;
                let new = (planned.kind == Kind::KillNew).then(|| format!("{id}-{number}"));
                healed = self.site.start_engine(seat, &mut process, new).await;
            }
            Kind::Pause | Kind::Freeze => {
                process.signal("STOP").await;
                rest().await;
                process.signal("CONT").await;
            }
            Kind::Term => {
                process.signal("TERM").await;
                if !process.ends_within(DRAIN_MAX).await {
                    healed =
                        Err(format!("engine {id} did not end within {DRAIN_MAX:?} of SIGTERM"));
                    process.kill().await;
                }
                rest().await;
                healed = healed.and(self.site.start_engine(seat, &mut process, None).await);
            }
            _ => disturb(&seat.proxy, planned).await,
        }
        self.write_down(planned, &id, at, held);
        healed
    }

    /// An engine that no fault has at the moment, and as a rule one that runs a job. It is held until it is healed.
    async fn choose(&self, planned: Planned) -> (&Seat, MutexGuard<'_, Process>) {
        let limit = Instant::now() + AIM_MAX;
        loop {
            let live = self.claims.live();
            let mut free: Vec<_> = self
                .site
                .engines
                .iter()
                .filter_map(|seat| Some((seat, seat.process.try_lock().ok()?)))
                .collect();
            free.retain(|(seat, _)| {
                let held = live.get(&seat.id()).map_or(&[][..], Vec::as_slice);
                held.iter().all(|hold| hold.attempt < SPARED_FROM)
            });
            let is_aimed = planned.is_aimed && Instant::now() < limit;
            if is_aimed {
                free.retain(|(seat, _)| live.contains_key(&seat.id()));
            }
            if !free.is_empty() {
                let count = u64::try_from(free.len()).unwrap_or(1);
                let index = usize::try_from(planned.pick % count).unwrap_or(0);
                return free.swap_remove(index);
            }
            drop(free);
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// Disturbs the way of one part to the store, and heals it.
async fn disturb(proxy: &Proxy, planned: Planned) {
    let mode = match planned.kind {
        Kind::Refuse => Mode::Refuse,
        Kind::Stall => Mode::Stall,
        Kind::Deaf => Mode::Deaf,
        _ => return proxy.cut(),
    };
    proxy.set(mode);
    if mode == Mode::Refuse {
        proxy.cut();
    }
    tokio::time::sleep(planned.lasts).await;
    proxy.set(Mode::Open);
}

/// So long an engine that runs a job is waited for; then any engine will do.
const AIM_MAX: Duration = Duration::from_secs(3);

/// An engine is left alone while it has a job of this attempt or a later one: a third death makes the job poison,
/// and a few of those put its plugin into quarantine, as they should, and that ends the run for all other jobs.
const SPARED_FROM: u64 = 3;

/// An engine that drains has ended within this time: its drain, what it gives back, and a busy machine.
const DRAIN_MAX: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_plans_the_same_and_all_kinds_come() {
        let timing = Timing::faster(5);
        let plan = |seed| {
            let plan = plan(400, seed, &[], &timing);
            plan.iter().map(|p| (p.kind, p.pick, p.lasts)).collect::<Vec<_>>()
        };
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
        for (kind, word, _) in KINDS {
            assert!(plan(1).iter().any(|(planned, ..)| *planned == kind), "{word}");
        }
    }

    #[test]
    fn only_the_kinds_that_were_asked_for_come_and_last_as_their_names_say() {
        let timing = Timing::faster(5);
        let words = ["pause".to_owned(), "freeze".to_owned()];
        for planned in plan(200, 7, &words, &timing) {
            match planned.kind {
                Kind::Pause => assert!(planned.lasts < timing.stop, "{planned:?}"),
                Kind::Freeze => assert!(planned.lasts > timing.dead, "{planned:?}"),
                other => panic!("{other:?} was not asked for"),
            }
        }
    }
}
