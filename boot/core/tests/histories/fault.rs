//! What can happen, and histories of it.

use proptest::prelude::*;

/// A fleet's life: how it is set up, and what happens in each step.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) min: u32,
    pub(crate) max: u32,
    pub(crate) warm: u32,
    pub(crate) is_spot: bool,
    /// What becomes of machines that are launched, in turn.
    pub(crate) fates: Vec<Fate>,
    /// Seconds, and what happens at their beginning.
    pub(crate) steps: Vec<(u64, Vec<Fault>)>,
}

/// What becomes of a machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fate {
    /// Seconds from its launch to its registration, or never.
    pub(crate) boots_s: Option<u64>,
    /// Listings that do not show it.
    pub(crate) hidden_count: u32,
    /// Whether it ends when its engine does.
    pub(crate) powers_off: bool,
}

/// Something that happens to one of the machines that are there, by its number, or to the driver. Some last for so many rounds.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Jobs are submitted; each takes so many steps.
    Jobs(u32, u32),
    Crash(usize),
    Restart(usize),
    /// It reaches no store, stops its jobs, and comes back.
    Cut(usize, u32),
    /// It runs jobs and beats, and its document stands still.
    Mute(usize, u32),
    /// The provider takes it back, and shows that it has.
    Reclaim(usize),
    /// It is gone, and no listing shows it any more.
    Vanish(usize),
    /// An operator keeps it.
    Keep(usize),
    /// A machine of somebody else, or one that lacks a tag.
    Foreign(u8),
    /// A machine with our tags that no launch of ours made, so many seconds old.
    Stray(u64),
    ListingFails(u32),
    ReadsFail(u32),
    /// Reads answer with what was there before.
    ReadsAreOld(u32),
    /// Tags are shown as they were before.
    TagsAreOld(u32),
    ActionsFail(u32),
    /// The engines' database is made anew.
    EmptyStore,
    /// That of the beats is.
    NoBeats,
    MemoryLost,
    /// What was remembered in this round is not kept.
    MemoryNotKept,
    HistoryLost,
    Launch(Answer),
    /// Seconds that the driver's clock is set by.
    Clock(i64),
    /// Seconds that the provider's clock is ahead.
    ProviderClock(i64),
    /// The driver does nothing for so many steps.
    Asleep(u32),
}

/// What comes of the next call that launches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The driver dies before it calls.
    NotAsked,
    LostAndDone,
    LostAndNotDone,
    Fewer,
    NoCapacity,
    Quota,
    Throttled,
    Denied,
}

pub(crate) fn history() -> impl Strategy<Value = History> {
    let fleet = (0..3_u32, 1..12_u32, 0..3_u32, any::<bool>());
    let steps = prop::collection::vec((5..=30_u64, faults()), 20..120);
    (fleet, prop::collection::vec(fate(), 1..8), steps).prop_map(
        |((min, max, warm, is_spot), fates, steps)| {
            let (min, warm) = (min.min(max), warm.min(max));
            History { min, max, warm, is_spot, fates, steps }
        },
    )
}

fn fate() -> impl Strategy<Value = Fate> {
    let boots_s = prop_oneof![8 => (10..280_u64).prop_map(Some), 1 => Just(None), 1 => (280..900_u64).prop_map(Some)];
    let hidden = prop_oneof![2 => Just(0), 1 => 0..7_u32];
    let off = prop::bool::weighted(0.8);
    (boots_s, hidden, off).prop_map(|(boots_s, hidden_count, powers_off)| Fate {
        boots_s,
        hidden_count,
        powers_off,
    })
}

fn faults() -> impl Strategy<Value = Vec<Fault>> {
    prop_oneof![3 => Just(Vec::new()), 2 => prop::collection::vec(fault(), 1..3)]
}

fn fault() -> impl Strategy<Value = Fault> {
    let one = || 0..16_usize;
    let rounds = || 1..8_u32;
    let clock = || prop_oneof![-60..60_i64, -4_000..4_000_i64, Just(-86_400), Just(86_400)];
    prop_oneof![
        12 => (1..12_u32, prop_oneof![1..20_u32, 20..90_u32]).prop_map(|(count, steps)| Fault::Jobs(count, steps)),
        4 => one().prop_map(Fault::Crash),
        1 => one().prop_map(Fault::Restart),
        3 => (one(), 1..40_u32).prop_map(|(one, rounds)| Fault::Cut(one, rounds)),
        3 => (one(), 1..40_u32).prop_map(|(one, rounds)| Fault::Mute(one, rounds)),
        2 => one().prop_map(Fault::Reclaim),
        2 => one().prop_map(Fault::Vanish),
        1 => one().prop_map(Fault::Keep),
        1 => (0..4_u8).prop_map(Fault::Foreign),
        1 => (0..7_200_u64).prop_map(Fault::Stray),
        3 => rounds().prop_map(Fault::ListingFails),
        3 => rounds().prop_map(Fault::ReadsFail),
        2 => (1..6_u32).prop_map(Fault::ReadsAreOld),
        2 => rounds().prop_map(Fault::TagsAreOld),
        2 => rounds().prop_map(Fault::ActionsFail),
        1 => Just(Fault::EmptyStore),
        1 => Just(Fault::NoBeats),
        1 => Just(Fault::MemoryLost),
        2 => Just(Fault::MemoryNotKept),
        1 => Just(Fault::HistoryLost),
        8 => answer().prop_map(Fault::Launch),
        2 => clock().prop_map(Fault::Clock),
        1 => clock().prop_map(Fault::ProviderClock),
        1 => (1..100_u32).prop_map(Fault::Asleep),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        Just(Answer::NotAsked),
        Just(Answer::LostAndDone),
        Just(Answer::LostAndNotDone),
        Just(Answer::Fewer),
        Just(Answer::NoCapacity),
        Just(Answer::Quota),
        Just(Answer::Throttled),
        Just(Answer::Denied),
    ]
}
