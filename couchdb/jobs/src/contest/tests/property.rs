//! Whatever happens, in whatever order: what must hold of an engine after each event.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::engine::{Beat, BeatKind, Held};

const JOBS: usize = 6;

/// One thing that happens: what, to which job, with what chance, after so many milliseconds.
type Event = (u8, usize, u8, u64);

/// The engine's driver and its world, which answers as it likes.
struct World {
    contest: Contest,
    now: Duration,
    jobs: Vec<JobId>,
    writes: BTreeMap<JobId, Run>,
    fences: BTreeSet<JobId>,
    running: BTreeMap<JobId, bool>,
    beats: Vec<Duration>,
    revisions: u64,
    polls: u64,
}

impl World {
    fn new(config: Config, retries: u8) -> Self {
        let mut jobs: Vec<JobId> = (0..JOBS).map(|_| new_job()).collect();
        jobs[JOBS - 1] = JobId::new("oregon", 2);
        let mut contest = Contest::new(config);
        contest.add_plugin("abc");
        for n in 0..JOBS {
            if retries & (1 << n) != 0 {
                contest.hear_spec(Duration::ZERO, sample(n, &jobs));
            }
        }
        let (now, polls) = (Duration::ZERO, 0);
        let (writes, fences, running) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Self { contest, now, jobs, writes, fences, running, beats: Vec::new(), revisions: 0, polls }
    }

    fn revision(&mut self) -> Revision {
        self.revisions += 1;
        revision(&format!("{}-{:x}", 1 + self.revisions % 7, self.revisions))
    }

    fn happen(&mut self, (what, n, chance, ms): Event) {
        self.now += Duration::from_millis(ms);
        let job = self.jobs[n].clone();
        let now = self.now;
        let actions = match what {
            0 => {
                self.contest.hear_spec(now, sample(n, &self.jobs));
                Vec::new()
            }
            1 => {
                let revision = self.revision();
                self.contest.hear_run(now, &job, revision, some_run(chance))
            }
            2 => self.contest.hear_cancel(&job),
            3 | 4 => self.answer_write(chance),
            5 => match self.fences.pop_first() {
                Some(job) => self.contest.fence_answered(now, &job, chance % 3 > 0),
                None => Vec::new(),
            },
            6 => match self.running.pop_first() {
                Some((job, _)) => {
                    self.contest.job_ended(now, &job, (chance % 2 == 0).then(|| end(chance)))
                }
                None => Vec::new(),
            },
            7 => {
                if let Some(sent) = self.beats.pop() {
                    self.contest.beat_acknowledged(now, sent);
                }
                Vec::new()
            }
            8 => {
                self.polls += 1;
                let held = vec![Held::new(job.clone(), u32::from(chance % 3) + 1)];
                let beat = Beat {
                    kind: BeatKind::Beat,
                    blitz: String::new(),
                    engine: "e2".to_owned(),
                    incarnation: incarnation(2),
                    counter: self.polls / 8,
                    held,
                };
                self.contest.hear_beats(now, job.region(), &[beat]);
                Vec::new()
            }
            9 => {
                let revision = self.revision();
                self.contest.hear_unreadable(now, &job, revision)
            }
            10 => {
                self.contest.hear_no_run(now, &job);
                Vec::new()
            }
            11 if chance % 8 == 0 => self.contest.hear_replaced(&job.jobs_database()),
            12 => {
                self.contest.hear_engines(u64::from(chance) * 4);
                Vec::new()
            }
            13 if chance % 16 == 0 => self.contest.give_back(),
            16 if chance % 16 == 0 => self.contest.leave_home(),
            17 => {
                self.contest.hear_beside(incarnation(chance));
                Vec::new()
            }
            13 if chance % 4 == 0 => {
                self.contest.remove_plugin("abc");
                self.contest.add_plugin(if chance % 8 == 0 { "abc" } else { "x" });
                Vec::new()
            }
            14 => {
                self.contest.add_plugin("abc");
                Vec::new()
            }
            // The feed brings what this engine wrote, or is writing.
            15 => match self.writes.iter().next().map(|(job, run)| (job.clone(), run.clone())) {
                Some((job, run)) => {
                    let revision = self.revision();
                    self.contest.hear_run(now, &job, revision, run)
                }
                None => Vec::new(),
            },
            _ => Vec::new(),
        };
        self.perform(actions);
        let actions = self.contest.tick(now);
        self.perform(actions);
        self.check();
    }

    fn answer_write(&mut self, chance: u8) -> Vec<Action> {
        let nth = usize::from(chance) % self.writes.len().max(1);
        let Some(job) = self.writes.keys().nth(nth).cloned() else { return Vec::new() };
        self.writes.remove(&job);
        let answer = match chance % 4 {
            0 => Answer::Lost,
            1 => Answer::Unknown,
            _ => Answer::Won(self.revision()),
        };
        self.contest.write_answered(self.now, &job, answer)
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Write { job, over: _, run } => {
                    let under_way = self.writes.insert(job.clone(), run);
                    assert!(under_way.is_none(), "two writes of {job} at once");
                }
                Action::Fence { job, .. } => {
                    assert!(self.fences.insert(job), "two fences of a job at once");
                }
                Action::Start { spec, claim, .. } => {
                    assert_eq!(claim.incarnation, incarnation(1));
                    self.check_epochs(&spec, &claim);
                    let twice = self.running.insert(spec.job.clone(), false);
                    assert!(twice.is_none(), "{} was started twice", spec.job);
                }
                Action::Stop { job, why } => {
                    let stops = self.running.get_mut(&job).expect("only what runs is stopped");
                    assert!(!*stops || why.is_loss(), "stopped twice without need");
                    *stops = true;
                }
                Action::Beat { .. } => self.beats.push(self.now),
                Action::Poll { engines } => assert!(!engines.is_empty()),
            }
        }
    }

    /// What was admitted for another home is not begun, unless it may run twice; and never that of a later one.
    fn check_epochs(&self, spec: &Spec, claim: &Claim) {
        let config = &self.contest.config;
        assert_eq!(claim.epoch, config.epoch);
        if config.guards != Guards::default() {
            return;
        }
        assert!(spec.home_epoch <= config.epoch, "of a later home");
        if spec.retry == Retry::Never {
            assert!(spec.home_epoch == config.epoch && !config.only_safe, "it may run elsewhere");
        }
    }

    fn check(&self) {
        let (contest, now) = (&self.contest, self.now);
        if let Some(due) = contest.due() {
            assert!(due > now, "due at {due:?}, and it is {now:?}: {contest:#?}");
        }
        let weights = contest.busy.iter().map(|job| contest.jobs[job].weight(contest.config.slots));
        assert_eq!(contest.slots_taken, weights.sum::<u32>());
        assert!(contest.slots_taken <= contest.config.slots);
        let mut runs: Vec<&str> =
            contest.busy.iter().map(|job| contest.jobs[job].spec.run.as_str()).collect();
        runs.sort_unstable();
        assert!(runs.windows(2).all(|two| two[0] != two[1]), "two tasks of one run: {runs:?}");
        for (at, job) in &contest.queue {
            assert_eq!(contest.jobs[job].queued, Some(*at));
            assert!(!contest.writes.contains(job));
        }
        let queued = contest.jobs.values().filter(|known| known.queued.is_some()).count();
        assert_eq!(queued, contest.queue.len());
        for (at, job) in &contest.deadlines {
            assert_eq!(contest.jobs[job].deadline(), *at);
        }
        assert!(self.writes.keys().eq(&contest.writes));
        for (job, known) in &contest.jobs {
            let is_busy =
                known.phase.hold().is_some() || matches!(known.phase, Phase::Claiming { .. });
            assert_eq!(contest.busy.contains(job), is_busy, "{job} {:?}", known.phase);
            assert_eq!(
                self.running.contains_key(job),
                matches!(known.phase, Phase::Running { .. })
            );
            assert_eq!(self.fences.contains(job), matches!(known.phase, Phase::Fencing { .. }));
        }
        // What was started ends here, and nowhere else.
        assert!(self.running.keys().all(|job| contest.jobs.contains_key(job)));
    }
}

fn sample(n: usize, jobs: &[JobId]) -> Arc<Spec> {
    let retry = if n.is_multiple_of(2) { Retry::Safe } else { Retry::Never };
    let mut spec = Spec::sample(&jobs[n], retry);
    spec.home_epoch = if n / 2 == 1 { 3 } else { 1 };
    spec.limits.slots = Some(u32::try_from(n).unwrap());
    spec.run = format!("r{}", n / 2);
    spec.tasks = jobs[n / 2 * 2..n / 2 * 2 + 2].to_vec();
    Arc::new(spec)
}

fn some_run(chance: u8) -> Run {
    let attempt = u32::from(chance / 8 % 16) + 1;
    let claim = Claim { epoch: u32::from(chance / 32), ..claim_of(chance % 3 + 1, attempt) };
    match chance % 8 {
        0..=2 => Run::Claimed { claim },
        3..=5 => opened(claim),
        6 => Run::Lost { claim: Some(claim), reason: String::new(), begun: true },
        _ => Run::Cancelled { claim: None, end: None },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn an_engine_keeps_its_books_and_never_loops(
        slots in 1u32..6,
        (epoch, only_safe) in prop_oneof![Just((1, false)), Just((3, false)), Just((2, true)), Just((4, true))],
        retries: u8,
        events in proptest::collection::vec((0u8..18, 0..JOBS, any::<u8>(), 0u64..4_000), 1..150),
    ) {
        let mut world = World::new(Config { epoch, only_safe, ..config(slots) }, retries);
        events.into_iter().for_each(|event| world.happen(event));
    }

    /// A mutant breaks a promise of the protocol, and neither its books nor the simulation that looks for it.
    #[cfg(feature = "mutants")]
    #[test]
    fn a_mutant_keeps_its_books_too(
        mutant in 0..crate::guards::Guard::ALL.len(),
        (epoch, only_safe) in prop_oneof![Just((1, false)), Just((3, false)), Just((2, true)), Just((4, true))],
        retries: u8,
        events in proptest::collection::vec((0u8..18, 0..JOBS, any::<u8>(), 0u64..4_000), 1..150),
    ) {
        let guards = Guards::default().without(crate::guards::Guard::ALL[mutant]);
        let mut world = World::new(Config { guards, epoch, only_safe, ..config(3) }, retries);
        events.into_iter().for_each(|event| world.happen(event));
    }
}
