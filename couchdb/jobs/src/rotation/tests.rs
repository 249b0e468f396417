//! Holders that stop in the middle, clusters that do not answer, gateways and engines between them.

use proptest::prelude::*;

use super::*;

const PERIOD: Duration = Duration::from_secs(100);
const ROTATION: Rotation = Rotation { every_s: 100, keep_s: 150 };

/// A job's number, and whether it is open. A final run is one more document.
type Jobs = BTreeMap<u64, bool>;

#[derive(Debug, Clone)]
struct Cluster {
    region: Region,
    databases: BTreeMap<u32, Jobs>,
    answers: bool,
}

/// What a holder does next; it may stop for good before each.
#[derive(Debug, Default)]
enum At {
    #[default]
    Look,
    /// The clusters to which it still has to do the step, and the document that the step was decided by.
    Doing(Step, Vec<String>, Box<Region>, Option<Counted>),
}

#[derive(Debug, Default)]
struct Holder {
    rotating: Rotating,
    at: At,
    began_count: Duration,
}

struct World {
    now: Duration,
    clusters: BTreeMap<String, Cluster>,
    ages: Option<(u64, Ages)>,
    holders: [Holder; 2],
    jobs: u64,
    /// When each number stopped taking at the home, by the world's own clock.
    stopped: BTreeMap<u32, Duration>,
    became: (u32, Duration),
}

const HOME: &str = "tokyo";

impl World {
    fn new(lanes: u32) -> Self {
        let region = Region {
            home: Some(HOME.to_owned()),
            hubs: vec!["virginia".to_owned(), "oregon".to_owned()],
            rotation: Some(ROTATION),
            lanes,
            ..Region::new("japan").unwrap()
        };
        let cluster =
            Cluster { region, databases: BTreeMap::from([(1, Jobs::new())]), answers: true };
        let names = [HOME, "virginia", "oregon"].map(str::to_owned);
        Self {
            now: Duration::ZERO,
            clusters: names.into_iter().map(|name| (name, cluster.clone())).collect(),
            ages: None,
            holders: Default::default(),
            jobs: 0,
            stopped: BTreeMap::new(),
            became: (1, Duration::ZERO),
        }
    }

    fn home(&mut self) -> &mut Cluster {
        self.clusters.get_mut(HOME).unwrap()
    }

    fn seen(&self) -> Seen {
        let copy = |cluster: &Cluster| {
            let documents = |jobs: &Jobs| {
                let ended = jobs.values().filter(|open| !**open).count();
                u64::try_from(jobs.len() + ended).unwrap()
            };
            let databases =
                cluster.databases.iter().map(|(n, jobs)| (*n, documents(jobs))).collect();
            cluster.answers.then(|| Copy { region: cluster.region.clone(), databases })
        };
        let clusters = self.clusters.iter().map(|(name, one)| (name.clone(), copy(one))).collect();
        Seen { clusters, home: HOME.to_owned() }
    }

    /// One step of one holder.
    fn go_on(&mut self, which: usize) {
        let mut holder = std::mem::take(&mut self.holders[which]);
        match std::mem::take(&mut holder.at) {
            At::Look => self.look(&mut holder),
            At::Doing(step, left, decided, counted) => {
                self.perform(&mut holder, step, left, decided, counted);
            }
        }
        self.holders[which] = holder;
        self.check();
    }

    fn look(&mut self, holder: &mut Holder) {
        let seen = self.seen();
        let Some(home) = seen.home().map(|home| home.region.clone()) else { return };
        let revision = |n: u64| format!("{n}-a").parse::<Revision>().unwrap();
        let (n, ages) = self.ages.clone().unwrap_or_else(|| (0, Ages::new(&home)));
        let elapsed = holder.rotating.read(self.now, (n > 0).then(|| revision(n)).as_ref());
        let mut ages = ages.advanced(&home, &seen, elapsed);
        holder.rotating.tell(&mut ages);
        if n == 0 || !elapsed.is_zero() {
            self.ages = Some((n + 1, ages.clone()));
            holder.rotating.saved(self.now, revision(n + 1));
        }
        self.check_ages();
        if let Some(step) = holder.rotating.next(self.now, &seen, &ages) {
            let mut left: Vec<String> =
                self.clusters.keys().filter(|name| *name != HOME).cloned().collect();
            left.insert(0, HOME.to_owned());
            holder.began_count = self.now;
            let documents = match step {
                Step::Count(n) => Some(Counted { documents: seen.documents(n), open: 0 }),
                _ => None,
            };
            holder.at = At::Doing(step, left, Box::new(home), documents);
        }
    }

    fn perform(
        &mut self,
        holder: &mut Holder,
        step: Step,
        mut left: Vec<String>,
        decided: Box<Region>,
        mut counted: Option<Counted>,
    ) {
        if matches!(step, Step::Open(_) | Step::MakeCurrent(_) | Step::Close(_)) {
            let home = self.home();
            if home.answers && home.region == *decided {
                home.region = step.edited(&decided).unwrap_or(*decided);
            }
            return;
        }
        // The hubs first, the home last.
        let name = left.pop().unwrap();
        let cluster = self.clusters.get_mut(&name).unwrap();
        if !cluster.answers {
            return;
        }
        match step {
            Step::Prepare(n) => {
                cluster.databases.entry(n).or_default();
            }
            Step::Drop(n) => {
                let jobs = cluster.databases.remove(&n).unwrap_or_default();
                assert!(jobs.values().all(|open| !open), "{name} drops {n} with {jobs:?}");
                assert!(!cluster.region.open.contains(&n) && cluster.region.current != n);
                let since = self.stopped[&n];
                assert!(self.now - since >= ROTATION.keep(), "{n} is dropped too early");
            }
            Step::Count(n) => {
                let jobs = cluster.databases.get(&n).into_iter().flat_map(BTreeMap::values);
                let open = u64::try_from(jobs.filter(|open| **open).count()).unwrap();
                counted.as_mut().unwrap().open += open;
            }
            Step::Open(_) | Step::MakeCurrent(_) | Step::Close(_) => {}
        }
        if !left.is_empty() {
            holder.at = At::Doing(step, left, decided, counted);
            return;
        }
        match step {
            Step::Prepare(n) => holder.rotating.prepared(n),
            Step::Count(n) => holder.rotating.counted(holder.began_count, n, counted.unwrap()),
            _ => {}
        }
    }

    fn submit(&mut self, name: &str) {
        self.jobs += 1;
        let cluster = self.clusters.get_mut(name).unwrap();
        let lane = usize::try_from(self.jobs).unwrap() % cluster.region.taking().count();
        let n = cluster.region.taking().nth(lane).unwrap();
        // Without the database there it would be submitted elsewhere.
        if let Some(jobs) = cluster.databases.get_mut(&n) {
            jobs.insert(self.jobs, true);
        }
    }

    /// Between a hub and the home: the region's document and ends away from home, jobs towards it.
    fn replicate(&mut self, name: &str) {
        let mut hub = self.clusters[name].clone();
        let home = self.home();
        if !hub.answers || !home.answers {
            return;
        }
        hub.region = home.region.clone();
        for (n, jobs) in &mut hub.databases {
            let Some(known) = home.databases.get_mut(n) else { continue };
            for job in jobs.keys() {
                known.entry(*job).or_insert(true);
            }
            jobs.extend(known.iter().map(|(job, open)| (*job, *open)));
        }
        self.clusters.insert(name.to_owned(), hub);
    }

    /// Engines end what they hear of: jobs of open databases at home.
    fn end(&mut self) {
        let Cluster { region, databases, .. } = self.home();
        for n in &region.open {
            databases.get_mut(n).into_iter().flatten().for_each(|(_, open)| *open = false);
        }
    }

    fn check(&mut self) {
        let now = self.now;
        let home = self.home();
        let region = home.region.clone();
        assert!(region.open.contains(&region.current), "{region:?}");
        assert!(region.open.iter().all(|n| home.databases.contains_key(n)), "{region:?}");
        if self.became.0 != region.current {
            self.became = (region.current, now);
        }
        let taking: Vec<u32> = region.taking().collect();
        for n in (1..region.current).filter(|n| !taking.contains(n)) {
            self.stopped.entry(n).or_insert(now);
        }
    }

    /// What the holders counted is never more than the time that passed.
    fn check_ages(&self) {
        let (_, ages) = self.ages.as_ref().unwrap();
        if ages.current == self.became.0 {
            let real = (self.now - self.became.1).as_millis();
            assert!(u128::from(ages.current_ms) <= real, "{ages:?}, really {real} ms");
        }
        for (n, idle) in &ages.idle {
            let real = (self.now - self.stopped[n]).as_millis();
            assert!(u128::from(idle.for_ms) <= real, "{n}: {idle:?}, really {real} ms");
        }
    }
}

#[derive(Debug, Clone)]
enum Event {
    Wait(u64),
    Holder(usize),
    Dies(usize),
    Submit(&'static str),
    Replicate(&'static str),
    End,
    Answers(&'static str, bool),
}

fn event() -> impl Strategy<Value = Event> {
    let name = prop_oneof![Just(HOME), Just("virginia"), Just("oregon")];
    let hub = prop_oneof![Just("virginia"), Just("oregon")];
    prop_oneof![
        4 => (1..30u64).prop_map(Event::Wait),
        12 => (0..2usize).prop_map(Event::Holder),
        1 => (0..2usize).prop_map(Event::Dies),
        3 => name.clone().prop_map(Event::Submit),
        4 => hub.prop_map(Event::Replicate),
        2 => Just(Event::End),
        2 => (name, prop::bool::weighted(0.8)).prop_map(|(name, is)| Event::Answers(name, is)),
    ]
}

proptest! {
    #[test]
    fn two_holders_that_die_lose_no_job_and_keep_a_current_database(
        lanes in 1..3u32,
        events in prop::collection::vec(event(), 1..800),
    ) {
        let mut world = World::new(lanes);
        for event in events {
            match event {
                Event::Wait(seconds) => world.now += Duration::from_secs(seconds),
                Event::Holder(which) => world.go_on(which),
                Event::Dies(which) => world.holders[which] = Holder::default(),
                Event::Submit(name) => world.submit(name),
                Event::Replicate(name) => world.replicate(name),
                Event::End => world.end(),
                Event::Answers(name, is) => world.clusters.get_mut(name).unwrap().answers = is,
            }
        }
        // Then all is well for ten periods: every job ends, and what is old goes.
        world.clusters.values_mut().for_each(|cluster| cluster.answers = true);
        for _ in 0..50 {
            world.now += PERIOD / 5;
            world.replicate("virginia");
            world.replicate("oregon");
            world.end();
            (0..24).for_each(|turn| world.go_on(turn % 2));
        }
        let region = world.home().region.clone();
        prop_assert!(region.current > 5, "{region:?}");
        for (name, cluster) in &world.clusters {
            prop_assert!(cluster.databases.values().flatten().all(|(_, open)| !open), "{name}");
            let kept = u32::try_from(cluster.databases.len()).unwrap();
            prop_assert!(kept <= lanes + 4, "{name} keeps {:?}", cluster.databases.keys());
        }
    }
}

/// A home alone, seen by a holder to whom no time passes.
fn alone(current: u32, open: &[u32], there: &[(u32, u64)]) -> Seen {
    let region = Region {
        rotation: Some(ROTATION),
        current,
        open: open.to_vec(),
        ..Region::new("japan").unwrap()
    };
    let copy = Copy { region, databases: there.iter().copied().collect() };
    Seen { clusters: BTreeMap::from([(String::new(), Some(copy))]), home: String::new() }
}

fn ages(current: u32, seconds: u64, idle: &[(u32, u64)]) -> Ages {
    let idle = idle.iter().map(|(n, seconds)| (*n, Idle { for_ms: seconds * 1000, ended: None }));
    let region = Region { current, ..Region::new("japan").unwrap() };
    Ages { current_ms: seconds * 1000, idle: idle.collect(), ..Ages::new(&region) }
}

#[test]
fn a_database_goes_its_road_step_by_step() {
    let now = Duration::ZERO;
    let mut rotating = Rotating::default();
    let one = alone(1, &[1], &[(1, 0)]);
    assert_eq!(rotating.next(now, &one, &ages(1, 74, &[])), None);
    assert_eq!(rotating.next(now, &one, &ages(1, 75, &[])), Some(Step::Prepare(2)));
    rotating.prepared(2);
    assert_eq!(rotating.next(now, &one, &ages(1, 75, &[])), Some(Step::Open(2)));
    let two = alone(1, &[1, 2], &[(1, 4), (2, 0)]);
    assert_eq!(rotating.next(now, &two, &ages(1, 99, &[])), None);
    assert_eq!(rotating.next(now, &two, &ages(1, 100, &[])), Some(Step::MakeCurrent(2)));
    let after = alone(2, &[1, 2], &[(1, 4), (2, 0)]);
    assert_eq!(rotating.next(now, &after, &ages(2, 0, &[(1, 99)])), None);
    assert_eq!(rotating.next(now, &after, &ages(2, 0, &[(1, 100)])), Some(Step::Count(1)));
    let counted = |open| Counted { documents: after.documents(1), open };
    rotating.counted(now, 1, counted(1));
    assert_eq!(rotating.next(now, &after, &ages(2, 0, &[(1, 999)])), None, "not at once again");
    let later = now + ROTATION.pause();
    assert_eq!(rotating.next(later, &after, &ages(2, 0, &[(1, 999)])), Some(Step::Count(1)));
    rotating.counted(later, 1, counted(0));
    assert_eq!(rotating.next(later, &after, &ages(2, 0, &[(1, 999)])), Some(Step::Close(1)));
    let closed = alone(2, &[2], &[(1, 4), (2, 0)]);
    assert_eq!(rotating.next(later, &closed, &ages(2, 0, &[(1, 149)])), None);
    assert_eq!(rotating.next(later, &closed, &ages(2, 0, &[(1, 150)])), Some(Step::Drop(1)));
}

#[test]
fn a_job_that_comes_to_a_closed_database_opens_it_again() {
    let now = Duration::ZERO;
    let mut rotating = Rotating::default();
    let closed = alone(2, &[2], &[(1, 4), (2, 0)]);
    let mut known = ages(2, 0, &[(1, 120)]);
    known.idle.get_mut(&1).unwrap().ended = Some(closed.documents(1));
    assert_eq!(rotating.next(now, &closed, &known), None, "as when it was counted, by whomever");
    let late = alone(2, &[2], &[(1, 5), (2, 0)]);
    assert_eq!(rotating.next(now, &late, &known), Some(Step::Count(1)));
    rotating.counted(now, 1, Counted { documents: late.documents(1), open: 1 });
    assert_eq!(rotating.next(now, &late, &known), Some(Step::Open(1)));
    rotating.tell(&mut known);
    assert_eq!(known.idle[&1].ended, None);
}

#[test]
fn what_does_not_answer_or_still_takes_delays() {
    let now = Duration::ZERO;
    let rotating = Rotating::default();
    let mut seen = alone(2, &[1, 2], &[(1, 4), (2, 0)]);
    let old = ages(2, 0, &[(1, 999)]);
    assert_eq!(rotating.next(now, &seen, &old), Some(Step::Count(1)));
    seen.clusters.insert("virginia".to_owned(), None);
    assert_eq!(rotating.next(now, &seen, &old), None);
    assert_eq!(Vec::from_iter(seen.silent()), ["virginia"]);
    let mut behind = seen.clusters[""].clone();
    behind.as_mut().unwrap().region.current = 1;
    seen.clusters.insert("virginia".to_owned(), behind);
    assert_eq!(rotating.next(now, &seen, &old), None, "its gateways do not know yet");
}

#[test]
fn a_wiped_home_does_nothing_and_a_wiped_hub_is_made_anew() {
    let now = Duration::ZERO;
    let rotating = Rotating::default();
    let old = ages(2, 999, &[(1, 999)]);
    let wiped = alone(2, &[2], &[]);
    assert!(wiped.is_wiped());
    assert_eq!(rotating.next(now, &wiped, &old), None);
    let mut hub = alone(2, &[2], &[(2, 0)]);
    let mut bare = hub.clusters[""].clone();
    bare.as_mut().unwrap().databases.clear();
    hub.clusters.insert("virginia".to_owned(), bare);
    assert!(!hub.is_wiped());
    assert_eq!(rotating.next(now, &hub, &ages(2, 0, &[])), Some(Step::Prepare(2)));
}

#[test]
fn more_lanes_are_there_at_once() {
    let rotating = Rotating::default();
    let mut seen = alone(1, &[1], &[(1, 0)]);
    seen.clusters.get_mut("").unwrap().as_mut().unwrap().region.lanes = 2;
    assert_eq!(rotating.next(Duration::ZERO, &seen, &ages(1, 0, &[])), Some(Step::Prepare(2)));
}

#[test]
fn a_step_changes_only_the_document_that_it_was_decided_by() {
    let region = Region { current: 3, open: vec![2, 3], ..Region::new("japan").unwrap() };
    assert_eq!(Step::Open(4).edited(&region).unwrap().open, [2, 3, 4]);
    assert_eq!(Step::Close(2).edited(&region).unwrap().open, [3]);
    for step in [
        Step::Open(3),
        Step::MakeCurrent(2),
        Step::MakeCurrent(4),
        Step::Close(3),
        Step::Prepare(4),
        Step::Drop(1),
    ] {
        assert_eq!(step.edited(&region), None, "{step:?}");
    }
}
