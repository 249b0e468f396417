//! What the ticks of a load test say of each step.

use std::collections::VecDeque;
use std::fmt;

use blitz_plugin::load::{Distribution, Tick};

/// The class of a status that is a failure: 500 and above.
const CLASS_FAILED: u8 = 5;

/// The steps of a test, one after the other, each as long as the others.
pub struct Steps {
    hold_s: u64,
    /// Those that are not judged, with the second in which they end.
    open: VecDeque<(u64, Measured)>,
    /// Those that kept the limits.
    pub good: Vec<Measured>,
}

/// What was measured in a step, but for its first second: in that one there are answers to the step before.
#[derive(Debug)]
pub struct Measured {
    pub users: i64,
    pub answered: u64,
    /// Without an answer, or with a status of 500 and above.
    pub failed: u64,
    seconds: u64,
    /// With an answer or without.
    ended: u64,
    times: Distribution,
}

impl Steps {
    pub fn new(users: Vec<i64>, hold_s: u64) -> Self {
        let step = |users| Measured {
            users,
            answered: 0,
            failed: 0,
            seconds: hold_s - 1,
            ended: 0,
            times: Distribution::default(),
        };
        let ends = (1..).map(|number| number * hold_s);
        Self { hold_s, open: ends.zip(users.into_iter().map(step)).collect(), good: Vec::new() }
    }

    /// The next step, when it ended before this second.
    pub fn whole_before(&mut self, second: u32) -> Option<Measured> {
        self.open.pop_front_if(|(end, _)| *end <= u64::from(second)).map(|(_, step)| step)
    }

    /// Adds a second to its step. What comes when all of them have ended belongs to none.
    pub fn add(&mut self, tick: &Tick) {
        let second = u64::from(tick.second);
        let found = self.open.iter_mut().find(|(end, _)| second < *end);
        let Some((end, step)) = found else { return };
        if second + self.hold_s == *end {
            return;
        }
        for of_step in &tick.steps {
            let errors: u64 = of_step.errors.values().sum();
            step.failed += errors;
            step.ended += errors;
            for class in &of_step.classes {
                let answers: u64 = class.statuses.values().sum();
                step.answered += answers;
                step.ended += answers;
                step.failed += if class.class >= CLASS_FAILED { answers } else { 0 };
                step.times.add(&class.service_us);
            }
        }
    }
}

impl Measured {
    /// None when nothing was answered.
    pub fn p99_us(&self) -> Option<u64> {
        self.times.percentile(99.0)
    }

    pub fn rate_per_s(&self) -> u64 {
        self.answered / self.seconds
    }

    pub fn failed_percent(&self) -> f64 {
        self.failed as f64 * 100.0 / self.ended.max(1) as f64
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let p99 = match self.p99_us() {
            Some(us) => format!("{:.1} ms", us as f64 / 1000.0),
            None => "no answer".to_owned(),
        };
        let (users, rate) = (self.users, self.rate_per_s());
        write!(
            f,
            "{users:>6} users {rate:>8}/s  p99 {p99:>10}  {:>5.1} % failed",
            self.failed_percent()
        )
    }
}
